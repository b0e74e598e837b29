"""The graph that a trace builds: values with their dtype and shape, shared as they are made."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..catalogue import operations
from ..catalogue.dtypes import BY_CODE, FLOATS, UNSIGNED
from ..catalogue.rows import Operation as Row
from .errors import trace_error, user_line
from .instructions import Call, Contraction, Instruction, Operation, Reduction
from .program import Program, code_of, constant_key, dtype_of
from .shapes import Shape, broadcast_shapes
from .views import View


@dataclass(frozen=True)
class Leaf:
    """An array: argument number `index` of the call, or beyond those a captured array."""

    index: int


@dataclass(frozen=True)
class Weak:
    """A Python scalar, computed from scalar arguments at each call, in the dtype it was given."""

    compute: Callable[[Sequence[Any]], Any]
    code: str


Source = Leaf | Weak


@dataclass(frozen=True)
class _Value:
    """A value of the graph; `origin` are the leaves that it has its shape from.

    A negative number stands for what has another shape: one for each contraction, view and so on.
    """

    code: str
    shape: Shape
    origin: frozenset[int]
    what: Source | Instruction | None  # None: a constant
    constant: Any = None


class Graph:
    """Values recorded while a function is traced.

    Attributes
    ----------
    captured : list of ndarray
        Arrays that the function uses without having been given them.
    shape_dependent : bool
        Whether the function looked at a shape, so that the trace holds for these shapes alone.
    """

    def __init__(self, argument_count: int) -> None:
        self.values: list[_Value] = []
        self.captured: list[NDArray[Any]] = []
        self.shape_dependent = False
        self._argument_count = argument_count
        self._known: dict[Any, int] = {}

    def dtype(self, value: int) -> np.dtype[Any]:
        return dtype_of(self.values[value].code)

    def _add(self, key: Any, value: _Value) -> int:
        if key not in self._known:
            self._known[key] = len(self.values)
            self.values.append(value)
        return self._known[key]

    def leaf(self, index: int, array: NDArray[Any]) -> int:
        """Add array argument `index`."""
        origin = frozenset({index}) if array.ndim else frozenset()
        leaf = Leaf(index)
        return self._add(leaf, _Value(code_of(array.dtype), array.shape, origin, leaf))

    def capture(self, array: NDArray[Any]) -> int:
        """Add an array from outside of the function: it is read again at each call."""
        for place, known in enumerate(self.captured):
            if known is array:
                return self.leaf(self._argument_count + place, array)
        self.captured.append(array)
        return self.leaf(self._argument_count + len(self.captured) - 1, array)

    def constant(self, scalar: Any, dtype: np.dtype[Any]) -> int:
        """Add a constant. A Python integer that `dtype` cannot hold is NumPy's OverflowError."""
        with np.errstate(all="ignore"):
            value = np.asarray(scalar, dtype=dtype_of(code_of(dtype)))[()]
        code = code_of(dtype)
        return self._add(constant_key(code, value), _Value(code, (), frozenset(), None, value))

    def weak(self, compute: Callable[[Sequence[Any]], Any], dtype: np.dtype[Any]) -> int:
        """Add a Python scalar that is known at each call."""
        source = Weak(compute, code_of(dtype))
        return self._add(source, _Value(source.code, (), frozenset(), source))

    def emit(self, operation: str, code: str, *args: int) -> int:
        """Add an operation of elements; its operands must have the dtypes of a loop."""
        instruction = Instruction(operation, code, args)
        if instruction in self._known:
            return self._known[instruction]
        operands = [self.values[arg] for arg in args]
        shape = self._broadcast(operation, [operand.shape for operand in operands])
        origin = frozenset().union(*(operand.origin for operand in operands))
        return self._add(instruction, _Value(code, shape, origin, instruction))

    def _emit_shaped(
        self, operation: Operation, code: str, args: tuple[int, ...], shape: Shape
    ) -> int:
        instruction = Instruction(operation, code, args)
        if instruction in self._known:
            return self._known[instruction]
        origin = frozenset({-1 - len(self.values)}) if shape else frozenset[int]()
        return self._add(instruction, _Value(code, shape, origin, instruction))

    def reduce(self, reduction: Reduction, code: str, value: int) -> int:
        """Add a reduction of the value's own element type, whose axes stay with size 1."""
        shape = reduction.result_shape(self.values[value].shape)
        return self._emit_shaped(reduction, code, (value,), shape)

    def view(self, view: View, value: int) -> int:
        """Add a view of a value."""
        known = self.values[value]
        return self._emit_shaped(view, known.code, (value,), view.result_shape(known.shape))

    def call(self, call: Call, code: str, *args: int) -> int:
        """Add a call of a function of ufuse."""
        shape = call.result_shape([self.values[arg].shape for arg in args])
        return self._emit_shaped(call, code, args, shape)

    def contract(
        self, operation: Contraction, code: str, args: tuple[int, ...], shape: Shape
    ) -> int:
        """Add a contraction, whose result has a shape."""
        return self._emit_shaped(operation, code, args, shape)

    def _broadcast(self, operation: str, shapes: Sequence[Shape]) -> Shape:
        try:
            return broadcast_shapes(*shapes)
        except ValueError:
            raise ValueError(
                f"{user_line()}\n  operands could not be broadcast together with shapes "
                f"{' '.join(map(str, shapes))} in {operation!r}"
            ) from None

    def cast(self, value: int, dtype: np.dtype[Any]) -> int:
        """Convert `value` as ``astype`` does; constants are converted at once."""
        code = code_of(dtype)
        known = self.values[value]
        if known.code == code:
            return value
        if known.what is None:
            with np.errstate(all="ignore"):
                return self.constant(known.constant.astype(dtype_of(code)), dtype)
        return self.emit("nonzero" if code == "?" else "cast", code, value)

    def truth(self, value: int, answer: bool) -> int:
        """Return True, or False, in the shape of `value`, which must not be NaN anywhere."""
        return self.emit("equal" if answer else "not_equal", "?", value, value)

    def filled(self, value: int, constant: int) -> int:
        """Return `constant` in the shape of `value`."""
        shaped = self.truth(value, True)
        return self.emit("where", self.values[constant].code, shaped, constant, constant)

    def loop(
        self, ufunc: np.ufunc, args: Sequence[int], dtypes: Sequence[np.dtype[Any]]
    ) -> tuple[int, ...]:
        """Apply a ufunc; `dtypes` are those of the loop, operands first, then results."""
        args = [self.cast(arg, dtype) for arg, dtype in zip(args, dtypes, strict=False)]
        codes = [code_of(dtype) for dtype in dtypes]
        shortcut = self._shortcut(ufunc, args, codes)
        if shortcut is not None:
            return (shortcut,)
        row = _row_of(ufunc)
        if row is not None and row.ufunc is None and codes[0] not in BY_CODE:
            return (self.apply(row, *args),)  # float16, which our own ufuncs have a loop for
        if row is not None:
            boolean = row.boolean if set(codes) == {"?"} else None
            return (self.emit(boolean or row.name, codes[-1], *args),)
        if ufunc is np.divmod and dtypes[0].kind in "iu":
            return tuple(self.emit(half, codes[0], *args) for half in ("floor_divide", "remainder"))
        name = _name_of(ufunc)
        if ufunc.nout == 1:
            return (self.emit(name, codes[-1], *args),)
        results = enumerate(codes[ufunc.nin :])
        return tuple(self.emit(f"{name}:{which}", code, *args) for which, code in results)

    def _shortcut(self, ufunc: np.ufunc, args: Sequence[int], codes: Sequence[str]) -> int | None:
        """Return what needs no kernel: loops that NumPy has for the sake of completeness."""
        first, kind = codes[0], dtype_of(codes[0]).kind
        name = ufunc.__name__
        exact = kind in "bui"
        unchanged = (
            name == "positive"
            or (name == "absolute" and (first in UNSIGNED or first == "?"))
            or (name in ("floor", "ceil", "trunc") and exact and first == codes[-1])
            or (name == "conjugate" and kind != "c")
        )
        if unchanged and first == codes[-1]:
            return args[0]
        if exact and name in ("isnan", "isinf", "isfinite"):
            return self.truth(args[0], name == "isfinite")
        if name.startswith("logical_") and first != "?":
            return self.emit(name, "?", *(self.cast(arg, np.dtype(bool)) for arg in args))
        if name == "fabs" and first in FLOATS:
            return self.emit("absolute", first, *args)
        return None

    def apply(self, row: Row, *args: int) -> int:
        """Apply an operation that NumPy has no ufunc for, in the dtype of its first operand."""
        dtype = self.dtype(args[0])
        computed = floating_dtype(dtype, row.name)
        operands = [self.cast(arg, computed) for arg in args]
        result = self.emit(row.name, code_of(computed), *operands)
        floating = dtype.kind in "fV" and not dtype.name.startswith(("int", "uint"))
        return self.cast(result, dtype if floating else computed)

    def finish(self, outputs: Sequence[int]) -> tuple[Program, tuple[Source, ...]]:
        """Return the canonical program for `outputs` and where each of its inputs comes from."""
        sources = [v.what for v in self.values if isinstance(v.what, Source)]
        constants = [v for v in self.values if v.what is None]
        order = sorted(
            range(len(self.values)),
            key=lambda i: (
                2
                if isinstance(self.values[i].what, Instruction)
                else 1
                if self.values[i].what is None
                else 0
            ),
        )  # sorted() is stable, so instructions stay in order
        number = {old: new for new, old in enumerate(order)}
        whats = [v.what for v in self.values]
        program = Program(
            tuple(v.code for v in self.values if isinstance(v.what, Source)),
            tuple((v.code, v.constant) for v in constants),
            tuple(
                what._replace(args=tuple(number[arg] for arg in what.args))
                for what in whats
                if isinstance(what, Instruction)
            ),
            tuple(number[output] for output in outputs),
        )
        slim, kept = program.select(range(len(outputs)))
        return slim, tuple(sources[i] for i in kept)


