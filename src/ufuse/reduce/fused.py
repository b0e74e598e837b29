"""Reductions inside of fused functions, of what a program makes of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from inspect import signature
from typing import Any

import numpy as np

from .. import executors
from ..fusion.instructions import Call, Reduction
from ..fusion.program import Program, code_of, dtype_of
from ..fusion.shapes import Shape
from . import reference
from .request import Array, DType, Slot, execute


def run(
    program: Program | None,
    inputs: Sequence[Array],
    shape: Shape,
    axes: tuple[int, ...],
    reductions: Sequence[Reduction],
    operands: Sequence[int],
    outputs: Sequence[Array],
) -> None:
    """Reduce what `program` makes of `inputs`, which broadcast to `shape`; see `ReduceRun`."""
    if not all(output.dtype.isnative for output in outputs):  # which results are not written in
        native = [np.empty(o.shape, o.dtype.newbyteorder("=")) for o in outputs]
        run(program, inputs, shape, axes, reductions, operands, native)
        for output, made in zip(outputs, native, strict=True):
            output[...] = made
        return
    count = math.prod(shape[axis] for axis in axes)
    if not all(output.size for output in outputs):
        return
    if count == 0:
        for reduction, output in zip(reductions, outputs, strict=True):
            output[...] = of_nothing(reduction, output.dtype)
        return
    if program is None:
        values = [np.broadcast_to(inputs[0], shape)]
    elif executors.native is not None and executors.native.as_run(program) is not None:
        executors.native.reduce_program(
            program,
            inputs,
            shape,
            axes,
            count,
            list(zip(reductions, operands, outputs, strict=True)),
        )
        return
    else:
        values = [executors.empty(shape, dtype_of(program.codes[o])) for o in program.outputs]
        executors.run_program(program, inputs, values)
    for number, value in enumerate(values):
        slots = [
            slot(reduction, value, count, output)
            for reduction, operand, output in zip(reductions, operands, outputs, strict=True)
            if operand == number
        ]
        execute(value, axes, slots, None)


def reduced(reduction: Reduction, x: Array, dtype: DType) -> Array:
    """Reduce an array by plain NumPy, as a step of a program."""
    out = np.empty(reduction.result_shape(x.shape), dtype)
    axes = tuple(axis % x.ndim for axis in reduction.axes)
    count = math.prod(x.shape[axis] for axis in axes)
    if out.size and count:
        reference.reduce(x, axes, [slot(reduction, x, count, out)], None, False)
    elif out.size:
        out[...] = of_nothing(reduction, dtype)
    return out


def slot(reduction: Reduction, value: Array, count: int, out: Array) -> Slot:
    """Return a reduction as the room takes it."""
    return Slot(
        reduction.reducer,
        code_of(value.dtype),
        reduction.finish,
        out,
        divisor=float(count),
        ddof=reduction.ddof,
        component=reduction.component,
    )


def of_nothing(reduction: Reduction, dtype: DType) -> Any:
    """Return what a reduction of no elements gives."""
    if reduction.reducer in ("min", "max"):  # with an initial value, which is to win
        if dtype.kind == "b":
            return reduction.reducer == "min"
        if dtype.kind not in "iu":
            return math.inf if reduction.reducer == "min" else -math.inf
        limits = np.iinfo(dtype)
        return limits.max if reduction.reducer == "min" else limits.min
    if reduction.finish in ("mean", "variance", "deviation"):
        return math.nan
    if reduction.finish == "logsumexp":
        return -math.inf
    return reduction.finish == "complete" or reduction.reducer == "prod"


def call(what: Call, inputs: Sequence[Array], output: Array) -> None:
    """Call a function of ufuse with whole arrays, into one."""
    function, takes_out = _function(what.function)
    if takes_out:
        function(*inputs, out=output, **dict(what.options))
    else:
        output[...] = function(*inputs, **dict(what.options))


@cache
def _function(name: str) -> tuple[Callable[..., Any], bool]:
    """Return a function of ufuse, and whether it writes its result where ``out=`` says."""
    function = getattr(import_module("ufuse"), name)
    return function, "out" in signature(function).parameters
