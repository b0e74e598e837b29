"""Quantiles of streams in bounded memory, with a bound on their error that is a fact."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np

from ..interop import asarray
from ..reduce.request import Array, DType, code_of
from .sketch_blocks import (
    Buffer,
    contiguous_pieces,
    plan_of,
    read_error,
    read_shares,
    sorted_steps,
    stored_dtype,
)


class _View(NamedTuple):
    """The elements a sketch holds, sorted, and how many elements of the stream are up to each."""

    values: Array
    ranks: Array


class QuantileSketch:
    """Quantiles of a stream of any length, in bounded memory.

    Parameters
    ----------
    error : float, optional
        Largest error of a rank, as a share of the number of elements: a quantile of 0.5 is an
        element between the quantiles of ``0.5 - error`` and ``0.5 + error``. Guaranteed up to 2**40
        elements, in whatever order they come and however sketches are merged.

    Attributes
    ----------
    count : int
        Elements so far that are no NaN.
    nan_count : int
        NaN so far; they have no rank, and are left out.
    error_bound : float
        What the error of a rank can be at most for this very stream: often less than `error`, and 0
        while everything is held.
    min, max : scalar
        Exact; None while there are no elements.
    dtype : numpy.dtype or None
        Of the elements: that of the first chunk.

    Raises
    ------
    ValueError
        If `error` is not between 1e-5 and 0.25.

    Notes
    -----
    A compactor sketch [1]_ [2]_ without coins. The stream is cut into blocks of B elements; of
    each, sorted, every s-th is kept, from the middle of the first s on, and stands for s. They
    gather at level 0. A level with k elements or more is sorted, and every other one moves up to
    the next level, where it stands for twice as many; the even and the odd ones take turns. Keeping
    every s-th changes a rank by ``s - 1`` at most from its lowest to its highest, and a compaction
    of level h by ``s * 2**h``: the sketch adds these up, shifts its ranks to the middle of what is
    possible, and half the sum is `error_bound`. As compactions of a level take k elements that
    never come back, that is at most
    ``(s - 1) / (2 * B) + (1 + log2(n / (s * k))) / (2 * k)``; B, s and k follow from `error`
    (65536, 16 and 12988 for 0.001, where a sketch holds 0.7 million elements at most).

    The same elements in the same order make the same sketch, however they are cut into chunks. -0.0
    counts as 0.0.

    References
    ----------
    .. [1] G. S. Manku, S. Rajagopalan, B. G. Lindsay, "Approximate medians and other quantiles in
       one pass and with limited memory", SIGMOD 1998.
    .. [2] Z. Karnin, K. Lang, E. Liberty, "Optimal quantile approximation in streams", FOCS 2016.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> sketch = uf.QuantileSketch(error=0.01)
    >>> for start in range(0, 1_000_000, 100_000):
    ...     _ = sketch.update(np.arange(start, start + 100_000))
    >>> sketch.count, int(sketch.max), sketch.error_bound < 0.01
    (1000000, 999999, True)
    >>> bool(abs(sketch.quantile(0.5) - 500_000) < 0.01 * sketch.count)
    True
    """

    def __init__(self, error: float = 0.001) -> None:
        self.error = read_error("ufuse.QuantileSketch", error)
        self.dtype: DType | None = None
        self._plan = plan_of(self.error)
        self._over = self._under = 0  # how far ranks can be too high and too low
        self._blocks = 0
        self.nan_count = 0
        self.min: Any = None
        self.max: Any = None
        self._levels: list[list[Array]] = []
        self._turns: list[int] = []  # compactions of each level
        self._view: _View | None = None

    # --- the stream -----------------------------------------------------------------------------

    def update(self, chunk: Any) -> QuantileSketch:
        """Take in the elements of an array, in C order.

        Parameters
        ----------
        chunk : array_like
            Real numbers of any shape and strides; read once, never copied whole. All chunks have
            the dtype of the first, in any byte order.

        Returns
        -------
        QuantileSketch
            `self`.

        Raises
        ------
        TypeError
            If the dtype is not real, or not that of the chunks before.
        """
        function = "ufuse.QuantileSketch.update"
        x = asarray(chunk, function=function, argument="chunk")
        dtype = x.dtype.newbyteorder("=")
        if self.dtype is None:
            self._begin(function, dtype)
        elif dtype != self.dtype:
            raise TypeError(
                f"{function}: argument 'chunk': expected dtype {self.dtype}, that of the first "
                f"chunk, got {dtype}; convert all chunks to a dtype that holds them, such as "
                f"chunk.astype({str(np.result_type(self.dtype, dtype))!r})"
            )
        for piece in contiguous_pieces(x, self._waiting.elements.dtype):
            self._feed(piece)
        return self

    def _begin(self, function: str, dtype: DType) -> None:
        if code_of(dtype) is None:
            raise TypeError(
                f"{function}: argument 'chunk': expected real numbers of up to 64 bits, got dtype "
                f"{dtype}"
            )
        self.dtype = dtype
        self._waiting = Buffer(self._plan.block, stored_dtype(dtype))

    def _feed(self, x: Array) -> None:
        """Take contiguous elements: blocks where they lie, and what is left into a buffer."""
        if x.dtype.kind == "f" and np.isnan(x.min()):
            valid = x[~np.isnan(x)]
            self.nan_count += x.size - valid.size
            x = valid
        if x.size == 0:
            return
        self._widen(x.min(), x.max())
        block = self._plan.block
        if self._waiting.size:
            first = min(x.size, block - self._waiting.size)
            full = self._waiting.put(x[:first])
            x = x[first:]
            if full is not None:
                self._sort(full)
        whole = x.size // block * block
        if whole:
            self._sort(x[:whole])
        if whole < x.size:
            self._waiting.put(x[whole:])

    def _widen(self, low: Any, high: Any) -> None:
        self._view = None
        low, high = low + low.dtype.type(0), high + high.dtype.type(0)  # -0.0 to 0.0
        self.min = low if self.min is None else min(self.min, low)
        self.max = high if self.max is None else max(self.max, high)

    def _sort(self, x: Array) -> None:
        """Put what is kept of whole blocks on level 0."""
        block, step = self._plan.block, self._plan.step
        blocks = x.size // block
        first = (step - (self._blocks + np.arange(blocks)) % 2) // 2  # turns where step is even
        kept = sorted_steps(x, block, step, first)
        self._blocks += blocks
        self._under += int(first.sum())
        self._over += blocks * (step - 1) - int(first.sum())
        for part in kept:
            self._add(0, part)

    def _add(self, level: int, items: Array) -> None:
        """Put elements on a level, and compact it if it is full."""
        while level >= len(self._levels):
            self._levels.append([])
            self._turns.append(0)
        self._levels[level].append(items)
        if sum(part.size for part in self._levels[level]) < self._plan.capacity:
            return
        gathered = np.concatenate(self._levels[level])
        even = gathered.size // 2 * 2
        turn = self._turns[level] % 2
        self._turns[level] += 1
        self._levels[level] = [gathered[even:]] if even < gathered.size else []
        weight = self._plan.step << level
        if turn:
            self._under += weight
        else:
            self._over += weight
        (kept,) = sorted_steps(gathered[:even], even, 2, np.array([turn]))
        self._add(level + 1, kept)

    def merge(self, other: QuantileSketch) -> QuantileSketch:
        """Take in what another sketch has seen.

        Parameters
        ----------
        other : QuantileSketch
            Of the same `error` and dtype; not changed. What it was made in is its own: processes,
            machines, trees of any shape.

        Returns
        -------
        QuantileSketch
            `self`; `error_bound` holds for all elements of both.

        Raises
        ------
        TypeError
            If `other` is no sketch, or of another dtype.
        ValueError
            If `other` has another `error`.
        """
        function = "ufuse.QuantileSketch.merge"
        if not isinstance(other, QuantileSketch):
            raise TypeError(
                f"{function}: argument 'other': expected a QuantileSketch, got "
                f"{type(other).__name__}"
            )
        if other.error != self.error:
            raise ValueError(
                f"{function}: a sketch of error={other.error} cannot be merged into one of "
                f"error={self.error}"
            )
        if other.dtype is None:
            return self
        if self.dtype is None:
            self._begin(function, other.dtype)
        elif self.dtype != other.dtype:
            raise TypeError(
                f"{function}: a sketch of dtype {other.dtype} cannot be merged into one of dtype "
                f"{self.dtype}"
            )
        waiting = other._waiting.elements.copy()
        levels = [list(level) for level in other._levels]
        self._over += other._over
        self._under += other._under
        self._blocks += other._blocks
        self.nan_count += other.nan_count
        if other.min is not None:
            self._widen(other.min, other.max)
        for level, parts in enumerate(levels):
            for part in parts:
                self._add(level, part)
        if waiting.size:
            self._feed(waiting)
        return self

    # --- questions ------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        return 0 if self.dtype is None else self._blocks * self._plan.block + self._waiting.size

    @property
    def error_bound(self) -> float:
        return (self._over + self._under) / 2 / max(1, self.count)

    def quantile(self, q: Any) -> Any:
        """Quantiles of the stream so far.

        Parameters
        ----------
        q : array_like
            Between 0 and 1.

        Returns
        -------
        scalar or array
            Of the shape of `q`: of the dtype of the stream, float64 for integers. While the sketch
            holds everything, what `numpy.quantile` gives by its method ``"linear"``. Later as much
            with neighbours in the sketch: elements whose ranks are off by at most ``error_bound *
            count``. The quantiles of 0 and 1 are exact.

        Raises
        ------
        ValueError
            If `q` is not between 0 and 1, or there are no elements.
        """
        function = "ufuse.QuantileSketch.quantile"
        shares = read_shares(function, "q", q)
        if self.count == 0:
            raise ValueError(f"{function}: the sketch has no elements; update it first")
        assert self.dtype is not None
        dtype = np.dtype(np.float64) if self.dtype.kind in "biu" else self.dtype
        values = self._interpolated(shares).astype(dtype)
        return values[()] if values.ndim == 0 else values

    def _interpolated(self, shares: Array) -> Array:
        at = shares * (self.count - 1)
        below = np.floor(at)
        low, high = self._ranked(below), self._ranked(np.ceil(at))
        part = at - below
        with np.errstate(invalid="ignore", over="ignore"):
            gap = high - low
            between = np.where(part < 0.5, low + gap * part, high - gap * (1 - part))
        return np.where((low == high) | (part == 0), low, between)

    def _ranked(self, ranks: Array) -> Array:
        """Return elements of about these ranks, from 0; the first and the last exactly."""
        view = self._sorted()
        at = np.searchsorted(view.ranks, ranks + (self._over - self._under) / 2, side="right")
        kind = np.float32 if view.values.dtype == np.float32 else np.float64
        found = view.values[np.minimum(at, view.values.size - 1)].astype(kind)
        found = np.where(ranks <= 0, kind(self.min), found)
        return np.where(ranks >= self.count - 1, kind(self.max), found)

    def rank(self, x: Any, *, inclusive: bool = True) -> Any:
        """How many elements are not larger than `x`.

        Parameters
        ----------
        x : array_like
        inclusive : bool, optional
            Whether elements equal to `x` count.

        Returns
        -------
        float64 scalar or array
            Off by at most ``error_bound * count``; exact below the smallest and above the largest
            element. NaN for NaN.
        """
        points = asarray(x, function="ufuse.QuantileSketch.rank", argument="x")
        count = self.count
        if count == 0:
            found = np.zeros(points.shape)
        else:
            view = self._sorted()
            at = np.searchsorted(view.values, points, side="right" if inclusive else "left")
            ranks = np.concatenate([[0], view.ranks])[at] - (self._over - self._under) / 2
            low, high = self.min, self.max
            found = np.clip(ranks, 0, count)
            found = np.where(points < low if inclusive else points <= low, 0.0, found)
            found = np.where(points >= high if inclusive else points > high, float(count), found)
        found = np.where(np.isnan(points), np.nan, found)
        return found[()]

    def cdf(self, x: Any) -> Any:
        """Share of the elements that are not larger than `x`: `rank` divided by `count`.

        Raises
        ------
        ValueError
            If there are no elements.
        """
        if self.count == 0:
            raise ValueError("ufuse.QuantileSketch.cdf: the sketch has no elements")
        return self.rank(x) / self.count

    def support(self) -> Array:
        """Return the values where `rank` steps, in order."""
        return np.concatenate([[self.min], self._sorted().values, [self.max]])

    def _sorted(self) -> _View:
        if self._view is None:
            loose = self._waiting.elements
            parts, weights = [loose], [np.ones(loose.size, np.int64)]
            for level, held in enumerate(self._levels):
                for part in held:
                    parts.append(part)
                    weights.append(np.full(part.size, self._plan.step << level))
            values = np.concatenate(parts)
            order = np.argsort(values, kind="stable")
            self._view = _View(values[order], np.cumsum(np.concatenate(weights)[order]))
        return self._view

    def __copy__(self) -> QuantileSketch:
        """Copy what changes in place; elements on levels never do."""
        new = QuantileSketch.__new__(QuantileSketch)
        new.__dict__.update(self.__dict__)
        if self.dtype is not None:
            new._waiting = copy.copy(self._waiting)
            new._levels = [list(level) for level in self._levels]
            new._turns = list(self._turns)
        return new

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_view": None}

    def __repr__(self) -> str:
        return (
            f"QuantileSketch(error={self.error}): {self.count} elements of dtype {self.dtype}, "
            f"error bound {self.error_bound:.3g}"
        )
