"""Contractions inside of fused functions: how they are recorded, planned and run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..fusion.errors import trace_error
from ..fusion.graph import Graph
from ..fusion.instructions import Contraction, Instruction, Reduction
from ..fusion.program import Program, code_of
from ..fusion.shapes import stand_in
from ..fusion.traced import Traced, TracedArray, TracedScalar
from ..fusion.tracing import Tracer
from ..fusion.ufuncs import operand, value_in
from ..interop.messages import type_name
from .arithmetic import DType, is_narrow
from .expressions import Expression, Finish, Operand, native_order, parts
from .finish import check_finish, reduces, without_sums, wrong_result
from .inspection import Inspection, inspect
from .pairs import Product
from .plan import PairStep, Plan, make_plan
from .subscripts import extents, parse

Array = NDArray[Any]
Shape = tuple[int, ...]

_FAST_AXES: Final = 8  # of the arrays of `_fast.FastContraction`


# --- while tracing -------------------------------------------------------------------------------


def is_traced(*operands: Any) -> bool:
    """Whether one of the operands is under trace."""
    return any(isinstance(operand, Traced) for operand in operands)


def like(traced: Traced) -> Array:
    """Return an array of the dtype and shape of what is under trace, that nobody reads."""
    if isinstance(traced, TracedScalar):
        return np.zeros((), type(traced.sample))
    assert isinstance(traced, TracedArray)
    value = traced.graph.values[traced.value]
    return np.broadcast_to(np.zeros((), traced.graph.dtype(traced.value)), value.shape)


def record(
    operation: Contraction,
    operands: Sequence[Any],
    summed: Callable[[Sequence[Array]], DType | None],
    read_as: Callable[[DType, DType], DType],
    finish: Callable[[Any], Any] | None,
) -> Any:
    """Record a contraction of operands of which some are under trace.

    Parameters
    ----------
    operation : Contraction
    operands : sequence
    summed : callable
        Of arrays like the operands: the dtype of the sums, or None where ufuse has none.
    read_as : callable
        Of an operand's dtype and that of the sums: what the operand is converted to before.
    finish : callable or None
        What to record of the result.
    """
    graph = next(x.graph for x in operands if isinstance(x, Traced))
    values = [_value(graph, x) for x in operands]
    samples = [like(Tracer(graph, value)) for value in values]
    dtype = summed(samples)
    if dtype is None:
        dtypes = ", ".join(str(x.dtype) for x in samples)
        raise trace_error(f"{operation.function} of {dtypes}", "call it outside")
    if finish is not None and is_narrow(dtype):
        dtype = np.dtype(np.float32)
    shape = result_shape(operation, [x.shape for x in samples])
    values = [graph.cast(v, read_as(graph.dtype(v), dtype)) for v in values]
    result = Tracer(graph, graph.contract(operation, code_of(dtype), tuple(values), shape))
    return result if finish is None else _finished(operation.function, finish, result)


def _finished(function: str, finish: Callable[[Any], Any], sums: Tracer) -> Tracer:
    """Record what `finish` does to sums, and refuse what it may not do outside either."""
    check_finish(function, finish)
    found = finish(sums)
    values = sums.graph.values
    shape = values[sums.value].shape  # not `sums.shape`: the trace would hold for this one alone
    if isinstance(found, (tuple, list, dict)):
        raise wrong_result(function, shape, repr(found))
    if not isinstance(found, Tracer):
        raise trace_error(
            f"the finish= of {function}, which returned no array computed from the sums (it "
            f"returned {type_name(found)})", "return the result of NumPy functions of its argument"
        )  # fmt: skip
    between = _between(sums.graph, sums.value, found.value)
    if any(isinstance(what.operation, Reduction) for what in between):
        raise reduces(function)
    if values[found.value].shape != shape or any(
        not isinstance(what.operation, str) for what in between
    ):
        raise wrong_result(function, shape, str(values[found.value].shape))
    if found.value != sums.value and not between:
        raise without_sums(function)
    return found


def _between(graph: Graph, start: int, end: int) -> list[Instruction]:
    """Return the instructions by which one value is computed from another."""
    whats = [value.what for value in graph.values]
    after, needed = {start}, {end}
    for value in range(start + 1, end + 1):  # operands come before what they are operands of
        what = whats[value]
        if isinstance(what, Instruction) and not after.isdisjoint(what.args):
            after.add(value)
    found = []
    for value in range(end, start, -1):
        what = whats[value]
        if value in needed and value in after and isinstance(what, Instruction):
            needed.update(what.args)
            found.append(what)
    return found


def _value(graph: Graph, obj: Any) -> int:
    op = operand(graph, obj)
    return op if isinstance(op, int) else value_in(graph, op, np.dtype(op.kind))


# --- for given shapes ----------------------------------------------------------------------------


def result_shape(operation: Contraction, shapes: Sequence[Shape]) -> Shape:
    """Return the shape of a contraction; sizes that disagree are a ValueError."""
    equation = parse(operation.subscripts, tuple(map(len, shapes)), operation.function)
    sizes = extents(equation, shapes)
    return tuple(sizes[label] for label in equation.out)


def plan(
    operation: Contraction, shapes: tuple[Shape, ...], dtypes: Sequence[DType], summed: DType
) -> Plan:
    """Plan a contraction; sums that could overflow where they may not are a ValueError."""
    equation = parse(operation.subscripts, tuple(map(len, shapes)), operation.function)
    sizes = extents(equation, shapes)
    made = make_plan(
        equation, shapes, tuple(sizes.items()), summed, operation.semiring, operation.exact,
        operation.conjugate, operation.optimize, operation.memory_limit, True,
    )  # fmt: skip
    if operation.exact:
        inspect(made, [stand_in(*given) for given in zip(shapes, dtypes, strict=True)])
    return made


# --- at a call -----------------------------------------------------------------------------------


def expression(
    program: Program | None, arrays: Sequence[Array], shape: Shape, dtype: DType
) -> Operand:
    """Return an operand: an array, or a program of some that makes it."""
    if program is None:
        return native_order(arrays[0])
    return Expression(program, tuple(native_order(x) for x in arrays), shape, dtype)


def _finish(program: Program | None, extras: Sequence[Array]) -> Finish | None:
    return None if program is None else Finish(program, tuple(native_order(x) for x in extras))


def run(
    steps: Plan, operands: Sequence[Operand], finish: Program | None, extras: Sequence[Array],
    out: Array,
) -> None:  # fmt: skip
    """Contract into `out`, which overlaps nothing that is read."""
    done = _finish(finish, extras)
    if out.dtype.isnative:
        steps.run(operands, out, done)
    else:
        found = executors.empty(out.shape, out.dtype.newbyteorder("="))
        out[...] = steps.run(operands, found, done)


def repeated(
    steps: Plan, operands: Sequence[Operand], finish: Program | None, extras: Sequence[Array],
    out: Array, sources: Sequence[int | Array], args: Sequence[Array],
) -> Any:  # fmt: skip
    """Return what does `run` again for arrays of the same layouts; None where that takes Python.

    `sources` are what the arrays of the operands, and then the extras, are: arguments by number, or
    arrays from outside of the function.
    """
    (step, *more) = steps.steps
    if more or not isinstance(step, PairStep) or max(x.ndim for x in (*args, out)) > _FAST_AXES:
        return None
    if not all(x.dtype.isnative for x in args):
        return None
    first, second = (operands[place] for place in step.places)
    done = _finish(finish, extras)
    if any(step.computes_first(first, second, out, done)):
        return None
    product = step.prepared(first, second, out, done)
    if not isinstance(product, Product) or product.conjugates or (done and not product.fuses):
        return None
    counts = [len(parts(x)) for x in operands]
    ends = list(itertools.accumulate(counts))
    read = [list(sources[end - n : end]) for n, end in zip(counts, ends, strict=True)]
    left, right = step.places
    arrays = [*read[left], *read[right], None, *sources[ends[-1] :]]
    try:
        return executors.native.repeated_contraction(
            product, product.address, arrays, args, out, product.small
        )
    except ValueError:  # more arrays than it takes
        return None


def explained(
    steps: Plan, operands: Sequence[Operand], finish: Program | None, extras: Sequence[Array],
    out: Array,
) -> Inspection:  # fmt: skip
    """Say what `run` would do."""
    return inspect(steps, operands, out, _finish(finish, extras))
