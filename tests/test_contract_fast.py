"""Contractions that are repeated take a short way: what is remembered of a call, and what not."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from contraction_cases import DTYPES, Array, dtype_of, product, same, small, spread
from ufuse.contract import stacks, summation

Call = Callable[..., Array]
CALLS: dict[str, Call] = {
    "matmul": uf.matmul,
    "einsum": lambda a, b, **options: uf.einsum("ik,kj->ij", a, b, **options),
    "dot": uf.dot,
}
call_each = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@call_each
def test_repeated_calls(call: Call) -> None:
    """The same layout again, with other numbers; other layouts, with `out` and without, in turn."""
    rng = np.random.default_rng(1)
    layouts: list[Callable[[Array], Array]] = [
        lambda x: x, np.asfortranarray, spread, lambda x: x[::-1].copy()[::-1],
    ]  # fmt: skip
    for _ in range(3):
        for left in layouts:
            for right in layouts:
                a, b = small(rng, (6, 7), np.float32), small(rng, (7, 9), np.float32)
                want = product(a, b)
                same(call(left(a), right(b)), want)
                for out in (np.zeros((6, 9), "f4"), np.zeros((9, 6), "f4").T, spread(want * 0)):
                    assert call(left(a), right(b), out=out) is out
                    same(out, want)


def test_results_are_new_arrays() -> None:
    a = np.eye(3)
    first = uf.matmul(a, a)
    second = uf.matmul(a, a)
    first[:] = 7
    assert not np.shares_memory(first, second)
    same(second, a)
    assert second.flags.owndata and second.flags.writeable and second.flags.c_contiguous


@call_each
def test_dtypes_of_one_size_are_not_confused(call: Call) -> None:
    """The layouts are the same to the byte: the dtype decides."""
    rng = np.random.default_rng(2)
    for _ in range(3):
        for name in DTYPES:
            dtype = dtype_of(name)
            a, b = small(rng, (5, 6), dtype), small(rng, (6, 4), dtype)
            same(call(a, b), product(a, b), name)
            if dtype.byteorder != "|" and dtype.num < 256:
                swapped = a.astype(dtype.newbyteorder(">"))
                same(call(swapped, b), product(a, b), f"{name} swapped")
                target = np.zeros((5, 4), dtype.newbyteorder(">"))
                call(a, b, out=target)
                same(target.astype(dtype), product(a, b), f"{name} into swapped")


def test_options_are_not_remembered() -> None:
    """A plain call after one with options, of the same arrays."""
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    want = a @ b
    options: list[dict[str, object]] = [
        {"dtype": "f4"}, {"accumulate": "f4"}, {"semiring": "min_plus"}, {"order": "F"},
        {"finish": lambda s: s + 1}, {"axes": [(0, 1), (0, 1), (1, 0)]}, {"casting": "safe"},
    ]  # fmt: skip
    for chosen in options:
        for _ in range(2):
            first = uf.matmul(a, b, **chosen)
            got = uf.matmul(a, b)
            assert got.dtype == np.float64 and got.flags.c_contiguous
            np.testing.assert_array_equal(got, want)
            np.testing.assert_array_equal(uf.matmul(a, b, **chosen), first)


@pytest.mark.parametrize("call", [CALLS["matmul"], CALLS["einsum"]], ids=["matmul", "einsum"])
@pytest.mark.parametrize("name", ["int8", "float32", "bool"])
def test_options_by_name_are_remembered_apart(call: Call, name: str) -> None:
    """What is accumulated in and the semiring, again and again, in any order."""
    rng = np.random.default_rng(3)
    dtype = dtype_of(name)
    a, b = small(rng, (5, 6), dtype), small(rng, (6, 4), dtype)
    wide = np.float64 if dtype.kind == "f" else np.int64
    terms = a.astype(wide)[:, :, None] + b.astype(wide)[None]
    wants: list[tuple[dict[str, Any], Array]] = [
        ({}, product(a, b)),
        ({"semiring": "plus_times"}, product(a, b)),
    ]
    if name == "bool":
        either = (a[:, :, None] & b[None]).any(axis=1)
        wants.append(({"semiring": "or_and"}, either))
        wants.append(({"semiring": "xor_and"}, (a[:, :, None] & b[None]).sum(axis=1) % 2 == 1))
    else:
        into = "float64" if dtype.kind == "f" else "int32"
        sums = (a.astype(into) @ b.astype(into)).astype(into)
        wants += [
            ({"accumulate": into}, sums),
            ({"accumulate": np.dtype(into)}, sums),
            ({"accumulate": "int64" if into == "int32" else "float32"},
             (a.astype(wide) @ b.astype(wide)).astype("int64" if into == "int32" else "float32")),
        ]  # fmt: skip
        if dtype.kind == "f":
            wants.append(({"semiring": "min_plus"}, terms.min(axis=1).astype(dtype)))
            wants.append(({"semiring": "max_plus"}, terms.max(axis=1).astype(dtype)))
            least = terms.min(axis=1).astype("f8")
            wants.append(({"semiring": "min_plus", "accumulate": "float64"}, least))
    for turn in range(4):
        for options, want in wants[:: 1 if turn % 2 else -1]:
            got = call(a, b, **options)
            same(got, want, f"{options}")
            assert got.dtype == want.dtype, options
            out = np.zeros_like(want)
            assert call(a, b, out=out, **options) is out
            same(out, want, f"{options}")
    with pytest.raises(ValueError, match="semiring"):
        call(a, b, semiring="plus_plus")
    with pytest.raises(TypeError, match="accumulate"):
        call(a, b, accumulate="no dtype")


def test_conjugation_is_not_confused() -> None:
    v, m = np.array([1j, 2]), np.array([[1, 2j], [3, 4]])
    for _ in range(3):
        np.testing.assert_array_equal(uf.vecmat(v, m), v.conj() @ m)
        np.testing.assert_array_equal(uf.einsum("i,ij->j", v, m), v @ m)
        np.testing.assert_array_equal(uf.matvec(m, v), m @ v)
        np.testing.assert_array_equal(uf.matmul(v, m), v @ m)
        real = np.ones((2, 2))
        np.testing.assert_array_equal(uf.vecmat(v, real), v.conj() @ real)


@call_each
def test_overlapping_outputs(call: Call) -> None:
    """Remembered with an output apart; then the output is an operand, or a part of its memory."""
    rng = np.random.default_rng(3)
    a, b = small(rng, (20, 20), np.float64), small(rng, (20, 20), np.float64)
    want = product(a, b)
    for _ in range(2):
        call(a, b, out=np.zeros((20, 20)))
        x = a.copy()
        assert call(x, b, out=x) is x
        same(x, want)
        y = b.copy()
        call(a, y, out=y)
        same(y, want)
        room = np.concatenate([a.ravel(), np.zeros(20)])
        call(room[:400].reshape(20, 20), b, out=room[20:].reshape(20, 20))
        same(room[20:].reshape(20, 20), want)
        backwards = np.concatenate([np.zeros(20), a.ravel()])
        call(backwards[20:].reshape(20, 20), b, out=backwards[:400].reshape(20, 20))
        same(backwards[:400].reshape(20, 20), want)
        both = np.zeros((20, 40))
        both[:, :20] = a
        call(both[:, :20], b, out=both[:, 20:])  # columns of one array, which share no element
        same(both[:, 20:], want)


@call_each
def test_outputs_that_are_refused(call: Call) -> None:
    a = np.ones((4, 4))
    good = np.zeros((4, 4))
    call(a, a, out=good)
    frozen = np.zeros((4, 4))
    frozen.flags.writeable = False
    for bad, kind in (
        (frozen, ValueError),
        (np.zeros((4, 5)), ValueError),
        (np.zeros((1, 4, 4)), ValueError),
        (np.zeros((4, 4), np.int64), TypeError),
        ([[0.0] * 4] * 4, TypeError),
        ("out", TypeError),
    ):
        with pytest.raises(kind, match="'out'"):
            call(a, a, out=bad)
    assert not frozen.any()
    assert call(a, a, out=None).shape == (4, 4)


def test_bad_calls_after_good_ones() -> None:
    a, b = np.ones((4, 5)), np.ones((5, 6))
    uf.matmul(a, b)
    uf.einsum("ij,jk->ik", a, b)
    with pytest.raises(ValueError):
        uf.matmul(a, a)
    with pytest.raises(ValueError):
        uf.einsum("ij,jk->iz", a, b)
    with pytest.raises(TypeError):
        uf.matmul(a)
    with pytest.raises(TypeError):
        uf.matmul(a, b, nonsense=1)
    with pytest.raises(TypeError):
        uf.einsum("ij,jk->ik", a, b, nonsense=1)


class Own(np.ndarray):
    """A subclass, which the short way leaves alone."""


def test_subclasses() -> None:
    a = np.arange(9.0).reshape(3, 3)
    for _ in range(2):
        uf.matmul(a, a)
        other = a.view(Own)
        for x, y in ((other, a), (a, other), (other, other)):
            np.testing.assert_array_equal(np.asarray(uf.matmul(x, y)), a @ a)
        with pytest.raises(TypeError, match="masked array"):
            uf.matmul(np.ma.masked_array(a), a)
        out = np.zeros((3, 3)).view(Own)
        assert uf.matmul(a, a, out=out) is out
        np.testing.assert_array_equal(np.asarray(out), a @ a)


def test_zero_sizes_and_many_axes() -> None:
    for _ in range(3):
        for m, n, k in ((0, 3, 4), (3, 0, 4), (3, 4, 0)):
            got = uf.matmul(np.ones((m, k)), np.ones((k, n)))
            np.testing.assert_array_equal(got, np.zeros((m, n)))
            out = np.full((m, n), 7.0)
            uf.matmul(np.ones((m, k)), np.ones((k, n)), out=out)
            assert not out.any()
        deep = np.ones((1, 2, 1, 2, 1, 1, 2, 1, 3, 4))  # more axes than are remembered
        got = uf.matmul(deep, np.ones((4, 2)))
        np.testing.assert_array_equal(got, np.full((1, 2, 1, 2, 1, 1, 2, 1, 3, 2), 4))


def test_many_shapes_are_right_and_few_are_kept() -> None:
    """More layouts and subscripts than either is remembered for, again and again."""
    rng = np.random.default_rng(4)

    def sweep() -> int:
        for n in range(1, 120):
            a, b = small(rng, (2, n), np.float64), small(rng, (n, 3), np.float64)
            same(uf.matmul(a, b), product(a, b))
            same(uf.einsum("ik,kj->ij", spread(a), b), product(a, b))
        letters = "abcdefghijklmnopqrstuvwxyz"
        for i in letters:
            for j in letters:
                if len({i, j, "k"}) == 3:
                    same(uf.einsum(f"{i}k,k{j}->{i}{j}", a, b), product(a, b))
        gc.collect()
        kept = ("Product", "PreparedContraction")
        return sum(type(x).__name__ in kept for x in gc.get_objects())

    sweep()
    before = sweep()
    assert sweep() <= before + 256  # subscripts, which are forgotten all at once; a sweep has 650


SUBSCRIPTS = (
    "ij,jk->ik", "ij,jk", "ij,kj->ki", "bij,bjk->bik", "bij,bjk->ikb", "ijk,kl->ijl", "abc,cbd->da",
    "...ij,...jk->...ik", "i...,...j->...ij", "a...c,cd...->da...", "ij,j->i", "j,ji", "bi,bi->b",
    "i,j->ij", "iij,jk->ik", "ij,jk->k", "ij,kk->i", "ij,jk->",
)  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", ">f4"])
@pytest.mark.parametrize("subscripts", SUBSCRIPTS)
def test_first_calls_are_as_the_general_ones(subscripts: str, dtype: str) -> None:
    """Bits, dtype, order and messages; of sizes of 0, of 1 that broadcast, and of all kernels."""
    general = getattr(uf.einsum, "__wrapped__", uf.einsum)
    rng = np.random.default_rng(5)
    terms = subscripts.split("->", maxsplit=1)[0].replace("...", "z").split(",")
    for _ in range(12):
        sizes = {label: int(rng.choice([0, 1, 2, 3, 5, 17, 70])) for label in "abcdijklz"}
        shapes = [[sizes[x] if rng.random() < 0.95 else 1 for x in term] for term in terms]
        operands = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
        for layout in (lambda x: x, np.asfortranarray, spread):
            given = [layout(x) for x in operands]
            results = []
            for function in (general, uf.einsum, uf.einsum):
                try:
                    found = function(subscripts, *given)
                    order = found.flags.c_contiguous, found.flags.f_contiguous
                    results.append((found.tobytes(), found.dtype, order))
                except ValueError as error:
                    results.append(str(error))
            assert results[0] == results[1] == results[2], (subscripts, shapes)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", ">f8"])
@pytest.mark.parametrize("subscripts", ["bii->b", "ii->", "ij->", "ij->j", "ij->i", "bij->jb"])
def test_repeated_sums(subscripts: str, dtype: str) -> None:
    """Of one array: into new results, outputs of any layout, and memory that is the array's own."""
    rng = np.random.default_rng(6)
    term = subscripts.partition("->")[0]
    for n in (1, 4, 4, 40):
        for layout in (lambda x: x, np.asfortranarray, spread, lambda x: x):
            x = layout(small(rng, (n,) * len(term), dtype))
            want = np.einsum(subscripts, x).astype(x.dtype.newbyteorder("="))
            got = uf.einsum(subscripts, x)
            same(np.asarray(got).astype(want.dtype), np.asarray(want))
            assert isinstance(got, np.ndarray) == (np.ndim(want) > 0)
            if np.ndim(want) == 0:
                continue
            for out in (np.zeros_like(want), spread(np.zeros_like(want))):
                assert uf.einsum(subscripts, x, out=out) is out
                same(out, want)
    if subscripts == "bii->b":
        inside = x[0, 0]
        uf.einsum(subscripts, x, out=inside)
        same(inside.astype(want.dtype), want)
        frozen = np.zeros_like(want)
        frozen.flags.writeable = False
        with pytest.raises(ValueError, match="out"):
            uf.einsum(subscripts, x, out=frozen)


