"""Matrix products through `einsum` in every layout."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, close
from ..probe import touched
from .data import normal
from .onnx_graphs import Node, session_call

GROUP = "contractions"
N = 1024


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


def cases() -> list[Case]:
    """Return the cases of this group."""
    subscripts = [f"{a},{b}->{c}" for c in ("ij", "ji") for a in ("ik", "ki") for b in ("kj", "jk")]
    return [_einsum_case(s) for s in subscripts]
