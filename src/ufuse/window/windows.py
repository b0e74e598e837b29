"""Reductions of a moving window."""

from __future__ import annotations

import operator
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.exceptions import AxisError

from .. import executors
from ..interop import as_output, asarray, wrap_like
from ..interop.lowprecision import coding, is_low_precision, narrowed
from ..reduce.request import NO_VALUE, Array, DType
from ..reduce.sums import read_ddof

Op = Literal["sum", "mean", "var", "std", "min", "max", "argmin", "argmax", "median", "rank"]
OPS: Final[tuple[str, ...]] = get_args(Op)

# Elements of a dtype that is not compiled that are converted at a time.
_CONVERTED: Final = 1 << 20


@executors.fast_windows(OPS)
def move_reduce(
    x: Any,
    window: int,
    op: Op,
    min_count: int | None = None,
    axis: int = -1,
    *,
    ddof: float = 0,
    out: Any = None,
) -> Any:
    """Reduce the window of the last `window` elements up to each position of an axis.

    Parameters
    ----------
    x : array_like
        Real numbers, any strides; never copied.
    window : int
        How many elements a window has: from 1 to the length of the axis. The first windows have
        fewer.
    op : str
        ``"sum"``, ``"mean"``, ``"var"``, ``"std"``, ``"min"``, ``"max"``, ``"argmin"``,
        ``"argmax"``, ``"median"`` or ``"rank"``.
    min_count : int, optional
        How many elements that are no NaN a window needs; with fewer the result is NaN. From 1 to
        `window`; None means `window`, so that the first ``window - 1`` results are NaN.
    axis : int, optional
        The axis along which the window moves; the last one by default.
    ddof : float, optional
        For ``"var"`` and ``"std"``: the divisor is the count minus `ddof`. If that is not positive
        the result is NaN.
    out : array, optional
        Where the result goes: the shape of `x`, any strides. May overlap `x`.

    Returns
    -------
    array
        Of the shape of `x`; of its dtype if that is a floating one, else float64. `out` if given.

    Raises
    ------
    ValueError
        If `op` is none of those above, `window` or `min_count` is out of range, `x` has no axis, or
        `out` has another shape.
    numpy.exceptions.AxisError
        If `axis` is out of range.
    TypeError
        If `x` does not hold real numbers, `window`, `min_count` or `axis` is no integer, `op` takes
        no `ddof`, or the result cannot be cast to the dtype of `out` by the rule ``same_kind``.

    Notes
    -----
    NaN do not count: a window is reduced as if they were not there, and gives NaN if fewer than
    `min_count` elements are left. Besides that,

    * an infinity is an element like others. Windows without it are not touched by it (sums with
      infinities of both signs, and variances with any, are NaN);
    * ``"argmin"`` and ``"argmax"`` count backwards: 0 is the last element of the window. Of equal
      elements the last one is found, and ``"min"`` and ``"max"`` give that very element (which may
      be either zero);
    * ``"median"`` is the mean of the middle two of an even count, without overflow; its zeros are
      positive;
    * ``"rank"`` is that of the window's last element, -1 if it is the smallest and 1 if it is the
      largest. Equal ones share their mean rank, and one alone has rank 0. It is NaN where the last
      element is NaN;
    * integers and bools are converted to float64 first; float32 is summed in float64 and rounded
      once; narrower floats are computed in float64 and rounded once.

    Windows of up to 160 elements are folded by doubling: folds of 1, 2, 4, ... elements from each
    position on, put together by the binary digits of the window. Longer ones take the same time
    whatever their length: they are the ends, middles and beginnings of aligned segments (van Herk,
    *A fast algorithm for local minimum and maximum filters on rectangular and octagonal kernels*,
    1992; Gil and Werman, *Computing 2-D min, median, and max filters*, 1993). Variances are merged
    by the formula of Chan, Golub and LeVeque, which cannot make them negative; their relative error
    grows with the ratio of mean and deviation, as that of the data does. Nothing is ever
    subtracted, so that errors do not accumulate from window to window, and a window has its digits
    whatever went before it.

    ``"median"`` and ``"rank"`` take the logarithm of the window: up to 192 elements a sorted array
    per lane is kept (or ranks are counted) with SIMD, beyond that blocks are sorted. Results have
    the same bits for any memory layout and thread count.

    Long windows take memory: one of more than 64 elements up to a tenth of that of `x`, medians and
    ranks of more than 192 elements some 70 bytes an element of the window.

    Functions, defaults and NaN are those of bottleneck's ``move_*``.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.move_reduce([1.0, 2.0, 4.0, 3.0], 2, "mean")
    array([nan, 1.5, 3. , 3.5])
    >>> uf.move_reduce([1.0, np.nan, 4.0, 3.0], 3, "max", min_count=1)
    array([1., 1., 4., 4.])
    >>> uf.move_reduce([3, 1, 2, 5], 3, "argmin")
    array([nan, nan,  1.,  2.])
    """
    function = "ufuse.move_reduce"
    array = asarray(x, function=function, argument="x")
    if not isinstance(op, str) or op not in OPS:
        raise ValueError(
            f"{function}: argument 'op': expected one of {', '.join(map(repr, OPS))}; got {op!r}"
        )
    result = _result_dtype(function, array.dtype)
    where = _read_axis(function, axis, array.ndim)
    length = array.shape[where]
    window = _read_int(function, "window", window)
    if not 1 <= window <= length:
        raise ValueError(
            f"{function}: argument 'window': expected from 1 to {length}, the length of axis "
            f"{where} of an array of shape {array.shape}; got {window}"
        )
    least = window if min_count is None else _read_int(function, "min_count", min_count)
    if not 1 <= least <= window:
        raise ValueError(
            f"{function}: argument 'min_count': expected None or from 1 to the window, {window}; "
            f"got {least}"
        )
    freedom = float(read_ddof(function, ddof, NO_VALUE))
    if freedom and op not in ("var", "std"):
        raise TypeError(f"{function}: argument 'ddof': expected 0 for {op!r}, got {ddof!r}")
    given = out
    if type(out) is tuple and len(out) == 1:
        (out,) = out
    target = None if out is None else as_output(out, function=function)
    if target is not None:
        _check_out(function, target, array, result)
    answer = _target(target, array, result)
    if array.size:
        _compute(array, op, answer, where, window, least, freedom)
    if target is None:
        return wrap_like(answer, x)
    if answer is not target:
        np.copyto(target, answer, casting="unsafe")  # `_check_out` has checked
    return given


