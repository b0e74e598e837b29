"""Histograms and counts by the C++ core: `csrc/count/count.hpp` describes what it does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from .. import _core
from ..interop.lowprecision import coding, narrowed, values_of
from ..reduce.extremes import minmax
from ..reduce.request import Array, DType, code_of
from . import reference
from .histograms import Bins, refuse_negative, value_dtype

_PLAIN: Final = ("plain", None)

_F2: Final[DType] = np.dtype(np.float16)
_F4: Final[DType] = np.dtype(np.float32)
_F8: Final[DType] = np.dtype(np.float64)

#: Integers that float64 tells apart.
_EXACT: Final = 2**53

#: Slots are 32-bit numbers in the core.
_MOST_BINS: Final = 2**31 - 16

#: NumPy's one call is quicker for so few elements.
_SMALL: Final = 4096

#: With fewer elements it is slower to count by a sample first than to look for the largest.
_SAMPLED: Final = 1 << 16

#: With fewer elements it is slower to ask where NumPy puts each float16 than to let NumPy count.
_MANY_HALVES: Final = 1 << 14


def histogram(x: Array, axes: Sequence[int], bins: Bins, weights: Array | None) -> Any:
    """Return the counts, or sums of weights: kept axes, then bins."""
    kept = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    dtype = np.dtype(np.intp) if weights is None else weights.dtype
    if 0 in (*kept, x.size, bins.count):
        return np.zeros((*kept, bins.count), dtype)
    if weights is not None and not _adds_exactly(weights):
        return reference.histogram(x, axes, bins, weights)
    edges = _edges(x, bins)
    if edges is None:
        return reference.histogram(x, axes, bins, weights)
    mask = sum(1 << axis for axis in axes)
    elements, how = _readable(x)
    width = 0.0 if bins.outer is None or bins.edges.dtype == _F2 else _width(*bins.outer)
    result = np.empty((*kept, bins.count), dtype)
    for part, weight in _parts(result, weights):
        out = np.empty(result.shape, np.intp if weight is None else np.float64)
        amounts, code = (None, _PLAIN) if weight is None else _readable(weight)
        if not _core.histogram(elements, mask, edges, width, amounts, out, how, code):
            return reference.histogram(x, axes, bins, weights)
        if weights is None:
            return out
        narrow = coding(part.dtype) is not None
        part[...] = narrowed(out, part.dtype) if narrow else out.astype(part.dtype, copy=False)
    return result


def _readable(x: Array) -> tuple[Array, tuple[str, Array | None]]:
    """Return `x` with the bits of narrow floats as integers, and how to read them."""
    how = coding(x.dtype)
    if how is None:
        return x, _PLAIN
    codes = np.dtype(f"u{x.dtype.itemsize}")
    bits = x.view(codes if x.dtype.isnative else codes.newbyteorder())
    return bits, (how, values_of(x.dtype) if how == "table" else None)


def _edges(x: Array, bins: Bins) -> Array | None:
    """Return the edges in the type that NumPy compares in; None where there is no kernel."""
    edges = bins.edges
    if code_of(x.dtype) is None or not 0 < bins.count < _MOST_BINS or edges.dtype.kind not in "iuf":
        return None
    wide = np.result_type(value_dtype(x), edges.dtype)
    if wide.kind in "iu":
        # Both are integers, which float64 compares like them up to 2**53: smaller edges are enough.
        if wide.itemsize == 8 and not _all_exact(edges[0], edges[-1]):
            return None
        wide = _F8
    if wide == _F2:
        if bins.outer is not None:
            return None if x.size < _MANY_HALVES and x.ndim == 1 else _edges_of_halves(bins)
        wide = _F4
    if wide == _F4 and x.dtype.kind in "biu":
        wide = _F8
    if wide not in (_F4, _F8):
        return None
    if bins.outer is None:
        if edges.dtype.kind == "f" and np.isnan(edges).any():
            return None
    elif edges.dtype != wide or (
        x.dtype.kind in "iu"
        and x.itemsize == 8
        and not bins.measured
        and not _all_exact(*bins.outer)
    ):
        return None
    return np.ascontiguousarray(edges, wide)


def _edges_of_halves(bins: Bins) -> Array | None:
    """Return the smallest float16 that NumPy's formula, with its roundings, puts into each bin."""
    halves = _halves()
    halves = halves[
        np.searchsorted(halves, bins.edges[0]) : np.searchsorted(halves, bins.edges[-1], "right")
    ]
    counts = np.histogram(halves, **bins.as_numpys)[0]
    if counts.sum() != halves.size or counts[-1] == 0:
        return None
    edges = np.empty(bins.count + 1, _F4)
    edges[0], edges[-1] = bins.edges[0], bins.edges[-1]
    edges[1:-1] = halves[np.cumsum(counts[:-1])]
    return edges


@cache
def _halves() -> Array:
    """Every finite float16, rising."""
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    return np.sort(values[np.isfinite(values)])


def _all_exact(*numbers: Any) -> bool:
    return all(-_EXACT < number < _EXACT for number in numbers)


def _width(first: Any, last: Any) -> float:
    if isinstance(first, (int, np.integer)) and isinstance(last, (int, np.integer)):
        return float(int(last) - int(first))  # without overflow
    with np.errstate(over="ignore"):
        return float(last - first)


def _adds_exactly(weights: Array) -> bool:
    """Tell whether float64 holds any sum of these weights as well as their own type would."""
    if weights.dtype.kind == "c":
        return weights.dtype.itemsize <= 16
    if code_of(weights.dtype) is None:
        return False
    if weights.dtype.kind not in "biu" or weights.itemsize * 8 + weights.size.bit_length() < 53:
        return True
    low, high = minmax(weights)
    return max(-int(low), int(high)) * weights.size < _EXACT


def _parts(result: Array, weights: Array | None) -> list[tuple[Array, Array | None]]:
    """Return real and imaginary parts of the result, and the weights that make them."""
    if weights is None or weights.dtype.kind != "c":
        return [(result, weights)]
    return [(result.real, weights.real), (result.imag, weights.imag)]


def bincount(x: Array, weights: Array | None, least: int) -> Any:
    """Return the counts, or sums of weights, of at least so many integers."""
    if x.size < _SMALL or (weights is not None and code_of(weights.dtype) is None):
        return reference.bincount(x, weights, least)
    if x.size >= _SAMPLED:
        found = _in_one_read(x, weights, least)
        if found is not None:
            return found
    low, high = minmax(x)
    refuse_negative(low)
    count = max(least, int(high) + 1)
    if count > _MOST_BINS or count > 8 * x.size:  # NumPy's way needs no table beside the result
        return reference.bincount(x, weights, least)
    return _bincount(x, weights, count)[0]


def _bincount(x: Array, weights: Array | None, count: int) -> tuple[Array, int]:
    """Return what so many integers count, and the largest; `count` where there are larger ones."""
    out = np.empty(count, np.intp if weights is None else np.float64)
    amounts, how = (None, _PLAIN) if weights is None else _readable(weights)
    return out, _core.bincount(x, amounts, out, how)


def _in_one_read(x: Array, weights: Array | None, least: int) -> Any:
    """Count as far as a sample suggests; None where there are elements beyond (or below zero)."""
    sample = int(x[:: x.size // 1024].max())
    guess = max(least, sample + sample // 4 + 16)
    if sample < 0 or guess > min(x.size, _MOST_BINS):
        return None
    out, largest = _bincount(x, weights, guess)
    return out[: max(largest + 1, least)].copy() if largest < guess else None
