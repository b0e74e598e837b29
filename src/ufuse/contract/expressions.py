"""Programs around a contraction: what an operand is computed by, and what is done to the sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..catalogue.dtypes import BY_CODE
from ..fusion.program import Program
from .arithmetic import DType, element, same_bits

Array = NDArray[Any]


def _layout(arrays: Sequence[Array]) -> tuple[Any, ...]:
    return tuple((x.shape, x.strides) for x in arrays)


@dataclass(frozen=True, eq=False)
class Expression:
    """An operand that is computed as it is packed.

    Attributes
    ----------
    program : Program
        Of one result.
    arrays : tuple of ndarray
        Its inputs, in native byte order; they broadcast to the operand.
    shape : tuple
    dtype : dtype
    """

    program: Program
    arrays: tuple[Array, ...]
    shape: tuple[int, ...]
    dtype: DType

    def key(self) -> Any:
        """Return what a kernel that is prepared for it depends on."""
        return (self.program, self.dtype, _layout(self.arrays))

    def array(self) -> Array:
        """Compute it in a pass of its own."""
        result = executors.empty(self.shape, self.dtype)
        executors.run_program(self.program, self.arrays, (result,))
        return result

    def packed_as(self, packed: DType) -> Program | None:
        """Return the program that makes what a product packs; None where none is compiled."""
        program, code = self.program, self.program.codes[self.program.outputs[0]]
        if not same_bits(self.dtype, packed):
            if code not in BY_CODE:
                return None
            program = program.cast_outputs((element(packed),))
        return program if self.arrays and executors.native.can_run(program) else None


Operand = Array | Expression


@dataclass(frozen=True, eq=False)
class Finish:
    """What is done to sums before they are stored.

    Attributes
    ----------
    program : Program
        Its first input is a sum, and each other an array's element.
    arrays : tuple of ndarray
        As programs read them, in native byte order; they broadcast to the result.
    """

    program: Program
    arrays: tuple[Array, ...]

    def key(self) -> Any:
        """Return what a kernel that is prepared for it depends on."""
        return (self.program, _layout(self.arrays))

    def apply(self, sums: Array, out: Array) -> None:
        """Do it in a pass of its own."""
        executors.run_program(self.program, (sums, *self.arrays), (out,))


def native_order(array: Array) -> Array:
    """Return an array as kernels that take addresses read it: a copy where bytes are swapped."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def computed(operand: Operand) -> Array:
    """Return an operand as an array."""
    return operand.array() if isinstance(operand, Expression) else operand


def parts(operand: Operand) -> tuple[Array, ...]:
    """Return the arrays that an operand is read from, in its shape."""
    if not isinstance(operand, Expression):
        return (operand,)
    return tuple(np.broadcast_to(x, operand.shape) for x in operand.arrays)


def layout(operand: Operand) -> Any:
    """Return what a kernel that is prepared for an operand depends on."""
    if isinstance(operand, Expression):
        return operand.key()
    return (operand.strides, operand.dtype)
