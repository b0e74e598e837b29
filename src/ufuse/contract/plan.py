"""Contractions of any number of operands: a path of pairs, planned once and run many times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..catalogue.semirings import Semiring
from ..reduce import exponential, extremes, logic, sums
from . import reference
from .arithmetic import DType, choose, is_narrow
from .expressions import Expression, Finish, Operand, computed, layout
from .pairs import Pair, Prepared, Product, computes_first, prepare
from .subscripts import Equation, Label, Labels, Sizes, arranged

Array = NDArray[Any]
Path = tuple[tuple[int, ...], ...]

_PREPARED = 16  # layouts that a step remembers


def _key(a: Operand, b: Operand, out: Array, finish: Finish | None) -> Any:
    return (layout(a), layout(b), out.strides, finish and finish.key())


class PairStep:
    """Two of the operands at hand are contracted."""

    def __init__(self, pair: Pair, places: tuple[int, int]) -> None:
        self.pair = pair
        self.places = places
        self._prepared: dict[Any, Prepared] = {}
        self._first: dict[Any, tuple[bool, bool]] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.pair.sizes[label] for label in self.pair.out)

    def prepared(
        self, a: Operand, b: Operand, out: Array, finish: Finish | None = None
    ) -> Prepared:
        """Return the kernel for arrays of these strides and dtypes."""
        key = _key(a, b, out, finish)
        found = self._prepared.get(key)
        if found is None:
            if len(self._prepared) >= _PREPARED:
                self._prepared.clear()
            found = self._prepared[key] = prepare(self.pair, a, b, out, finish)
        return found

    def computes_first(
        self, a: Operand, b: Operand, out: Array, finish: Finish | None = None
    ) -> tuple[bool, bool]:
        """Say which operands are computed in a pass of their own."""
        if not (isinstance(a, Expression) or isinstance(b, Expression)):
            return False, False
        key = _key(a, b, out, finish)
        found = self._first.get(key)
        if found is None:
            if len(self._first) >= _PREPARED:
                self._first.clear()
            found = self._first[key] = computes_first(self.pair, a, b, out, finish)
        return found

    def run(
        self, operands: list[Operand], out: Array | None, finish: Finish | None = None
    ) -> Array:
        """Replace the two operands in the list by the result, which is also returned."""
        first, second = self.places
        b, a = operands.pop(max(first, second)), operands.pop(min(first, second))
        if first > second:
            a, b = b, a
        if out is None:
            out = executors.empty(self.shape, self.pair.dtype)
        now = self.computes_first(a, b, out, finish)
        a, b = (computed(x) if one else x for x, one in zip((a, b), now, strict=True))
        kernel = self.prepared(a, b, out, finish)
        if finish is None or (isinstance(kernel, Product) and kernel.fuses):
            kernel.run(a, b, out, finish)
        else:
            sums = executors.empty(self.shape, self.pair.dtype)
            self.prepared(a, b, sums).run(a, b, sums)
            finish.apply(sums, out)
        operands.append(out)
        return out

    def run_with_positions(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Return the contraction, and which of the terms each element of it is."""
        pair, shape = self.pair, self.shape
        index = np.zeros(shape, np.intp)
        arithmetic = choose(a.dtype, b.dtype, pair.dtype, pair.semiring, positions=True)
        if executors.native is None or not pair.shared or arithmetic is None:
            out = executors.empty(shape, pair.dtype)
            reference.contract(
                a, pair.a, b, pair.b, out, pair.out, pair.sizes, pair.semiring, index
            )
            return out, index
        sums = executors.empty(shape, arithmetic.sums)
        positions = executors.empty(shape, np.dtype(f"i{sums.itemsize}"))
        product = Product(replace(pair, dtype=arithmetic.sums), arithmetic.unfinished(), a, b, sums)
        product.run_with_positions(a, b, sums, positions)
        index[...] = positions
        return sums.astype(pair.dtype, copy=False), index


