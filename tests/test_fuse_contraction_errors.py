"""What contractions inside of fused functions refuse, and by which name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from fused_cases import BACK, BIAS, RESIDUAL, M, N, W, X, same

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


OUTSIDE: dict[str, Callable[[Any], Any]] = {
    "quantize": lambda x: uf.quantize(x, "int8"),
    "quantize_linear": lambda x: uf.quantize_linear(x, 1.0, 0),
    "fake_quantize": lambda x: uf.fake_quantize(x, "int8"),
    "attention": lambda x: uf.attention(x, x, x),
    "cdist": lambda x: uf.cdist(RESIDUAL, x),
    "linear": lambda x: uf.linear(x, BACK),
    "prepack": uf.prepack,
    "grouped_matmul": lambda x: uf.grouped_matmul([x], [W]),
    "segment_reduce": lambda x: uf.segment_reduce(x, "sum", [0, M]),
    "topk": lambda x: uf.topk(x, 2),
    "cast": lambda x: uf.cast(x, np.float16),
    "kron": lambda x: uf.kron(x, x),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_functions_that_are_called_outside(name: str) -> None:
    """Each is named, with what to do, and the line."""
    with pytest.raises(uf.TraceError, match=rf"cannot trace ufuse\.{name}\b") as caught:
        uf.fuse(OUTSIDE[name])(X)
    said = str(caught.value)
    assert "call it outside" in said
    assert f"{__file__}:" in said


def test_shapes_that_disagree_later_name_the_arguments() -> None:
    layer = uf.fuse(lambda first, second: first @ second + 1)
    layer(X, W)
    with pytest.raises(ValueError, match=r"first \(37, 20\), second \(37, 20\)"):
        layer(X, X)
    out = np.zeros((M, N), "f4")
    with pytest.raises(ValueError, match="size 20"):
        layer(X, X, out=out)
    assert not out.any()


def _finishes() -> dict[str, tuple[Callable[[Any], Any], type[Exception]]]:
    ones = np.ones((N, N), np.float32)
    return {
        "no function": (3, TypeError),  # type: ignore[dict-item]
        "of no argument": (lambda: 3, TypeError),  # type: ignore[dict-item,misc]
        "of two": (lambda s, t: s + t, TypeError),  # type: ignore[dict-item,misc]
        "a number": (lambda s: 3.0, uf.TraceError),
        "nothing": (lambda s: None, uf.TraceError),
        "an array": (lambda s: RESIDUAL, uf.TraceError),
        "two results": (lambda s: (s, s), ValueError),
        "another shape": (lambda s: s + np.ones((2, 1, 1), np.float32), ValueError),
        "a sum of all": (np.sum, ValueError),
        "a row's maximum": (lambda s: s.max(axis=-1, keepdims=True), ValueError),
        "a softmax": (lambda s: s - s.max(axis=-1, keepdims=True), ValueError),
        "a product": (lambda s: s @ ones, ValueError),
    }


@pytest.mark.parametrize("name", _finishes())
def test_finish_is_checked_as_outside(name: str) -> None:
    finish, kind = _finishes()[name]
    for call in (
        lambda x: uf.matmul(x, W, finish=finish),
        lambda x: uf.einsum("ij,jk", x, W, finish=finish),
    ):
        with pytest.raises(kind) as outside:
            call(X)
        with pytest.raises(kind) as inside:
            uf.fuse(call)(X)
        for caught in (outside, inside):
            said = str(caught.value)
            if kind is uf.TraceError:
                assert "which returned no array" in said
            else:
                assert re.match(r"ufuse\.(matmul|einsum): argument 'finish': expected", said)


def test_finish_may_read_what_is_under_trace() -> None:
    def layer(x: Any, r: Any) -> Any:
        return uf.matmul(x, W, finish=lambda s: s * 2 + r.max(axis=-1, keepdims=True)) - r

    expected = (X @ W) * 2 + RESIDUAL.max(axis=-1, keepdims=True) - RESIDUAL
    same(uf.fuse(layer)(X, RESIDUAL), expected)
    unread = uf.fuse(lambda x, r: uf.matmul(x, W, finish=lambda s: r * 2))
    with pytest.raises(ValueError, match="'finish': expected a result that depends on the sums"):
        unread(X, RESIDUAL)


def test_finish_leaves_the_trace_open_to_other_shapes() -> None:
    layer = uf.fuse(lambda x: uf.matmul(x, W, finish=lambda s: s + 1))
    for rows in (1, 4, M):
        same(layer(X[:rows]), X[:rows] @ W + 1)
    assert layer.cache_info().misses == 1


KEYWORDS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda x: uf.matmul(x, W, order="F") + 1, "order='F' of ufuse.matmul"),
    (lambda x: np.matmul(x, W, order="A") + 1, "order='A' of ufuse.matmul"),
    (lambda x: np.einsum("ij,jk->ik", x, W, order="F"), "order='F' of ufuse.einsum"),
    (lambda x: np.matmul(x, W, signature="ff->f"), "signature= of np.matmul"),
    (lambda x: uf.matmul(x, W, out=RESIDUAL), "out= of ufuse.matmul"),
    (lambda x: uf.vecdot(x, x, axis=0), "axis= or keepdims= of ufuse.vecdot"),
    (lambda x: uf.einsum("ij,jk", x, W, semiring="min_plus", return_arg=True), "return_arg="),
]


@pytest.mark.parametrize(("function", "words"), KEYWORDS)
def test_keywords_without_a_meaning_inside_are_refused(
    function: Callable[..., Any], words: str
) -> None:
    with pytest.raises(uf.TraceError, match=re.escape(words)):
        uf.fuse(function)(X)


def test_keywords_with_a_meaning_are_honoured() -> None:
    for order in ("C", "K", None):
        found = uf.fuse(lambda x, order=order: uf.matmul(x, W, order=order) + 1)(X)
        same(found, X @ W + 1)
        assert found.flags.c_contiguous
    same(uf.fuse(lambda x: np.matmul(x, W, subok=False) + 1)(X), X @ W + 1)
    with pytest.raises(TypeError, match=r"ufuse\.matmul: .* by the rule 'no'|rule 'no'"):
        uf.fuse(lambda x: uf.matmul(x, W, dtype="f8", casting="no"))(X)
    with pytest.raises(
        TypeError, match=r"ufuse\.einsum: argument 'memory_limit': expected None or"
    ):
        uf.fuse(lambda x: uf.einsum("ij,jk", x, W, memory_limit="a"))(X)


NAMED: list[tuple[str, Callable[[Any, Any], Any]]] = [
    ("matmul", lambda a, b: a @ b),
    ("matmul", uf.matmul),
    ("dot", np.dot),
    ("einsum", lambda a, b: np.einsum("ij,jk", a, b)),
]


@pytest.mark.parametrize(("name", "function"), NAMED)
def test_the_function_that_was_called_is_named(
    name: str, function: Callable[[Any, Any], Any]
) -> None:
    """Where shapes disagree in the trace, and where they do in a later call of the same trace."""
    fused = uf.fuse(function)
    with pytest.raises(ValueError, match=rf"^ufuse\.{name}: "):
        fused(X, X)
    same(fused(X, W), X @ W)
    with pytest.raises(ValueError, match=rf"^ufuse\.{name}: "):
        fused(X, X)


def test_sums_that_could_overflow_name_the_function() -> None:
    layer = uf.fuse(lambda a, b: uf.matmul(a, b, accumulate="i4"))
    layer(np.ones((2, 3), "i1"), np.ones((3, 2), "i1"))
    long = np.ones((2, 140_000), "i1")
    with pytest.raises(ValueError, match=r"^ufuse\.matmul: argument 'accumulate': .*'int64'"):
        layer(long, long.T)
    with pytest.raises(MemoryError, match=r"^ufuse\.einsum: .* limit of 1"):
        uf.fuse(lambda x: uf.einsum("ij,jk,kl", x, W, BACK, memory_limit=1))(X)
