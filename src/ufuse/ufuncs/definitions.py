"""What `ufuse.ufuncs` has: from the catalogue's rows, and some made of several operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

import numpy as np

from ..catalogue import OPERATIONS, Operation
from ..catalogue.operations import BY_NAME, pack_limits
from ..fusion.as_ufunc import cast_ends, definition_of
from ..fusion.function import fuse
from ..fusion.instructions import Instruction
from ..fusion.program import Program, code_of, dtype_of
from .loops import Array, Definition, Loop
from .making import make

_ELEMENTWISE: Final = """\
{summary}.

Parameters
----------
{inputs} : array_like
    Real numbers; they are broadcast together.
out : ndarray or tuple of ndarray, optional
    Where the result goes. It may overlap what is read.
where : array_like of bool, optional
    Where to compute; elsewhere `out` stays as it is.
**kwargs
    `casting`, `order`, `dtype`, `subok` and `signature`, as for every ufunc.

Returns
-------
ndarray or scalar
    Of the dtype that the inputs are computed in; see ``types``.

Raises
------
TypeError
    If the inputs can be cast safely to none of the loops.
ValueError
    If shapes do not broadcast, or `out` is read-only.

Notes
-----
{notes}No floating-point warnings are given.
"""

_OVER_AXIS: Final = """\
{summary}

Parameters
----------
x : array_like
    Real numbers, of one axis at least.
out : ndarray, optional
    Where the result goes.
axis : int, optional
    The axis; the last one by default.
**kwargs
    `axes`, `keepdims` (of `logsumexp`), `casting`, `order`, `dtype` and `subok`, as for every
    gufunc.

Returns
-------
ndarray or scalar
    float16 and float32 stay; other numbers give float64.

Raises
------
ValueError
    If there is no element along the axis.

