"""The definition of moving windows: each of them by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def rank(windows: np.ndarray) -> np.ndarray:
    last = windows[:, -1:]
    count, less = np.sum(~np.isnan(windows), axis=1), np.sum(windows < last, axis=1)
    middle = less + (np.sum(windows == last, axis=1) - 1) / 2
    scaled = middle / np.maximum(count - 1, 1) * 2 - 1
    return np.where(np.isnan(last[:, 0]), np.nan, np.where(count == 1, 0, scaled))


def var(windows: np.ndarray, ddof: float) -> np.ndarray:
    left = np.sum(~np.isnan(windows), axis=1) - ddof
    squares = np.nansum((windows - np.nanmean(windows, axis=1, keepdims=True)) ** 2, axis=1)
    return np.where(left > 0, squares / np.where(left > 0, left, 1), np.nan)


def backwards(windows: np.ndarray, best: np.ndarray) -> np.ndarray:
    return np.argmax(windows[:, ::-1] == best[:, None], axis=1)


#: Of rows of float64 that have numbers in them.
DEFINITIONS: dict[str, Any] = {
    "sum": lambda w, ddof: np.nansum(w, axis=1),
    "mean": lambda w, ddof: np.nanmean(w, axis=1),
    "var": var,
    "std": lambda w, ddof: np.sqrt(var(w, ddof)),
    "min": lambda w, ddof: np.nanmin(w, axis=1),
    "max": lambda w, ddof: np.nanmax(w, axis=1),
    "argmin": lambda w, ddof: backwards(w, np.nanmin(w, axis=1)),
    "argmax": lambda w, ddof: backwards(w, np.nanmax(w, axis=1)),
    "median": lambda w, ddof: np.nanmedian(w, axis=1),
    "rank": lambda w, ddof: rank(w),
}


def defined(
    x: np.ndarray, window: int, op: str, least: int | None = None, axis: int = -1, ddof: float = 0
) -> np.ndarray:
    """Every window by itself, in float64."""
    least = window if least is None else least
    lanes = np.moveaxis(np.asarray(x, np.float64), axis, -1)
    missing = np.full((*lanes.shape[:-1], window - 1), np.nan)
    windows = sliding_window_view(np.concatenate([missing, lanes], axis=-1), window, axis=-1)
    result = np.full(lanes.shape, np.nan)
    enough = np.sum(~np.isnan(windows), axis=-1) >= least
    if enough.any():
        result[enough] = DEFINITIONS[op](windows[enough], ddof)
    return np.moveaxis(result, -1, axis)


def sample(shape: Any, dtype: Any = np.float64, share: float = 0.0, seed: int = 0) -> np.ndarray:
    """Numbers with ties, `share` of them NaN."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.standard_normal(shape) * 4, 1)
    return np.where(rng.random(shape) < share, np.nan, x).astype(dtype)


def close(got: Any, want: np.ndarray, dtype: Any, message: str = "") -> None:
    tolerance = 2e-6 if np.dtype(dtype) == np.float32 else 1e-12
    np.testing.assert_allclose(
        got, want.astype(dtype), rtol=tolerance, atol=tolerance, err_msg=message, strict=True
    )
