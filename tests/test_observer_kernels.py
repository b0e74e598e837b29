"""What observers ask of the core, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from observer_cases import NORMAL
from ufuse import executors
from ufuse.catalogue.floats import BY_NAME as ALL_FLOATS
from ufuse.catalogue.floats import SATURATE
from ufuse.observers import errors
from ufuse.observers import reference as in_numpy
from ufuse.observers.parameters import Levels, read_kind
from ufuse.observers.spread import Spread

rng = np.random.default_rng(24)
FLOATS = {name: row for name, row in ALL_FLOATS.items() if row.bits <= 8}


LEVELS = {
    "integers": Levels(),
    "float8_e4m3fn": Levels(3, 2.0**-6),
    "float4_e2m1fn": Levels(1, 1.0),
}


def some_streams(sizes: Any) -> in_numpy.Streams:
    """Streams of so many points, and of so many steps."""
    starts = [np.cumsum([0, *sizes[half]]) for half in (0, 1)]
    points, steps = (start[-1] for start in starts)
    edges = np.concatenate([np.sort(rng.normal(size=size) * 5) for size in sizes[1]])
    numbers = rng.integers(1, 9, points).astype(float)
    jumps = rng.normal(size=steps)
    return in_numpy.Streams(rng.normal(size=points), numbers, starts[0], edges, jumps, starts[1])


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("streams", [1, 4, 300])
def test_costs_are_the_same_on_every_tier(levels: str, streams: int, tier: str) -> None:
    from ufuse import _core

    some = some_streams(rng.integers(0, 40, (2, streams)))
    scale = rng.uniform(0.01, 2, (streams, 17))
    least = -np.round(rng.uniform(0, 9, scale.shape))
    most = np.round(rng.uniform(0, 200, scale.shape))
    if levels == "float4_e2m1fn":
        least, most = np.full(scale.shape, -6.0), np.full(scale.shape, 6.0)
    found = []
    for threads in (1, 3):
        found.append(np.empty(scale.shape))
        with uf.threads(threads):
            _core.squared_errors(*some, LEVELS[levels], scale, least, most, found[-1])
    _core.set_tier("v2" if "v2" in _core.available_tiers() else tier)
    found.append(np.empty(scale.shape))
    _core.squared_errors(*some, LEVELS[levels], scale, least, most, found[-1])
    _core.set_tier(tier)
    assert len({one.tobytes() for one in found}) == 1
    wanted = in_numpy.squared_errors(some, LEVELS[levels], scale, least, most)
    largest = np.abs(wanted).max(1, keepdims=True)
    assert (np.abs(found[0] - wanted) <= 1e-9 * largest).all()


@pytest.mark.parametrize("code", ["int8", *FLOATS])
def test_costs_are_those_of_the_elements(code: str) -> None:
    # Elements spread over two intervals, a point, and the extremes: one by one.
    cells = [(-1.5, -0.25, 100_000), (0.5, 0.5, 3000), (0.75, 3.0, 100_000)]
    x = np.concatenate([low + (high - low) * (np.arange(n) + 0.5) / n for low, high, n in cells])
    x = np.append(x, [-1.5, 3.0])
    bins = np.array([[0.25, 0.5, 0.75], [1.5, 0.5, 3.0]])
    negative, positive = np.array([[100_001, 0, 0], [0, 3000, 100_001]])
    columns = errors._points_and_steps(Spread(*bins, negative, positive, -1.5, 3.0, False))
    starts = [np.array([0, columns[i].size]) for i in (0, 2)]
    streams = in_numpy.Streams(*columns[:2], starts[0], *columns[2:], starts[1])
    if code == "int8":
        kind = Levels()
        scale, least, most = (
            np.array([[0.3, 0.01, 4.0]]), np.array([[-3.0, -9, 0]]), np.array([[4.0, 300, 1]])
        )  # fmt: skip
    else:
        kind = read_kind("test", code, None).levels
        end = read_kind("test", code, None).most
        scale = np.array([[3 / end, 1 / end, 1.7, 40 / end]])
        least, most = np.full(scale.shape, -end), np.full(scale.shape, end)
    found = in_numpy.squared_errors(streams, kind, scale, least, most)
    module = executors.of("ufuse.observers")
    np.testing.assert_allclose(
        module.squared_errors(streams, kind, scale, least, most), found, rtol=1e-9
    )
    for k in range(scale.size):
        place = np.clip(x / scale[0, k], least[0, k], most[0, k])
        if code == "int8":
            levels = np.rint(place)
        else:
            row = FLOATS[code]
            levels = row.decode(row.encode(place, SATURATE)).astype(np.float64)
        assert found[0, k] == pytest.approx(np.sum((x - levels * scale[0, k]) ** 2), rel=1e-6)


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
        three, ends = np.zeros(3), np.array([0, 3])
        core.squared_errors(
            three, three, ends, three, three, np.array([0, 4]), (-1, 1.0), *np.zeros((4, 1, 2))
        )


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.float16, np.int8, np.int32, np.uint64]
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_lanes_are_counted_by_their_leading_bits(dtype: Any, axis: int) -> None:
    x = (NORMAL[:30_000] * 100).astype(dtype).reshape(30, 10, 100)[::-1, :, ::2]
    if x.dtype.kind == "f":
        x[1, 1, 1], x[2, 2, 2], x[3, 3, 3] = np.nan, -0.0, 1e-7
    top = int(np.frexp(np.nanmax(np.abs(x.astype(np.float32))))[1])
    found = executors.of("ufuse.observers").count_octaves(x, (axis,), in_numpy.Octaves(top, 4, 3))
    # One by one: 32 bins of either sign, the smallest magnitude of each.
    edges = np.ldexp(1 + np.arange(32) % 8 / 8, top - 4 + np.arange(32) // 8)
    for index in range(x.shape[axis]):
        lane = np.take(x, index, axis).astype(np.float32).ravel()
        lane = lane[~np.isnan(lane)]
        place = np.searchsorted(edges, np.abs(lane), "right")
        wanted = np.bincount(32 + np.where(lane < 0, -place, place), minlength=65)
        np.testing.assert_array_equal(found[index], wanted)


def test_streams_over_two_axes_are_counted() -> None:
    x = (NORMAL[:6000] * 100).reshape(4, 10, 5, 30)[:, ::-2]
    count = executors.of("ufuse.observers").count_octaves
    octaves = in_numpy.Octaves(9, 6, 2)
    for over in ((0, 2), (1, 3), (0, 1, 2, 3), (3,)):
        found = count(x, over, octaves)
        assert found.shape == (*(x.shape[i] for i in over), octaves.bins)
        rows = np.moveaxis(x, over, range(len(over)))
        for index in np.ndindex(found.shape[:-1]):
            row = np.atleast_1d(rows[index]).reshape(1, -1)
            np.testing.assert_array_equal(
                found[index], in_numpy.count_octaves(row, (0,), octaves)[0]
            )


@pytest.mark.parametrize(("bins", "levels"), [(257, 64), (130, 32), (65, 2)])
def test_divergences_are_those_of_numpy(bins: int, levels: int) -> None:
    rows = [
        rng.normal(size=10_000),
        rng.laplace(size=50),
        np.abs(rng.normal(size=3000)),
        np.ones(5),
    ]
    edges = [np.linspace(-np.abs(row).max(), np.abs(row).max(), bins + 1) for row in rows]
    counts = np.array(
        [np.histogram(row, edge)[0] for row, edge in zip(rows, edges, strict=True)], float
    )
    found = executors.of("ufuse.observers").divergences(counts, levels)
    assert found.shape == (4, bins // 2 + 1 - levels // 2)
    np.testing.assert_allclose(found, in_numpy.divergences(counts, levels), 1e-9, 1e-12)
    for threads in (1, 3):
        with uf.threads(threads):
            again = executors.of("ufuse.observers").divergences(counts, levels)
            np.testing.assert_array_equal(found, again)
    with pytest.raises(ValueError, match="unlike sizes"):
        pytest.importorskip("ufuse._core").divergences(counts, levels, np.zeros((4, 1)))
