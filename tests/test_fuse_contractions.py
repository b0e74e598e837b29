"""Contractions inside of fused functions: against NumPy, and in how many passes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

import ufuse as uf
from conftest import NATIVE
from contraction_cases import Array, dtype_of, small, spread

rng = np.random.default_rng(0)
M, N, K = 37, 45, 20
X, W, BIAS, ROW = (small(rng, s, np.float32) for s in ((M, K), (K, N), (N,), (M, 1)))
RESIDUAL, BACK = small(rng, (M, N), np.float32), small(rng, (N, K), np.float32)
COLUMN = small(rng, (K,), np.float32)
SQUARE = small(rng, (3, 9, 9), np.float32)
TWO = np.float32(2)


def same(got: Any, expected: Any) -> None:
    if isinstance(expected, tuple):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            same(one, other)
        return
    assert type(got) is type(expected)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)


def check(function: Callable[..., Any], *args: Any, passes: int | None = None) -> Any:
    """Compare with the function itself, and count the passes."""
    fused = uf.fuse(function)
    expected = function(*args)
    same(fused(*args), expected)
    same(fused(*args), expected)
    if passes is not None:
        explanation = fused.explain(*args)
        assert len(explanation.passes) == passes, str(explanation)
    return fused


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
    "not compiled": (lambda x, w: np.rint(np.sin(x @ w)), (X, W), 1),
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


def test_shapes_may_change_from_call_to_call() -> None:
    layer = uf.fuse(lambda x, w, b: np.maximum((x + 1) @ w + b, 0))
    for m, k, n in ((4, 5, 6), (1, 5, 6), (4, 0, 6), (0, 5, 6), (4, 5, 0), (1, 1, 1), (9, 2, 3)):
        x, w, b = small(rng, (m, k), "f4"), small(rng, (k, n), "f4"), small(rng, (n,), "f4")
        same(layer(x, w, b), np.maximum((x + 1) @ w + b, 0))
    assert layer.cache_info().misses == 1
    centred = uf.fuse(lambda x, w: x @ w - (x @ w).mean(axis=-1, keepdims=True))
    for n in (4, 8):
        x = np.ones((3, 4), "f4")
        same(centred(x, np.ones((4, n), "f4")), np.zeros((3, n), "f4"))


@pytest.mark.parametrize("layout", ["transposed", "reversed", "strided", "swapped", "read-only"])
def test_any_layout(layout: str) -> None:
    def laid(x: Array) -> Array:
        if layout == "transposed":
            return x.T.copy().T
        if layout == "reversed":
            return x[::-1].copy()[::-1]
        if layout == "strided":
            return spread(x)
        if layout == "swapped":
            return x.astype(x.dtype.newbyteorder(">"))
        x = x.copy()
        x.flags.writeable = False
        return x

    args = tuple(map(laid, (X, ROW, W, BIAS, RESIDUAL)))

    @uf.fuse
    def layer(x: Any, s: Any, w: Any, b: Any, r: Any) -> Any:
        return np.maximum((x * s) @ (w + b) + b, r)

    expected = np.maximum((X * ROW) @ (W + BIAS) + BIAS, RESIDUAL)
    same(layer(*args), expected)
    for out in (np.empty((M, N), "f4"), spread(np.empty((M, N), "f4")), np.empty((M, N), ">f4")):
        assert layer(*args, out=out) is out
        np.testing.assert_array_equal(out, expected)
    wide = np.empty((M, N), np.float64)
    layer(*args, out=wide)
    np.testing.assert_array_equal(wide, expected)


def test_a_swapped_bias_of_finish() -> None:
    swapped = BIAS.astype(">f4")
    same(uf.matmul(X, W, finish=lambda s: s + swapped), X @ W + BIAS)


def test_out_may_be_what_is_read() -> None:
    x = SQUARE[0].copy()
    layer = uf.fuse(lambda x, y: (x + 1) @ x + y)
    layer(x, SQUARE[1], out=x)
    np.testing.assert_array_equal(x, (SQUARE[0] + 1) @ SQUARE[0] + SQUARE[1])
    y = SQUARE[1].copy()
    layer(SQUARE[0], y, out=y)
    np.testing.assert_array_equal(y, (SQUARE[0] + 1) @ SQUARE[0] + SQUARE[1])
    z = np.zeros((10, 9), "f4")
    z[:9] = SQUARE[1]
    layer(SQUARE[0], z[:9], out=z[1:])
    np.testing.assert_array_equal(z[1:], (SQUARE[0] + 1) @ SQUARE[0] + SQUARE[1])
    both = uf.fuse(lambda x: (x @ x, x @ (x + 1)))
    x, other = SQUARE[0].copy(), np.empty((9, 9), "f4")
    both(x, out=(x, other))
    np.testing.assert_array_equal(x, SQUARE[0] @ SQUARE[0])
    np.testing.assert_array_equal(other, SQUARE[0] @ (SQUARE[0] + 1))


def test_captured_arrays_and_scalars_are_read_at_each_call() -> None:
    weights = W.copy()
    layer = uf.fuse(lambda x, t: (x * t) @ weights + t)
    same(layer(X, 2.0), (X * TWO) @ W + TWO)
    weights *= 2
    same(layer(X, 3.0), (X * np.float32(3)) @ weights + np.float32(3))
    assert layer.cache_info().misses == 1


def test_calls_are_repeated_for_the_same_layouts_alone() -> None:
    weights = W.copy()
    layer = uf.fuse(lambda x, b: np.maximum((x + 1) @ weights + b, 0))
    for x in (X, X, X.copy(), spread(X), X[::-1], X[:5], X[:5], X.astype("f8"), X, X.astype(">f4")):
        for _ in range(2):
            same(layer(x, BIAS), np.maximum((x + 1) @ weights + BIAS, 0))
    weights[...] = -weights
    same(layer(X, BIAS), np.maximum((X + 1) @ weights + BIAS, 0))
    out = np.empty((M, N), "f4")
    for _ in range(3):
        assert layer(X, BIAS, out=out) is out
        np.testing.assert_array_equal(out, np.maximum((X + 1) @ weights + BIAS, 0))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        layer(X, BIAS, out=out)
    with pytest.raises(ValueError, match="shape"):
        layer(X, BIAS, out=np.empty((M, N + 1), "f4"))
    square = uf.fuse(lambda x, y: x @ y)
    x = SQUARE[0].copy()
    square(x, SQUARE[1])
    square(x, SQUARE[1], out=x)
    np.testing.assert_array_equal(x, SQUARE[0] @ SQUARE[1])
    captured = SQUARE[1].copy()
    by_captured = uf.fuse(lambda x: x @ captured)
    by_captured(SQUARE[0])
    by_captured(SQUARE[0], out=captured)
    np.testing.assert_array_equal(captured, SQUARE[0] @ SQUARE[1])


def test_a_captured_array_is_bound_anew() -> None:
    weights = W

    def layer(x: Any) -> Any:
        return x @ weights + 1

    fused = uf.fuse(layer)
    for given in (W, W * 2, W * 2, BACK.T, W.astype("f8"), W[:, :3]):
        weights = given
        same(fused(X), layer(X))
        same(fused(X), layer(X))


@pytest.mark.skipif(not NATIVE, reason="the reference executor packs nothing")
def test_what_would_be_packed_often_is_computed_before() -> None:
    draw = np.random.default_rng(7)
    x, w = small(draw, (9, 1500), "f4"), small(draw, (1500, 2500), "f4")
    layer = uf.fuse(lambda x, w: np.maximum((x - 1) @ (w + 1), 0))
    same(layer(x, w), np.maximum((x - 1) @ (w + 1), 0))
    (one,) = layer.explain(x, w).passes
    assert one.packed == (1,)
    assert one.temporaries == x.nbytes, "several strips of columns for each block of k"
    assert layer.explain(x, w[:, :100]).temporaries == 0
    items = uf.fuse(lambda x, w: (x + 1) @ (w * 2))
    stack = small(draw, (4, 20, 30), "f4")
    one_item = small(draw, (1, 30, 70), "f4")
    same(items(stack, one_item), (stack + 1) @ (one_item * 2))
    assert items.explain(stack, one_item).temporaries == one_item.nbytes


def test_threads(threads: int) -> None:
    draw = np.random.default_rng(8)
    x, w = draw.normal(size=(300, 400)).astype("f4"), draw.normal(size=(400, 500)).astype("f4")
    layer = uf.fuse(lambda x, w: np.tanh((x * 2) @ np.abs(w)))
    with uf.threads(1):
        want = layer(x, w)
    assert layer(x, w).tobytes() == want.tobytes()


def test_fused_functions_inside() -> None:
    inner = uf.fuse(lambda x, w: x @ w + 1)
    check(lambda x, w: np.maximum(inner(x, w), 0), X, W, passes=1)


def _peak(call: Callable[[], Any]) -> int:
    call()
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.skipif(not NATIVE, reason="the reference executor makes every intermediate array")
def test_no_array_of_the_size_of_what_is_in_between() -> None:
    draw = np.random.default_rng(4)
    x, w = draw.normal(size=(400, 500)).astype("f4"), draw.normal(size=(500, 600)).astype("f4")
    b, s = draw.normal(size=600).astype("f4"), draw.normal(size=(400, 1)).astype("f4")
    r, out = draw.normal(size=(400, 600)).astype("f4"), np.empty((400, 600), "f4")
    cases: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (lambda x, w, b: np.maximum(x @ w + b, 0), (x, w, b)),
        (lambda x, w, s, r: np.einsum("ij,jk->ik", np.exp(x) * s, w - 1) ** 2 + r, (x, w, s, r)),
        (
            lambda x, w: ((x - x.mean(axis=-1, keepdims=True)) / 2) @ w,
            (x, w),
        ),
    ]
    for function, args in cases:
        fused = uf.fuse(function)
        assert _peak(lambda: fused(*args, out=out)) < 100_000  # noqa: B023
        assert fused.explain(*args).temporaries < 10_000


def test_intermediate_results_are_given_back() -> None:
    """Of eight layers two at a time are in memory, on the reference executor some more."""
    x, w = np.zeros((300, 300), "f4"), np.ones((300, 300), "f4")

    def layers(x: Any, w: Any) -> Any:
        for _ in range(8):
            x = np.maximum(x @ w + 1, 0)
        return x

    fused, out = uf.fuse(layers), np.empty_like(x)
    assert x.nbytes < _peak(lambda: fused(x, w, out=out)) < (2.5 if NATIVE else 5.5) * x.nbytes


def test_explain_says_what_went_where() -> None:
    fused = uf.fuse(lambda x, s, w, b: np.maximum((x * s) @ w + b, 0))
    (one,) = fused.explain(X, ROW, W, BIAS).passes
    assert one.contraction.startswith("contract ...ij,...jk->...ik by ")
    assert one.executor == ("native" if NATIVE else "reference")
    assert one.operands[0] is not None
    assert [i.operation for i in one.operands[0].instructions] == ["multiply"]
    assert one.operands[1] is None
    assert one.program is not None
    assert [i.operation for i in one.program.instructions] == ["add", "maximum"]
    assert one.bytes_read == X.nbytes + ROW.nbytes + W.nbytes + BIAS.nbytes
    assert one.bytes_written == M * N * 4
    assert (one.temporaries == 0) == NATIVE
    text = str(fused.explain(X, ROW, W, BIAS))
    assert one.packed == ((0,) if NATIVE else ())
    when = "as it is packed" if NATIVE else "before"
    assert text.index(f"operand 0, {when}:") < text.index("multiply")
    assert text.index(f"{'before' if NATIVE else 'after'} sums are stored:") < text.index("add")


REFUSED: list[tuple[Callable[..., Any], type[Exception], str]] = [
    (lambda x: x @ x, ValueError, r"axis 1 .* axis 0 .*37"),
    (lambda x: x @ 2.0, ValueError, "x2.*1 dimensions or more"),
    (lambda x: np.einsum("ij,kj->ik", x, BIAS), ValueError, "operand 1 has 1 dim"),
    (lambda x: np.einsum("ij,jk->ik", x, BACK), ValueError, "label 'j'"),
    (lambda x: np.einsum("ij->k", x), ValueError, "label 'k'"),
    (lambda x: np.einsum("ij,jk->ik", x, W, dtype="i4"), TypeError, "cannot be cast"),
    (lambda x: np.einsum("ij,jk->ik", x, W, out=RESIDUAL), uf.TraceError, "out="),
    (lambda x: np.kron(x, x), uf.TraceError, "kron"),
    (lambda x: np.outer(x, x), uf.TraceError, "flattens"),
    (lambda x: np.matmul(x, W, axes=[(0, 1), (0, 1), (0, 1)]), uf.TraceError, "axes="),
    (lambda x: x @ W.astype(np.longdouble), uf.TraceError, "longdouble|float128"),
]


@pytest.mark.parametrize(("function", "kind", "words"), REFUSED)
def test_refused(function: Callable[..., Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        uf.fuse(function)(X)
    notes = [str(caught.value), *getattr(caught.value, "__notes__", [])]
    assert any(f"{__file__}:" in note for note in notes), "the line"


def test_shapes_that_disagree_later_name_the_arguments() -> None:
    layer = uf.fuse(lambda first, second: first @ second + 1)
    layer(X, W)
    with pytest.raises(ValueError, match=r"first \(37, 20\), second \(37, 20\)"):
        layer(X, X)
    out = np.zeros((M, N), "f4")
    with pytest.raises(ValueError, match="size 20"):
        layer(X, X, out=out)
    assert not out.any()


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
