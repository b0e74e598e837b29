"""Histograms and counts of integers."""

from __future__ import annotations

import operator
import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .. import executors
from ..interop import asarray, wrap_like
from ..interop.lowprecision import is_low_precision
from ..reduce.extremes import minmax
from ..reduce.request import Array, DType, Request

#: NumPy's names for rules that choose the number of bins.
_ESTIMATORS: Final = ("auto", "doane", "fd", "rice", "scott", "sqrt", "stone", "sturges")

#: Two calls of NumPy are quicker than one read of so few elements.
_SMALL: Final = 4096


@dataclass(frozen=True, slots=True)
class Bins:
    """The bins of one call.

    Attributes
    ----------
    edges : numpy.ndarray
        One more than there are bins, rising.
    outer : tuple of two scalars or None
        The range of uniform bins as NumPy's formula takes it; None for edges that were given.
    measured : bool
        Whether `outer` was found in the data, so that every element is inside.
    """

    edges: Array
    outer: tuple[Any, Any] | None = None
    measured: bool = False

    @property
    def count(self) -> int:
        return max(self.edges.size - 1, 0)

    @property
    def as_numpys(self) -> dict[str, Any]:
        """Arguments with which `numpy.histogram` makes these bins."""
        if self.outer is None:
            return {"bins": self.edges}
        return {"bins": self.count, "range": self.outer}


@executors.fast_histogram
def histogram(
    a: Any,
    bins: Any = 10,
    range: Any = None,
    density: Any = None,
    weights: Any = None,
    axis: Any = None,
) -> Any:
    """Count elements in bins; for the whole array or for each lane.

    Parameters
    ----------
    a : array_like
        Any strides; never copied. Bool counts as uint8, with a warning as in NumPy.
    bins : int, sequence or str, optional
        The number of bins of equal width; or the edges, which must not fall; or a rule of NumPy
        that chooses the number: ``"auto" "doane" "fd" "rice" "scott" "sqrt" "stone" "sturges"``.
    range : (low, high), optional
        Outer edges of bins of equal width; by default the smallest and largest element.
    density : bool, optional
        Whether to divide by the sum (of each lane) and by the width of each bin.
    weights : array_like, optional
        What each element counts, in the shape of `a`: any number, complex too, or objects.
    axis : int, tuple of int or None, optional
        Axes that a lane runs along; None for one histogram of all elements. All lanes have the
        same bins, and `range` and rules look at the whole array.

    Returns
    -------
    hist : array
        The axes that stay, then the bins: int64, or the dtype of `weights`, or float64 if
        `density`.
    bin_edges : array
        One more than there are bins.

    Raises
    ------
    ValueError
        If edges fall or are not in one dimension, there are no bins or more than the data's
        precision can tell apart, `range` is reversed or not finite, or `weights` has another
        shape.
    TypeError
        If `bins` is none of these, or a rule is given together with `weights`.
    numpy.exceptions.AxisError
        If an axis is out of range.

    Notes
    -----
    A bin holds its left edge but not its right one, the last bin holds both. Counts are those of
    `numpy.histogram`, one by one: the place of an element among uniform bins is computed, and where
    it is within rounding of an edge, compared with it.

    A NaN is in no bin: with a given range or given edges it is not counted, and without them the
    range is not finite, which is a ValueError. Of edges that are NaN themselves, NumPy's sorting
    decides: they are larger than all numbers.

    Sums of weights have float64 accumulators over parts of the array that depend on its shape
    alone: the same bits for any number of threads and any layout. Integer weights add up exactly;
    narrow ones are rounded once.

    Of ml_dtypes' floats the values are compared as float32. The edges of float16 data are float16,
    as NumPy's are, and its formula with all its roundings decides between them.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.histogram(np.array([1.0, 2.0, 1.0, 4.0]), bins=3)
    (array([2, 1, 1]), array([1., 2., 3., 4.]))
    >>> uf.histogram(np.array([[1, 2, 1], [0, 2, 2]]), bins=[0, 1, 2, 3], axis=1)[0]
    array([[0, 2, 1],
           [1, 0, 2]])
    """
    function = "ufuse.histogram"
    request = Request(function, a, axis)
    x = request.x
    if x.dtype == np.bool_:
        message = f"Converting input from {x.dtype} to {np.uint8} for compatibility."
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        x = x.view(np.uint8)
    weight = _read_weights(function, weights, x)
    found = _read_bins(function, x, bins, range, weight)
    counts = _executor().histogram(x, request.axes, found, weight)
    if density:
        widths = np.array(np.diff(found.edges), np.float64)
        counts = counts / widths / counts.sum(axis=-1, keepdims=True)
    return wrap_like(counts, a), wrap_like(found.edges, a)


