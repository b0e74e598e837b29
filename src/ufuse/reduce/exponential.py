"""Sums of exponentials: logsumexp, softmax and log_softmax."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import executors
from ..catalogue.dtypes import FLOATS
from ..fusion import fuse
from ..fusion.operations import recorder
from ..interop import as_output, wrap_like
from .extremes import max
from .request import (
    Array,
    DType,
    Request,
    Slot,
    code_of,
    execute,
    execute_softmax,
    has_softmax_by_line,
)

#: Weighted rows are cut into pieces of this many elements: work for every thread.
_PIECE = 1 << 16

_exp_difference = recorder("exp_difference")


@fuse
def _shares(x: Any, largest: Any, share: Any) -> Any:
    return _exp_difference(x, largest) * share


@fuse
def _shifted(x: Any, largest: Any, log: Any) -> Any:
    return (x - largest) - log


@fuse
def _weighted_terms(x: Any, largest: Any, weights: Any) -> Any:
    at_top = x == largest
    others = np.where(at_top | (weights == 0), 0, weights * np.exp(x - largest))
    return (
        np.where(at_top, weights, 0).sum(axis=-1, keepdims=True),
        others.sum(axis=-1, keepdims=True),
    )


@fuse
def _candidates(x: Any, weights: Any) -> Any:
    return np.where(weights == 0, -np.inf, x)


class LogSum(NamedTuple):
    """Result of `ufuse.logsumexp` with ``return_sign=True``."""

    logsumexp: Any
    sign: Any


@executors.fast_softmax(logarithm=False)
def softmax(x: Any, axis: Any = None, out: Any = None) -> Any:
    """Exponentials of the elements, divided by their sum over axes.

    Parameters
    ----------
    x : array_like
        Real numbers, any strides.
    axis : int, tuple of int or None, optional
        Axes to sum over; None means all.
    out : ndarray, optional
        Where the result goes: the shape of `x`. May be `x`.

    Returns
    -------
    ndarray
        Of the shape of `x` and its floating dtype, float64 for integers and bool; `out` if given.

    Raises
    ------
    TypeError
        If `x` is complex, or the result cannot be cast to the dtype of `out`.
    ValueError
        If `out` has another shape, or `x` is empty along the axes.
    numpy.exceptions.AxisError
        If an axis is out of range.

    Notes
    -----
    ``e * (1 / e.sum())`` with ``e = exp(x - x.max())`` and the sum in float64. Lines of 16 to 8192
    elements are read once and written once. Others are read twice, once for the largest and the
    sum. Integers and narrower floats are converted first. The same bits for any
    memory layout and number of threads.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.softmax(np.log([[1.0, 3.0], [1.0, 1.0]]), axis=1)
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    """
    call = _Call("ufuse.softmax", x, axis, out)
    if call.result.size and not call.fill_lines(logarithm=False):
        call.fill(_shares, *call.row_values(("value", 0), ("share", 0)))
    return call.answer()


@executors.fast_softmax(logarithm=True)
def log_softmax(x: Any, axis: Any = None, out: Any = None) -> Any:
    """Logarithm of `ufuse.softmax`, accurate where that is near 0 or 1.

    Parameters, results and errors are those of `ufuse.softmax`.

    Examples
    --------
    >>> import ufuse as uf
    >>> uf.log_softmax([0.0, -50.0])
    array([-1.92874985e-22, -5.00000000e+01])
    """
    call = _Call("ufuse.log_softmax", x, axis, out)
    if call.result.size and not call.fill_lines(logarithm=True):
        call.fill(_shifted, *call.row_values(("value", 0), ("log_total", 1)))
    return call.answer()


@executors.fast_reduction("exponentials", "logsumexp", {code: code for code in FLOATS})
def logsumexp(
    a: Any,
    axis: Any = None,
    b: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
    out: Any = None,
    *,
    where: Any = True,
) -> Any:
    """Logarithm of the sum of exponentials over axes, ``log(sum(b * exp(a)))``.

    Parameters
    ----------
    a : array_like
        Real numbers, any strides.
    axis : int, tuple of int or None, optional
        Axes to sum over; None means all.
    b : array_like, optional
        Weights of the exponentials, of a shape that broadcasts to that of `a`; may be negative.
        Elements of weight 0 do not count, whatever they are.
    keepdims : bool, optional
        Whether reduced axes stay, with size 1.
    return_sign : bool, optional
        Whether to return the sign of the sum too; without it a negative sum gives NaN.
    out : ndarray, optional
        Where the logarithm goes.
    where : array of bool, optional
        Which elements count; broadcasts to the shape of `a`. The sum of none is 0, its logarithm
        -inf.

    Returns
    -------
    scalar, ndarray or LogSum
        Of the floating dtype of `a` and `b`, float64 for integers and bool; `out` if given.

    Raises
    ------
    TypeError
        If an argument is complex, or the result cannot be cast to the dtype of `out`.
    ValueError
        If there is nothing to sum, or `out`, `b` or `where` has another shape than expected.
    numpy.exceptions.AxisError
        If an axis is out of range.

    Notes
    -----
    The largest terms are counted, the others summed relative to them, and
    ``max + log(count) + log1p(others / count)`` is returned: the small terms are not lost beside
    the largest one.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> float(uf.logsumexp([0.0, -50.0]))
    1.9287498479639178e-22
    >>> float(uf.logsumexp(np.array([1000.0, 1000.0], np.float32)))
    1000.693...
    """
    function = "ufuse.logsumexp"
    request = Request(function, a, axis, out, keepdims, where)
    weights = None if b is None else _weights(function, b, request.x.shape)
    if weights is not None and request.where is not None:
        weights = np.where(request.where, weights, weights.dtype.type(0))
    dtype = _floating(function, request.x, weights)
    request.check_cast(dtype)
    _require_elements(function, request.x, request.axes)
    target = request.target(dtype)
    if weights is None:
        (log,) = _row_values(request, _computed(dtype), ("logsumexp", 0))
        sign = np.where(np.isnan(log), log, np.isneginf(log) < 1) if return_sign else None
    else:
        log, sign = _weighted(request, weights, _computed(dtype), return_sign)
    target[...] = log
    answer = request.answer(target)
    if sign is None:
        return answer
    sign = sign.reshape(request.full_shape if request.keepdims else request.shape).astype(dtype)
    return LogSum(answer, wrap_like(sign[()] if sign.ndim == 0 else sign, a))


def _row_values(request: Request, compute: DType, *wanted: tuple[str, int]) -> list[Array]:
    """Return what becomes of sums of exponentials, from one read: finishes and components."""
    x = request.x if code_of(request.x.dtype) is not None else request.x.astype(compute)
    found = [np.empty(request.full_shape, compute) for _ in wanted]
    slots = [
        Slot("exponentials", compute.str[1:], name, into, component=component)
        for (name, component), into in zip(wanted, found, strict=True)
    ]
    execute(x, request.axes, slots, request.where)
    return found


def _weighted(
    request: Request, weights: Array, compute: DType, signed: bool
) -> tuple[Array, Array | None]:
    """Return the logarithm of the weighted sum, and the sum's sign where that is wanted."""
    rows = _as_rows(request.x.astype(compute, copy=False), request.axes)
    scales = _as_rows(weights.astype(compute, copy=False), request.axes)
    with np.errstate(all="ignore"):
        candidates = _candidates(rows, scales)
        largest = max(candidates, axis=-1, keepdims=True) if rows.size else rows[..., :1]
        top, others = _sums(rows, largest, scales)
        total = top + others
        ratio = others / top
        log = np.where(
            np.abs(ratio) <= 0.5, np.log(np.abs(top)) + np.log1p(ratio), np.log(np.abs(total))
        )
        # At a largest element of -inf (every weight 0, say) the sum is 0.
        log = np.where(np.isneginf(largest) & ~np.isnan(total), -np.inf, largest + log)
        if not signed:
            log = np.where(total < 0, np.nan, log)
    return log.reshape(request.full_shape), np.sign(total) if signed else None


