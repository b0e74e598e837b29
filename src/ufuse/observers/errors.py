"""The range of least mean squared error."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import executors
from .counted import Counted
from .parameters import CodeKind, parameters_of
from .reference import Points, Steps
from .spread import Cells, Spread

#: Candidates of the first look: ends are the extremes by so many powers of two, in such steps.
_OCTAVES, _STEPS, _STEPS_OF_TWO = 24, 8, 2
#: Each later look has so many candidates to either side of the best, closer by that factor.
_BESIDE, _CLOSER = 4, 4
_LOOKS = 6


class MSE(Counted):
    """The range of least mean squared error, between clipping outliers and rounding the others.

    Parameters
    ----------
    axis : int, optional
        One range per index of this axis; one for the tensor by default.

    Notes
    -----
    The error of a candidate range is that of its scale and zero point, rounded as they are
    returned, integrated over the histogram in closed form: over an interval of evenly spread
    elements, rounding to a step s costs s**2 / 12 on average, and clipping the cube of a distance.
    Of bfloat16, and of integers of up to 8 bits, the elements themselves are known, and the error
    is theirs. Candidates are the extremes by powers of two down to 2**-24, and looked at more
    closely around the best; for a range with both signs, both ends. Codes are those of
    `quantize_linear`: of int8 -128 to 127, symmetric or not.

    Merging, and any order of batches, give the same bits. Memory: 512 KiB; per index of an axis 10
    KiB, in which elements less than a millionth of the largest of all indices count as 0.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> x = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    >>> x[0] = 50  # one outlier, which would cost all others ten times the error
    >>> observer = uf.observers.MSE().update(x)
    >>> round(float(observer.clip_range("int4").high), 1)
    2.4
    """

    def __init__(self, *, axis: Any = None) -> None:
        super().__init__(axis)

    def _range_of(self, spread: Spread, kind: CodeKind) -> tuple[float, float]:
        if spread.largest == 0:
            return spread.low, spread.high
        return _least_error(spread, kind)


def _points_and_steps(cells: Cells) -> tuple[Points, Steps]:
    wide = cells.high > cells.low
    low, high = cells.low[wide], cells.high[wide]
    density = cells.number[wide] / (high - low)
    edges, which = np.unique(np.concatenate([low, high]), return_inverse=True)
    jumps = np.zeros(edges.size)
    np.add.at(jumps, which, np.concatenate([-density, density]))
    return Points(cells.low[~wide], cells.number[~wide]), Steps(edges, jumps)


def _least_error(spread: Spread, kind: CodeKind) -> tuple[float, float]:
    """Search for the best ends: first everywhere, then around the best."""
    points, steps = _points_and_steps(spread.signed())
    squared_errors = executors.of(__package__).squared_errors
    low, high = min(spread.low, 0.0), max(spread.high, 0.0)
    if kind.symmetric:
        low, high = -spread.largest, spread.largest
    both = not kind.symmetric and low < 0 < high
    step = 1 / (_STEPS_OF_TWO if both else _STEPS)
    first = np.arange(0, (_OCTAVES / 2 if both else _OCTAVES) + step, step)
    # Octaves below the extremes, of the low and of the high end.
    down = up = first
    best, least, of_best = (0.0, 0.0), np.inf, (low, high)
    for _ in range(_LOOKS):
        if both:
            down, up = (a.reshape(-1) for a in np.meshgrid(down, up))
        elif low < 0:
            up = down
        else:
            down = up
        lows = (low * np.exp2(-down)).astype(np.float32)
        highs = (high * np.exp2(-up)).astype(np.float32)
        scale, zero = (a.astype(np.float64) for a in parameters_of(lows, highs, kind))
        found = squared_errors(points, steps, scale, kind.least - zero, kind.most - zero)
        index = int(np.argmin(found))
        if found[index] < least:
            least = float(found[index])
            best = float(down[index]), float(up[index])
            of_best = float(lows[index]), float(highs[index])
        around = np.arange(-_BESIDE, _BESIDE + 1) * (step / _CLOSER)
        step /= _CLOSER
        down, up = np.maximum(best[0] + around, 0), np.maximum(best[1] + around, 0)
    return of_best
