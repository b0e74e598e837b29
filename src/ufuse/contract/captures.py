"""Functions of sums that are made anew for each call, and those that are not: which one is known.

A function is known by its code and by what the code finds outside of it: constants, modules and
functions that stay what they are, and arrays, by their layout alone. It is then traced twice: as it
is, and with stand-ins in place of the arrays, which have no values to look at. Where both give the
same program, of the same arrays and parts of them, its code with such arrays has no other one, and
each call reads the arrays it finds.

Any other function (of an array's element) holds for itself alone, as long as the variables that its
code names are bound to the same, if nothing is reached from these that may change. So does one that
two traces might not tell from another: it handles exceptions, matches patterns, looks at names with
two underscores, or draws random numbers.
"""

from __future__ import annotations

import builtins
import dis
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, Never
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..fusion import FusedFunction
from ..fusion.arguments import Arguments
from ..fusion.environment import Environment
from ..fusion.errors import trace_error
from ..fusion.graph import Graph
from ..fusion.specialisation import Specialisation, specialise
from ..fusion.tracing import Tracer

Array = NDArray[Any]

_TRUSTED: Final = {"builtins", "numpy", "ufuse", "ml_dtypes", "math", "operator", "scipy"}
_CONSTANTS: Final = (type(None), bool, int, float, complex, str, bytes, type(...))
_BUILTINS: Final = {"abs", "bool", "complex", "float", "int", "len", "max", "min", "pow", "range",
                    "round", "sum", "tuple"}  # fmt: skip
_GLOBAL_LOADS: Final = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
#: Writes to variables, and imports.
_OUTSIDE: Final = {"IMPORT_NAME", "STORE_GLOBAL", "STORE_DEREF", "DELETE_GLOBAL", "DELETE_DEREF"}
#: What tells a stand-in from an array without an error of the trace: handlers, and patterns.
_TELLING: Final = {"PUSH_EXC_INFO", "MATCH_CLASS", "MATCH_MAPPING", "MATCH_SEQUENCE"}
#: Of modules: two traces may draw the same number.
_DRAWING: Final = {"random", "rvs"}
_DEPTH: Final = 4  # functions that call functions
_ATTEMPTS: Final = 32  # second traces of one code: vain if a number is new in each call

_SHAPES: Final = 256  # of sums, for which attempts are counted

_attempts: WeakKeyDictionary[CodeType, dict[Any, int]] = WeakKeyDictionary()


class _NotKnownError(Exception):
    """A function depends on what may change unseen."""


class _Stand(Tracer):
    """Stands for an array from outside, whose values nobody may look at; its views are such too.

    As an array, it is captured where it is used first.
    """

    def __init__(self, graph: Graph, array: Array, slot: int, slots: dict[int, int]) -> None:
        self.graph, self._array, self._slot, self._slots = graph, array, slot, slots
        self._argument = "captured"

    def __iter__(self) -> Never:
        raise _NotKnownError  # no TypeError, which `np.iterable` takes for an answer

    def __repr__(self) -> Never:
        raise _NotKnownError

    @property
    def value(self) -> int:  # type: ignore[override]
        self._slots[id(self._array)] = self._slot  # the graph keeps the array from now on
        return self.graph.capture(self._array)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    def _view(self, view: Any) -> _Stand:
        if not isinstance(view, np.ndarray) or not np.may_share_memory(view, self._array):
            raise trace_error("an element of an array", "pass it as an argument")
        return _Stand(self.graph, view, self._slot, self._slots)

    def __getitem__(self, index: Any) -> Any:
        return self._view(self._array[index])

    @property
    def T(self) -> _Stand:  # noqa: N802 (NumPy's name)
        return self._view(self._array.T)

    def transpose(self, *axes: Any) -> _Stand:
        return self._view(self._array.transpose(*axes))

    def reshape(self, *shape: Any, **options: Any) -> _Stand:
        return self._view(self._array.reshape(*shape, **options))


