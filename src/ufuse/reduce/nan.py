"""Reductions that leave NaN out, in one read: no copy with the NaN replaced."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from .. import executors
from ..catalogue.dtypes import FLOATS
from . import extremes, sums
from .request import NO_VALUE, Array, Request, Slot, code_of, execute, read_dtype

#: Kinds of dtypes that NumPy knows how to reduce and we leave to it: objects, times.
_NUMPYS: Final = "OmM"

# Element codes and those of the results: what the native fast entries take.
_SAME = {code: code for code in FLOATS}
_PLACES = dict.fromkeys(FLOATS, "i8")


@executors.fast_reduction("nansum", "value", _SAME)
def nansum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NO_VALUE,
    where: Any = True,
) -> Any:
    """Sum over axes of the elements that are no NaN; 0 if there are none.

    Parameters, results and errors are those of `ufuse.sum`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> float(uf.nansum([1.0, np.nan, 2.0]))
    3.0
    """
    return sums.accumulate("nansum", a, axis, dtype, out, keepdims, initial, where)


@executors.fast_reduction("nanprod", "value", _SAME)
def nanprod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NO_VALUE,
    where: Any = True,
) -> Any:
    """Product over axes of the elements that are no NaN; 1 if there are none.

    Parameters, results and errors are those of `ufuse.prod`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> float(uf.nanprod([2.0, np.nan, 3.0]))
    6.0
    """
    return sums.accumulate("nanprod", a, axis, dtype, out, keepdims, initial, where)


@executors.fast_reduction("nanmin", "value", _SAME, finite=True)
def nanmin(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NO_VALUE,
    where: Any = True,
) -> Any:
    """Smallest over axes of the elements that are no NaN; NaN, with a warning, if there are none.

    Parameters, results and errors are those of `ufuse.min`.

    Warns
    -----
    RuntimeWarning
        If all elements of a slice are NaN.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> float(uf.nanmin([4.0, np.nan, 3.0]))
    3.0
    """
    return extremes.extreme("nanmin", a, axis, out, keepdims, initial, where)


@executors.fast_reduction("nanmax", "value", _SAME, finite=True)
def nanmax(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NO_VALUE,
    where: Any = True,
) -> Any:
    """Largest over axes of the elements that are no NaN; NaN, with a warning, if there are none.

    Parameters, results, warnings and errors are those of `ufuse.nanmin`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> float(uf.nanmax([4.0, np.nan, 3.0]))
    4.0
    """
    return extremes.extreme("nanmax", a, axis, out, keepdims, initial, where)


@executors.fast_reduction("nan_mean", "ratio", _SAME, finite=True)
def nanmean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = True,
) -> Any:
    """Arithmetic mean over axes of the elements that are no NaN.

    Parameters, results and errors are those of `ufuse.mean`.

    Warns
    -----
    RuntimeWarning
        If all elements of a slice are NaN; its mean is NaN.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> float(uf.nanmean([1.0, np.nan, 2.0]))
    1.5
    """
    function = "ufuse.nanmean"
    request = Request(function, a, axis, out, keepdims, where)
    x = request.x
    if x.dtype.kind in _NUMPYS:
        return np.nanmean(x, axis, dtype, out, keepdims, where=where)
    result = _inexact(request, dtype)
    code = code_of(x.dtype)
    if code not in FLOATS or code_of(result) not in FLOATS or request.empty:
        return sums.mean(a, axis, dtype, out, keepdims, where=_not_nan(request))
    request.check_cast(result)
    target = request.target(result)
    if target.size:
        counts = np.empty(request.full_shape)
        slots = [
            Slot("nan_mean", code, "ratio", target),
            Slot("nan_mean", code, "value", counts, component=1),
        ]
        execute(x, request.axes, slots, request.where)
        if not counts.all():
            warnings.warn("Mean of empty slice", RuntimeWarning, stacklevel=3)
    return request.answer(target)


@executors.fast_reduction("nan_moments", "variance", _SAME, finite=True)
def nanvar(
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
    """Variance over axes of the elements that are no NaN, in one read.

    Parameters, results and errors are those of `ufuse.var`.

    Warns
    -----
    RuntimeWarning
        If `ddof` leaves no degree of freedom; the variance is NaN.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> float(uf.nanvar([1.0, np.nan, 3.0]))
    1.0
    """
    return _spread("var", a, axis, dtype, out, ddof, keepdims, where, mean, correction)


@executors.fast_reduction("nan_moments", "deviation", _SAME, finite=True)
def nanstd(
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
    """Take the standard deviation over axes of the elements that are no NaN.

    Parameters, results, warnings and errors are those of `ufuse.nanvar`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> float(uf.nanstd([1.0, np.nan, 5.0]))
    2.0
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
    function = f"ufuse.nan{name}"
    request = Request(function, a, axis, out, keepdims, where)
    x = request.x
    if x.dtype.kind in _NUMPYS:
        numpys = np.nanvar if name == "var" else np.nanstd
        return numpys(
            x, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction
        )
    freedom = sums.read_ddof(function, ddof, correction)
    result = _inexact(request, dtype)
    sums.check_mean(request, mean)
    code = code_of(x.dtype)
    if code not in FLOATS or code_of(result) not in FLOATS or request.empty:
        plain: Callable[..., Any] = sums.var if name == "var" else sums.std
        mask = _not_nan(request)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Degrees of freedom")
            answer = plain(a, axis, dtype, out, freedom, keepdims, where=mask)
        counted = np.broadcast_to(mask, x.shape)
        counts = np.add.reduce(counted, axis=request.axes, dtype=np.int64)
        bad = counts <= freedom
        if np.any(bad):
            warnings.warn("Degrees of freedom <= 0 for slice.", RuntimeWarning, stacklevel=4)
            if np.ndim(answer):
                answer[bad.reshape(answer.shape)] = np.nan
            else:
                answer = type(answer)(np.nan) if out is None else answer
        return answer
    request.check_cast(result)
    target = request.target(result)
    if target.size:
        counts = np.empty(request.full_shape)
        finish = "variance" if name == "var" else "deviation"
        slots = [
            Slot("nan_moments", code, finish, target, ddof=float(freedom)),
            Slot("nan_moments", code, "value", counts),
        ]
        execute(x, request.axes, slots, request.where)
        bad = counts <= freedom
        if bad.any():
            warnings.warn("Degrees of freedom <= 0 for slice.", RuntimeWarning, stacklevel=4)
            target[bad] = np.nan
    return request.answer(target)


