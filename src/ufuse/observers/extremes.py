"""The smallest and the largest: per tensor, index of an axis, or block."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..reduce import minmax, nanmax, nanmin, reduce
from .observer import Observer, read_size, refuse_infinite
from .parameters import Array, CodeKind

_MOST_AXES: Final = 64  # NumPy's


class Extremes(Observer):
    """Base of observers that keep a smallest and a largest element per lane.

    A lane is the tensor, an index of the axis, or a block of it.
    """

    block_size: int | None

    def __init__(self, *, axis: Any = None, block_size: Any = None) -> None:
        function = self._named()
        self.block_size = read_size(function, "block_size", block_size, 1)
        if self.block_size is not None and axis is None:
            raise ValueError(
                f"{function}: argument 'block_size': blocks are cut along an axis; pass axis="
            )
        super().__init__(axis)

    def _arguments(self) -> dict[str, Any]:
        return {"axis": self.axis, "block_size": self.block_size}

    def _forget(self) -> None:
        self._shape: tuple[int, ...] | None = None  # of batches, as far as it is fixed
        self._low = np.array(np.inf, np.float32)
        self._high = np.array(-np.inf, np.float32)

    def _lanes(self) -> tuple[int, ...]:
        return self._low.shape

    def _extremes(self) -> tuple[Array, Array]:
        return self._low, self._high

    def _range(self, kind: CodeKind) -> tuple[Array, Array]:
        return self._low, self._high

    @property
    def nbytes(self) -> int:
        return self._low.nbytes + self._high.nbytes

    def _fixed(self, x: Array, axis: int | None) -> tuple[int, ...]:
        """Return what all batches have in common of their shape."""
        if axis is None:
            return ()
        return x.shape[axis : axis + 1] if self.block_size is None else x.shape

    def _check(self, function: str, x: Array, axis: int | None) -> None:
        if self._shape is None or self._fixed(x, axis) == self._shape:
            return
        wanted = (
            f"{self._shape[0]} indices on axis {self.axis}"
            if self.block_size is None
            else f"shape {self._shape}"
        )
        raise ValueError(
            f"{function}: argument 'batch': expected {wanted}, as the first batch has, got shape "
            f"{x.shape}"
        )

    def _take(self, function: str, x: Array, axis: int | None) -> int:
        low, high, nans = extremes_of(x, axis, self.block_size)
        if np.isinf(low[low <= high]).any() or np.isinf(high[low <= high]).any():
            refuse_infinite(function, x)
        if self._shape is None:
            self._shape = self._fixed(x, axis)
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
    block_size : int, optional
        One range per block of so many elements along `axis`, the last of which may be shorter. All
        batches then have one shape.

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


def extremes_of(x: Array, axis: int | None, block: int | None) -> tuple[Array, Array, int]:
    """Return the extremes of each lane as float32, inf and -inf of none, and how many are NaN."""
    if block is None or axis is None:
        axes = None if axis is None else tuple(i for i in range(x.ndim) if i != axis)
        return _reduced(x, axes)
    if x.ndim == _MOST_AXES and x.size:
        # One more NumPy has not; an array that is in memory has axes of one element among so many.
        spare = next(i for i in range(x.ndim) if i != axis and x.shape[i] == 1)
        low, high, nans = extremes_of(np.squeeze(x, spare), axis - (spare < axis), block)
        return np.expand_dims(low, spare), np.expand_dims(high, spare), nans
    length = x.shape[axis]
    whole = length - length % block
    before = (slice(None),) * axis
    parts = []
    if whole:
        # To split an axis makes no copy, whatever the strides are.
        shape = (*x.shape[:axis], whole // block, block, *x.shape[axis + 1 :])
        parts.append(_reduced(x[(*before, slice(whole))].reshape(shape), (axis + 1,)))
    if whole < length:
        low, high, nans = _reduced(x[(*before, slice(whole, None))], (axis,))
        parts.append((np.expand_dims(low, axis), np.expand_dims(high, axis), nans))
    lows, highs, nans_of = zip(*parts, strict=True)
    return np.concatenate(lows, axis), np.concatenate(highs, axis), sum(nans_of)


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
