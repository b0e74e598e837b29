"""Contractions in semirings against brute force."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ufuse as uf
from conftest import NATIVE
from contraction_cases import block_sizes, dtype_of, kernels, spread
from semiring_cases import SELECTING, agree, brute, drawn, positions
from ufuse.catalogue.semirings import BY_NAME, SEMIRINGS, Semiring

NARROW = ["int8", "uint8", "int16", "uint16", "uint32", "float16", "bfloat16"]


def dtypes_of(row: Semiring) -> list[str]:
    """Those with kernels, and those that are converted to one of them."""
    if row.codes == ("?",):
        return ["?", "int8", "float64"]
    integers = "i4" in row.codes
    narrow = [x for x in NARROW if integers or "float" in x]
    return [*row.codes, *narrow, *(["uint64"] if integers else [])]


CASES = [(row, dtype) for row in SEMIRINGS for dtype in dtypes_of(row)]
IDS = [f"{row.name}-{dtype}" for row, dtype in CASES]
every_case = pytest.mark.parametrize(("row", "name"), CASES, ids=IDS)
every_row = pytest.mark.parametrize("row", SEMIRINGS, ids=lambda row: row.name)


def sizes_around(code: str) -> list[tuple[int, int, int]]:
    """A few sizes around every block; `test_every_block` has them all."""
    if not NATIVE:
        return [(5, 7, 9), (1, 1, 1), (33, 18, 40)]
    e = kernels().get(code, kernels()["min_plus.i4"])
    mr, nr, lanes, kc = e["mr"], e["nr"], e["lanes"], e["kc"]
    return [
        (1, 1, 1),
        (mr, nr, 16),
        (mr - 1, nr - 1, 17),
        (2 * mr + 1, 2 * nr + 1, 33),
        (2, max(1, lanes - 1), kc),
        (mr + 1, lanes + 1, kc + 1),
        (2 * e["mc"] + 1, 3, 5),
    ]


@every_case
def test_every_semiring_of_every_dtype(row: Semiring, name: str, any_tier: str) -> None:
    rng = np.random.default_rng(1)
    dtype = dtype_of(name)
    for m, n, k in sizes_around(f"{row.name}.{dtype.str[1:]}"):
        a, b = drawn(rng, (m, k), dtype), drawn(rng, (k, n), dtype)
        want = brute("ik,kj->ij", a, b, row)
        agree(uf.matmul(a, b, semiring=row.name), want, row, f"{m} {n} {k}")
        out = spread(np.zeros((m, n), want.dtype))
        uf.einsum("ik,kj->ij", spread(a), b.copy("F"), out=out, semiring=row.name)
        agree(out, want, row, f"{m} {n} {k}")


@pytest.mark.parametrize("code", ["min_plus.f4", "min_plus.f8", "max_plus.i4", "xor_and.?"])
def test_every_block(code: str, any_tier: str) -> None:
    row, dtype = BY_NAME[code.split(".", maxsplit=1)[0]], np.dtype(code.split(".")[1])
    rng = np.random.default_rng(2)
    for m, n, k in block_sizes(code):
        if m * n * k > 2_000_000:
            continue
        a, b = drawn(rng, (m, k), dtype), drawn(rng, (k, n), dtype)
        want = brute("ik,kj->ij", a, b, row)
        agree(uf.einsum("ik,kj->ij", a, b, semiring=row), want, row, f"{m} {n} {k}")
        agree(uf.einsum("ik,kj->ji", a, b, semiring=row), want.T, row, f"{m} {n} {k}")


SPECIALS = [np.nan, np.inf, -np.inf]


@pytest.mark.parametrize("name", ["float32", "float64", "float16"])
@every_row
def test_nan_and_infinity_in_every_place(row: Semiring, name: str, any_tier: str) -> None:
    """The kernels for panels without NaN, and those for panels with, agree with NumPy's."""
    if row.codes == ("?",):
        return  # bools have neither
    rng = np.random.default_rng(3)
    plain_a, plain_b = drawn(rng, (9, 40), name), drawn(rng, (40, 53), name)
    for x, y in itertools.product([None, *SPECIALS], repeat=2):
        for k in (0, 21, 39):
            a, b = plain_a.copy(), plain_b.copy()
            i, j = rng.integers(9), rng.integers(53)
            if x is not None:
                a[i, k] = x
            if y is not None:
                b[k, j] = y  # meets x in one element, and others everywhere else
                b[(k + 1) % 40, 52] = y
            got = uf.matmul(a, b, semiring=row.name)
            agree(got, brute("ik,kj->ij", a, b, row), row, f"{x} {y} {k}")
    # An operand of nothing else: all terms are special.
    for x, y in itertools.product(SPECIALS, repeat=2):
        a, b = np.full((3, 5), x, name), np.full((5, 18), y, name)
        got = uf.matmul(a, b, semiring=row.name)
        agree(got, brute("ik,kj->ij", a, b, row), row, f"{x} {y}")


