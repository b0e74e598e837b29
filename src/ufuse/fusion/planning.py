"""Plans: what a traced program runs for arguments of given shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .graph import Leaf, Source
from .instructions import Call, Contraction
from .lowering import lower
from .program import Program
from .runs import Run, Step, contract_room
from .scheduling import Scheduler
from .shapes import Shape, broadcast_shapes
from .views import Path, end_of


@dataclass(frozen=True)
class Plan:
    """What to do for one set of shapes.

    Attributes
    ----------
    shapes : tuple of tuple
        Shape of each result.
    bases : tuple of tuple
        Shape of the array that holds each result.
    paths : tuple of tuple
        For each result: the view of that array that it is, of all elements.
    runs : tuple
        What they read and write are inputs, by number, and after these outputs, and after those
        `temporaries`.
    values : tuple of tuple
        Shape of every value of the traced program.
    temporaries : tuple of (shape, str)
        Shape and element code of each.
    last_uses : tuple of tuple
        For each run the arrays that none after it reads.
    """

    shapes: tuple[Shape, ...]
    bases: tuple[Shape, ...]
    paths: tuple[Path, ...]
    runs: tuple[Step, ...]
    values: tuple[Shape, ...]
    temporaries: tuple[tuple[Shape, str], ...]
    last_uses: tuple[tuple[int, ...], ...]

    @property
    def in_place(self) -> bool:
        """Whether a result may be written where the same elements are read."""
        (run, *more) = self.runs
        plain = isinstance(run, Run) and not any(s.path for s in (*run.inputs, *run.outputs))
        return plain and not more and not any(self.paths)


def plan(
    program: Program, sources: Sequence[Source], leaves: Sequence[Shape], labels: Sequence[str]
) -> Plan:
    """Plan `program` for arrays of the shapes `leaves`.

    Raises
    ------
    ValueError
        If shapes do not broadcast, or a maximum or minimum would be of nothing.
    IndexError
        If an index is out of bounds.
    """
    inputs = [leaves[s.index] if isinstance(s, Leaf) else () for s in sources]
    try:
        values = infer_shapes(program, inputs)
    except (ShapeError, IndexError) as error:
        named = ", ".join(f"{label} {shape}" for label, shape in zip(labels, leaves, strict=False))
        kind = IndexError if isinstance(error, IndexError) else ValueError
        raise kind(f"{error}; the arguments have shapes {named}") from None
    lowered = lower(program, values, lambda i: not isinstance(sources[i], Leaf))
    made = Scheduler(lowered, len(program.inputs))
    bases = tuple(lowered.shapes[output] for output in lowered.program.outputs)
    return Plan(
        tuple(end_of(path, base) for path, base in zip(lowered.paths, bases, strict=True)),
        bases, lowered.paths, tuple(made.steps), tuple(values), tuple(made.temporaries),
        made.last_uses(),
    )  # fmt: skip


class ShapeError(ValueError):
    pass


def infer_shapes(program: Program, inputs: Sequence[Shape]) -> list[Shape]:
    """Return the shape of every value for inputs of some shapes."""
    shapes: list[Shape] = [*inputs, *((),) * len(program.constants)]
    for operation, _, args in program.instructions:
        operands = [shapes[arg] for arg in args]
        if isinstance(operation, str):
            shapes.append(_broadcast(operation, operands))
            continue
        try:
            if isinstance(operation, Contraction):
                shapes.append(contract_room().result_shape(operation, operands))
            elif isinstance(operation, Call):
                shapes.append(operation.result_shape(operands))
            else:
                shapes.append(operation.result_shape(operands[0]))
        except ValueError as error:
            raise ShapeError(str(error)) from None
    return shapes


def _broadcast(operation: str, operands: Sequence[Shape]) -> Shape:
    first = operands[0]
    if all(operand == first for operand in operands):
        return first
    try:
        return broadcast_shapes(*operands)
    except ValueError:
        raise ShapeError(
            "operands could not be broadcast together with shapes "
            f"{' '.join(map(str, operands))} in {operation!r}"
        ) from None
