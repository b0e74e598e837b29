"""Functions of sums, traced: what a contraction does to its result before it is stored."""

from __future__ import annotations

import inspect
from functools import lru_cache
from types import FunctionType, MethodType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..fusion import FusedFunction
from ..fusion.arguments import Arguments
from ..fusion.bound import BoundFunction
from ..fusion.graph import Leaf
from ..fusion.program import Program
from ..fusion.reading import Same
from ..fusion.runs import Run
from ..fusion.specialisation import Specialisation, seen
from .arithmetic import DType
from .captures import repeated_alone, repeated_by_code
from .expressions import Finish, native_order

Array = NDArray[Any]


def check_finish(function: str, finish: Any) -> None:
    """Refuse what cannot be called with one array."""
    fits = callable(finish)
    if fits:
        try:
            signature = inspect.signature(finish)
        except (TypeError, ValueError):  # of some compiled functions it is not known
            return
        try:
            signature.bind(None)
        except TypeError:
            fits = False
    if not fits:
        raise TypeError(
            f"{function}: argument 'finish': expected a function of one array, got {finish!r}"
        )


def wrong_result(function: str, shape: tuple[int, ...], got: str) -> ValueError:
    return ValueError(
        f"{function}: argument 'finish': expected one result of shape {shape} that does not reduce "
        f"or contract, got {got}"
    )


def reduces(function: str) -> ValueError:
    return ValueError(
        f"{function}: argument 'finish': expected an elementwise function of the sums, got one "
        f"that reduces; reduce the result of {function} instead"
    )


def without_sums(function: str) -> ValueError:
    return ValueError(f"{function}: argument 'finish': expected a result that depends on the sums")


class _Kept:
    """A function of sums, and what was found for it last.

    Attributes
    ----------
    last : tuple or None
        What it depends on, what was found, the arguments of the trace, and the trace.
    came_again : bool
        Whether the same function was given with the same dependencies.
    repeated : tuple
        A trace, and what repeats it for all functions of this code, or None.
    """

    def __init__(self, fused: FusedFunction) -> None:
        self.fused = fused
        self.last: tuple[Any, tuple[Finish, DType], Arguments, Specialisation] | None = None
        self.came_again = False
        self.repeated: tuple[Any, Any] = None, None


def _new(function: str, finish: Any) -> _Kept:
    check_finish(function, finish)
    return _Kept(finish if isinstance(finish, FusedFunction) else FusedFunction(finish))


@lru_cache(maxsize=64)  # a function that is made anew for each call is traced for each
def _known(function: str, finish: Same | MethodType | BoundFunction, _: tuple[Same, ...]) -> _Kept:
    return _new(function, finish.value if isinstance(finish, Same) else finish)


def _kept(function: str, finish: Any) -> _Kept:
    """Return what is kept for this very function: one that is equal may differ, as 0.0 and -0.0.

    What has no hash changes, and is looked at in each call.
    """
    if type(finish).__hash__ is None:
        return _new(function, finish)
    # Methods are equal where both their parts are the same.
    is_method = isinstance(finish, (MethodType, BoundFunction))
    inner = finish.__func__ if is_method else finish
    parts = (inner.__code__, inner.__defaults__) if type(inner) is FunctionType else ()
    return _known(function, finish if is_method else Same(finish), tuple(map(Same, parts)))


def traced(
    function: str, finish: Any, shape: tuple[int, ...], dtype: DType
) -> tuple[Finish, DType]:
    """Return what `finish` does to sums of a dtype, and the dtype of its result.

    Parameters
    ----------
    function : str
        For messages.
    finish : callable
        Of one array; arrays from outside of it broadcast to the result.
    shape : tuple
        Of the sums.
    dtype : dtype

    Raises
    ------
    TypeError
        If it is no function of one array.
    ValueError
        If its result has another shape, or it reduces.
    """
    kept = _kept(function, finish)
    state = (shape, dtype, kept.fused.environment())
    last = kept.last
    if last is not None and last[0] == state:
        kept.came_again = True
        return last[1]
    sample = np.broadcast_to(np.zeros((), dtype), shape)
    arguments, spec = kept.fused.traced(sample)
    if spec.program.has_reductions:
        raise reduces(function)
    plan = spec.plan(arguments.shapes)
    run = plan.runs[0]
    if (
        len(plan.runs) > 1
        or not isinstance(run, Run)
        or plan.paths[0]
        or run.outputs[0].path
        or len(spec.dtypes) != 1
        or plan.shapes[0] != shape
    ):
        raise wrong_result(function, shape, ", ".join(map(str, plan.shapes)) or "none")
    arrays = spec.inputs(arguments)
    inputs = [seen(arrays, one) for one in run.inputs]
    sums = [i for i, one in enumerate(run.inputs) if spec.sources[one.array] == Leaf(0)]
    if any(run.inputs[i].path for i in sums):
        raise wrong_result(function, shape, "a view of the sums")
    if not sums:
        raise without_sums(function)
    program = _with_first(run.program, sums[0])
    given = [x for i, x in enumerate(inputs) if i != sums[0]]
    others = tuple(map(native_order, given))
    found = Finish(program, others), spec.dtypes[0]
    if all(x is y for x, y in zip(others, given, strict=True)):  # a copy would not follow its array
        kept.last = state, found, arguments, spec  # at once: other threads read it
    return found


def repeated(function: str, finish: Any, done: Finish) -> Any:
    """Return what repeats `finish`, for which `traced` has just returned `done`.

    Returns
    -------
    _fast.RepeatedFinish or None
        None where it is to be traced again, or may not come again.
    """
    kept = _kept(function, finish)
    last = kept.last
    if last is None or last[1][0] is not done:
        return None
    key = last[3], tuple(map(id, done.arrays))  # the trace keeps the arrays
    of, found = kept.repeated
    if of != key:
        found = repeated_by_code(finish, last[2], last[3], done.arrays)
        kept.repeated = key, found  # at once, as `last`
    if found is None and kept.came_again:
        return repeated_alone(finish, done.arrays)
    return found


def _with_first(program: Program, place: int) -> Program:
    """Return the program with one of its inputs before all others."""
    if place == 0:
        return program
    number = {place: 0}
    number.update({i: i + 1 for i in range(place)})

    def moved(value: int) -> int:
        return number.get(value, value)

    codes = list(program.inputs)
    codes.insert(0, codes.pop(place))
    return Program(
        tuple(codes),
        program.constants,
        tuple(i._replace(args=tuple(map(moved, i.args))) for i in program.instructions),
        tuple(map(moved, program.outputs)),
        tuple(map(moved, program.rows)),
    )
