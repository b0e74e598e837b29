"""NumPy functions that are no ufuncs, as they are recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import not_inside, trace_error
from .graph import Graph
from .program import code_of, dtype_of
from .traced import Traced, TracedArray, TracedScalar
from .ufuncs import ScalarOperand, contracted, operand, value_in

if TYPE_CHECKING:
    from .tracing import Tracer

_REMEDY = "call it on the result of the fused function, or write it with ufuncs and np.where"
_recorders: dict[Any, Callable[..., Any]] = {}


class Context:
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
    return recorder(Context(graph, tracer), *args, **kwargs)


def call_of_ufuse(context: Context, name: str, *args: Any, **kwargs: Any) -> Any:
    """Record a call of ``ufuse.NAME``."""
    recorder = _recorders.get(f"ufuse.{name}")
    if recorder is None:
        raise not_inside(f"ufuse.{name}", "a")
    return recorder(context, *args, **kwargs)


def records(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make the decorated function what calls of NumPy's `functions` are recorded by.

    Functions of ufuse are given by name, ``"ufuse.softmax"``.
    """

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
def where(context: Context, condition: Any, x: Any = None, y: Any = None) -> Any:
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
    context: Context,
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
def round_(context: Context, a: Any, decimals: int = 0, out: Any = None) -> Any:
    """Record rounding to so many decimals as NumPy does it: by a power of ten that is exact."""
    _refuse("round", out=out)
    x = context.tracer(a)
    if x.dtype.kind in "iu":
        if decimals < 0:
            raise trace_error("np.round of integers to tens", "write np.rint(x / 10**n) * 10**n")
        return x
    if decimals == 0:
        return np.rint(x)
    factor = float(10 ** abs(decimals))
    return np.rint(x * factor) / factor if decimals > 0 else np.rint(x / factor) * factor


