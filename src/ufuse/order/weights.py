"""Weighted quantiles: the inverse of the weighted distribution function, as NumPy has it.

In plain NumPy on every executor: a block of lanes after the other is sorted with its weights.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..interop.lowprecision import coding
from ..reduce.average import read_weights
from ..reduce.request import Array, Request
from .reference import has_nan

#: Elements of a block of lanes, but for one lane that has more.
_BLOCK: Final = 1 << 16


def read(request: Request, axis: Any, weights: Any) -> Array:
    """Return `weights` broadcast to the shape of the array."""
    found = np.broadcast_to(read_weights(request, axis, weights), request.x.shape)
    with np.errstate(invalid="ignore"):
        negative = np.any(found < 0)
    if negative:
        raise ValueError(f"{request.function}: argument 'weights': Weights must be non-negative.")
    return found


def quantiles(request: Request, q: Array, weights: Array, skip_nan: bool, target: Array) -> int:
    """Fill `target`; returns how many lanes have nothing that counts."""
    x = request.x
    kept = [axis for axis in range(x.ndim) if axis not in request.axes]
    x, weights = (part.transpose(*kept, *request.axes) for part in (x, weights))
    shape = x.shape[: len(kept)]
    lanes = int(np.prod(shape, dtype=np.int64))
    # Apart from `target`, which is left alone if weights are refused.
    result = np.empty((q.size, lanes), x.dtype.newbyteorder("="))
    wide = max(1, _BLOCK // request.count)
    empty = 0
    for first in range(0, lanes, wide):
        these = np.arange(first, min(lanes, first + wide))
        at = np.unravel_index(these, shape) if shape else ()
        values, weight = (part[at].reshape(len(these), -1) for part in (x, weights))
        found, none = _block(request.function, values, weight.astype(np.float64), q, skip_nan)
        result[:, these] = found
        empty += none
    np.copyto(target, result.reshape(target.shape))
    return empty


def _block(
    function: str, values: Array, weights: Array, q: Array, skip_nan: bool
) -> tuple[Array, int]:
    lanes, count = values.shape
    dtype = values.dtype.newbyteorder("=")
    if coding(dtype) is not None:  # NumPy sorts NaN of other libraries' types as it comes
        values = values.astype(np.float32)
    if skip_nan and has_nan(values.dtype):
        weights = np.where(np.isnan(values), 0, weights)  # they are sorted behind the others
    order = np.argsort(values, axis=-1, kind="stable")
    values = np.take_along_axis(values, order, axis=-1)
    some = ~np.isnan(values[:, 0]) if has_nan(values.dtype) else np.ones(lanes, np.bool_)
    with np.errstate(invalid="ignore", divide="ignore"):
        cdf = np.cumsum(np.take_along_axis(weights, order, axis=-1), axis=-1, dtype=np.float64)
        cdf /= cdf[:, -1:]
    if np.isnan(cdf[some if skip_nan else slice(None), -1]).any():
        raise ValueError(
            f"{function}: argument 'weights': Weights included NaN, inf or were all zero."
        )
    if q.dtype.kind == "f":  # compared in their type: 0.4 of float32 is not that of float64
        cdf = cdf.astype(q.dtype)
    cdf[cdf == 0] = -1  # an element without weight is no quantile, not even the one of 0
    result = np.empty((q.size, lanes), dtype)
    for k in range(q.size):
        index = np.minimum(np.add.reduce(cdf < q[k], axis=-1, dtype=np.intp), count - 1)
        result[k] = np.take_along_axis(values, index[:, None], axis=-1)[:, 0]
    if has_nan(values.dtype):
        bad = ~some if skip_nan else np.isnan(values[:, -1])
        result[:, bad] = values[bad, -1]
    return result, int(np.count_nonzero(~some)) if skip_nan else 0
