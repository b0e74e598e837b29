"""Codes of four and six bits, packed along the last axis."""

from __future__ import annotations

import numpy as np

from ..blocks import Array


def pack(codes: Array, bits: int, *, high_first: bool = False) -> Array:
    """Pack codes (n, block): the first in the lowest bits, or of nibbles in the high ones."""
    if bits == 8:
        return codes
    group = 2 if bits == 4 else 4  # codes to whole bytes
    shifts = np.arange(group, dtype=np.uint32) * bits
    parts = codes.reshape(codes.shape[0], -1, group).astype(np.uint32)
    words = (parts << (shifts[::-1] if high_first else shifts)).sum(axis=-1, dtype=np.uint32)
    whole = words[..., None] >> np.arange(0, group * bits, 8, dtype=np.uint32)
    packed: Array = whole.astype(np.uint8).reshape(codes.shape[0], -1)
    return packed


def unpack(packed: Array, bits: int, *, high_first: bool = False) -> Array:
    """Return the codes (n, block) that `pack` packed."""
    if bits == 8:
        return packed
    group = 2 if bits == 4 else 4
    parts = packed.reshape(packed.shape[0], -1, group * bits // 8).astype(np.uint32)
    words = (parts << np.arange(0, group * bits, 8, dtype=np.uint32)).sum(axis=-1, dtype=np.uint32)
    shifts = np.arange(group, dtype=np.uint32) * bits
    codes = (words[..., None] >> (shifts[::-1] if high_first else shifts)) & ((1 << bits) - 1)
    result: Array = codes.astype(np.uint8).reshape(packed.shape[0], -1)
    return result