@dataclass
class AloneStep:
    """One operand is summed over labels that nothing else has, or viewed with others left out."""

    labels: Labels
    out: Labels
    sizes: Sizes
    dtype: DType
    place: int
    semiring: Semiring | None = None
    in_place: bool = False  # whether the result stays where the operand was among those at hand

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.sizes[label] for label in self.out)

    def view(self, operand: Array) -> Array:
        """Return a view where nothing is summed: diagonals, axes in the order of the result."""
        places = {label: i for i, label in enumerate(dict.fromkeys(self.labels))}
        found: Array = np.einsum(
            operand, [places[x] for x in self.labels], [places[x] for x in self.out]
        )
        return found

    @property
    def shared(self) -> tuple[Label, ...]:
        return tuple(x for x in dict.fromkeys(self.labels) if x not in self.out)

    def summed(self, operand: Array) -> Array:
        """Return a view whose first axes are those of the result, and the others are summed."""
        return arranged(operand, self.labels, (*self.out, *self.shared), self.sizes)

    def run(
        self, operands: list[Operand], out: Array | None, finish: Finish | None = None
    ) -> Array:
        """Replace the operand in the list by the result, which is also returned."""
        operand = computed(operands.pop(self.place))
        view = self.summed(operand)
        axes = tuple(range(len(self.out), view.ndim))
        if axes:
            result = _sum(view, axes, self.dtype, self.semiring)
        else:
            result = view.astype(self.dtype, copy=False)
        if finish is not None and out is not None:
            finish.apply(result, out)
            result = out
        elif out is not None:
            out[...] = result
            result = out
        operands.insert(self.place if self.in_place else len(operands), result)
        return result


def _sum(view: Array, axes: tuple[int, ...], dtype: DType, semiring: Semiring | None) -> Array:
    """Sum over `axes` with the semiring's sum, in a dtype."""
    by: dict[str, Callable[..., Any]] = {
        "minimum": extremes.min,
        "maximum": extremes.max,
        "logical_or": logic.any,
        "logaddexp": exponential.logsumexp,
    }
    plus = "add" if semiring is None else semiring.plus
    if dtype.kind == "b" and plus == "add":
        plus = "logical_or"
    if plus in by and view.size:
        return np.asarray(by[plus](view, axis=axes)).astype(dtype, copy=False)
    if plus != "add" or dtype.kind not in "biuf" or view.dtype.kind not in "biuf" or not view.size:
        ufunc = getattr(np, plus)
        options = {} if semiring is None else {"initial": semiring.empty(dtype)}
        if is_narrow(dtype) or plus in ("logical_or", "logical_xor"):
            return np.asarray(ufunc.reduce(view, axis=axes, **options)).astype(dtype)
        return np.asarray(ufunc.reduce(view, axis=axes, dtype=dtype, **options))
    # Integers of any size are summed in 64 bits, which wraps to the same in fewer.
    wide = np.dtype(np.int64 if dtype.kind == "i" else np.uint64) if dtype.kind in "iu" else dtype
    with np.errstate(over="ignore"):
        return np.asarray(sums.sum(view, axis=axes, dtype=wide)).astype(dtype, copy=False)


Step = PairStep | AloneStep


@dataclass
class Plan:
    """The steps of a contraction, for operands of given shapes and dtypes."""

    equation: Equation
    sizes: Sizes
    dtype: DType
    steps: list[Step] = field(default_factory=list)
    largest: int = 0  # bytes of the largest intermediate

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.sizes[label] for label in self.equation.out)

    def run(
        self, operands: Sequence[Operand], out: Array | None, finish: Finish | None = None
    ) -> Array:
        """Contract; `out` has the result's shape and dtype, and overlaps no operand.

        With a `finish`, `out` has the dtype that it gives.
        """
        at_hand = list(operands)
        for step in self.steps[:-1]:
            step.run(at_hand, None)
        return self.steps[-1].run(at_hand, out, finish)


@lru_cache(maxsize=512)
def make_plan(
    equation: Equation, shapes: tuple[tuple[int, ...], ...], sizes: tuple[tuple[Label, int], ...],
    dtype: DType, semiring: Semiring | None, exact: bool, conjugate: bool, optimize: Any,
    memory_limit: int | None, sums_first: bool,
) -> Plan:  # fmt: skip
    """Plan a contraction; the arguments say all that the plan depends on.

    `sums_first` says whether an operand may be summed over labels of its own before.

    Raises
    ------
    MemoryError
        If an intermediate result is larger than `memory_limit` bytes.
    """
    plan = Plan(equation, dict(sizes), dtype)
    between = np.dtype(np.float32) if is_narrow(dtype) else dtype
    at_hand = list(equation.inputs)
    distributes = semiring is None or semiring.distributes
    # A product of what does not distribute is summed when all of it is there.
    path = find_path(equation, shapes, optimize if distributes else False)
    # Nothing times something is no empty sum where that is an integer's end, or infinite.
    alone = sums_first and distributes and 0 not in plan.sizes.values()
    for number, places in enumerate(path):
        last = number + 1 == len(path)
        taken = [at_hand[place] for place in places]
        rest = [labels for i, labels in enumerate(at_hand) if i not in places]
        kept = {label for labels in (equation.out, *rest) for label in labels}
        if not distributes and not last:
            kept = set(plan.sizes)
        if len(places) == 1:
            out = equation.out if last else tuple(x for x in dict.fromkeys(taken[0]) if x in kept)
            given = dtype if last else between
            plan.steps.append(AloneStep(taken[0], out, plan.sizes, given, places[0], semiring))
        else:
            out = equation.out if last else _between(taken, kept)
            if alone:
                taken = [
                    _sum_alone(plan, labels, other, kept, place, between, semiring)
                    for labels, other, place in zip(taken, taken[::-1], places, strict=True)
                ]
            pair = Pair(
                taken[0], taken[1], out, plan.sizes, dtype if last else between, semiring,
                exact, conjugate, equation.function,
            )  # fmt: skip
            plan.steps.append(PairStep(pair, (places[0], places[1])))
        at_hand = [*rest, out]
        if not last:
            size = math.prod(plan.sizes[label] for label in out) * between.itemsize
            plan.largest = max(plan.largest, size)
            if memory_limit is not None and size > memory_limit:
                raise MemoryError(
                    f"{equation.function}: the path of {equation.text!r} needs an intermediate "
                    f"result of {size} bytes, more than the limit of {memory_limit}; allow more, "
                    "or choose another path by optimize="
                )
    return plan


