"""The block formats of GGUF, the files of llama.cpp, byte for byte."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import executors
from ..interop import accepts_buffers
from .blocks import Array, layout_of


@accepts_buffers("x", "importance", function="ufuse.formats.gguf.quantize")
def quantize(
    x: ArrayLike, kind: str, *, importance: ArrayLike | None = None, out: Array | None = None
) -> Array:
    """Quantize along the last axis."""
    values = np.asarray(x)
    layout = layout_of(kind)
    shape = (*values.shape[:-1], values.shape[-1] // layout.block * layout.nbytes)
    target = executors.empty(shape, np.dtype(np.uint8)) if out is None else out
    executors.of(__package__).encode(layout, values, target)
    return target


@accepts_buffers("data", function="ufuse.formats.gguf.dequantize")
def dequantize(
    data: ArrayLike, kind: str, *, dtype: Any = np.float32, out: Array | None = None
) -> Array:
    """Dequantize along the last axis."""
    codes = np.asarray(data)
    layout = layout_of(kind)
    shape = (*codes.shape[:-1], codes.shape[-1] // layout.nbytes * layout.block)
    target = executors.empty(shape, np.dtype(dtype)) if out is None else out
    executors.of(__package__).decode(layout, codes, target)
    return target
