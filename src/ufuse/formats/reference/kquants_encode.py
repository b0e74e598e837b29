"""Encoders of the K-quants of GGUF: 256 elements, whose sub-blocks' scales are quantized too.

The bytes are those of ggml's `quantize_row_q*_K_ref`, and with weights of `quantize_row_q*_K_impl`
(ggml, src/ggml-quants.c).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..blocks import Array, Layout
from .codec import Encode
from .kquants_search import (
    NOTHING,
    ONE,
    ZERO,
    clamp,
    fit_affine,
    fit_in_turn,
    fit_scales,
    fit_symmetric,
    in_order,
    nearest,
    peak,
)

_ELEMENTS: Final = 256


def _elements_first(values: Array, size: int) -> Array:
    """Return (n, 256) elements as (size, n, sub-blocks)."""
    subs = values.reshape(len(values), _ELEMENTS // size, size)
    return np.ascontiguousarray(np.moveaxis(subs, 2, 0))


def _elements_last(values: Array) -> Array:
    """Return (size, n, sub-blocks) as (n, 256)."""
    return np.moveaxis(values, 0, 2).reshape(-1, _ELEMENTS)


# --- what is stored -------------------------------------------------------------------------------


def _halves(values: Array) -> tuple[Array, Array]:
    """Return the bytes (n, 2) of float16, and what they keep as (n, 1) in float32."""
    codes = values.astype(np.float16).reshape(-1, 1)
    return codes.view(np.uint8), codes.astype(np.float32)


def _pack(levels: Array, run: int, count: int, start: int = 0) -> Array:
    """Return bytes of `count` bits, from bit `start` on, of levels that are `run` apart."""
    blocks, elements = levels.shape
    fields = levels >> start & ((1 << count) - 1)
    fields = fields.reshape(blocks, elements * count // (8 * run), 8 // count, run)
    shifts = np.arange(0, 8, count).reshape(-1, 1)
    packed: Array = np.bitwise_or.reduce(fields << shifts, axis=2)
    return packed.reshape(blocks, elements * count // 8).astype(np.uint8)


def _requantized(x: Array, step: Array, shift: Array | None, kept: Array, span: range) -> Array:
    """Return the levels (n, 256) from 0 on; where the step is zero those of the search stay."""
    moved = x if shift is None else x + shift
    levels = clamp(nearest(moved / step), span[0], span[-1]) - span[0]
    return _elements_last(np.where(step == 0, kept, levels))


def _variance(x: Array, times: int) -> Array:
    """Return `times` the mean of squares of each block, (n, 1)."""
    squares = in_order(np.ascontiguousarray((x * x).T))
    return (np.float32(times) * squares / np.float32(_ELEMENTS)).reshape(-1, 1)


def _weighted(x: Array, importance: Array, variance: Array) -> tuple[Array, Array]:
    """Return the weights llama.cpp makes of an importance matrix, and their sums."""
    weights = importance * np.sqrt(variance + x * x)
    return weights, in_order(weights)


# --- Q2_K, Q4_K, Q5_K: scales and smallest values -------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Affine:
    size: int  # of a sub-block
    top: int  # levels are 0 to this
    scale_top: int  # and scales
    tries: tuple[float, float, int]
    absolute: bool
    variances: int

    def plain_weights(self, x: Array) -> Array:
        if self.absolute:
            return np.abs(x)
        return np.sqrt(in_order(x * x) / np.float32(self.size)) + np.abs(x)

    def scales(self, scales: Array, weights: Array | None) -> tuple[Array, Array]:
        """Return what the scales (n, subs) are multiples of, (n,), and the multiples."""
        if weights is not None:
            return fit_scales(scales, weights, self.scale_top)
        top = np.float32(self.scale_top)
        most = np.zeros_like(scales[:, 0])
        for scale in scales.T:
            most = np.where(scale > most, scale, most)
        inverse = np.where(most > 0, top / most, ZERO).reshape(-1, 1)
        return np.where(most > 0, most / top, ZERO), nearest(inverse * scales) & 0xFF

    def encode(
        self, values: Array, importance: Array | None, stored: Callable[[Array, Array], None]
    ) -> tuple[Array, Array, Array, Array, Array]:
        """Return float16 scale and smallest value, their multiples as stored, and levels."""
        x = _elements_first(values, self.size)
        sums = None
        if importance is None:
            fit = fit_affine(x, self.plain_weights(x), self.top, self.tries, self.absolute)
        else:
            important = _elements_first(importance, self.size)
            weights, sums = _weighted(x, important, _variance(values, self.variances))
            fit = fit_affine(x, weights, self.top, (-0.9, 0.05, 36), False)
        scale, shift, kept = fit
        unit, scale_codes = self.scales(scale, sums)
        shift_unit, shift_codes = self.scales(shift, sums)
        stored(scale_codes, shift_codes)
        d, unit = _halves(unit)
        dmin, shift_unit = _halves(shift_unit)
        levels = _requantized(
            x,
            unit * scale_codes.astype(np.float32),
            shift_unit * shift_codes.astype(np.float32),
            kept,
            range(self.top + 1),
        )
        return d, dmin, scale_codes, shift_codes, levels


_Q2: Final = _Affine(16, 3, 15, (-0.5, 0.1, 15), True, 1)
_Q4: Final = _Affine(32, 15, 63, (-1.0, 0.1, 20), False, 2)
_Q5: Final = _Affine(32, 31, 63, (-0.5, 0.1, 15), False, 2)


def _encode_q2_k(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    def four_bits(scales: Array, shifts: Array) -> None:
        both = scales | shifts << 4
        scales[...] = both & 15
        shifts[...] = both >> 4 & 15

    d, dmin, scales, shifts, levels = _Q2.encode(x, weights, four_bits)
    both = (scales | shifts << 4).astype(np.uint8)
    return np.hstack([both, _pack(levels, 32, 2), d, dmin]), None


def _six_bits(codes: Array, clamped: bool) -> None:
    """Change codes to what of them is stored: too large ones run into their neighbours'."""
    if clamped:
        codes[...] = np.minimum(63, codes)
    whole, shared = codes[:, :4].copy(), codes[:, 4:].copy()
    codes[:, :4] = whole & 63
    codes[:, 4:] = shared & 15 | ((whole >> 6 | shared >> 4) & 3) << 4