@dataclass(frozen=True)
class _Known:
    """A function of which everything that it finds outside is known.

    Attributes
    ----------
    names : tuple of str
        Global variables that its code loads.
    found : tuple
        Their values, then those of its cells and defaults; a `_Known` for each function.
    """

    kind: type
    function: FunctionType
    names: tuple[str, ...]
    found: tuple[Any, ...]

    def arrays(self) -> list[Array]:
        """Return the arrays in the order in which the core's Captures find them."""
        found: list[Array] = []
        for value in self.found:
            if isinstance(value, _Known):
                found += value.arrays()
            elif type(value) is np.ndarray:
                found.append(value)
        return found

    def captures(self) -> Any:
        parts: list[Any] = []
        for value in self.found:
            if isinstance(value, _Known):
                parts.append(value.captures())
            elif type(value) is np.ndarray:
                parts.append(executors.native.captured_array(value, False))
            else:
                parts.append(value)
        return executors.native.captures(self.kind, self.function.__code__, self.names, parts)

    def with_stands(self, stands: list[_Stand]) -> Any:
        """Return the function with others in place of the arrays; these are taken from the list."""
        unbound = executors.native.unbound
        values = [
            value.with_stands(stands)
            if isinstance(value, _Known)
            else stands.pop(0)
            if type(value) is np.ndarray
            else value
            for value in self.found
        ]
        function, count = self.function, len(self.names)
        scope = {"__builtins__": function.__globals__.get("__builtins__", builtins)}
        scope |= {
            name: value
            for name, value in zip(self.names, values[:count], strict=True)
            if value is not unbound
        }
        cells = len(function.__closure__ or ())
        return FunctionType(
            function.__code__,
            scope,
            function.__name__,
            tuple(values[count + cells :]),
            tuple(map(CellType, values[count : count + cells])) if cells else None,
        )


def _root(value: Any) -> str:
    inner = value.__wrapped__ if isinstance(value, FusedFunction) else value
    if isinstance(inner, FunctionType):  # not __module__, which `functools.wraps` copies
        return str(inner.__globals__.get("__name__")).partition(".")[0]
    return str(getattr(value, "__module__", None)).partition(".")[0]


def _is_constant(value: Any) -> bool:
    """Whether a value is and does the same wherever it is found."""
    if type(value) is tuple:
        return all(map(_is_constant, value))
    if type(value) in _CONSTANTS or isinstance(value, (np.dtype, np.ufunc)):
        return True
    if isinstance(value, np.generic):
        return _root(type(value)) in _TRUSTED
    if isinstance(value, ModuleType):
        path = value.__name__.split(".")
        return path[0] in _TRUSTED and _DRAWING.isdisjoint(path)
    if isinstance(value, BuiltinFunctionType):
        owner = value.__self__
        return owner is None or (isinstance(owner, ModuleType) and _is_constant(owner))
    if isinstance(value, type):
        return _root(value) in _TRUSTED
    if isinstance(value, (FunctionType, FusedFunction, type(np.clip))):
        return _root(value) in _TRUSTED
    return callable(value) and _root(type(value)) == "ufuse"  # entries of ours


def _known(function: Any, depth: int = 0) -> _Known:
    """Look at a function and those that it calls.

    Raises
    ------
    _NotKnownError
        If one finds something that may change unseen.
    """
    inner = function.__wrapped__ if isinstance(function, FusedFunction) else function
    if type(inner) is not FunctionType or hasattr(inner, "__wrapped__") or depth > _DEPTH:
        raise _NotKnownError
    if inner.__kwdefaults__ or type(inner.__globals__) is not dict:
        raise _NotKnownError
    if any(map(_looks_elsewhere, _instructions(inner.__code__))):
        raise _NotKnownError
    names = tuple(_loaded(inner.__code__))
    found = []
    for name in names:
        if name in inner.__globals__:
            found.append(_part(inner.__globals__[name], depth))
        elif name in _BUILTINS:
            found.append(executors.native.unbound)
        else:
            raise _NotKnownError
    for cell in inner.__closure__ or ():
        try:
            found.append(_part(cell.cell_contents, depth))
        except ValueError:  # not yet assigned
            raise _NotKnownError from None
    found += [_part(value, depth) for value in inner.__defaults__ or ()]
    return _Known(type(function), inner, names, tuple(found))


def _part(value: Any, depth: int) -> Any:
    if type(value) is np.ndarray or _is_constant(value):
        return value
    if type(value) in (FunctionType, FusedFunction):
        return _known(value, depth + 1)
    raise _NotKnownError


def _instructions(code: CodeType) -> Iterator[dis.Instruction]:
    """Go through the instructions of code, and of functions that are made in it."""
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _instructions(constant)


def _looks_elsewhere(instruction: dis.Instruction) -> bool:
    """Whether it may do something that neither the captures nor two traces show."""
    if instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
        name = instruction.argval
        return name.startswith("__") or name in _DRAWING
    return instruction.opname in _OUTSIDE or instruction.opname in _TELLING


