"""Scales and zero points laid over an array: for all, per index of an axis, per block."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_MOST_AXES: Final = 64  # NumPy's


class Blocks(NamedTuple):
    """How an array is divided: elements per block along each axis; the last may have fewer."""

    shape: tuple[int, ...]
    size: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, ...]:
        """Blocks along each axis: the shape of their scales."""
        return tuple(
            -(-extent // size) if size else 0
            for extent, size in zip(self.shape, self.size, strict=True)
        )

    @property
    def _axes(self) -> list[int]:
        """Return how many axes of the views of `parts` each axis of the array becomes.

        One whose blocks are single elements, or all of it, stays one; others become two, blocks and
        elements within. Where these would be more than NumPy has, axes of one element are left out:
        an array that fits in memory has enough of them (2**47 bytes have 47 axes of two, or 29 of
        three in two).
        """
        counts = [
            1 if size == 1 or size >= extent else 2
            for size, extent in zip(self.size, self.shape, strict=True)
        ]
        if sum(counts) <= _MOST_AXES:
            return counts
        return [
            count if extent != 1 else 0 for count, extent in zip(counts, self.shape, strict=True)
        ]

    def places(self, axis: int) -> tuple[int, ...]:
        """Return which axes of the views of `parts` an axis of the array has become."""
        counts = self._axes
        first = sum(counts[:axis])
        return tuple(range(first, first + counts[axis]))

    def parts(self, *arrays: Array) -> Iterator[tuple[Array, ...]]:
        """Cut arrays into views with an axis per block and one within, which NumPy can broadcast.

        Parameters
        ----------
        *arrays : ndarray
            Of the blocked shape, or of that of the grid.

        Yields
        ------
        tuple of ndarray
            Views of the same dimensions: whole blocks first, then the ragged ones, by axis. None of
            an array without elements.
        """
        if 0 in self.shape:
            return
        axes = self._axes
        cuts: list[list[tuple[int, int, int]]] = []  # first block, blocks, elements in each
        for extent, size, count in zip(self.shape, self.size, axes, strict=True):
            if count < 2:
                cuts.append([(0, 1, extent)])
                continue
            whole, rest = divmod(extent, size)
            cuts.append([(0, whole, size)] + ([(whole, 1, rest)] if rest else []))
        for part in product(*cuts):
            yield tuple(self._part(array, axes, part) for array in arrays)

    def _part(self, array: Array, axes: list[int], part: tuple[tuple[int, int, int], ...]) -> Array:
        full = array.shape == self.shape
        index: list[Any] = []
        shape: list[int] = []
        for (first, count, elements), size, become in zip(part, self.size, axes, strict=True):
            if become < 2:
                index.append(slice(None))
                shape += [array.shape[len(index) - 1]] * become
            else:
                start = first * size if full else first
                index.append(slice(start, start + count * (elements if full else 1)))
                shape += [count, elements if full else 1]
        split = array[(*index, ...)].reshape(shape)  # without the dots, of no axes a number
        # An axis in two is a view of any strides; where it were not, results would be lost.
        if split.size and not np.may_share_memory(split, array):
            raise RuntimeError(
                f"ufuse: blocks {self.size} of an array of shape {array.shape} and strides "
                f"{array.strides} are no view of it"
            )
        return split


def sizes_along(
    shape: tuple[int, ...], axis: int | None, block_size: int | tuple[int, ...] | None
) -> tuple[int, ...] | None:
    """Return how many elements along each axis share a scale; None where there is no such axis.

    `axis` may count from the end.
    """
    if isinstance(block_size, tuple):
        if len(block_size) != len(shape):
            return None
        return tuple(min(size, extent) for size, extent in zip(block_size, shape, strict=True))
    if axis is None:
        return shape
    if not -len(shape) <= axis < len(shape):
        return None
    along = axis % len(shape)
    if block_size is None:
        return tuple(1 if i == along else extent for i, extent in enumerate(shape))
    return tuple(min(block_size, extent) if i == along else 1 for i, extent in enumerate(shape))


def per_axis(value: Array, shape: tuple[int, ...], axis: int) -> Array:
    """Shape one value per index of `axis` so that it broadcasts against `shape`."""
    return value.reshape([-1 if i == axis else 1 for i in range(len(shape))])
