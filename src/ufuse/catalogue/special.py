"""Rows of powers, roots, the error function and its kin, the gamma function."""

from __future__ import annotations

from typing import Final

from . import formulas
from .dtypes import FLOATS
from .rows import Operation, same

SPECIAL: Final = (
    Operation(
        "erf",
        same(FLOATS, 1),
        formulas.erf,
        "error function",
        domain=(-6.0, 6.0),
        ulp=1.0,
        public=True,
        scipy=("erf",),
    ),
)
