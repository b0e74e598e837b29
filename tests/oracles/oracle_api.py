"""The reference functions behind the public signatures, as the oracles' tests call them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ufuse.catalogue.floats import FLOAT_BY_NAME
from ufuse.quant import conventions, lowfloat, scales

Array = np.ndarray


def limits(dtype: Any) -> tuple[int, int]:
    """Smallest and largest code of an integer dtype, also of ml_dtypes'."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    bits = int(dtype.name.lstrip("uint"))
    return (0, 2**bits - 1) if dtype.name[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def spread(value: Any, x: Array, axis: int | None, block_size: int | None) -> Array:
    """Broadcast scales or zero points against x, by ONNX's rules."""
    value = np.asarray(value)
    if value.ndim == 0 or value.size == 1:
        return value.reshape(())
    axis = 1 if axis is None else axis
    if block_size:
        return np.take(np.repeat(value, block_size, axis), np.arange(x.shape[axis]), axis)
    return value.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def quantize_linear(
    x, scale, zero_point=None, *, axis=None, block_size=None, dtype=None, saturate=True,
    spec="onnx", rounding="half_even", rng=None, out=None, limit=None,
):  # fmt: skip
    x, scale = np.asarray(x), np.asarray(scale)
    if dtype is None:
        dtype = np.uint8 if zero_point is None else np.asarray(zero_point).dtype
    dtype = np.dtype(dtype)
    per_axis = scale.ndim > 0 and axis is not None
    scale = spread(scale, x, axis, block_size)
    if dtype.name in FLOAT_BY_NAME:
        with np.errstate(all="ignore"):
            ratio = x.astype(np.float32) / scale.astype(np.float32)
        if zero_point is not None and dtype.name == "float4_e2m1fn":
            ratio = ratio + np.float32(0)  # ONNX's reference adds the zero point: -0 becomes 0
        return lowfloat.encode(ratio, FLOAT_BY_NAME[dtype.name], rounding, saturate).view(dtype)
    zero = spread(0 if zero_point is None else zero_point, x, axis, block_size).astype(np.int64)
    low, high = limits(dtype) if limit is None else limit
    return conventions.quantize(
        x, scale, zero, low, high, spec, per_axis=per_axis, rounding=rounding
    ).astype(dtype)


def dequantize_linear(
    x, scale, zero_point=None, *, axis=None, block_size=None, dtype=None, out=None, spec="onnx"
):  # fmt: skip
    x, scale = np.asarray(x), np.asarray(scale)
    dtype = scale.dtype if dtype is None else dtype
    scale = spread(scale, x, axis, block_size)
    if x.dtype.name in FLOAT_BY_NAME:
        form = FLOAT_BY_NAME[x.dtype.name]
        numbers = lowfloat.decode(x.view(np.uint8), form)
        with np.errstate(all="ignore"):
            return (numbers * scale.astype(np.float32)).astype(dtype)
    zero = spread(0 if zero_point is None else zero_point, x, axis, block_size).astype(np.int64)
    return conventions.dequantize(x.astype(np.int64), scale, zero, spec, dtype)


def dynamic_quantize_linear(x):
    x = np.asarray(x)
    low, high = (np.float32(f.reduce(x, axis=None, initial=0)) for f in (np.fmin, np.fmax))
    scale, zero = scales.choose_scale(np.asarray(low), np.asarray(high), 0, 255, False, "onnx")
    zero = zero.astype(np.uint8)
    return quantize_linear(x, scale, zero), scale, zero


def fake_quantize(
    x, scale, zero_point=None, *, axis=None, block_size=None, dtype=None, spec="onnx",
    rounding="half_even", out=None, limit=None,
):  # fmt: skip
    x, scale = np.asarray(x), np.asarray(scale)
    per_axis = scale.ndim > 0 and axis is not None
    scale = spread(scale, x, axis, block_size)
    zero = spread(0 if zero_point is None else zero_point, x, axis, block_size).astype(np.int64)
    low, high = limits(dtype) if limit is None else limit
    return conventions.fake_quantize(
        x, scale, zero, low, high, spec, per_axis=per_axis, rounding=rounding
    )


def requantize(codes, scale, zero_point, out_scale, out_zero_point, *, dtype, spec="onnx"):
    arrays = (np.asarray(a) for a in (scale, zero_point, out_scale, out_zero_point))
    return conventions.requantize(np.asarray(codes), *arrays, *limits(dtype), spec).astype(dtype)


def cast(x, dtype, saturate=True, rounding="half_even", out=None):
    x, dtype = np.asarray(x), np.dtype(dtype)
    with np.errstate(all="ignore"):
        if x.dtype.name in FLOAT_BY_NAME:
            x = lowfloat.decode(
                x.view(np.uint16 if x.dtype.itemsize == 2 else np.uint8),
                FLOAT_BY_NAME[x.dtype.name],
            )
        if dtype.name in FLOAT_BY_NAME:
            return lowfloat.encode(x, FLOAT_BY_NAME[dtype.name], rounding, saturate).view(dtype)
        if dtype.name.lstrip("u").startswith("int") and not saturate:
            bits = int(dtype.name.lstrip("uint"))
            return ((x.astype(np.int64) << 64 - bits) >> 64 - bits).astype(dtype)
        return x.astype(dtype)
