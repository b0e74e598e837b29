"""Linear layers: a product with weights, its bias and activation in the same pass."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import executors
from ..catalogue import OPERATIONS, Operation
from ..catalogue.dtypes import FLOATS
from ..fusion.program import Instruction, Program, code_of
from ..interop import accepts_buffers, asarray
from ..quant.array import QuantizedArray

Array = NDArray[Any]


def _is_activation(row: Operation) -> bool:
    """Whether a row is a function of one float, and public; or tanh, which is public in NumPy."""
    floats = all(s.inputs == (s.output,) and s.output in FLOATS for s in row.signatures)
    return floats and (row.public or row.name == "tanh")


# Names of `activation=`; each is an operation of the catalogue.
ACTIVATIONS = tuple(row.name for row in OPERATIONS if _is_activation(row))

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


@lru_cache(maxsize=256)
def epilogue(code: str, quantized: bool, bias: bool, activation: str | None) -> Program:
    """Return the program that turns the accumulators into the result.

    Its inputs are the accumulators, for quantized products the scale of the row and of the column,
    and the bias where there is one.
    """
    inputs = ["i4", "f4", "f4"] if quantized else [code]
    if bias:
        inputs.append(code)
    steps: list[Instruction] = []

    def step(operation: str, *args: int) -> int:
        steps.append(Instruction(operation, code, args))
        return len(inputs) + len(steps) - 1

    value = 0
    if quantized:
        value = step("multiply", step("multiply", step("cast", 0), 1), 2)
    if bias:
        value = step("add", value, len(inputs) - 1)
    if activation is not None:
        value = step(activation, value)
    return Program(tuple(inputs), (), tuple(steps), (value,))


@accepts_buffers("x", "bias")
def linear(
    x: ArrayLike,
    w: ArrayLike | QuantizedArray,
    bias: ArrayLike | None = None,
    activation: str | None = None,
    out: Array | None = None,
) -> Array:
    """Apply a linear layer: ``activation(x @ w.T + bias)``.

    Parameters
    ----------
    x : array_like, shape (..., in)
        float32 or float64, any strides.
    w : array_like or QuantizedArray, shape (out, in)
        Weights of the dtype of `x`, any strides; or int8 weights from
        ``quantize(w, "int8", axis=0)``, for float32 `x`.
    bias : array_like, shape (out,), optional
        Of the dtype of `x`.
    activation : str, optional
        Applied to the sum before it is stored: the name of a function of one array that ufuse adds
        to NumPy (``"relu"``, ``"gelu"``, ``"silu"``...), or ``"tanh"``. ``"gelu"`` is the erf form.
    out : ndarray, shape (..., out), optional
        Written to and returned; dtype of `x`. It may overlap the other arguments.

    Returns
    -------
    ndarray, shape (..., out)

    Raises
    ------
    ValueError
        If shapes disagree, the activation is unknown, or the sums of an int8 product could
        overflow int32 (`in` above 132104). Nothing has been written then.
    TypeError
        If dtypes disagree.

    Notes
    -----
    With int8 weights every row of `x` is quantized on the way, symmetrically with a scale of its
    own (largest magnitude / 127, half to even); the integer sums are exact, and scales, bias and
    activation are applied to them before they leave the cache. The packed form of the weights is
    kept with them after the first call.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> x = np.float32([[1.0, -2.0]])
    >>> w = np.float32([[1.0, 0.5], [3.0, 0.0], [0.0, 1.0]])
    >>> uf.linear(x, w, activation="relu")
    array([[0., 3., 0.]], dtype=float32)
    """
    quantized = isinstance(w, QuantizedArray)
    array = np.asarray(x)
    weights = (
        w.data
        if isinstance(w, QuantizedArray)
        else asarray(w, function="ufuse.linear", argument="w")
    )
    shift = None if bias is None else np.asarray(bias)
    _check(array, w if isinstance(w, QuantizedArray) else weights, shift, activation)
    dtype = array.dtype.newbyteorder("=")
    array = array.astype(dtype, copy=False)  # a byte-swapped array is converted
    weights = weights.astype(weights.dtype.newbyteorder("="), copy=False)
    shape = (*array.shape[:-1], weights.shape[0])
    target = executors.empty(shape, dtype) if out is None else out
    if target.shape != shape or target.dtype != dtype:
        raise (ValueError if target.shape != shape else TypeError)(
            f"ufuse.linear: argument 'out': expected shape {shape} and dtype {dtype}, got shape "
            f"{target.shape} and dtype {target.dtype}"
        )
    rows = array.reshape(math.prod(array.shape[:-1]), array.shape[-1])
    result = _as_rows(target, weights.shape[0])
    if out is not None:
        rows = rows.copy() if executors.overlap(rows, out) else rows
        weights = weights.copy() if executors.overlap(weights, out) else weights
        shift = shift.copy() if shift is not None and executors.overlap(shift, out) else shift
    if shift is not None:
        shift = shift.astype(dtype, copy=False)
    program = epilogue(code_of(dtype), quantized, shift is not None, activation)
    if isinstance(w, QuantizedArray):
        scale = np.broadcast_to(w.scale, weights.shape[:1])
        if executors.native is None:
            _reference_int8(rows, weights, scale, shift, program, result)
        else:
            executors.native.linear_int8(rows, w, weights, scale, shift, program, result)
    elif executors.native is None:
        extras = () if shift is None else (shift,)
        executors.run_program(program, (rows @ weights.T, *extras), (result,))
    else:
        executors.native.linear(rows, weights, shift, program, result)
    if not np.may_share_memory(result, target):  # it is a view of `target`, or memory of its own
        np.copyto(target, result.reshape(shape))
    return target


def _as_rows(target: Array, columns: int) -> Array:
    """View the result as a matrix; where its strides allow no such view, a temporary one."""
    try:
        return target.reshape(math.prod(target.shape[:-1]), columns, copy=False)
    except ValueError:
        return np.empty((math.prod(target.shape[:-1]), columns), target.dtype)


def _reference_int8(
    x: Array, w: Array, scale: Array, bias: Array | None, program: Program, out: Array
) -> None:
    largest = np.max(np.abs(x), axis=-1, initial=0)
    row_scale = np.where(largest == 0, np.float32(1), largest / np.float32(127))[:, None]
    codes = np.rint(x / row_scale)
    # float64 holds sums of int8 products exactly.
    sums = (codes.astype(np.float64) @ w.T.astype(np.float64)).astype(np.int32)
    extras = () if bias is None else (bias,)
    executors.run_program(program, (sums, row_scale, scale, *extras), (out,))


def _check(x: Array, w: Array | QuantizedArray, bias: Array | None, activation: str | None) -> None:
    if activation is not None and not (isinstance(activation, str) and activation in ACTIVATIONS):
        raise ValueError(
            f"ufuse.linear: argument 'activation': expected None or one of "
            f"{', '.join(ACTIVATIONS)}, got {activation!r}"
        )
    dtype = x.dtype.newbyteorder("=")
    if dtype not in _FLOATS:
        raise TypeError(
            f"ufuse.linear: argument 'x': expected float32 or float64, got dtype {x.dtype}"
        )
    if isinstance(w, QuantizedArray):
        if dtype != np.float32:
            raise TypeError(
                f"ufuse.linear: argument 'x': expected float32 with int8 weights, got {x.dtype}; "
                "convert it with x.astype(np.float32)"
            )
        if w.scheme != "int8" or w.zero_point.any():
            raise ValueError(
                f"ufuse.linear: argument 'w': expected symmetric int8 codes, got {w!r}; use "
                "ufuse.quantize(w, 'int8', axis=0)"
            )
        if w.axis not in (None, 0) or w.block_size is not None:
            raise ValueError(
                f"ufuse.linear: argument 'w': expected one scale per output channel (axis 0), got "
                f"axis {w.axis}; use ufuse.quantize(w, 'int8', axis=0)"
            )
    elif w.dtype.newbyteorder("=") != dtype:
        raise TypeError(
            f"ufuse.linear: argument 'w': expected the dtype of x, {dtype}, or a QuantizedArray, "
            f"got dtype {w.dtype}"
        )
    if len(w.shape) != 2 or x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise ValueError(
            f"ufuse.linear: argument 'w': expected shape (out, in) with in the last axis of x, "
            f"whose shape is {x.shape}, got shape {w.shape}"
        )
    if bias is not None:
        if bias.shape != w.shape[:1]:
            raise ValueError(
                f"ufuse.linear: argument 'bias': expected shape {w.shape[:1]}, got {bias.shape}"
            )
        if not np.can_cast(bias.dtype, dtype, "same_kind"):
            raise TypeError(
                f"ufuse.linear: argument 'bias': expected dtype {dtype}, got {bias.dtype}"
            )
