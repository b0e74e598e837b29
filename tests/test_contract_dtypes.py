"""Contractions of every dtype: results, conversions, exact sums, NaN, conjugates, outputs."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from contraction_cases import (
    COMPLEX,
    DTYPES,
    FLOAT8,
    FLOATS,
    INTEGERS,
    NARROW,
    dtype_of,
    product,
    result_of,
    same,
    small,
    spread,
    wide,
)

# A packed product, dots, nothing summed, a label of one operand alone, a batch.
SUBSCRIPTS = ["ik,kj->ij", "ik,ik->i", "i,j->ji", "ik,kj->j", "kij,kjl->kil", "ik,ik->"]
SIZES = {"i": 5, "j": 6, "k": 7, "l": 3}


def shape_of(term: str) -> tuple[int, ...]:
    return tuple(SIZES[label] for label in term)


def drawn(subscripts: str, left: str, right: str, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    terms = subscripts.split("->", maxsplit=1)[0].split(",")
    names = (left, right)
    return [small(rng, shape_of(t), dtype_of(n)) for t, n in zip(terms, names, strict=True)]


@pytest.mark.parametrize("left", DTYPES)
def test_pairs_of_dtypes(left: str) -> None:
    """The result has NumPy's dtype, and exact sums in it; where NumPy has none, a TypeError."""
    for right, subscripts in itertools.product(DTYPES, SUBSCRIPTS):
        a, b = drawn(subscripts, left, right)
        try:
            dtype = np.result_type(a, b)
        except TypeError:
            with pytest.raises(TypeError):
                uf.einsum(subscripts, a, b)
            continue
        want = result_of(np.einsum(subscripts, wide(a), wide(b)), dtype)
        got = uf.einsum(subscripts, a, b)
        assert isinstance(got, np.ndarray) == (want.ndim > 0)
        same(np.asarray(got), np.asarray(want), f"{left} {right} {subscripts}")


ACCUMULATED = [
    ("int8", "int8", "int32"),
    ("int8", "int8", "int64"),
    ("uint8", "int8", "int32"),
    ("int8", "uint8", "int32"),
    ("uint8", "uint8", "int32"),
    ("uint8", "uint8", "uint32"),
    ("int16", "int8", "int32"),
    ("int32", "int32", "int64"),
    ("bool", "bool", "int64"),
    ("bool", "int8", "int32"),
    ("int8", "int8", "float32"),
    ("float16", "float16", "float32"),
    ("bfloat16", "bfloat16", "float32"),
    ("float16", "float16", "float64"),
    ("float32", "float32", "float64"),
    ("float64", "float64", "float32"),
    ("float32", "float32", "complex64"),
    ("complex64", "complex64", "complex128"),
    *((name, name, "float32") for name in FLOAT8),
]


@pytest.mark.parametrize(("left", "right", "accumulate"), ACCUMULATED)
def test_accumulate(left: str, right: str, accumulate: str, any_tier: str) -> None:
    for subscripts in SUBSCRIPTS:
        a, b = drawn(subscripts, left, right, 1)
        want = result_of(np.einsum(subscripts, wide(a), wide(b)), accumulate)
        got = uf.einsum(subscripts, a, b, accumulate=accumulate)
        same(np.asarray(got), np.asarray(want), subscripts)


def test_accumulated_sums_are_not_rounded_between() -> None:
    """2048 + 1 is no float16; 200 * 200 is no int8."""
    ones = np.ones((1, 3000), np.float16)
    assert uf.matmul(ones, ones.T, accumulate="float32") == 3000
    assert uf.matmul(ones, ones.T) == 3000, "summed in float32 all the same"
    assert uf.matmul(np.int8([[100, 100]]), np.int8([[100], [100]]), accumulate="int32") == 20000
    large = np.int64([[2**40 + 3, 2**31]])  # wraps, as the documentation says
    assert uf.matmul(large, np.int64([[5], [1]]), accumulate="int32") == 15 - 2**31
    assert uf.matmul(np.int8([[100, 100]]), np.int8([[100], [100]])) == np.int8(20000 % 256)


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_wrap_as_numpys(name: str, any_tier: str) -> None:
    rng = np.random.default_rng(2)
    info = np.iinfo(name)
    a = rng.integers(info.min, info.max, (20, 65), name, endpoint=True)
    b = rng.integers(info.min, info.max, (65, 33), name, endpoint=True)
    same(uf.einsum("ik,kj->ij", a, b), np.einsum("ik,kj->ij", a, b))
    same(uf.einsum("ik,ik->i", a, a), np.einsum("ik,ik->i", a, a))


