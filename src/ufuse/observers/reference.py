"""Counting, and what quantizing costs, in plain NumPy."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from .observer import singles
from .parameters import Array

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


def count_octaves(x: Array, axis: int, octaves: Octaves) -> Array:
    """Count the elements of each index of an axis in bins, from the most negative on.

    Parameters
    ----------
    x : ndarray
        Real numbers, less than ``2**top`` as float32; NaN are not counted.
    axis : int
        The axis.
    octaves : Octaves
        The bins.

    Returns
    -------
    ndarray
        int64: indices of the axis, bins.
    """
    result = np.zeros((x.shape[axis], octaves.bins), np.int64)
    below = ((octaves.top - octaves.octaves + 127) << octaves.fraction_bits) - 1
    for index, lane in enumerate(np.moveaxis(x, axis, 0)):
        for piece in singles(lane):
            values = piece[~np.isnan(piece)]
            keys = (values.view(np.uint32) & 0x7FFFFFFF) >> np.uint32(23 - octaves.fraction_bits)
            places = np.maximum(keys.astype(np.int64) - below, 0)
            slots = octaves.half + np.where(np.signbit(values), -places, places)
            result[index] += np.bincount(slots, minlength=octaves.bins)
    return result


class Points(NamedTuple):
    """Where elements are, and how many."""

    at: Array
    number: Array


class Steps(NamedTuple):
    """Elements spread evenly between edges: the density left of each less that right of it."""

    edges: Array
    jumps: Array


def squared_errors(points: Points, steps: Steps, scale: Array, least: Array, most: Array) -> Array:
    """Return the squared errors of quantizing elements, of each candidate.

    Parameters
    ----------
    points : Points
        Elements of which each is known. All arrays are float64, in one dimension.
    steps : Steps
        The others.
    scale : ndarray
        Of each candidate the distance of its levels.
    least, most : ndarray
        Its levels are the multiples of `scale` from so many times on, up to so many times.
    """
    result = np.empty(scale.size)
    number = max(1, _BLOCK // max(1, points.at.size + steps.edges.size))
    for start in range(0, scale.size, number):
        part = slice(start, start + number)
        lowest, highest, step = least[part, None], most[part, None], scale[part]
        place = points.at / step[:, None]
        place -= np.rint(np.clip(place, lowest, highest))
        result[part] = ((place * place) @ points.number) * step**2
        place = steps.edges / step[:, None]
        level = np.rint(np.clip(place, lowest, highest))
        place -= level
        # The integral of the squared distance from 0 on; of a whole step it is 1/12.
        result[part] += ((place * place * place / 3 + level / 12) @ steps.jumps) * step**3
    return result
