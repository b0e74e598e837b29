"""Floats narrower than float32: reduced as float32, rounded once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE

ml_dtypes = pytest.importorskip("ml_dtypes")

DTYPES = [np.dtype(np.float16)] + [
    np.dtype(getattr(ml_dtypes, name))
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz")
]
EXACT = ("min", "max", "nanmin", "nanmax")
ROUNDED = ("sum", "mean", "var", "std", "nansum", "nanmean", "nanvar", "nanstd")
AXES = [0, 1, 2, (0, 2), None]


def sample(dtype: np.dtype[Any], shape: tuple[int, ...] = (37, 20, 41), nan: bool = False) -> Any:
    x = np.random.default_rng(5).uniform(-6, 6, shape).astype(dtype)
    if nan:
        x[::3, ::2] = np.nan
        x[:, 0] = 1
        x[0] = 2
        x[:, :, 0] = 3
    return x


def exactly(values: Any, dtype: np.dtype[Any]) -> Any:
    """Round float64 to the nearest of all values of `dtype`, ties to even, by looking for it."""
    values = np.asarray(values, np.float64)
    codes = np.dtype(f"u{dtype.itemsize}")
    every = np.arange(2 ** (8 * dtype.itemsize), dtype=np.uint32).astype(codes).view(dtype)
    with np.errstate(invalid="ignore"):
        order = every.astype(np.float64)
    known = np.isfinite(order) & ~np.signbit(order)
    places, bits = order[known], every.view(codes)[known]
    sort = np.argsort(places, kind="stable")
    places, bits = places[sort], bits[sort]
    size = np.abs(values)
    high = np.clip(np.searchsorted(places, size), 1, len(places) - 1)
    low = high - 1
    up = (places[high] - size) < (size - places[low])
    tie = (places[high] - size) == (size - places[low])
    pick = np.where(up | (tie & (bits[high] & 1 == 0)), high, low)
    return np.copysign(places[pick], values)


@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_reduction(dtype: np.dtype[Any], axis: Any) -> None:
    for nan in (False, True):
        x = sample(dtype, nan=nan)
        wide = x.astype(np.float64)
        for name in EXACT + ROUNDED:
            got = getattr(uf, name)(x, axis)
            want = getattr(np, name)(wide, axis)
            assert got.dtype == dtype
            if name in EXACT:
                np.testing.assert_array_equal(got.astype(np.float64), want)
                continue
            # float64's own last bits decide between neighbours only at a tie.
            value = got.astype(np.float64)
            near = [exactly(want * (1 + slack), dtype) for slack in (-1e-9, 1e-9)]
            beyond = np.abs(want) > float(ml_dtypes.finfo(dtype).max)
            missing = np.isnan(want) & np.isnan(value)
            assert np.all((value == near[0]) | (value == near[1]) | beyond | missing)
        for name in ("argmin", "argmax"):
            if isinstance(axis, tuple):
                continue
            np.testing.assert_array_equal(getattr(uf, name)(x, axis), getattr(np, name)(wide, axis))
        for name in ("any", "all", "count_nonzero"):
            np.testing.assert_array_equal(getattr(uf, name)(x, axis), getattr(np, name)(wide, axis))


@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
def test_sums_are_rounded_once(dtype: np.dtype[Any]) -> None:
    # Halves of integers: float64 has the sum exactly, and the tie at which two roundings differ.
    rng = np.random.default_rng(1)
    steps = rng.integers(0, 2**11, (4096, 3)).astype(np.float64) * 0.5
    steps[:, 1] = 2.0**-13
    x = steps.astype(dtype)
    exact = np.array([math.fsum(row) for row in x.astype(np.float64)])
    got = uf.sum(x, axis=1).astype(np.float64)
    np.testing.assert_array_equal(got, exactly(exact, dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layouts_give_the_same_bits(dtype: np.dtype[Any]) -> None:
    codes = f"u{dtype.itemsize}"
    x = sample(dtype)
    others = [np.asfortranarray(x), x[::-1][::-1]]
    padded = np.zeros((37, 40, 41), dtype)
    padded[:, ::2] = x
    others.append(padded[:, ::2])
    unaligned = np.empty(x.nbytes + 1, np.uint8)[1:].view(dtype).reshape(x.shape)
    unaligned[...] = x
    others.append(unaligned)
    for axis in AXES:
        for name in ("sum", "var", "max", "nanmean"):
            want = np.asarray(getattr(uf, name)(x, axis)).view(codes)
            for other in others:
                got = np.asarray(getattr(uf, name)(other, axis)).view(codes)
                np.testing.assert_array_equal(got, want)


def test_swapped_halves() -> None:
    x = sample(np.dtype(np.float16))
    np.testing.assert_array_equal(uf.sum(x.astype(">f2"), axis=1), uf.sum(x, axis=1))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_where_initial_out_and_keepdims(dtype: np.dtype[Any]) -> None:
    x = sample(dtype)
    wide = x.astype(np.float64)
    where = wide > 0
    got = uf.max(x, axis=1, where=where, initial=1.5, keepdims=True)
    want = np.max(wide, axis=1, where=where, initial=1.5, keepdims=True)
    np.testing.assert_array_equal(got.astype(np.float64), want)
    out = np.empty((37, 41), dtype)
    assert uf.max(x, axis=1, out=out) is out
    np.testing.assert_array_equal(out.astype(np.float64), wide.max(axis=1))
    single = np.empty((37, 41), np.float32)
    uf.mean(x, axis=1, out=single, dtype=np.float32)
    np.testing.assert_allclose(single, wide.mean(axis=1), rtol=1e-6, atol=1e-7)
    low, high = uf.minmax(x, axis=0)
    assert low.dtype == high.dtype == dtype
    np.testing.assert_array_equal(low.astype(np.float64), wide.min(axis=0))
    np.testing.assert_array_equal(high.astype(np.float64), wide.max(axis=0))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_several_at_once(dtype: np.dtype[Any]) -> None:
    x = sample(dtype)
    names = ("sum", "mean", "std", "min", "max", "argmax", "count_nonzero", "nan_count", "norm")
    found = uf.reduce(x, names, axis=1)
    for name in names[:-2]:
        want = getattr(uf, name)(x, axis=1)
        assert getattr(found, name).dtype == want.dtype
        np.testing.assert_array_equal(
            getattr(found, name).astype(np.float64), want.astype(np.float64)
        )
    assert not found.nan_count.any()


def test_numpy_8217_half_sums_do_not_overflow() -> None:
    x = np.full(100_000, 2.0, np.float16)
    assert uf.mean(x) == 2.0
    assert uf.mean(np.full((1000, 200), 60000.0, np.float16), axis=0)[0] == 60000.0


def test_numpy_24443_half_variance_does_not_overflow() -> None:
    x = np.tile(np.array([-300.0, 300.0], np.float16), 5000)
    assert uf.std(x) == 300.0


def test_ml_dtypes_63_bfloat16_sums_do_not_stick() -> None:
    x = np.ones(1 << 16, ml_dtypes.bfloat16)
    assert float(uf.sum(x)) == 65536.0
    assert float(uf.mean(x)) == 1.0


def test_every_half_is_read_as_it_is() -> None:
    for dtype in DTYPES[:2]:
        x = np.arange(1 << 16, dtype=np.uint16).view(dtype)
        with np.errstate(invalid="ignore"):  # signalling NaN
            missing = np.isnan(x)
        numbers = x[~missing]
        got = uf.max(numbers[:, None], axis=1)
        np.testing.assert_array_equal(got.view(np.uint16), numbers.view(np.uint16))
        assert np.isnan(uf.max(x[missing][:, None], axis=1)).all()


INTEGERS = ("?", "i1", "u1", "i2", "u2", "i4", "u4")


@pytest.mark.parametrize("code", INTEGERS)
@pytest.mark.parametrize("shape", [(3, 16), (1, 40), (1500, 33), (2, 2500), (5, 4, 300)], ids=str)
def test_moments_of_integers(code: str, shape: tuple[int, ...]) -> None:
    """Every value, the extremes above all: sums of small integers are exact."""
    dtype = np.dtype(code)
    rng = np.random.default_rng(0)
    low, high = (0, 1) if code == "?" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    x = rng.integers(low, high, shape, np.int64, endpoint=True).astype(dtype)
    x[..., ::2] = low
    mask = rng.random(shape) < 0.7
    mask[..., 0] = mask[0] = mask[:, 0] = True
    wide = x.astype(np.longdouble)
    for axis in (None, 0, len(shape) - 1, 1):
        for where in (True, mask):
            expected = np.asarray(np.var(wide, axis, where=where), np.float64)
            np.testing.assert_allclose(
                uf.var(x, axis, where=where), expected, rtol=4e-15 if NATIVE else 1e-13
            )
            mean = np.asarray(np.mean(wide, axis, where=where), np.float64)
            np.testing.assert_allclose(
                uf.mean(x, axis, where=where), mean, rtol=1e-15 if NATIVE else 1e-13
            )
    if NATIVE:
        np.testing.assert_array_equal(uf.var(x[:, ::-1], 1), uf.var(x[:, ::-1].copy(), 1))
        np.testing.assert_array_equal(uf.var(x.T, 0), uf.var(np.ascontiguousarray(x.T), 0))


def test_variance_of_equal_integers_is_zero() -> None:
    for code in INTEGERS[1:]:
        x = np.full((7, 2000), np.iinfo(code).max, code)
        assert uf.var(x) == 0.0
        assert not uf.std(x, 0).any()
