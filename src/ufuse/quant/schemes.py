"""Quantization by a scheme: ranges found in the data, scales made of them, codes."""

from __future__ import annotations

from functools import lru_cache
from types import NoneType
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import executors
from ..executors import empty
from ..fusion.program import Program
from ..interop import asarray
from ..reduce import minmax
from .arguments import Operands, as_stored, float_name, limited, read_axis, read_blocks
from .array import PACKED, QuantizedArray
from .codes import BY_NAME as CODES
from .codes import CodeType, code_type
from .grid import Blocks, per_axis, sizes_along
from .linear import quantize_linear
from .packing import pack, packed_shape, paired
from .programs import quantizer
from .ranged import Part, Rule, quantize_ranged, widened
from .record import Record, refuse_record
from .scales import scale_of_range

Array = NDArray[Any]


@overload
def quantize(
    x: list[Array] | tuple[Array, ...],
    scheme: DTypeLike | str = ...,
    *,
    axis: int | None = ...,
    block_size: int | tuple[int, ...] | None = ...,
    symmetric: bool | None = ...,
    observer: Any = ...,
) -> list[QuantizedArray]: ...
@overload
def quantize(
    x: ArrayLike,
    scheme: DTypeLike | str = ...,
    *,
    axis: int | None = ...,
    block_size: int | tuple[int, ...] | None = ...,
    symmetric: bool | None = ...,
    observer: Any = ...,
) -> QuantizedArray: ...
def quantize(
    x: Any,
    scheme: DTypeLike | str = "int8",
    *,
    axis: int | None = None,
    block_size: int | tuple[int, ...] | None = None,
    symmetric: bool | None = None,
    observer: Any = None,
) -> QuantizedArray | list[QuantizedArray]:
    """Quantize an array by a scheme, its scales taken from the data.

    Parameters
    ----------
    x : array_like, or list of arrays
        float32, float16, bfloat16 or float64, any shape, strides and byte order; finite in float32.
        Lists of numbers are read as float64. Of a list of arrays (NumPy's, or torch's and the like)
        each is quantized alike, and the results are a list.
    scheme : str or dtype_like
        What the codes are: ``"int8" "uint8" "int16" "uint16" "int4" "uint4" "int2" "uint2"``, or
        a float of 8, 6 or 4 bits: ``"float8_e4m3fn" "float8_e5m2" "float4_e2m1fn"``... Or such a
        dtype: ``np.int8``, ``ml_dtypes.int4``.
    axis : int, optional
        One scale per index of this axis (0 for the output channels of a weight of shape
        (out, in)), or the axis that blocks run along; one scale for all by default.
    block_size : int or tuple of int, optional
        One scale per so many elements along `axis`, or, a number for each axis, per such block.
        The last block of an axis may have fewer.
    symmetric : bool, optional
        Whether 0 has the code 0 and codes go as far down as up (-127 to 127), ``scale =
        max(abs(x)) / 127``. By default for signed codes; floating codes are symmetric always.
        Otherwise the range is widened to hold 0, and its ends get the smallest and the largest
        code.
    observer : ufuse.observers.Observer, optional
        What has seen the data that the scale is for: its `scale_zero_point` is asked, and `x` may
        go beyond. It has the same `axis` and `block_size`. By default the smallest and the largest
        element of `x` (of the index, the block).

    Returns
    -------
    QuantizedArray, or list of them

    Raises
    ------
    ValueError
        If the scheme is unknown, `x` is not finite, or scales and `x` do not fit.
    TypeError
        If `x` is of none of those dtypes.

    Notes
    -----
    Scales are float32 whatever `x` is. float16 and bfloat16 are quantized as the float32 they are.
    Of float64 the range is rounded to float32, and a magnitude beyond that type's is an error; what
    is divided by the scale is float64, and rounded once.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> q = uf.quantize(np.float32([[1.0, -2.0], [0.5, 0.25]]), "int8", axis=0)
    >>> q
    QuantizedArray(shape=(2, 2), int8 symmetric, 2 scales on axis 0, 13 bytes)
    >>> q.data
    array([[  64, -127],
           [ 127,   64]], dtype=int8)
    >>> uf.quantize(np.ones((2, 64), np.float32), "int4", axis=1, block_size=32)
    QuantizedArray(shape=(2, 64), int4 symmetric, 4 scales, blocks of 32 on axis 1, 81 bytes)
    """
    code = _read_scheme(scheme)
    block_size = tuple(block_size) if isinstance(block_size, list) else block_size
    make = _how if {type(axis), type(block_size)} <= {int, NoneType} else _How
    how = make(code, axis, block_size, _read_symmetric(symmetric, code))
    if isinstance(x, (list, tuple)) and any(map(_is_array, x)):
        parts = [_read_numbers(part, f"x[{i}]") for i, part in enumerate(x)]
        return _quantize(widened(parts), how, observer, "x[{}]")
    return _quantize(widened([_read_numbers(x, "x")]), how, observer, "x")[0]