def _compute(
    x: Array, op: str, out: Array, axis: int, window: int, min_count: int, ddof: float
) -> None:
    """Fill `out`, which does not overlap `x`."""
    executor = executors.of(__package__)
    if coding(x.dtype) is None and not is_low_precision(x.dtype):
        executor.move_reduce(x, op, out, axis, window, min_count, ddof)
        return
    # Narrow floats: some lanes at a time, in float64.
    lanes, results = np.moveaxis(x, axis, -1), np.moveaxis(out, axis, -1)
    for index in np.ndindex(lanes.shape[:-2]):
        block, to = lanes[index], results[index]
        if block.ndim == 1:
            block, to = block[None], to[None]
        step = max(1, _CONVERTED // block.shape[1])
        for first in range(0, block.shape[0], step):
            wide = block[first : first + step].astype(np.float64)
            answer = np.empty(wide.shape)
            executor.move_reduce(wide, op, answer, 1, window, min_count, ddof)
            to[first : first + step] = narrowed(answer, out.dtype)


def _result_dtype(function: str, dtype: DType) -> DType:
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    if dtype.kind == "f" or is_low_precision(dtype):
        return dtype.newbyteorder("=")
    raise TypeError(
        f"{function}: argument 'x': expected real numbers, got dtype {dtype}"
        + ("; reduce x.real and x.imag apart" if dtype.kind == "c" else "")
    )


def _read_int(function: str, argument: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{function}: argument {argument!r}: expected an int, got {value!r}"
        ) from None


def _read_axis(function: str, axis: Any, ndim: int) -> int:
    if ndim == 0:
        raise ValueError(
            f"{function}: argument 'x': expected an array with at least one axis, got a scalar; "
            "np.atleast_1d makes one of it"
        )
    index = _read_int(function, "axis", axis)
    if not -ndim <= index < ndim:
        raise AxisError(index, ndim, f"{function}: argument 'axis'")
    return index % ndim


def _check_out(function: str, out: Array, x: Array, result: DType) -> None:
    if out.shape != x.shape:
        raise ValueError(
            f"{function}: argument 'out': expected shape {x.shape}, that of 'x'; got {out.shape}"
        )
    if not np.can_cast(result, out.dtype, "same_kind"):
        raise TypeError(
            f"{function}: argument 'out': cannot cast the result from {result} to {out.dtype} with "
            f"casting rule 'same_kind'; expected an array of {result}"
        )


def _target(out: Array | None, x: Array, dtype: DType) -> Array:
    """Return the array that executors write: `out` itself where they may."""
    if out is not None and out.dtype == dtype and dtype.isnative and not executors.overlap(out, x):
        return out
    # Axes in the order of the memory of `x`, so that both are walked alike.
    order = sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))
    plain = executors.empty(tuple(x.shape[i] for i in order), dtype)
    inverse = [order.index(i) for i in range(x.ndim)]
    return plain.transpose(inverse)
