"""Quantized arrays: a record of codes and of what they stand for."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..executors import empty
from .arguments import as_stored, read_axis, read_blocks, read_operands, read_output
from .codes import BY_NAME as CODES
from .codes import CodeType
from .linear import dequantize_linear
from .packing import nibble_dequantizer, packed_shape, paired, unpack_into

if TYPE_CHECKING:
    from pathlib import Path

Array = NDArray[Any]

#: Schemes whose codes of 4 and 2 bits are packed.
PACKED = ("int4", "uint4", "int2", "uint2", "float4_e2m1fn")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class QuantizedArray:
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
    The arrays are read-only views of those given, which stay as writable as they were. Codes are
    not to change, through them or otherwise: what `linear` has packed would not follow. Make a new
    record of new codes.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> codes = np.int8([[1, -2], [3, 4]])
    >>> q = uf.QuantizedArray(codes, np.float32([0.5, 2.0]), np.int8(0), axis=0)
    >>> q.dequantize()
    array([[ 0.5, -1. ],
           [ 6. ,  8. ]], dtype=float32)
    """

    data: Array
    scale: Array
    zero_point: Array
    axis: int | None = None
    block_size: int | tuple[int, ...] | None = None
    scheme: str = "int8"
    shape: tuple[int, ...] = None  # type: ignore[assignment]  # set below
    _packed: dict[str, Any] = field(default_factory=dict)  # by tier: contract.linear keeps it here

    def __post_init__(self) -> None:
        if self.scheme not in CODES:
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
                f"{scale.shape}"
            )
        if zero.shape not in ((), expected):
            raise ValueError(
                f"ufuse.QuantizedArray: attribute 'zero_point': expected a 0-d array or the shape "
                f"of scale, {expected}, got shape {zero.shape}"
            )
        low, high = code.low, code.high
        if zero.size and not (zero.min() >= low and zero.max() <= high):
            raise ValueError(
                f"ufuse.QuantizedArray: attribute 'zero_point': expected values from {low} to "
                f"{high} ({code.name}), got {zero.min()} to {zero.max()}"
            )

    def _frozen(self, name: str, dtype: np.dtype[Any]) -> Array:
        """Put a read-only view in place of an attribute, checked, and return it."""
        value = getattr(self, name)
        if not isinstance(value, (np.ndarray, np.generic)):
            raise TypeError(
                f"ufuse.QuantizedArray: attribute {name!r}: expected an ndarray of {dtype}, got "
                f"{type(value).__name__}"
            )
        if value.dtype != dtype:
            raise TypeError(
                f"ufuse.QuantizedArray: attribute {name!r}: expected dtype {dtype}, got dtype "
                f"{value.dtype}; convert it"
            )
        view: Array = np.asarray(value).view()
        view.flags.writeable = False
        object.__setattr__(self, name, view)  # the record itself is frozen
        return view

    def _read_shape(self, data: Array, code: CodeType) -> tuple[int, ...]:
        if self.shape is None:
            if self.is_packed and data.ndim:
                return (*data.shape[:-1], data.shape[-1] * 8 // code.bits)
            return data.shape
        shape = tuple(operator.index(extent) for extent in self.shape)
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

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and zero points."""
        return self.data.nbytes + self.scale.nbytes + self.zero_point.nbytes

    def dequantize(self, out: Array | None = None) -> Array:
        """Return the numbers the codes stand for.

        Parameters
        ----------
        out : ndarray, optional
            float32, in the shape of the array: written to and returned.

        Returns
        -------
        ndarray
            float32.
        """
        where: dict[str, Any] = {"axis": self.axis, "block_size": self.block_size}
        if not self.is_packed:
            zero = self.zero_point.view(self.data.dtype)
            result: Array = dequantize_linear(self.data, self.scale, zero, out=out, **where)
            return result
        target = read_output(out, self.shape, np.dtype(np.float32), "QuantizedArray.dequantize")
        if self._dequantize_pairs(target):
            return target
        codes = empty(self.shape, np.dtype(np.uint8))
        unpack_into(self.data, codes, self.code.bits)
        codes = codes.view(self.code.dtype)
        zero = self.zero_point.view(self.code.dtype)
        dequantize_linear(codes, self.scale, zero, out=target, **where)
        return target

    def _dequantize_pairs(self, target: Array) -> bool:
        """Write the numbers, two codes at a time, where two have one scale; return whether so."""
        if self.code.bits != 4 or self.code.is_float:
            return False
        operands = read_operands(
            target, self.scale, self.zero_point, self.axis, self.block_size, "f4", self.code,
            "QuantizedArray.dequantize",
        )  # fmt: skip
        found = paired(operands, target)
        if found is None:
            return False
        over_pairs, pairs = found
        program = nibble_dequantizer(self.code.storage)
        for data, scale, zero, out in over_pairs._replace(x=self.data).apart(pairs).parts(pairs):
            executors.run_program(program, (data, scale, zero), (out,))
        return True

    def __getitem__(self, rows: Any) -> QuantizedArray:
        """Return some of the indices of the first axis: an int, a slice, or an array of either."""
        if isinstance(rows, tuple) or rows is None or rows is Ellipsis:
            raise IndexError(
                "ufuse.QuantizedArray: expected indices of the first axis (an int, a slice, an "
                f"array of ints or bools), got {rows!r}; dequantize() first"
            )
        if not self.shape or (self.is_packed and len(self.shape) == 1):
            raise IndexError(
                f"ufuse.QuantizedArray: an array of shape {self.shape} and scheme {self.scheme} "
                "has no rows to take; dequantize() first"
            )
        blocks = read_blocks(self.shape, self.axis, self.block_size, "QuantizedArray")
        if blocks is not None and blocks.size[0] > 1:
            raise IndexError(
                f"ufuse.QuantizedArray: blocks of {blocks.size[0]} run along the first axis, whose "
                "indices share scales; dequantize() first"
            )
        data = self.data[rows]
        if data.ndim > self.data.ndim:
            raise IndexError(
                "ufuse.QuantizedArray: expected an int, a slice, or a 1-d array of indices of the "
                f"first axis, got an array of {np.ndim(rows)} dimensions"
            )
        shape = (*data.shape[:-1], self.shape[-1]) if self.is_packed else data.shape
        scale, zero = self.scale, self.zero_point
        if blocks is not None or self.axis == 0:
            scale = np.asarray(scale[rows])
            zero = np.asarray(zero[rows]) if zero.ndim else zero
        axis, block_size = self.axis, self.block_size
        if len(shape) < len(self.shape):
            axis = None if axis == 0 or blocks is not None or axis is None else axis - 1
            block_size = None if blocks is None else blocks.size[1:]
        return QuantizedArray(data, scale, zero, axis, block_size, self.scheme, shape)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an unsized QuantizedArray")
        return self.shape[0]

    def codes(self) -> Array:
        """Return the codes, one to an element: `data`, or what it unpacks to."""
        if not self.is_packed:
            return self.data
        codes = empty(self.shape, np.dtype(np.uint8))
        unpack_into(self.data, codes, self.code.bits)
        return codes.view(self.code.dtype)

    # Operators of arrays with it are refused (`x @ q`): `linear` multiplies, `dequantize` converts.
    __array_ufunc__ = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("QuantizedArray: dequantizing makes a copy; use copy=None")
        return self.dequantize().astype(dtype or np.float32, copy=False)

    def save(self, path: str | Path) -> None:
        """Write the record to a file, and replace what is there once it is complete.

        Parameters
        ----------
        path : path_like
            Ends in .npz or .safetensors.

        Raises
        ------
        ValueError
            If `path` ends otherwise.

        Examples
        --------
        >>> import os, tempfile, numpy as np, ufuse as uf
        >>> q = uf.quantize(np.float32([[1, 2], [3, 4]]), "int8", axis=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "weight.npz")
        ...     q.save(path)
        ...     uf.QuantizedArray.load(path)
        QuantizedArray(shape=(2, 2), int8 symmetric, 2 scales on axis 0, 13 bytes)
        """
        from ..files.quantized import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> QuantizedArray:
        """Read a record that `save` has written.

        Parameters
        ----------
        path : path_like
            Ends in .npz or .safetensors. Arrays of the latter are views of a memory map.

        Raises
        ------
        ValueError
            If the file is corrupt, truncated, or of another version; the message has the offset
            where it is known.
        ImportError
            If the dtype of the codes is one of ml_dtypes', which is not installed.
        """
        from ..files.quantized import load

        return load(path)

    def __reduce__(self) -> tuple[Any, ...]:
        # Without ml_dtypes' dtypes, which may not be there.
        data = self.data if self.is_packed else as_stored(self.data, self.code)
        state = (self.scale, self.zero_point, self.axis, self.block_size, self.scheme, self.shape)
        return _restored, (data, *state)

    def __repr__(self) -> str:
        if self.block_size is not None:
            scales = f"{self.scale.size} scales, blocks of {self.block_size}"
            scales += "" if self.axis is None else f" on axis {self.axis}"
        elif self.axis is None:
            scales = "one scale"
        else:
            scales = f"{self.scale.size} scales on axis {self.axis}"
        scheme = self.scheme
        if not self.code.is_float:
            scheme += " asymmetric" if self.zero_point.any() else " symmetric"
        return f"QuantizedArray(shape={self.shape}, {scheme}, {scales}, {self.nbytes} bytes)"


def _restored(data: Array, *state: Any) -> QuantizedArray:
    """Make a record of what was pickled."""
    code = CODES[state[4]]
    return QuantizedArray(data if code.name in PACKED else data.view(code.dtype), *state)
