"""Contractions of two operands: which kernel each goes to, prepared once and run many times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..catalogue.semirings import Semiring
from ..fusion.program import Program
from ..fusion.shapes import stand_in
from .arithmetic import (
    Arithmetic,
    DType,
    choose,
    exact_terms,
    is_narrow,
    same_bits,
    term_program,
)
from .expressions import Expression, Finish, Operand, computed, parts
from .subscripts import Label, Labels, Sizes, steps
from .unpacked import ByProgram, ByReference, Dots, Elementwise

Array = NDArray[Any]

SMALL = 1e6  # multiplications during which other threads may wait

_FEW_RESULTS, _MANY_TERMS = 4, 64  # of an item of a batch
#: Of an element. Packed twice (256 x 2048 x 512, relu of the sums), gelu of A cost 29 % of the
#: product and 25 in a pass before, a scale 9 and 18; packed 4 times, 25 and 14, 8 and 11.
MOST_TIMES = 2


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
    function : str
        What was called, for messages.
    """

    a: Labels
    b: Labels
    out: Labels
    sizes: Sizes
    dtype: DType
    semiring: Semiring | None = None
    exact: bool = False
    conjugate: bool = False
    function: str = "ufuse"

    @cached_property
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
        wraps = not pair.exact or pair.dtype.itemsize == 1  # 8 bits wrap, asked for or not
        self.core = executors.native.contraction(
            arithmetic.code, batch, rows, cols, shared,
            innermost=[] if arithmetic.code.startswith("arg_") else _innermost(pair),
            a_arrays=len(parts(a)), b_arrays=len(parts(b)),
            real_a=a.dtype.kind != "c", real_b=b.dtype.kind != "c",
            conjugate_a=pair.conjugate and not self.conjugates, wraps=wraps,
            prologue_a=prologue_a, prologue_b=prologue_b, finish=stored, extras=len(extras),
        )  # fmt: skip
        self.address = self.core.address
        self.small = math.prod([n for n, _ in (*batch, *rows, *cols, *shared)]) < SMALL

    @property
    def packings(self) -> tuple[int, int]:
        """How often an element of each operand is packed at most."""
        first, second = self.core.packings
        return first, second

    def run(self, a: Operand, b: Operand, out: Array, finish: Finish | None = None) -> None:
        extras = finish.arrays if self.fuses and finish is not None else ()
        arrays = (*parts(a), *parts(b), out, *extras)
        executors.native.run_contraction(self.address, arrays, self.small)
        if self.conjugates:
            np.subtract(0, out.imag, out=out.imag)  # no conjugate: NumPy's sums have no -0

    def run_with_positions(self, a: Array, b: Array, out: Array, positions: Array) -> None:
        """Write which term each is, too, into integers of the same size and strides as `out`."""
        addresses = [x.__array_interface__["data"][0] for x in (a, b, out)]
        apart = positions.__array_interface__["data"][0] - addresses[2]
        self.core.run(addresses, apart)


class OfReals:
    """Real operands of a complex result: the real contraction, beside zeros."""

    def __init__(self, pair: Pair, a: Array, b: Array, out: Array) -> None:
        self._real = prepare(replace(pair, dtype=out.real.dtype), a, b, out.real)
        self.kind = self._real.kind

    def run(self, a: Array, b: Array, out: Array, finish: Finish | None = None) -> None:
        self._real.run(a, b, out.real)
        out.imag[...] = 0


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
            f"{pair.function}: argument 'accumulate': {pair.dtype} sums of {terms} products of {a} "
            f"and {b} could overflow; at most {most} are exact: ask for accumulate='int64'"
        )
    if executors.native is None:
        return ByReference
    if pair.semiring is not None and not terms:
        return ByReference  # a kernel's empty sum is that of the wider dtype it sums in
    if pair.dtype.kind == "c" and a.kind != "c" and b.kind != "c":
        return "of reals"
    if pair.semiring is None and not always_product and (not free or _reads_once(pair, terms)):
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


def is_memory_bound(items: int, results: int, terms: int) -> bool:
    """Whether an item of a batch has few results of many terms, so that reading it is all there is.

    By the shape alone, since the bits follow. (torch#21760: packed one by one, 500 items of 2 x
    1000 that lie side by side took 20 times NumPy's time.)
    """
    return items > 1 and results <= _FEW_RESULTS and terms >= _MANY_TERMS


def _reads_once(pair: Pair, terms: int) -> bool:
    items = results = 1
    for label in pair.out:
        if label in pair.a and label in pair.b:
            items *= pair.sizes[label]
        else:
            results *= pair.sizes[label]
    return is_memory_bound(items, results, terms)


def _fits(arithmetic: Arithmetic, a: DType, b: DType) -> bool:
    """Whether the operands of a complex product are what it reads: nothing is converted there."""
    if arithmetic.sums.kind != "c":
        return True
    return all(x == p for x, p in zip((a, b), arithmetic.packed, strict=True))


def _innermost(pair: Pair) -> list[int]:
    """Return the shared labels that the operands have last, as positions among these.

    The first is one that is last of all labels of its operand, if there is one.
    """
    terms = (pair.a, pair.b)
    last = [next((x for x in reversed(term) if x in pair.shared), None) for term in terms]
    if last[1] in pair.b[-1:] and last[0] not in pair.a[-1:]:
        last.reverse()
    return [pair.shared.index(x) for x in last if x is not None]


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
