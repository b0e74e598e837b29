"""Linear quantization as other libraries do it: one readable NumPy function per convention.

Arrays come broadcast against each other and codes leave as int32, within the `low` and `high` that
the caller names (int4 is ``-8, 7``), so that one function serves every integer type. Nothing is
validated here. What is stated was found by experiment, with the version named; the tests in
``tests/oracles`` repeat the experiments.

What tells the conventions apart (``rint`` rounds half to even, ``z`` is the zero point):

=========================  ======================================  ==============  ========
convention                 code before clamping                    where x is NaN  rounds in
=========================  ======================================  ==============  ========
onnx                       ``rint(x / scale) + z``                 `low`           float32
torch, per tensor          ``rint(fma(x, 1 / scale, z))``          `high`          float32
torch, per axis            ``rint(x * (1 / scale) + z)``           0               float32
torch, ``fake_quantize``   ``rint(x * (1 / scale)) + z``           `low`           float32
torchao                    ``rint(x * (1 / scale)) + z``           0               x's dtype
litert                     ``rint(x / scale + z)``                 0               float32
litert, half away          ``half_away(x / scale) + z``            `low`           float32
=========================  ======================================  ==============  ========

The zero point added before rounding is not the same as after: ties go the other way where it is
odd, and the sum itself rounds. In all of them infinities and numbers too large for an integer give
the ends, also where a library converts them to an integer first, which C++ leaves undefined.
A zero `scale` divides: ``0 / 0`` is NaN, anything else infinite. A denormal one is not flushed to
zero, but its reciprocal is infinite below 2.9e-39: then ``0 * inf`` is NaN.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]
Spec = Literal["onnx", "torch", "torch-2.15", "torchao", "litert"]
Rounding = Literal["half_even", "half_away"]

SPECS: Final = ("onnx", "torch", "torch-2.15", "torchao", "litert")


def quantize(
    x: Array, scale: Array, zero_point: Array, low: int, high: int, spec: Spec = "onnx",
    *, per_axis: bool = False, rounding: Rounding = "half_even",
) -> NDArray[np.int32]:  # fmt: skip
    """Turn numbers into codes by the convention `spec`.

    Parameters
    ----------
    x, scale, zero_point : ndarray
        Numbers, the size of a step, and the code of 0; broadcastable.
    low, high : int
        The smallest and the largest code.
    spec : {"onnx", "torch", "torch-2.15", "torchao", "litert"}
        The convention; see the functions below.
    per_axis : bool
        Whether scales belong to an axis: torch then computes differently.
    rounding : {"half_even", "half_away"}
        Of litert alone.

    Returns
    -------
    ndarray of int32
        Codes.
    """
    with np.errstate(all="ignore"):
        if spec == "onnx":
            return quantize_onnx(x, scale, zero_point, low, high)
        if spec == "torch":
            rule = quantize_torch_axis if per_axis else quantize_torch
            return rule(x, scale, zero_point, low, high)
        if spec == "torch-2.15":
            rule = quantize_torch_rounded_axis if per_axis else quantize_torch_rounded
            return rule(x, scale, zero_point, low, high)
        if spec == "torchao":
            return quantize_torchao(x, scale, zero_point, low, high)
        rule = quantize_litert_away if rounding == "half_away" else quantize_litert
        return rule(x, scale, zero_point, low, high)


def quantize_onnx(
    x: Array,
    scale: Array,
    zero_point: Array,
    low: int,
    high: int,
    precision: DTypeLike | None = None,
) -> NDArray[np.int32]:
    """Quantize as onnxruntime's QuantizeLinear.

    ``clamp(rint(x / scale) + zero_point)``, a true division. float16 and bfloat16 are widened to
    float32 first and the quotient is not rounded back: so does onnxruntime 1.31 (opset 10 to 25,
    with any `precision` attribute, which it ignores), though ONNX's text says the quotient has the
    dtype of `scale`; `precision` here is that attribute. bfloat16 has no kernel there. float64,
    which ONNX does not have, divides in float64.

    NaN gives `low`, infinities the ends. onnxruntime does so in its vector loops (8 and 16 bits,
    int4, float32); the others (int2, float16, the last element of an odd number of int4) convert
    what is beyond int32 to its smallest value, so that +inf there gives `low`: undefined in C++,
    and not followed.
    """
    compute = _compute_dtype(x) if precision is None else np.dtype(precision)
    ratio = x.astype(compute) / scale.astype(compute)
    return _codes(np.rint(widened(ratio)), zero_point, low, high, low)


def quantize_torch(
    x: Array, scale: Array, zero_point: Array, low: int, high: int
) -> NDArray[np.int32]:
    """Quantize as ``torch.quantize_per_tensor`` before PyTorch 2.15.

    Scale and reciprocal are float32 whatever the scale's dtype, and the zero point is added before
    rounding. Product and sum are one fused multiply-add (fbgemm on x86, vectors and tails alike),
    ``rint(fma(x, 1 / scale, zero_point))``, and NaN gives `high`. It takes float32 only: other
    dtypes are widened here, and float64 stays float64 with nothing fused. (On ARM torch adds the
    zero point after rounding. torch's PT2E operators in ``quantized_decomposed`` do so everywhere:
    ``spec="torchao"``.)
    """
    wide, inverse, shift = _torch_terms(x, scale, zero_point)
    if wide.dtype == np.float64:
        sums = wide * inverse + shift
    else:
        sums = fused_multiply_add(wide, inverse, shift)
    return _codes(np.rint(sums), 0, low, high, high)


def quantize_torch_axis(
    x: Array, scale: Array, zero_point: Array, low: int, high: int
) -> NDArray[np.int32]:
    """Quantize as ``torch.quantize_per_channel`` before PyTorch 2.15.

    As `quantize_torch`, but product and sum round separately and NaN gives code 0.
    """
    wide, inverse, shift = _torch_terms(x, scale, zero_point)
    return _codes(np.rint(wide * inverse + shift), 0, low, high, 0)


def quantize_torch_fake(
    x: Array, scale: Array, zero_point: Array, low: int, high: int
) -> NDArray[np.int32]:
    """Quantize as ``torch.fake_quantize_*`` do: the zero point after rounding, `low` for NaN."""
    return _torch_rounded(x, scale, zero_point, low, high, low)


def quantize_torch_rounded(
    x: Array, scale: Array, zero_point: Array, low: int, high: int
) -> NDArray[np.int32]:
    """Quantize as ``torch.quantize_per_tensor`` from PyTorch 2.15 on.

    On x86 too, the zero point is added after rounding there; NaN gives `high` as before.
    """
    return _torch_rounded(x, scale, zero_point, low, high, high)


def quantize_torch_rounded_axis(
    x: Array, scale: Array, zero_point: Array, low: int, high: int
) -> NDArray[np.int32]:
    """Quantize as ``torch.quantize_per_channel`` from 2.15 on: NaN gives code 0."""
    return _torch_rounded(x, scale, zero_point, low, high, 0)


def _torch_rounded(
    x: Array, scale: Array, zero_point: Array, low: int, high: int, nan: int
) -> NDArray[np.int32]:
    """Multiply by the rounded inverse, round, then add the zero point; NaN gives `nan`."""
    wide, inverse, _ = _torch_terms(x, scale, zero_point)
    return _codes(np.rint(wide * inverse), zero_point, low, high, nan)


def _torch_terms(x: Array, scale: Array, zero_point: Array) -> tuple[Array, Array, Array]:
    """Numbers, the inverse of their scale, which is rounded to float32, and the zero point."""
    wide = widened(x)
    inverse = (np.float32(1) / scale.astype(np.float32)).astype(wide.dtype)
    return wide, inverse, zero_point.astype(wide.dtype)


def quantize_torchao(
    x: Array, scale: Array, zero_point: Array, low: int, high: int
) -> NDArray[np.int32]:
    """Quantize as torchao's ``quantize_affine``.

    ``clamp(rint(x * (1 / scale)) + zero_point)``. Each operation rounds to its dtype: the
    reciprocal to the scale's; the product, the zero point and their sum to the wider of x's and the
    scale's, so that float16 loses codes above 2048. (torchao 0.18 clamps in that dtype, too, where
    float16 makes 32768 of 32767, and wraps it to -32768; here it stays `high`.) NaN gives code 0.
    """
    dtype = _promoted(x.dtype, scale.dtype)
    inverse = rounded_to(np.float32(1) / widened(scale), scale.dtype)
    rounded = np.rint(rounded_to(widened(x) * inverse, dtype))
    shift = rounded_to(zero_point.astype(rounded.dtype), dtype)
    return _codes(rounded_to(rounded + shift, dtype), 0, low, high, 0)


def quantize_litert(
    x: Array, scale: Array, zero_point: Array, low: int, high: int
) -> NDArray[np.int32]:
    """Quantize as ai-edge-quantizer 0.10.

    ``clamp(rint(x / scale + zero_point))``: a division, and the zero point before rounding; NaN
    gives code 0. Symmetric weights of 8 bits and more have `low` at ``-high``, fewer bits the full
    range.
    """
    wide = widened(x)
    ratio = wide / scale.astype(wide.dtype)
    return _codes(np.rint(ratio + zero_point.astype(wide.dtype)), 0, low, high, 0)


def quantize_litert_away(
    x: Array, scale: Array, zero_point: Array, low: int, high: int
) -> NDArray[np.int32]:
    """Quantize as TFLite's QUANTIZE in its reference kernels, and per axis in all of them.

    ``clamp(half_away(x / scale) + zero_point)``; NaN gives `low`. (It converts what is beyond
    int32 to its smallest value: undefined, and not followed. TFLite's optimised kernels and XNNPACK
    multiply by the reciprocal and round half to even per tensor: as `quantize_torchao`, but NaN
    gives `high` in XNNPACK.)
    """
    wide = widened(x)
    return _codes(half_away(wide / scale.astype(wide.dtype)), zero_point, low, high, low)


def dequantize(
    codes: Array,
    scale: Array,
    zero_point: Array,
    spec: Spec = "onnx",
    dtype: DTypeLike | None = None,
) -> Array:
    """Turn codes back into numbers: ``(codes - zero_point) * scale``.

    The difference is exact. Its conversion to float32 rounds from 2**24 on (int32 codes), then the
    product rounds once to float32, and last to `dtype` (the scale's by default): so float16 scales
    round twice, in onnxruntime and here. float64 scales compute in float64. torchao converts codes
    and zero point to `dtype` (float32 by default) first, so that float16 rounds int16 codes, and
    multiplies in the wider of `dtype` and the scale's. torch, TFLite's reference kernel and
    XNNPACK agree with this for float32; so does ai-edge-quantizer where its difference does not
    wrap around, which it does for a zero point that is an int8 array.
    """
    with np.errstate(all="ignore"):
        if spec == "torchao":
            out = np.dtype(np.float32 if dtype is None else dtype)
            wide = np.float64 if out == np.float64 else np.float32
            difference = rounded_to(codes.astype(wide), out) - rounded_to(
                zero_point.astype(wide), out
            )
            product = rounded_to(difference, out) * widened(scale)
            return rounded_to(product, _promoted(out, scale.dtype)).astype(out)
        out = np.dtype(scale.dtype if dtype is None else dtype)
        wide_scale = widened(scale)
        exact = codes.astype(np.int64) - zero_point.astype(np.int64)
        return (exact.astype(wide_scale.dtype) * wide_scale).astype(out)


def fake_quantize(
    x: Array, scale: Array, zero_point: Array, low: int, high: int, spec: Spec = "onnx",
    *, per_axis: bool = False, rounding: Rounding = "half_even",
) -> Array:  # fmt: skip
    """Round numbers to those that codes stand for; the dtype of `x` is kept.

    Quantized and dequantized, but for two. torch's ``fake_quantize_per_tensor_affine`` and
    ``_per_channel_`` add the zero point after rounding, unlike its quantize functions, and NaN
    gives `low`. (Infinities per channel are undefined there; here they give the ends.) Products of
    float64 are float64, and the last one too per channel; per tensor it is float32.
    torchao's fake quantization keeps NaN. There is no -0: the code's difference to the zero point
    is an integer.
    """
    with np.errstate(all="ignore"):
        if spec in ("torch", "torch-2.15"):
            single, wide = scale.astype(np.float32), widened(x)
            codes = quantize_torch_fake(x, scale, zero_point, low, high)
            last = single.astype(wide.dtype) if per_axis else single
            return dequantize(codes, last, zero_point, "onnx", x.dtype)
        codes = quantize(
            x, scale, zero_point, low, high, spec, per_axis=per_axis, rounding=rounding
        )
        numbers = dequantize(codes, scale, zero_point, spec, x.dtype)
        if spec == "torchao":
            numbers = np.where(np.isnan(widened(x)), np.asarray(np.nan, x.dtype), numbers)
        return numbers


def requantize(
    codes: Array, scale: Array, zero_point: Array, out_scale: Array, out_zero_point: Array,
    low: int, high: int, spec: Spec = "onnx",
) -> NDArray[np.int32]:  # fmt: skip
    """Turn codes, or int32 accumulators, of one scale into codes of another.

    The scale of an accumulator is the product of its operands' scales.

    Every spec but litert goes through float32: ``rint(float32(codes - zero_point) * (scale /
    out_scale)) + out_zero_point``, with the quotient rounded to float32 before. That is
    QLinearMatMul in onnxruntime 1.31 (where the product of the scales is rounded to float32, too),
    and not the same as dequantizing and quantizing. NaN, of zero scales, gives `low`.

    litert stays in integers, as TFLite's reference kernels: `quantized_multiplier` of the float64
    quotient (of positive, finite scales), then `multiply_by_quantized_multiplier`. The
    optimised kernels and XNNPACK differ by one code in a hundred.
    """
    difference = codes.astype(np.int64) - zero_point.astype(np.int64)
    if spec == "litert":
        multiplier, shift = quantized_multiplier(scale.astype(np.float64) / out_scale)
        scaled = multiply_by_quantized_multiplier(difference, multiplier, shift)
        codes = np.clip(scaled + out_zero_point, low, high)
        return codes.astype(np.int32)
    with np.errstate(all="ignore"):
        factor = scale.astype(np.float32) / out_scale.astype(np.float32)
        rounded = np.rint(difference.astype(np.float32) * factor)
        return _codes(rounded, out_zero_point, low, high, low)


def quantized_multiplier(factor: Array) -> tuple[Array, Array]:
    """Write a factor as ``multiplier * 2**(shift - 31)``, the multiplier in [2**30, 2**31).

    As TFLite's QuantizeMultiplier (kernels/internal/quantization_util.cc): 31 bits rounded half
    away; factors below 2**-32 are 0.
    """
    fraction, shift = np.frexp(np.asarray(factor, np.float64))
    multiplier = half_away(fraction * 2.0**31).astype(np.int64)
    carry = multiplier == 2**31
    multiplier, shift = np.where(carry, 2**30, multiplier), shift + carry
    vanishes = shift < -31
    return np.where(vanishes, 0, multiplier), np.where(vanishes, 0, shift).astype(np.int64)


def multiply_by_quantized_multiplier(values: Array, multiplier: Array, shift: Array) -> Array:
    """Multiply integers by ``multiplier * 2**(shift - 31)``, rounding twice, as gemmlowp does.

    Values are shifted left where `shift` is positive (there int32 would overflow, which is
    undefined; here it saturates). Twice the high half of the 64-bit product is rounded half up on
    magnitudes, half down where negative; then shifted right where `shift` is negative, rounding
    half away from zero.
    """
    int32 = np.iinfo(np.int32)
    left, right = np.clip(shift, 0, 31), np.maximum(-shift, 0)
    shifted = np.clip(values.astype(np.int64) << left, int32.min, int32.max)
    product = shifted * multiplier
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = np.sign(nudged) * (np.abs(nudged) >> 31)  # C++ divides towards zero
    remainder = high & ((np.int64(1) << right) - 1)
    threshold = (((np.int64(1) << right) - 1) >> 1) + (high < 0)
    rounded: Array = (high >> right) + (remainder > threshold)
    return rounded


def _compute_dtype(x: Array) -> np.dtype[Any]:
    """Dtype that ordinary arithmetic on `x` is done in: float64 for float64, else float32."""
    return np.dtype(np.float64 if x.dtype == np.float64 else np.float32)


def widened(x: Array) -> Array:
    return x.astype(_compute_dtype(x), copy=False)


def rounded_to(values: Array, dtype: np.dtype[Any]) -> Array:
    """Round float32 `values` to `dtype`, and widen them again."""
    return widened(values.astype(dtype))


def _promoted(one: np.dtype[Any], other: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of torch's arithmetic on two float dtypes."""
    if one == other:
        return one
    return np.dtype(np.float64 if np.float64 in (one, other) else np.float32)


def _codes(
    values: Array, zero_point: ArrayLike, low: int, high: int, of_nan: int
) -> NDArray[np.int32]:
    """Add the zero point to whole `values`, exactly, and clamp, before any becomes an integer."""
    sums = values.astype(np.float64) + np.asarray(zero_point).astype(np.float64)
    clamped = np.clip(np.where(np.isnan(sums), np.float64(of_nan), sums), low, high)
    return clamped.astype(np.int32)


def half_away(values: Array) -> Array:
    """Round half away from zero; ``floor(v + 0.5)`` would round twice."""
    whole = np.trunc(values)
    fraction = np.abs(values - whole)  # exact
    return whole + np.where(fraction >= 0.5, np.copysign(values.dtype.type(1), values), 0)


def fused_multiply_add(a: Array, b: Array, c: Array) -> NDArray[np.float32]:
    """Return ``a * b + c`` of float32 arrays, rounded once.

    The product is exact in float64. The sum is rounded to odd there, with what rounding took away
    (Knuth's two-sum), which keeps what the rounding to float32 must know (Boldo and Melquiond,
    2008).
    """
    product, addend = a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)
    total = product + addend
    part = total - product
    lost = (product - (total - part)) + (addend - part)
    even = (total.view(np.int64) & 1) == 0
    towards = np.where(lost > 0, np.inf, -np.inf)
    odd = np.where(even & (lost != 0) & np.isfinite(total), np.nextafter(total, towards), total)
    return odd.astype(np.float32)
