"""How far codes are from the numbers they stand for, without those in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..interop import asarray
from .arguments import Operands, as_stored, float_name, read_axis, read_operands
from .array import QuantizedArray
from .decoded import add_sums
from .grid import Blocks
from .packing import paired
from .programs import dequantizer
from .record import Record
from .sums import QuantizationError, joined, measures, sums_of

Array = NDArray[Any]


def quantization_error(x: ArrayLike, q: Record, *, axis: int | None = None) -> QuantizationError:
    """Measure what quantization has lost, in one read of both.

    Parameters
    ----------
    x : array_like
        The numbers: float32, float16, bfloat16 or float64, of any strides. float64 is rounded to
        float32 first, so that its own rounding errors do not count.
    q : QuantizedArray, MXArray, NVFP4Array, NF4Array or GGUFArray
        What they were quantized to, of the same shape. Bytes of `ufuse.formats.gguf.quantize` are
        one with their kind: ``gguf.GGUFArray(data, "Q4_K")``.
    axis : int, optional
        Measure each index of this axis; all together by default.

    Returns
    -------
    QuantizationError
        A named tuple of float64: ``sqnr_db mse mae max_abs cosine``.

    Raises
    ------
    TypeError
        If `x` or `q` is none of those above.
    ValueError
        If the shapes differ.
    numpy.exceptions.AxisError
        If there is no such axis.

    Notes
    -----
    Codes are decoded as they are compared, or into cache, 1048576 elements at a time, where formats
    are decoded or `x` is converted. Sums are right to a few parts in a million; the same bits for
    any number of threads. A NaN makes every measure of its index NaN.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> x = np.linspace(-1, 1, 1001, dtype=np.float32)
    >>> error = uf.quantization_error(x, uf.quantize(x, "int8"))
    >>> round(float(error.sqnr_db), 1), float(error.max_abs) < 0.004
    (48.1, True)
    """
    function = "ufuse.quantization_error"
    array = asarray(x, function=function, argument="x")
    if float_name(array.dtype.newbyteorder("=")) not in ("f4", "f8", "float16", "bfloat16"):
        raise TypeError(
            f"{function}: argument 'x': expected float32, float64, float16 or bfloat16, got dtype "
            f"{array.dtype}; convert it with x.astype(np.float32)"
        )
    if not isinstance(q, Record):
        raise TypeError(
            f"{function}: argument 'q': expected a QuantizedArray (ufuse.quantize makes one), or "
            f"another record of codes with scales, got {type(q).__name__}; bytes of GGUF are one "
            "with their kind: ufuse.formats.gguf.GGUFArray(data, kind)"
        )
    if q.shape != array.shape:
        raise ValueError(
            f"{function}: argument 'q': expected the shape of x, {array.shape}, got {q.shape}"
        )
    if axis is not None:
        axis = read_axis(axis, array.ndim, "quantization_error")
    lanes = 1 if axis is None else array.shape[axis]
    sums = np.zeros((lanes, 6))
    if array.size and isinstance(q, QuantizedArray) and _is_read_as_it_lies(array, q, axis):
        _add_sums(array, q, axis, sums)
    elif array.size:
        add_sums(array, q, axis, sums)
    count = array.size // lanes if lanes else 0
    result = measures(sums, count)
    return result if axis is not None else QuantizationError(*(value[0] for value in result))


def _is_read_as_it_lies(x: Array, q: QuantizedArray, axis: int | None) -> bool:
    """Tell whether a program makes numbers of the codes as they lie.

    That depends on no strides, and so do the bits of the sums.
    """
    if x.dtype.newbyteorder("=") != np.float32:
        return False
    if not q.is_packed:
        return True
    if q.code.bits != 4 or q.code.is_float or x.shape[-1] % 2:
        return False
    if axis == x.ndim - 1:
        return False
    blocks = q._blocks()  # two neighbours, a byte of codes, are to have one scale
    return q.axis != x.ndim - 1 if blocks is None else min(blocks[-1], x.shape[-1]) % 2 == 0


def _add_sums(x: Array, q: QuantizedArray, axis: int | None, sums: Array) -> None:
    """Add the sums of every part of the array; each is one call of a program."""
    code = q.code
    operands = read_operands(
        x, q.scale, q.zero_point, q.axis, q.block_size, "f4", code, "quantization_error"
    )
    program, codes = dequantizer(code, "f4"), q.data
    if q.is_packed:
        pairs = None
        if code.bits == 4 and not code.is_float and axis != x.ndim - 1:
            pairs = paired(operands, x)
        if pairs is not None:
            operands, program = pairs.operands, pairs.dequantizer(code.storage)
        else:
            codes = q.codes()
    if not (q.is_packed and codes is q.data):
        codes = as_stored(codes, code)
    index = None if axis is None else _indices(operands, axis)
    for x_part, scale, zero, part, *rest in operands.parts(
        codes, *([] if index is None else [index])
    ):
        arrays = [part, scale, zero]
        if index is None:
            sums[0] = joined(sums[0], sums_of(program, x_part, arrays, 0)[0])
            continue
        blocks: Blocks | None = operands.blocks
        assert axis is not None
        places = (axis,) if blocks is None else blocks.places(axis)
        arrays = [_in_front(a, x_part.ndim, places) for a in arrays]
        found = sums_of(program, _in_front(x_part, x_part.ndim, places), arrays, len(places))
        lanes = _in_front(rest[0], x_part.ndim, places)
        lanes = lanes[(...,) + (0,) * (x_part.ndim - len(places))].reshape(-1)
        sums[lanes] = joined(sums[lanes], found)  # no index twice: a part has each at most once


def _in_front(array: Array, ndim: int, places: tuple[int, ...]) -> Array:
    """Move some of the axes to the front; one element gets as many axes."""
    if array.ndim == 0:
        return array.reshape((1,) * ndim)
    return np.moveaxis(array, places, range(len(places)))


def _indices(operands: Operands, axis: int) -> Array:
    """Return the index along `axis` of every element: a view of few bytes."""
    shape = operands.x.shape
    along = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return np.broadcast_to(along, shape)
