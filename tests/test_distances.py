"""cdist against the definitions of its metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from contraction_cases import Array, small, spread
from ufuse.contract.distances import METRICS


def defined(a: Array, b: Array, metric: str) -> Array:
    """Every pair of rows in memory, in float64."""
    x, y = a.astype(np.float64)[..., :, None, :], b.astype(np.float64)[..., None, :, :]
    with np.errstate(all="ignore"):
        match metric:
            case "sqeuclidean":
                return np.square(x - y).sum(-1)
            case "euclidean":
                return np.sqrt(np.square(x - y).sum(-1))
            case "cityblock":
                return np.abs(x - y).sum(-1)
            case "chebyshev":
                return np.abs(x - y).max(-1, initial=0)
            case "hamming":
                return (x != y).sum(-1) / np.float64(x.shape[-1])
            case _:
                lengths = np.sqrt(np.square(x).sum(-1)), np.sqrt(np.square(y).sum(-1))
                return 1 - (x * y).sum(-1) / lengths[0] / lengths[1]


each_metric = pytest.mark.parametrize("metric", METRICS)


@each_metric
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_metrics(metric: str, name: str, any_tier: str) -> None:
    rng = np.random.default_rng(1)
    tolerance = 1e-5 if name == "float32" else 1e-13
    for m, n, k in ((1, 1, 1), (5, 7, 3), (33, 29, 40), (130, 61, 17), (9, 4, 1100)):
        a, b = rng.normal(size=(m, k)).astype(name), rng.normal(size=(n, k)).astype(name)
        b[0] = a[0]
        want = defined(a, b, metric)
        for x, y in ((a, b), (spread(a), np.asfortranarray(b))):
            got = uf.cdist(x, y, metric)
            assert got.dtype == name and got.shape == (m, n)
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
        out = spread(np.zeros((m, n), name))
        assert uf.cdist(a, b, metric, out=out) is out
        np.testing.assert_array_equal(out, uf.cdist(a, b, metric))


@each_metric
def test_whole_numbers_are_exact(metric: str) -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(-9, 9, (20, 64)), rng.integers(-9, 9, (30, 64))
    a[:, 0] = b[:, 0] = 10
    want = defined(a, b, metric)
    for name in ("int64", "int8", "float64"):
        got = uf.cdist(a.astype(name), b.astype(name), metric)
        assert got.dtype == np.float64
        if metric == "cosine":
            np.testing.assert_allclose(got, want, rtol=1e-14, atol=1e-14)
        else:
            np.testing.assert_array_equal(got, want)


def test_near_rows_have_exact_distances() -> None:
    """Of 10000 and 10000 + 2**-9 squares of lengths would cancel."""
    a = np.full((2, 50), 10000, np.float32)
    b = a + np.float32(2.0**-9)
    np.testing.assert_array_equal(uf.cdist(a, b, "sqeuclidean"), np.full((2, 2), 50 * 2.0**-18))
    np.testing.assert_array_equal(uf.cdist(a, a), np.zeros((2, 2)))
    np.testing.assert_array_equal(uf.cdist(a, b, "chebyshev"), np.full((2, 2), 2.0**-9))


@each_metric
def test_nan_and_infinity(metric: str) -> None:
    """A NaN is in the distances of its row and in no other; of equal infinities, too."""
    rng = np.random.default_rng(3)
    for value in (np.nan, np.inf, -np.inf):
        a, b = rng.normal(size=(5, 12)), rng.normal(size=(6, 12))
        a[1, 4] = value
        b[2, 4] = value
        b[3, 5] = -value
        np.testing.assert_allclose(
            uf.cdist(a, b, metric), defined(a, b, metric), rtol=1e-13, atol=1e-13
        )


def test_rows_of_zeros_have_no_cosine() -> None:
    a = np.array([[0.0, 0], [3, 4]])
    got = uf.cdist(a, a, "cosine")
    np.testing.assert_array_equal(np.isnan(got), [[True, True], [True, False]])
    assert abs(got[1, 1]) < 1e-15


@each_metric
def test_batches(metric: str) -> None:
    rng = np.random.default_rng(4)
    for left, right in (((3, 5, 4), (3, 6, 4)), ((2, 1, 5, 4), (3, 6, 4)), ((5, 4), (2, 6, 4))):
        a, b = rng.normal(size=left), rng.normal(size=right)
        got = uf.cdist(a, b, metric)
        np.testing.assert_allclose(got, defined(a, b, metric), rtol=1e-12, atol=1e-12)


@each_metric
def test_no_rows_and_no_numbers(metric: str) -> None:
    assert uf.cdist(np.ones((0, 3)), np.ones((4, 3)), metric).shape == (0, 4)
    assert uf.cdist(np.ones((4, 3)), np.ones((0, 3)), metric).shape == (4, 0)
    got = uf.cdist(np.ones((2, 0)), np.ones((3, 0)), metric)
    np.testing.assert_array_equal(got, defined(np.ones((2, 0)), np.ones((3, 0)), metric))


def test_dtypes_and_lists() -> None:
    assert uf.cdist([[0, 0]], [[3, 4]]).dtype == np.float64
    for left, right in (("float32", "float64"), ("float16", "float16"), ("bool", "int8")):
        a, b = (small(np.random.default_rng(5), (3, 4), x) for x in (left, right))
        got = uf.cdist(a, b, "sqeuclidean")
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got, defined(a, b, "sqeuclidean"))
    out = np.zeros((1, 1), np.float32)
    uf.cdist(np.ones((1, 2)), np.zeros((1, 2)), "sqeuclidean", out=out)
    assert out == 2


ERRORS: list[tuple[Any, Any, Any, type[Exception], str]] = [
    (np.ones((2, 3)), np.ones((2, 3)), "euclid", ValueError, "'metric'.*chebyshev.*'euclid'"),
    (np.ones((2, 3)), np.ones((2, 3)), 2, ValueError, "'metric'.*got 2"),
    (np.ones(3), np.ones((2, 3)), "euclidean", ValueError, r"'a': expected rows.*\(3,\)"),
    (np.ones((2, 3)), np.ones(()), "euclidean", ValueError, r"'b': expected rows"),
    (np.ones((2, 3)), np.ones((2, 4)), "euclidean", ValueError, r"'b'.*rows of 3.*\(2, 4\)"),
    (np.ones((2, 3)) * 1j, np.ones((2, 3)), "euclidean", TypeError, "real numbers.*complex128"),
    (np.ones((3, 2, 3)), np.ones((2, 2, 3)), "euclidean", ValueError, "cdist: leading axes"),
]


@pytest.mark.parametrize(("a", "b", "metric", "kind", "message"), ERRORS)
def test_errors(a: Any, b: Any, metric: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        uf.cdist(a, b, metric)


def test_bad_out() -> None:
    out = np.full((2, 3), 7.0)
    with pytest.raises(ValueError, match="'out'"):
        uf.cdist(np.ones((2, 4)), np.ones((2, 4)), out=out)
    assert (out == 7).all()


def test_out_overlaps_the_operands() -> None:
    rng = np.random.default_rng(6)
    x = rng.integers(-5, 5, (12, 12)).astype(np.float64)
    want = defined(x, x, "cityblock")
    uf.cdist(x, x, "cityblock", out=x)
    np.testing.assert_array_equal(x, want)
