"""Matrix products through `einsum` in every layout, and a quantized linear layer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, close
from ..probe import touched
from .data import normal
from .onnx_graphs import Node, session_call

GROUP = "contractions"
N = 1024
ROWS, WIDTH = 256, 2048


# ---- einsum, all transpositions ---------------------------------------------------------------


def _matrices(subscripts: str) -> SimpleNamespace:
    return SimpleNamespace(
        subscripts=subscripts,
        a=normal((N, N), 1),
        b=normal((N, N), 2),
        out=touched((N, N), np.float32),
    )


def _einsum_ours(v: SimpleNamespace) -> Call:
    f = load("ufuse").einsum
    return lambda: f(v.subscripts, v.a, v.b, out=v.out)


def _einsum_numpy(v: SimpleNamespace) -> Call:
    return lambda: np.einsum(v.subscripts, v.a, v.b, out=v.out, optimize=True)


def _matmul(v: SimpleNamespace) -> Call:
    """Do the same work on contiguous operands: what no layout should fall far behind of."""
    return lambda: np.matmul(v.a, v.b, out=v.out)


def _einsum_torch(v: SimpleNamespace) -> Call:
    f, a, b = load("torch").einsum, tensor(v.a), tensor(v.b)
    return lambda: f(v.subscripts, a, b)


def _einsum_jax(v: SimpleNamespace) -> Call:
    jnp = load("jax").numpy
    f = blocking(lambda a, b: jnp.einsum(v.subscripts, a, b))
    a, b = jnp.asarray(v.a), jnp.asarray(v.b)
    return lambda: f(a, b)


def _einsum_onnxruntime(v: SimpleNamespace) -> Call:
    node: Node = ("Einsum", ["a", "b"], ["c"], {"equation": v.subscripts})
    return session_call([node], {"a": v.a, "b": v.b}, {}, v.out, into=True)


def _einsum_case(subscripts: str) -> Case:
    return Case(
        name=f"{subscripts} f32 {N}",
        group=GROUP,
        make=lambda: _matrices(subscripts),
        ours=_einsum_ours,
        peers={
            "numpy": _einsum_numpy,
            "numpy:matmul": _matmul,
            "torch": _einsum_torch,
            "jax": _einsum_jax,
            "onnxruntime": _einsum_onnxruntime,
        },
        limit="fma_f32",
        amount=2 * N**3,
        bar="numpy:matmul >= 0.9x",
        # Sums of 1024 products of normal numbers: about 32, rounded 1024 times.
        check=close(1e-4, 1e-3),
        unchecked=frozenset({"numpy:matmul"}),
    )


# ---- int8 linear layer ------------------------------------------------------------------------


def _layer() -> SimpleNamespace:
    w = normal((WIDTH, WIDTH), 2, 0.02)
    scale = np.abs(w).max(axis=1) / np.float32(127)
    return SimpleNamespace(
        x=normal((ROWS, WIDTH), 1),
        w=w,
        bias=normal(WIDTH, 3, 0.1),
        scale=scale,
        codes=np.rint(w / scale[:, None]).astype(np.int8),
        out=touched((ROWS, WIDTH), np.float32),
    )


def _linear_ours(v: SimpleNamespace) -> Call:
    uf = load("ufuse")
    w = uf.quantize(v.w, "int8", axis=0)
    return lambda: uf.linear(v.x, w, v.bias, activation="relu", out=v.out)


def _linear_numpy(v: SimpleNamespace) -> Call:
    def call() -> np.ndarray:
        np.matmul(v.x, v.w.T, out=v.out)
        np.add(v.out, v.bias, out=v.out)
        np.maximum(v.out, np.float32(0), out=v.out)
        return v.out  # type: ignore[no-any-return]

    return call


def _linear_matmul(v: SimpleNamespace) -> Call:
    """Do the float32 product alone, without bias and activation: what the bar counts from."""
    return lambda: np.matmul(v.x, v.w.T, out=v.out)


def _linear_torch(v: SimpleNamespace) -> Call:
    torch = load("torch")
    zeros = torch.zeros(WIDTH, dtype=torch.long)
    w = torch.quantize_per_channel(tensor(v.w), tensor(v.scale), zeros, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(w, tensor(v.bias))
    f, x = torch.ops.quantized.linear_relu_dynamic, tensor(v.x)
    return lambda: f(x, packed)


def _linear_jax(v: SimpleNamespace) -> Call:
    jax = load("jax")
    jnp = jax.numpy

    def layer(x: Any, codes: Any, scale: Any, bias: Any) -> Any:
        step = jnp.max(jnp.abs(x), axis=1, keepdims=True) / 127
        q = jnp.round(x / step).astype(jnp.int8)
        sums = jax.lax.dot_general(
            q, codes, (((1,), (1,)), ((), ())), preferred_element_type=jnp.int32
        )
        return jnp.maximum(sums * step * scale + bias, 0)

    f = blocking(layer)
    operands = [jnp.asarray(a) for a in (v.x, v.codes, v.scale, v.bias)]
    return lambda: f(*operands)


def _linear_onnxruntime(v: SimpleNamespace) -> Call:
    nodes: list[Node] = [
        (
            "DynamicQuantizeMatMul",
            ["x", "w", "s", "", "bias"],
            ["h"],
            {"domain": "com.microsoft"},
        ),
        ("Relu", ["h"], ["y"], {}),
    ]
    constants = {"w": np.ascontiguousarray(v.codes.T), "s": v.scale, "bias": v.bias}
    return session_call(nodes, {"x": v.x}, constants, v.out, into=True)


def _linear_case() -> Case:
    return Case(
        name=f"linear int8 {ROWS}x{WIDTH}x{WIDTH}, bias, relu",
        group=GROUP,
        make=_layer,
        ours=_linear_ours,
        peers={
            "numpy": _linear_numpy,
            "numpy:matmul": _linear_matmul,
            "torch": _linear_torch,
            "jax": _linear_jax,
            "onnxruntime": _linear_onnxruntime,
        },
        limit="dot_i8",
        amount=2 * ROWS * WIDTH * WIDTH,
        bar="numpy:matmul >= 1.5x",
        # Rounding both factors to 8 bits: 0.01 rms here, half a million results.
        check=close(0.0, 0.1),
        unchecked=frozenset({"numpy:matmul"}),
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    subscripts = [f"{a},{b}->{c}" for c in ("ij", "ji") for a in ("ik", "ki") for b in ("kj", "jk")]
    return [*(_einsum_case(s) for s in subscripts), _linear_case()]
