"""What can be reached from a value: attributes, entries and elements, however deep."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from operator import is_
from types import FunctionType, MappingProxyType, MemberDescriptorType, ModuleType
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

import numpy as np

if TYPE_CHECKING:
    from .environment import Environment

#: Compared by value; by identity.
BY_VALUE: Final = (int, float, complex, np.generic, str, bytes, type(None))
BY_IDENTITY: Final = (np.ndarray, np.dtype, np.ufunc)
_MAPPINGS: Final = (dict, MappingProxyType)
_SEQUENCES: Final = (tuple, list, set, frozenset, deque)
_CONTAINERS: Final = frozenset({*_MAPPINGS, *_SEQUENCES})
MISSING: Final = object()
MOST: Final = 300  # objects and containers in one key: some 0.3 ms, what a trace takes
_DEEPEST: Final = 40  # in one another: each takes several of the interpreter's frames

#: Of objects of these nothing is read: locks, logs, files, tasks.
_TOOLS: Final = frozenset(
    "threading logging queue concurrent multiprocessing asyncio io unittest weakref re".split()
)
#: Names in code that may stand for any attribute.
ANY_NAME: Final = frozenset({"getattr", "vars", "__dict__", "attrgetter", "asdict", "astuple"})


class Same:
    """Equal to itself alone."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


class Reader:
    """One walk over what can be reached.

    Attributes
    ----------
    probes : list
        Functions and their arguments: while all of them are true, another walk finds the same.
    """

    def __init__(self, environment: Environment) -> None:
        self.probes: list[tuple[Callable[..., bool], tuple[Any, ...]]] = []
        self._environment = environment
        self._names = environment.names
        self._all = not ANY_NAME.isdisjoint(self._names)
        self._seen: set[int] = set()
        self._depth = 0

    def of_variables(self) -> tuple[Any, ...]:
        """Return what stands for each variable that matters, with its number."""
        values = [value for _, _, value in self._environment.roots()]
        self.probes.append((_variables_hold, (self._environment, values)))
        read = ((n, self.read(value)) for n, value in enumerate(values) if value is not MISSING)
        return tuple((number, token) for number, token in read if token is not None)

    def read(self, value: Any) -> Any:
        """Return what stands for a value and for what is reached from it, if it can change."""
        if isinstance(value, BY_VALUE):
            return type(value), repr(value)  # 0.0 is not -0.0
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, BY_IDENTITY) or id(value) in self._seen:
            return Same(value)
        if isinstance(value, ModuleType):
            own = self._environment.is_own(value.__name__)
            return self._named(partial(vars, value), False) if own else None
        self._seen.add(id(value))
        if len(self._seen) > MOST or self._depth > _DEEPEST:
            self.probes.append((bool, (False,)))
            return object()  # equal to no other
        self._depth += 1
        try:
            return self._parts(value)
        finally:
            self._depth -= 1

    def _array(self, array: np.ndarray[Any, Any]) -> Any:
        """Return what stands for an array: itself, and its elements where they are compared."""
        arrays = self._environment.arrays
        if id(array) not in arrays and len(arrays) > MOST:
            arrays.clear()
        arrays[id(array)] = ref(array)
        if not self._environment.is_watched(array):
            return Same(array)
        elements = array.tobytes()
        self.probes.append((_elements_stay, (array, elements)))
        return Same(array), elements

    def _parts(self, value: Any) -> tuple[Any, ...]:
        kind = type(value)
        parts: list[Any] = [kind if kind in _CONTAINERS else Same(value)]
        if isinstance(value, _MAPPINGS):
            parts.append(self._entries(lambda: value))
        elif isinstance(value, _SEQUENCES):
            parts.append(self._elements(value))
        if kind not in _CONTAINERS:
            parts += self._attributes(value)
        return tuple(parts)

    def _entries(self, mapping: Callable[[], Any]) -> tuple[Any, ...]:
        keys, values = zip(*items, strict=True) if (items := tuple(mapping().items())) else ((), ())
        self.probes.append((_entries_hold, (mapping, keys, values)))
        return tuple((self.read(key), self.read(value)) for key, value in items)

    def _elements(self, sequence: Any) -> tuple[Any, ...]:
        values = tuple(sequence)
        self.probes.append((_elements_hold, (sequence, values)))
        return tuple(map(self.read, values))

    def _named(self, attributes: Callable[[], Any], every: bool) -> tuple[Any, ...]:
        """Return what stands for the attributes that the code has names of."""
        if every or self._all:
            return self._entries(attributes)
        held = attributes()
        found = [held.get(name, MISSING) for name in self._names]
        self.probes.append((_attributes_hold, (attributes, self._names, found)))
        return tuple(
            (name, self.read(value))
            for name, value in zip(self._names, found, strict=True)
            if value is not MISSING
        )

    def _attributes(self, value: Any) -> Iterator[Any]:
        """Yield what is reached from a function, a class or an object."""
        held = held_by(value)
        if isinstance(value, type):
            yield from self._classes(value.__mro__, made=True)
        elif isinstance(value, partial):
            yield from map(self.read, (value.func, value.args, value.keywords))
        elif hasattr(type(value), "__self__"):  # a method
            yield from map(self.read, (getattr(value, "__func__", None), value.__self__))
        elif isinstance(value, FunctionType) or "__wrapped__" in held:
            self._environment.follow(value)  # its variables are roots from now on
            if isinstance(value, FunctionType):
                yield self._named(partial(held_by, value), False)
        elif root_of(type(value).__module__) not in _TOOLS and not _is_array(type(value)):
            bases = type(value).__mro__[:-1]
            own = all(self._environment.is_own(base.__module__) for base in bases)
            yield self._named(partial(held_by, value), not own)
            yield from self._classes(bases, value)

    def _classes(
        self, bases: tuple[type, ...], instance: Any = None, *, made: bool = False
    ) -> Iterator[Any]:
        for base in bases:
            if not self._environment.is_own(base.__module__):
                continue
            self._environment.follow_class(base, made=made)
            yield self._named(partial(vars, base), False)
            if instance is not None and "__slots__" in vars(base):
                yield self._named(partial(_slots, base, instance), False)


