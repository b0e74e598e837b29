"""Running sums, weighted averages, moments and accurate sums of 64 MB of float32."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, Prepare, close
from ..probe import touched
from .data import MATRIX, normal, uniform

GROUP = "scans and sums"
BYTES = 4 * MATRIX[0] * MATRIX[1]
#: Functions of a module (ours, NumPy, JAX's numpy) and the case's inputs.
Function = Callable[[Any, SimpleNamespace], Any]


def _of(library: str, function: Function) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        module = load(library)
        return lambda: function(module, v)

    return prepare


def _jax(function: Callable[..., Any], *names: str) -> Prepare:
    """Call `function` with JAX's numpy and the inputs called `names`."""

    def prepare(v: SimpleNamespace) -> Call:
        jnp = load("jax").numpy
        call = blocking(lambda *arrays: function(jnp, *arrays))
        arrays = [jnp.asarray(getattr(v, name)) for name in names]
        return lambda: call(*arrays)

    return prepare


def _torch_cumsum(axis: int | None) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        cumsum = load("torch").cumsum
        x, out = tensor(v.x), tensor(v.out)
        if axis is None:
            x = x.reshape(-1)
        return lambda: cumsum(x, dim=axis or 0, out=out)

    return prepare


def _cumsum(axis: int | None) -> Case:
    def make() -> SimpleNamespace:
        shape = MATRIX if axis is not None else (MATRIX[0] * MATRIX[1],)
        return SimpleNamespace(x=uniform(MATRIX), out=touched(shape, np.float32))

    return Case(
        name=f"cumsum {'all' if axis is None else f'axis {axis}'}",
        group=GROUP,
        make=make,
        ours=_of("ufuse", lambda m, v: m.cumsum(v.x, axis=axis, out=v.out)),
        peers={
            "numpy": _of("numpy", lambda m, v: m.cumsum(v.x, axis=axis, out=v.out)),
            "torch": _torch_cumsum(axis),
            "jax": _jax(lambda m, x: m.cumsum(x, axis=axis), "x"),
        },
        limit="copy",
        amount=2 * BYTES,
        bar="best >= 1x",
        check=close(1e-5),
        expected=lambda v: np.cumsum(v.x, axis=axis, dtype=np.float64),
    )


def _average(axis: int) -> Case:
    def torch(v: SimpleNamespace) -> Call:
        x, w = tensor(v.x), tensor(v.w)
        return lambda: (x * w).sum(dim=axis) / w.sum(dim=axis)

    return Case(
        name=f"average, weights of its shape, axis {axis}",
        group=GROUP,
        make=lambda: SimpleNamespace(x=uniform(MATRIX), w=uniform(MATRIX, 0.5, 1.5)),
        ours=_of("ufuse", lambda m, v: m.average(v.x, axis, v.w)),
        peers={
            "numpy": _of("numpy", lambda m, v: m.average(v.x, axis, v.w)),
            "torch": torch,
            "jax": _jax(lambda m, x, w: m.average(x, axis, w), "x", "w"),
        },
        limit="read",
        amount=2 * BYTES,
        bar="best >= 1x",
        check=close(1e-5),
        expected=lambda v: np.average(v.x.astype(np.float64), axis, v.w),
    )


def _moments_of(m: Any, x: Any, axis: int) -> Any:
    """Return the four moments by their definition."""
    mean = m.mean(x, axis=axis, keepdims=True)
    deviation = x - mean
    square = deviation * deviation
    variance = m.mean(square, axis=axis)
    third = m.mean(square * deviation, axis=axis) / variance**1.5
    fourth = m.mean(square * square, axis=axis) / variance**2 - 3
    return m.stack([m.squeeze(mean, axis), variance, third, fourth])


def _moments(axis: int) -> Case:
    return Case(
        name=f"moments, order 4, axis {axis}",
        group=GROUP,
        make=lambda: SimpleNamespace(x=normal(MATRIX)),
        ours=_of("ufuse", lambda m, v: np.stack(m.moments(v.x, axis=axis))),
        peers={
            "numpy": _of("numpy", lambda m, v: _moments_of(m, v.x, axis)),
            "jax": _jax(lambda m, x: _moments_of(m, x, axis), "x"),
        },
        limit="read",
        amount=BYTES,
        bar="best >= 3x",
        check=close(1e-4, 1e-4),
        expected=lambda v: _moments_of(np, v.x.astype(np.float64), axis),
    )


def _accurate(accuracy: str, axis: int | None) -> Case:
    return Case(
        name=f"sum, {accuracy}, {'all' if axis is None else f'axis {axis}'}",
        group=GROUP,
        make=lambda: SimpleNamespace(x=normal(MATRIX)),
        ours=_of("ufuse", lambda m, v: m.sum(v.x, axis=axis, accuracy=accuracy)),
        peers={
            "ufuse:plain": _of("ufuse", lambda m, v: m.sum(v.x, axis=axis)),
            "numpy": _of("numpy", lambda m, v: m.sum(v.x, axis=axis)),
        },
        limit="read",
        amount=BYTES,
        bar="ufuse:plain >= 0.25x",
        check=close(1e-6),
        expected=lambda v: np.asarray(np.sum(v.x, axis=axis, dtype=np.float64)),
        unchecked=frozenset({"numpy"}),
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    return [
        *(_cumsum(axis) for axis in (0, 1, None)),
        *(_average(axis) for axis in (0, 1)),
        *(_moments(axis) for axis in (0, 1)),
        *(
            _accurate(accuracy, axis)
            for accuracy in ("reproducible", "compensated")
            for axis in (0, 1, None)
        ),
    ]
