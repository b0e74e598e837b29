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
    block_size: int | tuple[int, ...] | None = None,
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
        Of `x`: scalars; with `axis` one value per index of that axis; with `block_size` one per
        block.
    out_scale, out_zero_point : array_like
        Of the result: scalars.
    axis, block_size
        As for `quantize_linear`.
    dtype : dtype_like or str, optional
        Of the result; by default that of `out_zero_point`, or uint8.
    spec : {"onnx", "torch", "torch-2.15", "torchao", "litert"}
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
        As `quantize_linear`; and ValueError where ``spec="litert"`` gets a scale that is not a
        positive, finite number, of which there is no multiplier. Nothing has been written then.

    Notes
    -----
    ``saturate(round_half_even(float32(x - zero_point) * (scale / out_scale)) + out_zero_point)``,
    the quotient of the scales rounded to float32: not the same as dequantizing and quantizing.
    Where the quotient is NaN or infinite (scales of 0), so is the product, and NaN gives the
    smallest code.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.requantize(np.int32([1000, -1000, 300]), 0.01, 0, 0.1, dtype=np.int8)
    array([ 100, -100,   30], dtype=int8)
    """
    function = "requantize"
    array, given = read_codes(x, function)
    code = codes_wanted(dtype, out_zero_point, function, "out_zero_point")
    read_spec(spec, function)
    if given.is_float or code.is_float:
        raise TypeError(
            f"ufuse.{function}: argument 'x': expected integer codes to integer codes, got "
            f"{given.name} to {code.name}"
        )
    wide = "f8" if spec == "litert" else "f4"
    operands = read_operands(array, scale, zero_point, axis, block_size, wide, given, function)
    shapes = [np.shape(value) for value in (out_scale, out_zero_point) if value is not None]
    if any(shapes):
        raise ValueError(
            f"ufuse.{function}: argument 'out_scale': expected a scalar, and so out_zero_point, "
            f"got shapes {shapes}"
        )
    last = read_operands(array, out_scale, out_zero_point, None, None, wide, code, function, "out_")
    with np.errstate(all="ignore"):
        factor = np.asarray(operands.scale / last.scale)
    if spec == "litert":
        _check_positive(operands.scale, last.scale, factor)
    target = read_output(out, array.shape, code.dtype, function)
    if out is not None:
        operands, last = operands.apart(target), last.apart(target)
    codes = as_stored(target, code)
    if spec == "litert":
        numbers = operands.x if given.bits >= 8 else np.asarray(x).astype(np.int8)
        for part, scales, zeros, into in operands._replace(x=numbers).parts(codes):
            found = conventions.requantize(
                part, scales, zeros, last.scale, last.zero_point, code.low, code.high, "litert"
            )
            into[...] = low_bits(found, code)
        return target
    program = requantizer(given, code)
    for part, factors, zeros, into in operands._replace(scale=factor).parts(codes):
        executors.run_program(program, (part, factors, zeros, last.zero_point), (into,))
    return target


def _check_positive(scale: Array, out_scale: Array, factor: Array) -> None:
    """Refuse scales that TFLite's integers cannot express the quotient of."""
    for name, value in (("scale", scale), ("out_scale", out_scale)):
        wrong = value[~(np.isfinite(value) & (value > 0))]
        if wrong.size:
            raise ValueError(
                f"ufuse.requantize: argument '{name}': expected positive, finite numbers for "
                f"spec='litert', which multiplies integers, got {wrong[0]}; spec='onnx' computes "
                "with any"
            )
    if not np.all(np.isfinite(factor)):
        raise ValueError(
            "ufuse.requantize: argument 'out_scale': expected a quotient scale / out_scale within "
            f"float64, got {out_scale}; spec='onnx' computes with any"
        )
