"""What a stream keeps: parts that are read from a chunk and merged, lane by lane.

A part's value is a tuple of arrays with one entry per lane, or an object that merges itself. All of
a part's values merge by one function, whether they come from the next chunk or from another stream.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from ..catalogue.dtypes import FLOATS
from ..catalogue.reducers import BY_NAME as REDUCERS
from .exact import ExactSums, exact_sum_partials
from .request import Array, DType, Slot, execute
from .sketches import QuantileSketch


@dataclass(frozen=True)
class Chunk:
    """Elements of a stream: `axes` of `x` stream, the others are lanes."""

    x: Array
    axes: tuple[int, ...]
    element: DType  # what `by_lane` gives: float32 for narrower floats

    @property
    def full_shape(self) -> tuple[int, ...]:
        return tuple(1 if i in self.axes else n for i, n in enumerate(self.x.shape))

    @property
    def count(self) -> int:
        """Elements of a lane."""
        return int(np.prod([self.x.shape[axis] for axis in self.axes], dtype=np.int64))

    @cached_property
    def by_lane(self) -> Array:
        """Elements as (lanes, elements) of `element`: a view where there is one."""
        kept = [i for i in range(self.x.ndim) if i not in self.axes]
        x = self.x.transpose(*kept, *self.axes)
        x = x.astype(self.element, copy=False)
        lanes = x.reshape(int(np.prod(x.shape[: len(kept)], dtype=np.int64)), self.count)
        return np.ascontiguousarray(lanes) if len(lanes) > 1 else lanes  # not line by line


class Part:
    """One thing to keep; equal parts are kept once.

    Parameters
    ----------
    *key
        What tells parts of a class apart.
    """

    def __init__(self, *key: Any) -> None:
        self.key = (type(self).__name__, *key)

    def merge(self, a: Any, b: Any, offset: int) -> Any:
        """Merge two values; `b` begins `offset` elements behind `a`."""
        raise NotImplementedError


class Reduced(Part):
    """What a reducer of the executors finds: a value is made of components of its state.

    Parameters
    ----------
    reducer, element : str
        Of the catalogue.
    masked : bool, optional
        Whether NaN are masked out, for reducers that do not skip them by themselves.
    """

    #: Components of the state that are kept.
    components: tuple[int, ...] = (0,)

    def __init__(self, reducer: str, element: str, masked: bool = False) -> None:
        super().__init__(reducer, element, masked)
        self.reducer, self.element, self.masked = reducer, element, masked

    def value(self, found: list[Array]) -> Any:
        """Make the part's value of the components, one entry per lane."""
        return tuple(found)


class Direct(Part):
    """What reads the elements itself."""

    def read(self, chunk: Chunk, before: Any) -> Any:
        """Return the value of `before` and the chunk."""
        raise NotImplementedError


class Fold(Reduced):
    """What merges by one function: counts, extremes, products, sums that wrap."""

    def merge(self, a: Any, b: Any, offset: int) -> Any:
        with np.errstate(all="ignore"):
            if self.reducer.endswith("min"):
                return (_extreme(np.minimum, a[0], b[0]),)
            if self.reducer.endswith("max"):
                return (_extreme(np.maximum, a[0], b[0]),)
            return ((np.multiply if self.reducer.endswith("prod") else np.add)(a[0], b[0]),)


def _extreme(ufunc: np.ufunc, a: Array, b: Array) -> Array:
    """Extremes as reducers find them: NaN wins, and -0.0 is the smaller zero."""
    found: Array = ufunc(a, b)
    if found.dtype.kind == "f":
        first = np.signbit(a) == (ufunc is np.minimum)
        found = np.where(a == b, np.where(first, a, b), found)
    return found


