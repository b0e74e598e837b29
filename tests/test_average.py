"""Weighted averages, against NumPy's."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE

SHAPE = (6, 41, 300)


def sample(dtype: Any, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "biu":
        return rng.integers(0, 2 if np.dtype(dtype).kind == "b" else 50, shape).astype(dtype)
    x = rng.uniform(0.5, 2.0, shape)
    return (x + 1j * x[::-1] if np.dtype(dtype).kind == "c" else x).astype(dtype)


def layouts(x: np.ndarray) -> list[np.ndarray]:
    padded = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    padded[..., ::2] = x
    backwards = np.ascontiguousarray(x[::-1, ..., ::-1])[::-1, ..., ::-1]
    return [x, np.asfortranarray(x), padded[..., ::2], backwards, x.astype(x.dtype.newbyteorder())]


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1), (0, 2), (2, 1), None])
@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        ("f4", "f4"),
        ("f8", "f8"),
        ("f4", "f8"),
        ("i1", "f4"),
        ("f8", "i4"),
        ("u2", "u1"),
        ("c8", "f8"),
    ],
)
def test_weights_of_the_whole_shape(dtype: str, kind: str, axis: Any) -> None:
    x, w = sample(dtype), sample(kind, seed=1)
    wide = np.result_type(dtype, "f8")
    want, totals = np.average(x.astype(wide), axis, w.astype(np.float64), True)
    expected = np.average(x, axis, w)
    for view, weights in zip(layouts(x), reversed(layouts(w)), strict=True):
        got, found = uf.average(view, axis, weights, True)
        assert got.dtype == found.dtype == expected.dtype
        assert got.shape == found.shape == expected.shape
        rtol = 1e-6 if got.dtype.itemsize // (1 + (got.dtype.kind == "c")) == 4 else 1e-13
        np.testing.assert_allclose(got, want, rtol=rtol)
        np.testing.assert_allclose(found, totals, rtol=rtol)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, (0, 1), (2, 0), (2, 1, 0)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_weights_of_the_reduced_axes(axis: Any, keepdims: bool) -> None:
    x = sample("f8")
    axes = axis if isinstance(axis, tuple) else (axis,)
    w = sample("f8", tuple(SHAPE[i] for i in axes), 1)
    want, totals = np.average(x, axis, w, True, keepdims=keepdims)
    for view in layouts(x):
        got, found = uf.average(view, axis, w, True, keepdims=keepdims)
        np.testing.assert_allclose(got, want, rtol=1e-13, strict=True)
        np.testing.assert_allclose(found, totals, rtol=1e-13, strict=True)
        if found.ndim:
            found[...] = 0  # the sums of the weights are an array of their own


@pytest.mark.parametrize("axis", [0, (1, 2), None])
def test_without_weights(axis: Any) -> None:
    for dtype in ("f4", "i2"):
        x = sample(dtype)
        got, want = uf.average(x, axis, returned=True), np.average(x, axis, returned=True)
        np.testing.assert_allclose(got[0], want[0], rtol=1e-6)
        np.testing.assert_array_equal(got[1], want[1], strict=True)
        np.testing.assert_array_equal(uf.average(x, axis), uf.mean(x, axis), strict=True)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_floats(dtype: Any) -> None:
    x, w = sample(dtype), sample(dtype, seed=1)
    for axis in (0, 2, None):
        got = uf.average(x, axis, w)
        want = np.average(x.astype("f8"), axis, w.astype("f8"))
        assert got.dtype == dtype
        np.testing.assert_array_equal(
            np.asarray(got, np.float32), np.asarray(want).astype(dtype).astype(np.float32)
        )


def test_products_are_of_float64() -> None:
    """float32 products and their sum would be off by 1e-6."""
    rng = np.random.default_rng(0)
    x, w = rng.random(100_000, np.float32), rng.random(100_000, np.float32)
    want = np.average(x.astype("f8"), weights=w.astype("f8"))
    assert uf.average(x, weights=w) == np.float32(want)


def test_integers_and_objects() -> None:
    from fractions import Fraction

    got = uf.average([1, 2, 3], weights=[3, 1, 0])
    assert got == np.average([1, 2, 3], weights=[3, 1, 0]) and got.dtype == np.float64
    x = np.array([Fraction(1, 3), Fraction(1, 2)], dtype=object)
    assert uf.average(x, weights=[1, 2]) == Fraction(4, 9)


@pytest.mark.skipif(not NATIVE, reason="the reference executor has neither threads nor tiers")
@pytest.mark.parametrize("axis", [0, 1, 2, (0, 2), None])
def test_the_same_bits_for_threads_layouts_and_tiers(axis: Any) -> None:
    from ufuse import _core

    x, w = sample("f4", (40, 61, 300)), sample("f4", (40, 61, 300), 1)
    results = set()
    try:
        for tier in [tier for tier in _core.available_tiers() if tier != "v2"]:
            _core.set_tier(tier)
            for threads, view in itertools.product((1, 2, 3), layouts(x)):
                with uf.threads(threads):
                    results.add(np.asarray(uf.average(view, axis, w)).tobytes())
    finally:
        _core.set_tier("")
    assert len(results) == 1


def test_specials_and_empty() -> None:
    assert np.isnan(uf.average([1.0, np.nan], weights=[1.0, 1.0]))
    assert uf.average([1.0, np.inf], weights=[1.0, 1.0]) == np.inf
    assert uf.average(np.ones((0, 3)), 1, np.ones(3)).shape == (0,)
    assert uf.average(np.float64(3.0), weights=2.0) == 3.0
    broadcast = np.broadcast_to(np.arange(3.0), (1000, 3))
    np.testing.assert_array_equal(uf.average(broadcast, 0, np.ones(1000)), [0, 1, 2])


def test_errors() -> None:
    x = np.ones((3, 4))
    with pytest.raises(ZeroDivisionError, match=r"ufuse\.average: argument 'weights'"):
        uf.average(x, 0, [1, -1, 0])
    with pytest.raises(ZeroDivisionError):
        uf.average(np.ones((0, 3)), 0, np.ones(0))
    with pytest.raises(TypeError, match=r"'axis': Axis must be specified"):
        uf.average(x, weights=np.ones(4))
    with pytest.raises(ValueError, match=r"'weights': Shape of weights must be consistent.*\(3,\)"):
        uf.average(x, 0, np.ones(4))
    with pytest.raises(np.exceptions.AxisError, match="'axis'"):
        uf.average(x, 2, np.ones(4))
    with pytest.raises(TypeError):
        uf.average(x, 0, np.ones(3), False, True)


@pytest.mark.parametrize("axis", [0, -1])
def test_weights_of_a_0d_array(axis: int) -> None:
    assert uf.average(np.float64(3), axis=axis, weights=2.0) == 3.0
    assert uf.quantile(np.float64(3), 0.5, axis=axis, weights=2.0, method="inverted_cdf") == 3.0
    with pytest.raises(ValueError, match=r"'weights': .* expected \(\) or \(\), got \(1,\)"):
        uf.average(np.float64(3), axis=axis, weights=[2.0])
    with pytest.raises(ValueError, match=r"'weights': .* expected \(\) or \(\), got \(1,\)"):
        uf.quantile(np.float64(3), 0.5, axis=axis, weights=[2.0], method="inverted_cdf")
