"""States of streams: one chunk of 64 MB, against the functions that see it whole."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import load
from ..model import Call, Case, close
from .data import MILLION_16, uniform

GROUP = "streams"
FOUR = ("mean", "var", "min", "max")
SHARES = np.linspace(0.01, 0.99, 99)


def _four() -> Case:
    def ours(v: SimpleNamespace) -> Call:
        state = load("ufuse").State
        return lambda: np.array(state(*FOUR).update(v.x).result())

    def numpy(v: SimpleNamespace) -> Call:
        return lambda: np.array([getattr(np, name)(v.x) for name in FOUR])

    def one(v: SimpleNamespace) -> Call:
        f = load("ufuse").sum
        return lambda: f(v.x)

    return Case(
        name="State of mean, var, min, max",
        group=GROUP,
        make=lambda: SimpleNamespace(x=uniform(MILLION_16)),
        ours=ours,
        peers={"numpy": numpy, "ufuse:sum": one},
        limit="read",
        amount=4 * MILLION_16,
        bar="ufuse:sum >= 0.77x",
        check=close(1e-4, 1e-7),
        unchecked=frozenset({"ufuse:sum"}),
    )


def _histogram() -> Case:
    bins: dict[str, Any] = {"bins": 256, "range": (0.0, 1.0)}

    def ours(v: SimpleNamespace) -> Call:
        state = load("ufuse").State
        return lambda: state("histogram", **bins).update(v.x).result().histogram.counts

    def numpy(v: SimpleNamespace) -> Call:
        return lambda: np.histogram(v.x, **bins)[0]

    return Case(
        name="State of a histogram of 256 bins",
        group=GROUP,
        make=lambda: SimpleNamespace(x=uniform(MILLION_16)),
        ours=ours,
        peers={"numpy": numpy},
        limit="read",
        amount=4 * MILLION_16,
        bar="numpy >= 4x",
    )


def _sketch() -> Case:
    def ours(v: SimpleNamespace) -> Call:
        sketch = load("ufuse").QuantileSketch
        return lambda: sketch(0.001).update(v.x).quantile(SHARES)

    def numpy(v: SimpleNamespace) -> Call:
        return lambda: np.quantile(v.x, SHARES)

    def by_sorting(v: SimpleNamespace) -> Call:
        return lambda: np.sort(v.x)[(SHARES * v.x.size).astype(np.intp)]

    return Case(
        name="QuantileSketch, 99 quantiles",
        group=GROUP,
        make=lambda: SimpleNamespace(x=uniform(MILLION_16)),
        ours=ours,
        peers={"numpy": numpy, "numpy:sort": by_sorting},
        bar="best >= 2x",
        check=close(0.0, 0.0011),
    )


def _reproducible() -> Case:
    def ours(v: SimpleNamespace) -> Call:
        state = load("ufuse").State
        return lambda: state("sum", accuracy="reproducible").update(v.x).result().sum

    def numpy(v: SimpleNamespace) -> Call:
        return lambda: np.sum(v.x, dtype=np.float64)

    def fsum(v: SimpleNamespace) -> Call:
        return lambda: math.fsum(v.x)

    return Case(
        name="State of a reproducible sum",
        group=GROUP,
        make=lambda: SimpleNamespace(x=uniform(1 << 20)),
        ours=ours,
        peers={"numpy": numpy, "numpy:fsum": fsum},
        bar="numpy:fsum >= 10x",
        check=close(1e-6),
    )


def _drift() -> Case:
    """Both distances of distribution functions, of two arrays of a million elements."""

    def ours(v: SimpleNamespace) -> Call:
        f = load("ufuse").drift
        return lambda: np.array(f(v.a, v.b, measures=("ks", "wasserstein")))

    def numpy(v: SimpleNamespace) -> Call:
        def call() -> np.ndarray:
            a, b = np.sort(v.a), np.sort(v.b)
            points = np.sort(np.concatenate([a, b]))
            f = np.searchsorted(a, points, "right") / a.size
            g = np.searchsorted(b, points, "right") / b.size
            gap = np.abs(f - g)
            return np.array([gap.max(), (gap[:-1] * np.diff(points.astype(np.float64))).sum()])

        return call

    return Case(
        name="drift of two arrays",
        group=GROUP,
        make=lambda: SimpleNamespace(a=uniform(1 << 20), b=uniform(1 << 20, 0.1, 1.2)),
        ours=ours,
        peers={"numpy": numpy},
        bar="numpy >= 1x",
        check=close(1e-6),
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    return [_four(), _histogram(), _sketch(), _reproducible(), _drift()]