def floating_dtype(dtype: np.dtype[Any], function: str) -> np.dtype[Any]:
    """Return the compiled dtype a floating operation is computed in for operands of `dtype`.

    float32 for bool, integers below 32 bits, float16 and the floats of ml_dtypes; float64 for
    wider integers: the smallest that holds every value, as `scipy.special` chooses too.
    """
    if dtype.kind in "biuV" or (dtype.kind == "f" and dtype.itemsize <= 8):
        small = dtype.itemsize <= 2 or code_of(dtype) == "f4"
        return np.dtype(np.float32 if small else np.float64)
    raise TypeError(f"ufuse.{function}: dtype {dtype} is not supported; expected real numbers")


def _row_of(ufunc: np.ufunc) -> Row | None:
    row = operations.BY_UFUNC.get(ufunc)
    if row is None and _in_module(ufunc, "scipy.special"):
        return operations.BY_SCIPY.get(ufunc.__name__)
    if row is None and _in_module(ufunc, "ufuse.ufuncs"):
        return operations.BY_NAME.get(ufunc.__name__)
    return row


def _in_module(ufunc: np.ufunc, module: str) -> bool:
    return getattr(sys.modules.get(module), ufunc.__name__, None) is ufunc


def _name_of(ufunc: np.ufunc) -> str:
    for module in ("numpy", "scipy.special", "ufuse.ufuncs"):
        if _in_module(ufunc, module):
            return f"{module}.{ufunc.__name__}"
    raise trace_error(
        f"the ufunc {ufunc.__name__!r}", "call it on the result of the fused function"
    )


COMPARISONS: Final[dict[np.ufunc, Callable[[Any, Any], bool]]] = {
    np.equal: operator.eq,
    np.not_equal: operator.ne,
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
}
