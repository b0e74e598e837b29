"""finish=: a function of the sums, applied before they are stored."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from contraction_cases import Array, dtype_of, small, spread, wide

rng = np.random.default_rng(0)
M, N, K = 37, 45, 20
BIAS, ROWS, RESIDUAL = (small(rng, s, np.float32) for s in ((N,), (M, 1), (M, N)))
SCALE = np.float32(0.5)

#: All of what is exact on small integers.
FINISHES: dict[str, Callable[[Any], Any]] = {
    "bias along columns": lambda s: s + BIAS,
    "bias along rows": lambda s: s + ROWS,
    "residual": lambda s: s + RESIDUAL,
    "residual read across": lambda s: s - spread(RESIDUAL),
    "scalar": lambda s: s * SCALE,
    "python numbers": lambda s: 2 * s - 0.5,
    "relu": lambda s: np.maximum(s, 0),
    "clip": lambda s: np.clip(s, -3, 5),
    "all of it": lambda s: np.maximum((s + BIAS) * SCALE + RESIDUAL, ROWS),
    "where": lambda s: np.where(s > 3, s, BIAS),
    "cast": lambda s: np.clip(np.rint(s * SCALE), -128, 127).astype(np.int8),
    "to float64": lambda s: s.astype(np.float64) * 2,
    "comparison": lambda s: s > BIAS,
    "twice": lambda s: s * s + s,
}


def operands(k: int = K, dtype: Any = np.float32, m: int = M, n: int = N) -> tuple[Array, Array]:
    draw = np.random.default_rng(k)
    return small(draw, (m, k), dtype), small(draw, (k, n), dtype)


def check(got: Any, want: Any) -> None:
    assert np.asarray(got).dtype == np.asarray(want).dtype
    assert np.shape(got) == np.shape(want)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", FINISHES)
def test_functions(name: str, any_tier: str) -> None:
    """With einsum and matmul, into a result and an `out` of any strides, one k block and many."""
    finish = FINISHES[name]
    for k in (K, 0, 1, 1024, 1025, 2100):
        a, b = operands(k)
        sums = (wide(a) @ wide(b)).astype(np.float32)
        want = finish(sums)
        check(uf.matmul(a, b, finish=finish), want)
        check(uf.einsum("ik,kj->ij", spread(a), np.asfortranarray(b), finish=finish), want)
        out = spread(np.zeros(want.shape, want.dtype))
        assert uf.matmul(a, b, out=out, finish=finish) is out
        check(out, want)
        across = np.zeros(want.shape[::-1], want.dtype).T
        uf.matmul(a, b, out=across, finish=finish)
        check(across, want)


@pytest.mark.parametrize("m", [1, 14, 113, 250])
@pytest.mark.parametrize("n", [1, 33, 257, 700])
def test_tiles(m: int, n: int, any_tier: str) -> None:
    """Around the 112 rows and 256 columns that a finish sees at a time, at several k blocks."""
    for k in (30, 1100):
        a, b = operands(k, np.float32, m, n)
        column = np.arange(n, dtype=np.float32)
        row = np.arange(m, dtype=np.float32)[:, None]
        want = (wide(a) @ wide(b)).astype(np.float32) + column - row
        check(uf.matmul(a, b, finish=lambda s, x=column, y=row: s + x - y), want)


def test_batches_and_the_bias_of_each(any_tier: str) -> None:
    draw = np.random.default_rng(3)
    a, b = small(draw, (4, 30, 20), np.float32), small(draw, (4, 20, 17), np.float32)
    sums = (wide(a) @ wide(b)).astype(np.float32)
    per_item = small(draw, (4, 1, 1), np.float32)
    per_column = small(draw, (4, 1, 17), np.float32)
    for bias in (per_item, per_column, small(draw, (4, 30, 17), np.float32), per_column[:1]):
        check(uf.matmul(a, b, finish=lambda s, x=bias: s + x), sums + bias)
        turned = uf.einsum("bik,bkj->jbi", a, b, finish=lambda s, x=bias: s + x.transpose(2, 0, 1))
        check(turned, (sums + bias).transpose(2, 0, 1))


def test_fused_axes(any_tier: str) -> None:
    """Rows and columns of two labels each, interleaved in the result, with arrays of its shape."""
    draw = np.random.default_rng(4)
    a, b = small(draw, (6, 9, 5, 7), np.float32), small(draw, (9, 8, 7, 4), np.float32)
    sums = np.einsum("ikjl,kmln->imjn", wide(a), wide(b)).astype(np.float32)
    whole = small(draw, sums.shape, np.float32)
    part = small(draw, (8, 1, 4), np.float32)
    got = uf.einsum("ikjl,kmln->imjn", a, b, finish=lambda s: np.maximum(s + whole, part))
    check(got, np.maximum(sums + whole, part))
    out = spread(np.zeros(sums.shape, np.float32))
    uf.einsum("ikjl,kmln->imjn", a, b, out=out, finish=lambda s: s * part)
    check(out, sums * part)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn"])
def test_narrow_floats_are_finished_in_float32(name: str, any_tier: str) -> None:
    """The sums are float32 there, and so is the result, unless the function casts it."""
    dtype = dtype_of(name)
    a, b = operands(40, dtype)
    sums = (wide(a) @ wide(b)).astype(np.float32)
    check(uf.matmul(a, b, finish=lambda s: s * SCALE + BIAS), sums * SCALE + BIAS)
    if name != "float8_e4m3fn":
        want = (sums * SCALE).astype(dtype)
        check(uf.matmul(a, b, finish=lambda s: (s * SCALE).astype(dtype)), want)
        out = spread(np.zeros(want.shape, dtype))
        uf.matmul(a, b, out=out, finish=lambda s: (s * SCALE).astype(dtype))
        check(out, want)
    residual = small(np.random.default_rng(6), sums.shape, dtype)
    wanted = sums + residual.astype(np.float32)
    check(uf.matmul(a, b, finish=lambda s: s + residual.astype(np.float32)), wanted)
    if name == "float16":
        check(uf.matmul(a, b, finish=lambda s: s + residual), wanted)


@pytest.mark.parametrize("name", ["float64", "int32", "int64", "int8"])
def test_other_dtypes(name: str, any_tier: str) -> None:
    a, b = operands(40, name)
    sums = (wide(a) @ wide(b)).astype(np.int64).astype(name)
    two = np.asarray(2, name)
    check(uf.matmul(a, b, finish=lambda s: s * two + two), sums * two + two)
    check(uf.matmul(a, b, finish=lambda s: s.astype(np.float64) / 4), sums / 4)


def test_int8_products_are_requantized(any_tier: str) -> None:
    """What a quantized layer does: int32 sums, scales per column, a zero point, int8."""
    draw = np.random.default_rng(5)
    scale = (draw.random(60) / 1000).astype(np.float32)
    for left, k in (("int8", 70), ("uint8", 70), ("int8", 2100)):
        a = draw.integers(np.iinfo(left).min, np.iinfo(left).max, (50, k), left, endpoint=True)
        b = draw.integers(-128, 127, (k, 60), np.int8, endpoint=True)

        def finish(s: Any) -> Any:
            return np.clip(np.rint(s.astype(np.float32) * scale) + 3, -128, 127).astype(np.int8)

        want = finish((wide(a) @ wide(b)).astype(np.int32))
        check(uf.matmul(a, b, accumulate="int32", finish=finish), want)
        turned = uf.einsum("ki,kj->ij", a.T.copy(), b, accumulate="int32", finish=finish)
        check(turned, want)


def test_activations_are_ours_and_numpys(any_tier: str) -> None:
    a, b = operands(9)
    a, b = a / 8, b / 8
    sums = uf.matmul(a, b)
    for function in (np.tanh, np.exp, uf.gelu, uf.sigmoid, uf.silu):
        np.testing.assert_allclose(
            uf.matmul(a, b, finish=function), function(sums), rtol=1e-6, atol=1e-7
        )
        if NATIVE:
            assert (
                uf.matmul(a, b, finish=function).tobytes()
                == np.asarray(uf.fuse(function)(sums)).tobytes()
            ), "the bits of two passes"


def test_final_steps_of_every_kind(any_tier: str) -> None:
    """Chains, dots, outer products, sums and views of one operand, semirings of one's own."""
    draw = np.random.default_rng(6)
    a, b, c = (small(draw, s, np.float64) for s in ((4, 5), (5, 6), (6, 3)))
    own = uf.semiring(np.maximum, np.minimum, -np.inf)
    cases: list[tuple[str, list[Array], dict[str, Any], Any]] = [
        ("ij,jk,kl->il", [a, b, c], {}, a @ b @ c),
        ("ij,jk,kl->il", [a, b, c], {"optimize": False}, a @ b @ c),
        ("ij,ij->i", [a, a], {}, (a * a).sum(1)),
        ("ij,ij->", [a, a], {}, (a * a).sum()),
        ("i,j->ij", [a[0], b[0]], {}, np.outer(a[0], b[0])),
        ("ij->i", [a], {}, a.sum(1)),
        ("ij->ji", [a], {}, a.T),
        ("ij,jk->ik", [a, b], {"semiring": "min_plus"}, (a[:, :, None] + b).min(1)),
        ("ij,jk->ik", [a, b], {"semiring": own}, np.minimum(a[:, :, None], b).max(1)),
        ("ij,jk->", [a, b], {}, (a @ b).sum()),
    ]
    for subscripts, arrays, options, sums in cases:
        want = np.maximum(sums * 2 + 1, 0)
        got = uf.einsum(subscripts, *arrays, finish=lambda s: np.maximum(s * 2 + 1, 0), **options)
        check(got, want)
        assert isinstance(got, np.ndarray) == (np.ndim(want) > 0)
        out = np.zeros(np.shape(want))
        uf.einsum(
            subscripts, *arrays, out=out, finish=lambda s: np.maximum(s * 2 + 1, 0), **options
        )
        check(out, np.asarray(want))


