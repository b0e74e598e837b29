"""Counting, and what quantizing costs, in plain NumPy."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from .observer import singles
from .parameters import Array, Levels

#: Elements of a temporary: candidates times bins.
_BLOCK: Final = 1 << 17


class Seen(NamedTuple):
    """What `count_leading` finds besides the counts."""

    low: float
    high: float
    bits: int
    nans: int


def count_leading(x: Array, counts: Array) -> Seen | None:
    """Count elements by the leading bits of their float32.

    Parameters
    ----------
    x : ndarray
        Real numbers.
    counts : ndarray
        int64, a power of two of them, to which is added: one for each pattern of the leading bits.

    Returns
    -------
    Seen or None
        The smallest and largest as float32 (inf and -inf of none), all bits that an element has,
        and how many are NaN, which are not counted. None, and nothing counted, where one is
        infinite.
    """
    shift = 32 - (counts.size.bit_length() - 1)
    added = np.zeros_like(counts)
    low, high, bits, nans = np.float32(np.inf), np.float32(-np.inf), np.uint32(0), 0
    for piece in singles(x):
        bits |= np.bitwise_or.reduce(piece.view(np.uint32))
        finite = piece[~np.isnan(piece)]
        nans += piece.size - finite.size
        if finite.size == 0:
            continue
        low, high = min(low, finite.min()), max(high, finite.max())
        if np.isinf(low) or np.isinf(high):
            return None
        added += np.bincount(finite.view(np.uint32) >> np.uint32(shift), minlength=counts.size)
    counts += added
    return Seen(float(low), float(high), int(bits), nans)


class Octaves(NamedTuple):
    """Bins of magnitudes: each octave below ``2**top`` in ``2**fraction_bits`` of them."""

    top: int
    octaves: int
    fraction_bits: int

    @property
    def half(self) -> int:
        """Bins of one sign."""
        return self.octaves << self.fraction_bits

    @property
    def bins(self) -> int:
        """Bins of either sign, and one between them for what is smaller."""
        return 2 * self.half + 1


def count_octaves(x: Array, over: tuple[int, ...], octaves: Octaves) -> Array:
    """Count the elements of each stream in bins, from the most negative on.

    Parameters
    ----------
    x : ndarray
        Real numbers, less than ``2**top`` as float32; NaN are not counted.
    over : tuple of int
        The axes that have a stream per index, rising.
    octaves : Octaves
        The bins.

    Returns
    -------
    ndarray
        int64: indices of these axes, bins.
    """
    shape = tuple(x.shape[axis] for axis in over)
    result = np.zeros((*shape, octaves.bins), np.int64)
    below = ((octaves.top - octaves.octaves + 127) << octaves.fraction_bits) - 1
    moved = np.moveaxis(x, over, range(len(over)))
    for index in np.ndindex(shape):
        for piece in singles(moved[index]):
            values = piece[~np.isnan(piece)]
            keys = (values.view(np.uint32) & 0x7FFFFFFF) >> np.uint32(23 - octaves.fraction_bits)
            places = np.maximum(keys.astype(np.int64) - below, 0)
            slots = octaves.half + np.where(np.signbit(values), -places, places)
            result[index] += np.bincount(slots, minlength=octaves.bins)
    return result


class Streams(NamedTuple):
    """Elements of some streams: float64, in one dimension; starts are int64, one more than streams.

    Attributes
    ----------
    points, numbers : ndarray
        Where elements are that are known, and how many.
    point_start : ndarray
        Where in these the streams begin, and where the last one ends.
    edges, jumps : ndarray
        The other elements are spread evenly between edges: the density left of each less that
        right of it.
    edge_start : ndarray
        Where in these the streams begin, and where the last one ends.
    """

    points: Array
    numbers: Array
    point_start: Array
    edges: Array
    jumps: Array
    edge_start: Array

    @property
    def size(self) -> int:
        return self.point_start.size - 1

    def one(self, index: int) -> tuple[Array, Array, Array, Array]:
        """Return the points, numbers, edges and jumps of one stream."""
        points = slice(*self.point_start[index : index + 2])
        edges = slice(*self.edge_start[index : index + 2])
        return self.points[points], self.numbers[points], self.edges[edges], self.jumps[edges]


def squared_errors(
    streams: Streams, levels: Levels, scale: Array, least: Array, most: Array
) -> Array:
    """Return the squared errors of quantizing elements, of each candidate.

    Parameters
    ----------
    streams : Streams
        The elements.
    levels : Levels
        What they are rounded to, in steps of a scale.
    scale : ndarray
        float64: of each stream's candidates the scale.
    least, most : ndarray
        The first and the last level of each, in steps of its scale.
    """
    result = np.empty(scale.shape)
    for index in range(streams.size):
        points, numbers, edges, jumps = streams.one(index)
        number = max(1, _BLOCK // max(1, points.size + edges.size))
        for start in range(0, scale.shape[1], number):
            part = (index, slice(start, start + number))
            step = scale[part]
            inverse, ends = 1 / step[:, None], (least[part][:, None], most[part][:, None])
            place = points * inverse
            place -= _nearest(np.clip(place, *ends), levels)[0]
            found = (place * place) @ numbers
            place = edges * inverse
            level, integral = _nearest(np.clip(place, *ends), levels)
            place -= level
            found += ((place * place * place / 3 + integral) @ jumps) * step
            result[part] = found * step**2
    return result


def _nearest(x: Array, levels: Levels) -> tuple[Array, Array]:
    """Return the nearest levels, of two the even ones, and integrals from 0 up to them.

    Of the squared distance to the nearest level: of a whole step of 1 it is 1/12.
    """
    if levels.fraction < 0:
        level = np.rint(x)
        return level, level / 12
    # All floats from 0 on, to twice the largest.
    octaves = 1 if x.size == 0 else max(1, int(np.frexp(np.abs(x).max() / levels.normal)[1]) + 1)
    parts = np.arange(1 << levels.fraction) / (1 << levels.fraction)
    normals = np.ldexp(1 + parts, np.arange(octaves)[:, None]).reshape(-1)
    floats = np.concatenate([parts, normals]) * levels.normal
    integrals = np.cumsum(np.append(0, np.diff(floats) ** 3 / 12))
    size = np.abs(x)
    below = np.searchsorted(floats, size, "right") - 1
    above = np.minimum(below + 1, floats.size - 1)
    down, up = size - floats[below], floats[above] - size
    index = np.where((up < down) | ((up == down) & (below % 2 == 1)), above, below)
    return np.copysign(floats[index], x), np.copysign(integrals[index], x)


#: What an empty bin counts instead of 0, taken from the others.
_SMOOTHING: Final = 1e-4


def divergences(counts: Array, levels: int) -> Array:
    """Return how much histograms diverge from what quantizing makes of them (Kullback-Leibler).

    Parameters
    ----------
    counts : ndarray
        float64: of each stream how many elements are in each of some bins of equal width.
    levels : int
        How many levels they are quantized to.

    Returns
    -------
    ndarray
        Of each stream, for ranges of ``levels // 2`` bins to either side of the middle one, and one
        more each, up to all. What is beyond counts at its ends.
    """
    streams, bins = counts.shape
    middle = bins // 2
    sums = np.concatenate([np.zeros((streams, 1)), np.cumsum(counts, 1)], 1)
    result = np.empty((streams, middle + 1 - levels // 2))
    for stream in range(streams):
        for k, half in enumerate(range(levels // 2, middle + 1)):
            first, last = middle - half, min(middle + half + 1, bins)
            inside = counts[stream, first:last]
            clipped = inside.copy()
            clipped[0] += sums[stream, first]
            clipped[-1] += sums[stream, -1] - sums[stream, last]
            result[stream, k] = _divergence(clipped, _levels(inside, clipped != 0, levels))
    return result


def _levels(counts: Array, filled: Array, number: int) -> Array:
    """Return what quantizing to so many levels, and back, makes of counts.

    A level's count is shared out evenly among all its bins, in whole numbers, by how many of them
    are filled. What is left of the bins when they are dealt to levels counts with the last level,
    and gets nothing.
    """
    width = counts.size // number
    whole = width * number
    level = counts[:whole].reshape(number, width).sum(1)
    level[-1] += counts[whole:].sum()
    among = np.count_nonzero(filled[:whole].reshape(number, width), axis=1)
    share = np.where(among > 0, np.floor(level / np.maximum(among, 1)), 0)
    result = np.zeros(counts.size)
    result[:whole] = np.repeat(share, width)
    return result


def _divergence(counts: Array, quantized: Array) -> float:
    p, q = _smoothed(counts), _smoothed(quantized)
    if p is None or q is None:
        return float(np.inf)
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def _smoothed(counts: Array) -> Array | None:
    """Return the counts with a little in empty bins; None where others do not have that much."""
    empty = counts == 0
    number = np.count_nonzero(empty)
    if number == counts.size:
        return None
    taken = _SMOOTHING * number / (counts.size - number)
    result = np.where(empty, _SMOOTHING, counts - taken)
    return result if result.min() > 0 else None
