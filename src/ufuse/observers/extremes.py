"""The smallest and the largest: per tensor, index of an axis, or block."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..reduce import minmax, nanmax, nanmin, reduce
from .layout import Layout
from .observer import Observer, refuse_infinite, refuse_unlike
from .parameters import Array, CodeKind


class Extremes(Observer):
    """Base of observers that keep a smallest and a largest element per lane.

    A lane is the tensor, an index of the axis, or a block of it.
    """

    def _forget(self) -> None:
        self._shape: tuple[int, ...] | None = None  # of batches, as far as it is fixed
        self._low = np.array(np.inf, np.float32)
        self._high = np.array(-np.inf, np.float32)

    def _lanes(self) -> tuple[int, ...]:
        return self._low.shape

    def _batch_shape(self) -> tuple[int, ...] | None:
        return self._shape

    def _extremes(self) -> tuple[Array, Array]:
        return self._low, self._high

    def _range(self, kind: CodeKind) -> tuple[Array, Array]:
        return self._low, self._high

    @property
    def nbytes(self) -> int:
        return self._low.nbytes + self._high.nbytes

    def _check(self, function: str, x: Array, axis: int | None) -> None:
        refuse_unlike(function, self._layout.expected(self._shape, x, axis), x)

    def _take(self, function: str, x: Array, axis: int | None) -> int:
        low, high, nans = extremes_of(x, self._layout, axis)
        if np.isinf(low[low <= high]).any() or np.isinf(high[low <= high]).any():
            refuse_infinite(function, x)
        if self._shape is None:
            self._shape = self._layout.fixed(x, axis)
            self._begin(low.shape)
        self._fold(low, high)
        return nans

    def _begin(self, lanes: tuple[int, ...]) -> None:
        self._low = np.full(lanes, np.inf, np.float32)
        self._high = np.full(lanes, -np.inf, np.float32)

    def _fold(self, low: Array, high: Array) -> None:
        """Take in the extremes of a batch; low > high where a lane has none."""
        raise NotImplementedError

    def _join(self, other: Any) -> None:
        if self._shape is None:
            self._shape = other._shape
            self._begin(other._lanes())
        self._fold(other._low, other._high)


class MinMax(Extremes):
    """The whole range of what was seen: no element is clipped.

    Parameters
    ----------
    axis : int, optional
        One range per index of this axis; one for the tensor by default.
    block_size : int or tuple of int, optional
        One range per block of so many elements along `axis`, or, a number for each axis, per such
        block; the last of an axis may be shorter. All batches then have one shape.

    Notes
    -----
    Merging, and any order of batches, give the same bits. Memory: 8 bytes per range.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> observer = uf.observers.MinMax()
    >>> for batch in ([0.5, -1.0], [2.54, 0.0]):
    ...     _ = observer.update(batch)
    >>> scale, zero_point = observer.scale_zero_point("int8")
    >>> round(float(scale), 4), int(zero_point)
    (0.02, 0)
    >>> scale, zero_point = observer.scale_zero_point("uint8")
    >>> round(float(scale), 4), int(zero_point)
    (0.0139, 72)
    >>> observer
    <MinMax(): 4 elements, -1 to 2.54>
    """

    def _fold(self, low: Array, high: Array) -> None:
        self._low = np.minimum(self._low, low)
        self._high = np.maximum(self._high, high)


def extremes_of(x: Array, layout: Layout, axis: int | None) -> tuple[Array, Array, int]:
    """Return the extremes of each lane as float32, inf and -inf of none, and how many are NaN."""
    blocks = layout.blocks(x.shape)
    if blocks is None:
        axes = None if axis is None else tuple(i for i in range(x.ndim) if i != axis)
        return _reduced(x, axes)
    low, high, nans = np.empty(blocks.grid, np.float32), np.empty(blocks.grid, np.float32), 0
    for numbers, part, over in layout.parts(x, axis):
        within = tuple(i for i in range(part.ndim) if i not in over)
        least, most, nans_of = _reduced(part, within)
        low.reshape(-1)[numbers], high.reshape(-1)[numbers] = least, most
        nans += nans_of
    return low, high, nans


def _reduced(x: Array, axes: tuple[int, ...] | None) -> tuple[Array, Array, int]:
    low, high = minmax(x, axis=axes)
    nans = 0
    if np.isnan(low).any():
        nans = int(reduce(x, "nan_count").nan_count)
        low = nanmin(x, axis=axes, initial=np.inf)
        high = nanmax(x, axis=axes, initial=-np.inf)
    with np.errstate(over="ignore"):  # float64 beyond float32 is infinite, and refused
        # -0.0 + 0.0 is 0.0: which zero came first must not matter
        return np.asarray(low, np.float32) + 0, np.asarray(high, np.float32) + 0, nans
