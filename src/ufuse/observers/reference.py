"""Counting in plain NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .observer import singles
from .parameters import Array


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
