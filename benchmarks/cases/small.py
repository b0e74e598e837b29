"""Calls on 100 elements: what a call costs before it does any work."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, Statement, close, equal
from ..probe import touched
from . import loops
from .data import normal
from .elementwise import THREE, TWO
from .onnx_graphs import Node, session_call

GROUP = "small"
LOW, HIGH = np.float32(-128), np.float32(127)
N = 100


def _make() -> SimpleNamespace:
    return SimpleNamespace(
        x=normal(N, 1),
        a=normal(N, 2),
        b=normal(N, 3),
        scale=np.float32(0.0173),
        zero=np.int8(3),
        out=touched(N, np.float32),
        codes=touched(N, np.int8),
    )


def _statement(code: str, v: SimpleNamespace, **names: Any) -> Statement:
    return Statement(code, {**vars(v), **names})


# ---- sum --------------------------------------------------------------------------------------


def _sum_ours(v: SimpleNamespace) -> Call:
    return _statement("f(x)", v, f=load("ufuse").sum)


def _sum_numpy(v: SimpleNamespace) -> Call:
    return _statement("f(x)", v, f=np.sum)


def _sum_numexpr(v: SimpleNamespace) -> Call:
    return _statement("f('sum(x)', d)", v, f=load("numexpr").evaluate, d={"x": v.x})


def _sum_numba(v: SimpleNamespace) -> Call:
    return _statement("f(x)", v, f=loops.compiled(loops.total, parallel=False))


def _sum_bottleneck(v: SimpleNamespace) -> Call:
    return _statement("f(x)", v, f=load("bottleneck").nansum)


def _sum_torch(v: SimpleNamespace) -> Call:
    return _statement("f(t)", v, f=load("torch").sum, t=tensor(v.x))


def _sum_jax(v: SimpleNamespace) -> Call:
    jnp = load("jax").numpy
    return _statement("f(t)", v, f=blocking(jnp.sum), t=jnp.asarray(v.x))


# ---- quantize_linear --------------------------------------------------------------------------


def _quantize_ours(v: SimpleNamespace) -> Call:
    return _statement("f(x, scale, zero, out=codes)", v, f=load("ufuse").quantize_linear)


def _quantize_numpy(v: SimpleNamespace) -> Call:
    code = "clip(rint(x / scale) + z, low, high).astype(i8)"
    names = {"clip": np.clip, "rint": np.rint, "low": LOW, "high": HIGH, "i8": np.int8}
    return _statement(code, v, z=np.float32(v.zero), **names)


def _quantize_numba(v: SimpleNamespace) -> Call:
    f = loops.compiled(loops.quantize, parallel=False)
    s, z = np.full((1, 1), v.scale), np.full((1, 1), v.zero, np.float32)
    x, codes = v.x.reshape(1, N), v.codes.reshape(1, N)
    names = {"s": s, "z": z, "low": LOW, "high": HIGH}
    # The kernel returns nothing; the tuple's last item is the answer.
    code = "(f(row, s, z, low, high, result), codes)[1]"
    return _statement(code, v, f=f, row=x, result=codes, **names)


def _quantize_torch(v: SimpleNamespace) -> Call:
    torch = load("torch")
    names = {"t": tensor(v.x), "s": float(v.scale), "z": int(v.zero), "kind": torch.qint8}
    return _statement("f(t, s, z, kind)", v, f=torch.quantize_per_tensor, **names)


def _quantize_jax(v: SimpleNamespace) -> Call:
    jnp = load("jax").numpy
    f = blocking(
        lambda x, s, z: jnp.clip(jnp.round(x / s) + z, LOW, HIGH).astype(jnp.int8),
    )
    t, s, z = (jnp.asarray(a) for a in (v.x, v.scale, np.float32(v.zero)))
    return _statement("f(t, s, z)", v, f=f, t=t, s=s, z=z)


def _quantize_onnxruntime(v: SimpleNamespace) -> Call:
    constants = {"s": np.asarray(v.scale), "z": np.asarray(v.zero)}
    node: Node = ("QuantizeLinear", ["x", "s", "z"], ["q"], {})
    return session_call([node], {"x": v.x}, constants, v.codes, into=True)


# ---- 2*a + 3*b --------------------------------------------------------------------------------


def _axpby_ours(v: SimpleNamespace) -> Call:
    f = load("ufuse").fuse(lambda a, b: 2 * a + 3 * b)
    return _statement("f(a, b, out=out)", v, f=f)


def _text_ours(v: SimpleNamespace) -> Call:
    f, names = load("ufuse").evaluate, {"a": v.a, "b": v.b}
    return _statement("f('2*a + 3*b', d)", v, f=f, d=names)


def _text_numexpr(v: SimpleNamespace) -> Call:
    f, names = load("numexpr").evaluate, {"a": v.a, "b": v.b}
    return _statement("f('2*a + 3*b', d)", v, f=f, d=names)


def _text_numexpr_again(v: SimpleNamespace) -> Call:
    library, names = load("numexpr"), {"a": v.a, "b": v.b}
    library.evaluate("2*a + 3*b", names)
    return _statement("f(d)", v, f=library.re_evaluate, d=names)


def _axpby_numpy(v: SimpleNamespace) -> Call:
    return _statement("2*a + 3*b", v)


def _axpby_numexpr(v: SimpleNamespace) -> Call:
    f, names = load("numexpr").evaluate, {"a": v.a, "b": v.b}
    return _statement("f('2*a + 3*b', d, out=out)", v, f=f, d=names)


def _axpby_numba(v: SimpleNamespace) -> Call:
    f = loops.compiled(loops.axpby, parallel=False)
    return _statement("(f(two, three, a, b, out), out)[1]", v, f=f, two=TWO, three=THREE)


def _axpby_torch(v: SimpleNamespace) -> Call:
    torch = load("torch")
    names = {"mul": torch.mul, "add": torch.add, "p": tensor(v.a), "q": tensor(v.b)}
    return _statement("add(mul(p, 2, out=r), q, alpha=3, out=r)", v, r=tensor(v.out), **names)


def _axpby_jax(v: SimpleNamespace) -> Call:
    jnp = load("jax").numpy
    f = blocking(lambda a, b: 2 * a + 3 * b)
    return _statement("f(p, q)", v, f=f, p=jnp.asarray(v.a), q=jnp.asarray(v.b))


def cases() -> list[Case]:
    """Return the cases of this group."""
    return [
        Case(
            name=f"sum, {N} elements",
            group=GROUP,
            make=_make,
            ours=_sum_ours,
            peers={
                "numpy": _sum_numpy,
                "numexpr": _sum_numexpr,
                "numba": _sum_numba,
                "bottleneck": _sum_bottleneck,
                "torch": _sum_torch,
                "jax": _sum_jax,
            },
            bar="time <= 0.7 us",
            check=close(1e-5, 1e-5),
        ),
        Case(
            name=f"quantize_linear, {N} elements",
            group=GROUP,
            make=_make,
            ours=_quantize_ours,
            peers={
                "numpy": _quantize_numpy,
                "numba": _quantize_numba,
                "torch": _quantize_torch,
                "jax": _quantize_jax,
                "onnxruntime": _quantize_onnxruntime,
            },
            bar="time <= 0.7 us",
            check=equal,
        ),
        Case(
            name=f"2*a + 3*b fused, {N} elements",
            group=GROUP,
            make=_make,
            ours=_axpby_ours,
            peers={
                "numpy": _axpby_numpy,
                "numexpr": _axpby_numexpr,
                "numba": _axpby_numba,
                "torch": _axpby_torch,
                "jax": _axpby_jax,
            },
            bar="time <= 1.0 us",
            check=close(1e-6, 1e-6),
        ),
        Case(
            name=f"2*a + 3*b as text, {N} elements",
            group=GROUP,
            make=_make,
            ours=_text_ours,
            peers={
                "numpy": _axpby_numpy,
                "numexpr": _text_numexpr,
                "numexpr:re_evaluate": _text_numexpr_again,
            },
            bar="time <= 3.0 us",
            check=close(1e-6, 1e-6),
        ),
    ]
