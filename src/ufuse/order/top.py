"""The largest or smallest elements along an axis, and where they are."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np

from .. import executors
from ..interop import wrap_like
from ..reduce.request import Request
from .answers import require_numbers


class TopK(NamedTuple):
    """Result of `ufuse.topk`."""

    values: Any
    indices: Any


@executors.fast_topk(TopK)
def topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> TopK:
    """Largest (or smallest) `k` elements along an axis, sorted, with their indices.

    Parameters
    ----------
    x : array_like
        Real numbers in any strides; read once, never copied.
    k : int
        How many, from 0 to the length of the axis.
    axis : int, optional
        Along which they are found; the last by default.
    largest : bool, optional
        Whether the largest are wanted, in falling order; else the smallest, in rising order.

    Returns
    -------
    TopK
        ``values``, of the dtype of `x`, and ``indices``, int64: the shape of `x`, with `k` elements
        along `axis`.

    Raises
    ------
    ValueError
        If `k` is negative or larger than the axis, or `x` has no axis.
    TypeError
        If `k` or `axis` is no int, or `x` is complex or holds no numbers.
    numpy.exceptions.AxisError
        If `axis` is out of range.

    Notes
    -----
    Elements are in the order of NumPy's sort: NaN is larger than every number, so that it comes
    first among the largest and last among the smallest. Of equal elements, that of the lowest index
    comes first either way; zeros are equal whatever their sign. Exact, and so the same for every
    layout and number of threads.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> found = uf.topk(np.array([3, 9, 4, 9, 1]), 3)
    >>> found.values
    array([9, 9, 4])
    >>> found.indices
    array([1, 3, 2])
    """
    function = "ufuse.topk"
    try:
        along = operator.index(axis)
    except TypeError:
        raise TypeError(f"{function}: argument 'axis': expected an int, got {axis!r}") from None
    request = Request(function, x, along, single=True, argument="x")
    array = request.x
    require_numbers(request, "x")
    if array.dtype.kind == "c":
        raise TypeError(
            f"{function}: argument 'x': expected an array of real numbers, got dtype {array.dtype}"
        )
    if array.ndim == 0:
        raise ValueError(f"{function}: argument 'x': expected at least one axis, got a scalar")
    (along,) = request.axes
    count = _read_k(function, k, array.shape[along], along)
    shape = tuple(count if i == along else n for i, n in enumerate(array.shape))
    values = executors.empty(shape, array.dtype.newbyteorder("="))
    indices = executors.empty(shape, np.dtype(np.int64))
    if values.size:
        executor = executors.of(__package__)
        executor.topk(array, along, count, bool(largest), values, indices)
    return TopK(wrap_like(values, x), wrap_like(indices, x))


def _read_k(function: str, k: Any, length: int, axis: int) -> int:
    try:
        count = operator.index(k)
    except TypeError:
        raise TypeError(f"{function}: argument 'k': expected an int, got {k!r}") from None
    if not 0 <= count <= length:
        raise ValueError(
            f"{function}: argument 'k': expected an int from 0 to {length}, the length of axis "
            f"{axis}; got {count}"
        )
    return count
