"""Quantization: numbers in few bits, and back."""

from .array import QuantizedArray
from .cast import cast
from .distortion import QuantizationError, quantization_error
from .linear import (
    dequantize_linear,
    dynamic_quantize_linear,
    fake_quantize,
    quantize_linear,
    requantize,
)
from .packing import pack, unpack
from .schemes import quantize

__all__ = [
    "QuantizationError",
    "QuantizedArray",
    "cast",
    "dequantize_linear",
    "dynamic_quantize_linear",
    "fake_quantize",
    "pack",
    "quantization_error",
    "quantize",
    "quantize_linear",
    "requantize",
    "unpack",
]
