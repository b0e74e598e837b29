"""Contractions inside of fused functions: against NumPy, and in how many passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

import ufuse as uf
from conftest import NATIVE
from contraction_cases import dtype_of, small, spread
from fused_cases import BACK, BIAS, COLUMN, RESIDUAL, ROW, SQUARE, TWO, W, X, check, rng, same


def _in_place(x: Any, w: Any) -> Any:
    y = x @ w
    y += 1
    np.maximum(y, 0, out=y)
    return y


def _value_and_more(x: Any, w: Any, v: Any) -> Any:
    h = np.maximum(x @ w, 0)
    return h, h @ v, h * 2


def _same_twice(x: Any, w: Any) -> Any:
    h = x @ w
    return h, h


def _centred(x: Any, w: Any) -> Any:
    h = x @ w
    return h - np.rint(h.mean(axis=-1, keepdims=True))


def _for_several(x: Any, v: Any, w: Any) -> Any:
    h = x * 2 + 1
    return h @ v, h @ w


def _for_residual(x: Any) -> Any:
    h = x * 2
    return h @ h + h


def _crossed(x: Any) -> Any:
    h = x + 1
    return np.clip(h @ x, -4, 4) @ np.clip(x @ h, -4, 4)


#: All of what is exact on small integers, and how many passes it takes.
CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], int]] = {
    "nothing around it": (lambda x, w: x @ w, (X, W), 1),
    "bias and relu": (lambda x, w, b: np.maximum(x @ w + b, 0), (X, W, BIAS), 1),
    "two operands computed": (
        lambda x, s, w, c: np.einsum("ij,jk->ik", x * s, np.abs(w) - c) ** 2,
        (X, ROW, W, BIAS),
        1,
    ),
    "a column of the operand": (lambda x, c, w: (x + c) @ w, (X, COLUMN, W), 1),
    "casts": (lambda x, w: (x.astype(np.float64) @ w).astype(np.int32), (X, W), 1),
    "residual on both sides": (lambda x, w, r: r - (x @ w) * r, (X, W, RESIDUAL), 1),
    "sums used twice": (lambda x, w: (x @ w) * (x @ w) + (x @ w), (X, W), 1),
    "where": (lambda x, w, r: np.where(x @ w > 3, r, -r), (X, W, RESIDUAL), 1),
    "numbers": (lambda x, w, t: t * (2 * x) @ w - 0.5 * t, (X, W, 4.0), 1),
    "captured": (lambda x: np.maximum(X + (x * TWO) @ W @ BACK, 0), (X,), 2),
    "a Gram matrix": (lambda x: np.einsum("ik,jk->ij", x - 1, x - 1), (X,), 1),
    "gates": (lambda x, v, w: np.maximum(x @ v, 0) * (x @ w), (X, W, W + 1), 2),
    "two layers": (
        lambda x, w, b, v: np.maximum(x @ w + b, 0) @ v + x,
        (X, W, BIAS, BACK),
        2,
    ),
    "a value and what comes of it": (
        _value_and_more,
        (X, W, BACK),
        3,
    ),
    "twice the same result": (_same_twice, (X, W), 2),
    "a reduction of the result": (
        lambda x, w: (x @ w + 1).max(axis=-1, keepdims=True),
        (X, W),
        2,
    ),
    "a mean of the result": (
        _centred,
        (X, W),
        2,
    ),
    "a reduction in an operand": (
        lambda x, w: (x - x.max(axis=-1, keepdims=True)) @ w,
        (X, W),
        2,
    ),
    "a reduction of the finish": (
        lambda x, w, r: x @ w + r.max(axis=-1, keepdims=True),
        (X, W, RESIDUAL),
        2,
    ),
    "consumers of other shapes": (
        lambda x, w, s: (x @ w + s, (x @ w) * 2),
        (X[:1], W, ROW),
        3,
    ),
    "small values": (lambda x, w, b: x @ w + (b * b - b), (X, W, BIAS), 1),
    "small values of many": (
        lambda x, s, w, b: ((s * 2 - 1) * x) @ w + (b * b - b),
        (np.tile(X, (30, 50)), np.tile(ROW, (30, 1)), np.tile(W, (50, 1)), BIAS),
        3,
    ),
    "an operand of several": (
        _for_several,
        (X, W, W - 1),
        3,
    ),
    "an operand and a residual": (_for_residual, (SQUARE,), 1),
    "to the operand of itself": (
        _crossed,
        (SQUARE,),
        4,
    ),
    "stacks": (lambda x, w, b: np.maximum(x * b @ w + b, x), (SQUARE, SQUARE[0], SQUARE[0, 0]), 1),
    "three operands": (
        lambda x, w, v: np.einsum("ij,jk,kl->il", x * 2, w + 1, v) - x,
        (X, W, BACK),
        1,
    ),
    "one operand": (lambda x: np.einsum("ij->ji", x * 2) + 1, (X,), 1),
    "a trace": (lambda x: np.einsum("bii->b", x + 1) * 2, (SQUARE,), 1),
    "a vector": (lambda x, w: np.maximum(x @ w, 0), (X[0], W), 1),
    "two vectors": (lambda x, y: (x * 2) @ y + 1, (COLUMN, COLUMN), 1),
    "an outer product": (lambda x, y: np.outer(x * 2, y) + 1, (COLUMN, BIAS), 1),
    "dot": (lambda x, w: np.dot(x, w) + x.dot(w * 2), (X, W), 2),
    "inner": (lambda x, y: np.inner(x * 2, y) + 1, (X, X + 1), 1),
    "tensordot": (
        lambda x, y: np.tensordot(x, y * 2, ([1, 0], [2, 0])) - 1,
        (SQUARE, SQUARE),
        1,
    ),
    "vdot": (lambda x, y: np.vdot(x * 2, y), (X, X), 1),
    "the list form": (lambda x, w: np.einsum(x, [0, 1], w + 1, [1, 2], [2, 0]) * 2, (X, W), 1),
    "implicit results": (lambda x, w: np.einsum("ij,jk", x, w), (X, W), 1),
    "not compiled": (lambda x, w: np.rint(np.nextafter(x @ w, 0)), (X, W), 1),
    "one that is looked at": (lambda x, w: x @ w / x.shape[1], (X[:, :16], W[:16]), 1),
    "in place": (_in_place, (X, W), 1),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_passes(name: str, any_tier: str) -> None:
    function, args, passes = CASES[name]
    check(function, *args, passes=passes)


def test_the_bits_are_those_of_the_calls_one_by_one(any_tier: str) -> None:
    """Also with operands that several blocks of k, rows and columns read."""
    draw = np.random.default_rng(1)
    for m, k, n in ((5, 7, 3), (130, 1100, 300), (250, 33, 1), (1, 600, 70), (3, 2100, 260)):
        x, w = draw.normal(size=(m, k)).astype("f4"), draw.normal(size=(k, n)).astype("f4")
        b, s = draw.normal(size=n).astype("f4"), draw.normal(size=(m, 1)).astype("f4")

        def layer(x: Any, w: Any, b: Any, s: Any) -> Any:
            return np.maximum(np.einsum("ij,jk->ik", np.tanh(x) * s, w * b) / s + b, b)

        left, right = uf.fuse(lambda x, s: np.tanh(x) * s)(x, s), w * b
        sums = uf.einsum("ij,jk->ik", left, right)
        want = uf.fuse(lambda y, b, s: np.maximum(y / s + b, b))(sums, b, s)
        for args in ((x, w, b, s), tuple(map(spread, (x, w, b, s)))):
            got = uf.fuse(layer)(*args)
            if NATIVE:
                assert got.tobytes() == want.tobytes()
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


DTYPES = ["bool", "int8", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("right", [*DTYPES, "complex64"])
@pytest.mark.parametrize("left", [*DTYPES, "complex128"])
def test_dtypes(left: str, right: str) -> None:
    draw = np.random.default_rng(2)
    a, b = small(draw, (6, 7), dtype_of(left)), small(draw, (7, 5), dtype_of(right))
    for function in (
        lambda a, b: a @ b,
        lambda a, b: np.maximum(a, a) @ b,
        lambda a, b: np.minimum(a @ (b * b), a @ b),
    ):
        got, expected = uf.fuse(function)(a, b), function(a, b)
        assert got.dtype == expected.dtype
        wide = np.complex128 if got.dtype.kind == "c" else np.float64
        np.testing.assert_array_equal(got.astype(wide), expected.astype(wide))


def test_narrow_floats_are_rounded_where_numpy_rounds() -> None:
    draw = np.random.default_rng(3)
    a, b = draw.normal(size=(9, 30)).astype("f2"), draw.normal(size=(30, 8)).astype("f2")
    got = uf.fuse(lambda a, b: (a @ b) * np.float16(1.1))(a, b)
    assert got.dtype == np.float16
    np.testing.assert_array_equal(got, uf.matmul(a, b) * np.float16(1.1))
    wide = uf.fuse(lambda a, b: uf.matmul(a, b, accumulate="f4") * np.float32(1.1))
    np.testing.assert_array_equal(wide(a, b), uf.matmul(a, b, accumulate="f4") * np.float32(1.1))
    assert len(wide.explain(a, b).passes) == 1


def test_ours_has_its_options(any_tier: str) -> None:
    codes, scale = small(rng, (20, 30), "int8"), (rng.random(8) / 50).astype("f4")
    weights = small(rng, (30, 8), "int8")

    @uf.fuse
    def layer(x: Any, w: Any, scale: Any) -> Any:
        sums = uf.matmul(x, w, accumulate="int32")
        scaled = sums.astype(np.float32) * scale
        return np.clip(np.rint(scaled), -128, 127).astype(np.int8)

    sums = codes.astype("i4") @ weights.astype("i4")
    same(
        layer(codes, weights, scale),
        np.clip(np.rint(sums.astype("f4") * scale), -128, 127).astype(np.int8),
    )
    assert len(layer.explain(codes, weights, scale).passes) == 1
    shortest = uf.fuse(lambda a: uf.einsum("ij,jk->ik", a + 1, a, semiring="min_plus") * 2)
    same(shortest(SQUARE[0]), ((SQUARE[0] + 1)[:, :, None] + SQUARE[0]).min(axis=1) * 2)
    finished = uf.fuse(lambda x, w: uf.matmul(x * 2, w, finish=lambda s: s + 1))
    same(finished(X, W), (X * 2) @ W + 1)
    wide = uf.fuse(lambda x, w: uf.einsum("ij,jk->ik", x, w, dtype="f8") + 1)
    same(wide(X, W), X.astype("f8") @ W.astype("f8") + 1)
    with pytest.raises(ValueError, match="could overflow"):
        uf.fuse(lambda x, w: uf.matmul(x, w, accumulate="int16"))(
            np.ones((2, 9), np.uint8), np.ones((9, 2), np.uint8)
        )
    with pytest.raises(MemoryError, match="limit of 1"):
        uf.fuse(lambda x: uf.einsum("ij,jk,kl->il", x, x, x, memory_limit=1))(SQUARE[0])


@pytest.mark.parametrize("right", ["int8", "uint8", "bool", "int16"])
@pytest.mark.parametrize("left", ["int8", "uint8", "bool", "int64"])
def test_integers_are_made_as_they_are_packed(left: str, right: str, any_tier: str) -> None:
    draw = np.random.default_rng(9)
    for m, k, n in ((5, 70, 40), (130, 1100, 35)):
        x, y = draw.normal(size=(m, k)).astype("f4"), draw.normal(size=(k, n)).astype("f4")

        def quantized(x: Any, y: Any) -> Any:
            codes = np.clip(np.rint(x * 50), 0, 120).astype(left)
            return np.einsum("ij,jk->ik", codes, (y > 0).astype(right)) * 2

        check(quantized, x, y, passes=1)
        got = uf.fuse(
            lambda x, y: uf.matmul((x * 3).astype("i1"), (y * 3).astype("i1"), accumulate="i4") + 1
        )(x, y)
        same(got, (x * 3).astype("i1").astype("i4") @ (y * 3).astype("i1").astype("i4") + 1)


def test_fused_functions_inside() -> None:
    inner = uf.fuse(lambda x, w: x @ w + 1)
    check(lambda x, w: np.maximum(inner(x, w), 0), X, W, passes=1)


@hypothesis.given(strategies.integers(0, 2**32 - 1))
def test_random_graphs(seed: int) -> None:
    """Of elementwise functions, products and reductions, with several results."""
    draw = np.random.default_rng(seed)
    n = int(draw.integers(1, 6))
    shapes = [(n, n), (n, n), (n, 1), (1, n), (n,), (2, n, n)]
    arrays = [small(draw, shapes[i], np.float64) for i in draw.integers(0, len(shapes), 4)]
    arrays[0] = small(draw, (n, n), np.float64)
    choices = draw.integers(0, 2**31, (12, 4))

    def function(*arrays: Any) -> Any:
        values = list(arrays)
        for kind, i, j, more in choices:
            a, b = values[i % len(values)], values[j % len(values)]
            square = a.ndim > 1 and a.shape[-2:] == b.shape[-2:] == (n, n)
            if kind % 2 and square:
                made = np.clip((a @ b, np.einsum("...ij,...kj->...ki", a, b))[more % 2], -5, 5)
            else:
                made = (
                    np.maximum(a, b), np.clip(a + b, -5, 5), a * 0.5 - b, np.where(a > b, a, -b),
                    np.abs(a), a.max(axis=-1, keepdims=True),
                )[kind // 2 % 6]  # fmt: skip
            values.append(made)
        return tuple(values[-1 - k] for k in range(1 + choices[0, 0] % 3))

    expected = function(*arrays)
    same(uf.fuse(function)(*arrays), expected)
