"""Moments of higher order."""

from __future__ import annotations

import operator
import warnings
from collections import namedtuple
from functools import lru_cache
from typing import Any, Final

import numpy as np

from .. import executors
from ..catalogue.dtypes import FLOATS
from .request import Request, Slot, code_of, execute
from .sums import moment_dtype

#: Fields of the result: the moments, each with what becomes of the state.
_FINISHES: Final = {
    "mean": "value",
    "variance": "variance",
    "skewness": "skewness",
    "kurtosis": "kurtosis",
}


def _plan(order: Any) -> tuple[type, tuple[Any, ...]] | None:
    """Return the type of the result and an entry for each moment; None for no order."""
    if type(order) is not int or not 1 <= order <= len(_FINISHES):
        return None
    same = {code: code for code in FLOATS}
    return _result_type(order), tuple(
        executors.fast_reduction(_reducer(order), finish, same, component=int(name == "mean"))(
            moments
        )
        for name, finish in list(_FINISHES.items())[:order]
    )


@executors.fast_several(_plan, default=4)
def moments(
    x: Any, order: int = 4, axis: Any = None, keepdims: Any = False, *, where: Any = True
) -> Any:
    """Mean, variance, skewness and kurtosis over axes, in one read.

    Parameters
    ----------
    x : array_like
        Real numbers, any strides; read once, never copied.
    order : int, optional
        How many of them, from 1 to 4.
    axis : int, tuple of int or None, optional
        Axes to reduce; None means all.
    keepdims : bool, optional
        Whether reduced axes stay, with size 1.
    where : array of bool, optional
        Which elements count; broadcasts to the shape of `x`.

    Returns
    -------
    named tuple
        Of `order` scalars or arrays: ``mean``, ``variance`` (divided by the number of elements),
        ``skewness`` (the third central moment divided by that power of the deviation) and
        ``kurtosis`` (the fourth likewise, less the 3 of a normal distribution). The last two are
        NaN where all elements are equal. They are those of `scipy.stats` with its default
        arguments, and have the dtype of `ufuse.var`.

    Warns
    -----
    RuntimeWarning
        If a result is of no elements; it is NaN.

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If `order` is not from 1 to 4, an axis is repeated, or `where` does not broadcast.
    TypeError
        If `x` is no array of real numbers, or `order` no integer.

    Notes
    -----
    Sums of powers of the deviations from a pivot (the first element of each chunk of 1024) in
    float64, merged by the formulas of Pebay, "Formulas for robust, one-pass parallel computation of
    covariances and arbitrary-order statistical moments" (2008): a large mean cancels nothing. The
    same bits for any memory layout and number of threads.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> found = uf.moments(np.array([1.0, 2.0, 3.0, 10.0]))
    >>> float(found.mean), float(found.variance), round(float(found.skewness), 6)
    (4.0, 12.5, 1.018234)
    """
    function = "ufuse.moments"
    wanted = _read_order(function, order)
    request = Request(function, x, axis, None, keepdims, where, argument="x")
    if code_of(request.x.dtype) is None:
        raise TypeError(
            f"{function}: argument 'x': expected real numbers of at most 64 bits, got dtype "
            f"{request.x.dtype}"
        )
    return _moments(request, wanted)


def _read_order(function: str, order: Any) -> int:
    try:
        wanted = operator.index(order)
    except TypeError:
        raise TypeError(
            f"{function}: argument 'order': expected an integer, got {order!r}"
        ) from None
    if not 1 <= wanted <= len(_FINISHES):
        raise ValueError(f"{function}: argument 'order': expected 1, 2, 3 or 4, got {wanted}")
    return wanted


@lru_cache(maxsize=4)
def _result_type(order: int) -> Any:
    return namedtuple("Moments", tuple(_FINISHES)[:order])


def _reducer(order: int) -> str:
    return "moments" if order <= 2 else "central_moments"


def _moments(request: Request, order: int) -> Any:
    a = request.x
    result = moment_dtype(a.dtype, None)
    code = code_of(a.dtype)
    element = code if code is not None and a.dtype.kind not in "biu" else "f8"
    slots = [
        Slot(
            _reducer(order),
            str(element),
            finish,
            request.target(result),
            component=int(name == "mean"),
        )
        for name, finish in list(_FINISHES.items())[:order]
    ]
    if slots[0].out.size == 0:
        return _result_type(order)(*(request.answer(slot.out) for slot in slots))
    empty = np.full(request.full_shape, request.count == 0)
    if request.where is not None and request.count:
        counts = np.empty(request.full_shape, np.int64)
        execute(request.where, request.axes, [Slot("sum", "?", "value", counts)], None)
        empty = counts == 0
    if empty.any():
        warnings.warn("Mean of empty slice.", RuntimeWarning, stacklevel=4)
    if request.count:
        execute(a, request.axes, slots, request.where)
    for slot in slots:
        slot.out[empty] = np.nan
    return _result_type(order)(*(request.answer(slot.out) for slot in slots))
