"""Quantization by a scheme: ranges found in the data, scales made of them, codes."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import executors
from ..executors import empty
from ..interop import asarray
from ..reduce import minmax
from .arguments import Operands, as_stored, float_name, read_axis, read_blocks, read_operands
from .array import PACKED, QuantizedArray
from .codes import BY_NAME as CODES
from .codes import CodeType, code_type
from .grid import Blocks
from .linear import quantize_linear
from .packing import nibble_quantizer, pack, packed_shape, paired
from .record import refuse_record
from .scales import scale_of_range

Array = NDArray[Any]


@overload
def quantize(
    x: list[Array] | tuple[Array, ...],
    scheme: DTypeLike | str = ...,
    *,
    axis: int | None = ...,
    block_size: int | tuple[int, ...] | None = ...,
    symmetric: bool | None = ...,
    observer: Any = ...,
) -> list[QuantizedArray]: ...
@overload
def quantize(
    x: ArrayLike,
    scheme: DTypeLike | str = ...,
    *,
    axis: int | None = ...,
    block_size: int | tuple[int, ...] | None = ...,
    symmetric: bool | None = ...,
    observer: Any = ...,
) -> QuantizedArray: ...
def quantize(
    x: Any,
    scheme: DTypeLike | str = "int8",
    *,
    axis: int | None = None,
    block_size: int | tuple[int, ...] | None = None,
    symmetric: bool | None = None,
    observer: Any = None,
) -> QuantizedArray | list[QuantizedArray]:
    """Quantize an array by a scheme, its scales taken from the data.

    Parameters
    ----------
    x : array_like, or list of arrays
        float32, float16, bfloat16 or float64, any shape, strides and byte order; finite in float32.
        Lists of numbers are read as float64. Of a list of arrays each is quantized alike, and the
        results are a list.
    scheme : str or dtype_like
        What the codes are: ``"int8" "uint8" "int16" "uint16" "int4" "uint4" "int2" "uint2"``, or
        a float of 8, 6 or 4 bits: ``"float8_e4m3fn" "float8_e5m2" "float4_e2m1fn"``... Or such a
        dtype: ``np.int8``, ``ml_dtypes.int4``.
    axis : int, optional
        One scale per index of this axis (0 for the output channels of a weight of shape
        (out, in)), or the axis that blocks run along; one scale for all by default.
    block_size : int or tuple of int, optional
        One scale per so many elements along `axis`, or, a number for each axis, per such block.
        The last block of an axis may have fewer.
    symmetric : bool, optional
        Whether 0 has the code 0 and codes go as far down as up (-127 to 127), ``scale =
        max(abs(x)) / 127``. By default for signed codes; floating codes are symmetric always.
        Otherwise the range is widened to hold 0, and its ends get the smallest and the largest
        code.
    observer : ufuse.observers.Observer, optional
        What has seen the data that the scale is for: its `scale_zero_point` is asked, and `x` may
        go beyond. By default the smallest and the largest element of `x` (of the index, the block).

    Returns
    -------
    QuantizedArray, or list of them

    Raises
    ------
    ValueError
        If the scheme is unknown, `x` is not finite, or scales and `x` do not fit.
    TypeError
        If `x` is of none of those dtypes.

    Notes
    -----
    Scales are float32 whatever `x` is. float16 and bfloat16 are quantized as the float32 they are.
    Of float64 the range is rounded to float32, and a magnitude beyond that type's is an error; what
    is divided by the scale is float64, and rounded once.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> q = uf.quantize(np.float32([[1.0, -2.0], [0.5, 0.25]]), "int8", axis=0)
    >>> q
    QuantizedArray(shape=(2, 2), int8 symmetric, 2 scales on axis 0, 13 bytes)
    >>> q.data
    array([[  64, -127],
           [ 127,   64]], dtype=int8)
    >>> uf.quantize(np.ones((2, 64), np.float32), "int4", axis=1, block_size=32)
    QuantizedArray(shape=(2, 64), int4 symmetric, 4 scales, blocks of 32 on axis 1, 81 bytes)
    """
    if isinstance(x, (list, tuple)) and x and all(isinstance(part, np.ndarray) for part in x):
        how: dict[str, Any] = {"axis": axis, "block_size": block_size, "symmetric": symmetric}
        return [_quantize(part, scheme, observer=observer, **how) for part in x]
    return _quantize(
        x, scheme, axis=axis, block_size=block_size, symmetric=symmetric, observer=observer
    )


def _quantize(
    x: Any,
    scheme: DTypeLike | str,
    *,
    axis: int | None,
    block_size: int | tuple[int, ...] | None,
    symmetric: bool | None,
    observer: Any,
) -> QuantizedArray:
    code = _read_scheme(scheme)
    scheme, array = code.name, _read_numbers(x)
    if axis is not None:
        axis = read_axis(axis, array.ndim, "quantize")
    if isinstance(block_size, list):
        block_size = tuple(block_size)
    blocks = read_blocks(array.shape, axis, block_size, "quantize")
    two_sided = code.low < 0 or code.is_float
    if symmetric is None:
        symmetric = two_sided
    if symmetric not in (True, False):
        raise TypeError(
            f"ufuse.quantize: argument 'symmetric': expected a bool or None, got {symmetric!r}"
        )
    if symmetric != two_sided and (symmetric or code.is_float):
        kind = "symmetric" if code.is_float else "none of them negative"
        remedy = "leave it out" if code.is_float else "pass symmetric=False, or a signed scheme"
        raise ValueError(
            f"ufuse.quantize: argument 'symmetric': {scheme} codes are {kind}, got {symmetric}; "
            f"{remedy}"
        )
    if observer is None:
        scale, zero = _from_data(array, axis, blocks, code, symmetric)
    else:
        scale, zero = _from_observer(observer, array, axis, blocks, scheme, symmetric)
    low, high = code.low, code.high
    if symmetric and not code.is_float:
        low = -high
    if scheme in PACKED:
        data = _packed(array, scale, zero, axis, block_size, code, (low, high))
    else:
        limits = None if code.is_float else (low, high)
        data = quantize_linear(
            array, scale, None if code.is_float else zero, axis=axis, block_size=block_size,
            dtype=scheme, limits=limits,
        )  # fmt: skip
    return QuantizedArray(data, scale, zero, axis, block_size, scheme, array.shape)


def _read_scheme(scheme: DTypeLike | str) -> CodeType:
    try:
        code = code_type(scheme)
    except (TypeError, ValueError):
        code = None
    if code is None:
        raise (ValueError if isinstance(scheme, (str, np.dtype, type)) else TypeError)(
            f"ufuse.quantize: argument 'scheme': expected one of {', '.join(CODES)}, got {scheme!r}"
        )
    return code


def _read_numbers(x: Any) -> Array:
    """Return floats in the machine's byte order or the other."""
    refuse_record(x, "ufuse.quantize", "x")
    array = asarray(x, function="ufuse.quantize", argument="x")
    if array.dtype.kind in "iu" and isinstance(x, (list, tuple, int)):
        return array.astype(np.float64)
    if float_name(array.dtype.newbyteorder("=")) not in ("f4", "f8", "float16", "bfloat16"):
        raise TypeError(
            "ufuse.quantize: argument 'x': expected float32, float64, float16 or bfloat16, got "
            f"dtype {array.dtype}; convert it with x.astype(np.float32)"
        )
    return array


