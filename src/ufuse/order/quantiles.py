"""Medians, quantiles and percentiles: NumPy's functions, with and without NaN."""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np

from .. import executors
from ..interop.lowprecision import coding
from ..reduce.request import NO_VALUE, Array, DType, Request
from . import weights as weighting
from .answers import LeadingAnswer, require_numbers
from .reference import has_nan
from .rules import MEDIAN, METHODS, RuleSource, chooses_elements

#: Kinds of dtypes that NumPy knows how to sort and we leave to it: objects, times.
_NUMPYS: Final = "OmM"

_HALF: Final = np.array([0.5])


@executors.fast_order(0, skip_nan=False)
def median(
    a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False
) -> Any:
    """Median over axes; NaN where there is one.

    Parameters
    ----------
    a : array_like
        Any strides; read in place, never copied as a whole.
    axis : int, tuple of int or None, optional
        Axes to reduce; None means all.
    out : array, optional
        Where the result goes: its shape, any strides. May overlap `a`.
    overwrite_input : bool, optional
        Taken as in NumPy; `a` is never changed.
    keepdims : bool, optional
        Whether reduced axes stay, with size 1.

    Returns
    -------
    scalar or array
        The middle element, or the mean of the two in the middle: float64 for integers and bool,
        else of the dtype of `a`; `out` if given.

    Raises
    ------
    ValueError
        If an axis is repeated, or `out` has another shape than expected.
    numpy.exceptions.AxisError
        If an axis is out of range.
    TypeError
        If the result cannot be cast to the dtype of `out` by the rule ``same_kind``.

    Warns
    -----
    RuntimeWarning
        If there are no elements; the result is NaN.

    Notes
    -----
    Exact, and so the same for every layout and number of threads. Elements are compared as integers
    in their order. Short lanes go through a sorting network side by side; of others, a sample tells
    a range that holds the median, one read counts what is below it and collects what is inside, and
    the few collected are searched in turn (Floyd and Rivest, "Expected time bounds for selection",
    1975).

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.median(np.array([[10.0, 7.0, 4.0], [3.0, 2.0, 1.0]]), axis=0)
    array([6.5, 4.5, 2.5])
    """
    return _median("median", a, axis, out, overwrite_input, keepdims)


@executors.fast_order(0, skip_nan=True)
def nanmedian(
    a: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    keepdims: Any = NO_VALUE,
) -> Any:
    """Median over axes of the elements that are no NaN.

    Parameters, results and errors are those of `ufuse.median`.

    Warns
    -----
    RuntimeWarning
        If all elements of a slice are NaN, or there are none; the result is NaN.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> float(uf.nanmedian([4.0, np.nan, 1.0, 2.0]))
    2.0
    """
    return _median("nanmedian", a, axis, out, overwrite_input, keepdims)


@executors.fast_order(1, skip_nan=False)
def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
    *,
    weights: Any = None,
) -> Any:
    """Quantiles over axes; NaN where there is one.

    Parameters
    ----------
    a : array_like
        Real numbers in any strides; read in place, never copied as a whole.
    q : float or array_like of float
        Quantiles in [0, 1]; at most 2-D.
    axis : int, tuple of int or None, optional
        Axes to reduce; None means all.
    out : array, optional
        Where the result goes: its shape, any strides. May overlap `a`.
    overwrite_input : bool, optional
        Taken as in NumPy; `a` is never changed.
    method : str, optional
        How a quantile between two elements is found. Methods of Hyndman and Fan:
        ``"inverted_cdf" "averaged_inverted_cdf" "closest_observation" "interpolated_inverted_cdf"
        "hazen" "weibull" "linear" "median_unbiased" "normal_unbiased"``; and NumPy's
        ``"lower" "higher" "midpoint" "nearest"``.
    keepdims : bool, optional
        Whether reduced axes stay, with size 1.
    weights : array_like, optional
        Of the shape of `a`, or of its reduced axes; not negative. For ``"inverted_cdf"`` only.

    Returns
    -------
    scalar or array
        The shape of `q`, followed by that of the result for one; `out` if given. An element of `a`
        and of its dtype where the method chooses one, else of the dtype that `a` and `q` promote
        to, with at least NumPy's float64 for integers.

    Raises
    ------
    ValueError
        If `q` is out of range or has more than 2 dimensions, `method` is none of those, an axis is
        repeated, `out` has another shape than expected, or `weights` are given with another method,
        have another shape, are negative, are all 0 or hold NaN or infinity.
    numpy.exceptions.AxisError
        If an axis is out of range.
    IndexError
        If there are no elements.
    TypeError
        If `a` is complex, or bool with a method that subtracts, or the result cannot be cast to the
        dtype of `out` by the rule ``same_kind``.

    Notes
    -----
    The elements are found as by `ufuse.median`, and blended by NumPy's formulas, to the same bits.
    Two results differ on purpose: differences of integers do not overflow, and where a quantile is
    at an element, it is that element, even where a neighbour is infinite (NumPy gives NaN). From
    8 quantiles on, lanes that fit the cache are sorted.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> x = np.array([[10.0, 7.0, 4.0], [3.0, 2.0, 1.0]])
    >>> float(uf.quantile(x, 0.5))
    3.5
    >>> uf.quantile(x, [0.25, 1.0], axis=1)
    array([[ 5.5,  1.5],
           [10. ,  3. ]])
    """
    return _quantile("quantile", a, q, axis, out, overwrite_input, method, keepdims, weights)


