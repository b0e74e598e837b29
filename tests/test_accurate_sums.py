"""``accuracy=`` of sum and mean: exact sums, and compensated ones."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ufuse as uf
from conftest import NATIVE

SHAPES = [(7,), (5000,), (300, 70), (70, 3), (900, 3), (3, 2100), (20, 30, 40), (600, 40)]


def spread(shape: tuple[int, ...], dtype: Any, octaves: float, seed: int = 0) -> np.ndarray:
    """Numbers of both signs whose sizes span twice as many octaves."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * 2.0 ** rng.uniform(-octaves, octaves, shape)).astype(dtype)


def lanes_of(x: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, ...]]:
    kept = [i for i in range(x.ndim) if i not in axes]
    shape = tuple(x.shape[i] for i in kept)
    return x.transpose(*kept, *axes).reshape(math.prod(shape), -1).astype(np.float64), shape


def rounded_sums(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    lanes, shape = lanes_of(x, axes)
    return np.array([math.fsum(lane) for lane in lanes.tolist()]).reshape(shape)


def rounded_means(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    lanes, shape = lanes_of(x, axes)
    found = [float(sum(map(Fraction, lane)) / len(lane)) for lane in lanes.tolist()]
    return np.array(found).reshape(shape)


def axes_of(x: np.ndarray) -> list[tuple[int, ...]]:
    axes = range(x.ndim)
    return [one for n in range(1, x.ndim + 1) for one in itertools.combinations(axes, n)]


def layouts(x: np.ndarray) -> list[np.ndarray]:
    padded = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
    strided = padded[tuple(slice(None, None, 2) for _ in x.shape)]
    strided[...] = x
    unaligned = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    backwards = np.ascontiguousarray(x[::-1])[::-1]
    return [
        x,
        np.asfortranarray(x),
        strided,
        unaligned,
        backwards,
        x.astype(x.dtype.newbyteorder()),
    ]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("octaves", [0, 8, 30, 250])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reproducible_sums_are_exact(dtype: Any, octaves: float, shape: Any) -> None:
    x = spread(shape, dtype, min(octaves, 60) if dtype is np.float32 else octaves)
    for axes in axes_of(x):
        want = rounded_sums(x, axes).astype(dtype)
        for view in layouts(x):
            got = uf.sum(view, axes, accuracy="reproducible")
            np.testing.assert_array_equal(got, want, strict=True)


@pytest.mark.parametrize("shape", [(7,), (300, 70), (70, 3), (3, 2100), (20, 3, 40)])
@pytest.mark.parametrize("octaves", [0, 30, 250])
def test_reproducible_means_are_rounded_once(octaves: float, shape: Any) -> None:
    x = spread(shape, np.float64, octaves)
    for axes in axes_of(x):
        want = rounded_means(x, axes)
        np.testing.assert_array_equal(uf.mean(x, axes, accuracy="reproducible"), want)


@pytest.mark.parametrize("octaves", [0, 300])
def test_any_permutation_and_split_gives_the_same_bits(octaves: float) -> None:
    x = spread((200_001,), np.float64, octaves)
    want = uf.sum(x, accuracy="reproducible")
    rng = np.random.default_rng(1)
    for _ in range(3):
        x = rng.permutation(x)
        assert uf.sum(x, accuracy="reproducible") == want
        assert uf.sum(x.reshape(3, -1), accuracy="reproducible") == want
        assert uf.sum(x.reshape(-1, 3), accuracy="reproducible") == want


@pytest.mark.skipif(not NATIVE, reason="the reference executor has neither threads nor tiers")
@pytest.mark.parametrize("accuracy", ["reproducible", "compensated"])
@pytest.mark.parametrize("shape", [(300_001,), (5000, 65), (65, 5000)])
def test_the_same_bits_for_threads_layouts_and_tiers(shape: Any, accuracy: str) -> None:
    from ufuse import _core

    x = spread(shape, np.float64, 20)
    axes = (None,) if len(shape) == 1 else (0, 1, None)
    try:
        for axis in axes:
            results = set()
            for tier in _core.available_tiers():
                _core.set_tier(tier)
                for threads, view in itertools.product((1, 2, 3), (x, np.asfortranarray(x))):
                    with uf.threads(threads):
                        got = np.asarray(uf.sum(view, axis, accuracy=accuracy))
                        results.add(got.tobytes())
            assert len(results) == 1
    finally:
        _core.set_tier("")


@pytest.mark.parametrize("octaves", [0, 10, 30])
@pytest.mark.parametrize("shape", SHAPES)
def test_compensated_sums(shape: Any, octaves: float) -> None:
    """The error is that of one rounding and of n * u**2 of the sum of magnitudes."""
    x = spread(shape, np.float64, octaves)
    for axes in axes_of(x):
        want = rounded_sums(x, axes)
        bound = 2.0**-52 * np.abs(want) + 2.0**-95 * rounded_sums(np.abs(x), axes)
        for view in layouts(x):
            got = uf.sum(view, axes, accuracy="compensated")
            assert (np.abs(got - want) <= bound).all()


def test_compensated_sums_keep_what_plain_ones_lose() -> None:
    x = np.array([1.0, 1e100, 1.0, -1e100] * 1000)
    assert uf.sum(x, accuracy="compensated") == 2000.0
    assert (
        uf.sum(x.reshape(-1, 1) * np.ones(40), 0, accuracy="compensated").tolist() == [2000.0] * 40
    )
    assert uf.mean(x, accuracy="compensated") == 0.5


@pytest.mark.parametrize("accuracy", ["reproducible", "compensated"])
def test_specials(accuracy: str) -> None:
    def total(*values: float, dtype: Any = np.float64) -> float:
        x = np.array(values, dtype)
        columns = np.stack([x] * 40, axis=1)
        across = uf.sum(columns, 0, accuracy=accuracy)
        found = uf.sum(x, accuracy=accuracy)
        np.testing.assert_array_equal(across, [found] * 40)
        return float(found)

    inf, nan = np.inf, np.nan
    assert total(inf, 1.0) == inf
    assert total(1.0, -inf, dtype=np.float32) == -inf
    assert math.isnan(total(inf, -inf))
    assert math.isnan(total(1.0, nan))
    assert math.isnan(total(*[1.0] * 3000, nan, *[2.0] * 100, dtype=np.float32))
    assert total(*[1.0] * 3000, inf, *[2.0] * 100) == inf
    assert total(1.7e308, 1.7e308) == inf
    assert math.copysign(1.0, total(-0.0, -0.0)) == 1.0
    assert total(5e-324, -1e-310, 3e-308) == 5e-324 - 1e-310 + 3e-308
    if accuracy == "reproducible":
        assert total(1.7e308, 1.7e308, -1.7e308, 1e-300) == 1.7e308


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("octaves", [0, 30, 100])
def test_streams_in_any_split_give_the_same_bits(octaves: float, dtype: Any) -> None:
    octaves = min(octaves, 60) if dtype is np.float32 else octaves
    x = spread((10_001, 3), dtype, octaves)
    for axis in (None, 0):
        sums = uf.sum(x, axis, accuracy="reproducible")
        means = uf.mean(x, axis, accuracy="reproducible")
        for step in (1, 700, 9000):
            state = uf.State("sum", "mean", axis=axis, accuracy="reproducible")
            starts = range(0, len(x), step) if step > 1 else range(3)
            for start in starts:
                state.update(x[start : start + step] if step > 1 else x[start::3])
            found = state.result()
            np.testing.assert_array_equal(found.sum, sums)
            np.testing.assert_array_equal(found.mean, means)


def test_rounding_is_to_even() -> None:
    half = 2.0**-53
    assert uf.sum([1.0, half], accuracy="reproducible") == 1.0
    assert uf.sum([1.0, half, 5e-324], accuracy="reproducible") == 1.0 + 2 * half
    assert uf.sum([-1.0, -half, -5e-324], accuracy="reproducible") == -1.0 - 2 * half
    assert uf.sum([1.0, 3 * half], accuracy="reproducible") == 1.0 + 4 * half
    assert uf.sum([1.0, 3 * half, -5e-324], accuracy="reproducible") == 1.0 + 2 * half
    assert uf.mean([1.0, 2.0, 2.0], accuracy="reproducible") == 5 / 3
    assert uf.mean([5e-324, 0.0], accuracy="reproducible") == 0.0
    assert uf.mean([1.5e-323, 0.0], accuracy="reproducible") == 1e-323


@given(
    hnp.arrays(
        np.float64,
        st.integers(1, 60),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=64),
    )
)
def test_any_numbers(x: np.ndarray) -> None:
    exact = sum(map(Fraction, x.tolist()))
    try:
        want = float(exact)
    except OverflowError:
        want = math.inf if exact > 0 else -math.inf
    assert uf.sum(x, accuracy="reproducible") == want
    assert uf.mean(x, accuracy="reproducible") == float(exact / len(x))
    columns = np.stack([x] * 33, axis=1)
    np.testing.assert_array_equal(uf.sum(columns, 0, accuracy="reproducible"), [want] * 33)


@pytest.mark.parametrize("accuracy", ["reproducible", "compensated"])
@pytest.mark.parametrize(
    "dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, np.complex64, np.complex128]
)
def test_other_dtypes(dtype: Any, accuracy: str) -> None:
    x = spread((50, 41), np.float64, 1).astype(dtype)
    if np.dtype(dtype).kind == "c":
        x.imag = spread((50, 41), np.float64, 1, seed=1)
    for axis in ((0,), (1,), (0, 1)):
        for view in (x, x[::-1, ::2], np.asfortranarray(x)):
            got = uf.sum(view, axis, accuracy=accuracy)
            assert got.dtype == dtype
            if np.dtype(dtype).kind == "c":
                np.testing.assert_allclose(got.real, rounded_sums(view.real, axis), rtol=1e-7)
                np.testing.assert_allclose(got.imag, rounded_sums(view.imag, axis), rtol=1e-7)
            else:
                want = rounded_sums(view, axis).astype(dtype)
                np.testing.assert_array_equal(
                    np.asarray(got).astype(np.float32), want.astype(np.float32)
                )


@pytest.mark.parametrize("accuracy", ["reproducible", "compensated"])
def test_integers(accuracy: str) -> None:
    x = np.arange(-50, 1000, dtype=np.int16).reshape(30, 35)
    for axis in (0, 1, None):
        np.testing.assert_array_equal(
            uf.sum(x, axis, accuracy=accuracy), np.sum(x, axis), strict=True
        )
        np.testing.assert_allclose(uf.mean(x, axis, accuracy=accuracy), np.mean(x, axis))
        got = uf.sum(x, axis, dtype=np.float32, accuracy=accuracy)
        np.testing.assert_array_equal(got, np.sum(x, axis, dtype=np.float32), strict=True)


@pytest.mark.parametrize("accuracy", ["reproducible", "compensated"])
@pytest.mark.parametrize("axis", [0, 1, 2, (0, 2), None])
def test_where_initial_out_and_keepdims(axis: Any, accuracy: str) -> None:
    x = spread((20, 33, 40), np.float32, 3)
    x[0, 0, 0] = np.nan
    where = np.random.default_rng(1).random((33, 1)) < 0.5
    where[0] = False
    wide = {"where": where, "dtype": np.float64}
    want = np.sum(x, axis, initial=2.5, **wide)
    got = uf.sum(x, axis, initial=2.5, accuracy=accuracy, **wide)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    if axis in (1, None):  # every result is of some elements
        means = np.mean(x, axis, keepdims=True, **wide)
        found = uf.mean(x, axis, keepdims=True, accuracy=accuracy, **wide)
        np.testing.assert_allclose(found, means, rtol=1e-12, atol=1e-12)
    out = np.zeros(np.sum(x, axis).shape)[..., None][..., 0]
    assert uf.sum(x, axis, out=out, where=where, accuracy=accuracy) is out
    np.testing.assert_allclose(out, np.sum(x, axis, **wide), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("accuracy", ["reproducible", "compensated"])
def test_empty(accuracy: str) -> None:
    assert uf.sum(np.ones(0), accuracy=accuracy) == 0.0
    assert uf.sum(np.ones((0, 3)), 1, accuracy=accuracy).shape == (0,)
    with pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        assert np.isnan(uf.mean(np.ones((0, 3)), 0, accuracy=accuracy)).all()
    assert uf.sum(np.float64(3.0), accuracy=accuracy) == 3.0


def test_errors() -> None:
    out = np.full((), 7.0)
    assert uf.sum(np.ones(3), accuracy="default") == 3.0
    for function in (uf.sum, uf.mean):
        with pytest.raises(ValueError, match=r"'accuracy': expected None, 'reproducible' or"):
            function(np.ones(3), accuracy="best", out=out)
        with pytest.raises(TypeError, match=r"'accuracy': expected elements of at most 64 bits"):
            function(np.ones(3, np.longdouble), accuracy="reproducible")
    assert out == 7.0


@pytest.mark.parametrize("accuracy", ["reproducible", "compensated"])
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_masked_means_overflow_no_sooner_than_float64(dtype: Any, accuracy: str) -> None:
    x = np.array([3e38, 3e38, 1.0], dtype)
    where = np.array([True, True, False])
    got = uf.mean(x, where=where, accuracy=accuracy)
    assert got == dtype(3e38) and got.dtype == dtype
    with pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        assert np.isnan(uf.mean(x, where=np.zeros(3, bool), accuracy=accuracy))


@pytest.mark.parametrize("accuracy", ["reproducible", "compensated"])
@pytest.mark.parametrize("dtype", [np.int64, np.uint64, ">i8", ">u8"])
@pytest.mark.parametrize("large", [False, True])
def test_integers_of_64_bits_are_summed_exactly_and_rounded_once(
    dtype: Any, accuracy: str, large: bool
) -> None:
    x = np.random.default_rng(3).integers(0, 1 << 62, (37, 6)) >> (0 if large else 30)
    x[0] = (1 << 53) + 1
    x[1:3] *= 1 if np.dtype(dtype).kind == "u" else -1
    x = x.astype(dtype)
    where = np.random.default_rng(4).random(x.shape) < 0.5
    where[0] = True
    for view, mask in ((x, where), (x[::-2], where[::-2]), (x.T[1:], where.T[1:])):
        for axis in (0, 1):
            lanes = np.moveaxis(view, axis, -1).tolist()
            masks = np.moveaxis(mask, axis, -1).tolist()
            want = [sum(lane) / len(lane) for lane in lanes]
            assert uf.mean(view, axis, accuracy=accuracy).tolist() == want
            want = [float(sum(lane)) for lane in lanes]
            got = uf.sum(view, axis, dtype=np.float64, accuracy=accuracy)
            assert got.tolist() == want
            kept = [
                [one for one, m in zip(*both, strict=True) if m]
                for both in zip(lanes, masks, strict=True)
            ]
            want = [sum(lane) / len(lane) if lane else math.nan for lane in kept]
            if all(kept):
                assert uf.mean(view, axis, where=mask, accuracy=accuracy).tolist() == want
            want = [float(sum(lane) + Fraction(0.5)) for lane in lanes]
            got = uf.sum(view, axis, dtype=np.float64, initial=0.5, accuracy=accuracy)
            assert got.tolist() == want
    assert uf.mean(x[0, 0], accuracy=accuracy) == float(x[0, 0])
    got = uf.sum(x, dtype=np.complex128, initial=1 + 2j, accuracy=accuracy)
    assert got == complex(sum(x.ravel().tolist()) + 1, 2)


def test_reproducible_means_of_integers_are_those_of_states() -> None:
    x = np.array([(1 << 53) + 1, 1])
    state = uf.State("mean", accuracy="reproducible").update(x).result().mean
    assert uf.mean(x, accuracy="reproducible") == state == float((1 << 52) + 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 7, 100, 5000])
def test_elements_at_any_address(dtype: Any, count: int) -> None:
    memory = np.zeros(count * np.dtype(dtype).itemsize + 1, np.uint8)
    x = memory[1:].view(dtype)
    x[...] = spread((count,), dtype, 60)
    assert uf.sum(x, accuracy="reproducible") == dtype(math.fsum(x.tolist()))
    x[0] = np.finfo(dtype).max
    assert uf.sum(x, accuracy="reproducible") == dtype(math.fsum(x.tolist()))
