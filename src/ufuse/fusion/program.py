"""Programs: what a traced function is made into and what every executor runs.

A program is a straight-line list of scalar operations in static single assignment. Values are
numbered: inputs first, then constants, then the results of the instructions in order.

What a function is traced to is a program of whole arrays; `instructions` says of which
operations. What executors run is made of it for given shapes: programs of elements, and programs
of rows, which reduce the trailing axis. There two kinds of value occur: a *full* value has all
elements of a row, a *row* value has one (trailing length 1). `Program.stages` says which is
which; an instruction that mixes the two takes the row value through ``"expand"``. Inputs and
constants need none: executors load them by NumPy's broadcasting.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np

from ..catalogue import formulas, operations
from ..catalogue.dtypes import ALL, BY_CODE
from ..catalogue.reducers import BY_NAME as REDUCERS
from ..catalogue.rows import Signature
from .instructions import EXPAND, ROWS, Call, Contraction, Instruction, Reduction
from .views import View

Stage = Literal["row", "full"]

# The operations of complex numbers that are no ufuncs; none is compiled.
COMPLEX: Final[dict[str, tuple[int, Callable[..., Any]]]] = {
    "real": (1, np.real),
    "imag": (1, np.imag),
    "complex": (2, formulas.complex_of),
}


def code_of(dtype: np.dtype[Any]) -> str:
    """Return the element code of `dtype`: ``"f4"``, ``"?"``, ``"bfloat16"``; byte order is dropped.

    Examples
    --------
    >>> code_of(np.dtype(">f4")), code_of(np.dtype(bool))
    ('f4', '?')
    """
    if dtype.kind == "b":
        return "?"
    if dtype.kind in "iufc" and dtype.isbuiltin != 2:
        return dtype.str[1:]
    return dtype.name


def dtype_of(code: str) -> np.dtype[Any]:
    """Return the dtype of an element code, in native byte order."""
    return np.dtype(code)


@dataclass(frozen=True, eq=False)
class Program:
    """A straight-line program over elements.

    Attributes
    ----------
    inputs : tuple of str
        Element code of each input.
    constants : tuple of (str, numpy scalar)
        Element code and value of each constant.
    instructions : tuple of Instruction
        The operations, in order.
    outputs : tuple of int
        The values that are results; they may repeat, and may be inputs or constants.
    rows : tuple of int
        Inputs that have one value per row (trailing length 1, or 0-d) in a program with
        reductions. They stand beside row values, and beside full ones as broadcast.
    """

    inputs: tuple[str, ...]
    constants: tuple[tuple[str, Any], ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[int, ...]
    rows: tuple[int, ...] = ()

    @cached_property
    def _identity(self) -> tuple[Any, ...]:
        constants = tuple(constant_key(code, value) for code, value in self.constants)
        return (self.inputs, constants, self.instructions, self.outputs, self.rows)

    def __eq__(self, other: object) -> bool:
        return self._identity == other._identity if isinstance(other, Program) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def first_constant(self) -> int:
        return len(self.inputs)

    @property
    def first_instruction(self) -> int:
        return len(self.inputs) + len(self.constants)

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """Element code of every value."""
        return (
            *self.inputs,
            *(code for code, _ in self.constants),
            *(instruction.code for instruction in self.instructions),
        )

    @cached_property
    def has_reductions(self) -> bool:
        return any(instruction.is_reduction for instruction in self.instructions)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """``"row"`` or ``"full"`` for every value; constants are ``"row"``, fitting both."""
        rows = set(self.rows)
        stages: list[Stage] = ["row" if i in rows else "full" for i in range(len(self.inputs))]
        stages += ["row"] * len(self.constants)
        for instruction in self.instructions:
            operation = instruction.operation
            if isinstance(operation, Reduction) and operation.axes == ROWS:
                stages.append("row")
            elif instruction.operation == EXPAND:
                stages.append("full")
            else:
                full = any(stages[arg] == "full" for arg in instruction.args)
                stages.append("full" if full else "row")
        return tuple(stages)

    def is_native(self) -> bool:
        """Whether every instruction is a kernel of the catalogue with exactly its signature."""
        if any(code not in BY_CODE for code in self.codes):
            return False
        for operation, code, args in self.instructions:
            inputs = tuple(self.codes[arg] for arg in args)
            if isinstance(operation, Reduction):
                reducer = REDUCERS.get(operation.reducer)
                if operation.axes != ROWS or reducer is None or inputs[0] not in reducer.state:
                    return False
            elif not isinstance(operation, str):
                return False
            elif operation == EXPAND:
                if code not in ALL or inputs != (code,):
                    return False
            else:
                row = operations.BY_NAME.get(operation)
                if row is None or Signature(inputs, code) not in row.signatures:
                    return False
        return True

    def validate(self) -> None:
        """Check numbering, operations, arity, element codes and stages.

        Raises
        ------
        ValueError
            Naming the instruction or output that is wrong.
        """
        for code in self.codes:
            try:
                dtype_of(code)
            except TypeError:
                raise ValueError(f"program: unknown element code {code!r}") from None
        if any(not 0 <= row < len(self.inputs) for row in self.rows):
            raise ValueError(f"program: rows {self.rows} are not all inputs")
        for number, instruction in enumerate(self.instructions, self.first_instruction):
            problem = self._problem(number, instruction)
            if problem:
                raise ValueError(f"program: %{number} = {instruction.operation}: {problem}")
        for output in self.outputs:
            if not 0 <= output < len(self.codes):
                raise ValueError(f"program: output %{output} is not a value")

    def _problem(self, number: int, instruction: Instruction) -> str | None:
        operation, code, args = instruction
        for arg in args:
            if not 0 <= arg < number:
                return f"%{arg} is not an earlier value"
        if isinstance(operation, (Contraction, Call)):
            return None
        arity = arity_of(operation)
        if arity is None:
            return "no such operation"
        if len(args) != arity:
            return f"expected {arity} operands, got {len(args)}"
        inputs = [self.codes[arg] for arg in args]
        if isinstance(operation, Reduction):
            reducer = REDUCERS.get(operation.reducer)
            if reducer is None:
                return "no such reducer"
            if inputs[0] not in reducer.state:
                return f"the reducer takes no elements of type {inputs[0]}"
        if (operation == EXPAND or isinstance(operation, View)) and inputs != [code]:
            return f"expected an operand of type {code}, got {inputs[0]}"
        stages = [self.stages[arg] for arg in args]
        if isinstance(operation, Reduction) and stages != ["full"]:
            return "expected a full operand, got one value per row"
        if operation == EXPAND and stages != ["row"]:
            return "expected one value per row, got a full operand"
        if self.stages[number] == "full" and operation != EXPAND:
            for arg, stage in zip(args, stages, strict=True):
                if stage == "row" and arg >= self.first_instruction:
                    return f"%{arg} has one value per row and needs expand beside a full operand"
        return None

    def canonical(self) -> Program:
        """Return the same program without dead code, with equal values computed once.

        Inputs stay as they are, used or not; the order of what remains is kept.
        """
        live = self._live()
        first = len(self.inputs)
        new: dict[int, int] = {i: i for i in range(first)}
        constants: list[tuple[str, Any]] = []
        seen: dict[Any, int] = {}
        for old, (code, value) in enumerate(self.constants, first):
            if old in live:
                key = constant_key(code, value)
                if key not in seen:
                    seen[key] = first + len(constants)
                    constants.append((code, value))
                new[old] = seen[key]
        instructions: list[Instruction] = []
        first += len(constants)
        for old, instruction in enumerate(self.instructions, self.first_instruction):
            if old in live:
                moved = instruction._replace(args=tuple(new[arg] for arg in instruction.args))
                if moved not in seen:
                    seen[moved] = first + len(instructions)
                    instructions.append(moved)
                new[old] = seen[moved]
        return replace(
            self,
            constants=tuple(constants),
            instructions=tuple(instructions),
            outputs=tuple(new[output] for output in self.outputs),
        )

    def _live(self) -> set[int]:
        live = set(self.outputs)
        for number in range(len(self.codes) - 1, self.first_instruction - 1, -1):
            if number in live:
                live.update(self.instructions[number - self.first_instruction].args)
        return live

    def select(self, outputs: Iterable[int]) -> tuple[Program, tuple[int, ...]]:
        """Return the canonical program of some outputs, and which of the inputs it still reads."""
        slim = replace(self, outputs=tuple(self.outputs[i] for i in outputs)).canonical()
        live = slim._live()
        kept = tuple(i for i in range(len(self.inputs)) if i in live)
        place = {old: new for new, old in enumerate(kept)}
        shift = len(self.inputs) - len(kept)

        def moved(value: int) -> int:
            return place[value] if value < len(slim.inputs) else value - shift

        program = Program(
            tuple(slim.inputs[i] for i in kept),
            slim.constants,
            tuple(
                instruction._replace(args=tuple(moved(arg) for arg in instruction.args))
                for instruction in slim.instructions
            ),
            tuple(moved(output) for output in slim.outputs),
            tuple(place[row] for row in slim.rows if row in place),
        )
        return program, kept

    def cast_outputs(self, codes: Iterable[str]) -> Program:
        """Return the program with its outputs converted to other element types."""
        instructions = list(self.instructions)
        outputs = []
        for output, code in zip(self.outputs, codes, strict=True):
            if self.codes[output] == code:
                outputs.append(output)
                continue
            operation = "nonzero" if code == "?" else "cast"
            outputs.append(self.first_instruction + len(instructions))
            instructions.append(Instruction(operation, code, (output,)))
        changed = replace(self, instructions=tuple(instructions), outputs=tuple(outputs))
        return changed.canonical()

    def __str__(self) -> str:
        return "\n".join(self.listing())

    def listing(self) -> list[str]:
        """Lines of the program, one value each."""
        rows = set(self.rows)
        lines = [
            f"%{i} = input {code}" + (" (one per row)" if i in rows else "")
            for i, code in enumerate(self.inputs)
        ]
        for number, (code, value) in enumerate(self.constants, self.first_constant):
            lines.append(f"%{number} = constant {code} {value}")
        for number, (operation, code, args) in enumerate(self.instructions, self.first_instruction):
            lines.append(f"%{number} = {operation} {code} " + ", ".join(f"%{a}" for a in args))
        lines.append("return " + ", ".join(f"%{output}" for output in self.outputs))
        return lines


def constant_key(code: str, value: Any) -> tuple[str, object]:
    """Return what makes two constants the same: their bits, so that -0.0 is not 0.0."""
    if np.dtype(code).itemsize > 8 and np.dtype(code).kind in "fc":
        return code, repr(value)  # the bytes of a long double include padding
    return code, np.asarray(value, dtype_of(code)).tobytes()


def find_ufunc(operation: str) -> tuple[np.ufunc, int] | None:
    """Find the ufunc that ``"numpy.modf:1"`` names, and which of its results is meant."""
    name, _, result = operation.partition(":")
    module, _, function = name.rpartition(".")
    found = getattr(sys.modules.get(module), function, None)
    return (found, int(result or 0)) if isinstance(found, np.ufunc) else None


def arity_of(operation: str | Reduction | View) -> int | None:
    """Return the number of operands of an operation, or None if there is no such operation."""
    if operation == EXPAND or not isinstance(operation, str):
        return 1
    row = operations.BY_NAME.get(operation)
    if row is not None:
        return row.arity
    if operation in COMPLEX:
        return COMPLEX[operation][0]
    named = find_ufunc(operation) if "." in operation else None
    return named[0].nin if named else None
