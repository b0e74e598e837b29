"""Tensors of a file as matrices that are read a tile at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..formats import gguf
from ..quant import cast
from .safetensors import DTYPES

Array = NDArray[Any]

#: Elements of a tile. A conversion holds a few float32 arrays of this size, 4 MiB each.
TILE: Final = 1 << 20
#: Columns are cut at multiples of it: no format's block is longer, and codes fill their bytes.
_COLUMNS: Final = 256
#: What is quantized; other tensors are copied.
FLOATS: Final = ("F64", "F32", "F16", "BF16")


class Tensor(NamedTuple):
    """A tensor of a model file.

    Attributes
    ----------
    name : str
    dtype : str
        In the words of safetensors, or a kind of GGUF's.
    shape : tuple of int
    array : ndarray
        A view of the memory map: of `shape`; or the bytes of blocks, (..., bytes of a row).
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    array: Array

    @property
    def is_blocks(self) -> bool:
        """Whether it is in a block format of GGUF."""
        return self.dtype not in DTYPES

    @property
    def is_float(self) -> bool:
        """Whether it holds numbers that can be quantized."""
        return self.dtype in FLOATS or self.is_blocks


class Tile(NamedTuple):
    """Some whole rows, or a part of one."""

    first: int
    last: int
    left: int
    right: int


def tiles(rows: int, columns: int, block: int = 1) -> Iterator[Tile]:
    """Cut a matrix into tiles in the order of memory, columns at multiples of `block`."""
    if rows == 0 or columns == 0:
        return
    if columns <= TILE:
        step = TILE // columns
        for first in range(0, rows, step):
            yield Tile(first, min(rows, first + step), 0, columns)
        return
    unit = math.lcm(_COLUMNS, block)
    width = max(unit, TILE // unit * unit)
    for row in range(rows):
        for left in range(0, columns, width):
            yield Tile(row, row + 1, left, min(columns, left + width))


class Matrix:
    """A tensor of numbers seen as `rows` rows, which are read as float32."""

    def __init__(self, tensor: Tensor, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self._kind = tensor.dtype if tensor.is_blocks else None
        width = columns if self._kind is None else tensor.array.shape[-1]
        if tensor.is_blocks:
            # Rows of blocks are those of the last axis: other rows take several of them.
            width = math.prod(tensor.array.shape) // rows if rows else width
        self._data = tensor.array.reshape(rows, width)

    def tile(self, at: Tile) -> Array:
        """Return a tile: a view where it is float32, else a copy."""
        left, right = at.left, at.right
        if self._kind is not None:
            block, nbytes = gguf.block_size(self._kind), gguf.type_size(self._kind)
            left, right = left // block * nbytes, right // block * nbytes
        part = np.require(self._data[at.first : at.last, left:right], requirements="A")
        if self._kind is not None:
            result: Array = gguf.dequantize(part, self._kind)
            return result
        if part.dtype == np.float32:
            return part
        result = cast(part, np.float32, saturate=False)
        return result
