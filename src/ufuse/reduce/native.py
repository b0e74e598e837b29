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
    how = coding(x.dtype)
    table = None
    if how is not None:
        table = values_of(x.dtype) if how == "table" else None
        codes = np.dtype(f"u{x.dtype.itemsize}")
        x = x.view(codes if x.dtype.isnative else codes.newbyteorder())
    mask = 0
    for axis in axes:
        mask |= 1 << axis
    _core.reduce(
        [x],
        mask,
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
        "plain" if how is None else how,
        table,
    )


def scan(name: str, x: Array, axis: int, out: Array) -> None:
    """Write the running ``"sum"``, ``"prod"``, ``"nansum"`` or ``"nanprod"`` of `x` to `out`."""
    _core.scan(x, axis, name, out)
