"""Distributions to compare: of arrays, of sketches and states, of histograms."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np

from ..interop import asarray
from ..reduce.request import Array, code_of
from .sketch_blocks import stored_dtype
from .sketches import QuantileSketch
from .states import State


class Ranked(Protocol):
    """A distribution that knows how many elements are up to any value."""

    count: int

    @property
    def values(self) -> Array:
        """Where its distribution function steps, in order."""

    def ranks(self, points: Array, *, inclusive: bool) -> Array:
        """How many elements are below the points, or not above."""

    def quantiles(self, shares: Array) -> Array:
        """Quantiles, linear between elements."""


class Sorted:
    """The elements of an array that are no NaN, sorted."""

    def __init__(self, function: str, argument: str, x: Array) -> None:
        if code_of(x.dtype) is None:
            raise TypeError(
                f"{function}: argument {argument!r}: expected real numbers of up to 64 bits, got "
                f"dtype {x.dtype}"
            )
        dtype = stored_dtype(x.dtype)
        self.values = np.sort(x.astype(dtype, copy=False), axis=None)  # NaN come last
        if dtype.kind == "f":
            self.values = self.values[: np.searchsorted(self.values, np.nan)]
        self.count = self.values.size

    def ranks(self, points: Array, *, inclusive: bool) -> Array:
        side: Literal["left", "right"] = "right" if inclusive else "left"
        return np.asarray(np.searchsorted(self.values, points, side=side))

    def quantiles(self, shares: Array) -> Array:
        at = shares * (self.count - 1)
        low = self.values[np.floor(at).astype(np.intp)].astype(np.float64)
        high = self.values[np.ceil(at).astype(np.intp)].astype(np.float64)
        with np.errstate(invalid="ignore"):
            between: Array = low + (high - low) * (at - np.floor(at))
        return np.where(low == high, low, between)


class Sketched:
    """What a sketch knows of its stream."""

    def __init__(self, sketch: QuantileSketch) -> None:
        self._sketch = sketch
        self.count = sketch.count

    @property
    def values(self) -> Array:
        return self._sketch.support()

    def ranks(self, points: Array, *, inclusive: bool) -> Array:
        return np.asarray(self._sketch.rank(points, inclusive=inclusive))

    def quantiles(self, shares: Array) -> Array:
        return np.asarray(self._sketch.quantile(shares), np.float64)


class Binned:
    """Counts of a histogram: below its edges, in its bins, above."""

    def __init__(self, counts: Array, edges: Array) -> None:
        self.counts, self.edges = counts, edges
        self.count = int(counts.sum())


def distribution_of(function: str, argument: str, x: Any) -> Ranked | Binned:
    """Return the distribution of `x`: of a state by its sketch rather than its histogram."""
    found: Ranked | Binned
    if isinstance(x, QuantileSketch):
        found = Sketched(x)
    elif isinstance(x, State):
        found = _of_state(function, argument, x)
    else:
        found = Sorted(function, argument, asarray(x, function=function, argument=argument))
    if found.count == 0:
        raise ValueError(
            f"{function}: argument {argument!r}: expected elements to compare, got none that is no "
            "NaN"
        )
    return found


def _of_state(function: str, argument: str, state: State) -> Ranked | Binned:
    if state.axis is not None:
        raise ValueError(
            f"{function}: argument {argument!r}: expected a State of one stream (axis=None), got "
            f"{state!r}"
        )
    sketch, bins = state.distribution()
    if sketch is not None:
        return Sketched(sketch)
    if bins is None:
        raise ValueError(
            f"{function}: argument {argument!r}: expected a State with 'histogram', 'median', "
            f"'quantile' or 'percentile', got {state!r}"
        )
    return Binned(*bins)


def binned(x: Ranked, edges: Array) -> Binned:
    """Count below the edges, in each bin by NumPy's rule, and above."""
    below = x.ranks(edges[:-1], inclusive=False)
    last = x.ranks(edges[-1:], inclusive=True)
    return Binned(np.diff(np.concatenate([[0], below, last, [x.count]])), edges)


def histogram_of(x: Any) -> Binned | None:
    """Return the histogram that a state may have besides a sketch."""
    bins = x.distribution()[1] if isinstance(x, State) else None
    return None if bins is None else Binned(*bins)
