"""Histograms whose bins are as wide as a fixed part of the elements in them.

A bin is what float32 numbers with the same leading bits have in common. Nothing has to be known
beforehand: neither batches in another order nor outliers change which bin an element is in.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .. import executors
from .extremes import extremes_of
from .observer import refuse_infinite
from .parameters import Array
from .reference import Octaves
from .spread import Spread


class TensorCounts:
    """Counts of one stream: a bin for each sign, exponent and first bits of the fraction."""

    FRACTION_BITS: Final = 7

    def __init__(self) -> None:
        self._counts = np.zeros(1 << (9 + self.FRACTION_BITS), np.int64)
        self._bits = 0
        self.low, self.high = np.float32(np.inf), np.float32(-np.inf)
        self.lanes: tuple[int, ...] = ()

    def fits(self, x: Array, axis: int | None) -> str:
        """Return what was expected of a batch that does not fit; nothing where it does."""
        return ""

    def take(self, function: str, x: Array, axis: int | None) -> int:
        """Take in elements; return how many are NaN."""
        found = executors.of(__package__).count_leading(x, self._counts)
        if found is None:
            refuse_infinite(function, x)
        self._extend(found.low, found.high, found.bits)
        return int(found.nans)

    def _extend(self, low: Any, high: Any, bits: int) -> None:
        self.low = np.float32(min(self.low, low)) + np.float32(0)  # 0.0 also where it was -0.0
        self.high = np.float32(max(self.high, high)) + np.float32(0)
        self._bits |= bits

    def merge(self, other: TensorCounts) -> None:
        self._counts += other._counts
        self._extend(other.low, other.high, other._bits)

    @property
    def nbytes(self) -> int:
        return self._counts.nbytes

    def spreads(self) -> list[Spread]:
        """Return the one stream."""
        if not self.low <= self.high:
            return [_NOTHING]
        positive, negative = self._counts.reshape(2, -1)
        used = np.flatnonzero(positive | negative)
        shift = 23 - self.FRACTION_BITS
        edges = np.stack([used, used + 1]).astype(np.uint32) << np.uint32(shift)
        with np.errstate(over="ignore"):
            inner, outer = edges.view(np.float32).astype(np.float64)
        outer[np.isinf(outer)] = 2.0**128
        points = self._bits & ((1 << shift) - 1) == 0
        low, high = float(self.low), float(self.high)
        return [Spread(inner, outer, negative[used], positive[used], low, high, points)]

    def __getstate__(self) -> dict[str, Any]:
        # Most bins are empty, of either sign alike.
        used = np.flatnonzero(self._counts)
        return {**self.__dict__, "_counts": (self._counts.size, used, self._counts[used])}

    def __setstate__(self, state: dict[str, Any]) -> None:
        size, used, counts = state["_counts"]
        self.__dict__.update(state)
        self._counts = np.zeros(size, np.int64)
        self._counts[used] = counts


class AxisCounts:
    """Counts of one stream per index of an axis.

    Bins are those of `TensorCounts` with fewer bits of the fraction, of the largest exponents that
    any lane has; smaller elements share one bin. What an element that came early is counted as
    follows from the largest element of all, whenever that comes: the order makes no difference.
    """

    FRACTION_BITS: Final = 5
    OCTAVES: Final = 20
    #: What one index of the axis keeps.
    BYTES: Final = 8 * (2 * (OCTAVES << FRACTION_BITS) + 1) + 8
    #: All octaves are those of normal numbers.
    LEAST_TOP: Final = -126 + OCTAVES

    def __init__(self) -> None:
        self.lanes: tuple[int, ...] = ()
        self._begin(0)

    def _begin(self, lanes: int) -> None:
        bins = self.OCTAVES << self.FRACTION_BITS
        self.low = np.full(lanes, np.inf, np.float32)
        self.high = np.full(lanes, -np.inf, np.float32)
        # Of each lane: negative ones from the most negative on, those near 0, then positive ones.
        self._counts = np.zeros((lanes, 2 * bins + 1), np.int64)
        self._top = self.LEAST_TOP  # all elements are less than 2**top

    def fits(self, x: Array, axis: int | None) -> str:
        """Return what was expected of a batch that does not fit; nothing where it does."""
        assert axis is not None
        if self.lanes in ((), (x.shape[axis],)):
            return ""
        return f"{self.lanes[0]} indices on axis {axis}"

    def take(self, function: str, x: Array, axis: int | None) -> int:
        """Take in elements; return how many are NaN."""
        assert axis is not None
        low, high, nans = extremes_of(x, axis, None)
        some = low <= high
        if np.isinf(low[some]).any() or np.isinf(high[some]).any():
            refuse_infinite(function, x)
        if not self.lanes:
            self.lanes = (x.shape[axis],)
            self._begin(x.shape[axis])
        self._raise_top(_top_of(low[some], high[some]))
        bins = Octaves(self._top, self.OCTAVES, self.FRACTION_BITS)
        self._counts += executors.of(__package__).count_octaves(x, axis, bins)
        self._extend(low, high)
        return nans

    def _extend(self, low: Array, high: Array) -> None:
        self.low = np.minimum(self.low, low)
        self.high = np.maximum(self.high, high)

    def _raise_top(self, top: int) -> None:
        """Make room for elements less than ``2**top``."""
        if top > self._top:
            self._counts = _moved(self._counts, (top - self._top) << self.FRACTION_BITS)
            self._top = top

    def _magnitudes(self) -> Array:
        """Return the edges of the bins of positive elements."""
        octave, part = np.divmod(
            np.arange((self.OCTAVES << self.FRACTION_BITS) + 1), 1 << self.FRACTION_BITS
        )
        edges: Array = np.ldexp(
            1 + part / (1 << self.FRACTION_BITS), self._top - self.OCTAVES + octave
        )
        return edges

    def merge(self, other: AxisCounts) -> None:
        if not self.lanes:
            self.lanes = other.lanes
            self._begin(*other.lanes)
        self._raise_top(other._top)
        self._counts += _moved(other._counts, (self._top - other._top) << self.FRACTION_BITS)
        self._extend(other.low, other.high)

    @property
    def nbytes(self) -> int:
        return self._counts.nbytes + self.low.nbytes + self.high.nbytes

    def spreads(self) -> list[Spread]:
        """Return one stream per index of the axis."""
        edges = self._magnitudes()
        return [
            self._spread(edges, *lane)
            for lane in zip(self._counts, self.low.tolist(), self.high.tolist(), strict=True)
        ]

    def _spread(self, edges: Array, counts: Array, low: float, high: float) -> Spread:
        if not low <= high:
            return _NOTHING
        bins = counts.size // 2
        negative, positive = counts[:bins][::-1], counts[bins + 1 :]
        used = np.flatnonzero(negative | positive)
        # Those near 0 are at 0: less than a millionth of the largest.
        inner = np.concatenate([[0.0], edges[:-1][used]])
        outer = np.concatenate([[0.0], edges[1:][used]])
        minus = np.concatenate([[0], negative[used]])
        plus = np.concatenate([counts[bins : bins + 1], positive[used]])
        return Spread(inner, outer, minus, plus, low, high, False)


def _moved(counts: Array, step: int) -> Array:
    """Return the counts of bins that are `step` bins further from 0."""
    bins = counts.shape[1] // 2
    step = min(step, bins)
    moved = np.zeros_like(counts)
    moved[:, bins] = counts[:, bins - step : bins + step + 1].sum(1)
    moved[:, step:bins] = counts[:, : bins - step]
    moved[:, bins + 1 : 2 * bins + 1 - step] = counts[:, bins + 1 + step :]
    return moved


_NOTHING = Spread(np.zeros(1), np.zeros(1), np.zeros(1, int), np.zeros(1, int), 0.0, 0.0, True)


def _top_of(low: Array, high: Array) -> int:
    """Return the least exponent whose power of two is larger than all elements."""
    largest = max(float(-low.min()), float(high.max())) if low.size else 0.0
    return int(np.frexp(largest)[1]) if largest > 0 else -1000
