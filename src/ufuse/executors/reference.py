"""The reference executor: every program in plain NumPy, one instruction after the other.

It is what runs where the extension is missing or a program has element types or operations that
are not compiled, and it is what tests compare the other executors with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import zip_longest
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..catalogue import operations
from ..fusion.instructions import EXPAND, Reduction
from ..fusion.program import COMPLEX, Program, find_ufunc

Array = NDArray[Any]

_MOST_AXES: Final = 31  # formulas may add one


def run_program(program: Program, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
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
    """
    values: list[Array] = [np.asarray(array) for array in inputs]
    values += [np.asarray(value) for _, value in program.constants]
    # Native kernels raise no floating-point warnings; neither does their reference.
    with np.errstate(all="ignore"):
        for operation, code, args in program.instructions:
            assert isinstance(operation, (str, Reduction)), "others are runs of their own"
            result = evaluate(operation, np.dtype(code), [values[arg] for arg in args])
            values.append(result)
        results = [values[value] for value in program.outputs]
        for output, result in zip(outputs, results, strict=True):
            returned_input = np.may_share_memory(output, result)
            np.copyto(output, result.copy() if returned_input else result, casting="unsafe")


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
