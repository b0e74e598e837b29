"""Observers of many ranges: per index of an axis, per block; what they may take of memory."""

from __future__ import annotations

import copy
import math
import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from observer_cases import same, true_error
from ufuse import executors
from ufuse.observers import MSE, Entropy, MinMax, MovingAverage, Percentile
from ufuse.observers.divergence import least_divergence
from ufuse.observers.lanes import LaneCounts
from ufuse.observers.parameters import parameters_of, read_kind

rng = np.random.default_rng(23)


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


# --- observers that keep elements, or count them -------------------------------------------------


COUNTED: dict[str, Any] = {
    "Percentile": lambda **k: Percentile(90, **k),
    "MSE": MSE,
    "Entropy": lambda **k: Entropy(bins=33, quantized_bins=8, **k),
}
GRIDS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((3, 12, 5), {"axis": 1, "block_size": 5}),
    ((6, 4, 10), {"axis": -1, "block_size": 10}),
    ((5, 7), {"axis": 0, "block_size": 1}),
    ((5, 7), {"axis": 0, "block_size": 100}),
    ((9, 10), {"block_size": (4, 3)}),
    ((9, 10), {"block_size": (9, 1)}),
    ((9, 10), {"block_size": (100, 100)}),
    ((3, 5, 8), {"block_size": [2, 5, 3]}),
    ((20,), {"axis": 0}),
    ((4, 30), {"axis": 1}),
]
counted = pytest.mark.parametrize("name", COUNTED)


def streams_of(
    shape: tuple[int, ...], axis: int | None = None, block_size: Any = None
) -> tuple[tuple[int, ...], list[tuple[Any, ...]]]:
    """The shape of the ranges, and of each where its elements are in a batch: one by one."""
    if block_size is None:
        assert axis is not None
        before = (slice(None),) * axis
        return (shape[axis],), [(*before, i) for i in range(shape[axis])]
    sizes = block_size
    if isinstance(block_size, int):
        assert axis is not None
        sizes = [block_size if i == axis % len(shape) else 1 for i in range(len(shape))]
    grid = tuple(math.ceil(extent / size) for extent, size in zip(shape, sizes, strict=True))
    return grid, [
        tuple(slice(i * size, (i + 1) * size) for i, size in zip(index, sizes, strict=True))
        for index in np.ndindex(grid)
    ]


def some_batches(shape: tuple[int, ...], number: int = 3) -> list[np.ndarray]:
    batches = [rng.laplace(size=shape).astype(np.float32) for _ in range(number)]
    batches[0].flat[::7] = 0
    batches[-1].flat[1] = np.nan
    return batches


