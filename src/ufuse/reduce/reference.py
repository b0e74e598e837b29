"""Reductions in plain NumPy: what runs without the extension, and what tests compare it with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..catalogue.reducers import BY_NAME
from ..interop.lowprecision import coding
from .request import Array, DType, Slot


def reduce(
    x: Array, axes: Sequence[int], slots: Sequence[Slot], where: Array | None, skip_nan: bool
) -> None:
    """Fill the outputs of `slots`; `x` has elements."""
    narrow = coding(x.dtype) is not None
    x = x.astype(np.float32 if narrow else x.dtype.newbyteorder("="), copy=False)
    if skip_nan:
        where = ~np.isnan(x) if where is None else where & ~np.isnan(x)
    mask = True if where is None else where
    for slot in slots:
        # Native kernels raise no floating-point warnings; neither does their reference.
        with np.errstate(all="ignore"):
            result = _FINISH[slot.finish](x, tuple(axes), slot, mask)
        np.copyto(slot.out, result, casting="unsafe")


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

#: The reducers whose values the components of others are.
_COMPONENTS: dict[str, dict[int, str]] = {
    "nan_mean": {0: "nansum", 1: "valid"},
    "summary": {4: "sum", 5: "min", 6: "max"},
    "minmax": {0: "min", 1: "max"},
    "argmin": {0: "min"},
    "argmax": {0: "max"},
    "nanargmin": {0: "nanmin"},
    "nanargmax": {0: "nanmax"},
    "exponentials": {0: "max"},
}


#: The reducers whose state begins with count, mean, what rounding takes from it, and m2.
_MOMENTS = ("moments", "nan_moments", "summary")


def _component(x: Array, axes: tuple[int, ...], slot: Slot, where: Any, after: int = 0) -> Array:
    """Component `slot.component` + `after` of the state."""
    component = slot.component + after
    if slot.reducer in _MOMENTS and component < 4:
        return _moments(x, axes, slot.reducer, where)[component]
    if "arg" in slot.reducer and component == 1:
        return _index(x, axes, slot.reducer, where)
    if slot.reducer == "central_moments" and component == 1:
        return _deviations(x, axes, where)[1]
    row = BY_NAME[slot.reducer]
    state = np.dtype(row.state[slot.element][component])
    name = _COMPONENTS.get(slot.reducer, {component: slot.reducer})[component]
    initial = {} if slot.initial is None else {"initial": slot.initial[()]}
    keywords: dict[str, Any] = {"axis": axes, "keepdims": True, "where": where, **initial}
    ufunc, elements = _ELEMENTS[name]
    if name.startswith("nan"):
        keywords["where"] = where & ~np.isnan(x)
    if ufunc in (np.add, np.multiply):
        return np.asarray(ufunc.reduce(elements(x), dtype=state, **keywords))
    if keywords["where"] is not True and slot.initial is None:  # NumPy wants to know
        keywords["initial"] = _last(x.dtype, ufunc is np.minimum)
    return np.asarray(ufunc.reduce(elements(x), **keywords))


def _last(dtype: DType, smallest: bool) -> Any:
    """Return what no element loses against."""
    if dtype.kind == "f":
        return np.inf if smallest else -np.inf
    if dtype.kind == "b":
        return smallest
    return np.iinfo(dtype).max if smallest else np.iinfo(dtype).min


def _mean(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    return _component(x, axes, slot, where) / np.float64(slot.divisor)


def _ratio(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    return np.asarray(_component(x, axes, slot, where) / _component(x, axes, slot, where, 1))


def _nonzero(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    return np.asarray(_component(x, axes, slot, where) != 0)


def _complete(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    return np.asarray(_component(x, axes, slot, where) == slot.divisor)


def _root(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    return np.sqrt(_component(x, axes, slot, where))


def _span(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    return _component(x, axes, slot, where, 1) - _component(x, axes, slot, where)


def _moments(x: Array, axes: tuple[int, ...], reducer: str, where: Any) -> tuple[Array, ...]:
    """Two passes in float64, chunk by chunk of NumPy's buffers; the second one adds to the mean."""
    if reducer.startswith("nan"):
        where = where & ~np.isnan(x)
    keywords: dict[str, Any] = {"axis": axes, "keepdims": True, "where": where}
    mask = np.broadcast_to(where, x.shape)
    count = np.add.reduce(mask, axis=axes, keepdims=True, dtype=np.float64)
    mean = np.add.reduce(x, dtype=np.float64, **keywords) / count
    low = np.add.reduce(x - mean, dtype=np.float64, **keywords) / count
    deviation = _deviations(x, axes, where)[2]
    m2 = np.add.reduce(deviation * deviation, dtype=np.float64, **keywords)
    return count, mean, np.where(np.isfinite(low), low, 0.0), m2


