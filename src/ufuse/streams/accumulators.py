"""What a stream keeps: parts that are read from a chunk and merged, lane by lane.

A part's value is a tuple of arrays with one entry per lane, or an object that merges itself. All of
a part's values merge by one function, whether they come from the next chunk or from another stream.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np

from ..catalogue.dtypes import FLOATS
from ..catalogue.reducers import BY_NAME as REDUCERS
from ..count.histograms import histogram
from ..interop.lowprecision import is_low_precision
from ..reduce.request import Array, DType, Slot, execute
from .exact import ExactSums, exact_sum_partials
from .sketches import QuantileSketch


class Chunk:
    """Elements of a stream: `axes` of `x` stream, the others are lanes.

    Parameters
    ----------
    x : numpy.ndarray
    axes : tuple of int
    element : numpy.dtype
        What `by_lane` gives: float32 for narrower floats.
    """

    def __init__(self, x: Array, axes: tuple[int, ...], element: DType) -> None:
        self.x, self.axes, self.element = x, axes, element

    @property
    def full_shape(self) -> tuple[int, ...]:
        return tuple(1 if i in self.axes else n for i, n in enumerate(self.x.shape))

    @property
    def count(self) -> int:
        """Elements of a lane."""
        return int(np.prod([self.x.shape[axis] for axis in self.axes], dtype=np.int64))

    @property
    def lanes(self) -> Array:
        """Elements as (lanes, elements): a view where there is one."""
        kept = [i for i in range(self.x.ndim) if i not in self.axes]
        x = self.x.transpose(*kept, *self.axes)
        return x.reshape(int(np.prod(x.shape[: len(kept)], dtype=np.int64)), self.count)

    @cached_property
    def by_lane(self) -> Array:
        """Those of `element`, contiguous; as they are where there is one lane of them already."""
        return np.ascontiguousarray(self.lanes, self.element)


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
        """Merge two values; `b` begins `offset` elements behind `a`. Warnings are off."""
        raise NotImplementedError

    def copied(self, value: Any) -> Any:
        """Return what may be read into and merged into; most values are never changed."""
        return value


class Reduced(Part):
    """What a reducer of the executors finds: a value is made of components of its state.

    Parameters
    ----------
    reducer, element : str
        Of the catalogue.
    masked : bool, optional
        Whether NaN are masked out, for reducers that do not skip them by themselves.
    """

    #: How many components of the state are kept, from the first on.
    components = 1

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
        if self.reducer.endswith("min"):
            return (_extreme(np.minimum, a[0], b[0]),)
        if self.reducer.endswith("max"):
            return (_extreme(np.maximum, a[0], b[0]),)
        return ((np.multiply if self.reducer.endswith("prod") else np.add)(a[0], b[0]),)


def _extreme(ufunc: np.ufunc, a: Array, b: Array) -> Array:
    """Extremes as reducers find them: NaN wins, and -0.0 is the smaller zero."""
    found: Array = ufunc(a, b)
    if found.dtype.kind == "f" and not found.all():
        first = np.signbit(a) == (ufunc is np.minimum)
        found = np.where(a == b, np.where(first, a, b), found)
    return found


class Total(Reduced):
    """A sum in float64, with what rounding took from it: merging many chunks costs no digits."""

    def value(self, found: list[Array]) -> Any:
        return found[0], np.zeros_like(found[0])

    def merge(self, a: Any, b: Any, offset: int) -> Any:
        high, low = two_sum(a[0], b[0])
        return two_sum(high, low + (a[1] + b[1]))


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Sum and what rounding takes from it (Knuth, TAOCP 2, 4.2.2); 0 where it is not finite."""
    total = a + b
    part = total - a
    rest = (a - (total - part)) + (b - part)
    if not np.isfinite(rest).all():
        rest = np.where(np.isfinite(rest), rest, 0.0)
    return total, rest


class WholeTotal(Reduced):
    """A sum of integers of up to 32 bits: above and below bit 32, so that it never overflows."""

    def value(self, found: list[Array]) -> Any:
        return (found[0] >> 32).astype(np.int64), (found[0] & 0xFFFFFFFF).astype(np.int64)

    def merge(self, a: Any, b: Any, offset: int) -> Any:
        low = a[1] + b[1]
        return a[0] + b[0] + (low >> 32), low & 0xFFFFFFFF


class Moments(Reduced):
    """Count, mean (and what rounding took from it) and sum of squared deviations."""

    components = 4

    def merge(self, a: Any, b: Any, offset: int) -> Any:
        """Merge by Chan, Golub and LeVeque (1979), as `moments_merge` of csrc/reduce does."""
        count_a, high_a, low_a, m2_a = a
        count_b, high_b, low_b, m2_b = b
        count = count_a + count_b
        share = count_b / count
        gap = (high_b - high_a) + (low_b - low_a)
        high, low = two_sum(high_a, low_a + gap * share)
        m2 = m2_a + m2_b + gap * gap * (count_a * share)
        merged = (count, high, low, m2)
        if count_a.all() and count_b.all():
            return merged
        return tuple(
            np.where(count_b == 0, x, np.where(count_a == 0, y, z))
            for x, y, z in zip(a, b, merged, strict=True)
        )


