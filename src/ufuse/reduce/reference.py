"""Reductions in plain NumPy: what runs without the extension, and what tests compare it with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..catalogue.reducers import BY_NAME
from .request import Array, DType, Slot, code_of


def reduce(
    x: Array, axes: Sequence[int], slots: Sequence[Slot], where: Array | None, skip_nan: bool
) -> None:
    """Fill the outputs of `slots`; `x` has elements."""
    x = x.astype(x.dtype.newbyteorder("="), copy=False)
    axes = tuple(axes)
    if skip_nan:
        where = ~np.isnan(x) if where is None else where & ~np.isnan(x)
    for slot in slots:
        # Native kernels raise no floating-point warnings; neither does their reference.
        with np.errstate(all="ignore"):
            result = _FINISH[slot.finish](x, axes, slot, True if where is None else where)
        np.copyto(slot.out, result, casting="unsafe")


def _value(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    state = np.dtype(BY_NAME[slot.reducer].state[slot.element][0])
    initial = {} if slot.initial is None else {"initial": slot.initial[()]}
    keywords: dict[str, Any] = {"axis": axes, "keepdims": True, "where": where, **initial}
    ufunc, elements = _ELEMENTS[slot.reducer]
    if slot.reducer.startswith("nan"):
        keywords["where"] = where & ~np.isnan(x)
    if ufunc in (np.add, np.multiply):
        return np.asarray(ufunc.reduce(elements(x), dtype=state, **keywords))
    if keywords["where"] is not True and slot.initial is None:  # NumPy wants to know
        keywords["initial"] = np.inf if ufunc is np.minimum else -np.inf
    return np.asarray(ufunc.reduce(elements(x), **keywords))


def _same(x: Array) -> Array:
    return x


def _square(x: Array) -> Array:
    return np.square(x, dtype=np.float64)


#: What a reducer folds, and of which function of the elements.
_ELEMENTS: dict[str, tuple[np.ufunc, Callable[[Array], Array]]] = {
    "sum": (np.add, _same),
    "prod": (np.multiply, _same),
    "min": (np.minimum, _same),
    "max": (np.maximum, _same),
    "nansum": (np.add, _same),
    "nanprod": (np.multiply, _same),
    "nanmin": (np.minimum, _same),
    "nanmax": (np.maximum, _same),
    "valid": (np.add, lambda x: ~np.isnan(x)),
    "nonzero": (np.add, lambda x: x != 0),
    "sum_of_squares": (np.add, _square),
    "sum_of_magnitudes": (np.add, np.abs),
    "largest_magnitude": (np.maximum, np.abs),
    "smallest_magnitude": (np.minimum, np.abs),
}


def _mean(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    return _value(x, axes, slot, where) / np.float64(slot.divisor)


def _variance(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    """Two passes in float64, chunk by chunk of NumPy's buffers."""
    keywords: dict[str, Any] = {"axis": axes, "keepdims": True, "where": where}
    mask = np.broadcast_to(where, x.shape)
    count = np.add.reduce(mask, axis=axes, keepdims=True, dtype=np.float64)
    mean = np.add.reduce(x, dtype=np.float64, **keywords) / count
    deviation = x - mean
    m2 = np.add.reduce(deviation * deviation, dtype=np.float64, **keywords)
    return np.asarray(m2 / np.maximum(count - slot.ddof, 0.0))


def _deviation(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    return np.sqrt(_variance(x, axes, slot, where))


def _index(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    function = np.argmin if slot.reducer == "argmin" else np.argmax
    if where is not True:
        x = np.where(where, x, np.inf if slot.reducer == "argmin" else -np.inf)
    if len(axes) == 1:
        return np.asarray(function(x, axis=axes[0], keepdims=True))
    return np.asarray(function(x)).reshape((1,) * x.ndim)


_FINISH = {
    "value": _value,
    "mean": _mean,
    "variance": _variance,
    "deviation": _deviation,
    "index": _index,
}


def scan(name: str, x: Array, axis: int, out: Array) -> None:
    """Write the running ``"sum"``, ``"prod"``, ``"nansum"`` or ``"nanprod"`` of `x` to `out`."""
    if axis < 0:
        x, axis = x.reshape(-1), 0
    wide = x.astype(np.float64 if x.dtype.kind == "f" else out.dtype)
    if name.startswith("nan"):
        wide[np.isnan(wide)] = 0 if name == "nansum" else 1
    ufunc = np.add if name.endswith("sum") else np.multiply
    with np.errstate(all="ignore"):
        np.copyto(out, ufunc.accumulate(wide, axis), casting="unsafe")


def other(function: str, x: Array, dtype: DType, **keywords: Any) -> Array:
    """Run NumPy's own function for dtypes that are not compiled, in a wider type where it has one.

    Parameters
    ----------
    function : str
        NumPy's name.
    x : numpy.ndarray
    dtype : numpy.dtype
        Of the result.
    **keywords
        What NumPy's function takes, but for `dtype` and `out`.
    """
    if function.removeprefix("nan") in ("sum", "prod", "mean", "var", "std"):
        # float16, bfloat16 and float8 stick or overflow in their own type (ml_dtypes#63).
        narrow = dtype.kind in "fV" and dtype.itemsize < 4 and code_of(dtype) is None
        complex_spread = x.dtype.kind == "c" and dtype.kind == "f"  # its result alone is real
        keywords["dtype"] = np.dtype(np.float64) if narrow else x.dtype if complex_spread else dtype
    with np.errstate(all="ignore"):
        result = getattr(np, function)(x, keepdims=True, **keywords)
        return np.asarray(result).astype(dtype, copy=False)