@every_row
def test_nan_in_one_block_of_k(row: Semiring, any_tier: str) -> None:
    """A block of k without NaN is joined to one with, before and behind."""
    if row.codes == ("?",):
        return  # bools have neither
    rng = np.random.default_rng(4)
    for name, k in (("float32", 2100), ("float64", 1100)):
        for place in (3, k - 2):
            a, b = drawn(rng, (5, k), name), drawn(rng, (k, 4), name)
            a[2, place] = np.nan
            b[place, 3] = np.inf
            agree(uf.matmul(a, b, semiring=row), brute("ik,kj->ij", a, b, row), row, name)


@every_case
def test_the_sum_of_nothing(row: Semiring, name: str, any_tier: str) -> None:
    dtype = dtype_of(name)
    a, b = np.zeros((3, 0), dtype), np.zeros((0, 4), dtype)
    agree(uf.matmul(a, b, semiring=row.name), brute("ik,kj->ij", a, b, row), row)
    agree(uf.einsum("ik,kj->", a, b, semiring=row.name), brute("ik,kj->", a, b, row), row)
    for m, n in ((0, 4), (3, 0)):
        got = uf.matmul(np.zeros((m, 2), dtype), np.zeros((2, n), dtype), semiring=row.name)
        assert got.shape == (m, n)


def test_integers_at_their_ends(any_tier: str) -> None:
    """Narrow ones are added and compared in 32 bits, so that 200 stays more than 50."""
    a, b = np.int8([[100, 25]]), np.int8([[100], [25]])
    assert uf.matmul(a, b, semiring="min_plus")[0, 0] == 50
    assert uf.matmul(a, b, semiring="max_absdiff")[0, 0] == 0
    a, b = np.int8([[-128, 1]]), np.int8([[127], [1]])
    assert uf.matmul(a, b, semiring="max_absdiff", accumulate="int32")[0, 0] == 255
    a, b = np.uint32([[2**32 - 1, 7]]), np.uint32([[0], [8]])
    assert uf.matmul(a, b, semiring="max_absdiff")[0, 0] == 2**32 - 1
    assert uf.matmul(a, b, semiring="min_plus")[0, 0] == 15
    big = np.int64([[2**62, -(2**62)]])
    assert uf.einsum("ij,kj->ik", big, big * 0, semiring="max_plus")[0, 0] == 2**62


@pytest.mark.parametrize("row", SELECTING, ids=lambda row: row.name)
@pytest.mark.parametrize("name", ["i4", "i8", "f4", "f8", "int8", "uint32", "float16", "uint64"])
def test_return_arg(row: Semiring, name: str, any_tier: str) -> None:
    """The first of equal terms, over blocks of k, in any layout."""
    rng = np.random.default_rng(5)
    dtype = dtype_of(name)
    code = f"arg_{row.name}.{dtype.str[1:]}"
    for m, n, k in sizes_around(code):
        a, b = drawn(rng, (m, k), dtype), drawn(rng, (k, n), dtype)
        want, at = brute("ik,kj->ij", a, b, row), positions("ik,kj->ij", a, b, row)
        for x, y in ((a, b), (spread(a), b.copy("F"))):
            got, index = uf.matmul(x, y, semiring=row.name, return_arg=True)
            agree(got, want, row, f"{m} {n} {k}")
            assert index.dtype == np.intp
            np.testing.assert_array_equal(index, at, err_msg=f"{m} {n} {k}")
        got, index = uf.einsum("ik,kj->ji", a, b, semiring=row.name, return_arg=True)
        agree(got, want.T, row)
        np.testing.assert_array_equal(index, at.T)
        out = spread(np.zeros((m, n), want.dtype))
        found, index = uf.matmul(a, b, out, semiring=row.name, return_arg=True)
        assert found is out
        agree(out, want, row)
        np.testing.assert_array_equal(index, at)


