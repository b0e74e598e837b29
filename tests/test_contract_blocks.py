"""Contractions at sizes that cross every block of every loop, in every layout, on every tier."""

from __future__ import annotations

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE, tiers
from contraction_cases import block_sizes, dtype_of, kernels, product, same, small, spread

#: What is multiplied, by the code of the product that it goes to.
OPERANDS = {
    "f4": ("float32", "float32", None),
    "f8": ("float64", "float64", None),
    "i1i1": ("int8", "int8", "int32"),
    "u1i1": ("uint8", "int8", "int32"),
    "i1u1": ("int8", "uint8", "int32"),
    "c8": ("complex64", "complex64", None),
    "c16": ("complex128", "complex128", None),
    "bf16": ("bfloat16", "bfloat16", "float32"),
    "i2": ("int16", "int16", None),
    "i4": ("int32", "int32", None),
    "i8": ("int64", "int64", None),
    "or_and.?": ("bool", "bool", None),
    # The same products, of operands that are converted as they are packed.
    "f4 of float16": ("float16", "float16", "float32"),
    "i2 of uint8": ("uint8", "uint8", "int32"),
    "i4 of int16": ("int16", "int32", None),
    "u1i1 of uint8": ("uint8", "uint8", None),
    "f8 of float32": ("float32", "float64", None),
    "c8 by real": ("float32", "complex64", None),
}


@pytest.mark.parametrize("name", OPERANDS)
def test_sizes_around_every_block(name: str, any_tier: str) -> None:
    """Four layouts: as given, A transposed, the result transposed, everything strided backwards."""
    left, right, accumulate = OPERANDS[name]
    rng = np.random.default_rng(1)
    for m, n, k in block_sizes(name.split(maxsplit=1)[0]):
        a, b = small(rng, (m, k), dtype_of(left)), small(rng, (k, n), dtype_of(right))
        want = product(a, b, accumulate)
        message = f"{m} x {n} x {k}"
        same(uf.einsum("ik,kj->ij", a, b, accumulate=accumulate), want, message)
        turned = np.ascontiguousarray(a.T)
        same(uf.einsum("ki,kj->ij", turned, b, accumulate=accumulate), want, message)
        same(uf.einsum("ik,kj->ji", a, b, accumulate=accumulate), want.T, message)
        out = spread(np.zeros((m, n), want.dtype))
        uf.einsum("ik,kj->ij", spread(a), spread(b), out=out, accumulate=accumulate)
        same(out, want, message)


