"""Moving windows by the C++ core: `csrc/window/kernels.hpp` describes what it does."""

from __future__ import annotations

import numpy as np

from .. import _core
from ..reduce.request import Array
from . import reference


def move_reduce(
    x: Array, op: str, out: Array, axis: int, window: int, min_count: int, ddof: float
) -> None:
    """Fill `out`, which does not overlap `x`."""
    if x.dtype.type is np.longdouble and x.dtype.itemsize != 8:  # wider than what is compiled
        reference.move_reduce(x, op, out, axis, window, min_count, ddof)
        return
    _core.move_reduce(x, op, out, axis, window, min_count, ddof)
