"""Matrix products over other semirings: shortest and longest paths, and what can be reached."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, Prepare, equal
from . import loops
from .products import numpy, ours, stack

GROUP = "semirings"

#: Semiring: NumPy's function of the sums, whose name torch shares; Python's.
_TROPICAL: dict[str, tuple[np.ufunc, Callable[..., Any]]] = {
    "min_plus": (np.minimum, min),
    "max_plus": (np.maximum, max),
}


def _numpy_tropical(semiring: str) -> Prepare:
    """One outer sum for each shared index: no temporary of n**3."""
    better = _TROPICAL[semiring][0]

    def prepare(v: SimpleNamespace) -> Call:
        sums = np.empty_like(v.out)

        def call() -> np.ndarray:
            np.add(v.a[:, :1], v.b[:1], out=v.out)
            for k in range(1, v.a.shape[1]):
                np.add(v.a[:, k, None], v.b[k], out=sums)
                better(v.out, sums, out=v.out)
            result: np.ndarray = v.out
            return result

        return call

    return prepare


def _torch_tropical(semiring: str) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        add, better = load("torch").add, getattr(load("torch"), _TROPICAL[semiring][0].__name__)
        a, b, out = tensor(v.a), tensor(v.b), tensor(v.out)
        sums = out.clone()

        def call() -> np.ndarray:
            add(a[:, :1], b[:1], out=out)
            for k in range(1, v.a.shape[1]):
                add(a[:, k, None], b[k], out=sums)
                better(out, sums, out=out)
            result: np.ndarray = v.out
            return result

        return call

    return prepare


def _jax_tropical(semiring: str) -> Prepare:
    """One expression, which XLA fuses into a reduction without its temporary of n**3."""

    def prepare(v: SimpleNamespace) -> Call:
        jnp = load("jax").numpy
        best = jnp.min if semiring == "min_plus" else jnp.max
        f = blocking(lambda a, b: best(a[:, :, None] + b, axis=1))
        a, b = jnp.asarray(v.a), jnp.asarray(v.b)
        return lambda: f(a, b)

    return prepare


def _numba(function: Callable[..., None]) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = loops.compiled(function)

        def call() -> np.ndarray:
            f(v.a, v.b, v.out)
            result: np.ndarray = v.out
            return result

        return call

    return prepare


def _tropical_case(semiring: str, n: int) -> Case:
    better = _TROPICAL[semiring][1]
    return Case(
        name=f"{semiring} f32 {n}",
        group=GROUP,
        make=lambda: stack((n, n), "float32"),
        ours=ours(semiring=semiring),
        peers={
            "numpy": _numpy_tropical(semiring),
            "numba": _numba(loops.tropical(better)),
            "numba:blocked": _numba(loops.tropical_blocked(better)),
            "torch": _torch_tropical(semiring),
            "jax": _jax_tropical(semiring),
        },
        limit="min_plus",
        amount=2 * n**3,
        bar="limit >= 0.92; best >= 1x",
        check=equal,  # one sum is rounded, and its neighbours do not matter
    )


def _numpy_by_float(v: SimpleNamespace) -> Call:
    """Count in float32 and ask for more than none."""

    def call() -> np.ndarray:
        counts = np.matmul(v.a.astype(np.float32), v.b.astype(np.float32))
        return np.greater(counts, 0, out=v.out)

    return call


def _bool_case(n: int) -> Case:
    return Case(
        name=f"or_and bool {n}",
        group=GROUP,
        make=lambda: stack((n, n), "bool"),
        ours=ours(semiring="or_and"),
        peers={
            "numpy": numpy,
            "numpy:float32": _numpy_by_float,
            "numba": _numba(loops.or_and),
        },
        bar="numpy >= 20x",
        check=equal,
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    tropical = [_tropical_case(semiring, n) for semiring in _TROPICAL for n in (512, 1024)]
    return [*tropical, _bool_case(1024)]