@pytest.mark.parametrize("name", OPERANDS)
def test_fused_axes_around_every_block(name: str, any_tier: str) -> None:
    """Rows, columns and k of two labels each, which lie apart: offset vectors on every side."""
    left, right, accumulate = OPERANDS[name]
    rng = np.random.default_rng(2)
    mr, nr, kc = (7, 9, 65)
    if NATIVE:
        e = kernels()[name.split(maxsplit=1)[0]]
        mr, nr, kc = e["mr"], e["nr"], e["kc"]
    for (i, p), (j, q), (k, r) in (
        ((2, 3), (2, 5), (3, 2)),
        ((mr, 2), (nr, 2), (5, 7)),
        ((mr + 1, 3), (3, nr + 1), (9, 8)),
        ((2, 3), (nr - 1, 2), (kc // 4, 5)),
        ((17, 2 * mr), (3, 5), (3, 3)),
    ):
        a = small(rng, (r, i, k, p), dtype_of(left))
        b = small(rng, (q, k, j, r), dtype_of(right))
        rows = a.transpose(1, 3, 2, 0).reshape(i * p, k * r)
        cols = b.transpose(1, 3, 2, 0).reshape(k * r, j * q)
        whole = product(rows, cols, accumulate)
        want = whole.reshape(i, p, j, q).transpose(0, 2, 1, 3)
        got = uf.einsum("rikp,qkjr->ijpq", a, b, accumulate=accumulate)
        same(got, want, f"{(i, p, j, q, k, r)}")
        out = spread(np.zeros(want.shape[::-1], want.dtype)).transpose(3, 2, 1, 0)
        uf.einsum("rikp,qkjr->ijpq", spread(a), spread(b), out=out, accumulate=accumulate)
        same(out, want, f"{(i, p, j, q, k, r)}")


@pytest.mark.skipif("v4a" not in tiers(), reason="this machine has no tiles")
def test_sizes_around_every_tile_of_bfloat16() -> None:
    """Only large products get there: sizes that are not looked at make up for those that are."""
    from ufuse import _core

    bfloat16 = dtype_of("bfloat16")
    rng = np.random.default_rng(5)
    sizes = [(m, 200, 5100 // m) for m in (1, 2, 15, 16, 17, 31, 32, 33, 95, 96, 97)]
    sizes += [(330, n, 3300 // n) for n in (1, 3, 15, 16, 17, 31, 32, 33, 63, 65)]
    sizes += [(200, 200, k) for k in (31, 32, 33, 63, 64, 65, 511, 512, 513, 1025)]
    sizes += [(40, n, 30) for n in (1023, 1024, 1025)]
    try:
        _core.set_tier("v4a")
        for m, n, least in sizes:
            k = max(least, 1_000_001 // (m * n) + 1)
            a, b = small(rng, (m, k), bfloat16), small(rng, (k, n), bfloat16)
            want = product(a, b, "float32")
            for x in (a, np.asfortranarray(a), spread(a)):
                for y in (b, np.asfortranarray(b), spread(b)):
                    same(uf.matmul(x, y, accumulate="float32"), want, f"{m} x {n} x {k}")
            out = spread(np.zeros((m, n), want.dtype))
            uf.einsum("ik,kj->ij", a, b, out=out, accumulate="float32")
            same(out, want, f"{m} x {n} x {k}")
            stack = np.stack([a, a[::-1]])
            got = uf.einsum("bik,kj->jib", stack, b, accumulate="float32")
            same(got[:, :, 1].T, want[::-1], f"{m} x {n} x {k}")
    finally:
        _core.set_tier("")


@pytest.mark.parametrize("name", ["f4", "f8", "i1i1", "c8", "bf16", "or_and.?", "f4 of float16"])
def test_batches(name: str, any_tier: str) -> None:
    """Items that lie apart, between the axes of an item too, and one operand for all items."""
    left, right, accumulate = OPERANDS[name]
    rng = np.random.default_rng(3)
    for items, m, n, k in ((5, 3, 4, 5), (40, 9, 9, 9), (3, 30, 70, 20), (2, 150, 33, 40)):
        a = small(rng, (m, items, k), dtype_of(left))
        b = small(rng, (items, k, n), dtype_of(right))
        want = np.stack([product(a[:, i], b[i], accumulate) for i in range(items)])
        options = {"accumulate": accumulate}
        same(uf.einsum("ibk,bkj->bij", a, b, **options), want)
        same(uf.einsum("ibk,bkj->jib", a, b, **options), want.transpose(2, 1, 0))
        for_all = np.stack([product(a[:, i], b[0], accumulate) for i in range(items)])
        same(uf.matmul(a.transpose(1, 0, 2), b[:1], **options), for_all)


@pytest.mark.parametrize(
    ("dtype", "shape", "offset"),
    [("float32", (520_000, 3), 1), ("float32", (52_000, 9), 0), ("float64", (2_400, 30), 5)],
)
def test_stacks_of_results_past_the_caches(
    dtype: str, shape: tuple[int, int], offset: int, any_tier: str
) -> None:
    """Whole lines leave by streaming stores; what lies before and after the result stays."""
    count, n = shape
    rng = np.random.default_rng(4)
    a, b = (rng.integers(-8, 8, (count, n, n)).astype(dtype) for _ in range(2))
    around = np.full(count * n * n + 32, 7, dtype)
    out = around[offset : offset + a.size].reshape(a.shape)
    uf.matmul(a, b, out=out)
    np.testing.assert_array_equal(out, np.matmul(a, b))
    assert np.all(around[:offset] == 7)
    assert np.all(around[offset + a.size :] == 7)


@pytest.mark.parametrize("n", [96, 128, 200, 256])
def test_stacks_whose_next_item_is_asked_for(n: int, any_tier: str) -> None:
    """In place, copied out of shared sets, of whole panels and parts, turned, with gaps."""
    rng = np.random.default_rng(5)
    for dtype in ("float32", "float64"):
        a, b = (rng.integers(-8, 8, (5, n, n + 7)).astype(dtype) for _ in range(2))
        left, right = a[:, :, :n], b[:, :, :n]
        want = np.matmul(left, right)
        np.testing.assert_array_equal(uf.matmul(left, right), want)
        np.testing.assert_array_equal(uf.matmul(left.copy(), right.copy()), want)
        turned = left.transpose(0, 2, 1)
        np.testing.assert_array_equal(uf.matmul(turned, right), np.matmul(turned, right))


def test_axes_of_more_positions_than_offsets_are_kept_for(any_tier: str) -> None:
    """A fused axis of more than 65536 positions is cut: rows, columns and items of it."""
    rng = np.random.default_rng(4)
    a = small(rng, (330, 3, 200), np.float32)[:, :, ::-1]  # rows i and j, k between them
    b = small(rng, (3, 4), np.float32)
    want = (a.transpose(0, 2, 1).astype(np.float64).reshape(-1, 3) @ b).reshape(330, 200, 4)
    same(uf.einsum("ikj,kn->ijn", a, b), want.astype(np.float32))
    same(uf.einsum("kn,ikj->nji", b, a), want.T.astype(np.float32))
    c = small(rng, (200, 4, 330), np.float32)
    items = np.einsum("ikj,jni->ijn", a.astype(np.float64), c.astype(np.float64))
    same(uf.einsum("ikj,jni->ijn", a, c), items.astype(np.float32))


def test_two_labels_are_cut_off_a_long_axis(any_tier: str) -> None:
    rng = np.random.default_rng(6)
    room = small(rng, (4, 201, 3, 401), np.float32)
    a, b = room[:, :200, :2, :400], small(rng, (2, 5), np.float32)
    want = np.einsum("ijkl,kn->ijln", a.astype(np.float64), b).astype(np.float32)
    same(uf.einsum("ijkl,kn->ijln", a, b), want)
    same(uf.einsum("kn,ijkl->nlji", b, a), want.transpose(3, 2, 1, 0))


@pytest.mark.skipif(not NATIVE, reason="the reference executor has no threads")
@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_any_number_of_threads_share_the_blocks(threads: int, any_tier: str) -> None:
    """Together on one product, and apart: a missing barrier shows at many columns and few rows."""
    rng = np.random.default_rng(5)
    e = kernels()["f4"]
    sizes = [(300, e["nc"] + 33, 40), (2 * e["mc"] + 1, 2 * e["nc"] + 1, 9), (5, 3000, 300)]
    with uf.threads(threads):
        for m, n, k in sizes:
            a, b = small(rng, (m, k), np.float32), small(rng, (k, n), np.float32)
            for _ in range(2):
                same(uf.matmul(a, b), product(a, b))


@pytest.mark.skipif(not NATIVE, reason="the reference executor has no threads")
@pytest.mark.parametrize("name", ["f4", "f8"])
def test_members_columns_fit_the_strips_of_a_finish(name: str, any_tier: str) -> None:
    """Where columns are a fused axis that could be stored in squares, over several blocks of k."""
    rng = np.random.default_rng(6)
    e = kernels()[name]
    for blocks in (2, 3, 5):
        a = small(rng, (e["mc"] + 61, blocks * e["kc"] - 40), dtype_of(name))
        b = small(rng, (a.shape[1], 48, 45), dtype_of(name))
        want = product(a, b.reshape(len(b), -1)).reshape(-1, 48, 45).transpose(0, 2, 1)
        for threads in (1, 2, 3, 4):
            with uf.threads(threads):
                same(uf.einsum("ik,kxy->iyx", a, b, finish=lambda s: s + 1), want + 1)
