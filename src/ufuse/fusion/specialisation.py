"""What a function has become for one kind of arguments, and how it is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isinf
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import executors
from .arguments import Arguments, integers_like
from .errors import trace_error
from .graph import Graph, Leaf, Source, Weak
from .planning import Plan, plan
from .program import Program, dtype_of
from .runs import ContractRun, ReduceRun, Run, Seen, Step, contract_room, reduce_room
from .scheduling import LONGEST_ALONE
from .shapes import Shape, stand_in
from .tracing import Tracer, WeakScalar
from .views import ALL, View, walk

Array = NDArray[Any]

_MAX_PLANS = 64


class Specialisation:
    """A traced function for one kind of arguments.

    Attributes
    ----------
    program : Program
        Its canonical program, for arrays of any shapes.
    sources : tuple of Source
        Where each input of the program comes from at a call.
    captured : tuple of ndarray
        Arrays from outside of the function, read at each call.
    structure : object
        What the function returns, with an `_Output` in place of each result.
    shape_dependent : bool
        Whether the function looked at shapes, and holds for these alone.
    """

    def __init__(
        self,
        program: Program,
        sources: tuple[Source, ...],
        captured: tuple[Array, ...],
        structure: Any,
        labels: tuple[str, ...],
        *,
        shape_dependent: bool,
    ) -> None:
        self.program = program
        self.sources = sources
        self.captured = captured
        self.structure = structure
        self.labels = labels
        self.shape_dependent = shape_dependent
        self.dtypes = tuple(dtype_of(program.codes[output]) for output in program.outputs)
        self._plans: dict[tuple[Shape, ...], Plan] = {}
        self._converted: dict[tuple[str, ...], Specialisation] = {}
        self._fast: Any = None

    def plan(self, shapes: tuple[Shape, ...]) -> Plan:
        """Return the plan for argument arrays of some shapes."""
        known = self._plans.get(shapes)
        if known is None:
            leaves = (*shapes, *(array.shape for array in self.captured))
            known = plan(self.program, self.sources, leaves, self.labels)
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            self._plans[shapes] = known
        return known

    def reading(self, captured: tuple[Array, ...]) -> Specialisation:
        """Return the same with other arrays from outside."""
        return Specialisation(
            self.program, self.sources, captured, self.structure, self.labels,
            shape_dependent=self.shape_dependent,
        )  # fmt: skip

    def converted(self, codes: tuple[str, ...]) -> Specialisation:
        """Return the same with results of other dtypes."""
        if codes not in self._converted:
            self._converted[codes] = Specialisation(
                self.program.cast_outputs(codes), self.sources, self.captured, self.structure,
                self.labels, shape_dependent=self.shape_dependent,
            )  # fmt: skip
        return self._converted[codes]

    def run(
        self, arguments: Arguments, plan: Plan, outputs: Sequence[Array], function: str
    ) -> None:
        """Compute the results into `outputs`, which have the shapes `plan.bases`.

        `function` is named where floating-point errors are told of.
        """
        arrays: list[Any] = [*self.inputs(arguments), *outputs, *(None for _ in plan.temporaries)]
        first = len(arrays) - len(plan.temporaries)
        for run, last in zip(plan.runs, plan.last_uses, strict=True):
            for number, _ in run.outputs:
                if arrays[number] is None:
                    shape, code = plan.temporaries[number - first]
                    arrays[number] = executors.empty(shape, dtype_of(code))
            execute(run, arrays, function)
            for number in last:
                arrays[number] = None

    def inputs(self, arguments: Arguments) -> list[Array]:
        """Return one array for each input of the program."""
        leaves = [*arguments.arrays, *self.captured]
        inputs: list[Array] = []
        for source in self.sources:
            if isinstance(source, Leaf):
                inputs.append(leaves[source.index])
            else:
                with np.errstate(all="ignore"):
                    number = source.compute(arguments.scalars)
                    inputs.append(np.asarray(number, dtype=dtype_of(source.code)))
                large = isinstance(number, float) and source.code[0] == "f"
                if large and isinf(inputs[-1]) and not isinf(number):
                    executors.float_errors.tell_of_cast()
        return inputs

    def fast(self, arguments: Arguments, plan: Plan, args: Sequence[Any] | None) -> Any:
        """Return what the compiled entry point needs to repeat this call without Python, or None.

        That takes one program over the positional arguments `args` as they come (None: there are
        others), whatever their shapes: the loop runs over what they all broadcast to, so
        reductions and the result must do so too. Python numbers may be among them.
        """
        native = executors.native
        if native is None or args is None or len(plan.runs) != 1:
            return None
        arrays = [place for place, arg in enumerate(args) if type(arg) is np.ndarray]
        numbers = [place for place, arg in enumerate(args) if type(arg) in (int, float)]
        counts = (len(arguments.arrays), len(arguments.scalars))
        if (len(arrays), len(numbers)) != counts or sum(counts) != len(args):
            return None  # some are part of the key
        (run,) = plan.runs
        if any(plan.paths) or any(seen.path for seen in (*run.inputs, *run.outputs)):
            return None
        if isinstance(run, ContractRun):
            return None if numbers else self._repeated(run, arguments, plan)
        if self.shape_dependent or not isinstance(run, Run) or run.program.rows:
            return None  # calls with other shapes may be simpler
        if not self._holds_for_all(arguments.shapes):
            return None
        if self._fast is None:
            whole = [Leaf(i) for i in range(len(arrays))]
            self._fast = (
                [source for source in self.sources if isinstance(source, Leaf)] == whole
                and run.inputs == tuple(map(Seen, range(len(self.sources))))
                and isinstance(self.structure, _Output)
                and run.program.stages[run.program.outputs[0]] == "full"
                and _spanning(run.program) is not False
                and native.can_run(run.program)
                and self._repeating(run.program, arguments, arrays, numbers)
            ) or False
        return self._fast or None

    def _holds_for_all(self, shapes: Sequence[Shape]) -> bool:
        """Whether the plan for these shapes does not hang on them."""
        views = [i.operation for i in self.program.instructions if isinstance(i.operation, View)]
        if not views:
            return True
        # What has gone to nothing was a view for every shape, unless sizes of 1 have helped.
        steady = all(
            view.kind == "transpose"
            or (view.kind == "index" and all(e in (0, None, ALL) for e in view.detail))
            for view in views
        )
        return steady and all(n > 1 for shape in shapes for n in shape)

    def _repeating(
        self, program: Program, arguments: Arguments, arrays: list[int], numbers: list[int]
    ) -> Any:
        """Return what repeats a program over arrays and numbers at these places, or None."""
        native = executors.native
        axes = [arguments.arrays[s.index].ndim if isinstance(s, Leaf) else 0 for s in self.sources]
        longest = LONGEST_ALONE if program.has_reductions else None
        spanning = _spanning(program)
        if not numbers:
            return native.fast_program(program, axes, longest, spanning)
        inputs: list[tuple[int, type | None, tuple[int, int] | None]] = []
        for source in self.sources:
            if isinstance(source, Leaf):
                inputs.append((arrays[source.index], None, None))
                continue
            if not isinstance(source, Weak) or not isinstance(source.compute, _Item):
                return None  # computed from numbers, or a length
            value = arguments.scalars[source.compute.index]
            limits = integers_like(value) if type(value) is int else None
            if limits is None and (type(value) is int or source.code[0] != "f"):
                return None
            if source.code == "?":
                return None  # whether it is zero, and not its bytes
            inputs.append((numbers[source.compute.index], type(value), limits))
        count = len(arrays) + len(numbers)
        if len({place for place, _, _ in inputs}) != count:
            return None  # the type of a number that is not read is part of the key too
        return native.fast_scalars(program, axes, count, inputs, longest, spanning)

    def _repeated(self, run: ContractRun, arguments: Arguments, plan: Plan) -> Any:
        """Return what repeats a call that is one contraction, for arrays of the same layouts."""
        if not isinstance(self.structure, _Output) or not plan.shapes[0]:
            return None
        given: list[Any] = [
            source.index if isinstance(source, Leaf) else None
            for source in (self.sources[seen.array] for seen in run.inputs)
        ]
        count = len(arguments.arrays)
        arrays = arguments.arrays
        if any(x is None for x in given) or any(not x.dtype.isnative for x in self.captured):
            return None
        sources = [i if i < count else self.captured[i - count] for i in given]
        key = tuple((x.shape, x.strides) for x in (*arrays, *self.captured))
        if self._fast is None or self._fast[0] != key:
            inputs = self.inputs(arguments)
            operands, extras = contracted(run, inputs)
            out = stand_in(plan.shapes[0], self.dtypes[0])
            self._fast = key, contract_room().repeated(
                run.steps, operands, run.finish, extras, out, sources, arrays
            )  # fmt: skip
        return self._fast[1]

    def result(self, outputs: Sequence[Any]) -> Any:
        """Return the results in the structure that the function returned."""
        return _build(self.structure, outputs)


def _spanning(program: Program) -> int | Literal[False] | None:
    """Return the input that must have the loop's shape for rows to be whole; None if any may.

    Rows that are reduced, and the result, have the length of the loop where every input is part of
    them as it is, not only reduced to one value per row; else where an input is part of all of
    them that has that length itself. False if there is none.
    """
    if not program.has_reductions:
        return None
    everything = frozenset(range(len(program.inputs)))
    part = [frozenset({i}) for i in range(len(program.inputs))]
    part += [frozenset()] * len(program.constants)
    common = everything
    for instruction in program.instructions:
        found = frozenset[int]().union(*(part[arg] for arg in instruction.args))
        if instruction.is_reduction:
            common &= found
        part.append(frozenset() if instruction.is_reduction else found)
    common &= part[program.outputs[0]]
    return None if common == everything else min(common, default=False)


class _Output(int):
    """The place of result number n in what the function returned."""


def _build(structure: Any, outputs: Sequence[Any]) -> Any:
    if type(structure) is _Output:
        return outputs[structure]
    if isinstance(structure, tuple):
        parts = [_build(part, outputs) for part in structure]
        named = hasattr(structure, "_make")
        return type(structure)(*parts) if named else type(structure)(parts)
    if isinstance(structure, list):
        return [_build(part, outputs) for part in structure]
    if isinstance(structure, dict):
        return {key: _build(part, outputs) for key, part in structure.items()}
    return structure


def _flatten(result: Any, values: list[int], graph: Graph) -> Any:
    """Put an `_Output` in place of each traced array; what is none stays part of the structure."""
    if isinstance(result, Tracer):
        if result.graph is not graph:
            raise trace_error("an array kept from another call", "pass it as an argument")
        values.append(result.value)
        return _Output(len(values) - 1)
    if isinstance(result, WeakScalar):
        return result.known()
    if isinstance(result, tuple):
        parts = [_flatten(part, values, graph) for part in result]
        return type(result)(*parts) if hasattr(result, "_make") else type(result)(parts)
    if isinstance(result, list):
        return [_flatten(part, values, graph) for part in result]
    if isinstance(result, dict):
        return {key: _flatten(part, values, graph) for key, part in result.items()}
    return result


def execute(run: Step, arrays: Sequence[Any], function: str) -> None:
    """Do one run; what it holds of a plan's arrays is let go with it."""
    outputs = [seen(arrays, one) for one in run.outputs]
    if isinstance(run, ContractRun):
        operands, extras = contracted(run, arrays)
        contract_room().run(run.steps, operands, run.finish, extras, *outputs)
        return
    inputs = [seen(arrays, one) for one in run.inputs]
    if isinstance(run, Run):
        executors.run_reported(run.program, inputs, outputs, function)
    elif isinstance(run, ReduceRun):
        if all(output.size for output in outputs) and not all(run.shape[a] for a in run.axes):
            for reduction, output in zip(run.reductions, outputs, strict=True):
                executors.tell_of_nothing(reduction, run.shape, output.dtype)
        executors.watch()
        reduce_room().run(
            run.program, inputs, run.shape, run.axes, run.reductions, run.operands, outputs
        )
        if errors := executors.suspected(run.program):
            executors.float_errors.report_reductions(run, inputs, outputs, errors)
    else:
        reduce_room().call(run.call, inputs, *outputs)


