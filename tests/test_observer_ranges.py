"""Ranges against the answer computed on all elements at once."""

from __future__ import annotations

import numpy as np
import pytest

import ufuse as uf
from observer_cases import DATA, NORMAL, OUTLIERS, some_axis, true_error
from ufuse.observers import MSE, Entropy, Percentile
from ufuse.observers.divergence import least_divergence
from ufuse.observers.parameters import read_kind
from ufuse.quant.codes import BY_NAME

rng = np.random.default_rng(22)

# --- Percentile ----------------------------------------------------------------------------------


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("percentile", [99.99, 99.0, 50.0, 100.0])
def test_percentiles_are_near_numpys(data: str, percentile: float) -> None:
    x = DATA[data]
    exact = x.astype(np.float64)
    observer = Percentile(percentile).update(x)
    end = np.percentile(np.abs(exact), percentile)
    # Denormals have bins of one width, 2**-133.
    near = pytest.approx(end, rel=1 / 128, abs=2.0**-133)
    assert float(observer.clip_range("int8").high) == near
    beyond = (100 - percentile) / 2
    low, high = np.percentile(exact, [beyond, 100 - beyond])
    found = observer.clip_range("uint8")
    # A percentile near 0 is between elements, which are off by 1/128 each.
    between = 1e-4 * np.std(exact) + 2.0**-133
    assert float(found.low) == pytest.approx(low, rel=1 / 128, abs=between)
    assert float(found.high) == pytest.approx(high, rel=1 / 128, abs=between)
    if percentile == 100:
        assert (found.low, found.high) == (x.min(), x.max())


def test_percentiles_of_a_smooth_distribution_are_nearer_than_a_bin() -> None:
    x = rng.normal(size=1_000_000).astype(np.float32)
    for percentile in (90.0, 99.0, 99.9):
        end = np.percentile(np.abs(x), percentile)
        assert float(Percentile(percentile).update(x).clip_range().high) == pytest.approx(
            end, rel=1e-3
        )


def test_percentiles_per_axis() -> None:
    x = some_axis(OUTLIERS)
    for dtype in ("int8", "uint8"):
        found = Percentile(99.9, axis=1).update(x).clip_range(dtype)
        ends = [0.05, 99.95] if dtype == "uint8" else [99.9]
        for k in range(4):
            wanted = np.percentile(x[:, k] if dtype == "uint8" else np.abs(x[:, k]), ends)
            assert float(found.high[k]) == pytest.approx(wanted[-1], rel=1 / 32)
            if dtype == "uint8":
                assert float(found.low[k]) == pytest.approx(wanted[0], rel=1 / 32)


def test_an_outlier_does_not_cost_percentiles_their_precision() -> None:
    wanted = float(Percentile(99).update(NORMAL).clip_range().high)
    x = np.append(NORMAL, np.float32([3e38, -1e30, 1e-45]))
    assert float(Percentile(99).update(x).clip_range().high) == pytest.approx(wanted, rel=1e-3)


MSE_CODES = [
    *("int8", "uint8", "int4", "uint4", "int2"),
    *("float8_e4m3fn", "float8_e5m2", "float6_e2m3fn", "float4_e2m1fn"),
]

# --- MSE -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [name for name in DATA if name != "tiny"])
@pytest.mark.parametrize("dtype", MSE_CODES)
@pytest.mark.parametrize("axis", [None, 0])
def test_no_range_has_a_much_smaller_error(data: str, dtype: str, axis: int | None) -> None:
    if axis == 0 and data == "pixels":
        pytest.skip("integers that share bins are taken for spread evenly")
    x = DATA[data]
    kind = read_kind("test", dtype, None)
    low, high = (float(end) for end in (min(x.min(), 0), max(x.max(), 0)))
    floats = dtype.startswith("float")
    some = x[: 5000 if floats else 20_000]
    some = np.append(some, [end for end in (x.min(), x.max()) if end not in some])
    batch = some.astype(np.float32) if axis is None else some.astype(np.float32)[None]
    found = MSE(axis=axis).update(batch).clip_range(dtype)
    error = true_error(some, found.low.reshape(()), found.high.reshape(()), kind)
    if kind.symmetric:
        largest = max(-low, high)
        ratios = np.geomspace(2**-14, 1, 120 if floats else 300)
        if floats:
            ratios = np.append(ratios, np.linspace(1, min(2, 3.4e38 / (largest or 1)), 30))
        ends = [(-largest * r, largest * r) for r in ratios]
    else:
        ratios = np.append(np.geomspace(2**-14, 1, 17), [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6])
        ends = [
            (low * a, high * b) for a in (ratios if low else [0]) for b in (ratios if high else [0])
        ]
    best = min(true_error(some, *end, kind) for end in ends)
    # Per axis, bins are four times as wide, and what "huge" has at its very ends is spread over
    # one; floats have many ranges that are nearly as good.
    slack = 1.01 if axis is None else 1.02
    if floats or (axis == 0 and data == "huge"):
        slack = 1.03
    assert error <= slack * best + 1e-13 * max(-low, high) ** 2


