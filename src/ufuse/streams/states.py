"""Statistics of streams: what `reduce` gives, of more than is in memory or in one place."""

from __future__ import annotations

import copy
from collections import namedtuple
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.exceptions import AxisError

from ..interop import asarray
from ..reduce.request import Array, DType, code_of
from ..reduce.sums import read_ddof
from .accumulators import Chunk
from .arguments import read_axis, read_bins, read_names, read_q
from .sketch_blocks import read_error
from .sketches import QuantileSketch
from .statistics import Histogram, Kept, Settings

#: Elements of a piece, where several read a chunk in turn: what is read again is in cache then.
_PIECE: Final = 1 << 20


class State:
    """Statistics of a stream of chunks, and of parts of it that were seen elsewhere.

    Parameters
    ----------
    *statistics : str
        Any of ``"sum" "prod" "mean" "var" "std" "min" "max" "ptp" "argmin" "argmax" "any" "all"
        "count" "nan_count" "count_nonzero" "norm" "histogram" "median" "quantile" "percentile"``
        and of ``"nansum" "nanprod" "nanmean" "nanvar" "nanstd" "nanmin" "nanmax" "nanargmin"
        "nanargmax" "nanmedian" "nanquantile" "nanpercentile"``.
    axis : int, tuple of int or None, optional
        Axes of the chunks that stream; the others are lanes, each with statistics of its own, and
        of the same shape in every chunk. None: all elements of all chunks are one stream, and
        chunks may have any shape. For positions one axis or None.
    ddof : float, optional
        Of ``"var"`` and ``"std"``.
    skip_nan : bool, optional
        Whether every statistic leaves NaN out, as those do whose names begin with ``nan``.
    bins : int or array_like, optional
        Of ``"histogram"``: number of equal bins in `range`, or edges, increasing.
    range : tuple of two floats, optional
        Ends of the first and the last bin. Fixed beforehand, as a stream is read once.
    q : array_like, optional
        Of ``"quantile"`` (0 to 1) or ``"percentile"`` (0 to 100).
    error : float, optional
        Of medians, quantiles and percentiles: see `QuantileSketch`.
    accuracy : {"default", "reproducible"}, optional
        With ``"reproducible"``, sums, means, variances, deviations and norms are those of exact
        sums, rounded at the end: the same bits for every order of the elements and split into
        chunks. Slower.

    Attributes
    ----------
    count : int
        Elements of a lane so far, NaN included.
    dtype : numpy.dtype or None
        Of the elements: that of the first chunk.

    Raises
    ------
    ValueError
        If a name is unknown or repeated, or an argument is missing, of no use or senseless.
    TypeError
        If an argument is of another type.

    Notes
    -----
    Whatever the split into chunks, counts, extremes, positions, integer sums and histograms are
    those of the whole, bit for bit, and medians, quantiles and percentiles are those of one sketch
    (merging makes another one, with the same bound). Sums of floats are kept in two float64, and
    moments as count, mean in two float64 and squared deviations, merged by Chan's formula [1]_:
    off by a few units in the last place of float64.

    A chunk is read once. Where sketches, histograms or exact sums need it again, it is taken in
    pieces of 2**20 elements, which are read again from cache. Exact sums are those of a
    superaccumulator [2]_. Medians, quantiles and percentiles keep a `QuantileSketch` for each lane.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for
       computing sample variances", 1979.
    .. [2] R. M. Neal, "Fast exact summation using small and large superaccumulators", 2015.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> state = uf.State("mean", "max", "argmax")
    >>> for chunk in ([1.0, 5.0], [2.0], [4.0, 0.5]):
    ...     _ = state.update(chunk)
    >>> found = state.result()
    >>> float(found.mean), float(found.max), int(found.argmax)
    (2.5, 5.0, 1)
    """

    def __init__(
        self,
        *statistics: str,
        axis: Any = None,
        ddof: float = 0,
        skip_nan: bool = False,
        bins: Any = None,
        range: Any = None,
        q: Any = None,
        error: float = 0.001,
        accuracy: str = "default",
    ) -> None:
        function = "ufuse.State"
        if len(statistics) == 1 and isinstance(statistics[0], (list, tuple)):
            statistics = tuple(statistics[0])  # one sequence, as `ufuse.reduce` takes it
        names = read_names(function, statistics)
        if accuracy not in ("default", "reproducible"):
            raise ValueError(
                f"{function}: argument 'accuracy': expected 'default' or 'reproducible', got "
                f"{accuracy!r}"
            )
        freedom = float(read_ddof(function, ddof, np._NoValue))
        if freedom and not {"var", "std", "nanvar", "nanstd"}.intersection(names):
            raise TypeError(
                f"{function}: argument 'ddof': expected 0 without 'var' or 'std', got {ddof!r}"
            )
        self._settings = Settings(
            names=names,
            axis=read_axis(function, axis, names),
            ddof=freedom,
            skip_nan=bool(skip_nan),
            exact=accuracy == "reproducible",
            error=read_error(function, error),
            bins=read_bins(function, bins, range, "histogram" in names),
            shares=read_q(function, q, names),
        )
        self.dtype: DType | None = None
        self.count = 0
        self._ndim = 0
        self._kept: Kept | None = None
        self._lanes: tuple[int, ...] = ()
        self._values: dict[Any, Any] = {}

    # --- the stream -----------------------------------------------------------------------------

    def update(self, chunk: Any) -> State:
        """Take in the next chunk.

        Parameters
        ----------
        chunk : array_like
            Real numbers, any strides; a `numpy.memmap` is read where it lies.

        Returns
        -------
        State
            `self`.

        Raises
        ------
        TypeError
            If the dtype is not real, or not that of the first chunk.
        ValueError
            If the lanes are not those of the first chunk.
        numpy.exceptions.AxisError
            If the chunk has no such axis.

        Notes
        -----
        All or nothing: where this raises, whatever it is, the state is as it was.
        """
        function = "ufuse.State.update"
        x = asarray(chunk, function=function, argument="chunk")
        if self._settings.axis is None:
            x = x.reshape(1) if x.ndim == 0 else x
            axes = tuple(range(x.ndim))
            lanes: tuple[int, ...] = ()
        else:
            axes = _axes_of(function, self._settings.axis, x.ndim)
            lanes = tuple(n for i, n in enumerate(x.shape) if i not in axes)
        dtype = x.dtype.newbyteorder("=")
        kept = self._begin_or_check(function, x, dtype, lanes)
        values, count = kept.copied(self._values), self.count
        if x.size > 0:
            x = x.view(np.uint8) if x.dtype == np.bool_ else x
            for piece in [x] if kept.reads_once else _split(x, axes):
                chunk = Chunk(piece, axes, kept.element)
                kept.take(chunk, values, count)
                count += chunk.count
        if self.dtype is None:
            self.dtype, self._kept, self._lanes, self._ndim = dtype, kept, lanes, x.ndim
        self._values, self.count = values, count
        return self

    def _begin_or_check(
        self, function: str, x: Array, dtype: DType, lanes: tuple[int, ...]
    ) -> Kept:
        if self._kept is None:
            return self._keeping(function, dtype)
        if dtype != self.dtype:
            raise TypeError(
                f"{function}: argument 'chunk': expected dtype {self.dtype}, that of the first "
                f"chunk, got {dtype}; convert all chunks to a dtype that holds them, such as "
                f"chunk.astype({str(np.result_type(self.dtype, dtype))!r})"
            )
        if self._settings.axis is not None and (lanes != self._lanes or x.ndim != self._ndim):
            raise ValueError(
                f"{function}: argument 'chunk': expected {self._ndim} axes, of sizes {self._lanes} "
                f"but for axis={self._settings.axis}, as the first chunk has; got shape {x.shape}"
            )
        return self._kept

    def _keeping(self, function: str, dtype: DType) -> Kept:
        if code_of(dtype) is None:
            raise TypeError(
                f"{function}: argument 'chunk': expected real numbers of up to 64 bits, got dtype "
                f"{dtype}; of complex numbers keep one state of .real and one of .imag"
            )
        return Kept(self._settings, dtype)

    def merge(self, other: State) -> State:
        """Take in what another state has seen, as if its chunks came now.

        Parameters
        ----------
        other : State
            Of the same statistics and arguments, dtype and lanes; not changed.

        Returns
        -------
        State
            `self`. Positions in `other` count from the end of `self`.

        Raises
        ------
        TypeError
            If `other` is no State, or of another dtype.
        ValueError
            If it has other statistics, arguments or lanes.
        """
        function = "ufuse.State.merge"
        if not isinstance(other, State):
            raise TypeError(
                f"{function}: argument 'other': expected a State, got {type(other).__name__}"
            )
        self._check_same(function, other)
        if other.dtype is None:
            return self
        kept = self._kept or self._keeping(function, other.dtype)
        values = kept.copied(self._values)
        kept.merge(values, copy.deepcopy(other._values), self.count)
        if self.dtype is None:
            self.dtype, self._lanes, self._ndim = other.dtype, other._lanes, other._ndim
            self._kept = kept
        self._values, self.count = values, self.count + other.count
        return self

    def _check_same(self, function: str, other: State) -> None:
        if other._settings != self._settings:
            pairs = (
                (field, getattr(self._settings, field), getattr(other._settings, field))
                for field in self._settings._fields
            )
            told = "; ".join(f"{_TOLD.get(f, f)} {a!r} and {b!r}" for f, a, b in pairs if a != b)
            raise ValueError(
                f"{function}: {other!r} cannot be merged into {self!r}: they have {told}"
            )
        if self.dtype is None or other.dtype is None:
            return
        if self.dtype != other.dtype:
            raise TypeError(
                f"{function}: {other!r} cannot be merged into {self!r}: they have dtypes "
                f"{self.dtype} and {other.dtype}"
            )
        if self._settings.axis is None:
            return
        if (self._lanes, self._ndim) != (other._lanes, other._ndim):
            raise ValueError(
                f"{function}: {other!r} cannot be merged into {self!r}: they have lanes of shape "
                f"{self._lanes} and {other._lanes}"
            )

    # --- what it comes to -----------------------------------------------------------------------

    def result(self) -> Any:
        """Return the statistics of the stream so far; it may go on.

        Returns
        -------
        namedtuple
            A field for each statistic, in their order: as the function of that name gives it, with
            NumPy's dtypes. ``histogram`` has the fields ``counts`` (bins are the last axis),
            ``edges``, ``below`` and ``above`` (what is outside of the edges; NaN is nowhere).
            Quantiles and percentiles have the axes of `q` first, as NumPy's.

        Warns
        -----
        RuntimeWarning
            Where NumPy's functions do: means and medians of nothing, variances without a degree of
            freedom, lanes of NaN alone.

        Raises
        ------
        ValueError
            If an extreme or its position is of nothing.
        """
        kept = self._kept
        if kept is None:  # NumPy's for an empty array
            kept = Kept(self._settings, np.dtype(np.float64))
        lanes = int(np.prod(self._lanes, dtype=np.int64))
        names = self._settings.names
        found = [kept.result(name, self._values, self.count, lanes) for name in names]
        return _result_type(names)(
            *(self._shaped(name, value) for name, value in zip(names, found, strict=True))
        )

    def _shaped(self, name: str, value: Array) -> Any:
        value = value.copy()  # what goes out is not what is kept
        if name == "histogram":
            assert self._settings.bins is not None
            counts = value.reshape(*self._lanes, -1)
            edges = self._settings.bins.edges_of(self.dtype or np.dtype(np.float64))
            return Histogram(counts[..., 1:-1], edges, counts[..., 0][()], counts[..., -1][()])
        shape = self._lanes
        if name.removeprefix("nan") in ("quantile", "percentile"):
            shape = (*np.shape(self._settings.shares), *shape)
        return value.reshape(shape)[()]

    def distribution(self) -> tuple[QuantileSketch | None, tuple[Array, Array] | None]:
        """Return what `drift` compares: the sketch, and the counts and edges of the histogram."""
        sketch, bins = None, None
        for key, value in self._values.items():
            if key[0] == "Sketches":
                (sketch,) = value
            elif key[0] == "Bins":
                assert self._settings.bins is not None
                assert self.dtype is not None
                bins = value[0].reshape(-1), self._settings.bins.edges_of(self.dtype)
        return sketch, bins

    @property
    def statistics(self) -> tuple[str, ...]:
        """Names of the statistics."""
        return self._settings.names

    @property
    def axis(self) -> int | tuple[int, ...] | None:
        return self._settings.axis

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.dtype is not None:
            self._kept = self._keeping("ufuse.State", self.dtype)

    def __repr__(self) -> str:
        names = ", ".join(map(repr, self.statistics))
        over = "" if self.axis is None else f", axis={self.axis}"
        lanes = f" in lanes of shape {self._lanes}" if self._lanes else ""
        seen = f"{self.count} elements of dtype {self.dtype}{lanes}" if self.count else "empty"
        return f"<ufuse.State({names}{over}): {seen}>"


