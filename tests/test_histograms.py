"""Histograms and counts: NumPy's, one by one."""

from __future__ import annotations

import functools
import itertools
import time
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ufuse as uf
from conftest import NATIVE
from ufuse.count import reference as counts_reference

if NATIVE:
    from ufuse import _core

DTYPES = ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", ">f4", ">f8", ">i4")


def _unaligned(x: np.ndarray) -> np.ndarray:
    memory = np.empty(x.nbytes + 1, np.uint8)
    result = memory[1:].view(x.dtype).reshape(x.shape)
    result[...] = x
    return result


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C": lambda x: x,
    "F": np.asfortranarray,
    "reversed": lambda x: x[::-1, ::-1],
    "stepped": lambda x: x[::2, ::3],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "transposed": lambda x: x.T,
    "unaligned": _unaligned,
}

#: Bins of every kind, over data around zero.
BINS: dict[str, dict[str, Any]] = {
    "default": {},
    "256": {"bins": 256},
    "range": {"bins": 37, "range": (-11.5, 20.25)},
    "integers": {"bins": 64, "range": (-32, 32)},
    "float64 range": {"bins": 100, "range": tuple(np.array([-1.1, 7.7]))},
    "linear edges": {"bins": np.linspace(-20, 20, 81)},
    "edges": {"bins": [-40, -7.5, -7, 0, 0.25, 3, 3, 3, 50]},
    "infinite edges": {"bins": [-np.inf, -3.0, 0.0, 4.5, np.inf]},
    "many edges": {"bins": np.cumsum(np.random.default_rng(5).exponential(0.2, 400)) - 40},
    "logarithmic edges": {"bins": np.logspace(-6, 6, 300)},
    "one edge": {"bins": [1.0]},
    "rule": {"bins": "auto"},
    "rule in a range": {"bins": "fd", "range": (-5, 5)},
}


def _data(dtype: Any, shape: tuple[int, ...] = (60, 70), seed: int = 0) -> np.ndarray:
    """Half of the values on edges of "integers", and the smallest and largest more than once."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 12, shape)
    x = np.where(rng.random(shape) < 0.5, np.round(x), x)
    dtype = np.dtype(dtype)
    return (np.abs(x) if dtype.kind == "u" else x).astype(dtype)


def _same(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("bins", BINS.values(), ids=BINS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_counts_are_those_of_numpy(dtype: str, bins: dict[str, Any]) -> None:
    x = _data(dtype)
    _same(uf.histogram(x, **bins), np.histogram(x, **bins))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u1", ">f4"])
@pytest.mark.parametrize("bins", ["256", "many edges"])
def test_layouts(layout: Callable[[np.ndarray], np.ndarray], dtype: str, bins: str) -> None:
    x = layout(_data(dtype, (90, 120)))
    _same(uf.histogram(x, **BINS[bins]), np.histogram(x, **BINS[bins]))
    w = layout(_data("f4", (90, 120), 1).round())
    _same(uf.histogram(x, weights=w, **BINS[bins]), np.histogram(x, weights=w, **BINS[bins]))


@pytest.mark.parametrize("size", [*range(70), 255, 256, 257, 2047, 2049, 5000])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "u4", "f2"])
def test_sizes(size: int, dtype: str) -> None:
    x = _data(dtype, (size,))
    _same(uf.histogram(x, 7), np.histogram(x, 7))
    _same(uf.histogram(x, [-3, 0, 2, 9]), np.histogram(x, [-3, 0, 2, 9]))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_every_number_near_the_edges(dtype: str, tier: str) -> None:
    """Each edge and its neighbours on both sides, of bins that NumPy's formula gets wrong too."""
    for low, high, count in [(0, 1, 10), (-1, 2, 7), (0.1, 0.7, 1000), (1e3, 1e3 + 1, 50)]:
        edges = np.linspace(low, high, count + 1, dtype=dtype)
        x = np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)])
        x = x.astype(dtype)
        scalars = (edges[0], edges[-1])
        _same(uf.histogram(x, count, scalars), np.histogram(x, count, scalars))
        _same(uf.histogram(x, edges), np.histogram(x, edges))
        uneven = np.delete(edges, [2, 3, 6])
        _same(uf.histogram(x, uneven), np.histogram(x, uneven))


