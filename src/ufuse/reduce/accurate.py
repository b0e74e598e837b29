"""Sums beyond the default: without rounding, or with what rounding takes from them."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from ..catalogue.dtypes import FLOATS
from .request import Array, DType, Request, Slot, code_of, execute, execute_exact

_ACCURACIES: Final = ("reproducible", "compensated")


def read_accuracy(function: str, accuracy: Any, dtype: DType) -> str | None:
    """Return the argument `accuracy` checked, for elements of `dtype`."""
    if accuracy is None or (isinstance(accuracy, str) and accuracy == "default"):
        return None
    if accuracy not in _ACCURACIES:
        raise ValueError(
            f"{function}: argument 'accuracy': expected None, 'reproducible' or 'compensated', got "
            f"{accuracy!r}"
        )
    part = np.empty(0, dtype).real.dtype if dtype.kind == "c" else dtype
    if code_of(part) is None:
        raise TypeError(
            f"{function}: argument 'accuracy': expected elements of at most 64 bits, or "
            f"complex128, got dtype {dtype}; convert them first, or leave 'accuracy' out"
        )
    return str(accuracy)


def fill_accurately(
    accuracy: str,
    request: Request,
    target: Array,
    initial: Array | None = None,
    count: int | Array = 1,
) -> None:
    """Write sums divided by `count` to `target`, of `request.full_shape` and an inexact dtype."""
    x, start = request.x, None if initial is None else initial[()]
    first = None if start is None else float(start.real)
    real = _sums(accuracy, request, x.real, first, count)
    if target.dtype.kind != "c":
        target[...] = real
        return
    second = None if start is None else float(start.imag)
    if x.dtype.kind == "c":
        target.imag[...] = _sums(accuracy, request, x.imag, second, count)
    else:
        target.imag[...] = 0.0 if second is None else second
    target.real[...] = real


def _sums(
    accuracy: str, request: Request, x: Array, initial: float | None, count: int | Array
) -> Array:
    """Return float64 sums of a real array, divided by `count`: once for all, or one for each."""
    if x.dtype.kind in "iu" and x.dtype.itemsize == 8:
        return _integer_sums(request, x, initial, count)
    found = np.empty(request.full_shape, np.float64)
    divisor = count if isinstance(count, int) else 1
    if accuracy == "reproducible":
        execute_exact(x, request.axes, found, request.where, initial, divisor)
    else:
        code = code_of(x.dtype)
        element = code if code in FLOATS else "f8"
        slot = Slot("compensated", str(element), "restored", found, divisor=float(divisor))
        execute(x, request.axes, [slot], request.where)
        if initial is not None:
            with np.errstate(all="ignore"):
                found += initial
    if not isinstance(count, int):
        with np.errstate(all="ignore"):
            found /= count
    return found


def _integer_sums(request: Request, x: Array, initial: float | None, count: int | Array) -> Array:
    """Sum integers of 64 bits without rounding, divide, and round once.

    Their halves of 32 bits are views, whose sums no 2**32 elements overflow.
    """
    order, kind = x.dtype.str[0], x.dtype.kind
    low_at = 0 if order == "<" else 4
    halves = x.view(
        np.dtype(
            {
                "names": ["low", "high"],
                "formats": [f"{order}u4", f"{order}{kind}4"],
                "offsets": [low_at, 4 - low_at],
            }
        )
    )
    low = np.empty(request.full_shape, np.uint64)
    high = np.empty(request.full_shape, f"{kind}8")
    execute(halves["low"], request.axes, [Slot("sum", "u4", "value", low)], request.where)
    execute(halves["high"], request.axes, [Slot("sum", f"{kind}4", "value", high)], request.where)
    counts = np.broadcast_to(np.asarray(count), request.full_shape).ravel()
    return _divided(high.ravel(), low.ravel(), initial, counts).reshape(request.full_shape)


def _divided(high: Array, low: Array, initial: float | None, counts: Array) -> Array:
    """Divide ``high * 2**32 + low``, or add `initial` where there is one; round once."""
    divisors = np.maximum(counts, 1)
    if initial is None and (low < 1 << 52).all() and (np.abs(high) < 1 << 20).all():
        found = ((high.astype(np.int64) << 32) + low.astype(np.int64)) / divisors  # below 2**53
    else:
        totals = (high.astype(object) << 32) + low.astype(object)
        if initial is not None:
            return _with_initial(totals, initial)
        found = (totals / divisors.astype(object)).astype(np.float64)  # of int: rounded once
    found[counts == 0] = np.nan
    return np.asarray(found)


def _with_initial(totals: Array, initial: float) -> Array:
    """Add a float to each int, rounded once."""
    from fractions import Fraction  # slow to import

    if not math.isfinite(initial):
        return np.full(totals.shape, initial)
    start = Fraction(initial)
    return np.array([float(start + total) for total in totals.tolist()])