def _inexact(request: Request, dtype: Any) -> np.dtype[Any]:
    """Return the result's dtype; of inexact elements it must be inexact, as in NumPy."""
    given = read_dtype(request.function, dtype)
    inexact = request.x.dtype.kind not in "biu"
    for argument, found in (("dtype", given), ("out", request.out_dtype)):
        if inexact and found is not None and found.kind not in "fcV":
            raise TypeError(
                f"{request.function}: argument {argument!r}: expected an inexact dtype, as that of "
                f"'a' is {request.x.dtype}; got {found}"
            )
    return sums.moment_dtype(request.x.dtype, given)


def _not_nan(request: Request) -> Any:
    """Return a mask of what counts, for dtypes that go through ``where=``."""
    given = True if request.where is None else request.where
    return given if request.x.dtype.kind in "biu" else ~np.isnan(request.x) & given


@executors.fast_reduction("nanargmin", "value", _PLACES, component=1, finite=True)
def nanargmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
    """Index along an axis of the first smallest element that is no NaN.

    Parameters, results and errors are those of `ufuse.argmin`.

    Raises
    ------
    ValueError
        If all elements of a slice are NaN, besides what `ufuse.argmin` raises.

    Notes
    -----
    A NaN counts as infinity, as in NumPy: of infinities and NaN alone, the first one is found.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> int(uf.nanargmin([np.nan, 4.0, 2.0]))
    2
    """
    return _index("argmin", a, axis, out, keepdims)


@executors.fast_reduction("nanargmax", "value", _PLACES, component=1, finite=True)
def nanargmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
    """Index along an axis of the first largest element that is no NaN.

    Parameters, results and errors are those of `ufuse.nanargmin`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> int(uf.nanargmax([np.nan, 4.0, 2.0]))
    1
    """
    return _index("argmax", a, axis, out, keepdims)


def _index(name: str, a: Any, axis: Any, out: Any, keepdims: Any) -> Any:
    function = f"ufuse.nan{name}"
    request = Request(function, a, axis, out, keepdims, single=True)
    x = request.x
    code = code_of(x.dtype)
    if x.dtype.kind in _NUMPYS:
        return (np.nanargmin if name == "argmin" else np.nanargmax)(x, axis, out, keepdims=keepdims)
    extremes.require_positions(request, name)
    if x.dtype.kind in "biu":
        return (extremes.argmin if name == "argmin" else extremes.argmax)(
            a, axis, out, keepdims=keepdims
        )
    extremes.check_index_out(request)
    # Apart from `out`, which is left alone if there is a slice without elements.
    indices = np.empty(request.full_shape, np.intp)
    if indices.size and code in FLOATS:
        values = np.empty(request.full_shape, code)
        slots = [
            Slot(f"nan{name}", code, "value", indices, component=1),
            Slot(f"nan{name}", code, "value", values),
        ]
        execute(x, request.axes, slots, None)
        missing = False
        if np.isinf(values).any():  # an infinity, or nothing but NaN: hardly ever
            counts = np.empty(request.full_shape)
            execute(x, request.axes, [Slot("valid", code, "value", counts)], None)
            missing = not counts.all()
    elif indices.size:
        missing = bool(np.isnan(x).all(axis=request.axes).any())
        if not missing:
            filled = np.where(np.isnan(x), np.inf if name == "argmin" else -np.inf, x)
            find = np.argmin if name == "argmin" else np.argmax
            indices[...] = find(filled, axis=axis, keepdims=True)
    else:
        missing = False
    if missing:
        raise ValueError(
            f"{function}: All-NaN slice encountered (axis={axis}); fill them first, with "
            "np.where(np.isnan(a), value, a)"
        )
    target: Array = request.target(np.dtype(np.intp))
    target[...] = indices
    return request.answer(target)
