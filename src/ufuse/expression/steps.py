"""What an expression was parsed to: a function of its names, to be traced like any other."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..fusion.errors import at_place
from ..fusion.traced import Traced, TracedArray
from .language import check_bits
from .refusals import Place

#: What a value is known by: the name of a variable, or its number.
Key = str | int


class Constant(NamedTuple):
    """A number that is written out."""

    key: int
    value: Any


class Step(NamedTuple):
    """One operation on earlier values."""

    key: int
    call: Callable[..., Any]
    args: tuple[Key, ...]
    options: Mapping[str, Any]
    place: Place


class Steps:
    """A function of arrays and numbers, one for each of `names`, that takes the steps in order.

    Fused, it runs once for each kind of arguments, and then without Python. It does what Python
    would do with the text, if the names were NumPy's functions.

    Attributes
    ----------
    names : tuple of str
        Those of its arguments, sorted.
    places : dict
        Where each name is first.
    """

    __slots__ = ("__signature__", "_values", "names", "places")
    __name__ = "ufuse.evaluate"  # for messages

    def __init__(self, values: Sequence[Constant | Step], places: Mapping[str, Place]) -> None:
        self.names = tuple(sorted(places))
        self.places = places
        self._values = tuple(values)
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.__signature__ = inspect.Signature(
            [inspect.Parameter(name, kind) for name in self.names]
        )

    def __call__(self, *args: Any) -> Any:
        known: dict[Key, Any] = dict(zip(self.names, args, strict=True))
        for name, arg in known.items():
            if not isinstance(arg, (Traced, int, float, complex)):
                raise TypeError(
                    f"ufuse.evaluate: argument {name!r}: expected an array or a number, got "
                    f"{type(arg).__name__}; make it one by np.asarray"
                )
        result: Any = None
        with np.errstate(all="ignore"):  # as kernels have it
            for value in self._values:
                if isinstance(value, Constant):
                    result = value.value
                else:
                    with at_place(value.place.described):
                        result = self._taken(value, known)
                known[value.key] = result
        return result if isinstance(result, TracedArray) else _scalar(result)

    def _taken(self, step: Step, known: Mapping[Key, Any]) -> Any:
        try:
            result = step.call(*(known[arg] for arg in step.args), **step.options)
            check_bits(result)
        except ValueError as error:
            if type(error) is ValueError and "the arguments have shapes" not in str(error):
                raise ValueError(f"{error}{self._shapes(known)}") from None
            raise
        return result

    def _shapes(self, known: Mapping[Key, Any]) -> str:
        """Return the arguments' shapes for a message, where they have some."""
        arrays = [(n, known[n]) for n in self.names if isinstance(known[n], TracedArray)]
        named = ", ".join(f"{name} {array.shape}" for name, array in arrays)
        return f"; the arguments have shapes {named}" if named else ""


def _scalar(number: Any) -> Any:
    """Return a Python number as NumPy's scalar of the dtype it has alone."""
    array = np.asarray(number)
    if array.dtype == object:
        raise OverflowError(
            f"ufuse.evaluate: the integer {number} is too large for any dtype; write a float"
        )
    return array[()]
