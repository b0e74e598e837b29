"""What a call runs, in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import executors
from .arguments import Arguments
from .graph import Leaf
from .instructions import EXPAND, Operation
from .planning import Plan, infer_shapes
from .program import Program, dtype_of
from .runs import CallRun, ContractRun, ReduceRun, Step, contract_room
from .shapes import Shape, stand_in
from .specialisation import Specialisation, contracted, seen
from .views import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Pass:
    """One pass over memory.

    Attributes
    ----------
    executor : str
        ``"native"`` or ``"reference"``.
    program : Program or None
        Of a contraction, what is done to its sums; None where nothing is.
    bytes_read, bytes_written, temporaries : int
        Bytes of the arrays it reads, writes, and makes on the way. What it writes for a later pass
        is a temporary of the call, and counts there as well.
    what : str
        Of a contraction, its subscripts and kernels; of a reduction, what is reduced; of a call,
        the function; empty of a program of elements.
    operands : tuple of (Program or None)
        Of a contraction: what each operand is computed by.
    packed : tuple of int
        Which of these are computed as they are packed; the others are a temporary before.
    finished : bool
        Whether the program of a contraction runs before sums are stored; else they are a temporary.
    reads, writes : tuple of str
        The arrays, by the names of arguments, or as results and temporaries with their numbers.
    """

    executor: str
    program: Program | None
    bytes_read: int
    bytes_written: int
    temporaries: int
    what: str = ""
    operands: tuple[Program | None, ...] = ()
    packed: tuple[int, ...] = ()
    finished: bool = False
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    def listing(self) -> list[str]:
        """Lines that say what it does."""
        lines = [self.what] if self.what else []
        for number, program in enumerate(self.operands):
            if program is not None:
                when = "as it is packed" if number in self.packed else "before"
                lines.append(f"operand {number}, {when}:")
                lines += [f"  {line}" for line in program.listing()]
        if not self.operands:
            return lines + (self.program.listing() if self.program else [])
        if self.program is not None:
            lines.append(f"{'before' if self.finished else 'after'} sums are stored:")
            lines += [f"  {line}" for line in self.program.listing()]
        return lines


@dataclass(frozen=True)
class Explanation:
    """What a fused function runs for some arguments.

    Attributes
    ----------
    function : str
    arguments, results : tuple of str
        Name or number, dtype and shape of each.
    tier : str
        The CPU tier of the native executor; empty where it does not run.
    threads : int
        The most threads a pass may use.
    passes : tuple of Pass
    bytes_numpy : int
        Bytes NumPy would move for the same function: each operation reads and writes arrays.
    """

    function: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    tier: str
    threads: int
    passes: tuple[Pass, ...]
    bytes_numpy: int

    @property
    def executor(self) -> str:
        """The executor of all passes, or ``"mixed"``."""
        names = {one.executor for one in self.passes}
        return names.pop() if len(names) == 1 else "mixed"

    def plot(self) -> Figure:
        """Draw the passes: what each reads on the left, what it does, what it writes on the right.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from .drawing import draw

        return draw(self)

    @property
    def bytes_read(self) -> int:
        return sum(one.bytes_read for one in self.passes)

    @property
    def bytes_written(self) -> int:
        return sum(one.bytes_written for one in self.passes)

    @property
    def temporaries(self) -> int:
        return sum(one.temporaries for one in self.passes)

    def __str__(self) -> str:
        where = self.executor + (f", tier {self.tier}" if self.tier else "")
        count = len(self.passes)
        lines = [
            f"{self.function}({', '.join(self.arguments)}) -> {', '.join(self.results)}",
            f"executor: {where}, at most {self.threads} thread{'s' * (self.threads > 1)}",
            f"{count} pass{'es' * (count > 1)}: {in_bytes(self.bytes_read)} read, "
            f"{in_bytes(self.bytes_written)} written, {in_bytes(self.temporaries)} of temporaries",
            f"NumPy would move {in_bytes(self.bytes_numpy)}",
        ]
        for number, one in enumerate(self.passes, 1):
            lines.append(
                f"pass {number} ({one.executor}): {', '.join(one.reads)} to {', '.join(one.writes)}"
            )
            lines += [f"  {line}" for line in one.listing()]
        return "\n".join(lines)


def in_bytes(count: int) -> str:
    """Write a number of bytes with a unit: ``"64 MB"``."""
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.4g} {unit}"
        size /= 1000
    return f"{size:.4g} GB"


