"""Calls of ufuncs on what is under trace, by NumPy's own choice of the loop."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from ..interop import asarray
from .errors import TraceError, trace_error, user_line
from .graph import COMPARISONS, Graph
from .program import code_of
from .traced import Traced, TracedArray, TracedScalar


class ScalarOperand:
    """A weak operand of a ufunc: a Python number, or a scalar argument under trace."""

    def __init__(self, scalar: Any) -> None:
        self.traced = scalar if isinstance(scalar, TracedScalar) else None
        self.sample = scalar if self.traced is None else self.traced.sample

    @property
    def kind(self) -> type:
        """What `resolve_dtypes` takes for a weak scalar: int, float or complex."""
        return type(self.sample)

    def known(self) -> Any:
        """Return the number itself; the trace then holds for it alone."""
        return self.sample if self.traced is None else self.traced.known()


def operand(graph: Graph, obj: Any) -> int | ScalarOperand:
    """See an argument of a NumPy function as a value of the graph or as a weak scalar."""
    if isinstance(obj, Traced) and obj.graph is not graph:
        raise trace_error("an array kept from another call", "pass it as an argument")
    if isinstance(obj, TracedArray):
        return obj.value
    if isinstance(obj, TracedScalar) or type(obj) in (int, float, complex):
        return ScalarOperand(obj)
    if isinstance(obj, (bool, np.bool)):
        return graph.constant(obj, np.dtype(bool))
    if isinstance(obj, np.generic):
        return graph.constant(obj, obj.dtype)
    array = asarray(obj, function="ufuse.fuse", argument="captured array")
    if array.dtype.kind in "OSUTmM":
        raise trace_error(f"an array of dtype {array.dtype}", "expected numbers")
    return graph.capture(array)


def value_in(graph: Graph, op: int | ScalarOperand, dtype: np.dtype[Any]) -> int:
    """Return an operand as a value; a weak scalar takes `dtype`, any other keeps its own."""
    if isinstance(op, int):
        return op
    if op.traced is None:
        return graph.constant(op.sample, dtype)
    graph.constant(op.sample, dtype)  # an integer that does not fit raises NumPy's error now
    return graph.weak(op.traced.compute, dtype)


def apply(
    graph: Graph, ufunc: np.ufunc, inputs: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[int, ...]:
    """Record one call of a ufunc and return the values of its results."""
    if ufunc.signature is not None:
        return (_generalised(graph, ufunc, inputs, kwargs),)
    options = dict(kwargs)
    if options.pop("where", True) is not True:
        raise trace_error(f"where= of np.{ufunc.__name__}", "use np.where(mask, result, otherwise)")
    dtype, casting = options.pop("dtype", None), options.pop("casting", "same_kind")
    options.pop("order", None)
    options.pop("subok", None)
    if options:
        raise trace_error(f"{next(iter(options))}= of np.{ufunc.__name__}", "leave it out")
    operands = [operand(graph, obj) for obj in inputs]
    if ufunc is np.power:
        operands[1] = _known_exponent(operands[1])
    dtypes = _resolve(graph, ufunc, operands, dtype, casting)
    if ufunc in COMPARISONS:
        answer = _beyond_range(graph, ufunc, operands, dtypes[0])
        if answer is not None:
            return (answer,)
    if ufunc is np.power and isinstance(operands[1], ScalarOperand):
        result = _power(
            graph,
            graph.cast(value_in(graph, operands[0], dtypes[0]), dtypes[-1]),
            operands[1].sample,
        )
        if result is not None:
            return (result,)
    values = [value_in(graph, op, dtypes[i]) for i, op in enumerate(operands)]
    return graph.loop(ufunc, values, dtypes)


_GENERALISED = {"casting", "order", "dtype", "axes", "axis", "keepdims"}  # that ours have


def _generalised(
    graph: Graph, ufunc: np.ufunc, inputs: Sequence[Any], kwargs: dict[str, Any]
) -> int:
    """Record a ufunc that contracts; floats that NumPy has no loop for are summed in its dtype."""
    options = dict(kwargs)
    options.pop("subok", None)
    for name in options.keys() - _GENERALISED:
        raise trace_error(f"{name}= of np.{ufunc.__name__}", "leave it out")
    operands = [operand(graph, obj) for obj in inputs]
    given = [graph.dtype(op) if isinstance(op, int) else op.kind for op in operands]
    if options.get("dtype") is None and any(np.dtype(kind).kind == "V" for kind in given):
        options["accumulate"] = ufunc.resolve_dtypes((*given, *(None,) * ufunc.nout))[-1]
    return contracted(ufunc.__name__, *inputs, **options)


def contracted(name: str, *args: Any, **kwargs: Any) -> int:
    """Record a contraction by the public function that has the name of NumPy's."""
    function = getattr(import_module("ufuse.contract"), name, None)
    if function is None:
        raise trace_error(f"np.{name}", "call it on the result of the fused function")
    try:
        result: TracedArray = function(*args, **kwargs)
    except (TypeError, ValueError) as error:
        if not isinstance(error, TraceError):
            error.add_note(f"in a function traced by ufuse.fuse, at {user_line()}")
        raise
    return result.value


