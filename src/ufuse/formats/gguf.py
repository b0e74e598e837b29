"""The block formats of GGUF, the files of llama.cpp, byte for byte.

A *kind* is a format by its name in GGUF, such as ``"Q4_0"``, in any case. `kinds` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import executors
from ..catalogue.formats import Format
from ..interop import accepts_buffers
from ..quant.record import Box, Record, how_to_convert, read_only, refuse_record, scaled
from .blocks import Array, layout_of
from .gguf_arguments import (
    KINDS,
    UINT8,
    bytes_shape,
    elements_shape,
    has_contiguous_rows,
    read_values,
    read_weights,
    result_dtype,
    row_of,
    target_of,
)
from .losses import Lost, lost_of, warn_of

__all__ = [
    "GGUFArray",
    "block_size",
    "dequantize",
    "kinds",
    "quantize",
    "quantized_shape",
    "shape",
    "type_size",
]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class GGUFArray(Record):
    """The bytes of a tensor of a GGUF file with their kind: a record of what `quantize` gives.

    Attributes
    ----------
    data : ndarray
        uint8 of shape (..., n): whole blocks along the last axis.
    kind : str
        One of ``kinds()``.
    shape : tuple of int
        Of the array; what `data` has blocks for by default.

    Raises
    ------
    TypeError
        If `data` is not an array of uint8.
    ValueError
        If there is no such kind, or shapes disagree.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32)
    >>> q = uf.formats.gguf.GGUFArray(uf.formats.gguf.quantize(x, "Q8_0"), "Q8_0")
    >>> q
    GGUFArray(shape=(2, 32), Q8_0, blocks of 32, 68 bytes)
    >>> bool(uf.quantization_error(x, q).sqnr_db > 40)
    True
    """

    _name: ClassVar = "ufuse.formats.gguf.GGUFArray"
    _kept_as: ClassVar = "gguf"
    _suffixes: ClassVar = {"data": ""}

    data: Array
    kind: str
    shape: tuple[int, ...] = None  # type: ignore[assignment]  # set below

    def __post_init__(self) -> None:
        if not isinstance(self.data, np.ndarray) or self.data.dtype != UINT8:
            raise TypeError(
                f"{self._name}: attribute 'data': expected an ndarray of uint8, got "
                f"{getattr(self.data, 'dtype', type(self.data).__name__)}"
                f"{how_to_convert(self.data, 'data')}"
            )
        row = row_of("GGUFArray", self.kind)
        found = elements_shape("GGUFArray", "data", self.data.shape, row)
        if self.shape is not None and tuple(self.shape) != found:
            raise ValueError(
                f"{self._name}: attribute 'data': expected the blocks of an array of shape "
                f"{tuple(self.shape)}, got shape {self.data.shape}, those of {found}"
            )
        object.__setattr__(self, "data", read_only(self.data))  # the record itself is frozen
        object.__setattr__(self, "kind", row.name)
        object.__setattr__(self, "shape", found)

    def _decode(self, target: Array) -> None:
        dequantize(self.data, self.kind, dtype=target.dtype, out=target)

    def _units(self) -> tuple[int, ...]:
        return (*(1,) * (len(self.shape) - 1), KINDS[self.kind].block)

    def _box(self, box: Box) -> GGUFArray:
        row = KINDS[self.kind]
        return GGUFArray(self.data[scaled(box, len(box) - 1, row.nbytes, row.block)], self.kind)

    def _rows(self, rows: Any, shape: tuple[int, ...]) -> GGUFArray:
        if len(self.shape) == 1:
            raise self._no_rows("an array of one axis has no rows to take")
        return GGUFArray(self.data[rows], self.kind)

    def _codes_in(self, box: Box) -> None:
        return None  # a block's fields differ from kind to kind

    def _every_code(self) -> None:
        return None

    def _says(self) -> str:
        return f"{self.kind}, blocks of {KINDS[self.kind].block}"


def kinds(*, encodes: bool = False) -> tuple[str, ...]:
    """Return the names of the kinds.

    Parameters
    ----------
    encodes : bool
        Only those that `quantize` writes; else all that `dequantize` reads.

    Examples
    --------
    >>> import ufuse as uf
    >>> "Q4_0" in uf.formats.gguf.kinds(encodes=True)
    True
    """
    return tuple(row.name for row in KINDS.values() if row.encodes or not encodes)


def block_size(kind: str) -> int:
    """Return how many elements of a row a block of `kind` holds: 32 for Q4_0."""
    return row_of("block_size", kind).block


def type_size(kind: str) -> int:
    """Return how many bytes a block of `kind` takes: 18 for Q4_0."""
    return row_of("type_size", kind).nbytes


def quantized_shape(shape: tuple[int, ...], kind: str) -> tuple[int, ...]:
    """Return the shape of the bytes of an array of `shape`.

    Raises
    ------
    ValueError
        If there is no such kind, or its block does not divide the last axis.

    Examples
    --------
    >>> import ufuse as uf
    >>> uf.formats.gguf.quantized_shape((10, 64), "Q4_0")
    (10, 36)
    """
    return bytes_shape("quantized_shape", "shape", tuple(shape), row_of("quantized_shape", kind))


def shape(data_shape: tuple[int, ...], kind: str) -> tuple[int, ...]:
    """Return the shape of the array whose bytes have the shape `data_shape`.

    Raises
    ------
    ValueError
        If there is no such kind, or the last axis is not whole blocks.

    Examples
    --------
    >>> import ufuse as uf
    >>> uf.formats.gguf.shape((10, 36), "Q4_0")
    (10, 64)
    """
    return elements_shape("shape", "data_shape", tuple(data_shape), row_of("shape", kind))


@accepts_buffers("x", "importance", function="ufuse.formats.gguf.quantize", check=refuse_record)
def quantize(
    x: ArrayLike, kind: str, *, importance: ArrayLike | None = None, out: Array | None = None
) -> Array:
    """Write an array as the blocks of a GGUF file, along its last axis.

    Parameters
    ----------
    x : array_like
        float32, float64, float16 or bfloat16 of shape (..., D), any strides and byte order. It is
        read as float32: float64 is rounded to it first.
    kind : str
        One of ``kinds(encodes=True)``; its block divides D.
    importance : array_like, optional
        Shape (D,): how much an error of each element of a row matters, the same for all rows; not
        negative. For Q4_0 to Q5_1 and Q2_K to Q6_K, which then search for the best scale. A block
        whose weights are all 0 is encoded as if they were all 1: see Notes.
    out : ndarray, optional
        Written to and returned: uint8, of any strides. It may overlap `x`.

    Returns
    -------
    ndarray
        uint8 of shape (..., D / block_size * type_size): the bytes of a tensor in a file.

    Raises
    ------
    TypeError
        If `x` is not of a type above, or `out` not uint8.
    ValueError
        If there is no such kind, or it is not written; if its block does not divide D; if a shape
        does not fit. Nothing has been written then.

    Warns
    -----
    RuntimeWarning
        If numbers that are all finite gave a block with a scale that is not: float16 scales
        overflow, in Q4_0 from magnitudes of 524 160 on. And if numbers are NaN or infinite, but in
        F32, F16 and BF16, which have both: see Notes. The bytes are still those of the format.

    Notes
    -----
    The bytes are those of the package gguf (``gguf.quants.quantize``) and of llama.cpp, and do not
    depend on threads, strides or CPU. So are their limits: magnitudes below 3.7e-6 in Q8_0 (and
    the like in others) give a scale of zero and are read back as zeros. NVFP4, which the package
    does not write, follows llama.cpp's reference: a scale for every 16 elements, a sixth of their
    largest magnitude rounded to e4m3 with ties upwards (from 256 on, 448), no scale for the tensor:
    magnitudes above 2688 saturate;
    codes are the nearest, of two equally near the one of smaller magnitude.

    A block with a NaN: the scale is NaN in Q4_0 to Q8_0 and the ternary kinds, with the sign of
    the first NaN in Q4_0 and Q5_0, and zero codes; MXFP4 writes zeros; NVFP4 writes zero for the
    NaN alone. Infinities do the same but for the scale, which is infinite. Where a block has zeros
    of both signs and nothing less, the least value of Q4_1 and Q5_1 is -0.0.

    Q2_K to Q6_K, which the package does not write either, try several scales for every 16 or 32
    elements and keep the best, as llama.cpp's ``quantize_row_q*_K_ref`` does; with `importance`
    as ``llama-quantize --imatrix`` does (``quantize_row_q*_K_impl``). So do Q4_0 to Q5_1 with
    `importance` alone (``quantize_row_q4_0_impl``), where an error counts ``importance *
    sqrt(mean of the row's squares + x**2)``. Products and sums are rounded one by one: a llama.cpp
    whose compiler fuses them, as it may on AVX2, makes other choices where two scales are about as
    good. A NaN gets the level of zero in Q3_K and Q6_K, the lowest in others.

    With weights of 0 alone those searches find a scale of 0, and the block would be read back as
    zeros. Such a block gets weights of 1 here, as ``llama-quantize`` gives them to experts that no
    sample has reached; 16 elements of Q3_K and Q6_K in a block that has other weights get the least
    of these. Wherever a weight is positive in each of those, the bytes are ggml's, zeros included.

    Layouts and roundings: ``ggml-common.h`` and ``ggml-quants.c`` of llama.cpp.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> x = np.linspace(-1, 1, 64, dtype=np.float32)
    >>> data = uf.formats.gguf.quantize(x, "Q8_0")
    >>> data.shape
    (68,)
    >>> bool(np.abs(uf.formats.gguf.dequantize(data, "Q8_0") - x).max() < 0.005)
    True
    """
    row = row_of("quantize", kind, encodes=True)
    if not row.encodes:
        raise ValueError(
            f"ufuse.formats.gguf.quantize: argument 'kind': {row.name} is read only; expected one "
            f"of {', '.join(kinds(encodes=True))}"
        )
    target, lost = encoded(x, row, importance, out)
    if lost is not None:
        warn_of(row, lost)
    return target


@accepts_buffers("data", function="ufuse.formats.gguf.dequantize", check=refuse_record)
def dequantize(
    data: ArrayLike, kind: str, *, dtype: DTypeLike = np.float32, out: Array | None = None
) -> Array:
    """Read the numbers of the blocks of a GGUF file, along the last axis.

    Parameters
    ----------
    data : array_like
        uint8 of shape (..., n): whole blocks along the last axis.
    kind : str
        One of ``kinds()``.
    dtype : dtype_like
        float32, float16 or bfloat16. Numbers are computed in float32 and rounded once.
    out : ndarray, optional
        Written to and returned: of `dtype` and any strides. It may overlap `data`.

    Returns
    -------
    ndarray
        Shape (..., n / type_size * block_size).

    Raises
    ------
    TypeError
        If `data` is not uint8, or a dtype none of those above.
    ValueError
        If there is no such kind, if the last axis is not whole blocks, or if `out` has another
        shape. Nothing has been written then.

    Notes
    -----
    The numbers are those of the package gguf (``gguf.quants.dequantize``), bit for bit.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> block = np.array([0x00, 0x3C, *range(16)], np.uint8)  # a float16, 1.0, and 32 codes
    >>> uf.formats.gguf.dequantize(block, "Q4_0")[:4]
    array([-8., -7., -6., -5.], dtype=float32)
    """
    row = row_of("dequantize", kind)
    codes = np.asarray(data)
    if codes.dtype != UINT8:
        raise TypeError(
            f"ufuse.formats.gguf.dequantize: argument 'data': expected uint8, got {codes.dtype}; "
            "of a list make np.asarray(data, np.uint8); the bytes of another array are "
            "array.view(np.uint8)"
        )
    result = result_dtype(dtype)
    target = target_of(
        "dequantize", out, elements_shape("dequantize", "data", codes.shape, row), result
    )
    if out is not None and executors.overlap(codes, target):
        codes = codes.copy()
    if not has_contiguous_rows(codes):
        codes = np.ascontiguousarray(codes)
    executors.of(__package__).decode(layout_of(row.name), codes, target)
    return target


def encoded(
    x: ArrayLike, row: Format, importance: ArrayLike | None, out: Array | None
) -> tuple[Array, Lost | None]:
    """Do what `quantize` does but warn: of a kind that is written."""
    values = read_values(np.asarray(x))
    target = target_of("quantize", out, bytes_shape("quantize", "x", values.shape, row), UINT8)
    weights = None if importance is None else read_weights(importance, row, values.shape[-1])
    apart = values if out is None or not executors.overlap(values, target) else values.copy()
    packed = target if has_contiguous_rows(target) else executors.empty(target.shape, UINT8)
    suspected = executors.of(__package__).encode(layout_of(row.name), apart, packed, None, weights)
    if packed is not target:
        target[...] = packed
    if not suspected or not packed.size or row.name == "F32":
        return target, None
    return target, lost_of(row, apart, packed)
