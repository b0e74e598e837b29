"""Linear layers: few rows, which memory bounds, and many."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, Prepare, close
from ..probe import touched
from .data import normal
from .onnx_graphs import Node, session_call

GROUP = "linear"
ROWS, WIDTH = 256, 2048
SIDE = 4096
BLOCK = 32

# ---- few rows ---------------------------------------------------------------------------------


def _few(m: int, make: Callable[[np.ndarray], dict[str, Any]]) -> SimpleNamespace:
    """Return inputs: `plain` are the weights that codes stand for, in float32."""
    w = normal((SIDE, SIDE), 2, 0.02)
    return SimpleNamespace(x=normal((m, SIDE), 1), out=touched((m, SIDE), np.float32), **make(w))


def _floats(w: np.ndarray) -> dict[str, Any]:
    return {"plain": w, "weights": w}


def _int8(w: np.ndarray) -> dict[str, Any]:
    weights = load("ufuse").quantize(w, "int8", axis=0)
    return {"plain": weights.dequantize(), "weights": weights}


def _int4(w: np.ndarray) -> dict[str, Any]:
    weights = load("ufuse").quantize(w, "int4", axis=1, block_size=BLOCK)
    return {"plain": weights.dequantize(), "weights": weights}


def _q4_k(w: np.ndarray) -> dict[str, Any]:
    gguf = load("ufuse").formats.gguf
    weights = gguf.GGUFArray(gguf.quantize(w, "Q4_K"), "Q4_K")
    return {"plain": weights.dequantize(), "weights": weights}


def _few_ours(v: SimpleNamespace, mode: str | None) -> Call:
    uf = load("ufuse")
    w = v.weights if isinstance(v.weights, np.ndarray) else uf.prepack(v.weights, mode)
    return lambda: uf.linear(v.x, w, out=v.out)


def _few_numpy(v: SimpleNamespace) -> Call:
    """Multiply in float32: of codes, what they stand for, dequantized beforehand."""
    return lambda: np.matmul(v.x, v.plain.T, out=v.out)


def _few_torch(v: SimpleNamespace) -> Call:
    f, x, w = load("torch").nn.functional.linear, tensor(v.x), tensor(v.plain)
    return lambda: f(x, w)


def _few_jax(v: SimpleNamespace) -> Call:
    jnp = load("jax").numpy
    f = blocking(lambda x, w: x @ w.T)
    x, w = jnp.asarray(v.x), jnp.asarray(v.plain)
    return lambda: f(x, w)


def _few_onnxruntime(v: SimpleNamespace) -> Call:
    node: Node = ("MatMul", ["x", "w"], ["y"], {})
    constants = {"w": np.ascontiguousarray(v.plain.T)}
    return session_call([node], {"x": v.x}, constants, v.out, into=True)


def _int8_torch(v: SimpleNamespace) -> Call:
    """Quantize rows of x on the way, as ours."""
    torch = load("torch")
    zeros = torch.zeros(SIDE, dtype=torch.long)
    scale = tensor(v.weights.scale.copy())
    w = torch.quantize_per_channel(tensor(v.plain), scale, zeros, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(w, None)
    f, x = torch.ops.quantized.linear_dynamic, tensor(v.x)
    return lambda: f(x, packed)


def _int8_torch_weights(v: SimpleNamespace) -> Call:
    """Weights alone in int8; x in bfloat16."""
    torch = load("torch")
    x = tensor(v.x).to(torch.bfloat16)
    w = tensor(v.weights.data.copy())
    scale = tensor(v.weights.scale.copy()).to(torch.bfloat16)
    return lambda: torch._weight_int8pack_mm(x, w, scale).float()


def _int8_onnxruntime(v: SimpleNamespace) -> Call:
    nodes: list[Node] = [
        ("DynamicQuantizeMatMul", ["x", "w", "s"], ["y"], {"domain": "com.microsoft"})
    ]
    constants = {"w": np.ascontiguousarray(v.weights.data.T), "s": v.weights.scale}
    return session_call(nodes, {"x": v.x}, constants, v.out, into=True)


def _int4_torch(v: SimpleNamespace) -> Call:
    """Weights alone in int4; x in bfloat16."""
    torch = load("torch")
    codes = (v.weights.codes().astype(np.int32) + 8).astype(np.int32)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(tensor(codes), 1)
    scales = tensor(v.weights.scale.T.copy()).to(torch.bfloat16)
    both = torch.stack([scales, torch.zeros_like(scales)], dim=-1).contiguous()
    x = tensor(v.x).to(torch.bfloat16)
    f = torch.ops.aten._weight_int4pack_mm_for_cpu
    return lambda: f(x, packed, BLOCK, both).float()


def _int4_onnxruntime(v: SimpleNamespace, accuracy: int) -> Call:
    """MatMulNBits; of accuracy level 4 x is quantized to int8, by blocks."""
    codes = (v.weights.codes().astype(np.int8) + 8).astype(np.uint8)
    nibbles = (codes[:, ::2] | (codes[:, 1::2] << 4)).reshape(SIDE, SIDE // BLOCK, BLOCK // 2)
    attributes = {
        "domain": "com.microsoft",
        "K": SIDE,
        "N": SIDE,
        "bits": 4,
        "block_size": BLOCK,
        "accuracy_level": accuracy,
    }
    node: Node = ("MatMulNBits", ["x", "w", "s"], ["y"], attributes)
    constants = {"w": nibbles, "s": v.weights.scale.reshape(-1).copy()}
    return session_call([node], {"x": v.x}, constants, v.out, into=True)


_FLOAT_PEERS: dict[str, Prepare] = {
    "numpy": _few_numpy,
    "torch": _few_torch,
    "jax": _few_jax,
    "onnxruntime": _few_onnxruntime,
}
_INT8_PEERS: dict[str, Prepare] = {
    "torch:dynamic": _int8_torch,
    "torch:weights": _int8_torch_weights,
    "onnxruntime:dynamic": _int8_onnxruntime,
}
_INT4_PEERS: dict[str, Prepare] = {
    "torch:weights": _int4_torch,
    "onnxruntime": partial(_int4_onnxruntime, accuracy=0),
    "onnxruntime:dynamic": partial(_int4_onnxruntime, accuracy=4),
}
_FEW_PEERS: dict[str, Prepare] = {"numpy": _few_numpy, "torch": _few_torch}

#: By name: how weights are made, the mode, the bytes of a weight, peers, whether memory bounds it
#: (decoding to float32 is bound by arithmetic), and how far results are off (sums of about 1.3, of
#: which rows of x in 8 bits or bfloat16 take some hundredths).
_FEW: dict[str, tuple[Any, str | None, float, dict[str, Prepare], bool, float]] = {
    "f32": (_floats, None, 4, _FLOAT_PEERS, True, 1e-3),
    "int8 dynamic": (_int8, "dynamic", 1, _INT8_PEERS | _FEW_PEERS, True, 0.2),
    "int8 weight-only": (_int8, "weight_only", 1, _INT8_PEERS | _FEW_PEERS, False, 0.2),
    "int4 dynamic": (_int4, "dynamic", 0.5 + 4 / BLOCK, _INT4_PEERS | _FEW_PEERS, True, 0.2),
    "int4 weight-only": (
        _int4,
        "weight_only",
        0.5 + 4 / BLOCK,
        _INT4_PEERS | _FEW_PEERS,
        False,
        0.2,
    ),
    "Q4_K dynamic": (_q4_k, "dynamic", 144 / 256, _FEW_PEERS, True, 0.2),
    "Q4_K weight-only": (_q4_k, "weight_only", 144 / 256, _FEW_PEERS, False, 1e-3),
}


def _few_case(name: str, m: int) -> Case:
    make, mode, nbytes, peers, bound_by_memory, off = _FEW[name]
    least = "limit >= 0.85" if m == 1 else "limit >= 0.6" if m == 8 else ""
    return Case(
        name=f"linear {name} {m}x{SIDE}x{SIDE}",
        group=GROUP,
        make=lambda: _few(m, make),
        ours=partial(_few_ours, mode=mode),
        peers=peers,
        limit="read",
        amount=nbytes * SIDE * SIDE,
        bar="; ".join(filter(None, [least if bound_by_memory else "", "best >= 1.0x"])),
        check=close(0.0, off),
    )


# ---- many rows: int8, bias, relu --------------------------------------------------------------


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


def _many_ours(v: SimpleNamespace) -> Call:
    uf = load("ufuse")
    w = uf.quantize(v.w, "int8", axis=0)
    return lambda: uf.linear(v.x, w, v.bias, activation="relu", out=v.out)


def _many_numpy(v: SimpleNamespace) -> Call:
    def call() -> np.ndarray:
        np.matmul(v.x, v.w.T, out=v.out)
        np.add(v.out, v.bias, out=v.out)
        np.maximum(v.out, np.float32(0), out=v.out)
        return v.out  # type: ignore[no-any-return]

    return call


def _many_matmul(v: SimpleNamespace) -> Call:
    """Do the float32 product alone, without bias and activation: what the bar counts from."""
    return lambda: np.matmul(v.x, v.w.T, out=v.out)


def _many_torch(v: SimpleNamespace) -> Call:
    torch = load("torch")
    zeros = torch.zeros(WIDTH, dtype=torch.long)
    w = torch.quantize_per_channel(tensor(v.w), tensor(v.scale), zeros, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(w, tensor(v.bias))
    f, x = torch.ops.quantized.linear_relu_dynamic, tensor(v.x)
    return lambda: f(x, packed)


def _many_jax(v: SimpleNamespace) -> Call:
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


def _many_onnxruntime(v: SimpleNamespace) -> Call:
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


def _many_case() -> Case:
    return Case(
        name=f"linear int8 {ROWS}x{WIDTH}x{WIDTH}, bias, relu",
        group=GROUP,
        make=_layer,
        ours=_many_ours,
        peers={
            "numpy": _many_numpy,
            "numpy:matmul": _many_matmul,
            "torch": _many_torch,
            "jax": _many_jax,
            "onnxruntime": _many_onnxruntime,
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
    return [*(_few_case(name, m) for name in _FEW for m in (1, 4, 8)), _many_case()]
