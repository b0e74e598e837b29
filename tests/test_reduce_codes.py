"""Reductions over the codes of 16-bit floats: every code, in every place, on every path."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE

ml_dtypes = pytest.importorskip("ml_dtypes")

DTYPES = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
EXTREMES = ("min", "max", "nanmin", "nanmax")
INDICES = ("argmin", "argmax", "nanargmin", "nanargmax")
#: Shorter and longer than registers, lanes, windows of columns and chunks.
LENGTHS = (1, 2, 7, 15, 16, 31, 33, 65, 129, 1000, 1024, 1025, 2077)


def codes_of(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Any codes: NaN of either sign and any payload, infinities, zeros of both signs, denormals."""
    return rng.integers(0, 1 << 16, shape, np.uint16).view(dtype)


def few(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """A few values, so that most are there twice: the first of them counts."""
    values = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, -np.nan, 2.0**-20], dtype)
    return rng.choice(values, shape)


def ordered(x: Any, largest: bool) -> Any:
    """The smallest or largest of each row of float64, a NaN before all, and -0 before 0."""
    ranks = np.where(np.signbit(x) & (x == 0), -1e-300, x)
    found = ranks.max(axis=1) if largest else ranks.min(axis=1)
    return np.where(found == -1e-300, -0.0, found)


@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize("make", [codes_of, few])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_extremes_counts_and_indices(dtype: np.dtype[Any], make: Any) -> None:
    rng = np.random.default_rng(0)
    for length in LENGTHS:
        x = make(rng, (70, length), dtype)
        if make is codes_of:  # half of the rows without NaN
            bits = x.view(np.uint16)
            finite = 0x7BFF if dtype == np.float16 else 0x7F7F
            bits[::2] = np.minimum(bits[::2] & 0x7FFF, finite) | (bits[::2] & 0x8000)
        with np.errstate(invalid="ignore"):
            wide = x.astype(np.float64)
        some = ~np.isnan(wide).all(axis=1)
        for layout in (x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
            for name in EXTREMES:
                largest, skips = name.endswith("max"), name.startswith("nan")
                fill = -np.inf if largest else np.inf
                want = ordered(np.where(np.isnan(wide), fill, wide) if skips else wide, largest)
                want = np.where(some | (not skips), want, np.nan)
                got = getattr(uf, name)(layout, axis=1)
                with np.errstate(invalid="ignore"):
                    value = got.astype(np.float64)
                np.testing.assert_array_equal(value, want)
                if NATIVE:  # -0 before 0
                    number = ~np.isnan(want)
                    np.testing.assert_array_equal(
                        np.signbit(value[number]), np.signbit(want[number])
                    )
            for name in INDICES:
                skips = name.startswith("nan")
                rows = layout[some] if skips else layout
                want = getattr(np, name)(wide[some] if skips else wide, axis=1)
                np.testing.assert_array_equal(getattr(uf, name)(rows, axis=1), want)
            for name in ("any", "all", "count_nonzero"):
                with np.errstate(invalid="ignore"):
                    got, want = getattr(uf, name)(layout, axis=1), getattr(np, name)(wide, axis=1)
                np.testing.assert_array_equal(got, want)


@pytest.mark.skipif(not NATIVE, reason="NumPy's sums are rounded")
def test_sums_of_halves_are_exact() -> None:
    """Within a chunk: of the largest and the smallest in turn, at the first and the last place."""
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 0x7C00, (40, 1024), np.uint16) | rng.choice([0, 0x8000], (40, 1024))
    x = bits.astype(np.uint16).view(np.float16)
    x[:, ::3] = np.float16(65504)
    x[:, 1::5] = np.float16(2.0**-24)
    units = (x.astype(np.float64) * 2.0**24).astype(np.int64)
    want = units.sum(axis=1) * 2.0**-24
    with_nan = np.insert(x[:, :1000], [0, 500, 1000], np.nan, axis=1)
    for layout in (x, np.asfortranarray(x), x[:, ::-1]):
        np.testing.assert_array_equal(uf.sum(layout, axis=1, dtype=np.float64), want)
        np.testing.assert_array_equal(uf.mean(layout, axis=1, dtype=np.float64), want / 1024)
    want = units[:, :1000].sum(axis=1) * 2.0**-24
    for layout in (with_nan, np.asfortranarray(with_nan)):
        np.testing.assert_array_equal(uf.nansum(layout, axis=1, dtype=np.float64), want)
        np.testing.assert_array_equal(uf.nanmean(layout, axis=1, dtype=np.float64), want / 1000)


