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
        limit="dot_i8",
        amount=2 * n**3,
        bar="limit >= 0.9",
        check=equal,
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
    if installed("ml_dtypes"):
        bfloat16 = np.dtype(load("ml_dtypes").bfloat16)
        result.append(_half_case("bfloat16", bfloat16, "dot_bf16", 7, 1024))
    result.append(_half_case("float16", np.dtype(np.float16), "fma_f32", 10, 1024))
    return result
