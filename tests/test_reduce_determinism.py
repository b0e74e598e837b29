"""The accuracy and determinism contracts of reductions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from ufuse import executors

NATIVE = executors.backend() == "native"
native_only = pytest.mark.skipif(
    not NATIVE, reason="the reference executor is NumPy's order of sums"
)


@pytest.fixture
def restored() -> Iterator[Any]:
    """Give the compiled module; the tier is the default again afterwards."""
    from ufuse import _core

    yield _core
    _core.set_tier("")


def difficult(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray[Any, Any]:
    """Elements whose sum in another order has other bits."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * 10.0 ** rng.uniform(-6, 6, shape)).astype(dtype)


def canonical_sum(values: np.ndarray[Any, Any]) -> float:
    """Fold one group of elements by the tree of csrc/reduce/reduction.hpp, in plain Python."""
    states = [float(v) for v in values]
    while True:
        folded = []
        for first in range(0, len(states), 1024):
            lanes: list[float | None] = [None] * 16
            for j, value in enumerate(states[first : first + 1024]):
                lane = lanes[j % 16]
                lanes[j % 16] = value if lane is None else lane + value
            for half in (8, 4, 2, 1):
                for i in range(half):
                    left, right = lanes[i], lanes[i + half]
                    if left is not None and right is not None:
                        lanes[i] = left + right
            assert lanes[0] is not None
            folded.append(lanes[0])
        states = folded
        if len(states) == 1:
            return states[0]


@native_only
@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 100, 1023, 1024, 1025, 5000, 40_000])
def test_the_tree_is_the_documented_one(count: int, tier: str) -> None:
    x = difficult((count,), "f8")
    assert uf.sum(x) == canonical_sum(x)
    columns = np.repeat(x[:, None], 20, axis=1)
    np.testing.assert_array_equal(uf.sum(columns, axis=0), np.full(20, canonical_sum(x)))


@native_only
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i2", "u1"])
def test_elements_in_lines_of_their_own_have_the_bits_of_neighbours(dtype: str, tier: str) -> None:
    """Diagonals, and every so many elements: gathered row by row, whatever the length of a row."""

    def made(*shape: int) -> np.ndarray[Any, Any]:
        if np.dtype(dtype).itemsize >= 4:
            return difficult(shape, dtype)
        return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)

    cube = made(9, 70, 70)
    views = [cube.diagonal(axis1=1, axis2=2), cube[::-2].diagonal(axis1=1, axis2=2)[:, ::-1]]
    for count in (1, 2, 3, 63, 64, 65, 1024, 1500):
        wide = made(5, count * 70)
        views += [wide[:, ::70], wide[::2, ::-70]]
    for view in views:
        rows = view.copy()
        for function in (uf.sum, uf.var, uf.max, uf.argmin, uf.prod):
            want = function(rows, axis=-1)
            for threads in (1, 3):
                with uf.threads(threads):
                    np.testing.assert_array_equal(function(view, axis=-1), want)
            np.testing.assert_array_equal(
                function(view.astype(view.dtype.newbyteorder()), axis=-1), want
            )


@native_only
def test_short_axes_join_the_axis_before_them(tier: str) -> None:
    x = difficult((3, 90, 5), "f8")
    assert uf.sum(x) == canonical_sum(x.reshape(-1))  # 5, then 450: one group, and 3 the next
    y = difficult((7, 200), "f8")
    assert uf.sum(y) == canonical_sum(np.array([canonical_sum(row) for row in y]))


@native_only
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(1 << 17,), (700, 411), (33, 70, 129), (5, 4100)], ids=str)
def test_same_bits_for_threads_layouts_and_tiers(
    restored: Any, shape: tuple[int, ...], dtype: str
) -> None:
    x = difficult(shape, dtype)
    order = tuple(reversed(range(x.ndim)))
    back = tuple(slice(None, None, -1) for _ in shape)
    padded = np.zeros(tuple(n + 3 for n in shape), dtype)
    window = padded[tuple(slice(1, -2) for _ in shape)]
    window[...] = x
    views = [x, np.asfortranarray(x), np.ascontiguousarray(x[back])[back], window]
    views.append(np.ascontiguousarray(x.transpose(order)).transpose(order))
    views.append(x.astype(x.dtype.newbyteorder()))
    axes: list[Any] = [None, *range(x.ndim)]
    if x.ndim == 3:
        axes += [(0, 2), (0, 1)]
    for function in (uf.sum, uf.mean, uf.var, uf.min, uf.logsumexp):
        # v2 has no fused multiply-add: its variances and exponentials differ in the last bit.
        fused = function in (uf.var, uf.logsumexp)
        exact = [t for t in restored.available_tiers() if t != "v2" or not fused]
        for axis in axes:
            seen = set()
            for tier in exact:
                restored.set_tier(tier)
                for view in views:
                    for threads in (1, 2, 3):
                        with uf.threads(threads):
                            seen.add(np.asarray(function(view, axis=axis)).tobytes())
            assert len(seen) == 1, (function.__name__, axis)


@pytest.mark.parametrize("shape", [(100_000,), (3000, 40), (40, 3000)], ids=str)
def test_float32_sums_are_no_worse_than_pairwise(shape: tuple[int, ...]) -> None:
    x = difficult(shape, "f4", seed=3)
    for axis in range(x.ndim):
        ours, theirs = uf.sum(x, axis=axis), np.sum(x, axis=axis)
        for i in np.ndindex(np.shape(ours)):
            line = x[(*i[:axis], slice(None), *i[axis:])]
            exact = math.fsum(line.tolist())
            error = abs(float(np.asarray(ours)[i]) - exact)
            assert error <= abs(float(np.asarray(theirs)[i]) - exact)
            assert error <= float(np.spacing(np.float32(abs(exact))))


@pytest.mark.parametrize(
    ("mean", "count"), [(10_000_000.2, 1001), (1_000_000.2, 1001), (10.2, 1001)]
)
def test_nist_numacc(mean: float, count: int) -> None:
    """NIST StRD NumAcc2-4: a first value, then pairs around the mean by 0.1 (certified s = 0.1)."""
    x = np.array([mean] + [mean - 0.1, mean + 0.1] * (count // 2))
    digits = -math.log10(abs(float(uf.mean(x)) - mean) / mean + 1e-16)
    assert digits >= 13
    # The values themselves are rounded: 1e7 + 0.1 has 10 digits after the point left.
    assert float(uf.std(x, ddof=1)) == pytest.approx(0.1, rel=1e-8)


def test_variance_with_a_large_mean() -> None:
    x = np.random.default_rng(0).standard_normal(50_000) + 1e9
    exact = math.fsum((x - math.fsum(x) / x.size) ** 2) / x.size
    assert float(uf.var(x)) == pytest.approx(exact, rel=1e-12)
