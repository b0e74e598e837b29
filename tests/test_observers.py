"""Observers: against the answer computed on all elements at once."""

from __future__ import annotations

import copy
import doctest
import pickle
import tracemalloc
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ufuse as uf
from ufuse import executors
from ufuse.observers import MSE, Entropy, MinMax, MovingAverage, Observer, Percentile, errors
from ufuse.observers import reference as in_numpy
from ufuse.observers.divergence import least_divergence
from ufuse.observers.histograms import AxisCounts
from ufuse.observers.parameters import KINDS, parameters_of, read_kind
from ufuse.quant.codes import BY_NAME

rng = np.random.default_rng(20)
NORMAL = rng.normal(size=100_003).astype(np.float32)
OUTLIERS = NORMAL.copy()
OUTLIERS[::1000] *= 30
ONE_OUTLIER = NORMAL.copy()
ONE_OUTLIER[5] = -1e4

DATA = {
    "normal": NORMAL,
    "uniform": rng.uniform(-1, 1, 50_000).astype(np.float32),
    "laplace": rng.laplace(size=80_000).astype(np.float32),
    "outliers": OUTLIERS,
    "one outlier": ONE_OUTLIER,
    "after a relu": np.maximum(NORMAL, 0),
    "clipped to 1": np.clip(NORMAL, 0, 1),
    "shifted": NORMAL + 3,
    "negative": -np.abs(NORMAL),
    "lognormal": np.exp(NORMAL),
    "tiny": NORMAL * np.float32(1e-40),
    "huge": np.clip(NORMAL, -3, 3) * np.float32(1e38),
    "pixels": rng.integers(0, 256, 50_000).astype(np.float32),
    "constant": np.full(1000, 3.14159, np.float32),
    "zeros": np.zeros(100, np.float32),
    "one element": np.float32([-2.5]),
}
MAKERS: dict[str, Any] = {
    "MinMax": MinMax,
    "MovingAverage": MovingAverage,
    "Percentile": Percentile,
    "MSE": MSE,
    "Entropy": lambda **k: Entropy(bins=513, quantized_bins=64, **k),
}
every = pytest.mark.parametrize("name", MAKERS)


def same(a: Observer, b: Observer) -> None:
    """Assert that two observers know the same."""
    assert (a.count, a.nan_count, a.batches) == (b.count, b.nan_count, b.batches)
    for dtype in ("int8", "uint8"):
        for one, other in zip(a.clip_range(dtype), b.clip_range(dtype), strict=True):
            np.testing.assert_array_equal(one, other)