@pytest.mark.parametrize("row", SELECTING, ids=lambda row: row.name)
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_return_arg_with_nan(row: Semiring, name: str, any_tier: str) -> None:
    """The first NaN, as argmin and argmax have it; infinities, and all terms equal."""
    rng = np.random.default_rng(6)
    kc = 1100 if name == "float32" else 600
    for value, k in itertools.product([np.nan, np.inf, -np.inf], (30, kc)):
        a, b = drawn(rng, (5, k), name), drawn(rng, (k, 19), name)
        for place in (0, 11, k - 3):
            a[place % 5, place] = value
            b[k - 1 - place, place % 19] = value
        got, index = uf.matmul(a, b, semiring=row.name, return_arg=True)
        agree(got, brute("ik,kj->ij", a, b, row), row)
        np.testing.assert_array_equal(index, positions("ik,kj->ij", a, b, row), err_msg=f"{value}")
    for value in (0, np.inf, -np.inf, np.nan):
        a, b = np.full((2, 1100), value, name), np.full((1100, 3), value, name)
        _, index = uf.matmul(a, b, semiring=row.name, return_arg=True)
        assert (index == 0).all()


def test_return_arg_of_several_labels(any_tier: str) -> None:
    """Flattened in the order in which the shared labels first appear."""
    rng = np.random.default_rng(7)
    row = BY_NAME["min_plus"]
    a, b = rng.random((4, 3, 5, 2)), rng.random((5, 6, 3))
    for subscripts in ("iklb,ljk->bij", "iklb,ljk->j", "iklb,ljk->"):
        got, index = uf.einsum(subscripts, a, b, semiring=row, return_arg=True)
        agree(got, brute(subscripts, a, b, row), row)
        np.testing.assert_array_equal(index, positions(subscripts, a, b, row))
        assert np.shape(index) == np.shape(got)
    i, j, k = 2, 4, 1
    _, index = uf.einsum("iklb,ljk->bij", a, b, semiring=row, return_arg=True)
    first, second = np.unravel_index(index[k, i, j], (3, 5))
    assert got <= a[i, first, second, k] + b[second, j, first]


RETURN_ARG_ERRORS = {
    "a sum": ({"semiring": "plus_times"}, "whose sum is one of its terms.*min_plus.*plus_times"),
    "a sum of distances": ({"semiring": "plus_sqdiff"}, "plus_sqdiff"),
    "finish": ({"semiring": "min_plus", "finish": lambda x: x + 1}, "no 'finish'"),
}


@pytest.mark.parametrize("case", RETURN_ARG_ERRORS)
def test_return_arg_errors(case: str) -> None:
    options, message = RETURN_ARG_ERRORS[case]
    x = np.ones((3, 3))
    with pytest.raises(ValueError, match=message):
        uf.matmul(x, x, return_arg=True, **options)


def test_return_arg_needs_terms_and_two_operands() -> None:
    with pytest.raises(ValueError, match="no term"):
        uf.matmul(np.ones((2, 0)), np.ones((0, 2)), semiring="min_plus", return_arg=True)
    x = np.ones((2, 2))
    with pytest.raises(ValueError, match="two operands"):
        uf.einsum("ij,jk,kl->il", x, x, x, semiring="min_plus", return_arg=True)
    with pytest.raises(ValueError, match="two operands"):
        uf.einsum("ij->i", x, semiring="min_plus", return_arg=True)
    out = np.zeros((2, 2), np.float32)
    with pytest.raises(TypeError, match="'out'"):
        uf.matmul(x, x, out, semiring="min_plus", return_arg=True)


LABELS = ["ik,jk->ij", "bik,bkj->bij", "ik,kj->k", "ik,kj->j", "ik,ik->i", "ij,kl->lijk", "i,j->ij",
          "iij,jk->ik", "ik,k->", "kij,jkl->il", ",i->i"]  # fmt: skip


@pytest.mark.parametrize("subscripts", LABELS)
@every_row
def test_subscripts(row: Semiring, subscripts: str) -> None:
    """Batches, diagonals, nothing summed, and labels of one operand alone."""
    rng = np.random.default_rng(8)
    sizes = dict(zip("ijklb", (4, 5, 6, 3, 2), strict=True))
    for name in ("?",) if row.codes == ("?",) else ("f8", "f4", *(c for c in row.codes[:1])):
        terms = subscripts.split("->", maxsplit=1)[0].split(",")
        a, b = (drawn(rng, tuple(sizes[x] for x in t), name) for t in terms)
        agree(uf.einsum(subscripts, a, b, semiring=row), brute(subscripts, a, b, row), row)


@every_row
def test_one_operand(row: Semiring) -> None:
    rng = np.random.default_rng(9)
    for name in ("?",) if row.codes == ("?",) else ("f4", "f8"):
        x = drawn(rng, (4, 5, 4), name)
        with np.errstate(all="ignore"):
            want = getattr(np, row.plus).reduce(x, axis=1)
            diagonal = getattr(np, row.plus).reduce(np.einsum("iji->ij", x), axis=1)
        agree(uf.einsum("ijk->ik", x, semiring=row), want.astype(x.dtype), row)
        agree(uf.einsum("iji->i", x, semiring=row), diagonal.astype(x.dtype), row)
        empty = uf.einsum("ij->i", np.zeros((2, 0), x.dtype), semiring=row)
        agree(empty, np.full(2, row.empty(x.dtype), x.dtype), row)


