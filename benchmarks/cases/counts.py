"""Histograms and counts of 64 MB."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import environment
from ..libraries import load, tensor
from ..model import Call, Case, Prepare, close
from ..probe import touched

GROUP = "counts"
BYTES = 1 << 26
BINS = 256
LANES = (65536, 256)


def _filled(dtype: str, high: float = 1.0) -> np.ndarray:
    """Numbers in [0, high), in memory of 64 MB."""
    x = touched(BYTES // np.dtype(dtype).itemsize, dtype)
    rng = np.random.default_rng(0)
    for start in range(0, x.size, 1 << 20):  # blocks: no float64 copy of it all
        part = x[start : start + (1 << 20)]
        part[...] = rng.random(part.size) * high
    return x


def _case(
    name: str,
    make: Callable[[], SimpleNamespace],
    ours: Prepare,
    peers: dict[str, Prepare],
    bar: str,
    rtol: float = 0.0,
) -> Case:
    return Case(
        name=name,
        group=GROUP,
        make=make,
        ours=ours,
        peers=peers,
        bar=bar,
        limit="read",
        amount=BYTES,
        check=close(rtol),  # peers count in floats
    )


# ---- bins of equal width ----------------------------------------------------------------------


def _uniform(dtype: str, high: float) -> Case:
    outer = (0.0, high)

    def histogram(library: str) -> Prepare:
        def prepare(v: SimpleNamespace) -> Call:
            f = load(library).histogram
            return lambda: f(v.x, BINS, outer)[0]

        return prepare

    def fast_histogram(v: SimpleNamespace) -> Call:
        f = load("fast_histogram").histogram1d
        return lambda: f(v.x, BINS, outer)

    def boost_histogram(v: SimpleNamespace) -> Call:
        f, threads = load("boost_histogram").numpy.histogram, environment.threads()
        return lambda: f(v.x, BINS, outer, threads=threads)[0]

    def torch(v: SimpleNamespace) -> Call:
        f, x = load("torch").histc, tensor(v.x)
        return lambda: f(x, BINS, *outer)

    peers: dict[str, Prepare] = {
        "numpy": histogram("numpy"),
        "fast_histogram": fast_histogram,
        "boost_histogram": boost_histogram,
    }
    if dtype.startswith("float"):
        peers["torch"] = torch
    return _case(
        f"histogram {BINS} bins {dtype}",
        lambda: SimpleNamespace(x=_filled(dtype, high)),
        histogram("ufuse"),
        peers,
        "fast_histogram >= 4x; best >= 2x",
    )


# ---- bins of any width ------------------------------------------------------------------------


def _make_edges() -> SimpleNamespace:
    edges = np.sort(np.random.default_rng(1).random(BINS + 1)).astype(np.float32)
    return SimpleNamespace(x=_filled("float32"), edges=edges)


def _edges_by(library: str) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f: Any = load(library)
        return lambda: f.histogram(v.x, v.edges)[0]

    return prepare


def _edges_torch(v: SimpleNamespace) -> Call:
    f, x, edges = load("torch").histogram, tensor(v.x), tensor(v.edges)
    return lambda: f(x, edges).hist


# ---- one histogram for each lane --------------------------------------------------------------


def _lanes_ours(v: SimpleNamespace) -> Call:
    f = load("ufuse").histogram
    return lambda: f(v.x, 32, (0.0, 1.0), axis=0)[0]


def _lanes_of(library: str, name: str) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = getattr(load(library), name)

        def call() -> np.ndarray:
            lanes = (f(v.x[:, i], 32, (0.0, 1.0)) for i in range(v.x.shape[1]))
            return np.stack([lane[0] if isinstance(lane, tuple) else lane for lane in lanes])

        return call

    return prepare


# ---- integers ---------------------------------------------------------------------------------


def _bincount(library: str, weighted: bool) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = load(library).bincount
        x, w = v.x, v.w if weighted else None
        if library == "torch":
            x, w = tensor(v.x), tensor(v.w) if weighted else None
        return lambda: f(x, w)

    return prepare


def _make_groups(count: int) -> SimpleNamespace:
    return SimpleNamespace(x=_filled("int64", count), w=_filled("float64"))


def cases() -> list[Case]:
    """Return the cases of this group."""
    lanes = {
        "numpy": _lanes_of("numpy", "histogram"),
        "fast_histogram": _lanes_of("fast_histogram", "histogram1d"),
    }
    result = [
        _uniform("float32", 1.0),
        _uniform("float64", 1.0),
        _uniform("uint8", 256.0),
        _case(
            f"histogram {BINS} given edges float32",
            _make_edges,
            _edges_by("ufuse"),
            {"numpy": _edges_by("numpy"), "torch": _edges_torch},
            "best >= 4x",
        ),
        _case(
            "histogram 32 bins float32 axis 0",
            lambda: SimpleNamespace(x=_filled("float32").reshape(LANES)),
            _lanes_ours,
            lanes,
            "best >= 4x",
        ),
    ]
    for weighted in (False, True):
        result.append(
            _case(
                f"bincount 1000 int64{' weights' if weighted else ''}",
                lambda: _make_groups(1000),
                _bincount("ufuse", weighted),
                {name: _bincount(name, weighted) for name in ("numpy", "torch")},
                "best >= 2x",
                rtol=1e-9,
            )
        )
    return result