@pytest.mark.parametrize("length", LENGTHS[1:])
def test_variances_of_halves(length: int) -> None:
    """Without a pivot: far from zero, of one last place, of one outlier, and of equal values."""
    rng = np.random.default_rng(2)
    x = np.empty((6, length), np.float16)
    x[0] = rng.normal(size=length)
    x[1] = 60000
    x[1, -1] = 59968
    x[2] = 1.0
    x[2, length // 2] = np.float16(2.0**-24)
    x[3] = rng.choice([1000.0, 1000.5], length)
    x[4] = rng.choice(np.arange(0x7C00, dtype=np.uint16).view(np.float16), length)
    x[5] = -1234.0
    wide = x.astype(np.longdouble)
    want = np.asarray(((wide - wide.mean(axis=1, keepdims=True)) ** 2).mean(axis=1), np.float64)
    gaps = np.insert(x, [0, length // 2, length], np.nan, axis=1)
    for name, data in (("var", x), ("nanvar", gaps)):
        found = [
            getattr(uf, name)(layout, axis=1, dtype=np.float64)
            for layout in (data, np.asfortranarray(data), np.repeat(data, 2, axis=1)[:, ::2])
        ]
        np.testing.assert_allclose(found[0], want, rtol=1e-11)
        assert found[0][5] == 0.0
        if NATIVE:
            np.testing.assert_array_equal(found[0], found[1])
            np.testing.assert_array_equal(found[0], found[2])
            together = uf.reduce(
                data, ("var", "sum", "min", "max") if name == "var" else (name,), 1
            )
            single = getattr(uf, name)(data, axis=1)
            np.testing.assert_array_equal(getattr(together, name), single)
    x[0, 0] = np.inf
    assert np.isnan(uf.var(x, axis=1)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_results_are_rounded_to_halves_once(dtype: type) -> None:
    """As NumPy rounds them: ties, denormals, what overflows, zeros, infinities and NaN."""
    every = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(dtype)
    ties = (every[:-1] + every[1:]) / 2
    values = np.concatenate(
        [every, ties, np.nextafter(ties, dtype(0)), np.nextafter(ties, dtype(np.inf))]
    )
    more = np.array([65519.9, 65520, 1e30, np.inf, 2.0**-25, 2.0**-26, 1e-40, np.nan], dtype)
    values = np.concatenate([values, more])
    values = np.concatenate([values, -values])
    with np.errstate(over="ignore", under="ignore"):
        want = values.astype(np.float16)
    if NATIVE:
        from ufuse.reduce.native import to_half

        for part in (slice(None), slice(3, 1024), slice(5)):
            got, expected = to_half(values[part]), want[part]
            np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
            some = ~np.isnan(expected)
            np.testing.assert_array_equal(got[some].view("u2"), expected[some].view("u2"))
    rows = np.repeat(want[None], 2, axis=0)
    np.testing.assert_array_equal(uf.max(rows, axis=0), want)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float16, np.int8, np.float32])
@pytest.mark.parametrize("columns", [3, 70])
def test_counts_of_columns_short_of_a_register(columns: int, dtype: type) -> None:
    """GCC 12 took eight comparisons of a single column for -1 each, added in 16 bits."""
    for length in (8, 127, 128, 1024, 1030):
        x = np.ones((length, columns), dtype)
        x[::5] = 0
        where = np.ones(x.shape, bool)
        where[1::7] = False
        np.testing.assert_array_equal(uf.count_nonzero(x, 0), np.count_nonzero(x, 0))
        assert uf.any(x, 0).all()
        np.testing.assert_array_equal(uf.any(x, 0, where=where), np.any(x, 0, where=where))
