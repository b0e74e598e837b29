"""Linear quantization of 16 M float32 to int8 and back."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, Prepare, close, equal
from ..probe import touched
from . import loops
from .data import MATRIX, normal
from .onnx_graphs import Node, session_call

GROUP = "quantization"
LOW, HIGH = np.float32(-128), np.float32(127)

#: Operation: bytes per element that it reads and writes, and its check.
OPERATIONS = {
    "quantize": (4 + 1, equal),
    "dequantize": (1 + 4, equal),
    "fake_quantize": (4 + 4, close(0, 1e-6)),
}


def _make(axis: int | None) -> SimpleNamespace:
    """Values, codes, scales and zero points, for all three operations."""
    rng = np.random.default_rng(7)
    scale: np.ndarray | np.float32
    zero: np.ndarray | np.int8
    if axis is None:
        scale, zero, flat = np.float32(0.0173), np.int8(3), (1, 1)
    else:
        # About what calibration gives, with some values beyond the range of codes.
        scale = (0.015 + 0.02 * rng.random(MATRIX[axis])).astype(np.float32)
        zero = rng.integers(-5, 6, MATRIX[axis]).astype(np.int8)
        flat = (-1, 1) if axis == 0 else (1, -1)
    return SimpleNamespace(
        axis=axis,
        x=normal(MATRIX, 3),
        codes=rng.integers(-128, 128, MATRIX, dtype=np.int8),
        scale=scale,
        zero=zero,
        # The same, so that ordinary broadcasting does the rest.
        s=np.reshape(scale, flat),
        z=np.reshape(zero, flat).astype(np.float32),
        out_codes=touched(MATRIX, np.int8),
        out=touched(MATRIX, np.float32),
    )


def _operands(v: SimpleNamespace, operation: str) -> tuple[np.ndarray, np.ndarray]:
    return (
        v.codes if operation == "dequantize" else v.x,
        v.out_codes if operation == "quantize" else v.out,
    )


def _ours(operation: str, into: bool) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        name = operation if operation == "fake_quantize" else f"{operation}_linear"
        f = getattr(load("ufuse"), name)
        x, out = _operands(v, operation)
        if into:
            return lambda: f(x, v.scale, v.zero, axis=v.axis, out=out)
        return lambda: f(x, v.scale, v.zero, axis=v.axis)

    return prepare


def _numpy(operation: str, into: bool) -> Prepare:
    """NumPy with all its means: `out=` for every temporary, so that only passes are left."""

    def prepare(v: SimpleNamespace) -> Call:
        x, out = _operands(v, operation)
        work = touched(MATRIX, np.float32) if into else None

        def encode() -> np.ndarray:
            t: np.ndarray = np.divide(x, v.s, out=work)
            np.rint(t, out=t)
            t += v.z
            np.clip(t, LOW, HIGH, out=t)
            return t

        def quantize() -> np.ndarray:
            codes = encode()
            if not into:
                return codes.astype(np.int8)
            np.copyto(out, codes, casting="unsafe")
            return out

        def dequantize() -> np.ndarray:
            t: np.ndarray = np.subtract(x, v.z, out=out if into else None)
            t *= v.s
            return t

        def fake_quantize() -> np.ndarray:
            t = encode()
            t -= v.z
            result = out if into else t
            np.multiply(t, v.s, out=result)
            return result

        functions: dict[str, Callable[[], np.ndarray]] = {
            "quantize": quantize,
            "dequantize": dequantize,
            "fake_quantize": fake_quantize,
        }
        return functions[operation]

    return prepare


def _numexpr(operation: str, into: bool) -> Prepare:
    # Its round() goes away from zero at ties, and it has no clip.
    code = "where(x/s + z > 127, h, where(x/s + z < -128, l, round(x/s) + z))"
    text = {"quantize": code, "dequantize": "(x - z)*s", "fake_quantize": f"({code} - z)*s"}

    def prepare(v: SimpleNamespace) -> Call:
        x, out = _operands(v, operation)
        names = {"x": x, "s": v.s, "z": v.z, "h": HIGH, "l": LOW}
        evaluate = load("numexpr").evaluate
        if into:
            return lambda: evaluate(text[operation], local_dict=names, out=out, casting="unsafe")
        if operation == "quantize":
            return lambda: evaluate(text[operation], local_dict=names).astype(np.int8)
        return lambda: evaluate(text[operation], local_dict=names)

    return prepare


def _numba(operation: str, into: bool) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = loops.compiled(getattr(loops, operation))
        x, out = _operands(v, operation)
        limits = () if operation == "dequantize" else (LOW, HIGH)

        def call() -> np.ndarray:
            result = out if into else np.empty(out.shape, out.dtype)
            f(x, v.s, v.z, *limits, result)
            return result

        return call

    return prepare


def _torch(operation: str, into: bool) -> Prepare:
    """Torch's own operators; only its arithmetic offers `out=`."""

    def prepare(v: SimpleNamespace) -> Call:
        torch = load("torch")
        x, out = (tensor(a) for a in _operands(v, operation))
        if operation == "dequantize":
            s, z = tensor(np.atleast_1d(v.s)), tensor(np.atleast_1d(v.z))
            if into:
                return lambda: torch.sub(x, z, out=out).mul_(s)
            return lambda: torch.sub(x, z).mul_(s)
        if v.axis is None:
            scale, zero = float(v.scale), int(v.zero)
            if operation == "quantize":
                return lambda: torch.quantize_per_tensor(x, scale, zero, torch.qint8)
            return lambda: torch.fake_quantize_per_tensor_affine(x, scale, zero, -128, 127)
        scales, zeros = tensor(v.scale), tensor(v.zero.astype(np.int32))
        if operation == "quantize":
            return lambda: torch.quantize_per_channel(x, scales, zeros, v.axis, torch.qint8)
        f = torch.fake_quantize_per_channel_affine
        return lambda: f(x, scales, zeros, v.axis, -128, 127)

    return prepare