def seen(arrays: Sequence[Any], what: Seen) -> Array:
    """Return one of a plan's arrays as it is read or written."""
    array: Array = arrays[what.array]
    return walk(what.path, array) if what.path else array


def contracted(run: ContractRun, arrays: Sequence[Any]) -> tuple[list[Any], list[Array]]:
    """Return the operands of a contraction, and what its finish reads, from a plan's arrays."""
    room = contract_room()
    operands = [
        room.expression(
            operand.program, [seen(arrays, i) for i in operand.inputs], operand.shape,
            dtype_of(operand.code),
        )
        for operand in run.operands
    ]  # fmt: skip
    return operands, [seen(arrays, i) for i in run.extras]


def specialise(function: Callable[..., Any], arguments: Arguments) -> Specialisation:
    """Trace `function` for arguments of this kind."""
    graph = Graph(len(arguments.arrays))
    arrays = [
        Tracer(graph, graph.leaf(index, array), label)
        for index, (array, label) in enumerate(
            zip(arguments.arrays, arguments.array_labels, strict=True)
        )
    ]
    scalars = [
        WeakScalar(graph, _Item(index), value, frozenset({label}))
        for index, (value, label) in enumerate(
            zip(arguments.scalars, arguments.scalar_labels, strict=True)
        )
    ]
    args, kwargs = arguments.filled(arrays, scalars)
    values: list[int] = []
    structure = _flatten(function(*args, **kwargs), values, graph)
    if not values:
        name = getattr(function, "__name__", repr(function))
        raise trace_error(
            f"{name}(), which returned no array computed from its arguments "
            f"(it returned {type(structure).__name__})",
            "return the results of NumPy functions of its array arguments",
        )
    program, sources = graph.finish(values)
    labels = (*arguments.array_labels, *("(captured)" for _ in graph.captured))
    return Specialisation(
        program, sources, tuple(graph.captured), structure, labels,
        shape_dependent=graph.shape_dependent,
    )  # fmt: skip


class _Item:
    """Takes a scalar argument as it is, of those of a call."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __call__(self, scalars: Sequence[Any]) -> Any:
        return scalars[self.index]
