"""Contractions of two operands in plain NumPy: the fallback, and what tests compare with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..catalogue.semirings import Semiring
from ..interop.lowprecision import narrowed
from .arithmetic import is_narrow
from .subscripts import Labels, Sizes, arranged

Array = NDArray[Any]

_BLOCK = 1 << 22  # products that a semiring has in memory at a time


def contract(
    a: Array, in_a: Labels, b: Array, in_b: Labels, out: Array, labels: Labels, sizes: Sizes,
    semiring: Semiring | None, index: Array | None = None,
) -> None:  # fmt: skip
    """Write the contraction of `a` and `b` into `out`, in its dtype, and where terms came from."""
    if semiring is not None:
        _by_semiring(a, in_a, b, in_b, out, labels, sizes, semiring, index)
        return
    # np.einsum has 52 labels: those of size 1 are left out.
    both = dict.fromkeys((*in_a, *in_b))
    numbers = {label: i for i, label in enumerate(x for x in both if sizes[x] != 1)}
    narrow = is_narrow(out.dtype)
    dtype = np.dtype(np.float32) if narrow else out.dtype

    def listed(operand: Array, given: Labels) -> tuple[Array, list[int]]:
        own = tuple(label for label in dict.fromkeys(given) if label in numbers)
        # Operands of fewer bits than the sums are widened first, as the core does while it packs.
        view = arranged(operand.astype(dtype, copy=False), given, own, sizes)
        return view, [numbers[label] for label in own]

    kept = [numbers[label] for label in labels if label in numbers]
    found = np.asarray(np.einsum(*listed(a, in_a), *listed(b, in_b), kept))
    found = found[tuple(slice(None) if label in numbers else None for label in labels)]
    out[...] = narrowed(found.astype(np.float64), out.dtype) if narrow else found


def _by_semiring(
    a: Array, in_a: Labels, b: Array, in_b: Labels, out: Array, labels: Labels, sizes: Sizes,
    row: Semiring, index: Array | None,
) -> None:  # fmt: skip
    plus = getattr(np, row.plus)
    shared = tuple(label for label in dict.fromkeys((*in_a, *in_b)) if label not in labels)
    wanted = (*labels, *shared)
    dtype = _summed_in(row, out.dtype)
    left = arranged(a, in_a, wanted, sizes).astype(dtype, copy=False)
    right = arranged(b, in_b, wanted, sizes).astype(dtype, copy=False)
    terms = math.prod(sizes[label] for label in shared)
    lead = sizes[labels[0]] if labels else 1
    step = max(1, _BLOCK // max(1, terms * math.prod(out.shape[1:])))
    for first in range(0, max(lead, 1), step) if out.size else ():
        rows = slice(first, first + step) if labels else ...

        def part(view: Array, rows: Any = rows) -> Array:
            return view[rows] if labels and view.shape[0] != 1 else view

        with np.errstate(all="ignore"):
            products = np.asarray(row.times(part(left), part(right)), dtype)
        kept = out[rows].shape
        products = np.broadcast_to(products, (*kept, *(sizes[s] for s in shared)))
        products = products.reshape(*kept, terms)
        if terms == 0:
            out[rows] = row.empty(np.dtype(np.float32) if is_narrow(out.dtype) else out.dtype)
            continue
        with np.errstate(all="ignore"):
            out[rows] = np.asarray(plus.reduce(products, axis=-1)).astype(out.dtype)
        if index is not None:
            index[rows] = (np.argmin if row.plus == "minimum" else np.argmax)(products, axis=-1)


def _summed_in(row: Semiring, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the sums: narrow floats and integers have wider ones, as in kernels."""
    if is_narrow(dtype):
        return np.dtype(np.float32)
    if row.codes and dtype.kind in "iu" and dtype.itemsize < 8:
        return np.dtype(np.int64 if dtype == np.uint32 else np.int32)
    return dtype
