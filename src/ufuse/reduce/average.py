"""Weighted averages."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..catalogue.dtypes import FLOATS
from ..interop import asarray, wrap_like
from . import sums
from .request import Array, DType, Request, code_of, execute_weighted


@executors.fast_average(sums.mean)
def average(
    a: Any,
    axis: Any = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: Any = False,
) -> Any:
    """Weighted average over axes.

    Parameters
    ----------
    a : array_like
        Any strides; read once, never copied.
    axis : int, tuple of int or None, optional
        Axes to average over; None means all.
    weights : array_like, optional
        Of the shape of `a`, or of its axes in `axis`, in their order. By default all are 1.
    returned : bool, optional
        Whether to return the sums of the weights, too.
    keepdims : bool, optional
        Whether reduced axes stay, with size 1.

    Returns
    -------
    scalar or array
        The averages; with `returned` a tuple of them and the sums of the weights, of their shape.

    Raises
    ------
    ZeroDivisionError
        If weights sum to zero.
    TypeError
        If `weights` has another shape than `a`, and `axis` is None.
    ValueError
        If the shape of `weights` is neither that of `a` nor that of its axes in `axis`.
    numpy.exceptions.AxisError
        If an axis is out of range.

    Notes
    -----
    Elements and weights are multiplied in float64, in blocks that stay in the cache, and summed as
    `ufuse.sum` sums: no temporary of the size of `a`, and the same bits for any memory layout and
    number of threads. The result has the dtype of ``a * weights``, float64 for integers.

    Examples
    --------
    >>> import ufuse as uf
    >>> float(uf.average([1.0, 2.0, 4.0], weights=[2, 1, 1]))
    2.0
    """
    function = "ufuse.average"
    request = Request(function, a, axis, None, keepdims)
    x = request.x
    if weights is None:
        mean = sums.mean(a, axis=axis, keepdims=keepdims)
        if not returned:
            return mean
        count = x.size / max(np.size(mean), 1)
        return mean, wrap_like(np.full(np.shape(mean), count, np.asarray(mean).dtype)[()], a)
    w = read_weights(request, axis, weights)
    result = _result_dtype(x.dtype, w.dtype)
    full = w.shape == x.shape
    averages, totals = _sums(request, x, w, result, full)
    if (totals == 0.0).any():
        raise ZeroDivisionError(
            f"{function}: argument 'weights': Weights sum to zero, can't be normalized"
        )
    with np.errstate(all="ignore"):
        averages = np.divide(averages, totals)
    shape = request.shape
    found = averages.astype(result, copy=False).reshape(shape)
    if not returned:
        return wrap_like(found[()], a)
    all_totals = np.broadcast_to(totals.astype(result), request.full_shape).reshape(shape).copy()
    return wrap_like(found[()], a), wrap_like(all_totals[()], a)


def read_weights(request: Request, axis: Any, weights: Any) -> Array:
    """Return the weights with the rank of the array, 1 where they do not depend on an axis."""
    function, shape = request.function, request.x.shape
    w = asarray(weights, function=function, argument="weights")
    if w.shape == shape:
        return w
    if axis is None:
        raise TypeError(
            f"{function}: argument 'axis': Axis must be specified when shapes of a and weights "
            f"differ: {shape} and {w.shape}"
        )
    given = axis if isinstance(axis, tuple) else (axis,)
    order = [one % len(shape) for one in given] if shape else []  # 0-d: axis 0 or -1 is none
    expected = tuple(shape[i] for i in order)
    if w.shape != expected:
        raise ValueError(
            f"{function}: argument 'weights': Shape of weights must be consistent with shape of a "
            f"along specified axis: expected {shape} or {expected}, got {w.shape}"
        )
    w = w.transpose(np.argsort(order))
    return w.reshape(tuple(n if i in request.axes else 1 for i, n in enumerate(shape)))


def _result_dtype(x: DType, w: DType) -> DType:
    if x.kind in "biu":
        return np.result_type(x, w, np.float64)
    return np.result_type(x, w)


#: Elements of what is multiplied at once where there is no kernel.
_SLICE: Final = 1 << 17


def _sums(
    request: Request, x: Array, w: Array, result: DType, full: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Sum the weighted elements and the weights."""
    wide = np.dtype(np.float64)
    if result.kind == "c":
        wide = np.result_type(result, np.complex128)
    elif code_of(result) is None or code_of(result) not in FLOATS:
        wide = result
    if not full:
        totals = np.asarray(
            sums.sum(w, axis=request.axes, dtype=_total_dtype(w, wide), keepdims=True)
        )
    if x.size == 0 or request.count == 0:
        zeros = np.zeros(request.full_shape, wide)
        return zeros, zeros if full else totals
    if wide == np.float64 and code_of(x.dtype) is not None and code_of(w.dtype) is not None:
        found = np.empty(request.full_shape, np.float64)
        both = np.empty(request.full_shape, np.float64) if full else None
        execute_weighted(x, np.broadcast_to(w, x.shape), request.axes, found, both)
        return found, totals if both is None else both
    found = _in_slices(request, x, np.broadcast_to(w, x.shape), wide)
    if full:
        totals = np.asarray(
            sums.sum(w, axis=request.axes, dtype=_total_dtype(w, wide), keepdims=True)
        )
    return found, totals


def _total_dtype(w: Array, wide: DType) -> DType:
    return wide if w.dtype.kind != "c" else np.result_type(wide, w.dtype)


def _in_slices(request: Request, x: Array, w: Array, wide: DType) -> Array:
    found = np.zeros(request.full_shape, wide)
    longest = int(np.argmax(x.shape))
    step = max(1, _SLICE * x.shape[longest] // x.size)
    for start in range(0, x.shape[longest], step):
        index = (slice(None),) * longest + (slice(start, start + step),)
        with np.errstate(all="ignore"):
            part = np.multiply(x[index].astype(wide), w[index].astype(wide))
            part = np.asarray(np.add.reduce(part, axis=request.axes, keepdims=True))
            if longest in request.axes:
                found += part
            else:
                found[index] = part
    return found
