"""The range of least Kullback-Leibler divergence."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from .counted import Counted
from .layout import read_size
from .parameters import Array, CodeKind
from .spread import Spread

#: What an empty bin counts instead of 0, taken from the others.
_SMOOTHING: Final = 1e-4


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

    Levels are of equal width, as those of integers are: for floating codes there is no range.

    Merging, and any order of batches, give the same bits. Memory: 512 KiB; per index or block the
    elements themselves while they are few, then 5 KiB. See ``docs/calibration.md``. To find the
    range takes some 0.1 s, per index and block too.

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

    def _range_of(self, spread: Spread, kind: CodeKind) -> tuple[float, float]:
        largest = spread.largest
        if largest == 0:
            return spread.low, spread.high
        edges = np.linspace(-largest, largest, self.bins + 1)
        found = least_divergence(_binned(spread, edges), edges, self.quantized_bins)
        return max(found.low, spread.low), min(found.high, spread.high)


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
    """A range, and what it costs."""

    low: float
    high: float
    divergence: float


def least_divergence(counts: Array, edges: Array, quantized_bins: int) -> Divergence:
    """Return the range around the middle bin whose quantized counts diverge least from all.

    Parameters
    ----------
    counts, edges : ndarray
        A histogram of bins of equal width.
    quantized_bins : int
        Levels.
    """
    counts = np.asarray(counts, np.float64)
    middle = counts.size // 2
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    best = Divergence(float(edges[0]), float(edges[-1]), np.inf)
    for half in range(quantized_bins // 2, middle + 1):
        first, last = middle - half, min(middle + half + 1, counts.size)
        inside = counts[first:last]
        clipped = inside.copy()
        clipped[0] += sums[first]
        clipped[-1] += sums[-1] - sums[last]
        found = _divergence(clipped, _levels(inside, clipped != 0, quantized_bins))
        if found < best.divergence:
            best = Divergence(float(edges[first]), float(edges[last]), found)
    return best


def _levels(counts: Array, filled: Array, number: int) -> Array:
    """Return what quantizing to so many levels, and back, makes of counts.

    A level's count is shared out evenly among all its bins, in whole numbers, by how many of them
    are filled. What is left of the bins when they are dealt to levels counts with the last level,
    and gets nothing.
    """
    width = counts.size // number
    whole = width * number
    level = counts[:whole].reshape(number, width).sum(1)
    level[-1] += counts[whole:].sum()
    among = np.count_nonzero(filled[:whole].reshape(number, width), axis=1)
    share = np.where(among > 0, np.floor(level / np.maximum(among, 1)), 0)
    result = np.zeros(counts.size)
    result[:whole] = np.repeat(share, width)
    return result


def _divergence(counts: Array, quantized: Array) -> float:
    p, q = _smoothed(counts), _smoothed(quantized)
    if p is None or q is None:
        return float(np.inf)
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def _smoothed(counts: Array) -> Array | None:
    """Return the counts with a little in empty bins; None where others do not have that much."""
    empty = counts == 0
    number = np.count_nonzero(empty)
    if number == counts.size:
        return None
    taken = _SMOOTHING * number / (counts.size - number)
    result = np.where(empty, _SMOOTHING, counts - taken)
    return result if result.min() > 0 else None
