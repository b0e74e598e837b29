"""Drift: against SciPy where it is there, and against the definitions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ufuse as uf

RNG = np.random.default_rng(0)
PAIRS = {
    "shifted": (RNG.normal(size=3000), RNG.normal(0.3, 1.2, 2000)),
    "apart": (RNG.random(100), RNG.random(50) + 7),
    "ties": (RNG.integers(0, 5, 900).astype(float), RNG.integers(1, 6, 500).astype(float)),
    "tiny": (np.array([1.0]), np.array([1.0, 2.0])),
    "heavy": (RNG.standard_cauchy(800), RNG.standard_cauchy(900) * 2),
    "same": (np.arange(50.0), np.arange(50.0)),
}


def cuts_of(a: np.ndarray) -> np.ndarray:
    """The nine deciles, and what is next to those that come more than once."""
    cuts, times = np.unique(np.quantile(a, np.arange(1, 10) / 10), return_counts=True)
    return np.sort(np.append(cuts, np.nextafter(cuts[times > 1], np.inf)))


def shares(x: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Share of each bin: from its lower cut on, below its upper one."""
    return np.bincount(np.digitize(x, cuts), minlength=cuts.size + 1) / x.size


def divergences(r: np.ndarray, s: np.ndarray, epsilon: float = 1e-4) -> dict[str, float]:
    """The definitions, term by term."""
    m = (r + s) / 2
    js = 0.0
    for p in (r, s):
        js += sum(a * np.log2(a / b) for a, b in zip(p, m, strict=True) if a > 0) / 2
    r, s = np.maximum(r, epsilon), np.maximum(s, epsilon)
    r, s = r / r.sum(), s / s.sum()
    return {
        "psi": float(((s - r) * np.log(s / r)).sum()),
        "kl": float((s * np.log(s / r)).sum()),
        "js": float(np.sqrt(js)),
    }


def ks(a: np.ndarray, b: np.ndarray) -> float:
    points = np.concatenate([a, b])
    return max(abs(np.mean(a <= t) - np.mean(b <= t)) for t in points)


def wasserstein(a: np.ndarray, b: np.ndarray) -> float:
    """The mean gap of the sorted samples, both repeated to one length."""
    length = np.lcm(a.size, b.size)
    a, b = np.repeat(np.sort(a), length // a.size), np.repeat(np.sort(b), length // b.size)
    return float(np.abs(a - b).mean())


@pytest.mark.parametrize("pair", PAIRS)
def test_the_definitions(pair: str) -> None:
    a, b = PAIRS[pair]
    found = uf.drift(a, b)
    assert found._fields == ("ks", "pvalue", "psi", "kl", "js", "wasserstein")
    assert all(isinstance(value, float) for value in found)
    assert found.ks == pytest.approx(ks(a, b), abs=1e-15)
    if np.lcm(a.size, b.size) < 10_000_000:
        assert found.wasserstein == pytest.approx(wasserstein(a, b), rel=1e-9)
    cuts = cuts_of(a)
    for name, value in divergences(shares(a, cuts), shares(b, cuts)).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-12, abs=1e-15), name


@pytest.mark.parametrize("pair", PAIRS)
def test_scipy(pair: str) -> None:
    stats = pytest.importorskip("scipy.stats")
    distance = pytest.importorskip("scipy.spatial.distance")
    a, b = PAIRS[pair]
    found = uf.drift(a, b)
    want = stats.ks_2samp(a, b, method="asymp")
    assert found.ks == pytest.approx(want.statistic, abs=1e-15)
    # SciPy's asymptotic p-value is Smirnov's for a single sample of n*m/(n+m).
    series = stats.kstwobign.sf(found.ks * np.sqrt(a.size * b.size / (a.size + b.size)))
    assert found.pvalue == pytest.approx(series, rel=1e-9, abs=1e-14)
    assert found.wasserstein == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-9, abs=1e-15)
    cuts = cuts_of(a)
    js = distance.jensenshannon(shares(a, cuts), shares(b, cuts), base=2)
    assert found.js == pytest.approx(float(js), rel=1e-9, abs=1e-15)


