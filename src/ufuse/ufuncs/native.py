"""Ufuncs of the native executor: objects of NumPy's own, whose inner loops are the core's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from .. import _core, _fast
from ..executors import native, reference
from ..fusion.instructions import Instruction
from ..fusion.program import Program
from .loops import Array, Definition, Loop

#: Elements that a program without kernels computes at a time: its temporaries then stay in cache.
_PIECE = 1 << 14


def make(definition: Definition) -> np.ufunc:
    """Return the ufunc."""
    return _fast.make_ufunc(
        definition.name,
        definition.doc,
        definition.inputs,
        definition.outputs,
        [compiled(loop) for loop in definition.loops],
        definition.core,
    )


_Compiled = tuple[
    tuple[np.dtype[Any], ...],
    _core.Program | None,
    Callable[[Sequence[Array], Sequence[Array]], None] | None,
]


def compiled(loop: Loop) -> _Compiled:
    """Return the dtypes of a loop with a compiled program, or else with what to call."""
    if loop.program is None:
        return loop.dtypes, None, loop.call
    for program in (loop.program, with_halves(loop.program)):
        if native.can_run(program):
            return loop.dtypes, native.compiled(program), None
    return loop.dtypes, None, partial(_run_reference, loop.program)


def _run_reference(program: Program, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
    for first in range(0, len(outputs[0]), _PIECE):
        piece = slice(first, first + _PIECE)
        reference.run_program(program, [x[piece] for x in inputs], [out[piece] for out in outputs])


def with_halves(program: Program) -> Program:
    """Return a program in which float16 are codes, decoded and encoded where they are cast.

    Kernels do not take float16 themselves. What computes in it, and not in float32, stays so.
    """
    first = program.first_constant
    saturate = first + len(program.constants)
    shift = [*range(saturate), *(n + 1 for n in range(saturate, len(program.codes)))]
    instructions = []
    for operation, code, args in program.instructions:
        codes = [program.codes[arg] for arg in args]
        moved = tuple(shift[arg] for arg in args)
        if operation == "cast" and (codes[0], code) == ("f2", "f4"):
            instructions.append(Instruction("decode_float16", "f4", moved))
        elif operation == "cast" and (codes[0], code) == ("f4", "f2"):
            instructions.append(Instruction("encode_float16", "u2", (*moved, saturate)))
        else:
            instructions.append(Instruction(operation, code, moved))
    return replace(
        program,
        inputs=tuple("u2" if code == "f2" else code for code in program.inputs),
        constants=(*program.constants, ("u4", np.uint32(0))),
        instructions=tuple(instructions),
        outputs=tuple(shift[output] for output in program.outputs),
    )
