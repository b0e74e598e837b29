"""Several reductions in one read: the same as each alone, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE

NAMES = "sum prod mean var std min max argmin argmax any all count_nonzero norm nan_count".split()
DTYPES = [np.bool_, np.int8, np.uint32, np.int64, np.float16, np.float32, np.float64]


def sample(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    x = np.random.default_rng(0).integers(0, 4, shape).astype(dtype)
    if np.dtype(dtype).kind == "f":
        x[(slice(1, 2),) * x.ndim] = np.nan
    return x


def alone(x: np.ndarray, name: str, axis: Any, keepdims: bool) -> Any:
    if name != "nan_count":
        return getattr(uf, name)(x, axis=axis, keepdims=keepdims)
    nan = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    return nan.sum(axis=axis, keepdims=keepdims)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, 2, None])
@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 1, 1), (3, 2100, 2)])
def test_as_each_alone(shape: tuple[int, ...], axis: Any, dtype: Any) -> None:
    x = sample(shape, dtype)
    for array in (x, np.asfortranarray(x), x[::-1]):
        for keepdims in (False, True):
            found = uf.reduce(array, NAMES, axis, keepdims=keepdims)
            assert found._fields == tuple(NAMES)
            for name in NAMES:
                want = alone(array, name, axis, keepdims)
                got = getattr(found, name)
                np.testing.assert_array_equal(got, want, err_msg=name)
                assert np.asarray(got).dtype == np.asarray(want).dtype, name


@pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")
def test_the_same_bits_for_every_thread_count() -> None:
    x = np.random.default_rng(1).standard_normal((300, 5000)).astype(np.float32)
    for axis in (0, 1, None):
        with uf.threads(1):
            want = uf.reduce(x, NAMES, axis)
        for threads in (2, 3):
            with uf.threads(threads):
                for got, right in zip(uf.reduce(x, NAMES, axis), want, strict=True):
                    np.testing.assert_array_equal(got, right)


def test_several_axes_and_one_name() -> None:
    x = sample((4, 5, 6), np.float32)
    found = uf.reduce(x, ("mean", "std"), (0, 2))
    np.testing.assert_array_equal(found.std, uf.std(x, (0, 2)))
    assert uf.reduce([1.0, 2.0], "sum").sum == 3.0


def test_bad_arguments() -> None:
    x = np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match=r"ufuse.reduce: argument 'ops'.*\['meen'\]"):
        uf.reduce(x, ("meen", "std"))
    with pytest.raises(ValueError, match=r"'ops'"):
        uf.reduce(x, ())
    with pytest.raises(ValueError, match=r"repeated"):
        uf.reduce(x, ("sum", "sum"))
    with pytest.raises(TypeError, match=r"'axis': expected an int or None"):
        uf.reduce(x, ("argmax",), (0, 1))
    with pytest.raises(np.exceptions.AxisError, match=r"ufuse.reduce"):
        uf.reduce(x, ("sum",), 2)
    with pytest.raises(ValueError, match=r"zero-size"):
        uf.reduce(np.empty((0, 3)), ("min",), 0)
    assert uf.reduce(np.empty((0, 3)), ("sum", "any"), 0).sum.tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i1", "u2", "i8", "?", "c8"])
def test_masked(dtype: str) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((30, 40)) * 9).astype(dtype)
    if x.dtype.kind == "f":
        x[3, 4] = x[5] = np.nan
    mask = rng.random(x.shape) < 0.6
    mask[:, 0] = mask[0] = True
    names = ("sum", "mean", "var", "std", "any", "all", "count_nonzero", "norm", "nan_count")
    names += () if dtype == "c8" else ("min", "max")
    for axis in (None, 0, 1):
        found = uf.reduce(x, names, axis, where=mask, keepdims=axis == 0)
        for name, got in zip(names, found, strict=True):
            keywords = {"axis": axis, "keepdims": axis == 0}
            if name == "nan_count":
                expected = (np.isnan(x) & mask).sum(**keywords)
            elif name == "norm":
                expected = uf.norm(np.where(mask, x, x.dtype.type(0)), **keywords)
            elif name == "count_nonzero":
                expected = np.count_nonzero(np.where(mask, x, x.dtype.type(0)), **keywords)
            else:
                if name in ("min", "max") and dtype != "?":
                    top = np.finfo(x.dtype) if x.dtype.kind == "f" else np.iinfo(x.dtype)
                    keywords["initial"] = top.max if name == "min" else top.min
                elif name in ("min", "max"):
                    keywords["initial"] = name == "min"
                expected = getattr(uf, name)(x, where=mask, **keywords)
            assert np.asarray(got).dtype == np.asarray(expected).dtype, name
            exact = NATIVE or name != "norm"
            np.testing.assert_allclose(got, expected, rtol=0 if exact else 1e-6, err_msg=name)


def test_a_mask_that_is_one_true_is_no_mask() -> None:
    x = np.array([1.0, 3.0, 2.0])
    for true in (True, np.True_, np.array(True)):
        assert uf.reduce(x, ("argmax", "sum"), where=true) == (1, 6.0)


def test_masked_errors() -> None:
    x, mask = np.ones((3, 4)), np.zeros((3, 4), np.bool_)
    with pytest.raises(ValueError, match=r"'where'.*'argmin'"):
        uf.reduce(x, ("argmin",), 0, where=mask)
    with pytest.raises(ValueError, match="of no elements"):
        uf.reduce(x, ("sum", "max"), 0, where=mask)
    with pytest.warns(RuntimeWarning, match="Mean or variance of an empty"):
        assert np.isnan(uf.reduce(x, "mean", 0, where=mask).mean).all()
