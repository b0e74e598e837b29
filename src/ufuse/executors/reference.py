"""The reference executor: every program in plain NumPy, one instruction after the other.

It is what runs where the extension is missing or a program has element types or operations that
are not compiled, and it is what tests compare the other executors with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ..catalogue import operations
from ..fusion.instructions import EXPAND, Reduction
from ..fusion.program import COMPLEX, Program, find_ufunc

if TYPE_CHECKING:
    from .float_errors import Heard

Array = NDArray[Any]

_MOST_AXES: Final = 31  # formulas may add one


def run_program(
    program: Program,
    inputs: Sequence[Array],
    outputs: Sequence[Array],
    heard: Heard | None = None,
) -> None:
    """Run `program`.

    Parameters
    ----------
    program : Program
        What to compute.
    inputs : sequence of ndarray
        One array for each input, of its element type in any byte order. They broadcast against
        each other by NumPy's rules.
    outputs : sequence of ndarray
        One writable array for each output, of its element type, to which the result broadcasts.
        Written after everything has been computed, so they may overlap the inputs.
    heard : Heard, optional
        Takes down floating-point errors; without it they are ignored.
    """
    values = values_of(program, inputs, heard)
    for output, value in zip(outputs, program.outputs, strict=True):
        result = values[value]
        returned_input = np.may_share_memory(output, result)
        with np.errstate(all="ignore"):
            np.copyto(output, result.copy() if returned_input else result, casting="unsafe")


def values_of(program: Program, inputs: Sequence[Array], heard: Heard | None = None) -> list[Array]:
    """Return all values of a program; `heard` takes down floating-point errors."""
    values: list[Array] = [np.asarray(array) for array in inputs]
    values += [np.asarray(value) for _, value in program.constants]
    how: dict[str, Any] = {"all": "ignore"} if heard is None else {"all": "log", "call": heard}
    with np.errstate(**how):
        for place, (operation, code, args) in enumerate(program.instructions):
            assert isinstance(operation, (str, Reduction)), "others are runs of their own"
            operands, dtype = [values[arg] for arg in args], np.dtype(code)
            if heard is not None:
                heard.place = place
                if not _says_it_itself(operation, operands):
                    with np.errstate(all="ignore"):
                        values.append(evaluate(operation, dtype, operands))
                    continue
            values.append(evaluate(operation, dtype, operands))
    return values


#: NumPy's functions for reductions.
NUMPY: Final[dict[tuple[str, str], Any]] = {
    ("sum", "value"): np.sum,
    ("prod", "value"): np.prod,
    ("sum", "mean"): np.mean,
    ("moments", "variance"): np.var,
    ("moments", "deviation"): np.std,
}


def _says_it_itself(operation: str | Reduction, args: Sequence[Array]) -> bool:
    """Whether `evaluate` gives the warnings of NumPy's own function; else that is called here.

    What NumPy has no function for gives none, as in scipy.special.
    """
    if isinstance(operation, Reduction):
        reduce_as_numpy(operation, args[0])
        return False
    row = operations.BY_NAME.get(operation)
    if row is None or operation == "cast" or row.reference is row.ufunc:
        return True
    if row.ufunc is not None:
        row.ufunc(*args)
    return False


def reduce_as_numpy(reduction: Reduction, x: Array) -> None:
    """Reduce by NumPy's own function, where there is one, for its warnings."""
    function = NUMPY.get((reduction.reducer, reduction.finish))
    if function is not None:
        ddof = {"ddof": reduction.ddof} if reduction.reducer == "moments" else {}
        function(x, axis=reduction.axes, **ddof)


def _applied(formula: Callable[..., Any], args: Sequence[Array]) -> Any:
    """Apply a formula of elements; to arrays of many axes, which NumPy's `choose` refuses, flat."""
    if all(arg.ndim <= _MOST_AXES for arg in args):
        return formula(*args)
    ends = zip_longest(*(arg.shape[::-1] for arg in args), fillvalue=1)  # `broadcast`: 32 axes
    shape = tuple(next((n for n in extents if n != 1), 1) for extents in ends)[::-1]
    flat = [np.broadcast_to(arg, shape).reshape(-1) if arg.ndim else arg for arg in args]
    return np.asarray(formula(*flat)).reshape(shape)


def evaluate(operation: str | Reduction, dtype: np.dtype[Any], args: Sequence[Array]) -> Array:
    """Apply one operation to whole arrays; the result has `dtype`."""
    if isinstance(operation, Reduction):
        room: Any = import_module("ufuse.reduce.fused")
        return np.asarray(room.reduced(operation, args[0], dtype))
    if operation == EXPAND:
        (result,) = args  # NumPy broadcasts
    elif operation in operations.BY_NAME:
        result = _applied(operations.BY_NAME[operation].reference, args)
    elif operation in COMPLEX:
        result = COMPLEX[operation][1](*args)
    else:
        found = find_ufunc(operation)
        if found is None:
            raise ValueError(f"ufuse: no operation {operation!r}")
        ufunc, which = found
        result = ufunc(*args)
        if ufunc.nout > 1:
            result = result[which]
    return np.asarray(result).astype(dtype, copy=False)