def test_complex_and_bool_sums() -> None:
    draw = np.random.default_rng(9)
    for left, right in (("complex64", "complex64"), ("float64", "complex128"), ("complex64", "f4")):
        a, b = small(draw, (9, 30), left), small(draw, (30, 7), right)
        sums = wide(a) @ wide(b)
        check(uf.matmul(a, b, finish=lambda s: s * 2), (sums * 2).astype(np.result_type(a, b)))
    a, b = small(draw, (9, 30), bool), small(draw, (30, 7), bool)
    check(uf.matmul(a, b, finish=lambda s: s * np.float32(3)), (a @ b) * np.float32(3))


def test_out_overlaps_what_finish_reads(any_tier: str) -> None:
    """As if all were read before anything is written: the residual, shifted, and an operand."""
    a, b = operands(40, np.float32, 50, 40)
    sums = (wide(a) @ wide(b)).astype(np.float32)
    x = small(np.random.default_rng(7), (50, 40), np.float32)
    for make in (lambda v: v, lambda v: v[::-1], lambda v: v[:, ::-1]):
        out = x.copy()
        seen = make(out)
        want = sums + seen.copy()
        uf.matmul(a, b, out=out, finish=lambda s, seen=seen: s + seen)
        check(out, want)
    room = np.concatenate([x.ravel(), np.zeros(8, np.float32)])
    before = room[:2000].reshape(50, 40)
    want = sums + before.copy()
    shifted = room[8:].reshape(50, 40)
    uf.matmul(a, b, out=shifted, finish=lambda s: s + before)
    check(shifted, want)
    square = small(np.random.default_rng(8), (40, 40), np.float32)
    want = (wide(square) @ wide(square)).astype(np.float32) + square
    uf.matmul(square, square, out=square, finish=lambda s: s + square)
    check(square, want)


