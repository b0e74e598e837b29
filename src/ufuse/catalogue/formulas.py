"""References, in plain NumPy, of the operations NumPy has no function for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import conventions

Array = NDArray[Any]


def identity(x: Array) -> Array:
    """Return `x`: what a cast does before the executor casts."""
    return x


def complex_of(real: Array, imag: Array) -> Array:
    """Complex numbers of their parts; 1j * inf would have a real part of NaN."""
    shape = np.broadcast(real, imag).shape
    result = np.empty(shape, np.result_type(real, imag, np.complex64))
    result.real, result.imag = real, imag
    return result


def nonzero(x: Array) -> Array:
    """Whether each element is not zero; NaN is not."""
    result: Array = x != 0
    return result


_erf = np.frompyfunc(math.erf, 1, 1)


def erf(x: Array) -> Array:
    """Error function by the C library's, in float64, one element at a time: slow and right."""
    return np.asarray(_erf(x.astype(np.float64)), dtype=np.float64)


def _wider(x: Array) -> Array:
    """Convert to a type with digits to spare: float64, or long double for float64."""
    return x.astype(np.longdouble if x.dtype.itemsize >= 8 else np.float64)


def exp_difference(a: Array, b: Array) -> Array:
    """Compute ``exp(a - b)`` of the rounded difference."""
    with np.errstate(invalid="ignore", over="ignore"):
        result: Array = np.exp(_wider(a - b))
    return result


def logistic(x: Array) -> Array:
    """Compute the logistic function; the exponential's argument is never positive: no overflow."""
    decay = np.exp(-np.abs(x))
    result: Array = np.where(x < 0, decay, 1.0) / (1.0 + decay)
    return result


def sigmoid(x: Array) -> Array:
    """Logistic function."""
    return logistic(_wider(x))


def softplus(x: Array) -> Array:
    """Compute ``log(1 + exp(x))``."""
    wide = _wider(x)
    result: Array = np.logaddexp(wide, wide.dtype.type(0))
    return result


def log_sigmoid(x: Array) -> Array:
    """Logarithm of `sigmoid`."""
    return -softplus(-x)


def logit(x: Array) -> Array:
    """Inverse of `sigmoid`; near 1/2, where the quotient is near 1, by the hyperbolic tangent's."""
    wide = _wider(x)
    with np.errstate(invalid="ignore", divide="ignore"):
        quotient = np.log(wide) - np.log1p(-wide)
        return np.where(np.abs(wide - 0.5) < 0.25, 2 * np.arctanh(2 * wide - 1), quotient)


def silu(x: Array) -> Array:
    """``x * sigmoid(x)``, with its limit 0 at minus infinity."""
    wide = _wider(x)
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(x), -0.0, wide * logistic(wide))


_erfc = np.frompyfunc(math.erfc, 1, 1)


def erfc(x: Array) -> Array:
    """Complementary error function by the C library's, in float64, one element at a time."""
    return np.asarray(_erfc(x.astype(np.float64)), dtype=np.float64)


def xlogy(x: Array, y: Array) -> Array:
    """``x * log(y)``, and 0 where `x` is 0, whatever number `y` is."""
    with np.errstate(all="ignore"):
        product = _wider(x) * np.log(_wider(y))
    result: Array = np.where((x == 0) & ~np.isnan(y), 0, product)
    return result


def _fused(a: float, b: float, c: float) -> float:
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c
    from fractions import Fraction  # slow to import

    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:  # of which the sign is that of the rounded sum
        return a * b + c if c == 0 or a * b == 0 else 0.0
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


_multiply_add = np.frompyfunc(_fused, 3, 1)


def multiply_add(a: Array, b: Array, c: Array) -> Array:
    """Compute ``a * b + c``, rounded once: one element at a time for float64.

    For float32 the product is exact in float64; a sum that is not becomes odd, which keeps
    rounding to float32 from rounding twice.
    """
    if a.dtype != np.float32:
        return np.asarray(_multiply_add(a, b, c), dtype=np.float64)
    with np.errstate(all="ignore"):
        product, c = a.astype(np.float64) * b, c.astype(np.float64)
        total = product + c
        part = total - product
        lost = (product - (total - part)) + (c - part)
        bits = total.view(np.int64)
        away = (lost > 0) == (total > 0)
        even = (lost != 0) & np.isfinite(total) & (bits & 1 == 0)
        odd: Array = np.where(even, bits + np.where(away, 1, -1), bits).view(np.float64)
        return odd.astype(np.float32)