def test_scipy_by_chance() -> None:
    stats = pytest.importorskip("scipy.stats")
    for x in (0.02, 0.1, 0.3, 0.7, 1.1, 1.17, 1.19, 1.5, 2.5, 5.0):
        n = 10**6
        shift = round(x / np.sqrt(n / 2) * n)
        if not 0 < shift < n:
            continue
        found = uf.drift(np.arange(n), np.arange(n) + shift, measures=("ks", "pvalue"))
        want = stats.kstwobign.sf(shift / n * np.sqrt(n / 2))
        assert found.ks == pytest.approx(shift / n, abs=1e-15)
        assert found.pvalue == pytest.approx(want, rel=1e-9)


def test_cuts_and_epsilon() -> None:
    a, b = PAIRS["shifted"]
    for cuts in ([0.0], [-1, 0, 1.5], np.linspace(-3, 3, 31)):
        for epsilon in (1e-4, 0.01):
            found = uf.drift(a, b, bins=cuts, epsilon=epsilon)
            want = divergences(shares(a, np.asarray(cuts)), shares(b, np.asarray(cuts)), epsilon)
            for name, value in want.items():
                assert getattr(found, name) == pytest.approx(value, rel=1e-12)
    one = uf.drift(a, b, bins=1)
    assert (one.psi, one.kl, one.js) == (0, 0, 0)


@pytest.mark.parametrize("measure", ["ks", "pvalue", "psi", "kl", "js", "wasserstein"])
def test_one_measure_is_that_of_all(measure: str) -> None:
    a, b = PAIRS["shifted"]
    (found,) = uf.drift(a, b, measures=measure)
    assert found == getattr(uf.drift(a, b), measure)
    again = uf.drift(a, b, measures=("ks", measure) if measure != "ks" else ("js", "ks"))
    assert getattr(again, measure) == found


@pytest.mark.parametrize(
    "dtype", [np.bool_, np.int8, np.uint64, np.float16, np.float32, ml_dtypes.bfloat16]
)
def test_dtypes(dtype: Any) -> None:
    a = np.arange(1000).reshape(10, 100) % 2 if dtype is np.bool_ else np.arange(1000) % 7
    a, b = a.astype(dtype), (np.arange(300) % 2).astype(dtype)
    want = uf.drift(a.astype(np.float64), b.astype(np.float64))
    found = uf.drift(a, b)
    np.testing.assert_allclose(found, want, rtol=1e-12)
    swapped = uf.drift(a.astype(a.dtype.newbyteorder()), b[::-1])
    np.testing.assert_array_equal(swapped, found)


def test_nan_are_left_out_and_infinities_count() -> None:
    a, b = PAIRS["shifted"]
    with_nan = np.insert(a, [0, 5, 77], np.nan)
    assert uf.drift(with_nan, b) == uf.drift(a, b)
    found = uf.drift([1.0, 2.0, np.inf], [1.0, 2.0, 3.0])
    assert found.ks == pytest.approx(1 / 3)
    assert found.wasserstein == np.inf
    assert uf.drift([1.0, np.inf], [1.0, np.inf]).wasserstein == 0


# --- states and sketches --------------------------------------------------------------------------


def sketched(x: np.ndarray, error: float = 0.01) -> uf.QuantileSketch:
    sketch = uf.QuantileSketch(error)
    for chunk in np.array_split(x, 5):
        sketch.update(chunk)
    return sketch


def stated(*names: str, **keywords: Any) -> Callable[[np.ndarray], uf.State]:
    return lambda x: uf.State(*names, **keywords).update(x)