Notes
-----
The gufunc ``{signature}`` of `ufuse.{name}`, which takes several axes.
"""


#: NumPy calls a loop with more or fewer lines at a time, as they lie in memory. Softmax of lines
#: shorter than `_SHORT` adds in an order that hangs on whether there are more than `_FEW` elements
#: in all, so these go in portions (`csrc/softmax`).
_SHORT: Final = 16
_FEW: Final = 65536


def clip_round(x: Any, low: Any, high: Any) -> Any:
    """Round `x` half to even, and then limit it to `low` and `high`."""
    return np.minimum(np.maximum(np.rint(x), low), high)


def _with_halves(loops: Sequence[Loop]) -> tuple[Loop, ...]:
    """Return the loops, and after them those of float32 for float16, which cast before and after.

    float16 is last, so that small integers become float32, as in the public functions.
    """
    single, half = np.dtype(np.float32), np.dtype(np.float16)
    known = {loop.dtypes for loop in loops}
    made = []
    for loop in loops:
        dtypes = tuple(half if dtype == single else dtype for dtype in loop.dtypes)
        if dtypes not in known:
            assert loop.program is not None
            program = cast_ends(loop.program, [code_of(dtype) for dtype in dtypes])
            made.append(Loop(dtypes, program))
    return (*loops, *made)


def _row(row: Operation) -> Definition:
    """Return the ufunc of a row."""
    everything = tuple(range(row.arity))
    loops = [
        Loop(
            tuple(map(dtype_of, (*s.inputs, s.output))),
            Program(s.inputs, (), (Instruction(row.name, s.output, everything),), (row.arity,)),
        )
        for s in row.signatures
    ]
    names = "x" if row.arity == 1 else ", ".join("abcdefgh"[: row.arity])
    notes = (
        f"The error in float32 and float64 is at most {row.ulp:g} ULP."
        if row.ulp
        else "The result is that of the same operations in NumPy, to the bit."
    )
    summary = f"Compute for each element{' a of `x`' if row.arity == 1 else ''}: {row.doc}"
    doc = _ELEMENTWISE.format(summary=summary, inputs=names, notes=f"{notes}\n")
    return Definition(row.name, doc, row.arity, 1, _with_halves(loops))


def _clip_round() -> Definition:
    doc = _ELEMENTWISE.format(
        summary="Round `x` half to even, and limit it to `low` and `high`",
        inputs="x, low, high",
        notes="``np.clip(np.rint(x), low, high)``; NaN stays, and that of a limit is the result.\n",
    )
    made = definition_of(fuse(clip_round), ["fff->f", "ddd->d"])
    return Definition("clip_round", doc, made.inputs, made.outputs, _with_halves(made.loops))


def _quantizing(name: str, row: Operation, summary: str, inputs: str) -> Definition:
    """Return the ufunc of a quantizing row; the limits of the codes are those of their dtype."""
    loops = []
    for signature in row.signatures:
        count, constants = len(signature.inputs), []
        if signature.inputs[-1] == "u4":  # the limits of the codes
            count -= 1
            limits = np.iinfo(signature.inputs[2])
            constants = [("u4", np.uint32(pack_limits(int(limits.min), int(limits.max))))]
        elif signature.inputs[0] != signature.inputs[2]:
            continue
        everything = tuple(range(len(signature.inputs)))
        program = Program(
            signature.inputs[:count], tuple(constants),
            (Instruction(row.name, signature.output, everything),), (len(everything),),
        )  # fmt: skip
        dtypes = tuple(dtype_of(code) for code in (*program.inputs, signature.output))
        loops.append(Loop(dtypes, program))
    notes = f"ONNX's; see `ufuse.{row.name}`, which takes other codes, conventions and axes.\n"
    doc = _ELEMENTWISE.format(summary=summary, inputs=inputs, notes=notes)
    return Definition(name, doc, 3, 1, tuple(loops))


def _quantize() -> Definition:
    return _quantizing(
        "quantize", BY_NAME["quantize_linear"],
        "Quantize `x`: round half to even of ``x / scale``, plus the zero point, whose dtype is "
        "the codes'", "x, scale, zero_point",
    )  # fmt: skip


def _dequantize() -> Definition:
    return _quantizing(
        "dequantize", BY_NAME["dequantize_linear"],
        "Compute what codes stand for: ``(q - zero_point) * scale``", "q, scale, zero_point",
    )  # fmt: skip


def _over_axis(name: str, summary: str, reduces: bool = False) -> Callable[[], Definition]:
    def define() -> Definition:
        function = getattr(import_module("ufuse.reduce"), name)

        def call(inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
            (x,), (out,) = inputs, outputs
            step = len(x) if x.shape[1] >= _SHORT else max(1, _FEW // max(1, x.shape[1]))
            for first in range(0, len(x), step):
                lines = slice(first, first + step)
                function(x[lines], axis=-1, out=out[lines])

        doc = _OVER_AXIS.format(
            summary=summary, name=name, signature="(n)->()" if reduces else "(n)->(n)"
        )
        # float64 is first: integers become that, as in the public functions.
        loops = tuple(Loop((np.dtype(t),) * 2, call=call) for t in "dfe")
        return Definition(name, doc, 1, 1, loops, core=(True, not reduces))

    return define


_COMPOSED: Final[dict[str, Callable[[], Definition]]] = {
    "clip_round": _clip_round,
    "quantize": _quantize,
    "dequantize": _dequantize,
    "softmax": _over_axis("softmax", "Exponentials divided by their sum along an axis."),
    "log_softmax": _over_axis("log_softmax", "Logarithm of softmax along an axis."),
    "logsumexp": _over_axis(
        "logsumexp", "Logarithm of the sum of exponentials along an axis.", reduces=True
    ),
}

_ROWS: Final = {row.name: row for row in OPERATIONS if row.public}

#: Every name to that under which the ufunc is made.
NAMES: Final = {
    **{other: row.name for row in _ROWS.values() for other in row.scipy},
    **{name: name for name in (*_ROWS, *_COMPOSED)},
}


def definition(name: str) -> Definition:
    """Return what the ufunc of this name is made of."""
    return _COMPOSED[name]() if name in _COMPOSED else _row(_ROWS[name])


def define(name: str) -> Any:
    """Make the ufunc of this name."""
    return make(definition(name), "ufuse.ufuncs")
