"""Ufuncs of the native executor: objects of NumPy's own, whose inner loops are the core's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import _core, _fast
from ..executors import float_errors, native, reference
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
    Program | None,
]


def compiled(loop: Loop) -> _Compiled:
    """Return the dtypes of a loop with a compiled program, or else with what to call.

    Last is the program, if NumPy may find floating-point errors in it.
    """
    if loop.program is None:
        return loop.dtypes, None, loop.call, None
    source = loop.program if float_errors.speaks(loop.program) else None
    program = native.as_run(loop.program)
    if program is not None:
        return loop.dtypes, native.compiled(program), None, source
    return loop.dtypes, None, partial(_run_reference, loop.program), source


def _run_reference(program: Program, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
    for first in range(0, len(outputs[0]), _PIECE):
        piece = slice(first, first + _PIECE)
        reference.run_program(program, [x[piece] for x in inputs], [out[piece] for out in outputs])