def explain(function: str, spec: Specialisation, arguments: Arguments) -> Explanation:
    """Describe a call of `function` with `arguments`."""
    plan = spec.plan(arguments.shapes)
    arrays = spec.inputs(arguments)
    results = [*zip(plan.bases, spec.dtypes, strict=True)]
    results += [(shape, dtype_of(code)) for shape, code in plan.temporaries]
    arrays += [stand_in(*result) for result in results]
    labels = _labels(spec, plan)
    passes = tuple(
        replace(
            _pass(run, arrays, plan, spec),
            reads=tuple(dict.fromkeys(labels[one.array] for one in run.inputs)),
            writes=tuple(dict.fromkeys(labels[one.array] for one in run.outputs)),
        )
        for run in plan.runs
    )
    native = any(one.executor == "native" for one in passes)
    return Explanation(
        function,
        tuple(
            f"{label}: {array.dtype}{array.shape}"
            for label, array in zip(arguments.array_labels, arguments.arrays, strict=True)
        ),
        tuple(f"{dt}{shape}" for dt, shape in zip(spec.dtypes, plan.shapes, strict=True)),
        _tier() if native else "",
        _threads() if native else 1,
        passes,
        _bytes_of_numpy(spec.program, plan),
    )


def _labels(spec: Specialisation, plan: Plan) -> list[str]:
    """Name a plan's arrays."""
    found = [
        spec.labels[source.index] if isinstance(source, Leaf) else "a number"
        for source in spec.sources
    ]
    results = len(plan.shapes)
    found += [f"result {i}" if results > 1 else "the result" for i in range(results)]
    return found + [f"temporary {i}" for i in range(len(plan.temporaries))]


def _tier() -> str:
    from .. import _core

    return str(_core.active_tier())


def _threads() -> int:
    from ..observe import get_num_threads

    return get_num_threads()


def _pass(run: Step, arrays: Sequence[NDArray[Any]], plan: Plan, spec: Specialisation) -> Pass:
    first = len(spec.sources) + len(plan.shapes)  # of the temporaries
    inputs = [seen(arrays, one) for one in run.inputs]
    outputs = [seen(arrays, one) for one in run.outputs]
    read = sum(_bytes_in(x) for x in dict(zip(run.inputs, inputs, strict=True)).values() if x.ndim)
    written = sum(x.nbytes for x in outputs)
    temporaries = sum(
        x.nbytes for one, x in zip(run.outputs, outputs, strict=True) if one.array >= first
    )
    if isinstance(run, ContractRun):
        operands, extras = contracted(run, arrays)
        done = contract_room().explained(run.steps, operands, run.finish, extras, *outputs)
        kernels = ", ".join(done.kernels)
        return Pass(
            "reference" if set(done.kernels) == {"reference"} else "native",
            run.finish,
            read,
            written,
            temporaries + done.temporaries,
            f"{run.instruction.operation} by {kernels}",
            tuple(operand.program for operand in run.operands),
            tuple(done.packed),
            done.finished,
        )
    if isinstance(run, CallRun):
        where = "reference" if executors.native is None else "native"
        return Pass(where, None, read, written, temporaries, str(run.call))
    native = executors.native is not None and (
        run.program is None or executors.native.as_run(run.program) is not None
    )
    if not native and run.program is not None:
        own = infer_shapes(run.program, [x.shape for x in inputs])
        temporaries += sum(
            _size(shape, instruction.code)
            for shape, instruction in zip(
                own[run.program.first_instruction :], run.program.instructions, strict=True
            )
        )
    what = ""
    if isinstance(run, ReduceRun):
        folds = (
            f"{fold} of {_operand_name(run, operand)}"
            for fold, operand in zip(run.reductions, run.operands, strict=True)
        )
        what = ", ".join(folds)
    where = "native" if native else "reference"
    return Pass(where, run.program, read, written, temporaries, what)


def _operand_name(run: ReduceRun, operand: int) -> str:
    return "the array" if run.program is None else f"%{run.program.outputs[operand]}"


def _bytes_in(array: NDArray[Any]) -> int:
    """Bytes of the elements that an array has in memory; repeated ones count once."""
    extents = [n for n, stride in zip(array.shape, array.strides, strict=True) if stride]
    return int(np.prod(extents, dtype=np.int64)) * array.itemsize


def _size(shape: Shape, code: str) -> int:
    return int(np.prod(shape, dtype=np.int64)) * dtype_of(code).itemsize


def _is_free(operation: Operation) -> bool:
    """Whether NumPy does it in a ufunc's loop, in buffers that stay in cache, or without a copy."""
    return isinstance(operation, View) or operation in ("cast", "nonzero", EXPAND)


def _bytes_of_numpy(program: Program, plan: Plan) -> int:
    total = 0
    origin = list(range(program.first_instruction))  # of a cast: what is cast
    for number, instruction in enumerate(program.instructions, program.first_instruction):
        free = _is_free(instruction.operation)
        origin.append(origin[instruction.args[0]] if free else number)
        if not free:
            touched = {*(origin[arg] for arg in instruction.args), number}
            total += sum(_size(plan.values[v], program.codes[v]) for v in touched if plan.values[v])
    return total
