"""Broadcast axes: the results of a copy, in less time."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE

NAMES = (
    "sum",
    "mean",
    "var",
    "min",
    "max",
    "argmin",
    "any",
    "all",
    "count_nonzero",
    "ptp",
    "nanmax",
)
VIEWS = {
    "first": ((1, 5, 300), (4, 5, 300)),
    "middle": ((6, 1, 40), (6, 7, 40)),
    "last": ((3, 50, 1), (3, 50, 260)),
    "all": ((1, 1, 1), (9, 3, 20)),
    "two": ((1, 33, 1), (4, 33, 18)),
}


@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "?", "f2"])
@pytest.mark.parametrize("view", VIEWS)
def test_as_of_a_copy(view: str, dtype: str) -> None:
    shape, full = VIEWS[view]
    values = np.random.default_rng(0).standard_normal(shape) * 3
    x = np.broadcast_to(values.astype(dtype), full)
    copy = x.copy()
    axes: list[Any] = [None, *itertools.chain(range(3), [(0, 1), (1, 2), (0, 2)])]
    for name, axis in itertools.product(NAMES, axes):
        if name == "argmin" and (isinstance(axis, tuple) or dtype == "?"):
            continue
        if name == "ptp" and dtype == "?":
            continue
        f = getattr(uf, name)
        got, expected = f(x, axis), f(copy, axis)
        assert np.asarray(got).dtype == np.asarray(expected).dtype
        if NATIVE:
            np.testing.assert_array_equal(got, expected)
        else:
            np.testing.assert_allclose(got, expected, rtol=1e-3 if dtype == "f2" else 1e-6)


def test_results_of_any_layout() -> None:
    x = np.broadcast_to(np.arange(12.0).reshape(1, 4, 1, 3), (5, 4, 6, 3))
    out = np.empty((6, 4, 5)).T
    assert uf.max(x, 3, out=out) is out
    np.testing.assert_array_equal(out, x.max(3))
    wide = np.full((10, 8, 6), -1.0)
    uf.sum(x, 3, out=wide[::2, ::2])
    np.testing.assert_array_equal(wide[::2, ::2], x.sum(3))
    assert (wide[1::2] == -1).all() and (wide[:, 1::2] == -1).all()


def test_masked() -> None:
    x = np.broadcast_to(np.arange(6.0).reshape(1, 6), (4, 6))
    mask = np.arange(24).reshape(4, 6) % 3 == 0
    np.testing.assert_array_equal(uf.sum(x, 1, where=mask), np.sum(x, 1, where=mask))
    still = np.broadcast_to(mask[:1], (4, 6))
    np.testing.assert_array_equal(uf.mean(x, 1, where=still), np.mean(x, 1, where=still))
    np.testing.assert_array_equal(
        uf.max(x, 0, where=still, initial=-1), np.max(x, 0, where=still, initial=-1)
    )


def test_empty() -> None:
    x = np.broadcast_to(np.ones((1, 0, 3)), (4, 0, 3))
    assert uf.sum(x, 2).shape == (4, 0)
    np.testing.assert_array_equal(uf.sum(x, 1), np.zeros((4, 3)))