@pytest.mark.parametrize("name", ["min_plus", "max_plus", "min_max", "or_and", "xor_and"])
def test_chains_of_rings_do_not_depend_on_the_path(name: str) -> None:
    rng = np.random.default_rng(10)
    row = BY_NAME[name]
    dtype = "?" if row.codes == ("?",) else "f8"
    a, b, c = (drawn(rng, shape, dtype) for shape in ((3, 4), (4, 5), (5, 6)))
    ab = brute("ij,jk->ik", a, b, row)
    want = brute("ik,kl->il", ab, c, row)
    for optimize in ("auto", False, "optimal", ["einsum_path", (1, 2), (0, 1)]):
        got = uf.einsum("ij,jk,kl->il", a, b, c, semiring=name, optimize=optimize)
        agree(got, want, row)


def test_shortest_paths() -> None:
    """Squaring the distances of a graph finds the shortest ways of all pairs."""
    rng = np.random.default_rng(11)
    n = 40
    steps = np.where(rng.random((n, n)) < 0.1, rng.integers(1, 20, (n, n)), np.inf)
    np.fill_diagonal(steps, 0)
    want = steps.copy()
    for k in range(n):
        want = np.minimum(want, want[:, k : k + 1] + want[k])
    found = steps
    for _ in range(6):
        found = uf.matmul(found, found, semiring="min_plus")
    np.testing.assert_array_equal(found, want)
    reached = np.isfinite(steps)
    for _ in range(6):
        reached = uf.matmul(reached, reached, semiring="or_and")
    np.testing.assert_array_equal(reached, np.isfinite(want))


def test_logaddexp_is_a_sum_of_exponentials(any_tier: str) -> None:
    """Terms far apart, far below and above what exp can hold, and -inf."""
    rng = np.random.default_rng(12)
    for name, digits in (("float32", 3e-6), ("float64", 1e-14)):
        a, b = (rng.normal(size=s).astype(name) * 30 for s in ((7, 600), (600, 20)))
        a[1] -= np.asarray(2000, name)
        a[2] += np.asarray(2000, name)
        a[3, ::2] = -np.inf
        a[4] = -np.inf
        terms = a[:, :, None].astype(np.float64) + b.astype(np.float64)
        top = terms.max(axis=1)
        with np.errstate(all="ignore"):
            want = top + np.log(np.exp(terms - top[:, None]).sum(axis=1))
        want[4] = -np.inf
        got = uf.matmul(a, b, semiring="logaddexp_plus")
        assert got.dtype == name
        np.testing.assert_allclose(got, want, rtol=digits, atol=20 * digits)


def test_finish_of_a_semiring(any_tier: str) -> None:
    rng = np.random.default_rng(13)
    a, b = rng.integers(-9, 9, (30, 600)).astype("f8"), rng.integers(-9, 9, (600, 21)).astype("f8")
    want = np.sqrt(brute("ik,kj->ij", a, b, BY_NAME["plus_sqdiff"])) + 1
    got = uf.matmul(a, b, semiring="plus_sqdiff", finish=lambda s: np.sqrt(s) + 1)
    np.testing.assert_allclose(got, want, rtol=1e-15)


#: Semirings of one's own: by a program, and by NumPy.
OWN: list[tuple[Any, Any, float, list[str]]] = [
    (np.maximum, np.minimum, -np.inf, ["f4", "f8", "i4", "i8", "u1"]),
    (np.add, np.multiply, 0, ["f8", "i4"]),
    (np.multiply, np.add, 1, ["f8", "i8"]),
    ("add", "maximum", 0, ["f4", "f8"]),
    (np.minimum, np.multiply, np.inf, ["f8"]),
    (np.bitwise_or, np.bitwise_and, 0, ["u1", "i8"]),
    (np.gcd, np.multiply, 0, ["u1", "u8"]),
    (np.add, np.hypot, 0, ["f8"]),
    (np.add, np.arctan2, 0, ["f8"]),
]


