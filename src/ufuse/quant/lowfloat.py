"""Numbers to codes of low-precision float formats and back, from their bits, rounding once.

The reference for the native casts. All steps are integer arithmetic on the pattern of a float32 or
float64 number; every pattern of every format goes through the same lines.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..catalogue.floats import FloatFormat

Array = NDArray[Any]
Integers = NDArray[np.int64]
Rounding = Literal["half_even", "half_away", "toward_zero", "down", "up", "stochastic"]

ROUNDINGS: Final = ("half_even", "half_away", "toward_zero", "down", "up", "stochastic")

#: No number has more bits: what is shifted out beyond it is far below half of a last place.
_FAR: Final = 60


class _Parts(NamedTuple):
    """Numbers as ``(-1)**negative * significand * 2**exponent``, integers all."""

    negative: NDArray[np.bool_]
    significand: Integers
    exponent: Integers


def decode(codes: Array, form: FloatFormat) -> NDArray[np.float32]:
    """Return the float32 numbers that codes stand for.

    Parameters
    ----------
    codes : ndarray of unsigned integers
        Bits above those of the format are ignored.
    form : FloatFormat
        The format.

    Returns
    -------
    ndarray of float32
        Exact. A NaN keeps its sign, and in float16 and bfloat16 its payload; elsewhere it is the
        quiet one, as in ml_dtypes.
    """
    code = codes.astype(np.int64)
    magnitude = code & ((1 << form.magnitude_bits) - 1)
    negative = (code >> form.magnitude_bits & 1).astype(bool) & form.signed
    exponent, mantissa = magnitude >> form.mantissa_bits, magnitude & _low(form.mantissa_bits)
    infinite, nan = _special(magnitude, negative, form)
    tiny = (exponent == 0) & form.has_zero
    significand = np.where(tiny, mantissa, mantissa | 1 << form.mantissa_bits)
    significand = np.where(infinite | nan, 0, significand)
    power = np.where(tiny, 1, exponent) - form.bias - form.mantissa_bits
    value = np.ldexp(significand.astype(np.float64), power)
    value = np.where(negative, -value, value).astype(np.float32)

    bits = value.view(np.uint32)
    sign = np.uint32(1) << np.uint32(31)
    payload = mantissa << (23 - form.mantissa_bits) if form.bits == 16 else 1 << 22
    bits = np.where(infinite, np.uint32(0x7F800000) | sign * negative, bits)
    bits = np.where(nan, (np.uint32(0x7F800000) | payload) | sign * negative, bits)
    return bits.astype(np.uint32).view(np.float32)


def encode(
    x: Array,
    form: FloatFormat,
    rounding: Rounding = "half_even",
    saturate: bool = True,
    random: NDArray[np.uint32] | None = None,
) -> Array:
    """Return the codes of numbers.

    Parameters
    ----------
    x : ndarray
        float32 or float64; anything else is converted to float32 (exact for float16 and narrower).
    form : FloatFormat
        The format.
    rounding : str
        ``"half_even"``; ``"half_away"`` from zero; ``"toward_zero"``; ``"down"``; ``"up"``; or
        ``"stochastic"``: away from zero where the discarded fraction of the last place, in 32 bits,
        plus `random` carries.
    saturate : bool
        Whether what is too large becomes the largest finite number. Otherwise it becomes infinity,
        or NaN where there is none, or the largest number where there is neither; but directed
        rounding never goes beyond the largest finite number towards zero (IEEE 754, 7.4).
    random : ndarray of uint32, optional
        Uniform, in the shape of `x`: for stochastic rounding.

    Returns
    -------
    ndarray of uint8 or uint16
        Codes, one each.

    Notes
    -----
    Half to even and ``saturate=False`` is ml_dtypes' ``astype`` from float32 bit for bit (NumPy's
    for float16, with the payload of a NaN). From float64 ml_dtypes rounds to float32 first; here it
    is one rounding. NaN is the quiet one, with its sign; in formats without, -0 (and 0 for NaN with
    a negative sign), as there. float8_e8m0fnu has neither zero nor sign: negative numbers are NaN,
    and so is zero, but with `saturate` the smallest number, as ONNX has it; positive numbers below
    the smallest are the smallest. Its ties go up: the leading bit, all it keeps, is odd.
    """
    wide = x.dtype.kind == "f" and x.dtype.itemsize == 8  # in any byte order
    numbers = x.astype(np.float64 if wide else np.float32)
    parts = _parts(numbers)
    kept, power = _round(parts, form, rounding, random)
    # a significand of mantissa_bits + 1 bits has the leading one, which adds 1 to the exponent
    code = np.where(
        kept == 0, 0, kept + ((power + form.bias + form.mantissa_bits - 1) << form.mantissa_bits)
    )
    if not form.has_zero:
        code = _e8m0_ends(code, numbers, rounding)
    code = _overflowed(code, numbers, parts.negative, form, rounding, saturate)
    if form.signed:
        sign = parts.negative & ~((code == 0) & (form.nan == "negative_zero"))
        code = code | sign.astype(np.int64) << form.magnitude_bits
    code = _special_codes(code, numbers, parts, form, saturate)
    return code.astype(np.uint16 if form.bits > 8 else np.uint8)


def _low(bits: int) -> int:
    return (1 << bits) - 1


def _special(magnitude: Integers, negative: Array, form: FloatFormat) -> tuple[Array, Array]:
    """Tell which codes are infinite and which NaN."""
    none = np.zeros(magnitude.shape, bool)
    if form.infinity is not None:
        return magnitude == form.infinity, magnitude > form.infinity
    if form.nan == "ones":
        return none, magnitude == form.quiet_nan
    if form.nan == "negative_zero":
        return none, (magnitude == 0) & negative
    return none, none


def _parts(x: Array) -> _Parts:
    """Take apart float32 or float64 numbers; of infinities and NaN the parts mean nothing."""
    mantissa_bits, integer = (52, np.int64) if x.dtype == np.float64 else (23, np.int32)
    bits = np.ascontiguousarray(x).view(integer).astype(np.int64).reshape(x.shape)
    exponent_bits = 11 if mantissa_bits == 52 else 8
    exponent = bits >> mantissa_bits & _low(exponent_bits)
    mantissa = bits & _low(mantissa_bits)
    significand = np.where(exponent == 0, mantissa, mantissa | 1 << mantissa_bits)
    power = np.maximum(exponent, 1) - (_low(exponent_bits - 1) + mantissa_bits)
    return _Parts(bits < 0, significand, power)


def _round(
    parts: _Parts, form: FloatFormat, rounding: Rounding, random: NDArray[np.uint32] | None
) -> tuple[Integers, Integers]:
    """Round significands to places of the format: of each the significand, and its power of 2."""
    length = np.frexp(parts.significand.astype(np.float64))[1].astype(np.int64)  # exact
    lowest = (1 if form.has_zero else 0) - form.bias
    power = np.maximum(parts.exponent + length - 1, lowest) - form.mantissa_bits
    shift = power - parts.exponent
    right, left = np.clip(shift, 0, _FAR), np.maximum(-shift, 0)
    kept = parts.significand << left >> right
    lost = parts.significand & ((np.int64(1) << right) - 1)
    half = np.int64(1) << np.maximum(right, 1) - 1
    if rounding == "half_even":
        away = (lost > half) | ((lost == half) & (kept & 1 == 1))
    elif rounding == "half_away":
        away = lost >= half
    elif rounding == "stochastic":
        if random is None:
            raise ValueError("stochastic rounding needs random numbers")
        places = shift - 32
        fraction = np.where(
            places > 0,
            lost >> np.clip(places, 0, 63),
            lost << np.clip(-places, 0, 32),
        )
        away = fraction + random.astype(np.int64) >= 1 << 32
    elif rounding == "up":
        away = (lost > 0) & ~parts.negative
    elif rounding == "down":
        away = (lost > 0) & parts.negative
    else:
        away = np.zeros(lost.shape, bool)
    return kept + (away & (lost > 0)), power


def _e8m0_ends(code: Integers, x: Array, rounding: Rounding) -> Integers:
    """Bring what is below the smallest number of float8_e8m0fnu to it."""
    code = np.maximum(code, 0)
    if rounding == "half_even":  # ml_dtypes rounds up all between its two smallest numbers
        code = np.where((x > 2.0**-127) & (x < 2.0**-126), 1, code)
    return code


def _overflowed(
    code: Integers,
    x: Array,
    negative: NDArray[np.bool_],
    form: FloatFormat,
    rounding: Rounding,
    saturate: bool,
) -> Integers:
    """Replace codes beyond the largest."""
    beyond = _beyond(form)
    if saturate or beyond is None:
        return np.minimum(code, form.largest)
    towards_zero = {"toward_zero": True, "up": negative, "down": ~negative}.get(rounding, False)
    over = np.where(towards_zero & np.isfinite(x), form.largest, beyond)
    return np.where(code > form.largest, over, code)


def _special_codes(
    code: Integers, x: Array, parts: _Parts, form: FloatFormat, saturate: bool
) -> Integers:
    """Put in the codes of infinities and NaN."""
    sign = parts.negative.astype(np.int64) << form.magnitude_bits if form.signed else np.int64(0)
    beyond = _beyond(form)
    code = np.where(
        np.isinf(x), (form.largest if saturate or beyond is None else beyond) | sign, code
    )
    nan = form.quiet_nan
    if nan is None:
        return np.where(np.isnan(x), sign ^ (1 << form.magnitude_bits), code)
    if form.name == "float16":
        payload = parts.significand >> (42 if x.dtype == np.float64 else 13) & _low(10)
        return np.where(np.isnan(x), 0x7C00 | np.maximum(payload, 1) | sign, code)
    code = np.where(np.isnan(x), nan | sign, code)
    if not form.signed:
        code = np.where(parts.negative & (x != 0), nan, code)
        code = np.where(x == 0, 0 if saturate else nan, code)
    return code


def _beyond(form: FloatFormat) -> int | None:
    """Code of what is larger than the largest: infinity, or NaN."""
    return form.quiet_nan if form.infinity is None else form.infinity
