"""Kernels of two operands that pack nothing: `pairs.choose_kernel` says which runs when."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..fusion.program import Program
from ..interop.lowprecision import narrowed
from . import reference
from .arithmetic import is_narrow, multiplier, stored
from .expressions import Finish
from .subscripts import arranged

if TYPE_CHECKING:
    from .pairs import Pair

Array = NDArray[Any]

_IN_CACHE = 256 << 10  # bytes of the result that a program works on at a time


class Elementwise:
    """Nothing is summed: one program over the result."""

    kind = "elementwise"

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def run(self, a: Array, b: Array, out: Array, finish: Finish | None = None) -> None:
        pair = self._pair
        left = arranged(a, pair.a, pair.out, pair.sizes)
        right = arranged(b, pair.b, pair.out, pair.sizes)
        if pair.conjugate:
            left = left.conj()
        row = pair.semiring
        if row is not None:
            out[...] = row.times(*(x.astype(pair.dtype, copy=False) for x in (left, right)))
        elif pair.dtype.kind == "b":
            np.logical_and(left, right, out=out)
        elif (program := multiplier(a.dtype, b.dtype, pair.dtype)) is not None:
            executors.run_program(program, (stored(left), stored(right)), (stored(out),))
        else:
            np.multiply(left, right, out=out, dtype=pair.dtype, casting="unsafe")


class Dots:
    """Sums of products of matching elements, in float64: every read is used once."""

    kind = "dots"

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def views(self, a: Array, b: Array) -> tuple[Array, Array]:
        """View both in one shape: axes of the result, then those that are summed over."""
        pair = self._pair
        wanted = (*pair.out, *pair.shared)
        shape = [pair.sizes[label] for label in wanted]
        left = np.broadcast_to(arranged(a, pair.a, wanted, pair.sizes), shape)
        return left, np.broadcast_to(arranged(b, pair.b, wanted, pair.sizes), shape)

    def run(self, a: Array, b: Array, out: Array, finish: Finish | None = None) -> None:
        pair = self._pair
        left, right = self.views(a, b)
        shape = left.shape
        axes = range(len(pair.out), len(shape))

        def summed(x: Array, y: Array) -> Array:
            sums = np.empty([1 if i in axes else n for i, n in enumerate(shape)])
            executors.of("ufuse.reduce").weighted_sum(x, y, axes, sums, None)
            return sums.reshape(out.shape)

        with np.errstate(all="ignore"):
            if out.dtype.kind == "c":
                out.real[...], out.imag[...] = _complex_sums(summed, left, right, pair.conjugate)
            else:
                sums = summed(left, right)
                out[...] = narrowed(sums, out.dtype) if is_narrow(out.dtype) else sums


def _complex_sums(
    summed: Callable[[Array, Array], Array], a: Array, b: Array, conjugate: bool
) -> tuple[Array, Array]:
    """Return the parts of a sum of complex products; one of the operands may be real."""
    if a.dtype.kind != "c":
        return summed(a, b.real), summed(a, b.imag)
    if b.dtype.kind != "c":
        imaginary = summed(a.imag, b)
        return summed(a.real, b), 0 - imaginary if conjugate else imaginary
    straight, crossed = summed(a.imag, b.imag), summed(a.imag, b.real)
    if conjugate:
        return summed(a.real, b.real) + straight, summed(a.real, b.imag) - crossed
    return summed(a.real, b.real) - straight, summed(a.real, b.imag) + crossed


class ByProgram:
    """A semiring without a kernel: one program per term, over a part of the result at a time."""

    kind = "program"

    def __init__(self, pair: Pair, program: Program) -> None:
        self._pair = pair
        self._program = program

    def run(self, a: Array, b: Array, out: Array, finish: Finish | None = None) -> None:
        pair = self._pair
        assert pair.semiring is not None
        wanted = (*pair.out, *pair.shared)
        left, right = (
            arranged(x.astype(out.dtype, copy=False), labels, wanted, pair.sizes)
            for x, labels in ((a, pair.a), (b, pair.b))
        )
        out[...] = pair.semiring.empty(out.dtype)
        terms = [range(pair.sizes[label]) for label in pair.shared]
        rows = max(1, _IN_CACHE * max(1, len(out) if out.ndim else 1) // max(1, out.nbytes))
        for first in range(0, out.shape[0], rows) if out.ndim else (0,):
            part = slice(first, first + rows) if out.ndim else ...
            sums = out[part]
            x, y = (v[part] if out.ndim and v.shape[0] != 1 else v for v in (left, right))
            for term in itertools.product(*terms):
                operands = (_term(v, out.ndim, term) for v in (x, y))
                executors.run_program(self._program, (sums, *operands), (sums,))


def _term(view: Array, axes: int, term: Sequence[int]) -> Array:
    """Return the part of a view at one place of the axes after the first ones, which broadcast."""
    places = [i if n != 1 else 0 for i, n in zip(term, view.shape[axes:], strict=True)]
    index: Any = (..., *places)
    part: Array = view[index]
    return part


class ByReference:
    """NumPy, for what the core has no kernel for."""

    kind = "reference"

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def run(self, a: Array, b: Array, out: Array, finish: Finish | None = None) -> None:
        pair = self._pair
        left = a.conj() if pair.conjugate else a
        reference.contract(
            left, pair.a, b, pair.b, out, pair.out, pair.sizes, pair.semiring
        )  # fmt: skip