def unaligned(x: Array) -> Array:
    room = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    room[...] = x
    return room


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "complex64"])
@pytest.mark.parametrize(
    "subscripts", ["bi,bi->b", "ki,ki->i", "bij,bji->b", "abi,bi->ab", "i,i->"]
)
def test_repeated_dots(subscripts: str, dtype: str) -> None:
    """Into new results, outputs of any layout and alignment, and an operand's own memory."""
    rng = np.random.default_rng(8)
    terms = subscripts.partition("->")[0].split(",")
    for n in (3, 3, 30):
        for layout in (lambda x: x, np.asfortranarray, spread, unaligned, lambda x: x):
            a, b = (layout(small(rng, (n,) * len(term), dtype)) for term in terms)
            wide = np.complex128 if dtype == "complex64" else np.float64
            want = np.einsum(subscripts, a.astype(wide), b.astype(wide)).astype(dtype)
            for _ in range(2):
                same(np.asarray(uf.einsum(subscripts, a, b)), np.asarray(want))
            if want.ndim == 0:
                continue
            for place in (lambda x: x, spread, unaligned):
                out = place(np.zeros_like(want))
                assert uf.einsum(subscripts, a, b, out=out) is out
                same(out, want)
    if subscripts == "bi,bi->b":
        inside = a[0]
        uf.einsum(subscripts, a, b, out=inside)
        same(inside, want)


