"""Quantization: numbers in few bits, and back."""

from .array import QuantizedArray, quantize
from .cast import cast
from .linear import (
    dequantize_linear,
    dynamic_quantize_linear,
    fake_quantize,
    quantize_linear,
    requantize,
)

__all__ = [
    "QuantizedArray",
    "cast",
    "dequantize_linear",
    "dynamic_quantize_linear",
    "fake_quantize",
    "quantize",
    "quantize_linear",
    "requantize",
]
