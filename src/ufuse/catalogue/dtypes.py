"""Element types: one row each, for Python, C++ and CUDA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np


@dataclass(frozen=True, slots=True)
class ElementType:
    """One element type.

    Attributes
    ----------
    code : str
        Short name used in signatures: NumPy's own, such as ``"f4"``.
    name : str
        Enumerator in C++ and the name in messages.
    cpp : str
        C++ type of one stored element.
    kind : str
        ``"b"`` bool, ``"i"`` signed, ``"u"`` unsigned, ``"f"`` float: NumPy's kinds.
    """

    code: str
    name: str
    cpp: str
    kind: str

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return np.dtype(self.code)


ELEMENT_TYPES: Final = (
    ElementType("?", "Bool", "Bool8", "b"),
    ElementType("i1", "I8", "int8_t", "i"),
    ElementType("i2", "I16", "int16_t", "i"),
    ElementType("i4", "I32", "int32_t", "i"),
    ElementType("i8", "I64", "int64_t", "i"),
    ElementType("u1", "U8", "uint8_t", "u"),
    ElementType("u2", "U16", "uint16_t", "u"),
    ElementType("u4", "U32", "uint32_t", "u"),
    ElementType("u8", "U64", "uint64_t", "u"),
    ElementType("f4", "F32", "float", "f"),
    ElementType("f8", "F64", "double", "f"),
)

BY_CODE: Final = {row.code: row for row in ELEMENT_TYPES}
BY_DTYPE: Final = {row.dtype: row for row in ELEMENT_TYPES}

SIGNED: Final = tuple(row.code for row in ELEMENT_TYPES if row.kind == "i")
UNSIGNED: Final = tuple(row.code for row in ELEMENT_TYPES if row.kind == "u")
INTEGERS: Final = SIGNED + UNSIGNED
FLOATS: Final = tuple(row.code for row in ELEMENT_TYPES if row.kind == "f")
NUMBERS: Final = INTEGERS + FLOATS
ALL: Final = ("?", *NUMBERS)
