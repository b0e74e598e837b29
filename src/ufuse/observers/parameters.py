"""Scale and zero point of a range: the conventions of linear quantization."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..quant.codes import CODE_TYPES, code_type
from ..quant.scales import scale_of_range

Array = NDArray[Any]

#: The codes to quantize to: integers.
KINDS: Final = tuple(row.name for row in CODE_TYPES if not row.is_float)


class Parameters(NamedTuple):
    """What `Observer.scale_zero_point` returns."""

    scale: Array
    zero_point: Array


class ClipRange(NamedTuple):
    """What `Observer.clip_range` returns."""

    low: Array
    high: Array


class CodeKind(NamedTuple):
    """Codes to quantize to."""

    name: str
    least: int
    most: int
    dtype: np.dtype[Any]  # of an array of them
    symmetric: bool

    @property
    def steps(self) -> int:
        """Distances between neighbouring levels from one end of the range to the other."""
        return self.most if self.symmetric else self.most - self.least


def read_kind(function: str, dtype: Any, symmetric: Any) -> CodeKind:
    """Return what ``dtype=`` and ``symmetric=`` say."""
    try:
        row = code_type(dtype)
    except TypeError:
        row = None
    if row is None or row.is_float:
        raise TypeError(
            f"{function}: argument 'dtype': expected one of {' '.join(KINDS)}, by name or as a "
            f"dtype, got {dtype!r}"
        )
    name, least, most = row.name, row.low, row.high
    if symmetric is None:
        symmetric = least < 0
    if symmetric not in (True, False):
        raise TypeError(
            f"{function}: argument 'symmetric': expected a bool or None, got {symmetric!r}"
        )
    if symmetric and least == 0:
        raise ValueError(
            f"{function}: argument 'symmetric': {name} has no negative codes for a zero point of "
            f"0; pass symmetric=False, or dtype={name[1:]!r}"
        )
    return CodeKind(name, least, most, row.dtype, bool(symmetric))


def parameters_of(low: Array, high: Array, kind: CodeKind) -> Parameters:
    """Return scales (float32) and zero points of ranges, float32 arrays of one shape."""
    scale, zero = scale_of_range(low, high, kind.least, kind.most, kind.symmetric)
    return Parameters(scale, zero.astype(kind.dtype))
