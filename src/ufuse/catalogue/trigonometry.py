"""Rows of trigonometric functions and their inverses."""

from __future__ import annotations

from typing import Final

import numpy as np

from .dtypes import FLOATS
from .rows import Operation, same

TRIGONOMETRY: Final = (
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
