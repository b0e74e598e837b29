"""A contraction planned ahead: its path, what it costs, and which kernels it goes to."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import executors
from ..fusion.shapes import stand_in
from ..interop import asarray
from .dtypes import common_dtype
from .options import read_dtype, read_flag, read_limit, read_optimize, read_semiring
from .pairs import Product
from .plan import AloneStep, PairStep, Plan, find_path, make_plan
from .stacks import read
from .subscripts import Labels, extents, parse, read_operands
from .summation import contract

Array = NDArray[Any]

_FUNCTION = "ufuse.contract_plan"


@dataclass(frozen=True)
class StepInfo:
    """One step of a plan.

    Attributes
    ----------
    subscripts : str
        Of this step; axes of an ellipsis are numbers.
    kernel : str
        ``"product"`` (packed matrix product), ``"dots"`` (sums of products of matching elements),
        ``"elementwise"`` (nothing summed), ``"program"`` (a semiring without kernels),
        ``"reduce"`` and ``"view"`` (one operand), ``"reference"`` (NumPy).
    sizes : tuple of int
        Of a product: items of the batch, rows, columns, terms; else empty.
    turned : bool
        Whether a product computes the transpose of its result, which suits the layout.
    flops : int
        Multiplications and additions.
    nbytes : int
        Of the result of the step.
    """

    subscripts: str
    kernel: str
    sizes: tuple[int, ...]
    turned: bool
    flops: int
    nbytes: int


@dataclass(frozen=True)
class Explanation:
    """What a plan does; ``print`` it.

    Attributes
    ----------
    subscripts : str
    executor : str
    steps : tuple of StepInfo
    largest_intermediate : int
        Bytes of the largest intermediate result.
    """

    subscripts: str
    executor: str
    steps: tuple[StepInfo, ...]
    largest_intermediate: int

    def __str__(self) -> str:
        lines = [f"{self.subscripts} on the {self.executor} executor"]
        for step in self.steps:
            how = step.kernel
            if step.sizes:
                items, rows, cols, terms = step.sizes
                how += f" {items} x ({rows} x {terms}) @ ({terms} x {cols})"
                how += ", transposed" if step.turned else ""
            lines.append(f"  {step.subscripts}: {how}, {step.flops:.3g} flops, {step.nbytes} bytes")
        lines.append(f"  largest intermediate result: {self.largest_intermediate} bytes")
        return "\n".join(lines)


class ContractPlan:
    """A contraction for operands of given shapes: see `contract_plan`.

    Attributes
    ----------
    subscripts : str
    shapes : tuple of tuple
        Of the operands.
    dtype : dtype
        Of operands that are not known yet, for `explain`.
    path : list
        What ``optimize=`` of `einsum` accepts.
    largest_intermediate : int
        Bytes of the largest intermediate result, for operands of `dtype`.
    """

    def __init__(
        self,
        subscripts: str,
        shapes: Sequence[tuple[int, ...]],
        dtype: DTypeLike,
        semiring: Any,
        optimize: Any,
        memory_limit: int | None,
    ) -> None:
        if not isinstance(subscripts, str):
            raise TypeError(
                f"{_FUNCTION}: argument 'subscripts': expected a string, got {subscripts!r}"
            )
        self.subscripts = subscripts
        self.shapes = tuple(_read_shape(i, shape) for i, shape in enumerate(shapes))
        self.dtype = np.dtype(read_dtype(_FUNCTION, "dtype", dtype))  # None is float64
        self._semiring = semiring
        self._memory_limit = read_limit(_FUNCTION, memory_limit)
        how = read_optimize(_FUNCTION, optimize)
        ring = read_semiring(_FUNCTION, semiring)
        equation = parse(subscripts, tuple(map(len, self.shapes)), _FUNCTION)
        sizes = extents(equation, self.shapes)
        path = ("einsum_path", *find_path(equation, self.shapes, how))
        self.path: list[Any] = list(path)
        self._plan: Plan = make_plan(
            equation, self.shapes, tuple(sizes.items()), self.dtype, ring, False, False, path,
            self._memory_limit, True,
        )  # fmt: skip
        self.largest_intermediate = self._plan.largest

    def __call__(
        self,
        *operands: Any,
        out: Any = None,
        dtype: DTypeLike | None = None,
        order: Literal["K", "C", "F", "A"] = "K",
        casting: Any = "safe",
        accumulate: DTypeLike | None = None,
        return_arg: bool = False,
        finish: Callable[[Any], Any] | None = None,
    ) -> Any:
        """Contract operands of the planned shapes.

        Parameters
        ----------
        *operands : array_like
        out, dtype, order, casting, accumulate, return_arg, finish
            As in `einsum`.

        Raises
        ------
        ValueError
            If an operand has another shape, or there are more or fewer than were planned.
        """
        if len(operands) != len(self.shapes):
            raise ValueError(
                f"ufuse.contract_plan: expected {len(self.shapes)} operands, got {len(operands)}"
            )
        for i, (operand, shape) in enumerate(zip(operands, self.shapes, strict=True)):
            array = operand
            if not isinstance(operand, np.ndarray):
                (array,) = read(_FUNCTION, (f"operands[{i}]",), operand)
            if array.shape != shape:
                raise ValueError(
                    f"{_FUNCTION}: argument 'operands[{i}]': expected shape {shape}, which was "
                    f"planned, got {array.shape}"
                )
        return contract(
            _FUNCTION, self.subscripts, operands, out=out, optimize=self.path,
            semiring=self._semiring, memory_limit=self._memory_limit, dtype=dtype, order=order,
            casting=casting, accumulate=accumulate, return_arg=return_arg, finish=finish,
        )  # fmt: skip

    def __repr__(self) -> str:
        shapes = ", ".join(map(str, self.shapes))
        return f"ContractPlan({self.subscripts!r}, {shapes})"

    def explain(self) -> Explanation:
        """Say which steps a call runs, and by which kernels, for C-contiguous operands."""
        arrays = [stand_in(shape, self.dtype) for shape in self.shapes]
        steps = []
        for step in self._plan.steps:
            if isinstance(step, AloneStep):
                del arrays[step.place]
                info, result = _explain_alone(step)
                place = step.place if step.in_place else len(arrays)
                arrays.insert(place, result)
            else:
                first, second = step.places
                a, b = arrays[first], arrays[second]
                arrays = [x for i, x in enumerate(arrays) if i not in step.places]
                info, result = _explain_pair(step, a, b)
                arrays.append(result)
            steps.append(info)
        return Explanation(
            self.subscripts, executors.backend(), tuple(steps), self.largest_intermediate
        )


def _read_shape(number: int, shape: Any) -> tuple[int, ...]:
    try:
        found = tuple(operator.index(n) for n in shape)
    except TypeError:
        raise TypeError(
            f"{_FUNCTION}: argument 'shapes[{number}]': expected a shape as a tuple of integers, "
            f"got {shape!r}"
        ) from None
    if any(n < 0 for n in found):
        raise ValueError(
            f"{_FUNCTION}: argument 'shapes[{number}]': expected lengths of 0 or more, got "
            f"{shape!r}"
        )
    return found


def _text(labels: Labels) -> str:
    return "".join(str(label) for label in labels)


def _explain_alone(step: AloneStep) -> tuple[StepInfo, Array]:
    result = stand_in(tuple(step.sizes[x] for x in step.out), step.dtype)
    flops = math.prod(step.sizes[x] for x in set(step.labels)) if step.shared else 0
    kernel = "reduce" if step.shared else "view"
    text = f"{_text(step.labels)}->{_text(step.out)}"
    return StepInfo(text, kernel, (), False, flops, result.nbytes), result


def _explain_pair(step: PairStep, a: Array, b: Array) -> tuple[StepInfo, Array]:
    pair = step.pair
    result = stand_in(step.shape, pair.dtype)
    kernel = step.prepared(a, b, result)
    sizes, turned = (), False
    if isinstance(kernel, Product):
        sizes, turned = kernel.core.sizes, kernel.core.turned
    flops = (2 if pair.shared else 1) * math.prod(pair.sizes[label] for label in {*pair.a, *pair.b})
    text = f"{_text(pair.a)},{_text(pair.b)}->{_text(pair.out)}"
    return StepInfo(text, kernel.kind, sizes, turned, flops, result.nbytes), result


def contract_plan(
    subscripts: str,
    *shapes: tuple[int, ...],
    dtype: DTypeLike = np.float64,
    semiring: Any = "plus_times",
    optimize: Any = "auto",
    memory_limit: int | None = None,
) -> ContractPlan:
    """Plan a contraction for operands of given shapes, to be run many times.

    Parameters
    ----------
    subscripts : str
        As `einsum` takes them.
    *shapes : tuple of int
        One for each operand.
    dtype : dtype_like
        Of the operands, for what `ContractPlan.explain` says and for `memory_limit`.
    semiring, optimize, memory_limit
        As `einsum` takes them.

    Returns
    -------
    ContractPlan
        Called with operands, it contracts them.

    Raises
    ------
    MemoryError
        If an intermediate result is larger than `memory_limit`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> plan = uf.contract_plan("bi,oij,bj->bo", (8, 5), (3, 5, 4), (8, 4))
    >>> plan(np.ones((8, 5)), np.ones((3, 5, 4)), np.ones((8, 4))).shape
    (8, 3)
    """
    return ContractPlan(subscripts, shapes, dtype, semiring, optimize, memory_limit)


def einsum_path(*operands: Any, optimize: Any = "greedy", einsum_call: bool = False) -> Any:
    """Find the order in which `einsum` contracts operands, as `numpy.einsum_path`.

    Parameters
    ----------
    subscripts : str
    *operands : array_like
        As `einsum` takes them, lists of labels too.
    optimize : {'greedy', 'optimal', 'auto', True, False} or tuple
        As `einsum` takes it.
    einsum_call : bool
        NumPy's internal argument; refused if True.

    Returns
    -------
    path : list
        ``"einsum_path"`` and a tuple of places for each step: what ``optimize=`` of `einsum`
        accepts. The result of a step is put behind the operands that are left.
    description : str
        The steps, for reading.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> x = np.ones((2, 2))
    >>> uf.einsum_path("ij,jk,kl->il", x, x, x)[0]
    ['einsum_path', (0, 1), (0, 1)]
    """
    function = "ufuse.einsum_path"
    if read_flag(function, "einsum_call", einsum_call):
        raise ValueError(f"{function}: argument 'einsum_call': expected False, got True")
    how = read_optimize(function, optimize)
    subscripts, given = read_operands(operands, function)
    arrays = [
        asarray(operand, function=function, argument=f"operands[{i}]")
        for i, operand in enumerate(given)
    ]
    equation = parse(subscripts, tuple(x.ndim for x in arrays), function)
    shapes = tuple(x.shape for x in arrays)
    sizes = extents(equation, shapes)
    plan = make_plan(
        equation, shapes, tuple(sizes.items()), common_dtype(function, arrays), None, False, False,
        how, None, True,
    )  # fmt: skip
    path = find_path(equation, shapes, how)
    return ["einsum_path", *path], describe(plan)


def describe(plan: Plan) -> str:
    """Return the steps of a plan as a table."""
    lines = [f"{plan.equation.text}: {len(plan.steps)} steps"]
    for step in plan.steps:
        if isinstance(step, AloneStep):
            lines.append(f"  {_text(step.labels)} -> {_text(step.out)}")
        else:
            pair = step.pair
            lines.append(f"  {_text(pair.a)}, {_text(pair.b)} -> {_text(pair.out)}")
    lines.append(f"  largest intermediate result: {plan.largest} bytes")
    return "\n".join(lines)
