"""Broadcasting of shapes, in as many dimensions as arrays have, and arrays of shapes alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]


def stand_in(shape: Shape, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array of this shape and C-contiguous strides that nobody may read."""
    strides = [dtype.itemsize * math.prod(shape[i + 1 :]) for i in range(len(shape))]
    held = np.zeros(1, f"V{dtype.itemsize}")  # as_strided does not know the dtypes of ml_dtypes
    view = np.lib.stride_tricks.as_strided(held, shape, strides, writeable=False)
    return view.view(dtype)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """Return the shape that `shapes` broadcast to; `numpy.broadcast_shapes` stops at 32 dimensions.

    Raises
    ------
    ValueError
        If two sizes of an axis differ and neither is 1.
    """
    result = [1] * max(map(len, shapes), default=0)
    for shape in shapes:
        for place, size in enumerate(reversed(shape), 1):
            if result[-place] == 1:
                result[-place] = size
            elif size not in (1, result[-place]):
                raise ValueError(
                    "shape mismatch: objects cannot be broadcast to a single shape: "
                    + ", ".join(map(str, shapes))
                )
    return tuple(result)
