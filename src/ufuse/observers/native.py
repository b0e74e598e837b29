"""Counting by the C++ core: `csrc/calibrate/calibrate.hpp` describes it."""

from __future__ import annotations

import numpy as np

from .. import _core
from ..interop.lowprecision import coding, values_of
from .parameters import Array
from .reference import Points, Seen, Steps


def count_leading(x: Array, counts: Array) -> Seen | None:
    """See `reference.count_leading`."""
    how = coding(x.dtype)
    if how is not None:
        codes = np.dtype(f"u{x.dtype.itemsize}")
        values = values_of(x.dtype) if how == "table" else None
        x = x.view(codes if x.dtype.isnative else codes.newbyteorder())
        found = _core.count_leading(x, counts, how, values)
    else:
        found = _core.count_leading(x, counts, "plain", None)
    return None if found is None else Seen(*found)


def squared_errors(points: Points, steps: Steps, scale: Array, least: Array, most: Array) -> Array:
    """See `reference.squared_errors`."""
    out = np.empty(scale.size)
    _core.squared_errors(*points, *steps, scale, least, most, out)
    return out
