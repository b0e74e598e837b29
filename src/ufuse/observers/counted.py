"""What observers that keep histograms have in common."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .histograms import TensorCounts
from .lanes import LaneCounts
from .layout import read_size
from .observer import Observer, refuse_unlike
from .parameters import Array, CodeKind
from .spread import Histograms, Rows, Spread

#: Bytes that elements and counts may take, unless said otherwise.
MEMORY: Final = 64 << 20


class Counted(Observer):
    """Base of observers that keep elements, or count them by magnitude.

    Attributes
    ----------
    memory : int
        Bytes that ranges per index or block may take.
    """

    memory: int
    _counts: TensorCounts | LaneCounts

    def __init__(self, *, axis: Any, block_size: Any, memory: Any) -> None:
        self.memory = read_size(self._named(), "memory", memory, 1) or MEMORY
        super().__init__(axis=axis, block_size=block_size)

    def _arguments(self) -> dict[str, Any]:
        memory = None if self.memory == MEMORY else self.memory
        return {**super()._arguments(), "memory": memory}

    def _forget(self) -> None:
        whole = self._layout.is_whole
        self._counts = TensorCounts() if whole else LaneCounts(self._layout, self.memory)

    def _check(self, function: str, x: Array, axis: int | None) -> None:
        refuse_unlike(function, self._counts.fits(x, axis), x)

    def _take(self, function: str, x: Array, axis: int | None) -> int:
        return self._counts.take(function, x, axis)

    def _join(self, other: Any) -> None:
        self._counts.merge(self._named("merge"), other._counts)

    def _lanes(self) -> tuple[int, ...]:
        return self._counts.lanes

    def _batch_shape(self) -> tuple[int, ...] | None:
        return self._counts.shape

    def _extremes(self) -> tuple[Array, Array]:
        return np.asarray(self._counts.low), np.asarray(self._counts.high)

    @property
    def nbytes(self) -> int:
        return self._counts.nbytes

    def _range(self, kind: CodeKind) -> tuple[Array, Array]:
        low, high = np.empty((2, int(np.prod(self._lanes(), dtype=np.int64))), np.float32)
        for piece in self._counts.pieces():
            low[piece.numbers], high[piece.numbers] = self._ranges_of(piece, kind)
        return low.reshape(self._lanes()), high.reshape(self._lanes())

    def _ranges_of(self, piece: Rows | Histograms, kind: CodeKind) -> tuple[Array, Array]:
        """Return the ranges to quantize some streams in."""
        found = [self._range_of(spread, kind) for spread in piece.spreads]
        low, high = np.array(found, np.float64).astype(np.float32).T
        return low, high

    def _range_of(self, spread: Spread, kind: CodeKind) -> tuple[float, float]:
        """Return the range to quantize one stream in."""
        raise NotImplementedError
