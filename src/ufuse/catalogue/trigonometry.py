"""Rows of trigonometric functions and their inverses."""

from __future__ import annotations

from typing import Final

import numpy as np

from . import formulas
from .dtypes import FLOATS
from .rows import Operation, same

TRIGONOMETRY: Final = (
    Operation("sin", same(FLOATS, 1), formulas.in_wider(np.sin), "sine", ufunc=np.sin, ulp=0.8),
    Operation("cos", same(FLOATS, 1), formulas.in_wider(np.cos), "cosine", ufunc=np.cos, ulp=0.8),
    Operation("tan", same(FLOATS, 1), formulas.in_wider(np.tan), "tangent", ufunc=np.tan, ulp=0.95),
    Operation(
        "asin",
        same(FLOATS, 1),
        formulas.in_wider(np.arcsin),
        "inverse sine",
        ufunc=np.arcsin,
        domain=(-1.0, 1.0),
        ulp=0.78,
    ),
    Operation(
        "acos",
        same(FLOATS, 1),
        formulas.in_wider(np.arccos),
        "inverse cosine",
        ufunc=np.arccos,
        domain=(-1.0, 1.0),
        ulp=0.81,
    ),
    Operation(
        "atan",
        same(FLOATS, 1),
        formulas.in_wider(np.arctan),
        "inverse tangent",
        ufunc=np.arctan,
        domain=(-10.0, 10.0),
        ulp=0.96,
    ),
    Operation(
        "atan2",
        same(FLOATS, 2),
        formulas.in_wider(np.arctan2),
        "angle of the point (b, a), signed zeros and infinities as in C",
        ufunc=np.arctan2,
        domain=(-10.0, 10.0),
        ulp=0.85,
    ),
    Operation(
        "deg2rad",
        same(FLOATS, 1),
        np.deg2rad,
        "a * (pi / 180)",
        ufunc=np.deg2rad,
        aliases=(np.radians,),
    ),
    Operation(
        "rad2deg",
        same(FLOATS, 1),
        np.rad2deg,
        "a * (180 / pi)",
        ufunc=np.rad2deg,
        aliases=(np.degrees,),
    ),
)