def _executor() -> Any:
    return executors.of(__package__)


def _read_weights(function: str, weights: Any, x: Array) -> Array | None:
    if weights is None:
        return None
    if isinstance(weights, list | tuple):
        weights = np.asarray(weights)
    objects = getattr(weights, "dtype", None) == np.object_  # such as Decimal; NumPy adds them up
    found = weights if objects else asarray(weights, function=function, argument="weights")
    if found.shape != x.shape:
        raise ValueError(
            f"{function}: argument 'weights': weights should have the same shape as a, {x.shape}; "
            f"got {found.shape}"
        )
    return found


def _read_bins(function: str, x: Array, bins: Any, range: Any, weights: Array | None) -> Bins:
    if not isinstance(bins, str | int) and np.ndim(bins) != 0:
        return Bins(_read_edges(function, bins))
    if isinstance(bins, str):
        if bins not in _ESTIMATORS:
            raise ValueError(
                f"{function}: argument 'bins': {bins!r} is not a valid estimator; expected one of "
                f"{' '.join(_ESTIMATORS)}, a number of bins, or their edges"
            )
        if weights is not None:
            raise TypeError(
                f"{function}: argument 'bins': a rule such as {bins!r} takes no account of "
                "weights; expected a number of bins or their edges"
            )
        outer = _read_range(function, x, range)
        count = np.histogram_bin_edges(_plain(x), bins, range).size - 1
    else:
        try:
            count = operator.index(bins)
        except TypeError:
            raise TypeError(
                f"{function}: argument 'bins': expected an integer, a string, or an array of "
                f"edges; got {bins!r}"
            ) from None
        if count < 1:
            raise ValueError(f"{function}: argument 'bins': must be positive, got {count}")
        outer = _read_range(function, x, range)
    dtype: DType = np.result_type(*outer, value_dtype(x))
    if dtype.kind in "iu":
        dtype = np.result_type(dtype, float)
    edges = np.linspace(*outer, count + 1, endpoint=True, dtype=dtype)
    if (edges[:-1] >= edges[1:]).any():
        raise ValueError(
            f"{function}: Too many bins for data range: {count} bins between {outer[0]} and "
            f"{outer[1]} have no width in {dtype}; expected fewer bins or a wider range"
        )
    return Bins(edges, outer, range is None)


def _read_edges(function: str, bins: Any) -> Array:
    edges = np.asarray(bins)
    if edges.ndim != 1:
        raise ValueError(
            f"{function}: argument 'bins': must be 1d where it is an array of edges, got shape "
            f"{edges.shape}"
        )
    if np.any(edges[:-1] > edges[1:]):
        first = int(np.argmax(edges[:-1] > edges[1:]))
        raise ValueError(
            f"{function}: argument 'bins': must increase monotonically, but edge {first + 1}, "
            f"{edges[first + 1]}, is less than the one before, {edges[first]}; sort them first"
        )
    return edges


def _read_range(function: str, x: Array, range: Any) -> tuple[Any, Any]:
    """Return the outer edges of uniform bins, as scalars of whatever type they have."""
    if range is not None:
        try:
            first, last = range
        except (TypeError, ValueError):
            raise ValueError(
                f"{function}: argument 'range': expected (low, high) or None, got {range!r}"
            ) from None
        if first > last:
            raise ValueError(
                f"{function}: argument 'range': max must be larger than min, got ({first}, {last})"
            )
        if not (np.isfinite(first) and np.isfinite(last)):
            raise ValueError(
                f"{function}: argument 'range': expected finite numbers, got ({first}, {last})"
            )
    elif x.size == 0:
        first, last = 0, 1
    else:
        first, last = (x.min(), x.max()) if x.size < _SMALL else minmax(x)
        if is_low_precision(x.dtype):
            first, last = np.float32(first), np.float32(last)
        if not (np.isfinite(first) and np.isfinite(last)):
            raise ValueError(
                f"{function}: autodetected range of [{first}, {last}] is not finite; leave out NaN "
                "and infinity, or give range= or the edges"
            )
    if first == last:
        first, last = first - 0.5, last + 0.5
    return first, last


