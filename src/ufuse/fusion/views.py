"""Views: other elements of the same array, by NumPy's basic slices, transposes and reshapes.

A view is recorded with the axes' sizes unknown, and resolved for given shapes. Views of one array
after another are a path, a tuple of resolved views; `shortened` brings a path to its shortest form,
in which what only adds or drops axes of size 1 is a reshape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .shapes import Shape, broadcast_shapes

Path = tuple["View", ...]
#: Start, stop and step of a slice.
Range = tuple[int | None, int | None, int | None]

ALL: Range = (None, None, None)


@dataclass(frozen=True)
class View:
    """One view of an array.

    Attributes
    ----------
    kind : {"index", "transpose", "reshape", "broadcast"}
    detail : tuple
        An index: for each axis an int or a range, and None for a new axis. A transpose: which axis
        each one was. A reshape: the shape, with -1 for what follows. A broadcast: the shape.
    """

    kind: Literal["index", "transpose", "reshape", "broadcast"]
    detail: tuple[Any, ...]

    def __str__(self) -> str:
        if self.kind == "index":
            return f"view [{', '.join(map(_entry_text, self.detail))}]"
        return f"view {self.kind}{self.detail}"

    def result_shape(self, shape: Shape) -> Shape:
        """Return the shape of the view of an array of some shape.

        Raises
        ------
        IndexError, ValueError
            NumPy's, where there is no such view.
        """
        if self.kind == "transpose":
            return tuple(shape[axis] for axis in self.detail)
        if self.kind == "broadcast":
            if broadcast_shapes(shape, self.detail) != self.detail:
                raise ValueError(
                    f"cannot broadcast an array of shape {shape} to shape {self.detail}"
                )
            return self.detail
        if self.kind == "reshape":
            return _reshaped(shape, self.detail)
        found = []
        axis = 0
        for entry in self.detail:
            if entry is None:
                found.append(1)
                continue
            size = shape[axis]
            if isinstance(entry, tuple):
                found.append(len(range(*slice(*entry).indices(size))))
            elif not -size <= entry < size:
                raise IndexError(f"index {entry} is out of bounds for axis {axis} with size {size}")
            axis += 1
        return tuple(found)

    def resolved(self, shape: Shape) -> View:
        """Return the view for an array of a known shape."""
        if self.kind == "reshape":
            return View("reshape", _reshaped(shape, self.detail))
        return self

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the view of an array; a copy where a reshape cannot be one."""
        if self.kind == "transpose":
            return array.transpose(self.detail)
        if self.kind == "reshape":
            return array.reshape(self.detail)
        if self.kind == "broadcast":
            return np.broadcast_to(array, self.detail)
        key = tuple(slice(*e) if isinstance(e, tuple) else e for e in self.detail)
        return np.asarray(array[key])


def _entry_text(entry: int | Range | None) -> str:
    if not isinstance(entry, tuple):
        return str(entry)
    start, stop, step = ("" if part is None else str(part) for part in entry)
    return f"{start}:{stop}" + (f":{step}" if step else "")


