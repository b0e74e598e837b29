"""How a tensor is divided into streams, each of which gets a range."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..quant.arguments import read_axis, read_blocks
from ..quant.grid import Blocks
from .parameters import Array


class Layout:
    """One stream for all elements, one per index of an axis, or one per block.

    Parameters
    ----------
    function : str
        What errors name.
    axis : int or None
        The axis.
    block_size : int, tuple of int, or None
        Elements of a block along the axis; or, without one, along each axis.
    """

    def __init__(self, function: str, axis: Any, block_size: Any) -> None:
        self.axis = read_integer(function, "axis", axis)
        if isinstance(block_size, (tuple, list)):
            if not block_size:
                raise ValueError(
                    f"{function}: argument 'block_size': expected a size for each axis, got "
                    f"{block_size!r}; leave it out for one range"
                )
            self.block_size: int | tuple[int, ...] | None = tuple(
                read_size(function, "block_size", size, 1) or 1 for size in block_size
            )
            if self.axis is not None:
                raise ValueError(
                    f"{function}: argument 'block_size': expected an int, the size along axis "
                    f"{self.axis}, got {block_size!r}; sizes for each axis go without axis="
                )
        else:
            self.block_size = read_size(function, "block_size", block_size, 1)
            if self.block_size is not None and self.axis is None:
                raise ValueError(
                    f"{function}: argument 'block_size': blocks are cut along an axis; pass axis=, "
                    "or a size for each axis"
                )

    @property
    def is_whole(self) -> bool:
        """Whether all elements are one stream."""
        return self.axis is None and self.block_size is None

    def blocks(self, shape: tuple[int, ...], function: str = "observers") -> Blocks | None:
        """Return the blocks of a batch; None where there are none."""
        name = function.removeprefix("ufuse.")
        return read_blocks(shape, self.axis, self.block_size, name)

    def read_axis(self, x: Array, function: str) -> int | None:
        """Return which axis of a batch it is; raise where that has none, or does not fit."""
        if self.axis is None:
            self.blocks(x.shape, function)
            return None
        return read_axis(self.axis, x.ndim, function.removeprefix("ufuse."))

    def fixed(self, x: Array, axis: int | None) -> tuple[int, ...]:
        """Return what all batches have in common of their shape."""
        if self.block_size is not None:
            return x.shape
        return () if axis is None else x.shape[axis : axis + 1]

    def expected(self, shape: tuple[int, ...] | None, x: Array, axis: int | None) -> str:
        """Return what was expected of a batch that does not fit; nothing where it does."""
        if shape is None or self.fixed(x, axis) == shape:
            return ""
        if self.block_size is None:
            return f"{shape[0]} indices on axis {self.axis}"
        return f"shape {shape}"

    def like(self, shape: tuple[int, ...]) -> tuple[Array, int | None]:
        """Return an array, and its axis, that is divided as batches of such a `fixed` shape are."""
        array = np.broadcast_to(np.float32(0), shape)
        if self.axis is None:
            return array, None
        return array, 0 if self.block_size is None else self.axis % len(shape)

    def parts(self, x: Array, axis: int | None) -> Iterator[tuple[Array, Array, tuple[int, ...]]]:
        """Cut a batch into views of streams of one length each.

        Yields
        ------
        numbers : ndarray
            Of each stream in the view, its number: places in the ranges, flattened.
        part : ndarray
            The view.
        over : tuple of int
            Which axes of the view have a stream per index, in the order of those of `numbers`.
        """
        blocks = self.blocks(x.shape)
        if blocks is None:
            assert axis is not None
            yield np.arange(x.shape[axis]), x, (axis,)
            return
        every = np.arange(int(np.prod(blocks.grid, dtype=np.int64))).reshape(blocks.grid)
        for part, numbers in blocks.parts(x, every):
            over = tuple(i for i in range(part.ndim) if numbers.shape[i] == part.shape[i])
            if over:
                yield numbers.reshape([numbers.shape[i] for i in over]), part, over
            else:
                yield numbers.reshape(1), part[None], (0,)


def read_integer(function: str, name: str, value: Any) -> int | None:
    """Return an integer argument, or None."""
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{function}: argument {name!r}: expected an int or None, got {value!r}"
        ) from None


def read_size(function: str, name: str, value: Any, least: int) -> int | None:
    """Return an integer argument of at least so much, or None."""
    found = read_integer(function, name, value)
    if found is not None and found < least:
        raise ValueError(f"{function}: argument {name!r}: expected at least {least}, got {value!r}")
    return found
