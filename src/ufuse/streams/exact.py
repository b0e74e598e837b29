"""Sums without rounding: integers in a unit so small that every term is a multiple of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from .. import executors
from ..reduce.request import Array

if TYPE_CHECKING:
    from fractions import Fraction

#: Every float64 is a multiple of 2**-1074, its square one of 2**-2148.
_UNIT: Final = 1074
#: Elements at a time: sums of their parts of 37 bits are exact in float64, where np.bincount adds.
_BLOCK: Final = 1 << 15
_EXPONENTS: Final = 0x7FF


class ExactSums(NamedTuple):
    """Sums of lanes, in any order the same; `merge` adds those of other elements.

    Attributes
    ----------
    units : numpy.ndarray of Python int
        One per lane: the sum of what is finite, in units of ``2**-scale``.
    scale : int
    nans, highs, lows : numpy.ndarray of int64
        How many were NaN, infinity and minus infinity.
    """

    units: Array
    scale: int
    nans: Array
    highs: Array
    lows: Array

    def merge(self, other: ExactSums) -> ExactSums:
        scale = max(self.scale, other.scale)
        return ExactSums(
            (self.units << (scale - self.scale)) + (other.units << (scale - other.scale)),
            scale,
            self.nans + other.nans,
            self.highs + other.highs,
            self.lows + other.lows,
        )

    def fractions(self) -> list[Fraction]:
        """Return the finite sums as they are."""
        from fractions import Fraction  # slow to import

        return [Fraction(int(units), 1 << self.scale) for units in self.units]

    def special(self, *, skip_nan: bool) -> Array:
        """Return 0 for lanes whose sum is finite, and else the infinity or NaN that it is."""
        found = np.zeros(self.units.shape)
        found[self.highs > 0] = np.inf
        found[self.lows > 0] = -np.inf
        nan = (self.highs > 0) & (self.lows > 0)
        found[nan if skip_nan else nan | (self.nans > 0)] = np.nan
        return found


def exact_sum_partials(values: Array, power: int = 1) -> ExactSums:
    """Sum the elements of each row, or their squares, exactly.

    Parameters
    ----------
    values : numpy.ndarray
        Of shape (lanes, elements), C-contiguous if floats: bool, integers, float32 or float64, in
        native byte order.
    power : int, optional
        1 for sums of the elements, 2 for their squares.
    """
    if values.dtype.kind in "biu":
        none = np.zeros(len(values), np.int64)
        return ExactSums(_integers(values, power), 0, none, none, none)
    if executors.backend() == "native":
        from .. import _core

        limbs, specials, scale = _core.exact_sums(values, power == 2)
        units = np.full(len(values), 0, dtype=object)
        for place in np.flatnonzero(limbs.any(axis=0)):
            units += limbs[:, place].astype(object) << (32 * int(place))
        return ExactSums(units, scale, *specials.T.copy())
    return _by_numpy(values, power)


def _by_numpy(values: Array, power: int) -> ExactSums:
    if values.dtype == np.float32 and power == 2:
        # Squares of 24 bits are exact in float64; of infinities and NaN they are what they are.
        with np.errstate(invalid="ignore"):
            values, power = np.square(values, dtype=np.float64), 1
    lanes = len(values)
    units = np.full(lanes, 0, dtype=object)
    rows = max(1, _BLOCK // max(1, values.shape[1]))
    for first in range(0, lanes, rows):
        for start in range(0, values.shape[1], _BLOCK):
            block = values[first : first + rows, start : start + _BLOCK]
            units[first : first + rows] += _floats(block.astype(np.float64, copy=False), power)
    infinite = np.abs(values) if power == 2 else values
    return ExactSums(
        units,
        _UNIT * power,
        np.count_nonzero(np.isnan(values), axis=1),
        np.count_nonzero(infinite == np.inf, axis=1),
        np.count_nonzero(infinite == -np.inf, axis=1),
    )


def _integers(values: Array, power: int) -> Array:
    if power == 2 and values.dtype.itemsize == 8:
        big = values.astype(object)
        return np.asarray(np.add.reduce(big * big, axis=1, initial=0), dtype=object)
    wide = values.astype(np.uint64 if values.dtype.kind == "u" else np.int64)
    if power == 2:
        wide = np.square(wide).view(np.uint64)  # of 32 bits: no more than 64
    high = np.add.reduce(wide >> wide.dtype.type(32), axis=1)
    low = np.add.reduce(wide & wide.dtype.type(0xFFFFFFFF), axis=1)
    return np.asarray((high.astype(object) << 32) + low.astype(object), dtype=object)


def _floats(values: Array, power: int) -> Array:
    """Sum parts of the mantissas of each lane and exponent, and put them together."""
    bits = np.ascontiguousarray(values).view(np.int64)
    exponents = (bits >> 52) & _EXPONENTS
    mantissas = bits & ((1 << 52) - 1)
    mantissas[exponents > 0] |= 1 << 52
    mantissas[exponents == _EXPONENTS] = 0
    exponents = np.maximum(exponents, 1) - 1  # of the last bit, in units
    exponents[mantissas == 0] = exponents.min(initial=_EXPONENTS, where=mantissas != 0)
    least = int(exponents.min())
    span = int(exponents.max()) - least + 1
    cells = (exponents - least + span * np.arange(len(values))[:, None]).ravel()

    def sums(part: Array) -> Array:
        found = np.bincount(cells, part.ravel().astype(np.float64), len(values) * span)
        return found.astype(np.int64).reshape(len(values), span)

    total = np.full(len(values), 0, dtype=object)
    for part, shift in _parts(mantissas, bits < 0, power):
        cell = sums(part)
        for column in np.flatnonzero(cell.any(axis=0)):
            total += cell[:, column].astype(object) << (power * (int(column) + least) + shift)
    return total


def _parts(mantissas: Array, negative: Array, power: int) -> list[tuple[Array, int]]:
    """Split mantissas, or their squares, into integers of at most 37 bits."""
    if power == 1:
        signed = np.where(negative, -mantissas, mantissas)
        return [(signed >> 26, 26), (signed & ((1 << 26) - 1), 0)]
    mask = (1 << 18) - 1
    a, b, c = mantissas >> 36, (mantissas >> 18) & mask, mantissas & mask
    return [(a * a, 72), (2 * a * b, 54), (2 * a * c + b * b, 36), (2 * b * c, 18), (c * c, 0)]
