"""Contractions of two operands: which kernel each goes to, prepared once and run many times."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..catalogue.semirings import Semiring
from ..fusion.program import Program
from ..interop.lowprecision import narrowed
from . import reference
from .arithmetic import (
    Arithmetic,
    DType,
    choose,
    exact_terms,
    is_narrow,
    multiplier,
    same_bits,
    stored,
    term_program,
)
from .subscripts import Label, Labels, Sizes, arranged, steps

Array = NDArray[Any]

_FEW_RESULTS, _MANY_TERMS = 4, 64  # of an item of a batch
_IN_CACHE = 256 << 10  # bytes of the result that a program works on at a time


@dataclass(frozen=True)
class Pair:
    """Two operands by labels, and the result's.

    Attributes
    ----------
    a, b, out : tuple
        Labels. Those of `a` and `b` may repeat (a diagonal); those of `out` do not.
    sizes : dict
        Of these labels.
    dtype : dtype
        Of the result, in which products are summed, or wider.
    semiring : Semiring or None
        None for sums of products.
    exact : bool
        Whether int32 sums are wanted for their own sake, so that they must not wrap.
    conjugate : bool
        Whether complex `a` is conjugated.
    """

    a: Labels
    b: Labels
    out: Labels
    sizes: Sizes
    dtype: DType
    semiring: Semiring | None = None
    exact: bool = False
    conjugate: bool = False

    @property
    def shared(self) -> tuple[Label, ...]:
        """Labels that are summed over, in the order of the operands: it decides the bits."""
        return tuple(x for x in dict.fromkeys((*self.a, *self.b)) if x not in self.out)


@dataclass(frozen=True, eq=False)
class Finish:
    """What is done to sums before they are stored.

    Attributes
    ----------
    program : Program
        Its first input is a sum, and each other an array's element.
    arrays : tuple of ndarray
        As programs read them; they broadcast to the result.
    """

    program: Program
    arrays: tuple[Array, ...]

    def key(self) -> Any:
        """Return what a kernel that is prepared for it depends on."""
        return (self.program, tuple((x.shape, x.strides) for x in self.arrays))

    def apply(self, sums: Array, out: Array) -> None:
        """Do it in a pass of its own."""
        executors.run_program(self.program, (sums, *self.arrays), (out,))


class Prepared(Protocol):
    """A pair on arrays of given shapes, strides and dtypes."""

    kind: str

    def run(self, a: Array, b: Array, out: Array, finish: Finish | None = None) -> None:
        """Write the contraction of `a` and `b` into `out`, which overlaps neither."""


class Product:
    """The packed product of the core."""

    kind = "product"

    def __init__(
        self,
        pair: Pair,
        arithmetic: Arithmetic,
        a: Array,
        b: Array,
        out: Array,
        finish: Finish | None = None,
    ) -> None:
        # The core has uint8 by int8, and not the other way round.
        self.swapped = arithmetic.code == "u1i1" and a.dtype == np.int8
        if self.swapped:
            a, b, pair = b, a, replace(pair, a=pair.b, b=pair.a)
        # The conjugate of a product with a real operand is that of the result.
        self.conjugates = pair.conjugate and b.dtype.kind != "c"
        self.fuses = (
            finish is not None
            and same_bits(arithmetic.sums, pair.dtype)
            and executors.native.can_run(finish.program)
        )
        extras = finish.arrays if self.fuses and finish is not None else ()
        batch, rows, cols, shared = _sorted_labels(pair, a, b, out, extras)
        self.arithmetic = arithmetic
        programs = (
            arithmetic.prologue(0, a.dtype),
            arithmetic.prologue(1, b.dtype),
            finish.program if self.fuses and finish is not None else arithmetic.finish,
        )
        # The core keeps their addresses.
        self._kept = [None if p is None else executors.native.compiled(p) for p in programs]
        prologue_a, prologue_b, stored = (0 if p is None else p.address for p in self._kept)
        wraps = not pair.exact or pair.dtype.itemsize == 1  # 8 bits wrap, asked for or not
        self.core = executors.native.contraction(
            arithmetic.code, batch, rows, cols, shared,
            real_a=a.dtype.kind != "c", real_b=b.dtype.kind != "c",
            conjugate_a=pair.conjugate and not self.conjugates, wraps=wraps,
            prologue_a=prologue_a, prologue_b=prologue_b, finish=stored, extras=len(extras),
        )  # fmt: skip

    def run(self, a: Array, b: Array, out: Array, finish: Finish | None = None) -> None:
        if self.swapped:
            a, b = b, a
        extras = finish.arrays if self.fuses and finish is not None else ()
        self.core.run([x.__array_interface__["data"][0] for x in (a, b, out, *extras)])
        if self.conjugates:
            np.subtract(0, out.imag, out=out.imag)  # no conjugate: NumPy's sums have no -0

    def run_with_positions(self, a: Array, b: Array, out: Array, positions: Array) -> None:
        """Write which term each is, too, into integers of the same size and strides as `out`."""
        addresses = [x.__array_interface__["data"][0] for x in (a, b, out)]
        apart = positions.__array_interface__["data"][0] - addresses[2]
        self.core.run(addresses, apart)


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

    def run(self, a: Array, b: Array, out: Array, finish: Finish | None = None) -> None:
        pair = self._pair
        wanted = (*pair.out, *pair.shared)
        shape = [pair.sizes[label] for label in wanted]
        left, right = (
            np.broadcast_to(arranged(x, labels, wanted, pair.sizes), shape)
            for x, labels in ((a, pair.a), (b, pair.b))
        )
        axes = range(len(pair.out), len(wanted))

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


class OfReals:
    """Real operands of a complex result: the real contraction, beside zeros."""

    def __init__(self, pair: Pair, a: Array, b: Array, out: Array) -> None:
        self._real = prepare(replace(pair, dtype=out.real.dtype), a, b, out.real)
        self.kind = self._real.kind

    def run(self, a: Array, b: Array, out: Array, finish: Finish | None = None) -> None:
        self._real.run(a, b, out.real)
        out.imag[...] = 0


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


def prepare(
    pair: Pair, a: Array, b: Array, out: Array, finish: Finish | None = None,
    *, always_product: bool = False,
) -> Prepared:  # fmt: skip
    """Choose the kernel of a contraction.

    Parameters
    ----------
    pair : Pair
    a, b, out : ndarray
        In native byte order; shapes, strides and dtypes are those of later runs, and the memory
        need not be.
    finish : Finish, optional
        What a product does to the sums before it stores them: `Product.fuses` says whether. The
        other kernels leave it to the caller.
    always_product : bool
        Whether no other kernel will do.

    Raises
    ------
    ValueError
        If int32 sums that are wanted exactly could overflow.
    """
    if not pair.shared:
        return Elementwise(pair)
    in_a, in_b = set(pair.a), set(pair.b)
    free = [x for x in pair.out if pair.sizes[x] != 1 and (x in in_a) != (x in in_b)]
    terms = math.prod(pair.sizes[label] for label in pair.shared)
    exact = pair.exact and pair.semiring is None
    most = exact_terms(a.dtype, b.dtype, pair.dtype) if exact else None
    if most is not None and terms > most:
        raise ValueError(
            f"ufuse: {pair.dtype} sums of {terms} products of {a.dtype} and {b.dtype} could "
            f"overflow; at most {most} are exact: ask for accumulate='int64'"
        )
    if executors.native is None:
        return ByReference(pair)
    if pair.semiring is not None and not terms:
        return ByReference(pair)  # a kernel's empty sum is that of the wider dtype it sums in
    if pair.dtype.kind == "c" and a.dtype.kind != "c" and b.dtype.kind != "c":
        return OfReals(pair, a, b, out)
    if pair.semiring is None and not always_product and (not free or _is_memory_bound(pair, terms)):
        if all(x.char in "fdFD" or is_narrow(x) for x in (a.dtype, b.dtype)):
            if terms and all(pair.sizes[label] for label in pair.out):
                return Dots(pair)
        elif not free and pair.dtype.kind in "iu" and a.dtype == b.dtype == pair.dtype:
            return ByReference(pair)  # memory-bound, and NumPy's loops are vectorised
    if pair.semiring is not None and (program := term_program(pair.semiring, pair.dtype)):
        return ByProgram(pair, program)
    arithmetic = choose(a.dtype, b.dtype, pair.dtype, pair.semiring)
    if arithmetic is None or not _fits(arithmetic, a, b):
        return ByReference(pair)
    return Product(pair, arithmetic, a, b, out, finish)


def _is_memory_bound(pair: Pair, terms: int) -> bool:
    """Whether an item of a batch has few results of many terms, so that reading it is all there is.

    By the shape alone, since the bits follow. (torch#21760: packed one by one, 500 items of 2 x
    1000 that lie side by side took 20 times NumPy's time.)
    """
    batched = any(pair.sizes[x] > 1 for x in pair.out if x in pair.a and x in pair.b)
    results = math.prod(pair.sizes[x] for x in pair.out if (x in pair.a) != (x in pair.b))
    return batched and results <= _FEW_RESULTS and terms >= _MANY_TERMS


def _fits(arithmetic: Arithmetic, a: Array, b: Array) -> bool:
    """Whether the operands of a complex product are what it reads: nothing is converted there."""
    if arithmetic.sums.kind != "c":
        return True
    return all(x.dtype == p for x, p in zip((a, b), arithmetic.packed, strict=True))


def _sorted_labels(
    pair: Pair, a: Array, b: Array, out: Array, extras: Sequence[Array]
) -> tuple[Sequence[tuple[int, list[int]]], ...]:
    """Sort the labels into batch, rows, columns and shared ones, each with its strides.

    A label of one operand alone that the result lacks is summed: it counts as shared, with stride 0
    in the other operand.
    """
    in_a, in_b = steps(pair.a, a, pair.sizes), steps(pair.b, b, pair.sizes)
    in_out = steps(pair.out, out, pair.sizes)
    in_extras = [steps(pair.out, np.broadcast_to(x, out.shape), pair.sizes) for x in extras]
    kinds: tuple[list[tuple[int, list[int]]], ...] = ([], [], [], [])
    for label in (*pair.out, *pair.shared):
        strides = [found.get(label, 0) for found in (in_a, in_b, in_out, *in_extras)]
        if label not in in_out:
            kind = 3
        else:
            kind = 0 if label in in_a and label in in_b else 1 if label in in_a else 2
        kinds[kind].append((pair.sizes[label], strides))
    return kinds