class _How:
    """How arrays are quantized: what is the same for all of them."""

    def __init__(self, code: CodeType, axis: int | None, block_size: Any, symmetric: bool) -> None:
        self.code, self.axis, self.block_size, self.symmetric = code, axis, block_size, symmetric
        self.dtype = code.dtype
        self.storage = np.dtype(code.storage)
        #: The smallest and the largest code.
        self.limits = (-code.high if symmetric else code.low, code.high)
        #: What the largest code means with scale 1.
        self.most = _largest_float(code) if code.is_float else code.high
        kept = limited(code, None if code.is_float else self.limits, "quantize")
        self.program = quantizer("quantize_linear", "f4", kept)
        #: One scale for an array, and a code for each element: laid out without Python.
        self.is_plain = axis is None and block_size is None and code.name not in PACKED

    def typed(self, codes: Array) -> Array:
        """Return codes as an array of their own dtype."""
        return codes if codes.dtype == self.dtype else codes.view(self.dtype)


_how = lru_cache(maxsize=64)(_How)


def _quantize(arrays: list[Array], how: _How, observer: Any, place: str) -> list[QuantizedArray]:
    """Quantize arrays; the ranges of all are found, and their codes written, in one call.

    Errors call an array `place`, with its number for ``{}``.
    """
    if observer is None and how.is_plain and executors.native is not None:
        low, high = how.code.low, how.most
        found = executors.native.quantize_arrays(arrays, how.program, how.symmetric, low, high)
        if found is not None:
            return [
                QuantizedArray._made(
                    how.typed(codes), scale, zero, None, None, how.code.name, codes.shape
                )
                for codes, scale, zero in found
            ]
    planned = [_Planned(x, how, place.format(i)) for i, x in enumerate(arrays)]
    calls: dict[Program, list[Part]] = {}
    for array in planned:
        if array.x.size == 0 or array.x.dtype.newbyteorder("=") != np.float32:
            array.quantize_by_steps(observer)
            continue
        program, parts = array.lay_out()
        if observer is None:
            calls.setdefault(program, []).extend(parts)
            continue
        array.scale[...], array.zero[...] = array.observed(observer)
        for part in parts:
            inputs = (part.numbers, part.scales, part.zero_points)
            executors.run_program(program, inputs, (part.codes,))
    rule: Rule = "symmetric" if how.symmetric else "asymmetric"
    for program, parts in calls.items():
        if not quantize_ranged(program, parts, rule, how.code.low, how.most):
            bad = [i for i, x in enumerate(arrays) if not _is_finite(x)]
            raise _not_finite(arrays[bad[0]], place.format(bad[0]))
    return [array.record() for array in planned]


