"""Several reductions in one read: the same as each alone, bit for bit."""

from __future__ import annotations

import warnings
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
    with pytest.raises(
        ValueError, match=r"expected an element to count .* 'max', got none for 4 of 4"
    ):
        uf.reduce(x, ("sum", "max"), 0, where=mask)
    with pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        assert np.isnan(uf.reduce(x, "mean", 0, where=mask).mean).all()


NAN_NAMES = tuple("nansum nanprod nanmean nanvar nanstd nanmin nanmax".split())
NAN_INDICES = ("nanargmin", "nanargmax")


def same_as_alone(x: np.ndarray, names: tuple[str, ...], axis: Any, **given: Any) -> None:
    """Results, warnings and errors are those of each function."""
    want, texts = {}, set()
    for name in names:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            want[name] = getattr(uf, name)(x, axis=axis, **given)
        texts |= {str(one.message).rstrip(".") for one in caught}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = uf.reduce(x, names, axis, **given)
    assert {str(one.message).rstrip(".") for one in caught} == texts
    for name in names:
        np.testing.assert_array_equal(getattr(found, name), want[name], err_msg=name)
        assert np.asarray(getattr(found, name)).dtype == np.asarray(want[name]).dtype, name


@pytest.mark.parametrize("dtype", [*DTYPES, np.longdouble])
@pytest.mark.parametrize("shape", [(4, 5), (60, 70), (3, 2100)])
def test_nan_names_as_each_alone(shape: tuple[int, ...], dtype: Any) -> None:
    x = sample(shape, dtype)
    names = NAN_NAMES + NAN_INDICES + (() if dtype is np.bool_ else ("ptp", "min", "max"))
    for array in (x, np.asfortranarray(x), x[::-1]):
        for axis in (0, 1, None):
            for keepdims in (False, True):
                same_as_alone(array, names, axis, keepdims=keepdims)
                for name in names:
                    same_as_alone(array, (name,), axis, keepdims=keepdims)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "c8"])
@pytest.mark.parametrize("axis", [0, 1])
def test_of_nan_alone(dtype: str, axis: int) -> None:
    x = np.ones((50, 60), dtype)
    x[7] = x[:, 9] = np.nan
    names = NAN_NAMES
    same_as_alone(x, names, axis)
    for name in names:
        same_as_alone(x, (name,), axis)
    if dtype != "c8":
        for name in NAN_INDICES:
            with pytest.raises(ValueError, match="All-NaN slice encountered"):
                uf.reduce(x, ("sum", name), axis)
        x[7] = x[:, 9] = np.inf  # not NaN, though it looks like what is left of them
        same_as_alone(x, ("nanargmin", "nanargmax", "nanmin", "nanmax"), axis)


@pytest.mark.parametrize("dtype", ["?", "i1", "i8", "f2", "f4", "f8", "g"])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_nan_names_masked(dtype: str, axis: Any) -> None:
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((50, 60)) * 9).astype(dtype)
    if x.dtype.kind == "f":
        x[rng.random(x.shape) < 0.1] = np.nan
    mask = rng.random(x.shape) < 0.5
    mask[0] = mask[:, 0] = True
    same_as_alone(x, ("nansum", "nanprod", "nanmean", "nanvar", "nanstd"), axis, where=mask)
    names = ("nanmin", "nanmax") + (() if dtype == "?" else ("ptp",))
    found = uf.reduce(x, names, axis, where=mask)
    kept = mask & (x == x)
    ends = {"b": (False, True), "f": (-np.inf, np.inf)}.get(x.dtype.kind)
    least, most = ends or (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
    np.testing.assert_array_equal(
        found.nanmin, np.minimum.reduce(x, axis, where=kept, initial=most)
    )
    np.testing.assert_array_equal(
        found.nanmax, np.maximum.reduce(x, axis, where=kept, initial=least)
    )
    if dtype != "?":
        low = np.minimum.reduce(x, axis, where=mask, initial=most)
        high = np.maximum.reduce(x, axis, where=mask, initial=least)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(found.ptp, (high - low).astype(x.dtype))


def test_masked_of_nothing_for_nan_names() -> None:
    x, mask = np.ones((50, 60), np.float32), np.ones((50, 60), np.bool_)
    mask[:, 4] = False
    same_as_alone(x, ("nanmean", "nanvar", "nanstd", "mean", "var"), 0, where=mask)
    same_as_alone(x.astype(np.int16), ("nanmean", "nanvar", "mean", "std"), 0, where=mask)
    for name in ("nanmin", "ptp"):
        with pytest.raises(ValueError, match=rf"expected an element.*{name!r}.*none for 1 of 60"):
            uf.reduce(x, name, 0, where=mask)
    with pytest.raises(ValueError, match=r"'where'.*'nanargmax'.*got an array.*put what"):
        uf.reduce(x, "nanargmax", 0, where=mask)


def test_messages_of_range() -> None:
    with pytest.raises(TypeError, match=r"ufuse.ptp: .*expected numbers, got bool.*use"):
        uf.reduce(np.ones((50, 60), np.bool_), "ptp")
    with pytest.raises(ValueError, match=r"ufuse.ptp: .*expected.*got shape \(0, 3\).*axis=\(0,\)"):
        uf.reduce(np.ones((0, 3)), "ptp", 0)
    with pytest.raises(ValueError, match=r"'ops': expected names.*got none"):
        uf.reduce(np.ones(3), ())
    with pytest.raises(ValueError, match=r"expected each name once.*leave"):
        uf.reduce(np.ones(3), ("ptp", "ptp"))


def test_every_name_in_reads_of_few_slots() -> None:
    """More results than one call of an executor has: those of one reducer stay together."""
    names = (*NAMES, "ptp", *NAN_NAMES, *NAN_INDICES)
    x = np.random.default_rng(5).standard_normal((70, 80))
    found = uf.reduce(x, names, 1)
    for name in (*NAMES, "ptp", *NAN_NAMES, *NAN_INDICES):
        np.testing.assert_array_equal(getattr(found, name), alone(x, name, 1, False), err_msg=name)


def test_warnings_point_at_the_call() -> None:
    x = np.full((50, 60), np.nan)
    with pytest.warns(RuntimeWarning, match="All-NaN slice") as caught:
        uf.reduce(x, ("nanmin", "nanmax"), 0)
    assert [one.filename for one in caught] == [__file__]
