"""Results: arrays that are given to be written to, and new ones.

Byte order is no part of a dtype here: an ``out=`` whose bytes are swapped is written by way of an
array of native order, in every function.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..interop.messages import type_name
from .arithmetic import DType

Array = NDArray[Any]


def check_out(
    function: str,
    out: Array,
    shape: tuple[int, ...],
    dtype: DType,
    casting: Any = "equiv",
    argument: str = "out",
) -> None:
    """Refuse an `out` of another shape, or of a dtype that `casting` does not lead to.

    Raises
    ------
    ValueError, TypeError
    """
    check_one(function, out, argument)
    if out.shape != shape:
        raise ValueError(
            f"{function}: argument {argument!r}: expected shape {shape}, got shape {out.shape}"
        )
    if not np.can_cast(dtype, out.dtype, casting):
        wanted = f"dtype {dtype}"
        if casting != "equiv":
            wanted = f"a dtype that {dtype} casts to by the rule {casting!r}"
        raise TypeError(
            f"{function}: argument {argument!r}: expected {wanted}, got dtype {out.dtype}"
        )


def new_or_checked(
    function: str, out: Array | None, shape: tuple[int, ...], dtype: DType, argument: str = "out"
) -> Array:
    """Return what kernels write: a new array; `out`, which is checked; or memory in its place.

    `given_back` turns it into what the caller gets.

    Raises
    ------
    ValueError, TypeError
    """
    if out is None:
        return executors.empty(shape, dtype)
    check_out(function, out, shape, dtype, argument=argument)
    return out if out.dtype.isnative else executors.empty(shape, dtype)


def given_back(target: Array, out: Array | None) -> Array:
    """Return the result: `out` where there is one, which has then what was written to `target`."""
    if out is None:
        return target
    if out is not target:
        out[...] = target
    return out


def unshared(operands: Iterable[Array], out: Array | None) -> list[Array]:
    """Return operands, those that `out` overlaps as copies: kernels write before all is read."""
    if out is None:
        return list(operands)
    return [x.copy() if executors.overlap(x, out) else x for x in operands]


def check_one(function: str, out: Any, argument: str = "out") -> None:
    """Refuse a tuple, which functions of several results take."""
    if out is not None and not isinstance(out, np.ndarray):
        raise TypeError(
            f"{function}: argument {argument!r}: expected one array, got {type_name(out)}"
        )


def is_fortran(operands: Iterable[Array], order: str) -> bool:
    """Whether a new result is laid out as Fortran's arrays, by NumPy's rules of `order`."""
    if order in "AK":
        return all(x.flags.f_contiguous and not x.flags.c_contiguous for x in operands)
    return order == "F"


def new_result(
    shape: tuple[int, ...], dtype: DType, operands: Sequence[Array], order: str
) -> Array:
    """Return an array for a result, by NumPy's rules of `order`."""
    if is_fortran(operands, order):
        return executors.empty(shape[::-1], dtype).T
    return executors.empty(shape, dtype)
