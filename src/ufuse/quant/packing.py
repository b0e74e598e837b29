"""Codes of less than a byte, packed and unpacked."""

from __future__ import annotations

import operator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import executors
from ..catalogue.operations import pack_limits
from ..fusion.program import Program
from ..interop import accepts_buffers
from .arguments import Operands, as_stored, read_code_type, read_codes, read_output
from .codes import NARROW_NAMES, CodeType
from .grid import Blocks
from .programs import Steps
from .record import refuse_record

Array = NDArray[Any]

ORDERS = ("low_first", "high_first")


@lru_cache(maxsize=16)
def _mover(operation: str, source: str, result: str, high_first: bool) -> Program:
    steps = Steps(source)
    flag = steps.constant("u4", int(high_first))
    return steps.program(steps.add(operation, result, 0, flag))


def packed_shape(shape: tuple[int, ...], bits: int) -> tuple[int, ...]:
    """Return the shape of the bytes that codes of `shape` are packed into."""
    return (*shape[:-1], -(-shape[-1] * bits // 8))


def _read_order(order: str, function: str) -> bool:
    if order not in ORDERS:
        raise ValueError(
            f"ufuse.{function}: argument 'order': expected one of {', '.join(ORDERS)}, got "
            f"{order!r}"
        )
    return order == "high_first"


def _read_narrow(code: CodeType, ndim: int, function: str) -> CodeType:
    if code.bits >= 8:
        raise TypeError(
            f"ufuse.{function}: argument 'dtype': expected codes of less than a byte, got "
            f"{code.name}"
        )
    if ndim == 0:
        raise ValueError(f"ufuse.{function}: argument 'x': expected at least one axis, got 0-d")
    return code


@accepts_buffers("x", check=refuse_record)
def pack(
    x: ArrayLike,
    dtype: DTypeLike | str | None = None,
    *,
    order: str = "low_first",
    out: Array | None = None,
) -> Array:
    """Pack codes of 2, 4 or 6 bits along the last axis.

    Parameters
    ----------
    x : array_like
        Codes, a byte each: of one of ml_dtypes' dtypes, or int8 or uint8 with `dtype`. Bits above
        those of a code are ignored.
    dtype : dtype_like or str, optional
        What the codes are, such as ``"int4"``; by default the dtype of `x`.
    order : {"low_first", "high_first"}
        Whether the first code of a byte is in its low bits (ONNX, torchao, OCP MX) or in its high
        ones (bitsandbytes). Four codes of 6 bits are three bytes: 24 bits, the lowest byte first,
        or for ``"high_first"`` the highest.
    out : ndarray, optional
        uint8, of the result's shape: written to and returned.

    Returns
    -------
    ndarray
        uint8; the last axis has ``ceil(length * bits / 8)`` bytes, the last of them filled up with
        zeros.

    Raises
    ------
    TypeError
        If the codes have no less than 8 bits.
    ValueError
        If `x` has no axis, or `order` is unknown.

    See Also
    --------
    unpack : the inverse.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.pack(np.int8([1, -2, 7]), "int4")
    array([225,   7], dtype=uint8)
    """
    high_first = _read_order(order, "pack")
    array = np.asarray(x)
    if dtype is None:
        codes, code = read_codes(array, "pack")
    else:
        code = read_code_type(dtype, "pack", names=NARROW_NAMES)
        if array.dtype.itemsize != 1:
            raise TypeError(
                f"ufuse.pack: argument 'x': expected a byte per code, got dtype {array.dtype}; "
                "convert it with np.asarray(x, np.int8), or np.uint8"
            )
        codes = array
    _read_narrow(code, codes.ndim, "pack")
    codes = codes.view(np.uint8)
    shape = packed_shape(codes.shape, code.bits)
    target = read_output(out, shape, np.dtype(np.uint8), "pack")
    if out is not None:
        codes = executors.apart(codes, target)
    together = 4 if code.bits == 6 else 8 // code.bits
    nbytes = together * code.bits // 8
    whole = codes.shape[-1] // together
    _pack_whole(
        codes[..., : whole * together], target[..., : whole * nbytes], code.bits, high_first
    )
    rest = codes.shape[-1] - whole * together
    if rest:
        last = np.zeros((*codes.shape[:-1], together), np.uint8)
        last[..., :rest] = codes[..., whole * together :]
        full = np.empty((*codes.shape[:-1], nbytes), np.uint8)
        _pack_whole(last, full, code.bits, high_first)
        target[..., whole * nbytes :] = full[..., : target.shape[-1] - whole * nbytes]
    return target


def _pack_whole(codes: Array, target: Array, bits: int, high_first: bool) -> None:
    if codes.size == 0:
        return
    if bits == 6:
        parts = (codes & 63).astype(np.uint32).reshape(-1, 4)
        places = np.array([18, 12, 6, 0] if high_first else [0, 6, 12, 18], np.uint32)
        word = (parts << places).sum(axis=-1, dtype=np.uint32)
        shifts = np.array([16, 8, 0] if high_first else [0, 8, 16], np.uint32)
        target[...] = (word[..., np.newaxis] >> shifts).astype(np.uint8).reshape(target.shape)
        return
    together = f"u{8 // bits}"
    if codes.strides[-1] != 1:
        codes = np.ascontiguousarray(codes)
    program = _mover(f"pack{bits}", together, "u1", high_first)
    executors.run_program(program, (codes.view(together),), (target,))


@accepts_buffers("x", check=refuse_record)
def unpack(
    x: ArrayLike,
    dtype: DTypeLike | str,
    *,
    size: int | None = None,
    order: str = "low_first",
    out: Array | None = None,
) -> Array:
    """Unpack codes of 2, 4 or 6 bits from the bytes of the last axis.

    Parameters
    ----------
    x : array_like
        uint8, any strides.
    dtype : dtype_like or str
        What the codes are: int4, uint4, int2, uint2, float4_e2m1fn, float6_e2m3fn, float6_e3m2fn.
    size : int, optional
        Codes along the last axis; by default as many as the bytes hold.
    order : {"low_first", "high_first"}
        As for `pack`.
    out : ndarray, optional
        Of the result's shape and dtype: written to and returned.

    Returns
    -------
    ndarray
        Codes, a byte each, of the dtype asked for.

    Raises
    ------
    TypeError
        If `x` is not uint8, or the codes have no less than 8 bits.
    ValueError
        If the bytes do not hold `size` codes, or `order` is unknown.
    ImportError
        If the package ml_dtypes, which has these dtypes, is not installed.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.unpack(np.uint8([225, 7]), "int4", size=3).astype(np.int8)
    array([ 1, -2,  7], dtype=int8)
    """
    high_first = _read_order(order, "unpack")
    code = read_code_type(dtype, "unpack", names=NARROW_NAMES)
    array = np.asarray(x)
    if array.dtype != np.uint8:
        raise TypeError(
            f"ufuse.unpack: argument 'x': expected uint8, got dtype {array.dtype}; convert it with "
            "np.asarray(x, np.uint8)"
        )
    _read_narrow(code, array.ndim, "unpack")
    most = array.shape[-1] * 8 // code.bits
    try:
        count = most if size is None else operator.index(size)
    except TypeError:
        raise TypeError(
            f"ufuse.unpack: argument 'size': expected an int or None, got {size!r}"
        ) from None
    if packed_shape((count,), code.bits) != array.shape[-1:] or count < 0:
        raise ValueError(
            f"ufuse.unpack: argument 'size': {array.shape[-1]} bytes hold {most} codes of "
            f"{code.bits} bits, and {count} need {packed_shape((count,), code.bits)[0]} bytes"
        )
    target = read_output(out, (*array.shape[:-1], count), code.dtype, "unpack")
    if out is not None:
        array = executors.apart(array, target)
    unpack_into(array, as_stored(target, code).view(np.uint8), code.bits, high_first)
    return target


def unpack_into(array: Array, codes: Array, bits: int, high_first: bool = False) -> None:
    """Write the codes in the bytes of `array`, a byte each, to the uint8 array `codes`."""
    if codes.size == 0:
        return
    together = 4 if bits == 6 else 8 // bits
    nbytes = together * bits // 8
    whole = codes.shape[-1] // together
    rest = codes.shape[-1] - whole * together
    head, body = array[..., : whole * nbytes], codes[..., : whole * together]
    if bits == 6:
        if whole:
            body[...] = _unpack_six(head, high_first)
    elif whole:
        wide = f"u{together}"
        direct = body.strides[-1] == 1
        block = body if direct else np.empty(body.shape, np.uint8)
        program = _mover(f"unpack{bits}", "u1", wide, high_first)
        executors.run_program(program, (head,), (block.view(wide),))
        if not direct:
            body[...] = block
    if rest:
        last = np.zeros((*codes.shape[:-1], nbytes), np.uint8)
        last[..., : array.shape[-1] - whole * nbytes] = array[..., whole * nbytes :]
        full = np.empty((*codes.shape[:-1], together), np.uint8)
        unpack_into(last, full, bits, high_first)
        codes[..., whole * together :] = full[..., :rest]


def _unpack_six(array: Array, high_first: bool) -> Array:
    parts = array.astype(np.uint32).reshape(-1, 3)
    shifts = np.array([16, 8, 0] if high_first else [0, 8, 16], np.uint32)
    word = (parts << shifts).sum(axis=-1, dtype=np.uint32)
    places = np.array([18, 12, 6, 0] if high_first else [0, 6, 12, 18], np.uint32)
    codes = (word[..., np.newaxis] >> places) & np.uint32(63)
    result: Array = codes.astype(np.uint8)
    return result.reshape(*array.shape[:-1], array.shape[-1] // 3 * 4)


# --- quantized and packed in one pass -----------------------------------------------------------


class Pairs(NamedTuple):
    """Numbers of 4 bits laid out two at a time, the codes of one byte.

    Attributes
    ----------
    operands : Operands
        Pairs of float32 as float64, with their scales and zero points.
    apart : bool
        Whether the two have a scale and a zero point each, which are then pairs too.
    """

    operands: Operands
    apart: bool

    def quantizer(self, low: int, high: int) -> Program:
        """Return the program (pairs of float32, scales, zero points) -> bytes of two codes."""
        return _nibble_quantizer(low, high, self.apart)

    def dequantizer(self, storage: str) -> Program:
        """Return the program (bytes of two codes, scales, zero points) -> pairs of float32."""
        return _nibble_dequantizer(storage, self.apart)


@lru_cache(maxsize=16)
def _nibble_quantizer(low: int, high: int, apart: bool) -> Program:
    kind = "i" if low < 0 else "u"
    steps = Steps("f8", *(("f8", f"{kind}2") if apart else ("f4", f"{kind}1")))
    ends = steps.constant("u4", pack_limits(low, high))
    operation = "quantize_nibbles_apart" if apart else "quantize_nibbles"
    return steps.program(steps.add(operation, "u1", 0, 1, 2, ends))


@lru_cache(maxsize=8)
def _nibble_dequantizer(storage: str, apart: bool) -> Program:
    steps = Steps("u1", *(("f8", f"{storage[0]}2") if apart else ("f4", storage)))
    operation = "dequantize_nibbles_apart" if apart else "dequantize_nibbles"
    return steps.program(steps.add(operation, "f8", 0, 1, 2))


def paired(operands: Operands, numbers: Array) -> Pairs | None:
    """Lay numbers out in pairs of neighbours; None where they are no pairs in memory.

    Parameters
    ----------
    operands : Operands
        Scales and zero points of an array of float32.
    numbers : ndarray
        That array.

    Returns
    -------
    Pairs or None
        Views; but for one zero point with many scales, which is copied.
    """
    if numbers.ndim == 0 or numbers.shape[-1] % 2 or numbers.shape[-1] == 0:
        return None
    if numbers.strides[-1] != numbers.itemsize or not numbers.dtype.isnative:
        return None
    pairs = numbers.view(np.float64)
    blocks = operands.blocks
    scale, zero = operands.scale, operands.zero_point
    if blocks is not None:
        size = min(blocks.size[-1], blocks.shape[-1])
        if size % 2:
            return None
        blocks = Blocks(pairs.shape, (*blocks.size[:-1], size // 2))
        return Pairs(Operands(pairs, scale, zero, blocks), False)
    if all(a.ndim == 0 or a.shape[-1] == 1 for a in (scale, zero)):
        return Pairs(Operands(pairs, scale, zero, None), False)
    if any(a.ndim and a.shape[-1] != 1 and a.strides[-1] != a.itemsize for a in (scale, zero)):
        return None
    both = f"{zero.dtype.kind}2"
    if zero.ndim == 0 or zero.shape[-1] == 1:
        zeros = np.asarray(np.multiply(zero.view(np.uint8), 0x0101, dtype=np.uint16)).view(both)
    else:
        zeros = zero.view(both)
    return Pairs(Operands(pairs, scale.view(np.float64), zeros, None), True)
