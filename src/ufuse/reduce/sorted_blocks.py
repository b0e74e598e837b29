"""Every so many-th element of sorted blocks: what a quantile sketch keeps of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from .. import executors
from .request import Array, DType


class Steps(NamedTuple):
    """Of each block a row: what is kept, its smallest and largest element, how many are NaN.

    Rows of blocks that hold NaN are not written, but for their count.
    """

    kept: Array
    ends: Array
    nans: Array


def sorted_steps(x: Array, block: int, step: int, first: Array) -> Steps:
    """Sort blocks of `x`, and keep each block's elements ``first``, ``first + step``...

    Parameters
    ----------
    x : numpy.ndarray
        Whole blocks of a compiled dtype: 1-d, contiguous, aligned, in native byte order.
    block, step : int
        Elements of a block; `step` divides them.
    first : numpy.ndarray of int64
        For each block, below `step`.
    """
    blocks = x.size // block
    steps = Steps(
        np.empty((blocks, block // step), x.dtype),
        np.empty((blocks, 2), x.dtype),
        np.zeros(blocks, np.int64),
    )
    if executors.backend() == "native":
        from .. import _core

        _core.sorted_steps(x, block, step, first, steps.kept, steps.ends, steps.nans)
    else:
        _by_numpy(x.reshape(blocks, block), step, first, steps)
    return steps


def _by_numpy(x: Array, step: int, first: Array, steps: Steps) -> None:
    if x.dtype.kind == "f":
        x = x + x.dtype.type(0)  # -0.0 to 0.0
        steps.nans[...] = np.isnan(x).sum(axis=1)
    x = np.sort(x, axis=1)
    steps.kept[...] = np.take_along_axis(x, first[:, None] + np.arange(0, x.shape[1], step), axis=1)
    steps.ends[...] = x[:, [0, -1]]


#: Elements that are gathered at a time: with their sorted copies they fit a last-level cache.
_GATHERED: Final = 1 << 18


def contiguous_pieces(x: Array, dtype: DType) -> Iterator[Array]:
    """Give the elements of `x` in C order as 1-d contiguous arrays of `dtype`, never all copied.

    A piece may be overwritten by the next.
    """
    if x.size == 0:
        return
    if x.dtype == dtype and x.dtype.isnative and x.flags.c_contiguous and x.flags.aligned:
        yield x.reshape(-1)
        return
    flags: Any = [["readonly", "aligned", "nbo", "contig"]]  # stubs know no "contig"
    pieces = np.nditer(
        [x],
        ["external_loop", "buffered"],
        flags,
        op_dtypes=[dtype],
        order="C",
        casting="same_kind",
        buffersize=_GATHERED,
    )
    with pieces:
        for piece in pieces:
            yield np.asarray(piece)
