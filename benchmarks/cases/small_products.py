"""Products called from Python on small matrices: what a call costs, the first and the next."""

from __future__ import annotations

import functools
import itertools
import string
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, Prepare, Statement, close
from .onnx_graphs import Node, session_call
from .products import stack

GROUP = "small"
_CHECK = close(1e-5, 1e-5)


def _statement(code: str, v: SimpleNamespace, **names: Any) -> Statement:
    return Statement(code, {**vars(v), **names})


# ---- matmul into out ----------------------------------------------------------------------------


def _matmul_ours(v: SimpleNamespace) -> Call:
    return _statement("f(a, b, out=out)", v, f=load("ufuse").matmul)


def _matmul_numpy(v: SimpleNamespace) -> Call:
    return _statement("f(a, b, out=out)", v, f=np.matmul)


def _matmul_torch(v: SimpleNamespace) -> Call:
    names = {"p": tensor(v.a), "q": tensor(v.b), "r": tensor(v.out)}
    return _statement("f(p, q, out=r)", v, f=load("torch").mm, **names)


def _matmul_jax(v: SimpleNamespace) -> Call:
    jnp = load("jax").numpy
    return _statement("f(p, q)", v, f=blocking(jnp.matmul), p=jnp.asarray(v.a), q=jnp.asarray(v.b))


def _matmul_onnxruntime(v: SimpleNamespace) -> Call:
    node: Node = ("MatMul", ["a", "b"], ["c"], {})
    return session_call([node], {"a": v.a, "b": v.b}, {}, v.out, into=True)


def _matmul_case(n: int) -> Case:
    return Case(
        name=f"matmul f32 {n} x {n}",
        group=GROUP,
        make=lambda: stack((n, n), "float32"),
        ours=_matmul_ours,
        peers={
            "numpy": _matmul_numpy,
            "torch": _matmul_torch,
            "jax": _matmul_jax,
            "onnxruntime": _matmul_onnxruntime,
        },
        bar="best >= 1.3x",
        check=_CHECK,
    )


# ---- einsum, known and new subscripts -----------------------------------------------------------


def _matmul_beside(v: SimpleNamespace) -> Call:
    """Do the same product without subscripts to read."""
    return _statement("f(a, b)", v, f=np.matmul)


def _known(v: SimpleNamespace, f: Any, **names: Any) -> Statement:
    return _statement("f('ij,jk->ik', a, b)", v, f=f, **names)


@functools.cache
def _subscripts() -> list[str]:
    """Return every way to write a product with three of 52 letters: 132600."""
    letters = itertools.permutations(string.ascii_letters, 3)
    return [f"{i}{j},{j}{k}->{i}{k}" for i, j, k in letters]


def _new(v: SimpleNamespace, f: Any, **names: Any) -> Statement:
    """Call with other subscripts each time.

    A library that remembers what it has read has not read these, or has forgotten them when they
    come round again. What it imports and sets up at its first call of all is not in the time.
    """
    return _statement("f(next(s), a, b)", v, f=f, s=itertools.cycle(_subscripts()), **names)


def _einsum_case(kind: str, bar: str, jax: bool) -> Case:
    call = _known if kind == "known" else _new

    def of(library: str) -> Prepare:
        return lambda v: call(v, load(library).einsum)

    def with_torch(v: SimpleNamespace) -> Call:
        tensors = SimpleNamespace(a=tensor(v.a), b=tensor(v.b))
        return call(tensors, load("torch").einsum)

    def with_jax(v: SimpleNamespace) -> Call:
        jnp = load("jax").numpy
        f = blocking(lambda a, b: jnp.einsum("ij,jk->ik", a, b))
        return _statement("f(p, q)", v, f=f, p=jnp.asarray(v.a), q=jnp.asarray(v.b))

    peers: dict[str, Prepare] = {
        "numpy": of("numpy"),
        "numpy:matmul": _matmul_beside,
        "torch": with_torch,
        "opt_einsum": lambda v: call(v, load("opt_einsum").contract),
    }
    if jax:
        peers["jax"] = with_jax  # compiles for new subscripts: tens of milliseconds
    return Case(
        name=f"einsum f32 8 x 8, {kind} subscripts",
        group=GROUP,
        make=lambda: stack((8, 8), "float32"),
        ours=of("ufuse"),
        peers=peers,
        bar=bar,
        check=_CHECK,
    )


def cases() -> list[Case]:
    """Return the cases of this module."""
    return [
        _matmul_case(64),
        _matmul_case(16),
        _einsum_case("known", "time <= 1.0 us", jax=True),
        _einsum_case("new", "time <= 30 us", jax=False),
    ]
