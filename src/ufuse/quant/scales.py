"""Scale and zero point from a range of numbers: ufuse's own rule, and ONNX's.

Ranges come as arrays (one entry per tensor, channel or block), and results have their shape: the
zero point as int32. An asymmetric range is widened to hold 0, so that 0 has a code of its own.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Parameters = tuple[Array, NDArray[np.int32]]

#: What a scale that underflows is raised to: the smallest float32.
_LEAST_SCALE: Final = np.float32(1e-45)


def scale_of_range(
    low: Array, high: Array, least: int, most: float, symmetric: bool
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return ufuse's own scales and zero points of ranges: of records and of observers.

    Symmetric: the larger magnitude is the code `most`, and the zero point 0. Else the range is
    widened to hold 0 and goes from `least` to `most`, in float32 as ONNX's DynamicQuantizeLinear
    computes it. Neither infinite nor 0 for finite ranges, and no code stands for more than float32
    has: then the scale is a little smaller, and the other end of the range a step off. 1 for zeros
    alone.
    """
    single = np.float32
    low, high = np.minimum(low, single(0)), np.maximum(high, single(0))
    steps = most if symmetric else most - least
    with np.errstate(over="ignore"):
        extent = np.maximum(-low, high) if symmetric else high - low
    scale = np.asarray(extent / single(steps), single)
    wide = ~np.isfinite(scale)  # of finite ends: a difference beyond float32
    if wide.any():
        wider = (high.astype(np.float64) - low) / steps
        scale = np.where(wide, wider.astype(single), scale)
    scale = np.where(extent == 0, single(1), np.maximum(scale, _LEAST_SCALE)).astype(single)
    if symmetric:
        return _within_float32(scale, np.asarray(most)), np.zeros(scale.shape, np.int32)
    zero = np.asarray(np.clip(np.rint(single(least) - low / scale), least, most)).astype(np.int32)
    return _within_float32(scale, np.maximum(zero - least, most - zero)), zero


def _within_float32(scale: NDArray[np.float32], reach: Array) -> NDArray[np.float32]:
    """Return scales of which `reach` steps are finite in float32."""
    with np.errstate(over="ignore"):
        beyond = np.isinf(scale * reach.astype(np.float32))
    if not beyond.any():
        return scale
    most = np.finfo(np.float32).max / np.maximum(reach, 1).astype(np.float64)
    down = np.nextafter(most.astype(np.float32), np.float32(0))
    return np.asarray(np.where(beyond, down, scale), np.float32)


def choose_scale_onnx(low: Array, high: Array, qmin: int, qmax: int, symmetric: bool) -> Parameters:
    """Choose as ONNX's DynamicQuantizeLinear; symmetric, as onnxruntime's quantization tool.

    Asymmetric, in float32: ``scale = (high - low) / (qmax - qmin)`` of the range with 0,
    ``zero_point = rint(clamp(qmin - low / scale))``. An empty range (all zeros) has scale 1/255 as
    ONNX's reference says (``1 / (qmax - qmin)``); onnxruntime 1.31 has scale 1. Where the division
    underflows to scale 0, low / scale is NaN and the zero point `qmax`, as there; a range that
    overflows has scale inf and the same rule. NaN in a range counts as 0: onnxruntime skips NaN in
    short arrays and keeps it in long ones.

    Symmetric (``quant_utils.compute_scale_zp``), in float64, then rounded to the range's dtype:
    ``scale = 2 m / (qmax - qmin)``, ``zero_point = rint((qmin + qmax) / 2)``; below the smallest
    normal number, scale 1 and zero point 0. (The tool does the asymmetric case in float64, too.)
    """
    low, high = _around_zero(np.fmin(low, 0), np.fmax(high, 0))
    if symmetric:
        magnitude = np.maximum(-low, high)
        wide = magnitude.astype(np.float64) * 2 / (qmax - qmin)
        tiny = wide < np.finfo(magnitude.dtype).tiny
        zero = np.where(tiny, 0, np.rint((qmin + qmax) / 2)).astype(np.int32)
        return np.where(tiny, 1, wide).astype(magnitude.dtype), zero
    steps = high.dtype.type(qmax - qmin)
    scale = np.where(high == low, high.dtype.type(1), high - low) / steps
    zero_point = np.clip(high.dtype.type(qmin) - low / scale, qmin, qmax)
    return scale, np.where(np.isnan(zero_point), qmax, np.rint(zero_point)).astype(np.int32)


def _around_zero(low: Array, high: Array) -> tuple[Array, Array]:
    """Return both without -0, which would survive into sums."""
    return low + low.dtype.type(0), high + high.dtype.type(0)
