"""Moving averages of the extremes of batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from .extremes import Extremes
from .parameters import Array


class MovingAverage(Extremes):
    """Exponential moving averages of the extremes of each batch, as torch's observer of that name.

    Parameters
    ----------
    axis : int, optional
        One range per index of this axis; one for the tensor by default.
    block_size : int or tuple of int, optional
        One range per block of so many elements along `axis`, or, a number for each axis, per such
        block; the last of an axis may be shorter. All batches then have one shape.
    momentum : float, optional
        Weight of a batch, more than 0 and at most 1: ``average += momentum * (extreme - average)``,
        from the extremes of the first batch on. torch's ``averaging_constant``.

    Notes
    -----
    The order of the batches matters. To merge is as if the other's batches came now: the average
    of its first batch is kept for that. Averages are kept in float64: 40 bytes per range.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> observer = uf.observers.MovingAverage(momentum=0.5)
    >>> for largest in (1.0, 3.0):
    ...     _ = observer.update([0.0, largest])
    >>> [float(end) for end in observer.clip_range()]
    [0.0, 2.0]
    """

    momentum: float

    def __init__(self, *, axis: Any = None, block_size: Any = None, momentum: float = 0.01) -> None:
        if not 0 < momentum <= 1:
            raise ValueError(
                f"{self._named()}: argument 'momentum': expected more than 0 and at most 1, got "
                f"{momentum!r}"
            )
        self.momentum = float(momentum)
        super().__init__(axis=axis, block_size=block_size)

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "momentum": self.momentum}

    def _forget(self) -> None:
        super()._forget()
        self._begin(())

    def _begin(self, lanes: tuple[int, ...]) -> None:
        self._low = np.full(lanes, np.inf)
        self._high = np.full(lanes, -np.inf)
        self._first = np.zeros((2, *lanes))
        self._seen = np.zeros(lanes, np.int64)  # batches with an element of the lane

    @property
    def nbytes(self) -> int:
        return super().nbytes + self._first.nbytes + self._seen.nbytes

    def _fold(self, low: Array, high: Array) -> None:
        some = low <= high
        begun = self._seen > 0
        first = some & ~begun
        later = some & begun
        ends = np.stack([low, high]).astype(np.float64)
        kept = np.stack([self._low, self._high])
        self._first = np.where(first, ends, self._first)
        step = np.where(later, ends, 0) - np.where(later, kept, 0)
        kept = np.where(first, ends, kept + self.momentum * step)
        self._low, self._high = kept
        self._seen = self._seen + some

    def _join(self, other: Any) -> None:
        if self._shape is None:
            self._shape = other._shape
            self._begin(other._lanes())
        # The other's average has its first batch at full weight, where it would have met ours: what
        # is left of that weight is (1 - momentum) ** batches.
        mine, theirs = self._seen > 0, other._seen > 0
        both = mine & theirs
        left = (1 - self.momentum) ** other._seen
        kept = np.stack([self._low, self._high])
        new = np.stack([other._low, other._high])
        moved = left * (np.where(both, kept, 0) - np.where(both, other._first, 0))
        kept = np.where(both, new + moved, np.where(theirs, new, kept))
        self._low, self._high = kept
        self._first = np.where(mine, self._first, other._first)
        self._seen = self._seen + other._seen
