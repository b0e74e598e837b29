"""Beyond one reducer of one array: several at once, masks, views, sums of exponentials."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, Prepare, Statement, close
from ..probe import touched
from .data import MATRIX, normal, uniform

GROUP = "statistics"
FOUR = ("mean", "std", "min", "max")
BYTES = 4 * MATRIX[0] * MATRIX[1]


def _call(library: str, name: str, *arguments: str, **keywords: Any) -> Prepare:
    """Prepare a function of a library on inputs of those names."""

    def prepare(v: SimpleNamespace) -> Call:
        f = np if library == "numpy" else load(library)
        for part in name.split("."):
            f = getattr(f, part)
        given = [getattr(v, argument) for argument in arguments]
        if library == "torch":
            given = [tensor(x) for x in given]
        if library == "jax":
            given = [load("jax").numpy.asarray(x) for x in given]
            g = blocking(lambda *xs: f(*xs, **keywords))
            return lambda: g(*given)
        return lambda: f(
            *given, **{k: getattr(v, k) if k == "out" else w for k, w in keywords.items()}
        )

    return prepare


# ---- several at once --------------------------------------------------------------------------


def _four(axis: int | None) -> Case:
    def ours(v: SimpleNamespace) -> Call:
        reduce = load("ufuse").reduce
        return lambda: np.stack([np.asarray(s, np.float32) for s in reduce(v.x, FOUR, axis)])

    def theirs(v: SimpleNamespace) -> Call:
        return lambda: np.stack([getattr(np, name)(v.x, axis) for name in FOUR])

    return Case(
        name=f"mean, std, min, max at once, {'all' if axis is None else f'axis {axis}'}",
        group=GROUP,
        make=lambda: SimpleNamespace(x=uniform(MATRIX)),
        ours=ours,
        peers={"numpy": theirs, "ufuse:sum": _call("ufuse", "sum", "x", axis=axis)},
        limit="read",
        amount=BYTES,
        bar="ufuse:sum >= 0.77x",
        check=close(1e-4),
        unchecked=frozenset({"ufuse:sum"}),
        expected=lambda v: np.stack([getattr(np, n)(v.x.astype(np.float64), axis) for n in FOUR]),
    )


# ---- where= -----------------------------------------------------------------------------------


def _masked(name: str, axis: int) -> Case:
    def make() -> SimpleNamespace:
        x = uniform(MATRIX)
        return SimpleNamespace(x=x, mask=np.random.default_rng(1).random(MATRIX, np.float32) < 0.5)

    def of(library: Any) -> Prepare:
        def prepare(v: SimpleNamespace) -> Call:
            f = getattr(np if library == "numpy" else load(library), name)
            return lambda: f(v.x, axis, where=v.mask)

        return prepare

    return Case(
        name=f"{name} where=, axis {axis}",
        group=GROUP,
        make=make,
        ours=of("ufuse"),
        peers={"numpy": of("numpy"), "ufuse:all": _call("ufuse", name, "x", axis=axis)},
        limit="read",
        amount=BYTES * 5 // 4,  # the mask's bytes too
        bar="ufuse:all >= 0.67x; numpy >= 1x",
        check=close(1e-4),
        unchecked=frozenset({"ufuse:all"}),
    )


# ---- views ------------------------------------------------------------------------------------


def _unaligned() -> np.ndarray:
    data = touched(BYTES + 64, np.uint8)
    x = data[3 : 3 + BYTES].view(np.float32).reshape(MATRIX)
    x[...] = uniform(MATRIX)
    return x


#: What to reduce, and its bytes in memory.
VIEWS: dict[str, Callable[[], np.ndarray]] = {
    "x[::-1, ::-1]": lambda: uniform(MATRIX)[::-1, ::-1],
    "unaligned": _unaligned,
    "broadcast rows": lambda: np.broadcast_to(uniform((8, 1, 1 << 21)), (8, 4, 1 << 21)),
    "broadcast columns": lambda: np.broadcast_to(uniform((1 << 24, 1)), (1 << 24, 4)),
}


def _view(name: str, view: str, axis: int) -> Case:
    written = {("broadcast rows", 0): 4, ("broadcast rows", 1): 8, ("broadcast columns", 1): 8}
    out = written.get((view, axis), 0) << 23  # bytes; of the others next to nothing

    def make() -> SimpleNamespace:
        x = VIEWS[view]()
        left = tuple(n for i, n in enumerate(x.shape) if i != axis)
        return SimpleNamespace(x=x, out=touched(left, np.float32))

    return Case(
        name=f"{name} {view} axis {axis}",
        group=GROUP,
        make=make,
        ours=_call("ufuse", name, "x", axis=axis, out=None),
        peers={
            "numpy": _call("numpy", name, "x", axis=axis, out=None),
            "bottleneck": _call("bottleneck", f"nan{name}", "x", axis=axis),
        },
        limit="copy" if out else "read",
        amount=BYTES + out,
        bar="limit >= 0.8",
        check=close(1e-5),
        expected=lambda v: (
            getattr(np, name)(v.x, axis=axis, dtype=np.float64)
            if name == "sum"
            else getattr(np, name)(v.x, axis=axis)
        ),
    )


# ---- short axes -------------------------------------------------------------------------------


def _short(name: str, shape: tuple[int, ...], axis: Any, bar: str) -> Case:
    keywords: dict[str, Any] = {"axis": axis}

    def make() -> SimpleNamespace:
        x = uniform(shape)
        return SimpleNamespace(x=x, out=touched(getattr(np, name)(x, axis).shape, np.float32))

    return Case(
        name=f"{name} of {shape} over {axis}",
        group=GROUP,
        make=make,
        ours=_call("ufuse", name, "x", **keywords, out=None),
        peers={
            "numpy": _call("numpy", name, "x", **keywords, out=None),
            "torch": _call("torch", name, "x", dim=axis),
            "jax": _call("jax", f"numpy.{name}", "x", **keywords),
        },
        limit="read",
        amount=4 * int(np.prod(shape)),
        bar=bar,
        check=close(1e-5),
        expected=lambda v: np.asarray(getattr(np, name)(v.x, dtype=np.float64, **keywords)),
    )


# ---- sums of exponentials ---------------------------------------------------------------------


def _exponential(name: str, axis: int, into: bool) -> Case:
    whole = name != "logsumexp"

    def make() -> SimpleNamespace:
        left = MATRIX if whole else (MATRIX[1 - axis],)
        return SimpleNamespace(x=normal(MATRIX), out=touched(left, np.float32))

    def numpy(v: SimpleNamespace) -> Call:
        def call() -> np.ndarray:
            largest = v.x.max(axis, keepdims=True)
            powers = np.exp(v.x - largest)
            total = powers.sum(axis, keepdims=True)
            if name == "softmax":
                return np.asarray(powers / total)
            log = np.log(total)
            return np.asarray(v.x - largest - log if whole else (largest + log).squeeze(axis))

        return call

    out: dict[str, Any] = {"out": None} if into else {}
    return Case(
        name=f"{name} axis {axis}{', out=' if into else ''}",
        group=GROUP,
        make=make,
        ours=_call("ufuse", name, "x", axis=axis, **out),
        peers={
            "numpy": numpy,
            "torch": _call("torch", name, "x", dim=axis, **({"out": None} if into else {})),
            "jax": _call("jax", f"nn.{name}", "x", axis=axis),
        },
        limit="copy" if whole else "read",
        amount=BYTES * (2 if whole else 1),
        bar="limit >= 0.67" if into or not whole else "torch,jax,numpy >= 3x",
        check=close(1e-5, 1e-6),
    )


# ---- 100 elements -----------------------------------------------------------------------------


def _hundred(name: str, peer: str | None = None) -> Case:
    def of(library: str) -> Prepare:
        def prepare(v: SimpleNamespace) -> Call:
            module = np if library == "numpy" else load(library)
            return Statement("f(x)", {"f": getattr(module, name), "x": v.x})

        return prepare

    peers = {"numpy": of("numpy")}
    if peer:
        peers["bottleneck"] = of("bottleneck")
    return Case(
        name=f"{name}, 100 elements",
        group=GROUP,
        make=lambda: SimpleNamespace(x=normal(100)),
        ours=of("ufuse"),
        peers=peers,
        bar="time <= 0.6 us",
        check=close(1e-5, 1e-5),
    )


_PLAIN = (
    "mean",
    "min",
    "max",
    "var",
    "std",
    "argmin",
    "argmax",
    "any",
    "all",
    "ptp",
    "count_nonzero",
)
_NAN = ("nansum", "nanmean", "nanvar", "nanstd", "nanmin", "nanmax", "nanargmin", "nanargmax")


def cases() -> list[Case]:
    """Return the cases of this group."""
    return [
        *(_four(axis) for axis in (0, 1, None)),
        *(_masked(name, axis) for name in ("sum", "var") for axis in (0, 1)),
        *(_view(name, view, axis) for view in VIEWS for name in ("sum", "max") for axis in (0, 1)),
        _short("sum", (1 << 22, 3), 1, "limit >= 0.6"),
        _short("mean", (1 << 22, 3), 1, "limit >= 0.6"),
        _short("mean", (1000, 1000, 3), (0, 1), "limit >= 0.6"),
        *(
            _exponential(name, axis, into)
            for name in ("logsumexp", "softmax", "log_softmax")
            for axis in (1, 0)
            for into in ((False, True) if name != "logsumexp" else (False,))
        ),
        *(_hundred(name) for name in _PLAIN),
        *(_hundred(name, "bottleneck") for name in _NAN),
    ]