def _resolve(
    graph: Graph, ufunc: np.ufunc, operands: Sequence[int | ScalarOperand], dtype: Any, casting: Any
) -> tuple[np.dtype[Any], ...]:
    given = [graph.dtype(op) if isinstance(op, int) else op.kind for op in operands]
    options: dict[str, Any] = {"casting": casting}
    if dtype is not None:
        options["signature"] = (*(None,) * ufunc.nin, *(np.dtype(dtype),) * ufunc.nout)
    try:
        dtypes: tuple[np.dtype[Any], ...] = ufunc.resolve_dtypes(
            (*given, *(None,) * ufunc.nout), **options
        )
    except TypeError as error:  # NumPy's own refusal, at the user's line
        error.add_note(f"in a function traced by ufuse.fuse, at {user_line()}")
        raise
    return dtypes


def _beyond_range(
    graph: Graph, ufunc: np.ufunc, operands: Sequence[int | ScalarOperand], dtype: np.dtype[Any]
) -> int | None:
    """Decide a comparison of integers with a Python integer that their dtype cannot hold."""
    if dtype.kind not in "iu":
        return None
    limits = np.iinfo(dtype)
    for place, op in enumerate(operands):
        other = operands[1 - place]
        if not isinstance(op, ScalarOperand) or not isinstance(other, int):
            continue
        # Sums of integers may leave the range at any call, arguments of one key do so together.
        derived = op.traced is not None and op.traced.derived
        number = op.known() if derived else op.sample
        if limits.min <= number <= limits.max:
            return None
        sides = (0, number) if place else (number, 0)
        return graph.truth(graph.cast(other, dtype), bool(COMPARISONS[ufunc](*sides)))
    return None


def _known_exponent(op: int | ScalarOperand) -> int | ScalarOperand:
    return op if isinstance(op, int) else ScalarOperand(op.known())


def _power(graph: Graph, base: int, exponent: Any) -> int | None:
    """Record a power with a constant exponent without ``pow``, where that is as exact.

    Exact: 0, 1, 2 and, for floats, 0.5 and -1 (one correctly rounded operation; NumPy does the
    same), and integers to any small power. float64 to the power 3 rounds twice: less than 1.5 ULP
    from the exact value, so at most 1 ULP from a correctly rounded ``pow``. float32 to powers 3 to
    8 and -2 to -8 goes through float64, where it cannot overflow, and rounds once. (NumPy's own
    float32 ``pow`` is off by up to 1 ULP, so two roundings were up to 2 ULP from it.) Anything
    else is ``pow``.
    """
    dtype = graph.dtype(base)
    code = code_of(dtype)
    whole = int(exponent) if not isinstance(exponent, complex) and exponent % 1 == 0 else None
    if dtype.kind in "iu":
        if whole is None or not isinstance(exponent, int):
            return None
        if whole < 0:
            raise ValueError("Integers to negative integer powers are not allowed.")
    elif dtype.kind != "f" or dtype.itemsize > 8:
        return None
    if whole == 0:
        return graph.filled(base, graph.constant(1, dtype))
    if whole == 1:
        return base
    if whole == 2:
        return graph.emit("square", code, base)
    if dtype.kind == "f":
        if exponent == 0.5:
            return graph.emit("sqrt", code, base)
        if whole == -1:
            return graph.emit("reciprocal", code, base)
    if whole is None or abs(whole) > 8:
        return None
    if dtype.kind in "iu" or (whole == 3 and code == "f8"):
        return _chain(graph, base, whole)
    if code != "f4":
        return None
    wide = _chain(graph, graph.cast(base, np.dtype(np.float64)), abs(whole))
    if whole < 0:
        wide = graph.emit("reciprocal", "f8", wide)
    return graph.cast(wide, dtype)


def _chain(graph: Graph, base: int, exponent: int) -> int:
    """Multiply `base` with itself by repeated squaring."""
    code = graph.values[base].code
    result, factor = None, base
    while True:
        if exponent % 2:
            result = factor if result is None else graph.emit("multiply", code, factor, result)
        exponent //= 2
        if not exponent:
            assert result is not None
            return result
        factor = graph.emit("square", code, factor)
