"""Fused elementwise expressions of 16 M float32."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, close
from ..probe import touched
from . import loops
from .data import MILLION_16, normal
from .onnx_graphs import session_call

GROUP = "elementwise"

HALF, ONE, C, K = (np.float32(v) for v in (0.5, 1.0, math.sqrt(2 / math.pi), 0.044715))
TWO, THREE = np.float32(2), np.float32(3)


# ---- 2*a + 3*b --------------------------------------------------------------------------------


def _pair() -> SimpleNamespace:
    n = MILLION_16
    return SimpleNamespace(a=normal(n, 1), b=normal(n, 2), out=touched(n, np.float32))


def _axpby_ours(v: SimpleNamespace) -> Call:
    f = load("ufuse").fuse(lambda a, b: 2 * a + 3 * b)
    return lambda: f(v.a, v.b, out=v.out)


def _axpby_numpy(v: SimpleNamespace) -> Call:
    return lambda: np.add(2 * v.a, 3 * v.b, out=v.out)


def _axpby_numexpr(v: SimpleNamespace) -> Call:
    evaluate, names = load("numexpr").evaluate, {"a": v.a, "b": v.b}
    return lambda: evaluate("2*a + 3*b", local_dict=names, out=v.out)


def _axpby_numba(v: SimpleNamespace) -> Call:
    f = loops.compiled(loops.axpby)

    def call() -> np.ndarray:
        f(TWO, THREE, v.a, v.b, v.out)
        return v.out  # type: ignore[no-any-return]

    return call


def _axpby_torch(v: SimpleNamespace) -> Call:
    torch = load("torch")
    a, b, out = tensor(v.a), tensor(v.b), tensor(v.out)
    return lambda: torch.add(torch.mul(a, 2, out=out), b, alpha=3, out=out)


def _axpby_jax(v: SimpleNamespace) -> Call:
    a, b = (load("jax").numpy.asarray(x) for x in (v.a, v.b))
    f = blocking(lambda a, b: 2 * a + 3 * b)
    return lambda: f(a, b)


# ---- GELU, tanh form --------------------------------------------------------------------------


def _one() -> SimpleNamespace:
    return SimpleNamespace(x=normal(MILLION_16, 1, 2.0), out=touched(MILLION_16, np.float32))


def _gelu(xp: Any) -> Any:
    return lambda x: 0.5 * x * (1 + xp.tanh(C * (x + K * x * x * x)))


def _gelu_ours(v: SimpleNamespace) -> Call:
    f = load("ufuse").fuse(_gelu(np))
    return lambda: f(v.x, out=v.out)


def _gelu_numpy(v: SimpleNamespace) -> Call:
    f = _gelu(np)
    return lambda: f(v.x)


def _gelu_numexpr(v: SimpleNamespace) -> Call:
    names = {"x": v.x, "half": HALF, "c": C, "k": K}
    evaluate = load("numexpr").evaluate
    text = "half*x*(1 + tanh(c*(x + k*x*x*x)))"
    return lambda: evaluate(text, local_dict=names, out=v.out)


def _gelu_numba(v: SimpleNamespace) -> Call:
    f = loops.compiled(loops.gelu)

    def call() -> np.ndarray:
        f(v.x, HALF, C, K, ONE, v.out)
        return v.out  # type: ignore[no-any-return]

    return call


def _gelu_torch(v: SimpleNamespace) -> Call:
    f, x, out = load("torch").ops.aten.gelu.out, tensor(v.x), tensor(v.out)
    return lambda: f(x, approximate="tanh", out=out)


def _gelu_jax(v: SimpleNamespace) -> Call:
    jnp = load("jax").numpy
    f, x = blocking(_gelu(jnp)), jnp.asarray(v.x)
    return lambda: f(x)


def _gelu_onnxruntime(v: SimpleNamespace) -> Call:
    node = ("FastGelu", ["x"], ["y"], {"domain": "com.microsoft"})
    return session_call([node], {"x": v.x}, {}, v.out, into=True)


def cases() -> list[Case]:
    """Return the cases of this group."""
    return [
        Case(
            name="2*a + 3*b, out=",
            group=GROUP,
            make=_pair,
            ours=_axpby_ours,
            peers={
                "numpy": _axpby_numpy,
                "numexpr": _axpby_numexpr,
                "numba": _axpby_numba,
                "torch": _axpby_torch,
                "jax": _axpby_jax,
            },
            limit="copy",
            amount=3 * 4 * MILLION_16,
            bar="limit >= 0.85",
            check=close(1e-6, 1e-6),
        ),
        Case(
            name="gelu (tanh), out=",
            group=GROUP,
            make=_one,
            ours=_gelu_ours,
            peers={
                "numpy": _gelu_numpy,
                "numexpr": _gelu_numexpr,
                "numba": _gelu_numba,
                "torch": _gelu_torch,
                "jax": _gelu_jax,
                "onnxruntime": _gelu_onnxruntime,
            },
            limit="copy",
            amount=2 * 4 * MILLION_16,
            bar="jax, numba >= 4x",
            check=close(1e-5, 2e-6),
        ),
    ]
