"""What a plan runs: programs, reductions, contractions and calls, over arrays that it numbers."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

from .instructions import Call, Instruction, Reduction
from .program import Program
from .shapes import Shape
from .views import Path


class Seen(NamedTuple):
    """One of a plan's arrays, and the view of it that is read or written.

    Attributes
    ----------
    array : int
    path : tuple of View
    """

    array: int
    path: Path = ()


@dataclass(frozen=True)
class Run:
    """One program in one loop.

    Attributes
    ----------
    program : Program
    inputs, outputs : tuple of Seen
    """

    program: Program
    inputs: tuple[Seen, ...]
    outputs: tuple[Seen, ...]


@dataclass(frozen=True)
class ReduceRun:
    """Reductions over the same axes in one read, of what a program makes or of an array.

    Attributes
    ----------
    program : Program or None
        None where the one input is what is reduced.
    inputs : tuple of Seen
    shape : tuple
        That what is reduced has.
    axes : tuple of int
    reductions : tuple of Reduction
    operands : tuple of int
        For each reduction: which of the program's results it is of.
    outputs : tuple of Seen
        One for each reduction, of `shape` with 1 for each axis.
    """

    program: Program | None
    inputs: tuple[Seen, ...]
    shape: Shape
    axes: tuple[int, ...]
    reductions: tuple[Reduction, ...]
    operands: tuple[int, ...]
    outputs: tuple[Seen, ...]


@dataclass(frozen=True)
class CallRun:
    """One function of ufuse, called with whole arrays.

    Attributes
    ----------
    call : Call
    inputs, outputs : tuple of Seen
        There is one output.
    """

    call: Call
    inputs: tuple[Seen, ...]
    outputs: tuple[Seen, ...]


@dataclass(frozen=True)
class Operand:
    """What a contraction reads: an array as it is, or what a program makes of some.

    Attributes
    ----------
    inputs : tuple of Seen
    program : Program or None
    shape : tuple
    code : str
    """

    inputs: tuple[Seen, ...]
    program: Program | None
    shape: Shape
    code: str


@dataclass(frozen=True)
class ContractRun:
    """One contraction.

    Attributes
    ----------
    instruction : Instruction
        Whose operation it is.
    steps : object
        How the contract room does it, for these shapes.
    operands : tuple of Operand
    finish : Program or None
        Of the sums and of the arrays in `extras`.
    extras, outputs : tuple of Seen
        There is one output.
    """

    instruction: Instruction
    steps: Any
    operands: tuple[Operand, ...]
    finish: Program | None
    extras: tuple[Seen, ...]
    outputs: tuple[Seen, ...]

    @property
    def inputs(self) -> tuple[Seen, ...]:
        """What it reads."""
        return (*(i for operand in self.operands for i in operand.inputs), *self.extras)


Step = Run | ReduceRun | CallRun | ContractRun


def contract_room() -> Any:
    """Return what runs contractions; imported when the first one is traced."""
    return import_module("ufuse.contract.fused")


def reduce_room() -> Any:
    """Return what runs reductions and calls; imported when the first one is traced."""
    return import_module("ufuse.reduce.fused")
