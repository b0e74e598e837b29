"""What a trace depends on besides the arguments: variables, and what is reached from them.

A trace holds the values that it found. Numbers, strings, None and arrays in global and enclosing
variables are compared at each call (arrays by identity, and by their elements where NumPy may have
computed with these while the function was traced), and so is what may be read of the objects,
containers, classes and modules there (`reading`). Of objects of the user's classes those attributes
matter whose names are in the code: of the function, of functions that it names, of the classes'
methods. A comparison takes microseconds, a trace a hundred times as long; where there
is more to compare than that is worth, each call is traced anew.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator, Sequence
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any, Final
from weakref import ref

import numpy as np

from .reading import ANY_NAME, BY_IDENTITY, BY_VALUE, MISSING, Reader, held_by, root_of

_ATTRIBUTES: Final = ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM")
_WRITES: Final = ("STORE_ATTR", "STORE_SUBSCR", "DELETE_ATTR", "DELETE_SUBSCR")
_WRITERS: Final = frozenset("append appendleft extend insert add update setdefault pop".split())
_LOADS: Final = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
#: Methods that no expression calls on an object that is there.
_NOT_IN_EXPRESSIONS: Final = frozenset(
    "__init__ __new__ __post_init__ __repr__ __del__ __setattr__ __delattr__ __setitem__ "
    "__delitem__ __init_subclass__ __getstate__ __setstate__ __reduce__ __reduce_ex__ __copy__ "
    "__deepcopy__ __replace__".split()
)
_KEPT: Final = 16  # objects of which what was found is kept, and so they are
_FOLLOWED: Final = 500  # functions and classes; more were made anew, and are gone
_MOST_WATCHED: Final = 1 << 20  # bytes of an array that is compared with what it was: some 0.1 ms
_MOST_READ: Final = 1 << 12  # and of one that is read at each call as it is

#: Their code reads nothing that changes, and there is much of it.
_NUMERIC: Final = frozenset({"numpy", "scipy", "ufuse", "ml_dtypes"})
_LIBRARIES: Final = _NUMERIC | sys.stdlib_module_names


class Environment:
    """What a function, what it wraps and what it calls may read besides the arguments."""

    def __init__(self, function: Callable[..., Any]) -> None:
        package = root_of(getattr(function, "__module__", None))
        self._function = function
        self._package = None if package in _NUMERIC else package
        self._owned: dict[str, bool] = {}
        self.names: tuple[str, ...] = ()  # of attributes
        self.writes = False  # whether the code may change what it reads
        self.arrays: dict[int, ref[np.ndarray[Any, Any]]] = {}  # that were reached, by id
        self._watched: dict[int, ref[np.ndarray[Any, Any]]] = {}
        self._begin()

    def _begin(self) -> None:
        """Follow the function alone: what else there was may be there no longer."""
        self._variables: list[tuple[dict[str, Any], str]] = []
        self._cells: list[CellType] = []
        self._values: list[Any] = []  # that are in no variable
        self._followed: dict[int, Any] = {}  # by id
        self._classes: dict[type, int] = {}  # how many names there were when they were followed
        self._last: dict[int, tuple[Any, ...]] = {}
        if not isinstance(self._function, FunctionType):
            self._values.append(self._function)
        self.follow(self._function)

    def key(self) -> tuple[Any, ...]:
        """Return what stands for all values now: numbers by value, arrays by identity."""
        found: tuple[Any, ...] = self._complete(None, Reader.of_variables)
        return found

    def of(self, value: Any) -> Any:
        """Return what stands for what the code may read of an argument that is no array."""
        if isinstance(value, (*BY_VALUE, *BY_IDENTITY, type)):
            return None
        return self._complete(value, lambda reader: reader.read(value))

    def guards(self) -> list[tuple[Any, str | None, Any]]:
        """Return what the compiled entry compares: what was at a place, by identity.

        Places are (globals, name, value) and (cell, None, value). What is reached from a variable
        is compared by an `_Unchanged`, which looks like a cell.
        """
        found, reached = self._looked_at()
        if reached:
            unchanged = _Unchanged(self)
            found.append((unchanged, None, unchanged))
        return found

    def watch(self, captured: Sequence[np.ndarray[Any, Any]]) -> bool:
        """Compare the elements of arrays from now on that a trace may have computed with.

        Those that it has `captured` are read at each call. What NumPy made of the others, and of
        small ones where something was made of some, is part of the trace. Returns whether there are
        any that were not watched before.
        """
        seen = [array for array in (held() for held in tuple(self.arrays.values()))
                if array is not None]  # fmt: skip
        made = [x for x in captured if not any(np.may_share_memory(x, array) for array in seen)]
        new = False
        for array in seen:
            read = any(np.may_share_memory(array, x) for x in captured)
            if array.nbytes > (_MOST_READ if read and made else 0 if read else _MOST_WATCHED):
                continue
            if not self.is_watched(array):
                self._watched = {k: w for k, w in self._watched.items() if w() is not None}
                self._watched[id(array)] = ref(array)
                self._last = {}
                new = True
        return new

    def is_watched(self, array: np.ndarray[Any, Any]) -> bool:
        """Whether the elements of an array are compared."""
        held = self._watched.get(id(array))
        return held is not None and held() is array

    def reaches(self) -> bool:
        """Whether there is more to compare than the variables themselves."""
        return self._looked_at()[1]

    def _looked_at(self) -> tuple[list[tuple[Any, str | None, Any]], bool]:
        self.key()  # for the variables of functions that are named
        found: list[tuple[Any, str | None, Any]] = []
        reached = False
        for place, name, value in self.roots():
            if isinstance(value, np.ndarray) and self.is_watched(value):
                reached = True
            if isinstance(value, (*BY_VALUE, *BY_IDENTITY)) or _is_function(value):
                if place is not None:
                    found.append((place, name, value))
            elif isinstance(value, ModuleType):
                reached = reached or self.is_own(value.__name__)
            elif isinstance(value, type):
                reached = reached or any(self.is_own(base.__module__) for base in value.__mro__)
            elif value is not MISSING:
                reached = True
        return found, reached

    # --- what there is to read ---------------------------------------------------------------

    def roots(self) -> Iterator[tuple[Any, str | None, Any]]:
        """Yield the places of variables, and their values."""
        for scope, name in tuple(self._variables):
            yield scope, name, scope.get(name, MISSING)
        for cell in tuple(self._cells):
            try:
                yield cell, None, cell.cell_contents
            except ValueError:  # not yet assigned
                yield cell, None, MISSING
        for value in tuple(self._values):
            yield None, None, value

    def is_own(self, module: Any) -> bool:
        """Whether a module is not of a library, but for that of the function itself."""
        root = root_of(module)
        if root not in self._owned:
            file = getattr(sys.modules.get(root), "__file__", None) or ""
            own = root not in _LIBRARIES and "site-packages" not in file
            self._owned[root] = own or root == self._package
        return self._owned[root]

    def follow(self, function: Any) -> None:
        """Take the names in the code of a function, and of what it wraps, and its variables."""
        while function is not None and id(function) not in self._followed:
            plain = getattr(function, "__func__", function)
            code = getattr(plain, "__code__", None)
            if isinstance(code, CodeType) and self.is_own(plain.__globals__.get("__name__", "")):
                variables, names, writes = _names(code)
                self.writes = self.writes or writes
                self.names = tuple(sorted(names.union(self.names)))
                self._variables += [(plain.__globals__, name) for name in sorted(variables)]
                self._cells += plain.__closure__ or ()
                defaults = (*(plain.__defaults__ or ()), *(plain.__kwdefaults__ or {}).values())
                self._values += [v for v in defaults if not isinstance(v, BY_VALUE)]
            self._followed[id(function)] = function  # last: others see what is complete
            function = held_by(plain).get("__wrapped__")

    def follow_class(self, cls: type, *, made: bool) -> None:
        """Follow the methods and properties of a class that are named, or called by operators.

        `made`: whether the code may make objects of it.
        """
        if self._classes.get(cls) == (count := len(self.names)):
            return
        for name, value in tuple(vars(cls).items()):
            operator = name.startswith("__") and (made or name not in _NOT_IN_EXPRESSIONS)
            if not operator and name not in self.names and ANY_NAME.isdisjoint(self.names):
                continue
            if isinstance(value, property):
                self.follow(value.fget)
            elif not isinstance(value, type):
                self.follow(getattr(value, "func", value))  # a cached_property's
        self._classes[cls] = count

    def _complete(self, value: Any, read: Callable[[Reader], Any]) -> Any:
        """Read until no more code is found; what was found last is kept, by `value`."""
        known = self._last.get(id(value))
        if known is not None:
            of, followed, probes, found = known
            same = of is value and followed == len(self._followed)
            if same and all(holds(*args) for holds, args in probes):
                return found
        if len(self._followed) > _FOLLOWED:
            self._begin()
        while True:
            followed = len(self._followed)
            reader = Reader(self)
            found = read(reader)
            if followed == len(self._followed):
                break
        if len(self._last) >= _KEPT:
            self._last = {}
        self._last[id(value)] = value, followed, reader.probes, found
        return found


class _Unchanged:
    """A cell that holds itself as long as what is reached from variables is what it was."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._key = environment.key()

    @property
    def cell_contents(self) -> Any:
        """Itself, or None."""
        return self if self._environment.key() == self._key else None


def _is_function(value: Any) -> bool:
    """Whether a value is a function, of which only the variables may change."""
    if isinstance(value, BuiltinFunctionType):
        return value.__self__ is None or isinstance(value.__self__, ModuleType)
    held = held_by(value)
    if isinstance(value, FunctionType):
        return not held or tuple(held) == ("__wrapped__",)
    return root_of(type(value).__module__) in _LIBRARIES and "__wrapped__" in held


def _names(code: CodeType) -> tuple[set[str], set[str], bool]:
    """Return names of global variables that code reads, of attributes, and whether it writes."""
    variables: set[str] = set()
    names: set[str] = set()
    writes = False
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        if instruction.opname in _LOADS:
            variables.add(name)
        elif instruction.opname.startswith(_ATTRIBUTES):
            names.add(name)
        elif instruction.opname == "MATCH_CLASS":
            names.add("getattr")  # of names that are constants
        writes = writes or instruction.opname in _WRITES or name in _WRITERS
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            more, others, write = _names(constant)
            variables, names, writes = variables | more, names | others, writes or write
    return variables, names | (variables & ANY_NAME), writes
