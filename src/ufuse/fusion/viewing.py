"""NumPy functions and methods of arrays whose results are views."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from .array_functions import Context, records
from .errors import trace_error
from .traced import Traced, TracedScalar
from .views import ALL, View

if TYPE_CHECKING:
    from .tracing import Tracer

#: So many rows are given one by one, to a function that unpacks them.
_MOST_UNPACKED: Final = 32
_GATHER = "use np.where(mask, x, other), or index outside of the fused function and pass the result"


def _seen(x: Tracer, view: View) -> Tracer:
    return x._new(x.graph.view(view, x.value))


def getitem(x: Tracer, key: Any) -> Tracer:
    """Record ``x[key]`` for ints, slices, None and an ellipsis."""
    entries = list(key) if isinstance(key, tuple) else [key]
    used = sum(not (e is None or e is Ellipsis) for e in entries)
    if sum(e is Ellipsis for e in entries) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if used > x.ndim:
        raise IndexError(
            f"too many indices for array: array is {x.ndim}-dimensional, but {used} were indexed"
        )
    missing: list[Any] = [ALL] * (x.ndim - used)
    place = next((i for i, e in enumerate(entries) if e is Ellipsis), None)
    if place is None:
        entries += missing
    else:
        entries[place : place + 1] = missing
    return _seen(x, View("index", tuple(map(_entry, entries))))


def _entry(entry: Any) -> Any:
    if entry is None or entry is ALL:
        return entry
    if isinstance(entry, slice):
        return tuple(_bound(part) for part in (entry.start, entry.stop, entry.step))
    if isinstance(entry, (bool, np.bool, list, EllipsisType)) or (
        isinstance(entry, (Traced, np.ndarray)) and not isinstance(entry, TracedScalar)
    ):
        raise trace_error("an index that is an array or a mask", _GATHER)
    return _bound(entry)


def _bound(part: Any) -> int | None:
    if part is None:
        return None
    try:
        return operator.index(part)
    except TypeError:
        raise trace_error(
            f"the index {part!r}", "only integers, slices, None and ... index inside"
        ) from None


def unpack(x: Tracer) -> list[Tracer]:
    """Return what iterating over the first axis gives, where that is short."""
    if x.ndim == 0:
        raise TypeError("iteration over a 0-d array")
    length = x.shape[0]
    if length > _MOST_UNPACKED:
        raise trace_error(f"iteration over an axis of {length}", "write whole-array expressions")
    return [getitem(x, i) for i in range(length)]


def transpose(x: Tracer, axes: Sequence[int] | None) -> Tracer:
    """Record the axes in another order, the opposite one by default."""
    order = tuple(range(x.ndim))[::-1] if axes is None else normalize_axis_tuple(axes, x.ndim)
    if len(order) != x.ndim:
        raise ValueError("axes don't match array")
    return _seen(x, View("transpose", order))


def swapaxes(x: Tracer, first: Any, second: Any) -> Tracer:
    """Record two axes exchanged."""
    order = list(range(x.ndim))
    a, b = normalize_axis_index(first, x.ndim), normalize_axis_index(second, x.ndim)
    order[a], order[b] = order[b], order[a]
    return transpose(x, order)


def reshape(x: Tracer, shape: Any) -> Tracer:
    """Record other axes for the same elements, in C order."""
    wanted = tuple(map(operator.index, shape if isinstance(shape, (tuple, list)) else (shape,)))
    return _seen(x, View("reshape", wanted))


def squeeze(x: Tracer, axis: Any = None) -> Tracer:
    """Record that axes of size 1 are dropped."""
    if axis is None:
        axes = tuple(i for i, n in enumerate(x.shape) if n == 1)
    else:
        axes = normalize_axis_tuple(axis, x.ndim)
        if any(x.shape[a] != 1 for a in axes):
            raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    return _seen(x, View("index", tuple(0 if i in axes else ALL for i in range(x.ndim))))


def expand_dims(x: Tracer, axis: Any) -> Tracer:
    """Record new axes of size 1."""
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    count = x.ndim + len(given)
    places = normalize_axis_tuple(given, count)
    return _seen(x, View("index", tuple(None if i in places else ALL for i in range(count))))


def moveaxis(x: Tracer, source: Any, destination: Any) -> Tracer:
    """Record axes moved to other places."""
    start = normalize_axis_tuple(source, x.ndim, "source")
    end = normalize_axis_tuple(destination, x.ndim, "destination")
    if len(start) != len(end):
        raise ValueError(
            "`source` and `destination` arguments must have the same number of elements"
        )
    order = [n for n in range(x.ndim) if n not in start]
    for place, axis in sorted(zip(end, start, strict=True)):
        order.insert(place, axis)
    return transpose(x, order)


def broadcast_to(x: Tracer, shape: Any) -> Tracer:
    """Record a view with elements repeated."""
    wanted = tuple(map(operator.index, shape if isinstance(shape, (tuple, list)) else (shape,)))
    return _seen(x, View("broadcast", wanted))


def flip(x: Tracer, axis: Any = None) -> Tracer:
    """Record axes walked backwards."""
    axes = range(x.ndim) if axis is None else normalize_axis_tuple(axis, x.ndim)
    back = (None, None, -1)
    return _seen(x, View("index", tuple(back if i in axes else ALL for i in range(x.ndim))))


# --- NumPy's functions ---------------------------------------------------------------------------


@records(np.transpose, np.permute_dims if hasattr(np, "permute_dims") else np.transpose)
def _transpose(context: Context, a: Any, axes: Any = None) -> Any:
    return transpose(context.tracer(a), axes)


@records(np.matrix_transpose)
def _matrix_transpose(context: Context, x: Any, /) -> Any:
    return swapaxes(context.tracer(x), -1, -2)


@records(np.swapaxes)
def _swapaxes(context: Context, a: Any, axis1: Any, axis2: Any) -> Any:
    return swapaxes(context.tracer(a), axis1, axis2)


@records(np.moveaxis)
def _moveaxis(context: Context, a: Any, source: Any, destination: Any) -> Any:
    return moveaxis(context.tracer(a), source, destination)


@records(np.reshape)
def _reshape(context: Context, a: Any, /, shape: Any, order: Any = "C", *, copy: Any = None) -> Any:
    return context.tracer(a).reshape(shape, order=order)


@records(np.ravel)
def _ravel(context: Context, a: Any, order: Any = "C") -> Any:
    return context.tracer(a).ravel(order)


@records(np.squeeze)
def _squeeze(context: Context, a: Any, axis: Any = None) -> Any:
    return squeeze(context.tracer(a), axis)


@records(np.expand_dims)
def _expand_dims(context: Context, a: Any, axis: Any) -> Any:
    return expand_dims(context.tracer(a), axis)


@records(np.broadcast_to)
def _broadcast_to(context: Context, array: Any, shape: Any, subok: bool = False) -> Any:
    return broadcast_to(context.tracer(array), shape)


@records(np.broadcast_arrays)
def _broadcast_arrays(context: Context, *args: Any, subok: bool = False) -> Any:
    given = [context.tracer(arg) for arg in args]
    shape = np.broadcast_shapes(*(x.shape for x in given))
    return tuple(broadcast_to(x, shape) for x in given)


@records(np.flip)
def _flip(context: Context, m: Any, axis: Any = None) -> Any:
    return flip(context.tracer(m), axis)


@records(np.flipud)
def _flipud(context: Context, m: Any) -> Any:
    return flip(context.tracer(m), 0)


@records(np.fliplr)
def _fliplr(context: Context, m: Any) -> Any:
    return flip(context.tracer(m), 1)


@records(np.atleast_1d)
def _atleast_1d(context: Context, *arys: Any) -> Any:
    found = [x if x.ndim else x[None] for x in map(context.tracer, arys)]
    return found[0] if len(found) == 1 else tuple(found)


@records(np.atleast_2d)
def _atleast_2d(context: Context, *arys: Any) -> Any:
    found = [
        x if x.ndim > 1 else x[None] if x.ndim else x[None, None]
        for x in map(context.tracer, arys)
    ]  # fmt: skip
    return found[0] if len(found) == 1 else tuple(found)


@records(np.diff)
def _diff(
    context: Context, a: Any, n: int = 1, axis: int = -1, prepend: Any = np._NoValue,
    append: Any = np._NoValue,
) -> Any:  # fmt: skip
    if prepend is not np._NoValue or append is not np._NoValue:
        raise trace_error("prepend= and append= of np.diff", "join the arrays before")
    x = context.tracer(a)
    at = normalize_axis_index(axis, x.ndim)
    before = (slice(None),) * at
    subtract = np.not_equal if x.dtype == np.bool_ else np.subtract
    for _ in range(n):
        x = x._new(
            context.value(subtract(x[(*before, slice(1, None))], x[(*before, slice(None, -1))]))
        )
    return x
