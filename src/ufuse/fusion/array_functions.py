"""NumPy functions that are no ufuncs, as they are recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import trace_error
from .graph import Graph
from .program import code_of, dtype_of
from .traced import Traced, TracedArray, TracedScalar
from .ufuncs import ScalarOperand, contracted, operand, value_in

if TYPE_CHECKING:
    from .tracing import Tracer

_REMEDY = "call it on the result of the fused function, or write it with ufuncs and np.where"
_recorders: dict[Any, Callable[..., Any]] = {}


class _Context:
    """The trace that a function was called in."""

    def __init__(self, graph: Graph, tracer: type[Tracer]) -> None:
        self.graph = graph
        self.new: Callable[[int], Tracer] = lambda value: tracer(graph, value)

    def value(self, obj: Any) -> int:
        """See `obj` as a value; Python scalars get the dtype NumPy gives them alone."""
        op = operand(self.graph, obj)
        return op if isinstance(op, int) else value_in(self.graph, op, np.dtype(op.kind))

    def tracer(self, obj: Any) -> Tracer:
        return self.new(self.value(obj))


def call_function(
    graph: Graph, function: Any, args: Sequence[Any], kwargs: dict[str, Any], tracer: type[Tracer]
) -> Any:
    """Record a call of a NumPy function that hands over to its arguments."""
    recorder = _recorders.get(function)
    if recorder is None:
        module = getattr(function, "__module__", "numpy").replace("numpy", "np", 1)
        raise trace_error(f"{module}.{function.__name__}", _REMEDY)
    return recorder(_Context(graph, tracer), *args, **kwargs)


def records(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make the decorated function what calls of NumPy's `functions` are recorded by."""

    def register(recorder: Callable[..., Any]) -> Callable[..., Any]:
        _recorders.update(dict.fromkeys(functions, recorder))
        return recorder

    return register


def is_recorded(function: Any) -> bool:
    """Whether a NumPy function that is no ufunc can be called on what is under trace."""
    return function in _recorders


def sample_of(graph: Graph, op: int | ScalarOperand) -> Any:
    """Return something that promotes as the operand does: a Python number, or an empty array."""
    return op.sample if isinstance(op, ScalarOperand) else np.empty(0, graph.dtype(op))


def _refuse(function: str, **options: Any) -> None:
    for name, given in options.items():
        if given is not None and given is not np._NoValue:
            raise trace_error(f"{name}= of np.{function}", "leave it out")


@records(np.where)
def where(context: _Context, condition: Any, x: Any = None, y: Any = None) -> Any:
    """Record the form with three arguments; the other one has a result of unknown length."""
    if x is None or y is None:
        raise trace_error("np.where(condition) with one argument", "call it outside")
    graph = context.graph
    mask = graph.cast(context.value(condition), np.dtype(bool))
    operands = [operand(graph, obj) for obj in (x, y)]
    samples = [sample_of(graph, op) for op in operands]
    dtype = np.where(np.empty(0, bool), *samples).dtype
    values = []
    for op in operands:
        if isinstance(op, ScalarOperand) and dtype.kind in "iu":
            # An integer that does not fit is wrapped here, and in no other function of NumPy's.
            values.append(graph.constant(np.where(True, op.known(), np.empty((), dtype)), dtype))
        else:
            values.append(graph.cast(value_in(graph, op, dtype), dtype))
    return context.new(graph.emit("where", graph.values[values[0]].code, mask, *values))


@records(np.clip)
def clip(
    context: _Context,
    a: Any,
    a_min: Any = np._NoValue,
    a_max: Any = np._NoValue,
    out: Any = None,
    *,
    min: Any = np._NoValue,
    max: Any = np._NoValue,
    **options: Any,
) -> Any:
    """Record the larger of `a` and the lower bound, then the smaller of that and the upper."""
    if a_min is np._NoValue and a_max is np._NoValue:
        a_min = None if min is np._NoValue else min
        a_max = None if max is np._NoValue else max
    elif a_min is np._NoValue or a_max is np._NoValue:
        missing = "a_min" if a_min is np._NoValue else "a_max"
        raise TypeError(f"clip() missing 1 required positional argument: '{missing}'")
    elif min is not np._NoValue or max is not np._NoValue:
        raise ValueError(
            "Passing `min` or `max` keyword argument when `a_min` and `a_max` are "
            "provided is forbidden."
        )
    _refuse("clip", out=out, **options)
    graph = context.graph
    x = context.tracer(a)
    lower, upper = (None if bound is None else operand(graph, bound) for bound in (a_min, a_max))
    if x.dtype.kind in "iu":
        limits = np.iinfo(x.dtype)  # Python integers beyond the dtype are no bounds
        if (bound := _integer(lower)) is not None and bound <= limits.min:
            lower = None
        if (bound := _integer(upper)) is not None and bound >= limits.max:
            upper = None
    given = [bound for bound in (lower, upper) if bound is not None]
    dtype = np.result_type(*(_promoting(graph, op) for op in (x.value, *given)))
    result = graph.cast(x.value, dtype)
    for operand_, ufunc in ((lower, np.maximum), (upper, np.minimum)):
        if operand_ is not None:
            loop = (dtype, dtype, dtype)
            (result,) = graph.loop(ufunc, (result, value_in(graph, operand_, dtype)), loop)
    return context.new(result)


def _integer(bound: int | ScalarOperand | None) -> int | None:
    """Return a bound that is a Python integer; the trace then holds for it alone."""
    if isinstance(bound, ScalarOperand) and type(bound.sample) is int:
        return int(bound.known())
    return None


