"""Quantization: numbers in few bits, and back."""

from .array import QuantizedArray
from .cast import cast
from .distortion import quantization_error
from .dynamic import dynamic_quantize_linear
from .linear import dequantize_linear, fake_quantize, quantize_linear
from .packing import pack, unpack
from .requantize import requantize
from .schemes import quantize
from .sums import QuantizationError

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
