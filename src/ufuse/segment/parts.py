"""Reductions of many parts of one axis: what segments and groups have in common.

Each result is what the function of the operation's name gives for that part of the array: its
value, its dtype, and its warnings and errors where a part is empty.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.exceptions import AxisError

from .. import executors
from ..interop import as_output, asarray
from ..reduce.request import Array, DType, Request, Slot


class Parts(Protocol):
    """How an axis is divided."""

    noun: str
    count: int

    def overlaps(self, out: Array) -> bool:
        """Whether writing `out` would change what says where the parts are."""

    def check(self, call: Call) -> None:
        """Raise where something is no part of the axis."""

    def sizes(self, call: Call) -> Array:
        """How many elements each part has; raise where something is no part of the axis."""

    def shortest(self, call: Call) -> float:
        """How many elements the smallest part has; infinity without parts."""

    def piece(self, call: Call, part: int) -> Any:
        """Return an index along the axis: the elements of a part, in their order."""

    def position(self, call: Call, part: int, found: Any) -> Any:
        """Return what argmin gives for the place `found` in a part."""

    def run(self, call: Call, slots: list[Slot], all_needed: bool) -> None:
        """Fill the outputs of `slots`; raise before that where an empty part may not be."""


class Call(Request):
    """The arguments of one call, checked; results have the number of parts along the axis."""

    __slots__ = ("axis", "ddof", "dtype", "initial", "name", "parts")

    def __init__(self, function: str, name: str, x: Any, axis: Any, out: Any) -> None:
        self.function = function
        self.template = x
        self.x = asarray(x, function=function, argument="x")
        self.name = name
        self.axis = _read_axis(function, axis, self.x)
        self.axes = (self.axis,)
        self.where = None
        self.keepdims = True  # the axis stays
        self._result = None
        self.dtype: DType | None = None
        self.initial: Any = None
        self.ddof: Any = 0
        self._given = out[0] if type(out) is tuple and len(out) == 1 else out
        self._out = None if out is None else as_output(self._given, function=function)

    def divide(self, parts: Parts) -> None:
        """Say what the parts are."""
        self.parts = parts
        shape = self.x.shape
        self.shape = (*shape[: self.axis], parts.count, *shape[self.axis + 1 :])
        if self._out is not None:
            self.check_shape(self._out, "out")

    @property
    def full_shape(self) -> tuple[int, ...]:
        return self.shape

    def check_shape(self, out: Array, argument: str) -> None:
        if out.shape != self.shape:
            raise ValueError(
                f"{self.function}: argument {argument!r}: expected shape {self.shape} (for an "
                f"array of shape {self.x.shape} and {self.parts.count} {self.parts.noun}s along "
                f"axis {self.axis}), got {out.shape}"
            )

    def _overlaps(self, out: Array) -> bool:
        return executors.overlap(out, self.x) or self.parts.overlaps(out)

    def along(self, values: Array) -> Array:
        """Return one value per part as an array that broadcasts to the results."""
        return values.reshape(-1, *(1,) * (self.x.ndim - self.axis - 1))

    def scratch(self, dtype: Any) -> Array:
        """Return an array for results that are not answered, such as counts."""
        return np.empty(self.shape, dtype)

    def run(self, *slots: Slot, all_needed: bool = False) -> None:
        if slots[0].out.size:
            self.parts.run(self, list(slots), all_needed)
            return
        self.parts.check(self)
        if all_needed:
            self.need_elements()

    def need_elements(self) -> None:
        """Raise where a part is empty and the operation has no identity."""
        sizes = self.parts.sizes(self)
        if not sizes.all():
            self.refuse_empty(int(np.argmin(sizes != 0)))

    def refuse_empty(self, part: int) -> None:
        hint = "; pass initial=" if self.name.removeprefix("nan") in ("min", "max") else ""
        raise ValueError(
            f"{self.function}: {self.parts.noun} {part} is empty, and {self.name} has no identity"
            f"{hint}"
        )

    def each(self, function: Callable[..., Any], result: DType, **keywords: Any) -> Any:
        """Run the function of one array on every part, for dtypes that are not compiled.

        What it warns of some parts is said once.
        """
        self.parts.check(self)
        answer = self.scratch(result)
        before: tuple[Any, ...] = (slice(None),) * self.axis
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", RuntimeWarning)
            for part in range(self.parts.count):
                piece = self.x[(*before, self.parts.piece(self, part))]
                answer[(*before, part)] = function(piece, axis=self.axis, **keywords)
        for message in dict.fromkeys(str(one.message) for one in said):
            if "slice" in message:  # of nothing, or nothing but NaN; others are of arithmetic
                warnings.warn(message, RuntimeWarning, stacklevel=5)
        return self.answer(answer)

    def warn_of_empty_means(self) -> None:
        if self.parts.shortest(self) == 0:
            warnings.warn("Mean of empty slice.", RuntimeWarning, stacklevel=5)


def _read_axis(function: str, axis: Any, x: Array) -> int:
    try:
        index = operator.index(axis)
    except TypeError:
        raise TypeError(f"{function}: argument 'axis': expected an int, got {axis!r}") from None
    if not -x.ndim <= index < x.ndim:
        raise AxisError(index, x.ndim, f"{function}: argument 'axis'")
    return index % x.ndim
