"""Passes: how a lowered program is cut where something is finished before what follows begins.

- A *map* is a program of elements, of any number of results of one shape.
- *Rows*: a program that reduces one axis and goes on with the results beside its elements. A row
  stays in cache, so that a softmax reads once and writes once.
- A *reduction* of what a program makes, over any axes: what it makes is in no memory. Where rows
  are too long, or more axes than one are reduced, the levels of reductions are passes one after
  another.
- A *contraction* takes its neighbours with it: what an operand is computed by runs as it is
  packed, and what becomes of the sums (`cutting.endings`) before they are stored.
- A *call* of a function of ufuse reads and writes whole arrays.

Stored besides are values that a view is of, operands of several contractions, and values with far
fewer elements than the loop they are needed in (of a row, of a column).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .cutting import Cut, cut, elements, endings
from .instructions import Call, Contraction, Operation, Reduction
from .lowering import Lowered
from .program import dtype_of
from .runs import CallRun, ContractRun, Operand, ReduceRun, Run, Seen, Step, contract_room
from .shapes import Shape
from .staging import move_axis, stage
from .views import View

#: A pass for fewer values than those of the loop that needs them costs some 20 us, which is what
#: this many operations cost at worst. Without one, the call is repeated without Python.
_WORTH_A_PASS = 1 << 15

#: Elements of a row that stays in cache beside what is made of it, and of one that is not worth
#: sharing out to threads (calls with longer rows are not repeated without Python).
_LONGEST_ROW = 1 << 17
LONGEST_ALONE = 1 << 15

#: Of the core: results of a program that are reduced together, and reductions of them.
_MOST_OPERANDS, _MOST_REDUCTIONS = 8, 16


class _Space(NamedTuple):
    """What a reduction is over: the shape of its operand and the axes."""

    shape: Shape
    axes: tuple[int, ...]

    @property
    def kept(self) -> Shape:
        """Shape of the results."""
        return tuple(1 if i in self.axes else n for i, n in enumerate(self.shape))


class Scheduler:
    """Makes the steps of one lowered program.

    Attributes
    ----------
    steps : list
    temporaries : list of (shape, code)
        Arrays that are no outputs; they are numbered after these, and these after `inputs` others.
    """

    def __init__(self, lowered: Lowered, inputs: int) -> None:
        self.steps: list[Step] = []
        self.temporaries: list[tuple[Shape, str]] = []
        self._program = program = lowered.program
        self._first = program.first_instruction
        self._shapes = lowered.shapes
        self._first_output = inputs
        self._place = {i: Seen(v.number, v.path) for i, v in enumerate(lowered.inputs)}
        starts = endings(program, self._shapes)
        self._ends = {end: start for start, end in starts.items()}
        self._feeds: dict[int, int] = {}  # how many contractions a value is an operand of
        for instruction in program.instructions:
            if isinstance(instruction.operation, Contraction):
                for arg in set(instruction.args):
                    self._feeds[arg] = self._feeds.get(arg, 0) + 1
        # Where a contraction ends that a result is made of, is stored by the time it is needed.
        for end in sorted(self._ends):
            self._need([end])
        self._need(value for value in program.outputs if value >= self._first)
        copies = [
            (value, Seen(inputs + number))
            for number, value in enumerate(program.outputs)
            if self._place.get(value) != Seen(inputs + number)
        ]
        if copies:
            self._maps(copies)

    # --- what is stored ------------------------------------------------------------------------

    def _operation(self, value: int) -> Operation | None:
        if value < self._first:
            return None
        return self._program.instructions[value - self._first].operation

    def _args(self, value: int) -> tuple[int, ...]:
        return self._program.instructions[value - self._first].args

    def _result(self, value: int) -> Seen:
        """Return where a value is to be stored: an output, or a new temporary."""
        outputs = self._program.outputs
        if value in outputs:
            return Seen(self._first_output + outputs.index(value))
        self.temporaries.append((self._shapes[value], self._program.codes[value]))
        return Seen(self._first_output + len(outputs) + len(self.temporaries) - 1)

    def _stored(self, value: int) -> Seen:
        """Return the array that a value is in, computing it where it is in none."""
        self._need([value])
        return self._place[value]

    def _need(self, values: Iterable[int]) -> None:
        """See to it that values are in arrays."""
        computed: list[int] = []
        views: list[int] = []
        for given in values:
            value = given
            while value not in self._place and isinstance(self._operation(value), View):
                views.append(value)
                (value,) = self._args(value)
            operation = self._operation(value)
            if value in self._place or value in computed:
                continue
            if value in self._ends:
                self._contract(self._ends[value], value)
            elif isinstance(operation, Call):
                inputs = tuple(self._stored(arg) for arg in self._args(value))
                result = self._result(value)
                self.steps.append(CallRun(operation, inputs, (result,)))
                self._place[value] = result
            else:
                computed.append(value)
        if computed:  # together: what is reduced of the same is reduced in one read
            self._compute(computed)
        for value in reversed(views):
            operation = self._operation(value)
            if value not in self._place and isinstance(operation, View):
                array, path = self._place[self._args(value)[0]]
                self._place[value] = Seen(array, (*path, operation))

    # --- maps and reductions -------------------------------------------------------------------

    def _stops(self, value: int) -> bool:
        """Whether a program reads a value rather than to compute it."""
        return (
            value in self._place
            or value in self._ends
            or isinstance(self._operation(value), (View, Call))
        )

    def _region(self, targets: Iterable[int]) -> tuple[set[int], set[int]]:
        """Return what is to be computed for values, and what is read for that."""
        live: set[int] = set()
        entries: set[int] = set()
        left = [(value, True) for value in targets]
        while left:
            value, wanted = left.pop()
            if value in live or self._first > value >= self._program.first_constant:
                continue
            if not wanted and (value < self._first or self._stops(value)):
                entries.add(value)
                continue
            live.add(value)
            left += [(arg, False) for arg in self._args(value)]
        return live, entries

    def _compute(self, targets: list[int]) -> None:
        """Compute values by maps and reductions of what is stored."""
        while targets := [target for target in targets if target not in self._place]:
            _, entries = self._region(targets)
            missing = sorted(entries - self._place.keys())
            if missing:  # some of the targets may be among what these are made of
                self._need(missing)
                continue
            alone = {target: self._region([target])[0] for target in targets}
            inner = [t for t in targets if any(t in alone[o] for o in targets if o != t)]
            if inner:  # an output that another one is made of is read
                self._compute(inner)
                continue
            live = set().union(*alone.values())
            reductions = sorted(v for v in live if isinstance(self._operation(v), Reduction))
            if not reductions:
                self._maps([(target, self._result(target)) for target in targets])
                return
            space = self._space(reductions[-1])
            others = [value for value in reductions if self._space(value) != space]
            if others:
                self._compute(others)
                continue
            first = [v for v in reductions if self._region([v])[0].isdisjoint({*reductions} - {v})]
            if self._rows_do(space, targets, reductions, alone, len(first) < len(reductions)):
                together = [
                    t for t in targets
                    if self._shapes[t] == space.shape or not alone[t].isdisjoint(reductions)
                ]  # fmt: skip
                self._rows(space, together)
            else:
                self._reduce(space, first)

    def _space(self, value: int) -> _Space:
        operation = self._operation(value)
        assert isinstance(operation, Reduction)
        return _Space(self._shapes[self._args(value)[0]], operation.axes)

    def _rows_do(
        self,
        space: _Space,
        targets: Sequence[int],
        reductions: Sequence[int],
        alone: dict[int, set[int]],
        nested: bool,
    ) -> bool:
        """Whether a program of rows computes all targets that depend on reductions."""
        if len(space.axes) != 1 or 0 in space.shape:
            return False
        length = space.shape[space.axes[0]]
        rows = math.prod(space.kept)
        if length == 1 or length > (_LONGEST_ROW if rows >= 8 else LONGEST_ALONE):
            return False
        shapes = {
            self._shapes[target] for target in targets if not alone[target].isdisjoint(reductions)
        }
        if not shapes <= {space.shape, space.kept}:
            return False
        return nested or space.shape in shapes

    def _rows(self, space: _Space, targets: Sequence[int]) -> None:
        (axis,) = space.axes
        part = cut(self._program, targets, self._stops)
        moved = [move_axis(self._shapes[value], axis, len(space.shape)) for value in part.inputs]
        is_row = [
            len(shape) < len(space.shape) - axis or shape[axis - len(space.shape)] == 1
            for shape in (self._shapes[value] for value in part.inputs)
        ]
        staged = stage(part.program, tuple(i for i, row in enumerate(is_row) if row))
        program, kept = staged.select(range(len(targets)))
        outputs = []
        for target in targets:
            array, _ = self._result(target)
            outputs.append(Seen(array, move_axis(self._shapes[target], axis, len(space.shape))))
            self._place[target] = Seen(array)
        inputs = [
            Seen(self._place[value].array, (*self._place[value].path, *path))
            for value, path in zip(part.inputs, moved, strict=True)
        ]
        self.steps.append(Run(program, tuple(inputs[i] for i in kept), tuple(outputs)))

    def _reduce(self, space: _Space, values: Sequence[int]) -> None:
        """Compute reductions in one read, or several where there are many."""
        operands = list(dict.fromkeys(self._args(value)[0] for value in values))
        some = operands[:_MOST_OPERANDS]
        taken = [v for v in values if self._args(v)[0] in some][:_MOST_REDUCTIONS]
        if len(taken) < len(values):
            self._reduce(space, [v for v in values if v not in taken])
        some = list(dict.fromkeys(self._args(value)[0] for value in taken))
        program = None
        read: Sequence[int] = some
        if len(some) > 1 or some[0] not in self._place:
            part = cut(self._program, some, self._stops)
            program, read = part.program, part.inputs
        outputs = tuple(self._result(value) for value in taken)
        self.steps.append(
            ReduceRun(
                program,
                tuple(self._place[value] for value in read),
                space.shape,
                space.axes,
                tuple(r for r in map(self._operation, taken) if isinstance(r, Reduction)),
                tuple(some.index(self._args(value)[0]) for value in taken),
                outputs,
            )
        )
        self._place.update(zip(taken, outputs, strict=True))

    def _maps(self, targets: Sequence[tuple[int, Seen]]) -> None:
        """Compute values element by element, those of one shape in one pass."""
        groups: dict[Shape, list[tuple[int, Seen]]] = {}
        for value, result in targets:
            groups.setdefault(self._shapes[value], []).append((value, result))
        for group in groups.values():
            values = [value for value, _ in group]
            part = cut(self._program, values, self._stops)
            inputs = tuple(self._place[value] for value in part.inputs)
            program, kept = part.program.select(range(len(values)))
            results = tuple(result for _, result in group)
            self.steps.append(Run(program, tuple(inputs[i] for i in kept), results))
            for value, result in group:
                self._place.setdefault(value, result)

    # --- contractions ----------------------------------------------------------------------------

    def _part(self, target: int, sums: int | None = None) -> Cut:
        """Return what makes a value of the size of its loop from what is stored."""
        size = elements(self._shapes[target])

        def stops(value: int) -> bool:
            if self._stops(value):
                return value != target
            if value < self._first:
                return False
            reduces = isinstance(self._operation(value), Reduction)
            return reduces or (elements(self._shapes[value]) < size and size >= _WORTH_A_PASS)

        part = cut(self._program, [target], stops, sums)
        self._need(v for v in part.inputs if v != sums)
        return part

    def _operand(self, value: int) -> Operand:
        shape, code = self._shapes[value], self._program.codes[value]
        operation = self._operation(value)
        known = self._stops(value) or not isinstance(operation, str) or self._feeds[value] > 1
        if known:
            return Operand((self._stored(value),), None, shape, code)
        part = self._part(value)
        return Operand(tuple(self._stored(v) for v in part.inputs), part.program, shape, code)

    def _contract(self, start: int, end: int) -> None:
        instruction = self._program.instructions[start - self._first]
        assert isinstance(instruction.operation, Contraction)
        operands = tuple(self._operand(arg) for arg in instruction.args)
        finish = None
        extras: tuple[Seen, ...] = ()
        if end != start:
            part = self._part(end, start)
            finish, extras = part.program, tuple(self._stored(v) for v in part.inputs[1:])
        steps = contract_room().plan(
            instruction.operation,
            tuple(operand.shape for operand in operands),
            tuple(dtype_of(operand.code) for operand in operands),
            dtype_of(instruction.code),
        )
        result = self._result(end)
        self.steps.append(ContractRun(instruction, steps, operands, finish, extras, (result,)))
        self._place[end] = result

    def last_uses(self) -> tuple[tuple[int, ...], ...]:
        """Return for each step the temporaries that no later step reads."""
        least = self._first_output + len(self._program.outputs)
        last = {
            array: number
            for number, step in enumerate(self.steps)
            for array, _ in (*step.outputs, *step.inputs)
            if array >= least
        }
        return tuple(
            tuple(array for array, at in last.items() if at == number)
            for number in range(len(self.steps))
        )
