"""Contractions of two operands: which kernel each goes to, prepared once and run many times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..catalogue.semirings import BY_NAME as SEMIRINGS
from ..interop.lowprecision import narrowed
from . import reference
from .arithmetic import EXACT_K, Arithmetic, DType, choose, is_narrow, multiplier, stored
from .subscripts import Label, Labels, Sizes, arranged, steps

Array = NDArray[Any]


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
    semiring : str
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
    semiring: str = "plus_times"
    exact: bool = False
    conjugate: bool = False

    @property
    def shared(self) -> tuple[Label, ...]:
        """Labels that are summed over, in the order of the operands: it decides the bits."""
        return tuple(x for x in dict.fromkeys((*self.a, *self.b)) if x not in self.out)


class Prepared(Protocol):
    """A pair on arrays of given shapes, strides and dtypes."""

    kind: str

    def run(self, a: Array, b: Array, out: Array) -> None:
        """Write the contraction of `a` and `b` into `out`, which overlaps neither."""


class Product:
    """The packed product of the core."""

    kind = "product"

    def __init__(self, pair: Pair, arithmetic: Arithmetic, a: Array, b: Array, out: Array) -> None:
        # The core has uint8 by int8, and not the other way round.
        self.swapped = arithmetic.code == "u1i1" and a.dtype == np.int8
        if self.swapped:
            a, b, pair = b, a, replace(pair, a=pair.b, b=pair.a)
        # The conjugate of a product with a real operand is that of the result.
        self.conjugates = pair.conjugate and b.dtype.kind != "c"
        batch, rows, cols, shared = _sorted_labels(pair, a, b, out)
        self.arithmetic = arithmetic
        programs = (
            arithmetic.prologue(0, a.dtype), arithmetic.prologue(1, b.dtype), arithmetic.finish
        )  # fmt: skip
        # The core keeps their addresses.
        self._kept = [None if p is None else executors.native.compiled(p) for p in programs]
        prologue_a, prologue_b, finish = (0 if p is None else p.address for p in self._kept)
        self.core = executors.native.contraction(
            arithmetic.code, batch, rows, cols, shared,
            real_a=a.dtype.kind != "c", real_b=b.dtype.kind != "c",
            conjugate_a=pair.conjugate and not self.conjugates, wraps=not pair.exact,
            prologue_a=prologue_a, prologue_b=prologue_b, finish=finish,
        )  # fmt: skip

    def run(self, a: Array, b: Array, out: Array) -> None:
        if self.swapped:
            a, b = b, a
        self.core.run([x.__array_interface__["data"][0] for x in (a, b, out)])
        if self.conjugates:
            np.conjugate(out, out=out)


class Elementwise:
    """Nothing is summed: one program over the result."""

    kind = "elementwise"

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def run(self, a: Array, b: Array, out: Array) -> None:
        pair = self._pair
        left = arranged(a, pair.a, pair.out, pair.sizes)
        right = arranged(b, pair.b, pair.out, pair.sizes)
        if pair.conjugate:
            left = left.conj()
        row = SEMIRINGS.get(pair.semiring)
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

    def run(self, a: Array, b: Array, out: Array) -> None:
        pair = self._pair
        wanted = (*pair.out, *pair.shared)
        shape = [pair.sizes[label] for label in wanted]
        left, right = (
            np.broadcast_to(arranged(x, labels, wanted, pair.sizes), shape)
            for x, labels in ((a, pair.a), (b, pair.b))
        )
        axes = range(len(pair.out), len(wanted))
        sums = np.empty([1 if i in axes else n for i, n in enumerate(shape)])
        executors.of("ufuse.reduce").weighted_sum(left, right, axes, sums, None)
        sums = sums.reshape(out.shape)
        out[...] = narrowed(sums, out.dtype) if is_narrow(out.dtype) else sums


class ByReference:
    """NumPy, for what the core has no kernel for."""

    kind = "reference"

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def run(self, a: Array, b: Array, out: Array) -> None:
        pair = self._pair
        left = a.conj() if pair.conjugate else a
        reference.contract(
            left, pair.a, b, pair.b, out, pair.out, pair.sizes, pair.semiring
        )  # fmt: skip


def prepare(pair: Pair, a: Array, b: Array, out: Array) -> Prepared:
    """Choose the kernel of a contraction.

    Parameters
    ----------
    pair : Pair
    a, b, out : ndarray
        In native byte order; shapes, strides and dtypes are those of later runs, and the memory need not
        be.

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
    if executors.native is None:
        return ByReference(pair)
    if not free and pair.semiring == "plus_times" and not pair.conjugate:
        if all(x == np.float32 or x == np.float64 or is_narrow(x) for x in (a.dtype, b.dtype)):
            if terms and all(pair.sizes[label] for label in pair.out):
                return Dots(pair)
        elif pair.dtype.kind in "iuc" and a.dtype == b.dtype == pair.dtype:
            return ByReference(pair)  # memory-bound, and NumPy's loops are vectorised
    arithmetic = choose(a.dtype, b.dtype, pair.dtype, pair.semiring)
    if arithmetic is None or not _fits(arithmetic, a, b):
        return ByReference(pair)
    if pair.exact and terms > EXACT_K.get(arithmetic.code, terms):
        raise ValueError(
            f"ufuse: int32 sums of {terms} products of {a.dtype} and {b.dtype} could overflow; at "
            f"most {EXACT_K[arithmetic.code]} are exact: ask for accumulate='int64'"
        )
    return Product(pair, arithmetic, a, b, out)


def _fits(arithmetic: Arithmetic, a: Array, b: Array) -> bool:
    """Whether the operands of a complex product are what it reads: nothing is converted there."""
    if arithmetic.sums.kind != "c":
        return True
    return all(x.dtype == p for x, p in zip((a, b), arithmetic.packed, strict=True))


def _sorted_labels(
    pair: Pair, a: Array, b: Array, out: Array
) -> tuple[Sequence[tuple[int, list[int]]], ...]:
    """Sort the labels into batch, rows, columns and shared ones, each with its strides.

    A label of one operand alone that the result lacks is summed: it counts as shared, with stride 0
    in the other operand.
    """
    in_a, in_b = steps(pair.a, a, pair.sizes), steps(pair.b, b, pair.sizes)
    in_out = steps(pair.out, out, pair.sizes)
    kinds: tuple[list[tuple[int, list[int]]], ...] = ([], [], [], [])
    for label in (*pair.out, *pair.shared):
        strides = [in_a.get(label, 0), in_b.get(label, 0), in_out.get(label, 0)]
        if label not in in_out:
            kind = 3
        else:
            kind = 0 if label in in_a and label in in_b else 1 if label in in_a else 2
        kinds[kind].append((pair.sizes[label], strides))
    return kinds
