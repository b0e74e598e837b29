"""Codes of one scale to codes of another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import executors
from ..catalogue import conventions
from ..interop import accepts_buffers
from .arguments import (
    as_stored,
    codes_wanted,
    low_bits,
    read_codes,
    read_operands,
    read_output,
    read_spec,
)
from .programs import requantizer
from .record import refuse_record

Array = NDArray[Any]


@accepts_buffers("x", "scale", "zero_point", "out_scale", "out_zero_point", check=refuse_record)
def requantize(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike | None,
    out_scale: ArrayLike,
    out_zero_point: ArrayLike | None = None,
    *,
    axis: int | None = None,
    dtype: DTypeLike | str | None = None,
    spec: str = "onnx",
    out: Array | None = None,
) -> Array:
    """Turn codes, or int32 sums of products, of one scale into codes of another.

    Parameters
    ----------
    x : array_like
        Integer codes, or int32 accumulators, whose scale is the product of their factors' scales.
    scale, zero_point : array_like
        Of `x`: scalars, or with `axis` one value per index of that axis.
    out_scale, out_zero_point : array_like
        Of the result: scalars.
    axis : int, optional
        The axis of `x` that a 1-d `scale` belongs to.
    dtype : dtype_like or str, optional
        Of the result; by default that of `out_zero_point`, or uint8.
    spec : {"onnx", "torch", "torchao", "litert"}
        ``"litert"`` stays in integers, as TFLite's reference kernels (a doubling high product and a
        rounding shift); the others are onnxruntime's QLinear operators.
    out : ndarray, optional
        Written to and returned; shape of `x`, dtype of the codes.

    Returns
    -------
    ndarray
        Codes in the shape of `x`.

    Raises
    ------
    TypeError, ValueError
        As `quantize_linear`.

    Notes
    -----
    ``saturate(round_half_even(float32(x - zero_point) * (scale / out_scale)) + out_zero_point)``,
    the quotient of the scales rounded to float32: not the same as dequantizing and quantizing.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.requantize(np.int32([1000, -1000, 300]), 0.01, 0, 0.1, dtype=np.int8)
    array([ 100, -100,   30], dtype=int8)
    """
    function = "requantize"
    array, given = read_codes(x, function)
    code = codes_wanted(dtype, out_zero_point, function)
    read_spec(spec, function)
    if given.is_float or code.is_float:
        raise TypeError(
            f"ufuse.{function}: argument 'x': expected integer codes to integer codes, got "
            f"{given.name} to {code.name}"
        )
    wide = "f8" if spec == "litert" else "f4"
    operands = read_operands(array, scale, zero_point, axis, None, wide, given, function)
    shapes = [np.shape(value) for value in (out_scale, out_zero_point) if value is not None]
    if any(shapes):
        raise ValueError(
            f"ufuse.{function}: argument 'out_scale': expected a scalar, and so out_zero_point, "
            f"got shapes {shapes}"
        )
    last = read_operands(array, out_scale, out_zero_point, None, None, wide, code, function)
    target = read_output(out, array.shape, code.dtype, function)
    if out is not None:
        operands, last = operands.apart(target), last.apart(target)
    codes = as_stored(target, code)
    if spec == "litert":
        numbers = operands.x if given.bits >= 8 else np.asarray(x).astype(np.int8)
        found = conventions.requantize(
            numbers, operands.scale, operands.zero_point, last.scale, last.zero_point,
            code.low, code.high, "litert",
        )  # fmt: skip
        codes[...] = low_bits(found, code)
        return target
    with np.errstate(all="ignore"):
        factor = np.asarray(operands.scale / last.scale)
    inputs = (operands.x, factor, operands.zero_point, last.zero_point)
    executors.run_program(requantizer(given, code), inputs, (codes,))
    return target
