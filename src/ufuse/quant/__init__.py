"""Quantization: numbers in few bits, and back."""

from .array import QuantizedArray, quantize
from .linear import dequantize_linear, fake_quantize, quantize_linear

__all__ = ["QuantizedArray", "dequantize_linear", "fake_quantize", "quantize", "quantize_linear"]