class _Planned:
    """An array on its way to codes."""

    scale: Array
    zero: Array
    codes: Array  # as the core holds them
    is_packed = False  # whether they are packed already: two are written at a time

    def __init__(self, x: Array, how: _How, place: str) -> None:
        axis, block_size = how.axis, how.block_size
        self.x, self.how, self.place = x, how, place
        self.axis = None if axis is None else read_axis(axis, x.ndim, "quantize")
        self.blocks = read_blocks(x.shape, axis, block_size, "quantize")
        self.block_size = block_size or None  # of no axes: one scale
        if self.blocks is not None:
            self.grid = self.blocks.grid
        else:
            self.grid = () if self.axis is None else x.shape[self.axis : self.axis + 1]
        if how.code.name in PACKED and x.ndim == 0:
            raise ValueError(
                f"ufuse.quantize: argument '{place}': expected at least one axis to pack "
                f"{how.code.name} codes along, got 0-d"
            )

    def lay_out(self) -> tuple[Program, list[Part]]:
        """Make room for scales, zero points and codes; return what writes the codes, and where."""
        code, x = self.how.code, self.x
        self.scale = np.empty(self.grid, np.float32)
        self.zero = np.zeros(() if self.how.symmetric else self.grid, self.how.storage)
        laid = Operands(x, self._laid(self.scale), self._laid(self.zero), self.blocks)
        pairs = paired(laid, x) if code.bits == 4 and not code.is_float else None
        if pairs is None:
            program, operands = self.how.program, laid
            self.codes = empty(x.shape, self.how.storage)
        else:
            program, operands = pairs.quantizer(*self.how.limits), pairs.operands
            self.is_packed = True
            self.codes = empty(packed_shape(x.shape, 4), np.dtype(np.uint8))
        parts = []
        for of, inputs in zip(laid.parts(), operands.parts(self.codes), strict=True):
            numbers, scales, zeros, codes = inputs
            zero_point = None if self.how.symmetric else of[2]
            parts.append(Part(of[0], of[1], zero_point, codes, numbers, scales, zeros))
        return program, parts

    def _laid(self, value: Array) -> Array:
        """Shape scales or zero points so that they broadcast against the array, or its blocks."""
        if value.ndim == 0:
            return value.reshape((1,) * self.x.ndim)
        if self.blocks is not None or self.axis is None:
            return value
        return per_axis(value, self.x.shape, self.axis)

    def observed(self, observer: Any) -> tuple[Array, Array]:
        """Return scales and zero points of what an observer has seen."""
        if isinstance(observer, (str, type)) or not hasattr(observer, "scale_zero_point"):
            raise TypeError(
                "ufuse.quantize: argument 'observer': expected an observer that has seen data, "
                f"such as ufuse.observers.MSE().update(batch), got {observer!r}"
            )
        found = observer.scale_zero_point(self.how.code.name, symmetric=self.how.symmetric)
        scale = np.array(found.scale, np.float32)  # copies: the record's are read-only
        zero = np.array(found.zero_point).astype(self.how.storage)
        if scale.shape != self.grid or zero.shape not in ((), self.grid):
            raise ValueError(
                f"ufuse.quantize: argument 'observer': expected ranges of shape {self.grid}, as "
                f"axis= and block_size= say, got those of {observer!r}, of shape "
                f"{scale.shape}; give both the same axis= and block_size="
            )
        self._check_layout(observer)
        if not _is_finite(self.x):
            raise _not_finite(self.x, self.place)
        return scale, np.zeros((), zero.dtype) if self.how.symmetric else zero

    def _check_layout(self, observer: Any) -> None:
        """Raise where ranges are of other elements than scales, though there are as many."""
        from ..observers.observer import Observer

        if not isinstance(observer, Observer):
            return
        shape = self.x.shape
        theirs = sizes_along(shape, observer.axis, observer.block_size)
        if theirs != sizes_along(shape, self.axis, self.block_size):
            raise ValueError(
                f"ufuse.quantize: argument 'observer': expected ranges of axis={self.axis} and "
                f"block_size={self.block_size} of an array of shape {shape}, got those of "
                f"{observer!r}; give both the same axis= and block_size="
            )

    def quantize_by_steps(self, observer: Any) -> None:
        """Quantize float64, much of float16 or bfloat16: ranges, then scales, then codes."""
        code, x = self.how.code, self.x
        if observer is not None:
            self.scale, self.zero = self.observed(observer)
        elif x.size == 0:
            self.scale = np.ones(self.grid, np.float32)
            self.zero = np.zeros((), code.storage)
        else:
            low, high = _ranges(x, self.axis, self.blocks)
            if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high))):
                raise _not_finite(x, self.place)
            how = self.how
            self.scale, zero = scale_of_range(low, high, code.low, how.most, how.symmetric)
            self.zero = (
                zero.astype(code.storage) if not how.symmetric else np.zeros((), code.storage)
            )
        codes = quantize_linear(
            x, self.scale, None if code.is_float else self.zero, axis=self.axis,
            block_size=self.block_size, dtype=code.name,
            limits=None if code.is_float else self.how.limits,
        )  # fmt: skip
        self.codes = as_stored(codes, code)

    def record(self) -> QuantizedArray:
        """Return what has been written."""
        code, data = self.how.code, self.codes
        if code.name not in PACKED:
            data = self.how.typed(data)
        elif not self.is_packed:
            data = pack(data, code.name)
        return QuantizedArray._made(
            data, self.scale, self.zero, self.axis, self.block_size, code.name, self.x.shape
        )