@pytest.mark.parametrize("name", ["int8", "uint8"])
def test_sums_of_8_bits_wrap_where_they_are_asked_for(name: str) -> None:
    """However many terms: it is NumPy's dtype, though int32 sums of so many would pass int32."""
    a, b = np.full((2, 140_000), 127, name), np.full((140_000, 3), 127, name)
    want = np.full((2, 3), 127 * 127 * 140_000).astype(name)
    same(uf.matmul(a, b, accumulate=name), want)
    same(uf.matmul(a, b), want)


@pytest.mark.parametrize("right", ["int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("left", ["int8", "uint8", "int16", "uint16"])
def test_narrow_integers_of_two_dtypes(left: str, right: str, any_tier: str) -> None:
    """At their ends, in what NumPy promotes them to: pairs of products pass 16 bits, and 32."""
    rng = np.random.default_rng(4)
    ends = [[np.iinfo(x).min, np.iinfo(x).max, 1] for x in (left, right)]
    for m, n, k in ((1, 1, 1), (3, 5, 2), (15, 34, 67), (40, 20, 2051)):
        a = rng.choice(ends[0], (m, k)).astype(left)
        b = rng.choice(ends[1], (k, n)).astype(right)
        dtype = np.result_type(a, b)
        want = (a.astype(np.int64) @ b.astype(np.int64)).astype(dtype)
        same(uf.matmul(a, b), want)
        same(uf.matmul(np.asfortranarray(a), np.asfortranarray(b)), want)
        low = np.full((2, k), np.iinfo(left).min, left)
        same(uf.matmul(low, b), (low.astype(np.int64) @ b.astype(np.int64)).astype(dtype))


#: Operands at their ends, and the most terms whose sums int32 (uint32) holds.
BOUNDS = [
    ("int8", -128, "int8", -128, "int32", 131071),
    ("uint8", 255, "int8", -128, "int32", 65793),
    ("int8", -128, "uint8", 255, "int32", 65793),
    ("uint8", 255, "uint8", 255, "int32", 33025),
    ("uint8", 255, "uint8", 255, "uint32", 66051),
]


@pytest.mark.parametrize(("left", "x", "right", "y", "accumulate", "most"), BOUNDS)
def test_int8_products_are_exact_up_to_the_bound(
    left: str, x: int, right: str, y: int, accumulate: str, most: int
) -> None:
    """One more term could overflow: it is refused, and wider sums are exact."""
    a, b = np.full((2, most + 1), x, left), np.full((most + 1, 17), y, right)
    got = uf.matmul(a[:, :most], b[:most], accumulate=accumulate)
    assert got.dtype == accumulate and (got == x * y * most).all()
    for call in (
        lambda: uf.matmul(a, b, accumulate=accumulate),
        lambda: uf.einsum("ik,ik->", a[:1], b[:, :1].T, accumulate=accumulate),
    ):
        with pytest.raises(ValueError, match=rf"{most + 1} products.*at most {most}.*int64"):
            call()
    assert (uf.matmul(a, b, accumulate="int64") == x * y * (most + 1)).all()
    if left == right and np.dtype(accumulate).kind == np.dtype(left).kind:
        wrapped = np.asarray(x * y * (most + 1)).astype(left)
        assert (uf.matmul(a, b) == wrapped).all(), "NumPy's dtype, which wraps"


def test_int8_products_of_any_codes_are_exact(any_tier: str) -> None:
    """All 256 codes by all: the sums of neighbours that 16 bits saturate, too."""
    codes = np.arange(-128, 128).astype(np.int8)
    a = np.stack([np.roll(codes, i) for i in range(0, 256, 13)])
    unsigned = a.view(np.uint8)
    for left in (a, unsigned):
        want = left.astype(np.int64) @ a.T
        same(uf.matmul(left, a.T, accumulate="int32"), want.astype(np.int32))
        turned = uf.matmul(a, left.T, accumulate="int32")
        same(turned, (a.astype(np.int64) @ left.T).astype(np.int32))


@pytest.mark.parametrize("name", ["float16", "bfloat16", *FLOATS])
def test_nan_and_infinity_propagate_as_numpys(name: str, any_tier: str) -> None:
    """In every position of k and of a tile, 0 * NaN and inf - inf included."""
    dtype = dtype_of(name)
    rng = np.random.default_rng(3)
    a, b = small(rng, (19, 70), dtype), small(rng, (70, 37), dtype)
    for value in (np.nan, np.inf, -np.inf):
        for k in (0, 1, 33, 69):
            x, y = a.copy(), b.copy()
            x[rng.integers(19), k] = value
            y[k, rng.integers(37)] = -value
            y[(k + 5) % 70, 36] = value
            with np.errstate(all="ignore"):
                want = (x.astype(np.float64) @ y.astype(np.float64)).astype(dtype)
            same(uf.einsum("ik,kj->ij", x, y), want)
            same(uf.einsum("ki,kj->ji", x.T.copy(), y), want.T)
    with np.errstate(all="ignore"):
        dots = np.einsum("ik,ik->i", x.astype(np.float64), x.astype(np.float64)).astype(dtype)
    same(uf.einsum("ik,ik->i", x, x), dots)


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_nan_and_infinity_propagate_as_numpys(name: str, any_tier: str) -> None:
    rng = np.random.default_rng(4)
    a, b = small(rng, (5, 9), name), small(rng, (9, 7), name)
    for value in (np.nan, complex(0, np.nan), np.inf, complex(0, -np.inf), complex(np.inf, np.nan)):
        x = a.copy()
        x[2, 3] = value
        with np.errstate(all="ignore"):
            want = np.einsum("ik,kj->ij", x, b)
        same(uf.einsum("ik,kj->ij", x, b), want)
        same(uf.einsum("ik,kj->ji", x, b), want.T)


def test_overflow_to_infinity_is_silent() -> None:
    """As a matrix product's: values say it."""
    for name, big in (("float16", 60000), ("float32", 3e38), ("float64", 1e308)):
        x = np.full((3, 3), big, name)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for got in (uf.matmul(x, x), uf.einsum("ij,ij->i", x, x), uf.einsum("i,j->ij", *x[:2])):
                assert np.isinf(got).all() and got.dtype == name


REAL_AND_COMPLEX = [*FLOATS, *COMPLEX, "int16", "float16"]


@pytest.mark.parametrize("left", REAL_AND_COMPLEX)
@pytest.mark.parametrize("right", REAL_AND_COMPLEX)
def test_conjugates(left: str, right: str) -> None:
    """vdot, vecdot and vecmat conjugate their first operand, complex or not; matvec does not."""
    rng = np.random.default_rng(5)
    for k, n in ((1, 1), (7, 5), (40, 33)):
        u, v = small(rng, (3, k), left), small(rng, (3, k), right)
        matrix = small(rng, (k, n), right)
        dtype = np.result_type(u, v)
        conjugated = wide(u).conj()
        want = result_of((conjugated * wide(v)).sum(-1), dtype)
        same(uf.vecdot(u, v), want)
        same(uf.vecdot(u.T, v.T, axis=0), want)
        same(np.asarray(uf.vdot(u, v)), np.asarray(result_of((conjugated * wide(v)).sum(), dtype)))
        same(uf.vecmat(u, matrix), result_of(conjugated @ wide(matrix), dtype))
        same(uf.vecmat(u[:1], matrix), result_of(conjugated[:1] @ wide(matrix), dtype))
        same(uf.matvec(matrix.T, u), result_of(wide(u) @ wide(matrix), dtype))
        if dtype.kind == "c":
            assert not np.signbit(uf.vecmat(u * 0, matrix).imag).any(), "0, not -0, as NumPy's"
        out = spread(np.zeros((3, n), dtype))
        assert uf.vecmat(u, matrix, out=out) is out
        same(out, result_of(conjugated @ wide(matrix), dtype))


@pytest.mark.parametrize("name", DTYPES)
def test_results_without_axes_are_scalars_of_the_dtype(name: str) -> None:
    rng = np.random.default_rng(6)
    x = small(rng, (9,), dtype_of(name))
    for got in (uf.einsum("i,i->", x, x), uf.vecdot(x, x), uf.dot(x, x), uf.einsum("i->", x)):
        assert type(got) is x.dtype.type and not isinstance(got, np.ndarray)
    out = np.empty((), x.dtype)
    assert uf.einsum("i,i->", x, x, out=out) is out
    same(out, product(x[None], x[:, None]).reshape(()))


@pytest.mark.parametrize("name", [*INTEGERS[2:], "float16", *FLOATS, *COMPLEX])
def test_byte_swapped_operands_and_results(name: str) -> None:
    rng = np.random.default_rng(7)
    a, b = small(rng, (6, 11), name), small(rng, (11, 5), name)
    swapped = np.dtype(name).newbyteorder(">")
    want = product(a, b)
    for x, y in (
        (a.astype(swapped), b),
        (a, b.astype(swapped)),
        (a.astype(swapped), b.astype(swapped)),
    ):
        got = uf.einsum("ik,kj->ij", x, y)
        assert got.dtype.isnative
        same(got, want)
    out = np.zeros(want.shape, swapped)
    assert uf.einsum("ik,kj->ij", a.astype(swapped), b, out=out) is out
    same(out.astype(name), want)


@pytest.mark.parametrize("name", ["bool", "int8", "int64", "bfloat16", "float32", "complex64"])
def test_read_only_unaligned_and_broadcast_operands(name: str) -> None:
    rng = np.random.default_rng(8)
    dtype = dtype_of(name)
    a, b = small(rng, (13, 21), dtype), small(rng, (21, 18), dtype)
    want = product(a, b)
    frozen = a.copy()
    frozen.flags.writeable = False
    raw = np.zeros(a.nbytes + 1, np.uint8)
    shifted = np.ndarray(a.shape, dtype, raw, 1)
    shifted[...] = a
    for left in (frozen, shifted, spread(a), np.asfortranarray(a)):
        same(uf.einsum("ik,kj->ij", left, b), want)
    row = np.broadcast_to(a[:1], a.shape)
    same(uf.einsum("ik,kj->ij", row, b), product(row, b))
    column = np.broadcast_to(b[:, :1], b.shape)
    same(uf.einsum("ik,kj->ij", a, column), product(a, column))


@pytest.mark.parametrize("name", ["bool", "int8", "int32", *NARROW[:2], *FLOATS, *COMPLEX])
def test_out_may_overlap_the_operands(name: str) -> None:
    """As if the operands were read first: the same array, its transpose, a shifted part."""
    rng = np.random.default_rng(9)
    dtype = dtype_of(name)
    x, y = small(rng, (40, 40), dtype), small(rng, (40, 40), dtype)
    want = product(x, y)
    for make in (lambda a, b: a, lambda a, b: b, lambda a, b: a.T, lambda a, b: b[::-1]):
        a, b = x.copy(), y.copy()
        out = make(a, b)
        assert uf.matmul(a, b, out=out) is out
        same(out, want)
        a = x.copy()
        uf.einsum("ij,jk->ik", a, a, out=a)
        same(a, product(x, x))
    room = np.concatenate([x.ravel(), np.zeros(8, dtype)])
    out = room[8:].reshape(40, 40)
    uf.matmul(room[:1600].reshape(40, 40), y, out=out)
    same(out, want)


def test_out_of_another_dtype() -> None:
    """Casting is NumPy's for einsum (safe) and for products (same_kind)."""
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    want = a @ a.T
    for dtype in ("float64", "complex64"):
        out = np.empty((3, 3), dtype)
        assert uf.einsum("ik,jk->ij", a, a, out=out) is out
        same(out, want.astype(dtype))
    out = np.empty((3, 3), np.float16)
    with pytest.raises(TypeError, match=r"'out'.*float32.*'safe'.*float16"):
        uf.einsum("ik,jk->ij", a, a, out=out)
    uf.einsum("ik,jk->ij", a, a, out=out, casting="same_kind")
    same(out, want.astype(np.float16))
    uf.matmul(a, a.T, out=out)
    same(out, want.astype(np.float16))
    with pytest.raises(TypeError, match=r"'out'.*int32"):
        uf.matmul(a, a.T, out=np.empty((3, 3), np.int32))


def test_dtype_casts_the_operands_first() -> None:
    a = np.array([[1.5, 2.5]])
    assert uf.einsum("ij,ij->", a, a, dtype="int64", casting="unsafe") == 5
    with np.errstate(all="ignore"):
        narrow = uf.einsum("ij,ij->", a, a, dtype="float16", casting="same_kind")
    assert narrow == np.float16(8.5) and narrow.dtype == np.float16
    big = np.array([[300.0, 2.0]])
    got = uf.matmul(big, big.T, dtype="float32")
    assert got.dtype == np.float32 and got[0, 0] == 90004
    whole = np.array([[257, 3]])
    got = uf.einsum("ij,kj->ik", whole, whole, dtype="int8", casting="unsafe")
    same(got, np.einsum("ij,kj->ik", whole, whole, dtype="int8", casting="unsafe"))
    with pytest.raises(TypeError, match=r"operands\[0\].*float64.*int64.*'safe'"):
        uf.einsum("ij,ij->", a, a, dtype="int64")
    with pytest.raises(ValueError, match="got both"):
        uf.einsum("ij,ij->", a, a, dtype="float64", accumulate="float64")


@pytest.mark.parametrize("order", ["K", "C", "F", "A", "k", "f"])
def test_order(order: str) -> None:
    c, f = np.ones((4, 5)), np.asfortranarray(np.ones((5, 6)))
    got = uf.einsum("ik,kj->ij", c, f, order=order)
    assert got.flags.f_contiguous if order in "Ff" else got.flags.c_contiguous
    got = uf.einsum("ki,jk->ij", np.asfortranarray(c.T), f.T.copy("F"), order=order)
    assert got.flags.c_contiguous if order == "C" else got.flags.f_contiguous
    for plain in (uf.einsum("ik,kj->ij", c, f), uf.matmul(c, f)):
        assert plain.flags.c_contiguous, "what other calls asked for is not remembered"
    with pytest.raises(ValueError, match=r"'order'.*'Z'"):
        uf.einsum("ik,kj->ij", c, f, order="Z")


def test_narrow_floats_are_summed_in_more_digits(any_tier: str) -> None:
    """A sum above the middle of two float16, by a term that float16 sums would lose."""
    for name, half in (("float16", 2.0**-11), ("bfloat16", 2.0**-8)):
        dtype = dtype_of(name)
        a = np.array([[1, half, 2.0**-12]], dtype)
        b = np.array([[1, 1, 2.0**-8]], dtype)
        same(uf.einsum("ik,jk->ij", a, b), np.array([[1 + 2 * half]], dtype))


@pytest.mark.parametrize(
    ("left", "right", "sums", "exact"),
    [("int16", "int16", "int32", 1), ("int8", "int16", "int32", 511), ("int8", "int8", "int16", 1)],
)
def test_accumulated_integers_of_any_size_do_not_wrap_silently(
    left: str, right: str, sums: str, exact: int
) -> None:
    low, high = np.iinfo(left).min, np.iinfo(right).min
    for k in (exact, exact + 1):
        a, b = np.full((2, k), low, left), np.full((k, 3), high, right)
        if k > exact:
            with pytest.raises(ValueError, match=rf"at most {exact} are exact.*int64"):
                uf.matmul(a, b, accumulate=sums)
        want = a.astype(np.int64) @ b.astype(np.int64)
        assert (uf.matmul(a, b, accumulate="int64") == want).all()
        if k == exact:
            np.testing.assert_array_equal(uf.matmul(a, b, accumulate=sums), want)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("subscripts", ["ij,jk->ik", "ij,j->i", "bi,bi->b"])
def test_real_operands_have_no_imaginary_part(subscripts: str, dtype: str) -> None:
    """An infinity times a real number: NumPy gives the number a 0 that makes NaN of it.

    Each part is that of a real product. NaN is where NumPy's einsum has it, or in fewer places; of
    two complex operands in the same ones. (NumPy's matmul has it in more: BLAS pads.)
    """
    rng = np.random.default_rng(9)
    real = np.dtype(dtype).type().real.dtype
    for special in (np.inf, -np.inf, np.nan, complex(np.inf, 1), complex(1, -np.inf)):
        a = rng.integers(-2, 3, (3, 3)).astype(real)
        b = (rng.integers(-2, 3, (3, 3)) + 1j).astype(dtype)
        b[1, 1] = special
        b = b[0] if subscripts == "ij,j->i" else b
        if b.ndim == 1:
            b[1] = special
        with np.errstate(all="ignore"):
            numpys = np.einsum(subscripts, a, b)
            parts = [np.einsum(subscripts, a, part) for part in (b.real, b.imag)]
            both = np.einsum(subscripts, a.astype(dtype), b)
        got = uf.einsum(subscripts, a, b)
        if NATIVE:
            np.testing.assert_array_equal(got.real, parts[0])
            np.testing.assert_array_equal(got.imag, parts[1])
        assert not (np.isnan(got.real) & ~np.isnan(numpys.real)).any()
        assert not (np.isnan(got.imag) & ~np.isnan(numpys.imag)).any()
        same(uf.einsum(subscripts, a.astype(dtype), b), both)
