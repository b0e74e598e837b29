"""Shapes: what a traced program computes for arguments of given shapes, and in which runs.

A program says nothing of shapes; its values have those of NumPy's broadcasting. An executor runs
one loop, so outputs of different shapes become several runs. In a program with reductions the
inputs of trailing length 1 are *row* inputs, and results that have one value per row are expanded
where they meet full ones. A program with contractions is cut into passes first (`scheduling.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .graph import Leaf, Length, Shape, Source
from .program import EXPAND, Contraction, Instruction, Program, dtype_of
from .runs import Run, Step, contract_room
from .shapes import broadcast_shapes


@dataclass(frozen=True)
class Plan:
    """What to do for one set of shapes.

    Attributes
    ----------
    shapes : tuple of tuple
        Shape of each output.
    runs : tuple of Run or ContractRun
        What they read are inputs, by number, and after these results: outputs, and after those
        `temporaries`. What they write are results.
    fixed : tuple of (ndarray or None)
        For each input that is a length, its value as a 0-d array.
    values : tuple of tuple
        Shape of every value of the program.
    temporaries : tuple of (shape, str)
        Shape and element code of each.
    last_uses : tuple of tuple
        For each run the temporaries, as results, that none after it reads.
    """

    shapes: tuple[Shape, ...]
    runs: tuple[Step, ...]
    fixed: tuple[NDArray[Any] | None, ...]
    values: tuple[Shape, ...]
    temporaries: tuple[tuple[Shape, str], ...] = ()
    last_uses: tuple[tuple[int, ...], ...] = ()

    @property
    def in_place(self) -> bool:
        """Whether a result may be written where the same elements are read."""
        return len(self.runs) == 1 and isinstance(self.runs[0], Run)


def plan(
    program: Program, sources: Sequence[Source], leaves: Sequence[Shape], labels: Sequence[str]
) -> Plan:
    """Plan `program` for arrays of the shapes `leaves`.

    Raises
    ------
    ValueError
        If shapes do not broadcast, or a maximum or minimum would be of nothing.
    """
    inputs = [leaves[s.index] if isinstance(s, Leaf) else () for s in sources]
    try:
        values = infer_shapes(program, inputs)
    except ShapeError as error:
        named = ", ".join(f"{label} {shape}" for label, shape in zip(labels, leaves, strict=False))
        raise ValueError(f"{error}; the arguments have shapes {named}") from None
    shapes = tuple(values[output] for output in program.outputs)
    fixed = tuple(_length(s, leaves) if isinstance(s, Length) else None for s in sources)
    if program.has_contractions:
        from .scheduling import Scheduler  # few programs need it

        made = Scheduler(program, values, _runs, infer_shapes)
        runs = tuple(made.steps)
        return Plan(
            shapes, runs, fixed, tuple(values), tuple(made.temporaries), made.last_uses()
        )  # fmt: skip
    return Plan(shapes, tuple(_runs(program, inputs, values)), fixed, tuple(values))


class ShapeError(ValueError):
    pass


def infer_shapes(program: Program, inputs: Sequence[Shape]) -> list[Shape]:
    """Return the shape of every value for inputs of some shapes."""
    shapes: list[Shape] = [*inputs, *((),) * len(program.constants)]
    for operation, _, args in program.instructions:
        operands = [shapes[arg] for arg in args]
        if isinstance(operation, Contraction):
            try:
                shapes.append(contract_room().result_shape(operation, operands))
            except ValueError as error:
                raise ShapeError(str(error)) from None
        elif operation.startswith("reduce_"):
            if operands[0][-1] == 0 and operation in ("reduce_max", "reduce_min"):
                raise ShapeError(
                    "zero-size array to reduction operation "
                    f"{operation.removeprefix('reduce_')}imum which has no identity"
                )
            shapes.append((*operands[0][:-1], 1))
        elif all(operand == operands[0] for operand in operands):
            shapes.append(operands[0])
        else:
            try:
                shapes.append(broadcast_shapes(*operands))
            except ValueError:
                raise ShapeError(
                    "operands could not be broadcast together with shapes "
                    f"{' '.join(map(str, operands))} in {operation!r}"
                ) from None
    return shapes


def _length(source: Length, leaves: Sequence[Shape]) -> NDArray[Any]:
    extents = {leaves[leaf][-1] for leaf in source.leaves if leaves[leaf]} - {1}
    (extent,) = extents or {1}
    return np.asarray(max(extent - source.ddof, 0), dtype=dtype_of(source.code))


def _runs(program: Program, inputs: Sequence[Shape], values: Sequence[Shape]) -> list[Run]:
    if not program.has_reductions:
        groups = _grouped([values[output] for output in program.outputs])
        return [_run(program, group) for group in groups]
    # An executor runs rows of one length: that of the inputs which are longer than 1.
    extents = {shape[-1] for shape in inputs if shape} - {1}
    if len(extents) > 1:  # fine in NumPy where one of them is reduced before they meet
        return [Run(program, tuple(range(len(inputs))), tuple(range(len(program.outputs))), False)]
    rows = tuple(i for i, shape in enumerate(inputs) if not shape or (extents and shape[-1] == 1))
    staged = stage(program, rows)
    runs: list[Run] = []
    for group in _grouped([values[o][:-1] if values[o] else None for o in program.outputs]):
        if staged.select(group)[0].has_reductions:
            runs.append(_run(staged, group))
        else:  # rows mean something beside reductions alone
            shapes = [values[program.outputs[place]] for place in group]
            plain = _without_rows(staged)
            runs += [_run(plain, tuple(group[k] for k in part)) for part in _grouped(shapes)]
    return runs


def _grouped(keys: Sequence[Any]) -> list[tuple[int, ...]]:
    groups: dict[Any, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(key, []).append(place)
    return [tuple(group) for group in groups.values()]


def _run(program: Program, outputs: tuple[int, ...]) -> Run:
    selected, kept = program.select(outputs)
    return Run(selected, kept, outputs)


def stage(program: Program, rows: tuple[int, ...]) -> Program:
    """Return the program with `rows` as row inputs and row values expanded beside full ones.

    Reducing what has one value per row is nothing, as is a sum over an axis of length 1.
    """
    bare = replace(program, rows=rows)
    first = bare.first_instruction
    is_row = [s == "row" for s in bare.stages[:first]]
    codes = list(bare.codes[:first])
    instructions: list[Instruction] = []
    new = list(range(first))

    def append(instruction: Instruction, row: bool) -> int:
        instructions.append(instruction)
        is_row.append(row)
        codes.append(instruction.code)
        return first + len(instructions) - 1

    for instruction in bare.instructions:
        args = [new[arg] for arg in instruction.args]
        if instruction.is_reduction:
            (arg,) = args
            new.append(arg if is_row[arg] else append(instruction._replace(args=(arg,)), True))
            continue
        row = all(is_row[arg] for arg in args)
        if not row:
            args = [
                append(Instruction(EXPAND, codes[arg], (arg,)), False)
                if is_row[arg] and arg >= first
                else arg
                for arg in args
            ]
        new.append(append(instruction._replace(args=tuple(args)), row))
    outputs = tuple(new[output] for output in bare.outputs)
    return replace(bare, instructions=tuple(instructions), outputs=outputs).canonical()


def _without_rows(program: Program) -> Program:
    """Undo what `stage` did for rows: inputs of trailing length 1 are broadcast as any other."""
    new = list(range(program.first_instruction))
    instructions: list[Instruction] = []
    for instruction in program.instructions:
        args = tuple(new[arg] for arg in instruction.args)
        if instruction.operation == EXPAND:
            new.append(args[0])
        else:
            new.append(program.first_instruction + len(instructions))
            instructions.append(instruction._replace(args=args))
    outputs = tuple(new[output] for output in program.outputs)
    return replace(program, instructions=tuple(instructions), outputs=outputs, rows=()).canonical()
