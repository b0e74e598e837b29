"""Views brought to where memory is: what a traced program reads, for arrays of given shapes.

The view of a value that is computed element by element is computed of views of its operands, so
that views of inputs are all that is left, and those of values that are stored anyway. What only
adds or drops axes of size 1 disappears: ``x - x.mean(axis=1)[:, None]`` has no view at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .instructions import Instruction, Operation
from .program import Program
from .shapes import Shape
from .views import NoViewError, Path, View, end_of, of_operand, shortened

#: Operations of elements from which on a value that is seen in several ways is stored.
_WORTH_STORING = 4


@dataclass(frozen=True)
class Viewed:
    """An input as a program reads it.

    Attributes
    ----------
    number : int
        Of the traced program's inputs.
    path : tuple of View
    """

    number: int
    path: Path


@dataclass(frozen=True)
class Lowered:
    """A program whose views are of stored values alone.

    Attributes
    ----------
    program : Program
        One output for each of the traced program's, without the views that come last.
    inputs : tuple of Viewed
    shapes : tuple of tuple
        Of all its values.
    paths : tuple of tuple
        Of each output: the views that come last. They are of all elements.
    """

    program: Program
    inputs: tuple[Viewed, ...]
    shapes: tuple[Shape, ...]
    paths: tuple[Path, ...]


def lower(program: Program, shapes: Sequence[Shape], is_number: Callable[[int], bool]) -> Lowered:
    """Bring the views of a program, whose values have these shapes, to its inputs.

    `is_number`: whether an input is a number, which is the same however it is seen.
    """
    return _Lowering(program, shapes, is_number).result()


class _Lowering:
    def __init__(
        self, program: Program, shapes: Sequence[Shape], is_number: Callable[[int], bool]
    ) -> None:
        self._program = program
        self._shapes = shapes
        self._is_number = is_number
        self._inputs: list[Viewed] = []
        self._constants: list[int] = []
        self._instructions: list[tuple[Operation, str, tuple[tuple[str, int], ...]]] = []
        self._made: dict[tuple[int, Path], tuple[str, int]] = {}
        self._made_shapes: dict[tuple[str, int], Shape] = {}
        self._stored = self._worth_storing()

    def result(self) -> Lowered:
        # Inputs that nothing reads stay in no program, those that are read keep their order.
        program = self._program
        outputs, paths = [], []
        for output in program.outputs:
            value, path = self._peeled(output)
            outputs.append(self._get(value, ()))
            paths.append(path)
        order = sorted(range(len(self._inputs)), key=lambda i: (self._inputs[i].number, i))
        place = {("input", old): new for new, old in enumerate(order)}
        for k in range(len(self._constants)):
            place["constant", k] = len(order) + k
        first = len(order) + len(self._constants)
        for k in range(len(self._instructions)):
            place["instruction", k] = first + k
        made = Program(
            tuple(program.codes[self._inputs[i].number] for i in order),
            tuple(program.constants[v - program.first_constant] for v in self._constants),
            tuple(
                Instruction(operation, code, tuple(place[arg] for arg in args))
                for operation, code, args in self._instructions
            ),
            tuple(place[output] for output in outputs),
        )
        found: list[Shape] = [()] * (first + len(self._instructions))
        for what, shape in self._made_shapes.items():
            found[place[what]] = shape
        return Lowered(made, tuple(self._inputs[i] for i in order), tuple(found), tuple(paths))

    def _peeled(self, value: int) -> tuple[int, Path]:
        """Return what is to be stored for an output, and how that is then seen."""
        program = self._program
        path: list[View] = []
        while value >= program.first_instruction:
            operation, _, args = program.instructions[value - program.first_instruction]
            if not isinstance(operation, View) or operation.kind == "broadcast":
                break
            inner = self._shapes[args[0]]
            simple = shortened((operation,), inner)
            if simple and simple[0].kind not in ("reshape", "transpose"):
                break
            path[:0] = simple
            value = args[0]
        return value, shortened(path, self._shapes[value])

    def _emit(
        self, operation: Operation, code: str, args: tuple[tuple[str, int], ...], shape: Shape
    ) -> tuple[str, int]:
        self._instructions.append((operation, code, args))
        made = ("instruction", len(self._instructions) - 1)
        self._made_shapes[made] = shape
        return made

    def _key(self, value: int, path: Path) -> tuple[int, Path]:
        """Return what a value seen by a path is: another one, if it is itself a view."""
        program = self._program
        while value >= program.first_instruction:
            operation, _, args = program.instructions[value - program.first_instruction]
            if not isinstance(operation, View):
                break
            value, path = args[0], (operation, *path)
        return value, shortened(path, self._shapes[value])

    def _get(self, value: int, path: Path) -> tuple[str, int]:
        """Return what is made for a value seen by a path. Programs may be deep, so no recursion."""
        wanted = self._key(value, path)
        left = [wanted]
        while left:
            key = left[-1]
            if key not in self._made:
                operands = self._operands(*key)
                missing = [operand for operand in operands if operand not in self._made]
                if missing:
                    left += missing
                    continue
                self._made[key] = self._make(*key, [self._made[operand] for operand in operands])
            left.pop()
        return self._made[wanted]

    def _operands(self, value: int, path: Path) -> list[tuple[int, Path]]:
        """Return what a value seen by a path is made of."""
        program, shape = self._program, self._shapes[value]
        if value < program.first_instruction:
            return []
        operation, _, args = program.instructions[value - program.first_instruction]
        if not path:
            return [self._key(arg, ()) for arg in args]
        if isinstance(operation, str) and value not in self._stored:
            try:
                return [self._key(a, of_operand(path, shape, self._shapes[a])) for a in args]
            except NoViewError:
                self._stored.add(value)
        return [(value, ())]

    def _make(self, value: int, path: Path, operands: Sequence[tuple[str, int]]) -> tuple[str, int]:
        program, shape = self._program, self._shapes[value]
        if value < program.first_constant:
            if self._is_number(value):
                path = ()
            self._inputs.append(Viewed(value, path))
            made = ("input", len(self._inputs) - 1)
            self._made_shapes[made] = end_of(path, shape)
            return made
        if value < program.first_instruction:
            if value not in self._constants:
                self._constants.append(value)
            return ("constant", self._constants.index(value))
        operation, code, _ = program.instructions[value - program.first_instruction]
        if not path or (isinstance(operation, str) and value not in self._stored):
            return self._emit(operation, code, tuple(operands), end_of(path, shape))
        (whole,) = operands
        for view in path:
            shape = view.result_shape(shape)
            whole = self._emit(view, code, (whole,), shape)
        return whole

    def _worth_storing(self) -> set[int]:
        """Return the values that several views are of, and that take long to compute again."""
        program = self._program
        first = program.first_instruction
        seen: dict[int, set[Path]] = {}
        for value in (*program.outputs, *(a for i in program.instructions for a in i.args)):
            operation = None if value < first else program.instructions[value - first].operation
            if isinstance(operation, View):
                continue
            seen.setdefault(value, set()).add(())
        for operation, _, args in program.instructions:
            if isinstance(operation, View):
                seen.setdefault(args[0], set()).add((operation,))
        cost = [0] * first
        for operation, _, args in program.instructions:
            own = 1 if isinstance(operation, str) else 0
            cost.append(own + sum(cost[arg] for arg in args) if own else 0)
        return {
            value
            for value, paths in seen.items()
            if len(paths) > 1 and value >= first and cost[value] >= _WORTH_STORING
        }