def _from_data(
    x: Array, axis: int | None, blocks: Blocks | None, code: CodeType, symmetric: bool
) -> tuple[Array, Array]:
    """Return scale and zero point of the ranges of `x`."""
    if x.size == 0:
        shape = () if axis is None else x.shape[axis : axis + 1]
        shape = shape if blocks is None else blocks.grid
        return np.ones(shape, np.float32), np.zeros((), code.storage)
    low, high = _ranges(x, axis, blocks)
    if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high))):
        raise _not_finite(x)
    most = _largest_float(code) if code.is_float else code.high
    scale, zero = scale_of_range(low, high, code.low, most, symmetric)
    return scale, np.zeros((), code.storage) if symmetric else zero.astype(code.storage)


def _from_observer(
    observer: Any,
    x: Array,
    axis: int | None,
    blocks: Blocks | None,
    scheme: str,
    symmetric: bool,
) -> tuple[Array, Array]:
    """Return scale and zero point of what an observer has seen."""
    if isinstance(observer, (str, type)) or not hasattr(observer, "scale_zero_point"):
        raise TypeError(
            "ufuse.quantize: argument 'observer': expected an observer that has seen data, such as "
            f"ufuse.observers.MSE().update(batch), got {observer!r}"
        )
    found = observer.scale_zero_point(scheme, symmetric=symmetric)
    expected = () if axis is None else x.shape[axis : axis + 1]
    expected = expected if blocks is None else blocks.grid
    if found.scale.shape != expected:
        raise ValueError(
            f"ufuse.quantize: argument 'observer': expected ranges of shape {expected}, as "
            f"axis= and block_size= say, got those of {observer!r}, of shape "
            f"{found.scale.shape}; give both the same axis"
        )
    if x.size and not np.all(np.isfinite(_single(minmax(x)))):
        raise _not_finite(x)
    return found.scale, found.zero_point.astype(CODES[scheme].storage)


