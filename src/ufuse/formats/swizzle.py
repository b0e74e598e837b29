"""Block scales in tiles, as block-scaled matrix products read them."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..quant.record import how_to_convert
from .blocks import Array

_TILE_ROWS: Final = 128
_TILE_COLUMNS: Final = 4


def to_blocked(scales: Array) -> Array:
    """Lay a matrix of block scales in tiles of 128 rows by 4, as block-scaled matrix products do.

    Parameters
    ----------
    scales : ndarray
        One byte each, shape (rows, columns).

    Returns
    -------
    ndarray
        Shape ``(32 * ceil(rows / 128), 16 * ceil(columns / 4))``, missing scales 0. In memory tile
        follows tile, in C order; within a tile, that of row r and column c is at byte
        ``16 * (r % 32) + 4 * (r // 32) + c`` (cuBLAS, "1D Block Scaling Factors Layout").

    Raises
    ------
    ValueError
        If `scales` is not a matrix of single bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from ufuse.formats import nvfp4
    >>> scales = np.arange(128 * 4, dtype=np.uint16).reshape(128, 4).astype(np.uint8)
    >>> nvfp4.to_blocked(scales)[0, :8]
    array([  0,   1,   2,   3, 128, 129, 130, 131], dtype=uint8)
    """
    function = "ufuse.formats.nvfp4.to_blocked"
    if not isinstance(scales, np.ndarray) or scales.ndim != 2 or scales.itemsize != 1:
        raise ValueError(
            f"{function}: argument 'scales': expected a matrix of single bytes, got "
            f"{getattr(scales, 'dtype', type(scales).__name__)} of shape {np.shape(scales)}"
            f"{'' if isinstance(scales, np.ndarray) else how_to_convert(scales, 'scales')}"
        )
    rows, columns = scales.shape
    tall, wide = -(-rows // _TILE_ROWS), -(-columns // _TILE_COLUMNS)
    padded = np.zeros((tall * _TILE_ROWS, wide * _TILE_COLUMNS), scales.dtype)
    padded[:rows, :columns] = scales
    # The four columns of a tile stay together: they move as one word.
    words = padded.view(np.uint32).reshape(tall, 4, 32, wide)
    tiles = np.ascontiguousarray(words.transpose(0, 3, 2, 1))
    return tiles.view(scales.dtype).reshape(blocked_shape(rows, columns))


def from_blocked(blocked: Array, rows: int, columns: int) -> Array:
    """Return the matrix of scales that `to_blocked` laid in tiles.

    Parameters
    ----------
    blocked : ndarray
        What `to_blocked` returned, or its bytes in any shape.
    rows, columns : int
        Shape of the matrix.

    Returns
    -------
    ndarray
        Shape (rows, columns).

    Raises
    ------
    TypeError
        If `blocked` is no ndarray.
    ValueError
        If `blocked` has not as many bytes as such a matrix gives.

    Examples
    --------
    >>> import numpy as np
    >>> from ufuse.formats import nvfp4
    >>> scales = np.uint8([[1, 2, 3], [4, 5, 6]])
    >>> nvfp4.from_blocked(nvfp4.to_blocked(scales), 2, 3)
    array([[1, 2, 3],
           [4, 5, 6]], dtype=uint8)
    """
    shape = blocked_shape(rows, columns)
    if not isinstance(blocked, np.ndarray):
        raise TypeError(
            "ufuse.formats.nvfp4.from_blocked: argument 'blocked': expected an ndarray of single "
            f"bytes, got {type(blocked).__name__}{how_to_convert(blocked, 'blocked')}"
        )
    if blocked.itemsize != 1 or blocked.size != shape[0] * shape[1]:
        raise ValueError(
            "ufuse.formats.nvfp4.from_blocked: argument 'blocked': expected "
            f"{shape[0] * shape[1]} bytes for {rows} rows and {columns} columns, got "
            f"{blocked.size} elements of {blocked.itemsize} bytes"
        )
    tall, wide = shape[0] // 32, shape[1] // 16
    words = np.ascontiguousarray(blocked).reshape(-1).view(np.uint32).reshape(tall, wide, 32, 4)
    padded = np.ascontiguousarray(words.transpose(0, 3, 2, 1)).view(blocked.dtype)
    return np.ascontiguousarray(
        padded.reshape(tall * _TILE_ROWS, wide * _TILE_COLUMNS)[:rows, :columns]
    )


def blocked_shape(rows: int, columns: int) -> tuple[int, int]:
    """Return the shape of the tiles of a matrix of scales."""
    return 32 * -(-rows // _TILE_ROWS), 16 * -(-columns // _TILE_COLUMNS)
