"""Quantiles of streams in bounded memory, with a bound on their error that is a fact."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..interop import asarray
from .request import Array, DType
from .sketch_plan import Buffer, plan_of, read_error, read_shares, stored_dtype
from .sorted_blocks import contiguous_pieces, sorted_steps


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
    (65536, 16 and 12988 for 0.001: at most 2 MB of float32).

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
    >>> sketch.count, sketch.max, sketch.error_bound < 0.01
    (1000000, 999999, True)
    >>> bool(abs(sketch.quantile(0.5) - 500_000) < 0.01 * sketch.count)
    True
    """

    def __init__(self, error: float = 0.001) -> None:
        self.error = read_error("ufuse.QuantileSketch", error)
        self.dtype: DType | None = None
        self._plan = plan_of(self.error)
        self._over = self._under = 0  # how far ranks can be too high and too low
        self._blocks = 0  # how many there were, of what is no NaN
        self._nans = 0  # in blocks
        self._low: Any = None  # of blocks, the smallest element and the largest
        self._high: Any = None
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
                f"chunk, got {dtype}; convert it with chunk.astype({str(self.dtype)!r})"
            )
        for piece in contiguous_pieces(x, self._waiting.elements.dtype):
            self._feed(piece)
        return self

    def _begin(self, function: str, dtype: DType) -> None:
        kept = stored_dtype(dtype)
        if kept is None:
            raise TypeError(
                f"{function}: argument 'chunk': expected real numbers of up to 64 bits, got dtype "
                f"{dtype}"
            )
        self.dtype = dtype
        self._waiting = Buffer(self._plan.block, kept)  # as they came
        self._cleaned = Buffer(self._plan.block, kept)  # of blocks with NaN, what is none

    def _feed(self, x: Array) -> None:
        """Take contiguous elements: blocks where they lie, and what is left into a buffer."""
        self._view = None
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

    def _sort(self, x: Array) -> None:
        block, step = self._plan.block, self._plan.step
        turns = (self._blocks + np.arange(x.size // block)) % 2
        kept, ends, nans = sorted_steps(x, block, step, (step - turns) // 2)
        for i in range(len(kept)):
            if nans[i]:
                self._nans += int(nans[i])
                part = x[i * block : (i + 1) * block]
                self._clean(part[~np.isnan(part)])
                continue
            self._blocks += 1
            low = int((step - turns[i]) // 2)
            self._under += low
            self._over += step - 1 - low
            self._widen(ends[i, 0], ends[i, 1])
            self._add(0, kept[i])

    def _clean(self, x: Array) -> None:
        first = min(x.size, self._plan.block - self._cleaned.size)
        full = self._cleaned.put(x[:first])
        if full is not None:
            self._sort(full)
            self._cleaned.put(x[first:])

    def _widen(self, low: Any, high: Any) -> None:
        self._low = low if self._low is None else min(self._low, low)
        self._high = high if self._high is None else max(self._high, high)

    def _add(self, level: int, items: Array) -> None:
        """Put elements on a level, and compact it if it is full."""
        if level == len(self._levels):
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
        kept = sorted_steps(gathered[:even], even, 2, np.array([turn])).kept
        self._add(level + 1, kept[0])

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
        waiting, cleaned = other._waiting.elements.copy(), other._cleaned.elements.copy()
        levels = [list(level) for level in other._levels]
        self._over += other._over
        self._under += other._under
        self._blocks += other._blocks
        self._nans += other._nans
        if other._low is not None:
            self._widen(other._low, other._high)
        for level, parts in enumerate(levels):
            while level >= len(self._levels):
                self._levels.append([])
                self._turns.append(0)
            for part in parts:
                self._add(level, part)
        self._clean(cleaned)
        self._feed(waiting)
        self._view = None
        return self

    # --- questions ------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        return 0 if self.dtype is None else self._count()

    def _count(self) -> int:
        waiting = self._waiting.size - self._waiting_nans()
        return self._blocks * self._plan.block + self._cleaned.size + waiting

    @property
    def nan_count(self) -> int:
        return 0 if self.dtype is None else self._nans + self._waiting_nans()

    def _waiting_nans(self) -> int:
        x = self._waiting.elements
        return int(np.count_nonzero(x != x))

    @property
    def min(self) -> Any:
        return None if self.count == 0 else self._ends()[0]

    @property
    def max(self) -> Any:
        return None if self.count == 0 else self._ends()[1]

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
        at = shares * (self._count() - 1)
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
        low, high = self._ends()
        found = np.where(ranks <= 0, kind(low), found)
        return np.where(ranks >= self._count() - 1, kind(high), found)

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
            low, high = self._ends()
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
        low, high = self._ends()
        return np.concatenate([[low], self._sorted().values, [high]])

    def _loose(self) -> Array:
        """Return the elements that stand for themselves."""
        waiting = self._waiting.elements
        return np.concatenate([waiting[waiting == waiting], self._cleaned.elements])

    def _ends(self) -> tuple[Any, Any]:
        loose = self._loose()
        if loose.size == 0:
            return self._low, self._high
        low, high = loose.min(), loose.max()
        if self._low is None:
            return low, high
        return min(self._low, low), max(self._high, high)

    def _sorted(self) -> _View:
        if self._view is None:
            loose = self._loose()
            parts, weights = [loose], [np.ones(loose.size, np.int64)]
            for level, held in enumerate(self._levels):
                for part in held:
                    parts.append(part)
                    weights.append(np.full(part.size, self._plan.step << level))
            values = np.concatenate(parts)
            order = np.argsort(values, kind="stable")
            self._view = _View(values[order], np.cumsum(np.concatenate(weights)[order]))
        return self._view

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_view": None}

    def __repr__(self) -> str:
        return (
            f"QuantileSketch(error={self.error}): {self.count} elements of dtype {self.dtype}, "
            f"error bound {self.error_bound:.3g}"
        )