def _not_finite(x: Array) -> ValueError:
    beyond = ", or what is infinite in float32" if x.itemsize == 8 else ""
    return ValueError(
        f"ufuse.quantize: argument 'x': expected finite values, got NaN or infinity{beyond}"
    )


def _largest_float(code: CodeType) -> float:
    from ..catalogue.floats import BY_NAME

    row = BY_NAME[code.name]
    return float(row.magnitudes[row.largest_code])


def _ranges(x: Array, axis: int | None, blocks: Blocks | None) -> tuple[Array, Array]:
    """Return the smallest and the largest element of all, of each index, or of each block."""
    if blocks is None:
        others = None if axis is None else tuple(i for i in range(x.ndim) if i != axis)
        found = minmax(x, axis=others)
        return _single(found[0]), _single(found[1])
    low, high = np.empty(blocks.grid, np.float32), np.empty(blocks.grid, np.float32)
    for part, lows, highs in blocks.parts(x, low, high):
        within = tuple(i for i in range(part.ndim) if lows.shape[i] == 1 != part.shape[i])
        if within:
            least, most = minmax(part, axis=within, keepdims=True)
            lows[...], highs[...] = _single(least), _single(most)
        else:
            lows[...] = highs[...] = _single(part)
    return low, high


def _single(ends: Any) -> Array:
    with np.errstate(over="ignore"):  # of float64: infinity is an error later
        return np.asarray(ends).astype(np.float32, copy=False)


def _packed(
    x: Array,
    scale: Array,
    zero: Array,
    axis: int | None,
    block_size: int | tuple[int, ...] | None,
    code: CodeType,
    limits: tuple[int, int],
) -> Array:
    """Return packed codes: in one pass where two neighbours share a scale and a byte."""
    if x.ndim == 0:
        raise ValueError(
            f"ufuse.quantize: argument 'x': expected at least one axis to pack {code.name} codes "
            "along, got 0-d"
        )
    if code.bits == 4 and not code.is_float and x.dtype.newbyteorder("=") == np.float32:
        operands: Operands = read_operands(x, scale, zero, axis, block_size, "f4", code, "quantize")
        found = paired(operands, x)
        if found is not None:
            data = empty(packed_shape(x.shape, 4), np.dtype(np.uint8))
            over_pairs, _ = found
            for pairs, scales, zeros, out in over_pairs.parts(data):
                executors.run_program(nibble_quantizer(*limits), (pairs, scales, zeros), (out,))
            return data
    codes = quantize_linear(
        x, scale, None if code.is_float else zero, axis=axis, block_size=block_size,
        dtype=code.name, limits=None if code.is_float else limits,
    )  # fmt: skip
    packed: Array = pack(as_stored(codes, code), code.name)
    return packed