def gelu(x: Array) -> Array:
    """Gaussian error linear unit by the complementary error function, which keeps the far tail.

    What rounding its argument to float64 loses is put back by the derivative.
    """
    wide = _wider(x).astype(np.longdouble)
    argument = -wide * np.sqrt(np.longdouble(0.5))
    rounded = argument.astype(np.float64)
    with np.errstate(invalid="ignore", under="ignore", over="ignore"):
        lost = np.where(np.isfinite(rounded), argument - rounded, 0)
        slope = -2 / np.sqrt(np.longdouble(math.pi)) * np.exp(-argument * argument)
        tail = np.asarray(_erfc(rounded), dtype=np.float64) + lost * slope
        # float64, since the C library's erfc is off by two units in the last place.
        return np.where(np.isneginf(x), -0.0, wide * tail / 2).astype(np.float64)


def gelu_tanh(x: Array) -> Array:
    """Tanh form of `gelu`: ``x * sigmoid(2 u)`` is the same as ``x/2 * (1 + tanh(u))``."""
    wide = _wider(x)
    with np.errstate(invalid="ignore", over="ignore"):
        root = np.sqrt(wide.dtype.type(2) / _PI.astype(wide.dtype))
        u = root * (wide + wide.dtype.type(44715) / 1000000 * wide**3)
        return np.where(np.isneginf(x), -0.0, wide * logistic(2 * u))


# pi to the digits of long double: float64's, and what it lacks.
_PI = np.longdouble(math.pi) + np.longdouble(1.2246467991473532e-16)


def relu(x: Array) -> Array:
    """Larger of `x` and 0; NaN stays."""
    result: Array = np.maximum(x, x.dtype.type(0))
    return result


def in_wider(function: Callable[..., Any]) -> Callable[..., Array]:
    """Return `function` of real operands converted to a type with digits to spare."""

    def wide(*operands: Array) -> Array:
        if operands[0].dtype.kind != "c":
            operands = tuple(_wider(x) for x in operands)
        result: Array = function(*operands)
        return result

    return wide


def code_limits(limits: Array, code: np.dtype[Any]) -> tuple[Array, Array]:
    """Take the smallest and the largest code out of the halves of `limits`, as `code` is signed."""
    halves = np.asarray(limits, np.uint32)
    half = np.dtype(np.int16 if code.kind == "i" else np.uint16)
    return (halves & 0xFFFF).astype(half), (halves >> 16).astype(half)


def quantizer(convention: Callable[..., Any]) -> Callable[..., Array]:
    """Return the reference of an operation that quantizes by one of `conventions`."""

    def reference(x: Array, scale: Array, zero_point: Array, limits: Array) -> Array:
        low, high = code_limits(limits, zero_point.dtype)
        with np.errstate(all="ignore"):
            codes: Array = convention(x, scale, zero_point, low, high)
        return codes

    return reference


quantize_linear = quantizer(conventions.quantize_onnx)


def dequantize_linear(q: Array, scale: Array, zero_point: Array) -> Array:
    """ONNX DequantizeLinear: the difference is exact, the product rounds once."""
    difference = q.astype(np.int64) - zero_point.astype(np.int64)
    with np.errstate(invalid="ignore", over="ignore"):
        return difference.astype(scale.dtype) * scale


def fake_quantize(x: Array, scale: Array, zero_point: Array, limits: Array) -> Array:
    """Quantize and dequantize in one step."""
    code = np.dtype(np.int32)  # holds every code, where the zero point's dtype may not
    levels = quantize_linear(x, scale, zero_point, limits)
    return dequantize_linear(levels.astype(code), scale, zero_point.astype(code))


def narrow_odd(x: Array) -> Array:
    """float64 to float32 towards zero, then the last bit set if anything is lost."""
    with np.errstate(all="ignore"):
        nearest = x.astype(np.float32)
        back = nearest.astype(np.float64)
        bits = nearest.view(np.uint32)
        inexact = (back != x) & ~np.isnan(x)
        outward = inexact & (np.abs(back) > np.abs(x))
        odd: Array = (bits - outward.astype(np.uint32)) | inexact
        return odd.astype(np.uint32).view(np.float32)


