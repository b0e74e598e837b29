"""Scale and zero point of a range: the conventions of linear quantization."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..catalogue.floats import BY_NAME as FLOATS
from ..quant.codes import CODE_TYPES, code_type
from ..quant.scales import scale_of_range

Array = NDArray[Any]

#: The codes to quantize to.
KINDS: Final = tuple(row.name for row in CODE_TYPES)


class Parameters(NamedTuple):
    """What `Observer.scale_zero_point` returns."""

    scale: Array
    zero_point: Array


class ClipRange(NamedTuple):
    """What `Observer.clip_range` returns."""

    low: Array
    high: Array


class Levels(NamedTuple):
    """What numbers are rounded to, in steps of a scale.

    Integers, or floats with so many bits of the fraction, the smallest normal one of which is
    `normal`.
    """

    fraction: int = -1
    normal: float = 1.0


class CodeKind(NamedTuple):
    """Codes to quantize to: those that `ufuse.quantize` uses."""

    name: str
    least: float
    most: float
    dtype: np.dtype[Any]  # of an array of them
    symmetric: bool
    levels: Levels


def read_kind(function: str, dtype: Any, symmetric: Any) -> CodeKind:
    """Return what ``dtype=`` and ``symmetric=`` say."""
    try:
        row = code_type(dtype)
    except TypeError:
        row = None
    if row is None:
        raise TypeError(
            f"{function}: argument 'dtype': expected one of {' '.join(KINDS)}, by name or as a "
            f"dtype, got {dtype!r}"
        )
    name = row.name
    if symmetric is None:
        symmetric = row.low < 0 or row.is_float
    if symmetric not in (True, False):
        raise TypeError(
            f"{function}: argument 'symmetric': expected a bool or None, got {symmetric!r}"
        )
    if row.is_float:
        if not symmetric:
            raise ValueError(
                f"{function}: argument 'symmetric': {name} codes are symmetric, got "
                f"{symmetric!r}; leave it out"
            )
        floats = FLOATS[name]
        largest = float(floats.magnitudes[floats.largest_code])
        levels = Levels(floats.fraction, float(np.ldexp(1.0, 1 - floats.bias)))
        return CodeKind(name, -largest, largest, row.dtype, True, levels)
    if symmetric and row.low == 0:
        raise ValueError(
            f"{function}: argument 'symmetric': {name} has no negative codes for a zero point of "
            f"0; pass symmetric=False, or dtype={name[1:]!r}"
        )
    least = -row.high if symmetric else row.low
    return CodeKind(name, least, row.high, row.dtype, bool(symmetric), Levels())


def parameters_of(low: Array, high: Array, kind: CodeKind) -> Parameters:
    """Return scales (float32) and zero points of ranges, float32 arrays of one shape."""
    # Symmetric, the least code has no part in it.
    scale, zero = scale_of_range(low, high, int(kind.least), kind.most, kind.symmetric)
    return Parameters(scale, zero.astype(kind.dtype))
