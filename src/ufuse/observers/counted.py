"""What observers that keep histograms have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from .histograms import AxisCounts, TensorCounts
from .observer import Observer
from .parameters import Array, CodeKind
from .spread import Spread


class Counted(Observer):
    """Base of observers that count elements by magnitude, per tensor or per index of an axis."""

    _counts: TensorCounts | AxisCounts

    def _forget(self) -> None:
        self._counts = TensorCounts() if self.axis is None else AxisCounts()

    def _check(self, function: str, x: Array, axis: int | None) -> None:
        expected = self._counts.fits(x, axis)
        if expected:
            raise ValueError(
                f"{function}: argument 'batch': expected {expected}, as the first batch has, got "
                f"shape {x.shape}"
            )

    def _take(self, function: str, x: Array, axis: int | None) -> int:
        return self._counts.take(function, x, axis)

    def _join(self, other: Any) -> None:
        self._counts.merge(other._counts)

    def _lanes(self) -> tuple[int, ...]:
        return self._counts.lanes

    def _extremes(self) -> tuple[Array, Array]:
        return np.asarray(self._counts.low), np.asarray(self._counts.high)

    @property
    def nbytes(self) -> int:
        return self._counts.nbytes

    def _range(self, kind: CodeKind) -> tuple[Array, Array]:
        found = [self._range_of(spread, kind) for spread in self._counts.spreads()]
        ends = np.array(found, np.float64).astype(np.float32).T.reshape(2, *self._lanes())
        return ends[0], ends[1]

    def _range_of(self, spread: Spread, kind: CodeKind) -> tuple[float, float]:
        """Return the range to quantize one stream in."""
        raise NotImplementedError
