"""Decoding of GGUF's IQ formats: indices of the points of a grid, with signs or a shift."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from ...catalogue.grids import GRIDS
from ..blocks import Array, Layout
from .codec import Codec, Decode
from .legacy import bits_of, from_halves, unpair

#: The levels of IQ4_NL and IQ4_XS.
LEVELS: Final = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32
)


@cache
def points(name: str) -> Array:
    """Return the points (number, values of each) of a grid of the catalogue."""
    grid = next(grid for grid in GRIDS if grid.name == name)
    shifts = grid.bits * np.arange(grid.values)
    levels = np.array(grid.codes())[:, None] >> shifts & (1 << grid.bits) - 1
    result: Array = np.array(grid.levels, np.float32)[levels]
    return result


def _even_signs(index: Array) -> Array:
    """Return eight bits of signs for seven: there is an even number of minuses."""
    parity = bits_of(index.astype(np.uint8)).sum(axis=-1).astype(np.uint32) & 1
    result: Array = (index | parity << 7).astype(np.uint8)
    return result


def _signed(scale: Array, grid: str, index: Array, signs: Array) -> Array:
    """Return scale * point, with signs: (n, parts), (n, indices), and (n, 32) bytes."""
    values = points(grid)[index].reshape(*scale.shape, -1) * scale[..., None]
    minus = bits_of(signs).reshape(values.shape) != 0
    return np.where(minus, -values, values).reshape(-1, 256)


def _nibbles(data: Array) -> Array:
    return np.stack([data & 15, data >> 4], axis=-1).reshape(data.shape[0], -1)


def _words(data: Array, dtype: type) -> Array:
    result: Array = np.ascontiguousarray(data).view(dtype)
    return result


def _decode_iq2_xxs(codes: Array, scales: Array | None, layout: Layout) -> Array:
    parts = codes[:, 2:].reshape(-1, 8, 8)
    rest = _words(parts[:, :, 4:], np.uint32)
    scale = from_halves(codes[:, :2]) * (np.float32(0.5) + (rest[..., 0] >> 28).astype(np.float32))
    signs = _even_signs(rest >> np.array([0, 7, 14, 21], np.uint32) & 127).reshape(-1, 32)
    index = parts[:, :, :4].reshape(-1, 32)
    return _signed(scale * np.float32(0.25), "IQ2_XXS", index, signs)


def _quarter_scales(d: Array, data: Array) -> Array:
    odd: Array = np.float32(0.5) + _nibbles(data).astype(np.float32)
    result: Array = d * odd * np.float32(0.25)
    return result


def _decode_iq2_xs(codes: Array, scales: Array | None, layout: Layout) -> Array:
    words = _words(codes[:, 2:66], np.uint16)
    scale = _quarter_scales(from_halves(codes[:, :2]), codes[:, 66:])
    return _signed(scale, "IQ2_XS", words & 511, _even_signs((words >> 9).astype(np.uint32)))


def _decode_iq2_s(codes: Array, scales: Array | None, layout: Layout) -> Array:
    high = codes[:, 66:74, None] >> np.array([0, 2, 4, 6], np.uint8) & 3
    index = codes[:, 2:34] | high.reshape(-1, 32).astype(np.uint16) << 8
    scale = _quarter_scales(from_halves(codes[:, :2]), codes[:, 74:])
    return _signed(scale, "IQ2_S", index, codes[:, 34:66])


def _decode_iq3_xxs(codes: Array, scales: Array | None, layout: Layout) -> Array:
    rest = _words(codes[:, 66:], np.uint32)
    scale = from_halves(codes[:, :2]) * (np.float32(0.5) + (rest >> 28).astype(np.float32))
    signs = _even_signs(rest[..., None] >> np.array([0, 7, 14, 21], np.uint32) & 127)
    return _signed(scale * np.float32(0.5), "IQ3_XXS", codes[:, 2:66], signs.reshape(-1, 32))


def _decode_iq3_s(codes: Array, scales: Array | None, layout: Layout) -> Array:
    index = codes[:, 2:66] | bits_of(codes[:, 66:74]).reshape(-1, 64).astype(np.uint16) << 8
    odd = (1 + 2 * _nibbles(codes[:, 106:])).astype(np.float32)
    return _signed(from_halves(codes[:, :2]) * odd, "IQ3_S", index, codes[:, 74:106])


def _shifted(scale: Array, index: Array, minus: Array) -> Array:
    """Return scale * (point + 1/8), or - 1/8: (n, parts), (n, 32), (n, 8 or 32)."""
    eighth = np.where(minus != 0, np.float32(-0.125), np.float32(0.125))
    values = points("IQ1_S")[index].reshape(*minus.shape, -1) + eighth[..., None]
    return (values.reshape(*scale.shape, -1) * scale[..., None]).reshape(-1, 256)


def _decode_iq1_s(codes: Array, scales: Array | None, layout: Layout) -> Array:
    words = _words(codes[:, 34:], np.uint16)
    high = words[..., None] >> np.array([0, 3, 6, 9], np.uint16) & 7
    scale = from_halves(codes[:, :2]) * (2 * (words >> 12 & 7) + 1).astype(np.float32)
    return _shifted(scale, codes[:, 2:34] | high.reshape(-1, 32) << 8, words >> 15)


def _decode_iq1_m(codes: Array, scales: Array | None, layout: Layout) -> Array:
    words = _words(codes[:, 48:], np.uint16)
    quarters = words >> 12 << np.array([0, 4, 8, 12], np.uint16)
    d = np.bitwise_or.reduce(quarters, axis=1).view(np.float16).astype(np.float32)[:, None]
    parts = (words[..., None] >> np.array([0, 3, 6, 9], np.uint16) & 7).reshape(-1, 16)
    high = _nibbles(codes[:, 32:48])
    index = codes[:, :32] | (high & 7).astype(np.uint16) << 8
    return _shifted(d * (2 * parts + 1).astype(np.float32), index, high >> 3)


def _decode_iq4_nl(codes: Array, scales: Array | None, layout: Layout) -> Array:
    result: Array = from_halves(codes[:, :2]) * LEVELS[unpair(codes[:, 2:], 16)]
    return result


def _decode_iq4_xs(codes: Array, scales: Array | None, layout: Layout) -> Array:
    high = _words(codes[:, 2:4], np.uint16) >> np.arange(0, 16, 2, dtype=np.uint16) & 3
    scale = (_nibbles(codes[:, 4:8]) | high << 4).astype(np.float32) - np.float32(32)
    d = from_halves(codes[:, :2]) * scale
    parts: Array = LEVELS[unpair(codes[:, 8:], 16)].reshape(-1, 8, 32) * d[..., None]
    return parts.reshape(-1, 256)


_DECODERS: Final[dict[str, Decode]] = {
    "IQ1_S": _decode_iq1_s,
    "IQ1_M": _decode_iq1_m,
    "IQ2_XXS": _decode_iq2_xxs,
    "IQ2_XS": _decode_iq2_xs,
    "IQ2_S": _decode_iq2_s,
    "IQ3_XXS": _decode_iq3_xxs,
    "IQ3_S": _decode_iq3_s,
    "IQ4_NL": _decode_iq4_nl,
    "IQ4_XS": _decode_iq4_xs,
}
CODECS: Final = {name: Codec(None, decode) for name, decode in _DECODERS.items()}
