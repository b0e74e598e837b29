"""Weights in codes: level(code) * scale + offset, with scales of blocks along the inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..quant.array import QuantizedArray
from ..quant.record import Record

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Coded:
    """What a matrix of quantized weights is, in the terms of the kernels of few rows.

    Attributes
    ----------
    shape : tuple of int
        (out, in).
    block : int
        Inputs that share a scale: a multiple of 8, or `in` and more.
    scale : ndarray
        Of shape (out, blocks): float32, float16, or int8 times `super_scale`.
    codes : callable
        From the first output and the one behind the last to their codes: one to a byte,
        C-contiguous; int8, or uint8 below 16 where there are `levels`.
    levels : ndarray, optional
        float32: what codes of four bits stand for.
    zero : int or None
        Where ``levels`` are ``code - zero``, this; None where they are other numbers.
    offset : ndarray, optional
        As `scale`.
    super_scale, super_offset : ndarray, optional
        float16 of shape (out, blocks / per_super).
    per_super : int
        Blocks that share one.
    """

    shape: tuple[int, int]
    block: int
    scale: Array
    codes: Callable[[int, int], Array]
    levels: Array | None = None
    zero: int | None = None
    offset: Array | None = None
    super_scale: Array | None = None
    super_offset: Array | None = None
    per_super: int = 1

    @property
    def has_integers(self) -> bool:
        """Whether these are four bits that stand for integers: products with int8 are exact."""
        return self.levels is not None and self.zero is not None

    def hollow(self) -> Coded:
        """Return the same without codes and scales, of which the dtypes are left."""
        none: dict[str, Any] = {
            name: None if value is None else np.empty((0, 0), value.dtype)
            for name, value in self._scales().items()
        }
        return replace(self, codes=_no_codes, **none)

    def room(self) -> tuple[Array, tuple[Array | None, ...]]:
        """Return arrays for all codes, and for the scales in their order."""
        n, k = self.shape
        blocks = max(1, -(-k // self.block))
        supers = -(-blocks // self.per_super)
        scales = tuple(
            None if x is None else np.empty((n, supers if "super" in name else blocks), x.dtype)
            for name, x in self._scales().items()
        )
        return np.empty(self.shape, np.int8 if self.levels is None else np.uint8), scales

    def filled(self, codes: Array, scales: Sequence[Array | None]) -> Coded:
        """Return the same with these codes and scales."""
        given: dict[str, Any] = dict(zip(self._scales(), scales, strict=True))
        return replace(self, codes=partial(_rows, codes), **given)

    def parts(self) -> tuple[dict[str, Any], Array]:
        """Return what pickles: all but the codes, and these, of four bits two to a byte."""
        about = {x.name: getattr(self, x.name) for x in fields(self) if x.name != "codes"}
        codes = self.codes(0, self.shape[0])
        if self.levels is not None:
            codes = np.pad(codes, ((0, 0), (0, self.shape[1] % 2)))
            codes = codes[:, ::2] | codes[:, 1::2] << 4
        return about, np.array(codes)

    @staticmethod
    def of_parts(about: dict[str, Any], codes: Array) -> Coded:
        """Return what `parts` were of."""
        if about["levels"] is not None:
            both = np.stack([codes & 15, codes >> 4], axis=-1).reshape(len(codes), -1)
            codes = np.ascontiguousarray(both[:, : about["shape"][1]])
        return Coded(codes=partial(_rows, codes), **about)

    def numbers(self) -> Array:
        """Return what all of it stands for, as float32."""
        n, k = self.shape
        codes = self.codes(0, n)
        wide = codes.view(np.int8).astype(np.float32) if self.levels is None else self.levels[codes]
        wide *= np.repeat(self.blocks(self.scale, self.super_scale), self.block, axis=1)[:, :k]
        if self.offset is not None:
            offset = self.blocks(self.offset, self.super_offset)
            wide += np.repeat(offset, self.block, axis=1)[:, :k]
        return wide

    def _scales(self) -> dict[str, Any]:
        names = ("scale", "offset", "super_scale", "super_offset")
        return {name: getattr(self, name) for name in names}

    def blocks(self, values: Array, above: Array | None) -> Array:
        """Return scales or offsets as float32."""
        wide = values.astype(np.float32)
        if above is not None:
            wide *= np.repeat(above.astype(np.float32), self.per_super, axis=1)[:, : wide.shape[1]]
        return wide


def _rows(codes: Array, first: int, last: int) -> Array:
    return codes[first:last]


def _no_codes(first: int, last: int) -> Array:
    raise AssertionError("the codes are packed")


def coded_of(record: Record) -> Coded | None:
    """Return a matrix, not empty, in these terms; None where it is of other numbers or blocks."""
    if isinstance(record, QuantizedArray):
        return _quantized(record)
    from ..formats import gguf, mx, nf4, nvfp4

    if isinstance(record, gguf.GGUFArray):
        from .gguf_codes import coded_of_gguf

        return coded_of_gguf(record)
    n, k = record.shape
    if isinstance(record, nf4.NF4Array):
        if k % record.block_size:
            return None
        plain = record._plain()
        return _of_levels(plain, record.block_size, plain.scales().reshape(n, -1))
    if isinstance(record, nvfp4.NVFP4Array) and record.axis == 1:
        from ..interop.lowprecision import low_precision_dtype

        swizzle = record._plain()
        scales = np.ascontiguousarray(swizzle.scales).view(low_precision_dtype("float8_e4m3fn"))
        return _of_levels(swizzle, nvfp4.BLOCK, scales.astype(np.float32) * record.tensor_scale)
    if isinstance(record, mx.MXArray) and record.axis == 1 and record.kind in ("mxfp4", "mxint8"):
        scales = np.ldexp(np.float32(1), record.scales.astype(np.int32) - 127)
        scales[record.scales == 255] = np.nan
        if record.kind == "mxfp4":
            return _of_levels(record, record.block_size, scales)
        return _fitting(record, record.block_size, scales * np.float32(1 / 64), _slabs(record))
    return None


def _fitting(record: Record, block: int, scale: Array, codes: Any, **others: Any) -> Coded | None:
    n, k = record.shape
    if block < k and block % 8:
        return None
    scale = np.ascontiguousarray(scale.reshape(n, -1), np.float32)
    return Coded((n, k), min(block, k), scale, codes, **others)


def _of_levels(record: Record, block: int, scale: Array) -> Coded | None:
    """Codes of four bits that stand for sixteen numbers."""
    every = record._every_code()
    assert every is not None
    levels = every.dequantize()
    return _fitting(record, block, scale, _slabs(record), levels=levels)


def _slabs(record: Record, flip: int = 0) -> Callable[[int, int], Array]:
    """Return what gives the codes of some rows, with some bits of each inverted."""
    columns = slice(0, record.shape[1])

    def codes(first: int, last: int) -> Array:
        found = record._codes_in((slice(first, last), columns))
        assert found is not None
        found = np.ascontiguousarray(found.reshape(last - first, -1))
        return found ^ np.uint8(flip) if flip else found

    return codes


def _quantized(q: QuantizedArray) -> Coded | None:
    code, (n, k) = q.code, q.shape
    blocks = q._blocks()
    if code.bits > 8 or (code.is_float and code.bits != 4):
        return None
    if blocks is None and q.axis == 1:
        return None  # a scale for each input
    down, along = blocks or (1 if q.axis == 0 else n, k)

    def spread(values: Array) -> Array:
        """Return values of blocks, or one, as (n, blocks along the inputs)."""
        if blocks is None:
            return np.broadcast_to(values.reshape(-1, 1), (n, 1))
        return np.repeat(values, down, axis=0)[:n]

    scale = spread(q.scale)
    if code.is_float:
        return _of_levels(q, along, scale)
    middle = 1 << (code.bits - 1)
    signed = code.low < 0
    # Codes are held as unsigned of four bits, and as signed of eight: about the middle, either way.
    flip = middle if signed == (code.bits < 8) else 0
    zero = (
        spread(q.zero_point.astype(np.int32) - (0 if signed else middle))
        if q.zero_point.any() or not signed
        else None
    )
    if zero is not None and not zero.any():
        zero = None
    if code.bits == 8:
        offset = None if zero is None else np.ascontiguousarray(-zero * scale, np.float32)
        return _with_offset(_fitting(q, along, scale, _slabs(q, flip)), offset)
    common = 0
    if zero is not None and (zero == zero.flat[0]).all():
        common, zero = int(zero.flat[0]), None
    levels = np.arange(16, dtype=np.float32) - np.float32(middle + common)
    offset = None if zero is None else np.ascontiguousarray(-zero * scale, np.float32)
    made = _fitting(q, along, scale, _slabs(q, flip), levels=levels, zero=middle + common)
    return _with_offset(made, offset)


def _with_offset(made: Coded | None, offset: Array | None) -> Coded | None:
    if made is None or offset is None:
        return made
    from dataclasses import replace

    return replace(made, offset=np.broadcast_to(offset, made.scale.shape).copy())
