"""Float formats narrower than float32: one row each, for Python and C++."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """A binary float format of up to 16 bits.

    A code is, from its highest bit: sign (if any), `exponent_bits`, `mantissa_bits`. Its value is
    ``(1 + mantissa / 2**mantissa_bits) * 2**(exponent - bias)``, and for exponent 0 ``(mantissa /
    2**mantissa_bits) * 2**(1 - bias)``; but float8_e8m0fnu, which has neither mantissa nor zero, is
    ``2**(exponent - bias)`` throughout.

    Attributes
    ----------
    name : str
        Name, and that of its dtype in ml_dtypes (NumPy has float16).
    exponent_bits, mantissa_bits, bias : int
        The layout.
    nan : str
        Which codes are NaN: ``"ieee"``, those of the largest exponent but a mantissa of 0, which is
        infinite; ``"ones"``, all bits 1 but for the sign; ``"negative_zero"``, that one code; or
        ``"none"``. Infinities there are in ``"ieee"`` alone.
    signed : bool
        Whether there is a sign.
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    bias: int
    nan: Literal["ieee", "ones", "negative_zero", "none"]
    signed: bool = True

    @property
    def magnitude_bits(self) -> int:
        """Bits without the sign."""
        return self.exponent_bits + self.mantissa_bits

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return self.magnitude_bits + self.signed

    @property
    def has_zero(self) -> bool:
        """Whether exponent 0 means zero and denormal numbers."""
        return self.mantissa_bits > 0

    @property
    def infinity(self) -> int | None:
        """Code of infinity."""
        return ((1 << self.exponent_bits) - 1) << self.mantissa_bits if self.nan == "ieee" else None

    @property
    def largest(self) -> int:
        """Code of the largest finite number."""
        if self.infinity is not None:
            return self.infinity - 1
        return (1 << self.magnitude_bits) - (2 if self.nan == "ones" else 1)

    @property
    def quiet_nan(self) -> int | None:
        """Code of the NaN that conversions give, without its sign."""
        if self.infinity is not None:
            return self.infinity | 1 << (self.mantissa_bits - 1)
        if self.nan == "ones":
            return (1 << self.magnitude_bits) - 1
        return 1 << self.magnitude_bits if self.nan == "negative_zero" else None

    @property
    def maximum(self) -> float:
        """Largest finite number."""
        mantissa = self.largest & ((1 << self.mantissa_bits) - 1)
        exponent = (self.largest >> self.mantissa_bits) - self.bias
        return float((1 + mantissa / 2**self.mantissa_bits) * 2.0**exponent)


#: Sources: IEEE 754; OCP 8-bit Floating Point Specification 1.0 (e4m3fn, e5m2); OCP Microscaling
#: Formats 1.0 (e8m0, e2m3, e3m2, e2m1); Noune et al. 2022, arXiv 2206.02915 (the fnuz kinds);
#: ml_dtypes (the others).
FLOATS: Final = (
    FloatFormat("float16", 5, 10, 15, "ieee"),
    FloatFormat("bfloat16", 8, 7, 127, "ieee"),
    FloatFormat("float8_e4m3fn", 4, 3, 7, "ones"),
    FloatFormat("float8_e4m3", 4, 3, 7, "ieee"),
    FloatFormat("float8_e4m3fnuz", 4, 3, 8, "negative_zero"),
    FloatFormat("float8_e4m3b11fnuz", 4, 3, 11, "negative_zero"),
    FloatFormat("float8_e3m4", 3, 4, 3, "ieee"),
    FloatFormat("float8_e5m2", 5, 2, 15, "ieee"),
    FloatFormat("float8_e5m2fnuz", 5, 2, 16, "negative_zero"),
    FloatFormat("float8_e8m0fnu", 8, 0, 127, "ones", signed=False),
    FloatFormat("float6_e2m3fn", 2, 3, 1, "none"),
    FloatFormat("float6_e3m2fn", 3, 2, 3, "none"),
    FloatFormat("float4_e2m1fn", 2, 1, 1, "none"),
)

FLOAT_BY_NAME: Final = {row.name: row for row in FLOATS}
