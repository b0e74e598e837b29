"""NVFP4: 4-bit floats, 16 of which share an 8-bit float, and one float32 for the whole array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike

from .. import executors
from ..interop import accepts_buffers
from ..quant.packing import pack, unpack_into
from ..quant.record import Box, Record, extents, read_shape, refuse_record, scaled
from ..reduce import minmax
from . import arguments
from .blocks import Array, Layout
from .swizzle import blocked_shape, from_blocked, to_blocked

__all__ = ["NVFP4Array", "from_blocked", "quantize", "to_blocked"]

BLOCK: Final = 16
_LAYOUT_BYTES: Final = 8
#: Below this a block's factor, ``(1 / tensor_scale) / scale``, could overflow.
_SMALLEST: Final = np.float32(2.0**-120)
_E4M3_ONE: Final = 0x38
_BYTES: Final = np.dtype(np.uint8)
_RECORD: Final = "ufuse.formats.nvfp4.NVFP4Array"
_QUANTIZE: Final = "ufuse.formats.nvfp4.quantize"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NVFP4Array(Record):
    """An array in NVFP4: a record of codes and scales, not an array class.

    Attributes
    ----------
    codes : ndarray
        uint8, the shape of the array, but ``ceil(n / 2)`` bytes along `axis`: two float4 (e2m1)
        each, the even element in the low nibble.
    scales : ndarray
        uint8, the bits of float8 (e4m3): the shape of the array, but ``ceil(n / 16)`` along `axis`.
        Where `swizzled`, the result of `to_blocked`.
    tensor_scale : numpy.float32
        What all scales are multiplied by.
    shape : tuple of int
        Of the array.
    axis : int
        The axis that blocks run along, counted from the front.
    swizzled : bool
        Whether `scales` lie in tiles, as cuBLAS wants them.

    Raises
    ------
    TypeError
        If `codes` or `scales` are not arrays of uint8.
    ValueError
        If a shape does not fit, or `tensor_scale` is not a finite number of at least ``2 ** -120``.
    numpy.exceptions.AxisError
        If the array has no such axis.

    Notes
    -----
    Numbers are ``element * (tensor_scale * scale)``, both products rounded to float32.

    Examples
    --------
    >>> import numpy as np
    >>> from ufuse.formats import nvfp4
    >>> record = nvfp4.NVFP4Array(np.uint8([0x42]), np.uint8([0x40]), np.float32(0.5), (2,))
    >>> record.dequantize()
    array([1., 2.], dtype=float32)
    """

    _name: ClassVar = _RECORD
    _kept_as: ClassVar = "nvfp4"
    _suffixes: ClassVar = {"codes": "", "scales": ".scale", "tensor_scale": ".tensor_scale"}

    codes: Array
    scales: Array
    tensor_scale: np.float32
    shape: tuple[int, ...]
    axis: int = -1
    swizzled: bool = False
    _given: tuple[Array, ...] = field(init=False)  # what `out` of quantize is written to

    def __post_init__(self) -> None:
        shape = read_shape(self.shape, _RECORD)
        axis = arguments.read_axis(self.axis, len(shape), _RECORD)
        scale = _read_scale(self.tensor_scale, _RECORD)
        self._set(shape=shape, axis=axis, tensor_scale=scale)
        codes, scales = _part_shapes(shape, axis)
        if self.swizzled:
            scales = blocked_shape(*_matrix_shape(scales, axis))
        self._keep(
            codes=arguments.checked(self.codes, _BYTES, codes, "codes", _RECORD),
            scales=arguments.checked(self.scales, _BYTES, scales, "scales", _RECORD),
        )

    def _decode(self, target: Array) -> None:
        plain = self._plain()
        executors.of(__package__).decode(
            _layout(self.tensor_scale),
            executors.apart(arguments.readable_rows(self.codes, self.axis), target),
            arguments.rows_of(target, self.axis),
            executors.apart(arguments.readable_rows(plain.scales, self.axis), target),
        )

    def _plain(self) -> NVFP4Array:
        """Return the record with scales that are not in tiles."""
        if not self.swizzled:
            return self
        wanted = _part_shapes(self.shape, self.axis)[1]
        matrix = from_blocked(self.scales, *_matrix_shape(wanted, self.axis))
        lead = (*wanted[: self.axis], *wanted[self.axis + 1 :])
        scales = np.moveaxis(matrix.reshape(*lead, wanted[self.axis]), -1, self.axis)
        return replace(self, scales=scales, swizzled=False)

    def _units(self) -> tuple[int, ...]:
        return arguments.along((1,) * len(self.shape), self.axis, BLOCK)

    def _box(self, box: Box) -> NVFP4Array:
        plain = self._plain()
        codes = plain.codes[scaled(box, self.axis, 1, 2)]
        scales = plain.scales[scaled(box, self.axis, 1, BLOCK)]
        return replace(plain, codes=codes, scales=scales, shape=extents(box))

    def _rows(self, rows: Any, shape: tuple[int, ...]) -> NVFP4Array:
        if self.axis == 0:
            raise self._no_rows(
                f"blocks of {BLOCK} run along the first axis, whose indices share scales"
            )
        plain, axis = self._plain(), self.axis - len(self.shape) + len(shape)
        codes, scales = plain.codes[rows], plain.scales[rows]
        if self.swizzled:
            matrix = _matrix_shape(scales.shape, axis)
            scales = to_blocked(arguments.rows_of(scales, axis).reshape(matrix))
        return replace(self, codes=codes, scales=scales, shape=shape, axis=axis)

    def _codes_in(self, box: Box) -> Array:
        along = box[self.axis]
        rows = self.codes[scaled(box, self.axis, 1, 2)]
        rows = arguments.readable_rows(rows, self.axis)
        codes = np.empty((*rows.shape[:-1], along.stop - along.start), np.uint8)
        unpack_into(rows, codes, 4)
        return codes

    def _every_code(self) -> NVFP4Array:
        every = pack(np.arange(16, dtype=np.uint8), "uint4")
        return NVFP4Array(every, np.array([_E4M3_ONE], np.uint8), np.float32(1), (16,))

    @classmethod
    def _read(cls, name: str, array: Array, about: Mapping[str, Any]) -> Array:
        return array.view(np.uint8) if name == "scales" else array  # float8 in safetensors

    def _says(self) -> str:
        swizzled = ", swizzled scales" if self.swizzled else ""
        scale = f"tensor_scale={self.tensor_scale:.6g}"
        return f"{scale}, blocks of {BLOCK} on axis {self.axis}{swizzled}"


@accepts_buffers("x", out="", function=_QUANTIZE, check=refuse_record)
def quantize(
    x: ArrayLike,
    *,
    tensor_scale: float | None = None,
    axis: int = -1,
    swizzle: bool = False,
    out: NVFP4Array | None = None,
) -> NVFP4Array:
    """Quantize an array to NVFP4.

    Parameters
    ----------
    x : array_like
        float32, float64, float16 or bfloat16, at least 1-d, any strides and byte order. float64 is
        rounded to float32 first.
    tensor_scale : float, optional
        What all block scales are multiplied by; by default ``max(abs(x)) / (448 * 6)``, for which
        `x` is read once more. 1 leaves the block scales alone.
    axis : int, optional
        The axis that blocks of 16 run along. A row's last block may have fewer.
    swizzle : bool, optional
        Lay scales in tiles of 128 rows by 4, as cuBLAS and torchao want them: see `to_blocked`.
    out : NVFP4Array, optional
        A record whose codes and scales are written, those arrays that it was given: of the same
        shape, axis and swizzling. They may overlap `x`. What is returned has them, and the tensor
        scale of this call.

    Returns
    -------
    NVFP4Array
        Codes and scales.

    Raises
    ------
    TypeError
        If `x` is not of a dtype above, `tensor_scale` no number, or `out` no record.
    ValueError
        If `tensor_scale` is not a finite number of at least ``2 ** -120``, if without one `x` is
        not finite, or if `out` does not fit. Nothing has been written then.
    numpy.exceptions.AxisError
        If `x` has no such axis.

    Notes
    -----
    As torchao 0.18 has it (``prototype.mx_formats.nvfp4_tensor``), bit for bit: with amax the
    largest magnitude of a block, its scale is ``amax / 6 / tensor_scale``, two divisions in
    float32, clamped to ``2 ** -6`` (the smallest normal e4m3) and 448 and rounded to e4m3; an
    element is ``x * ((1 / tensor_scale) / scale)``, clamped to 6 and rounded half to even.

    A default tensor scale below ``2 ** -120`` (of zeros, say) becomes ``2 ** -120``, below which a
    factor could overflow. With a `tensor_scale`, a block with NaN has a scale of NaN and codes of
    0, and infinities saturate.

    Examples
    --------
    >>> import numpy as np
    >>> from ufuse.formats import nvfp4
    >>> q = nvfp4.quantize(np.float32([[0.5, -1.0, 3.0, 6.0]]))
    >>> q
    NVFP4Array(shape=(1, 4), tensor_scale=0.00223214, blocks of 16 on axis 1, 7 bytes)
    >>> q.dequantize()
    array([[ 0.5, -1. ,  3. ,  6. ]], dtype=float32)
    """
    values = arguments.read_values(x, _QUANTIZE)
    place = arguments.read_axis(axis, values.ndim, _QUANTIZE)
    given = None if tensor_scale is None else _read_scale(tensor_scale, _QUANTIZE)
    codes_shape, scales_shape = _part_shapes(values.shape, place)
    scales: Array | None = None
    if out is None:
        codes = arguments.new_rows(codes_shape, place, _BYTES)
    else:
        codes, scales = _checked_out(out, (values.shape, place, bool(swizzle)))
    code_rows = arguments.writable_rows(codes, place, "codes", _QUANTIZE)
    if scales is not None and not scales.flags.writeable:
        raise ValueError(f"{_QUANTIZE}: argument 'out': its scales are read-only")
    plain = arguments.new_rows(scales_shape, place, _BYTES) if scales is None or swizzle else scales
    scale_rows = arguments.writable_rows(plain, place, "scales", _QUANTIZE)
    factor = _default_scale(values) if given is None else given
    rows = arguments.rows_of(values, place)
    if out is not None:
        rows = executors.apart(executors.apart(rows, code_rows), scale_rows)
    if values.size:
        executors.of(__package__).encode(_layout(factor), rows, code_rows, scale_rows)
    if swizzle:
        blocked = to_blocked(scale_rows.reshape(_matrix_shape(scales_shape, place)))
        if scales is None:
            plain = blocked
        else:
            scales[...] = blocked
            plain = scales
    return NVFP4Array(codes, plain, factor, values.shape, place, bool(swizzle))


def _layout(tensor_scale: np.float32) -> Layout:
    return Layout("nvfp4", BLOCK, _LAYOUT_BYTES, tensor_scale=float(tensor_scale))


def _part_shapes(shape: tuple[int, ...], axis: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of codes and of scales that are not swizzled."""
    count = shape[axis]
    return (
        arguments.along(shape, axis, -(-count // 2)),
        arguments.along(shape, axis, -(-count // BLOCK)),
    )


def _matrix_shape(scales: tuple[int, ...], axis: int) -> tuple[int, int]:
    """Shape of scales as a matrix, whose rows run along `axis`."""
    rows = 1
    for i, extent in enumerate(scales):
        rows *= 1 if i == axis else extent
    return rows, scales[axis]


def _default_scale(values: Array) -> np.float32:
    if values.size == 0:
        return np.float32(1)
    with np.errstate(over="ignore"):  # of float64
        low, high = (np.float32(end) for end in minmax(values))
    largest = max(abs(low), abs(high))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(
            f"{_QUANTIZE}: argument 'x': expected finite values, got NaN or infinity; pass "
            "tensor_scale= to quantize the other blocks"
        )
    return np.float32(max(largest / np.float32(448 * 6), _SMALLEST))


def _read_scale(value: Any, function: str) -> np.float32:
    try:
        if isinstance(value, (str, bytes, bytearray)):
            raise TypeError
        scale = float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"{function}: argument 'tensor_scale': expected a number, got {value!r}"
        ) from None
    with np.errstate(over="ignore"):
        single = np.float32(scale)
    if not (np.isfinite(single) and single >= _SMALLEST):
        raise ValueError(
            f"{function}: argument 'tensor_scale': expected a finite float32 of at least "
            f"{_SMALLEST:.3g}, got {value!r}"
        )
    return single


def _checked_out(out: Any, wanted: tuple[Any, ...]) -> tuple[Array, ...]:
    """Return the codes and the scales that the record was given."""
    if not isinstance(out, NVFP4Array):
        raise TypeError(
            f"{_QUANTIZE}: argument 'out': expected an NVFP4Array, got {type(out).__name__}"
        )
    found = (out.shape, out.axis, out.swizzled)
    if found != wanted:
        raise ValueError(
            f"{_QUANTIZE}: argument 'out': expected shape, axis and swizzling {wanted}, got {found}"
        )
    return out._given