def _read_scheme(scheme: DTypeLike | str) -> CodeType:
    try:
        code = code_type(scheme)
    except (TypeError, ValueError):
        code = None
    if code is None:
        raise (ValueError if isinstance(scheme, (str, np.dtype, type)) else TypeError)(
            f"ufuse.quantize: argument 'scheme': expected one of {', '.join(CODES)}, got {scheme!r}"
        )
    return code


def _is_array(part: Any) -> bool:
    """Whether what is in a list makes it a list of arrays: an array of any library, or a record."""
    if isinstance(part, (np.ndarray, Record)):
        return True
    return hasattr(part, "__dlpack__") and not isinstance(part, np.generic)


def _read_numbers(x: Any, argument: str) -> Array:
    """Return floats in the machine's byte order or the other."""
    refuse_record(x, "ufuse.quantize", argument)
    array = asarray(x, function="ufuse.quantize", argument=argument)
    if array.dtype.kind in "iu" and isinstance(x, (list, tuple, int)):
        return array.astype(np.float64)
    if float_name(array.dtype.newbyteorder("=")) not in ("f4", "f8", "float16", "bfloat16"):
        raise TypeError(
            f"ufuse.quantize: argument {argument!r}: expected float32, float64, float16 or "
            f"bfloat16, got dtype {array.dtype}; convert it with x.astype(np.float32)"
        )
    return array


def _read_symmetric(symmetric: bool | None, code: CodeType) -> bool:
    two_sided = code.low < 0 or code.is_float
    if symmetric is None:
        return two_sided
    if symmetric not in (True, False):
        raise TypeError(
            f"ufuse.quantize: argument 'symmetric': expected a bool or None, got {symmetric!r}"
        )
    if symmetric != two_sided and (symmetric or code.is_float):
        kind = "symmetric" if code.is_float else "none of them negative"
        remedy = "leave it out" if code.is_float else "pass symmetric=False, or a signed scheme"
        raise ValueError(
            f"ufuse.quantize: argument 'symmetric': {code.name} codes are {kind}, got {symmetric}; "
            f"{remedy}"
        )
    return bool(symmetric)


def _is_finite(x: Array) -> bool:
    return x.size == 0 or bool(np.all(np.isfinite(_single(minmax(x)))))


def _not_finite(x: Array, place: str = "x") -> ValueError:
    beyond = ", or what is infinite in float32" if x.itemsize == 8 else ""
    return ValueError(
        f"ufuse.quantize: argument '{place}': expected finite values, got NaN or infinity{beyond}"
    )


def _largest_float(code: CodeType) -> float:
    from ..catalogue.floats import BY_NAME

    row = BY_NAME[code.name]
    return float(row.magnitudes[row.largest_code])


def _ranges(x: Array, axis: int | None, blocks: Blocks | None) -> tuple[Array, Array]:
    """Return the smallest and the largest element of all, of each index, or of each block."""
    if blocks is None:
        others = None if axis is None else tuple(i for i in range(x.ndim) if i != axis)
        found = minmax(x, axis=others)
        return _single(found[0]), _single(found[1])
    low, high = np.empty(blocks.grid, np.float32), np.empty(blocks.grid, np.float32)
    for part, lows, highs in blocks.parts(x, low, high):
        within = tuple(i for i in range(part.ndim) if lows.shape[i] == 1 != part.shape[i])
        if within:
            least, most = minmax(part, axis=within, keepdims=True)
            lows[...], highs[...] = _single(least), _single(most)
        else:
            lows[...] = highs[...] = _single(part)
    return low, high


def _single(ends: Any) -> Array:
    with np.errstate(over="ignore"):  # of float64: infinity is an error later
        return np.asarray(ends).astype(np.float32, copy=False)