def test_bins_of_few_units_in_the_last_place() -> None:
    """NumPy's formula itself decides there."""
    x = np.float32(1) + np.arange(4000, dtype=np.float32) * np.float32(2**-23)
    for count in (1000, 1999, 3999):
        _same(uf.histogram(x, count), np.histogram(x, count))


def test_large_integers() -> None:
    for dtype, offset in ((np.int64, 2**60), (np.uint64, 2**63), (np.int64, -(2**62))):
        x = np.array([0, 1, 2, 3, 5000, 5001, 10000], dtype) + dtype(offset)
        _same(uf.histogram(x, 5), np.histogram(x, 5))
        bounds = {"bins": 4, "range": (dtype(offset + 1), dtype(offset + 10001))}
        _same(uf.histogram(x, **bounds), np.histogram(x, **bounds))
        edges = np.array([2, 5001, 10000], dtype) + dtype(offset)
        _same(uf.histogram(x, edges), np.histogram(x, edges))
    for dtype in ("i1", "i2", "i4", "i8"):
        info = np.iinfo(dtype)
        x = np.array([info.min, -1, 0, info.max], dtype)
        _same(uf.histogram(x, 3), np.histogram(x, 3))


def test_nan_and_infinity() -> None:
    x = np.array([np.nan, 0.5, -np.inf, 1.0, np.inf, 2.0, np.nan, 3.0] * 9)
    for dtype in ("f4", "f8", "f2"):
        for bins in (
            {"bins": 4, "range": (0, 2)},
            {"bins": [0, 1, 2.5]},
            {"bins": [0.1, 0.2, 1.0, 7.7, 800.0]},
            {"bins": [-np.inf, 1, np.inf]},
            {"bins": [0.0, 1.0, np.nan]},
        ):
            _same(uf.histogram(x.astype(dtype), **bins), np.histogram(x.astype(dtype), **bins))
    for hostile in ([0.0, np.nan], [np.nan], [1.0, np.inf], [-np.inf]):
        with pytest.raises(ValueError, match=r"ufuse\.histogram: autodetected range .* not finite"):
            uf.histogram(hostile)


def _by_lane(x: np.ndarray, axes: tuple[int, ...], weights: Any = None, **bins: Any) -> np.ndarray:
    kept = [i for i in range(x.ndim) if i not in axes]
    moved = np.moveaxis(x, kept, range(len(kept)))
    shape = moved.shape[: len(kept)]
    edges = np.histogram_bin_edges(x, **bins)
    bins = {"bins": edges.size - 1, "range": (edges[0], edges[-1])}
    result = None
    for lane in np.ndindex(*shape):
        weight = None if weights is None else np.moveaxis(weights, kept, range(len(kept)))[lane]
        one = np.histogram(moved[lane], weights=weight, **bins)[0]
        result = np.zeros((*shape, one.size), one.dtype) if result is None else result
        result[lane] = one
    assert result is not None
    return result


