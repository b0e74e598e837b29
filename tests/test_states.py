"""Statistics of streams: those of the whole, whatever the split, the layout and who saw what."""

from __future__ import annotations

import math
import pickle
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ufuse as uf
from conftest import NATIVE
from ufuse.streams import accumulators

EXACT = "min max ptp argmin argmax any all count_nonzero".split()
FLOATING = "sum prod mean var std norm".split()
SKIPPING = "nansum nanprod nanmean nanvar nanstd nanmin nanmax nanargmin nanargmax".split()
INTEGERS = [np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
FLOATS = [np.float32, np.float64]
NARROW = [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2]


def sample(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "iub":
        return rng.integers(0, 2 if dtype is np.bool_ else 100, shape).astype(dtype)
    return (rng.standard_normal(shape) * 0.5 + 1).astype(dtype)


def layouts(x: np.ndarray) -> dict[str, np.ndarray]:
    """The same 2-d array in several layouts."""
    padded = np.zeros((2 * x.shape[0], 3 * x.shape[1]), x.dtype)
    padded[::2, ::3] = x
    unaligned = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    return {
        "C": x,
        "F": np.asfortranarray(x),
        "strided": padded[::2, ::3],
        "reversed": np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
        "unaligned": unaligned,
        "swapped": x.astype(x.dtype.newbyteorder()),
    }


def streamed(chunks: list[np.ndarray], *names: str, **keywords: Any) -> Any:
    state = uf.State(*names, **keywords)
    for chunk in chunks:
        assert state.update(chunk) is state
    return state


def whole(name: str, x: np.ndarray, axis: Any, **keywords: Any) -> Any:
    """What NumPy says, in float64 where rounding counts."""
    wide = x.astype(np.float64) if x.dtype.kind in "fV" else x
    function = getattr(np, {"norm": "linalg.norm"}.get(name, name), None)
    if name == "norm":
        return np.sqrt(np.sum(np.square(x.astype(np.float64)), axis=axis))
    assert function is not None
    with np.errstate(all="ignore"):
        return function(wide, axis=axis, **keywords)


def splits(x: np.ndarray, axis: int) -> list[list[np.ndarray]]:
    n = x.shape[axis]
    cuts = [[], [1], [n // 3, n // 3], list(range(1, n, max(1, n // 7)))]
    return [np.split(x, cut, axis=axis) for cut in cuts]


@pytest.mark.parametrize("dtype", [np.bool_, *INTEGERS, *FLOATS, *NARROW])
@pytest.mark.parametrize(("shape", "axis"), [((40, 3), 0), ((3, 2100), 1), ((61,), None)])
def test_any_split_is_the_whole(shape: Any, axis: Any, dtype: Any) -> None:
    x = sample(shape, dtype)
    names = [*EXACT, *FLOATING]
    if dtype is np.bool_:
        names.remove("ptp")  # NumPy has none
    for chunks in splits(x, 0 if axis is None else axis):
        found = streamed(chunks, *names, "count", "nan_count", axis=axis).result()
        assert found._fields == (*names, "count", "nan_count")
        for name in names:
            got, want = np.asarray(getattr(found, name)), np.asarray(whole(name, x, axis))
            if name != "norm" and dtype not in NARROW:
                assert got.dtype == np.asarray(getattr(np, name)(x, axis=axis)).dtype, name
            if name in EXACT or got.dtype.kind in "iub":
                np.testing.assert_array_equal(got, want.astype(got.dtype), err_msg=name)
            else:
                info = ml_dtypes.finfo(got.dtype)
                with np.errstate(over="ignore", under="ignore"):
                    want = want.astype(got.dtype).astype(np.float64)
                rtol, least = max(2 * float(info.eps), 1e-13), float(info.tiny)
                got = got.astype(np.float64)
                np.testing.assert_allclose(got, want, rtol=rtol, atol=least, err_msg=name)
        assert np.all(found.nan_count == 0)
        assert np.all(found.count == (x.size if axis is None else x.shape[axis]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axis", [0, 1, None])
def test_one_chunk_is_what_the_functions_give(axis: Any, dtype: Any) -> None:
    x = sample((50, 60), dtype, 3)
    x[2] = np.nan
    names = [*EXACT, *FLOATING, "nan_count"]
    found = uf.State(*names, axis=axis).update(x).result()
    want = uf.reduce(x, [name for name in names if name != "ptp"], axis)
    for name in want._fields:
        rtol = 0 if NATIVE else 1e-12
        got, right = getattr(found, name), getattr(want, name)
        np.testing.assert_allclose(got, right, rtol=rtol, err_msg=name)
        assert np.asarray(got).dtype == np.asarray(right).dtype


@pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")
@pytest.mark.parametrize("axis", [0, 1, None])
def test_the_same_bits_for_every_layout_and_thread_count(axis: Any) -> None:
    x = sample((160, 2800) if axis == 1 else (2800, 160), np.float32, 4)
    x[5, ::3] = np.nan
    names = [*EXACT, *FLOATING, *SKIPPING, "histogram", "nanmedian", "nanpercentile"]
    keywords = {"axis": axis, "bins": 16, "range": (0, 2), "q": [1, 99], "error": 0.02}
    with uf.threads(1):
        want = pickle.dumps(streamed([x[:99], x[99:]] if axis == 0 else [x], *names, **keywords))
    for threads in (1, 2, 3):
        with uf.threads(threads):
            for layout, y in layouts(x).items():
                chunks = [y[:99], y[99:]] if axis == 0 else [y]
                got = pickle.dumps(streamed(chunks, *names, **keywords))
                assert got == want, layout


@pytest.mark.parametrize("dtype", [*FLOATS, *NARROW])
@pytest.mark.parametrize("axis", [0, None])
def test_nan_left_out(axis: Any, dtype: Any) -> None:
    x = sample((64, 5), dtype, 5)
    x[np.random.default_rng(6).random(x.shape) < 0.3] = np.nan
    x[:20, 0] = np.nan  # the first chunks have nothing in this lane
    plain = [name.removeprefix("nan") for name in SKIPPING]
    for chunks in splits(x, 0):
        named = streamed(chunks, *SKIPPING, axis=axis, ddof=1).result()
        skipping = streamed(
            chunks, *plain, "any", "all", "norm", "count", axis=axis, ddof=1, skip_nan=True
        ).result()
        for name, other in zip(SKIPPING, plain, strict=True):
            more = {"ddof": 1} if other in ("var", "std") else {}
            want = whole(name, x, axis, **more)
            got = np.asarray(getattr(named, name))
            rtol = max(2 * float(ml_dtypes.finfo(x.dtype).eps), 1e-13)
            want = np.asarray(want).astype(got.dtype).astype(np.float64)
            least = float(ml_dtypes.finfo(x.dtype).tiny)
            wide = got.astype(np.float64)
            np.testing.assert_allclose(wide, want, rtol=rtol, atol=least, err_msg=name)
            np.testing.assert_array_equal(got, getattr(skipping, other), err_msg=name)
        wide = x.astype(np.float64)
        counts = np.count_nonzero(~np.isnan(wide), axis=axis)
        np.testing.assert_array_equal(skipping.count, counts)
        assert np.all(skipping.any)
        assert np.all(skipping.all)
        norm = np.sqrt(np.nansum(wide * wide, axis=axis))
        np.testing.assert_allclose(np.asarray(skipping.norm, np.float64), norm, rtol=rtol)


def test_nan_and_infinities_spread_as_in_the_whole() -> None:
    inf, nan = np.inf, np.nan
    lanes = [[1, inf, 2, 3], [inf, 1, -inf, 2], [inf, 2, inf, 4], [nan, 1, 5, nan], [1, 2, 7, nan]]
    x = np.array(lanes)
    with np.errstate(all="ignore"):
        for k in (1, 2, 3):
            chunks = [x[:, :k], x[:, k:]]
            names = ["sum", "mean", "min", "max", "argmin", "argmax", "var", "norm", "any", "all"]
            for accuracy in ("default", "reproducible"):
                found = streamed(chunks, *names, axis=1, accuracy=accuracy).result()
                for name in names:
                    want = whole(name, x, 1)
                    np.testing.assert_allclose(getattr(found, name), want, err_msg=name)


def test_zeros_have_signs() -> None:
    for a, b in ((0.0, -0.0), (-0.0, 0.0)):
        found = streamed([np.array([a]), np.array([b])], "min", "max", "argmin").result()
        assert np.signbit(found.min)
        assert not np.signbit(found.max)
        assert found.argmin == 0


def test_positions_are_those_of_the_stream() -> None:
    x = np.array([5, 3, 8, 3, 8, 1, 1])
    for k in range(1, 7):
        for axis in (None, 0):
            found = streamed([x[:k], x[k:]], "argmin", "argmax", axis=axis).result()
            assert (found.argmin, found.argmax) == (5, 2)
    a = streamed([x[:4]], "argmin")
    a.merge(streamed([x[4:]], "argmin"))
    assert a.result().argmin == 5
    a.update([0])
    assert a.result().argmin == 7


@pytest.mark.parametrize("axis", [None, (0, 2), (1,), -1])
def test_axes(axis: Any) -> None:
    x = sample((6, 7, 8), np.float32, 7)
    over = 0 if axis in (None, (0, 2)) else np.arange(3)[axis if isinstance(axis, int) else axis[0]]
    names = ["mean", "var", "max", "count"]
    found = streamed(np.array_split(x, 3, axis=int(over)), *names, axis=axis).result()
    np.testing.assert_allclose(found.mean, x.mean(axis, np.float64), rtol=1e-6)
    np.testing.assert_allclose(found.var, x.var(axis, np.float64), rtol=1e-6)
    np.testing.assert_array_equal(found.max, x.max(axis))
    assert np.all(found.count == x.size // max(1, np.size(found.max)))


def test_chunks_of_any_shape_where_everything_streams() -> None:
    chunks = [np.float32(4), np.ones((2, 3), np.float32), np.zeros((0, 5), np.float32)]
    state = streamed([*chunks, np.array([9], np.float32)], "sum", "count", "argmax")
    assert state.result() == (19.0, 8, 7)
    assert state.count == 8


def trees(parts: list[Any]) -> list[Any]:
    """Merge states pairwise, as a tree of workers does; each travels as a pickle."""
    while len(parts) > 1:
        parts = [pickle.loads(pickle.dumps(part)) for part in parts]
        pairs = [parts[i].merge(parts[i + 1]) for i in range(0, len(parts) - 1, 2)]
        parts = pairs + parts[len(pairs) * 2 :]
    return parts


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("workers", [1, 2, 5, 8])
def test_a_tree_of_workers(workers: int, axis: Any) -> None:
    x = sample((3001, 4), np.float64, 8)
    names = [*EXACT, *FLOATING[2:], "sum", "histogram", "quantile"]
    q = np.linspace(0, 1, 11)
    keywords = {"axis": axis, "bins": [0, 0.5, 1.1, 2], "q": q, "error": 0.01}
    parts = [streamed([chunk], *names, **keywords) for chunk in np.array_split(x, workers)]
    before = pickle.dumps(parts[-1])
    (state,) = trees(parts)
    assert pickle.dumps(parts[-1]) == before or workers == 1  # what is merged in does not change
    found = state.result()
    for name in EXACT:
        np.testing.assert_array_equal(getattr(found, name), whole(name, x, axis), err_msg=name)
    for name in (*FLOATING[2:], "sum"):
        np.testing.assert_allclose(getattr(found, name), whole(name, x, axis), rtol=1e-13)
    lanes = [x.ravel()] if axis is None else list(x.T)
    for lane, values in enumerate(lanes):
        counts = np.histogram(values, [0, 0.5, 1.1, 2])[0]
        np.testing.assert_array_equal(np.reshape(found.histogram.counts, (-1, 3))[lane], counts)
        got = found.quantile.reshape(q.size, -1)[:, lane]
        at = np.searchsorted(np.sort(values), got) / values.size
        assert np.abs(at - q).max() <= 0.01 + 1 / values.size
    below, above = found.histogram.below, found.histogram.above
    np.testing.assert_array_equal(below, np.count_nonzero(x < 0, axis=axis))
    np.testing.assert_array_equal(above, np.count_nonzero(x > 2, axis=axis))


def test_merging_with_nothing() -> None:
    x = np.arange(5.0)
    names = ("mean", "max", "median")
    full = streamed([x], *names)
    assert uf.State(*names).merge(full).result() == full.result() == (2.0, 4.0, 2.0)
    assert full.merge(uf.State(*names)).result() == (2.0, 4.0, 2.0)
    copied = uf.State(*names).merge(full).update(x)
    assert copied.count == 10
    assert full.count == 5
    assert full.merge(full).result().mean == 2.0
    assert full.count == 10


def test_results_are_not_what_is_kept() -> None:
    x = np.arange(12.0).reshape(4, 3)
    names = ("argmax", "min", "sum", "count_nonzero", "histogram", "count")
    state = uf.State(*names, axis=0, bins=2, range=(0, 9)).update(x)
    for value in state.result():
        (value.counts if hasattr(value, "counts") else value)[...] = 77
    found = state.result()
    assert found.argmax.tolist() == [3, 3, 3]
    assert found.min.tolist() == [0, 1, 2]
    assert found.count_nonzero.tolist() == [3, 4, 4]
    assert found.histogram.counts.tolist() == [[2, 2], [2, 1], [1, 2]]


# --- accuracy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
def test_moments_of_many_chunks_keep_their_digits(dtype: Any) -> None:
    """A large mean and a thousand chunks: 13 digits, as the whole has them."""
    x = (np.random.default_rng(9).standard_normal(100_000) + 1e6).astype(dtype)
    found = streamed(np.array_split(x, 1000), "sum", "mean", "var").result()
    total = sum(map(Fraction, x.tolist()))
    m2 = sum((Fraction(v) - total / x.size) ** 2 for v in x.tolist())
    rtol = 1e-13 if dtype is np.float64 else 6e-8
    assert float(found.sum) == pytest.approx(
        float(total), rel=min(rtol, 2e-16) if rtol < 1e-9 else rtol
    )
    assert float(found.mean) == pytest.approx(float(total / x.size), rel=rtol)
    assert float(found.var) == pytest.approx(float(m2 / x.size), rel=rtol)


def test_integer_means_do_not_overflow() -> None:
    x = np.full(1000, np.iinfo(np.int32).max, np.int32)
    state = streamed([x] * 3, "mean", "sum", "std")
    for _ in range(32):  # 2**32 times as many: sums of 3 * 10**12 * 2**31
        state.merge(state)
    found = state.result()
    assert found.mean == np.iinfo(np.int32).max
    assert found.std == 0
    assert found.sum == (3000 * 2**32 * (2**31 - 1) + 2**63) % 2**64 - 2**63  # wraps, as NumPy's


@pytest.mark.parametrize("dtype", [*FLOATS, np.float16, np.int32, np.int64, np.uint8])
def test_reproducible_whatever_the_order(dtype: Any) -> None:
    rng = np.random.default_rng(10)
    if np.dtype(dtype).kind == "f":
        largest = 15 if dtype is np.float16 else 60
        x = (rng.standard_normal(4001) * 2.0 ** rng.integers(-largest, largest, 4001)).astype(dtype)
        x[:3] = np.finfo(dtype).smallest_subnormal
    else:
        info = np.iinfo(dtype)
        x = rng.integers(info.min, info.max, 4001, dtype=dtype, endpoint=True)
    names = ("sum", "mean", "var", "std", "norm")
    exact = [Fraction(v) for v in x.tolist()]
    total, squares = sum(exact), sum(v * v for v in exact)
    want = {
        "sum": float(total),
        "mean": float(total / x.size),
        "var": float((squares - total * total / x.size) / (x.size - 1)),
    }
    results = []
    for chunks in ([x], np.array_split(x, 7), np.array_split(rng.permutation(x), 13)):
        state = streamed(chunks, *names, ddof=1, accuracy="reproducible")
        half = streamed(chunks[: len(chunks) // 2], *names, ddof=1, accuracy="reproducible")
        rest = streamed(chunks[len(chunks) // 2 :], *names, ddof=1, accuracy="reproducible")
        results += [state.result(), rest.merge(half).result()]
    for found in results:
        assert [v.tobytes() for v in found] == [v.tobytes() for v in results[0]]
        for name, value in want.items():
            got = getattr(found, name)
            if name == "sum" and got.dtype.kind in "iu":
                assert int(got) == int(total) if dtype is not np.int64 else True  # it wraps
                continue
            with np.errstate(over="ignore"):
                assert got == got.dtype.type(value), name


@pytest.mark.parametrize("dtype", FLOATS)
def test_reproducible_sums_of_long_lanes(dtype: Any) -> None:
    """As `math.fsum` has them, on both sides of what one task of the core adds up."""
    rng = np.random.default_rng(16)
    largest = 120 if dtype is np.float32 else 1000
    shape = (2, 2 * 2**16 + 7)
    x = (rng.standard_normal(shape) * 2.0 ** rng.integers(-largest, largest, shape)).astype(dtype)
    x[1] = rng.standard_normal(shape[1]) - 3
    names = ("sum", "norm", "var")
    found = uf.State(*names, axis=1, accuracy="reproducible").update(x).result()
    for lane, values in zip(found.sum, x, strict=True):
        assert lane == dtype(math.fsum(values.tolist()))
    np.testing.assert_allclose(found.norm[1], np.linalg.norm(x[1].astype(np.float64)), rtol=1e-6)
    np.testing.assert_allclose(found.var[1], np.var(x[1].astype(np.float64)), rtol=1e-6)
    few = [uf.State(*names, axis=1, accuracy="reproducible") for _ in range(2)]
    few[0].update(x[:, :100]).merge(few[1].update(x[:, :99:-1]))
    for name, value in zip(names, few[0].result(), strict=True):
        assert value.tobytes() == getattr(found, name).tobytes()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_reproducible_sums_of_anything(values: list[float]) -> None:
    state = uf.State("sum", "norm", accuracy="reproducible").update(values)
    exact = sum(map(Fraction, values))
    squares = sum(Fraction(x) ** 2 for x in values)
    with np.errstate(over="ignore"):
        for got, want in ((state.result().sum, exact), (state.result().norm ** 2, squares)):
            try:
                nearest = float(want)
            except OverflowError:
                nearest = np.inf if want > 0 else -np.inf
            if want is exact:
                assert got == nearest
            elif np.isfinite(nearest) and nearest > 1e-300:
                assert got == pytest.approx(nearest, rel=1e-15)


def test_reproducible_by_lane() -> None:
    x = np.random.default_rng(11).standard_normal((300, 5))
    x[7, 2] = np.nan
    keywords = {"axis": 0, "accuracy": "reproducible"}
    a = streamed([x[:100], x[100:]], "sum", "nanmean", **keywords).result()
    b = streamed([x[::-1]], "sum", "nanmean", **keywords).result()
    np.testing.assert_array_equal(a.sum, b.sum)
    np.testing.assert_array_equal(a.nanmean, b.nanmean)
    np.testing.assert_allclose(a.nanmean, np.nanmean(x, 0))
    assert np.isnan(a.sum[2])
    assert (
        uf.State("sum", accuracy="reproducible").update([1e308, 1e308, -1e308]).result().sum
        == 1e308
    )


# --- quantiles and histograms of lanes ------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*FLOATS, np.float16, np.int16, np.uint64])
def test_small_streams_have_exact_quantiles(dtype: Any) -> None:
    x = sample((101, 3), dtype, 12)
    q = [[0.0, 0.25], [0.5, 1.0]]
    found = streamed(np.array_split(x, 4), "median", "quantile", axis=0, q=q).result()
    wide = x.astype(np.float64)
    rtol = max(float(np.finfo(found.median.dtype).eps), 1e-15)
    np.testing.assert_allclose(found.median, np.median(wide, 0), rtol=rtol)
    np.testing.assert_allclose(found.quantile, np.quantile(wide, q, 0), rtol=rtol)
    assert found.quantile.shape == (2, 2, 3)
    assert found.median.dtype == np.median(x, 0).dtype
    percent = streamed([x], "percentile", q=25).result().percentile
    assert percent.shape == ()
    np.testing.assert_allclose(percent, np.percentile(wide, 25), rtol=rtol)


def test_quantiles_with_nan() -> None:
    x = np.array([[1, np.nan], [2, 4], [6, 8], [3, 5]])
    found = streamed([x[:1], x[1:]], "median", "nanmedian", axis=0).result()
    np.testing.assert_array_equal(found.median, [2.5, np.nan])
    np.testing.assert_array_equal(found.nanmedian, [2.5, 5])


@pytest.mark.parametrize("dtype", [*FLOATS, np.int32, np.uint8, *NARROW])
def test_bins_are_numpys(dtype: Any) -> None:
    """Also where edges are rounded: of equal bins they have the stream's dtype."""
    rng = np.random.default_rng(13)
    x = (rng.integers(0, 14, 5000) / (1 if np.dtype(dtype).kind in "iu" else 10)).astype(dtype)
    wide = x.astype(np.float32) if dtype in NARROW[1:] else x
    for bins, ends in ((10, (0, 1)), (7, (0.3, 1.3)), ([0, 0.1, 0.5, 1], None), ([1, 7.5], None)):
        state = streamed(np.array_split(x, 3), "histogram", bins=bins, range=ends)
        found = state.result().histogram
        counts, edges = np.histogram(wide, bins, ends)
        np.testing.assert_array_equal(found.edges, edges)
        assert ends is None or found.edges.dtype == edges.dtype
        np.testing.assert_array_equal(found.counts, counts)
        np.testing.assert_array_equal(found.counts, uf.histogram(x, bins, ends)[0])
        assert found.below + found.above + counts.sum() == x.size
        assert found.below == np.count_nonzero(x.astype(np.float64) < edges[0])


@pytest.mark.parametrize("dtype", [*FLOATS, *NARROW])
@pytest.mark.parametrize("edges", [[0.7, 1.0], [0.1, 0.3]])
def test_elements_at_outer_edges_that_are_rounded(dtype: Any, edges: list[float]) -> None:
    """What rounding puts beside an edge is below or above, and never lost or counted twice."""
    x = np.array(edges).astype(dtype)
    x = np.append(x, np.nextafter(x[0], x[1]))
    for keywords in ({"bins": edges}, {"bins": 5, "range": edges}):
        found = uf.State("histogram", **keywords).update(x).result().histogram
        assert found.below + found.above + found.counts.sum() == x.size
        assert found.below == np.count_nonzero(x.astype(np.float64) < found.edges[0])
        assert found.above == np.count_nonzero(x.astype(np.float64) > found.edges[-1])


def test_bins_of_truth() -> None:
    x = np.array([True, False, True])
    found = uf.State("histogram", bins=2, range=(0, 1)).update(x).result().histogram
    assert found.counts.tolist() == [1, 2]
    assert found.edges.tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("seen", [0, 1])
@pytest.mark.parametrize("method", ["update", "merge"])
def test_what_raises_changes_nothing(
    seen: int, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums and sketches are read before the histogram, which runs out of memory here."""
    names = ("sum", "median", "var", "histogram")
    keywords: dict[str, Any] = {"bins": 4, "range": (0, 2), "axis": 1, "error": 0.1}
    x = sample((3, 5000), np.float64)
    state = streamed([x] * seen, *names, **keywords)
    other = streamed([x[:, :700]], *names, **keywords)

    def fail(*arguments: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(accumulators.Bins, "read", fail)
        patch.setattr(accumulators.Bins, "merge", fail)
        if seen or method == "update":
            with pytest.raises(MemoryError):
                getattr(state, method)(other if method == "merge" else x[:, :700])
    assert state.count == 5000 * seen
    assert state.dtype == (np.float64 if seen else None)
    after = streamed([x] * seen, *names, **keywords)
    for one in (state, after):
        one.update(x[:, 40:])
    for a, b in zip(state.result()[:3], after.result()[:3], strict=True):
        np.testing.assert_array_equal(a, b)


def test_large_chunks_go_in_pieces() -> None:
    """More than a piece, along whatever axis, is the same as smaller chunks."""
    x = sample((3, 1200, 700), np.float32, 14)
    names = ("argmax", "max", "median", "histogram")
    keywords = {"bins": 20, "range": (-1, 3), "error": 0.05}
    for y in (x, x[:, :, ::-1], x.astype(">f4")):
        a = streamed([y], *names, **keywords).result()
        b = streamed(
            [part for plane in y for part in np.array_split(plane, 7)], *names, **keywords
        ).result()
        assert a.argmax == b.argmax == np.argmax(y)
        assert a.median == b.median
        np.testing.assert_array_equal(a.histogram.counts, b.histogram.counts)


# --- files ----------------------------------------------------------------------------------------


def test_memmap(tmp_path: Path) -> None:
    """A file larger than a piece, at once and in slices."""
    x = sample((3000, 500), np.float32, 15)
    x.tofile(tmp_path / "x.f32")
    mapped = np.memmap(tmp_path / "x.f32", np.float32, "r", shape=x.shape)
    for rows in (3000, 128):
        state = uf.State("mean", "max", "median", "histogram", bins=9, range=(-1, 3), axis=None)
        lanes = uf.State("mean", "max", axis=0)
        for start in range(0, 3000, rows):
            state.update(mapped[start : start + rows])
            lanes.update(mapped[start : start + rows])
        found = state.result()
        np.testing.assert_allclose(found.mean, x.mean(dtype=np.float64), rtol=1e-6)
        assert found.max == x.max()
        assert abs(np.mean(x <= found.median) - 0.5) <= 0.001
        np.testing.assert_array_equal(found.histogram.counts, np.histogram(x, 9, (-1, 3))[0])
        np.testing.assert_allclose(lanes.result().mean, x.mean(0, dtype=np.float64), rtol=1e-6)
        np.testing.assert_array_equal(lanes.result().max, x.max(0))
        copy = pickle.loads(pickle.dumps(state))  # holds nothing of the file
        assert copy.result().max == found.max


# --- nothing, and what is refused -----------------------------------------------------------------


def test_of_nothing() -> None:
    state = uf.State("sum", "prod", "count", "any", "all", "norm", "nan_count")
    assert state.result() == (0.0, 1.0, 0, False, True, 0.0, 0)
    state.update(np.empty((0, 3), np.int8))
    assert state.dtype == np.int8
    assert state.result().sum.dtype == np.int64
    for name, text in (("mean", "Mean of empty"), ("var", "Degrees"), ("median", "Mean of empty")):
        with pytest.warns(RuntimeWarning, match=text):
            (value,) = uf.State(name).result()
        assert np.isnan(value)
    for name in ("min", "ptp", "argmax"):
        with pytest.raises(ValueError, match=rf"ufuse.State.result: '{name}' of no elements"):
            uf.State(name).result()
    lanes = uf.State("min", "mean", axis=0).update(np.empty((3, 0)))
    assert lanes.result().min.shape == (0,)
    assert uf.State("median", axis=0).update(np.empty((3, 0))).result().median.shape == (0,)
    counts = uf.State("histogram", bins=3, range=(0, 1)).result().histogram
    assert counts.counts.tolist() == [0, 0, 0]


def test_lanes_of_nan_alone() -> None:
    x = np.array([[np.nan, 1.0], [np.nan, 2.0]])
    expected = {
        "nanmin": "All-NaN",
        "nanmean": "Mean of empty",
        "nanstd": "Degrees",
        "nanmedian": "M",
    }
    for name, text in expected.items():
        with pytest.warns(RuntimeWarning, match=text):
            (value,) = uf.State(name, axis=0).update(x).result()
        assert np.isnan(value[0])
        assert not np.isnan(value[1])
    with pytest.raises(ValueError, match="All-NaN slice"):
        uf.State("nanargmax", axis=0).update(x).result()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert uf.State("nansum", axis=0).update(x).result().nansum.tolist() == [0, 3]
        found = uf.State("median", "mean", "var", "min", axis=0).update(x).result()
        np.testing.assert_array_equal(found, [[np.nan, v] for v in (1.5, 1.5, 0.25, 1.0)])


@pytest.mark.parametrize(
    ("names", "keywords", "kind", "text"),
    [
        ((), {}, ValueError, "'statistics'"),
        (("meen",), {}, ValueError, r"'statistics'.*\['meen'\]"),
        (("mean", "mean"), {}, ValueError, "repeated"),
        (("mean",), {"accuracy": "great"}, ValueError, "'accuracy'.*'great'"),
        (("mean",), {"axis": "x"}, TypeError, "'axis'.*'x'"),
        (("mean",), {"axis": (0, 0)}, ValueError, "'axis'"),
        (("argmax",), {"axis": (0, 1)}, TypeError, "an int or None"),
        (("var",), {"ddof": "1"}, TypeError, "'ddof'"),
        (("sum", "mean"), {"ddof": 1}, TypeError, "'ddof': expected 0 without"),
        (("mean",), {"bins": 3}, ValueError, "'histogram', which is not asked"),
        (("histogram",), {}, ValueError, "edges beforehand"),
        (("histogram",), {"bins": 10}, ValueError, "edges beforehand"),
        (("histogram",), {"bins": 0, "range": (0, 1)}, ValueError, "'bins' and 'range'"),
        (("histogram",), {"bins": 3, "range": (1, 0)}, ValueError, "increase"),
        (("histogram",), {"bins": 3, "range": (0, np.inf)}, ValueError, "finite"),
        (("histogram",), {"bins": [0, 2, 1]}, ValueError, "increase"),
        (("quantile",), {}, ValueError, "'q' goes with one"),
        (("mean",), {"q": 0.5}, ValueError, "'q' goes with one"),
        (("quantile", "percentile"), {"q": 0.5}, ValueError, "'q' goes with one"),
        (("quantile",), {"q": 1.5}, ValueError, "between 0 and 1"),
        (("percentile",), {"q": [1, np.nan]}, ValueError, "between 0 and 100"),
        (("median",), {"error": 0}, ValueError, "'error'"),
    ],
)
def test_bad_arguments(names: Any, keywords: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=f"ufuse.State: .*{text}"):
        uf.State(*names, **keywords)


def test_bad_chunks() -> None:
    state = uf.State("mean", axis=0).update(np.ones((2, 3), np.float32))
    before = pickle.dumps(state)
    with pytest.raises(TypeError, match=r"'chunk': expected dtype float32.*float64.*astype"):
        state.update(np.ones((2, 3)))
    for shape in ((2, 4), (2, 3, 1), (3,)):
        with pytest.raises(ValueError, match=r"'chunk': expected 2 axes, of sizes \(3,\)"):
            state.update(np.ones(shape, np.float32))
    with pytest.raises(np.exceptions.AxisError, match=r"ufuse\.State\.update"):
        state.update(np.float32(1))
    assert pickle.dumps(state) == before
    for bad in (np.ones(3, complex), np.array(["a"]), np.ma.ones(3), np.ones(3, np.longdouble)):
        with pytest.raises(TypeError, match=r"ufuse.State.update"):
            uf.State("mean").update(bad)
    with pytest.raises(ValueError, match=r"'prod'.*reproducible"):
        uf.State("prod", accuracy="reproducible").update([1.0])
    with pytest.raises(ValueError, match="names one axis of 1 twice"):
        uf.State("mean", axis=(0, -1)).update([1.0])


def test_states_of_another_kind_refuse() -> None:
    x = np.ones((2, 3))
    state = uf.State("mean", axis=0).update(x)
    with pytest.raises(TypeError, match="expected a State, got ndarray"):
        state.merge(x)
    spread = uf.State("var", axis=0).update(x)
    with pytest.raises(ValueError, match=r"cannot be merged into.*ddof 0.0 and 1.0"):
        spread.merge(uf.State("var", axis=0, ddof=1))
    others = {
        r"statistics \('mean',\) and \('max',\)": uf.State("max", axis=0),
        r"axis 0 and None": uf.State("mean"),
        r"accuracy='reproducible' False and True": uf.State(
            "mean", axis=0, accuracy="reproducible"
        ),
        r"lanes of shape \(3,\) and \(4,\)": uf.State("mean", axis=0).update(np.ones((1, 4))),
    }
    for text, other in others.items():
        with pytest.raises(ValueError, match=f"State.*cannot be merged into.*State.*{text}"):
            state.merge(other)
    with pytest.raises(TypeError, match="dtypes float64 and float32"):
        state.merge(uf.State("mean", axis=0).update(x.astype(np.float32)))
    assert state.count == 2


def test_repr() -> None:
    state = uf.State("mean", "var", axis=0)
    assert repr(state) == "<ufuse.State('mean', 'var', axis=0): empty>"
    state.update(np.ones((2, 3), np.float32))
    assert repr(state).endswith("2 elements of dtype float32 in lanes of shape (3,)>")
    assert state.statistics == ("mean", "var")
    assert state.axis == 0


@given(st.lists(st.lists(st.floats(width=32), max_size=9), max_size=9))
def test_any_chunks_of_anything(lists: list[list[float]]) -> None:
    chunks = [np.array(one, np.float32) for one in lists]
    x = np.concatenate([np.empty(0, np.float32), *chunks])
    if x.size == 0:
        return
    found = streamed(chunks, "min", "max", "argmin", "argmax", "nan_count", "sum", "any").result()
    np.testing.assert_array_equal(found.min, np.min(x))
    np.testing.assert_array_equal(found.max, np.max(x))
    assert found.argmin == np.argmin(x)
    assert found.argmax == np.argmax(x)
    assert found.nan_count == np.isnan(x).sum()
    assert found.any == np.any(x)
    with np.errstate(all="ignore"):
        want = np.sum(x, dtype=np.float64)
        np.testing.assert_allclose(found.sum, want.astype(np.float32), rtol=2e-7, atol=1e30)
