"""Files: whole models quantized, and quantized arrays kept.

`quantize_model` converts, `load_model` reads what it wrote to .safetensors. On the command line it
is ``python -m ufuse quantize``.
"""

from .convert import quantize_model
from .quantized import load_model
from .report import TensorReport, format_table

__all__ = ["TensorReport", "format_table", "load_model", "quantize_model"]
