"""Counting by the C++ core: see `csrc/calibrate/calibrate.hpp` and `csrc/count/bins.hpp`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from ..interop.lowprecision import coding, values_of
from .parameters import Array, Levels
from .reference import Octaves, Seen, Streams


def _readable(x: Array) -> tuple[Array, tuple[str, Any]]:
    """Return `x` with the bits of narrow floats as integers, and how to read them."""
    how = coding(x.dtype)
    if how is None:
        return x, ("plain", None)
    codes = np.dtype(f"u{x.dtype.itemsize}")
    values = values_of(x.dtype) if how == "table" else None
    return x.view(codes if x.dtype.isnative else codes.newbyteorder()), (how, values)


def count_leading(x: Array, counts: Array) -> Seen | None:
    """See `reference.count_leading`."""
    elements, how = _readable(x)
    found = _core.count_leading(elements, counts, *how)
    return None if found is None else Seen(*found)


def count_octaves(x: Array, over: tuple[int, ...], octaves: Octaves) -> Array:
    """See `reference.count_octaves`."""
    elements, how = _readable(x)
    out = np.empty((*(x.shape[axis] for axis in over), octaves.bins), np.int64)
    streams = sum(1 << axis for axis in over)
    _core.count_octaves(elements, ((1 << x.ndim) - 1) ^ streams, *octaves, out, how)
    return out


def squared_errors(
    streams: Streams, levels: Levels, scale: Array, least: Array, most: Array
) -> Array:
    """See `reference.squared_errors`."""
    out = np.empty(scale.shape)
    _core.squared_errors(*streams, levels, scale, least, most, out)
    return out


def divergences(counts: Array, levels: int) -> Array:
    """See `reference.divergences`."""
    out = np.empty((len(counts), counts.shape[1] // 2 + 1 - levels // 2))
    _core.divergences(counts, levels, out)
    return out
