"""Reductions over the trailing axis, recorded with ``keepdims=True``.

Sums are reductions of the operand in the dtype NumPy sums it in. mean divides the sum by the
length, which is known at each call (so a trace serves every length); var and std take the mean
first and then the mean of squared deviations, as NumPy does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .errors import TraceReductionError, trace_error
from .graph import Graph
from .program import code_of
from .ufuncs import operand

if TYPE_CHECKING:
    from .tracing import Tracer

_BY_UFUNC: Final[dict[np.ufunc, str]] = {
    np.add: "sum",
    np.multiply: "prod",
    np.maximum: "max",
    np.minimum: "min",
    np.logical_or: "any",
    np.logical_and: "all",
}
_BOOL, _U1, _F4 = np.dtype(bool), np.dtype(np.uint8), np.dtype(np.float32)


def _check(name: str, x: Tracer, axis: Any, out: Any, keepdims: Any = False, **others: Any) -> None:
    """Refuse what is not a reduction over the trailing axis with ``keepdims=True``."""
    for option, given in others.items():
        default = {"where": True, "mean": np._NoValue}.get(option, np._NoValue)
        if given is not default and given is not np._NoValue:
            raise trace_error(f"{option}= of {name}", "leave it out, or reduce outside")
    if out is not None and out != ():
        raise trace_error(f"out= of {name}", "use the result it returns")
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    for one in axes:
        if not -x.ndim <= one < x.ndim:
            raise np.exceptions.AxisError(one, x.ndim)
    if [one % x.ndim for one in axes] != [x.ndim - 1]:
        raise trace_error(
            f"{name} over axis {axis} of an array with {x.ndim} dimensions",
            "only the trailing axis can be reduced inside; reduce other axes outside",
            TraceReductionError,
        )
    if keepdims is not True:
        raise trace_error(
            f"{name} without keepdims=True",
            "add keepdims=True, and drop the axis outside",
            TraceReductionError,
        )


def _reduce(graph: Graph, name: str, value: int) -> int:
    return graph.emit(f"reduce_{name}", graph.values[value].code, value)


def reduce(
    name: str, x: Tracer, axis: Any, dtype: Any = None, out: Any = None, **options: Any
) -> int:
    """Record sum, prod, max, min, any or all."""
    _check(name, x, axis, out, **options)
    graph, value = x.graph, x.value
    if name in ("any", "all"):
        name, value = {"any": "max", "all": "min"}[name], graph.cast(value, _BOOL)
    elif name in ("sum", "prod"):
        target = getattr(np.ones(1, x.dtype), name)(dtype=dtype).dtype  # NumPy's choice
        return _reduce(graph, name, graph.cast(value, target))
    if graph.dtype(value) == _BOOL:  # in numbers: reducers have no bool
        return graph.cast(_reduce(graph, name, graph.cast(value, _U1)), _BOOL)
    return _reduce(graph, name, value)


def _mean_dtype(name: str, x: Tracer, dtype: Any) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Return the dtype that a mean is computed in and the dtype of the result."""
    if dtype is not None:
        target = np.dtype(dtype)
    else:
        target = np.dtype(np.float64) if x.dtype.kind in "biu" else x.dtype
    if target.kind == "c" and name != "mean":
        raise trace_error(f"{name} of complex numbers", "call it outside")
    narrow = target.itemsize <= 2 and target.kind in "fV"  # float16 is summed in float32
    return (_F4 if narrow else target), target


def mean(x: Tracer, axis: Any, dtype: Any = None, out: Any = None, **options: Any) -> int:
    """Record the mean."""
    _check("mean", x, axis, out, **options)
    computed, target = _mean_dtype("mean", x, dtype)
    return x.graph.cast(_mean(x.graph, x.graph.cast(x.value, computed), x.value, 0), target)


def _mean(graph: Graph, value: int, counted: int, ddof: float) -> int:
    dtype = graph.dtype(value)
    length = graph.length(counted, ddof, dtype)
    total = _reduce(graph, "sum", value)
    return graph.emit("divide", code_of(dtype), total, length)


def _variance(name: str, x: Tracer, dtype: Any, ddof: Any, correction: Any) -> tuple[int, Any]:
    graph = x.graph
    computed, target = _mean_dtype(name, x, dtype)
    code = code_of(computed)
    value = graph.cast(x.value, computed)
    centred = graph.emit("subtract", code, value, _mean(graph, value, x.value, 0))
    square = graph.emit("square", code, centred)
    given = ddof if correction is np._NoValue else correction
    return _mean(graph, square, x.value, given), target


def var(
    x: Tracer,
    axis: Any,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    correction: Any = np._NoValue,
    **options: Any,
) -> int:
    """Record the variance."""
    _check("var", x, axis, out, **options)
    value, target = _variance("var", x, dtype, ddof, correction)
    return x.graph.cast(value, target)


def std(
    x: Tracer,
    axis: Any,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    correction: Any = np._NoValue,
    **options: Any,
) -> int:
    """Record the standard deviation."""
    _check("std", x, axis, out, **options)
    value, target = _variance("std", x, dtype, ddof, correction)
    root = x.graph.emit("sqrt", x.graph.values[value].code, value)
    return x.graph.cast(root, target)


def by_ufunc(graph: Graph, ufunc: np.ufunc, inputs: Sequence[Any], options: dict[str, Any]) -> int:
    """Record ``np.add.reduce`` and its like."""
    from .tracing import Tracer

    name = _BY_UFUNC.get(ufunc)
    if name is None:
        raise trace_error(f"np.{ufunc.__name__}.reduce", "call it outside")
    array, *rest = inputs
    for key, given in zip(
        ("axis", "dtype", "out", "keepdims", "initial", "where"), rest, strict=False
    ):
        options[key] = given
    x = array if isinstance(array, Tracer) else Tracer(graph, int(operand(graph, array)))  # type: ignore[arg-type]
    return reduce(
        name,
        x,
        options.pop("axis", 0),
        options.pop("dtype", None),
        options.pop("out", None),
        **options,
    )
