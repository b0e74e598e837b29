"""Running sums and products."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .. import executors
from ..catalogue.dtypes import FLOATS, INTEGERS
from ..catalogue.reducers import BY_NAME as REDUCERS
from ..interop import as_output, wrap_like
from ..interop.lowprecision import coding
from .request import Array, DType, Request, code_of, execute_scan, read_dtype
from .sums import default_dtype

# Element codes and those of the results: what the native fast entries take.
_SAME: Final = {code: code for code in FLOATS}
_WIDE: Final = {code: REDUCERS["sum"].state[code][0] for code in (*INTEGERS, "?")} | _SAME

#: NumPy's ufunc of each scan.
_UFUNCS: Final = {"sum": np.add, "prod": np.multiply}


@executors.fast_scan("sum", _WIDE)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Cumulative sum of the elements along an axis.

    Parameters
    ----------
    a : array_like
        Any strides; read once, never copied.
    axis : int or None, optional
        Axis to sum along; None means all elements in C order.
    dtype : dtype, optional
        Of the result. By default that of `a`, but int64 or uint64 for narrower integers and bool.
    out : array, optional
        Where the result goes: its shape, any strides; cast if need be, as in NumPy. May be `a`.

    Returns
    -------
    array
        Of the shape of `a`, or 1-d where `axis` is None; `out` if given.

    Raises
    ------
    numpy.exceptions.AxisError
        If the axis is out of range.
    ValueError
        If `out` has another shape than the result.
    TypeError
        If `axis` or `dtype` is none.

    Notes
    -----
    Floats accumulate in float64, and each result is rounded once. A line is cut into blocks of 1040
    elements: within a block elements are added from the first to the last, and the running sum at
    the end of a block is the offset of the next. So sums of what is not negative never decrease,
    errors grow by the number of blocks rather than of elements, and threads can share a line. The
    same bits for any memory layout and number of threads. Integers wrap, as in NumPy.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.cumsum(np.array([[1, 2], [3, 4]], np.int8), axis=0)
    array([[1, 2],
           [4, 6]])
    >>> uf.cumsum(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([ 1.,  3.,  6., 10.])
    """
    return _scan("cumsum", "sum", a, axis, dtype, out)


@executors.fast_scan("prod", _WIDE)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Cumulative product of the elements along an axis.

    Parameters, results and errors are those of `ufuse.cumsum`. Floats accumulate in float64, from
    the first element to the last; integers wrap.

    Examples
    --------
    >>> import ufuse as uf
    >>> uf.cumprod([1, 2, 3, 4])
    array([ 1,  2,  6, 24])
    """
    return _scan("cumprod", "prod", a, axis, dtype, out)


@executors.fast_scan("nansum", _SAME)
def nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Cumulative sum along an axis, NaN counting as zero.

    Parameters, results and errors are those of `ufuse.cumsum`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.nancumsum(np.array([np.nan, 1.0, np.nan, 2.0]))
    array([0., 1., 1., 3.])
    """
    return _scan("nancumsum", "nansum", a, axis, dtype, out)


@executors.fast_scan("nanprod", _SAME)
def nancumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Cumulative product along an axis, NaN counting as one.

    Parameters, results and errors are those of `ufuse.cumprod`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.nancumprod(np.array([np.nan, 3.0, np.nan, 2.0]))
    array([1., 3., 3., 6.])
    """
    return _scan("nancumprod", "nanprod", a, axis, dtype, out)


def _scan(name: str, scan: str, a: Any, axis: Any, dtype: Any, out: Any) -> Any:
    function = f"ufuse.{name}"
    request = Request(function, a, axis, single=True)
    x = request.x
    if x.ndim == 0:
        x, along = x.reshape(1), 0
    elif axis is not None:
        along = request.axes[0]
    elif x.ndim == 1 or x.flags.c_contiguous:
        x, along = x.reshape(-1), 0
    else:
        along = -1
    shape = (x.size,) if along < 0 else x.shape
    target = None if out is None else as_output(out, function=function)
    if target is not None and target.shape != shape:
        raise ValueError(
            f"{function}: argument 'out': expected shape {shape} (for an array of shape "
            f"{request.x.shape} and axis={axis}), got {target.shape}"
        )
    result = read_dtype(function, dtype)
    if result is None:
        result = default_dtype(x.dtype, None if target is None else target.dtype)
    result = result.newbyteorder("=")
    if target is None or target.dtype != result:
        filled = _like(x, result) if along >= 0 else executors.empty(shape, result)
    else:
        x, filled = executors.apart(x, target), target
    if filled.size:
        _fill(scan, x, along, filled)
    if target is None:
        return wrap_like(filled, a)
    if filled is not target:
        np.copyto(target, filled, casting="unsafe")  # NumPy's rule for `out` of a scan
    return out


def _like(x: Array, dtype: DType) -> Array:
    """Return an empty array whose axes lie in memory as those of `x` do."""
    if x.flags.c_contiguous:
        return executors.empty(x.shape, dtype)
    order = sorted(range(x.ndim), key=lambda i: abs(x.strides[i]), reverse=True)
    made = executors.empty(tuple(x.shape[i] for i in order), dtype)
    return made.transpose(np.argsort(order))


def _fill(scan: str, x: Array, axis: int, out: Array) -> None:
    """Write the scan of `x` to `out`, an array of its dtype."""
    wide = _compiled(x.dtype, out.dtype)
    if wide is None:
        _in_slices(scan, x, axis, out)
    else:
        name = scan if x.dtype.kind == "f" else scan.removeprefix("nan")
        execute_scan(name, x, axis, out.view(wide))


def _compiled(dtype: DType, result: DType) -> DType | None:
    """Return the dtype in which a compiled scan gives `result`; None if there is none."""
    if any(code_of(one) is None or coding(one) is not None for one in (dtype, result)):
        return None
    if dtype.kind == "f":
        return result if result.kind == "f" else None
    if result.kind in "iu" and result.itemsize == 8:  # the same bits, whatever the sign
        return np.dtype(np.uint64 if dtype.kind == "u" else np.int64)
    return None


#: Elements of what is converted at once.
_SLICE: Final = 1 << 17


def _in_slices(scan: str, x: Array, axis: int, out: Array) -> None:
    """Scan dtypes that are not compiled: slices in a wider type, float64 for every real float."""
    if axis < 0:
        x, axis = x.reshape(-1), 0
    wide = out.dtype
    if coding(wide) is not None or (wide.kind == "f" and wide.itemsize <= 8):
        wide = np.dtype(np.float64)
    elif wide.kind == "c" and wide.itemsize <= 16:
        wide = np.dtype(np.complex128)
    ufunc = _UFUNCS[scan.removeprefix("nan")]
    longest = int(np.argmax(x.shape))
    step = max(1, _SLICE * x.shape[longest] // x.size)
    carry: Array | None = None
    for start in range(0, x.shape[longest], step):
        index = (slice(None),) * longest + (slice(start, start + step),)
        with np.errstate(all="ignore"):
            part = x[index].astype(wide)
            if scan.startswith("nan") and x.dtype.kind in "fcVO":
                part[part != part] = 0 if scan == "nansum" else 1
            if carry is not None:
                first = part[(slice(None),) * axis + (slice(0, 1),)]
                first[...] = ufunc(carry, first)
            # NumPy accumulates durations as they are.
            part = ufunc.accumulate(part, axis, dtype=None if wide.kind == "m" else wide)
            if longest == axis:
                carry = np.take(part, [-1], axis)
            out[index] = part.astype(out.dtype)
