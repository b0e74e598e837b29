"""Linear quantization by ONNX's convention: QuantizeLinear and DequantizeLinear (opset 21).

Each function is one program of one instruction; scale and zero point are broadcast operands, so
that per tensor and per axis are the same pass over memory.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import executors
from ..fusion.program import Instruction, Program, code_of
from ..interop import accepts_buffers

Array = NDArray[Any]

CODE_DTYPES = (np.dtype(np.int8), np.dtype(np.uint8))
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.float16))


@lru_cache(maxsize=64)
def program_of(operation: str, inputs: tuple[str, ...], output: str) -> Program:
    """Return the program of one catalogue operation."""
    return Program(inputs, (), (Instruction(operation, output, (0, 1, 2)),), (3,))


class _Parameters(NamedTuple):
    """Scale and zero point, shaped to broadcast against the array."""

    scale: Array
    zero_point: Array


def _float_dtype(x: Array, function: str) -> np.dtype[Any]:
    dtype = x.dtype.newbyteorder("=")
    if dtype not in _FLOATS:
        raise TypeError(
            f"ufuse.{function}: argument 'x': expected float32, float64 or float16, got dtype "
            f"{x.dtype}; convert it with x.astype(np.float32)"
        )
    return dtype


def _read_dtype(dtype: DTypeLike, expected: str, function: str) -> np.dtype[Any]:
    try:
        return np.dtype(dtype).newbyteorder("=")
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"ufuse.{function}: argument 'dtype': expected {expected}, got {dtype!r}"
        ) from error


def read_axis(axis: Any, ndim: int, function: str) -> int:
    """Return `axis` counted from the front; raise, naming `function`, where there is none such."""
    try:
        return int(np.lib.array_utils.normalize_axis_index(axis, ndim, f"ufuse.{function}"))
    except TypeError:
        raise TypeError(
            f"ufuse.{function}: argument 'axis': expected an int or None, got {axis!r}"
        ) from None


def _code_dtype(dtype: DTypeLike | None, zero_point: Any, function: str) -> np.dtype[Any]:
    """Return the dtype of the codes: `dtype`, else the zero point's, else uint8 as in ONNX."""
    own = getattr(zero_point, "dtype", None)
    if dtype is None:
        dtype = own if own is not None else np.uint8
    code = _read_dtype(dtype, "int8 or uint8", function)
    if code not in CODE_DTYPES:
        source = "dtype" if own is None or np.dtype(own) != code else "zero_point"
        raise TypeError(
            f"ufuse.{function}: argument '{source}': expected int8 or uint8, got dtype {code}; "
            "pass dtype=np.int8 or dtype=np.uint8"
        )
    if own is not None and np.dtype(own).newbyteorder("=") in CODE_DTYPES and np.dtype(own) != code:
        raise TypeError(
            f"ufuse.{function}: argument 'zero_point': expected dtype {code} (as dtype= says), got "
            f"{own}; convert it or leave dtype= out"
        )
    return code


def _along_axis(value: Array, x: Array, axis: int | None, name: str, function: str) -> Array:
    """Shape a scalar or 1-d `value` so that it broadcasts against `x` along `axis`."""
    if value.ndim == 0 or (value.size == 1 and axis is None):
        return value.reshape(())
    if value.ndim != 1:
        raise ValueError(
            f"ufuse.{function}: argument '{name}': expected a scalar or one value per index of "
            f"axis, got shape {value.shape}"
        )
    if axis is None:
        raise ValueError(
            f"ufuse.{function}: argument '{name}': got {value.size} values but no axis; pass axis= "
            "for the axis of x they belong to"
        )
    place = read_axis(axis, x.ndim, function)
    if value.size != x.shape[place]:
        raise ValueError(
            f"ufuse.{function}: argument '{name}': expected {x.shape[place]} values for axis "
            f"{axis} of x, whose shape is {x.shape}, got {value.size}"
        )
    return value.reshape([-1 if i == place else 1 for i in range(x.ndim)])


