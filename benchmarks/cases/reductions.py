"""Reductions of 64 MB over every kind of axis and layout."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import environment
from ..libraries import blocking, load, tensor
from ..model import Call, Case, Prepare, close
from ..probe import touched
from . import loops
from .data import MATRIX, touched_bytes, uniform

GROUP = "reductions"
CUBE = (128, 256, 512)
#: Every other row of it touches as many bytes as the other arrays have.
HALVED = (8192, 4096)
Axis = int | tuple[int, ...] | None
BYTES = 64 << 20


@dataclass(frozen=True)
class Operation:
    """One reduction: what it is called elsewhere (None: nowhere), its bar and its check."""

    bottleneck: str | None
    torch: str | None
    numexpr: str | None = None
    bar: float = 0.75
    rtol: float = 2e-5
    numba: bool = False


#: float32 sums of positive numbers; NumPy's own over axis 0 are off by some 1e-6.
OPERATIONS = {
    "sum": Operation("nansum", "sum", "sum", 0.85, 1e-5, numba=True),
    "mean": Operation("nanmean", "mean", None, 0.85, 1e-5, numba=True),
    "min": Operation("nanmin", "amin", "min", 0.85, 0.0, numba=True),
    "max": Operation("nanmax", "amax", "max", 0.85, 0.0, numba=True),
    "var": Operation("nanvar", "var", numba=True),
    "std": Operation("nanstd", "std"),
    "any": Operation(None, "any", bar=0.85, rtol=0.0),
    "argmin": Operation(None, "argmin", rtol=0.0),
    "nansum": Operation("nansum", "nansum"),
    "nanmean": Operation("nanmean", "nanmean"),
    "nanvar": Operation("nanvar", None),
    "nanmin": Operation("nanmin", None, rtol=0.0),
    "nanargmax": Operation("nanargmax", None, rtol=0.0),
}

#: float32 on every layout; the others, and the other dtypes, on one of each kind.
BASIC = ("sum", "mean", "min", "max", "var")
OF_DTYPE = {
    "float32": tuple(name for name in OPERATIONS if name not in BASIC),
    "float64": ("sum", "min", "any", "var", "argmin", "nanmean", "nanvar", "nanargmax"),
    "float16": ("sum", "min", "any", "var", "argmin", "nanmean", "nanvar", "nanargmax"),
    "int8": ("sum", "mean", "min", "any", "var", "argmin"),
}
KINDS: tuple[tuple[str, Axis], ...] = (("2-D C", 0), ("2-D C", 1), ("2-D F", None), ("3-D C", 1))

#: Layout: how to make it, and the axes to reduce.
LAYOUTS: dict[str, tuple[Callable[[], np.ndarray], tuple[Axis, ...]]] = {
    "2-D C": (lambda: uniform(MATRIX), (0, 1, None)),
    "2-D F": (lambda: uniform(MATRIX, order="F"), (0, 1, None)),
    "3-D C": (lambda: uniform(CUBE), (0, 1, (0, 2), None)),
    "3-D F": (lambda: uniform(CUBE, order="F"), (0, 1, (0, 2), None)),
    "x[::2, ::3]": (lambda: uniform(HALVED)[::2, ::3], (0, 1, None)),
}


@functools.cache
def _bytes(layout: str) -> int:
    """Bytes of the cache lines that a layout touches."""
    if layout == "x[::2, ::3]":
        return touched_bytes(np.empty(HALVED, np.float32)[::2, ::3])
    return BYTES


def _make(operation: str, layout: str, axis: Axis, dtype: str) -> SimpleNamespace:
    x = LAYOUTS[layout][0]()
    if dtype != "float32":  # as many bytes: more or fewer of the first axis
        factor = 4 / np.dtype(dtype).itemsize
        shape = (int(x.shape[0] * factor), *x.shape[1:])
        wide = uniform(shape, order="F" if layout.endswith("F") else "C")
        if dtype == "float16" and operation.endswith("sum"):  # of all of them finite
            wide *= np.float32(2.0**-10)
        x = touched(shape, np.dtype(dtype), "F" if layout.endswith("F") else "C")
        np.copyto(x, wide * 200 - 100 if dtype == "int8" else wide, casting="unsafe")
    if operation == "any":
        x[...] = 0  # or the answer would be known after one element
    if operation.startswith("nan"):
        x.reshape(-1, order="A")[::17] = np.nan
    gone = _axes(axis, x.ndim)
    left = tuple(size for i, size in enumerate(x.shape) if i not in gone)
    result = getattr(np, operation)(x[(slice(0, 2),) * x.ndim])
    return SimpleNamespace(x=x, out=touched(left, result.dtype))


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return (axis,) if isinstance(axis, int) else axis


def _ours(operation: str, axis: Axis) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = getattr(load("ufuse"), operation)
        return lambda: f(v.x, axis=axis, out=v.out)

    return prepare


def _numpy(operation: str, axis: Axis) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = getattr(np, operation)
        return lambda: f(v.x, axis=axis, out=v.out)

    return prepare


def _bottleneck(operation: str, axis: Axis) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = getattr(load("bottleneck"), str(OPERATIONS[operation].bottleneck))
        return lambda: f(v.x, axis)

    return prepare


def _numexpr(operation: str, axis: Axis) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        evaluate, names = load("numexpr").evaluate, {"x": v.x}
        over = "" if axis is None else f", axis={axis}"
        text = f"{OPERATIONS[operation].numexpr}(x{over})"
        return lambda: evaluate(text, local_dict=names)

    return prepare


def _torch(operation: str, axis: Axis) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = getattr(load("torch"), str(OPERATIONS[operation].torch))
        x, out, dim = tensor(v.x), tensor(v.out), _axes(axis, v.x.ndim)
        if operation == "argmin":  # of one axis or of all
            over = None if axis is None else axis
            return lambda: f(x, dim=over, out=out)
        more = {"correction": 0} if operation in ("var", "std") else {}
        return lambda: f(x, dim=dim, out=out, **more)

    return prepare


def _jax(operation: str, axis: Axis, fortran: bool) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        jnp = load("jax").numpy
        f: Any = getattr(jnp, operation)
        # JAX arrays are C-ordered: the same memory and work is the transpose over mirrored axes.
        x, over = v.x, _axes(axis, v.x.ndim)
        if fortran:
            x, over = x.T, tuple(x.ndim - 1 - i for i in over)
        call, operand = blocking(lambda a: f(a, axis=over)), jnp.asarray(x)
        # The axes left run backwards then: undone by a view.
        return lambda: np.asarray(call(operand)).T if fortran else call(operand)

    return prepare


def _numba(operation: str, axis: Axis, fortran: bool) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        op = getattr(loops, operation.upper())
        x = v.x.T if fortran else v.x
        over = axis if axis is None or not fortran else 1 - int(axis)  # type: ignore[arg-type]
        rows, columns = loops.compiled(loops.reduce_rows), loops.compiled(loops.reduce_columns)
        combine = getattr(np, operation)
        partial = touched(x.shape[0], np.float32)
        blocks = 4 * environment.threads()

        def call() -> Any:
            if over == 0:
                columns(x, op, blocks, v.out)
                return v.out
            if over == 1:
                rows(x, op, v.out)
                return v.out
            rows(x, op, partial)
            return combine(partial)

        return call

    return prepare


def _expected(operation: str, axis: Axis) -> Callable[[SimpleNamespace], np.ndarray]:
    def expected(v: SimpleNamespace) -> np.ndarray:
        f = getattr(np, operation)
        if v.out.dtype.kind != "f" or operation.endswith(("min", "max")):
            return np.asarray(f(v.x, axis=axis))
        return np.asarray(f(v.x, axis=axis, dtype=np.float64))

    return expected


def _peers(operation: str, layout: str, axis: Axis, dtype: str) -> dict[str, Prepare]:
    row = OPERATIONS[operation]
    fortran = layout.endswith("F")
    arg = operation.endswith(("argmin", "argmax"))
    peers = {"numpy": _numpy(operation, axis)}
    if row.numexpr and not isinstance(axis, tuple) and dtype in ("float32", "float64"):
        peers["numexpr"] = _numexpr(operation, axis)
    # Rows of variances do not combine to one without their means.
    one = operation == "var" and axis is None
    if row.numba and dtype == "float32" and layout[0] != "3" and not one:
        peers["numba"] = _numba(operation, axis, fortran)
    if row.bottleneck and not isinstance(axis, tuple) and dtype in ("float32", "float64"):
        peers["bottleneck"] = _bottleneck(operation, axis)
    spread = operation in ("var", "std", "mean")
    if row.torch and not (dtype == "int8" and spread):
        peers["torch"] = _torch(operation, axis)
    if layout[1:] in ("-D C", "-D F") and not (fortran and arg):  # JAX has no strided views
        peers["jax"] = _jax(operation, axis, fortran)
    return peers


def _case(operation: str, layout: str, axis: Axis, dtype: str = "float32") -> Case:
    row = OPERATIONS[operation]
    kind = "" if dtype == "float32" else f"{dtype} "
    return Case(
        name=f"{operation} {kind}{layout} {'all' if axis is None else f'axis {axis}'}",
        group=GROUP,
        make=lambda: _make(operation, layout, axis, dtype),
        ours=_ours(operation, axis),
        peers=_peers(operation, layout, axis, dtype),
        limit="read",
        amount=_bytes(layout),
        bar=f"limit >= {row.bar}; family >= 0.7; best >= 1x",
        check=close(1e-3 if dtype == "float16" and row.rtol else row.rtol),
        expected=_expected(operation, axis),
        family=f"{operation} {kind}{layout}",
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    basic = [
        _case(operation, layout, axis)
        for operation in BASIC
        for layout, (_, axes) in LAYOUTS.items()
        for axis in axes
    ]
    others = [
        _case(operation, layout, axis, dtype)
        for dtype, operations in OF_DTYPE.items()
        for operation in operations
        for layout, axis in KINDS
    ]
    return basic + others
