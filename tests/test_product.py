"""The product's blocks: shapes at which its loops meet."""

from __future__ import annotations

import numpy as np
import pytest

import ufuse as uf

# A narrow last strip that stays resident over several k blocks once overran the staging buffer.
SHAPES = [
    (700, 300, 9000),
    (113, 4097, 33),
    (5, 4200, 2),
    (2, 9000, 3),
    (1, 513, 1),
    (257, 1, 1025),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("biased", [False, True])
def test_shapes_across_all_blocks(shape: tuple[int, int, int], biased: bool) -> None:
    m, n, k = shape
    rng = np.random.default_rng(1)
    x = rng.integers(-2, 3, (m, k)).astype(np.float32)
    w = rng.integers(-2, 3, (n, k)).astype(np.float32)
    bias = rng.integers(-2, 3, n).astype(np.float32) if biased else None
    want = x @ w.T + (0 if bias is None else bias)
    for count in (1, 2, 3):
        with uf.threads(count):
            np.testing.assert_array_equal(uf.linear(x, w, bias), want)
            np.testing.assert_array_equal(uf.einsum("mk,nk->nm", x, w), (x @ w.T).T)


def test_int8_across_all_blocks() -> None:
    rng = np.random.default_rng(2)
    for m, n, k in SHAPES:
        x = rng.integers(-127, 128, (m, k)).astype(np.float32)
        x[:, 0] = 127  # the scale of every row is 1
        w = rng.integers(-127, 128, (n, k)).astype(np.float32)
        w[:, 0] = 127
        got = uf.linear(x, uf.quantize(w, "int8", axis=0))
        np.testing.assert_array_equal(got, (x.astype(np.int64) @ w.T.astype(np.int64)).astype("f4"))
