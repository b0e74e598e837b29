"""Sums, products and moments."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .. import executors
from ..catalogue.dtypes import FLOATS, INTEGERS
from ..catalogue.reducers import BY_NAME as REDUCERS
from .accurate import fill_accurately, read_accuracy
from .reference import other
from .request import (
    NO_VALUE,
    Array,
    DType,
    Request,
    Slot,
    code_of,
    execute,
    read_dtype,
    read_initial,
)

# Element codes and those of the results: what the native fast entries take.
_SUMS = {code: REDUCERS["sum"].state[code][0] for code in (*INTEGERS, "?")} | {c: c for c in FLOATS}
_MEANS = {code: code if code in FLOATS else "f8" for code in REDUCERS["moments"].state}

_WIDE = {"b": "i8", "i": "i8", "u": "u8", "f": "f8"}


@executors.fast_reduction("sum", "value", _SUMS)
def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NO_VALUE,
    where: Any = True,
    *,
    accuracy: Any = None,
) -> Any:
    """Sum of the elements over axes.

    Parameters
    ----------
    a : array_like
        Any strides; read once, never copied.
    axis : int, tuple of int or None, optional
        Axes to sum over; None means all.
    dtype : dtype, optional
        Of the result. By default that of `a`, but int64 or uint64 for narrower integers and bool.
    out : array, optional
        Where the result goes: its shape, any strides. May overlap `a`.
    keepdims : bool, optional
        Whether reduced axes stay, with size 1.
    initial : scalar, optional
        Added to each sum.
    where : array of bool, optional
        Which elements count; broadcasts to the shape of `a`.
    accuracy : {None, "reproducible", "compensated"}, optional
        ``"reproducible"``: the sum of all elements without rounding, then rounded to float64, and
        to the result's dtype; the same bits for any order of the elements, and those of a
        reproducible `ufuse.State` of any chunks of them. ``"compensated"``: what rounding takes
        from each addition is kept and added at the end. Sums of integers are exact in any case.

    Returns
    -------
    scalar or array
        `out` if given; a scalar where no axis is left.

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated, or `out` or `where` has another shape than expected.
    TypeError
        If the result cannot be cast to the dtype of `out` by the rule ``same_kind``, or `accuracy`
        is given for elements wider than 64 bits.

    Notes
    -----
    Sums of floats are kept in float64 and rounded once: a float32 sum is off by at most 1 ULP but
    where terms cancel almost completely. The additions are the same, in the same order, for any
    memory layout, number of threads and CPU. Integers wrap, as in NumPy.

    The reproducible sum cuts elements at fixed bit positions below the largest of their block
    (Demmel and Nguyen, "Fast reproducible floating-point summation", 2013), which sum exactly, and
    collects blocks in a long integer (Neal, "Fast exact summation using small and large
    superaccumulators", 2015). The compensated one is Neumaier's (1974), in 16 lanes.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.sum(np.ones((4, 5), np.float32), axis=0)
    array([4., 4., 4., 4., 4.], dtype=float32)
    """
    return accumulate("sum", a, axis, dtype, out, keepdims, initial, where, accuracy)


@executors.fast_reduction("prod", "value", _SUMS)
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NO_VALUE,
    where: Any = True,
) -> Any:
    """Product of the elements over axes.

    Parameters, results and errors are those of `ufuse.sum`; `initial` is multiplied with each
    product. Products of floats are kept in float64 and rounded once; integers wrap.

    Examples
    --------
    >>> import ufuse as uf
    >>> int(uf.prod([2, 3, 7]))
    42
    """
    return accumulate("prod", a, axis, dtype, out, keepdims, initial, where)


def accumulate(
    name: str,
    a: Any,
    axis: Any,
    dtype: Any,
    out: Any,
    keepdims: Any,
    initial: Any,
    where: Any,
    accuracy: Any = None,
) -> Any:
    """Run sum, prod, nansum or nanprod."""
    function = f"ufuse.{name}"
    request = Request(function, a, axis, out, keepdims, where)
    x = request.x
    if x.dtype.kind in "biu":
        name = name.removeprefix("nan")
    result = read_dtype(function, dtype)
    if result is None:
        result = default_dtype(x.dtype, request.out_dtype)
    result = result.newbyteorder("=")
    request.check_cast(result)
    start = read_initial(function, initial, result)
    target = request.target(result)
    element = element_for(name, x.dtype, result)
    careful = read_accuracy(function, accuracy, x.dtype)
    if careful is not None and (result.kind in "fcV") and target.size and not request.empty:
        fill_accurately(careful, request, target, start)
    elif target.size and element is None:
        keywords: dict[str, Any] = {} if start is None else {"initial": start[()]}
        keywords["where"] = True if request.where is None else request.where
        target[...] = other(name, x, result, axis=request.axes, **keywords)
    elif target.size == 0 or request.empty:
        target[...] = name.endswith("prod") if start is None else start
    elif element is not None:
        wide = _WIDE[np.dtype(element).kind]
        first = None if start is None else start.astype(wide)
        execute(
            x, request.axes, [Slot(name, element, "value", target, initial=first)], request.where
        )
    return request.answer(target)


def default_dtype(dtype: DType, out: DType | None) -> DType:
    """Return the dtype of a sum or product."""
    if out is not None:
        return np.result_type(dtype, out)  # as NumPy: no wider than what is written
    if dtype.kind in "bi" and dtype.itemsize < 8:
        return np.dtype(np.int64)
    if dtype.kind == "u" and dtype.itemsize < 8:
        return np.dtype(np.uint64)
    return dtype


def element_for(name: str, dtype: DType, result: DType) -> str | None:
    """Code of the element type to reduce for a result of dtype `result`; None if there is none."""
    code, to = code_of(dtype), code_of(result)
    if code is None or to is None or result.kind == "b":
        return None
    if result.kind in "iu":
        return None if code in FLOATS else code
    if dtype.kind in "iu" and (name.endswith("prod") or dtype.itemsize == 8):
        return "f8"  # 64-bit sums could overflow where floats do not
    return code


@executors.fast_reduction("sum", "mean", _MEANS)
def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = True,
    accuracy: Any = None,
) -> Any:
    """Arithmetic mean over axes.

    Parameters
    ----------
    a, axis, out, keepdims, where, accuracy
        As for `ufuse.sum`; a reproducible mean of all elements, or of integers, is rounded once to
        float64.
    dtype : dtype, optional
        Of the result. By default that of `a`, float64 for integers and bool.

    Returns
    -------
    scalar or array
        `out` if given.

    Warns
    -----
    RuntimeWarning
        If a mean is of no elements; it is NaN.

    Raises
    ------
    numpy.exceptions.AxisError, ValueError, TypeError
        As `ufuse.sum`.

    Notes
    -----
    The sum is as exact and reproducible as that of `ufuse.sum`; it is divided in float64.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> float(uf.mean(np.arange(5, dtype=np.int8)))
    2.0
    """
    function = "ufuse.mean"
    request = Request(function, a, axis, out, keepdims, where)
    x = request.x
    result = moment_dtype(x.dtype, read_dtype(function, dtype))
    request.check_cast(result)
    careful = read_accuracy(function, accuracy, x.dtype)
    target = request.target(result)
    if target.size == 0:
        _warn_of_empty_means(request)
        return request.answer(target)
    if careful is not None and result.kind in "fcV" and not request.empty:
        counts = _warn_of_empty_means(request)
        fill_accurately(careful, request, target, count=request.count if counts is None else counts)
        return request.answer(target)
    if code_of(x.dtype) is None or code_of(result) not in FLOATS:
        _warn_of_empty_means(request)
        mask = True if request.where is None else request.where
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # said already
            target[...] = other("mean", x, result, axis=request.axes, where=mask)
        return request.answer(target)
    counts = _warn_of_empty_means(request)
    if request.empty:
        target[...] = np.nan
        return request.answer(target)
    element = "f8" if x.dtype.kind in "iu" and x.dtype.itemsize == 8 else code_of(x.dtype)
    assert element is not None
    if counts is None:
        slot = Slot("sum", element, "mean", target, divisor=float(request.count))
        execute(x, request.axes, [slot], None)
    else:
        sums = np.empty(request.full_shape, np.float64)
        execute(x, request.axes, [Slot("sum", element, "value", sums)], request.where)
        with np.errstate(all="ignore"):
            np.divide(sums, counts, out=target, casting="unsafe")
    return request.answer(target)


def moment_dtype(dtype: DType, wanted: DType | None) -> DType:
    """Return the dtype of a mean or variance."""
    if wanted is None:
        wanted = np.dtype(np.float64) if dtype.kind in "biu" else dtype
    return wanted.newbyteorder("=")


def _counts(request: Request) -> Array | None:
    """How many elements count for each result; None where it is all of them."""
    if request.where is None:
        return None
    counts = np.zeros(request.full_shape, np.int64)
    if not request.empty and counts.size:
        execute(request.where, request.axes, [Slot("sum", "?", "value", counts)], None)
    return counts


def _warn_of_empty_means(request: Request) -> Array | None:
    counts = _counts(request)
    if request.count == 0 if counts is None else bool((counts == 0).any()):
        warnings.warn("Mean of empty slice.", RuntimeWarning, stacklevel=4)
    return counts


@executors.fast_reduction("moments", "variance", _MEANS)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    where: Any = True,
    mean: Any = NO_VALUE,
    correction: Any = NO_VALUE,
) -> Any:
    """Variance over axes: the mean of the squared deviations, in one read.

    Parameters
    ----------
    a, axis, out, keepdims, where
        As for `ufuse.sum`.
    dtype : dtype, optional
        Of the result. By default that of `a`, float64 for integers and bool.
    ddof, correction : float, optional
        What is subtracted from the number of elements that divides; only one of them.
    mean : array, optional
        Accepted for NumPy's sake. It saves nothing here, so it is checked and not used.

    Returns
    -------
    scalar or array
        `out` if given.

    Warns
    -----
    RuntimeWarning
        If `ddof` leaves no degree of freedom; the result is NaN or infinite.

    Raises
    ------
    numpy.exceptions.AxisError, ValueError, TypeError
        As `ufuse.sum`; ValueError also for `ddof` and `correction` together.

    Notes
    -----
    Deviations are taken in float64 from a pivot near the data (the first element of each chunk of
    1024), and chunks are merged by Chan's formula, so that a large mean cancels nothing. No
    temporary of the size of `a`. The same bits for any memory layout, number of threads and CPU
    with fused multiply-add.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> float(uf.var(np.array([1.0, 2.0, 4.0]), ddof=1))
    2.333333333333333...
    """
    return _spread("var", a, axis, dtype, out, ddof, keepdims, where, mean, correction)


@executors.fast_reduction("moments", "deviation", _MEANS)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    where: Any = True,
    mean: Any = NO_VALUE,
    correction: Any = NO_VALUE,
) -> Any:
    """Take the standard deviation over axes: the square root of `ufuse.var`, rounded once.

    Parameters, results, warnings and errors are those of `ufuse.var`.

    Examples
    --------
    >>> import ufuse as uf
    >>> float(uf.std([1.0, 3.0]))
    1.0
    """
    return _spread("std", a, axis, dtype, out, ddof, keepdims, where, mean, correction)


def _spread(
    name: str,
    a: Any,
    axis: Any,
    dtype: Any,
    out: Any,
    ddof: Any,
    keepdims: Any,
    where: Any,
    mean: Any,
    correction: Any,
) -> Any:
    function = f"ufuse.{name}"
    request = Request(function, a, axis, out, keepdims, where)
    x = request.x
    freedom = read_ddof(function, ddof, correction)
    check_mean(request, mean)
    result = moment_dtype(x.dtype, read_dtype(function, dtype))
    if x.dtype.kind == "c" and dtype is None:
        result = x.real.dtype  # the variance of complex numbers is real
    request.check_cast(result)
    target = request.target(result)
    counts = _counts(request)
    least = request.count if counts is None else int(counts.min(initial=request.count))
    if least - freedom <= 0:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=4)
    if target.size == 0:
        return request.answer(target)
    if code_of(x.dtype) is None or code_of(result) not in FLOATS:
        mask = True if request.where is None else request.where
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # said already
            target[...] = other(name, x, result, axis=request.axes, ddof=freedom, where=mask)
    elif request.empty:
        target[...] = np.nan
    else:
        element = moments_element(x.dtype)
        finish = "variance" if name == "var" else "deviation"
        slot = Slot("moments", element, finish, target, ddof=float(freedom))
        execute(x, request.axes, [slot], request.where)
    return request.answer(target)


def moments_element(dtype: DType) -> str:
    """Return the type as which moments take elements of `dtype`."""
    code = code_of(dtype)
    return code if code in _MEANS else "f8"


def check_mean(request: Request, mean: Any) -> None:
    """Check the argument `mean` of var and std."""
    if mean is not NO_VALUE and np.shape(mean) != request.full_shape:
        raise ValueError(
            f"{request.function}: argument 'mean': expected shape {request.full_shape}, the "
            f"result's with keepdims=True; got {np.shape(mean)}"
        )


def read_ddof(function: str, ddof: Any, correction: Any) -> Any:
    """Return what is subtracted from the number of elements."""
    name, value = ("ddof", ddof) if correction is NO_VALUE else ("correction", correction)
    if name == "correction" and ddof != 0:
        raise ValueError(
            f"{function}: ddof and correction can't be provided simultaneously. They mean the same."
        )
    if type(value) in (int, float):
        return value
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__") or np.ndim(value):
        raise TypeError(f"{function}: argument {name!r}: expected a number, got {value!r}")
    return value
