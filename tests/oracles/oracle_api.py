"""The public functions, as the oracles' tests call them: with ONNX's defaults."""

from __future__ import annotations

from typing import Any

import numpy as np

import ufuse as uf
from ufuse.quant.codes import code_type

Array = np.ndarray


def limits(dtype: Any) -> tuple[int, int]:
    """Smallest and largest code of an integer dtype, also of ml_dtypes'."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    code = code_type(dtype)
    return code.low, code.high


def spread(value: Any, x: Array, axis: int | None, block_size: int | None) -> Array:
    """Broadcast scales or zero points against x, by ONNX's rules."""
    value = np.asarray(value)
    if value.ndim == 0 or value.size == 1:
        return value.reshape(())
    axis = 1 if axis is None else axis
    if block_size:
        return np.take(np.repeat(value, block_size, axis), np.arange(x.shape[axis]), axis)
    return value.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def _axis(scale: Array, axis: int | None) -> int | None:
    """ONNX's axis is 1, and means nothing where there is one scale."""
    return None if scale.size == 1 and scale.ndim < 2 else 1 if axis is None else axis


def _zero(zero_point: Any) -> Any:
    value = np.asarray(zero_point) if zero_point is not None else None
    return value.reshape(()) if value is not None and value.size == 1 and value.ndim < 2 else value


def _where(scale: Array, axis: int | None, block_size: int | None) -> dict[str, Any]:
    return {"axis": _axis(scale, axis), "block_size": block_size or None}


def quantize_linear(
    x, scale, zero_point=None, *, axis=None, block_size=None, dtype=None, saturate=True,
    spec="onnx", rounding="half_even", rng=None, out=None, limit=None,
):  # fmt: skip
    x, scale = np.asarray(x), np.asarray(scale)
    return uf.quantize_linear(
        x, scale, _zero(zero_point), **_where(scale, axis, block_size), dtype=dtype,
        saturate=saturate, spec=spec, rounding=rounding, rng=rng, out=out, limits=limit,
    )  # fmt: skip


def dequantize_linear(
    x, scale, zero_point=None, *, axis=None, block_size=None, dtype=None, out=None, spec="onnx"
):  # fmt: skip
    x, scale = np.asarray(x), np.asarray(scale)
    dtype = scale.dtype if dtype is None else dtype
    zero = _zero(zero_point)
    zero = zero if zero is None else zero.astype(x.dtype)
    return uf.dequantize_linear(
        x, scale, zero, **_where(scale, axis, block_size), dtype=dtype, spec=spec, out=out
    )


def dynamic_quantize_linear(x):
    return uf.dynamic_quantize_linear(np.asarray(x))


def fake_quantize(
    x, scale, zero_point=None, *, axis=None, block_size=None, dtype=None, spec="onnx",
    rounding="half_even", out=None, limit=None,
):  # fmt: skip
    x, scale = np.asarray(x), np.asarray(scale)
    dtype = "int16" if dtype is None and limit is not None else dtype
    return uf.fake_quantize(
        x, scale, _zero(zero_point), **_where(scale, axis, block_size), dtype=dtype, spec=spec,
        out=out, limits=limit,
    )  # fmt: skip


def requantize(codes, scale, zero_point, out_scale, out_zero_point, *, dtype, spec="onnx"):
    codes = np.asarray(codes)
    codes = codes.astype(np.int32) if codes.dtype == np.int64 else codes
    return uf.requantize(
        codes, scale, zero_point, out_scale, out_zero_point, dtype=dtype, spec=spec
    )


def cast(x, dtype, saturate=True, rounding="half_even", out=None):
    x, dtype = np.asarray(x), np.dtype(dtype)
    if dtype.name.lstrip("u").startswith("int") and not saturate:
        bits = int(dtype.name.lstrip("uint"))
        return ((x.astype(np.int64) << 64 - bits) >> 64 - bits).astype(dtype)
    if x.dtype.kind in "biu" or dtype.kind in "biu" or "int" in x.dtype.name + dtype.name:
        with np.errstate(all="ignore"):
            return x.astype(dtype)  # not floats: NumPy's
    return uf.cast(x, dtype, saturate=saturate, rounding=rounding, out=out)
