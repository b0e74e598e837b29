"""What tests of contractions inside of fused functions share: operands, and the comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import ufuse as uf
from contraction_cases import small

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
