"""Reductions by the C++ core: `csrc/reduce/reduction.hpp` describes what it does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import _core
from ..interop.lowprecision import coding, values_of
from .request import Array, Slot


def reduce(
    x: Array, axes: Sequence[int], slots: Sequence[Slot], where: Array | None, skip_nan: bool
) -> None:
    """Fill the outputs of `slots` from one read of `x`, which has elements."""
    x, how, table = as_codes(x)
    _core.reduce(
        [x],
        _mask(axes),
        [
            (
                slot.reducer,
                0,
                slot.element,
                slot.finish,
                slot.component,
                slot.out,
                slot.divisor,
                slot.ddof,
                None if slot.initial is None else slot.initial.tobytes(),
            )
            for slot in slots
        ],
        where,
        skip_nan,
        how,
        table,
    )


def to_half(values: Array) -> Array:
    """Round float32 or float64 `values` to float16, once."""
    out = np.empty(values.shape, np.float16)
    _core.to_half(np.ascontiguousarray(values), out.view(np.uint16))
    return out


def as_codes(x: Array) -> tuple[Array, str, Array | None]:
    """Return an array as the core reads it, how its bits are read, and the values of bytes."""
    how = coding(x.dtype)
    if how is None:
        return x, "plain", None
    codes = np.dtype(f"u{x.dtype.itemsize}")
    view = x.view(codes if x.dtype.isnative else codes.newbyteorder())
    return view, how, values_of(x.dtype) if how == "table" else None


def _mask(axes: Sequence[int]) -> int:
    mask = 0
    for axis in axes:
        mask |= 1 << axis
    return mask


def weighted_sum(
    x: Array, weights: Array, axes: Sequence[int], sums: Array, totals: Array | None
) -> None:
    """Sum ``x * weights`` over axes into `sums`, and the weights into `totals` if there is one."""
    _core.weighted_sum(as_codes(x), as_codes(weights), _mask(axes), sums, totals)


def exact_sum(
    x: Array,
    axes: Sequence[int],
    out: Array,
    where: Array | None,
    initial: float | None,
    divisor: int,
) -> None:
    """Sum without rounding over axes, divide, and round once into the contiguous float64 `out`."""
    x, how, table = as_codes(x)
    _core.exact_sum(x, _mask(axes), out, where, initial, divisor, how, table)


softmax_by_line = _core.softmax_by_line


def softmax(x: Array, axes: Sequence[int], out: Array, logarithm: bool) -> None:
    """Write the softmax of `x`, or its logarithm, line by line."""
    _core.softmax(x, _mask(axes), out, logarithm)


def scan(name: str, x: Array, axis: int, out: Array) -> None:
    """Write the running ``"sum"``, ``"prod"``, ``"nansum"`` or ``"nanprod"`` of `x` to `out`."""
    _core.scan(x, axis, name, out)
