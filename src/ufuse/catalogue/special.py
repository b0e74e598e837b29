"""Rows of powers, roots, the error function and its kin, the gamma function."""

from __future__ import annotations

from typing import Final

import numpy as np

from . import formulas, gammas
from .dtypes import FLOATS
from .rows import Operation, same

SPECIAL: Final = (
    Operation(
        "power", same(FLOATS, 2), np.power, "a ** b", np.power, domain=(-20.0, 20.0), ulp=0.95
    ),
    Operation("cbrt", same(FLOATS, 1), np.cbrt, "cube root", np.cbrt, ulp=0.51, scipy=("cbrt",)),
    Operation("hypot", same(FLOATS, 2), np.hypot, "sqrt(a**2 + b**2)", np.hypot, ulp=0.76),
    Operation(
        "erf",
        same(FLOATS, 1),
        formulas.erf,
        "error function",
        domain=(-6.0, 6.0),
        ulp=1.1,
        public=True,
        scipy=("erf",),
    ),
    Operation(
        "erfc",
        same(FLOATS, 1),
        formulas.erfc,
        "1 - erf(a), to full relative accuracy",
        domain=(-6.0, 28.0),
        ulp=0.9,
        public=True,
        scipy=("erfc",),
    ),
    Operation(
        "gamma",
        same(FLOATS, 1),
        gammas.gamma,
        "gamma function; NaN at its poles",
        domain=(-20.0, 35.0),
        ulp=0.9,
        public=True,
        scipy=("gamma",),
    ),
    Operation(
        "gammaln",
        same(FLOATS, 1),
        gammas.gammaln,
        "log |gamma(a)|; in float64 to 2**-54 about its zeros below 0",
        domain=(0.0, 100.0),
        ulp=1.0,
        public=True,
        scipy=("gammaln",),
    ),
    Operation(
        "xlogy",
        same(FLOATS, 2),
        formulas.xlogy,
        "a * log(b); 0 where a is 0 and b is no NaN",
        domain=(0.0, 100.0),
        ulp=0.6,
        scipy=("xlogy",),
    ),
)
