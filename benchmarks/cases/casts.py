"""Casts of 16 M float32 to the narrower floats and back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, installed, load
from ..model import Call, Case, Prepare, same_values
from ..probe import touched
from .data import MILLION_16, normal
from .quantization_peers import as_tensor

GROUP = "casts"
KINDS = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float4_e2m1fn")


def _dtype(kind: str) -> np.dtype[Any]:
    return np.dtype(kind if kind == "float16" else getattr(load("ml_dtypes"), kind))


def _make(source: str, target: str) -> SimpleNamespace:
    x = normal(MILLION_16, 3)  # nothing beyond the largest number of any: who saturates is the same
    if source != "float32":
        narrow = touched(MILLION_16, _dtype(source))
        np.copyto(narrow, x, casting="unsafe")
        x = narrow
    out = touched(MILLION_16, np.dtype(np.float32) if target == "float32" else _dtype(target))
    return SimpleNamespace(x=x, out=out)


def _ours(v: SimpleNamespace) -> Call:
    cast = load("ufuse").cast
    return lambda: cast(v.x, v.out.dtype, out=v.out)


def _numpy(v: SimpleNamespace) -> Call:
    """NumPy's own conversion, or the one that ml_dtypes registers with it."""

    def call() -> np.ndarray:
        np.copyto(v.out, v.x, casting="unsafe")
        result: np.ndarray = v.out
        return result

    return call


def _ml_dtypes(v: SimpleNamespace) -> Call:
    return lambda: v.x.astype(v.out.dtype)


def _torch(v: SimpleNamespace) -> Call:
    x, out = as_tensor(v.x), as_tensor(v.out)

    def call() -> np.ndarray:
        out.copy_(x)
        result: np.ndarray = v.out
        return result

    return call


def _jax(v: SimpleNamespace) -> Call:
    jnp = load("jax").numpy
    f, x = blocking(lambda a: a.astype(v.out.dtype)), jnp.asarray(v.x)
    return lambda: f(x)


def _case(source: str, target: str) -> Case:
    narrow = target if source == "float32" else source
    peers: dict[str, Prepare] = {"numpy": _numpy, "jax": _jax}
    if narrow != "float16":
        peers["ml_dtypes"] = _ml_dtypes
    if narrow != "float4_e2m1fn":  # of which torch has pairs alone, and no casts
        peers["torch"] = _torch
    return Case(
        name=f"{source} to {target}",
        group=GROUP,
        make=lambda: _make(source, target),
        ours=_ours,
        peers=peers,
        limit="copy",
        amount=(4 + (2 if "16" in narrow else 1)) * MILLION_16,
        bar="limit >= 0.8; best >= 1x",
        check=same_values,
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    kinds = KINDS if installed("ml_dtypes") else KINDS[:1]
    return [_case(*pair) for k in kinds for pair in (("float32", k), (k, "float32"))]
