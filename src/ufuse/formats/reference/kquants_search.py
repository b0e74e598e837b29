"""Searches for the scales of the K-quants, in plain NumPy.

Blocks are taken together; elements of a sub-block are the first axis, and what ggml adds one by one
is added row by row, so that every sum is rounded as ggml's (src/ggml-quants.c: `make_qkx2_quants`
and `make_qkx3_quants`, `make_qx_quants`, `make_q3_quants`, `make_qp_quants`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ..blocks import Array

ZERO: Final = np.float32(0)
ONE: Final = np.float32(1)
#: Magnitudes below count as zero to the searches for a scale alone.
NOTHING: Final = np.float32(1e-15)


def nearest(values: Array) -> Array:
    """Return the nearest integers, ties to even, as int32.

    As ggml does it: in the low bits of the sum with 1.5 * 2**23. Of magnitudes above 2**22 those
    bits are something else, which is part of the format by now. NaN gives 0.
    """
    bits = (values + np.float32(12582912)).view(np.int32) & 0x7FFFFF
    return np.where(np.isnan(values), 0, bits - 0x400000).astype(np.int32)


def clamp(levels: Array, low: int, high: int) -> Array:
    """Return levels from `low` to `high`."""
    clamped: Array = np.maximum(low, np.minimum(high, levels))
    return clamped


def in_order(terms: Array) -> Array:
    """Return the sum over the first axis, added one by one from zero."""
    total: Array = np.zeros_like(terms[0])
    for term in terms:
        total = total + term
    return total


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
    low = np.where(low > 0, ZERO, low)
    flat = high == low

    def levels_of(inverse: Array) -> Array:
        return clamp(nearest(inverse * (x - low)), 0, top)

    def error_of(levels: Array, scale: Array, low: Array) -> Array:
        difference = scale * levels.astype(np.float32) + low - x
        return in_order(weights * (np.abs(difference) if absolute else difference * difference))

    inverse = np.float32(top) / (high - low)
    scale = ONE / inverse
    kept = levels_of(inverse)
    best = error_of(kept, scale, low)
    first, step, last = tries
    for k in range(last + 1):
        divisions = np.float32(first) + np.float32(step) * np.float32(k) + np.float32(top)
        levels = levels_of(divisions / (high - low))
        level = levels.astype(np.float32)
        sum_l = in_order(weights * level)
        sum_l2 = in_order(weights * level * level)
        sum_lx = in_order(weights * level * x)
        determinant = sum_w * sum_l2 - sum_l * sum_l
        new_low = (sum_l2 * sum_x - sum_l * sum_lx) / determinant
        new_scale = (sum_w * sum_lx - sum_x * sum_l) / determinant
        above = new_low > 0  # then zero, and the scale alone is fitted
        new_low = np.where(above, ZERO, new_low)
        new_scale = np.where(above, sum_lx / sum_l2, new_scale)
        error = error_of(levels, new_scale, new_low)
        better = ~flat & (determinant > 0) & (error < best)
        best = np.where(better, error, best)
        kept = np.where(better, levels, kept)
        scale = np.where(better, new_scale, scale)
        low = np.where(better, new_low, low)  # tries that follow start from it
    return np.where(flat, ZERO, scale), -low, np.where(flat, 0, kept)


def peak(x: Array) -> tuple[Array, Array]:
    """Return largest magnitudes, and the first values that have them, with their signs."""
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
    most, value = peak(x)
    nothing = most < NOTHING

    def attempt(divisions: np.float32) -> tuple[Array, Array, Array]:
        levels = clamp(nearest(-divisions / value * x), -top, top - 1)
        level = levels.astype(np.float32)
        return levels, in_order(weights * x * level), in_order(weights * level * level)

    kept, with_x, squares = attempt(np.float32(top))
    scale = np.where(squares != 0, with_x / squares, ZERO)
    best = scale * with_x
    for k in range(-9, 10):
        if k == 0:
            continue
        levels, with_x, squares = attempt(np.float32(top) + np.float32(0.1) * np.float32(k))
        better = (squares > 0) & (with_x * with_x > best * squares)
        kept = np.where(better, levels, kept)
        scale = np.where(better, with_x / squares, scale)
        best = np.where(better, scale * with_x, best)
    return np.where(nothing, ZERO, scale), np.where(nothing, 0, kept + top)


def fit_in_turn(x: Array, top: int) -> tuple[Array, Array]:
    """Find scales by improving one level after the other, up to five times over.

    Returns the same as `fit_symmetric`. Weights are the squares of the values.
    """
    most, value = peak(x)
    nothing = most < NOTHING
    weights = x * x
    levels = clamp(nearest(np.float32(-top) / value * x), -top, top - 1).astype(np.float32)
    with_x = in_order(weights * x * levels)
    squares = in_order(weights * levels * levels)
    for _ in range(5):
        changed = False
        for i, (v, w) in enumerate(zip(x, weights, strict=True)):
            rest_x = with_x - w * v * levels[i]
            rest = squares - w * levels[i] * levels[i]
            found = clamp(nearest(v * rest / rest_x), -top, top - 1).astype(np.float32)
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
    scale = np.where(some, with_x / squares, ZERO)
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
    nothing = most < NOTHING

    def error_of(inverse: Array, levels: Array) -> Array:
        difference = x - ONE / inverse * levels.astype(np.float32)
        return in_order(w * difference * difference)

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
    with_x, squares = in_order(w * x * level), in_order(w * level * level)
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
    unit = np.where(~nothing & (squares > 0), with_x / squares, ZERO)
    return unit, np.moveaxis(np.where(nothing, 0, levels), 0, 1)
