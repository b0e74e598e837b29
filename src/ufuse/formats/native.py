"""Block formats by the C++ core: `csrc/formats/blocks.hpp` describes what it does."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from ..interop.lowprecision import coding
from .blocks import Array, Layout


def encode(
    layout: Layout,
    values: Array,
    codes: Array,
    scales: Array | None = None,
    importance: Array | None = None,
) -> bool:
    """Fill `codes`, and `scales` where they lie apart, with the blocks along the last axis.

    Parameters
    ----------
    layout : Layout
        The format.
    values : ndarray
        float32, float64, float16 or bfloat16, of any strides and byte order, at least 1-d.
    codes : ndarray
        uint8; the shape of `values` with bytes of a row as its last axis, which is contiguous.
        Where the last block of a row is ragged it may be shorter than whole blocks.
    scales : ndarray, optional
        One per block; the last axis is contiguous.
    importance : ndarray, optional
        float32, contiguous: a weight for each element of a row, up to the end of its last block.

    Returns
    -------
    bool
        Whether values, or float16 numbers among the codes, may be infinite or NaN.
    """
    return _core.encode_blocks(
        layout.name,
        *_readable(values),
        codes,
        _bits(scales),
        importance,
        layout.block,
        layout.nbytes,
        layout.tensor_scale,
        layout.scale_mode,
    )


def decode(layout: Layout, codes: Array, values: Array, scales: Array | None = None) -> None:
    """Fill `values`: float32, float16 or bfloat16, of any strides and byte order."""
    readable, how = _readable(values)
    _core.decode_blocks(
        layout.name,
        codes,
        _bits(scales),
        readable,
        how,
        layout.block,
        layout.nbytes,
        layout.tensor_scale,
        layout.scale_mode,
    )


def _readable(x: Array) -> tuple[Array, str]:
    """Return `x` with the bits of 16-bit floats as integers, and how they are read."""
    how = coding(x.dtype)
    if how is None:
        return x, "plain"
    codes = np.dtype(np.uint16)
    return x.view(codes if x.dtype.isnative else codes.newbyteorder()), how


def _bits(scales: Array | None) -> Any:
    return None if scales is None else scales.view(f"u{scales.itemsize}")
