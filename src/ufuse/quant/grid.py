"""Scales and zero points laid over an array: for all, per index of an axis, per block."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


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

    def parts(self, *arrays: Array) -> Iterator[tuple[Array, ...]]:
        """Cut arrays into views with an axis per block and one within, which NumPy can broadcast.

        Parameters
        ----------
        *arrays : ndarray
            Of the blocked shape, or of that of the grid.

        Yields
        ------
        tuple of ndarray
            Views of the same dimensions: whole blocks first, then the ragged ones, by axis.
        """
        cuts: list[list[tuple[int, int, int]]] = []  # first block, blocks, elements in each
        for extent, size in zip(self.shape, self.size, strict=True):
            if size == 1 or size >= extent:
                cuts.append([(0, 1, extent)])
                continue
            whole, rest = divmod(extent, size)
            cuts.append([(0, whole, size)] + ([(whole, 1, rest)] if rest else []))
        for part in product(*cuts):
            yield tuple(self._part(array, part) for array in arrays)

    def _part(self, array: Array, part: tuple[tuple[int, int, int], ...]) -> Array:
        full = array.shape == self.shape
        index: list[slice] = []
        shape: list[int] = []
        for (first, count, elements), size, extent in zip(part, self.size, self.shape, strict=True):
            if size == 1 or size >= extent:
                index.append(slice(None))
                shape.append(array.shape[len(index) - 1])
            else:
                start = first * size if full else first
                index.append(slice(start, start + count * (elements if full else 1)))
                shape += [count, elements if full else 1]
        view = array[tuple(index)]
        split = view.reshape(shape)
        # An axis in two is a view of any strides; where it were not, results would be lost.
        assert split.size == 0 or np.may_share_memory(split, array)
        return split


def per_axis(value: Array, shape: tuple[int, ...], axis: int) -> Array:
    """Shape one value per index of `axis` so that it broadcasts against `shape`."""
    return value.reshape([-1 if i == axis else 1 for i in range(len(shape))])