@pytest.mark.parametrize(("plus", "times", "identity", "names"), OWN)
def test_own_semirings(plus: Any, times: Any, identity: float, names: list[str]) -> None:
    row = uf.semiring(plus, times, identity)
    rng = np.random.default_rng(14)
    for name in names:
        for subscripts in ("ik,kj->ij", "bik,bkj->jib", "ik,kj->j", "i,j->ij", "ik,ik->", "k,k->"):
            sizes = dict(zip("ijkb", (7, 4, 11, 3), strict=True))
            terms = subscripts.split("->")[0].split(",")
            a, b = (drawn(rng, tuple(sizes[x] for x in t), name) for t in terms)
            want = brute(subscripts, a, b, row)
            got = np.asarray(uf.einsum(subscripts, a, b, semiring=row))
            assert got.dtype == want.dtype
            if np.dtype(name).kind == "f":
                np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
            else:
                np.testing.assert_array_equal(got, want)
        empty = uf.einsum("ik,kj->ij", np.zeros((2, 0), name), np.zeros((0, 2), name), semiring=row)
        assert (empty == row.empty(np.dtype(name))).all()


def test_own_semirings_that_have_kernels_are_those() -> None:
    for row in SEMIRINGS:
        if isinstance(row.times, np.ufunc):
            assert uf.semiring(getattr(np, row.plus), row.times, row.identity) is row
    assert uf.semiring("minimum", "add", np.inf) is BY_NAME["min_plus"]
    assert uf.semiring("minimum", "add", 0) is not BY_NAME["min_plus"]


@pytest.mark.parametrize("bad", [np.negative, np.divmod, "nonsense", "linalg", len, None, 3])
def test_bad_semirings(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"'plus'.*ufunc of two arguments"):
        uf.semiring(bad, np.add, 0)
    with pytest.raises(TypeError, match=r"'times'.*ufunc of two arguments"):
        uf.semiring(np.add, bad, 0)


@pytest.mark.parametrize("bad", ["plus", "min-plus", None, 3, np.add])
def test_unknown_semirings(bad: Any) -> None:
    x = np.ones((2, 2))
    kind = ValueError if isinstance(bad, str) else TypeError
    with pytest.raises(kind, match=r"'semiring': expected plus_times, .*min_plus"):
        uf.matmul(x, x, semiring=bad)


@given(st.data())
def test_any_labels_in_any_semiring(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(SEMIRINGS))
    left, right = (
        data.draw(st.lists(st.sampled_from("abcde"), max_size=4, unique=True)) for _ in range(2)
    )
    both = list(dict.fromkeys(left + right))
    out = data.draw(st.permutations(both)) if both else []
    out = out[: data.draw(st.integers(0, len(both)))]
    subscripts = f"{''.join(left)},{''.join(right)}->{''.join(out)}"
    sizes = {label: data.draw(st.integers(0, 4)) for label in both}
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    code = data.draw(st.sampled_from(row.codes))
    a, b = (drawn(rng, tuple(sizes[x] for x in labels), code) for labels in (left, right))
    if a.ndim and data.draw(st.booleans()):
        a = np.flip(a, 0)
    want = brute(subscripts, a, b, row)
    agree(uf.einsum(subscripts, a, b, semiring=row), want, row, subscripts)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_sign_of_a_zero_does_not_depend_on_the_layout(dtype: str) -> None:
    """The greater of 0 and -0 is the first one, so operands must not change places."""
    a, b = np.full((5, 3), -0.0, dtype), np.zeros((3, 6), dtype)
    want = uf.einsum("ik,kj->ij", a, b, semiring="min_max")
    out = np.ones((6, 5), dtype).T
    uf.einsum("ik,kj->ij", a, b, semiring="min_max", out=out)
    assert np.signbit(out).tobytes() == np.signbit(want).tobytes()


@pytest.mark.parametrize("path", ["auto", False, ["einsum_path", (1, 2), (0, 1)], "greedy"])
@pytest.mark.parametrize("name", ["plus_absdiff", "plus_sqdiff", "max_times"])
def test_what_does_not_distribute_is_summed_once(name: str, path: object) -> None:
    """Three operands: products of all of them from left to right, then the sum, by any path."""
    rng = np.random.default_rng(5)
    a, b, c = (rng.integers(-4, 5, shape).astype("f8") for shape in ((3, 4), (4, 2), (2, 5)))
    times = {
        "plus_absdiff": lambda x, y: np.abs(x - y),
        "plus_sqdiff": lambda x, y: (x - y) ** 2,
        "max_times": np.multiply,
    }[name]
    terms = times(times(a[:, :, None, None], b[None, :, :, None]), c[None, None])
    want = terms.max(axis=(1, 2)) if name == "max_times" else terms.sum(axis=(1, 2))
    got = uf.einsum("ij,jk,kl->il", a, b, c, semiring=name, optimize=path)
    np.testing.assert_array_equal(got, want)