def _loaded(code: CodeType) -> list[str]:
    """Return the names of the global variables that code loads."""
    return sorted({x.argval for x in _instructions(code) if x.opname in _GLOBAL_LOADS})


def repeated_by_code(
    function: Any, arguments: Arguments, traced: Specialisation, read: Sequence[Array]
) -> Any:
    """Return what repeats a function of sums for all of its code; None where it has to be traced.

    Parameters
    ----------
    function : callable
        Of one array.
    arguments : Arguments
        The sums, as it was traced with.
    traced : Specialisation
        What was traced.
    read : sequence of ndarray
        Arrays of `traced.captured`: what its program reads.
    """
    if type(function) is not FunctionType:
        return None
    code, sums = function.__code__, arguments.arrays[0]
    attempts, of = _attempts.setdefault(code, {}), (sums.shape, sums.dtype)
    if attempts.get(of, 0) >= _ATTEMPTS:
        return None
    if len(attempts) >= _SHAPES:
        attempts.clear()
    attempts[of] = attempts.get(of, 0) + 1
    try:
        known = _known(function)
    except _NotKnownError:
        return None
    arrays = known.arrays()
    slots: dict[int, int] = {}  # of the arrays that are captured, by identity

    def with_stands(sums: Tracer) -> Any:
        places = {id(x): i for i, x in reversed(list(enumerate(arrays)))}
        stands = {i: _Stand(sums.graph, arrays[i], i, slots) for i in set(places.values())}
        return known.with_stands([stands[places[id(x)]] for x in arrays])(sums)

    try:
        again = specialise(with_stands, arguments)
        captures = known.captures()
    except Exception:  # the function did what only arrays can do, or they have too many axes
        extras = None
    else:
        extras = _extras(traced, again, arrays, slots, read)
    if extras is not None:
        try:
            return executors.native.repeated_finish(code, None, None, captures, arrays, extras)
        except ValueError:  # too many arrays for the fast entry
            pass
    attempts[of] = _ATTEMPTS
    return None


def _extras(
    traced: Specialisation,
    again: Specialisation,
    arrays: Sequence[Array],
    slots: dict[int, int],
    read: Sequence[Array],
) -> list[tuple[Any, int, int]] | None:
    """Say where the arrays that a program reads are; None where both traces are not the same."""
    if traced.program != again.program or traced.sources != again.sources:
        return None
    extras = []
    for array in read:
        place = next((i for i, x in enumerate(traced.captured) if x is array), len(again.captured))
        if place >= len(again.captured):
            return None
        other = again.captured[place]
        slot = slots.get(id(other))
        if slot is None or _memory(other) != _memory(array):
            return None
        offset = _memory(array)[0] - _memory(arrays[slot])[0]
        extras.append((executors.native.captured_array(arrays[slot], False), slot, offset))
    return extras


def _memory(array: Array) -> tuple[Any, ...]:
    return array.__array_interface__["data"][0], array.dtype, array.shape, array.strides


def repeated_alone(function: Callable[..., Any], read: Sequence[Array]) -> Any:
    """Return what repeats a function of sums for itself alone; None where that takes Python.

    It is kept, and the arrays that its program reads with it.
    """
    native = executors.native
    anchor = function.__func__ if isinstance(function, MethodType) else function
    inner = inspect.unwrap(anchor)
    if inspect.unwrap(anchor, stop=lambda x: type(x) is FunctionType) is not inner:
        return None  # the wrapper has variables too
    if Environment(function).reaches():
        return None  # what it finds may change, and is the same object
    captures, arrays = None, []
    try:
        if type(inner) is FunctionType:
            names = _loaded(inner.__code__)
            values = [inner.__globals__.get(name, native.unbound) for name in names]
            values += [cell.cell_contents for cell in inner.__closure__ or ()]
            values += inner.__defaults__ or ()
            arrays = [x for x in values if isinstance(x, np.ndarray)]
            parts = [
                native.captured_array(x, True) if isinstance(x, np.ndarray) else x for x in values
            ]
            captures = native.captures(FunctionType, inner.__code__, names, parts)
        elif hasattr(inner, "__code__"):
            return None
        extras = [(native.captured_array(x, True), -1, 0) for x in read]
        return native.repeated_finish(anchor, function, inner, captures, arrays, extras)
    except ValueError:  # a cell that is not assigned, an array of too many axes
        return None
