"""Short axes beside long ones, rows that interleave, and results that go past the caches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE

DTYPES = ("f4", "f8", "f2", "i1", "u1", "i2", "u2", "i4", "i8", "?", ">f4", ">i2", ">f8")
NAMES = ("sum", "mean", "prod", "min", "max", "any", "count_nonzero", "var", "argmax", "nansum")


def values_of(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray[Any, Any]:
    """Elements of which sums in another order have other bits, and results of all are finite."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        powers = 10.0 ** rng.uniform(-2, 2, shape)
        return np.asarray((rng.standard_normal(shape) * powers).astype(dtype))
    return rng.integers(0, 2 if dtype == "?" else 100, shape).astype(dtype)


def compare(name: str, x: np.ndarray[Any, Any], axis: Any, **keywords: Any) -> None:
    """Compare with the same elements in other layouts, to the last bit, and with NumPy."""
    f = getattr(uf, name)
    got = f(x, axis=axis, **keywords)
    native = x.astype(x.dtype.newbyteorder("="))
    spread = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), native.dtype)[..., ::2]
    spread[...] = native
    if NATIVE:
        np.testing.assert_array_equal(got, f(np.asfortranarray(native), axis=axis, **keywords))
        np.testing.assert_array_equal(got, f(spread, axis=axis, **keywords))
    with np.errstate(over="ignore"):
        expected = getattr(np, name)(native, axis=axis, **keywords)
    if native.dtype == np.float16 and name in ("sum", "mean", "var", "nansum", "prod"):
        expected = getattr(np, name)(native.astype("f8"), axis=axis, **keywords)
        with np.errstate(over="ignore"):
            expected = expected.astype(np.asarray(got).dtype)
        np.testing.assert_allclose(got, expected, rtol=2e-3, atol=1e-6)
        return
    rtol = 1e-4 if native.dtype == np.float32 else 1e-9
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=1e-3 if rtol == 1e-4 else 1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", range(2, 18))
def test_tiny_last_axis(length: int, dtype: str, tier: str) -> None:
    for rows in (15, 16, 45, 1061):
        x = values_of((rows, length), dtype)
        for name in ("sum", "max") if rows != 45 else NAMES:
            if name == "prod" and dtype == "f2":
                continue  # overflows
            compare(name, x, 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [*range(2, 10), 13, 15, 16])
def test_tiny_kept_axis(width: int, dtype: str, tier: str) -> None:
    for shape in ((130, width), (1100, width), (5, 140, width), (2, 1030, width)):
        x = values_of(shape, dtype)
        for name in ("sum", "max") if len(shape) == 2 else NAMES:
            axis = 0 if len(shape) == 2 else (0, 1)
            if name == "prod" or (name == "argmax" and axis != 0):
                continue
            compare(name, x, axis)
    compare("argmax", values_of((1100, width), dtype), 0)


@pytest.mark.parametrize("length", [2, 3, 8, 11])
def test_converted(length: int) -> None:
    for dtype in ("f4", "i1", "u2", ">i4"):
        x = values_of((700, length), dtype)
        np.testing.assert_allclose(
            uf.sum(x, axis=1, dtype="f8"), np.sum(x, axis=1, dtype="f8"), 1e-12
        )
        np.testing.assert_allclose(uf.mean(x, axis=0, dtype="f8"), np.mean(x, 0, dtype="f8"), 1e-12)


@pytest.mark.parametrize("length", [2, 3, 7, 8, 9, 15])
def test_special_values_in_tiny_rows(length: int, tier: str) -> None:
    rng = np.random.default_rng(length)
    special = np.array([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0, -1.0, 2.5], "f4")
    for dtype in ("f4", "f8"):
        x = rng.choice(special, (999, length), p=[0.3, 0.3] + [0.4 / 7] * 7).astype(dtype)
        x[:9] = -0.0
        for name in ("sum", "min", "max", "prod", "nansum", "any", "count_nonzero"):
            for axis in (0, 1):
                with np.errstate(all="ignore"):
                    got = getattr(uf, name)(x, axis=axis)
                    expected = getattr(np, name)(x, axis=axis)
                np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
                if NATIVE:
                    again = getattr(uf, name)(np.asfortranarray(x), axis=axis)
                    assert np.asarray(got).tobytes() == np.asarray(again).tobytes(), name
                if name in ("sum", "nansum"):
                    assert not np.signbit(got[got == 0.0]).any()


def test_masked_rows_that_interleave() -> None:
    for width in (3, 8, 11):
        x = values_of((3, 1100, width), "f4")
        mask = values_of(x.shape, "?", 1)
        for name in ("sum", "var"):
            got = getattr(uf, name)(x, axis=(0, 1), where=mask)
            expected = getattr(np, name)(x.astype("f8"), axis=(0, 1), where=mask)
            np.testing.assert_allclose(got, expected, 1e-4, 1e-3)
        x[mask] = np.nan
        np.testing.assert_allclose(
            uf.nanmean(x, axis=(0, 1)), np.nanmean(x.astype("f8"), (0, 1)), 1e-4
        )


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2"])
def test_long_rows_backwards(dtype: str, tier: str) -> None:
    for count in (16, 17, 33, 1024, 1041, 3000):
        x = values_of((21, count), dtype)
        for view in (x[:, ::-1], x[::-1, ::-1], x[::2, ::-1]):
            for name in ("sum", "max", "var"):
                got = getattr(uf, name)(view, axis=1)
                if NATIVE:
                    np.testing.assert_array_equal(got, getattr(uf, name)(view.copy(), axis=1))
                np.testing.assert_allclose(got, getattr(np, name)(view.astype("f8"), 1), 1e-4, 1e-2)


# Twice half of the last-level cache of most machines, so that results are streamed.
LARGE = 5_000_011


@pytest.mark.parametrize("offset", [0, 4, 12])
def test_results_past_the_caches(offset: int) -> None:
    x = values_of((LARGE, 3), "f4")
    memory = np.zeros(4 * LARGE + 192, np.uint8)
    out = memory[offset + 64 :][: 4 * LARGE].view("f4")
    uf.sum(x, axis=1, out=out)
    np.testing.assert_allclose(out, x.astype("f8").sum(1), 1e-6, 1e-4)
    assert not memory[: offset + 64].any() and not memory[offset + 64 + 4 * LARGE :].any()
    wide = np.full((LARGE, 2), 7, "f4")
    uf.max(x, axis=1, out=wide[:, 1])
    np.testing.assert_array_equal(wide[:, 1], x.max(1))
    assert (wide[:, 0] == 7).all()


def test_large_results_that_repeat() -> None:
    row = values_of((3, 700_001), "f4")
    rows = np.broadcast_to(row[:, None], (3, 8, 700_001))
    np.testing.assert_array_equal(uf.max(rows, 0), np.broadcast_to(row.max(0), (8, 700_001)))
    columns = np.broadcast_to(row[..., None], (3, 700_001, 9))
    np.testing.assert_array_equal(uf.max(columns, 0), columns.max(0))
    few = values_of((3, 5, 1), "f8")
    long = np.broadcast_to(few, (3, 5, 600_001))
    np.testing.assert_array_equal(uf.max(long, 0), long.max(0))
    both = np.broadcast_to(few[:, :, None], (3, 5, 900, 1001))
    np.testing.assert_array_equal(uf.max(both, 0), both.max(0))
    out = np.full((1001, 900, 10), -1.0).T[::2]
    uf.max(both, 0, out=out)
    np.testing.assert_array_equal(out, both.max(0))
    assert (np.asarray(out.base)[:, :, 1::2] == -1).all()
