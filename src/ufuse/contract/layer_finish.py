"""What a linear layer does with sums: scales, bias, activation, and the dtype of the result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..catalogue import OPERATIONS, Operation
from ..catalogue.dtypes import FLOATS
from ..catalogue.operations import pack_limits
from ..fusion.program import Program
from ..quant.programs import Steps

Array = NDArray[Any]

#: What a product gives: sums as they are; those of int8 codes, to be scaled by row and column;
#: those that are to be scaled by row.
Sums = Literal["plain", "int8", "dynamic"]

_INPUTS: dict[Sums, tuple[str, ...]] = {"int8": ("i4", "f4", "f4"), "dynamic": ("f4", "f4")}
_LIMITS = {"i1": (-128, 127), "u1": (0, 255)}


def _is_activation(row: Operation) -> bool:
    """Whether a row is a function of one float, and public; or tanh, which is public in NumPy."""
    floats = all(s.inputs == (s.output,) and s.output in FLOATS for s in row.signatures)
    return floats and (row.public or row.name == "tanh")


# Names of `activation=`; each is an operation of the catalogue.
ACTIVATIONS = tuple(row.name for row in OPERATIONS if _is_activation(row))


@lru_cache(maxsize=256)
def epilogue(code: str, sums: Sums, bias: bool, activation: str | None, result: str) -> Program:
    """Return the program that turns sums into the result.

    Its inputs are the sums and their scales, the bias where there is one, and for a result in codes
    their scale and zero point.

    Parameters
    ----------
    code : {"f4", "f8"}
        What is computed in.
    sums : {"plain", "int8", "dynamic"}
        See `Sums`.
    bias : bool
    activation : str or None
    result : str
        ``"f4"``, ``"f8"``; ``"float16"``, ``"bfloat16"``: bits of them; ``"i1"``, ``"u1"``: codes.
    """
    inputs = [*_INPUTS.get(sums, (code,)), *([code] if bias else [])]
    scaled = len(inputs) - bias
    if result in _LIMITS:
        inputs += [code, result]
    steps = Steps(*inputs)
    value: Any = 0
    if sums == "int8":
        value = steps.add("cast", code, value)
    for scale in range(1, scaled):
        value = steps.add("multiply", code, value, scale)
    if bias:
        value = steps.add("add", code, value, scaled)
    if activation is not None:
        value = steps.add(activation, code, value)
    if result in _LIMITS:
        ends = steps.constant("u4", pack_limits(*_LIMITS[result]))
        count = len(inputs)
        value = steps.add("quantize_linear", result, value, count - 2, count - 1, ends)
    elif result not in ("f4", "f8"):
        value = steps.encoded(value, result)
    return steps.program(value)


@dataclass(frozen=True, slots=True)
class LayerFinish:
    """The epilogue of one call, with its operands.

    Attributes
    ----------
    code : {"f4", "f8"}
        What is computed in.
    result : str
        See `epilogue`.
    bias : ndarray or None
    activation : str or None
    scale, zero_point : ndarray or None
        0-d, of a result in codes.
    """

    code: str
    result: str
    bias: Array | None = None
    activation: str | None = None
    scale: Array | None = None
    zero_point: Array | None = None

    def program(self, sums: Sums) -> Program:
        """Return the program for sums of this kind."""
        return epilogue(self.code, sums, self.bias is not None, self.activation, self.result)

    @property
    def operands(self) -> tuple[Array, ...]:
        """What the program takes behind sums and their scales."""
        return tuple(a for a in (self.bias, self.scale, self.zero_point) if a is not None)

    def columns(self, first: int, last: int) -> LayerFinish:
        """Return the epilogue of some of the outputs."""
        return self if self.bias is None else replace(self, bias=self.bias[first:last])


def stored(result: Array) -> Array:
    """Return an array as programs write it: the bits of narrow floats."""
    return result.view(np.uint16) if result.dtype.itemsize == 2 else result
