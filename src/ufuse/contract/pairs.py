"""Contractions of two operands: which kernel each goes to, prepared once and run many times."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..catalogue.semirings import Semiring
from ..fusion.program import Program
from ..fusion.shapes import stand_in
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
from .expressions import Expression, Finish, Operand, computed, parts
from .subscripts import Label, Labels, Sizes, arranged, steps

Array = NDArray[Any]

_FEW_RESULTS, _MANY_TERMS = 4, 64  # of an item of a batch
#: gelu of an operand that is packed 4 and 8 times over (256 x 2048 and 4096 by 1024 columns, with a
#: finish) cost 20 and 29 % of the product, and 4 in a pass before it; twice (1024 x 1024) 4, and 6.
MOST_TIMES = 2
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


class Prepared(Protocol):
    """A pair on arrays of given shapes, strides and dtypes."""

    kind: str

    def run(self, a: Any, b: Any, out: Array, finish: Finish | None = None) -> None:
        """Write the contraction of `a` and `b` into `out`, which overlaps neither.

        A product also takes expressions.
        """


class Product:
    """The packed product of the core."""

    kind = "product"

    def __init__(
        self,
        pair: Pair,
        arithmetic: Arithmetic,
        a: Operand,
        b: Operand,
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
            _prologue(arithmetic, 0, a),
            _prologue(arithmetic, 1, b),
            finish.program if self.fuses and finish is not None else arithmetic.finish,
        )
        # The core keeps their addresses.
        self._kept = [None if p is None else executors.native.compiled(p) for p in programs]
        prologue_a, prologue_b, stored = (0 if p is None else p.address for p in self._kept)
        self.core = executors.native.contraction(
            arithmetic.code, batch, rows, cols, shared,
            a_arrays=len(parts(a)), b_arrays=len(parts(b)),
            real_a=a.dtype.kind != "c", real_b=b.dtype.kind != "c",
            conjugate_a=pair.conjugate and not self.conjugates, wraps=not pair.exact,
            prologue_a=prologue_a, prologue_b=prologue_b, finish=stored, extras=len(extras),
        )  # fmt: skip

    @property
    def packings(self) -> tuple[int, int]:
        """How often an element of each operand is packed at most."""
        first, second = self.core.packings
        return (second, first) if self.swapped else (first, second)

    def run(self, a: Operand, b: Operand, out: Array, finish: Finish | None = None) -> None:
        if self.swapped:
            a, b = b, a
        extras = finish.arrays if self.fuses and finish is not None else ()
        arrays = (*parts(a), *parts(b), out, *extras)
        self.core.run([x.__array_interface__["data"][0] for x in arrays])
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


def _prologue(arithmetic: Arithmetic, place: int, operand: Operand) -> Program | None:
    if isinstance(operand, Expression):
        return operand.packed_as(arithmetic.packed[place])
    return arithmetic.prologue(place, operand.dtype)


def choose_kernel(
    pair: Pair, a: DType, b: DType, *, always_product: bool = False
) -> Arithmetic | Literal["of reals"] | Callable[[Pair], Prepared]:
    """Choose by sizes and dtypes: the arithmetic of a packed product, or a kernel of another kind.

    Raises
    ------
    ValueError
        If int32 sums that are wanted exactly could overflow.
    """
    if not pair.shared:
        return Elementwise
    in_a, in_b = set(pair.a), set(pair.b)
    free = [x for x in pair.out if pair.sizes[x] != 1 and (x in in_a) != (x in in_b)]
    terms = math.prod(pair.sizes[label] for label in pair.shared)
    exact = pair.exact and pair.semiring is None
    most = exact_terms(a, b, pair.dtype) if exact else None
    if most is not None and terms > most:
        raise ValueError(
            f"ufuse: {pair.dtype} sums of {terms} products of {a} and {b} could "
            f"overflow; at most {most} are exact: ask for accumulate='int64'"
        )
    if executors.native is None:
        return ByReference
    if pair.semiring is not None and not terms:
        return ByReference  # a kernel's empty sum is that of the wider dtype it sums in
    if pair.dtype.kind == "c" and a.kind != "c" and b.kind != "c":
        return "of reals"
    if pair.semiring is None and not always_product and (not free or _is_memory_bound(pair, terms)):
        if all(x.char in "fdFD" or is_narrow(x) for x in (a, b)):
            if terms and all(pair.sizes[label] for label in pair.out):
                return Dots
        elif not free and pair.dtype.kind in "iu" and a == b == pair.dtype:
            return ByReference  # memory-bound, and NumPy's loops are vectorised
    if pair.semiring is not None and (program := term_program(pair.semiring, pair.dtype)):
        return partial(ByProgram, program=program)
    arithmetic = choose(a, b, pair.dtype, pair.semiring)
    if arithmetic is None or not _fits(arithmetic, a, b):
        return ByReference
    return arithmetic


def computes_first(
    pair: Pair, a: Operand, b: Operand, out: Array, finish: Finish | None
) -> tuple[bool, bool]:
    """Say which expressions no kernel computes as it reads them, or would too many times over."""
    wanted = [isinstance(x, Expression) for x in (a, b)]
    if not any(wanted):
        return False, False
    found = choose_kernel(pair, a.dtype, b.dtype)
    if not isinstance(found, Arithmetic) or found.sums.kind == "c":
        return wanted[0], wanted[1]
    first = [_prologue(found, i, x) is None and wanted[i] for i, x in enumerate((a, b))]
    left, right = (
        stand_in(x.shape, x.dtype) if known else x for x, known in zip((a, b), first, strict=True)
    )
    packings = Product(pair, found, left, right, out, finish).packings
    first = [one or (wanted[i] and packings[i] > MOST_TIMES) for i, one in enumerate(first)]
    return first[0], first[1]


def prepare(
    pair: Pair, a: Operand, b: Operand, out: Array, finish: Finish | None = None,
    *, always_product: bool = False,
) -> Prepared:  # fmt: skip
    """Prepare the kernel of a contraction.

    Parameters
    ----------
    pair : Pair
    a, b : ndarray or Expression
        In native byte order; shapes, strides and dtypes are those of later runs, and the memory
        need not be. Of expressions `computes_first` leaves those that a product packs.
    out : ndarray
        Likewise.
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
    found = choose_kernel(pair, a.dtype, b.dtype, always_product=always_product)
    if isinstance(found, Arithmetic):
        return Product(pair, found, a, b, out, finish)
    if found == "of reals":
        return OfReals(pair, computed(a), computed(b), out)
    return found(pair)


