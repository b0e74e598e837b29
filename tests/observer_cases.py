"""Data that observers see in tests, and what tests of them share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ufuse.catalogue.floats import BY_NAME as FLOATS
from ufuse.catalogue.floats import SATURATE
from ufuse.observers import MSE, Entropy, MinMax, MovingAverage, Observer, Percentile
from ufuse.observers.parameters import parameters_of
from ufuse.quant.codes import BY_NAME

rng = np.random.default_rng(20)
NORMAL = rng.normal(size=100_003).astype(np.float32)
OUTLIERS = NORMAL.copy()
OUTLIERS[::1000] *= 30
ONE_OUTLIER = NORMAL.copy()
ONE_OUTLIER[5] = -1e4

DATA = {
    "normal": NORMAL,
    "uniform": rng.uniform(-1, 1, 50_000).astype(np.float32),
    "laplace": rng.laplace(size=80_000).astype(np.float32),
    "outliers": OUTLIERS,
    "one outlier": ONE_OUTLIER,
    "after a relu": np.maximum(NORMAL, 0),
    "clipped to 1": np.clip(NORMAL, 0, 1),
    "shifted": NORMAL + 3,
    "negative": -np.abs(NORMAL),
    "lognormal": np.exp(NORMAL),
    "tiny": NORMAL * np.float32(1e-40),
    "huge": np.clip(NORMAL, -3, 3) * np.float32(1e38),
    "pixels": rng.integers(0, 256, 50_000).astype(np.float32),
    "constant": np.full(1000, 3.14159, np.float32),
    "zeros": np.zeros(100, np.float32),
    "one element": np.float32([-2.5]),
}
MAKERS: dict[str, Any] = {
    "MinMax": MinMax,
    "MovingAverage": MovingAverage,
    "Percentile": Percentile,
    "MSE": MSE,
    "Entropy": lambda **k: Entropy(bins=513, quantized_bins=64, **k),
}
every = pytest.mark.parametrize("name", MAKERS)


def same(a: Observer, b: Observer) -> None:
    """Assert that two observers know the same."""
    assert (a.count, a.nan_count, a.batches) == (b.count, b.nan_count, b.batches)
    for dtype in ("int8", "uint8"):
        for one, other in zip(a.clip_range(dtype), b.clip_range(dtype), strict=True):
            np.testing.assert_array_equal(one, other)


def some_axis(x: np.ndarray) -> np.ndarray:
    """Four lanes of different scale."""
    rows = x[: x.size // 4 * 4].reshape(-1, 4) * np.float32([1, 100, 0.01, 0])
    return np.asarray(rows, np.float32)


def true_error(x: np.ndarray, low: Any, high: Any, kind: Any) -> float:
    """Mean squared error of what `ufuse.quantize` makes of the elements, one by one."""
    scale, zero = parameters_of(np.float32(low), np.float32(high), kind)
    scaled = x.astype(np.float64) / float(scale)
    if kind.levels.fraction >= 0:
        row = FLOATS[kind.name]
        codes = row.decode(row.encode(scaled, SATURATE)).astype(np.float64)
    else:
        least = -kind.most if kind.symmetric else BY_NAME[kind.name].low
        codes = np.clip(np.rint(scaled) + int(zero), least, kind.most) - int(zero)
    return float(np.mean((codes - scaled) ** 2)) * float(scale) ** 2
