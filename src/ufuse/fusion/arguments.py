"""The arguments of a call: which are arrays, which numbers, and which part of the function.

- Arrays, NumPy scalars, lists and whatever shares memory are *arrays*: inputs at every call.
- Python int, float and complex are *scalars*: weak in promotion, inputs at every call, unless the
  function has looked at their value; then they are part of the key.
- Everything else hashable (bool, None, str, dtypes, callables, objects) is *static*: part of the
  key, with what the function may read of it. Tuples are looked into for arrays; numbers in them are
  static.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..interop import asarray

Array = NDArray[Any]

_SCALARS: Final = (int, float, complex)
_INTEGER_SIZES: Final = (7, 8, 15, 16, 31, 32, 63, 64)  # bits of what an integer dtype can hold
_BUFFERS: Final = (list, bytes, bytearray, memoryview, np.generic)
_ARRAY_PROTOCOLS: Final = (
    "__array__", "__array_interface__", "__array_struct__", "__dlpack__", "__buffer__",
    "__cuda_array_interface__",
)  # fmt: skip


class Slot(NamedTuple):
    """The place of array or scalar number `number` among the arguments."""

    kind: str
    number: int


class Arguments:
    """One call's arguments, taken apart.

    Attributes
    ----------
    arrays : list of ndarray
    array_labels, scalar_labels : list of str
        Their names for messages: ``"x"``, ``"weights[0]"``.
    scalars : list of int, float or complex
    templates : list
        Array arguments that are no ndarrays, as they came.
    key : tuple
        What the trace depends on besides shapes.

    `reached` says what a function may read of a static argument (`Environment.of`).
    """

    def __init__(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        names: Sequence[str],
        static: Container[str],
        function: str,
        reached: Callable[[Any], Any] = lambda _: None,
    ) -> None:
        self.arrays: list[Array] = []
        self.array_labels: list[str] = []
        self.scalars: list[Any] = []
        self.scalar_labels: list[str] = []
        self.templates: list[Any] = []
        self._static = static
        self._function = function
        self._reached = reached
        key: list[Any] = [len(args), tuple(kwargs)]
        self._args = []
        for place, value in enumerate(args):
            label = names[place] if place < len(names) else f"args[{place}]"
            self._args.append(self._take(value, label, key, top=True))
        self._kwargs = {n: self._take(value, n, key, top=True) for n, value in kwargs.items()}
        self.key = tuple(key)

    def _take(self, value: Any, label: str, key: list[Any], *, top: bool) -> Any:
        kind = type(value)
        if kind is not np.ndarray:
            if kind in _SCALARS and top:
                return self._take_scalar(value, label, key)
            if isinstance(value, tuple):
                key.append((kind, len(value)))
                parts = [
                    self._take(v, f"{label}[{i}]", key, top=False) for i, v in enumerate(value)
                ]
                return kind(*parts) if hasattr(kind, "_make") else kind(parts)
            if not _is_array_like(kind):
                static = static_key(value, self._function, label)
                key.append((kind, static, self._reached(value)))
                return value
            if not isinstance(value, (list, np.generic)):
                self.templates.append(value)
            value = asarray(value, function=self._function, argument=label)
        return self._take_array(value, label, key)

    def _take_array(self, array: Array, label: str, key: list[Any]) -> Slot:
        if array.dtype.kind in "OSUTmM" or array.dtype.names is not None:
            raise TypeError(
                f"{self._function}: argument {label!r} has dtype {array.dtype}; expected numbers"
            )
        key.append((array.dtype, array.ndim))
        self.arrays.append(array)
        self.array_labels.append(label)
        return Slot("array", len(self.arrays) - 1)

    def _take_scalar(self, value: Any, label: str, key: list[Any]) -> Any:
        if label in self._static:
            key.append((type(value), repr(value)))
            return value
        # Integers of one key fit the same dtypes, so that range errors are found while tracing.
        size = _integer_class(value) if type(value) is int else 0
        key.append((type(value), size))
        self.scalars.append(value)
        self.scalar_labels.append(label)
        return Slot("scalar", len(self.scalars) - 1)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(array.shape for array in self.arrays)

    def filled(
        self, arrays: Sequence[Any], scalars: Sequence[Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Return positional and keyword arguments with other things in place of the arrays."""
        stand_ins = {"array": arrays, "scalar": scalars}

        def fill(value: Any) -> Any:
            if type(value) is Slot:
                return stand_ins[value.kind][value.number]
            if isinstance(value, tuple):
                parts = [fill(part) for part in value]
                return type(value)(*parts) if hasattr(value, "_make") else type(value)(parts)
            return value

        return [fill(v) for v in self._args], {n: fill(v) for n, v in self._kwargs.items()}


def _is_array_like(kind: type) -> bool:
    if issubclass(kind, (np.ndarray, *_BUFFERS)):
        return not issubclass(kind, (np.str_, np.bytes_))
    return any(hasattr(kind, protocol) for protocol in _ARRAY_PROTOCOLS) or (
        kind.__module__ == "array" and kind.__name__ == "array"
    )


def _integer_class(value: int) -> int:
    """Return a number that is the same for integers which the same integer dtypes can hold."""
    bits = (~value if value < 0 else value).bit_length()
    size = next((size for size in _INTEGER_SIZES if bits <= size), 65)
    return -size if value < 0 else size


def integers_like(value: int) -> tuple[int, int] | None:
    """Return the smallest and the largest integer of one key; None for those beyond int64."""
    bits = (~value if value < 0 else value).bit_length()
    below = 0
    for size in _INTEGER_SIZES[:-1]:
        if bits <= size:
            low, high = 2**below if below else 0, 2**size - 1
            return (~high, ~low) if value < 0 else (low, high)
        below = size
    return None


def static_key(value: Any, function: str, label: str) -> Any:
    """Return what stands for a static argument in the key."""
    if type(value) in _SCALARS:
        return repr(value)  # 0.0 is not -0.0
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            f"{function}: argument {label!r} ({type(value).__name__}) is neither an array nor "
            "hashable; pass arrays, Python numbers, tuples of arrays, or hashable objects"
        ) from None
    return value