def _reshaped(shape: Shape, wanted: Shape) -> Shape:
    size = math.prod(shape)
    known = math.prod(n for n in wanted if n != -1)
    if -1 in wanted and known and size % known == 0:
        return tuple(size // known if n == -1 else n for n in wanted)
    if -1 in wanted or known != size:
        raise ValueError(f"cannot reshape array of size {size} into shape {wanted}")
    return wanted


def walk(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    """Return the view of an array at the end of a path."""
    for view in path:
        array = view.apply(array)
    return array


def end_of(path: Path, shape: Shape) -> Shape:
    """Return the shape at the end of a path."""
    for view in path:
        shape = view.result_shape(shape)
    return shape


def way_back(path: Path, shape: Shape) -> Path:
    """Return the view of the end of a path of all elements that is the array it began with."""
    found: list[View] = []
    for view in path:
        if view.kind == "transpose":
            order = view.detail
            back = View("transpose", tuple(order.index(axis) for axis in range(len(order))))
        else:
            back = View("reshape", shape)
        found.insert(0, back)
        shape = view.result_shape(shape)
    return tuple(found)


def shortened(path: Sequence[View], shape: Shape) -> Path:
    """Return the shortest path to the same view of an array of some shape."""
    found: list[View] = []
    shapes = [shape]
    for view in path:
        plain = _plain(view.resolved(shapes[-1]), shapes[-1])
        if plain is None:
            continue
        if found and found[-1].kind == plain.kind == "reshape":
            found.pop()
            shapes.pop()
            plain = None if plain.detail == shapes[-1] else plain
        elif found and found[-1].kind == plain.kind == "transpose":
            before = found.pop().detail
            shapes.pop()
            plain = _plain(View("transpose", tuple(before[a] for a in plain.detail)), shapes[-1])
        if plain is not None:
            found.append(plain)
            shapes.append(plain.result_shape(shapes[-1]))
    return tuple(found)


def _plain(view: View, shape: Shape) -> View | None:
    """Return the simplest view with the same elements, or None where it is the array itself."""
    result = view.result_shape(shape)
    if view.kind == "transpose":
        moved = [axis for axis in view.detail if shape[axis] != 1]
        if moved != sorted(moved):
            return view
    elif view.kind == "index":
        axes = iter(shape)
        for entry in view.detail:
            if entry is None:
                continue
            size = next(axes)
            if entry != ALL and size != 1:
                kept = isinstance(entry, tuple) and slice(*entry).indices(size) == (0, size, 1)
                if not kept:
                    return view
            elif entry != ALL and isinstance(entry, tuple) and result and 0 in result:
                return view
    elif view.kind == "broadcast" and math.prod(result) != math.prod(shape):
        return view
    return None if result == shape else View("reshape", result)


class NoViewError(Exception):
    """An operand that is broadcast has no view that goes with that of the result."""


def of_operand(path: Path, shape: Shape, operand: Shape) -> Path:
    """Return the path of an operand that broadcasts to `shape`, for a path of the result.

    What is made of the operand, seen so, is what is made of it and then seen by `path`, up to
    broadcasting.

    Raises
    ------
    NoViewError
        Where a reshape joins axes that the operand is broadcast along with others.
    """
    found: list[View] = []
    here = (1,) * (len(shape) - len(operand)) + operand
    if here != operand:
        found.append(View("reshape", here))
    for view in path:
        after = view.result_shape(shape)
        mine = view
        if view.kind == "reshape" and here != shape:
            mine = View("reshape", _reshaped_operand(shape, after, here))
        elif view.kind == "index" and here != shape:
            mine = _indexed_operand(view, shape, here)
        found.append(mine)
        shape, here = after, mine.result_shape(here)
    return shortened(found, operand)


def _indexed_operand(view: View, shape: Shape, operand: Shape) -> View:
    entries: list[Any] = []
    axis = 0
    for entry in view.detail:
        if entry is not None:
            broadcast = operand[axis] == 1 and shape[axis] != 1
            if broadcast:
                entries.append(ALL if isinstance(entry, tuple) else 0)
            else:
                entries.append(entry)
            axis += 1
        else:
            entries.append(None)
    return View("index", tuple(entries))


def _reshaped_operand(shape: Shape, wanted: Shape, operand: Shape) -> Shape:
    """Return what an operand of `shape` becomes where that becomes `wanted`."""
    if 0 in shape:
        raise NoViewError
    found: list[int] = []
    i = j = 0
    while i < len(shape) or j < len(wanted):
        # The least axes before and after that have as many elements.
        first, start = i, j
        before = after = 1
        while True:
            if before <= after and i < len(shape):
                before *= shape[i]
                i += 1
            elif j < len(wanted):
                after *= wanted[j]
                j += 1
            if before == after and (i > first or j > start):
                break
        # Axes of size 1 that follow belong to either group.
        real = [k for k in range(first, i) if shape[k] != 1]
        if all(operand[k] == shape[k] for k in real):
            found += wanted[start:j]
        elif all(operand[k] == 1 for k in real):
            found += [1] * (j - start)
        else:
            raise NoViewError
    return tuple(found)