def test_mse_knows_elements_that_are_on_its_bins() -> None:
    x = rng.integers(0, 256, 10_000).astype(np.uint8)
    x[:2] = 0, 255
    scale, zero = MSE().update(x).scale_zero_point("uint8")
    assert (float(scale), int(zero)) == (1, 0)  # without any error


@pytest.mark.parametrize("scheme", ["int8", "int4", "int2"])
def test_mse_counts_the_codes_that_quantize_uses(scheme: str) -> None:
    # Were the least code -128 (-8, -2), no error at all would be left with a smaller scale.
    least = BY_NAME[scheme].low
    x = np.repeat(np.float32([least, -1, 0, 1, BY_NAME[scheme].high]), [50, 1, 1, 1, 1])
    observer = MSE().update(x)
    q = uf.quantize(x, scheme, observer=observer)
    found = float(uf.quantization_error(x, q).mse)
    ends = -least * np.geomspace(0.3, 1, 3000)
    kind = read_kind("test", scheme, None)
    assert found == pytest.approx(true_error(x, *observer.clip_range(scheme), kind), rel=1e-3)
    assert found <= 1.01 * min(true_error(x, -end, end, kind) for end in ends) + 1e-9


def test_ranges_of_floats_may_go_beyond_the_elements() -> None:
    # The largest is 4 of 6 then, and each half of it a float.
    kind = read_kind("test", "float4_e2m1fn", None)
    x = np.float32([1, -0.5, 0.25, 0.125] * 5)
    for how, shape in (({}, ()), ({"axis": 0}, (1,)), ({"axis": 1, "block_size": 20}, (1, 1))):
        observer = MSE(**how).update(x[None])
        scale, _ = observer.scale_zero_point("float4_e2m1fn")
        assert scale.shape == shape
        assert float(scale.reshape(())) == pytest.approx(0.25, rel=1e-5)
        low, high = (end.item() for end in observer.clip_range("float4_e2m1fn"))
        assert true_error(x, low, high, kind) < 1e-10
    assert np.isfinite(MSE().update([3e38, 1e38]).scale_zero_point("float4_e2m1fn").scale)


@pytest.mark.parametrize("scheme", ["float8_e4m3fn", "float8_e5m2", "float4_e2m1fn"])
def test_mse_of_floats_is_that_of_the_record(scheme: str) -> None:
    observer = MSE().update(OUTLIERS)
    q = uf.quantize(OUTLIERS, scheme, observer=observer)
    kind = read_kind("test", scheme, None)
    expected = true_error(OUTLIERS, *observer.clip_range(scheme), kind)
    assert float(uf.quantization_error(OUTLIERS, q).mse) == pytest.approx(expected, rel=1e-4)
    direct = uf.quantization_error(OUTLIERS, uf.quantize(OUTLIERS, scheme)).mse
    assert uf.quantization_error(OUTLIERS, q).mse < direct


def test_mse_of_tiny_elements() -> None:
    scale, _ = MSE().update(DATA["tiny"]).scale_zero_point()
    assert 0 < scale < 1e-40


# --- Entropy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["normal", "laplace", "outliers", "after a relu", "lognormal"])
def test_entropy_is_nearly_that_of_a_histogram_of_all(data: str) -> None:
    x = DATA[data]
    largest = float(np.abs(x).max())
    edges = np.linspace(-largest, largest, 1026)
    counts = np.histogram(x, edges)[0]
    best = least_divergence(counts, edges, 128)
    found = Entropy(bins=1025).update(x).clip_range("int8").high
    assert float(found) == pytest.approx(best.high, rel=0.03)
    assert float(found) <= largest


def test_of_equal_elements_entropy_clips_none() -> None:
    for axis in (None, 1):
        low, high = Entropy(axis=axis).update(np.full((5, 1), 3.5)).clip_range("uint8")
        assert (low, high) == (3.5, 3.5)
        low, high = Entropy(axis=axis).update(np.full((5, 1), -3.5)).clip_range("int8")
        assert (low, high) == (-3.5, -3.5)


def test_entropy_is_clipped_at_the_extremes() -> None:
    low, high = Entropy(bins=257).update(DATA["after a relu"]).clip_range("uint8")
    assert low == 0
    assert 0 < high <= DATA["after a relu"].max()


def test_entropy_per_axis() -> None:
    x = some_axis(DATA["laplace"])
    found = Entropy(axis=1, bins=257).update(x).clip_range().high
    assert found.shape == (4,)
    assert found[3] == 0
    np.testing.assert_array_less(found[:3], np.abs(x).max(0)[:3] * 1.0001)
    np.testing.assert_array_less(np.abs(x).max(0)[:3] / 4, found[:3])
