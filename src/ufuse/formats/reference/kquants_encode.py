"""Encoders of the K-quants of GGUF: 256 elements, whose sub-blocks' scales are quantized too.

The bytes are those of ggml's `quantize_row_q*_K_ref`, and with weights of `quantize_row_q*_K_impl`
(ggml, src/ggml-quants.c). Blocks are taken together; elements of a sub-block are the first axis, and
what ggml adds one by one is added row by row, so that every sum is rounded as ggml's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..blocks import Array, Layout
from .codec import Encode

_ELEMENTS: Final = 256
_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)
#: Magnitudes below count as zero to the searches for a scale alone.
_NOTHING: Final = np.float32(1e-15)


def nearest(values: Array) -> Array:
    """Return the nearest integers, ties to even, as int32.

    As ggml does it: in the low bits of the sum with 1.5 * 2**23. Of magnitudes above 2**22 those
    bits are something else, which is part of the format by now. NaN gives 0.
    """
    bits = (values + np.float32(12582912)).view(np.int32) & 0x7FFFFF
    return np.where(np.isnan(values), 0, bits - 0x400000).astype(np.int32)


def _clamp(levels: Array, low: int, high: int) -> Array:
    return np.maximum(low, np.minimum(high, levels))


def _in_order(terms: Array) -> Array:
    """Return the sum over the first axis, added one by one from zero."""
    total = np.zeros_like(terms[0])
    for term in terms:
        total = total + term
    return total


def _elements_first(values: Array, size: int) -> Array:
    """Return (n, 256) elements as (size, n, sub-blocks)."""
    subs = values.reshape(len(values), _ELEMENTS // size, size)
    return np.ascontiguousarray(np.moveaxis(subs, 2, 0))


def _elements_last(values: Array) -> Array:
    """Return (size, n, sub-blocks) as (n, 256)."""
    return np.moveaxis(values, 0, 2).reshape(-1, _ELEMENTS)


# --- searches: `x` has the elements of a sub-block as its first axis ------------------------------


def fit_affine(
    x: Array, weights: Array, top: int, tries: tuple[float, float, int], absolute: bool
) -> tuple[Array, Array, Array]:
    """Find a scale and a smallest value: x is about scale * level + low.

    Parameters
    ----------
    x, weights : ndarray of float32
        Elements and what their errors count.
    top : int
        Levels are 0 to `top`.
    tries : tuple
        First, step and last of what is added to `top` for the range to be divided by.
    absolute : bool
        Whether errors are magnitudes, or squares.

    Returns
    -------
    tuple of ndarray
        Scales, minus the smallest values, and levels in int32.
    """
    size = len(x)
    low, high = x[0], x[0]
    sum_w, sum_x = weights[0], weights[0] * x[0]
    for i in range(1, size):
        low = np.where(x[i] < low, x[i], low)
        high = np.where(x[i] > high, x[i], high)
        sum_w = sum_w + weights[i]
        sum_x = sum_x + weights[i] * x[i]
    low = np.where(low > 0, _ZERO, low)
    flat = high == low

    def levels_of(inverse: Array) -> Array:
        return _clamp(nearest(inverse * (x - low)), 0, top)

    def error_of(levels: Array, scale: Array, low: Array) -> Array:
        difference = scale * levels.astype(np.float32) + low - x
        return _in_order(weights * (np.abs(difference) if absolute else difference * difference))

    inverse = np.float32(top) / (high - low)
    scale = _ONE / inverse
    kept = levels_of(inverse)
    best = error_of(kept, scale, low)
    first, step, last = tries
    for k in range(last + 1):
        divisions = np.float32(first) + np.float32(step) * np.float32(k) + np.float32(top)
        levels = levels_of(divisions / (high - low))
        level = levels.astype(np.float32)
        sum_l = _in_order(weights * level)
        sum_l2 = _in_order(weights * level * level)
        sum_lx = _in_order(weights * level * x)
        determinant = sum_w * sum_l2 - sum_l * sum_l
        new_low = (sum_l2 * sum_x - sum_l * sum_lx) / determinant
        new_scale = (sum_w * sum_lx - sum_x * sum_l) / determinant
        above = new_low > 0  # then zero, and the scale alone is fitted
        new_low = np.where(above, _ZERO, new_low)
        new_scale = np.where(above, sum_lx / sum_l2, new_scale)
        error = error_of(levels, new_scale, new_low)
        better = ~flat & (determinant > 0) & (error < best)
        best = np.where(better, error, best)
        kept = np.where(better, levels, kept)
        scale = np.where(better, new_scale, scale)
        low = np.where(better, new_low, low)  # tries that follow start from it
    return np.where(flat, _ZERO, scale), -low, np.where(flat, 0, kept)


def _peak(x: Array) -> tuple[Array, Array]:
    """Return the largest magnitudes, and the first values that have them, with their signs."""
    most, value = np.zeros_like(x[0]), np.zeros_like(x[0])
    for row in x:
        more = np.abs(row) > most
        most = np.where(more, np.abs(row), most)
        value = np.where(more, row, value)
    return most, value


def fit_symmetric(x: Array, weights: Array, top: int) -> tuple[Array, Array]:
    """Find the best scale near -top / (the value largest in magnitude).

    Returns scales, and levels in int32 from 0 to 2 * top - 1, of which `top` stands for zero.
    """
    most, value = _peak(x)
    nothing = most < _NOTHING

    def attempt(divisions: np.float32) -> tuple[Array, Array, Array]:
        levels = _clamp(nearest(-divisions / value * x), -top, top - 1)
        level = levels.astype(np.float32)
        return levels, _in_order(weights * x * level), _in_order(weights * level * level)

    kept, with_x, squares = attempt(np.float32(top))
    scale = np.where(squares != 0, with_x / squares, _ZERO)
    best = scale * with_x
    for k in range(-9, 10):
        if k == 0:
            continue
        levels, with_x, squares = attempt(np.float32(top) + np.float32(0.1) * np.float32(k))
        better = (squares > 0) & (with_x * with_x > best * squares)
        kept = np.where(better, levels, kept)
        scale = np.where(better, with_x / squares, scale)
        best = np.where(better, scale * with_x, best)
    return np.where(nothing, _ZERO, scale), np.where(nothing, 0, kept + top)


def fit_in_turn(x: Array, top: int) -> tuple[Array, Array]:
    """Find scales by improving one level after the other, up to five times over.

    Returns the same as `fit_symmetric`. Weights are the squares of the values.
    """
    most, value = _peak(x)
    nothing = most < _NOTHING
    weights = x * x
    levels = _clamp(nearest(np.float32(-top) / value * x), -top, top - 1).astype(np.float32)
    with_x = _in_order(weights * x * levels)
    squares = _in_order(weights * levels * levels)
    for _ in range(5):
        changed = False
        for i, (v, w) in enumerate(zip(x, weights, strict=True)):
            rest_x = with_x - w * v * levels[i]
            rest = squares - w * levels[i] * levels[i]
            found = _clamp(nearest(v * rest / rest_x), -top, top - 1).astype(np.float32)
            better = (rest_x > 0) & (found != levels[i]) & ~nothing
            rest_x = rest_x + w * v * found
            rest = rest + w * found * found
            better &= (rest > 0) & (rest_x * rest_x * squares > with_x * with_x * rest)
            levels[i] = np.where(better, found, levels[i])
            with_x = np.where(better, rest_x, with_x)
            squares = np.where(better, rest, squares)
            changed |= bool(better.any())
        if not changed:
            break
    some = ~nothing & (squares > 0)
    scale = np.where(some, with_x / squares, _ZERO)
    return scale, np.where(nothing, 0, levels.astype(np.int32) + top)


def fit_scales(scales: Array, weights: Array, top: int) -> tuple[Array, Array]:
    """Quantize scales, few if any of which are negative; a sub-block's is of its weight.

    Returns what they are multiples of, and the multiples in int32, of which a byte is kept.
    """
    x = np.moveaxis(scales, 1, 0)
    w = np.moveaxis(weights, 1, 0)
    most = np.zeros_like(x[0])
    for row in x:
        most = np.where(most > row, most, row)
    nothing = most < _NOTHING

    def error_of(inverse: Array, levels: Array) -> Array:
        difference = x - _ONE / inverse * levels.astype(np.float32)
        return _in_order(w * difference * difference)

    inverse = np.float32(top) / most
    best = error_of(inverse, nearest(inverse * x) & 0xFF)
    for k in range(-4, 5):
        if k == 0:
            continue
        tried = (np.float32(0.1) * np.float32(k) + np.float32(top)) / most
        error = error_of(tried, np.minimum(top, nearest(tried * x)))
        better = error < best
        best = np.where(better, error, best)
        inverse = np.where(better, tried, inverse)
    levels = np.minimum(top, nearest(inverse * x))
    level = levels.astype(np.float32)
    with_x, squares = _in_order(w * x * level), _in_order(w * level * level)
    levels &= 0xFF
    for _ in range(5):
        changed = False
        for i, (v, weight) in enumerate(zip(x, w, strict=True)):
            level = levels[i].astype(np.float32)
            rest_x = with_x - weight * v * level
            rest = squares - weight * level * level
            found = np.minimum(top, nearest(v * rest / rest_x))
            better = (rest_x > 0) & (rest > 0) & (found != levels[i])
            level = found.astype(np.float32)
            rest_x = rest_x + weight * v * level
            rest = rest + weight * level * level
            better &= rest_x * rest_x * squares > with_x * with_x * rest
            levels[i] = np.where(better, found & 0xFF, levels[i])
            with_x = np.where(better, rest_x, with_x)
            squares = np.where(better, rest, squares)
            changed |= bool(better.any())
        if not changed:
            break
    unit = np.where(~nothing & (squares > 0), with_x / squares, _ZERO)
    return unit, np.moveaxis(np.where(nothing, 0, levels), 0, 1)


# --- what is stored ---------------------------------------------------------------------------------


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
    packed = np.bitwise_or.reduce(fields << shifts, axis=2)
    return packed.reshape(blocks, elements * count // 8).astype(np.uint8)


def _requantized(x: Array, step: Array, shift: Array | None, kept: Array, span: range) -> Array:
    """Return the levels (n, 256) from 0 on; where the step is zero those of the search stay."""
    moved = x if shift is None else x + shift
    levels = _clamp(nearest(moved / step), span[0], span[-1]) - span[0]
    return _elements_last(np.where(step == 0, kept, levels))


def _variance(x: Array, times: int) -> Array:
    """Return `times` the mean of squares of each block, (n, 1)."""
    squares = _in_order(np.ascontiguousarray((x * x).T))
    return (np.float32(times) * squares / np.float32(_ELEMENTS)).reshape(-1, 1)


def _weighted(x: Array, importance: Array, variance: Array) -> tuple[Array, Array]:
    """Return the weights llama.cpp makes of an importance matrix, and their sums."""
    weights = importance * np.sqrt(variance + x * x)
    return weights, _in_order(weights)


# --- Q2_K, Q4_K, Q5_K: scales and smallest values ---------------------------------------------------


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
        return np.sqrt(_in_order(x * x) / np.float32(self.size)) + np.abs(x)

    def scales(self, scales: Array, weights: Array | None) -> tuple[Array, Array]:
        """Return what the scales (n, subs) are multiples of, (n,), and the multiples."""
        if weights is not None:
            return fit_scales(scales, weights, self.scale_top)
        top = np.float32(self.scale_top)
        most = np.zeros_like(scales[:, 0])
        for scale in scales.T:
            most = np.where(scale > most, scale, most)
        inverse = np.where(most > 0, top / most, _ZERO).reshape(-1, 1)
        return np.where(most > 0, most / top, _ZERO), nearest(inverse * scales) & 0xFF

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


# --- Q3_K, Q6_K: scales alone -----------------------------------------------------------------------


def _largest(scales: Array) -> Array:
    """Return of each row the scale that is largest in magnitude, with its sign, (n, 1)."""
    return _peak(np.moveaxis(scales, 1, 0))[1].reshape(-1, 1)


def _encode_q3_k(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    rows = _elements_first(x, 16)
    if weights is None:
        scale, kept = fit_in_turn(rows, 4)
        largest = _largest(scale)
        inverse = np.float32(-32) / largest
        codes = nearest(inverse * scale).astype(np.int8).astype(np.int32)
        codes = np.where(largest != 0, _clamp(codes, -32, 31) + 32, 0)
        unit = np.where(largest != 0, _ONE / inverse, _ZERO)
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
    d, unit = _halves(_ONE / inverse)
    codes = np.minimum(127, nearest(inverse * scale)).astype(np.int8)
    step = unit * codes.astype(np.float32)
    levels = _requantized(rows, step, None, kept, range(-32, 32))
    low, high = _pack(levels, 64, 4), _pack(levels, 32, 2, 4)
    blocks = np.hstack([low, high, codes.view(np.uint8), d])
    return np.where(np.abs(largest) < _NOTHING, np.uint8(0), blocks), None


ENCODERS: Final[dict[str, Encode]] = {
    "Q2_K": _encode_q2_k,
    "Q3_K": _encode_q3_k,
    "Q4_K": _encode_q4_k,
    "Q5_K": _encode_q5_k,
    "Q6_K": _encode_q6_k,
}
