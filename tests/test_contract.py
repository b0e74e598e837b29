"""einsum and linear against NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ufuse as uf
from conftest import NATIVE, tiers
from ufuse import executors

SUBSCRIPTS = [
    "ij,jk->ik", "ij,kj->ik", "ji,jk->ik", "ji,kj->ki", "ij,jk->ki", "ij,ij->", "i,i->", "i,j->ij",
    "ij,j->i", "j,ij->i", "bij,bjk->bik", "bij,bjk->kbi", "bqhd,bkhd->bhqk", "bhqk,bkhd->bqhd",
    "bi,bi->b", "bii,bi->b", "ii,ij->j", "ij,kl->ijkl", "abc,cd->abd", "abc,acd->bd", "ij,ab->jb",
    "...ij,...jk->...ik", "...i,i->...", "i...,i->...", "ij,jk", "ba,b", "...ij,jk", "ab,ba->a",
    "aebf,dfce->abcd", "dega,gfbc->abcdef",
]  # fmt: skip


def operands(subscripts: str, seed: int, dtype: type, sizes: dict[str, int] | None = None):
    rng = np.random.default_rng(seed)
    known = dict(sizes or {})
    arrays = []
    for term in subscripts.split("->", maxsplit=1)[0].split(","):
        shape: list[int] = []
        before, dots, after = term.partition("...")
        for label in before:
            shape.append(known.setdefault(label, int(rng.integers(1, 7))))
        if dots:
            shape += [2, 3]
        for label in after:
            shape.append(known.setdefault(label, int(rng.integers(1, 7))))
        arrays.append(rng.integers(-8, 9, shape).astype(dtype))
    return arrays


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("subscripts", SUBSCRIPTS)
def test_grammar(subscripts: str, dtype: type) -> None:
    """Small integers, so that every order of summation gives the same number."""
    for seed in range(4):
        a, b = operands(subscripts, seed, dtype)
        want = np.einsum(subscripts, a, b)
        got = uf.einsum(subscripts, a, b)
        assert got.dtype == want.dtype and got.shape == want.shape
        np.testing.assert_array_equal(got, want)
        out = np.empty_like(want, order="F")
        assert uf.einsum(subscripts, a, b, out=out) is out
        np.testing.assert_array_equal(out, want)


# One less, the same and one more than the kernels' blocks: rows, columns, k.
EDGES = [1, 2, 13, 14, 15, 31, 32, 33, 47, 48, 49, 63, 64, 65, 111, 112, 113, 255, 256, 257]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_block_edges(dtype: type, tier: str) -> None:
    rng = np.random.default_rng(5)
    sizes = [rng.choice(EDGES, 3) for _ in range(60)]
    sizes += [(m, 20, 5) for m in EDGES] + [(7, n, 9) for n in EDGES] + [(9, 17, k) for k in EDGES]
    sizes += [(3, 5, k) for k in (511, 512, 513, 1023, 1024, 1025, 2049)]
    for m, n, k in sizes:
        a = rng.integers(-4, 5, (m, k)).astype(dtype)
        b = rng.integers(-4, 5, (k, n)).astype(dtype)
        np.testing.assert_array_equal(uf.einsum("ik,kj->ij", a, b), a @ b, err_msg=f"{m} {n} {k}")


@pytest.mark.parametrize("sizes", list(itertools.product([0, 1, 3], repeat=3)))
def test_sizes_zero_and_one(sizes: tuple[int, int, int]) -> None:
    m, n, k = sizes
    a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
    np.testing.assert_array_equal(uf.einsum("ik,kj->ij", a, b), a @ b)


def test_layouts_without_copies() -> None:
    """Transposed, strided, reversed, broadcast, read-only and unaligned operands: the same bits."""
    rng = np.random.default_rng(2)
    a = rng.normal(size=(70, 300)).astype(np.float32)
    b = rng.normal(size=(300, 45)).astype(np.float32)
    want = uf.einsum("ik,kj->ij", a, b)
    np.testing.assert_allclose(want, a @ b, rtol=1e-4, atol=1e-4)

    def views(x: np.ndarray) -> list[np.ndarray]:
        frozen = x.copy()
        frozen.flags.writeable = False
        raw = np.frombuffer(b"\0\0\0" + x.tobytes(), np.uint8)[3:]
        return [
            np.asfortranarray(x),
            np.repeat(np.repeat(x, 2, 0), 3, 1)[::2, ::3],
            x[::-1, ::-1].copy()[::-1, ::-1],
            frozen,
            np.ndarray(x.shape, x.dtype, raw.data),
        ]

    for left, right in zip(views(a), views(b), strict=True):
        np.testing.assert_array_equal(uf.einsum("ik,kj->ij", left, right), want)
    row = np.broadcast_to(b[:, :1], (300, 45))
    np.testing.assert_array_equal(
        uf.einsum("ik,kj->ij", a, row),
        np.broadcast_to(uf.einsum("ik,kj->ij", a, row[:, :1]), (70, 45)),
    )


@pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")
def test_same_bits_for_any_threads_and_tier() -> None:
    from ufuse import _core

    rng = np.random.default_rng(3)
    a = rng.normal(size=(3, 130, 1100))
    b = rng.normal(size=(3, 1100, 90))
    w = uf.quantize(rng.normal(size=(90, 1100)).astype(np.float32), "int8", axis=0)
    results = []
    try:
        for name in [t for t in tiers() if t != "v2"]:
            _core.set_tier(name)
            for count in (1, 2, 3):
                with uf.threads(count):
                    results.append(
                        [
                            uf.einsum("bik,bkj->bij", a, b).tobytes(),
                            uf.einsum("bik,bkj->bij", a.astype("f4"), b.astype("f4")).tobytes(),
                            uf.linear(a[0].astype("f4"), w, activation="gelu").tobytes(),
                        ]
                    )
    finally:
        _core.set_tier("")
    assert all(r == results[0] for r in results)


@given(st.data())
def test_any_labels(data: st.DataObject) -> None:
    labels = "abcde"
    left = data.draw(st.lists(st.sampled_from(labels), max_size=4, unique=True))
    right = data.draw(st.lists(st.sampled_from(labels), max_size=4, unique=True))
    both = list(dict.fromkeys(left + right))
    out = data.draw(st.permutations(both)) if both else []
    out = out[: data.draw(st.integers(0, len(both)))]
    subscripts = f"{''.join(left)},{''.join(right)}->{''.join(out)}"
    sizes = {label: data.draw(st.integers(0, 5)) for label in both}
    a, b = operands(subscripts, 1, np.float64, sizes)
    if data.draw(st.booleans()) and a.ndim:
        a = np.flip(a, 0)
    np.testing.assert_array_equal(uf.einsum(subscripts, a, b), np.einsum(subscripts, a, b))


def test_other_dtypes_and_operand_counts_are_numpys() -> None:
    i = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(uf.einsum("ij,kj->ik", i, i), i @ i.T)
    np.testing.assert_array_equal(uf.einsum("ij->j", i), i.sum(0))
    x = np.ones((2, 2))
    np.testing.assert_array_equal(uf.einsum("ij,jk,kl->il", x, x, x), x @ x @ x)
    np.testing.assert_array_equal(uf.einsum("ij,jk->ik", x, x, optimize=True), x @ x)
    np.testing.assert_array_equal(uf.einsum(x, [0, 1], x, [1, 2]), x @ x)
    assert uf.einsum("ij,jk->ik", x.astype(np.float32), x).dtype == np.float64


def test_out_may_overlap_the_operands() -> None:
    x = np.random.default_rng(0).integers(-3, 4, (40, 40)).astype(np.float32)
    want = x @ x
    assert uf.einsum("ij,jk->ik", x, x, out=x) is x
    np.testing.assert_array_equal(x, want)


def test_nan_and_infinity_propagate() -> None:
    """0 * NaN is NaN: no product is left out because a factor is 0."""
    a = np.zeros((3, 4), np.float32)
    b = np.ones((4, 5), np.float32)
    b[2, 3] = np.nan
    b[1, 0] = np.inf
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(uf.einsum("ij,jk->ik", a, b), a @ b)


ERRORS = {
    "letters": ("i1,jk->ik", "expected letters"),
    "operands": ("ij->ij", "names 1 operands, got 2"),
    "dimensions": ("ijk,jk->ik", "operand 0 has 2 dimensions"),
    "sizes": ("ij,ij->i", r"label 'i' of 'ij,ij->i' has size 3, but size 4 in operand 1"),
    "unknown": ("ij,jk->iz", "label 'z'"),
    "twice": ("ij,jk->ii", "label 'i' is twice"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_subscripts(case: str) -> None:
    subscripts, message = ERRORS[case]
    a, b = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32)
    with pytest.raises(ValueError, match=message):
        uf.einsum(subscripts, a, b)


def test_out_of_a_wider_dtype() -> None:
    """As in NumPy, the result is cast where that is safe."""
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    out = np.empty((2, 2), np.float64)[:, ::-1]
    assert uf.einsum("ij,kj->ik", a, a, out=out) is out
    np.testing.assert_array_equal(out, a @ a.T)
    with pytest.raises(TypeError, match=r"float64.*float32"):
        uf.einsum("ij,kj->ik", a.astype(np.float64), a, out=out.astype(np.float32))


def test_bad_out() -> None:
    a = np.ones((3, 3), np.float32)
    with pytest.raises(ValueError):
        uf.einsum("ij,jk->ik", a, a, out=np.empty((3, 4), np.float32))


@pytest.mark.parametrize("subscripts", [",", "i,i->", "ij,ij->", "ij,jk->ik"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_einsum_gives_a_scalar_where_numpy_does(subscripts: str, dtype: type) -> None:
    a, b = operands(subscripts, 3, dtype)
    want, got = np.einsum(subscripts, a, b), uf.einsum(subscripts, a, b)
    assert type(got) is type(want) and got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    out = np.empty(want.shape, dtype)
    assert uf.einsum(subscripts, a, b, out=out) is out
    assert type(uf.einsum(",", 2.0, 3.0)) is type(np.einsum(",", 2.0, 3.0))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_einsum_takes_byte_swapped_operands(dtype: str) -> None:
    """Converted and computed here, so that the bits are those of native operands."""
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(30, 70)).astype(dtype), rng.normal(size=(70, 20)).astype(dtype)
    want = uf.einsum("ij,jk->ik", a, b)
    for left, right in ((a.astype(">" + dtype), b), (a, b.astype(">" + dtype))):
        got = uf.einsum("ij,jk->ik", left, right)
        assert got.dtype.isnative
        np.testing.assert_array_equal(got, want)
        both = uf.einsum("ij,jk->ik", a.astype(">" + dtype), b.astype(">" + dtype))
        np.testing.assert_array_equal(both, want)


def test_interleaved_out_is_no_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns of one array share no element: nothing is copied; hard cases count as overlapping."""
    memory = np.random.default_rng(1).normal(size=(8, 16)).astype(np.float32)
    x, out = memory[:, ::2], memory[:, 1::2]
    assert not executors.overlap(x, out) and executors.apart(x, out) is x
    assert executors.overlap(memory, x) and executors.overlap(memory[1:], memory[:-1])
    w = np.eye(8, dtype=np.float32)
    want = x.copy()
    assert uf.linear(x, w, out=out) is out
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(x, want)
    monkeypatch.setattr(executors, "_OVERLAP_WORK", 1)
    hard = np.lib.stride_tricks.as_strided
    base = np.zeros(10_000, np.int8)
    a = hard(base, (7, 9, 11), (101, 37, 13))
    b = hard(base[3:], (5, 8, 13), (97, 41, 7))
    with pytest.raises(np.exceptions.TooHardError):
        np.shares_memory(a, b, max_work=1)
    assert executors.overlap(a, b)
