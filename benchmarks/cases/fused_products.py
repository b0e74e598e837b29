"""Contractions inside of fused functions: a product with what surrounds it in one pass."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, Prepare, close
from ..probe import touched
from .data import normal

GROUP = "contractions"

#: A function of a library's array module, and its arguments.
Function = Callable[..., Any]


def _layer(np: Any, x: Any, w: Any, b: Any) -> Any:
    return (x @ w + b).clip(min=0)


def _scaled(np: Any, x: Any, s: Any, w: Any) -> Any:
    return (np.tanh(x) * s) @ w


def _two_layers(np: Any, x: Any, v: Any, b: Any, w: Any) -> Any:
    return np.tanh(x @ v + b) @ w + x


def _inputs(*shapes: tuple[int, ...]) -> SimpleNamespace:
    arrays = [normal(shape, 1 + i, 0.1) for i, shape in enumerate(shapes)]
    return SimpleNamespace(arrays=arrays)


def _ours(function: Function) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        fused = load("ufuse").fuse(lambda *arrays: function(np, *arrays))
        out = touched(fused(*v.arrays).shape, np.float32)
        return lambda: fused(*v.arrays, out=out)

    return prepare


def _numpy(function: Function) -> Prepare:
    return lambda v: lambda: function(np, *v.arrays)


def _torch(function: Function) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        torch = load("torch")
        arrays = [tensor(array) for array in v.arrays]
        return lambda: function(torch, *arrays)

    return prepare


def _jax(function: Function) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        jnp = load("jax").numpy
        compiled = blocking(lambda *arrays: function(jnp, *arrays))
        arrays = [jnp.asarray(array) for array in v.arrays]
        return lambda: compiled(*arrays)

    return prepare


def _case(name: str, function: Function, flops: int, *shapes: tuple[int, ...]) -> Case:
    return Case(
        name=name,
        group=GROUP,
        make=lambda: _inputs(*shapes),
        ours=_ours(function),
        peers={"numpy": _numpy(function), "torch": _torch(function), "jax": _jax(function)},
        limit="fma_f32",
        amount=flops,
        bar="best >= 0.95x",
        check=close(1e-4, 1e-4),
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    found = []
    for n in (64, 256, 1024):
        square, row, column = (n, n), (n,), (n, 1)
        found += [
            _case(f"relu(x @ w + b) f32 {n}", _layer, 2 * n**3, square, square, row),
            _case(f"(tanh(x) * s) @ w f32 {n}", _scaled, 2 * n**3, square, column, square),
        ]
    wide = ((512, 512), (512, 2048), (2048,), (2048, 512))
    found.append(_case("tanh(x @ v + b) @ w + x f32", _two_layers, 4 * 512 * 512 * 2048, *wide))
    return found