def _variance(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    count, _, _, m2 = _moments(x, axes, slot.reducer, where)
    return np.asarray(m2 / np.maximum(count - slot.ddof, 0.0))


def _deviation(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    return np.sqrt(_variance(x, axes, slot, where))


def _index(x: Array, axes: tuple[int, ...], reducer: str, where: Any) -> Array:
    least = reducer.endswith("min")
    function = np.argmin if least else np.argmax
    if reducer.startswith("nan"):
        where = where & ~np.isnan(x)
    if where is not True:
        x = np.where(where, x, np.inf if least else -np.inf)
    if len(axes) == 1:
        return np.asarray(function(x, axis=axes[0], keepdims=True))
    return np.asarray(function(x)).reshape((1,) * x.ndim)


def _deviations(x: Array, axes: tuple[int, ...], where: Any) -> tuple[Array, Array, Array]:
    """Count, mean and deviations, which are taken from near zero: a mean of 1e9 is off by 1e-7."""
    keywords: dict[str, Any] = {"axis": axes, "keepdims": True, "where": where}
    wide = x.astype(np.float64)
    count = np.add.reduce(np.broadcast_to(where, x.shape), axis=axes, keepdims=True)
    least = np.minimum.reduce(wide, initial=np.inf, **keywords)
    shifted = wide - np.where(np.isfinite(least), least, 0.0)
    mean = np.add.reduce(shifted, **keywords) / count
    return count, mean + least, shifted - mean


def _powers(x: Array, axes: tuple[int, ...], where: Any) -> tuple[Array, ...]:
    """Average the powers of the deviations, from the second to the fourth."""
    count, _, deviation = _deviations(x, axes, where)
    return tuple(
        np.add.reduce(deviation**power, axis=axes, keepdims=True, where=where) / count
        for power in (2, 3, 4)
    )


def _skewness(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    second, third, _ = _powers(x, axes, where)
    return np.asarray(third / (second * np.sqrt(second)))


def _kurtosis(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    second, _, fourth = _powers(x, axes, where)
    return np.asarray(fourth / (second * second) - 3.0)


def _restored(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    found = np.empty(slot.out.shape, np.float64)
    exact_sum(x, axes, found, None if where is True else where, None, 1)
    return found / slot.divisor


def _exponentials(x: Array, axes: tuple[int, ...], where: Any) -> tuple[Array, Array, Array]:
    """Find the largest, how many equal it, and the others' exponentials relative to it."""
    x = x if where is True else np.where(where, x, -np.inf)
    largest = np.maximum.reduce(x, axis=axes, keepdims=True)
    top = x == largest
    others = np.exp(np.where(top, -np.inf, x - largest))
    count = np.add.reduce(top, axis=axes, keepdims=True, dtype=np.float64)
    return largest, count, np.add.reduce(others, axis=axes, keepdims=True, dtype=np.float64)


def _share(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    largest, count, others = _exponentials(x, axes, where)
    return np.where(np.isfinite(largest), 1.0 / (count + others), np.nan)


def _log_total(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    _, count, others = _exponentials(x, axes, where)
    return np.asarray(np.log(count) + np.log1p(others / count))


def _logsumexp(x: Array, axes: tuple[int, ...], slot: Slot, where: Any) -> Array:
    return np.asarray(_exponentials(x, axes, where)[0] + _log_total(x, axes, slot, where))


_FINISH: dict[str, Callable[..., Array]] = {
    "value": _component,
    "skewness": _skewness,
    "kurtosis": _kurtosis,
    "restored": _restored,
    "mean": _mean,
    "ratio": _ratio,
    "variance": _variance,
    "deviation": _deviation,
    "share": _share,
    "log_total": _log_total,
    "logsumexp": _logsumexp,
    "nonzero": _nonzero,
    "complete": _complete,
    "root": _root,
    "span": _span,
}


def weighted_sum(
    x: Array, weights: Array, axes: Sequence[int], sums: Array, totals: Array | None
) -> None:
    """Sum ``x * weights`` over axes into `sums`, and the weights into `totals` if there is one."""
    w = weights.astype(np.float64)
    with np.errstate(all="ignore"):
        sums[...] = np.add.reduce(x.astype(np.float64) * w, axis=tuple(axes), keepdims=True)
        if totals is not None:
            totals[...] = np.add.reduce(w, axis=tuple(axes), keepdims=True)


def exact_sum(
    x: Array,
    axes: Sequence[int],
    out: Array,
    where: Array | None,
    initial: float | None,
    divisor: int,
) -> None:
    """Sum without rounding over axes, divide, and round once into the contiguous float64 `out`."""
    kept = [i for i in range(x.ndim) if i not in axes]
    values = x.astype(np.float64)
    if where is not None:
        values = np.where(where, values, 0.0)
    lanes = values.transpose(*kept, *axes).reshape(out.size, -1)
    start = [] if initial is None else [initial]
    out.reshape(-1)[:] = [_exact(np.append(lane, start), divisor) for lane in lanes]


def _exact(lane: Array, divisor: int) -> float:
    if not np.isfinite(lane).all():
        with np.errstate(invalid="ignore"):
            return float(np.add.reduce(lane[~np.isfinite(lane)]))
    mantissas, exponents = np.frexp(lane)
    units = sum(
        int(m) << int(e)
        for m, e in zip((mantissas * 2.0**53).tolist(), (exponents + 1074).tolist(), strict=True)
    )
    try:
        return units / (divisor << (53 + 1074))  # of integers: rounded once
    except OverflowError:
        return np.inf if units > 0 else -np.inf


def softmax_by_line(count: int, size: int) -> bool:
    """Leave softmax to sums of exponentials."""
    return False


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
        narrow = coding(dtype) is not None
        complex_spread = x.dtype.kind == "c" and dtype.kind == "f"  # its result alone is real
        wide = np.dtype(np.float64) if narrow else x.dtype if complex_spread else dtype
        keywords["dtype"] = wide.newbyteorder("=")  # NumPy refuses others
        if x.dtype.kind in "mM":  # which NumPy's functions take without
            del keywords["dtype"]
    with np.errstate(all="ignore"):
        result = getattr(np, function)(x, keepdims=True, **keywords)
        return np.asarray(result).astype(dtype, copy=False)
