"""What formats whose scales lie apart ask of their arguments, and of the parts of records."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import executors
from ..interop.lowprecision import coding
from ..quant.record import how_to_convert, read_only
from .blocks import Array

_READ = (np.float32, np.float64, np.float16)


def is_float(dtype: np.dtype[Any], types: tuple[type, ...]) -> bool:
    """Tell whether `dtype`, in any byte order, is one of `types` or bfloat16."""
    return dtype.type in types or coding(dtype) == "bfloat16"


def read_values(x: Any, function: str) -> Array:
    """Return `x` as an array of floats that blocks are made of."""
    values = np.asarray(x)
    if not is_float(values.dtype, _READ):
        raise TypeError(
            f"{function}: argument 'x': expected float32, float64, float16 or bfloat16, got dtype "
            f"{values.dtype}; convert it with x.astype(np.float32)"
        )
    return values


def read_axis(axis: Any, ndim: int, function: str) -> int:
    """Return `axis` counted from the front."""
    if ndim == 0:
        raise ValueError(
            f"{function}: argument 'x': expected at least one dimension, got a 0-d array; "
            "pass x.reshape(1)"
        )
    try:
        return int(np.lib.array_utils.normalize_axis_index(axis, ndim, function))
    except TypeError:
        raise TypeError(f"{function}: argument 'axis': expected an int, got {axis!r}") from None
    except OverflowError:
        raise np.exceptions.AxisError(axis, ndim, function) from None


def read_choice(value: Any, choices: tuple[str, ...], name: str, function: str) -> str:
    """Return `value` where it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{function}: argument '{name}': expected one of {listed}, got {value!r}")
    return value


def checked(
    value: Any, dtype: np.dtype[Any], shape: tuple[int, ...], name: str, record: str
) -> Array:
    """Return a part of a record, read-only, where it is an array of this dtype and shape."""
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"{record}: attribute '{name}': expected an ndarray of {dtype}, got "
            f"{type(value).__name__}{how_to_convert(value, name)}"
        )
    if value.dtype != dtype:
        raise TypeError(
            f"{record}: attribute '{name}': expected dtype {dtype}, got dtype {value.dtype}"
        )
    if value.shape != shape:
        raise ValueError(
            f"{record}: attribute '{name}': expected shape {shape}, got shape {value.shape}"
        )
    return read_only(value)


def along(shape: tuple[int, ...], axis: int, length: int) -> tuple[int, ...]:
    """Return `shape` with another length of one axis."""
    return (*shape[:axis], length, *shape[axis + 1 :])


def rows_of(array: Array, axis: int) -> Array:
    """Return a view of `array` with `axis` last."""
    return array if axis == array.ndim - 1 else np.moveaxis(array, axis, -1)


def new_rows(shape: tuple[int, ...], axis: int, dtype: np.dtype[Any]) -> Array:
    """Return an array of `shape` whose rows along `axis` are contiguous."""
    if axis == len(shape) - 1:
        return executors.empty(shape, dtype)
    lead = (*shape[:axis], *shape[axis + 1 :])
    return np.moveaxis(executors.empty((*lead, shape[axis]), dtype), -1, axis)


def contiguous_rows(array: Array, axis: int) -> bool:
    """Tell whether the elements along `axis` follow one another in memory."""
    return array.size <= 1 or array.shape[axis] <= 1 or array.strides[axis] == array.itemsize


def writable_rows(array: Array, axis: int, name: str, function: str) -> Array:
    """Return a part of the record given as `out` with `axis` last, where it can be written."""
    if not array.flags.writeable:
        raise ValueError(f"{function}: argument 'out': its {name} are read-only")
    if not contiguous_rows(array, axis):
        raise ValueError(
            f"{function}: argument 'out': its {name} are not contiguous along axis {axis}; pass a "
            "record that quantize has made"
        )
    return rows_of(array, axis)


def readable_rows(array: Array, axis: int) -> Array:
    """Return `array` with `axis` last and contiguous; where it is not, a copy."""
    rows = rows_of(array, axis)
    return rows if contiguous_rows(array, axis) else np.ascontiguousarray(rows)
