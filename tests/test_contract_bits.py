"""Contractions have the same bits for any layout, number of threads and tier from v3 up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE, tiers
from contraction_cases import Array, dtype_of, kernels, spread
from ufuse.catalogue.semirings import SEMIRINGS

pytestmark = pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")

#: More than one block of k, of rows, and of columns; less than a tile of each.
SIZES = [(5, 7, 3), (40, 33, 700), (230, 61, 1100), (9, 4200, 20), (3, 2, 2100)]


#: Products of bfloat16 of more terms are done by tiles where there are any.
_FEW_TERMS = 1_000_000


def drawn(rng: np.random.Generator, shape: tuple[int, ...], name: str) -> Array:
    x = rng.normal(size=shape)
    if name.startswith("complex"):
        x = x + 1j * rng.normal(size=shape)
    return x.astype(dtype_of(name))


def everywhere(but: tuple[str, ...] = ()) -> Iterator[str]:
    """Every tier from v3 up, with every number of threads."""
    from ufuse import _core

    try:
        for tier in tiers():
            if tier in ("v2", *but):
                continue  # v2 has no fused multiply-add
            _core.set_tier(tier)
            for count in (1, 2, 3):
                with uf.threads(count):
                    yield f"{tier}, {count} threads"
    finally:
        _core.set_tier("")


def check(call: Callable[..., Any], a: Array, b: Array, but: tuple[str, ...] = ()) -> None:
    """Call with the same numbers in several layouts, on everything there is."""
    want = None
    for where in everywhere(but):
        for left, right in ((a, b), (spread(a), b), (a, spread(b)), (a.copy("F"), b.copy("F"))):
            got = np.asarray(call(left, right))
            want = got.tobytes() if want is None else want
            assert got.tobytes() == want, f"{where}: {a.shape}, {b.shape}"


DTYPES = [
    ("float32", "float32", None),
    ("float64", "float64", None),
    ("complex64", "complex64", None),
    ("complex128", "complex128", None),
    ("float16", "float16", None),
    ("bfloat16", "bfloat16", None),
    ("bfloat16", "bfloat16", "float32"),
    ("float8_e4m3fn", "float8_e4m3fn", "float32"),
    ("float32", "float64", None),
    ("float64", "complex128", None),
    ("bfloat16", "float32", None),
]


@pytest.mark.parametrize(("left", "right", "accumulate"), DTYPES)
def test_products(left: str, right: str, accumulate: str | None) -> None:
    rng = np.random.default_rng(1)
    for m, n, k in SIZES:
        a, b = drawn(rng, (m, k), left), drawn(rng, (k, n), right)
        tiled = left == right == "bfloat16" and m * n * k > _FEW_TERMS
        but = ("v4a",) if tiled else ()  # it has an order of its own
        check(lambda x, y: uf.matmul(x, y, accumulate=accumulate), a, b, but)
        want = uf.einsum("ik,kj->ij", a, b, accumulate=accumulate)
        turned = uf.einsum("ik,kj->ji", a, b, accumulate=accumulate)
        assert turned.T.tobytes() == want.tobytes(), "the turned product"
        out = spread(np.zeros((m, n), want.dtype))
        uf.einsum("ik,kj->ij", a, b, out=out, accumulate=accumulate)
        assert out.tobytes() == want.tobytes()


def test_fused_axes_have_the_bits_of_single_ones() -> None:
    rng = np.random.default_rng(2)
    a, b = drawn(rng, (6, 25, 50, 7), "float32"), drawn(rng, (50, 25, 9, 5), "float32")
    call = lambda x, y: uf.einsum("ikjl,kjmn->ilmn", x, y)  # noqa: E731
    check(call, a, b.transpose(1, 0, 2, 3))
    rows = a.transpose(0, 3, 1, 2).reshape(42, 1250)
    cols = b.transpose(1, 0, 2, 3).reshape(1250, 45)
    assert call(a, b.transpose(1, 0, 2, 3)).tobytes() == uf.matmul(rows, cols).tobytes()


@pytest.mark.parametrize("subscripts", ["ikjl,jkmn->ilmn", "ikj,jkm->im", "ikjl,jmk->ilm"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_labels_in_another_order_are_summed_in_squares(subscripts: str, dtype: str) -> None:
    """Where the operands' innermost shared labels differ: 16 of both at a time."""
    rng = np.random.default_rng(2)
    sizes = dict(zip("ijklmn", (6, 50, 25, 7, 9, 5), strict=True))
    terms = subscripts.replace("->", ",").split(",")
    a, b = (drawn(rng, tuple(sizes[x] for x in term), dtype) for term in terms[:2])
    call = lambda x, y: uf.einsum(subscripts, x, y)  # noqa: E731
    check(call, a, b)
    inner, other = ("k", "j") if terms[1][-1] == "k" else ("j", "k")
    order = [
        tuple({other: u, inner: v}[x] for x in "kj")
        for us in range(0, sizes[other], 16)
        for vs in range(0, sizes[inner], 16)
        for u in range(us, min(us + 16, sizes[other]))
        for v in range(vs, min(vs + 16, sizes[inner]))
    ]
    at = np.array([k * sizes["j"] + j for k, j in order])
    shared = [x for x in terms[0] if x in "kj"]
    rows = np.moveaxis(a, [terms[0].index(x) for x in shared], [-2, -1]).reshape(-1, 1250)[:, at]
    cols = np.moveaxis(b, [terms[1].index(x) for x in shared], [0, 1]).reshape(1250, -1)[at]
    assert call(a, b).tobytes() == uf.matmul(rows, cols).tobytes()