# --- whether a walk would find the same ----------------------------------------------------------


def _variables_hold(environment: Environment, values: Sequence[Any]) -> bool:
    return all(map(is_, (value for _, _, value in environment.roots()), values))


def _attributes_hold(
    attributes: Callable[[], Any], names: Sequence[str], values: Sequence[Any]
) -> bool:
    return all(map(is_, map(attributes().get, names, repeat(MISSING)), values))


def _entries_hold(mapping: Callable[[], Any], keys: Sequence[Any], values: Sequence[Any]) -> bool:
    held = mapping()
    return (
        len(held) == len(keys)
        and all(map(is_, tuple(held), keys))
        and all(map(is_, tuple(held.values()), values))
    )


def _elements_stay(array: np.ndarray[Any, Any], elements: bytes) -> bool:
    return array.tobytes() == elements


def _elements_hold(sequence: Any, values: Sequence[Any]) -> bool:
    return len(sequence) == len(values) and all(map(is_, tuple(sequence), values))


def _is_array(kind: type) -> bool:
    return hasattr(kind, "__array__") or hasattr(kind, "__dlpack__")


def _slots(base: type, instance: Any) -> dict[str, Any]:
    slots = [name for name, v in vars(base).items() if isinstance(v, MemberDescriptorType)]
    held = ((name, getattr(instance, name, MISSING)) for name in slots)
    return {name: value for name, value in held if value is not MISSING}


def held_by(value: Any) -> Any:
    """Return the dict of an object's own attributes, without running code of its class."""
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}


def root_of(module: Any) -> str:
    return module.partition(".")[0] if isinstance(module, str) else ""
