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

    @classmethod
    def nothing(cls) -> Spread:
        """Return what a stream without elements counts as."""
        none, zero = np.zeros(1, int), np.zeros(1)
        return cls(zero, zero, none, none, 0.0, 0.0, True)


class Histograms(NamedTuple):
    """Some streams that are counted: their numbers, and each of them."""

    numbers: Array
    spreads: list[Spread]


class Rows(NamedTuple):
    """Some streams whose elements are kept, as many of each.

    Attributes
    ----------
    numbers : ndarray
        Those of the streams.
    values : ndarray
        float32: of each stream one row, its elements from the smallest on, then NaN.
    exact : bool
        Whether they are the elements; else the nearest to 0 with the same leading 16 bits.
    low, high : ndarray
        float64: the smallest and the largest element of each stream; inf and -inf of none.
    """

    numbers: Array
    values: Array
    exact: bool
    low: Array
    high: Array

    @classmethod
    def of(cls, numbers: Array, kept: Array, low: Array, high: Array) -> Rows:
        """Return streams of rows of float32, or of their leading 16 bits."""
        exact = kept.dtype == np.float32
        if not exact:
            kept = (kept.astype(np.uint32) << np.uint32(16)).view(np.float32)
        ends = low.astype(np.float64), high.astype(np.float64)
        return cls(numbers, np.sort(kept, 1), exact, *ends)

    def intervals(self) -> tuple[Array, Array]:
        """Return between what each element is, float64: alike where it is known."""
        inner = self.values.astype(np.float64)
        if self.exact:
            return inner, inner
        outer = _next_of_16_bits(self.values)
        negative = np.signbit(inner)
        low, high = np.where(negative, outer, inner), np.where(negative, inner, outer)
        cut = _cut(low, high, low, self.low[:, None], self.high[:, None])
        # The smallest and the largest are known.
        count = np.count_nonzero(~np.isnan(self.values), 1)
        some = np.flatnonzero(count)
        for ends in (cut.low, cut.high):
            ends[some, 0] = self.low[some]
            ends[some, count[some] - 1] = self.high[some]
        return cut.low, cut.high

    @property
    def spreads(self) -> list[Spread]:
        """The streams, each by magnitude."""
        rows = zip(self.values, self.low.tolist(), self.high.tolist(), strict=True)
        return [self._spread(*row) for row in rows]

    def _spread(self, row: Array, low: float, high: float) -> Spread:
        values = row[~np.isnan(row)]
        if values.size == 0:
            return Spread.nothing()
        inner, which = np.unique(np.abs(values), return_inverse=True)
        negative = np.bincount(which[values < 0], minlength=inner.size)
        positive = np.bincount(which[values >= 0], minlength=inner.size)
        outer = inner.astype(np.float64) if self.exact else _next_of_16_bits(inner)
        known = inner.astype(np.float64)
        return Spread(known, outer, negative, positive, low, high, self.exact)


def _next_of_16_bits(x: Array) -> Array:
    """Return the next numbers away from 0 that have no more bits; float64."""
    bits = np.ascontiguousarray(x).view(np.uint32) + np.uint32(1 << 16)
    result = bits.view(np.float32).astype(np.float64)
    beyond = np.isinf(result)
    result[beyond] = np.copysign(2.0**128, result[beyond])
    return result


def _cut(low: Array, high: Array, count: Array, least: Any, most: Any) -> Cells:
    low, high = np.clip(low, least, most), np.clip(high, least, most)
    narrow = high - low <= _NARROW * np.maximum(np.abs(low), np.abs(high))
    return Cells(low, np.where(narrow, low, high), count.astype(np.float64))