def test_small_sketches_are_as_good_as_arrays() -> None:
    a, b = PAIRS["shifted"]
    want = uf.drift(a, b)
    for first in (a, sketched(a, 0.001), uf.State("median").update(a)):
        for second in (b, sketched(b, 0.001), uf.State("quantile", q=0.1).update(b)):
            np.testing.assert_allclose(uf.drift(first, second), want, rtol=1e-9)


def test_large_sketches_are_within_their_bounds() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=200_000), rng.normal(0.1, 1.1, 150_000)
    want = uf.drift(a, b)
    first, second = sketched(a), sketched(b)
    bound = first.error_bound + second.error_bound
    assert 0 < bound <= 0.02
    for found in (uf.drift(first, second), uf.drift(a, second), uf.drift(first, b)):
        assert found.ks == pytest.approx(want.ks, abs=bound)
        assert found.wasserstein == pytest.approx(want.wasserstein, abs=bound * np.ptp([*a, *b]))
        assert found.psi == pytest.approx(want.psi, abs=0.01)
        assert found.js == pytest.approx(want.js, abs=0.02)


def test_histograms() -> None:
    a, b = PAIRS["shifted"]
    edges = np.linspace(-6, 8, 141)
    keep = stated("histogram", bins=edges)
    assert a.min() > edges[0] and b.max() < edges[-1]
    found = uf.drift(keep(a), keep(b))
    counts = [np.concatenate([[0], np.histogram(x, edges)[0], [0]]) / x.size for x in (a, b)]
    for name, value in divergences(*counts).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-12)
    at_edges = np.abs(np.cumsum(counts[0]) - np.cumsum(counts[1])).max()
    assert found.ks == pytest.approx(at_edges, abs=1e-15)
    width = edges[1] - edges[0]
    assert found.wasserstein == pytest.approx(uf.drift(a, b).wasserstein, abs=width)
    # An array or a sketch beside a histogram is counted in its bins.
    np.testing.assert_array_equal(uf.drift(keep(a), b), found)
    np.testing.assert_array_equal(uf.drift(a, keep(b)), found)
    np.testing.assert_allclose(uf.drift(sketched(a, 0.001), keep(b)), found, rtol=1e-9)


def test_a_float32_histogram_is_compared_in_its_own_bins() -> None:
    """float32(0.7) is on an edge that is rounded as it is, and below the one in float64."""
    x = np.array([0.7] * 10 + [0.05], np.float32)
    state = uf.State("histogram", bins=10, range=(0, 1)).update(x)
    assert uf.drift(state, x, measures="psi").psi == 0
    assert uf.drift(x, state, measures="psi").psi == 0
    wide = uf.State("histogram", bins=10, range=(0, 1)).update(x.astype(np.float64) + 1e-6)
    assert uf.drift(state, wide, measures="psi").psi == 0
    with pytest.raises(ValueError, match="different edges"):
        uf.drift(state, uf.State("histogram", bins=10, range=(0, 1.5)).update(x))


def test_histograms_are_spread_evenly() -> None:
    """The integral of |F - G|, of lines between the edges: against many small steps."""
    edges = [0.0, 1.0, 3.0, 4.0]
    a = np.repeat([0.5, 2.0, 3.5], [10, 70, 20])
    b = np.repeat([0.5, 2.0, 3.5], [60, 10, 30])
    found = uf.drift(*(uf.State("histogram", bins=edges).update(x) for x in (a, b)))
    fine = np.linspace(0, 4, 400_001)
    f = np.interp(fine, edges, [0, 0.1, 0.8, 1]) - np.interp(fine, edges, [0, 0.6, 0.7, 1])
    assert found.wasserstein == pytest.approx(np.abs(f).mean() * 4, rel=1e-4)
    outside = uf.State("histogram", bins=edges).update(np.append(a, 9.0))
    beyond = uf.drift(outside, uf.State("histogram", bins=edges).update(b))
    assert np.isnan(beyond.wasserstein)
    assert beyond.ks > 0


