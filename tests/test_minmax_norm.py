"""minmax with initial and where, norm with out and where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf

DTYPES = ["i1", "u4", "i8", "f2", "f4", "f8", "g"]


def sample(dtype: str, shape: tuple[int, ...] = (60, 70)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = (rng.random(shape) * 90).astype(dtype)
    mask = rng.random(shape) < 0.5
    mask[0] = mask[:, 0] = True
    return x, mask


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, None])
def test_minmax_with_initial_and_where(axis: Any, dtype: str) -> None:
    x, mask = sample(dtype)
    for array, where in ((x, mask), (x[::-1, ::2], mask[::-1, ::2]), (x.T, mask[:1].T)):
        for initial in (40, (50, 30)):
            low, high = initial if isinstance(initial, tuple) else (initial, initial)
            found = uf.minmax(array, axis, initial=initial, where=where)
            want = np.min(array, axis, initial=low, where=where)
            np.testing.assert_array_equal(found.min, want)
            np.testing.assert_array_equal(found.max, np.max(array, axis, initial=high, where=where))
            assert found.min.dtype == found.max.dtype == want.dtype
        found = uf.minmax(array, axis, initial=40, keepdims=True)
        np.testing.assert_array_equal(found.min, np.min(array, axis, initial=40, keepdims=True))
        np.testing.assert_array_equal(found.max, np.max(array, axis, initial=40, keepdims=True))


@pytest.mark.parametrize("dtype", DTYPES)
def test_minmax_of_nothing_is_initial(dtype: str) -> None:
    x, mask = sample(dtype)
    mask[:, 5] = False
    low, high = uf.minmax(x, 0, initial=(7, 3), where=mask)
    assert low[5] == 7 and high[5] == 3
    low, high = uf.minmax(x[:0], 0, initial=(7, 3))
    assert (low == 7).all() and (high == 3).all() and low.shape == (70,)
    out = np.zeros(70, dtype), np.zeros(70, dtype)
    found = uf.minmax(x, 0, out, initial=(7, 3), where=mask)
    assert found.min is out[0] and found.max is out[1]
    np.testing.assert_array_equal(out[1], np.max(x, 0, initial=3, where=mask))


def test_minmax_with_out_over_the_input() -> None:
    x, mask = sample("f4")
    want = uf.minmax(x, 0, initial=40, where=mask)
    uf.minmax(x, 0, (x[0], None), initial=40, where=mask)
    np.testing.assert_array_equal(x[0], want.min)


def test_minmax_checks_before_it_writes() -> None:
    x, mask = sample("f4")
    out = np.full(70, -1, np.float32), np.full(70, -1, np.float32)
    with pytest.raises(ValueError, match=r"ufuse.minmax: .*'initial'"):
        uf.minmax(x, 0, out, where=mask)
    with pytest.raises(ValueError, match=r"ufuse.minmax: .*'initial'"):
        uf.minmax(x, 0, out, where=mask, initial=(1, None))
    with pytest.raises(ValueError, match=r"ufuse.minmax: argument 'where'.*\(60, 70\).*\(3,\)"):
        uf.minmax(x, 0, out, where=mask[0, :3], initial=0)
    with pytest.raises(TypeError, match=r"ufuse.minmax: argument 'where': expected.*bool"):
        uf.minmax(x, 0, out, where=x, initial=0)
    with pytest.raises(ValueError, match=r"ufuse.minmax: argument 'initial': expected a scalar"):
        uf.minmax(x, 0, out, initial=[1, 2])
    with pytest.raises(TypeError, match=r"'initial': expected a number"):
        uf.minmax(x, 0, out, initial="1")
    with pytest.raises(TypeError, match=r"'out': cannot cast.*expected an array of float32"):
        uf.minmax(x, 0, (out[0], np.zeros(70, np.int8)), initial=0)
    with pytest.raises(ValueError, match=r"'out': expected two arrays apart.*pass a copy"):
        uf.minmax(x, 0, (out[0], out[0]), initial=0)
    assert (out[0] == -1).all() and (out[1] == -1).all()


ORDERS = [None, 0, 1, 2, 3, 0.5, -1, np.inf, -np.inf]


@pytest.mark.parametrize("dtype", [*DTYPES, "?", "c8", "c16", ">f4", ">c8"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("axis", [0, 1, (0, 1), None])
def test_norm_with_out_and_where(axis: Any, order: Any, dtype: str) -> None:
    x, mask = sample(dtype)
    x[3] = x[4, 5] = 0
    if x.dtype.kind == "c":
        x = (x * (0.6 - 0.8j)).astype(dtype)
    real = np.abs(x.astype(np.result_type(x.dtype, np.float64)))
    p = 2 if order is None else order
    for where in (True, mask, mask[:1]):
        with np.errstate(all="ignore"):
            if np.isinf(p):
                fold, start = (np.max, -np.inf) if p > 0 else (np.min, np.inf)
                want = fold(real, axis, where=where, initial=start)
            elif p == 0:
                want = np.sum(real != 0, axis, where=where)
            else:
                want = np.sum(real**p, axis, where=where) ** (1 / p)
            want = np.asarray(want).astype(uf.norm(x).dtype)
        got = uf.norm(x, order, axis, where=where)
        rtol = 2e-3 if dtype == "f2" else 1e-5 if x.dtype.itemsize <= 8 else 1e-12
        np.testing.assert_allclose(got, want, rtol=rtol)
        for out in (np.zeros(np.shape(want)), np.zeros(np.shape(want), ">f8", order="F")):
            if dtype != "g":
                assert uf.norm(x, order, axis, out=out, where=where) is out
                np.testing.assert_array_equal(out, got)


@pytest.mark.parametrize("dtype", ["f4", "c8", "i2"])
def test_norm_the_same_bits_for_every_layout(dtype: str) -> None:
    x = (np.random.default_rng(0).standard_normal((700, 300)) * 9).astype(dtype)
    for order in (2, 3):
        for axis in (0, 1, None):
            want = uf.norm(x, order, axis)
            np.testing.assert_array_equal(uf.norm(x[::-1].copy()[::-1], order, axis), want)
            np.testing.assert_allclose(uf.norm(np.asfortranarray(x), order, axis), want, rtol=1e-6)


def test_norm_of_no_elements() -> None:
    x, mask = sample("f4")
    mask[:, 5] = False
    assert uf.norm(x, axis=0, where=mask)[5] == 0 == uf.norm(x, 1, 0, where=mask)[5]
    assert uf.norm(x[:0], 3, 0).tolist() == [0] * 70
    np.testing.assert_allclose([uf.norm(np.float64(-3), 3), uf.norm(3j), uf.norm(3j, 3)], 3)


def test_norm_checks_before_it_writes() -> None:
    x, mask = sample("f4")
    mask[:, 5] = False
    out = np.full(70, -1, np.float32)
    for order in (np.inf, -np.inf):
        with pytest.raises(ValueError, match=r"ufuse.norm: .*no elements.*'where' must leave one"):
            uf.norm(x, order, 0, out=out, where=mask)
    with pytest.raises(ValueError, match=r"ufuse.norm: argument 'where'.*\(60, 70\).*\(3,\)"):
        uf.norm(x, axis=0, out=out, where=mask[0, :3])
    with pytest.raises(TypeError, match=r"ufuse.norm: argument 'where': expected.*bool"):
        uf.norm(x, axis=0, out=out, where=x)
    with pytest.raises(ValueError, match=r"ufuse.norm: argument 'out'.*\(70,\).*\(60,\)"):
        uf.norm(x, axis=0, out=np.zeros(60))
    with pytest.raises(TypeError, match=r"ufuse.norm: argument 'out': cannot cast"):
        uf.norm(x, axis=0, out=np.zeros(70, np.int64))
    with pytest.raises(ValueError, match=r"argument 'ord'"):
        uf.norm(x, "fro", 0, out=out)
    assert (out == -1).all()


def test_norm_with_out_over_the_input() -> None:
    for order in (2, 3):
        x, mask = sample("f8")
        want = uf.norm(x, order, 0, where=mask)
        uf.norm(x, order, 0, out=x[0], where=mask)
        np.testing.assert_array_equal(x[0], want)
