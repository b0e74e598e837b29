"""Rows of exponentials, logarithms, hyperbolic functions, and what is made of these."""

from __future__ import annotations

from typing import Final

import numpy as np

from . import formulas
from .dtypes import FLOATS
from .rows import Operation, same

EXPONENTIALS: Final = (
    Operation("exp", same(FLOATS, 1), np.exp, "e ** a", np.exp, domain=(-110.0, 95.0), ulp=1.0),
    Operation(
        "exp_difference",
        same(FLOATS, 2),
        formulas.exp_difference,
        "e ** (a - b)",
        domain=(-55.0, 47.0),
        ulp=1.0,
    ),
    Operation(
        "log",
        same(FLOATS, 1),
        np.log,
        "natural logarithm",
        np.log,
        domain=(0.0, 1e6),
        ulp=1.0,
    ),
    Operation(
        "tanh",
        same(FLOATS, 1),
        np.tanh,
        "hyperbolic tangent",
        np.tanh,
        domain=(-12.0, 12.0),
        ulp=1.0,
    ),
    Operation(
        "sigmoid",
        same(FLOATS, 1),
        formulas.sigmoid,
        "1 / (1 + exp(-a))",
        domain=(-100.0, 100.0),
        ulp=1.5,
        public=True,
        scipy=("expit",),
    ),
    Operation(
        "silu",
        same(FLOATS, 1),
        formulas.silu,
        "a * sigmoid(a)",
        domain=(-100.0, 100.0),
        ulp=2.0,
        public=True,
    ),
    Operation(
        "gelu",
        same(FLOATS, 1),
        formulas.gelu,
        "a/2 * (1 + erf(a / sqrt 2))",
        domain=(-12.0, 12.0),
        ulp=2.0,
        public=True,
    ),
    Operation(
        "gelu_tanh",
        same(FLOATS, 1),
        formulas.gelu_tanh,
        "a/2 * (1 + tanh(sqrt(2/pi) * (a + 0.044715 a**3)))",
        domain=(-12.0, 12.0),
        ulp=2.0,
        public=True,
    ),
    Operation("relu", same(FLOATS, 1), formulas.relu, "larger of a and 0; NaN stays", public=True),
)
