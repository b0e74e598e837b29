"""logsumexp, softmax and log_softmax."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from ufuse.reduce import exponential

AXES = [0, 1, 2, -1, (0, 2), (1, 2), (0, 1), None]


def sample(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * 6).astype(dtype)


def reference(x: np.ndarray, axis: Any) -> tuple[np.ndarray, ...]:
    """softmax, log_softmax, logsumexp in long double; log(1 + 1e-8) alone would eat its digits."""
    wide = x.astype(np.longdouble)
    largest = wide.max(axis=axis, keepdims=True)
    powers = np.exp(wide - largest)
    total = powers.sum(axis=axis, keepdims=True)
    count = (wide == largest).sum(axis=axis, keepdims=True)
    others = np.where(wide == largest, 0, powers).sum(axis=axis, keepdims=True)
    log = np.log(count.astype(np.longdouble)) + np.log1p(others / count)
    return powers / total, (wide - largest) - log, np.squeeze(largest + log, axis)


def layouts(x: np.ndarray) -> dict[str, np.ndarray]:
    padded = np.zeros((2 * x.shape[0], x.shape[1], 3 * x.shape[2]), x.dtype)
    padded[::2, :, ::3] = x
    unaligned = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    return {
        "C": x,
        "F": np.asfortranarray(x),
        "strided": padded[::2, :, ::3],
        "reversed": np.ascontiguousarray(x[::-1, :, ::-1])[::-1, :, ::-1],
        "unaligned": unaligned,
        "swapped": x.astype(x.dtype.newbyteorder()),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("shape", [(5, 7, 9), (1, 1, 1), (40, 3, 130), (3, 300, 2)])
def test_against_long_double(shape: tuple[int, ...], axis: Any, dtype: Any) -> None:
    x = sample(shape, dtype)
    want = reference(x, axis)
    eps = np.finfo(dtype).eps
    got = uf.softmax(x, axis), uf.log_softmax(x, axis), uf.logsumexp(x, axis)
    for mine, right, bound in zip(got, want, (8, 8, 4), strict=True):
        assert mine.dtype == dtype
        scale = np.maximum(np.abs(right), np.abs(x).max() * (bound != 8))
        error = np.abs(mine - right) / np.maximum(scale, np.finfo(dtype).tiny)
        # the subtraction of the maximum rounds, which the exponential magnifies
        assert error.max() <= bound * eps * max(1, np.abs(x).max() * 2)


@pytest.mark.parametrize("function", [uf.softmax, uf.log_softmax, uf.logsumexp])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("axis", AXES)
def test_the_same_bits_for_every_layout(axis: Any, dtype: Any, function: Any) -> None:
    x = sample((33, 20, 70), dtype, 1)
    want = function(x, axis)
    for name, array in layouts(x).items():
        got = function(array, axis)
        if NATIVE:
            np.testing.assert_array_equal(got, want, err_msg=name, strict=True)
        else:
            np.testing.assert_allclose(got, want, rtol=1e-12 if dtype is np.float64 else 1e-5)


@pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")
@pytest.mark.parametrize("shape", [(700, 900), (3, 150_000), (20_000, 3)])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_the_same_bits_for_every_thread_count(shape: tuple[int, int], axis: Any) -> None:
    x = sample(shape, np.float32, 2)
    with uf.threads(1):
        want = [f(x, axis) for f in (uf.softmax, uf.log_softmax, uf.logsumexp)]
    for threads in (2, 3):
        with uf.threads(threads):
            got = [f(x, axis) for f in (uf.softmax, uf.log_softmax, uf.logsumexp)]
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


def test_long_weighted_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are summed in pieces."""
    x, b = sample((4, 5000), np.float32, 3), sample((4, 5000), np.float32, 4)
    whole = uf.logsumexp(x, 1, b=b, return_sign=True)
    monkeypatch.setattr(exponential, "_PIECE", 700)
    pieces = uf.logsumexp(x, 1, b=b, return_sign=True)
    np.testing.assert_allclose(pieces.logsumexp, whole.logsumexp, rtol=1e-6)
    np.testing.assert_array_equal(pieces.sign, whole.sign)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["rising", "falling", "equal", "huge", "steps"])
