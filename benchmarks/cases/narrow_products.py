"""Matrix products of 8-bit integers, exact in int32, and of floats of 16 bits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, installed, load
from ..model import Call, Case, Prepare, close, equal
from ..probe import touched
from .data import values
from .onnx_graphs import Node, session_call
from .products import jax, onnxruntime, ours, torch
from .quantization_peers import as_tensor

GROUP = "narrow"


# ---- 8 bits -------------------------------------------------------------------------------------


def _bytes(n: int, left: str) -> SimpleNamespace:
    return SimpleNamespace(
        a=values((n, n), left, 1), b=values((n, n), "int8", 2), out=touched((n, n), np.int32)
    )


def _by_float(kind: type[np.floating]) -> Prepare:
    """Convert, multiply, convert back: many times as fast as NumPy's own product of these dtypes.

    The sums of integers of 8 bits are exact in float64. NumPy's product of int32 takes two
    seconds where this takes 30 ms; its product of float16 takes four.
    """

    def prepare(v: SimpleNamespace) -> Call:
        def call() -> np.ndarray:
            np.copyto(v.out, np.matmul(v.a.astype(kind), v.b.astype(kind)), casting="unsafe")
            result: np.ndarray = v.out
            return result

        return call

    return prepare


def _torch_int(v: SimpleNamespace) -> Call:
    f, (a, b, out) = load("torch")._int_mm, (as_tensor(x) for x in (v.a, v.b, v.out))

    def call() -> np.ndarray:
        f(a, b, out=out)
        result: np.ndarray = v.out
        return result

    return call


def _jax_int(v: SimpleNamespace) -> Call:
    jnp = load("jax").numpy
    f = blocking(lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.int32))
    a, b = jnp.asarray(v.a), jnp.asarray(v.b)
    return lambda: f(a, b)


def _onnxruntime_int(constant: bool) -> Prepare:
    """MatMulInteger; a constant b may be packed when the session begins."""

    def prepare(v: SimpleNamespace) -> Call:
        node: Node = ("MatMulInteger", ["a", "b"], ["c"], {})
        given, constants = {"a": v.a, "b": v.b}, {}
        if constant:
            constants["b"] = given.pop("b")
        return session_call([node], given, constants, v.out, into=True)

    return prepare


def _integer_case(left: str, n: int) -> Case:
    peers: dict[str, Prepare] = {
        "numpy": _by_float(np.float64),
        "jax": _jax_int,
        "onnxruntime": _onnxruntime_int(constant=False),
        "onnxruntime:constant": _onnxruntime_int(constant=True),
    }
    if left == "int8":
        peers["torch"] = _torch_int  # of equal dtypes alone
    return Case(
        name=f"{left} by int8 {n}",
        group=GROUP,
        make=lambda: _bytes(n, left),
        ours=ours(accumulate="int32"),
        peers=peers,
        limit="dot_i8",  # of registers: a machine with tiles may go beyond
        amount=2 * n**3,
        bar="limit >= 0.9; best >= 1x",
        check=equal,
    )


# ---- a layer: bias, relu, codes again ---------------------------------------------------------

#: Of the sums, so that a tenth of the results are at an end of the codes.
_SUM_SCALE = 2.0**-14


def _layer(n: int) -> SimpleNamespace:
    return SimpleNamespace(
        a=values((n, n), "uint8", 1),
        b=values((n, n), "int8", 2),
        bias=values((n,), "int16", 3).astype(np.int32),
        out=touched((n, n), np.uint8),
    )


def _layer_ours(v: SimpleNamespace) -> Call:
    uf = load("ufuse")
    scale, bias = np.float32(_SUM_SCALE), v.bias

    def codes(sums: Any) -> Any:
        scaled = np.rint((sums + bias).astype(np.float32) * scale)
        return np.clip(scaled, 0, 255).astype(np.uint8)  # relu and saturation

    return lambda: uf.matmul(v.a, v.b, accumulate="int32", finish=codes, out=v.out)


def _layer_numpy(v: SimpleNamespace) -> Call:
    def call() -> np.ndarray:
        sums = np.matmul(v.a.astype(np.float64), v.b.astype(np.float64)) + v.bias
        np.copyto(v.out, np.clip(np.rint(sums * _SUM_SCALE), 0, 255), casting="unsafe")
        result: np.ndarray = v.out
        return result

    return call


def _layer_onnxruntime(v: SimpleNamespace) -> Call:
    """QGemm: codes of uint8 with zero point 0 are clamped at 0, which is the relu."""
    names = ["a", "one", "zero", "b", "one", "zero_b", "bias", "scale", "zero"]
    node: Node = ("QGemm", names, ["c"], {"domain": "com.microsoft"})
    constants = {
        "b": v.b,
        "bias": v.bias,
        "one": np.float32(1),
        "zero": np.uint8(0),
        "zero_b": np.int8(0),
        "scale": np.float32(1 / _SUM_SCALE),
    }
    return session_call([node], {"a": v.a}, constants, v.out, into=True)


def _off_by_one(result: np.ndarray, expected: np.ndarray) -> str | None:
    """Check codes; a float32 sum may round to the neighbour."""
    off = int(np.abs(result.astype(np.int64) - expected.astype(np.int64)).max())
    return f"codes off by {off}" if off > 1 or result.dtype != expected.dtype else None


def _layer_case(n: int) -> Case:
    return Case(
        name=f"int8 linear {n}, bias, relu, requantized",
        group=GROUP,
        make=lambda: _layer(n),
        ours=_layer_ours,
        peers={"numpy": _layer_numpy, "onnxruntime": _layer_onnxruntime},
        limit="dot_i8",
        amount=2 * n**3,
        bar="best >= 1.0x",
        check=_off_by_one,
    )


# ---- floats of 16 bits --------------------------------------------------------------------------


def _halves(n: int, dtype: Any) -> SimpleNamespace:
    return SimpleNamespace(
        a=values((n, n), dtype, 1), b=values((n, n), dtype, 2), out=touched((n, n), dtype)
    )


def _rounded(bits: int) -> Any:
    """Return a check for one rounding of the result, to one place or its neighbour."""
    inner = close(2.0**-bits, 1e-3)

    def check(result: np.ndarray, expected: np.ndarray) -> str | None:
        if result.dtype != expected.dtype:
            return f"{result.dtype} instead of {expected.dtype}"
        return inner(result, expected.astype(np.float64))

    return check


def _half_case(name: str, dtype: Any, limit: str, bits: int, n: int) -> Case:
    peers: dict[str, Prepare] = {"numpy": _by_float(np.float32), "torch": torch, "jax": jax}
    if name == "float16":
        peers["onnxruntime"] = onnxruntime
    return Case(
        name=f"{name} {n}",
        group=GROUP,
        make=lambda: _halves(n, dtype),
        ours=ours(),
        peers=peers,
        limit=limit,
        amount=2 * n**3,
        bar="limit >= 0.92",
        check=_rounded(bits),
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    result = [_integer_case(left, n) for left in ("int8", "uint8") for n in (1024, 2048)]
    result.append(_layer_case(1024))
    if installed("ml_dtypes"):
        bfloat16 = np.dtype(load("ml_dtypes").bfloat16)
        result.append(_half_case("bfloat16", bfloat16, "dot_bf16", 7, 1024))
    result.append(_half_case("float16", np.dtype(np.float16), "fma_f32", 10, 1024))
    return result