_TOLD: Final = {"names": "statistics", "exact": "accuracy='reproducible'", "shares": "q"}


@lru_cache(maxsize=256)
def _result_type(names: tuple[str, ...]) -> Any:
    return namedtuple("Statistics", names)


def _split(x: Array, axes: tuple[int, ...]) -> Iterator[Array]:
    """Cut along the axes that stream, the outermost first, into pieces of `_PIECE` elements."""
    if x.size <= _PIECE or not axes:
        yield x
        return
    axis = axes[0]
    step = max(1, _PIECE * x.shape[axis] // x.size)
    before = (slice(None),) * axis
    for start in range(0, x.shape[axis], step):
        piece = x[(*before, slice(start, start + step))]
        yield from _split(piece, axes[1:]) if step == 1 else (piece,)


def _axes_of(function: str, axis: int | tuple[int, ...], ndim: int) -> tuple[int, ...]:
    axes = (axis,) if isinstance(axis, int) else axis
    for one in axes:
        if not -ndim <= one < ndim:
            raise AxisError(one, ndim, f"{function}: argument 'chunk', for axis={axis}")
    found = tuple(sorted(one % ndim for one in axes))
    if len(set(found)) != len(found):
        raise ValueError(f"{function}: axis={axis} names one axis of {ndim} twice")
    return found
