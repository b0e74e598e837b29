"""Histograms and counts by the C++ core: `csrc/count/count.hpp` describes what it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from .. import _core
from ..interop.lowprecision import is_low_precision
from . import counts_reference as reference
from .extremes import minmax
from .histograms import Bins, refuse_negative
from .request import Array, DType, code_of

_F4: Final[DType] = np.dtype(np.float32)
_F8: Final[DType] = np.dtype(np.float64)

#: Integers that float64 tells apart.
_EXACT: Final = 2**53

#: Slots are 32-bit numbers in the core.
_MOST_BINS: Final = 2**31 - 16

#: Fewer elements than this are not worth a table of all values of their type.
_BY_VALUE: Final = 1 << 16


def histogram(x: Array, axes: Sequence[int], bins: Bins, weights: Array | None) -> Any:
    """Return the counts, or sums of weights: kept axes, then bins."""
    kept = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    dtype = np.dtype(np.intp) if weights is None else weights.dtype
    if 0 in (*kept, x.size, bins.count):
        return np.zeros((*kept, bins.count), dtype)
    if weights is None and not kept and _has_few_values(x) and x.size >= _BY_VALUE:
        return _by_value(x, bins)
    edges = _edges(x, bins)
    if edges is None or (weights is not None and not _adds_exactly(weights)):
        return reference.histogram(x, axes, bins, weights)
    mask = sum(1 << axis for axis in axes)
    width = 0.0 if bins.outer is None else _width(*bins.outer)
    result = np.empty((*kept, bins.count), dtype)
    for part, weight in _parts(result, weights):
        out = np.empty(result.shape, np.intp if weight is None else np.float64)
        if not _core.histogram(x, mask, edges, width, weight, out):
            return reference.histogram(x, axes, bins, weights)
        if weights is None:
            return out
        part[...] = out.astype(part.dtype, copy=False)
    return result


def _has_few_values(x: Array) -> bool:
    """Tell whether these are floats of one or two bytes, which have no kernels of their own."""
    return x.dtype.itemsize <= 2 and (x.dtype.kind == "f" or is_low_precision(x.dtype))


def _by_value(x: Array, bins: Bins) -> Any:
    """Count bit patterns, and then put each value into its bin, with its count for a weight."""
    pattern = np.dtype(f"u{x.dtype.itemsize}").newbyteorder(x.dtype.byteorder)
    bits = x.view(pattern)
    counts = np.empty(1 << 8 * x.dtype.itemsize, np.intp)
    _core.bincount(bits, None, counts)
    present = np.flatnonzero(counts)
    values = present.astype(pattern.newbyteorder("=")).view(x.dtype.newbyteorder("="))
    result = reference.histogram(values, (0,), bins, counts[present])
    return result.astype(np.intp, copy=False)


def _edges(x: Array, bins: Bins) -> Array | None:
    """Return the edges in the type that NumPy compares in; None where there is no kernel."""
    edges = bins.edges
    if code_of(x.dtype) is None or not 0 < bins.count < _MOST_BINS or edges.dtype.kind not in "iuf":
        return None
    wide = np.result_type(x.dtype, edges.dtype)
    if wide.kind in "iu":
        # Both are integers, which float64 compares like them up to 2**53: smaller edges are enough.
        if wide.itemsize == 8 and not _all_exact(edges[0], edges[-1]):
            return None
        wide = _F8
    if wide == _F4 and x.dtype.kind != "f":
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
    if weights.dtype.kind == "f" or weights.itemsize * 8 + weights.size.bit_length() < 53:
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
    if weights is not None and code_of(weights.dtype) is None:
        return reference.bincount(x, weights, least)
    if weights is None and x.size >= _BY_VALUE:
        found = _in_one_read(x, least)
        if found is not None:
            return found
    count = least
    if x.size:
        low, high = minmax(x)
        refuse_negative(low)
        count = max(least, int(high) + 1)
    if count > _MOST_BINS or count > 8 * x.size:  # NumPy's way needs no table beside the result
        return reference.bincount(x, weights, least)
    out = np.empty(count, np.intp if weights is None else np.float64)
    _core.bincount(x, weights, out)
    return out


def _in_one_read(x: Array, least: int) -> Any:
    """Count as far as a sample suggests; None where there are elements beyond (or below zero)."""
    sample = int(x[:: x.size // 1024].max())
    guess = max(least, sample + sample // 4 + 16)
    if sample < 0 or guess > min(x.size, _MOST_BINS):
        return None
    out = np.empty(guess, np.intp)
    _core.bincount(x, None, out)
    if int(out.sum()) != x.size:
        return None
    count = guess - int(np.argmax(out[::-1] != 0))
    return out[: max(count, least)].copy()
