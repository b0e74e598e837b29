"""Linear quantization by torch, JAX and onnxruntime."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Prepare
from .onnx_graphs import Node, session_call


def as_tensor(array: np.ndarray) -> Any:
    """Return the tensor that shares an array's memory, of ml_dtypes' dtypes too."""
    if array.dtype.name.startswith(("float8", "bfloat")):
        bits = tensor(array.view(f"u{array.itemsize}"))
        return bits.view(getattr(load("torch"), array.dtype.name))
    return tensor(array)


def torch(operation: str, into: bool) -> Prepare:
    """Torch's own operators where it has one; else its arithmetic, which offers `out=`."""

    def prepare(v: SimpleNamespace) -> Call:
        if operation == "dequantize":
            return _torch_dequantize(v, into)
        own = v.code.name in ("int8", "uint8") and not v.grain.block
        return _torch_own(v, operation) if own else _torch_quantize(v)

    return prepare


def _torch_dequantize(v: SimpleNamespace, into: bool) -> Call:
    module = load("torch")
    x, out, s, z = (as_tensor(a) for a in (v.plain, v.out_view, v.s, v.z))
    if v.code.is_float:
        return lambda: out.copy_(x).mul_(s)
    if into:
        return lambda: module.sub(x, z, out=out).mul_(s)
    return lambda: module.sub(x, z).mul_(s)


def _torch_quantize(v: SimpleNamespace) -> Call:
    module = load("torch")
    x, out, s, z = (as_tensor(a) for a in (v.view, v.out_plain, v.s, v.z))
    work, low, high = module.empty_like(x), float(v.low), float(v.high)

    def call() -> np.ndarray:
        module.div(x, s, out=work)
        if not v.code.is_float:
            work.round_().add_(z)
        out.copy_(work.clamp_(low, high))
        result: np.ndarray = v.out_plain
        return result

    return call


def _torch_own(v: SimpleNamespace, operation: str) -> Call:
    module = load("torch")
    x, low, high = tensor(v.x), v.code.low, v.code.high
    dtype = module.qint8 if low else module.quint8
    if v.grain.axis is None:
        scale, zero = float(v.scale), int(v.zero)
        if operation == "quantize":
            return lambda: module.quantize_per_tensor(x, scale, zero, dtype)
        return lambda: module.fake_quantize_per_tensor_affine(x, scale, zero, low, high)
    scales, zeros = tensor(v.scale), tensor(v.zero.astype(np.int32))
    if operation == "quantize":
        return lambda: module.quantize_per_channel(x, scales, zeros, v.grain.axis, dtype)
    f = module.fake_quantize_per_channel_affine
    return lambda: f(x, scales, zeros, v.grain.axis, low, high)


def jax(operation: str) -> Prepare:
    """One jitted expression."""

    def prepare(v: SimpleNamespace) -> Call:
        jnp = load("jax").numpy
        whole = not v.code.is_float

        def encode(x: Any, s: Any, z: Any) -> Any:
            return jnp.clip(jnp.round(x / s) + z if whole else x / s, v.low, v.high)

        def decode(x: Any, s: Any, z: Any) -> Any:
            return (x.astype(jnp.float32) - z) * s if whole else x.astype(jnp.float32) * s

        f = blocking(
            {
                "quantize": lambda x, s, z: encode(x, s, z).astype(v.code.dtype),
                "dequantize": decode,
                "fake_quantize": lambda x, s, z: (encode(x, s, z) - z) * s,
            }[operation]
        )
        codes = v.codes.reshape(v.grain.view)
        x = jnp.asarray(codes if operation == "dequantize" else v.view)
        s, z = jnp.asarray(v.s), jnp.asarray(v.z)
        return lambda: f(x, s, z)

    return prepare


def onnxruntime(operation: str, into: bool) -> Prepare:
    """QuantizeLinear and DequantizeLinear nodes."""

    def prepare(v: SimpleNamespace) -> Call:
        x = v.codes if operation == "dequantize" else v.x
        out = v.out_codes if operation == "quantize" else v.out
        nodes = linear_nodes(operation, v.grain.attributes)
        return session_call(nodes, {"x": x}, constants(v), out, into)

    return prepare


def linear_nodes(operation: str, attributes: dict[str, int]) -> list[Node]:
    """Return the nodes of an operation on "x" with scale "s" and zero point "z"."""
    encode: Node = ("QuantizeLinear", ["x", "s", "z"], ["q"], attributes)
    decode: Node = ("DequantizeLinear", ["x", "s", "z"], ["y"], attributes)
    again: Node = ("DequantizeLinear", ["q", "s", "z"], ["y"], attributes)
    return {"quantize": [encode], "dequantize": [decode], "fake_quantize": [encode, again]}[
        operation
    ]


def constants(v: SimpleNamespace) -> dict[str, np.ndarray]:
    """Return scales and zero points; the dtype of these is that of the codes."""
    zero = np.zeros(v.grain.shape, v.code.dtype) if v.zero is None else np.asarray(v.zero)
    return {"s": np.asarray(v.scale), "z": zero}