def _parameters(
    x: Array,
    scale: Any,
    zero_point: Any,
    axis: int | None,
    dtype: np.dtype[Any],
    code: np.dtype[Any],
    function: str,
) -> _Parameters:
    if axis is not None:
        read_axis(axis, x.ndim, function)
    scales = np.asarray(scale)
    if scales.dtype.kind not in "fiu":
        raise TypeError(
            f"ufuse.{function}: argument 'scale': expected floating-point values, got dtype "
            f"{scales.dtype}"
        )
    limits = np.iinfo(code)
    if type(zero_point) is int and not limits.min <= zero_point <= limits.max:
        raise ValueError(  # before NumPy makes an object of an integer that no dtype holds
            f"ufuse.{function}: argument 'zero_point': expected values from {limits.min} to "
            f"{limits.max} ({code}), got {zero_point}"
        )
    zeros = np.asarray(0 if zero_point is None else zero_point)
    if zeros.dtype.kind not in "iu":
        raise TypeError(
            f"ufuse.{function}: argument 'zero_point': expected integers of the codes' dtype "
            f"{code}, got dtype {zeros.dtype}"
        )
    if zeros.size and (zeros.min() < limits.min or zeros.max() > limits.max):
        raise ValueError(
            f"ufuse.{function}: argument 'zero_point': expected values from {limits.min} to "
            f"{limits.max} ({code}), got {zeros.min()} to {zeros.max()}"
        )
    if zeros.ndim and zeros.shape != scales.shape:
        raise ValueError(
            f"ufuse.{function}: argument 'zero_point': expected the shape of scale, "
            f"{scales.shape}, or a scalar, got shape {zeros.shape}"
        )
    return _Parameters(
        _along_axis(scales.astype(dtype, copy=False), x, axis, "scale", function),
        _along_axis(zeros.astype(code, copy=False), x, axis, "zero_point", function),
    )


def _output(out: Array | None, x: Array, dtype: np.dtype[Any], function: str) -> Array:
    if out is None:
        return executors.empty(x.shape, dtype)
    if not isinstance(out, np.ndarray):  # a tuple: everything else is an array by now
        raise TypeError(
            f"ufuse.{function}: argument 'out': expected one array, got {type(out).__name__}"
        )
    if out.shape != x.shape or out.dtype != dtype:
        raise (TypeError if out.dtype != dtype else ValueError)(
            f"ufuse.{function}: argument 'out': expected shape {x.shape} and dtype {dtype}, got "
            f"shape {out.shape} and dtype {out.dtype}"
        )
    return out


def _run(
    operation: str, x: Array, parameters: _Parameters, result: np.dtype[Any], out: Array | None
) -> Array:
    target = _output(out, x, result, operation)
    inputs: tuple[Array, ...] = (x, *parameters)
    program = program_of(operation, tuple(code_of(a.dtype) for a in inputs), code_of(result))
    if out is not None:
        inputs = tuple(executors.apart(array, target) for array in inputs)
    executors.run_program(program, inputs, (target,))
    return target