def some_axis(x: np.ndarray) -> np.ndarray:
    """Four lanes of different scale."""
    rows = x[: x.size // 4 * 4].reshape(-1, 4) * np.float32([1, 100, 0.01, 0])
    return np.asarray(rows, np.float32)


@pytest.mark.parametrize("name", uf.observers.__all__)
def test_examples_are_true(name: str) -> None:
    source = getattr(uf.observers, name).__doc__ or ""
    test = doctest.DocTestParser().get_doctest(source, {"np": np, "uf": uf}, name, None, 0)
    assert name not in MAKERS or test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


# --- scale and zero point ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", KINDS)
def test_parameters_are_those_of_the_formula(dtype: str) -> None:
    least, most, stored = BY_NAME[dtype].low, BY_NAME[dtype].high, BY_NAME[dtype].dtype
    x = np.float32([-1.5, 4.25])
    scale, zero = MinMax().update(x).scale_zero_point(dtype, symmetric=False)
    assert scale == np.float32(5.75) / np.float32(most - least)
    assert zero == np.clip(np.rint(least + np.float32(1.5) / scale), least, most)
    assert (scale.dtype, zero.dtype, scale.shape) == (np.float32, stored, ())
    if least < 0:
        scale, zero = MinMax().update(x).scale_zero_point(dtype)
        assert (float(scale), int(zero)) == (np.float32(4.25) / np.float32(most), 0)
        assert zero.dtype == stored


def test_the_range_holds_zero() -> None:
    scale, zero = MinMax().update([3.0, 5.1]).scale_zero_point("uint8")
    assert (float(scale), int(zero)) == (pytest.approx(0.02), 0)
    scale, zero = MinMax().update([-5.1, -3.0]).scale_zero_point("uint8")
    assert (float(scale), int(zero)) == (pytest.approx(0.02), 255)


@pytest.mark.parametrize("extreme", [1e-45, 1e-40, 3.4e38])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_scales_are_positive_and_finite(extreme: float, dtype: str) -> None:
    observer = MinMax().update(np.float32([-extreme, extreme]))
    for symmetric in (True, False) if dtype != "uint8" else (False,):
        scale, _ = observer.scale_zero_point(dtype, symmetric=symmetric)
        assert 0 < scale < np.inf


@every
def test_of_zeros_the_scale_is_one(name: str) -> None:
    observer = MAKERS[name]().update(np.zeros(10, np.float32)).update(np.float32([-0.0]))
    for dtype in ("int8", "uint8"):
        scale, zero = observer.scale_zero_point(dtype)
        assert (scale, zero) == (1, 0)


def test_dtypes_of_ml_dtypes_are_kept() -> None:
    zero = MinMax().update([0, 3.0]).scale_zero_point(ml_dtypes.int4, symmetric=False).zero_point
    assert zero.dtype == ml_dtypes.int4
    assert int(zero) == -8


# --- the stream ----------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("axis", [None, 1])
def test_neither_order_nor_split_changes_a_bit(name: str, axis: int | None) -> None:
    if name == "MovingAverage":
        pytest.skip("the order matters there")
    x = some_axis(OUTLIERS[:20_000]) if axis else OUTLIERS[:20_000]
    order = np.argsort(np.abs(x.reshape(len(x), -1)).max(1))  # the largest come last
    whole = MAKERS[name](axis=axis).update(x)
    for parts in (np.array_split(x, 7), np.array_split(x[order], 5), np.array_split(x[::-1], 3)):
        streamed, merged = MAKERS[name](axis=axis), MAKERS[name](axis=axis)
        for part in parts:
            streamed.update(part)
            merged.merge(MAKERS[name](axis=axis).update(part))
        streamed.batches = merged.batches = 1
        same(whole, streamed)
        same(whole, merged)


def test_a_moving_average_is_the_recurrence_also_when_merged() -> None:
    batches = [rng.normal(size=(50, 3)).astype(np.float32) for _ in range(9)]
    batches[4][:, 1] = np.nan
    low, high = batches[0].min(0).astype(float), batches[0].max(0).astype(float)
    for batch in batches[1:]:
        seen = ~np.isnan(batch[0])
        low[seen] += 0.1 * (batch.min(0) - low)[seen]
        high[seen] += 0.1 * (batch.max(0) - high)[seen]
    one = MovingAverage(axis=1, momentum=0.1)
    for batch in batches:
        one.update(batch)
    first, second = MovingAverage(axis=1, momentum=0.1), MovingAverage(axis=1, momentum=0.1)
    for k, batch in enumerate(batches):
        (first if k < 3 else second).update(batch)
    for observer in (one, first.merge(second)):
        found = observer.clip_range()
        np.testing.assert_allclose(found.low, low, 1e-6)
        np.testing.assert_allclose(found.high, high, 1e-6)
        assert (observer.count, observer.nan_count) == (1350, 50)
    third = MovingAverage(axis=1, momentum=0.1).merge(second)
    same(third.merge(MovingAverage(axis=1, momentum=0.1)), second)


@every
@pytest.mark.parametrize("axis", [None, 0])
def test_copies_and_pickles_are_apart(name: str, axis: int | None) -> None:
    x = NORMAL[:3000].reshape(3, -1)
    observer = MAKERS[name](axis=axis).update(x)
    for twin in (
        copy.copy(observer),
        copy.deepcopy(observer),
        pickle.loads(pickle.dumps(observer)),
    ):
        same(observer, twin)
        assert repr(twin) == repr(observer)
        before = observer.clip_range().high.copy()
        twin.update(100 * x)
        np.testing.assert_array_equal(observer.clip_range().high, before)
        assert (twin.clip_range().high > before).all()
    assert len(pickle.dumps(observer)) < 200_000


@every
def test_reset_forgets(name: str) -> None:
    observer = MAKERS[name](axis=0).update(np.full((2, 3), 7.0)).reset()
    assert (observer.count, observer.batches) == (0, 0)
    assert "nothing seen" in repr(observer)
    same(
        observer.update(NORMAL[:900].reshape(9, -1)),
        MAKERS[name](axis=0).update(NORMAL[:900].reshape(9, -1)),
    )


@every
def test_nothing_comes_of_nothing(name: str) -> None:
    observer = MAKERS[name]().update(np.zeros((0, 3), np.float32))
    assert observer.batches == 0
    with pytest.raises(ValueError, match=r"scale_zero_point: nothing has been seen yet"):
        observer.scale_zero_point()
    assert observer.merge(MAKERS[name]()).batches == 0


@every
@pytest.mark.parametrize("axis", [None, 0])
def test_nan_are_left_out_and_counted(name: str, axis: int | None) -> None:
    x = NORMAL[:30_000].reshape(3, -1).copy()
    clean = MAKERS[name](axis=axis).update(x)
    with_nan = np.concatenate([x, np.full((3, 70), np.nan, np.float32)], 1)
    with_nan[:, -1:].view(np.uint32)[...] = 0x7F800001  # a NaN that begins as infinity does
    with_nan[:, -2:-1].view(np.uint32)[...] = 0xFFC00000
    found = MAKERS[name](axis=axis).update(with_nan)
    assert (found.nan_count, found.count) == (210, clean.count + 210)
    assert "210 NaN" in repr(found)
    for dtype in ("int8", "uint8"):
        np.testing.assert_array_equal(found.clip_range(dtype), clean.clip_range(dtype))


@every
def test_lanes_of_nan_alone_are_as_zeros(name: str) -> None:
    observer = MAKERS[name](axis=0).update([[np.nan, np.nan], [1.0, 2.0]])
    scale = observer.scale_zero_point().scale
    assert scale[0] == 1
    assert scale[1] > 0
    assert MAKERS[name]().update([np.nan]).scale_zero_point().scale == 1


@every
@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_infinities_are_refused_and_change_nothing(
    name: str, axis: int | None, value: float
) -> None:
    x = NORMAL[:4096].reshape(4, -1)
    observer = MAKERS[name](axis=axis).update(x)
    bad = x.astype(np.float64)
    bad[1, 100:102] = value
    bad[2, 5] = np.nan
    with pytest.raises(ValueError, match=r"update: argument 'batch': .* got 2 infinite of 4096"):
        observer.update(bad)
    with pytest.raises(ValueError, match="infinite"):
        MAKERS[name](axis=axis).update(bad)
    same(observer, MAKERS[name](axis=axis).update(x))


DTYPES = [
    np.float64, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn,
    np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.bool_,
]  # fmt: skip


@every
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [None, 1])
def test_every_dtype_counts_as_float32(name: str, dtype: Any, axis: int | None) -> None:
    x = np.abs(NORMAL[:12_000].reshape(-1, 4) * 50).astype(dtype)
    same(MAKERS[name](axis=axis).update(x), MAKERS[name](axis=axis).update(x.astype(np.float32)))


