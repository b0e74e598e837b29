"""Floating-point formats of sixteen bits and fewer: one row each, for Python, C++ and CUDA."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

#: How a number is rounded to a format, in the order of the core's `Rounding`.
ROUNDINGS: Final = ("half_even", "half_away", "toward_zero", "down", "up", "stochastic")
#: Added to the place of a rounding: what is too large becomes the largest number.
SATURATE: Final = 8

Array = NDArray[Any]
Specials = Literal["ieee", "fn", "fnuz", "finite"]


@dataclass(frozen=True)
class FloatFormat:
    """A binary floating-point format: a sign, an exponent, a fraction.

    Attributes
    ----------
    name : str
        Name of the format: NumPy's or ml_dtypes' name of the dtype.
    exponent, fraction : int
        Bits of the exponent and of the fraction.
    bias : int
        What is taken from a stored exponent.
    specials : str
        ``"ieee"``: an exponent of ones means infinity or NaN. ``"fn"``: all ones is NaN, there are
        no infinities. ``"fnuz"``: the code of -0 is NaN, there are no infinities and no -0.
        ``"finite"``: neither NaN nor infinities.
    """

    name: str
    exponent: int
    fraction: int
    bias: int
    specials: Specials

    @property
    def bits(self) -> int:
        return 1 + self.exponent + self.fraction

    @property
    def storage(self) -> str:
        """Element code of what holds one number."""
        return "u2" if self.bits > 8 else "u1"

    @property
    def largest_code(self) -> int:
        """The code of the largest finite number."""
        ones: int = (1 << (self.bits - 1)) - 1
        if self.specials == "ieee":
            return ones - (1 << self.fraction)
        return ones - 1 if self.specials == "fn" else ones

    @property
    def nan_code(self) -> int:
        """The code of NaN; of formats without, the one that stands for it: -0, as in ml_dtypes."""
        if self.specials == "ieee":
            return self.largest_code + 1 + (1 << (self.fraction - 1))
        return self.largest_code + 1  # `fn`: all ones; `fnuz` and `finite`: the code of -0

    @property
    def overflow_code(self) -> int:
        """What is too large where nothing saturates: infinity, else NaN, else the largest."""
        if self.specials == "ieee":
            return self.largest_code + 1
        return self.largest_code if self.specials == "finite" else self.nan_code

    @cached_property
    def magnitudes(self) -> Array:
        """float64: what the codes of finite positive numbers stand for, and the number after."""
        codes = np.arange(self.largest_code + 2)
        exponent, fraction = codes >> self.fraction, codes & ((1 << self.fraction) - 1)
        digits = np.where(exponent == 0, fraction, fraction + (1 << self.fraction))
        values: Array = np.ldexp(
            digits.astype(np.float64), np.maximum(exponent, 1) - self.bias - self.fraction
        )
        return values

    def decode(self, codes: Array) -> Array:
        """Return what codes stand for, float32."""
        sign = 1 << (self.bits - 1)
        codes = codes.astype(np.int64) & (2 * sign - 1)
        size = codes & (sign - 1)
        values = self.magnitudes[np.minimum(size, self.largest_code)]
        if self.specials == "ieee":
            values = np.where(size == self.largest_code + 1, np.inf, values)
        if self.specials in ("ieee", "fn"):
            values = np.where(size > self.overflow_code - (self.specials == "fn"), np.nan, values)
        values = np.where(codes & sign, -values, values)
        if self.specials == "fnuz":
            values = np.where(codes == self.nan_code, np.nan, values)
        result: Array = values.astype(np.float32)
        return result

    def encode(self, x: Array, mode: Array | int, random: Array | int = 0) -> Array:
        """Return the codes of float32 or float64 numbers.

        Parameters
        ----------
        x : ndarray
            The numbers.
        mode : array_like
            Index into `ROUNDINGS`, plus `SATURATE` or not.
        random : array_like
            uint32, for stochastic rounding: it rounds away from zero where what is cut off and so
            many leading bits of `random`, both as fractions of the last place, make one.
        """
        mode = np.asarray(mode, np.int64)
        with np.errstate(invalid="ignore"):  # NaN
            size = np.abs(x.astype(np.float64))
        finite = np.isfinite(size)
        grid = self.magnitudes
        below = np.searchsorted(grid, np.where(finite, size, 0), "right") - 1
        below = np.minimum(below, self.largest_code)
        step = grid[below + 1] - grid[below]
        part = np.where(finite, (np.where(finite, size, 0) - grid[below]) / step, 0)
        # The unit of float32, in which the bits of `random` are counted.
        unit = np.ldexp(1.0, np.maximum(np.frexp(np.where(finite, size, 1))[1], -125) - 24)
        places = np.clip(np.log2(step / unit), 1, 31).astype(np.int64)
        chance = np.asarray(random, np.uint32).astype(np.int64) >> (32 - places)
        negative = np.signbit(x)
        away = {
            "half_even": (part > 0.5) | ((part == 0.5) & (below % 2 == 1)),
            "half_away": part >= 0.5,
            "toward_zero": np.zeros(part.shape, bool),
            "down": negative & (part > 0),
            "up": ~negative & (part > 0),
            "stochastic": np.floor(np.ldexp(part, places)) + chance >= np.ldexp(1.0, places),
        }
        kind = mode % SATURATE
        code = below + np.choose(kind, [away[name] for name in ROUNDINGS])
        saturated = np.where(mode & SATURATE, self.largest_code, self.overflow_code)
        inward = (
            (kind == ROUNDINGS.index("toward_zero"))
            | ((kind == ROUNDINGS.index("down")) & ~negative)
            | ((kind == ROUNDINGS.index("up")) & negative)
        )
        overflow = np.where(finite & inward, self.largest_code, saturated)
        code = np.where((code > self.largest_code) | np.isinf(size), overflow, code)
        code = np.where(np.isnan(x), self.nan_code, code)
        sign = 1 << (self.bits - 1)
        if self.specials == "fnuz":
            code = np.where(negative & (code != 0) & ~np.isnan(x), code | sign, code)
        elif self.specials == "finite":
            code = np.where(negative, code ^ sign, code)
        else:
            code = np.where(negative, code | sign, code)
        return code.astype(self.storage)


FLOAT_FORMATS: Final = (
    FloatFormat("float16", 5, 10, 15, "ieee"),
    FloatFormat("bfloat16", 8, 7, 127, "ieee"),
    FloatFormat("float8_e3m4", 3, 4, 3, "ieee"),
    FloatFormat("float8_e4m3", 4, 3, 7, "ieee"),
    FloatFormat("float8_e4m3fn", 4, 3, 7, "fn"),
    FloatFormat("float8_e4m3fnuz", 4, 3, 8, "fnuz"),
    FloatFormat("float8_e4m3b11fnuz", 4, 3, 11, "fnuz"),
    FloatFormat("float8_e5m2", 5, 2, 15, "ieee"),
    FloatFormat("float8_e5m2fnuz", 5, 2, 16, "fnuz"),
    FloatFormat("float6_e2m3fn", 2, 3, 1, "finite"),
    FloatFormat("float6_e3m2fn", 3, 2, 3, "finite"),
    FloatFormat("float4_e2m1fn", 2, 1, 1, "finite"),
)


def decode_e8m0(codes: Array) -> Array:
    """Return powers of two, float32: 2 ** (code - 127); 255 is NaN."""
    powers = np.ldexp(np.float64(1), codes.astype(np.int32) - 127)
    return np.where(codes == 255, np.nan, powers).astype(np.float32)


def encode_e8m0(x: Array, mode: Array | int, random: Array | int = 0) -> Array:
    """Return the codes of the powers of two that `x` is rounded to.

    Rounding to the nearest rounds halves up, and whatever is between the two smallest powers, as
    ml_dtypes does. What is negative or NaN becomes 255, NaN; so do zero and what is too large,
    where nothing saturates.
    """
    mode = np.asarray(mode, np.int64)
    with np.errstate(all="ignore"):
        digits, exponent = np.frexp(x.astype(np.float64))
    below = exponent + 126
    part = np.where(below < 0, 0, 2 * digits - 1)
    chance = (np.asarray(random, np.uint32) >> np.uint32(9)).astype(np.float64)
    kind = mode % SATURATE
    nearest = np.where(below <= 0, part > 0, part >= 0.5)
    stochastic = np.floor(part * 2**23) + chance >= 2**23
    up = np.choose(kind, [nearest, nearest, False, False, part > 0, stochastic])
    saturates = (mode & SATURATE) != 0
    code = np.where(below < 0, 0, below + up)
    large = np.where(saturates, 254, 255)
    code = np.where((code > 254) | np.isposinf(x), large, code)
    code = np.where(x == 0, np.where(saturates, 0, 255), code)
    return np.where(np.isnan(x) | np.signbit(x), 255, code).astype(np.uint8)


BY_NAME: Final = {row.name: row for row in FLOAT_FORMATS}