class Total(Reduced):
    """A sum in float64, with what rounding took from it: merging many chunks costs no digits."""

    def value(self, found: list[Array]) -> Any:
        return found[0], np.zeros_like(found[0])

    def merge(self, a: Any, b: Any, offset: int) -> Any:
        with np.errstate(all="ignore"):
            high, low = two_sum(a[0], b[0])
            return two_sum(high, low + (a[1] + b[1]))


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Sum and what rounding takes from it (Knuth, TAOCP 2, 4.2.2); 0 where it is not finite."""
    total = a + b
    part = total - a
    rest = (a - (total - part)) + (b - part)
    return total, np.where(np.isfinite(rest), rest, 0.0)


class WholeTotal(Reduced):
    """A sum of integers of up to 32 bits: above and below bit 32, so that it never overflows."""

    def value(self, found: list[Array]) -> Any:
        return (found[0] >> 32).astype(np.int64), (found[0] & 0xFFFFFFFF).astype(np.int64)

    def merge(self, a: Any, b: Any, offset: int) -> Any:
        low = a[1] + b[1]
        return a[0] + b[0] + (low >> 32), low & 0xFFFFFFFF


class Moments(Reduced):
    """Count, mean (and what rounding took from it) and sum of squared deviations."""

    components = (0, 1, 2, 3)

    def merge(self, a: Any, b: Any, offset: int) -> Any:
        """Merge by Chan, Golub and LeVeque (1979), as `moments_merge` of csrc/reduce does."""
        count_a, high_a, low_a, m2_a = a
        count_b, high_b, low_b, m2_b = b
        with np.errstate(all="ignore"):
            count = count_a + count_b
            share = count_b / np.where(count > 0, count, 1.0)
            gap = (high_b - high_a) + (low_b - low_a)
            high, low = two_sum(high_a, low_a + gap * share)
            m2 = m2_a + m2_b + gap * gap * (count_a * share)
        merged = (count, high, low, m2)
        return tuple(
            np.where(count_b == 0, x, np.where(count_a == 0, y, z))
            for x, y, z in zip(a, b, merged, strict=True)
        )


class Position(Reduced):
    """An extreme and where in the stream it is first."""

    components = (0, 1)

    def merge(self, a: Any, b: Any, offset: int) -> Any:
        better = (b[0] < a[0]) if self.reducer.endswith("min") else (b[0] > a[0])
        if b[0].dtype.kind == "f":
            better = (better | np.isnan(b[0])) & ~np.isnan(a[0])  # the first NaN stays
        return np.where(better, b[0], a[0]), np.where(better, b[1] + offset, a[1])


class Exact(Direct):
    """Sums without rounding, of the elements or of their squares."""

    def __init__(self, power: int) -> None:
        super().__init__(power)
        self._power = power

    def read(self, chunk: Chunk, before: ExactSums | None) -> ExactSums:
        found = exact_sum_partials(chunk.by_lane, self._power)
        return found if before is None else before.merge(found)

    def merge(self, a: ExactSums, b: ExactSums, offset: int) -> ExactSums:
        return a.merge(b)


class Bins(Direct):
    """How many elements are in each bin, below all and above all."""

    def __init__(self, edges: Array) -> None:
        super().__init__()
        self._edges = edges

    def read(self, chunk: Chunk, before: tuple[Array] | None) -> tuple[Array]:
        found = count_in_bins(chunk.by_lane, self._edges)
        return (found if before is None else before[0] + found,)

    def merge(self, a: tuple[Array], b: tuple[Array], offset: int) -> tuple[Array]:
        return (a[0] + b[0],)


def count_in_bins(values: Array, edges: Array) -> Array:
    """Count the elements of each row below the edges, in each bin by NumPy's rule, and above."""
    counts = np.empty((len(values), edges.size + 1), np.int64)
    uniform = uniform_range(edges)
    for row, lane in zip(counts, values, strict=True):
        if uniform is None:
            row[1:-1] = np.histogram(lane, edges)[0]
        else:
            row[1:-1] = np.histogram(lane, edges.size - 1, uniform)[0]
        row[0] = np.count_nonzero(lane < edges[0])
        row[-1] = np.count_nonzero(lane > edges[-1])
    return counts


def uniform_range(edges: Array) -> tuple[np.float64, np.float64] | None:
    """Return the ends of edges at equal steps, for which counting is quicker."""
    ends = np.float64(edges[0]), np.float64(edges[-1])  # NumPy bins by edges of this type
    equal = np.array_equal(edges, np.linspace(*ends, edges.size))
    return ends if equal and ends[0] < ends[1] else None


class Sketches(Direct):
    """A quantile sketch per lane."""

    def __init__(self, error: float) -> None:
        super().__init__()
        self._error = error

    def read(self, chunk: Chunk, before: list[QuantileSketch] | None) -> list[QuantileSketch]:
        lanes = chunk.by_lane
        sketches = before or [QuantileSketch(self._error) for _ in range(len(lanes))]
        for sketch, lane in zip(sketches, lanes, strict=True):
            sketch.update(lane)
        return sketches

    def merge(self, a: Any, b: Any, offset: int) -> Any:
        for ours, theirs in zip(a, b, strict=True):
            ours.merge(theirs)
        return a


#: Reducers that find what several others do: those, with where they begin in its state.
_JOINED: Final = (
    ("summary", {"moments": 0, "sum": 4, "min": 5, "max": 6}),
    ("minmax", {"min": 0, "max": 1}),
    ("nan_moments", {"nan_moments": 0, "valid": 0}),
    ("nan_mean", {"nansum": 0, "valid": 1}),
)

#: Slots of one call of an executor.
_MOST_SLOTS: Final = 16


def read_reduced(parts: list[Reduced], chunk: Chunk) -> list[Any]:
    """Return the values of parts, in one read of the chunk, or two where some mask NaN out."""
    outs: dict[tuple[Any, int], Array] = {}
    for masked in (False, True):
        some = [part for part in parts if part.masked is masked]
        joined = _join({(part.reducer, part.element) for part in some})
        slots = []
        for part in some:
            reducer, first = joined.get((part.reducer, part.element), (part.reducer, 0))
            types = REDUCERS[reducer].state[part.element]
            for component in part.components:
                out = np.empty(chunk.full_shape, types[first + component])
                outs[part.key, component] = out.reshape(-1)
                slot = Slot(reducer, part.element, "value", out, component=first + component)
                slots.append(slot)
        for first in range(0, len(slots), _MOST_SLOTS):
            execute(chunk.x, chunk.axes, slots[first : first + _MOST_SLOTS], None, skip_nan=masked)
    return [part.value([outs[part.key, c] for c in part.components]) for part in parts]


def _join(wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, int]]:
    """Say of reducers and their element types which other reducer finds them, and where."""
    found: dict[tuple[str, str], tuple[str, int]] = {}
    left = set(wanted)
    for joint, places in _JOINED:
        for element in sorted({element for _, element in left}):
            both = [(name, element) for name in places if (name, element) in left]
            extremes = joint == "summary" and {name for name, _ in both} == {"min", "max"}
            if len(both) < 2 or extremes or element not in REDUCERS[joint].state:
                continue
            left -= set(both)
            found |= {one: (joint, places[one[0]]) for one in both}
    return found


def element_of(element: str) -> str:
    """Element code for reducers of floats."""
    return element if element in FLOATS else "f8"
