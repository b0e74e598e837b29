"""GGUF's formats of four-bit floats."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..blocks import Array, Layout
from .codec import Codec
from .legacy import pair, to_int, unpair

#: Values of the codes, in halves of the scale.
VALUES: Final = np.array(
    [0, 1, 2, 3, 4, 6, 8, 12, -0.0, -1, -2, -3, -4, -6, -8, -12], np.float32
) + np.float32(0)  # no code is -0.0


def nearest(x: Array, d: Array) -> Array:
    """Return the first code of least error, in float32, of x (n, m) and scales (n, 1)."""
    least = np.abs(d * VALUES[0] - x)
    best = np.zeros(x.shape, np.uint8)
    for code in range(1, 16):
        error = np.abs(d * VALUES[code] - x)
        closer = error < least  # never of NaN
        least = np.where(closer, error, least)
        best = np.where(closer, np.uint8(code), best)
    return best


def _halves_of_e8m0(codes: Array) -> Array:
    """Return 0.5 * 2^(code - 127)."""
    result: Array = np.ldexp(np.float32(0.5), codes.astype(np.int32) - 127).astype(np.float32)
    return result


def _encode_mxfp4(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    most = np.abs(x).max(axis=1, keepdims=True)
    power = to_int(
        np.floor(np.log2(most)) + np.float32(125)
    )  # a float32 logarithm, rounded as it is
    code = np.where(most > 0, power, 0).astype(np.uint8)  # which wraps
    q = nearest(x, _halves_of_e8m0(code))
    return np.hstack([code, pair(q[:, :16], q[:, 16:])]), None


def _decode_mxfp4(codes: Array, scales: Array | None, layout: Layout) -> Array:
    result: Array = _halves_of_e8m0(codes[:, :1]) * VALUES[unpair(codes[:, 1:], 16)]
    return result


def _halves_of_e4m3(codes: Array) -> Array:
    """Return half the value of each scale; zero for NaN."""
    exponent, fraction = codes.astype(np.int32) >> 3 & 15, codes & 7
    number = np.where(exponent == 0, fraction, fraction + 8).astype(np.float32)
    value = np.ldexp(number, np.maximum(exponent, 1) - 11)
    return np.where(codes == 0x7F, 0, value).astype(np.float32)


def _e4m3(x: Array) -> Array:
    """Return the nearest scale of what is not negative, ties upwards; 448 from 256 on."""
    fraction, power = np.frexp(x)
    normal = np.floor(fraction * 16 + 0.5) + (power + 5) * 8
    steps = np.minimum(np.floor(x * np.float32(512) + np.float32(0.5)), 7)
    code = np.where(x < 2.0**-6, steps, normal)
    return np.where(code >= 15 << 3, 0x7E, code).astype(np.uint8)


def _encode_nvfp4(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    parts = x.reshape(-1, 16)
    most = np.fmax.reduce(np.abs(parts), axis=1, keepdims=True, initial=np.float32(0))
    scales = _e4m3(np.minimum(most / np.float32(6), np.float32(448)))
    q = nearest(parts, _halves_of_e4m3(scales))
    packed = pair(q[:, :8], q[:, 8:])
    return np.hstack([scales.reshape(-1, 4), packed.reshape(-1, 32)]), None


def _decode_nvfp4(codes: Array, scales: Array | None, layout: Layout) -> Array:
    d = _halves_of_e4m3(codes[:, :4]).reshape(-1, 1)
    parts: Array = d * VALUES[unpair(codes[:, 4:].reshape(-1, 8), 8)]
    return parts.reshape(-1, 64)


CODECS: Final = {
    "MXFP4": Codec(_encode_mxfp4, _decode_mxfp4),
    "NVFP4": Codec(_encode_nvfp4, _decode_nvfp4),
}
