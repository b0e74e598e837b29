"""Many streams at once: one per index of an axis, or per block.

A stream's elements are kept themselves while they are few; of more, they are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from .. import executors
from .extremes import extremes_of
from .layout import Layout
from .observer import refuse_infinite
from .parameters import Array
from .reference import Octaves
from .spread import Histograms, Rows, Spread

#: What is counted of one stream before it is added: bytes of a temporary.
_TEMPORARY: Final = 1 << 22
#: Elements that one piece of the answer looks at.
_PIECE: Final = 1 << 17


class Form(NamedTuple):
    """How elements are kept."""

    kept: bool  # all of them, in the order they came; else they are counted
    bytes: int  # of one element


#: Exactly; the leading 16 bits of their float32; as counts.
_EXACT, _NARROW, _COUNTS = Form(True, 4), Form(True, 2), Form(False, 0)


class LaneCounts:
    """Elements of one stream per index of an axis, or per block.

    While there are few, all are kept. Counts have bins of so many bits of the fraction, of the
    largest exponents that any stream has; smaller elements share one bin. Neither what an element
    that came early is counted as, nor when counting begins, depends on the order: they follow from
    the largest element of all, and from how many there are.
    """

    FRACTION_BITS: Final = 5
    OCTAVES: Final = 20
    #: What the counts of one stream take.
    BYTES: Final = 4 * (2 * (OCTAVES << FRACTION_BITS) + 1)
    #: Elements of a stream that are kept, where counts have room: two fifths of what those take.
    KEPT: Final = 512
    #: What the extremes of one stream take.
    EXTREMES: Final = 8
    #: From so many elements of a stream on counts are int64: twice the bytes.
    WIDE: Final = 1 << 32
    #: All octaves are those of normal numbers.
    LEAST_TOP: Final = -126 + OCTAVES

    def __init__(self, layout: Layout, memory: int) -> None:
        self._layout = layout
        self._memory = memory
        self.lanes: tuple[int, ...] = ()
        self.shape: tuple[int, ...] | None = None  # of batches, as far as it is fixed
        self.low, self.high = np.full((2, 0), np.inf, np.float32)
        self._form = _EXACT
        self._seen = 0
        # Of each part of the layout one matrix per batch: streams, elements.
        self._kept: list[list[Array]] = []
        # Of each stream: negative ones from the most negative on, those near 0, then positive ones.
        self._counts = np.zeros((0, self._bins), np.uint32)
        self._top = self.LEAST_TOP  # all elements are less than 2**top

    @property
    def _bins(self) -> int:
        return 2 * (self.OCTAVES << self.FRACTION_BITS) + 1

    # --- batches --------------------------------------------------------------------------------

    def fits(self, x: Array, axis: int | None) -> str:
        """Return what was expected of a batch that does not fit; nothing where it does."""
        return self._layout.expected(self.shape, x, axis)

    def take(self, function: str, x: Array, axis: int | None) -> int:
        """Take in elements; return how many are NaN."""
        low, high, nans = extremes_of(x, self._layout, axis)
        some = low <= high
        if np.isinf(low[some]).any() or np.isinf(high[some]).any():
            refuse_infinite(function, x)
        form = self._form_of(f"{function}: argument 'batch'", low.size, self._seen + x.size)
        if self.shape is None:
            self._begin(self._layout.fixed(x, axis), low.shape)
        self._change_to(form, self._seen + x.size)
        self._extend(low, high)
        parts = self._layout.parts(x, axis)
        if form.kept:
            for kept, (_, part, over) in zip(self._kept, parts, strict=True):
                kept.append(_elements(part, over, form))
        else:
            for numbers, part, over in parts:
                self._count(numbers, part, over)
        self._seen += x.size
        return nans

    def _begin(self, shape: tuple[int, ...], lanes: tuple[int, ...]) -> None:
        self.shape, self.lanes = shape, lanes
        self.low = np.full(lanes, np.inf, np.float32)
        self.high = np.full(lanes, -np.inf, np.float32)
        self._kept = [[] for _ in self._layout.parts(*self._layout.like(shape))]

    def _form_of(self, what: str, lanes: int, elements: int) -> Form:
        """Return how so many elements are kept; raise where there is no room for them."""
        room = self._memory - self.EXTREMES * lanes
        counts = lanes * self.BYTES
        exact = lanes * self.KEPT * 4 if counts <= room else room
        if elements * _EXACT.bytes <= exact:
            return _EXACT
        if counts <= room:
            return _COUNTS
        if elements * _NARROW.bytes <= room:
            return _NARROW
        needed = lanes * self.EXTREMES + min(counts, elements * _NARROW.bytes)
        raise ValueError(
            f"{what}: expected what fits the {self._memory} bytes of memory=, got {elements} "
            f"elements in {lanes} ranges, which need {needed}; pass memory={needed}, larger blocks "
            "or fewer indices, or take MinMax, which keeps 8 bytes per range"
        )

    def _change_to(self, form: Form, seen: int) -> None:
        """Keep what is there as `form`, with room for so many elements in all."""
        if not form.kept:
            wide = np.uint32 if self._longest(seen) < self.WIDE else np.int64
            if self._form.kept:
                self._counts = np.zeros((self.low.size, self._bins), wide)
                self._raise_top()
                self._count_kept(self._kept, forget=True)
            elif self._counts.dtype != wide:
                self._counts = self._counts.astype(wide)
        elif form != self._form:
            for kept in self._kept:
                for i, matrix in enumerate(kept):
                    kept[i] = _narrowed(matrix)
        self._form = form

    def _longest(self, seen: int) -> int:
        """Return how many of so many elements the longest stream has."""
        assert self.shape is not None
        blocks = self._layout.blocks(self.shape)
        if blocks is None:
            return seen // self.low.size
        each = [min(size, extent) for size, extent in zip(blocks.size, blocks.shape, strict=True)]
        return seen // int(np.prod(blocks.shape)) * int(np.prod(each))

    def _count_kept(self, kept: list[list[Array]], forget: bool) -> None:
        """Count exact elements; let go of each batch then."""
        for (numbers, _, _), matrices in zip(self._numbered(), kept, strict=True):
            left = matrices if forget else matrices[:]
            while left:
                self._count(numbers.reshape(-1), left.pop(), (0,))

    def _numbered(self) -> Iterator[tuple[Array, Array, tuple[int, ...]]]:
        assert self.shape is not None
        return self._layout.parts(*self._layout.like(self.shape))

    def _count(self, numbers: Array, x: Array, over: tuple[int, ...]) -> None:
        """Count the elements of streams, some at a time."""
        octaves = Octaves(self._top, self.OCTAVES, self.FRACTION_BITS)
        count = executors.of(__package__).count_octaves
        longest = int(np.argmax(numbers.shape))
        extent = numbers.shape[longest]
        step = max(1, _TEMPORARY // self.BYTES * extent // max(1, numbers.size))
        for first in range(0, extent, step):
            which = slice(first, first + step)
            some = numbers[(slice(None),) * longest + (which,)].reshape(-1)
            found = count(x[(slice(None),) * over[longest] + (which,)], over, octaves)
            if some[-1] - some[0] + 1 == some.size:
                _add(self._counts[some[0] : some[-1] + 1], found)
            else:
                sums = self._counts[some]
                _add(sums, found)
                self._counts[some] = sums

    def _extend(self, low: Array, high: Array) -> None:
        self.low = np.minimum(self.low, low)
        self.high = np.maximum(self.high, high)
        if not self._form.kept:
            self._raise_top()

    def _raise_top(self, least: int = LEAST_TOP) -> None:
        """Make room for all elements."""
        some = self.low <= self.high
        top = max(least, _top_of(self.low[some], self.high[some]))
        if top > self._top:
            _move(self._counts, (top - self._top) << self.FRACTION_BITS)
            self._top = top

    def merge(self, function: str, other: LaneCounts) -> None:
        """Take in what another has; raise, and change nothing, where there is no room for it."""
        seen = self._seen + other._seen
        form = self._form_of(f"{function}: argument 'other'", other.low.size, seen)
        if self.shape is None:
            assert other.shape is not None
            self._begin(other.shape, other.lanes)
        self._change_to(form, seen)
        self._extend(other.low, other.high)
        self._seen = seen
        if form.kept:
            for mine, theirs in zip(self._kept, other._kept, strict=True):
                same = other._form == form
                mine.extend(theirs if same else [_narrowed(matrix) for matrix in theirs])
        elif other._form.kept:
            self._count_kept(other._kept, forget=False)
        else:
            step = (self._top - other._top) << self.FRACTION_BITS
            size = max(1, _TEMPORARY // self.BYTES)
            for first in range(0, len(self._counts), size):
                part = other._counts[first : first + size].copy()
                _move(part, step)
                _add(self._counts[first : first + size], part)

    @property
    def nbytes(self) -> int:
        kept = sum(matrix.nbytes for matrices in self._kept for matrix in matrices)
        return self._counts.nbytes + self.low.nbytes + self.high.nbytes + kept

    # --- what they come to ----------------------------------------------------------------------

    def pieces(self) -> Iterator[Rows | Histograms]:
        """Return all streams, some at a time."""
        low, high = self.low.reshape(-1), self.high.reshape(-1)
        if self._form.kept:
            yield from self._rows(low, high)
            return
        edges = self._magnitudes()
        size = max(1, _PIECE // self._bins)
        for first in range(0, len(self._counts), size):
            numbers = np.arange(first, min(first + size, len(self._counts)))
            lanes = zip(
                self._counts[numbers], low[numbers].tolist(), high[numbers].tolist(), strict=True
            )
            yield Histograms(numbers, [_spread(edges, *lane) for lane in lanes])

    def _rows(self, low: Array, high: Array) -> Iterator[Rows]:
        for (numbers, _, _), matrices in zip(self._numbered(), self._kept, strict=True):
            every = numbers.reshape(-1)
            width = sum(matrix.shape[1] for matrix in matrices)
            size = max(1, _PIECE // max(1, width))
            for first in range(0, every.size, size):
                part = every[first : first + size]
                rows = np.concatenate([matrix[first : first + size] for matrix in matrices], 1)
                yield Rows.of(part, rows, low[part], high[part])

    def _magnitudes(self) -> Array:
        """Return the edges of the bins of positive elements."""
        octave, part = np.divmod(
            np.arange((self.OCTAVES << self.FRACTION_BITS) + 1), 1 << self.FRACTION_BITS
        )
        edges: Array = np.ldexp(
            1 + part / (1 << self.FRACTION_BITS), self._top - self.OCTAVES + octave
        )
        return edges


def _spread(edges: Array, counts: Array, low: float, high: float) -> Spread:
    """Return a stream as its counts have it."""
    if not low <= high:
        return Spread.nothing()
    bins = counts.size // 2
    negative, positive = counts[:bins][::-1], counts[bins + 1 :]
    used = np.flatnonzero(negative | positive)
    # Those near 0 are at 0: less than a millionth of the largest.
    inner = np.concatenate([[0.0], edges[:-1][used]])
    outer = np.concatenate([[0.0], edges[1:][used]])
    minus = np.concatenate([[0], negative[used]])
    plus = np.concatenate([counts[bins : bins + 1], positive[used]])
    return Spread(inner, outer, minus, plus, low, high, False)


def _elements(x: Array, over: tuple[int, ...], form: Form) -> Array:
    """Return the elements of each stream, a row of its own."""
    moved = np.moveaxis(x, over, range(len(over)))
    kept = np.empty(moved.shape, np.float32 if form == _EXACT else np.uint16)
    longest = int(np.argmax(moved.shape))
    extent = moved.shape[longest]
    step = max(1, _TEMPORARY // 4 * extent // max(1, moved.size))
    for first in range(0, extent, step):
        which = (slice(None),) * longest + (slice(first, first + step),)
        # -0.0 is 0.0: the order of equal elements must not matter.
        part = moved[which].astype(np.float32) + np.float32(0)
        part[np.isnan(part)] = np.nan
        kept[which] = part if form == _EXACT else _narrowed(part)
    return kept.reshape(int(np.prod(moved.shape[: len(over)])), -1)


def _narrowed(rows: Array) -> Array:
    """Return the leading 16 bits of float32 numbers; NaN stay so."""
    return (np.ascontiguousarray(rows).view(np.uint32) >> np.uint32(16)).astype(np.uint16)


def _add(counts: Array, found: Array) -> None:
    np.add(counts, found.reshape(counts.shape), out=counts, casting="unsafe")


def _move(counts: Array, step: int) -> None:
    """Move counts to the bins that are `step` bins nearer to 0, in place."""
    bins = counts.shape[1] // 2
    step = min(step, bins)
    size = max(1, _TEMPORARY // (8 * counts.shape[1]))
    for first in range(0, len(counts) if step else 0, size):
        part = counts[first : first + size]
        moved = np.zeros_like(part)
        moved[:, bins] = part[:, bins - step : bins + step + 1].sum(1)
        moved[:, step:bins] = part[:, : bins - step]
        moved[:, bins + 1 : 2 * bins + 1 - step] = part[:, bins + 1 + step :]
        part[...] = moved


def _top_of(low: Array, high: Array) -> int:
    """Return the least exponent whose power of two is larger than all elements."""
    largest = max(float(-low.min()), float(high.max())) if low.size else 0.0
    return int(np.frexp(largest)[1]) if largest > 0 else -1000
