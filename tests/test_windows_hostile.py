"""Moving windows over numbers that spoil running sums, and over extremes, ties and infinities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import ufuse as uf
from ufuse.window.windows import OPS
from windows_defined import close, defined, sample

FLOATS = [np.float32, np.float64]

# What running sums get wrong: names say which thread of bottleneck reports it.


@pytest.mark.parametrize("window", [3, 50, 170])
def test_bottleneck_small_numbers_after_a_large_one_keep_their_digits(window: int) -> None:
    """A running sum that 1e16 went through has lost every digit below 1."""
    x = np.random.default_rng(7).random(1000) + 1
    hostile = x.copy()
    hostile[300] = 1e16
    for op in ("sum", "mean", "var", "std"):
        got, want = uf.move_reduce(hostile, window, op), uf.move_reduce(x, window, op)
        untouched = np.r_[0:300, 300 + window : 1000]
        np.testing.assert_allclose(got[untouched], want[untouched], rtol=1e-14)
        close(want, defined(x, window, op), np.float64)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("window", [2, 50, 170])
def test_bottleneck_move_var_is_not_negative(window: int, dtype: Any) -> None:
    """Nor is a deviation NaN, or of equal numbers anything but zero."""
    for offset in (1e8, 1e15):
        x = np.full(2000, offset, dtype)
        x[:700] += np.random.default_rng(8).random(700).astype(dtype) * 8
        for op in ("var", "std"):
            got = uf.move_reduce(x, window, op)[window - 1 :]
            assert (got >= 0).all()
            assert (got[700:] == 0).all()
    x = np.random.default_rng(8).random(2000) + 1e6
    got, want = uf.move_reduce(x, window, "std"), defined(x - 1e6, window, "std")
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)  # some units in the last place of x


def test_bottleneck_move_mean_does_not_drift() -> None:
    """A million steps later the error is still that of one window."""
    x = np.random.default_rng(9).standard_normal(1_000_000).astype(np.float32) + 1000
    got = uf.move_reduce(x, 100, "mean")
    want = sliding_window_view(x, 100)[::997].mean(axis=1, dtype=np.float64)
    np.testing.assert_allclose(got[99::997], want, rtol=6.1e-8)  # half a unit in the last place
    ones = uf.move_reduce(np.full(1000, 0.1), 49, "mean")[48:]
    assert (ones == ones[0]).all()


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("window", [4, 50, 170, 200])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_bottleneck_windows_after_an_infinity_or_nan_recover(
    value: float, window: int, op: str
) -> None:
    x = sample(900, seed=10)
    hostile = x.copy()
    hostile[400] = value
    got, want = uf.move_reduce(hostile, window, op), uf.move_reduce(x, window, op)
    untouched = np.r_[0:400, 400 + window : 900]
    np.testing.assert_array_equal(got[untouched], want[untouched])
    inside = got[400 : 400 + window]
    if np.isnan(value):
        assert np.isnan(inside).all()  # `min_count` is the window
    elif op in ("sum", "mean"):
        assert (inside == value).all()
    elif op in ("var", "std"):
        assert np.isnan(inside).all()
    elif op in ("min", "max") and (op == "max") == (value > 0):
        assert (inside == value).all()
    elif op in ("argmin", "argmax") and (op == "argmax") == (value > 0):
        np.testing.assert_array_equal(inside, np.arange(window))
    else:
        assert np.isfinite(inside[1:]).all()


def test_infinities_alone() -> None:
    """They are elements, also where nothing else is."""
    x = np.array([np.inf, np.inf, -np.inf, np.nan, -np.inf])
    inf, nan = np.inf, np.nan
    for op, want in {
        "sum": [inf, inf, nan, -inf, -inf],
        "min": [inf, inf, -inf, -inf, -inf],
        "argmin": [0, 0, 0, 1, 0],
        "argmax": [0, 0, 1, 1, 0],
        "median": [inf, inf, nan, -inf, -inf],
        "rank": [0, 0, -1, nan, 0],
    }.items():
        np.testing.assert_array_equal(uf.move_reduce(x, 2, op, 1), want, err_msg=op)


def test_medians_do_not_overflow() -> None:
    most = np.finfo(np.float64).max
    for window in (2, 250):
        x = np.full(window, most)
        assert uf.move_reduce(x, window, "median")[-1] == most


def test_equal_elements_and_zeros() -> None:
    """The last of equal ones is found; which zero an extreme is follows from that."""
    x = np.array([1.0, 0.0, -0.0, 0.0, 2.0, -0.0])
    np.testing.assert_array_equal(uf.move_reduce(x, 3, "argmin", 1), [0, 0, 0, 0, 1, 0])
    got = uf.move_reduce(x, 3, "min", 1)
    np.testing.assert_array_equal(np.signbit(got), [False, False, True, False, False, True])
