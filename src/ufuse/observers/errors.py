"""The range of least mean squared error."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import executors
from .counted import Counted
from .parameters import Array, CodeKind, parameters_of
from .reference import Streams
from .spread import Histograms, Rows, Spread

#: Candidates of the first look: ends are the extremes by so many powers of two, in such steps.
_OCTAVES, _STEPS, _STEPS_OF_TWO = 24, 8, 2
#: Each later look has so many candidates to either side of the best, closer by that factor.
_BESIDE, _CLOSER = 4, 4
_LOOKS = 6
_LARGEST = float(np.finfo(np.float32).max)
#: Candidates at a time.
_PIECE = 1 << 17


class MSE(Counted):
    """The range of least mean squared error, between clipping outliers and rounding the others.

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

    Notes
    -----
    The error of a candidate range is that of its scale and zero point, rounded as they are
    returned, integrated over the histogram in closed form: over an interval of evenly spread
    elements, rounding to a step s costs s**2 / 12 on average, and clipping the cube of a distance;
    the smallest and the largest element count where they are.
    Of bfloat16, and of integers of up to 8 bits, the elements themselves are known, and the error
    is theirs. Candidates are the extremes by powers of two down to 2**-24 (of floating codes up to
    2, too), and looked at more closely around the best; for a range with both signs, both ends.
    Codes are those that
    `ufuse.quantize` uses: of int8 -127 to 127 where it is symmetric, else -128 to 127. Floating
    codes have the error of their rounding.

    Merging, and any order of batches, give the same bits. Memory: 512 KiB; per index or block the
    elements themselves while they are few, then 5 KiB. See ``docs/calibration.md``.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> x = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    >>> x[0] = 50  # one outlier, which would cost all others ten times the error
    >>> observer = uf.observers.MSE().update(x)
    >>> round(float(observer.clip_range("int4").high), 1)
    2.5
    """

    def __init__(
        self, *, axis: Any = None, block_size: Any = None, memory: int | None = None
    ) -> None:
        super().__init__(axis=axis, block_size=block_size, memory=memory)

    def _ranges_of(self, piece: Rows | Histograms, kind: CodeKind) -> tuple[Array, Array]:
        low, high = extremes_of(piece)
        result = low.astype(np.float32), high.astype(np.float32)
        # For a range with both signs there are two ends to look for.
        both = (low < 0) & (high > 0) if not kind.symmetric else np.zeros(low.size, bool)
        for two_ends in (False, True):
            which = np.flatnonzero(both == two_ends)
            size = _PIECE // (_first(kind, two_ends).size ** (1 + two_ends))
            for first in range(0, which.size, size):
                part = which[first : first + size]
                streams = streams_of(piece, part)
                found = _least_errors(streams, low[part], high[part], kind, two_ends)
                result[0][part], result[1][part] = found
        return result


def extremes_of(piece: Rows | Histograms) -> tuple[Array, Array]:
    """Return the smallest and the largest element of each stream; 0 of none."""
    if isinstance(piece, Rows):
        some = piece.low <= piece.high
        return np.where(some, piece.low, 0.0), np.where(some, piece.high, 0.0)
    ends = np.array([(spread.low, spread.high) for spread in piece.spreads], np.float64)
    return ends[:, 0], ends[:, 1]


def streams_of(piece: Rows | Histograms, which: Array) -> Streams:
    """Return some of the streams as the kernels read them."""
    if isinstance(piece, Rows):
        return _streams_of_rows(
            piece._replace(
                **{
                    name: getattr(piece, name)[which]
                    for name in ("numbers", "values", "low", "high")
                }
            )
        )
    columns = [_points_and_steps(piece.spreads[i]) for i in which]
    points, numbers, edges, jumps = (
        np.concatenate(column) for column in zip(*columns, strict=True)
    )
    starts = [np.cumsum([0, *(column[i].size for column in columns)]) for i in (0, 2)]
    return Streams(points, numbers, starts[0], edges, jumps, starts[1])


def _points_and_steps(spread: Spread) -> tuple[Array, Array, Array, Array]:
    """Return the elements of a stream, the smallest and the largest at their places."""
    cells = spread.signed()
    number = cells.number.copy()
    ends = []
    if not spread.points and number.sum() > 1:
        ends = [spread.low, spread.high]
        number[0] -= 1
        number[-1] -= 1
    wide = (cells.high > cells.low) & (number > 0)
    low, high = cells.low[wide], cells.high[wide]
    density = number[wide] / (high - low)
    edges, which = np.unique(np.concatenate([low, high]), return_inverse=True)
    jumps = np.zeros(edges.size)
    np.add.at(jumps, which, np.concatenate([-density, density]))
    known = (cells.high == cells.low) & (number > 0)
    points = np.concatenate([cells.low[known], ends])
    return points, np.concatenate([number[known], np.ones(len(ends))]), edges, jumps


def _streams_of_rows(rows: Rows) -> Streams:
    """Each element is a point, or spread over an interval of its own; NaN is none."""
    low, high = rows.intervals()
    some = ~np.isnan(low)
    wide = some & (high > low)
    known = np.cumsum([0, *np.count_nonzero(some & ~wide, 1)])
    spread = 2 * np.cumsum([0, *np.count_nonzero(wide, 1)])
    points = low[some & ~wide]
    ends = np.stack([low[wide], high[wide]], 1)
    density = 1 / (ends[:, 1:] - ends[:, :1])
    jumps = (density * [-1.0, 1.0]).reshape(-1)
    return Streams(points, np.ones(points.size), known, ends.reshape(-1), jumps, spread)


def _first(kind: CodeKind, two_ends: bool) -> Array:
    """Return how many octaves below the extremes the first candidates end.

    Of integers the extremes are the widest that is worth it. Floats are as dense beyond: there is
    another octave, and in it ends that make the largest element one of the floats.
    """
    if two_ends:
        return np.arange(0, _OCTAVES / 2 + 1 / _STEPS_OF_TWO, 1 / _STEPS_OF_TWO)
    below = np.arange(0, _OCTAVES + 1 / _STEPS, 1 / _STEPS)
    if kind.levels.fraction < 0:
        return below
    fractions = np.arange(1 << kind.levels.fraction) / (1 << kind.levels.fraction)
    met = np.log2(1 + fractions) - np.log2(2 * np.frexp(kind.most)[0])
    met -= met > 0  # of the octave below the largest float
    return np.concatenate([below, -below[1 : _STEPS + 1], met])


def _least_errors(
    streams: Streams, low: Array, high: Array, kind: CodeKind, two_ends: bool
) -> tuple[Array, Array]:
    """Search for the best ends: first everywhere, then around the best."""
    squared_errors = executors.of(__package__).squared_errors
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    if kind.symmetric:
        high = np.maximum(-low, high)
        low = -high
    step = 1 / (_STEPS_OF_TWO if two_ends else _STEPS)
    down = up = _first(kind, two_ends)[None]
    widest = down.min()
    every = np.arange(streams.size)
    least = np.full(streams.size, np.inf)
    best = np.zeros((2, streams.size))
    ends = np.stack([low, high]).astype(np.float32)
    for _ in range(_LOOKS):
        if two_ends:
            size = down.shape[1]
            down, up = np.tile(down, size), np.repeat(up, size, axis=1)
        else:
            up = down
        lows = np.maximum(low[:, None] * np.exp2(-down), -_LARGEST).astype(np.float32)
        highs = np.minimum(high[:, None] * np.exp2(-up), _LARGEST).astype(np.float32)
        scale, zero = (a.astype(np.float64) for a in parameters_of(lows, highs, kind))
        found = squared_errors(streams, kind.levels, scale, kind.least - zero, kind.most - zero)
        index = np.argmin(found, 1)
        better = found[every, index] < least
        least = np.where(better, found[every, index], least)
        looked = np.stack([np.broadcast_to(a, found.shape)[every, index] for a in (down, up)])
        best = np.where(better, looked, best)
        ends = np.where(better, np.stack([lows[every, index], highs[every, index]]), ends)
        around = np.arange(-_BESIDE, _BESIDE + 1) * (step / _CLOSER)
        step /= _CLOSER
        down, up = np.maximum(best[:, :, None] + around, widest)
    return ends[0], ends[1]
