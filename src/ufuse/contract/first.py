"""A first product of two arrays of one float type, from subscripts to the core in few steps.

It does what `summation.contract` would, or declines. A call of two float32 8 x 8 takes 13 us where
its subscripts are new and 6 where the shapes are; through a plan both took 60 to 70.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import executors
from .pairs import SMALL, is_memory_bound
from .subscripts import parse

Array = NDArray[Any]

_CODES = {np.dtype(np.float32): "f4", np.dtype(np.float64): "f8"}
_BATCH, _ROWS, _COLS, _SHARED = range(4)


@lru_cache(maxsize=1024)
def _places(subscripts: str, a: int, b: int, function: str) -> tuple[tuple[int, ...], ...] | None:
    """Return what each label is, and its axis in the operands and the result: -1 where it has none.

    Parameters
    ----------
    subscripts : str
    a, b : int
        Dimensions of the operands.
    function : str
        For messages.

    Returns
    -------
    tuple of (int, int, int, int) or None
        Labels of the result, then shared ones, as `pairs.Pair` orders them; None where a label is
        in one of the three alone, or twice in an operand, or nothing is summed, or the operands'
        innermost shared labels differ.
    """
    equation = parse(subscripts, (a, b), function)
    left, right = equation.inputs
    out = equation.out
    in_left = {label: axis for axis, label in enumerate(left)}
    in_right = {label: axis for axis, label in enumerate(right)}
    if len(in_left) < len(left) or len(in_right) < len(right):
        return None
    places = []
    for axis, label in enumerate(out):
        i, j = in_left.pop(label, -1), in_right.pop(label, -1)
        places.append((_COLS if i < 0 else _ROWS if j < 0 else _BATCH, i, j, axis))
    if not in_left or in_left.keys() != in_right.keys():
        return None
    if list(in_left)[-1] != next(x for x in reversed(right) if x in in_left):
        return None  # summed in squares
    places += [(_SHARED, i, in_right[label], -1) for label, i in in_left.items()]
    return tuple(places)


def is_plain(a: Array, b: Array) -> bool:
    """Whether both are of one type that has a product of its own."""
    return a.dtype in _CODES and a.dtype == b.dtype


def first_product(
    entry: Any, key: str | None, subscripts: str, a: Array, b: Array, function: str
) -> Array | None:
    """Multiply, and have the fast entry remember how; None where it is not so simple.

    Parameters
    ----------
    entry : ContractCall
    key : str or None
        Under which it remembers.
    subscripts : str
    a, b : ndarray
    function : str
        For messages.

    Raises
    ------
    ValueError
        If the subscripts do not parse, or do not fit the dimensions.
    """
    if not is_plain(a, b) or (a.flags.fnc and b.flags.fnc):
        return None  # the result of Fortran's arrays has their order
    places = _places(subscripts, a.ndim, b.ndim, function)
    if places is None:
        return None
    # An axis that is not there, -1, has a size of 1 and a stride of 0.
    a_sizes, b_sizes = (*a.shape, 1), (*b.shape, 1)
    shape = []
    terms = free = batch = 1
    for kind, i, j, _ in places:
        size = a_sizes[i]
        if kind == _COLS:
            size = b_sizes[j]
        elif kind != _ROWS and size != b_sizes[j]:
            return None  # broadcast, or an error
        if kind == _SHARED:
            terms *= size
            continue
        shape.append(size)
        if kind == _BATCH:
            batch *= size
        else:
            free *= size
    if not terms * free * batch or free == 1 or is_memory_bound(batch, free, terms):
        return None
    out = executors.empty(tuple(shape), a.dtype)
    a_steps, b_steps, out_steps = (*a.strides, 0), (*b.strides, 0), (*out.strides, 0)
    kinds: tuple[list[Any], ...] = ([], [], [], [])
    for kind, i, j, k in places:
        size = b_sizes[j] if kind == _COLS else a_sizes[i]
        kinds[kind].append((size, (a_steps[i], b_steps[j], out_steps[k])))
    core = executors.native.contraction(_CODES[a.dtype], *kinds)
    small = batch * free * terms < SMALL
    entry.remember(key, a, b, out, core, core.address, small)
    executors.native.run_contraction(core.address, (a, b, out), small)
    return out