class Position(Reduced):
    """An extreme and where in the stream it is first."""

    components = 2

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


class Binning(NamedTuple):
    """Bins of a histogram: so many equal ones between two ends, or those between edges."""

    number: int
    ends: tuple[float, float] | None = None
    edges: tuple[float, ...] | None = None

    @property
    def as_numpys(self) -> dict[str, Any]:
        """Arguments with which `numpy.histogram` makes these bins."""
        if self.edges is not None:
            return {"bins": np.array(self.edges)}
        return {"bins": self.number, "range": self.ends}

    def edges_of(self, dtype: DType) -> Array:
        """Return the edges as NumPy has them for elements of a dtype."""
        if is_low_precision(dtype) or dtype.kind == "b":
            dtype = np.dtype(np.float32)
        return np.histogram_bin_edges(np.empty(0, dtype), **self.as_numpys)


class Bins(Direct):
    """How many elements are below all bins, in each bin by NumPy's rule, and above all."""

    def __init__(self, bins: Binning) -> None:
        super().__init__()
        self._bins = bins

    def read(self, chunk: Chunk, before: tuple[Array] | None) -> tuple[Array]:
        inside, _ = histogram(chunk.x, **self._bins.as_numpys, axis=chunk.axes)
        inside = inside.reshape(-1, self._bins.number)
        counts = np.zeros((len(inside), self._bins.number + 2), np.int64)
        counts[:, 1:-1] = inside
        if inside.sum() < chunk.x.size:
            # Rounded as NumPy rounds them: equal bins to the dtype of the stream, given edges not.
            low, high = self._bins.edges_of(chunk.x.dtype)[:: self._bins.number]
            counts[:, 0] = np.count_nonzero(chunk.by_lane < low, axis=1)
            counts[:, -1] = np.count_nonzero(chunk.by_lane > high, axis=1)
        return (counts if before is None else before[0] + counts,)

    def merge(self, a: tuple[Array], b: tuple[Array], offset: int) -> tuple[Array]:
        return (a[0] + b[0],)


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

    def copied(self, value: list[QuantileSketch]) -> list[QuantileSketch]:
        return [copy.copy(sketch) for sketch in value]


#: Reducers that find what several others do: those, with where they begin in its state.
_JOINED: Final = (
    ("summary", {"moments": 0, "sum": 4, "min": 5, "max": 6}),
    ("minmax", {"min": 0, "max": 1}),
    ("nan_moments", {"nan_moments": 0, "valid": 0}),
    ("nan_mean", {"nansum": 0, "valid": 1}),
)

#: Slots of one call of an executor.
_MOST_SLOTS: Final = 16


class Reader:
    """Reads parts from a chunk at once, or at twice where some mask NaN out.

    Parameters
    ----------
    parts : list of Reduced
    """

    def __init__(self, parts: list[Reduced]) -> None:
        self.parts = parts
        joined = _join({(part.reducer, part.element) for part in parts if not part.masked})
        # Reducer, element, component and its type; in the order of the parts.
        self._slots: list[tuple[str, str, int, str]] = []
        for part in parts:
            key = part.reducer, part.element
            reducer, first = (part.reducer, 0) if part.masked else joined.get(key, (key[0], 0))
            types = REDUCERS[reducer].state[part.element]
            for component in range(first, first + part.components):
                self._slots.append((reducer, part.element, component, types[component]))
        masks = [part.masked for part in parts for _ in range(part.components)]
        self._calls: list[tuple[bool, list[int]]] = []
        for masked in (False, True):
            some = [i for i, mask in enumerate(masks) if mask is masked]
            for first in range(0, len(some), _MOST_SLOTS):
                self._calls.append((masked, some[first : first + _MOST_SLOTS]))

    @property
    def reads(self) -> int:
        """How many times a chunk is read."""
        return len(self._calls)

    def read(self, chunk: Chunk) -> list[Any]:
        """Return the values of the parts."""
        shape = chunk.full_shape
        outs = [np.empty(shape, dtype) for *_, dtype in self._slots]
        for masked, some in self._calls:
            slots = []
            for i in some:
                reducer, element, component, _ = self._slots[i]
                slots.append(Slot(reducer, element, "value", outs[i], component=component))
            execute(chunk.x, chunk.axes, slots, None, skip_nan=masked)
        found = (out.reshape(-1) for out in outs)
        return [part.value([next(found) for _ in range(part.components)]) for part in self.parts]


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