def _jax(operation: str) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        jnp = load("jax").numpy

        def encode(x: Any, s: Any, z: Any) -> Any:
            return jnp.clip(jnp.round(x / s) + z, LOW, HIGH)

        f = blocking(
            {
                "quantize": lambda x, s, z: encode(x, s, z).astype(jnp.int8),
                "dequantize": lambda x, s, z: (x.astype(jnp.float32) - z) * s,
                "fake_quantize": lambda x, s, z: (encode(x, s, z) - z) * s,
            }[operation]
        )
        x, s, z = (jnp.asarray(a) for a in (_operands(v, operation)[0], v.s, v.z))
        return lambda: f(x, s, z)

    return prepare


def _onnxruntime(operation: str, into: bool) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        x, out = _operands(v, operation)
        attributes = {} if v.axis is None else {"axis": v.axis}
        encode: Node = ("QuantizeLinear", ["x", "s", "z"], ["q"], attributes)
        decode: Node = ("DequantizeLinear", ["x", "s", "z"], ["y"], attributes)
        nodes = {
            "quantize": [encode],
            "dequantize": [decode],
            "fake_quantize": [encode, ("DequantizeLinear", ["q", "s", "z"], ["y"], attributes)],
        }[operation]
        constants = {"s": np.asarray(v.scale), "z": np.asarray(v.zero)}
        return session_call(nodes, {"x": x}, constants, out, into)

    return prepare


def _case(operation: str, axis: int | None, into: bool) -> Case:
    per_element, check = OPERATIONS[operation]
    where = "tensor" if axis is None else f"axis {axis}"
    return Case(
        name=f"{operation} per {where}, {'out=' if into else 'allocating'}",
        group=GROUP,
        make=lambda: _make(axis),
        ours=_ours(operation, into),
        peers={
            "numpy": _numpy(operation, into),
            "numexpr": _numexpr(operation, into),
            "numba": _numba(operation, into),
            "torch": _torch(operation, into),
            "jax": _jax(operation),
            "onnxruntime": _onnxruntime(operation, into),
        },
        limit="copy",
        amount=per_element * MATRIX[0] * MATRIX[1],
        bar="limit >= 0.85" if into else "limit >= 0.6",
        check=check,
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    return [
        _case(operation, axis, into)
        for into in (True, False)
        for operation in OPERATIONS
        for axis in (None, 0, 1)
    ]
