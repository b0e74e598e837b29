"""Histograms whose bins are as wide as a fixed part of the elements in them.

A bin is what float32 numbers with the same leading bits have in common. Nothing has to be known
beforehand: neither batches in another order nor outliers change which bin an element is in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from .. import executors
from .observer import refuse_infinite
from .parameters import Array
from .spread import Histograms, Spread


class TensorCounts:
    """Counts of one stream: a bin for each sign, exponent and first bits of the fraction."""

    FRACTION_BITS: Final = 7

    def __init__(self) -> None:
        self._counts = np.zeros(1 << (9 + self.FRACTION_BITS), np.int64)
        self._bits = 0
        self.low, self.high = np.float32(np.inf), np.float32(-np.inf)
        self.lanes: tuple[int, ...] = ()
        self.shape: tuple[int, ...] | None = ()

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

    def merge(self, function: str, other: TensorCounts) -> None:
        self._counts += other._counts
        self._extend(other.low, other.high, other._bits)

    @property
    def nbytes(self) -> int:
        return self._counts.nbytes

    def pieces(self) -> Iterator[Histograms]:
        """Return the one stream."""
        yield Histograms(np.zeros(1, int), [self._spread()])

    def _spread(self) -> Spread:
        if not self.low <= self.high:
            return Spread.nothing()
        positive, negative = self._counts.reshape(2, -1)
        used = np.flatnonzero(positive | negative)
        shift = 23 - self.FRACTION_BITS
        edges = np.stack([used, used + 1]).astype(np.uint32) << np.uint32(shift)
        with np.errstate(over="ignore"):
            inner, outer = edges.view(np.float32).astype(np.float64)
        outer[np.isinf(outer)] = 2.0**128
        points = self._bits & ((1 << shift) - 1) == 0
        low, high = float(self.low), float(self.high)
        return Spread(inner, outer, negative[used], positive[used], low, high, points)

    def __getstate__(self) -> dict[str, Any]:
        # Most bins are empty, of either sign alike.
        used = np.flatnonzero(self._counts)
        return {**self.__dict__, "_counts": (self._counts.size, used, self._counts[used])}

    def __setstate__(self, state: dict[str, Any]) -> None:
        size, used, counts = state["_counts"]
        self.__dict__.update(state)
        self._counts = np.zeros(size, np.int64)
        self._counts[used] = counts
