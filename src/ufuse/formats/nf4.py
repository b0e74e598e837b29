"""NF4 and FP4 of bitsandbytes: codes of sixteen values, and each block's largest magnitude."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike

from .. import executors
from ..interop import accepts_buffers
from ..quant.packing import pack, unpack_into
from ..quant.record import Box, Record, extents, read_shape, refuse_record
from . import arguments, dynamic
from .blocks import Array, Layout
from .reference.nf4 import encode_rest

__all__ = ["NF4Array", "quantize"]

KINDS: Final = ("nf4", "fp4")
BLOCK_SIZES: Final = (32, 64, 128, 256, 512, 1024, 2048, 4096)
_BYTES: Final = np.dtype(np.uint8)
_SINGLE: Final = np.dtype(np.float32)
_RECORD: Final = "ufuse.formats.nf4.NF4Array"
_QUANTIZE: Final = "ufuse.formats.nf4.quantize"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NF4Array(Record):
    """An array in NF4 or FP4: a record of codes and scales, not an array class.

    Attributes
    ----------
    codes : ndarray
        uint8, 1-d, ``ceil(size / 2)`` bytes: the elements in C order, the even one in the high
        nibble.
    absmax : ndarray
        The largest magnitude of each block, 1-d: float32, or uint8 where it is quantized itself.
    kind : {"nf4", "fp4"}
        The format.
    shape : tuple of int
        Of the array.
    block_size : int
        Elements of a block: a power of two from 32 to 4096.
    nested : ndarray, optional
        float32, 1-d, where `absmax` is quantized: the largest magnitude of each 256 values of
        ``absmax - offset``.
    offset : numpy.float32, optional
        Their mean.

    Raises
    ------
    TypeError
        If a part is not of the type above.
    ValueError
        If a shape, `kind` or `block_size` does not fit.

    Notes
    -----
    The parts are those of bitsandbytes' ``quantize_4bit``: its tensor (flattened) and, of its
    ``QuantState``, ``absmax``, ``state2.absmax`` and ``offset``. Numbers are ``value * absmax``,
    rounded to float32. Rows can be taken where they are whole blocks; those of a record whose
    `absmax` is quantized have them as float32.

    Examples
    --------
    >>> import numpy as np
    >>> from ufuse.formats import nf4
    >>> nf4.NF4Array(np.uint8([0xF7]), np.float32([3.0]), "nf4", (2,)).dequantize()
    array([3., 0.], dtype=float32)
    """

    _name: ClassVar = _RECORD
    _kept_as: ClassVar = "nf4"
    _suffixes: ClassVar = {
        "codes": "", "absmax": ".absmax", "nested": ".nested_absmax", "offset": ".offset"
    }  # fmt: skip

    codes: Array
    absmax: Array
    kind: str
    shape: tuple[int, ...]
    block_size: int = 64
    nested: Array | None = None
    offset: np.float32 | None = None
    _given: tuple[Array, Array, Array | None] = field(init=False)  # what `out` is written to

    def __post_init__(self) -> None:
        arguments.read_choice(self.kind, KINDS, "kind", _RECORD)
        block = _read_block(self.block_size, _RECORD)
        shape = read_shape(self.shape, _RECORD)
        object.__setattr__(self, "shape", shape)  # the record itself is frozen
        object.__setattr__(self, "block_size", block)
        size = math.prod(shape)
        blocks = -(-size // block)
        given = self.codes, self.absmax, self.nested
        codes = arguments.checked(self.codes, _BYTES, (-(-size // 2),), "codes", _RECORD)
        if (self.nested is None) != (self.offset is None):
            raise ValueError(
                f"{_RECORD}: attribute 'offset': expected one together with 'nested', got "
                f"nested={self.nested!r} and offset={self.offset!r}"
            )
        dtype = _SINGLE if self.nested is None else _BYTES
        absmax = arguments.checked(self.absmax, dtype, (blocks,), "absmax", _RECORD)
        if self.nested is not None:
            groups = (-(-blocks // dynamic.BLOCK),)
            nested = arguments.checked(self.nested, _SINGLE, groups, "nested", _RECORD)
            object.__setattr__(self, "nested", nested)
            object.__setattr__(self, "offset", np.float32(np.asarray(self.offset).reshape(())))
        for name, value in (("codes", codes), ("absmax", absmax), ("_given", given)):
            object.__setattr__(self, name, value)

    @property
    def double(self) -> bool:
        """Whether the largest magnitudes are quantized themselves."""
        return self.nested is not None

    def scales(self) -> Array:
        """Return the largest magnitude of each block, float32, as `dequantize` takes it."""
        if self.nested is None:
            return self.absmax
        assert self.offset is not None
        return dynamic.decode(self.absmax, self.nested) + self.offset

    def _decode(self, target: Array) -> None:
        codes = executors.apart(np.ascontiguousarray(self.codes), target)
        scales = executors.apart(np.ascontiguousarray(self.scales()), target)
        engine, layout = executors.of(__package__), _layout(self.kind, self.block_size)
        rows, flat = _rows(target, self.block_size)
        if rows is not None:
            codes, scales = _parts(codes, scales, rows, layout)
            engine.decode(layout, codes, rows, scales)
        elif flat is not None:
            engine.decode(layout, codes, flat, scales)
        else:  # blocks run over the ends of rows that do not follow one another
            numbers = executors.empty((target.size,), target.dtype)
            engine.decode(layout, codes, numbers, scales)
            target[...] = numbers.reshape(target.shape)

    def _plain(self) -> NF4Array:
        if not self.double:
            return self
        return NF4Array(self.codes, self.scales(), self.kind, self.shape, self.block_size)

    def _row_blocks(self) -> bool:
        """Tell whether the last axis has whole blocks."""
        return bool(self.shape) and self.shape[-1] % self.block_size == 0

    def _units(self) -> tuple[int, ...]:
        if not self._row_blocks():
            return (1,) * len(self.shape)  # boxes are consecutive elements
        return (*(1,) * (len(self.shape) - 1), self.block_size)

    def _box(self, box: Box) -> NF4Array:
        """Return whole blocks as a record; where rows are none, with what is before and behind."""
        codes, scales, block = self.codes, self.scales(), self.block_size
        if self._row_blocks():
            per_row = self.shape[-1] // block
            scales = scales.reshape(*self.shape[:-1], per_row)[_of_blocks(box, block, 1)]
            codes = codes.reshape(*self.shape[:-1], per_row * block // 2)
            codes = codes[_of_blocks(box, block, block // 2)]
            shape = extents(box)
        else:
            start, stop = self._span(box)
            first, last = start // block, -(-stop // block)
            scales, codes = scales[first:last], codes[first * block // 2 : last * block // 2]
            shape = (min(last * block, math.prod(self.shape)) - first * block,)
        return NF4Array(codes.reshape(-1), scales.reshape(-1), self.kind, shape, block)

    def _span(self, box: Box) -> tuple[int, int]:
        """Return where the elements of a box of consecutive ones begin and end."""
        start = 0
        for along, extent in zip(box, self.shape, strict=True):
            start = start * extent + along.start
        return start, start + math.prod(extents(box))

    def _decode_box(self, box: Box, target: Array) -> None:
        part = self._box(box)
        if self._row_blocks():
            part._decode(target)
            return
        start, stop = self._span(box)
        before = start % self.block_size
        target[...] = part.dequantize()[before : before + stop - start].reshape(target.shape)

    def _rows(self, rows: Any, shape: tuple[int, ...]) -> NF4Array:
        inside, block = math.prod(self.shape[1:]), self.block_size
        if inside % block:
            raise self._no_rows(
                f"blocks of {block} run over the ends of rows of {inside} elements, which share "
                "scales"
            )
        codes = self.codes.reshape(self.shape[0], inside // 2)[rows]
        scales = self.scales().reshape(self.shape[0], inside // block)[rows]
        return NF4Array(codes.reshape(-1), scales.reshape(-1), self.kind, shape, block)

    def _codes_in(self, box: Box) -> Array:
        part = self._box(box)
        codes = np.empty(math.prod(part.shape), np.uint8)
        unpack_into(part.codes, codes, 4, high_first=True)
        if self._row_blocks():
            return codes
        start, stop = self._span(box)
        before = start % self.block_size
        return codes[before : before + stop - start]

    def _every_code(self) -> NF4Array:
        every = pack(np.arange(16, dtype=np.uint8), "uint4", order="high_first")
        return NF4Array(every, np.ones(1, np.float32), self.kind, (16,))

    def _says(self) -> str:
        double = ", scales quantized" if self.double else ""
        return f"{self.kind}, blocks of {self.block_size}{double}"


@accepts_buffers("x", out="", function=_QUANTIZE, check=refuse_record)
def quantize(
    x: ArrayLike,
    *,
    kind: str = "nf4",
    block_size: int = 64,
    double: bool = False,
    out: NF4Array | None = None,
) -> NF4Array:
    """Quantize an array to NF4 or FP4, as bitsandbytes does.

    Parameters
    ----------
    x : array_like
        float32, float64, float16 or bfloat16, any shape, strides and byte order. float64 is rounded
        to float32 first.
    kind : {"nf4", "fp4"}, optional
        NF4: quantiles of a normal distribution. FP4: two bits of exponent and one of fraction.
    block_size : int, optional
        Elements of the flattened array that share a scale: a power of two from 32 to 4096. The last
        block may have fewer.
    double : bool, optional
        Quantize the scales to 8 bits as well.
    out : NF4Array, optional
        A record whose arrays are written, those that it was given: of the same kind, shape, block
        size and `double`. They may overlap `x`. What is returned has them, and the offset of this
        call.

    Returns
    -------
    NF4Array
        Codes and scales.

    Raises
    ------
    TypeError
        If `x` is not of a dtype above, or `out` no record.
    ValueError
        If `kind` or `block_size` is none of those above, `out` does not fit, or with `double` if
        `x` is not finite in float32. Nothing has been written then.

    Notes
    -----
    The bytes of bitsandbytes 0.50 on the CPU: a block is multiplied by the reciprocal of its
    largest magnitude, a last block that is not full divided by it, and an element becomes the
    nearest of sixteen values, the smaller one half way between two. Magnitudes below 1e-38 count as
    1e-38, which in a last block that is not full is also what is kept. A block with NaN or infinity
    is NaN, or NaN and infinite, when dequantized.

    With `double`, the mean of the scales is taken from them (rounded once, where bitsandbytes' sum
    in float32 depends on the number of threads: its last bits may differ), and what is left is
    quantized in blocks of 256 to 8 bits: see `dynamic`.

    The elements are those of ``x.ravel()``, whatever the strides (in bitsandbytes a transposed
    array once gave codes of another one, bitsandbytes#1690).

    Examples
    --------
    >>> import numpy as np
    >>> from ufuse.formats import nf4
    >>> q = nf4.quantize(np.float32([[0.5, -2.0], [1.4, 0.1]]))
    >>> q
    NF4Array(shape=(2, 2), nf4, blocks of 64, 6 bytes)
    >>> q.dequantize()
    array([[ 0.4922246, -2.       ],
           [ 1.4459137,  0.1591606]], dtype=float32)
    """
    values = arguments.read_values(x, _QUANTIZE)
    arguments.read_choice(kind, KINDS, "kind", _QUANTIZE)
    layout = _layout(kind, _read_block(block_size, _QUANTIZE))
    blocks = -(-values.size // layout.block)
    if out is None:
        codes = executors.empty((-(-values.size // 2),), _BYTES)
        absmax = executors.empty((blocks,), _BYTES if double else _SINGLE)
        nested = executors.empty((-(-blocks // dynamic.BLOCK),), _SINGLE) if double else None
    else:
        wanted = (kind, values.shape, layout.block, bool(double))
        codes, absmax, nested = _checked_out(out, wanted)
    if nested is None:
        if out is not None:
            values = executors.apart(executors.apart(values, codes), absmax)
        _encode(values, layout, codes, absmax)
        return NF4Array(codes, absmax, kind, values.shape, layout.block)
    # Whether the scales have a mean is known at the end: codes of a record that is given wait.
    scales = executors.empty((blocks,), _SINGLE)
    found = codes if out is None else executors.empty(codes.shape, _BYTES)
    _encode(values, layout, found, scales)
    offset = scales.mean(dtype=np.float64).astype(np.float32) if blocks else np.float32(0)
    if not np.isfinite(offset):
        raise ValueError(
            f"{_QUANTIZE}: argument 'x': expected finite values, since double=True takes the "
            "mean of all scales, got NaN or infinity; use double=False"
        )
    if found is not codes:
        codes[...] = found
    dynamic.encode(scales - offset, absmax, nested)
    return NF4Array(codes, absmax, kind, values.shape, layout.block, nested, offset)


def _encode(values: Array, layout: Layout, codes: Array, scales: Array) -> None:
    if values.size == 0:
        return
    engine = executors.of(__package__)
    rows, flat = _rows(values, layout.block)
    if rows is not None:
        engine.encode(layout, rows, *_parts(codes, scales, rows, layout))
        return
    if flat is None:
        flat = np.ascontiguousarray(values).reshape(-1)
    blocks = flat.size // layout.block
    full = blocks * layout.block
    if blocks:
        engine.encode(layout, flat[:full], codes[: full // 2], scales[:blocks])
    if full < flat.size:  # a last block is computed in another way
        with np.errstate(over="ignore"):
            rest = flat[full:].astype(np.float32)
        codes[full // 2 :], scales[blocks:] = encode_rest(rest, layout.name)


def _rows(array: Array, block: int) -> tuple[Array | None, Array | None]:
    """Return `array` where its rows are whole blocks, or flat where it is contiguous."""
    if array.ndim and array.shape[-1] % block == 0:
        return array, None
    return None, array.reshape(-1) if array.flags.c_contiguous else None


def _of_blocks(box: Box, block: int, times: int) -> Box:
    """Return the box of what each block of a row has `times` of."""
    along = box[-1]
    return (*box[:-1], slice(along.start // block * times, along.stop // block * times))


def _parts(codes: Array, scales: Array, rows: Array, layout: Layout) -> tuple[Array, Array]:
    """Codes and scales in rows of whole blocks."""
    blocks = rows.shape[-1] // layout.block
    return (
        codes.reshape(*rows.shape[:-1], blocks * layout.nbytes),
        scales.reshape(*rows.shape[:-1], blocks),
    )


def _layout(kind: str, block: int) -> Layout:
    return Layout(kind, block, block // 2)


def _read_block(block_size: Any, function: str) -> int:
    if not isinstance(block_size, (int, np.integer)) or block_size not in BLOCK_SIZES:
        raise ValueError(
            f"{function}: argument 'block_size': expected one of {BLOCK_SIZES}, got {block_size!r}"
        )
    return int(block_size)


def _checked_out(out: Any, wanted: tuple[Any, ...]) -> tuple[Array, Array, Array | None]:
    if not isinstance(out, NF4Array):
        raise TypeError(
            f"{_QUANTIZE}: argument 'out': expected an NF4Array, got {type(out).__name__}"
        )
    found = (out.kind, out.shape, out.block_size, out.double)
    if found != wanted:
        raise ValueError(
            f"{_QUANTIZE}: argument 'out': expected kind, shape, block size and double {wanted}, "
            f"got {found}"
        )
    for name, part in zip(("codes", "absmax", "nested"), out._given, strict=True):
        if part is not None and not (part.flags.writeable and part.flags.c_contiguous):
            raise ValueError(
                f"{_QUANTIZE}: argument 'out': its {name} are read-only or not contiguous"
            )
    return out._given
