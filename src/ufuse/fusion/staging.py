"""Programs of rows: one axis last, and values of two kinds, full ones and one per row."""

from __future__ import annotations

from dataclasses import replace

from .instructions import EXPAND, ROWS, Instruction, Reduction
from .program import Program
from .shapes import Shape
from .views import Path, View, shortened


def move_axis(shape: Shape, axis: int, axes: int) -> Path:
    """Return the view of an array with `axis` of the `axes` it broadcasts to behind all others."""
    if axis == axes - 1 or not shape:
        return ()
    padded = (1,) * (axes - len(shape)) + shape
    order = (*(i for i in range(axes) if i != axis), axis)
    return shortened((View("reshape", padded), View("transpose", order)), shape)


def stage(program: Program, rows: tuple[int, ...]) -> Program:
    """Return a program of rows: `rows` as row inputs, row values expanded beside full ones.

    Its reductions are all over the axis that is the trailing one now.
    """
    bare = replace(program, rows=rows)
    first = bare.first_instruction
    is_row = [i in rows for i in range(len(bare.inputs))] + [True] * len(bare.constants)
    codes = list(bare.codes[:first])
    instructions: list[Instruction] = []
    new = list(range(first))

    def append(instruction: Instruction, row: bool) -> int:
        instructions.append(instruction)
        is_row.append(row)
        codes.append(instruction.code)
        return first + len(instructions) - 1

    for operation, code, given in bare.instructions:
        args = tuple(new[arg] for arg in given)
        if isinstance(operation, Reduction):
            new.append(append(Instruction(replace(operation, axes=ROWS), code, args), True))
            continue
        row = all(is_row[arg] for arg in args)
        if not row:
            args = tuple(
                append(Instruction(EXPAND, codes[arg], (arg,)), False)
                if is_row[arg] and arg >= first
                else arg
                for arg in args
            )
        new.append(append(Instruction(operation, code, args), row))
    outputs = tuple(new[output] for output in bare.outputs)
    return replace(bare, instructions=tuple(instructions), outputs=outputs).canonical()
