"""Programs cut where a value is at hand: what one pass computes of a whole traced function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .instructions import Contraction
from .program import Program
from .shapes import Shape


@dataclass(frozen=True)
class Cut:
    """A part of a program.

    Attributes
    ----------
    program : Program
    inputs : tuple of int
        Which values of the whole program its inputs are.
    """

    program: Program
    inputs: tuple[int, ...]


def cut(
    program: Program,
    targets: Sequence[int],
    stops: Callable[[int], bool],
    first: int | None = None,
) -> Cut:
    """Return the program of some values, whose inputs are those where `stops` says so.

    `first` is a value that is to be its first input. Inputs of the whole program are inputs.
    """
    live: set[int] = set()
    entries: set[int] = set()
    left = list(targets)
    while left:
        value = left.pop()
        if value in live or value in entries:
            continue
        constant = program.first_constant <= value < program.first_instruction
        if not constant and (value < program.first_constant or value == first or stops(value)):
            entries.add(value)
            continue
        live.add(value)
        if not constant:
            left += program.instructions[value - program.first_instruction].args
    inputs = sorted(entries, key=lambda value: (value != first, value))
    constants = [v for v in sorted(live) if v < program.first_instruction]
    computed = [v for v in sorted(live) if v >= program.first_instruction]
    number = {value: new for new, value in enumerate((*inputs, *constants, *computed))}
    instructions = (program.instructions[v - program.first_instruction] for v in computed)
    return Cut(
        Program(
            tuple(program.codes[v] for v in inputs),
            tuple(program.constants[v - program.first_constant] for v in constants),
            tuple(i._replace(args=tuple(number[arg] for arg in i.args)) for i in instructions),
            tuple(number[target] for target in targets),
        ),
        tuple(inputs),
    )


def endings(program: Program, shapes: Sequence[Shape]) -> dict[int, int]:
    """Return for each contraction the value that is stored in place of its sums.

    That is the last one on the way from it to everything that comes of it, as long as all values on
    the way are elementwise and have the shape of the sums. A value belongs to one contraction: what
    joins two products is done by the later one, which reads the other.
    """
    first = program.first_instruction
    users: list[list[int]] = [[] for _ in program.codes]
    for number, instruction in enumerate(program.instructions, first):
        for arg in instruction.args:
            users[arg].append(number)
    results = set(program.outputs)
    found: dict[int, int] = {}
    taken: set[int] = set()
    for number in range(len(program.codes) - 1, first - 1, -1):
        if not isinstance(program.instructions[number - first].operation, Contraction):
            continue
        region = {number}
        end, reach = number, number  # of what is in the region: the last value that reads it
        for value in range(number, len(program.codes)):
            if value != number:
                instruction = program.instructions[value - first]
                if region.isdisjoint(instruction.args):
                    continue
                if (
                    not isinstance(instruction.operation, str)
                    or value in taken
                    or shapes[value] != shapes[number]
                ):
                    break  # what it reads of the region has to be stored
                region.add(value)
            if reach <= value:
                end = value
            if value in results or not users[value]:
                break
            reach = max(reach, *users[value])
        found[number] = end
        taken |= {value for value in region if value <= end}
    return found


def elements(shape: Shape) -> int:
    """Return how many elements an array of some shape has."""
    return math.prod(shape)