def _promoting(graph: Graph, op: int | ScalarOperand) -> Any:
    return op.sample if isinstance(op, ScalarOperand) else graph.dtype(op)


@records(np.round, np.around)
def round_(context: _Context, a: Any, decimals: int = 0, out: Any = None) -> Any:
    _refuse("round", out=out)
    x = context.tracer(a)
    if decimals != 0:
        raise trace_error("np.round with decimals", "write np.rint(x * 10**n) / 10**n")
    return x if x.dtype.kind in "iu" else np.rint(x)


@records(np.copy)
def copy(context: _Context, a: Any, order: str = "K", subok: bool = False) -> Any:
    return context.new(context.value(a))


@records(np.full_like)
def full_like(
    context: _Context,
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    device: Any = None,
) -> Any:
    _refuse("full_like", shape=shape, device=device)
    graph = context.graph
    like = context.value(a)
    target = graph.dtype(like) if dtype is None else np.dtype(dtype)
    constant = graph.cast(value_in(graph, operand(graph, fill_value), target), target)
    return context.new(graph.filled(like, constant))


@records(np.zeros_like)
def zeros_like(context: _Context, a: Any, dtype: Any = None, **options: Any) -> Any:
    return full_like(context, a, 0, dtype, **options)


@records(np.ones_like)
def ones_like(context: _Context, a: Any, dtype: Any = None, **options: Any) -> Any:
    return full_like(context, a, 1, dtype, **options)


def astype(context: _Context, x: Any, dtype: Any, /, *, copy: bool = True, **_: Any) -> Any:
    return context.tracer(x).astype(dtype)


if hasattr(np, "astype"):  # NumPy 2.1
    records(np.astype)(astype)


@records(np.result_type)
def result_type(context: _Context, *arrays_and_dtypes: Any) -> Any:
    graph = context.graph
    return np.result_type(
        *(
            _promoting(graph, operand(graph, obj)) if isinstance(obj, Traced) else obj
            for obj in arrays_and_dtypes
        )
    )


def _by_method(name: str) -> Callable[..., Any]:
    def recorder(context: _Context, a: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(context.tracer(a), name)(*args, **kwargs)

    return recorder


for _function, _method in (
    (np.sum, "sum"), (np.prod, "prod"), (np.max, "max"), (np.amax, "max"), (np.min, "min"),
    (np.amin, "min"), (np.any, "any"), (np.all, "all"), (np.mean, "mean"), (np.var, "var"),
    (np.std, "std"),
):  # fmt: skip
    records(_function)(_by_method(_method))


@records(np.real)
def real(context: _Context, val: Any) -> Any:
    return val.real  # of a Python number it is one, and weak


@records(np.imag)
def imag(context: _Context, val: Any) -> Any:
    return val.imag


def part_of_complex(graph: Graph, name: str, value: int) -> int:
    """Record the real or imaginary part; that of real numbers needs no operation."""
    dtype = graph.dtype(value)
    if dtype.kind == "c":
        return graph.emit(name, code_of(np.empty(0, dtype).real.dtype), value)
    return value if name == "real" else graph.filled(value, graph.constant(0, dtype))


def complex_of(real: Any, imag: Any) -> Any:
    """Make complex numbers of their parts, inside of functions to trace; NumPy has no function."""
    parts = (real, imag)
    array = next((x for x in parts if isinstance(x, TracedArray)), None)
    if array is None:
        known = [x.known() if isinstance(x, TracedScalar) else x for x in parts]
        number = complex(*known)
        weak = all(type(x) in (bool, int, float) for x in known)
        return number if weak else np.result_type(*known, np.complex64).type(number)
    graph = array.graph
    operands = [operand(graph, x) for x in parts]
    dtype = np.result_type(*(_promoting(graph, op) for op in operands))
    if dtype.kind == "c":
        raise TypeError("complex() takes real numbers; of complex ones write a + 1j*b")
    target = np.result_type(dtype, np.complex64)
    part = np.empty(0, target).real.dtype
    values = [graph.cast(value_in(graph, op, part), part) for op in operands]
    return type(array)(graph, graph.emit("complex", code_of(target), *values))  # type: ignore[call-arg]


@records(np.einsum)
def einsum(context: _Context, *operands: Any, out: Any = None, **options: Any) -> Any:
    _refuse("einsum", out=out)
    if not options.get("optimize", True):
        del options["optimize"]  # the path of many operands is ours
    return context.new(contracted("einsum", *operands, **options))


def _by_name(name: str) -> Callable[..., Any]:
    def recorder(context: _Context, a: Any, b: Any, *args: Any, **options: Any) -> Any:
        _refuse(name, out=options.pop("out", None))
        return context.new(contracted(name, a, b, *args, **options))

    return recorder


for _product in (np.dot, np.vdot, np.inner, np.outer, np.tensordot, np.kron):
    records(_product)(_by_name(_product.__name__))


@records(np.shape)
def shape_(context: _Context, a: Any) -> Any:
    return context.tracer(a).shape


@records(np.ndim)
def ndim(context: _Context, a: Any) -> Any:
    return context.tracer(a).ndim


@records(np.size)
def size(context: _Context, a: Any, axis: Any = None) -> Any:
    shape = context.tracer(a).shape
    return context.tracer(a).size if axis is None else shape[axis]


@records(np.iscomplexobj)
def iscomplexobj(context: _Context, x: Any) -> Any:
    return dtype_of(context.graph.values[context.value(x)].code).kind == "c"
