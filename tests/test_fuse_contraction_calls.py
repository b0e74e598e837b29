"""Contractions inside of fused functions, called again: other shapes, layouts, outputs, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from contraction_cases import Array, small, spread
from fused_cases import BACK, BIAS, RESIDUAL, ROW, SQUARE, TWO, M, N, W, X, rng, same


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


def test_threads(threads: int) -> None:
    draw = np.random.default_rng(8)
    x, w = draw.normal(size=(300, 400)).astype("f4"), draw.normal(size=(400, 500)).astype("f4")
    layer = uf.fuse(lambda x, w: np.tanh((x * 2) @ np.abs(w)))
    with uf.threads(1):
        want = layer(x, w)
    assert layer(x, w).tobytes() == want.tobytes()


@pytest.mark.parametrize("count", [29, 30, 31, 40])
def test_more_arrays_than_the_fast_entry_takes(count: int) -> None:
    names = ", ".join(f"w{i}" for i in range(count))
    scope: dict[str, Any] = {}
    exec(f"def make({names}):\n    return lambda a, b: a @ b + {names.replace(',', ' +')}", scope)
    fused = uf.fuse(scope["make"](*np.ones((count, 4), np.float32)))
    a, b = np.ones((3, 5), np.float32), np.ones((5, 4), np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(fused(a, b), np.full((3, 4), 5 + count))