@records(np.select)
def select(context: Context, condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """Record the first choice whose condition holds."""
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    if not condlist:
        raise ValueError("select with an empty condition list is not possible")
    graph = context.graph
    choices = [operand(graph, obj) for obj in (*choicelist, default)]
    dtype = np.result_type(*(sample_of(graph, op) for op in choices))
    values = [graph.cast(value_in(graph, op, dtype), dtype) for op in choices]
    found = values.pop()
    for condition, value in zip(condlist[::-1], values[::-1], strict=True):
        mask = context.value(condition)
        if graph.dtype(mask) != np.bool_:
            raise TypeError("invalid entry in condlist: should be boolean ndarray")
        found = graph.emit("where", graph.values[value].code, mask, value, found)
    return context.new(found)


@records(np.piecewise)
def piecewise(
    context: Context, x: Any, condlist: Any, funclist: Any, *args: Any, **kwargs: Any
) -> Any:
    """Record functions of `x` where their conditions hold; all of them are of all of `x`."""
    graph = context.graph
    given = context.tracer(x)
    conditions = list(condlist) if isinstance(condlist, (list, tuple)) else [condlist]
    masks = [graph.cast(context.value(c), np.dtype(bool)) for c in conditions]
    functions = list(funclist)
    if len(functions) == len(masks) + 1:
        any_of = masks[0]
        for mask in masks[1:]:
            any_of = graph.emit("logical_or", "?", any_of, mask)
        masks.insert(0, graph.emit("logical_not", "?", any_of))
        functions.insert(0, functions.pop())
    elif len(functions) != len(masks):
        raise ValueError(
            f"with {len(masks)} condition(s), either {len(masks)} or {len(masks) + 1} functions "
            "are expected"
        )
    dtype = given.dtype
    found = graph.filled(given.value, graph.constant(0, dtype))
    for mask, function in zip(masks, functions, strict=True):
        result = function(given, *args, **kwargs) if callable(function) else function
        op = operand(graph, result)
        value = graph.cast(value_in(graph, op, dtype), dtype)
        found = graph.emit("where", graph.values[found].code, mask, value, found)
    return context.new(found)


@records(np.nan_to_num)
def nan_to_num(
    context: Context, x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None,
    neginf: Any = None,
) -> Any:  # fmt: skip
    """Record numbers in the place of NaN and infinities."""
    given = context.tracer(x)
    if given.dtype.kind == "c":
        raise trace_error("np.nan_to_num of complex numbers", "take the parts .real and .imag")
    if given.dtype.kind not in "fV":
        return given
    limits = np.finfo(given.dtype) if given.dtype.kind == "f" else _finfo(given.dtype)
    of = given.dtype.type
    found = np.where(np.isnan(given), of(nan), given)
    found = np.where(
        np.equal(given, of(np.inf)), of(limits.max if posinf is None else posinf), found
    )
    return np.where(
        np.equal(given, of(-np.inf)), of(limits.min if neginf is None else neginf), found
    )


def _finfo(dtype: np.dtype[Any]) -> Any:
    return import_module("ml_dtypes").finfo(dtype)


@records(np.isclose)
def isclose(
    context: Context, a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False
) -> Any:
    """Record NumPy's formula: ``|a - b| <= atol + rtol * |b|``, or equal."""
    x, y = context.tracer(a), context.tracer(b)
    if y.dtype.kind in "biu":
        y = y.astype(np.result_type(y.dtype, 1.0))
    near = np.less_equal(np.abs(x - y), atol + rtol * np.abs(y)) & np.isfinite(y)
    found = near | np.equal(x, y)
    return found | (np.isnan(x) & np.isnan(y)) if equal_nan else found


@records(np.allclose)
def allclose(
    context: Context, a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False
) -> Any:
    return isclose(context, a, b, rtol, atol, equal_nan).all()


@records(np.isposinf)
def isposinf(context: Context, x: Any, out: Any = None) -> Any:
    _refuse("isposinf", out=out)
    return np.equal(context.tracer(x), np.inf)


@records(np.isneginf)
def isneginf(context: Context, x: Any, out: Any = None) -> Any:
    _refuse("isneginf", out=out)
    return np.equal(context.tracer(x), -np.inf)


@records(np.fix)
def fix(context: Context, x: Any, out: Any = None) -> Any:
    _refuse("fix", out=out)
    return np.trunc(context.tracer(x))


@records(np.angle)
def angle(context: Context, z: Any, deg: bool = False) -> Any:
    x = context.tracer(z)
    found = np.arctan2(x.imag, x.real)
    return np.rad2deg(found) if deg else found


@records(np.copy)
def copy(context: Context, a: Any, order: str = "K", subok: bool = False) -> Any:
    return context.new(context.value(a))


@records(np.full_like)
def full_like(
    context: Context,
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
def zeros_like(context: Context, a: Any, dtype: Any = None, **options: Any) -> Any:
    return full_like(context, a, 0, dtype, **options)


@records(np.ones_like)
def ones_like(context: Context, a: Any, dtype: Any = None, **options: Any) -> Any:
    return full_like(context, a, 1, dtype, **options)


def astype(context: Context, x: Any, dtype: Any, /, *, copy: bool = True, **_: Any) -> Any:
    return context.tracer(x).astype(dtype)


if hasattr(np, "astype"):  # NumPy 2.1
    records(np.astype)(astype)


@records(np.result_type)
def result_type(context: Context, *arrays_and_dtypes: Any) -> Any:
    graph = context.graph
    return np.result_type(
        *(
            _promoting(graph, operand(graph, obj)) if isinstance(obj, Traced) else obj
            for obj in arrays_and_dtypes
        )
    )


@records(np.real)
def real(context: Context, val: Any) -> Any:
    return val.real  # of a Python number it is one, and weak


@records(np.imag)
def imag(context: Context, val: Any) -> Any:
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
def einsum(context: Context, *operands: Any, out: Any = None, **options: Any) -> Any:
    _refuse("einsum", out=out)
    if not options.get("optimize", True):
        del options["optimize"]  # the path of many operands is ours
    return context.new(contracted("einsum", *operands, **options))


def _by_name(name: str) -> Callable[..., Any]:
    def recorder(context: Context, a: Any, b: Any, *args: Any, **options: Any) -> Any:
        _refuse(name, out=options.pop("out", None))
        return context.new(contracted(name, a, b, *args, **options))

    return recorder


for _product in (np.dot, np.vdot, np.inner, np.outer, np.tensordot, np.kron):
    records(_product)(_by_name(_product.__name__))


@records(np.shape)
def shape_(context: Context, a: Any) -> Any:
    return context.tracer(a).shape


@records(np.ndim)
def ndim(context: Context, a: Any) -> Any:
    return context.tracer(a).ndim


@records(np.size)
def size(context: Context, a: Any, axis: Any = None) -> Any:
    shape = context.tracer(a).shape
    return context.tracer(a).size if axis is None else shape[axis]


@records(np.iscomplexobj)
def iscomplexobj(context: Context, x: Any) -> Any:
    return dtype_of(context.graph.values[context.value(x)].code).kind == "c"
