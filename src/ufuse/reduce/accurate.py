"""Sums beyond the default: without rounding, or with what rounding takes from them."""

from __future__ import annotations

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
    accuracy: str, request: Request, target: Array, initial: Array | None = None, count: int = 1
) -> None:
    """Write sums divided by `count` to `target`, of `request.full_shape` and an inexact dtype."""
    x, start = request.x, None if initial is None else initial[()]
    if x.dtype.kind != "c":
        if target.dtype.kind == "c" and start is not None and start.imag != 0:
            target[...] = _sums(accuracy, request, x, None, 1) + start
        else:
            first = None if start is None else float(start.real)
            target[...] = _sums(accuracy, request, x, first, count)
        return
    first, second = (None, None) if start is None else (float(start.real), float(start.imag))
    real = _sums(accuracy, request, x.real, first, count)
    if target.dtype.kind != "c":
        target[...] = real
        return
    target.imag[...] = _sums(accuracy, request, x.imag, second, count)
    target.real[...] = real


def _sums(accuracy: str, request: Request, x: Array, initial: float | None, count: int) -> Array:
    """Return float64 sums of a real array."""
    found = np.empty(request.full_shape, np.float64)
    if accuracy == "reproducible":
        execute_exact(x, request.axes, found, request.where, initial, count)
        return found
    code = code_of(x.dtype)
    element = code if code in FLOATS else "f8"
    divisor = float(count)
    slot = Slot("compensated", str(element), "restored", found, divisor=divisor)
    execute(x, request.axes, [slot], request.where)
    if initial is not None:
        with np.errstate(all="ignore"):
            found += initial
    return found
