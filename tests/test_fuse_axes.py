"""Reductions anywhere in a fused function, over any axes, of any strides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from test_fuse import assert_same, check, sample
from ufuse import executors

AXES: list[Any] = [None, 0, 1, -1, (0, 2), (1, 2), (0, 1, 2), ()]


def cube(code: str) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.integers(-4, 9, (5, 6, 7)).astype(code)


@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "any", "all", "mean", "var", "std"])
def test_every_reduction_over_every_axis(name: str, axis: Any, keepdims: bool) -> None:
    x = np.clip(cube("f8"), 0.5, 1.5)
    check(lambda x: getattr(x, name)(axis=axis, keepdims=keepdims), x, ulp=64)
    check(lambda x: getattr(np, name)(x * 2 - 1, axis=axis, keepdims=keepdims) + 1, x, ulp=64)


@pytest.mark.parametrize("code", ["?", "i1", "u2", "i8", "f2", "f4", "f8", "c16"])
@pytest.mark.parametrize("name", ["sum", "max", "mean", "argmax", "count_nonzero", "cumsum"])
def test_every_dtype(name: str, code: str) -> None:
    x = sample(code)
    if name == "count_nonzero":
        check(lambda x: np.count_nonzero(x, axis=0), x)
        return
    check(lambda x: getattr(np, name)(x, axis=0), x, ulp=64)


@pytest.mark.parametrize("axis", [0, 1, 2, None])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_places(name: str, axis: int | None) -> None:
    x = cube("f4")
    x[2, 3, 4] = np.nan
    check(lambda x: getattr(np, name)(x * 2, axis=axis), x)
    check(lambda x: getattr(x, name)(axis, keepdims=True), x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x - x.mean(axis=1)[:, None],
        lambda x: (x - x.mean(axis=0)) / x.std(axis=0),
        lambda x: x / x.sum(),
        lambda x: np.exp(x - x.max(1, keepdims=True)).sum(1),
        lambda x: x.T - x.mean(axis=1),
        lambda x: (x - x.min(0)).sum(1),
        lambda x: ((x * x).sum(1)[:, None] - 2 * x).max(0),
        lambda x: x.sum(0).sum(),
        lambda x: (x.sum(0), x.sum(1), x * 2, x.sum()),
        lambda x: x[x.shape[0] // 2 :].sum(0) - x[: x.shape[0] // 2].sum(0),
        lambda x: np.cumsum(x * 2, axis=0)[-1] - x.sum(0),
        lambda x: np.median(x - x.mean(), axis=1) + 1,
        lambda x: np.diff(x, axis=0).max(1),
        lambda x: (x @ x.T).sum(1) / x.sum(1),
        lambda x: np.ptp(x, axis=0),
    ],
)
@pytest.mark.parametrize("shape", [(6, 4), (40, 300), (2, 1), (300, 3)], ids=str)
def test_maps_and_reductions_in_turn(
    function: Callable[[Any], Any], shape: tuple[int, ...]
) -> None:
    x = np.random.default_rng(5).uniform(0.5, 2.0, shape)
    for array in (x, np.asfortranarray(x), x[::-1, ::-1], np.repeat(x, 2, axis=1)[:, ::2]):
        fused = uf.fuse(function)
        for _ in range(2):
            got, want = fused(array), function(array)
            for one, other in zip(_several(got), _several(want), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
                assert np.shape(one) == np.shape(other)


def _several(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


def test_layouts_and_threads_give_the_same_bits() -> None:
    rng = np.random.default_rng(7)
    a, b = (rng.standard_normal((700, 900)).astype("f4") for _ in range(2))
    for axis in (0, 1, None):
        fused = uf.fuse(lambda a, b: (((a - b) ** 2).sum(axis), (a * b).mean(axis)))  # noqa: B023
        with uf.threads(1):
            want = fused(a, b)
        for x, y in ((a, b), (np.asfortranarray(a), b), (a[::-1][::-1], np.asfortranarray(b))):
            for got, other in zip(fused(x, y), want, strict=True):
                np.testing.assert_array_equal(got, other)


def test_the_bits_are_those_outside() -> None:
    """The product is not written, and summed as if it were."""
    rng = np.random.default_rng(8)
    for shape in ((3, 5000), (5000, 3), (130, 140, 3), (20, 1030)):
        a, b = (rng.standard_normal(shape).astype("f4") for _ in range(2))
        for axis in (None, 0, 1):
            for name in ("sum", "mean", "var", "max", "argmax"):
                fused = uf.fuse(lambda a, b: getattr(np, name)(a * b, axis=axis))  # noqa: B023
                np.testing.assert_array_equal(fused(a, b), getattr(uf, name)(a * b, axis=axis))


def test_masks_and_initial_values() -> None:
    x, mask = cube("f8"), cube("i8") > 2
    check(lambda x, m: np.sum(x, axis=1, where=m), x, mask, ulp=8)
    check(lambda x, m: np.mean(x, axis=0, where=m), x, mask, ulp=8)
    check(lambda x, m: np.var(x, axis=(0, 1), where=m, ddof=1), x, mask, ulp=64)
    check(lambda x, m: np.max(x, axis=1, where=m, initial=-3.0), x, mask)
    check(lambda x, m: np.any(x, axis=2, where=m), x, mask)
    check(lambda x, m: np.sum(x, axis=1, where=m[0]), x, mask, ulp=8)
    check(lambda x: x.sum(axis=0, initial=5.0), x)
    with pytest.raises(ValueError, match="'initial'"):
        uf.fuse(lambda x, m: np.max(x, where=m))(x, mask)


def test_nothing_to_reduce() -> None:
    x = np.empty((3, 0))
    check(lambda x: (x * 2).sum(1), x)
    check(lambda x: (x * 2).prod(0), x)
    check(lambda x: ((x > 0).all(1), (x > 0).any(1)), x)
    check(lambda x: x - x.sum(1, keepdims=True), x)
    with pytest.raises(ValueError, match="zero-size array to reduction operation maximum"):
        uf.fuse(lambda x: (x + 1).max(1))(x)


def test_ufuse_functions_inside() -> None:
    x = np.random.default_rng(1).standard_normal((8, 50)).astype("f4")
    for name in ("softmax", "log_softmax", "logsumexp", "median", "nanmean", "cumsum", "norm"):
        function = getattr(uf, name)
        fused = uf.fuse(lambda x: function(x * 2, axis=1) + 1)  # noqa: B023
        np.testing.assert_array_equal(fused(x), function(x * 2, axis=1) + 1)
    fused = uf.fuse(lambda x: uf.quantile(x - 1, [0.25, 0.5], axis=0))
    np.testing.assert_array_equal(fused(x), uf.quantile(x - 1, [0.25, 0.5], axis=0))


def test_passes() -> None:
    """As few reads as the axes allow, and no product in memory."""
    x = np.zeros((64, 1000), np.float32)

    def passes(function: Callable[..., Any], *args: Any) -> Any:
        return uf.fuse(function).explain(*args)

    softmax = passes(lambda x: (e := np.exp(x - x.max(1, keepdims=True))) / e.sum(1)[:, None], x)
    assert len(softmax.passes) == 1
    assert softmax.bytes_read == softmax.bytes_written == x.nbytes
    for axis in (0, 1, None):
        one = passes(lambda a, b: ((a - b) ** 2).sum(axis), x, x + 1)  # noqa: B023
        assert len(one.passes) == 1
        assert one.temporaries == 0 or executors.backend() == "reference"
        assert one.bytes_read == 2 * x.nbytes
    beside = passes(lambda x: (x - x.mean(0)) / x.std(0), x)
    assert len(beside.passes) == 2  # both in one read, and what is made of them
    both = passes(lambda x: (x.mean(0), x.std(0)), x)
    assert len(both.passes) == 1
    assert both.bytes_read == x.nbytes
    assert "reduce sum.mean[0]" in str(both)


def test_one_trace_serves_every_shape() -> None:
    fused = uf.fuse(lambda x, y: (x - x.mean(axis=1)[:, None]) * y.sum(0))
    for m, n in ((4, 6), (1, 6), (4, 1), (1, 1), (70, 3)):
        x, y = np.arange(1.0 * m * n).reshape(m, n), np.ones((3, n))
        with np.errstate(all="ignore"):
            want = (x - x.mean(axis=1)[:, None]) * y.sum(0)
        assert_same(fused(x, y), want, ulp=64)
    assert fused.cache_info().misses == 1


def test_a_deep_function() -> None:
    def deep(x: Any) -> Any:
        for _ in range(1500):
            x = x * 0.5 + 1
        return x[1:].sum(0)

    check(deep, np.ones((4, 3)), ulp=8)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((2, 31, 1000), (0, 1)),  # pieces beside each other, of rows that are at no equal steps
        ((5, 1000, 3), (0, 2)),
        ((2049, 15, 16), None),
        ((3000, 4), 1),  # rows that lie as one
        ((700, 1500), 1),  # a chunk and a part of one, in turns
        ((40, 2, 3000), (0, 1)),
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)], ids=str)
def test_pieces_of_what_is_computed_in_turn(
    shape: tuple[int, ...], axis: Any, order: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(8)
    order = order if len(shape) == 3 else tuple(o for o in order if o < 2)
    a = rng.integers(0, 50, shape).astype("f8").transpose(order).copy().transpose(np.argsort(order))
    b = rng.integers(0, 50, shape).astype("f4")
    got = uf.fuse(lambda a, b: ((a + b) * 2).sum(axis))(a, b)
    assert np.array_equal(got, ((a + b) * 2).sum(axis))


def test_rows_beside_a_value_for_each_column_by_the_fast_entry() -> None:
    def norm(x: Any, gain: Any) -> Any:
        return (x - x.mean(1)[:, None]) * gain

    rng = np.random.default_rng(2)
    fused = uf.fuse(norm)
    x, gain = rng.random((6, 40)), rng.random(40)
    for a, b in (
        (x, gain),
        (x, gain),
        (x[:, :1].copy(), gain),  # the rows are shorter than the loop
        (x[:1].copy(), rng.random(40)),
        (x[:, 1:].copy(), gain[1:].copy()),
    ):
        want, out = norm(a, b), np.empty(np.broadcast_shapes(a.shape, b.shape))
        for got in (fused(a, b), fused(a, b, out=out)):
            assert got.shape == want.shape
            assert np.allclose(got, want, rtol=1e-13, atol=1e-15)
    if executors.backend() == "native":
        assert getattr(fused, "_fast", None) is not None


@pytest.mark.parametrize("rows", [1, 2, 3, 9])
@pytest.mark.parametrize("length", [255, 256, 320, 1000, 1024, 1030, 5000])
@pytest.mark.parametrize("step", [1, 2])
def test_long_rows_treated_one_by_one(rows: int, length: int, step: int) -> None:
    def codes(x: Any, scale: Any, gain: Any) -> Any:
        y = (x - x.mean(1)[:, None]) / (x.std(1)[:, None] + scale) * gain
        top = np.max(np.abs(y), axis=1)[:, None]
        return y, np.rint(y / top * 127).astype(np.int8), top[:, 0], np.exp(y - top) * scale

    rng = np.random.default_rng(length)
    x = rng.random((rows, length * step)).astype("f4")[:, ::step]
    scale, gain = rng.random((rows, 1)).astype("f4"), rng.random(length).astype("f4")
    got, want = uf.fuse(codes)(x, scale, gain), codes(x, scale, gain)
    assert np.allclose(got[0], want[0], rtol=1e-4, atol=1e-5)
    assert np.abs(got[1].astype(int) - want[1]).max() <= 1
    assert np.allclose(got[2], want[2], rtol=1e-4)
    assert np.allclose(got[3], want[3], rtol=1e-4, atol=1e-6)
    alone = [uf.fuse(codes)(x[i : i + 1], scale[i : i + 1], gain) for i in range(rows)]
    for k in range(4):  # to the bit, however many rows a tile has
        assert np.array_equal(got[k], np.concatenate([one[k] for one in alone]))


@pytest.mark.parametrize("length", [256, 1024, 1030, 2112])
@pytest.mark.parametrize("layout", ["fresh", "out", "unaligned", "apart", "backwards"])
def test_rows_that_leave_past_the_caches(length: int, layout: str) -> None:
    """To the bit as few rows, which stay in the caches; nothing is written beside the results."""

    def norm(x: Any, gain: Any) -> Any:
        y = (x - x.mean(1)[:, None]) / x.std(1)[:, None] * gain
        top = np.max(np.abs(y), axis=1)[:, None]
        return y, np.rint(y * (127 / top)).astype(np.int8), np.exp(y - top)

    rng = np.random.default_rng(length)
    rows = (3 << 20) // length
    x, gain = rng.random((rows, length)).astype("f4"), rng.random(length).astype("f4")
    if layout == "backwards":
        x = x[::-1]
    fused = uf.fuse(norm)
    parts = [fused(x[i : i + 50], gain) for i in range(0, rows, 50)]
    want = [np.concatenate([part[k] for part in parts]) for k in range(3)]
    wide = length + (5 if layout == "apart" else 0)
    for threads in (1, 2):
        with uf.threads(threads):
            if layout in ("fresh", "backwards"):
                got = fused(x, gain)
            else:
                rooms = [np.zeros(rows * wide + 1, dtype) for dtype in ("f4", "i1", "f4")]
                first = 1 if layout == "unaligned" else 0
                blocks = [room[first : first + rows * wide].reshape(rows, wide) for room in rooms]
                got = fused(x, gain, out=tuple(block[:, :length] for block in blocks))
                assert all(room[0 if first else -1] == 0 for room in rooms)
                assert not any(block[:, length:].any() for block in blocks)
        for a, b in zip(got, want, strict=True):
            assert np.array_equal(a, b)