def _between(taken: Sequence[Labels], kept: set[Label]) -> Labels:
    """Labels of an intermediate result: batch, rows, columns."""
    a, b = taken
    both = [x for x in dict.fromkeys(a) if x in b]
    ordered = dict.fromkeys((*both, *(x for x in a if x not in b), *(x for x in b if x not in a)))
    return tuple(x for x in ordered if x in kept)


def _sum_alone(
    plan: Plan, labels: Labels, other: Labels, kept: set[Label], place: int,
    dtype: DType, semiring: Semiring | None,
) -> Labels:  # fmt: skip
    """Sum an operand of a pair over labels that are its alone, in a step of its own."""
    left = tuple(x for x in dict.fromkeys(labels) if x in kept or x in other)
    if set(left) == set(labels):
        return labels
    plan.steps.append(AloneStep(labels, left, plan.sizes, dtype, place, semiring, in_place=True))
    return left


def find_path(equation: Equation, shapes: tuple[tuple[int, ...], ...], optimize: Any) -> Path:
    """Return the order in which operands are contracted, by places among those at hand.

    `optimize` is what `options.read_optimize` returns. The result of each step is put behind the
    others.
    """
    count = len(equation.inputs)
    if count <= 2:
        return (tuple(range(count)),)
    if isinstance(optimize, tuple) and optimize and optimize[0] == "einsum_path":
        return _pairwise(optimize[1:], count, equation.function)
    if optimize is False:
        return ((0, 1), *((count - 2 - i, 0) for i in range(count - 2)))
    opt_einsum: Any = import_module("opt_einsum")  # untyped

    options: dict[str, Any] = {}
    kind = "auto" if optimize is True else optimize
    if isinstance(kind, tuple):
        kind, options["memory_limit"] = kind
    labels = dict.fromkeys(label for term in (*equation.inputs, equation.out) for label in term)
    letters = {label: opt_einsum.get_symbol(i) for i, label in enumerate(labels)}
    terms = ["".join(letters[label] for label in term) for term in (*equation.inputs, equation.out)]
    subscripts = f"{','.join(terms[:-1])}->{terms[-1]}"
    found, _ = opt_einsum.contract_path(subscripts, *shapes, shapes=True, optimize=kind, **options)
    return _pairwise(found, count, equation.function)


def _pairwise(path: Sequence[Sequence[int]], count: int, function: str) -> Path:
    """Cut steps of more than two operands into pairs, from left to right."""
    result: list[tuple[int, ...]] = []
    for places in path:
        ordered = sorted(int(place) for place in places)
        if not ordered or ordered[-1] >= count or ordered[0] < 0:
            raise RuntimeError(
                f"{function}: argument 'optimize': step {tuple(places)} of the path names an "
                f"operand that is not there; {count} are left"
            )
        if len(set(ordered)) < len(ordered):
            raise RuntimeError(
                f"{function}: argument 'optimize': step {tuple(places)} of the path names an "
                "operand twice"
            )
        if len(ordered) == 1:
            result.append((ordered[0],))
            continue
        result.append((ordered[0], ordered[1]))
        count -= 1
        for taken, place in enumerate(ordered[2:], start=2):
            result.append((count - 1, place - taken))
            count -= 1
    if count > 1:
        raise RuntimeError(
            f"{function}: argument 'optimize': the path leaves {count} operands; expected one"
        )
    return tuple(result)