@pytest.mark.parametrize("axis", [0, 1, 2, -1, (0, 1), (0, 2), (1, 2), (0, 1, 2), None, ()])
@pytest.mark.parametrize("layout", ["C", "F", "negative", "swapped"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i4"])
def test_one_histogram_per_lane(axis: Any, layout: str, dtype: str) -> None:
    x = _data(dtype, (5, 30, 11))
    x = {
        "C": x,
        "F": np.asfortranarray(x),
        "negative": x[:, ::-1, ::-1],
        "swapped": x.astype(x.dtype.newbyteorder()),
    }[layout]
    axes = range(3) if axis is None else np.atleast_1d(np.array(axis, int))
    expected = _by_lane(x, tuple(i % 3 for i in axes), bins=17)
    hist, edges = uf.histogram(x, 17, axis=axis)
    np.testing.assert_array_equal(hist, expected)
    assert hist.dtype == np.intp
    np.testing.assert_array_equal(edges, np.histogram_bin_edges(x, 17))
    weights = np.arange(x.size).reshape(x.shape) % 5
    hist = uf.histogram(x, 17, axis=axis, weights=weights)[0]
    expected = _by_lane(x, tuple(i % 3 for i in axes), weights, bins=17)
    np.testing.assert_array_equal(hist, expected)


@pytest.mark.parametrize("shape", [(40000, 48), (5000, 300), (3, 200000), (48, 40000)])
@pytest.mark.parametrize("axis", [0, 1])
def test_long_and_short_lanes(shape: tuple[int, int], axis: int, threads: int) -> None:
    if not NATIVE:
        shape = (min(shape[0], 3000), min(shape[1], 3000))  # a call of NumPy for each lane
    x = np.random.default_rng(2).random(shape, np.float32)
    hist, edges = uf.histogram(x, 19, (0, 1), axis=axis)
    slots = np.searchsorted(edges, x, "right") - 1
    other = np.arange(shape[1]) if axis == 0 else np.arange(shape[0])[:, None]
    flat = np.bincount((slots + 19 * other).ravel(), minlength=19 * shape[1 - axis])
    np.testing.assert_array_equal(hist, flat.reshape(-1, 19))


def test_density() -> None:
    x = _data("f8", (50, 60))
    for bins in ({}, {"bins": [-3, 0, 1, 9]}, {"bins": 5, "weights": np.ones(x.shape)}):
        _same(uf.histogram(x, density=True, **bins), np.histogram(x, density=True, **bins))
    lanes, edges = uf.histogram(x, 8, density=True, axis=1)
    np.testing.assert_allclose((lanes * np.diff(edges)).sum(axis=1), 1)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i1", "i4", "i8", "u8", "c8", "c16", "?", "g"])
def test_types_of_weights(dtype: str) -> None:
    x = _data("f4")
    weights = _data("i4", x.shape, 3) % 7
    weights = weights + 1j * weights[::-1] if dtype[0] == "c" else weights
    weights = weights.astype(dtype)
    bins: dict[str, Any]
    for bins in ({"bins": 9}, {"bins": [-9, 0, 2, 40]}):
        if dtype == "?" and bins["bins"] != 9:  # NumPy cannot subtract bools
            expected = [
                np.histogram(x[weights], **bins)[0] > 0,
                np.histogram(x, **bins)[1],
            ]
        else:
            expected = list(np.histogram(x, weights=weights, **bins))
        if dtype == "f2":  # NumPy rounds its sum after each block
            exact = np.histogram(x, weights=weights.astype("f8"), **bins)
            expected = [exact[0].astype(np.float16), exact[1]]
        _same(uf.histogram(x, weights=weights, **bins), expected)


def test_integer_weights_beyond_float64() -> None:
    weights = np.array([2**53, 1, 1, 5])
    edges = [0, 1, 2]
    found = uf.histogram([0, 0, 0, 1], edges, weights=weights)[0]
    np.testing.assert_array_equal(found, [2**53 + 2, 5])


@pytest.mark.parametrize("n", [1000, 400_000])
def test_sums_have_one_order(n: int) -> None:
    """The same bits for any number of threads and layout."""
    rng = np.random.default_rng(4)
    x, w = rng.random((n // 100, 100)), rng.standard_normal((n // 100, 100))
    values = (x * 99).astype(int).ravel()
    expected, exact = (f(x, 50, weights=w)[0] for f in (uf.histogram, np.histogram))
    np.testing.assert_allclose(expected, exact, rtol=1e-9, atol=1e-12 * np.abs(w).sum())
    counted = uf.bincount(values, w.ravel())
    lanes = uf.histogram(x, 50, weights=w, axis=0)[0]
    for count, order in itertools.product((1, 2, 3), ("C", "F")):
        with uf.threads(count):
            xo, wo = np.array(x, order=order), np.array(w, order=order)
            assert uf.histogram(xo, 50, weights=wo)[0].tobytes() == expected.tobytes()
            assert uf.histogram(xo, 50, weights=wo, axis=0)[0].tobytes() == lanes.tobytes()
            assert uf.bincount(values, w.ravel()).tobytes() == counted.tobytes()


@pytest.mark.skipif(not NATIVE, reason="the reference executor has no tiers")
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i2", "i8"])
def test_tiers_agree(dtype: str) -> None:
    """Counts and the bits of sums; numbers on edges, near them and in between."""
    x = _data(dtype, (700, 300))
    w = np.random.default_rng(6).standard_normal(x.shape)
    calls = [
        functools.partial(uf.histogram, x, weights=w, **BINS[k]) for k in BINS if "rule" not in k
    ]
    calls += [functools.partial(uf.histogram, x, 40, (-9, 9.5), axis=axis) for axis in (0, 1)]
    answers = []
    for tier in _core.available_tiers():
        _core.set_tier(tier)
        try:
            answers.append([call()[0].tobytes() for call in calls])
        finally:
            _core.set_tier("")
    assert all(answer == answers[0] for answer in answers)


NARROW = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")


def _narrow(name: str, shape: tuple[int, ...] = (300, 400)) -> np.ndarray:
    return _data("f4", shape).astype(getattr(ml_dtypes, name, name))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("name", NARROW)
def test_narrow_floats(name: str, layout: Callable[[np.ndarray], np.ndarray]) -> None:
    """Those of ml_dtypes are counted as float32, float16 with NumPy's own roundings."""
    x = layout(_narrow(name))
    for part in (slice(None), slice(0, 3)):
        for bins in ({"bins": 20}, {"bins": [-5, 0, 1]}, {"bins": 256, "range": (-32, 32)}):
            # For given edges NumPy sorts, which may put -0.0 before float16 that are smaller.
            formula = name == "float16" and bins["bins"] in (20, 256)
            wide = x[part] if formula else x[part].astype(np.float32)
            _same(uf.histogram(x[part], **bins), np.histogram(wide, **bins))


@pytest.mark.parametrize("axis", [0, 1, (0, 2), 2])
@pytest.mark.parametrize("name", NARROW)
def test_lanes_of_narrow_floats(name: str, axis: Any) -> None:
    x = _narrow(name, (6, 50, 20))
    axes = (axis,) if isinstance(axis, int) else axis
    for layout in (x, np.asfortranarray(x), x[:, ::-1, ::2]):
        wide = layout if name == "float16" else layout.astype(np.float32)
        for bins in ({"bins": 17}, {"bins": 64, "range": (-32.0, 32.0)}):
            expected = _by_lane(wide, axes, **bins)
            np.testing.assert_array_equal(uf.histogram(layout, axis=axis, **bins)[0], expected)


@pytest.mark.parametrize("size", [3000, 60_000])
def test_halves_are_rounded_as_by_numpy(size: int) -> None:
    """Many bins, whose edges are few float16 apart; both byte orders; NaN and infinity."""
    x = _data("f2", (size,))
    x[::7], x[1::50], x[2::50] = np.nan, np.inf, -np.inf
    for bins in (400, 77):
        for outer in (
            (-11, 8.5),
            (0.1, 0.7),
            (np.float16(1), np.float16(3)),
            tuple(np.array([-1.1, 9])),
        ):
            _same(uf.histogram(x, bins, outer), np.histogram(x, bins, outer))
            _same(uf.histogram(x.astype(">f2"), bins, outer), np.histogram(x, bins, outer))


@pytest.mark.parametrize("name", NARROW)
def test_narrow_weights_are_rounded_once(name: str) -> None:
    x = _data("f8")
    weights = _narrow(name, x.shape) / _narrow(name, x.shape).dtype.type(64)
    exact = np.histogram(x, 30, weights=weights.astype("f8"))[0]
    found = uf.histogram(x, 30, weights=weights)[0]
    assert found.dtype == weights.dtype
    np.testing.assert_array_equal(found.astype("f4"), exact.astype(weights.dtype).astype("f4"))


def test_weights_that_are_objects() -> None:
    x = [1.3, 2.5, 2.3, 9]
    weights = [Decimal(1), Decimal("0.5"), Decimal(3), Decimal(7)]
    for bins in ([1, 2, 3], 3):
        found = uf.histogram(x, bins, weights=weights)[0]
        np.testing.assert_array_equal(found, np.histogram(x, bins, weights=np.array(weights))[0])
        assert isinstance(found[0], Decimal)
    with pytest.raises(ValueError, match=r"same shape as a, \(4,\); got \(3,\)"):
        uf.histogram(x, weights=np.array(weights[:3]))


def test_repeated_elements_are_counted_as_often() -> None:
    row = _data("f4", (1, 1, 300))
    x = np.broadcast_to(row, (6, 50, 300))
    for axis in (None, 0, 1, 2, (0, 1), (1, 2), (0, 2)):
        found, copied = (uf.histogram(of, 20, axis=axis) for of in (x, x.copy()))
        _same(found, copied)
    one = np.broadcast_to(np.float32(3), (100, 100))
    assert uf.histogram(one, [0, 3, 4])[0].tolist() == [0, 10_000]
    assert uf.bincount(np.broadcast_to(np.int64(3), 999)).tolist() == [0, 0, 0, 999]


def test_other_dtypes_are_numpys() -> None:
    x = _data("g")
    _same(uf.histogram(x, 12), np.histogram(x, 12))
    days = np.datetime64("2000-01-01") + np.arange(20)
    _same(uf.histogram(days, days[[0, 3, 19]]), np.histogram(days, days[[0, 3, 19]]))


def test_bool_counts_as_uint8() -> None:
    x = np.array([True, True, False] * 999)
    with pytest.warns(RuntimeWarning, match="Converting input from bool"):
        found = uf.histogram(x, 2)
    _same(found, np.histogram(x.view(np.uint8), 2))


def test_empty() -> None:
    _same(uf.histogram([]), np.histogram([]))
    _same(uf.histogram(np.empty((0, 3)), [1, 2]), np.histogram([], [1, 2]))
    hist, edges = uf.histogram(np.empty((0, 3), np.float32), 4, axis=0)
    assert hist.shape == (3, 4)
    assert not hist.any()
    assert edges.size == 5
    assert uf.histogram(np.empty((0, 3)), 4, axis=1)[0].shape == (0, 4)


def test_input_is_left_alone() -> None:
    x = _data("f4")
    x.flags.writeable = False
    copy = x.copy()
    uf.histogram(x, 10)
    np.testing.assert_array_equal(x, copy)


HISTOGRAM_ERRORS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "bins zero": ({"bins": 0}, ValueError, "'bins': must be positive, got 0"),
    "bins float": ({"bins": 2.5}, TypeError, "expected an integer, a string, or an array"),
    "rule": ({"bins": "best"}, ValueError, "'best' is not a valid estimator"),
    "rule weights": ({"bins": "auto", "weights": np.ones(9)}, TypeError, "no account of weights"),
    "edges fall": ({"bins": [1, 3, 2]}, ValueError, "must increase monotonically, but edge 2, 2"),
    "edges 2-D": ({"bins": [[1, 2]]}, ValueError, "must be 1d"),
    "range reversed": ({"range": (2, 1)}, ValueError, "max must be larger than min"),
    "range infinite": ({"range": (0, np.inf)}, ValueError, "expected finite numbers"),
    "range of one": ({"range": 3}, ValueError, r"expected \(low, high\) or None, got 3"),
    "too many bins": ({"range": (1, 1 + 1e-15)}, ValueError, "Too many bins for data range"),
    "weights": ({"weights": np.ones(8)}, ValueError, r"same shape as a, \(9,\); got \(8,\)"),
    "axis": ({"axis": 1}, np.exceptions.AxisError, "out of bounds"),
    "axis twice": ({"axis": (0, 0)}, ValueError, "duplicate"),
}


@pytest.mark.parametrize("case", HISTOGRAM_ERRORS.values(), ids=HISTOGRAM_ERRORS)
def test_errors_of_histogram(case: tuple[dict[str, Any], type[Exception], str]) -> None:
    arguments, kind, message = case
    with pytest.raises(kind, match=message) as raised:
        uf.histogram(np.arange(9.0), **arguments)
    assert "ufuse.histogram" in str(raised.value)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_zeros_of_both_signs_are_one_edge(dtype: str) -> None:
    edges = np.array([-1e30, -1, -0.0, 0.0, 0.0, 1e-30, 1e30], dtype)
    x = np.array([-0.0, 0.0, -1, -1e-30, 1e-30], dtype)
    _same(uf.histogram(x, edges), np.histogram(x, edges))
    _same(uf.histogram(x, edges[2:5]), np.histogram(x, edges[2:5]))


@given(st.data())
def test_any_edges(data: st.DataObject) -> None:
    """Clusters and gaps, ties and infinities."""
    numbers = st.floats(width=32, allow_nan=False) | st.integers(-3, 3).map(float)
    dtype = data.draw(st.sampled_from(["f4", "f8"]))
    edges = np.sort(np.array(data.draw(st.lists(numbers, min_size=2, max_size=40)), dtype))
    x = np.array(data.draw(st.lists(numbers, max_size=40)), dtype)
    with np.errstate(over="ignore"):  # below the lowest number is -inf
        below = np.nextafter(edges, -np.inf)
    x = np.concatenate([x, edges, below, [np.nan]]).astype(dtype)
    _same(uf.histogram(x, edges), np.histogram(x, edges))


# --- bincount ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", ">i4"])
@pytest.mark.parametrize("n", [0, 1, 3, 17, 1000, 70_000])
def test_bincount(dtype: str, n: int) -> None:
    x = np.random.default_rng(n).integers(0, 2 if dtype == "?" else 100, n).astype(dtype)
    weights = np.arange(n) % 9 - 3.5
    for view in (slice(None), slice(None, None, -3)):
        for least in (0, 5, 300):
            expected = np.bincount(x[view], minlength=least)
            _same([uf.bincount(x[view], minlength=least)], [expected])
        for of in (weights, weights.astype("f4"), (weights * 2).astype("i2")):
            _same([uf.bincount(x[view], of[view])], [np.bincount(x[view], of[view])])


@pytest.mark.parametrize("groups", [3, 250, 9000, 100_000])
def test_bincount_of_many(groups: int, threads: int) -> None:
    x = np.random.default_rng(1).integers(0, groups, 300_000)
    for dtype in (np.int64, np.int32):
        _same([uf.bincount(x.astype(dtype))], [np.bincount(x)])
    found, expected = (f(x, x % 8 - 3.0) for f in (uf.bincount, np.bincount))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("n", [3, 5000, 100_000])
@pytest.mark.parametrize("dtype", ["<u8", ">u8"])
def test_bincount_of_uint64_whatever_the_size(dtype: str, n: int) -> None:
    """NumPy's own words for it differ from version to version."""
    x = (np.arange(n) % 50).astype(dtype)
    _same([uf.bincount(x)], [np.bincount(x.astype(np.int64))])
    for large in (2**63, 2**64 - 1):
        x[n // 2] = large
        with pytest.raises(ValueError, match=f"ufuse.bincount.*below .*63, got {large}"):
            uf.bincount(x)


def test_bincount_where_a_sample_misleads() -> None:
    """The largest element, and a negative one, are where nobody looks first."""
    x = np.zeros(200_000, np.int64)
    weights = np.zeros(x.size, np.float32)
    for largest in (9, 5000):
        x[100_001] = largest
        _same([uf.bincount(x)], [np.bincount(x)])
        _same([uf.bincount(x, weights)], [np.bincount(x, weights)])
    x[100_003] = -1
    for more in ((), (weights,)):
        with pytest.raises(ValueError, match="no negative elements, got -1"):
            uf.bincount(x, *more)
    _same([uf.bincount(np.array([2**24, 3]))], [np.bincount(np.array([2**24, 3]))])


@pytest.mark.parametrize("name", NARROW)
def test_bincount_of_narrow_weights(name: str) -> None:
    x = np.arange(100_000) % 77
    weights = _narrow(name, x.shape)
    _same([uf.bincount(x, weights)], [np.bincount(x, weights.astype("f8"))])


BINCOUNT_ERRORS: dict[str, tuple[tuple[Any, ...], type[Exception], str]] = {
    "2-D": (([[1, 2]],), ValueError, "expected one dimension"),
    "0-d": ((3,), ValueError, "expected one dimension"),
    "float": (([1.0],), TypeError, "according to the rule 'safe'"),
    "negative": (([1, -2],), ValueError, "no negative elements, got -2"),
    "minlength": (([1], None, -1), ValueError, "must not be negative"),
    "minlength kind": (([1], None, "3"), TypeError, "cannot be interpreted"),
    "weights": (([1, 2], [1.0]), ValueError, "don't have the same length"),
    "complex weights": (([1], [1j]), TypeError, "according to the rule 'safe'"),
}


@pytest.mark.parametrize("case", BINCOUNT_ERRORS.values(), ids=BINCOUNT_ERRORS)
def test_errors_of_bincount(case: tuple[tuple[Any, ...], type[Exception], str]) -> None:
    arguments, kind, message = case
    with pytest.raises(kind, match=message) as raised:
        uf.bincount(*arguments)
    assert "ufuse.bincount" in str(raised.value)


@pytest.mark.skipif(not NATIVE, reason="there is nothing else than the reference")
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u1", "i8"])
def test_kernels_run(dtype: str, tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ordinary calls do not take NumPy's way in secret."""
    x = _data(dtype)
    calls = [
        *(functools.partial(uf.histogram, x, **BINS[kind]) for kind in ("256", "range", "edges")),
        lambda: uf.histogram(x, axis=0),
        lambda: (uf.bincount(np.abs(x.ravel()).astype(int)),),
    ]
    expected = [call() for call in calls]
    for name in ("histogram", "bincount"):
        monkeypatch.setattr(counts_reference, name, None)
    for call, one in zip(calls, expected, strict=True):
        _same(call(), one)


# --- threads of the trackers -------------------------------------------------------------------


def _seconds(call: Callable[[], Any]) -> float:
    def once() -> float:
        start = time.process_time()
        call()
        return time.process_time() - start

    return min(once() for _ in range(7))


@pytest.mark.skipif(not NATIVE, reason="the reference is NumPy")
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_numpy_17676_uniform_bins_are_computed(dtype: str) -> None:
    """A column each of points in a plane, in less than half of NumPy's time."""
    xy = np.random.default_rng(42).normal(0, 1, (300_000, 2)).astype(dtype)

    def ours() -> Any:
        return uf.histogram(xy, 100, (-3, 3), axis=0)[0]

    def numpys() -> Any:
        return [np.histogram(xy[:, i], 100, (-3, 3))[0] for i in range(2)]

    np.testing.assert_array_equal(ours(), numpys())
    assert _seconds(ours) < 0.5 * _seconds(numpys)


@pytest.mark.skipif(not NATIVE, reason="the reference is NumPy")
def test_numpy_8699_given_edges_that_are_linear() -> None:
    """Edges by `linspace` take not much longer than a number of bins."""
    x = np.random.default_rng(1).random(1_000_000)
    edges = np.linspace(0, 1, 1000)
    np.testing.assert_array_equal(uf.histogram(x, edges)[0], np.histogram(x, edges)[0])
    given_edges = _seconds(lambda: uf.histogram(x, edges))
    assert given_edges < 3 * _seconds(lambda: uf.histogram(x, 999, (0, 1)))


@pytest.mark.parametrize("axis", [0, -1])
def test_numpy_13166_9397_histograms_along_an_axis(axis: int) -> None:
    """All lanes have the same edges, and add up to the histogram of the whole."""
    a = np.random.default_rng(3).normal(size=(5, 200))
    whole, edges = uf.histogram(a)
    lanes, same = uf.histogram(a, axis=axis)
    assert lanes.shape == ((200, 10) if axis == 0 else (5, 10))
    np.testing.assert_array_equal(edges, same)
    np.testing.assert_array_equal(lanes.sum(axis=0), whole)
    for i, lane in enumerate(np.moveaxis(a, axis, -1)):
        np.testing.assert_array_equal(lanes[i], np.histogram(lane, edges)[0])


@pytest.mark.skipif(not NATIVE, reason="NumPy copies what is not contiguous")
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_the_input_is_not_copied(axis: int | None) -> None:
    x = np.random.default_rng(8).random((4000, 1000), np.float32)
    for view in (x, x.T, x[::-1, ::2], x.astype(">f4"), x.astype(np.float16)):
        tracemalloc.start()
        uf.histogram(view, 16, axis=axis)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < x.nbytes / 8
