"""Observers as streams: order, merging, copies, dtypes, layouts, what is refused."""

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
from observer_cases import MAKERS, NORMAL, OUTLIERS, every, same, some_axis
from ufuse.observers import MSE, Entropy, MinMax, MovingAverage, Percentile

rng = np.random.default_rng(21)


@pytest.mark.parametrize("name", uf.observers.__all__)
def test_examples_are_true(name: str) -> None:
    source = getattr(uf.observers, name).__doc__ or ""
    test = doctest.DocTestParser().get_doctest(source, {"np": np, "uf": uf}, name, None, 0)
    assert name not in MAKERS or test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


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


def test_memory_does_not_grow_with_the_stream() -> None:
    batch = NORMAL[:65_536].reshape(512, 128)
    for make, bound in (
        (Percentile, 1 << 19),
        (MSE, 1 << 19),
        (Entropy, 1 << 19),
        (lambda: MinMax(axis=1), 128 * 8),
        (lambda: MovingAverage(axis=1), 128 * 40),
    ):
        observer = make()
        for scale in (1e-30, 1.0, 1e30):  # nor with what the elements are
            observer.update(batch * np.float32(scale))
        assert observer.nbytes == bound


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