def round_stochastic(x: Array, random: Array) -> Array:
    """Round down, or up with the probability of what is above: 24 bits of `random` decide."""
    with np.errstate(invalid="ignore"):
        whole = np.floor(x)
        chance = (random >> np.uint32(8)).astype(x.dtype) * x.dtype.type(2.0**-24)
        rounded: Array = np.where(x - whole > chance, whole + 1, whole)
        return rounded


def _pack(codes: Array, bits: int, high_first: Array) -> Array:
    """Pack codes, a byte each and as many in an element of `codes` as go in a byte."""
    count = 8 // bits
    parts = codes[..., np.newaxis].view(np.uint8) & ((1 << bits) - 1)
    place = np.arange(count) * bits
    low, high = (parts << place).sum(axis=-1), (parts << place[::-1]).sum(axis=-1)
    packed: Array = np.where(high_first, high, low)
    return packed


def _unpack(byte: Array, bits: int, high_first: Array) -> Array:
    """Undo `_pack`."""
    count = 8 // bits
    place = np.arange(count) * bits
    wide = byte[..., np.newaxis].astype(np.int64)
    low, high = (wide >> place), (wide >> place[::-1])
    codes = np.where(np.asarray(high_first)[..., np.newaxis], high, low) & ((1 << bits) - 1)
    return codes.astype(np.uint8).view(np.dtype(f"u{count}"))[..., 0]


def pack4(codes: Array, high_first: Array) -> Array:
    """Pack two codes of 4 bits."""
    return _pack(codes, 4, high_first)


def unpack4(byte: Array, high_first: Array) -> Array:
    """Unpack two codes of 4 bits."""
    return _unpack(byte, 4, high_first)


def pack2(codes: Array, high_first: Array) -> Array:
    """Pack four codes of 2 bits."""
    return _pack(codes, 2, high_first)


def unpack2(byte: Array, high_first: Array) -> Array:
    """Unpack four codes of 2 bits."""
    return _unpack(byte, 2, high_first)


def _both(two: Array, dtype: str) -> Array:
    """Return the two halves of each element, along an axis more."""
    return np.ascontiguousarray(two)[..., np.newaxis].view(dtype)


def quantize_nibbles(two: Array, scale: Array, zero_point: Array, limits: Array) -> Array:
    """Quantize pairs of float32 to 4 bits each."""
    pairs = _both(two, "f4")
    scale, zero_point, limits = (
        np.asarray(a)[..., np.newaxis] for a in (scale, zero_point, limits)
    )
    codes = quantize_linear(pairs, scale, zero_point, limits).astype(np.int64) & 15
    return codes[..., 0] | codes[..., 1] << 4


def dequantize_nibbles(byte: Array, scale: Array, zero_point: Array) -> Array:
    """Dequantize two codes of 4 bits, signed as the zero point is."""
    codes = np.stack([byte & 15, byte >> 4], axis=-1).astype(np.int64)
    if zero_point.dtype.kind == "i":
        codes = (codes ^ 8) - 8
    scale, zero_point = np.asarray(scale)[..., np.newaxis], np.asarray(zero_point)[..., np.newaxis]
    numbers = dequantize_linear(codes, scale, zero_point).astype(np.float32)
    return np.ascontiguousarray(numbers).view(np.float64)[..., 0]


def quantize_nibbles_apart(two: Array, scales: Array, zero_points: Array, limits: Array) -> Array:
    """Quantize pairs of float32 to 4 bits, each with a scale and a zero point."""
    zeros = _both(zero_points, f"{zero_points.dtype.kind}1")
    ends = np.asarray(limits)[..., np.newaxis]
    codes = quantize_linear(_both(two, "f4"), _both(scales, "f4"), zeros, ends)
    codes = codes.astype(np.int64) & 15
    return codes[..., 0] | codes[..., 1] << 4


def dequantize_nibbles_apart(byte: Array, scales: Array, zero_points: Array) -> Array:
    """Dequantize two codes of 4 bits, signed as the zero points are, each with a scale."""
    codes = np.stack([byte & 15, byte >> 4], axis=-1).astype(np.int64)
    if zero_points.dtype.kind == "i":
        codes = (codes ^ 8) - 8
    zeros = _both(zero_points, f"{zero_points.dtype.kind}1")
    numbers = dequantize_linear(codes, _both(scales, "f4"), zeros).astype(np.float32)
    return np.ascontiguousarray(numbers).view(np.float64)[..., 0]
