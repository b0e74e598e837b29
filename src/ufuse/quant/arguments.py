"""The arguments of linear quantization: checked, and laid out for a program."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import executors
from ..catalogue.floats import BY_NAME as FLOATS
from ..interop.lowprecision import is_low_precision
from .codes import INT32, NAMES, NARROW_NAMES, CodeType, code_type
from .grid import Blocks, per_axis
from .programs import E8M0, SPECS

Array = NDArray[Any]

_WIDE = {"float32": "f4", "float64": "f8"}


@lru_cache(maxsize=128)  # NumPy takes 5 us to tell a dtype's name
def float_name(dtype: np.dtype[Any]) -> str | None:
    """Return what programs call a float: ``"f4"``, ``"f8"``, ``"bfloat16"``; None for no float."""
    name = dtype.name
    if name in FLOATS or name == E8M0:
        return name if name == "float16" or is_low_precision(dtype) else None
    return _WIDE.get(name)


def stored(array: Array) -> Array:
    """View an array of narrow floats or small integers as the unsigned integers that hold them."""
    kind = {1: "u1", 2: "u2"}.get(array.itemsize)
    return array.view(np.dtype(kind).newbyteorder(array.dtype.byteorder)) if kind else array


def read_numbers(x: Any, function: str) -> tuple[Array, str]:
    """Return the array of numbers to quantize as programs read it, and what they call its dtype."""
    array = np.asarray(x)
    name = float_name(array.dtype)
    if name not in ("f4", "f8", "float16", "bfloat16"):
        raise TypeError(
            f"ufuse.{function}: argument 'x': expected float32, float64, float16 or bfloat16, got "
            f"dtype {array.dtype}; convert it with x.astype(np.float32)"
        )
    return (array if name in ("f4", "f8") else stored(array)), name


def generator_of(rng: Any, function: str) -> np.random.Generator:
    """Return the generator of random numbers that `rng` means."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"ufuse.{function}: argument 'rng': expected None, an int of 0 or more, or a "
            f"numpy.random.Generator, got {rng!r}"
        ) from None


def read_axis(axis: Any, ndim: int, function: str) -> int:
    """Return `axis` counted from the front; raise, naming `function`, where there is none such."""
    try:
        return int(np.lib.array_utils.normalize_axis_index(axis, ndim, f"ufuse.{function}"))
    except TypeError:
        raise TypeError(
            f"ufuse.{function}: argument 'axis': expected an int or None, got {axis!r}"
        ) from None
    except OverflowError:
        raise np.exceptions.AxisError(axis, ndim, f"ufuse.{function}") from None


def read_spec(spec: str, function: str) -> str:
    if spec not in SPECS:
        raise ValueError(
            f"ufuse.{function}: argument 'spec': expected one of {', '.join(SPECS)}, got {spec!r}"
        )
    return spec


def read_code_type(
    dtype: Any, function: str, argument: str = "dtype", names: str = NAMES
) -> CodeType:
    try:
        found = code_type(dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"ufuse.{function}: argument '{argument}': expected {names}, got {dtype!r}"
        ) from error
    if found is None:
        raise TypeError(
            f"ufuse.{function}: argument '{argument}': expected {names}, got dtype "
            f"{np.dtype(dtype)}; name one with dtype="
        )
    return found


def limited(code: CodeType, limits: Any, function: str) -> CodeType:
    """Return the type of codes that keep to `limits`."""
    if limits is None:
        return code
    if code.is_float:
        raise ValueError(
            f"ufuse.{function}: argument 'limits': codes of {code.name} are floats, which have "
            f"none; leave limits= out, got {limits!r}"
        )
    try:
        low, high = (operator.index(end) for end in limits)
    except (TypeError, ValueError):
        low, high = 1, 0
    if not code.low <= low < high <= code.high:
        raise ValueError(
            f"ufuse.{function}: argument 'limits': expected two integers within those of "
            f"{code.name}, {(code.low, code.high)}, got {limits!r}"
        )
    return replace(code, low=low, high=high)


def codes_wanted(
    dtype: DTypeLike | str | None, zero_point: Any, function: str, argument: str = "zero_point"
) -> CodeType:
    """Return the type of the codes: `dtype`, else the zero point's, else uint8 as in ONNX."""
    own = getattr(zero_point, "dtype", None)
    if dtype is None:
        if own is None:
            return read_code_type(np.uint8, function)
        return read_code_type(own, function, argument)
    code = read_code_type(dtype, function)
    if own is not None:
        try:
            agrees = code_type(own) in (code, None) or (
                code.bits < 8 and not code.is_float and np.dtype(own) == np.dtype(code.storage)
            )
        except TypeError:
            agrees = True
        if not agrees:
            raise TypeError(
                f"ufuse.{function}: argument '{argument}': expected dtype {code.name} (as dtype= "
                f"says), got {own}; convert it or leave dtype= out"
            )
    return code


