"""What a program consists of: operations of elements, and those that look at whole arrays.

An operation is a name of the catalogue (or of a ufunc, ``"numpy.spacing"``) where it is one of
elements. The others are objects: a `Reduction` folds axes, a `View` is other elements of the same
array, a `Contraction` sums products, a `Call` is a function of ufuse that is a pass of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ..catalogue.semirings import Semiring
from .shapes import Shape
from .views import View

EXPAND: Final = "expand"

#: The axes of reductions in programs of rows.
ROWS: Final = (-1,)


@dataclass(frozen=True)
class Reduction:
    """The operation of an instruction that folds axes, which stay with size 1.

    Attributes
    ----------
    reducer : str
        A row of `ufuse.catalogue.REDUCERS`, over elements of the operand's type.
    finish : str
        What becomes of the state: of `ufuse.catalogue.FINISHES`.
    axes : tuple of int
        Of the operand, in order, from 0 on; in a program of rows -1 alone, the trailing one.
    component : int
        Of the state: where the finish starts.
    ddof : float
        Of a variance or deviation.
    initial : bool
        Whether the smallest or largest is compared with another value afterwards, so that it may be
        of nothing.
    """

    reducer: str
    finish: str
    axes: tuple[int, ...]
    component: int = 0
    ddof: float = 0.0
    initial: bool = False

    def __str__(self) -> str:
        what = self.reducer if self.finish == "value" else f"{self.reducer}.{self.finish}"
        return f"reduce {what}{list(self.axes)}"

    def result_shape(self, shape: Shape) -> Shape:
        """Return the shape of the result.

        Raises
        ------
        ValueError
            NumPy's, where the smallest or largest would be of nothing.
        """
        found = list(shape)
        for axis in self.axes:
            found[axis] = 1
        empty = any(shape[axis] == 0 for axis in self.axes) and 0 not in found
        if empty and self.reducer in _NO_IDENTITY and not self.initial:
            raise ValueError(_NO_IDENTITY[self.reducer])
        return tuple(found)


_NO_IDENTITY: Final = {
    "min": "zero-size array to reduction operation minimum which has no identity",
    "max": "zero-size array to reduction operation maximum which has no identity",
    "argmin": "attempt to get argmin of an empty sequence",
    "argmax": "attempt to get argmax of an empty sequence",
}


@dataclass(frozen=True)
class Contraction:
    """The operation of an instruction that sums products over labels: a pass of its own.

    Attributes
    ----------
    subscripts : str
        As `ufuse.einsum` takes them.
    semiring : Semiring or None
        None for sums of products.
    exact : bool
        Whether integer sums are wanted for their own sake, and may not wrap.
    conjugate : bool
        Whether the first operand is conjugated.
    optimize, memory_limit : object
        As `ufuse.einsum` takes them, and hashable.
    function : str
        What was called, for messages.
    """

    subscripts: str
    semiring: Semiring | None = None
    exact: bool = False
    conjugate: bool = False
    optimize: Any = "auto"
    memory_limit: int | None = None
    function: str = "ufuse.einsum"

    def __str__(self) -> str:
        options = [] if self.semiring is None else [self.semiring.name]
        options += [name for name in ("exact", "conjugate") if getattr(self, name)]
        return " ".join(["contract", self.subscripts.replace(" ", ""), *options])


@dataclass(frozen=True)
class Call:
    """The operation of an instruction that is a function of ufuse, called with whole arrays.

    Attributes
    ----------
    function : str
        Name of a public function, ``"cumsum"``.
    options : tuple of (str, object)
        Its keyword arguments, hashable.
    shape : callable
        Of the shape of the operand, and the options as keywords: the shape of the result.
    """

    function: str
    options: tuple[tuple[str, Any], ...]
    shape: Any

    def __str__(self) -> str:
        return f"call {self.function}"

    def result_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the result for operands of some shapes."""
        found: Shape = self.shape(*shapes, **dict(self.options))
        return found


Operation = str | Reduction | View | Contraction | Call


class Instruction(NamedTuple):
    """One operation on earlier values.

    Attributes
    ----------
    operation : str, Reduction, View, Contraction or Call
        As a name: a row of the catalogue; ``"expand"``; or, for the reference executor alone, a
        ufunc by module and name, such as ``numpy.spacing`` (``numpy.modf:1`` is the second result
        of one).
        Executors run names, and reductions of the trailing axis; what else there is the scheduler
        makes passes of.
    code : str
        Element code of the result.
    args : tuple of int
        Values it reads.
    """

    operation: Operation
    code: str
    args: tuple[int, ...]

    @property
    def is_reduction(self) -> bool:
        return isinstance(self.operation, Reduction)