def _is_memory_bound(pair: Pair, terms: int) -> bool:
    """Whether an item of a batch has few results of many terms, so that reading it is all there is.

    By the shape alone, since the bits follow. (torch#21760: packed one by one, 500 items of 2 x
    1000 that lie side by side took 20 times NumPy's time.)
    """
    batched = any(pair.sizes[x] > 1 for x in pair.out if x in pair.a and x in pair.b)
    results = math.prod(pair.sizes[x] for x in pair.out if (x in pair.a) != (x in pair.b))
    return batched and results <= _FEW_RESULTS and terms >= _MANY_TERMS


def _fits(arithmetic: Arithmetic, a: DType, b: DType) -> bool:
    """Whether the operands of a complex product are what it reads: nothing is converted there."""
    if arithmetic.sums.kind != "c":
        return True
    return all(x == p for x, p in zip((a, b), arithmetic.packed, strict=True))


def _sorted_labels(
    pair: Pair, a: Operand, b: Operand, out: Array, extras: Sequence[Array]
) -> tuple[Sequence[tuple[int, list[int]]], ...]:
    """Sort the labels into batch, rows, columns and shared ones, each with its strides.

    A label of one operand alone that the result lacks is summed: it counts as shared, with stride 0
    in the other operand.
    """
    in_a = [steps(pair.a, x, pair.sizes) for x in parts(a)]
    in_b = [steps(pair.b, x, pair.sizes) for x in parts(b)]
    in_out = [
        steps(pair.out, x, pair.sizes)
        for x in (out, *(np.broadcast_to(x, out.shape) for x in extras))
    ]
    kinds: tuple[list[tuple[int, list[int]]], ...] = ([], [], [], [])
    for label in (*pair.out, *pair.shared):
        strides = [found.get(label, 0) for found in (*in_a, *in_b, *in_out)]
        if label not in pair.out:
            kind = 3
        else:
            kind = 0 if label in pair.a and label in pair.b else 1 if label in pair.a else 2
        kinds[kind].append((pair.sizes[label], strides))
    return kinds
