"""Ranges between percentiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from .counted import Counted
from .parameters import Array, CodeKind
from .spread import Histograms, Rows, Spread


class Percentile(Counted):
    """A range that leaves out the elements furthest from 0, or at both ends.

    Parameters
    ----------
    percentile : float, optional
        How many of a hundred elements are in the range, more than 0 and at most 100. Symmetric, it
        ends at that percentile of the magnitudes; else half of the others are left out at each end:
        99.99 goes from percentile 0.005 to percentile 99.995.
    axis : int, optional
        One range per index of this axis, or the axis that blocks run along; one range for the
        tensor by default.
    block_size : int or tuple of int, optional
        One range per block of so many elements along `axis`, or, a number for each axis, per such
        block; the last of an axis may be shorter. All batches then have one shape.
    memory : int, optional
        Bytes that ranges per index or block may take, 64 MiB by default. A batch that would need
        more is refused.

    Notes
    -----
    What is between the elements next to it in rank, as `numpy.percentile`, but for the place of an
    element within its bin: off by less than 1/128 of the result, per axis 1/32, and mostly far
    less. Percentiles 0 and 100 are exact.

    Merging, and any order of batches, give the same bits. Memory: 512 KiB; per index or block the
    elements themselves while they are few, of which percentiles are exact, then 5 KiB. See
    ``docs/calibration.md``.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> observer = uf.observers.Percentile(99)
    >>> _ = observer.update(np.arange(-1000.0, 1001.0)).update([1e9])
    >>> low, high = observer.clip_range("uint8")
    >>> round(float(low)), round(float(high))
    (-990, 991)
    """

    percentile: float

    def __init__(
        self,
        percentile: float = 99.99,
        *,
        axis: Any = None,
        block_size: Any = None,
        memory: int | None = None,
    ) -> None:
        try:
            fits = bool(0 < percentile <= 100)
        except (TypeError, ValueError):  # an array
            raise TypeError(
                f"{self._named()}: argument 'percentile': expected a number, got {percentile!r}"
            ) from None
        if not fits:
            raise ValueError(
                f"{self._named()}: argument 'percentile': expected more than 0 and at most 100, "
                f"got {percentile!r}"
            )
        self.percentile = float(percentile)
        super().__init__(axis=axis, block_size=block_size, memory=memory)

    def _arguments(self) -> dict[str, Any]:
        return {"percentile": self.percentile, **super()._arguments()}

    def _ranges_of(self, piece: Rows | Histograms, kind: CodeKind) -> tuple[Array, Array]:
        if isinstance(piece, Histograms) or not piece.exact:
            return super()._ranges_of(piece, kind)
        count = np.count_nonzero(~np.isnan(piece.values), 1)
        if kind.symmetric:
            end = _at_ranks(np.sort(np.abs(piece.values), 1), count, self.percentile / 100)
            return -end, end
        beyond = (100 - self.percentile) / 200
        return _at_ranks(piece.values, count, beyond), _at_ranks(piece.values, count, 1 - beyond)

    def _range_of(self, spread: Spread, kind: CodeKind) -> tuple[float, float]:
        if kind.symmetric:
            cells = spread.folded()
            last = float(cells.number.sum()) - 1
            end = cells.at_rank(self.percentile / 100 * last, 0.0, spread.largest)
            return -end, end
        cells = spread.signed()
        last = float(cells.number.sum()) - 1
        beyond = (100 - self.percentile) / 200
        low = cells.at_rank(beyond * last, spread.low, spread.high)
        return low, cells.at_rank((1 - beyond) * last, spread.low, spread.high)


def _at_ranks(rows: Array, count: Array, part: float) -> Array:
    """Return what is at that part of the first `count` elements of each row, which rise; 0 of none.

    Between the elements next to it in rank, as `numpy.percentile`.
    """
    rank = part * np.maximum(count - 1, 0)
    floor = rank.astype(np.int64)
    share = rank - floor
    next_one = np.minimum(floor + 1, np.maximum(count - 1, 0))
    below, above = (
        np.take_along_axis(rows, at[:, None], 1)[:, 0].astype(np.float64)
        for at in (floor, next_one)
    )
    found = below + share * (above - below)
    return np.where(count > 0, found, 0.0).astype(np.float32)