@executors.fast_order(100, skip_nan=False)
def percentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
    *,
    weights: Any = None,
) -> Any:
    """Percentiles over axes: `ufuse.quantile` of ``q / 100``.

    Parameters, results and errors are those of `ufuse.quantile`; `q` is in [0, 100].

    Examples
    --------
    >>> import ufuse as uf
    >>> float(uf.percentile([4.0, 1.0, 2.0], 50))
    2.0
    """
    return _quantile("percentile", a, q, axis, out, overwrite_input, method, keepdims, weights)


@executors.fast_order(1, skip_nan=True)
def nanquantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = NO_VALUE,
    *,
    weights: Any = None,
) -> Any:
    """Quantiles over axes of the elements that are no NaN.

    Parameters, results and errors are those of `ufuse.quantile`, but that without elements the
    result is NaN.

    Warns
    -----
    RuntimeWarning
        If all elements of a slice are NaN, or there are none; the result is NaN.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> float(uf.nanquantile([4.0, np.nan, 1.0, 2.0], 0.5))
    2.0
    """
    return _quantile("nanquantile", a, q, axis, out, overwrite_input, method, keepdims, weights)


@executors.fast_order(100, skip_nan=True)
def nanpercentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = NO_VALUE,
    *,
    weights: Any = None,
) -> Any:
    """Percentiles over axes of the elements that are no NaN: `ufuse.nanquantile` of ``q / 100``.

    Parameters, results, warnings and errors are those of `ufuse.nanquantile`; `q` is in [0, 100].

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> float(uf.nanpercentile([4.0, np.nan, 1.0, 2.0], 50))
    2.0
    """
    return _quantile("nanpercentile", a, q, axis, out, overwrite_input, method, keepdims, weights)


def _median(name: str, a: Any, axis: Any, out: Any, overwrite_input: bool, keepdims: Any) -> Any:
    request = Request(f"ufuse.{name}", a, axis, None, keepdims)
    x = request.x
    if x.dtype.kind in _NUMPYS:
        more = {} if keepdims is NO_VALUE else {"keepdims": keepdims}
        return getattr(np, name)(x, axis, out, overwrite_input, **more)
    require_numbers(request, "a")
    result = np.dtype(np.float64) if x.dtype.kind in "biu" else x.dtype.newbyteorder("=")
    answer = LeadingAnswer(request, (), out, result)
    if request.empty:
        warnings.warn("Mean of empty slice", RuntimeWarning, stacklevel=4)
        answer.target[...] = np.nan
    elif answer.target.size:
        _run(request, MEDIAN, _HALF, name == "nanmedian", answer.target)
    return answer.given()


