"""Programs at their edges: what a reviewer once broke, each by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ufuse as uf


def test_an_input_returned_byte_swapped_is_not_swapped_in_place(tmp_path: Path) -> None:
    """The identity into a byte-swapped out once wrote to the (here read-only) input."""
    path = tmp_path / "x.bin"
    np.arange(100_000, dtype=np.float32).tofile(path)
    source = np.memmap(path, np.float32, "r")
    out = np.empty(100_000, ">f4")
    uf.fuse(lambda a: a)(source, out=out)
    np.testing.assert_array_equal(out, source)


@pytest.mark.parametrize("dimensions", [33, 40, 63, 64])
def test_more_than_32_dimensions(dimensions: int) -> None:
    """numpy.broadcast_shapes stops at 32 dimensions; arrays do not."""
    shape = tuple(2 if i % 16 == 0 else 1 for i in range(dimensions))
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.testing.assert_array_equal(uf.fuse(lambda a, b: a + 2 * b)(x, x[0]), x + 2 * x[0])
    np.testing.assert_array_equal(uf.relu(x - 3), np.maximum(x - 3, 0))
    codes = uf.quantize_linear(x, np.float32([0.5, 0.25]), axis=0)
    assert codes.shape == shape


def test_a_row_input_beside_an_empty_reduction_is_returned() -> None:
    """Over a loop of length 0 the second result was once never written."""

    @uf.fuse
    def both(a, b):
        return a.sum(axis=-1, keepdims=True), b.max(axis=-1, keepdims=True)

    empty, seven = np.zeros((3, 0), np.float32), np.full((3, 1), 7, np.float32)
    total, largest = both(empty, seven)
    np.testing.assert_array_equal(total, np.zeros((3, 1)))
    np.testing.assert_array_equal(largest, seven)


def test_the_sum_of_nothing_is_positive_zero() -> None:
    empty = np.zeros((2, 0), np.float32)
    total = uf.fuse(lambda a: a.sum(axis=-1, keepdims=True))(empty)
    assert not np.signbit(total).any()
    assert not np.signbit(uf.sum(np.float32([-0.0])))
    assert not np.signbit(np.sum(np.float32([-0.0])))  # as NumPy's


def test_running_out_of_memory_in_a_worker_is_a_memory_error() -> None:
    """An exception on a pool thread reaches the caller instead of ending the process."""
    x = np.broadcast_to(np.float32(1), (4, 1 << 40))
    with pytest.raises(MemoryError):
        uf.fuse(lambda a: a - a.max(axis=-1, keepdims=True))(x)


def test_every_dtype_through_strides_broadcast_and_tails() -> None:
    rng = np.random.default_rng(0)
    for code in "?bhilBHILfd":
        x = rng.integers(0, 2, (37, 5, 130)).astype(code)
        for view in (x, x.T, x[::-2, :, ::3], x[:, ::-1], np.broadcast_to(x[:1], x.shape)):
            same = uf.fuse(lambda a: np.where(a == a, a, a))(view)
            np.testing.assert_array_equal(same, view)
            assert same.dtype == x.dtype


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("columns", [4096, 1000, 100])
def test_results_stored_past_the_cache(columns: int, offset: int) -> None:
    """Large results take another way to memory: any alignment, ragged tiles, and in place."""
    rows = 6_000_001 // columns  # 24 MB of float32: more than half of most last-level caches
    memory = np.random.default_rng(5).standard_normal(rows * columns + 1).astype(np.float32)
    x = memory[offset : offset + rows * columns].reshape(rows, columns)
    row, column = x[:, :1].copy(), x[0].copy()

    def expression(a, r, c):
        return (a * r + c) * 0.5, a - c, a < c

    fused = uf.fuse(expression)
    expected = expression(x, row, column)
    out = tuple(np.empty(e.size + 1, e.dtype)[offset:][: e.size].reshape(e.shape) for e in expected)
    fused(x, row, column, out=out)
    for got, want in zip(out, expected, strict=True):
        np.testing.assert_array_equal(got, want)
    uf.fuse(lambda a, c: a - c)(x, column, out=x)
    np.testing.assert_array_equal(x, expected[1])


@pytest.mark.parametrize(
    "shape", [(1000, 32), (999, 48), (70_001, 8), (5, 300, 64), (3, 40, 7, 16)]
)
@pytest.mark.parametrize("spread", [(-1,), (0,), (-2,), (0, -1)])
def test_a_value_for_each_of_many_short_rows(
    shape: tuple[int, ...], spread: tuple[int, ...]
) -> None:
    """Tiles of whole rows follow one another along the second axis, values spread over each."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=shape).astype(np.float32)
    per = rng.normal(size=[1 if i - len(shape) in spread or i in spread else n
                           for i, n in enumerate(shape)]).astype(np.float32)  # fmt: skip
    f = uf.fuse(lambda a, b: (a * b, a - b))
    outs = (np.empty_like(x), np.empty((*shape[:-1], 2 * shape[-1]), np.float32)[..., ::2])
    for source in (x, np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], x.astype(">f4")):
        for got, want in zip(f(source, per), (x * per, x - per), strict=True):
            np.testing.assert_array_equal(got, want)
        f(source, per, out=outs)
        for got, want in zip(outs, (x * per, x - per), strict=True):
            np.testing.assert_array_equal(got, want)