def test_out_of_another_dtype() -> None:
    a, b = operands(9)
    sums = a @ b
    out = np.zeros((M, N), np.float64)
    uf.matmul(a, b, out=out, finish=lambda s: s + 1)
    check(out, (sums + 1).astype(np.float64))
    swapped = np.zeros((M, N), ">f4")
    uf.matmul(a, b, out=swapped, finish=lambda s: s + 1)
    np.testing.assert_array_equal(swapped, sums + 1)


def test_arrays_are_read_anew_in_each_call() -> None:
    a, b = operands(9)
    bias = np.zeros(N, np.float32)

    def finish(s: Any) -> Any:
        return s + bias

    check(uf.matmul(a, b, finish=finish), a @ b)
    bias[:] = 5
    check(uf.matmul(a, b, finish=finish), a @ b + bias)
    for other in (np.ones((M, N), np.float32), np.ones(N, np.float32)[::1], np.float32(1)):
        check(uf.matmul(a, b, finish=lambda s, x=other: s + x), a @ b + 1)


def test_a_fused_function_is_taken_as_it_is() -> None:
    a, b = operands(9)
    check(uf.matmul(a, b, finish=uf.fuse(lambda s: s * 2)), (a @ b) * 2)


ERRORS: dict[str, tuple[Any, type[Exception], str]] = {
    "no function": (3, TypeError, "'finish': expected a function of one array, got 3"),
    "another shape": (
        lambda s: s + np.ones((2, M, N), np.float32),
        ValueError,
        "'finish': expected one result of shape",
    ),
    "a sum": (lambda s: s.sum(axis=-1, keepdims=True), ValueError, "reduce the result of ufuse.ma"),
    "a sum of all": (np.sum, ValueError, "'finish': expected an elementwise function"),
    "another axis": (lambda s: s.max(axis=0), ValueError, "'finish': expected an elementwise func"),
    "indexing": (lambda s: s[:1], ValueError, "'finish': expected one result of shape"),
    "a norm": (lambda s: s - s.max(axis=-1, keepdims=True), ValueError, "'finish'.*reduce"),
    "several": (lambda s: (s, s + 1), ValueError, "'finish'"),
    "not of the sums": (lambda s: BIAS + RESIDUAL, TypeError, "returned no array"),
    "two arguments": (lambda s, t: s, TypeError, "argument"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case: str) -> None:
    """Before anything is written."""
    finish, kind, message = ERRORS[case]
    a, b = operands(9)
    out = np.full((M, N), 7, np.float32)
    with pytest.raises(kind, match=message):
        uf.matmul(a, b, out=out, finish=finish)
    assert (out == 7).all()


def test_a_result_that_does_not_fit_out() -> None:
    a, b = operands(9)
    out = np.full((M, N), 7, np.int8)
    with pytest.raises(TypeError, match=r"'out'.*float32.*int8"):
        uf.matmul(a, b, out=out, finish=lambda s: s + 1)
    assert (out == 7).all()
    with pytest.raises(ValueError, match="'out'"):
        uf.matmul(a, b, out=np.zeros((M, N + 1), np.float32), finish=lambda s: s + 1)


def test_a_finish_follows_what_it_refers_to() -> None:
    """Repeated calls: numbers and arrays from outside rebound, changed in place, laid out anew."""
    a, b = np.arange(6, dtype="f4").reshape(2, 3), np.ones((3, 4), "f4")
    bias, factor = np.arange(4, dtype="f4"), 2.0

    def finish(sums: Any) -> Any:
        return sums * factor + bias

    def check() -> None:
        for _ in range(2):
            np.testing.assert_array_equal(uf.matmul(a, b, finish=finish), (a @ b) * factor + bias)

    check()
    factor = 3.0
    check()
    factor = 3  # an integer: the same dtype here, another trace
    check()
    bias[1] = 70
    check()
    bias = bias[::-1].copy()[::-1]
    check()
    a, b, bias = a[:, :2], b[:2, :2], np.arange(2, dtype="f4").reshape(1, 2)
    check()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy 2.5
        bias.shape = (2, 1)
    check()
    bias = bias.astype(">f4")
    check()
    bias += 1
    check()
    a = a.astype("f8")
    check()
