"""How the tiles of a tensor become codes: one class for each layout of a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..catalogue.formats import BY_NAME
from ..formats import gguf, mx, nvfp4
from ..quant import quantize, quantize_linear
from ..quant.array import PACKED, QuantizedArray
from ..quant.codes import BY_NAME as CODES
from ..reduce import minmax
from .quantized import SCALE, TENSOR_SCALE, ZERO_POINT, codes_dtype
from .safetensors import NAME_OF, nbytes_of
from .tiles import Matrix, Tile, tiles

Array = NDArray[Any]


class Encoded(NamedTuple):
    """What a tile has become.

    Attributes
    ----------
    pieces : list of (str, int, ndarray)
        Suffix of the tensor that they belong to, offset there in bytes, the bytes.
    decode : callable
        Writes the numbers that the codes stand for to a float32 array.
    """

    pieces: list[tuple[str, int, Array]]
    decode: Callable[[Array], Any]


class Encoder(Protocol):
    """Writes one tensor.

    Attributes
    ----------
    kind : str
        What the report calls it.
    rows, columns : int
        The matrix that tiles are of.
    block : int
        Where columns can be cut.
    parts : dict of str to (str, tuple of int)
        By suffix, dtype and shape of the tensors that it makes of one.
    about : dict
        What the metadata of the file say of it.
    """

    kind: str
    rows: int
    columns: int
    block: int
    parts: dict[str, tuple[str, tuple[int, ...]]]
    about: dict[str, Any]

    def prepare(self, matrix: Matrix) -> list[tuple[str, int, Array]]:
        """Read what must be known of all of the tensor; return what it has of that in the file."""

    def encode(self, matrix: Matrix, at: Tile, x: Array) -> Encoded:
        """Quantize a tile."""


def parts_nbytes(encoder: Encoder) -> int:
    """Return the bytes of all tensors that an encoder makes."""
    return sum(nbytes_of(dtype, shape) for dtype, shape in encoder.parts.values())


class Blocks:
    """A kind of GGUF's: bytes follow bytes."""

    def __init__(self, kind: str, shape: tuple[int, ...], importance: Array | None = None) -> None:
        self.kind, self._size = kind, gguf.block_size(kind)
        self.columns = shape[-1] if shape else 1
        # With importance what errors count depends on all of a row in kinds of blocks of 32.
        self.block = self._size if importance is None else max(self._size, self.columns)
        self.rows = math.prod(shape[:-1])
        self.parts = {"": ("U8", gguf.quantized_shape((*shape[:-1], self.columns), kind))}
        self.about: dict[str, Any] = {}
        self._importance = importance

    def prepare(self, matrix: Matrix) -> list[tuple[str, int, Array]]:
        return []

    def encode(self, matrix: Matrix, at: Tile, x: Array) -> Encoded:
        weights = None if self._importance is None else self._importance[at.left : at.right]
        data, _ = gguf.encoded(x, BY_NAME[self.kind], weights, None)  # the meter finds what is lost
        start = (at.first * self.columns + at.left) // self._size * gguf.type_size(self.kind)
        return Encoded([("", start, data)], lambda out: gguf.dequantize(data, self.kind, out=out))