def _quantile(
    name: str,
    a: Any,
    q: Any,
    axis: Any,
    out: Any,
    overwrite_input: bool,
    method: str,
    keepdims: Any,
    weights: Any,
) -> Any:
    function = f"ufuse.{name}"
    request = Request(function, a, axis, None, keepdims)
    x = request.x
    wanted = np.asarray(q)
    if x.dtype.kind in _NUMPYS or wanted.dtype.kind == "O":
        more = {} if keepdims is NO_VALUE else {"keepdims": keepdims}
        return getattr(np, name)(x, q, axis, out, overwrite_input, method, **more, weights=weights)
    require_numbers(request, "a")
    if x.dtype.kind == "c":
        raise TypeError(
            f"{function}: argument 'a': expected an array of real numbers, got dtype {x.dtype}; "
            "complex numbers have no order"
        )
    wanted = _read_quantiles(function, wanted, "percentile" in name)
    _check_method(function, method, weights)
    weak = type(q) in (int, float)
    result = _result_dtype(function, x.dtype, wanted.dtype, method, weak)
    if weights is not None:
        weights = weighting.read(request, axis, weights)
    answer = LeadingAnswer(request, wanted.shape, out, result)
    skip_nan = name.startswith("nan")
    if request.empty and skip_nan:
        warnings.warn("Mean of empty slice", RuntimeWarning, stacklevel=4)
        answer.target[...] = np.nan
    elif request.empty:
        raise IndexError(
            f"{function}: argument 'a': no elements in an array of shape {x.shape} along axis="
            f"{axis}; expected at least one"
        )
    elif answer.target.size and weights is not None:
        empty = weighting.quantiles(request, wanted.reshape(-1), weights, skip_nan, answer.target)
        _warn_of_empty(empty, stacklevel=5)
    elif answer.target.size:
        _run(request, method, wanted.reshape(-1), skip_nan, answer.target)
    return answer.given()


def _read_quantiles(function: str, q: Array, percent: bool) -> Array:
    if q.dtype.kind not in "biuf" and coding(q.dtype) is None:
        raise TypeError(
            f"{function}: argument 'q': expected real numbers, got an array of dtype {q.dtype}"
        )
    if coding(q.dtype) not in (None, "half"):
        q = q.astype(np.float32)
    if q.ndim > 2:
        raise ValueError(
            f"{function}: argument 'q': expected a scalar or 1d (at most 2-D), got an array of "
            f"shape {q.shape}"
        )
    if percent:
        q = np.asarray(np.true_divide(q, 100))
    if q.size and not (q.min() >= 0 and q.max() <= 1):
        what, most = ("Percentiles", 100) if percent else ("Quantiles", 1)
        raise ValueError(
            f"{function}: argument 'q': {what} must be in the range [0, {most}], got values from "
            f"{q.min() * most} to {q.max() * most}"
        )
    return q.astype(q.dtype.newbyteorder("="), copy=False)


def _check_method(function: str, method: str, weights: Any) -> None:
    if method not in METHODS:
        raise ValueError(
            f"{function}: argument 'method': {method!r} is not a valid method. Use one of: "
            f"{', '.join(METHODS)}"
        )
    if weights is not None and method != "inverted_cdf":
        raise ValueError(
            f"{function}: argument 'weights': Only method 'inverted_cdf' supports weights. "
            f"Got: {method}."
        )


def _result_dtype(function: str, dtype: DType, q: DType, method: str, weak: bool) -> DType:
    native: DType = dtype.newbyteorder("=")
    if chooses_elements(method, q):
        return native
    if dtype.kind == "b":
        raise TypeError(
            f"{function}: argument 'a': method {method!r} subtracts elements, which bool does not "
            "support; convert first, as with a.astype(np.uint8), or choose method='nearest'"
        )
    t = np.dtype(np.float64) if q.kind in "biu" else q
    if weak and dtype.kind not in "iu":
        return native
    return np.dtype(np.float64) if weak else np.result_type(native, t)


def _run(request: Request, method: str, q: Array, skip_nan: bool, target: Array) -> None:
    """Fill `target`, which is not empty, with the executor of this process."""
    executor = executors.of(__package__)
    x = request.x
    skip_nan = skip_nan and has_nan(x.dtype)
    empty = executor.quantiles(x, request.axes, RuleSource(method, q), skip_nan, target)
    if skip_nan:
        _warn_of_empty(empty, stacklevel=6)


def _warn_of_empty(empty: int, stacklevel: int) -> None:
    if empty:
        warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=stacklevel)
