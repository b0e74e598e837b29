"""The types of codes: integers of 2 to 16 bits and floats of 4 to 8."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike

from ..catalogue import FLOAT_FORMATS
from ..interop.lowprecision import low_precision_dtype


@dataclass(frozen=True, slots=True)
class CodeType:
    """A type of codes.

    Attributes
    ----------
    name : str
        Name of its dtype, NumPy's or ml_dtypes'.
    storage : str
        Element code of what the core holds a code in: a type below a byte has a byte, its code in
        the low bits.
    bits : int
        Bits of a code.
    low, high : int
        The smallest and the largest code of an integer type; both 0 for a floating one.
    """

    name: str
    storage: str
    bits: int
    low: int = 0
    high: int = 0

    @property
    def is_float(self) -> bool:
        return self.low == self.high

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of an array of codes.

        Raises
        ------
        ImportError
            If it is one of ml_dtypes', which is not installed.
        """
        if self.bits == 8 * np.dtype(self.storage).itemsize and not self.is_float:
            return np.dtype(self.storage)
        return low_precision_dtype(self.name)


def _integers() -> tuple[CodeType, ...]:
    rows = []
    for bits in (8, 16, 4, 2):
        size = max(1, bits // 8)
        rows.append(CodeType(f"int{bits}", f"i{size}", bits, -(1 << bits - 1), (1 << bits - 1) - 1))
        rows.append(CodeType(f"uint{bits}", f"u{size}", bits, 0, (1 << bits) - 1))
    return tuple(rows)


CODE_TYPES: Final = (
    *_integers(),
    *(CodeType(f.name, f.storage, f.bits) for f in FLOAT_FORMATS if f.bits <= 8),
)
BY_NAME: Final = {row.name: row for row in CODE_TYPES}
#: What DequantizeLinear takes besides: accumulators, whose differences to a zero point are exact.
INT32: Final = CodeType("int32", "i4", 32, -(1 << 31), (1 << 31) - 1)

#: What messages call them.
NAMES: Final = (
    "int8, uint8, int16, uint16, int4, uint4, int2, uint2 or a float of at most 8 bits "
    "(float8_e4m3fn, float4_e2m1fn...)"
)


#: Those that can be packed.
NARROW_NAMES: Final = ", ".join(row.name for row in CODE_TYPES if row.bits < 8)


def code_type(dtype: DTypeLike | str) -> CodeType | None:
    """Return the type of codes that a dtype, or its name, means; None where it means none.

    Raises
    ------
    TypeError
        If `dtype` is no dtype at all.
    """
    if isinstance(dtype, str) and dtype in BY_NAME:
        return BY_NAME[dtype]  # also where ml_dtypes is not installed
    return _of(np.dtype(dtype))


@lru_cache(maxsize=128)  # NumPy takes 5 us to tell a dtype's name
def _of(dtype: np.dtype[Any]) -> CodeType | None:
    return BY_NAME.get(dtype.name)
