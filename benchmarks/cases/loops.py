"""Plain loops for numba, as its documentation would have a user write them.

The functions are ordinary Python until `compiled` is asked for one, so that this module imports
without numba.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..libraries import load

prange = range

#: An array, a number, as numba sees them.
A = np.ndarray
F = np.float32

SUM, MEAN, MIN, MAX, VAR = range(5)


@functools.cache
def compiled(function: Callable[..., Any], parallel: bool = True) -> Callable[..., Any]:
    """Return a function of this module as machine code, without fast-math.

    Parallel code is cached on disk, where numba does not tell it from serial code.
    """
    numba = load("numba")
    globals()["prange"] = numba.prange
    return numba.njit(parallel=parallel, fastmath=False, cache=parallel)(function)  # type: ignore[no-any-return]


def compiled_in(module: dict[str, Any], name: str) -> Callable[..., Any]:
    """Return a function of another module of loops as machine code."""
    module["prange"] = load("numba").prange
    return compiled(module[name])


def axpby(a: F, b: F, x: A, y: A, out: A) -> None:
    """Compute ``a * x + b * y``."""
    for i in prange(x.size):
        out[i] = a * x[i] + b * y[i]


def axpby_new(a: F, b: F, x: A, y: A) -> A:
    """Compute ``a * x + b * y`` into a new array."""
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = a * x[i] + b * y[i]
    return out


def axpby_list(a: F, b: F, xs: list[A], ys: list[A], outs: list[A]) -> None:
    """Compute ``a * x + b * y`` of each pair."""
    for n in range(len(xs)):
        x, y, out = xs[n], ys[n], outs[n]
        for i in range(x.size):
            out[i] = a * x[i] + b * y[i]


def total(x: A) -> F:
    """Compute the sum of a vector."""
    acc = np.float32(0)
    for i in range(x.size):
        acc += x[i]
    return acc


def gelu(x: A, half: F, c: F, k: F, one: F, out: A) -> None:
    """GELU, tanh form; constants as arguments, or they would be float64."""
    for i in prange(x.size):
        v = x[i]
        out[i] = half * v * (one + np.tanh(c * (v + k * v * v * v)))


def quantize(x: A, scale: A, zero: A, low: F, high: F, out: A) -> None:
    """Codes of a matrix; `scale` and `zero` broadcast to it in two dimensions."""
    for i in prange(x.shape[0]):
        if scale.shape[1] == 1:
            s, z = scale[i % scale.shape[0], 0], zero[i % zero.shape[0], 0]
            for j in range(x.shape[1]):
                out[i, j] = min(max(np.rint(x[i, j] / s) + z, low), high)
        else:
            for j in range(x.shape[1]):
                out[i, j] = min(max(np.rint(x[i, j] / scale[0, j]) + zero[0, j], low), high)


def dequantize(q: A, scale: A, zero: A, out: A) -> None:
    """Values of a matrix of codes."""
    for i in prange(q.shape[0]):
        if scale.shape[1] == 1:
            s, z = scale[i % scale.shape[0], 0], zero[i % zero.shape[0], 0]
            for j in range(q.shape[1]):
                out[i, j] = (np.float32(q[i, j]) - z) * s
        else:
            for j in range(q.shape[1]):
                out[i, j] = (np.float32(q[i, j]) - zero[0, j]) * scale[0, j]


def fake_quantize(x: A, scale: A, zero: A, low: F, high: F, out: A) -> None:
    """`dequantize` of `quantize`."""
    for i in prange(x.shape[0]):
        if scale.shape[1] == 1:
            s, z = scale[i % scale.shape[0], 0], zero[i % zero.shape[0], 0]
            for j in range(x.shape[1]):
                out[i, j] = (min(max(np.rint(x[i, j] / s) + z, low), high) - z) * s
        else:
            for j in range(x.shape[1]):
                s, z = scale[0, j], zero[0, j]
                out[i, j] = (min(max(np.rint(x[i, j] / s) + z, low), high) - z) * s


def reduce_rows(x: A, op: int, out: A) -> None:
    """Reduce the last axis of a matrix whose rows are contiguous."""
    n = np.float32(x.shape[1])
    for i in prange(x.shape[0]):
        acc = x[i, 0]
        if op == MIN:
            for j in range(1, x.shape[1]):
                acc = min(acc, x[i, j])
        elif op == MAX:
            for j in range(1, x.shape[1]):
                acc = max(acc, x[i, j])
        else:
            for j in range(1, x.shape[1]):
                acc += x[i, j]
            if op != SUM:
                acc /= n
        if op == VAR:
            mean = acc
            acc -= mean
            for j in range(x.shape[1]):
                acc += (x[i, j] - mean) * (x[i, j] - mean)
            acc /= n
        out[i] = acc


def reduce_columns(x: A, op: int, blocks: int, out: A) -> None:
    """Reduce the first axis of a matrix whose rows are contiguous, by blocks of columns."""
    n = np.float32(x.shape[0])
    width = (x.shape[1] + blocks - 1) // blocks
    for b in prange(blocks):
        begin, end = b * width, min(x.shape[1], (b + 1) * width)
        total = out[begin:end]
        total[:] = x[0, begin:end]
        for i in range(1, x.shape[0]):
            row = x[i, begin:end]
            if op == MIN:
                for j in range(row.size):
                    total[j] = min(total[j], row[j])
            elif op == MAX:
                for j in range(row.size):
                    total[j] = max(total[j], row[j])
            else:
                for j in range(row.size):
                    total[j] += row[j]
        if op in (MEAN, VAR):
            for j in range(total.size):
                total[j] /= n
        if op == VAR:
            mean = total.copy()
            total[:] = np.float32(0)
            for i in range(x.shape[0]):
                row = x[i, begin:end]
                for j in range(row.size):
                    total[j] += (row[j] - mean[j]) * (row[j] - mean[j])
            for j in range(total.size):
                total[j] /= n


def product(a: A, b: A, out: A) -> None:
    """Matrix product, rows of b times numbers of a."""
    for i in prange(a.shape[0]):
        out[i, :] = 0
        for k in range(a.shape[1]):
            x = a[i, k]
            for j in range(b.shape[1]):
                out[i, j] += x * b[k, j]


def products(a: A, b: A, out: A) -> None:
    """Stack of matrix products."""
    for t in prange(a.shape[0]):
        for i in range(a.shape[1]):
            out[t, i, :] = 0
            for k in range(a.shape[2]):
                x = a[t, i, k]
                for j in range(b.shape[2]):
                    out[t, i, j] += x * b[t, k, j]


def or_and(a: A, b: A, out: A) -> None:
    """Product of bools: a row of a that is false is passed over."""
    for i in prange(a.shape[0]):
        out[i, :] = False
        for k in range(a.shape[1]):
            if a[i, k]:
                for j in range(b.shape[1]):
                    out[i, j] |= b[k, j]


def correlate(x: A, w: A, out: A) -> None:
    """Correlate an image with a window, where the window lies inside."""
    for i in prange(out.shape[0]):
        out[i, :] = 0
        for p in range(w.shape[0]):
            for q in range(w.shape[1]):
                weight = w[p, q]
                for j in range(out.shape[1]):
                    out[i, j] += weight * x[i + p, j + q]


def tropical(better: Callable[..., Any]) -> Callable[..., None]:
    """Return the loops of a min-plus (or max-plus) product for `min` (or `max`)."""

    def plain(a: A, b: A, out: A) -> None:
        for i in prange(a.shape[0]):
            row = out[i]
            for j in range(b.shape[1]):
                row[j] = a[i, 0] + b[0, j]
            for k in range(1, a.shape[1]):
                x = a[i, k]
                for j in range(b.shape[1]):
                    row[j] = better(row[j], x + b[k, j])

    return plain


def tropical_blocked(better: Callable[..., Any]) -> Callable[..., None]:
    """Return `tropical` with four rows of the result and two of b to a pass, for such multiples.

    512 on one thread of a Xeon: 62 GOP/s instead of 28; two rows by four 54, four by four 67.
    """

    def blocked(a: A, b: A, out: A) -> None:
        for t in prange(a.shape[0] // 4):
            i = 4 * t
            w, x, y, z = out[i], out[i + 1], out[i + 2], out[i + 3]
            for j in range(b.shape[1]):
                w[j], x[j] = a[i, 0] + b[0, j], a[i + 1, 0] + b[0, j]
                y[j], z[j] = a[i + 2, 0] + b[0, j], a[i + 3, 0] + b[0, j]
            for k in range(0, a.shape[1], 2):
                w0, x0, y0, z0 = a[i, k], a[i + 1, k], a[i + 2, k], a[i + 3, k]
                w1, x1, y1, z1 = a[i, k + 1], a[i + 1, k + 1], a[i + 2, k + 1], a[i + 3, k + 1]
                for j in range(b.shape[1]):
                    p, q = b[k, j], b[k + 1, j]
                    w[j] = better(w[j], better(w0 + p, w1 + q))
                    x[j] = better(x[j], better(x0 + p, x1 + q))
                    y[j] = better(y[j], better(y0 + p, y1 + q))
                    z[j] = better(z[j], better(z0 + p, z1 + q))

    return blocked