def _is_size(size: Any) -> bool:
    return isinstance(size, (int, np.integer)) and not isinstance(size, bool) and int(size) > 0


def read_blocks(
    shape: tuple[int, ...], axis: int | None, block_size: Any, function: str
) -> Blocks | None:
    """Return how an array of `shape` is divided, or None where `block_size` is None."""
    if block_size is None:
        return None
    sizes = block_size if isinstance(block_size, (tuple, list)) else (block_size,)
    if not all(_is_size(size) for size in sizes):
        raise ValueError(
            f"ufuse.{function}: argument 'block_size': expected a positive int, or one for each "
            f"axis, got {block_size!r}"
        )
    if isinstance(block_size, (tuple, list)):
        if len(sizes) != len(shape) or axis is not None:
            raise ValueError(
                f"ufuse.{function}: argument 'block_size': expected one size for each of the "
                f"{len(shape)} axes of x and no axis=, got {block_size!r} and axis={axis}"
            )
        return Blocks(shape, tuple(int(size) for size in sizes))
    if axis is None:
        raise ValueError(
            f"ufuse.{function}: argument 'axis': expected the axis that blocks of {block_size} run "
            "along, got None"
        )
    along = read_axis(axis, len(shape), function)
    return Blocks(shape, tuple(int(sizes[0]) if i == along else 1 for i in range(len(shape))))


class Operands(NamedTuple):
    """An array with scales and zero points that broadcast against it, or against its blocks."""

    x: Array
    scale: Array
    zero_point: Array
    blocks: Blocks | None

    def apart(self, out: Array) -> Operands:
        """Return them with copies of what writing `out` would change too early."""
        x, scale, zero = (executors.apart(a, out) for a in self[:3])
        return Operands(x, scale, zero, self.blocks)

    def parts(self, *others: Array) -> Iterator[tuple[Array, ...]]:
        """Yield (x, scale, zero point, *others) for each call of a program."""
        if self.blocks is None:
            yield (self.x, self.scale, self.zero_point, *others)
            return
        grid = self.blocks.grid
        zero = self.zero_point
        if zero.shape != grid:
            zero = np.broadcast_to(zero, grid)
        yield from self.blocks.parts(self.x, self.scale, zero, *others)


def _scales(scale: Any, wide: str, function: str, called: str) -> Array:
    scales = np.asarray(scale)
    name = float_name(scales.dtype)
    if name is None and scales.dtype.kind not in "iu":
        raise TypeError(
            f"ufuse.{function}: argument '{called}': expected floating-point values, got dtype "
            f"{scales.dtype}"
        )
    return scales.astype(wide, copy=False)


def _zeros(zero_point: Any, code: CodeType, function: str, name: str) -> Array:
    low, high = code.low, code.high
    if type(zero_point) is int and not low <= zero_point <= high:
        raise ValueError(  # before NumPy makes an object of an integer that no dtype holds
            f"ufuse.{function}: argument '{name}': expected values from {low} to {high} "
            f"({code.name}), got {zero_point}"
        )
    zeros = np.asarray(0 if zero_point is None else zero_point)
    if zeros.dtype.kind not in "iu":
        own = code_type(zeros.dtype)
        if own is None or (own.is_float and own != code):
            raise TypeError(
                f"ufuse.{function}: argument '{name}': expected integers of the codes' dtype "
                f"{code.name}, got dtype {zeros.dtype}"
            )
        zeros = zeros.astype(np.float32 if own.is_float else np.int64)
    if zeros.size and not (zeros.min() >= low and zeros.max() <= high):
        raise ValueError(
            f"ufuse.{function}: argument '{name}': expected values from {low} to {high} "
            f"({code.name}), got {zeros.min()} to {zeros.max()}"
        )
    return zeros.astype(code.storage, copy=False)


def keepdims_remedy(shape: tuple[int, ...], wanted: tuple[int, ...], name: str) -> str:
    """Return how a message goes on where a shape is what `keepdims=True` makes of another."""
    if shape == wanted or tuple(n for n in shape if n != 1) != tuple(n for n in wanted if n != 1):
        return ""
    if len(wanted) == 1:
        return f"; pass {name}.reshape(-1)"
    return f"; pass {name}.reshape({wanted})" if wanted else f"; pass np.squeeze({name})"


