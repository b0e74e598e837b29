"""Linear quantization by the range of the data: ONNX's DynamicQuantizeLinear."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import executors
from ..interop import accepts_buffers
from ..reduce import minmax
from .arguments import float_name, read_output
from .codes import BY_NAME as CODES
from .linear import quantize_linear
from .programs import quantizer
from .record import refuse_record
from .scales import choose_scale_onnx

Array = NDArray[Any]


class DynamicallyQuantized(NamedTuple):
    """What `dynamic_quantize_linear` gives."""

    codes: Array
    scale: np.float32
    zero_point: np.uint8


@executors.fast_dynamic(quantizer("quantize_linear", "f4", CODES["uint8"]), DynamicallyQuantized)
@accepts_buffers("x", check=refuse_record)
def dynamic_quantize_linear(x: ArrayLike, *, out: Array | None = None) -> DynamicallyQuantized:
    """Quantize to uint8 with the scale and zero point that the range of the data asks for.

    Parameters
    ----------
    x : array_like
        float32, any shape and strides.
    out : ndarray, optional
        uint8, shape of `x`: the codes are written to it.

    Returns
    -------
    DynamicallyQuantized
        A named tuple: `codes` (uint8), `scale` (float32), `zero_point` (uint8).

    Raises
    ------
    TypeError
        If `x` is not float32.
    ValueError
        If `x` has NaN: there is no range. If `out` has another shape. Nothing has been written
        then.

    Notes
    -----
    ONNX DynamicQuantizeLinear-11: the range is widened to hold 0, ``scale = (max - min) / 255``
    (1/255 where all is 0; onnxruntime has 1.0 there, with the same codes),
    ``zero_point = round_half_even(saturate(-min / scale))``. An infinity makes the scale infinite
    and so every finite element 0, as in onnxruntime: clip `x` where it may have one.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.dynamic_quantize_linear(np.float32([-1, 0, 1.55])).codes
    array([  0, 100, 255], dtype=uint8)
    """
    function = "dynamic_quantize_linear"
    array = np.asarray(x)
    if float_name(array.dtype) != "f4":
        raise TypeError(
            f"ufuse.{function}: argument 'x': expected float32, got dtype {array.dtype}; "
            "convert it with x.astype(np.float32)"
        )
    if out is not None:
        read_output(out, array.shape, np.dtype(np.uint8), function)
    low, high = minmax(array) if array.size else (np.float32(0), np.float32(0))
    if np.isnan(low):
        raise ValueError(
            f"ufuse.{function}: argument 'x': expected numbers, got NaN; replace them "
            "(np.nan_to_num), or give quantize_linear a scale"
        )
    with np.errstate(all="ignore"):
        scale, zero = choose_scale_onnx(np.asarray(low), np.asarray(high), 0, 255, False)
    codes = quantize_linear(array, np.float32(scale), np.uint8(zero), out=out)
    return DynamicallyQuantized(codes, np.float32(scale), np.uint8(zero))