def test_whatever_the_order_of_the_terms(order: str, dtype: Any) -> None:
    """Each rising element is a new largest one, to which the sum so far is rescaled."""
    n = 3000
    x = {
        "rising": np.linspace(-80, 80, n),
        "falling": np.linspace(80, -80, n),
        "equal": np.full(n, 7.25),
        "huge": np.repeat([3e38, -3e38, 3e38], n // 3),
        "steps": np.repeat(np.arange(n // 10.0) * 3, 10),
    }[order].astype(dtype)
    wide = x.astype(np.longdouble)
    want = np.log(np.exp(wide - wide.max()).sum()) + wide.max()
    for array in (x, np.repeat(x[:, None], 3, 1), np.repeat(x[None], 3, 0).T):
        got = uf.logsumexp(array, 0)
        np.testing.assert_allclose(got, dtype(want), rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_special_values_anywhere(special: float, dtype: Any) -> None:
    x = sample((300, 40), dtype, 8)
    x[np.arange(0, 280, 7), np.arange(40)] = special
    x[:, 0] = -np.inf
    x[100, 0] = special
    want = {"nan": np.nan, "inf": np.inf}.get(str(special))
    for array, axis in ((x, 0), (np.asfortranarray(x), 0), (x.T, 1), (x.T.copy(), 1)):
        got = uf.logsumexp(array, axis)
        if want is not None:
            np.testing.assert_array_equal(got, np.full(40, want, dtype))
        else:
            assert got[0] == -np.inf and np.isfinite(got[1:]).all()
            np.testing.assert_allclose(
                got[1:], uf.logsumexp(x[:, 1:], 0), rtol=0 if NATIVE else 1e-6
            )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_of_logsumexp(dtype: Any) -> None:
    x = sample((200, 45), dtype, 9)
    mask = np.random.default_rng(10).random(x.shape) < 0.6
    mask[:, 3] = False
    without = np.where(mask, x, dtype(-np.inf))
    for array, counts in ((x, mask), (x.T.copy().T, mask.T.copy().T), (x[::-1], mask[::-1])):
        got = uf.logsumexp(array, 0, where=counts)
        np.testing.assert_allclose(got, uf.logsumexp(without, 0), rtol=3 * np.finfo(dtype).eps)
        assert got[3] == -np.inf
    b = sample(x.shape, dtype, 11)
    signed = uf.logsumexp(x, 0, b=b, where=mask, return_sign=True)
    want = uf.logsumexp(x, 0, b=np.where(mask, b, 0), return_sign=True)
    np.testing.assert_array_equal(signed.logsumexp, want.logsumexp)
    np.testing.assert_array_equal(signed.sign, want.sign)
    with pytest.raises(ValueError, match="'where'"):
        uf.logsumexp(x, where=np.ones(3, bool))


def test_signs_without_weights() -> None:
    x = np.array([[0.0, 1.0], [-np.inf, -np.inf], [np.nan, 0.0]])
    np.testing.assert_array_equal(uf.logsumexp(x, 1, return_sign=True).sign, [1, 0, np.nan])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_terms_beside_the_largest(dtype: Any) -> None:
    """scipy#19521: the logarithm of 1 + 1e-22 is not 0."""
    x = np.array([0, -50, -60], dtype)
    tail = np.exp(dtype(-50)) + np.exp(dtype(-60))
    assert uf.logsumexp(x) == pytest.approx(float(tail), rel=1e-6)
    np.testing.assert_allclose(
        uf.log_softmax(x), [-tail, -50, -60], rtol=1e-6 if dtype is np.float32 else 1e-12
    )
    assert uf.logsumexp(np.zeros(7, dtype)) == dtype(np.log(7))  # ties


def test_infinities_and_nan() -> None:
    inf, nan = np.inf, np.nan
    x = np.array([[-inf, -inf], [inf, 0.0], [nan, 1.0], [-inf, 2.0]], np.float32)
    np.testing.assert_array_equal(uf.logsumexp(x, 1), np.float32([-inf, inf, nan, 2.0]))
    soft = uf.softmax(x, 1)
    assert np.isnan(soft[:3]).any(axis=1).all()
    np.testing.assert_array_equal(soft[3], [0, 1])
    np.testing.assert_array_equal(uf.log_softmax(x, 1)[3], [-inf, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights(dtype: Any) -> None:
    x = sample((6, 50), dtype, 5)
    b = sample((6, 50), dtype, 6)
    b[0, :10] = 0
    x[0, :10] = np.inf  # does not count
    wide = np.where(b == 0, 0, x).astype(np.longdouble)
    total = (np.where(b == 0, 0, b * np.exp(wide))).sum(axis=1)
    got = uf.logsumexp(x, 1, b=b, return_sign=True)
    np.testing.assert_array_equal(got.sign, np.sign(total))
    rtol = 1e-4 if dtype is np.float32 else 1e-12
    np.testing.assert_allclose(got.logsumexp, np.log(np.abs(total)).astype(dtype), rtol=rtol)
    plain = uf.logsumexp(x, 1, b=b)
    np.testing.assert_array_equal(np.isnan(plain), total < 0)
    assert uf.logsumexp(np.zeros(3), b=np.zeros(3)) == -np.inf
    np.testing.assert_allclose(uf.logsumexp(np.zeros((2, 3)), 1, b=[1, 2, 3]), np.log([6, 6]))


def test_dtypes() -> None:
    assert uf.softmax([1, 2, 3]).dtype == np.float64
    np.testing.assert_allclose(uf.softmax(np.int8([1, 2, 3])), uf.softmax([1.0, 2.0, 3.0]))
    for narrow in (np.float16, ml_dtypes.bfloat16):
        x = sample((4, 10), np.float32).astype(narrow)
        got = uf.softmax(x, 1)
        assert got.dtype == narrow
        np.testing.assert_array_equal(got, uf.softmax(x.astype(np.float32), 1).astype(narrow))
        assert uf.logsumexp(x, 1).dtype == narrow


def test_out() -> None:
    x = sample((6, 5, 7), np.float32, 7)
    for function in (uf.softmax, uf.log_softmax):
        for axis in (0, (0, 2), None):
            want = function(x, axis)
            for out in (
                np.empty_like(x),
                np.empty(x.shape),
                np.empty(x.shape, order="F"),
                x.copy(),
            ):
                assert function(x, axis, out=out) is out
                np.testing.assert_array_equal(out, want)
        inplace = x.copy()
        np.testing.assert_array_equal(function(inplace, 1, out=inplace), function(x, 1))
    out = np.empty((6, 1, 7))
    assert uf.logsumexp(x, 1, keepdims=True, out=out) is out
    np.testing.assert_array_equal(out, uf.logsumexp(x, 1, keepdims=True))


def test_empty() -> None:
    assert uf.softmax(np.empty((0, 3)), 1).shape == (0, 3)
    assert uf.logsumexp(np.empty((0, 3)), 1).shape == (0,)
    for function in (uf.softmax, uf.log_softmax, uf.logsumexp):
        with pytest.raises(ValueError, match=r"nothing to sum over axes \(1,\).*\(3, 0\)"):
            function(np.empty((3, 0)), 1)


@pytest.mark.parametrize("function", [uf.softmax, uf.log_softmax, uf.logsumexp])
def test_bad_arguments(function: Any) -> None:
    x = np.ones((3, 4), np.float32)
    with pytest.raises(np.exceptions.AxisError, match=rf"ufuse.{function.__name__}"):
        function(x, 2)
    with pytest.raises(TypeError, match=r"real numbers.*complex64"):
        function(x + 0j)  # complex64
    with pytest.raises(ValueError, match=r"'out'.*expected shape"):
        function(x, 1, out=np.empty((4, 4), np.float32))
    with pytest.raises(TypeError, match=r"'out'.*cannot cast.*int64"):
        function(x, 1, out=np.empty((3,) if function is uf.logsumexp else (3, 4), np.int64))
    with pytest.raises(ValueError, match=r"'b'.*broadcasts.*\(3, 4\).*\(5,\)"):
        uf.logsumexp(x, b=np.ones(5))