def _pack_six_bits(scales: Array, shifts: Array) -> Array:
    """Return 12 bytes: 0 to 3 are whole, above them are the upper bits of 4 to 7."""
    return np.hstack(
        [
            scales[:, :4] | scales[:, 4:] >> 4 << 6,
            shifts[:, :4] | shifts[:, 4:] >> 4 << 6,
            scales[:, 4:] & 15 | (shifts[:, 4:] & 15) << 4,
        ]
    ).astype(np.uint8)


def _encode_q4_k(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    def stored(scales: Array, shifts: Array) -> None:
        _six_bits(scales, weights is None)
        _six_bits(shifts, weights is None)

    d, dmin, scales, shifts, levels = _Q4.encode(x, weights, stored)
    return np.hstack([d, dmin, _pack_six_bits(scales, shifts), _pack(levels, 32, 4)]), None


def _encode_q5_k(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    def stored(scales: Array, shifts: Array) -> None:
        _six_bits(scales, True)
        _six_bits(shifts, True)

    d, dmin, scales, shifts, levels = _Q5.encode(x, weights, stored)
    fifth, low = _pack(levels, 32, 1, 4), _pack(levels, 32, 4)
    return np.hstack([d, dmin, _pack_six_bits(scales, shifts), fifth, low]), None


# --- Q3_K, Q6_K: scales alone ---------------------------------------------------------------------


def _largest(scales: Array) -> Array:
    """Return of each row the scale that is largest in magnitude, with its sign, (n, 1)."""
    return peak(np.moveaxis(scales, 1, 0))[1].reshape(-1, 1)


def _encode_q3_k(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    rows = _elements_first(x, 16)
    if weights is None:
        scale, kept = fit_in_turn(rows, 4)
        largest = _largest(scale)
        inverse = np.float32(-32) / largest
        codes = nearest(inverse * scale).astype(np.int8).astype(np.int32)
        codes = np.where(largest != 0, clamp(codes, -32, 31) + 32, 0)
        unit = np.where(largest != 0, ONE / inverse, ZERO)
    else:
        important = _elements_first(weights, 16)
        weighted, sums = _weighted(rows, important, _variance(x, 2))
        scale, kept = fit_symmetric(rows, weighted, 4)
        unit, codes = fit_symmetric(np.moveaxis(scale, 1, 0), np.moveaxis(sums, 1, 0), 32)
        codes = np.moveaxis(codes, 0, 1)
    d, unit = _halves(unit)
    step = unit * (codes - 32).astype(np.float32)
    levels = _requantized(rows, step, None, kept, range(-4, 4))
    low = codes[:, :8] & 15 | (codes[:, 8:] & 15) << 4
    high = _pack(codes, 4, 2, 4)
    third, bits = _pack(levels, 32, 1, 2), _pack(levels, 32, 2)
    return np.hstack([third, bits, low.astype(np.uint8), high, d]), None


def _encode_q6_k(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    rows = _elements_first(x, 16)
    important = rows * rows if weights is None else _elements_first(weights, 16)
    scale, kept = fit_symmetric(rows, important, 32)
    largest = _largest(scale)
    inverse = np.float32(-128) / largest
    d, unit = _halves(ONE / inverse)
    codes = np.minimum(127, nearest(inverse * scale)).astype(np.int8)
    step = unit * codes.astype(np.float32)
    levels = _requantized(rows, step, None, kept, range(-32, 32))
    low, high = _pack(levels, 64, 4), _pack(levels, 32, 2, 4)
    blocks = np.hstack([low, high, codes.view(np.uint8), d])
    return np.where(np.abs(largest) < NOTHING, np.uint8(0), blocks), None


ENCODERS: Final[dict[str, Encode]] = {
    "Q2_K": _encode_q2_k,
    "Q3_K": _encode_q3_k,
    "Q4_K": _encode_q4_k,
    "Q5_K": _encode_q5_k,
    "Q6_K": _encode_q6_k,
}
