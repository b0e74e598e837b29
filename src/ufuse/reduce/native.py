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
    x, how, table = _coded(x)
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


def _coded(x: Array) -> tuple[Array, str, Array | None]:
    """Return an array as the core takes it, how it is coded, and the values of its codes."""
    how = coding(x.dtype)
    if how is None:
        return x, "plain", None
    table = values_of(x.dtype) if how == "table" else None
    codes = np.dtype(f"u{x.dtype.itemsize}")
    return x.view(codes if x.dtype.isnative else codes.newbyteorder()), how, table


def _mask(axes: Sequence[int]) -> int:
    mask = 0
    for axis in axes:
        mask |= 1 << axis
    return mask


def weighted_sum(
    x: Array, weights: Array, axes: Sequence[int], sums: Array, totals: Array | None
) -> None:
    """Sum ``x * weights`` over axes into `sums`, and the weights into `totals` if there is one."""
    _core.weighted_sum(_coded(x), _coded(weights), _mask(axes), sums, totals)


def exact_sum(
    x: Array,
    axes: Sequence[int],
    out: Array,
    where: Array | None,
    initial: float | None,
    divisor: int,
) -> None:
    """Sum without rounding over axes, divide, and round once into the contiguous float64 `out`."""
    x, how, table = _coded(x)
    _core.exact_sum(x, _mask(axes), out, where, initial, divisor, how, table)


def scan(name: str, x: Array, axis: int, out: Array) -> None:
    """Write the running ``"sum"``, ``"prod"``, ``"nansum"`` or ``"nanprod"`` of `x` to `out`."""
    _core.scan(x, axis, name, out)
