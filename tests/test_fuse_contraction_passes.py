"""What contractions inside of fused functions keep in memory, and what `explain` says of them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from contraction_cases import small
from fused_cases import BIAS, ROW, M, N, W, X, same


@pytest.mark.skipif(not NATIVE, reason="the reference executor packs nothing")
def test_what_would_be_packed_often_is_computed_before() -> None:
    draw = np.random.default_rng(7)
    x, w = small(draw, (9, 1500), "f4"), small(draw, (1500, 5000), "f4")
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
    assert one.what.startswith("contract ...ij,...jk->...ik by ")
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
