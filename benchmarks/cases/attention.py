"""Scaled dot-product attention: a long sequence, short ones, one token after many."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, close
from ..probe import touched
from .data import normal
from .onnx_graphs import Node, session_call

GROUP = "attention"


def _inputs(batch: int, heads: int, length: int, span: int, depth: int, causal: bool) -> Any:
    return SimpleNamespace(
        q=normal((batch, heads, length, depth), 1),
        k=normal((batch, heads, span, depth), 2),
        v=normal((batch, heads, span, depth), 3),
        causal=causal,
        out=touched((batch, heads, length, depth), np.float32),
    )


def _ours(v: SimpleNamespace) -> Call:
    f = load("ufuse").attention
    return lambda: f(v.q, v.k, v.v, causal=v.causal, out=v.out)


def _numpy(v: SimpleNamespace) -> Call:
    """Run the formula, a batch at a time: the scores of one are 268 MB in the largest case."""
    scale = np.float32(1 / np.sqrt(v.q.shape[-1]))
    hidden = np.where(np.tri(v.q.shape[-2], v.k.shape[-2]), np.float32(0), np.float32(-np.inf))

    def call() -> np.ndarray:
        for q, k, values, out in zip(v.q, v.k, v.v, v.out, strict=True):
            scores = np.matmul(q, k.transpose(0, 2, 1))
            scores *= scale
            if v.causal:
                scores += hidden
            scores -= scores.max(axis=-1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=-1, keepdims=True)
            np.matmul(scores, values, out=out)
        return v.out  # type: ignore[no-any-return]

    return call


def _torch(v: SimpleNamespace) -> Call:
    f = load("torch").nn.functional.scaled_dot_product_attention
    q, k, values = tensor(v.q), tensor(v.k), tensor(v.v)
    return lambda: f(q, k, values, is_causal=v.causal)


def _jax(v: SimpleNamespace) -> Call:
    jax = load("jax")

    def attend(q: Any, k: Any, values: Any) -> Any:
        return jax.nn.dot_product_attention(q, k, values, is_causal=v.causal)

    f = blocking(attend)
    # (batch, length, heads, depth)
    q, k, values = (jax.numpy.asarray(a.transpose(0, 2, 1, 3)) for a in (v.q, v.k, v.v))
    return lambda: np.asarray(f(q, k, values)).transpose(0, 2, 1, 3)


def _onnxruntime(v: SimpleNamespace) -> Call:
    batch, heads, length, depth = v.q.shape

    def beside(a: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(a.transpose(0, 2, 1, 3)).reshape(batch, a.shape[2], -1)

    attributes = {
        "num_heads": heads,
        "unidirectional": int(v.causal),
        "domain": "com.microsoft",
    }
    node: Node = ("MultiHeadAttention", ["q", "k", "v"], ["y"], attributes)
    # Kept, since they are bound by address.
    v.beside = inputs = {"q": beside(v.q), "k": beside(v.k), "v": beside(v.v)}
    result = np.empty((batch, length, heads * depth), np.float32)
    call = session_call([node], inputs, {}, result, into=True)

    def apart() -> np.ndarray:
        call()
        return result.reshape(batch, length, heads, depth).transpose(0, 2, 1, 3)

    return apart


def _case(
    batch: int, heads: int, length: int, span: int, depth: int, causal: bool, bar: str
) -> Case:
    scores = batch * heads * length * span
    one = length == 1  # reads keys and values, and does little with them
    sizes = f"{batch} x {heads} heads, {length} x {span}, {depth}"
    return Case(
        name=f"{sizes}, causal" if causal else sizes,
        group=GROUP,
        make=lambda: _inputs(batch, heads, length, span, depth, causal),
        ours=_ours,
        peers={"numpy": _numpy, "torch": _torch, "jax": _jax, "onnxruntime": _onnxruntime},
        limit="read" if one else "fma_f32",
        amount=8 * scores * depth if one else (2 if causal else 4) * scores * depth,
        bar=bar,
        check=close(1e-4, 1e-4),
    )


_LEAD = "torch,jax,onnxruntime >= 1x"


def cases() -> list[Case]:
    """Return the cases of this group."""
    return [
        _case(4, 16, 2048, 2048, 64, False, "torch >= 1.5x"),
        _case(4, 16, 2048, 2048, 64, True, _LEAD),
        _case(1, 12, 128, 128, 64, False, _LEAD),
        _case(8, 12, 512, 512, 64, False, _LEAD),
        _case(8, 12, 512, 512, 64, True, _LEAD),
        _case(1, 32, 1, 4096, 128, False, _LEAD),
        *(_case(1, 8, 1024, 1024, depth, False, _LEAD) for depth in (80, 96, 128, 256)),
    ]