@executors.fast_linear
@accepts_buffers("x", "scale", "zero_point")
def quantize_linear(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike | None = None,
    *,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    """Quantize to 8-bit codes: ``saturate(round_half_even(x / scale) + zero_point)``.

    Parameters
    ----------
    x : array_like
        float32 (native), float64 or float16 (reference executor), any shape and strides.
    scale : array_like
        A scalar, or with `axis` one value per index of that axis. Converted to the dtype of `x`.
    zero_point : array_like, optional
        Of the codes' dtype, or a Python integer; a scalar or the shape of `scale`. 0 by default.
    axis : int, optional
        The axis of `x` that a 1-d `scale` belongs to.
    dtype : dtype_like, optional
        int8 or uint8; by default the zero point's dtype, or uint8.
    out : ndarray, optional
        Written to and returned; shape of `x`, dtype of the codes. It may overlap `x`.

    Returns
    -------
    ndarray
        Codes, int8 or uint8, in the shape of `x`.

    Raises
    ------
    TypeError
        If a dtype is none of those above.
    ValueError
        If shapes disagree or a zero point is out of range. Nothing has been written then.

    Notes
    -----
    ONNX QuantizeLinear-21, bit for bit as onnxruntime computes it: a true division in the dtype of
    `x`, half to even, the zero point added after rounding, clamped before the conversion to
    integers. NaN gives the smallest code, infinities the ends. The bits do not depend on threads,
    strides or CPU.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.quantize_linear(np.float32([-1.0, 0.25, 9.0]), 0.1, dtype=np.int8)
    array([-10,   2,  90], dtype=int8)
    """
    array = np.asarray(x)
    compute = _float_dtype(array, "quantize_linear")
    code = _code_dtype(dtype, zero_point, "quantize_linear")
    parameters = _parameters(array, scale, zero_point, axis, compute, code, "quantize_linear")
    return _run("quantize_linear", array, parameters, code, out)


@executors.fast_linear
@accepts_buffers("x", "scale", "zero_point")
def dequantize_linear(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike | None = None,
    *,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    """Turn codes back into numbers: ``(x - zero_point) * scale``.

    Parameters
    ----------
    x : array_like
        int8, uint8 or int32 codes, any shape and strides.
    scale : array_like
        A scalar, or with `axis` one value per index of that axis.
    zero_point : array_like, optional
        Of the dtype of `x`, or a Python integer; a scalar or the shape of `scale`. 0 by default.
    axis : int, optional
        The axis of `x` that a 1-d `scale` belongs to.
    dtype : dtype_like, optional
        float32 (default, native), float64 or float16 (reference executor): the arithmetic and the
        result.
    out : ndarray, optional
        Written to and returned; shape of `x`, dtype of the result. It may overlap `x`.

    Returns
    -------
    ndarray
        Numbers in the shape of `x`.

    Raises
    ------
    TypeError
        If a dtype is none of those above.
    ValueError
        If shapes disagree or a zero point is out of range. Nothing has been written then.

    Notes
    -----
    ONNX DequantizeLinear-21: the difference is exact, the product rounds once.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.dequantize_linear(np.int8([-10, 2, 90]), 0.1)
    array([-1. ,  0.2,  9. ], dtype=float32)
    """
    array = np.asarray(x)
    code = array.dtype.newbyteorder("=")
    if code not in (*CODE_DTYPES, np.dtype(np.int32)):
        raise TypeError(
            f"ufuse.dequantize_linear: argument 'x': expected int8, uint8 or int32 codes, got "
            f"dtype {array.dtype}"
        )
    result = _read_dtype(
        np.float32 if dtype is None else dtype, "float32, float64 or float16", "dequantize_linear"
    )
    if result not in _FLOATS:
        raise TypeError(
            f"ufuse.dequantize_linear: argument 'dtype': expected float32, float64 or float16, got "
            f"{result}"
        )
    own = getattr(zero_point, "dtype", None)
    if own is not None and np.dtype(own).newbyteorder("=") != code:
        raise TypeError(
            f"ufuse.dequantize_linear: argument 'zero_point': expected the dtype of x, {code}, got "
            f"{own}"
        )
    parameters = _parameters(array, scale, zero_point, axis, result, code, "dequantize_linear")
    return _run("dequantize_linear", array, parameters, result, out)


@executors.fast_linear
@accepts_buffers("x", "scale", "zero_point")
def fake_quantize(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike | None = None,
    *,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    """Round numbers to what their codes stand for: quantize and dequantize in one pass.

    Parameters
    ----------
    x, scale, zero_point, axis
        As for `quantize_linear`.
    dtype : dtype_like, optional
        int8 or uint8, the dtype the codes would have; by default the zero point's, or uint8.
    out : ndarray, optional
        Written to and returned; shape and dtype of `x`. It may overlap `x`.

    Returns
    -------
    ndarray
        Shape and dtype of `x`; equal to
        ``dequantize_linear(quantize_linear(x, scale, zero_point), scale, zero_point)``.

    Raises
    ------
    TypeError, ValueError
        As `quantize_linear`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.fake_quantize(np.float32([-1.0, 0.26, 99.0]), 0.5, dtype=np.int8)
    array([-1. ,  0.5, 63.5], dtype=float32)
    """
    array = np.asarray(x)
    compute = _float_dtype(array, "fake_quantize")
    code = _code_dtype(dtype, zero_point, "fake_quantize")
    parameters = _parameters(array, scale, zero_point, axis, compute, code, "fake_quantize")
    return _run("fake_quantize", array, parameters, compute, out)
