"""The range of least Kullback-Leibler divergence."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import executors
from .counted import Counted
from .errors import extremes_of
from .layout import read_size
from .parameters import Array, CodeKind
from .spread import Histograms, Rows, Spread


class Entropy(Counted):
    """The symmetric range of least divergence between the elements and their quantized values.

    Parameters
    ----------
    axis : int, optional
        One range per index of this axis, or the axis that blocks run along; one range for the
        tensor by default.
    block_size : int or tuple of int, optional
        One range per block of so many elements along `axis`, or, a number for each axis, per such
        block; the last of an axis may be shorter. All batches then have one shape.
    memory : int, optional
        Bytes that ranges per index or block may take, 64 MiB by default. A batch that would need
        more is refused.
    bins : int, optional
        Bins of equal width over both signs, odd, so that one of them is around 0.
    quantized_bins : int, optional
        Levels that they are quantized to.

    Notes
    -----
    TensorRT's method [1]_ in the form of onnxruntime's calibration: of ranges of `quantized_bins`
    to `bins` bins, what is beyond is counted at the ends; the bins in the range are merged into
    levels, each spread evenly over its bins; empty bins are smoothed; and the divergence of the
    first from the second is least. A range that reaches beyond the extremes ends there.

    The bins are made of a finer histogram, whose elements are spaced evenly in its bins: divergence
    is very sensitive to empty bins, and nearly flat around its least, so that the range can differ
    by some percent from that of the elements themselves, at nearly the same divergence.

    It needs many elements for each range, some 100,000; of fewer, and of blocks, take `MSE`. The
    levels are `quantized_bins` whatever the scheme is.

    Levels are of equal width, as those of integers are: for floating codes there is no range.

    Merging, and any order of batches, give the same bits. Memory: 512 KiB; per index or block the
    elements themselves while they are few, then 5 KiB. See ``docs/calibration.md``. To find the
    range takes some 10 ms, per index and block too.

    References
    ----------
    .. [1] S. Migacz, "8-bit inference with TensorRT", GTC 2017.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> x = np.random.default_rng(0).laplace(size=200_000).astype(np.float32)
    >>> low, high = uf.observers.Entropy().update(x).clip_range()
    >>> bool(7 < high < np.abs(x).max())
    True
    """

    bins: int
    quantized_bins: int

    def __init__(
        self,
        *,
        axis: Any = None,
        block_size: Any = None,
        bins: int = 2049,
        quantized_bins: int = 128,
        memory: int | None = None,
    ) -> None:
        function = self._named()
        self.quantized_bins = read_size(function, "quantized_bins", quantized_bins, 2) or 128
        self.bins = read_size(function, "bins", bins, self.quantized_bins + 1) or 2049
        if self.bins % 2 == 0 or self.quantized_bins % 2:
            raise ValueError(
                f"{function}: expected an odd number of bins, one of them around 0, and an even "
                f"one of quantized_bins; got bins={bins!r}, quantized_bins={quantized_bins!r}"
            )
        super().__init__(axis=axis, block_size=block_size, memory=memory)

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "bins": self.bins, "quantized_bins": self.quantized_bins}

    def _kind(self, function: str, dtype: Any, symmetric: Any) -> CodeKind:
        kind = super()._kind(function, dtype, symmetric)
        if kind.levels.fraction >= 0:
            raise TypeError(
                f"{function}: argument 'dtype': expected integer codes, whose levels are of equal "
                f"width, got {kind.name}; take MSE or Percentile for floating codes"
            )
        return kind

    def _ranges_of(self, piece: Rows | Histograms, kind: CodeKind) -> tuple[Array, Array]:
        # Of nothing but zeros any edges do.
        largest = [spread.largest or 1.0 for spread in piece.spreads]
        edges = np.linspace(-np.array(largest), largest, self.bins + 1, axis=1)
        counts = [_binned(*both) for both in zip(piece.spreads, edges, strict=True)]
        found = least_divergence(np.array(counts, np.float64), edges, self.quantized_bins)
        least, most = extremes_of(piece)
        low, high = np.maximum(found.low, least), np.minimum(found.high, most)
        return low.astype(np.float32), high.astype(np.float32)


def _binned(spread: Spread, edges: Array) -> Array:
    """Count the elements in uniform bins, as integers: of fractions no bin would be empty."""
    cells = spread.signed()
    if spread.points:
        return np.histogram(cells.low, edges, weights=cells.number)[0]
    # Element j of a bin of n is (j + 1/2) / n of it from its lower edge.
    below = np.floor(cells.below(edges) + 0.5)
    below[0], below[-1] = 0, cells.number.sum()
    return np.diff(below)


class Divergence(NamedTuple):
    """Ranges, and what they cost."""

    low: Array
    high: Array
    divergence: Array


def least_divergence(counts: Array, edges: Array, quantized_bins: int) -> Divergence:
    """Return the ranges around the middle bin whose quantized counts diverge least from all.

    Parameters
    ----------
    counts, edges : ndarray
        Histograms of bins of equal width, along the last axis; of whole numbers.
    quantized_bins : int
        Levels.
    """
    bins = counts.shape[-1]
    rows = np.ascontiguousarray(counts.reshape(-1, bins), np.float64)
    found = executors.of(__package__).divergences(rows, quantized_bins)
    # Where smoothing fails for all of them, as of equal elements, it is the whole range.
    best = np.where(np.isinf(found).all(1), found.shape[1] - 1, np.argmin(found, 1))
    half = best + quantized_bins // 2
    ends = np.stack([bins // 2 - half, np.minimum(bins // 2 + half + 1, bins)], 1)
    low, high = np.take_along_axis(edges.reshape(-1, bins + 1), ends, 1).T
    least = np.take_along_axis(found, best[:, None], 1)
    return Divergence(*(a.reshape(counts.shape[:-1]) for a in (low, high, least)))
