"""The codes and scales within the blocks of GGUF's kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..formats import gguf
from .coded import Coded

Array = NDArray[Any]


def _half(blocks: Array, at: int) -> Array:
    """Return the float16 of each block: its bytes `at` and the next."""
    return np.ascontiguousarray(blocks[..., at : at + 2]).view(np.float16)


def _nibbles(data: Array, run: int) -> Array:
    """Of each `run` bytes the low halves, then the high ones."""
    parts = data.reshape(*data.shape[:-1], -1, 1, run)
    both = np.concatenate([parts & 15, parts >> 4], axis=-2)
    return both.reshape(*data.shape[:-1], -1)


def _crumbs(data: Array) -> Array:
    """Of each 32 bytes the lowest two bits, then the next ones."""
    parts = data.reshape(*data.shape[:-1], -1, 1, 32)
    four = (parts >> np.arange(0, 8, 2, dtype=np.uint8)[:, None]) & 3
    return four.reshape(*data.shape[:-1], -1)


def _bits(data: Array) -> Array:
    """Bit j of all bytes, for each j in turn."""
    planes = (data[..., None, :] >> np.arange(8, dtype=np.uint8)[:, None]) & 1
    return planes.reshape(*data.shape[:-1], -1)


def _fifths(data: Array) -> Array:
    """Return the 32 bits of four bytes."""
    return np.unpackbits(data, axis=-1, bitorder="little")


def _six_bits(data: Array) -> tuple[Array, Array]:
    """Scales and least values of Q4_K and Q5_K, in 12 bytes."""
    first, second, third = data[..., :4], data[..., 4:8], data[..., 8:12]
    scale = np.concatenate([first & 63, (third & 15) | (first >> 6 << 4)], axis=-1)
    least = np.concatenate([second & 63, (third >> 4) | (second >> 6 << 4)], axis=-1)
    return scale, least


def _q3_scales(data: Array) -> Array:
    low = np.concatenate([data[..., :8] & 15, data[..., :8] >> 4], axis=-1)
    high = data[..., 8:12]
    tops = np.concatenate([(high >> s) & 3 for s in (0, 2, 4, 6)], axis=-1)
    scales: Array = (low | (tops << 4)).astype(np.int8) - np.int8(32)
    return scales


class _Kind(NamedTuple):
    """How a kind is read: functions of blocks, uint8 of shape (..., bytes).

    Scales (and offsets) give float16, or int8 and the float16 above; `zero` is None where codes are
    int8, and ``...`` where levels are no integers.
    """

    codes: Callable[[Array], Array]
    scales: Callable[[Array], tuple[Array, ...]]
    zero: Any = None
    offsets: Callable[[Array], tuple[Array, ...]] | None = None
    per_block: int = 1


def _signed(codes: Array, zero: int) -> Array:
    return (codes.astype(np.int16) - zero).astype(np.int8).view(np.uint8)


def _q6(b: Array) -> Array:
    low = _nibbles(b[..., :128], 64)
    high = _crumbs(b[..., 128:192])
    return _signed(low | (high << 4), 32)


def _q5k(b: Array) -> Array:
    codes: Array = _nibbles(b[..., 48:], 32) | (_bits(b[..., 16:48]) << 4)
    return codes


def _affine(which: int, at: int) -> Callable[[Array], tuple[Array, ...]]:
    """Scales, or least values negated, of Q4_K and Q5_K."""

    def read(b: Array) -> tuple[Array, ...]:
        d = _half(b, at)
        return _six_bits(b[..., 4:16])[which].astype(np.int8), -d if which else d

    return read


_KINDS: Final[Mapping[str, _Kind]] = {
    "Q4_0": _Kind(lambda b: _nibbles(b[..., 2:], 16), lambda b: (_half(b, 0),), 8),
    "Q4_1": _Kind(
        lambda b: _nibbles(b[..., 4:], 16),
        lambda b: (_half(b, 0),),
        0,
        lambda b: (_half(b, 2),),
    ),
    "Q5_0": _Kind(
        lambda b: _signed(_nibbles(b[..., 6:], 16) | (_fifths(b[..., 2:6]) << 4), 16),
        lambda b: (_half(b, 0),),
    ),
    "Q5_1": _Kind(
        lambda b: _nibbles(b[..., 8:], 16) | (_fifths(b[..., 4:8]) << 4),
        lambda b: (_half(b, 0),),
        None,
        lambda b: (_half(b, 2),),
    ),
    "Q8_0": _Kind(lambda b: b[..., 2:], lambda b: (_half(b, 0),)),
    "IQ4_NL": _Kind(lambda b: _nibbles(b[..., 2:], 16), lambda b: (_half(b, 0),), ...),
    "Q2_K": _Kind(
        lambda b: _crumbs(b[..., 16:80]),
        lambda b: ((b[..., :16] & 15).astype(np.int8), _half(b, 80)),
        0,
        lambda b: ((b[..., :16] >> 4).astype(np.int8), -_half(b, 82)),
        16,
    ),
    "Q3_K": _Kind(
        lambda b: _crumbs(b[..., 32:96]) | (_bits(b[..., :32]) << 2),
        lambda b: (_q3_scales(b[..., 96:108]), _half(b, 108)),
        4,
        per_block=16,
    ),
    "Q4_K": _Kind(lambda b: _nibbles(b[..., 16:], 32), _affine(0, 0), 0, _affine(1, 2), 8),
    "Q5_K": _Kind(_q5k, _affine(0, 0), None, _affine(1, 2), 8),
    "Q6_K": _Kind(_q6, lambda b: (b[..., 192:208].view(np.int8), _half(b, 208)), per_block=16),
}


def coded_of_gguf(record: gguf.GGUFArray) -> Coded | None:
    """Return a matrix, not empty, in the terms of `Coded`; None where it is of other numbers."""
    kind, (n, k) = _KINDS.get(record.kind), record.shape
    if kind is None:
        return None
    size, nbytes = gguf.block_size(record.kind), gguf.type_size(record.kind)

    def blocks(first: int, last: int) -> Array:
        data = np.ascontiguousarray(record.data[first:last])
        return data.reshape(last - first, k // size, nbytes)

    def codes(first: int, last: int) -> Array:
        found = kind.codes(blocks(first, last))
        return np.ascontiguousarray(found.reshape(last - first, k))

    def parts(read: Callable[[Array], tuple[Array, ...]] | None) -> tuple[Any, Any]:
        if read is None:
            return None, None
        found = [np.ascontiguousarray(part.reshape(n, -1)) for part in read(blocks(0, n))]
        return found[0], found[1] if len(found) > 1 else None

    levels = None
    if kind.zero is ...:
        levels = _levels(record.kind, nbytes)
    elif kind.zero is not None:
        levels = np.arange(16, dtype=np.float32) - np.float32(kind.zero)
    scale, super_scale = parts(kind.scales)
    offset, super_offset = parts(kind.offsets)
    return Coded(
        (n, k),
        size // kind.per_block,
        scale,
        codes,
        levels,
        None if kind.zero is ... else kind.zero,
        offset,
        super_scale,
        super_offset,
        kind.per_block,
    )


def _levels(kind: str, nbytes: int) -> Array:
    """Return what the sixteen codes stand for where the scale is 1."""
    block = np.zeros(nbytes, np.uint8)
    block[:2] = np.ones(1, np.float16).view(np.uint8)
    block[2:] = np.arange(nbytes - 2)
    levels: Array = gguf.dequantize(block, kind)[:16]
    return levels