def test_an_element_does_not_depend_on_the_others() -> None:
    """Rows and columns alone have the bits they have in the whole: the block is not peeled."""
    rng = np.random.default_rng(3)
    a, b = drawn(rng, (37, 1500), "float32"), drawn(rng, (1500, 75), "float32")
    whole = uf.matmul(a, b)
    for i in (0, 13, 36):
        np.testing.assert_array_equal(uf.matmul(a[i : i + 1], b)[0], whole[i])
        np.testing.assert_array_equal(uf.matvec(b.T, a[i]), whole[i])
    for j in (0, 31, 74):
        np.testing.assert_array_equal(uf.matmul(a, b[:, j : j + 1])[:, 0], whole[:, j])
    batch = np.broadcast_to(a, (3, *a.shape))
    assert uf.matmul(batch, b)[1].tobytes() == whole.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("columns", [256, 1027, 2500])
def test_few_rows_of_a_large_product_have_the_bits_of_many(
    dtype: str, columns: int, any_tier: str
) -> None:
    """Up to four rows read a large B along its rows, a strip at a time."""
    rng = np.random.default_rng(4)
    a, b = drawn(rng, (21, 1100), dtype), drawn(rng, (1100, columns), dtype)
    whole = uf.matmul(a, b)
    for m in (1, 2, 3, 4):
        assert uf.matmul(a[:m], b).tobytes() == whole[:m].tobytes()
        out = np.zeros((2 * m, columns + 1), dtype)
        uf.matmul(a[:m], b, out=out[::2, 1:])
        assert out[::2, 1:].tobytes() == whole[:m].tobytes()
        assert not out[1::2].any()
        assert not out[:, 0].any()
        wide = spread(b)
        assert uf.matmul(a[:m], wide).tobytes() == whole[:m].tobytes()
        view = np.pad(b, ((0, 0), (3, 5)))[:, 3:-5]
        assert uf.matmul(a[:m], view).tobytes() == whole[:m].tobytes()
    assert uf.matmul(a[0], b).tobytes() == whole[0].tobytes()
    assert uf.matmul(a[:2, ::-1], b[::-1]).tobytes() == uf.matmul(a[:, ::-1], b[::-1])[:2].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_rows_are_shared_out_by_blocks_of_k(dtype: str, any_tier: str) -> None:
    """A thread takes the rows of B of a block, or some of their columns where blocks are few."""
    rng = np.random.default_rng(5)
    # One block of k, several, the last of them narrower; less than a strip of columns, and more.
    for k, columns in ((700, 5000), (1025, 4200), (3100, 1027), (5200, 256)):
        a, b = drawn(rng, (21, k), dtype), drawn(rng, (k, columns), dtype)
        whole = uf.matmul(a, b)
        for threads, m in ((2, 1), (3, 4), (5, 2), (16, 3)):
            with uf.threads(threads):
                assert uf.matmul(a[:m], b).tobytes() == whole[:m].tobytes()
                out = np.zeros((2 * m, columns + 3), dtype)
                uf.matmul(a[:m], b, out=out[::-2, 1:-2])
                assert out[::-2, 1:-2].tobytes() == whole[:m].tobytes()
                assert not out[::2].any()
                assert not out[:, [0, -2, -1]].any()
                two = np.stack([b, b[::-1]])
                found = uf.matmul(a[:m], two)  # items of a batch, each too large for a thread
                assert found[0].tobytes() == whole[:m].tobytes()
                assert found[1].tobytes() == uf.matmul(a, two[1])[:m].tobytes()
                fused = uf.fuse(lambda x, y: (2 * x) @ y)(a[:m], b)
                assert fused.tobytes() == uf.matmul(2 * a, b)[:m].tobytes()