def in_form(
    form: str, ranges: int, elements: int, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Make few elements many; return arguments of observers."""
    if form == "counted":
        monkeypatch.setattr(LaneCounts, "KEPT", 0)
    if form != "narrow":
        return {}
    monkeypatch.setattr(LaneCounts, "BYTES", 1 << 40)  # there is no room for counts
    return {"memory": 8 * ranges + 2 * elements}


@counted
@pytest.mark.parametrize(("shape", "how"), GRIDS)
@pytest.mark.parametrize("form", ["kept", "narrow", "counted"])
def test_each_range_is_that_of_its_own_elements(
    name: str, shape: Any, how: Any, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = some_batches(shape, 3 if form == "kept" else 8)
    grid, places = streams_of(shape, **how)
    elements = sum(batch.size for batch in batches)
    arguments = in_form(form, math.prod(grid), elements, monkeypatch)
    observer = COUNTED[name](**how, **arguments)
    for batch in batches:
        observer.update(batch)
    kinds = {"kept": np.float32, "narrow": np.uint16}
    assert {m.dtype for kept in observer._counts._kept for m in kept} == (
        {np.dtype(kinds[form])} if form in kinds else set()
    )
    for dtype in ("int4", "uint4"):
        scale, zero = observer.scale_zero_point(dtype)
        low, high = observer.clip_range(dtype)
        assert scale.shape == zero.shape == low.shape == high.shape == grid
        for index, place in zip(np.ndindex(grid), places, strict=True):
            elements = np.concatenate([batch[place].ravel() for batch in batches])
            elements = elements[~np.isnan(elements)]
            check = {"Percentile": check_percentile, "MSE": check_mse, "Entropy": check_entropy}
            check[name](elements, float(low[index]), float(high[index]), dtype, form)


def check_percentile(x: np.ndarray, low: float, high: float, dtype: str, form: str) -> None:
    near = {"kept": 1e-6, "narrow": 1 / 128, "counted": 1 / 32}[form]
    apart = 0 if form == "kept" else near * float(np.abs(x).max())
    exact = x.astype(np.float64)
    if dtype == "int4":
        end = np.percentile(np.abs(exact), 90)
        assert (-low, high) == (pytest.approx(end, near, apart), pytest.approx(end, near, apart))
    else:
        least, most = np.percentile(exact, [5, 95])
        assert low == pytest.approx(least, near, apart)
        assert high == pytest.approx(most, near, apart)


def check_mse(x: np.ndarray, low: float, high: float, dtype: str, form: str) -> None:
    kind = read_kind("test", dtype, None)
    ends = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    if kind.symmetric:
        least = most = max(-ends[0], ends[1]) * np.geomspace(2**-4, 1, 200)
    else:
        parts = np.geomspace(2**-3, 1, 40)
        least, most = (end.ravel() for end in np.meshgrid(-ends[0] * parts, ends[1] * parts))
    scale, zero = parameters_of(-least.astype(np.float32), most.astype(np.float32), kind)
    scaled = x.astype(np.float64) / scale[:, None]
    codes = np.clip(np.rint(scaled), kind.least - zero[:, None], kind.most - zero[:, None])
    best = (((codes - scaled) * scale[:, None]) ** 2).mean(1).min()
    # Of some dozens of elements, a dense search finds what fits them by chance.
    slack = {"kept": 1.05, "narrow": 1.3, "counted": 1.3}[form]
    assert true_error(x, low, high, kind) <= slack * best + 1e-12


def check_entropy(x: np.ndarray, low: float, high: float, dtype: str, form: str) -> None:
    largest = float(np.abs(x).max())
    assert max(float(x.min()), -largest) <= low <= high <= largest
    if form == "kept" and largest > 0:
        edges = np.linspace(-largest, largest, 34)
        best = least_divergence(np.histogram(x, edges)[0], edges, 8)
        assert high == pytest.approx(min(best.high, float(x.max())), rel=1e-6)
        assert low == pytest.approx(max(best.low, float(x.min())), rel=1e-6)


@counted
@pytest.mark.parametrize(("shape", "how"), GRIDS)
@pytest.mark.parametrize("form", ["kept", "narrow", "counted", "on the way"])
def test_neither_order_nor_merging_nor_layout_changes_a_bit(
    name: str, shape: Any, how: Any, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [batch * np.float32(100.0**k) for k, batch in enumerate(some_batches(shape, 5))]
    batches.append(np.full(shape, -0.0, np.float32))
    batches.append(np.full(shape, 0.0, np.float32))
    grid = streams_of(shape, **how)[0]
    elements = sum(batch.size for batch in batches)
    arguments = in_form(form, math.prod(grid), elements, monkeypatch)
    if form == "on the way":  # from elements to counts, after the third batch
        monkeypatch.setattr(LaneCounts, "KEPT", 3 * batches[0].size // math.prod(grid))

    def made(some: list[np.ndarray]) -> Any:
        observer = COUNTED[name](**how, **arguments)
        for batch in some:
            observer.update(batch)
        return observer

    wanted = made(batches)
    same(wanted, made(batches[::-1]))
    same(wanted, made(batches[:2]).merge(made(batches[2:])))
    same(wanted, made(batches[2:]).merge(made(batches[:2])))
    same(wanted, made([]).merge(made(batches[::2])).merge(made([])).merge(made(batches[1::2])))
    same(wanted, pickle.loads(pickle.dumps(made(batches[:4]))).merge(made(batches[4:])))
    same(wanted, made([np.asfortranarray(batch) for batch in batches]))
    same(wanted, made([batch.astype(">f8") for batch in batches]))
    apart = [np.repeat(batch, 2, -1)[..., ::-2][..., ::-1] for batch in batches]
    same(wanted, made(apart))
    before = copy.copy(wanted)
    if form != "narrow":  # which has no room for more
        assert wanted.merge(wanted).count == 2 * before.count


def test_repeated_rows_and_flat_views_are_divided_alike() -> None:
    row = rng.normal(size=24).astype(np.float32)
    repeated = np.broadcast_to(row, (6, 24))
    for how in ({"axis": 1, "block_size": 7}, {"block_size": (4, 5)}, {"axis": 0}):
        same(MSE(**how).update(repeated), MSE(**how).update(repeated.copy()))


@counted
def test_batches_of_blocks_have_one_shape(name: str) -> None:
    observer = COUNTED[name](axis=0, block_size=4).update(np.ones((8, 2)))
    with pytest.raises(ValueError, match=r"expected shape \(8, 2\), .* got shape \(8, 3\)"):
        observer.update(np.ones((8, 3)))
    for shape in ((8, 2), (7, 2)):  # of as many blocks
        other = COUNTED[name](axis=0, block_size=4).update(np.ones(shape))
        if shape == (8, 2):
            assert observer.merge(other).count == 32
            continue
        match = r"batches of shape \(8, 2\), got \(7, 2\)"
        with pytest.raises(ValueError, match=match):
            observer.merge(other)
    assert observer.count == 32
    with pytest.raises(ValueError, match="other arguments"):
        observer.merge(COUNTED[name](axis=0, block_size=2).update(np.ones((8, 2))))
    empty = np.zeros((0, 8, 2), np.float32)
    assert COUNTED[name](axis=1, block_size=4).update(empty).batches == 0


@pytest.mark.parametrize("make", [MinMax, MovingAverage, *COUNTED.values()])
@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"block_size": 4}, ValueError, "'block_size'.*pass axis=, or a size for each axis"),
        ({"axis": 0, "block_size": 0}, ValueError, "'block_size': expected at least 1, got 0"),
        ({"axis": 0, "block_size": 2.5}, TypeError, "'block_size': expected an int or None"),
        ({"axis": 0, "block_size": (2, 2)}, ValueError, "'block_size': expected an int, the size"),
        ({"block_size": (2, -1)}, ValueError, "'block_size': expected at least 1, got -1"),
        ({"block_size": ()}, ValueError, "'block_size': expected a size for each axis, got "),
        ({"block_size": (2, "a")}, TypeError, "'block_size': expected an int"),
    ],
)
def test_sizes_of_blocks_are_checked(make: Any, arguments: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=rf"ufuse\.observers\.\w+: argument {match}"):
        make(**arguments)


@pytest.mark.parametrize("make", [MinMax, MovingAverage, *COUNTED.values()])
def test_batches_with_other_axes_than_blocks(make: Any) -> None:
    observer = make(block_size=(2, 2))
    match = r"ufuse\.observers\.\w+\.update: argument 'block_size': expected one size"
    with pytest.raises(ValueError, match=match):
        observer.update(np.ones((4, 4, 4)))
    assert observer.batches == 0
    with pytest.raises(np.exceptions.AxisError, match="update"):
        make(axis=2, block_size=2).update(np.ones((4, 4)))


# --- memory --------------------------------------------------------------------------------------


@counted
def test_memory_is_bounded(name: str) -> None:
    observer = COUNTED[name](axis=1, memory=40_000)
    observer.update(np.ones((300, 7)))  # kept
    assert observer.nbytes == 7 * (8 + 4 * 300)
    observer.update(np.ones((300, 7)))  # counted
    assert observer.nbytes == 7 * (8 + LaneCounts.BYTES) <= 40_000
    for scale in (1e-30, 1.0, 1e30):
        observer.update(rng.normal(size=(3000, 7)) * scale)
    assert observer.nbytes == 7 * (8 + LaneCounts.BYTES)
    # Eight ranges have no room for counts: for 9984 elements, and for twice as many in part.
    observer = COUNTED[name](axis=1, memory=40_000)
    observer.update(np.ones((1246, 8)))
    assert observer.nbytes == 8 * (8 + 4 * 1246)
    before = copy.copy(observer.update(np.ones((1200, 8))))
    assert observer.nbytes == 8 * (8 + 2 * 2446)
    match = (
        r"update: argument 'batch': expected what fits the 40000 bytes of memory=, got 27568 "
        r"elements in 8 ranges, which need 41056; pass memory=41056, larger blocks"
    )
    with pytest.raises(ValueError, match=match):
        observer.update(np.ones((1000, 8)))
    with pytest.raises(ValueError, match=r"merge: argument 'other': expected what fits the 40000"):
        observer.merge(before)
    same(observer, before)
    arguments = {"axis": 1, "memory": 41_056}
    assert COUNTED[name](**arguments).update(np.ones((3446, 8))).nbytes == 41_056
    with pytest.raises(ValueError, match="'memory': expected at least 1, got 0"):
        COUNTED[name](memory=0)
    assert "memory=41056" in repr(COUNTED[name](**arguments))


def test_counts_of_many_elements_are_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LaneCounts, "WIDE", 5000)
    x = rng.normal(size=(4, 900)).astype(np.float32)
    observer, other = MSE(axis=0), MSE(axis=0)
    for _ in range(5):
        observer.update(x)
    assert observer._counts._counts.dtype == np.uint32
    same(other.merge(observer).merge(observer), observer.merge(observer))
    assert observer._counts._counts.dtype == other._counts._counts.dtype == np.int64
    assert observer._counts._counts.sum() == 10 * x.size
    blocks = MSE(axis=1, block_size=800).update(np.tile(x, (1, 1)))
    assert blocks._counts._longest(3 * x.size) == 3 * 800


@pytest.mark.skipif(executors.backend() != "native", reason="NumPy takes minutes for 8 G elements")
def test_counts_of_4_g_elements_do_not_overflow() -> None:
    x = np.broadcast_to(np.float32(1.5), (1 << 16, 1, 1 << 15))
    observer = Percentile(60, axis=1)
    for _ in range(3):  # 6 G in one bin
        observer.update(x)
    observer.update(np.broadcast_to(np.float32(-1), (1 << 16, 1, 1 << 15)))
    assert observer._counts._counts.max() == 3 << 31
    assert observer.clip_range("uint8").low == pytest.approx(-1, rel=1 / 32)


def test_4096_channels_and_blocks_of_a_weight_fit_in_64_mb() -> None:
    weight = rng.normal(size=(1024, 4096)).astype(np.float32)
    channels, blocks = MSE(axis=1), MSE(axis=1, block_size=32)
    tracemalloc.start()
    channels.update(weight)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert channels.nbytes == 4096 * (8 + LaneCounts.BYTES)
    assert peak < 64 << 20
    blocks.update(weight)
    assert blocks.nbytes == 131_072 * (8 + 32 * 4)


# --- quantize with them --------------------------------------------------------------------------


@pytest.mark.parametrize("make", [MinMax, MovingAverage, Percentile, MSE, COUNTED["Entropy"]])
@pytest.mark.parametrize(("shape", "how"), GRIDS)
@pytest.mark.parametrize("scheme", ["int8", "uint8", "int4", "uint4", "float8_e4m3fn"])
def test_quantize_takes_observers_of_blocks(make: Any, shape: Any, how: Any, scheme: str) -> None:
    if make is COUNTED["Entropy"] and scheme.startswith("float"):
        pytest.skip("there is no range of it for floats")
    x = rng.normal(size=shape).astype(np.float32)
    observer = make(**how).update(x)
    q = uf.quantize(x, scheme, observer=observer, **how)
    scale, zero = observer.scale_zero_point(scheme)
    np.testing.assert_array_equal(q.scale, scale)
    np.testing.assert_array_equal(np.broadcast_to(q.zero_point, scale.shape), zero.astype(int))
    if make is MinMax:
        direct = uf.quantize(x, scheme, **how)
        np.testing.assert_array_equal(q.data, direct.data)
        np.testing.assert_array_equal(q.scale, direct.scale)
    if make is MSE:
        most = uf.quantization_error(x, uf.quantize(x, scheme, **how)).mse
        assert uf.quantization_error(x, q).mse <= most * (1 + 1e-6)
    again = uf.quantize(x, scheme, observer=make(**how).update(x), **how)
    np.testing.assert_array_equal(again.dequantize(), q.dequantize())
