"""Reductions of 64 MB of float32 over every kind of axis and layout."""

from __future__ import annotations

import functools
from collections.abc import Callable
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

#: Operation: what it is called elsewhere (bottleneck, torch, numexpr or None), the bar, the check.
#: float32 sums of positive numbers; NumPy's own over axis 0 are off by some 1e-6.
OPERATIONS: dict[str, tuple[str, str, str | None, float, float]] = {
    "sum": ("nansum", "sum", "sum", 0.8, 1e-5),
    "mean": ("nanmean", "mean", None, 0.8, 1e-5),
    "min": ("nanmin", "amin", "min", 0.8, 0.0),
    "max": ("nanmax", "amax", "max", 0.8, 0.0),
    "var": ("nanvar", "var", None, 0.7, 2e-5),
}

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
    return 4 * int(np.prod(CUBE if layout.startswith("3-D") else MATRIX))


def _make(layout: str, axis: Axis) -> SimpleNamespace:
    x = LAYOUTS[layout][0]()
    gone = _axes(axis, x.ndim)
    left = tuple(size for i, size in enumerate(x.shape) if i not in gone)
    return SimpleNamespace(x=x, out=touched(left, np.float32))


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
        f = getattr(load("bottleneck"), OPERATIONS[operation][0])
        return lambda: f(v.x, axis)

    return prepare


def _numexpr(operation: str, axis: Axis) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        evaluate, names = load("numexpr").evaluate, {"x": v.x}
        over = "" if axis is None else f", axis={axis}"
        text = f"{OPERATIONS[operation][2]}(x{over})"
        return lambda: evaluate(text, local_dict=names)

    return prepare


def _torch(operation: str, axis: Axis) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = getattr(load("torch"), OPERATIONS[operation][1])
        x, out, dim = tensor(v.x), tensor(v.out), _axes(axis, v.x.ndim)
        more = {"correction": 0} if operation == "var" else {}
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
        if operation in ("min", "max"):
            return np.asarray(f(v.x, axis=axis))
        return np.asarray(f(v.x, axis=axis, dtype=np.float64))

    return expected


def _case(operation: str, layout: str, axis: Axis) -> Case:
    _, _, in_numexpr, bar, rtol = OPERATIONS[operation]
    fortran = layout.endswith("F")
    peers = {"numpy": _numpy(operation, axis)}
    if in_numexpr and not isinstance(axis, tuple):
        peers["numexpr"] = _numexpr(operation, axis)
    # Rows of variances do not combine to one without their means.
    if layout[0] != "3" and not (operation == "var" and axis is None):
        peers["numba"] = _numba(operation, axis, fortran)
    if not isinstance(axis, tuple):
        peers["bottleneck"] = _bottleneck(operation, axis)
    peers["torch"] = _torch(operation, axis)
    if layout[1:] in ("-D C", "-D F"):  # JAX has no strided views
        peers["jax"] = _jax(operation, axis, fortran)
    return Case(
        name=f"{operation} {layout} {'all' if axis is None else f'axis {axis}'}",
        group=GROUP,
        make=lambda: _make(layout, axis),
        ours=_ours(operation, axis),
        peers=peers,
        limit="read",
        amount=_bytes(layout),
        bar=f"limit >= {bar}; family >= 0.7",
        check=close(rtol),
        expected=_expected(operation, axis),
        family=f"{operation} {layout}",
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    return [
        _case(operation, layout, axis)
        for operation in OPERATIONS
        for layout, (_, axes) in LAYOUTS.items()
        for axis in axes
    ]
