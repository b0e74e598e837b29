"""Reductions inside of fused functions: which reducer, over elements of which type.

The choice is that of the functions outside (`ufuse.reduce`), and so are the bits. What the
catalogue has no reducer for is a call of the function outside, a pass of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .errors import trace_error
from .graph import Graph
from .instructions import Call, Reduction
from .program import code_of
from .shapes import Shape
from .traced import Traced
from .ufuncs import operand, value_in
from .views import ALL, View

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
_BOOL, _F8 = np.dtype(bool), np.dtype(np.float64)
_NO_VALUE: Final[Any] = np._NoValue


def _room() -> Any:
    return import_module("ufuse.reduce")


def _axes(name: str, x: Tracer, axis: Any, *, single: bool = False) -> tuple[int, ...]:
    axes: tuple[int, ...] = _room().request.read_axes(f"np.{name}", axis, x.ndim, single)
    return axes


def _refuse_out(name: str, out: Any) -> None:
    if out is not None and not (isinstance(out, tuple) and not out):
        raise trace_error(f"out= of {name}", "use the result it returns")


def _shaped(graph: Graph, value: int, axes: tuple[int, ...], keepdims: Any) -> int:
    """Return a result as it was asked for: reduced axes are left out unless they are to be kept."""
    if (keepdims is not _NO_VALUE and keepdims) or not axes:
        return value
    ndim = len(graph.values[value].shape)
    return graph.view(View("index", tuple(0 if i in axes else ALL for i in range(ndim))), value)


def _fold(
    graph: Graph,
    value: int,
    axes: tuple[int, ...],
    reducer: str,
    result: np.dtype[Any],
    finish: str = "value",
    component: int = 0,
    ddof: float = 0.0,
    initial: bool = False,
) -> int:
    """Reduce a value of the type that is reduced; narrow floats come by way of wider ones."""
    written = _room().request.written_as(result, extreme=reducer in ("min", "max"))
    reduction = Reduction(reducer, finish, axes, component, ddof, initial)
    return graph.cast(graph.reduce(reduction, code_of(written), value), result)


def _as_element(graph: Graph, value: int, code: str) -> int:
    return graph.cast(value, np.dtype(code))


def _mask(graph: Graph, where: Any, name: str) -> int | None:
    if where is True or where is _NO_VALUE:
        return None
    op = operand(graph, where)
    value = op if isinstance(op, int) else value_in(graph, op, np.dtype(op.kind))
    if graph.dtype(value) != _BOOL:
        raise TypeError(
            f"{name}: argument 'where': expected an array of bool, got dtype {graph.dtype(value)}"
        )
    return value


def _masked(graph: Graph, value: int, mask: int | None, identity: Any) -> int:
    """Return a value with what does not count replaced by what changes nothing."""
    if mask is None:
        return value
    code = graph.values[value].code
    shape = graph.values[value].shape
    masked = graph.emit("where", code, mask, value, graph.constant(identity, graph.dtype(value)))
    if graph.values[masked].shape != shape:
        raise ValueError(
            f"argument 'where': its shape {graph.values[mask].shape} does not broadcast to that of "
            f"the array, {shape}"
        )
    return masked


def _called(name: str, x: Tracer, axes: tuple[int, ...], options: dict[str, Any]) -> int:
    """Record a call of ``ufuse.NAME``, which keeps the reduced axes."""
    return call(name, x, reduced_shape, {"axis": axes, "keepdims": True, **options})


def reduced_shape(shape: Shape, axis: Any = None, keepdims: bool = False, **_: Any) -> Shape:
    """Return the shape of what reduces an array of `shape` over `axis`."""
    ndim = len(shape)
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    reduced = {a % ndim for a in axes} if ndim else set()
    if keepdims:
        return tuple(1 if i in reduced else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in reduced)


def call(name: str, x: Tracer, shape: Any, options: dict[str, Any]) -> int:
    """Record a call of a function of ufuse with one array; it says what dtype the result has."""
    graph = x.graph
    function = getattr(import_module("ufuse"), name)
    with np.errstate(all="ignore"):
        sample = function(np.ones((1,) * x.ndim, x.dtype), **options)
    recorded = Call(name, tuple(sorted(options.items())), shape)
    return graph.call(recorded, code_of(np.asarray(sample).dtype), x.value)


def accumulate(
    name: str,
    x: Tracer,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = _NO_VALUE,
    where: Any = True,
) -> int:
    """Record sum or prod."""
    _refuse_out(name, out)
    graph, axes = x.graph, _axes(name, x, axis)
    sums = _room().sums
    result = np.dtype(dtype) if dtype is not None else sums.default_dtype(x.dtype, None)
    element = sums.element_for(name, x.dtype, result)
    value = _masked(graph, x.value, _mask(graph, where, name), int(name == "prod"))
    if element is None:
        found = _called(name, x._new(value), axes, {"dtype": result})
    else:
        found = _fold(graph, _as_element(graph, value, element), axes, name, result)
    if initial is not _NO_VALUE and initial is not None:
        start = graph.cast(value_in(graph, operand(graph, initial), result), result)
        operation = "add" if name == "sum" else "multiply"
        (found,) = graph.loop(getattr(np, operation), (found, start), (result,) * 3)
    return _shaped(graph, found, axes, keepdims)


def extreme(
    name: str,
    x: Tracer,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = _NO_VALUE,
    where: Any = True,
) -> int:
    """Record max or min."""
    _refuse_out(name, out)
    graph, axes = x.graph, _axes(name, x, axis)
    mask = _mask(graph, where, name)
    value, dtype = x.value, x.dtype
    start = None
    if initial is not _NO_VALUE and initial is not None:
        start = graph.cast(value_in(graph, operand(graph, initial), dtype), dtype)
    if mask is not None:
        if start is None:
            raise ValueError(
                f"reduction operation '{name}' does not have an identity, so to use a where mask "
                "one has to specify 'initial'"
            )
        value = graph.emit("where", graph.values[value].code, mask, value, start)
    code = _room().request.code_of(dtype)
    if code is None:
        known = start is not None and not isinstance(initial, Traced)
        found = _called(name, x._new(value), axes, {"initial": initial} if known else {})
    else:
        element = _as_element(graph, value, code)
        found = _fold(graph, element, axes, name, dtype, initial=start is not None)
    if start is not None:
        ufunc = np.maximum if name == "max" else np.minimum
        (found,) = graph.loop(ufunc, (found, start), (dtype,) * 3)
    return _shaped(graph, found, axes, keepdims)


def logic(
    name: str,
    x: Tracer,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    where: Any = True,
) -> int:
    """Record any or all."""
    _refuse_out(name, out)
    graph, axes = x.graph, _axes(name, x, axis)
    value = graph.cast(x.value, _BOOL)
    value = _masked(graph, value, _mask(graph, where, name), name == "all")
    finish = "nonzero" if name == "any" else "complete"
    found = _fold(graph, value, axes, "nonzero", _BOOL, finish)
    return _shaped(graph, found, axes, keepdims)


def index(name: str, x: Tracer, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> int:
    """Record argmax or argmin."""
    _refuse_out(name, out)
    graph, axes = x.graph, _axes(name, x, axis, single=True)
    value = x.value
    if x.dtype == _BOOL:
        value = graph.cast(value, np.dtype(np.uint8))
    code = _room().request.code_of(graph.dtype(value))
    if code is None:
        options = {"axis": axes[0] if axis is not None and axes else None, "keepdims": True}
        found = call(name, x, reduced_shape, options)
    else:
        element = _as_element(graph, value, code)
        found = _fold(graph, element, axes, name, np.dtype(np.intp), component=1)
    return _shaped(graph, found, axes, keepdims)


def count_nonzero(x: Tracer, axis: Any = None, *, keepdims: Any = False) -> int:
    """Record count_nonzero."""
    graph, axes = x.graph, _axes("count_nonzero", x, axis)
    value = graph.cast(x.value, _BOOL)
    found = _fold(graph, value, axes, "nonzero", np.dtype(np.intp))
    return _shaped(graph, found, axes, keepdims)


def _moment_dtype(name: str, x: Tracer, dtype: Any) -> np.dtype[Any]:
    result: np.dtype[Any] = _room().sums.moment_dtype(
        x.dtype, None if dtype is None else np.dtype(dtype)
    )
    if name != "mean" and x.dtype.kind == "c" and dtype is None:
        return np.empty(0, x.dtype).real.dtype
    return result


def _counts(graph: Graph, value: int, mask: int, axes: tuple[int, ...]) -> int:
    """Return how many elements count, as float64."""
    ones = _masked(graph, graph.filled(value, graph.constant(1, _F8)), mask, 0)
    return _fold(graph, ones, axes, "sum", _F8)


def mean(
    x: Tracer,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = True,
) -> int:
    """Record the mean."""
    _refuse_out("mean", out)
    graph, axes = x.graph, _axes("mean", x, axis)
    result = _moment_dtype("mean", x, dtype)
    request = _room().request
    code = request.code_of(x.dtype)
    mask = _mask(graph, where, "mean")
    if code is None or result.kind not in "fV" or request.code_of(result) is None:
        if mask is not None:
            raise trace_error(f"where= of mean of {x.dtype}", "leave it out, or reduce outside")
        found = _called("mean", x, axes, {"dtype": result})
    elif mask is not None:
        terms = _masked(graph, graph.cast(x.value, _F8), mask, 0)
        total = _fold(graph, terms, axes, "sum", _F8)
        mean = graph.emit("divide", "f8", total, _counts(graph, x.value, mask, axes))
        found = graph.cast(mean, result)
    else:
        wide = x.dtype.kind in "iu" and x.dtype.itemsize == 8
        element = _as_element(graph, x.value, "f8" if wide else code)
        found = _fold(graph, element, axes, "sum", result, "mean")
    return _shaped(graph, found, axes, keepdims)


def spread(
    name: str,
    x: Tracer,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    where: Any = True,
    mean: Any = _NO_VALUE,
    correction: Any = _NO_VALUE,
) -> int:
    """Record var or std; a mean that is given saves nothing, and is not used."""
    _refuse_out(name, out)
    graph, axes = x.graph, _axes(name, x, axis)
    freedom = float(_room().sums.read_ddof(name, ddof, correction))
    result = _moment_dtype(name, x, dtype)
    request = _room().request
    mask = _mask(graph, where, name)
    if request.code_of(x.dtype) is None or result.kind not in "fV":
        if mask is not None:
            raise trace_error(f"where= of {name} of {x.dtype}", "leave it out, or reduce outside")
        found = _called(name, x, axes, {"dtype": dtype, "ddof": freedom})
    elif mask is not None:
        found = graph.cast(_masked_spread(graph, name, x.value, mask, axes, freedom), result)
    else:
        element = _as_element(graph, x.value, _room().sums.moments_element(x.dtype))
        finish = "variance" if name == "var" else "deviation"
        found = _fold(graph, element, axes, "moments", result, finish, 0, freedom)
    return _shaped(graph, found, axes, keepdims)


def _masked_spread(
    graph: Graph, name: str, value: int, mask: int, axes: tuple[int, ...], freedom: float
) -> int:
    wide = graph.cast(value, _F8)
    counts = _counts(graph, value, mask, axes)
    total = _fold(graph, _masked(graph, wide, mask, 0), axes, "sum", _F8)
    centred = graph.emit("subtract", "f8", wide, graph.emit("divide", "f8", total, counts))
    squares = _masked(graph, graph.emit("square", "f8", centred), mask, 0)
    left = graph.emit("subtract", "f8", counts, graph.constant(freedom, _F8))
    left = graph.emit("maximum", "f8", left, graph.constant(0, _F8))
    found = graph.emit("divide", "f8", _fold(graph, squares, axes, "sum", _F8), left)
    return graph.emit("sqrt", "f8", found) if name == "std" else found


def by_ufunc(graph: Graph, ufunc: np.ufunc, inputs: Sequence[Any], options: dict[str, Any]) -> int:
    """Record ``np.add.reduce`` and its like."""
    from .tracing import Tracer

    name = _BY_UFUNC.get(ufunc)
    if name is None:
        raise trace_error(f"np.{ufunc.__name__}.reduce", "call it outside")
    array, *rest = inputs
    names = ("axis", "dtype", "out", "keepdims", "initial", "where")
    options.update(zip(names, rest, strict=False))
    x = array if isinstance(array, Tracer) else Tracer(graph, int(operand(graph, array)))  # type: ignore[arg-type]
    axis = options.pop("axis", 0)
    dtype = options.pop("dtype", None)
    if name in ("sum", "prod"):
        return accumulate(name, x, axis, dtype, **options)
    if dtype is not None:
        raise trace_error(f"dtype= of np.{ufunc.__name__}.reduce", "use astype before")
    record = logic if name in ("any", "all") else extreme
    return record(name, x, axis, **options)
