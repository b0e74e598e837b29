"""Order statistics in plain NumPy: what runs without the extension, and what tests compare with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..interop.lowprecision import coding, narrowed
from ..reduce.request import Array
from .rules import RuleSource, blended


def has_nan(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "fc" or coding(dtype) is not None


def quantiles(x: Array, axes: Sequence[int], source: RuleSource, skip_nan: bool, out: Array) -> int:
    """Fill `out` with the blends of order statistics.

    Parameters
    ----------
    x : ndarray
        With elements.
    axes : sequence of int
        The lanes: what is sorted together.
    source : RuleSource
        Makes the rules of the numbers of elements that count.
    skip_nan : bool
        Whether NaN do not count; if they do, a lane with one gives NaN.
    out : ndarray
        ``[query, *x.shape]``, 1 long for reduced axes.

    Returns
    -------
    int
        Lanes with nothing that counts.
    """
    narrow = coding(x.dtype) in ("bfloat16", "table")
    wide = x.astype(np.float32) if narrow else x.astype(x.dtype.newbyteorder("="), copy=False)
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    lanes = wide.transpose(*kept, *axes).reshape(*(x.shape[axis] for axis in kept), -1)
    length = lanes.shape[-1]
    lanes = np.sort(lanes, axis=-1)  # NaN last
    valid = np.full(lanes.shape[:-1], length)
    if has_nan(x.dtype):
        valid = length - np.add.reduce(np.isnan(lanes), axis=-1, dtype=np.int64)
    rules = source.of(np.unique(np.maximum(valid, 1))) if skip_nan else source.alone(length)
    rows = np.searchsorted(rules.counts, np.maximum(valid, 1)) if skip_nan else np.zeros_like(valid)
    previous, following = (
        np.moveaxis(np.take_along_axis(lanes, ranks[rows], axis=-1), -1, 0)
        for ranks in (rules.previous, rules.next)
    )
    dtype = np.dtype(np.float32) if narrow and coding(out.dtype) is not None else out.dtype
    # Native kernels raise no floating-point warnings; neither does their reference.
    with np.errstate(all="ignore"):
        result = blended(previous, following, rules, rows, dtype)
    bad = valid == 0 if skip_nan else valid < length
    if bad.any():
        result = np.where(bad, lanes[..., -1].astype(dtype), result)
    shape = (source.queries, *(1 if axis in axes else n for axis, n in enumerate(x.shape)))
    if dtype != out.dtype:
        result = narrowed(result, out.dtype)
    np.copyto(out, result.reshape(shape), casting="unsafe")
    return int(np.count_nonzero(valid == 0))


def topk(x: Array, axis: int, k: int, largest: bool, values: Array, indices: Array) -> None:
    """Fill `values` and `indices`, of the shape of `x` but for ``1 <= k`` along `axis`."""
    keys = x.astype(np.float32) if coding(x.dtype) is not None else x
    if largest:  # from behind, with the first of equals last
        last = x.shape[axis] - 1
        order = last - np.argsort(np.flip(keys, axis), axis=axis, kind="stable")
        order = np.flip(order, axis)
    else:
        order = np.argsort(keys, axis=axis, kind="stable")
    first = order.take(np.arange(k), axis=axis)
    np.copyto(values, np.take_along_axis(x, first, axis=axis), casting="unsafe")
    np.copyto(indices, first)
