"""GGUF's ternary formats: -1, 0 and 1 times the largest magnitude of 256 values."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..blocks import Array, Layout
from .codec import Codec
from .legacy import from_halves, halves, inverse_or_zero, largest_magnitude, rounded_away

#: Bytes of a run of TQ1_0, and digits of each byte.
_RUNS: Final = ((32, 5), (16, 5), (4, 4))


def _digits(x: Array) -> tuple[Array, Array]:
    """Return 0, 1 or 2 for each value, and the scales."""
    d = largest_magnitude(x)
    return (rounded_away(x * inverse_or_zero(d)) + 1) & 255, d


def _encode_tq1_0(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    digits, d = _digits(x)
    parts, first = [], 0
    for count, each in _RUNS:
        run = digits[:, first : first + count * each].reshape(-1, each, count)
        number = (run * 3 ** np.arange(4, 4 - each, -1)[:, None]).sum(axis=1) & 255
        parts.append((number * 256 + 242) // 243)  # a fraction of 256, rounded up
        first += count * each
    return np.hstack([*(part.astype(np.uint8) for part in parts), halves(d)]), None


def _decode_tq1_0(codes: Array, scales: Array | None, layout: Layout) -> Array:
    parts, first = [], 0
    for count, each in _RUNS:
        run = codes[:, None, first : first + count].astype(np.uint32)
        fraction = run * 3 ** np.arange(each)[:, None] & 255
        parts.append((fraction * 3 >> 8).reshape(-1, count * each))
        first += count
    result: Array = from_halves(codes[:, 52:]) * (
        np.hstack(parts).astype(np.float32) - np.float32(1)
    )
    return result


def _encode_tq2_0(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    digits, d = _digits(x)
    parts = digits.reshape(-1, 2, 4, 32) << np.array([0, 2, 4, 6])[:, None]
    packed = np.bitwise_or.reduce(parts, axis=2).reshape(-1, 64)
    return np.hstack([packed.astype(np.uint8), halves(d)]), None


def _decode_tq2_0(codes: Array, scales: Array | None, layout: Layout) -> Array:
    digits = codes[:, :64].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    result: Array = from_halves(codes[:, 64:]) * (
        digits.reshape(-1, 256).astype(np.float32) - np.float32(1)
    )
    return result


CODECS: Final = {
    "TQ1_0": Codec(_encode_tq1_0, _decode_tq1_0),
    "TQ2_0": Codec(_encode_tq2_0, _decode_tq2_0),
}
