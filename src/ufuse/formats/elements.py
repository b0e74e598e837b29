"""What the elements of MX formats are, and how their scales are chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from ..catalogue.floats import BY_NAME, FloatFormat


@dataclass(frozen=True, slots=True)
class Element:
    """The elements of a kind (OCP Microscaling Formats 1.0, table 1).

    Attributes
    ----------
    format : FloatFormat or None
        None of int8, which counts 64ths.
    bits : int
        Of a code.
    largest : float
        The largest magnitude.
    exponent : int
        Of the power of two at or below it.
    fraction : int
        Bits of it after the first.
    """

    format: FloatFormat | None
    bits: int
    largest: float
    exponent: int
    fraction: int


def _element(name: str) -> Element:
    row = BY_NAME[name]
    exponent, digits = divmod(row.largest_code, 1 << row.fraction)
    exponent -= row.bias
    largest = math.ldexp((1 << row.fraction) + digits, exponent - row.fraction)
    return Element(row, row.bits, largest, exponent, row.fraction)


ELEMENTS: Final = {
    "mxfp8_e4m3": _element("float8_e4m3fn"),
    "mxfp8_e5m2": _element("float8_e5m2"),
    "mxfp6_e2m3": _element("float6_e2m3fn"),
    "mxfp6_e3m2": _element("float6_e3m2fn"),
    "mxfp4": _element("float4_e2m1fn"),
    "mxint8": Element(None, 8, 127 / 64, 0, 6),
}

#: In the order of the core's `ScaleMode` (csrc/formats/mx.hpp).
SCALE_MODES: Final = ("floor", "ceil", "even", "rceil")
