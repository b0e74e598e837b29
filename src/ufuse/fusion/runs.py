"""What a plan runs: programs and contractions, over arrays that it numbers."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .graph import Shape
from .program import Instruction, Program


@dataclass(frozen=True)
class Run:
    """One program in one loop.

    Attributes
    ----------
    program : Program
    inputs, outputs : tuple of int
        Which of the plan's arrays it reads, and which of its results it writes.
    uniform : bool
        Whether all full values have the same trailing length, as compiled executors need; else
        only the reference executor can run it.
    """

    program: Program
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    uniform: bool = True


@dataclass(frozen=True)
class Operand:
    """What a contraction reads: an array as it is, or what a program makes of some.

    Attributes
    ----------
    inputs : tuple of int
        Of the plan's arrays.
    program : Program or None
    shape : tuple
    code : str
    """

    inputs: tuple[int, ...]
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
    extras : tuple of int
    outputs : tuple of int
        The one result that it writes.
    """

    instruction: Instruction
    steps: Any
    operands: tuple[Operand, ...]
    finish: Program | None
    extras: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def inputs(self) -> tuple[int, ...]:
        """Which of the plan's arrays it reads."""
        return (*(i for operand in self.operands for i in operand.inputs), *self.extras)


Step = Run | ContractRun


def contract_room() -> Any:
    """Return what runs contractions; imported when the first one is traced."""
    return import_module("ufuse.contract.fused")
