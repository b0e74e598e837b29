"""The definition of moving windows: each of them by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def rank(window: np.ndarray) -> float:
    there = window[~np.isnan(window)]
    if np.isnan(window[-1]):
        return np.nan
    if len(there) == 1:
        return 0.0
    less, equal = np.sum(there < window[-1]), np.sum(there == window[-1])
    return float((less + (equal - 1) / 2) / (len(there) - 1) * 2 - 1)


def var(window: np.ndarray, ddof: float) -> float:
    there = window[~np.isnan(window)]
    return np.nan if len(there) <= ddof else float(np.var(there, ddof=ddof))  # type: ignore[call-overload]


#: Of one window as float64, some of it no NaN.
DEFINITIONS: dict[str, Any] = {
    "sum": lambda w, ddof: np.nansum(w),
    "mean": lambda w, ddof: np.nanmean(w),
    "var": var,
    "std": lambda w, ddof: np.sqrt(var(w, ddof)),
    "min": lambda w, ddof: np.nanmin(w),
    "max": lambda w, ddof: np.nanmax(w),
    "argmin": lambda w, ddof: np.flatnonzero(w[::-1] == np.nanmin(w))[0],
    "argmax": lambda w, ddof: np.flatnonzero(w[::-1] == np.nanmax(w))[0],
    "median": lambda w, ddof: np.nanmedian(w),
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
    for index in np.ndindex(lanes.shape):
        if np.sum(~np.isnan(windows[index])) >= least:
            result[index] = DEFINITIONS[op](windows[index], ddof)
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