class Linear:
    """A scheme of `ufuse.quantize`, a scale per index of the first axis, or per block of a row."""

    def __init__(self, scheme: str, shape: tuple[int, ...], block_size: int | None) -> None:
        code = CODES[scheme]
        self.kind, self.block = scheme, block_size or 1
        per_row = block_size is not None
        self.rows = math.prod(shape[:-1]) if per_row else shape[0]
        self.columns = shape[-1] if per_row else math.prod(shape[1:])
        self._size = block_size
        self._symmetric = code.low < 0 or code.is_float
        last = -(-shape[-1] * code.bits // 8) if scheme in PACKED else shape[-1]
        scales = (*shape[:-1], -(-shape[-1] // self.block)) if per_row else shape[:1]
        storage = NAME_OF[np.dtype(code.storage if not code.is_float else "u1").name]
        self.parts = {
            "": (codes_dtype(code, scheme in PACKED), (*shape[:-1], last)),
            SCALE: ("F32", scales),
            ZERO_POINT: (storage, () if self._symmetric else scales),
        }
        self.about = {
            "record": "linear",
            "scheme": scheme,
            "axis": len(shape) - 1 if per_row else 0,
            "block_size": block_size,
            "shape": shape,
        }
        self._row: tuple[int, QuantizedArray] | None = None

    def prepare(self, matrix: Matrix) -> list[tuple[str, int, Array]]:
        return [(ZERO_POINT, 0, np.zeros((), np.uint8))] if self._symmetric else []

    def encode(self, matrix: Matrix, at: Tile, x: Array) -> Encoded:
        if self._size is not None:
            q = quantize(x, self.kind, axis=1, block_size=self._size)
        elif at.right - at.left == self.columns:
            q = quantize(x, self.kind, axis=0)
        else:
            q = self._part(matrix, at, x)
        bits = 8 * q.data.itemsize if self.kind not in PACKED else q.code.bits
        row = -(-self.columns * bits // 8)
        pieces = [("", at.first * row + at.left * bits // 8, q.data)]
        if at.left == 0 or self._size is not None:
            grid = -(-self.columns // self.block) if self._size is not None else 1
            index = at.first * grid + (at.left // self.block if self._size is not None else 0)
            pieces.append((SCALE, index * 4, q.scale))
            if not self._symmetric:
                zero = np.broadcast_to(q.zero_point, q.scale.shape)
                pieces.append((ZERO_POINT, index * zero.itemsize, zero))
        return Encoded(pieces, lambda out: q.dequantize(out=out))

    def _part(self, matrix: Matrix, at: Tile, x: Array) -> QuantizedArray:
        """Quantize a part of a row, whose range is that of all of it."""
        if self._row is None or self._row[0] != at.first:
            low, high = np.float32(np.inf), np.float32(-np.inf)
            for part in tiles(1, self.columns):
                found = minmax(matrix.tile(part._replace(first=at.first, last=at.last)))
                low, high = np.minimum(low, found[0]), np.maximum(high, found[1])
            ends = np.array([[low, high]], np.float32)
            self._row = at.first, quantize(ends, self.kind, axis=0)
        like = self._row[1]
        scale, zero = like.scale, np.broadcast_to(like.zero_point, like.scale.shape)
        is_float = like.code.is_float
        limits = None if is_float else (-like.code.high if self._symmetric else 0, like.code.high)
        codes = quantize_linear(
            x, scale, None if is_float else zero, axis=0, dtype=self.kind, limits=limits
        )
        return QuantizedArray(codes, scale, like.zero_point, 0, None, self.kind, x.shape)


class NVFP4:
    """Codes, e4m3 scales of 16 elements of a row, and one scale for the tensor."""

    kind = "nvfp4"
    block = nvfp4.BLOCK

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.rows, self.columns = math.prod(shape[:-1]), shape[-1]
        scales = -(-self.columns // self.block)
        self.parts = {
            "": ("U8", (*shape[:-1], -(-self.columns // 2))),
            SCALE: ("F8_E4M3", (*shape[:-1], scales)),
            TENSOR_SCALE: ("F32", ()),
        }
        self.about = {"record": "nvfp4", "shape": shape, "axis": len(shape) - 1}
        self._scale = np.float32(1)

    def prepare(self, matrix: Matrix) -> list[tuple[str, int, Array]]:
        ends = [part_range(matrix.tile(at)) for at in tiles(self.rows, self.columns, self.block)]
        x = np.array([min(e[0] for e in ends), max(e[1] for e in ends)] if ends else [], np.float32)
        if np.isnan([value for pair in ends for value in pair]).any():
            x = np.array([np.nan], np.float32)  # min and max may lose it
        self._scale = nvfp4.quantize(x).tensor_scale
        return [(TENSOR_SCALE, 0, np.asarray(self._scale))]

    def encode(self, matrix: Matrix, at: Tile, x: Array) -> Encoded:
        q = nvfp4.quantize(x, tensor_scale=float(self._scale))
        pieces = list(_rows(at, self.columns, self.block, 2, q.codes, q.scales))
        return Encoded(pieces, lambda out: q.dequantize(out=out))


class MX:
    """Codes, and powers of two for 32 elements of a row."""

    block = 32

    def __init__(self, kind: str, shape: tuple[int, ...]) -> None:
        self.kind = kind
        self.rows, self.columns = math.prod(shape[:-1]), shape[-1]
        self._per_byte = 2 if kind == "mxfp4" else 1
        scales = -(-self.columns // self.block)
        self.parts = {
            "": ("U8", (*shape[:-1], -(-self.columns // self._per_byte))),
            SCALE: ("U8", (*shape[:-1], scales)),
        }
        self.about = {
            "record": "mx",
            "kind": kind,
            "shape": shape,
            "axis": len(shape) - 1,
            "block_size": self.block,
        }

    def prepare(self, matrix: Matrix) -> list[tuple[str, int, Array]]:
        return []

    def encode(self, matrix: Matrix, at: Tile, x: Array) -> Encoded:
        q = mx.quantize(x, self.kind, block_size=self.block)
        pieces = list(_rows(at, self.columns, self.block, self._per_byte, q.codes, q.scales))
        return Encoded(pieces, lambda out: q.dequantize(out=out))


def part_range(x: Array) -> tuple[float, float]:
    """Return the smallest and the largest element of a tile."""
    low, high = minmax(x)
    return float(low), float(high)


def _rows(
    at: Tile, columns: int, block: int, per_byte: int, codes: Array, scales: Array
) -> Iterator[tuple[str, int, Array]]:
    """Yield codes and scales of a tile, a byte per scale, with their offsets."""
    yield "", at.first * -(-columns // per_byte) + at.left // per_byte, codes
    yield SCALE, at.first * -(-columns // block) + at.left // block, scales
