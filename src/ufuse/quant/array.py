"""Quantized arrays: a record of codes and of what they stand for."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..executors import empty
from .arguments import as_stored, keepdims_remedy, read_axis, read_blocks, read_operands
from .codes import BY_NAME as CODES
from .codes import CodeType
from .linear import dequantize_linear
from .packing import pack, packed_shape, paired, unpack_into
from .record import Box, Record, extents, how_to_convert, read_only, read_shape, scaled

Array = NDArray[Any]

#: Codes that are unpacked at a time.
_SLAB = 1 << 18

#: Schemes whose codes of 4 and 2 bits are packed.
PACKED = ("int4", "uint4", "int2", "uint2", "float4_e2m1fn")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class QuantizedArray(Record):
    """Codes with their scales: a record of arrays, not an array class.

    Attributes
    ----------
    data : ndarray
        The codes: of the scheme's dtype in the shape of the array; of schemes of 4 and 2 bits
        packed along the last axis into uint8, the first code in the lowest bits (`ufuse.unpack`).
    scale : ndarray
        float32: 0-d; or one value per index of `axis`; or one per block.
    zero_point : ndarray
        Of the codes' dtype (int8 and uint8 for less than a byte): 0-d or the shape of `scale`. 0
        for floating codes.
    axis : int or None
        The axis that `scale` or the blocks run along, counted from the front; None for one scale,
        and for blocks with a size along each axis.
    block_size : int, tuple of int or None
        Elements of a block along `axis`, or along each axis.
    scheme : str
        What the codes are: ``"int8"``, ``"uint4"``, ``"float8_e4m3fn"``...
    shape : tuple of int
        Shape of the array that the codes stand for; that of `data` by default, where it tells.

    Raises
    ------
    TypeError
        If an attribute is no array, or not of the dtype above.
    ValueError
        If the scheme is unknown or shapes disagree.
    numpy.exceptions.AxisError
        If there is no such axis.

    Notes
    -----
    Codes are not to change, through the arrays that were given either: what `linear` has packed
    would not follow. Make a new record of new codes.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> codes = np.int8([[1, -2], [3, 4]])
    >>> q = uf.QuantizedArray(codes, np.float32([0.5, 2.0]), np.int8(0), axis=0)
    >>> q.dequantize()
    array([[ 0.5, -1. ],
           [ 6. ,  8. ]], dtype=float32)
    """

    _name: ClassVar = "ufuse.QuantizedArray"
    _kept_as: ClassVar = "linear"
    _suffixes: ClassVar = {"data": "", "scale": ".scale", "zero_point": ".zero_point"}
    _floats: ClassVar = (np.float32, np.float64, np.float16)

    data: Array
    scale: Array
    zero_point: Array
    axis: int | None = None
    block_size: int | tuple[int, ...] | None = None
    scheme: str = "int8"
    shape: tuple[int, ...] = None  # type: ignore[assignment]  # set below
    _packed: dict[str, Any] = field(default_factory=dict)  # by tier: contract.layers keeps it here

    def __post_init__(self) -> None:
        if not isinstance(self.scheme, str) or self.scheme not in CODES:
            raise ValueError(
                f"ufuse.QuantizedArray: attribute 'scheme': expected one of {', '.join(CODES)}, "
                f"got {self.scheme!r}"
            )
        code = self.code
        data = self._frozen("data", np.dtype(np.uint8) if self.is_packed else code.dtype)
        shape = self._read_shape(data, code)
        object.__setattr__(self, "shape", shape)
        scale = self._frozen("scale", np.dtype(np.float32))
        zero = self._frozen("zero_point", np.dtype(code.storage))
        if self.axis is not None:
            axis = read_axis(self.axis, len(shape), "QuantizedArray")
            object.__setattr__(self, "axis", axis)
        blocks = read_blocks(shape, self.axis, self.block_size, "QuantizedArray")
        if blocks is not None:
            expected = blocks.grid
        else:
            expected = () if self.axis is None else shape[self.axis : self.axis + 1]
        if scale.shape != expected:
            raise ValueError(
                f"ufuse.QuantizedArray: attribute 'scale': expected shape {expected} for data of "
                f"shape {shape}, axis={self.axis} and block_size={self.block_size}, got shape "
                f"{scale.shape}{keepdims_remedy(scale.shape, expected, 'scale')}"
            )
        if zero.shape not in ((), expected):
            raise ValueError(
                f"ufuse.QuantizedArray: attribute 'zero_point': expected a 0-d array or the shape "
                f"of scale, {expected}, got shape {zero.shape}"
                f"{keepdims_remedy(zero.shape, expected, 'zero_point')}"
            )
        low, high = code.low, code.high
        if zero.size and not (zero.min() >= low and zero.max() <= high):
            raise ValueError(
                f"ufuse.QuantizedArray: attribute 'zero_point': expected values from {low} to "
                f"{high} ({code.name}), got {zero.min()} to {zero.max()}"
            )

    @classmethod
    def _made(cls, *attributes: Any) -> QuantizedArray:
        """Return a record of new arrays that are known to fit: 2 us, of 14 with a look at each."""
        record = object.__new__(cls)
        for array in attributes[:3]:
            array.flags.writeable = False
        for put, value in zip(_PUT, attributes, strict=False):
            put(record, value)
        _PUT[-1](record, {})
        return record

    def _frozen(self, name: str, dtype: np.dtype[Any]) -> Array:
        """Put a read-only view in place of an attribute, checked, and return it."""
        value = getattr(self, name)
        if not isinstance(value, (np.ndarray, np.generic)):
            raise TypeError(
                f"ufuse.QuantizedArray: attribute {name!r}: expected an ndarray of {dtype}, got "
                f"{type(value).__name__}{how_to_convert(value, name)}"
            )
        if value.dtype != dtype:
            raise TypeError(
                f"ufuse.QuantizedArray: attribute {name!r}: expected dtype {dtype}, got dtype "
                f"{value.dtype}; convert it"
            )
        view = read_only(value)
        object.__setattr__(self, name, view)  # the record itself is frozen
        return view

    def _read_shape(self, data: Array, code: CodeType) -> tuple[int, ...]:
        if self.is_packed and data.ndim == 0:
            raise ValueError(
                f"ufuse.QuantizedArray: attribute 'data': expected at least one axis that "
                f"{code.name} codes are packed along, got a 0-d array; pass data.reshape(1)"
            )
        if self.shape is None:
            if self.is_packed:
                return (*data.shape[:-1], data.shape[-1] * 8 // code.bits)
            return data.shape
        shape = read_shape(self.shape, "ufuse.QuantizedArray")
        fits = packed_shape(shape, code.bits) if self.is_packed and shape else shape
        if fits != data.shape:
            raise ValueError(
                f"ufuse.QuantizedArray: attribute 'data': expected shape {fits} for {code.name} "
                f"codes of an array of shape {shape}, got shape {data.shape}"
            )
        return shape

    @property
    def code(self) -> CodeType:
        """The type of the codes."""
        return CODES[self.scheme]

    @property
    def is_packed(self) -> bool:
        """Whether `data` has several codes to a byte."""
        return self.scheme in PACKED

    def _decode(self, target: Array) -> None:
        if not target.dtype.isnative:
            target[...] = self.dequantize(dtype=target.dtype.newbyteorder("="))
            return
        if not self.is_packed:
            self._decode_codes(self.data, target)
            return
        if self._decode_pairs(target):
            return
        parts = (self.data, self.scale, self.zero_point)
        apart = [executors.apart(part, target) for part in parts]
        how = (self.axis, self.block_size, self.scheme, self.shape)
        kept = self
        if not all(map(operator.is_, apart, parts)):
            data, scale, zero = apart
            kept = QuantizedArray(data, scale, zero, *how)
        for box in self._boxes(_SLAB):
            part = kept._box(box)
            part._decode_codes(part.codes(), target[box])

    def _decode_codes(self, codes: Array, target: Array) -> None:
        zero = self.zero_point.view(codes.dtype)
        dequantize_linear(
            codes, self.scale, zero, axis=self.axis, block_size=self.block_size,
            dtype=target.dtype, out=target,
        )  # fmt: skip

    def _decode_pairs(self, target: Array) -> bool:
        """Write the numbers two at a time, where they are pairs in memory; return whether so."""
        if self.code.bits != 4 or self.code.is_float or target.dtype != np.float32:
            return False
        operands = read_operands(
            target, self.scale, self.zero_point, self.axis, self.block_size, "f4", self.code,
            "QuantizedArray.dequantize",
        )  # fmt: skip
        found = paired(operands, target)
        if found is None:
            return False
        over, program = found.operands, found.dequantizer(self.code.storage)
        for data, scale, zero, out in over._replace(x=self.data).apart(over.x).parts(over.x):
            executors.run_program(program, (data, scale, zero), (out,))
        return True

    def _blocks(self) -> tuple[int, ...] | None:
        """Return the elements of a block along each axis; None where there are no blocks."""
        found = read_blocks(self.shape, self.axis, self.block_size, "QuantizedArray")
        return None if found is None else found.size

    def _units(self) -> tuple[int, ...]:
        units = self._blocks() or (1,) * len(self.shape)
        if not self.is_packed:
            return units
        return (*units[:-1], math.lcm(units[-1], 8 // self.code.bits))

    def _box(self, box: Box) -> QuantizedArray:
        blocks, scale, zero = self._blocks(), self.scale, self.zero_point
        bits = self.code.bits if self.is_packed else 8
        data = self.data[scaled(box, len(box) - 1, bits, 8) if self.is_packed else box]
        cut: Box = ()
        if blocks is not None:
            pairs = zip(box, blocks, strict=True)
            cut = tuple(slice(along.start // n, -(-along.stop // n)) for along, n in pairs)
        elif self.axis is not None:
            cut = (box[self.axis],)
        if cut:
            scale = scale[cut]
            zero = zero[cut] if zero.ndim else zero
        how = (self.axis, self.block_size, self.scheme, extents(box))
        return QuantizedArray(data, scale, zero, *how)

    def _rows(self, rows: Any, shape: tuple[int, ...]) -> QuantizedArray:
        if self.is_packed and len(self.shape) == 1:
            raise self._no_rows(
                f"an array of shape {self.shape} and scheme {self.scheme} has no rows to take"
            )
        blocks = self._blocks()
        if blocks is not None and blocks[0] > 1:
            raise self._no_rows(
                f"blocks of {blocks[0]} run along the first axis, whose indices share scales"
            )
        scale, zero = self.scale, self.zero_point
        if blocks is not None or self.axis == 0:
            scale = np.asarray(scale[rows])
            zero = np.asarray(zero[rows]) if zero.ndim else zero
        axis, block_size = self.axis, self.block_size
        if len(shape) < len(self.shape):
            axis = None if axis == 0 or blocks is not None or axis is None else axis - 1
            block_size = (None if blocks is None else blocks[1:]) or None
        data = np.asarray(self.data[rows])
        return QuantizedArray(data, scale, zero, axis, block_size, self.scheme, shape)

    def codes(self) -> Array:
        """Return the codes, one to an element: `data`, or what it unpacks to."""
        if not self.is_packed:
            return self.data
        codes = empty(self.shape, np.dtype(np.uint8))
        unpack_into(self.data, codes, self.code.bits)
        return codes.view(self.code.dtype)

    def _codes_in(self, box: Box) -> Array:
        codes = self._box(box).codes()
        stored: Array = codes.view(f"u{codes.itemsize}") & ((1 << self.code.bits) - 1)
        return stored

    def _every_code(self) -> QuantizedArray:
        code = self.code
        every = np.arange(1 << code.bits).astype(f"u{np.dtype(code.storage).itemsize}")
        data = pack(every, code.name) if self.is_packed else every.view(code.dtype)
        one, zero = np.ones((), np.float32), np.zeros((), code.storage)
        return QuantizedArray(data, one, zero, None, None, self.scheme)

    def _written(self, name: str) -> Array:
        # Without ml_dtypes' dtypes, which may not be there.
        value: Array = getattr(self, name)
        return as_stored(value, self.code) if name == "data" and not self.is_packed else value

    @classmethod
    def _read(cls, name: str, array: Array, about: Mapping[str, Any]) -> Array:
        code = CODES[about["scheme"]]
        stored = name == "data" and code.is_float and code.name not in PACKED
        return array.view(code.dtype) if stored and array.dtype == np.uint8 else array

    def _says(self) -> str:
        if self.block_size is not None:
            scales = f"{self.scale.size} scales, blocks of {self.block_size}"
            scales += "" if self.axis is None else f" on axis {self.axis}"
        elif self.axis is None:
            scales = "one scale"
        else:
            scales = f"{self.scale.size} scales on axis {self.axis}"
        if self.code.is_float:
            return f"{self.scheme}, {scales}"
        return f"{self.scheme} {'asymmetric' if self.zero_point.any() else 'symmetric'}, {scales}"


#: What sets each attribute of a frozen record.
_PUT = tuple(
    getattr(QuantizedArray, attribute.name).__set__ for attribute in fields(QuantizedArray)
)
