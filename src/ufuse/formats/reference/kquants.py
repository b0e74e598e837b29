"""GGUF's K-quants: 256 values, whose scales and least values are codes themselves."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..blocks import Array, Layout
from .codec import Codec
from .kquants_encode import ENCODERS
from .legacy import from_halves, unpair


def _pairs_of_bits(data: Array) -> Array:
    """Return the four codes of each byte: of each 32 bytes the lowest of all, then the next."""
    runs = data.reshape(data.shape[0], -1, 1, 32)
    return (runs >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3).reshape(data.shape[0], -1)


def _single_bits(data: Array) -> Array:
    """Return the eight bits of each of 32 bytes: the lowest of all, then the next."""
    return (data[:, None, :] >> np.arange(8, dtype=np.uint8)[:, None] & 1).reshape(-1, 256)


def _scaled(d: Array, q: Array, least: Array | None = None) -> Array:
    """Return d * q - least for parts of equal length."""
    values = d[:, :, None] * q.reshape(*d.shape, -1).astype(np.float32)
    return (values if least is None else values - least[:, :, None]).reshape(-1, 256)


def _decode_q2_k(codes: Array, scales: Array | None, layout: Layout) -> Array:
    d, dmin = from_halves(codes[:, 80:82]), from_halves(codes[:, 82:])
    both = codes[:, :16]
    return _scaled(
        d * (both & 15).astype(np.float32),
        _pairs_of_bits(codes[:, 16:80]),
        dmin * (both >> 4).astype(np.float32),
    )


def _decode_q3_k(codes: Array, scales: Array | None, layout: Layout) -> Array:
    low = np.hstack([codes[:, 96:104] & 15, codes[:, 96:104] >> 4])
    high = (codes[:, None, 104:108] >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3).reshape(
        -1, 16
    )
    scale = (low | high << 4).astype(np.float32) - np.float32(32)
    q = _pairs_of_bits(codes[:, 32:96]).astype(np.int8) + 4 * _single_bits(codes[:, :32]) - 4
    return _scaled(from_halves(codes[:, 108:]) * scale, q)


def _scales_and_leasts(data: Array) -> tuple[Array, Array]:
    """Return the eight scales and least values of 12 bytes."""
    first, second, third = data[:, :4], data[:, 4:8], data[:, 8:]
    scales = np.hstack([first & 63, third & 15 | first >> 6 << 4])
    leasts = np.hstack([second & 63, third >> 4 | second >> 6 << 4])
    return scales.astype(np.float32), leasts.astype(np.float32)


def _decode_q4_k(codes: Array, scales: Array | None, layout: Layout) -> Array:
    scale, least = _scales_and_leasts(codes[:, 4:16])
    d, dmin = from_halves(codes[:, :2]), from_halves(codes[:, 2:4])
    return _scaled(d * scale, unpair(codes[:, 16:], 32), dmin * least)


def _decode_q5_k(codes: Array, scales: Array | None, layout: Layout) -> Array:
    scale, least = _scales_and_leasts(codes[:, 4:16])
    d, dmin = from_halves(codes[:, :2]), from_halves(codes[:, 2:4])
    q = unpair(codes[:, 48:], 32) | _single_bits(codes[:, 16:48]) << 4
    return _scaled(d * scale, q, dmin * least)


def _decode_q6_k(codes: Array, scales: Array | None, layout: Layout) -> Array:
    q = unpair(codes[:, :128], 64) | _pairs_of_bits(codes[:, 128:192]) << 4
    scale = codes[:, 192:208].view(np.int8).astype(np.float32)
    return _scaled(from_halves(codes[:, 208:]) * scale, q.astype(np.int8) - 32)


CODECS: Final = {
    "Q2_K": Codec(ENCODERS["Q2_K"], _decode_q2_k),
    "Q3_K": Codec(ENCODERS["Q3_K"], _decode_q3_k),
    "Q4_K": Codec(ENCODERS["Q4_K"], _decode_q4_k),
    "Q5_K": Codec(ENCODERS["Q5_K"], _decode_q5_k),
    "Q6_K": Codec(ENCODERS["Q6_K"], _decode_q6_k),
}
