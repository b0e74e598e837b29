"""Order statistics of 64 MB: medians, quantiles with and without NaN, the largest elements."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, Prepare, Statement
from .data import MATRIX, normal, uniform

GROUP = "order statistics"
BYTES = 4 * MATRIX[0] * MATRIX[1]
DOUBLES = (MATRIX[0] // 2, MATRIX[1])
Axis = int | None


def _of(library: str, name: str, *arguments: Any, argument: str = "x", **keywords: Any) -> Prepare:
    """Prepare a function of the array `argument`."""

    def prepare(v: SimpleNamespace) -> Call:
        f = getattr(np if library == "numpy" else load(library), name, None)
        x = getattr(v, argument)
        if library == "torch":
            x = tensor(x)
        if library == "jax":
            f, x = getattr(load("jax").numpy, name), load("jax").numpy.asarray(x)
            g = blocking(lambda a: f(a, *arguments, **keywords))
            return lambda: g(x)
        return lambda: f(x, *arguments, **keywords)  # type: ignore[misc]

    return prepare


def _matrix(dtype: type[Any]) -> np.ndarray:
    if dtype is np.float32:
        return normal(MATRIX)
    return np.random.default_rng(0).standard_normal(DOUBLES)


def _where(axis: Axis) -> str:
    return "all" if axis is None else f"axis {axis}"


def _median(dtype: type[Any], axis: Axis) -> Case:
    return Case(
        name=f"median {np.dtype(dtype).name} {_where(axis)}",
        group=GROUP,
        make=lambda: SimpleNamespace(x=_matrix(dtype)),
        ours=_of("ufuse", "median", axis),
        peers={
            "numpy": _of("numpy", "median", axis),
            "bottleneck": _of("bottleneck", "median", axis),
            "torch": _of("torch", "median", *(() if axis is None else (axis,))),
            "jax": _of("jax", "median", axis),
        },
        limit="read",
        amount=BYTES,
        bar="best >= 2x",
        unchecked=frozenset({"torch"}),  # the lower of the two in the middle
    )


def _quantile(dtype: type[Any], axis: Axis) -> Case:
    return Case(
        name=f"quantile 0.3 {np.dtype(dtype).name} {_where(axis)}",
        group=GROUP,
        make=lambda: SimpleNamespace(x=_matrix(dtype)),
        ours=_of("ufuse", "quantile", 0.3, axis),
        peers={
            "numpy": _of("numpy", "quantile", 0.3, axis),
            "jax": _of("jax", "quantile", 0.3, axis),
        },
        limit="read",
        amount=BYTES,
        bar="best >= 2x",
        # jax blends by other formulas.
        unchecked=frozenset({"jax"}),
    )


def _without_nan(axis: Axis) -> Case:
    """numpy#16575, bottleneck#433: nanquantile 70 times slower than quantile."""

    def make() -> SimpleNamespace:
        x = normal(MATRIX)
        holes = uniform(MATRIX) < 0.1
        return SimpleNamespace(x=np.where(holes, np.float32(np.nan), x), clean=x)

    return Case(
        name=f"nanquantile 0.5, a tenth NaN, {_where(axis)}",
        group=GROUP,
        make=make,
        ours=_of("ufuse", "nanquantile", 0.5, axis),
        peers={
            "numpy": _of("numpy", "nanquantile", 0.5, axis),
            "bottleneck": _of("bottleneck", "nanmedian", axis),
            "jax": _of("jax", "nanquantile", 0.5, axis),
            "ufuse:quantile": _of("ufuse", "quantile", 0.5, axis, argument="clean"),
        },
        limit="read",
        amount=BYTES,
        bar="ufuse:quantile >= 0.77x; numpy,bottleneck,jax >= 2x",
        unchecked=frozenset({"bottleneck", "jax", "ufuse:quantile"}),  # means are not lerps
    )


def _top(k: int, axis: int) -> Case:
    def theirs(v: SimpleNamespace) -> Call:
        def call() -> np.ndarray:
            at = np.argpartition(-v.x, k - 1, axis=axis).take(np.arange(k), axis=axis)
            return -np.sort(-np.take_along_axis(v.x, at, axis=axis), axis=axis)

        return call

    def torch(v: SimpleNamespace) -> Call:
        x, f = tensor(v.x), load("torch").topk
        return lambda: f(x, k, axis).values

    def ours(v: SimpleNamespace) -> Call:
        f = load("ufuse").topk
        return lambda: f(v.x, k, axis).values

    return Case(
        name=f"topk {k}, axis {axis}",
        group=GROUP,
        make=lambda: SimpleNamespace(x=normal(MATRIX)),
        ours=ours,
        peers={"numpy": theirs, "torch": torch},
        limit="read",
        amount=BYTES,
        bar="best >= 2x",
    )


def _small(name: str, arguments: str = "") -> Case:
    def of(library: Any, function: str, code: str = f"f(x{arguments})") -> Prepare:
        def prepare(v: SimpleNamespace) -> Call:
            f = getattr(np if library == "numpy" else load(library), function)
            return Statement(code, {"f": f, "x": v.x})

        return prepare

    peers: dict[str, Callable[[SimpleNamespace], Call]] = {"numpy": of("numpy", name)}
    if not arguments:
        peers["bottleneck"] = of("bottleneck", name)
    return Case(
        name=f"{name} of 100 float64",
        group=GROUP,
        make=lambda: SimpleNamespace(x=np.random.default_rng(0).standard_normal(100)),
        ours=of("ufuse", name),
        peers=peers,
        bar="time <= 3 us; numpy >= 5x",
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    axes: tuple[Axis, ...] = (0, 1, None)
    return [
        *(_median(dtype, axis) for dtype in (np.float32, np.float64) for axis in axes),
        *(_quantile(dtype, axis) for dtype in (np.float32, np.float64) for axis in axes),
        *(_without_nan(axis) for axis in axes),
        *(_top(10, axis) for axis in (0, 1)),
        _small("median"),
        _small("quantile", ", 0.3"),
    ]