@pytest.mark.skipif(not NATIVE, reason="NumPy has no short way")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_are_asked_for_ahead(dtype: str) -> None:
    """Diagonals that no second-level cache holds, up to the array's end; sums for one by one."""
    x = np.random.default_rng(7).standard_normal((2100, 40, 40)).astype(dtype)
    want = [uf.sum(np.ascontiguousarray(one.diagonal())) for one in x]
    for _ in range(2):
        np.testing.assert_array_equal(uf.einsum("bii->b", x), want)


@pytest.mark.skipif(not NATIVE, reason="NumPy has no short way")
def test_products_of_floats_are_not_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """New subscripts, and known ones with new shapes: a plan cost 40 us."""

    def planned(*_: object, **__: object) -> None:
        raise AssertionError("planned")

    monkeypatch.setattr(summation, "contract", planned)
    monkeypatch.setattr(stacks, "contract", planned)
    for n in (3, 4):
        a = np.arange(n * n, dtype=np.float32).reshape(n, n)
        for _ in range(2):
            np.testing.assert_array_equal(
                uf.einsum(f"x{'yz'[n - 3]},{'yz'[n - 3]}w->wx", a, a), (a @ a).T
            )
            np.testing.assert_array_equal(uf.matmul(a, a[:, :2]), a @ a[:, :2])
            np.testing.assert_array_equal(uf.matvec(a, a[0]), a @ a[0])
            np.testing.assert_array_equal(uf.vecmat(a[0], a), a[0] @ a)


@pytest.mark.parametrize("size", [4, 120])
def test_many_threads_at_once(size: int) -> None:
    """Calls of several threads, of few layouts and of many, remembered while others run."""

    def work(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        for n in range(40):
            shape = (size + n % 5, size + (n * seed) % 7)
            a, b = small(rng, shape, np.float32), small(rng, shape[::-1], np.float32)
            want = product(a, b)
            got = uf.matmul(a, b) if n % 2 else uf.einsum("ij,jk->ik", a, b)
            out = np.zeros_like(want)
            uf.matmul(a, b, out=out)
            if not ((got == want).all() and (out == want).all()):
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(1, 25)))
