"""GGUF's formats that are a float16 scale and rounded quotients."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..blocks import Array, Layout
from .codec import Codec


def halves(values: Array) -> Array:
    """Return the bytes (n, 2) of float16 for n values; a NaN loses its payload."""
    codes = values.astype(np.float16)
    return codes.reshape(-1, 1).view(np.uint8)


def from_halves(data: Array) -> Array:
    """Return the values (n, 1) in float32 of bytes (n, 2)."""
    return np.ascontiguousarray(data).view(np.float16).astype(np.float32)


def inverse_or_zero(values: Array) -> Array:
    """Return 1 / x, and 0 for 0."""
    return np.where(values == 0, np.float32(0), np.float32(1) / values)


def to_int(values: Array) -> Array:
    """Truncate to int32; what does not fit, and NaN, give the smallest."""
    fits = np.abs(values) < 2.0**31
    return np.where(fits, np.where(fits, values, 0).astype(np.int64), -(2**31)).astype(np.int32)


def _encode_q8_0(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    scaled = x * inverse_or_zero(d)
    magnitude = np.abs(scaled)
    whole = np.floor(magnitude)
    rounded = np.sign(scaled) * (whole + (magnitude - whole >= 0.5))  # ties away from zero
    return np.hstack([halves(d), to_int(rounded).astype(np.uint8)]), None


def _decode_q8_0(codes: Array, scales: Array | None, layout: Layout) -> Array:
    return codes[:, 2:].view(np.int8).astype(np.float32) * from_halves(codes[:, :2])


CODECS: Final = {"Q8_0": Codec(_encode_q8_0, _decode_q8_0)}
