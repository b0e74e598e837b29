"""What a quantile sketch is made of: its sizes, sorted blocks, and its arguments."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

from .. import executors
from ..reduce.request import Array, DType, code_of

#: Elements up to which `error` is a promise for any stream; beyond, `error_bound` still tells.
_PROMISED: Final = 1 << 40
_LARGEST_BLOCK: Final = 1 << 16


class Plan(NamedTuple):
    """Sizes: of a block of the stream, of the steps in it that are kept, of a level."""

    block: int
    step: int
    capacity: int


@lru_cache(maxsize=64)
def plan_of(error: float) -> Plan:
    """Choose the sizes so that the bound of `QuantileSketch`'s notes stays below `error`."""
    block = min(_LARGEST_BLOCK, 1 << math.ceil(math.log2(80 / error)))
    step = 1 << min(4, max(0, math.floor(math.log2(error * block / 4))))
    left = error - (step - 1) / (2 * block)
    for levels in range(1, 64):
        capacity = max(32, 2 * math.ceil(levels / (4 * left)))
        if capacity * step << levels > _PROMISED:  # no more levels are ever compacted
            return Plan(block, step, capacity)
    raise AssertionError("unreachable: levels grow, and what they hold with them")


class Buffer:
    """Elements that wait until they are a block."""

    def __init__(self, block: int, dtype: DType) -> None:
        self.block, self.size = block, 0
        self._memory = np.empty(0, dtype)

    @property
    def elements(self) -> Array:
        return self._memory[: self.size]

    def put(self, x: Array) -> Array | None:
        """Take elements while there is room, and return the full block if they fill it."""
        end = self.size + x.size
        if end > self._memory.size:
            room = min(self.block, max(end, 2 * self._memory.size))
            self._memory = np.concatenate([self.elements, np.empty(room - self.size, x.dtype)])
        self._memory[self.size : end] = x
        self.size = end % self.block
        return self._memory if end == self.block else None

    def __getstate__(self) -> dict[str, Any]:
        return {"block": self.block, "size": self.size, "_memory": self.elements.copy()}


def sorted_steps(x: Array, block: int, step: int, first: Array) -> Array:
    """Sort blocks of `x`, and keep each block's elements ``first``, ``first + step``...

    Parameters
    ----------
    x : numpy.ndarray
        Whole blocks of a compiled dtype, without NaN: 1-d, contiguous, aligned, in native order.
    block, step : int
        Elements of a block; `step` divides them.
    first : numpy.ndarray of int64
        For each block, below `step`.

    Returns
    -------
    numpy.ndarray
        A row for each block; -0.0 has become 0.0.
    """
    blocks = x.size // block
    kept = np.empty((blocks, block // step), x.dtype)
    if executors.backend() == "native":
        from .. import _core

        _core.sorted_steps(x, block, step, first, kept)
    else:
        x = x.reshape(blocks, block)
        x = np.sort(x + x.dtype.type(0) if x.dtype.kind == "f" else x, axis=1)
        kept[...] = np.take_along_axis(x, first[:, None] + np.arange(0, block, step), axis=1)
    return kept


#: Elements of a piece: enough blocks for all threads.
_PIECE: Final = 1 << 20


def contiguous_pieces(x: Array, dtype: DType) -> Iterator[Array]:
    """Give the elements of `x` in C order as 1-d contiguous arrays of `dtype`, never all copied.

    A piece may be overwritten by the next.
    """
    if x.size == 0:
        return
    if x.dtype == dtype and x.dtype.isnative and x.flags.c_contiguous and x.flags.aligned:
        x = x.reshape(-1)
        for start in range(0, x.size, _PIECE):
            yield x[start : start + _PIECE]
        return
    flags: Any = [["readonly", "aligned", "nbo", "contig"]]  # stubs know no "contig"
    pieces = np.nditer(
        [x],
        ["external_loop", "buffered"],
        flags,
        op_dtypes=[dtype],
        order="C",
        casting="same_kind",
        buffersize=_PIECE,
    )
    with pieces:
        for piece in pieces:
            yield np.asarray(piece)


def stored_dtype(dtype: DType) -> DType:
    """Return the compiled dtype that holds every element of a dtype that `code_of` knows."""
    return np.dtype(np.uint8) if dtype.kind == "b" else np.dtype(code_of(dtype))


def read_shares(function: str, argument: str, q: Any, whole: float = 1.0) -> Array:
    """Return quantiles, or percentiles where `whole` is 100, as shares of 1."""
    try:
        shares = np.asarray(q, dtype=np.float64) / whole
    except (TypeError, ValueError):
        shares = np.array(np.nan)
    if not np.all((shares >= 0) & (shares <= 1)):  # not so for NaN
        raise ValueError(
            f"{function}: argument {argument!r}: expected numbers between 0 and {whole:g}, got "
            f"{q!r}"
        )
    return shares


def read_error(function: str, error: Any) -> float:
    try:
        found = float(error)
    except (TypeError, ValueError):
        found = np.nan
    if not 1e-5 <= found <= 0.25:
        raise ValueError(
            f"{function}: argument 'error': expected a share between 1e-5 and 0.25, got {error!r}"
        )
    return found