def _sums(rows: Array, largest: Array, weights: Array) -> tuple[Array, Array]:
    """Return the weight of the largest terms and the sum of the others, in float64.

    Long rows are cut into pieces, whose sums are added: no temporary, and work for every thread.
    """
    length = rows.shape[-1]
    whole = length // _PIECE * _PIECE
    top = np.zeros(largest.shape)
    others = np.zeros(largest.shape)

    def add(first: int, last: int, pieces: int) -> None:
        def cut(array: Array) -> Array:
            return array[..., first:last].reshape(*array.shape[:-1], pieces, -1)

        terms = _weighted_terms(cut(rows), largest[..., None], cut(weights))
        for into, part in zip((top, others), terms, strict=True):
            np.add(into, part[..., 0].sum(axis=-1, keepdims=True, dtype=np.float64), out=into)

    if rows.size:
        if whole:
            add(0, whole, whole // _PIECE)
        if whole < length:
            add(whole, length, 1)
    return top, others


class _Call:
    """The arguments of softmax or log_softmax, checked, and where the result goes."""

    def __init__(self, function: str, x: Any, axis: Any, out: Any) -> None:
        self._request = Request(function, x, axis, argument="x")
        self._given = out
        array = self._request.x
        dtype = _floating(function, array)
        self._out = None if out is None else as_output(out, function=function)
        if self._out is not None:
            if self._out.shape != array.shape:
                raise ValueError(
                    f"{function}: argument 'out': expected shape {array.shape}, got "
                    f"{self._out.shape}"
                )
            if not np.can_cast(dtype, self._out.dtype, "same_kind"):
                raise TypeError(
                    f"{function}: argument 'out': cannot cast the result from {dtype} to "
                    f"{self._out.dtype} with casting rule 'same_kind'"
                )
        if array.size == 0 and array.shape and not self._request.shape.count(0):
            _require_elements(function, array, self._request.axes)
        self._compute = _computed(dtype)
        usable = self._out is not None and self._out.dtype == self._compute
        self.result = (
            self._out
            if usable and self._out is not None and self._out.dtype.isnative
            else executors.empty(array.shape, dtype)
        )

    def fill_lines(self, *, logarithm: bool) -> bool:
        """Write the result line by line; False where the executor has no way for such lines."""
        if not has_softmax_by_line(self._request.count, self._request.x.size):
            return False
        x = self._request.x.astype(self._compute, copy=False)
        direct = self.result.dtype == self._compute
        into = self.result if direct else executors.empty(x.shape, self._compute)
        execute_softmax(executors.apart(x, into), self._request.axes, into, logarithm)
        if not direct:
            self.result[...] = into
        return True

    def row_values(self, *wanted: tuple[str, int]) -> list[Array]:
        """Return what becomes of sums of exponentials, the axes kept: finishes and components."""
        return _row_values(self._request, self._compute, *wanted)

    def fill(self, function: Any, *row_values: Array) -> None:
        """Write ``function(x, *row_values)`` to the result, silently as SciPy's are."""
        x = self._request.x.astype(self._compute, copy=False)
        with np.errstate(all="ignore"):
            if self.result.dtype == self._compute:
                function(x, *row_values, out=self.result)
            else:
                self.result[...] = function(x, *row_values)

    def answer(self) -> Any:
        if self._out is None:
            return wrap_like(self.result, self._request.template)
        if self._out is not self.result:
            np.copyto(self._out, self.result, casting="unsafe")
        return self._given


def _as_rows(x: Array, axes: tuple[int, ...]) -> Array:
    """Return `x` with `axes` as one last axis, a view where they can be one."""
    moved = np.moveaxis(x, axes, range(-len(axes), 0)) if axes else x[..., None]
    kept = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    length = 1
    for axis in axes:
        length *= x.shape[axis]
    return moved.reshape(*kept, length)


def _floating(function: str, x: Array, weights: Array | None = None) -> DType:
    dtype = x.dtype if weights is None else np.result_type(x, weights)
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    if dtype.kind == "c":
        raise TypeError(f"{function}: expected real numbers, got dtype {dtype}")
    return dtype.newbyteorder("=")


def _computed(dtype: DType) -> DType:
    """Return what to compute in: float32 for the narrower ones, float64 for the others."""
    return np.dtype(np.float32 if dtype.itemsize <= 4 else np.float64)


def _weights(function: str, b: Any, shape: tuple[int, ...]) -> Array:
    weights = Request(function, b).x
    try:
        return np.broadcast_to(weights, shape)
    except ValueError:
        raise ValueError(
            f"{function}: argument 'b': expected a shape that broadcasts to that of 'a', {shape}; "
            f"got {weights.shape}"
        ) from None


def _require_elements(function: str, x: Array, axes: tuple[int, ...]) -> None:
    if any(x.shape[axis] == 0 for axis in axes):
        raise ValueError(
            f"{function}: nothing to sum over axes {axes} of an array of shape {x.shape}"
        )
