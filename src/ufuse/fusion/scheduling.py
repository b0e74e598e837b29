"""The passes of a program with contractions.

Each contraction is a pass, which takes its neighbours with it: what an operand is computed by runs
as it is packed, and what becomes of the sums (`cutting.endings`) before they are stored. Stored
besides are reductions, operands of several contractions, and values with far fewer elements than
the loop they are needed in (of a row, of a column).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .cutting import Cut, cut, elements, endings
from .graph import Shape
from .program import Contraction, Program, dtype_of
from .runs import ContractRun, Operand, Run, Step, contract_room

#: Shapes of inputs and of all values to the runs of a program without contractions.
Runs = Callable[[Program, Sequence[Shape], Sequence[Shape]], list[Run]]


#: A pass for fewer values than those of the loop that needs them costs some 20 us, which is what
#: this many operations cost at worst. Without one, the call is repeated without Python.
_WORTH_A_PASS = 1 << 15


class Scheduler:
    """Makes the steps of one program for one set of shapes.

    Attributes
    ----------
    steps : list
    temporaries : list of (shape, code)
        Results that are no outputs; they are numbered after these.
    """

    def __init__(
        self,
        program: Program,
        shapes: Sequence[Shape],
        runs: Runs,
        infer: Callable[[Program, Sequence[Shape]], list[Shape]],
    ) -> None:
        self.steps: list[Step] = []
        self.temporaries: list[tuple[Shape, str]] = []
        self._program = program
        self._shapes = shapes
        self._runs, self._infer = runs, infer
        self._ends = {end: start for start, end in endings(program, shapes).items()}
        self._place = {i: i for i in range(len(program.inputs))}
        self._feeds: dict[int, int] = {}  # how many contractions a value is an operand of
        for instruction in program.instructions:
            if isinstance(instruction.operation, Contraction):
                for arg in set(instruction.args):
                    self._feeds[arg] = self._feeds.get(arg, 0) + 1
        for end in sorted(self._ends):
            self._stored(end)
        rest = [i for i, v in enumerate(program.outputs) if not self._is_stored_as(v, i)]
        if rest:
            self._compute([program.outputs[i] for i in rest], rest)

    def _is_stored_as(self, value: int, result: int) -> bool:
        return self._place.get(value) == len(self._program.inputs) + result

    def _result(self, value: int) -> int:
        """Return where a value is to be stored: an output, or a new temporary."""
        outputs = self._program.outputs
        if value in outputs:
            return outputs.index(value)
        self.temporaries.append((self._shapes[value], self._program.codes[value]))
        return len(outputs) + len(self.temporaries) - 1

    def _stored(self, value: int) -> int:
        """Return the array that a value is in, computing it where it is in none."""
        if value not in self._place:
            if value in self._ends:
                self._contract(self._ends[value], value)
            else:
                self._compute([value], [self._result(value)])
        return self._place[value]

    def _compute(self, targets: Sequence[int], results: Sequence[int]) -> None:
        """Compute values by programs, into the results of these numbers."""
        part = cut(self._program, targets, lambda v: v in self._place or v in self._ends)
        inputs = tuple(self._stored(v) for v in part.inputs)
        given = [self._shapes[v] for v in part.inputs]
        for run in self._runs(part.program, given, self._infer(part.program, given)):
            self.steps.append(
                replace(
                    run,
                    inputs=tuple(inputs[i] for i in run.inputs),
                    outputs=tuple(results[i] for i in run.outputs),
                )
            )
        for value, result in zip(targets, results, strict=True):
            self._place.setdefault(value, len(self._program.inputs) + result)

    def _part(self, target: int, sums: int | None = None) -> Cut:
        """Return what makes a value of the size of its loop from what is stored."""
        size = elements(self._shapes[target])
        first = self._program.first_instruction

        def stops(value: int) -> bool:
            if value in self._place or value in self._ends:
                return value != target
            if value < first:
                return False
            reduces = self._program.instructions[value - first].is_reduction
            return reduces or (elements(self._shapes[value]) < size and size >= _WORTH_A_PASS)

        part = cut(self._program, [target], stops, sums)
        missing = [
            v for v in part.inputs if v != sums and v not in self._place and v not in self._ends
        ]
        if missing:
            self._compute(missing, [self._result(v) for v in missing])
        return part

    def _operand(self, value: int) -> Operand:
        shape, code = self._shapes[value], self._program.codes[value]
        first = self._program.first_instruction
        known = value in self._place or value in self._ends or value < first
        if not known:
            reduces = self._program.instructions[value - first].is_reduction
            known = reduces or self._feeds[value] > 1
        if known:
            return Operand((self._stored(value),), None, shape, code)
        part = self._part(value)
        return Operand(tuple(self._stored(v) for v in part.inputs), part.program, shape, code)

    def _contract(self, start: int, end: int) -> None:
        instruction = self._program.instructions[start - self._program.first_instruction]
        operands = tuple(self._operand(arg) for arg in instruction.args)
        finish: Program | None = None
        extras: tuple[int, ...] = ()
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
        self._place[end] = len(self._program.inputs) + result

    def last_uses(self) -> tuple[tuple[int, ...], ...]:
        """Return for each step the temporaries that no later step reads, by result."""
        first = len(self._program.inputs)
        least = len(self._program.outputs)
        last = {
            place - first: number
            for number, step in enumerate(self.steps)
            for place in (*(first + i for i in step.outputs), *step.inputs)
            if place - first >= least
        }
        return tuple(
            tuple(result for result, at in last.items() if at == number)
            for number in range(len(self.steps))
        )