def _along_axis(value: Array, x: Array, axis: int | None, name: str, function: str) -> Array:
    """Shape a scalar or 1-d `value` so that it broadcasts against `x` along `axis`."""
    if value.ndim == 0 or (value.size == 1 and axis is None):
        return value.reshape(())
    if value.ndim != 1:
        many = [place for place, extent in enumerate(value.shape) if extent != 1]
        along = axis if axis is not None or len(many) != 1 else many[0]
        wanted = () if along is None else x.shape[along : along + 1]
        remedy = keepdims_remedy(value.shape, wanted, name)
        if remedy and axis is None:
            remedy += f" and axis={along}"
        raise ValueError(
            f"ufuse.{function}: argument '{name}': expected a scalar or one value per index of "
            f"axis{f', shape {wanted}' if remedy else ''}, got shape {value.shape}"
            f"{remedy or '; scales of blocks need block_size='}"
        )
    if axis is None:
        raise ValueError(
            f"ufuse.{function}: argument '{name}': got {value.size} values but no axis; pass axis= "
            "for the axis of x they belong to"
        )
    place = read_axis(axis, x.ndim, function)
    if value.size != x.shape[place]:
        raise ValueError(
            f"ufuse.{function}: argument '{name}': expected {x.shape[place]} values for axis "
            f"{axis} of x, whose shape is {x.shape}, got {value.size}"
        )
    return per_axis(value, x.shape, place)


def read_operands(
    x: Array,
    scale: Any,
    zero_point: Any,
    axis: int | None,
    block_size: Any,
    wide: str,
    code: CodeType,
    function: str,
    prefix: str = "",
) -> Operands:
    """Check scale and zero point against `x` and shape them.

    `wide` is what they compute in, `prefix` begins the names of both arguments.
    """
    if axis is not None:
        axis = read_axis(axis, x.ndim, function)
    scales = _scales(scale, wide, function, f"{prefix}scale")
    zeros = _zeros(zero_point, code, function, f"{prefix}zero_point")
    if zeros.ndim and zeros.shape != scales.shape:
        raise ValueError(
            f"ufuse.{function}: argument '{prefix}zero_point': expected the shape of scale, "
            f"{scales.shape}, or a scalar, got shape {zeros.shape}"
        )
    blocks = read_blocks(x.shape, axis, block_size, function)
    if blocks is not None:
        if scales.shape != blocks.grid:
            raise ValueError(
                f"ufuse.{function}: argument 'scale': expected shape {blocks.grid}, one per block "
                f"of {blocks.size} of x, whose shape is {x.shape}, got shape {scales.shape}"
                f"{keepdims_remedy(scales.shape, blocks.grid, 'scale')}"
            )
        return Operands(x, scales, zeros, blocks)
    return Operands(
        x,
        _along_axis(scales, x, axis, "scale", function),
        _along_axis(zeros, x, axis, "zero_point", function),
        None,
    )


def read_codes(x: Any, function: str) -> tuple[Array, CodeType]:
    """Return an array of codes as programs read it, and their type."""
    array = np.asarray(x)
    code = INT32 if (array.dtype.kind, array.itemsize) == ("i", 4) else code_type(array.dtype)
    if code is None:
        if function == "pack":
            expected, remedy = NARROW_NAMES, "give dtype= for codes of a byte each"
        elif array.dtype.kind in "iu":
            expected = f"int32, {NAMES}"
            remedy = (
                "x.astype(np.int32) converts integer sums, np.asarray(x, np.int8) makes codes of a "
                "list"
            )
        else:
            expected, remedy = f"int32, {NAMES}", "quantize_linear makes codes of numbers"
        raise TypeError(
            f"ufuse.{function}: argument 'x': expected codes: {expected}; got dtype "
            f"{array.dtype}; {remedy}"
        )
    return as_stored(array, code), code


def as_stored(array: Array, code: CodeType) -> Array:
    """View codes as what the core holds them in."""
    if array.dtype.newbyteorder("=") == np.dtype(code.storage):
        return array
    return array.view(code.storage)


def low_bits(codes: Array, code: CodeType) -> Array:
    """Return integers as the core holds codes: the low bits of them, and nothing above."""
    bits = codes & ((1 << code.bits) - 1)
    return bits.astype(f"u{np.dtype(code.storage).itemsize}").view(code.storage)


def read_output(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], function: str) -> Array:
    """Return the array to write: `out`, checked, or a new one."""
    if out is None:
        return executors.empty(shape, dtype)
    if not isinstance(out, np.ndarray):  # a tuple: everything else is an array by now
        raise TypeError(
            f"ufuse.{function}: argument 'out': expected one array, got {type(out).__name__}"
        )
    if out.shape != shape or out.dtype != dtype:
        raise (TypeError if out.dtype != dtype else ValueError)(
            f"ufuse.{function}: argument 'out': expected shape {shape} and dtype {dtype}, got "
            f"shape {out.shape} and dtype {out.dtype}"
        )
    return out
