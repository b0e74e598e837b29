"""What contractions inside of fused functions refuse, and by which name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from fused_cases import BACK, BIAS, RESIDUAL, M, N, W, X

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
