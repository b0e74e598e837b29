"""any, all, count_nonzero, and the range of values."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import executors
from ..catalogue.dtypes import ALL, NUMBERS
from .request import Array, Request, Slot, code_of, execute

# Element codes and those of the results: what the native fast entries take.
_TRUTH = dict.fromkeys(ALL, "?")
_COUNTS = dict.fromkeys(ALL, "i8")
_SAME = {code: code for code in NUMBERS}


@executors.fast_reduction("nonzero", "value", _COUNTS)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """Count the elements over axes that are not zero.

    Parameters
    ----------
    a : array_like
        Any strides; read once, never copied. NaN is not zero.
    axis : int, tuple of int or None, optional
        Axes to count over; None means all.
    keepdims : bool, optional
        Whether reduced axes stay, with size 1.

    Returns
    -------
    scalar or array of int64

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.count_nonzero(np.array([[3, 0, 0], [2, 0, 5]]), axis=1)
    array([1, 2])
    """
    request = Request("ufuse.count_nonzero", a, axis, None, keepdims)
    return request.answer(_counts(request))


@executors.fast_reduction("nonzero", "nonzero", _TRUTH)
def any(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True
) -> Any:
    """Whether any element over axes is not zero; False if there are none.

    Parameters
    ----------
    a : array_like
        Any strides; read once, never copied. NaN is not zero.
    axis : int, tuple of int or None, optional
        Axes to reduce; None means all.
    out : array, optional
        Where the result goes: its shape, any dtype.
    keepdims : bool, optional
        Whether reduced axes stay, with size 1.
    where : array of bool, optional
        Which elements count; broadcasts to the shape of `a`.

    Returns
    -------
    scalar or array of bool
        `out` if given.

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated, or `out` or `where` has another shape than expected.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.any(np.array([[0, 0], [0, np.nan]]), axis=1)
    array([False,  True])
    """
    request = Request("ufuse.any", a, axis, out, keepdims, where)
    return _truth(request, _counts(request) != 0)


@executors.fast_reduction("nonzero", "complete", _TRUTH)
def all(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True
) -> Any:
    """Whether no element over axes is zero; True if there are none.

    Parameters, results and errors are those of `ufuse.any`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.all(np.array([[1, 0], [2, 3]]), axis=1)
    array([False,  True])
    """
    request = Request("ufuse.all", a, axis, out, keepdims, where)
    if request.where is None:
        expected: Any = request.count
    else:
        expected = np.zeros(request.full_shape, np.int64)
        if expected.size and not request.empty:
            execute(request.where, request.axes, [Slot("sum", "?", "value", expected)], None)
    return _truth(request, _counts(request) == expected)


def _counts(request: Request) -> Array:
    """How many elements are not zero, with the reduced axes kept."""
    counts = np.zeros(request.full_shape, np.int64)
    if counts.size and not request.empty:
        code = code_of(request.x.dtype)
        if code is None:
            truth = request.x.astype(np.bool_)
            mask = True if request.where is None else request.where
            counts[...] = np.add.reduce(
                truth, axis=request.axes, dtype=np.int64, keepdims=True, where=mask
            )
        else:
            slot = Slot("nonzero", code, "value", counts)
            execute(request.x, request.axes, [slot], request.where)
    return counts


def _truth(request: Request, truth: Array) -> Any:
    target = request.target(truth.dtype)
    target[...] = truth
    return request.answer(target)


@executors.fast_reduction("minmax", "span", _SAME)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    """Range of values over axes, the largest less the smallest, in one read.

    Parameters
    ----------
    a : array_like
        Any strides; read once, never copied.
    axis : int, tuple of int or None, optional
        Axes to reduce; None means all.
    out : array, optional
        Where the result goes: its shape, any strides.
    keepdims : bool, optional
        Whether reduced axes stay, with size 1.

    Returns
    -------
    scalar or array
        Of the dtype of `a`; `out` if given. Integers wrap, as in NumPy; NaN where there is one.

    Raises
    ------
    ValueError
        If there is nothing to compare, or `out` has another shape.
    TypeError
        If the result cannot be cast to the dtype of `out`, or `a` is of bool.
    numpy.exceptions.AxisError
        If an axis is out of range.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.ptp(np.array([[4, 9], [3, 11]]), axis=1)
    array([5, 8])
    """
    request = Request("ufuse.ptp", a, axis, out, keepdims)
    if request.x.dtype.kind == "b":
        raise TypeError(
            "ufuse.ptp: argument 'a': expected numbers, got bool, which has no difference; use "
            "a.astype(np.int8)"
        )
    if request.x.dtype.kind == "M":  # the difference of two dates is a duration
        return np.ptp(request.x, axis=request.axes, out=out, keepdims=request.keepdims)
    if request.count == 0:
        raise ValueError(
            f"ufuse.ptp: zero-size array to reduction operation which has no identity: expected an "
            f"element for each result, got shape {request.x.shape} with axis={request.axes}; "
            "choose other axes, or leave empty arrays out"
        )
    dtype = request.x.dtype.newbyteorder("=")
    request.check_cast(dtype)
    target = request.target(dtype, extreme=True)
    code = code_of(dtype)
    if target.size and code is None:
        with np.errstate(all="ignore"):
            np.copyto(target, np.ptp(request.x, axis=request.axes, keepdims=True), casting="unsafe")
    elif target.size and code is not None:
        execute(request.x, request.axes, [Slot("minmax", code, "span", target)], None)
    return request.answer(target)
