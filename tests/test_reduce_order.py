"""Axes in any order of memory: reducers for which the order does not matter follow memory."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import ufuse as uf

SHAPE = (3, 130, 5, 17)
AXES: list[Any] = [None, (0, 1), (0, 2), (1, 3), (0, 1, 3), (1, 2, 3), 2]


def transposed(order: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    """Elements of SHAPE whose axes lie in memory in this order, slowest first."""
    rng = np.random.default_rng(0)
    lying = rng.integers(-100, 100, [SHAPE[i] for i in order]).astype(dtype)
    return lying.transpose(np.argsort(order))


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
@pytest.mark.parametrize("dtype", ["i1", "u2", "i8", "f4", "f8", "f2"])
def test_every_order_of_memory(order: tuple[int, ...], dtype: str) -> None:
    x = transposed(order, dtype)
    mask = transposed(order[::-1], "i1") > 0
    turned = x[::-1, :, ::-1]
    for axis in AXES:
        for view in (x, turned, x[:, ::2]):
            np.testing.assert_array_equal(uf.min(view, axis), np.min(view, axis))
            np.testing.assert_array_equal(uf.any(view, axis), np.any(view, axis))
            np.testing.assert_array_equal(
                uf.count_nonzero(view, axis), np.count_nonzero(view, axis)
            )
        if x.dtype.kind != "f":
            np.testing.assert_array_equal(uf.sum(x, axis), np.sum(x, axis))
            masked = uf.sum(turned, axis, where=mask)
            np.testing.assert_array_equal(masked, np.sum(turned, axis, where=mask))
        least = x.dtype.type(0 if x.dtype.kind == "u" else -128)
        np.testing.assert_array_equal(
            uf.max(x, axis, where=mask, initial=least), np.max(x, axis, where=mask, initial=least)
        )


def test_what_the_order_matters_to() -> None:
    """The first of equal elements, and float sums, are those of the logical order."""
    x = np.zeros((4, 6, 8)).transpose(2, 0, 1)
    x[3, 1, 2] = x[1, 3, 5] = x[2, 0, 0] = 1
    assert uf.argmax(x) == np.argmax(x)
    y = transposed((3, 1, 0, 2), "f8") * 1e-3 + 0.1
    assert uf.sum(y).tobytes() == uf.sum(np.ascontiguousarray(y)).tobytes()


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
def test_nan_have_one_pattern_of_bits(dtype: str) -> None:
    """Merging chunks joined the bits of a NaN with those of a number."""
    x = np.random.default_rng(1).standard_normal((2, 9, 2050)).astype(dtype)
    x[np.random.default_rng(2).random(x.shape) < 0.3] = np.nan
    flipped = np.ascontiguousarray(x[::-1, :, ::-1])[::-1, :, ::-1]
    for function in (uf.min, uf.max, uf.sum, uf.mean, uf.ptp, uf.logsumexp):
        for axis in (None, 0, 2):
            patterns = {np.asarray(function(v, axis)).tobytes() for v in (x, flipped, x.copy("F"))}
            assert len(patterns) == 1, (function.__name__, axis)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_moments_of_infinities(infinity: float, dtype: str) -> None:
    """The mean was NaN, for float16 and where chunks were merged."""
    for n in (3, 5000):
        for at in (0, n - 1, n // 2):
            x = np.ones((2, n), dtype)
            x[0, at] = infinity
            mean = uf.moments(x, 2, axis=1).mean
            np.testing.assert_array_equal(mean.astype(np.float64), [infinity, 1])
        x[0, :2] = np.inf, -np.inf
        assert np.isnan(uf.moments(x, 2, axis=1).mean[0])
