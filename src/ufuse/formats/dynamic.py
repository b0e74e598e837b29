"""The 8-bit dynamic map of bitsandbytes, to which it quantizes the scales of NF4.

Of a code's values the exponents are powers of ten and the fractions equally spaced: the larger the
power, the more fractions (Dettmers, 2015, arXiv:1511.04561). Blocks of 256 share a float32.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from .blocks import Array

BLOCK: Final = 256
_DECADES: Final = 7
_PLACES: Final = 65535


@cache
def values() -> Array:
    """Return the 256 values in ascending order, float32."""
    sizes = np.concatenate(
        [
            np.float32(10.0 ** (decade - _DECADES + 1)) * _middles(2**decade)
            for decade in range(_DECADES)
        ]
    )
    table = np.sort(np.concatenate([sizes, -sizes, np.array([0, 1], np.float32)]))
    table.flags.writeable = False
    return table


def _middles(count: int) -> Array:
    """Return the middles of `count` equal parts of 0.1 to 1, float32.

    bitsandbytes takes the ends of parts from ``torch.linspace``, which counts steps from the nearer
    end and rounds once (on processors with fused multiply-adds): so do we, to the bit.
    """
    first, last = np.float32(0.1), np.float32(1)
    step = float((last - first) / np.float32(count))
    place = np.arange(count + 1)
    rising, falling = float(first) + step * place, float(last) - step * (count - place)
    edges = np.where(place < (count + 1) // 2, rising, falling).astype(np.float32)
    middles: Array = (edges[:-1] + edges[1:]) / np.float32(2)
    return middles


@cache
def _nearest() -> Array:
    """Return the code of the value nearest to each of 65536 places from -1 to 1, uint8."""
    table = values()
    places = (2 * np.arange(_PLACES + 1) / _PLACES - 1).astype(np.float32)
    right = np.clip(np.searchsorted(table, places), 1, table.size - 1)
    nearer = table[right] - places < places - table[right - 1]
    return np.where(nearer, right, right - 1).astype(np.uint8)


def encode(x: Array, codes: Array, scales: Array) -> None:
    """Quantize 1-d float32 `x`: fill `codes`, uint8, and `scales`, the largest magnitude per block.

    As bitsandbytes 0.50 on the CPU, whose codes are those of the nearest of 65536 places (on GPUs
    it compares with the values themselves: of a few numbers in a thousand the code differs by
    one). Zeros of a block whose reciprocal is infinite, and so of a block of zeros, have code 0.
    """
    if x.size == 0:
        return
    padded = np.zeros(scales.size * BLOCK, np.float32)
    padded[: x.size] = x
    blocks = padded.reshape(-1, BLOCK)
    scales[...] = np.abs(blocks).max(axis=1)
    with np.errstate(all="ignore"):
        scaled = np.clip(blocks * (np.float32(1) / scales)[:, None], -1, 1)
    half = (scaled + np.float32(1)) * np.float32(0.5)
    place = (half.astype(np.float64) * _PLACES + 0.5).astype(np.float32)  # rounded once
    found = _nearest()[np.where(place >= 0, place, 0).astype(np.intp)]  # of 0 / 0, the first place
    codes[...] = found.reshape(-1)[: x.size]


def decode(codes: Array, scales: Array) -> Array:
    """Return the float32 that `encode` kept."""
    result: Array = values()[codes] * np.repeat(scales, BLOCK)[: codes.size]
    return result
