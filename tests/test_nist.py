"""NIST's certified univariate sets, and the threads about sums of float32 that stick or drift.

NumAcc1 to NumAcc4 of NIST's Statistical Reference Datasets are defined by a rule, so they are made
here. Their certified values are exact.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import ufuse as uf


def accurate(middle: float, low: float, high: float, pairs: int) -> np.ndarray:
    """NIST's pattern: the mean, then `pairs` of a value below and one above it."""
    return np.array([middle] + [low, high] * pairs)


#: Values, and their certified mean, standard deviation and lag-1 autocorrelation.
NUM_ACC = {
    "NumAcc1": (np.array([10000001.0, 10000003.0, 10000002.0]), 10000002.0, 1.0, -0.5),
    "NumAcc2": (accurate(1.2, 1.1, 1.3, 500), 1.2, 0.1, -0.999),
    "NumAcc3": (accurate(1000000.2, 1000000.1, 1000000.3, 500), 1000000.2, 0.1, -0.999),
    "NumAcc4": (accurate(10000000.2, 10000000.1, 10000000.3, 500), 10000000.2, 0.1, -0.999),
}


def digits(found: float, certified: float) -> float:
    """NIST's measure: the logarithm of the relative error."""
    error = abs(found - certified) / abs(certified)
    return 15.0 if error == 0 else min(15.0, -math.log10(error))


def autocorrelation(x: np.ndarray) -> float:
    """Of lag 1. A mean of 1e7 has an ulp of 2e-9, so that deviations are taken from near zero."""
    shifted = x - x[0]
    deviation = shifted - uf.mean(shifted)
    return float(uf.sum(deviation[1:] * deviation[:-1]) / uf.sum(deviation * deviation))


def exact_statistics(x: np.ndarray) -> tuple[float, float, float]:
    """Of the float64 values as they are, in rational numbers."""
    from fractions import Fraction

    values = [Fraction(v) for v in x.tolist()]
    mean = sum(values) / len(values)
    deviation = [v - mean for v in values]
    squares = sum(d * d for d in deviation)
    products = sum(a * b for a, b in itertools.pairwise(deviation))
    return float(mean), math.sqrt(squares / (len(values) - 1)), float(products / squares)


@pytest.mark.parametrize("name", NUM_ACC)
@pytest.mark.parametrize("accuracy", [None, "reproducible", "compensated"])
def test_means(name: str, accuracy: Any) -> None:
    x, mean, _, _ = NUM_ACC[name]
    assert digits(float(uf.mean(x, accuracy=accuracy)), mean) >= 14
    for view in (np.stack([x] * 40, axis=1), np.stack([x] * 40)):
        found = uf.mean(view, axis=int(view.shape[0] == 40), accuracy=accuracy)
        assert min(digits(float(one), mean) for one in found) >= 14


@pytest.mark.parametrize("name", NUM_ACC)
def test_deviations_and_autocorrelations(name: str) -> None:
    """13 digits of what the float64 values have, and of the certified value as far as they go.

    0.1 beside 1e7 is off by 2e-10 of itself once it is float64: the certified deviation of NumAcc4
    has 9 digits in any float64 method, and that of NumAcc3 10.
    """
    x, _, deviation, correlation = NUM_ACC[name]
    _, exact_deviation, exact_correlation = exact_statistics(x)
    found = float(uf.std(x, ddof=1))
    assert digits(found, exact_deviation) >= 13
    assert digits(autocorrelation(x), exact_correlation) >= 13
    least = {"NumAcc1": 15, "NumAcc2": 14, "NumAcc3": 9, "NumAcc4": 8}[name]
    assert digits(found, deviation) >= least
    assert digits(autocorrelation(x), correlation) >= min(least, 13)
    for view in (np.stack([x] * 40, axis=1), np.stack([x] * 40)):
        across = uf.std(view, axis=int(view.shape[0] == 40), ddof=1)
        assert min(digits(float(one), exact_deviation) for one in across) >= 13


def error(found: Any, exact: np.ndarray) -> float:
    return float(np.max(np.abs(np.asarray(found, np.float64) - exact)))


def exact_sums(x: np.ndarray, axis: int) -> np.ndarray:
    lines = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis]).astype(np.float64)
    shape = tuple(n for i, n in enumerate(x.shape) if i != axis)
    return np.array([math.fsum(line) for line in lines.tolist()]).reshape(shape)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("accuracy", [None, "reproducible", "compensated"])
def test_float32_sums_are_no_further_off_than_numpys(accuracy: Any, order: Any, axis: int) -> None:
    rng = np.random.default_rng(0)
    for values in (rng.random((30, 700, 20)), rng.standard_normal((30, 700, 20))):
        x = np.asarray(values, np.float32, order=order)
        exact = exact_sums(x, axis)
        ours = error(uf.sum(x, axis, accuracy=accuracy), exact)
        pairwise = np.add.reduce(np.ascontiguousarray(np.moveaxis(x, axis, -1)), axis=-1)
        assert ours <= min(error(np.sum(x, axis), exact), error(pairwise, exact))
        # Half a unit in the last place of the largest: what rounding the result costs.
        assert ours <= np.spacing(np.float32(np.abs(exact).max())) / 2


def test_numpy_29772_mean_of_2_25_float32_ones_is_1() -> None:
    assert uf.mean(np.ones(2**25, np.float32)) == 1.0
    assert uf.mean(np.broadcast_to(np.float32(1), (2**25,))) == 1.0


@pytest.mark.parametrize("function", [uf.sum, uf.nansum, uf.cumsum])
def test_numpy_22956_float32_sums_over_axis_0_do_not_stick_at_2_24(function: Any) -> None:
    x = np.ones((2**24 + 100, 2), np.float32)
    found = function(x, 0)
    np.testing.assert_array_equal(found[-1] if function is uf.cumsum else found[0], 2**24 + 100)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axis", [0, 1])
def test_numpy_20458_means_of_float32_do_not_depend_on_the_layout(axis: int, order: Any) -> None:
    x = np.random.default_rng(0).random((4000, 300), np.float32) + np.float32(1000)
    found = uf.mean(np.asarray(x, order=order), axis)
    np.testing.assert_array_equal(found, np.mean(x, axis, dtype=np.float64).astype(np.float32))


def test_bottleneck_193_means_of_float32_over_any_axis_are_those_of_float64() -> None:
    x = np.full((3, 400_000), 300.1, np.float32)
    for view, axis in ((x, 1), (np.ascontiguousarray(x.T), 0)):
        for function in (uf.mean, uf.nanmean):
            np.testing.assert_array_equal(function(view, axis), np.float32(300.1))


def test_bottleneck_379_and_124_nan_sums_of_float32_do_not_drift() -> None:
    x = np.full((1_000_003, 1), 0.1, np.float32)
    x[::1000] = np.nan
    exact = math.fsum(x[~np.isnan(x)].tolist())
    assert uf.nansum(x) == uf.nansum(x, 0)[0] == np.float32(exact)
    assert uf.nanmean(x, 0)[0] == np.float32(0.1)
    assert float(uf.nanvar(x)) < 1e-14


def test_xarray_1346_mean_of_float32_that_bottleneck_gets_wrong() -> None:
    """Temperatures around 277 K, of which bottleneck made 288."""
    x = (277 + np.random.default_rng(0).standard_normal(1_500_000) * 10).astype(np.float32)
    assert uf.mean(x) == uf.nanmean(x) == np.float32(np.mean(x, dtype=np.float64))