def test_a_sketch_goes_before_a_histogram() -> None:
    a, b = PAIRS["shifted"]
    both = stated("histogram", "median", bins=5, range=(-9, 9))
    np.testing.assert_allclose(uf.drift(both(a), both(b)), uf.drift(a, b), rtol=1e-9)
    only = stated("histogram", bins=5, range=(-9, 9))
    np.testing.assert_array_equal(uf.drift(both(a), only(b)), uf.drift(only(a), only(b)))


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "keywords", "kind", "text"),
    [
        ([], [1.0], {}, ValueError, "'reference': expected elements"),
        ([1.0], [np.nan], {}, ValueError, "'sample': expected elements"),
        ([1j], [1.0], {}, TypeError, "'reference': expected real numbers"),
        (["a"], [1.0], {}, TypeError, "'reference'"),
        ([1.0], [1.0], {"bins": 0}, ValueError, "'bins': expected a number"),
        ([1.0], [1.0], {"bins": "x"}, ValueError, "'bins': expected a number"),
        ([1.0], [1.0], {"bins": [2, 1]}, ValueError, "'bins': expected cuts"),
        ([1.0], [1.0], {"bins": []}, ValueError, "'bins': expected cuts"),
        ([1.0], [1.0], {"bins": [0, np.nan]}, ValueError, "'bins': expected cuts"),
        ([1.0], [1.0], {"measures": ("ks", "ks")}, ValueError, "'measures'"),
        ([1.0], [1.0], {"measures": "kss"}, ValueError, "'measures'.*'kss'"),
        ([1.0], [1.0], {"measures": ()}, ValueError, "'measures'"),
        ([1.0], [1.0], {"epsilon": 0}, ValueError, "'epsilon'"),
        ([1.0], [1.0], {"epsilon": "x"}, ValueError, "'epsilon'"),
    ],
)
def test_bad_arguments(a: Any, b: Any, keywords: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=rf"ufuse\.drift: .*{text}"):
        uf.drift(a, b, **keywords)


def test_bad_states() -> None:
    x = np.arange(10.0)
    plain = uf.State("mean").update(x)
    with pytest.raises(ValueError, match=r"'sample': expected a State with 'histogram', 'median'"):
        uf.drift(x, plain)
    lanes = uf.State("median", axis=0).update(x)
    with pytest.raises(ValueError, match=r"'reference': expected a State of one stream"):
        uf.drift(lanes, x)
    for empty in (uf.State("median"), uf.State("histogram", bins=[0, 1]), uf.QuantileSketch()):
        with pytest.raises(ValueError, match=r"'reference': expected (elements|a State with)"):
            uf.drift(empty, x)
    first = uf.State("histogram", bins=[0, 5, 10]).update(x)
    second = uf.State("histogram", bins=[0, 4, 10]).update(x)
    with pytest.raises(ValueError, match=r"different edges: 2 bins from 0 to 10 and 2 bins"):
        uf.drift(first, second)
    with pytest.raises(ValueError, match=r"'bins': histograms have bins of their own"):
        uf.drift(first, x, bins=3)


def test_no_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        uf.drift([1.0, np.inf, -np.inf, np.nan], [0.0, -np.inf, 5.0])
        uf.drift([1, 2, 3], [7, 8])


def test_a_value_that_most_of_the_reference_has_is_no_single_bin() -> None:
    """Flags and sparse columns: cuts at one value alone once left one bin, and no drift."""
    few = np.r_[np.zeros(9500), np.ones(500)]
    found = uf.drift(few, 1 - few)
    back = uf.drift(1 - few, few)
    np.testing.assert_allclose(found.psi, back.psi)
    assert found.psi > 5 and found.js > 0.8
    assert uf.drift([1, 1, 1], [2, 2, 2]).js == pytest.approx(1.0)
    assert uf.drift(few, few).psi == 0.0
    sparse = np.r_[np.zeros(9200), np.random.default_rng(0).exponential(size=800)]
    assert uf.drift(sparse, sparse + 1).psi > 1
