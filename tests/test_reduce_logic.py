"""any, all, count_nonzero, ptp and norm, against NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE

DTYPES = [np.bool_, np.int8, np.uint16, np.int64, np.float16, np.float32, np.float64, np.complex64]
AXES = [0, 1, 2, (0, 2), (0, 1, 2), None]
SHAPES = [(5, 7, 9), (1, 1, 1), (3, 2100, 2), (70, 3, 130), (2, 0, 3)]


def sample(shape: tuple[int, ...], dtype: Any, seed: int = 0, share: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 100, shape) * (rng.random(shape) < share)
    return x.astype(dtype)


@pytest.mark.parametrize("name", ["any", "all", "count_nonzero"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("shape", SHAPES)
def test_logic(shape: tuple[int, ...], axis: Any, dtype: Any, name: str) -> None:
    for share in (0.0, 0.02, 0.98, 1.0):
        x = sample(shape, dtype, 1, share)
        for array in (x, np.asfortranarray(x), x[::-1, :, ::-1]):
            got = getattr(uf, name)(array, axis)
            want = getattr(np, name)(array, axis)
            np.testing.assert_array_equal(got, want)
            assert np.asarray(got).dtype == np.asarray(want).dtype


def test_nan_and_negative_zero() -> None:
    for dtype in (np.float32, np.float64):
        x = np.array([[0.0, -0.0], [0.0, np.nan], [1e-40, 1.0]], dtype)
        np.testing.assert_array_equal(uf.any(x, 1), [False, True, True])
        np.testing.assert_array_equal(uf.all(x, 1), [False, False, True])
        np.testing.assert_array_equal(uf.count_nonzero(x, 1), [0, 1, 2])


def test_where_out_and_keepdims() -> None:
    x = sample((30, 40), np.float32, 2)
    mask = np.random.default_rng(3).random((30, 40)) < 0.2
    mask[4] = False
    for name in ("any", "all"):
        ours, numpys = getattr(uf, name), getattr(np, name)
        for axis in (0, 1, None):
            np.testing.assert_array_equal(ours(x, axis, where=mask), numpys(x, axis, where=mask))
        for dtype in (np.bool_, np.float64):
            out = np.empty((30, 1), dtype)
            assert ours(x, 1, out=out, keepdims=True) is out
            np.testing.assert_array_equal(out, numpys(x, 1, keepdims=True))
        with pytest.raises(ValueError, match=rf"ufuse.{name}.*'out'.*\(30,\)"):
            ours(x, 1, out=np.empty(3, np.bool_))
    assert uf.count_nonzero(x, 1, keepdims=True).shape == (30, 1)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("axis", AXES)
def test_ptp(axis: Any, dtype: Any) -> None:
    x = sample((6, 7, 8), dtype, 4)
    got, want = uf.ptp(x, axis), np.ptp(x, axis)
    np.testing.assert_array_equal(got, want)
    assert np.asarray(got).dtype == np.asarray(want).dtype


def test_ptp_edges() -> None:
    assert uf.ptp(np.int8([-128, 127])) == np.ptp(np.int8([-128, 127]))  # wraps
    assert np.isnan(uf.ptp([1.0, np.nan]))
    assert uf.ptp([np.inf, 0.0]) == np.inf
    with pytest.raises(TypeError, match="bool"):
        uf.ptp(np.array([True, False]))
    with pytest.raises(ValueError, match="zero-size"):
        uf.ptp(np.empty((0, 3)), 0)


@pytest.mark.parametrize(
    "dtype", [np.int8, np.bool_, np.float16, *[np.float32, np.float64], np.complex64]
)
@pytest.mark.parametrize("order", [None, 0, 1, 2, 3, 0.5, -1, np.inf, -np.inf])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_norm(axis: int, order: Any, dtype: Any) -> None:
    x = (sample((30, 40, 5), dtype, 5) + np.array(1).astype(dtype)).astype(dtype)
    wide = x.astype(np.complex128 if dtype is np.complex64 else np.float64)
    want = np.linalg.norm(wide, order, axis)
    got = uf.norm(x, order, axis)
    real = {np.float16: np.float16, np.float32: np.float32, np.complex64: np.float32}
    assert got.dtype == real.get(dtype, np.float64)
    # float16 norms of 0 and 1 overflow where NumPy's do
    with np.errstate(over="ignore"):
        want = want.astype(got.dtype)
    np.testing.assert_allclose(got, want, rtol=1e-12 if got.dtype == np.float64 else 1e-3)


def test_norm_of_several_axes_and_flat() -> None:
    x = np.random.default_rng(6).standard_normal((6, 7, 8)).astype(np.float32)
    for order in (None, 1, np.inf, 3):
        flat = np.linalg.norm(x.astype(np.float64).ravel(), order)
        np.testing.assert_allclose(uf.norm(x, order), flat, rtol=1e-6)
        rows = np.linalg.norm(x.astype(np.float64).transpose(1, 0, 2).reshape(7, -1), order, axis=1)
        np.testing.assert_allclose(uf.norm(x, order, (0, 2)), rows, rtol=1e-6)
    assert uf.norm(x, 2, 1, keepdims=True).shape == (6, 1, 8)


def test_norm_edges() -> None:
    big = np.full(1000, 3e38, np.float32)
    assert uf.norm(big.astype(np.float64)) == pytest.approx(3e38 * np.sqrt(1000))
    assert uf.norm(np.full(4, 1e30, np.float32)) == np.float32(2e30)  # no overflow on the way
    assert np.isnan(uf.norm([1.0, np.nan], np.inf))
    assert uf.norm([-np.inf, 1.0]) == np.inf
    assert uf.norm(np.empty(0)) == 0
    with pytest.raises(ValueError, match="no elements"):
        uf.norm(np.empty((0, 3)), np.inf, 0)
    with pytest.raises(ValueError, match=r"'ord'.*'fro'.*numpy.linalg.norm"):
        uf.norm(np.ones(3), "fro")
    with pytest.raises(np.exceptions.AxisError, match=r"ufuse.norm"):
        uf.norm(np.ones(3), axis=1)


@pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")
@pytest.mark.parametrize("order", [0, 1, 2, np.inf, -np.inf])
@pytest.mark.parametrize("axis", AXES)
def test_the_same_bits_for_every_layout_and_thread_count(axis: Any, order: float) -> None:
    x = np.random.default_rng(7).standard_normal((33, 70, 64)).astype(np.float32)
    want = uf.norm(x, order, axis)
    for threads in (1, 3):
        with uf.threads(threads):
            for array in (x, np.asfortranarray(x), x[::-1].copy()[::-1], x.astype(">f4")):
                np.testing.assert_array_equal(uf.norm(array, order, axis), want)