@pytest.mark.parametrize("row", SEMIRINGS, ids=lambda row: row.name)
def test_semirings(row: Any) -> None:
    rng = np.random.default_rng(4)
    for code in row.codes:
        dtype = np.dtype(code)
        for m, n, k in ((40, 33, 700), (130, 19, 1100)):
            few = min(m, 20) if row.name == "logaddexp_plus" else m
            a, b = (
                rng.random(s) < 0.3 if dtype.kind == "b" else (rng.normal(size=s) * 9).astype(dtype)
                for s in ((few, k), (k, n))
            )
            check(lambda x, y: uf.matmul(x, y, semiring=row.name), a, b)


def test_bfloat16_denormals_are_zero_on_every_tier() -> None:
    """As VDPBF16PS has it: operands, products and sums below 2**-126 count as 0."""
    bfloat16 = dtype_of("bfloat16")
    bits = np.random.default_rng(5).integers(0, 1 << 16, (33, 70), np.uint16)
    bits &= np.uint16(0x80FF)  # tiny ones of either sign: exponents 0 and 1
    bits[:, ::3] |= np.uint16(0x0080)
    tiny = bits.view(bfloat16)
    other = drawn(np.random.default_rng(6), (70, 21), "bfloat16")
    check(lambda x, y: uf.matmul(x, y, accumulate="float32"), tiny, other)
    check(uf.matmul, tiny, other)
    found = uf.matmul(tiny, other, accumulate="float32")
    assert (np.abs(found[found != 0]) >= 2.0**-126).all()
    with uf.threads(1):
        uf.matmul(tiny, other)
    assert np.float32(1e-40) * np.float32(1) != 0, "denormals count again afterwards"
    smallest = np.float32(2.0**-149)
    assert uf.matmul(smallest.reshape(1, 1), np.ones((1, 1), np.float32))[0, 0] == smallest


