"""Elements as a histogram has them: spread evenly over the bins between known extremes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: An interval so narrow, relative to where it is, has its elements at one point: differences of
#: what is integrated up to its ends would be rounding alone.
_NARROW = 1e-9


class Cells(NamedTuple):
    """Intervals, rising, and how many elements are in each; they are points where low == high."""

    low: Array
    high: Array
    number: Array

    def below(self, x: Array) -> Array:
        """Return how many elements are less than each of `x`, which rise; fractions of bins."""
        before = np.concatenate([[0.0], np.cumsum(self.number)])
        points = self.low == self.high
        if points.all():
            return before[np.searchsorted(self.low, x)]
        ends = np.stack([self.low, self.high], 1).reshape(-1)
        sums = np.stack([before[:-1], before[1:]], 1).reshape(-1)
        return np.asarray(np.interp(x, ends, sums))

    def at_rank(self, rank: float, low: float, high: float) -> float:
        """Return the element of a rank (0 for the smallest), between neighbours for fractions.

        The elements of a bin are evenly spaced in it; the first and last of all are known.
        """
        floor = int(rank)
        share = rank - floor
        first = self._element(floor, low, high)
        return (
            first if share == 0 else first + share * (self._element(floor + 1, low, high) - first)
        )

    def _element(self, rank: int, low: float, high: float) -> float:
        ends = np.cumsum(self.number)
        if rank >= ends[-1] - 1:
            return high
        if rank <= 0:
            return low
        cell = int(np.searchsorted(ends, rank, "right"))
        place = (rank - (ends[cell] - self.number[cell]) + 0.5) / self.number[cell]
        return float(self.low[cell] + place * (self.high[cell] - self.low[cell]))


class Spread(NamedTuple):
    """Elements by magnitude: bins of equal magnitudes, and how many of either sign are in each.

    Attributes
    ----------
    inner, outer : ndarray
        float64: the smallest and largest magnitude of each bin, rising; bins may be apart.
    negative, positive : ndarray
        int64: counts.
    low, high : float
        The smallest and the largest element.
    points : bool
        Whether each element is its bin's `inner` magnitude, exactly.
    """

    inner: Array
    outer: Array
    negative: Array
    positive: Array
    low: float
    high: float
    points: bool

    def signed(self) -> Cells:
        """Return the intervals from the most negative to the largest, cut at the extremes."""
        outer = self.inner if self.points else self.outer
        minus, plus = self.negative > 0, self.positive > 0
        low = np.concatenate([-outer[minus][::-1], self.inner[plus]])
        high = np.concatenate([-self.inner[minus][::-1], outer[plus]])
        count = np.concatenate([self.negative[minus][::-1], self.positive[plus]])
        return _cut(low, high, count, self.low, self.high)

    def folded(self) -> Cells:
        """Return the intervals of magnitudes."""
        outer = self.inner if self.points else self.outer
        return _cut(self.inner, outer, self.negative + self.positive, 0.0, self.largest)

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(-self.low, self.high)


def _cut(low: Array, high: Array, count: Array, least: float, most: float) -> Cells:
    low, high = np.clip(low, least, most), np.clip(high, least, most)
    narrow = high - low <= _NARROW * np.maximum(np.abs(low), np.abs(high))
    return Cells(low, np.where(narrow, low, high), count.astype(np.float64))
