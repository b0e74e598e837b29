"""Errors of records that no program decodes: their decoder writes a slab, which is compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..executors import empty
from .cast import cast
from .programs import caster
from .record import Box, Record, extents
from .sums import joined, sums_of

Array = NDArray[Any]

#: Elements that are decoded at a time: 4 MB of float32, beside as much of other floats converted.
SLAB = 1 << 20

_SINGLE = np.dtype(np.float32)


def add_sums(x: Array, q: Record, axis: int | None, sums: Array) -> None:
    """Add what `sums.sums_of` gives, for each index of `axis`, a slab at a time.

    Parameters
    ----------
    x : ndarray
        float32, float64, float16 or bfloat16, of any strides and byte order.
    q : Record
        Of the shape of `x`.
    axis : int or None
        None for one row of sums.
    sums : ndarray
        float64, shape (indices of the axis or 1, 6): added to.
    """
    same = caster("f4", "f4", "half_even", False)
    for box, numbers, decoded in slabs(x, q):
        if axis is None:
            sums[:] = joined(sums, sums_of(same, numbers, [decoded], 0))
        else:  # a lane for each index that the slab has
            lanes, *inputs = (np.moveaxis(a, axis, 0) for a in (numbers, decoded))
            sums[box[axis]] = joined(sums[box[axis]], sums_of(same, lanes, inputs, 1))


def slabs(x: Array, q: Record) -> Iterator[tuple[Box, Array, Array]]:
    """Yield parts of two arrays, and where they are: of x as float32, and of what q stands for.

    The arrays are written over by the next ones.
    """
    q = q._plain()
    scratch, converted = np.empty(0, _SINGLE), np.empty(0, _SINGLE)
    single = x.dtype.newbyteorder("=") == _SINGLE
    for box in q._boxes(SLAB):
        shape = extents(box)
        size = int(np.prod(shape, dtype=np.int64))
        if size > scratch.size:  # of the first box: others are no larger
            scratch = empty((size,), _SINGLE)
            converted = converted if single else empty((size,), _SINGLE)
        decoded = scratch[:size].reshape(shape)
        q._decode_box(box, decoded)
        part = np.asarray(x[box])  # of no axes a number
        if not single:
            part = cast(part, _SINGLE, saturate=False, out=converted[:size].reshape(shape))
        yield box, part, decoded
