"""Moments of higher order, against their definition in long double."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE

NAMES = ("mean", "variance", "skewness", "kurtosis")


def defined(x: np.ndarray, axis: Any, where: Any = True) -> list[np.ndarray]:
    """Two passes in long double."""
    keywords = {"axis": axis, "keepdims": True, "where": where}
    wide = x.astype(np.longdouble)
    mean = np.mean(wide, **keywords)
    deviation = wide - mean
    m2, m3, m4 = (np.mean(deviation**power, **keywords) for power in (2, 3, 4))
    with np.errstate(all="ignore"):
        found = (mean, m2, m3 / (m2 * np.sqrt(m2)), m4 / (m2 * m2) - 3)
    return [np.squeeze(one, axis).astype(np.float64) for one in found]


def layouts(x: np.ndarray) -> list[np.ndarray]:
    padded = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    padded[..., ::2] = x
    backwards = np.ascontiguousarray(x[::-1, ..., ::-1])[::-1, ..., ::-1]
    return [x, np.asfortranarray(x), padded[..., ::2], backwards, x.astype(x.dtype.newbyteorder())]


def check(found: Any, want: list[np.ndarray], rtol: float, atol: float) -> None:
    for name, expected in zip(found._fields, want, strict=False):
        np.testing.assert_allclose(
            getattr(found, name), expected, rtol=rtol, atol=atol, err_msg=name
        )


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 2), (1, 2), None])
@pytest.mark.parametrize("shape", [(6, 9, 11), (3, 2100, 2), (40, 3, 130)])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_values(offset: float, shape: Any, axis: Any) -> None:
    x = np.random.default_rng(0).gamma(2.0, 3.0, shape) + offset
    want = defined(x, axis)
    for view in layouts(x):
        check(uf.moments(view, axis=axis), want, 1e-10, 1e-10)
    narrow = x.astype(np.float32)
    found = uf.moments(narrow, axis=axis)
    assert all(one.dtype == np.float32 for one in found)
    check(found, defined(narrow, axis), 1e-6, 1e-6)


def test_order_and_fields() -> None:
    x = np.random.default_rng(0).random((30, 40))
    whole = uf.moments(x, axis=0)
    for order in (1, 2, 3, 4):
        found = uf.moments(x, order, 0)
        assert found._fields == NAMES[:order]
        check(found, [np.asarray(one) for one in whole[:order]], 1e-14, 0)
    np.testing.assert_allclose(whole.variance, uf.var(x, 0), rtol=1e-14)
    np.testing.assert_array_equal(
        whole.mean.shape, uf.moments(x, axis=0, keepdims=True).mean.shape[1:]
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_outliers(axis: int) -> None:
    """A first element far off is the pivot of its chunk."""
    x = np.random.default_rng(0).standard_normal((3000, 3000))
    x[0] = x[:, 0] = 1e7
    x = x[:, :50] if axis == 0 else x[:50]
    check(uf.moments(x, axis=axis), defined(x, axis), 1e-11, 0)


def test_a_large_mean_cancels_nothing() -> None:
    x = np.random.default_rng(0).exponential(size=200_000) + 1e9
    check(uf.moments(x), defined(x, None), 1e-9, 0)
    assert abs(uf.moments(x).skewness - 2) < 0.1
    assert abs(uf.moments(x).kurtosis - 6) < 0.7


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i8", np.float16, ml_dtypes.bfloat16])
def test_other_dtypes(dtype: Any) -> None:
    x = np.random.default_rng(0).integers(0, 2 if dtype == "?" else 100, (50, 41)).astype(dtype)
    for axis in (0, 1, None):
        found = uf.moments(x, axis=axis)
        narrow = np.dtype(dtype).kind not in "biu"
        want = defined(x.astype(np.float64), axis)
        assert found.mean.dtype == (dtype if narrow else np.float64)
        for one, expected in zip(found, want, strict=True):
            rtol = 1e-2 if dtype is ml_dtypes.bfloat16 else 1e-3 if narrow else 1e-11
            np.testing.assert_allclose(one.astype(np.float64), expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("axis", [0, 1, None])
def test_where(axis: Any) -> None:
    x = np.random.default_rng(0).random((50, 2041))
    where = np.random.default_rng(1).random(x.shape) < 0.5
    x[~where] = np.nan
    clean = np.where(where, x, 0.0)
    check(uf.moments(x, axis=axis, where=where), defined(clean, axis, where), 1e-11, 1e-12)


def test_specials_and_empty() -> None:
    constant = uf.moments(np.full((3, 2000), 0.1))
    assert abs(constant.mean - 0.1) < 1e-17 and constant.variance == 0
    assert np.isnan(constant.skewness) and np.isnan(constant.kurtosis)
    assert all(np.isnan(one) for one in uf.moments([1.0, np.nan, 2.0]))
    single = uf.moments(np.float64(3.0))
    assert single.mean == 3 and single.variance == 0
    for axis, shape in ((0, (3,)), (None, ())):
        with pytest.warns(RuntimeWarning, match="Mean of empty slice"):
            found = uf.moments(np.ones((0, 3)), axis=axis)
        assert found.kurtosis.shape == shape and all(np.isnan(one).all() for one in found)
    assert uf.moments(np.ones((0, 3)), axis=1).mean.shape == (0,)


@pytest.mark.skipif(not NATIVE, reason="the reference executor has neither threads nor tiers")
@pytest.mark.parametrize("shape", [(300_001,), (5000, 65), (65, 5000)])
def test_the_same_bits_for_threads_layouts_and_tiers(shape: Any) -> None:
    from ufuse import _core

    x = np.random.default_rng(0).gamma(2.0, 3.0, shape).astype(np.float32)
    try:
        for axis in (None,) if len(shape) == 1 else (0, 1, None):
            results = set()
            for tier in [tier for tier in _core.available_tiers() if tier != "v2"]:
                _core.set_tier(tier)
                for threads, view in itertools.product((1, 2, 3), (x, np.asfortranarray(x))):
                    with uf.threads(threads):
                        found = uf.moments(view, axis=axis)
                    results.add(b"".join(np.asarray(one).tobytes() for one in found))
            assert len(results) == 1
    finally:
        _core.set_tier("")


def test_errors() -> None:
    x = np.ones((3, 4))
    with pytest.raises(
        ValueError, match=r"ufuse\.moments: argument 'order': expected 1, 2, 3 or 4"
    ):
        uf.moments(x, 5)
    with pytest.raises(TypeError, match=r"'order': expected an integer"):
        uf.moments(x, 2.5)
    with pytest.raises(TypeError, match=r"'x': expected real numbers"):
        uf.moments(x.astype(complex))
    with pytest.raises(np.exceptions.AxisError, match="'axis'"):
        uf.moments(x, axis=2)
    with pytest.raises(ValueError, match="'where'"):
        uf.moments(x, where=np.ones(3, bool))
