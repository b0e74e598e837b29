"""Scale and zero point from a range of numbers, as other libraries choose them.

Ranges come as arrays (one entry per tensor, channel or block), float32 unless said otherwise, and
results have their shape: the scale in the dtype of the range, the zero point as int32.
Every convention widens an asymmetric range to hold 0, so that 0 has a code of its own. The tests in
`oracles` compare these with the libraries.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ufuse.catalogue.conventions import Spec, rounded_to, widened
from ufuse.quant.scales import Parameters, choose_scale_onnx

Array = NDArray[Any]

#: torch's observers: the smallest scale, float32's distance from 1 to the next number.
TORCH_EPS: Final = np.float32(2.0**-23)
#: ai-edge-quantizer: the smallest range.
LITERT_RANGE: Final = 1e-9


def choose_scale(
    low: Array, high: Array, qmin: int, qmax: int, symmetric: bool, spec: Spec = "onnx"
) -> Parameters:
    """Choose scale and zero point so that codes `qmin` to `qmax` cover `low` to `high`.

    Parameters
    ----------
    low, high : ndarray
        Smallest and largest numbers.
    qmin, qmax : int
        Smallest and largest code.
    symmetric : bool
        Cover ``-m`` to ``m`` with the larger magnitude m: the zero point is fixed.
    spec : {"onnx", "torch", "torch-2.15", "torchao", "litert"}
        The convention; see the functions below.

    Returns
    -------
    tuple of ndarray
        Scale and zero point.
    """
    rule = {
        "onnx": choose_scale_onnx,
        "torch": choose_scale_torch,
        "torch-2.15": choose_scale_torch,
        "torchao": choose_scale_torchao,
        "litert": choose_scale_litert,
    }[spec]
    with np.errstate(all="ignore"):
        return rule(low, high, qmin, qmax, symmetric)


def choose_scale_torch(
    low: Array, high: Array, qmin: int, qmax: int, symmetric: bool
) -> Parameters:
    """Choose as torch's observers (``torch.ao.quantization.observer``, 2.13).

    Asymmetric: ``scale = max((high - low) / (qmax - qmin), 2**-23)``, ``zero_point =
    clamp(qmin - rint(low / scale))``. Symmetric: ``scale = max(m / ((qmax - qmin) / 2), 2**-23)``;
    the zero point is 0 for codes of both signs, and ``(qmin + qmax) // 2 + (qmin + qmax) % 2`` (128
    for uint8) for others. (With a quant_min and quant_max of one's own torch rounds that down.)
    """
    low, high = _around_zero(np.minimum(low, 0), np.maximum(high, 0))
    if symmetric:
        scale = np.maximum(np.maximum(-low, high) / high.dtype.type((qmax - qmin) / 2), TORCH_EPS)
        middle = 0 if qmin < 0 else (qmin + qmax + 1) // 2
        return scale, np.full(scale.shape, middle, np.int32)
    scale = np.maximum((high - low) / high.dtype.type(qmax - qmin), TORCH_EPS)
    return scale, _clamped(qmin - np.rint(low / scale), qmin, qmax)


def choose_scale_torchao(
    low: Array, high: Array, qmin: int, qmax: int, symmetric: bool
) -> Parameters:
    """Choose as torchao's ``choose_qparams_affine`` (0.18).

    As torch, but the smallest scale is the smallest normal number of the range's dtype, and the
    zero point of a symmetric range ``int((qmax + qmin + 1) / 2)``: 0 for int8, 128 for uint8.
    float16 and bfloat16 round at every step. NaN stays in the scale.
    """
    dtype = low.dtype

    def step(values: Array) -> Array:
        return rounded_to(values, dtype)

    low, high = _around_zero(np.minimum(widened(low), 0), np.maximum(widened(high), 0))
    smallest = _smallest_normal(dtype)
    if symmetric:
        scale = np.maximum(
            step(np.maximum(-low, high) / high.dtype.type((qmax - qmin) / 2)), smallest
        )
        middle = int((qmax + qmin + 1) / 2)
        return scale.astype(dtype), np.full(scale.shape, middle, np.int32)
    scale = np.maximum(step(step(high - low) / high.dtype.type(qmax - qmin)), smallest)
    zero_point = step(qmin - np.rint(step(low / scale)))
    return scale.astype(dtype), _clamped(zero_point, qmin, qmax)


def choose_scale_litert(
    low: Array, high: Array, qmin: int, qmax: int, symmetric: bool
) -> Parameters:
    """Choose as ai-edge-quantizer's ``tensor_zp_scale_from_min_max`` (0.10).

    Asymmetric: ``scale = max(high - low, 1e-9) / (qmax - qmin)``, ``zero_point = rint(qmin - low /
    scale)``: rounded after the difference, unlike torch. Symmetric: ``scale = max(m, 1e-9) /
    qmax``, zero point 0; for unsigned codes ``max(m, 1e-9) / ((qmax - 1) / 2)`` and
    ``(qmax + 1) / 2``. `qmin` and `qmax` are the whole range of the type, also where codes keep to
    ``-qmax``. (Blockwise scales it rounds further: `block_scale`.)
    """
    smallest = high.dtype.type(LITERT_RANGE)
    if symmetric:
        magnitude = np.maximum(np.maximum(np.abs(low), np.abs(high)), smallest)
        half, middle = (qmax, 0) if qmin < 0 else ((qmax - 1) / 2, (qmax + 1) // 2)
        scale = magnitude / high.dtype.type(half)
        return scale, np.full(scale.shape, middle, np.int32)
    low, high = _around_zero(np.minimum(low, 0), np.maximum(high, 0))
    scale = np.maximum(high - low, smallest) / high.dtype.type(qmax - qmin)
    return scale, _clamped(np.rint(high.dtype.type(qmin) - low / scale), qmin, qmax)


def block_scale(scale: Array) -> NDArray[np.float32]:
    """Round float32 scales as ai-edge-quantizer rounds those of blocks.

    To bfloat16's eight bits and then into float16's range, where XNNPACK keeps them.
    """
    bits = np.ascontiguousarray(scale, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    with np.errstate(over="ignore", under="ignore"):
        return rounded.view(np.float32).astype(np.float16).astype(np.float32).reshape(scale.shape)


def _around_zero(low: Array, high: Array) -> tuple[Array, Array]:
    """Return both without -0, which would survive into sums."""
    return low + low.dtype.type(0), high + high.dtype.type(0)


def _clamped(values: Array, qmin: int, qmax: int) -> NDArray[np.int32]:
    """Clamp whole numbers to codes; NaN gives `qmin`."""
    clamped = np.clip(values.astype(np.float64), qmin, qmax)
    return np.where(np.isnan(clamped), qmin, clamped).astype(np.int32)


def _smallest_normal(dtype: np.dtype[Any]) -> np.floating[Any]:
    if dtype == np.float16:
        return np.float32(2.0**-14)
    return np.float64(2.0**-1022) if dtype == np.float64 else np.float32(2.0**-126)
