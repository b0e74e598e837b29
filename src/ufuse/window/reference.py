"""Moving windows in plain NumPy: every window is reduced by itself, so long windows take long."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..reduce.request import Array

# Elements of the windows that are looked at together.
_TOGETHER = 1 << 20


def move_reduce(
    x: Array, op: str, out: Array, axis: int, window: int, min_count: int, ddof: float
) -> None:
    """Fill `out`, which does not overlap `x`."""
    lanes, results = np.moveaxis(x, axis, -1), np.moveaxis(out, axis, -1)
    wide = np.longdouble if x.dtype.type is np.longdouble else np.float64
    length = lanes.shape[-1]
    step = max(1, _TOGETHER // window)
    for index in np.ndindex(lanes.shape[:-1]):
        for first in range(0, length, step):
            last = min(first + step, length)
            begin = first - window + 1
            part = lanes[index][max(begin, 0) : last].astype(wide)
            part = np.concatenate([np.full(max(-begin, 0), np.nan, wide), part])
            windows = sliding_window_view(part, window)
            results[index][first:last] = _reduce(windows, op, min_count, ddof)


def _reduce(windows: Array, op: str, min_count: int, ddof: float) -> Array:
    there = ~np.isnan(windows)
    count = there.sum(axis=1)
    # Native kernels raise no floating-point warnings; neither does their reference.
    with np.errstate(all="ignore"):
        result = _OPS[op](windows, there, count, ddof)
    return np.asarray(np.where(count >= min_count, result, np.nan))


def _sum(windows: Array, there: Array, count: Array, ddof: float) -> Array:
    return np.asarray(np.where(there, windows, 0).sum(axis=1))


def _mean(windows: Array, there: Array, count: Array, ddof: float) -> Array:
    return _sum(windows, there, count, ddof) / count


def _var(windows: Array, there: Array, count: Array, ddof: float) -> Array:
    mean = _mean(windows, there, count, ddof)[:, None]
    squares = np.where(there, windows - mean, 0) ** 2
    return np.asarray(np.where(count > ddof, squares.sum(axis=1) / (count - ddof), np.nan))


def _std(windows: Array, there: Array, count: Array, ddof: float) -> Array:
    return np.sqrt(_var(windows, there, count, ddof))


def _backwards(windows: Array, there: Array, sign: int) -> Array:
    """Count elements from the last one back to the smallest of them times `sign`."""
    turned, valid = (sign * windows)[:, ::-1], there[:, ::-1]
    smallest = np.where(valid, turned, np.inf).min(axis=1, keepdims=True)
    return np.asarray(np.argmax(valid & (turned == smallest), axis=1))


def _argmin(windows: Array, there: Array, count: Array, ddof: float) -> Array:
    return _backwards(windows, there, 1)


def _argmax(windows: Array, there: Array, count: Array, ddof: float) -> Array:
    return _backwards(windows, there, -1)


def _at(windows: Array, back: Array) -> Array:
    return np.asarray(windows[np.arange(len(windows)), windows.shape[1] - 1 - back])


def _min(windows: Array, there: Array, count: Array, ddof: float) -> Array:
    return _at(windows, _backwards(windows, there, 1))


def _max(windows: Array, there: Array, count: Array, ddof: float) -> Array:
    return _at(windows, _backwards(windows, there, -1))


def _median(windows: Array, there: Array, count: Array, ddof: float) -> Array:
    in_order = np.sort(np.where(there, windows + 0.0, np.inf), axis=1)  # -0 becomes 0
    rows = np.arange(len(windows))
    low = in_order[rows, np.maximum(count - 1, 0) // 2]
    high = in_order[rows, np.minimum(count // 2, windows.shape[1] - 1)]
    half = (low + high) / 2
    return np.asarray(np.where(np.isfinite(half), half, low / 2 + high / 2))


def _rank(windows: Array, there: Array, count: Array, ddof: float) -> Array:
    last = windows[:, -1:]
    twice = (windows < last).sum(axis=1) + (windows <= last).sum(axis=1) - 1
    rank = np.where(count > 1, twice / (count - 1) - 1, 0.0)
    return np.asarray(np.where(there[:, -1], rank, np.nan))


_OPS: dict[str, Any] = {
    "sum": _sum,
    "mean": _mean,
    "var": _var,
    "std": _std,
    "min": _min,
    "max": _max,
    "argmin": _argmin,
    "argmax": _argmax,
    "median": _median,
    "rank": _rank,
}