def by_tiles(a: Array, b: Array, block: int) -> Array:
    """Sum as TDPBF16PS does: per 32 k even and odd terms apart, each by fused multiply-adds.

    A product of two bfloat16 is exact in float64, and its sum with a float32 in long double, unless
    their exponents lie further apart than those of the tests.
    """
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    k = a.shape[1]
    count = max(1, (k + block - 1) // block)
    width = ((k + count - 1) // count + 31) // 32 * 32
    total: Array | None = None
    for first in range(0, k, width):
        last = min(k, first + width)
        acc = np.zeros((a.shape[0], b.shape[1]), np.float32)
        for step in range(first, last, 32):
            halves = [np.zeros_like(acc), np.zeros_like(acc)]
            for j in range(step, min(step + 32, last)):
                term = np.longdouble(wide_a[:, j, None] * wide_b[None, j])
                halves[j % 2] = (halves[j % 2] + term).astype(np.float32)
            acc = acc + (halves[0] + halves[1])
        total = acc if total is None else total + acc
    assert total is not None
    return total


@pytest.mark.skipif("v4a" not in tiers(), reason="this machine has no tiles")
@pytest.mark.parametrize(
    ("m", "n", "k"),
    [
        (101, 100, 100),
        (130, 140, 200),
        (70, 90, 1100),
        (33, 1000, 33),
        (5, 700, 600),
        (97, 65, 513),
    ],
)
def test_large_products_of_bfloat16_have_the_order_of_tiles(m: int, n: int, k: int) -> None:
    from ufuse import _core

    rng = np.random.default_rng(7)
    a, b = drawn(rng, (m, k), "bfloat16"), drawn(rng, (k, n), "bfloat16")
    try:
        _core.set_tier("v4a")
        want = by_tiles(a, b, kernels()["bf16.tiles"]["kc"])
        for count in (1, 2, 3):
            with uf.threads(count):
                for x, y in ((a, b), (spread(a), b), (a, spread(b)), (a.copy("F"), b.copy("F"))):
                    got = uf.matmul(x, y, accumulate="float32")
                    np.testing.assert_array_equal(got, want)
                    turned = uf.einsum("ik,kj->ji", x, y, accumulate="float32")
                    np.testing.assert_array_equal(turned.T, want)
        rounded = uf.matmul(a, b)
        np.testing.assert_array_equal(rounded, want.astype(a.dtype))
        few = uf.matmul(a[:3, :300], b[:300, :50], accumulate="float32")
        _core.set_tier("v3")
        assert uf.matmul(a[:3, :300], b[:300, :50], accumulate="float32").tobytes() == few.tobytes()
    finally:
        _core.set_tier("")


@pytest.mark.parametrize(
    ("subscripts", "left", "right"),
    [
        ("ik,kxy->ixy", (3, 70), (70, 50, 100)),  # a run of columns becomes an item
        ("ik,kxy->ixy", (4, 40), (40, 100, 70)),
        ("pqk,kn->pqn", (2, 300_000, 3), (3, 1)),  # rows that are cut into several products
    ],
)
def test_layouts_do_not_decide_for_tiles(
    subscripts: str, left: tuple[int, ...], right: tuple[int, ...], any_tier: str
) -> None:
    """Products of bfloat16 that a layout cuts into parts of less than a million terms."""
    rng = np.random.default_rng(11)
    a, b = drawn(rng, left, "bfloat16"), drawn(rng, right, "bfloat16")
    turned_a = np.ascontiguousarray(np.swapaxes(a, 0, 1)).swapaxes(0, 1)
    turned_b = np.ascontiguousarray(np.swapaxes(b, 0, 1)).swapaxes(0, 1)
    want = uf.einsum(subscripts, a, b)
    for x, y in ((a, turned_b), (turned_a, b), (spread(a), spread(b))):
        assert uf.einsum(subscripts, x, y).tobytes() == want.tobytes()
    out = np.zeros(want.shape[::-1], want.dtype).T
    uf.einsum(subscripts, a, b, out=out)
    assert out.tobytes() == want.tobytes()
    wide = uf.einsum(subscripts, a, b, accumulate="float32")
    assert wide.astype(want.dtype).tobytes() == want.tobytes()


def test_dots_have_the_same_bits_everywhere() -> None:
    rng = np.random.default_rng(7)
    for name in ("float32", "float64", "float16", "complex64"):
        a, b = drawn(rng, (7, 5000), name), drawn(rng, (7, 5000), name)
        check(lambda x, y: uf.einsum("ij,ij->i", x, y), a, b)
        check(lambda x, y: uf.einsum("ij,ij->", x, y), a, b)


@pytest.mark.parametrize("other", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_dots_have_the_bits_of_strided_ones(dtype: str, other: str) -> None:
    """Contiguous rows are multiplied and added in one go, others by way of a buffer of products."""
    rng = np.random.default_rng(9)
    shapes = [(3, n) for n in (1, 2, 7, 8, 15, 16, 17, 127, 129, 1023, 1024, 1025, 5000)]
    shapes += [(1, 40_000), (700, 3), (300, 130), (2, 0), (0, 4), (1, 1_200_000)]
    for shape in shapes:
        a, b = drawn(rng, shape, dtype), drawn(rng, shape, other)
        check(lambda x, y: uf.einsum("ij,ij->i", x, y), a, b)
    for shape in ((3, 4, 5, 6), (2, 3, 130, 7), (2, 2, 3, 130), (2, 1, 128, 1), (4, 3, 1, 1)):
        a, b = drawn(rng, shape, dtype), drawn(rng, shape, other)
        check(lambda x, y: uf.einsum("ijkl,ijkl->ij", x, y), a, b)
        check(lambda x, y: uf.einsum("ijkl,ijkl->ji", x, y), a, b)
        check(lambda x, y: uf.einsum("ijkl,ijkl->jl", x, y), a, b)
        check(lambda x, y: uf.einsum("ijkl,ijkl->", x, y), a, b)
    a, b = drawn(rng, (6, 900), dtype), drawn(rng, (1, 900), other)
    check(lambda x, y: uf.einsum("ij,kj->i", x, y), a, b)
    a, b = drawn(rng, (6, 900), dtype), drawn(rng, (5, 900), other)
    want = [
        uf.einsum("j,j->", spread(x), spread(y)) for x, y in zip(a[::-1], b[0:5:2], strict=False)
    ]
    got = uf.einsum("ij,ij->i", a[5:2:-1], b[0:5:2])  # rows that run backwards, rows with gaps
    assert got.tobytes() == np.array(want, got.dtype).tobytes()
    raw = np.zeros(a.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(dtype).reshape(a.shape)
    unaligned[...] = a
    assert (
        uf.einsum("ij,ij->i", unaligned, unaligned).tobytes()
        == uf.einsum("ij,ij->i", a, a).tobytes()
    )


def test_finish_has_the_same_bits_everywhere() -> None:
    rng = np.random.default_rng(8)
    a, b = drawn(rng, (230, 1100), "float32"), drawn(rng, (1100, 61), "float32")
    bias = drawn(rng, (61,), "float32")
    check(lambda x, y: uf.matmul(x, y, finish=lambda s: np.tanh(s + bias)), a, b)


@pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")
@pytest.mark.parametrize("k", [1, 15, 16, 40, 1025, 2100])
@pytest.mark.parametrize("n", [1, 15, 16, 83, 300])
def test_few_rows_have_the_bits_of_many(n: int, k: int) -> None:
    """Columns that lie along k are turned for up to eight rows, and packed for more."""
    rng = np.random.default_rng(k)
    x = rng.normal(size=(20, k)).astype(np.float32)
    w = rng.normal(size=(n, k)).astype(np.float32)
    bias = rng.normal(size=n).astype(np.float32)
    want = uf.matmul(x, w.T)
    gaps = np.zeros((2 * n, k + 3), np.float32)[::-2, 2 : k + 2]
    gaps[...] = w
    for m in (2, 3, 8, 9):
        for columns in (w, gaps, np.asfortranarray(w)):
            np.testing.assert_array_equal(uf.matmul(x[:m], columns.T), want[:m])
            np.testing.assert_array_equal(uf.matmul(columns, x[:m].T), want[:m].T)
            out = np.zeros((3 * m, 2 * n), np.float32)[::3, ::-2]
            uf.matmul(x[:m], columns.T, out=out)
            np.testing.assert_array_equal(out, want[:m])
            np.testing.assert_array_equal(
                uf.matmul(x[:m], columns.T, finish=lambda s: s + bias), want[:m] + bias
            )
    if n > 1 and k > 1:
        for columns in (w, gaps):
            np.testing.assert_array_equal(uf.matvec(columns, x[0]), want[0])
            np.testing.assert_array_equal(uf.vecmat(x[0], columns.T), want[0])