@every
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_any_layout(name: str, axis: int | None) -> None:
    last = 5 if name == "Entropy" else 50  # which takes a tenth of a second for each lane
    x = NORMAL[: 6 * 20 * last].reshape(6, 20, last)
    wanted = MAKERS[name](axis=axis).update(x)
    apart = np.empty((6, 40, last + 1), np.float32)[:, ::2, 1:]
    apart[...] = x
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    for view in (
        np.asfortranarray(x),
        apart,
        unaligned,
        x.astype(">f4"),
        x[::-1, ::-1, ::-1][::-1, ::-1, ::-1],
        x.transpose(2, 0, 1).copy().transpose(1, 2, 0),
    ):
        same(MAKERS[name](axis=axis).update(view), wanted)


def test_repeated_elements_count_as_often_as_they_are() -> None:
    x = np.broadcast_to(NORMAL[:1000, None], (1000, 3000))
    assert x.strides[1] == 0
    same(Percentile(95).update(x), Percentile(95).update(x.copy()))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 15, 16, 17, 2049, 70_000, 3_000_001])
def test_counts_are_those_of_numpy(size: int, threads: int) -> None:
    x = rng.normal(size=size).astype(np.float32)
    x[:: max(1, size // 9)] = 0
    x[-1] = np.nan
    for fraction_bits in (7, 9):
        wanted = np.zeros(1 << (9 + fraction_bits), np.int64)
        seen = in_numpy.count_leading(x, wanted)
        counts = np.zeros_like(wanted)
        module = executors.of("ufuse.observers")
        with uf.threads(threads):
            assert module.count_leading(x, counts) == seen
        np.testing.assert_array_equal(counts, wanted)
        assert counts.sum() == size - 1


def test_memory_does_not_grow_with_the_stream() -> None:
    batch = NORMAL[:65_536].reshape(512, 128)
    for make, bound in (
        (Percentile, 1 << 19),
        (MSE, 1 << 19),
        (Entropy, 1 << 19),
        (lambda: MSE(axis=1), 128 * AxisCounts.BYTES),
        (lambda: MinMax(axis=1), 128 * 8),
        (lambda: MovingAverage(axis=1), 128 * 40),
    ):
        observer = make()
        for scale in (1e-30, 1.0, 1e30):  # nor with what the elements are
            observer.update(batch * np.float32(scale))
        assert observer.nbytes == bound
    assert AxisCounts.BYTES < 10.1 * 1024


def test_calibration_takes_little_memory() -> None:
    observer, batch = MSE(), np.zeros(1 << 20, np.float32)
    batch[::3] = NORMAL[0]
    observer.update(batch).scale_zero_point("uint8")
    tracemalloc.start()
    for _ in range(8):
        observer.update(batch)
    observer.scale_zero_point("uint8")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


# --- MinMax --------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("block_size", [1, 3, 4, 5, 12, 100])
@pytest.mark.parametrize("make", [MinMax, MovingAverage])
def test_blocks(axis: int, block_size: int, make: Any) -> None:
    batches = [rng.normal(size=(6, 12, 10)).astype(np.float32) for _ in range(2)]
    batches[0][0, 0, 0] = np.nan
    observer = make(axis=axis, block_size=block_size)
    for batch in batches:
        observer.update(batch[:, ::-1])
    found = observer.clip_range("uint8")
    seen = np.stack(batches)[:, :, ::-1]
    length = seen.shape[axis % 3 + 1]
    for k in range(-(-length // block_size)):
        block = np.take(
            seen, range(k * block_size, min(length, (k + 1) * block_size)), axis % 3 + 1
        )
        low, high = np.fmin.reduce(block, axis % 3 + 1), np.fmax.reduce(block, axis % 3 + 1)
        if make is MovingAverage:
            step = np.nan_to_num(0.01 * (np.stack([low[1], high[1]]) - np.stack([low[0], high[0]])))
            begun = ~np.isnan(low[0])
            low = np.where(begun, low[0] + step[0], low[1])
            high = np.where(begun, high[0] + step[1], high[1])
        else:
            low, high = np.fmin.reduce(low), np.fmax.reduce(high)
        np.testing.assert_allclose(np.take(found.low, k, axis % 3), low, 1e-6, 1e-7)
        np.testing.assert_allclose(np.take(found.high, k, axis % 3), high, 1e-6, 1e-7)
    assert observer.scale_zero_point().scale.shape == found.low.shape


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


# --- MSE -----------------------------------------------------------------------------------------


def true_error(x: np.ndarray, low: Any, high: Any, kind: Any) -> float:
    """Mean squared error, of the elements themselves."""
    scale, zero = parameters_of(np.float32(low), np.float32(high), kind)
    zero = int(zero)
    scaled = x.astype(np.float64) / float(scale)
    codes = np.clip(np.rint(scaled) + zero, kind.least, kind.most)
    return float(np.mean(((codes - zero) - scaled) ** 2)) * float(scale) ** 2


@pytest.mark.parametrize("data", [name for name in DATA if name != "tiny"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int4", "uint4", "int2"])
@pytest.mark.parametrize("axis", [None, 0])
def test_no_range_has_a_much_smaller_error(data: str, dtype: str, axis: int | None) -> None:
    if axis == 0 and data == "pixels":
        pytest.skip("integers that share bins are taken for spread evenly")
    x = DATA[data]
    kind = read_kind("test", dtype, None)
    low, high = (float(end) for end in (min(x.min(), 0), max(x.max(), 0)))
    some = x if x.size <= 20_000 else np.append(x[:20_000], [low, high])
    batch = some.astype(np.float32) if axis is None else some.astype(np.float32)[None]
    found = MSE(axis=axis).update(batch).clip_range(dtype)
    error = true_error(some, found.low.reshape(()), found.high.reshape(()), kind)
    if kind.symmetric:
        largest = max(-low, high)
        ends = [(-largest * r, largest * r) for r in np.geomspace(2**-14, 1, 300)]
    else:
        ratios = np.append(np.geomspace(2**-14, 1, 17), [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6])
        ends = [
            (low * a, high * b) for a in (ratios if low else [0]) for b in (ratios if high else [0])
        ]
    best = min(true_error(some, *end, kind) for end in ends)
    # Per axis, bins are four times as wide.
    assert error <= (1.01 if axis is None else 1.02) * best + 1e-13 * max(-low, high) ** 2


def test_mse_knows_elements_that_are_on_its_bins() -> None:
    x = rng.integers(0, 256, 10_000).astype(np.uint8)
    x[:2] = 0, 255
    scale, zero = MSE().update(x).scale_zero_point("uint8")
    assert (float(scale), int(zero)) == (1, 0)  # without any error


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


# --- what is refused -----------------------------------------------------------------------------


@every
def test_batches_that_do_not_fit(name: str) -> None:
    observer = MAKERS[name](axis=1).update(NORMAL[:30].reshape(10, 3))
    with pytest.raises(
        ValueError, match=r"update: .*expected 3 indices on axis 1, .* shape \(10, 4\)"
    ):
        observer.update(np.ones((10, 4), np.float32))
    with pytest.raises(np.exceptions.AxisError):
        observer.update(np.ones(3, np.float32))
    with pytest.raises(TypeError, match=r"expected real numbers .* complex128"):
        observer.update(np.ones((2, 3), complex))
    same(observer, MAKERS[name](axis=1).update(NORMAL[:30].reshape(10, 3)))
    same(observer.update(np.ones((1, 3))), observer)  # another number of rows


def test_blocks_have_one_shape() -> None:
    observer = MinMax(axis=0, block_size=4).update(np.ones((8, 2)))
    with pytest.raises(ValueError, match=r"expected shape \(8, 2\), .* got shape \(8, 3\)"):
        observer.update(np.ones((8, 3)))


@every
def test_others_that_do_not_merge(name: str) -> None:
    observer = MAKERS[name](axis=0).update(np.ones((2, 2)))
    with pytest.raises(TypeError, match=r"merge: argument 'other': expected .*, got (State|int)"):
        observer.merge(3)
    with pytest.raises(ValueError, match="other arguments"):
        observer.merge(MAKERS[name]())
    with pytest.raises(ValueError, match=r"expected ranges of shape \(2,\), got \(3,\)"):
        observer.merge(MAKERS[name](axis=0).update(np.ones((3, 2))))
    twice = copy.copy(observer).merge(observer)
    assert twice.count == 8
    assert observer.merge(observer).count == 8


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: MinMax(axis="0"), TypeError, "MinMax: argument 'axis': expected an int or None"),
        (lambda: MinMax(block_size=4), ValueError, "MinMax: argument 'block_size'.*pass axis="),
        (lambda: MinMax(axis=0, block_size=0), ValueError, "'block_size': expected at least 1"),
        (lambda: MovingAverage(momentum=0), ValueError, "'momentum': expected more than 0"),
        (lambda: MovingAverage(momentum=np.nan), ValueError, "'momentum': expected more than 0"),
        (lambda: Percentile(101), ValueError, "'percentile': expected more than 0 and at most 100"),
        (lambda: Percentile(0), ValueError, "'percentile': expected more than 0 and at most 100"),
        (lambda: Entropy(bins=100), ValueError, "'bins': expected at least 129, got 100"),
        (lambda: Entropy(bins=130), ValueError, "expected an odd number of bins"),
        (lambda: Entropy(quantized_bins=1), ValueError, "'quantized_bins': expected at least 2"),
    ],
)
def test_arguments_are_checked(make: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"dtype": "int9"}, TypeError, "argument 'dtype': expected one of int8 .* got 'int9'"),
        ({"dtype": np.float32}, TypeError, "argument 'dtype': expected one of"),
        ({"dtype": "uint8", "symmetric": True}, ValueError, "uint8 has no negative .*dtype='int8'"),
        ({"symmetric": 2}, TypeError, "'symmetric': expected a bool or None"),
    ],
)
def test_kinds_are_checked(arguments: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        MinMax().update([1.0]).scale_zero_point(**arguments)


# --- the core's kernels --------------------------------------------------------------------------


def test_costs_are_the_same_on_every_tier(tier: str) -> None:
    from ufuse import _core

    sizes = rng.integers(0, 40, 8)
    for number, steps in zip(sizes[:4], sizes[4:], strict=True):
        points = in_numpy.Points(rng.normal(size=number), rng.integers(1, 9, number).astype(float))
        edges = np.sort(rng.normal(size=steps) * 5)
        jumps = in_numpy.Steps(edges, rng.normal(size=steps))
        scale = rng.uniform(0.01, 2, 17)
        least, most = -np.round(rng.uniform(0, 9, 17)), np.round(rng.uniform(0, 200, 17))
        found = []
        for threads in (1, 3):
            found.append(np.empty(17))
            with uf.threads(threads):
                _core.squared_errors(*points, *jumps, scale, least, most, found[-1])
        _core.set_tier("v2" if "v2" in _core.available_tiers() else tier)
        found.append(np.empty(17))
        _core.squared_errors(*points, *jumps, scale, least, most, found[-1])
        _core.set_tier(tier)
        assert len({one.tobytes() for one in found}) == 1
        wanted = in_numpy.squared_errors(points, jumps, scale, least, most)
        np.testing.assert_allclose(found[0], wanted, 1e-9, 1e-9 * np.abs(wanted).max())


def test_costs_are_those_of_the_elements() -> None:
    # Elements spread over two intervals and a point, one by one.
    cells = [(-1.5, -0.25, 100_000), (0.5, 0.5, 3000), (0.75, 3.0, 100_000)]
    x = np.concatenate([low + (high - low) * (np.arange(n) + 0.5) / n for low, high, n in cells])
    spread = errors.Cells(*(np.array(column, float) for column in zip(*cells, strict=True)))
    scale, least, most = (
        np.array([0.3, 0.01, 4.0]),
        np.array([-3.0, -9, 0]),
        np.array([4.0, 300, 1]),
    )
    found = in_numpy.squared_errors(*errors._points_and_steps(spread), scale, least, most)
    for k in range(3):
        levels = np.clip(np.rint(x / scale[k]), least[k], most[k]) * scale[k]
        assert found[k] == pytest.approx(np.sum((x - levels) ** 2), rel=1e-6)


def test_counts_are_the_same_on_every_tier(tier: str) -> None:
    from ufuse import _core

    x = rng.normal(size=40_001).astype(np.float32)
    for part in (x, x[1:], x[::-3], x.astype(np.float64), x[:3]):
        wanted = np.zeros(1 << 16, np.int64)
        seen = in_numpy.count_leading(part, wanted)
        counts = np.zeros_like(wanted)
        assert _core.count_leading(part, counts, "plain", None) == seen
        np.testing.assert_array_equal(counts, wanted)


@pytest.mark.parametrize(
    "counts",
    [np.zeros(1000, np.int64), np.zeros(1 << 16, np.int32), np.zeros(1 << 17, np.int64)[::2],
     np.zeros(1 << 10, np.int64), np.zeros(1 << 16, np.float64)],
)  # fmt: skip
def test_the_core_checks_its_memory(counts: np.ndarray) -> None:
    core = pytest.importorskip("ufuse._core")
    with pytest.raises(ValueError, match="ufuse"):
        core.count_leading(NORMAL, counts, "plain", None)
    with pytest.raises(ValueError, match="unlike sizes"):
        core.squared_errors(*np.zeros((7, 3)), np.zeros(2))


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.float16, np.int8, np.int32, np.uint64]
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_lanes_are_counted_by_their_leading_bits(dtype: Any, axis: int) -> None:
    x = (NORMAL[:30_000] * 100).astype(dtype).reshape(30, 10, 100)[::-1, :, ::2]
    if x.dtype.kind == "f":
        x[1, 1, 1], x[2, 2, 2], x[3, 3, 3] = np.nan, -0.0, 1e-7
    top = int(np.frexp(np.nanmax(np.abs(x.astype(np.float32))))[1])
    found = executors.of("ufuse.observers").count_octaves(x, axis, in_numpy.Octaves(top, 4, 3))
    # One by one: 32 bins of either sign, the smallest magnitude of each.
    edges = np.ldexp(1 + np.arange(32) % 8 / 8, top - 4 + np.arange(32) // 8)
    for index in range(x.shape[axis]):
        lane = np.take(x, index, axis).astype(np.float32).ravel()
        lane = lane[~np.isnan(lane)]
        place = np.searchsorted(edges, np.abs(lane), "right")
        wanted = np.bincount(32 + np.where(lane < 0, -place, place), minlength=65)
        np.testing.assert_array_equal(found[index], wanted)
