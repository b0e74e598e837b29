"""The public functions that the catalogue has and NumPy lacks: ``uf.gelu`` and its like."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from inspect import Parameter, Signature
from typing import Any

import numpy as np

from ..catalogue import OPERATIONS, Operation
from ..catalogue.operations import BY_NAME
from .function import fuse
from .traced import Traced

_DOCUMENTATION = """\
{summary}.

Parameters
----------
x : array_like
    Real numbers. bool, integers of less than 32 bits and float16 are computed in float32, wider
    integers in float64.
out : ndarray, optional
    Where the result goes: of the result's shape, and a dtype that it can be cast to by the rule
    ``"same_kind"``. It may overlap `x`.

Returns
-------
ndarray or scalar
    The dtype is that of `x` where it is a floating dtype, else the dtype it was computed in; a
    scalar if `x` is 0-d and `out` is not given.

Raises
------
TypeError
    If `x` is complex or holds no numbers, or the result cannot be cast to the dtype of `out`.
ValueError
    If `out` has another shape, or is read-only.

Notes
-----
{accuracy}

Inside a function decorated with `fuse` it is fused with what surrounds it.
"""


_SIGNATURE = Signature(
    [
        Parameter("x", Parameter.POSITIONAL_ONLY),
        Parameter("out", Parameter.KEYWORD_ONLY, default=None),
    ]
)


def _accuracy(row: Operation) -> str:
    if row.ulp:
        return f"The error in float32 and float64 is at most {row.ulp:g} ULP."
    return "The result is exact."


def recorder(name: str) -> Callable[..., Any]:
    """Return a function that records an operation of the catalogue, inside of functions to trace.

    Its first operand must be an array of the trace; the others may be numbers.
    """
    row = BY_NAME[name]

    def record(x: Any, *others: Any) -> Any:
        from .ufuncs import operand, value_in

        graph = x.graph
        first = operand(graph, x)
        assert isinstance(first, int)
        dtype = graph.dtype(first)
        values = [value_in(graph, operand(graph, other), dtype) for other in others]
        return x._new(graph.apply(row, first, *values))

    return record


def public_function(row: Operation) -> Callable[..., Any]:
    """Make the public function of a row of the catalogue with one operand."""

    def record(x: Any, /) -> Any:
        if not isinstance(x, Traced):  # a Python number, which gets here untraced
            return fused(np.asarray(x))
        from .tracing import Tracer
        from .ufuncs import operand, value_in

        graph = x.graph
        op = operand(graph, x)
        value = op if isinstance(op, int) else value_in(graph, op, np.dtype(op.kind))
        return Tracer(graph, graph.apply(row, value))

    record.__name__ = record.__qualname__ = row.name
    record.__module__ = "ufuse"
    record.__doc__ = _DOCUMENTATION.format(
        summary=f"Apply to each element a of `x`: {row.doc}", accuracy=_accuracy(row)
    )
    fused = fuse(record)
    fused.__signature__ = _SIGNATURE
    return fused


@lru_cache(maxsize=1)
def public_functions() -> dict[str, Callable[..., Any]]:
    """Return the public functions by name, one for each public row of the catalogue."""
    return {row.name: public_function(row) for row in OPERATIONS if row.public}
