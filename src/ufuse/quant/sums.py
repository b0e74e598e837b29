"""Sums over numbers and what their codes stand for, and the measures made of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..fusion.program import Program

Array = NDArray[Any]

#: Elements that the reference decodes at a time.
_CHUNK = 1 << 18


class QuantizationError(NamedTuple):
    """What `quantization_error` gives: float64, 0-d or one per index of an axis.

    Attributes
    ----------
    sqnr_db : ndarray
        Signal to quantization noise, ``10 log10(sum(x**2) / sum((x - y)**2))``, in decibels;
        infinite where there is no error, NaN of zeros alone.
    mse, mae, max_abs : ndarray
        Mean squared, mean absolute and largest absolute error; NaN of no elements.
    cosine : ndarray
        Cosine of the angle between x and y: 1 where they point the same way; NaN where one is 0.
    """

    sqnr_db: Any
    mse: Any
    mae: Any
    max_abs: Any
    cosine: Any


def measures(sums: Array, count: int) -> QuantizationError:
    """Return what sums of so many elements come to, for each row of them."""
    xx, yy, xy, squares, magnitudes, largest = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return QuantizationError(
            10 * np.log10(xx / squares),
            squares / count,
            magnitudes / count,
            np.where(np.isnan(magnitudes) | (count == 0), np.nan, largest),
            xy / np.sqrt(xx * yy),
        )


def joined(one: Array, other: Array) -> Array:
    """Return the sums of both; of the largest errors the larger."""
    total = one + other
    total[..., 5] = np.maximum(one[..., 5], other[..., 5])
    return total


def sums_of(program: Program, x: Array, inputs: list[Array], lanes: int) -> Array:
    """Return the sums of x beside what a program makes of its inputs, for each of the lanes."""
    inputs = [a.reshape((1,) * x.ndim) if a.ndim == 0 else a for a in inputs]
    if executors.native is not None:
        found: Array = executors.native.distortion(program, x, inputs, lanes)
        return found
    kept = int(np.prod(x.shape[:lanes], dtype=np.int64))
    sums = np.zeros((kept, 6))
    rest = x.shape[lanes:]
    step = max(1, _CHUNK // max(1, int(np.prod(rest[1:], dtype=np.int64))))
    full = [np.broadcast_to(a, x.shape) for a in inputs]
    for lane, at in enumerate(np.ndindex(x.shape[:lanes])):
        for first in range(0, rest[0] if rest else 1, step):
            cut = (*at, slice(first, first + step)) if rest else at
            numbers = x[cut]
            decoded = np.empty(numbers.shape, x.dtype)
            executors.run_program(program, [np.asarray(a[cut]) for a in full], [decoded])
            sums[lane] = joined(sums[lane], _compared(np.asarray(numbers), decoded))
    return sums


def _compared(x: Array, y: Array) -> Array:
    """Return the sums of two contiguous or strided arrays, in float64; pairs are two numbers."""
    a, b = (_numbers(v).astype(np.float64) for v in (x, y))
    with np.errstate(all="ignore"):
        e = a - b
        size = np.abs(e)
        return np.array([a @ a, b @ b, a @ b, e @ e, size.sum(), np.fmax.reduce(size, initial=0)])


def _numbers(array: Array) -> Array:
    """Return the float32 numbers of an array of them, or of pairs of them, in one row."""
    pairs = array.dtype.itemsize == 8
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.float32) if pairs else flat
