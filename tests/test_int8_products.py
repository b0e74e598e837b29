"""Products of 8-bit integers: tiles that are not full, the largest terms, every layout and tier."""

from __future__ import annotations

import multiprocessing
import sys

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from contraction_cases import Array, same, spread

#: Both sides of each multiple of what a tile holds, and of two tiles.
COUNTS = [1, 2, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 97]
#: Positions of k in a tile are 64, in a group 4; a block of k has 1024 or 2048.
DEPTHS = [1, 3, 4, 5, 63, 64, 65, 127, 129, 1023, 1024, 1025, 2048, 2049, 4100]
#: Of the operands: the signed one is the first, the second, or both are.
DTYPES = [("int8", "int8"), ("uint8", "int8"), ("int8", "uint8")]


def extreme(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw any values of a dtype, the least and the largest often."""
    info = np.iinfo(dtype)
    drawn = rng.integers(info.min, info.max + 1, shape)
    ends = rng.choice([info.min, info.max], shape)
    return np.where(rng.random(shape) < 0.5, ends, drawn).astype(dtype)


def exact(a: Array, b: Array) -> Array:
    """Return the product in int32; float64 holds these sums exactly."""
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int32)


def layouts(x: Array) -> dict[str, Array]:
    """Return the same matrix as it may lie in memory."""
    return {
        "rows": x,
        "columns": np.asfortranarray(x),
        "backwards": np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
        "apart": spread(x),
    }


@pytest.mark.parametrize(("left", "right"), DTYPES)
@pytest.mark.parametrize(("more", "further"), [(0, 0), (320, 64)])
def test_counts_of_rows_and_columns(
    left: str, right: str, more: int, further: int, any_tier: str
) -> None:
    """Of a small product, and of the last rows and columns of one that is worth its tiles."""
    rng = np.random.default_rng(1)
    for m in COUNTS:
        for n in COUNTS:
            a, b = extreme(rng, (m + more, 70), left), extreme(rng, (70, n + further), right)
            same(uf.matmul(a, b, accumulate="int32"), exact(a, b), f"{a.shape} x {b.shape}")


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_few_terms_of_many_results(k: int, any_tier: str) -> None:
    rng = np.random.default_rng(6)
    a, b = extreme(rng, (1027, k), "int8"), extreme(rng, (k, 1111), "int8")
    same(uf.matmul(a, b, accumulate="int32"), exact(a, b))


@pytest.mark.parametrize(("left", "right"), DTYPES)
@pytest.mark.parametrize("k", DEPTHS)
def test_depths_in_every_layout(left: str, right: str, k: int, any_tier: str) -> None:
    rng = np.random.default_rng(2)
    for m, n in ((1, 1), (16, 40), (37, 21), (70, 35), (107, 130), (150, 7)):
        a, b = extreme(rng, (m, k), left), extreme(rng, (k, n), right)
        want = exact(a, b)
        for row, x in layouts(a).items():
            for column, y in layouts(b).items():
                message = f"{m} x {n}, {row} by {column}"
                same(uf.matmul(x, y, accumulate="int32"), want, message)
                for out in layouts(np.zeros_like(want)).values():
                    uf.matmul(x, y, accumulate="int32", out=out)
                    same(out, want, message)


@pytest.mark.parametrize(
    ("left", "right", "a", "b"),
    [
        ("int8", "int8", -128, -128),
        ("int8", "int8", -128, 127),
        ("uint8", "int8", 255, -128),
        ("int8", "uint8", -128, 255),
    ],
)
def test_terms_as_large_as_they_get(left: str, right: str, a: int, b: int, any_tier: str) -> None:
    """Nothing saturates: not a pair of products, nor four, nor sums close to the ends of int32."""
    for k in (1, 2, 4, 64, 1024, 2049, 65536):
        for m, n in ((3, 17), (49, 33)):
            x, y = np.full((m, k), a, left), np.full((k, n), b, right)
            assert (uf.matmul(x, y, accumulate="int32") == a * b * k).all(), (m, n, k)


@pytest.mark.parametrize(("left", "right"), DTYPES)
def test_rows_and_k_of_several_axes(left: str, right: str, any_tier: str) -> None:
    """Offsets on every side: rows of A lie together in pairs, k in runs of 32."""
    rng = np.random.default_rng(3)
    a, b = extreme(rng, (9, 32, 20, 2), left), extreme(rng, (9, 3, 32, 19), right)
    rows = a.transpose(2, 3, 0, 1).reshape(40, -1)
    columns = b.transpose(0, 2, 1, 3).reshape(rows.shape[1], -1)
    want = exact(rows, columns).reshape(20, 2, 3, 19)
    same(uf.einsum("rkip,rqkj->ipqj", a, b, accumulate="int32"), want)
    same(uf.einsum("rkip,rqkj->jqpi", a, b, accumulate="int32"), want.transpose(3, 2, 1, 0))


@pytest.mark.parametrize(("left", "right"), DTYPES)
def test_threads_and_batches(left: str, right: str, any_tier: str, threads: int) -> None:
    rng = np.random.default_rng(4)
    a, b = extreme(rng, (300, 2100), left), extreme(rng, (2100, 530), right)
    items = extreme(rng, (5, 40, 130), left), extreme(rng, (5, 130, 50), right)
    with uf.threads(threads):
        same(uf.matmul(a, b, accumulate="int32"), exact(a, b))
        got = uf.matmul(*items, accumulate="int32")
        turned = uf.einsum("bik,bkj->jib", *items, accumulate="int32")
    for i in range(5):
        same(got[i], exact(items[0][i], items[1][i]))
        same(turned[:, :, i].T, got[i])


@pytest.mark.parametrize(("left", "right"), DTYPES)
@pytest.mark.parametrize(("m", "n"), [(3, 50), (50, 3), (70, 41), (130, 210)])
@pytest.mark.parametrize("k", [5, 70, 2100])
def test_what_is_computed_before_and_after(
    left: str, right: str, m: int, n: int, k: int, any_tier: str
) -> None:
    """Operands made as they are packed, sums finished as they are stored, C by rows or columns.

    Where C^T = B^T A^T is what is done, the axes of all of these change with it.
    """
    rng = np.random.default_rng(7)
    a, b = extreme(rng, (m, k), left), extreme(rng, (k, n), right)
    row, column = (extreme(rng, shape, "int8").astype(np.int32) for shape in ((m, 1), (n,)))
    sums = exact(a, b)
    want = sums - row * 3 + column
    for out in layouts(np.zeros_like(sums)).values():
        for x, y in ((a, b), (np.asfortranarray(a), np.asfortranarray(b))):
            uf.matmul(x, y, accumulate="int32", out=out, finish=lambda s: s - row * 3 + column)
            same(out, want, f"{m} x {n}")
    scaled = uf.matmul(a, b, accumulate="int32", finish=lambda s: s.astype("f4") * 0.5 + row)
    np.testing.assert_allclose(scaled, sums * 0.5 + row, rtol=1e-6)
    opposite = uf.fuse(lambda x, y: uf.matmul(~x, y, accumulate="int32"))
    same(opposite(a, b), exact(~a, b))
    other = uf.fuse(lambda x, y: uf.matmul(x, ~y, accumulate="int32"))
    same(other(a, b), exact(a, ~b))


@pytest.mark.parametrize("k", [7, 64, 1500, 2100])
def test_prepacked_weights_with_everything_fused(k: int, any_tier: str) -> None:
    """Scales are 1, and numbers whole: the sums are exact, and so is what becomes of them."""
    rng = np.random.default_rng(5)
    for m, n in ((1, 40), (9, 33), (50, 300), (230, 65)):
        x, w = (rng.integers(-3, 4, shape).astype(np.float32) for shape in ((m, k), (n, k)))
        x[:, 0] = w[:, 0] = 127
        bias = rng.integers(-900, 900, n).astype(np.float32)
        packed = uf.prepack(uf.quantize(w, "int8", axis=0), "dynamic")
        want = np.maximum(x.astype(np.float64) @ w.T.astype(np.float64) + bias, 0)
        got = uf.linear(x, packed, bias, activation="relu")
        np.testing.assert_array_equal(got, want.astype(np.float32), err_msg=f"{m} x {n}")


def test_the_last_tiers_have_the_same_bits() -> None:
    """Sums that pass int32 wrap alike by tiles and by dot products of registers."""
    if not NATIVE:
        pytest.skip("the reference executor has no tiers")
    from ufuse import _core

    a, b = np.full((40, 200_000), 255, np.uint8), np.full((200_000, 50), -128, np.int8)
    found = []
    try:
        for tier in _core.available_tiers():
            _core.set_tier(tier)
            found.append(uf.matmul(a, b))
            found.append(uf.matmul(b.T, a.T).T)
    finally:
        _core.set_tier("")
    for other in found:
        same(other, found[-1])
    assert (found[-1] == np.int64(255 * -128 * 200_000).astype(np.int16)).all()


def _child(connection: multiprocessing.connection.Connection) -> None:
    a = np.full((64, 64), -128, np.int8)
    connection.send(bool((uf.matmul(a, a, accumulate="int32") == 128 * 128 * 64).all()))


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_may_use_what_its_parent_may() -> None:
    """The permission to use tiles is the process', and its children's."""
    a = np.full((64, 64), 127, np.int8)
    assert (uf.matmul(a, a, accumulate="int32") == 127 * 127 * 64).all()
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    child = context.Process(target=_child, args=(theirs,))
    child.start()
    assert mine.poll(60) and mine.recv()
    child.join(60)
    assert child.exitcode == 0
