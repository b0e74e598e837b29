"""MX formats: 8-, 6- and 4-bit elements, 32 of which share a power of two."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike

from .. import executors
from ..interop import accepts_buffers
from ..quant.packing import pack, unpack_into
from ..quant.record import Box, Record, extents, read_shape, refuse_record, scaled
from . import arguments
from .blocks import Array, Layout
from .elements import ELEMENTS, SCALE_MODES

__all__ = ["MXArray", "quantize"]

_BYTES: Final = np.dtype(np.uint8)
_STEP: Final = 16  # elements that a kernel takes together: blocks are whole multiples
_ALIASES: Final = {"mxfp8": "mxfp8_e4m3"}
_RECORD: Final = "ufuse.formats.mx.MXArray"
_QUANTIZE: Final = "ufuse.formats.mx.quantize"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MXArray(Record):
    """An array in an MX format: a record of codes and scales, not an array class.

    Attributes
    ----------
    codes : ndarray
        uint8, the shape of the array, but along `axis` ``ceil(n * bits / 8)`` bytes for n codes:
        of 8 bits for fp8 and int8, of 4 for fp4 (the even element in the low nibble), of 8 for fp6
        or of 6 where `packed`.
    scales : ndarray
        uint8, e8m0: ``2 ** (scale - 127)``, and 255 for NaN. The shape of the array, but
        ``ceil(n / block_size)`` along `axis`.
    kind : str
        The format: see `quantize`.
    shape : tuple of int
        Of the array.
    axis : int
        The axis that blocks run along, counted from the front.
    block_size : int
        Elements of a block. The last one of a row may have fewer.
    packed : bool
        Whether codes of 6 bits follow one another without gaps: the first in the lowest bits of the
        first byte, four codes in three bytes.

    Raises
    ------
    TypeError
        If `codes` or `scales` are not arrays of uint8.
    ValueError
        If a shape, `kind` or `block_size` does not fit.
    numpy.exceptions.AxisError
        If the array has no such axis.

    Notes
    -----
    Codes and scales that `quantize` has made are contiguous along `axis`, whichever that is, as
    matrix products that run along it want them. Numbers are ``element * scale``, exact but where
    float32 overflows or underflows; NaN in all of a block whose scale is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from ufuse.formats import mx
    >>> record = mx.MXArray(np.uint8([[0x42]]), np.uint8([[128]]), "mxfp4", (1, 2), axis=1)
    >>> record.dequantize()
    array([[2., 4.]], dtype=float32)
    """

    _name: ClassVar = _RECORD
    _kept_as: ClassVar = "mx"
    _suffixes: ClassVar = {"codes": "", "scales": ".scale"}

    codes: Array
    scales: Array
    kind: str
    shape: tuple[int, ...]
    axis: int = -1
    block_size: int = 32
    packed: bool = False
    _given: tuple[Array, ...] = field(init=False)  # what `out` of quantize is written to

    def __post_init__(self) -> None:
        kind, layout = _layout(self.kind, self.block_size, self.packed, "floor", _RECORD)
        shape = read_shape(self.shape, _RECORD)
        axis = arguments.read_axis(self.axis, len(shape), _RECORD)
        self._set(kind=kind, shape=shape, axis=axis)
        codes, scales = _part_shapes(shape, axis, layout)
        self._keep(
            codes=arguments.checked(self.codes, _BYTES, codes, "codes", _RECORD),
            scales=arguments.checked(self.scales, _BYTES, scales, "scales", _RECORD),
        )

    def _laid(self) -> Layout:
        return _layout(self.kind, self.block_size, self.packed, "floor", _RECORD)[1]

    def _decode(self, target: Array) -> None:
        executors.of(__package__).decode(
            self._laid(),
            executors.apart(arguments.readable_rows(self.codes, self.axis), target),
            arguments.rows_of(target, self.axis),
            executors.apart(arguments.readable_rows(self.scales, self.axis), target),
        )

    def _units(self) -> tuple[int, ...]:
        return arguments.along((1,) * len(self.shape), self.axis, self.block_size)

    def _box(self, box: Box) -> MXArray:
        layout = self._laid()
        codes = self.codes[scaled(box, self.axis, layout.nbytes, layout.block)]
        scales = self.scales[scaled(box, self.axis, 1, layout.block)]
        return replace(self, codes=codes, scales=scales, shape=extents(box))

    def _rows(self, rows: Any, shape: tuple[int, ...]) -> MXArray:
        if self.axis == 0:
            raise self._no_rows(
                f"blocks of {self.block_size} run along the first axis, whose indices share scales"
            )
        axis = self.axis - len(self.shape) + len(shape)
        codes, scales = self.codes[rows], self.scales[rows]
        return replace(self, codes=codes, scales=scales, shape=shape, axis=axis)

    def _codes_in(self, box: Box) -> Array:
        part, bits = self._box(box), ELEMENTS[self.kind].bits
        if bits == 8 or (bits == 6 and not self.packed):
            return part.codes & ((1 << bits) - 1)
        rows = arguments.readable_rows(part.codes, self.axis)
        codes = np.empty((*rows.shape[:-1], part.shape[self.axis]), np.uint8)
        unpack_into(rows, codes, bits)
        return codes

    def _every_code(self) -> MXArray:
        bits = ELEMENTS[self.kind].bits
        every = np.arange(1 << bits, dtype=np.uint8)
        codes = pack(every, "uint4") if bits == 4 else every
        scales = np.full(-(-every.size // 32), 127, np.uint8)
        return MXArray(codes, scales, self.kind, every.shape)

    def _says(self) -> str:
        packed = ", packed" if self.packed else ""
        return f"{self.kind}{packed}, blocks of {self.block_size} on axis {self.axis}"


@accepts_buffers("x", out="", function=_QUANTIZE, check=refuse_record)
def quantize(
    x: ArrayLike,
    kind: str,
    *,
    axis: int = -1,
    block_size: int = 32,
    scale_mode: str = "floor",
    packed: bool = False,
    out: MXArray | None = None,
) -> MXArray:
    """Quantize an array to an MX format.

    Parameters
    ----------
    x : array_like
        float32, float64, float16 or bfloat16, at least 1-d, any strides and byte order. float64 is
        rounded to float32 first.
    kind : str
        ``"mxfp8_e4m3"`` (or ``"mxfp8"``), ``"mxfp8_e5m2"``, ``"mxfp6_e2m3"``, ``"mxfp6_e3m2"``,
        ``"mxfp4"`` or ``"mxint8"``.
    axis : int, optional
        The axis that blocks run along.
    block_size : int, optional
        Elements that share a scale: a multiple of 16. 32 in the specification. A row's last block
        may have fewer.
    scale_mode : {"floor", "ceil", "even", "rceil"}, optional
        How a power of two is made of a block's largest magnitude, see the notes.
    packed : bool, optional
        For 6-bit kinds: four codes in three bytes, and not one code per byte.
    out : MXArray, optional
        A record that is returned, the arrays that it was given written: of the same kind, shape,
        axis, block size and packing. They may overlap `x`.

    Returns
    -------
    MXArray
        Codes and scales.

    Raises
    ------
    TypeError
        If `x` is not of a dtype above, or `out` no record.
    ValueError
        If `kind`, `block_size`, `scale_mode` or `packed` is none of those above, or `out` does not
        fit. Nothing has been written then.
    numpy.exceptions.AxisError
        If `x` has no such axis.

    Notes
    -----
    Formats and scales are those of the OCP Microscaling Formats (MX) Specification 1.0, and
    ``floor`` its rule: with amax the largest magnitude of a block and ``emax`` the exponent of the
    largest element, the scale is ``2 ** (floor(log2(amax)) - emax)``. ``ceil`` takes the power of
    two at or above amax instead; ``even`` the one below amax as it would be rounded to an element's
    digits; ``rceil`` is ``2 ** ceil(log2(amax / largest element))``. Scales are kept between
    ``2 ** -127`` and ``2 ** 127``. Elements are rounded half to even and saturate: ``floor`` takes
    magnitudes of 449 to 511, in units of the scale, to 448. int8 elements are 64ths from -127 to
    127.

    A block with NaN has the scale 255 and codes of 0; all of it is NaN when dequantized. An
    infinity counts as ``2 ** 128`` in amax, and saturates.

    torchao (``prototype.mx_formats.to_mx``) gives the same codes and scales but in three places: it
    divides by ``2 ** -126`` (``floor``, ``ceil``, ``even``) or 1 (``rceil``) where the scale is
    ``2 ** -127``; it takes the logarithm of ``rceil`` in float32, which is off by one just above
    powers of two; and it leaves other codes in blocks of NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from ufuse.formats import mx
    >>> q = mx.quantize(np.float32([[0.1, -3.0, 6.5, 100.0]]), "mxfp8")
    >>> q
    MXArray(shape=(1, 4), mxfp8_e4m3, blocks of 32 on axis 1, 5 bytes)
    >>> q.scales
    array([[125]], dtype=uint8)
    >>> q.dequantize()
    array([[ 0.1015625, -3.       ,  6.5      , 96.       ]], dtype=float32)
    """
    values = arguments.read_values(x, _QUANTIZE)
    kind, layout = _layout(kind, block_size, packed, scale_mode, _QUANTIZE)
    place = arguments.read_axis(axis, values.ndim, _QUANTIZE)
    if out is None:
        codes, scales = (
            arguments.new_rows(shape, place, _BYTES)
            for shape in _part_shapes(values.shape, place, layout)
        )
        record = MXArray(codes, scales, kind, values.shape, place, block_size, packed)
    else:
        record = _checked_out(out, (kind, values.shape, place, block_size, packed))
    codes = arguments.writable_rows(record._given[0], place, "codes", _QUANTIZE)
    scales = arguments.writable_rows(record._given[1], place, "scales", _QUANTIZE)
    rows = arguments.rows_of(values, place)
    if out is not None:
        rows = executors.apart(executors.apart(rows, codes), scales)
    if values.size:
        executors.of(__package__).encode(layout, rows, codes, scales)
    return record


def _layout(
    kind: Any, block_size: Any, packed: Any, scale_mode: Any, function: str
) -> tuple[str, Layout]:
    """Return the full name of a kind, and how its blocks lie."""
    name = _ALIASES.get(kind, kind) if isinstance(kind, str) else kind
    name = arguments.read_choice(name, tuple(ELEMENTS), "kind", function)
    mode = arguments.read_choice(scale_mode, SCALE_MODES, "scale_mode", function)
    if not isinstance(block_size, (int, np.integer)) or block_size <= 0 or block_size % _STEP:
        raise ValueError(
            f"{function}: argument 'block_size': expected a multiple of {_STEP}, got {block_size!r}"
        )
    bits = ELEMENTS[name].bits
    if packed and bits != 6:
        raise ValueError(
            f"{function}: argument 'packed': expected False for {name}, whose codes of {bits} bits "
            "have no gaps"
        )
    stored = 8 if bits == 6 and not packed else bits
    row = f"{name}_packed" if packed else name
    block = int(block_size)
    return name, Layout(row, block, block * stored // 8, scale_mode=SCALE_MODES.index(mode))


def _part_shapes(
    shape: tuple[int, ...], axis: int, layout: Layout
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of codes and scales."""
    count = shape[axis]
    nbytes = -(-count * layout.nbytes // layout.block)
    return (
        arguments.along(shape, axis, nbytes),
        arguments.along(shape, axis, -(-count // layout.block)),
    )


def _checked_out(out: Any, wanted: tuple[Any, ...]) -> MXArray:
    if not isinstance(out, MXArray):
        raise TypeError(
            f"{_QUANTIZE}: argument 'out': expected an MXArray, got {type(out).__name__}"
        )
    found = (out.kind, out.shape, out.axis, out.block_size, out.packed)
    if found != wanted:
        raise ValueError(
            f"{_QUANTIZE}: argument 'out': expected kind, shape, axis, block size and packing "
            f"{wanted}, got {found}"
        )
    return out
