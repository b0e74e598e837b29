"""Smallest and largest elements, and where they are."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from .. import executors
from ..catalogue.dtypes import ALL, NUMBERS
from ..interop import as_output
from .reference import other
from .request import (
    NO_VALUE,
    Array,
    Request,
    Slot,
    code_of,
    execute,
    read_initial,
    written_as,
)

# Element codes and those of the results: what the native fast entries take.
_SAME = {code: code for code in ALL}
_INDICES = dict.fromkeys(NUMBERS, "i8")


class MinMax(NamedTuple):
    """Result of `ufuse.minmax`."""

    min: Any
    max: Any


@executors.fast_reduction("min", "value", _SAME)
def min(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NO_VALUE,
    where: Any = True,
) -> Any:
    """Smallest element over axes; NaN where there is one.

    Parameters
    ----------
    a : array_like
        Any strides; read once, never copied.
    axis : int, tuple of int or None, optional
        Axes to reduce; None means all.
    out : array, optional
        Where the result goes: its shape, any strides. May overlap `a`.
    keepdims : bool, optional
        Whether reduced axes stay, with size 1.
    initial : scalar, optional
        Takes part in every result; needed for empty axes and with `where`.
    where : array of bool, optional
        Which elements count; broadcasts to the shape of `a`.

    Returns
    -------
    scalar or array
        Of the dtype of `a`; `out` if given.

    Raises
    ------
    ValueError
        If there is nothing to compare and no `initial`, if `where` is given without it, if an axis
        is repeated, or if `out` or `where` has another shape than expected.
    numpy.exceptions.AxisError
        If an axis is out of range.
    TypeError
        If the result cannot be cast to the dtype of `out` by the rule ``same_kind``.

    Notes
    -----
    Exact. Of zeros, -0.0 is the smaller, so that the result depends on nothing but the elements.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.min(np.array([[3, 1], [2, 5]]), axis=1)
    array([1, 2])
    """
    return extreme("min", a, axis, out, keepdims, initial, where)


@executors.fast_reduction("max", "value", _SAME)
def max(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NO_VALUE,
    where: Any = True,
) -> Any:
    """Largest element over axes; NaN where there is one.

    Parameters, results and errors are those of `ufuse.min`. Of zeros, 0.0 is the larger.

    Examples
    --------
    >>> import ufuse as uf
    >>> int(uf.max([3, 7, 2]))
    7
    """
    return extreme("max", a, axis, out, keepdims, initial, where)


def extreme(name: str, a: Any, axis: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    """Run min, max, nanmin or nanmax."""
    function = f"ufuse.{name}"
    request = Request(function, a, axis, out, keepdims, where)
    x = request.x
    if x.dtype.kind in "biu":
        name = name.removeprefix("nan")
    result = x.dtype.newbyteorder("=")
    request.check_cast(result)
    start = read_initial(function, initial, result)
    if start is None:
        _require_elements(request, name)
    target = request.target(result, extreme=True)
    if target.size == 0:
        pass
    elif request.empty:
        target[...] = start
    else:
        code = code_of(x.dtype)
        if code is None:
            keywords: dict[str, Any] = {} if start is None else {"initial": start[()]}
            keywords["where"] = True if request.where is None else request.where
            target[...] = other(name, x, result, axis=request.axes, **keywords)
        else:
            first = None if start is None else start.astype(target.dtype)
            slot = Slot(name, code, "value", target, initial=first)
            execute(x, request.axes, [slot], request.where)
            if name.startswith("nan") and start is None:
                _mark_all_nan(request, code, target)
    return request.answer(target)


def _mark_all_nan(request: Request, code: str, target: Array) -> None:
    """Put NaN where there was nothing else, and warn.

    The result is infinite there, which it hardly ever is: only then are elements counted.
    """
    if not np.isinf(target).any():
        return
    counts = np.empty(request.full_shape)
    execute(request.x, request.axes, [Slot("valid", code, "value", counts)], request.where)
    if not counts.all():
        target[counts == 0] = np.nan
        warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=5)


def _require_elements(request: Request, name: str) -> None:
    operation = "minimum" if name.endswith("min") else "maximum"
    if request.count == 0:
        raise ValueError(
            f"{request.function}: zero-size array to reduction operation {operation} which has no "
            f"identity (shape {request.x.shape}, axis={request.axes}); pass initial="
        )
    if request.where is not None:
        raise ValueError(
            f"{request.function}: reduction operation '{operation}' does not have an identity, so "
            "to use a where mask one has to specify 'initial'"
        )


def _both(_: None) -> tuple[type[MinMax], tuple[Any, Any]]:
    return MinMax, (min, max)


@executors.fast_several(_both)
def minmax(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NO_VALUE,
    where: Any = True,
) -> MinMax:
    """Smallest and largest elements over axes, in one read.

    Parameters
    ----------
    a, axis, keepdims, where
        As for `ufuse.min`.
    out : tuple of two arrays, optional
        Where the results go; either may be None.
    initial : scalar or tuple of two scalars, optional
        Takes part in every result: the first of two in the smallest, the second in the largest.
        Needed for empty axes and with `where`.

    Returns
    -------
    MinMax
        A named tuple of `min` and `max`.

    Raises
    ------
    ValueError, TypeError, numpy.exceptions.AxisError
        As `ufuse.min`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> low, high = uf.minmax(np.array([3.0, -1.0, 2.0]))
    >>> float(low), float(high)
    (-1.0, 3.0)
    >>> x = np.array([3.0, np.nan, 2.0])
    >>> low, high = uf.minmax(x, initial=(np.inf, -np.inf), where=~np.isnan(x))
    >>> float(low), float(high)
    (2.0, 3.0)
    """
    function = "ufuse.minmax"
    request = Request(function, a, axis, None, keepdims, where)
    if out is not None and (type(out) is not tuple or len(out) != 2):
        raise TypeError(
            f"{function}: argument 'out': expected a tuple of two arrays, got {type(out).__name__}"
        )
    dtype = request.x.dtype.newbyteorder("=")
    starts = [
        read_initial(function, one, dtype)
        for one in (initial if type(initial) is tuple and len(initial) == 2 else (initial,) * 2)
    ]
    if starts[0] is None or starts[1] is None:
        _require_elements(request, "min")
    given = (None, None) if out is None else out
    views = _read_outputs(request, given, dtype)
    request.target(dtype, extreme=True)  # remembers what the results become
    targets = [request.target_in(view, written_as(dtype, extreme=True)) for view in views]
    _fill_both(request, dtype, targets, starts)
    return MinMax(
        *(
            request.answer_in(target, view, one)
            for target, view, one in zip(targets, views, given, strict=True)
        )
    )


def _read_outputs(
    request: Request, given: tuple[Any, Any], dtype: np.dtype[Any]
) -> list[Array | None]:
    """Return the two outputs, checked; None for what is not given."""
    function = request.function
    views: list[Array | None] = [
        None if one is None else as_output(one, function=function) for one in given
    ]
    for view in views:
        if view is None:
            continue
        request.check_shape(view, "out")
        if not np.can_cast(dtype, view.dtype, "same_kind"):
            raise TypeError(
                f"{function}: argument 'out': cannot cast the result from {dtype} to {view.dtype} "
                f"with casting rule 'same_kind'; expected an array of {dtype}"
            )
    if views[0] is not None and views[1] is not None and executors.overlap(views[0], views[1]):
        raise ValueError(
            f"{function}: argument 'out': expected two arrays apart, got two that share memory; "
            "pass a copy of one"
        )
    return views


def _fill_both(
    request: Request, dtype: np.dtype[Any], targets: list[Array], starts: list[Array | None]
) -> None:
    """Write smallest and largest elements to the two targets."""
    if targets[0].size == 0:
        return
    names, code = ("min", "max"), code_of(request.x.dtype)
    each = list(zip(names, targets, starts, strict=True))
    if request.empty:
        for _, target, start in each:
            target[...] = start
    elif code is None:
        mask = True if request.where is None else request.where
        for name, target, start in each:
            keywords: dict[str, Any] = {} if start is None else {"initial": start[()]}
            target[...] = other(name, request.x, dtype, axis=request.axes, where=mask, **keywords)
    elif starts[0] is None and starts[1] is None:
        slots = [
            Slot("minmax", code, "value", target, component=i) for i, target in enumerate(targets)
        ]
        execute(request.x, request.axes, slots, None)
    else:
        slots = [
            Slot(name, code, "value", target, initial=_as_state(start, target))
            for name, target, start in each
        ]
        execute(request.x, request.axes, slots, request.where)


def _as_state(start: Array | None, target: Array) -> Array | None:
    return None if start is None else start.astype(target.dtype)


@executors.fast_reduction("argmax", "value", _INDICES, component=1)
def argmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
    """Index of the first largest element along an axis.

    Parameters
    ----------
    a : array_like
        Any strides; never copied, along whatever axis.
    axis : int or None, optional
        Axis to search; None searches the whole array in C order.
    out : array of int64, optional
        Where the result goes.
    keepdims : bool, optional
        Whether the searched axes stay, with size 1.

    Returns
    -------
    scalar or array of int64
        `out` if given.

    Raises
    ------
    ValueError
        If there is nothing to search, or `out` has another shape.
    TypeError
        If `out` is not of int64.
    numpy.exceptions.AxisError
        If the axis is out of range.

    Notes
    -----
    As in NumPy the first of equal elements counts (-0.0 and 0.0 are equal), and the first NaN is
    larger than anything.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.argmax(np.array([[1, 9, 9], [7, 2, 3]]), axis=1)
    array([1, 0])
    """
    return _index("argmax", a, axis, out, keepdims)


@executors.fast_reduction("argmin", "value", _INDICES, component=1)
def argmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
    """Index of the first smallest element along an axis.

    Parameters, results and errors are those of `ufuse.argmax`; the first NaN is smaller than
    anything.

    Examples
    --------
    >>> import ufuse as uf
    >>> int(uf.argmin([4, 2, 2]))
    1
    """
    return _index("argmin", a, axis, out, keepdims)


def _index(name: str, a: Any, axis: Any, out: Any, keepdims: Any) -> Any:
    function = f"ufuse.{name}"
    request = Request(function, a, axis, out, keepdims, single=True)
    dtype = check_index_out(request)
    require_positions(request, name)
    target = request.target(dtype)
    x = request.x
    if x.dtype == np.bool_:
        x = x.view(np.uint8)
    if target.size:
        code = code_of(x.dtype)
        if code is None:
            along = request.axes[0] if axis is not None and request.axes else None
            target[...] = other(name, x, dtype, axis=along)
        else:
            execute(x, request.axes, [Slot(name, code, "value", target, component=1)], None)
    return request.answer(target)


def require_positions(request: Request, name: str) -> None:
    """Raise where there is nothing to find an index of."""
    if request.count == 0:
        raise ValueError(
            f"{request.function}: attempt to get {name} of an empty sequence (shape "
            f"{request.x.shape}, axis={request.axes})"
        )


def check_index_out(request: Request) -> np.dtype[Any]:
    """Return the dtype of indices, which is that of `out` if it is given."""
    dtype = np.dtype(np.intp)
    if request.out_dtype is not None and request.out_dtype.newbyteorder("=") != dtype:
        raise TypeError(
            f"{request.function}: argument 'out': expected an array of {dtype}, got "
            f"{request.out_dtype}"
        )
    return dtype