def value_dtype(x: Array) -> DType:
    """Return what elements are compared as: bfloat16 and float8 as float32."""
    return np.dtype(np.float32) if is_low_precision(x.dtype) else x.dtype.newbyteorder("=")


def _plain(x: Array) -> Array:
    return x.astype(np.float32) if is_low_precision(x.dtype) else x


@executors.fast_bincount
def bincount(x: Any, weights: Any = None, minlength: Any = 0) -> Any:
    """Count how often each of the integers 0, 1, 2... occurs, or add up their weights.

    Parameters
    ----------
    x : array_like of int
        One dimension, any stride, nothing negative.
    weights : array_like, optional
        What each element counts, in the shape of `x`.
    minlength : int, optional
        Length of the result at least.

    Returns
    -------
    array
        Of the largest element plus one, or `minlength`: int64, or float64 with `weights` (but
        int64 where `x` is empty, as in NumPy).

    Raises
    ------
    ValueError
        If `x` is not in one dimension or an element negative, `weights` has another length, or
        `minlength` is negative.
    TypeError
        If `x` is not of integers, `weights` cannot be cast to float64 by the rule ``safe``, or
        `minlength` is no integer.

    Notes
    -----
    Sums of weights are those of at most 16 parts of the array, whose bounds depend on `x` alone:
    the same bits for any number of threads and any layout.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.bincount(np.array([0, 1, 1, 3]))
    array([1, 2, 0, 1])
    >>> uf.bincount(np.array([0, 1, 1]), weights=np.array([0.5, 1.0, 2.0]))
    array([0.5, 3. ])
    """
    function = "ufuse.bincount"
    values = asarray(x, function=function, argument="x")
    if values.ndim != 1:
        raise ValueError(
            f"{function}: argument 'x': expected one dimension, got shape {values.shape}; ravel it "
            "first"
        )
    if values.size == 0 and not isinstance(x, np.ndarray):
        values = values.astype(np.intp)  # an empty list has no type of its own
    if values.dtype.kind not in "biu":
        raise TypeError(
            f"{function}: argument 'x': Cannot cast array data from {values.dtype} to int64 "
            "according to the rule 'safe'; expected integers"
        )
    weight = _read_counted_weights(function, weights, values)
    try:
        least = operator.index(minlength)
    except TypeError as error:
        raise TypeError(f"{function}: argument 'minlength': {error}; expected 0 or more") from None
    if least < 0:
        raise ValueError(f"{function}: argument 'minlength': must not be negative, got {least}")
    if values.size == 0:
        return wrap_like(np.zeros(least, np.intp), x)  # with weights too, as in NumPy
    if values.dtype.kind != "u" or values.itemsize < 8:
        return wrap_like(_executor().bincount(values, weight, least), x)
    signed = values.view(values.dtype.str.replace("u", "i"))  # not every NumPy counts uint64
    try:
        return wrap_like(_executor().bincount(signed, weight, least), x)
    except ValueError:
        if signed.min() >= 0:
            raise
    raise ValueError(
        f"{function}: argument 'x': expected integers below 2**63, got {values.max()}; subtract "
        "the smallest element first"
    )


def _read_counted_weights(function: str, weights: Any, x: Array) -> Array | None:
    if weights is None:
        return None
    found = asarray(weights, function=function, argument="weights")
    if not np.can_cast(found.dtype, np.float64, "safe"):
        raise TypeError(
            f"{function}: argument 'weights': Cannot cast array data from {found.dtype} to float64 "
            "according to the rule 'safe'"
        )
    if found.shape != x.shape:
        raise ValueError(
            f"{function}: argument 'weights': The weights and list don't have the same length: "
            f"{found.shape} and {x.shape}"
        )
    return found


def refuse_negative(smallest: Any) -> None:
    """Raise for what has no bin; executors see the values first."""
    if smallest < 0:
        raise ValueError(
            f"ufuse.bincount: argument 'x': must have no negative elements, got {smallest}; "
            "subtract the smallest element first"
        )
