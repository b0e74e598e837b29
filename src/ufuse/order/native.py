"""Order statistics by the C++ core: `csrc/order/order.hpp` describes what it does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..interop.lowprecision import coding, narrowed, values_of
from ..reduce.request import Array
from . import reference
from .rules import Rules, RuleSource, blended

_INFINITY: Final = {
    np.dtype(np.float16): 0x7C00,
    np.dtype(np.float32): 0x7F80_0000,
    np.dtype(np.float64): 0x7FF0_0000_0000_0000,
}
#: Up to this many rules, those of every count are made, and kept; beyond, NaN are counted first.
_MOST_RULES: Final = 16384
#: Lanes this long are not kept in the cache: the core counts their NaN while it reads them.
_STREAMED: Final = 1 << 17

_BLENDED: Final = {np.dtype(np.float32): "f4", np.dtype(np.float64): "f8"}


@cache
def ranks_of(dtype: np.dtype[Any]) -> tuple[NDArray[np.uint8], Array]:
    """Return the rank of each byte as a float of one byte, and the elements of the ranks.

    Equal values share a rank, and every NaN has rank 255: no such dtype has 256 other values.
    """
    values = values_of(dtype)
    distinct = np.unique(values[~np.isnan(values)])
    ranks = np.where(np.isnan(values), 255, np.searchsorted(distinct, values)).astype(np.uint8)
    elements = np.full(256, np.nan, np.float32)
    elements[: len(distinct)] = distinct
    return ranks, elements.astype(dtype)


def as_core(x: Array) -> tuple[Array, str, int, NDArray[np.uint8] | None] | None:
    """Return `x` as the core reads it, or None.

    That is: an array of an element size it has, the kind of element (``"u"``, ``"i"`` or ``"f"``),
    the bits of its infinity, and the ranks of one-byte floats.
    """
    dtype = x.dtype
    if dtype.kind in "iub":
        return (x.view(np.uint8), "u", 0, None) if dtype.kind == "b" else (x, dtype.kind, 0, None)
    how = coding(dtype)
    if how == "table":
        return x.view(np.uint8), "f", 0, ranks_of(dtype)[0]
    if how == "bfloat16":
        return x.view(np.uint16), "f", 0x7F80, None
    infinity = _INFINITY.get(dtype if dtype.isnative else dtype.newbyteorder("="))
    return None if infinity is None else (x, "f", infinity, None)


def mask_of(axes: Sequence[int]) -> int:
    mask = 0
    for axis in axes:
        mask |= 1 << axis
    return mask


def quantiles(x: Array, axes: Sequence[int], source: RuleSource, skip_nan: bool, out: Array) -> int:
    """Fill `out` with the blends of order statistics: see `reference.quantiles`."""
    known = as_core(x)
    if known is None:
        return reference.quantiles(x, axes, source, skip_nan, out)
    elements, kind, infinity, ranks = known
    rules = _rules(x, axes, source, skip_nan)
    blend = _BLENDED.get(out.dtype)
    outputs = [out]
    if blend is None or (kind == "f" and x.dtype.itemsize < 4):
        stored = np.dtype(np.uint8) if ranks is not None else elements.dtype.newbyteorder("=")
        if out.dtype == stored and isinstance(rules, tuple) and not rules.blend.any():
            blend = "elements"
        else:
            blend = "pair"
            outputs = [np.empty(out.shape, stored) for _ in range(2)]
    empty = _core.order_statistics(
        elements,
        mask_of(axes),
        kind,
        infinity,
        ranks,
        source.queries,
        rules,
        skip_nan,
        blend,
        outputs,
    )
    if blend == "pair":
        _blend_pair(x, axes, source, skip_nan, outputs, out)
    return empty


def _rules(
    x: Array, axes: Sequence[int], source: RuleSource, skip_nan: bool
) -> Rules | Callable[[NDArray[np.int64]], Rules]:
    """Rules of every count that occurs, or what makes those of lanes that are read in a stream."""
    count = math.prod(x.shape[axis] for axis in axes)
    if not skip_nan:
        return source.alone(count)
    if count * source.queries <= _MOST_RULES:
        return source.up_to(count)
    return source.of if count >= _STREAMED else _counted_rules(x, axes, source)[0]


def _counted_rules(
    x: Array, axes: Sequence[int], source: RuleSource
) -> tuple[Rules, NDArray[np.int64]]:
    """Rules of every count that occurs, and the counts of the lanes, at least 1."""
    elements, _, infinity, ranks = cast(Any, as_core(x))
    shape = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
    counts = np.empty(shape, np.int64)
    _core.count_valid(elements, mask_of(axes), infinity, ranks, counts)
    np.maximum(counts, 1, out=counts)
    return source.of(np.unique(counts)), counts


def _blend_pair(
    x: Array,
    axes: Sequence[int],
    source: RuleSource,
    skip_nan: bool,
    pair: list[Array],
    out: Array,
) -> None:
    """Blend in NumPy what the core has no arithmetic for: narrow floats, and other elements."""
    dtype = x.dtype.newbyteorder("=")
    if coding(dtype) == "table":
        pair = [ranks_of(dtype)[1][ranks] for ranks in pair]
    else:
        pair = [part.view(dtype) for part in pair]
    if skip_nan:
        rules, counts = _counted_rules(x, axes, source)
        rows = np.searchsorted(rules.counts, counts)
    else:
        rules = source.alone(math.prod(x.shape[axis] for axis in axes))
        rows = np.zeros((1,) * x.ndim, np.intp)
    result = out.dtype
    if coding(dtype) in ("bfloat16", "table"):
        pair = [part.astype(np.float32) for part in pair]
        result = np.dtype(np.float32) if coding(out.dtype) is not None else result
    with np.errstate(all="ignore"):
        found = blended(pair[0], pair[1], rules, rows, result)
    np.copyto(out, found if result == out.dtype else narrowed(found, out.dtype), casting="unsafe")


def topk(x: Array, axis: int, k: int, largest: bool, values: Array, indices: Array) -> None:
    """Fill `values` and `indices`: see `reference.topk`."""
    known = as_core(x)
    if known is None:
        reference.topk(x, axis, k, largest, values, indices)
        return
    elements, kind, infinity, ranks = known
    stored = values.view(elements.dtype.newbyteorder("="))
    _core.topk(elements, axis, kind, infinity, ranks, k, largest, stored, indices)
