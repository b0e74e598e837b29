"""Scale and zero point of a range: the conventions of linear quantization."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Smallest and largest code of each kind, and the dtype that holds one code of it.
CODES: Final[dict[str, tuple[int, int, str]]] = {
    "int2": (-2, 1, "int8"),
    "int4": (-8, 7, "int8"),
    "int8": (-128, 127, "int8"),
    "int16": (-32768, 32767, "int16"),
    "uint2": (0, 3, "uint8"),
    "uint4": (0, 15, "uint8"),
    "uint8": (0, 255, "uint8"),
    "uint16": (0, 65535, "uint16"),
}

_F4: Final = np.float32

#: What a scale that underflows is raised to, as `ufuse.quantize` does.
_LEAST_SCALE: Final = _F4(1e-45)


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
    dtype: np.dtype[Any]  # of an array of them, one code an element
    symmetric: bool

    @property
    def steps(self) -> int:
        """Distances between neighbouring levels from one end of the range to the other."""
        return self.most if self.symmetric else self.most - self.least


def read_kind(function: str, dtype: Any, symmetric: Any) -> CodeKind:
    """Return what ``dtype=`` and ``symmetric=`` say."""
    try:
        found = np.dtype(dtype) if not (isinstance(dtype, str) and dtype in CODES) else None
        name = dtype if found is None else found.name
    except TypeError:
        found, name = None, dtype
    if not isinstance(name, str) or name not in CODES:
        raise TypeError(
            f"{function}: argument 'dtype': expected one of {' '.join(CODES)}, by name or as a "
            f"dtype, got {dtype!r}"
        )
    least, most, stored = CODES[name]
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
    own = found if found is not None and found.itemsize == 1 else np.dtype(stored)
    return CodeKind(name, least, most, own.newbyteorder("="), bool(symmetric))


def parameters_of(low: Array, high: Array, kind: CodeKind) -> Parameters:
    """Return scales (float32) and zero points of ranges, float32 arrays of one shape.

    Symmetric: the larger magnitude is the largest code, as in `ufuse.quantize`. Else the range is
    widened to hold 0 and goes from the least code to the largest, in float32 as ONNX's
    DynamicQuantizeLinear computes it. The scale of zeros alone is 1.
    """
    low, high = np.minimum(low, _F4(0)), np.maximum(high, _F4(0))
    with np.errstate(over="ignore"):
        extent = np.maximum(-low, high) if kind.symmetric else high - low
    scale = np.asarray(extent / _F4(kind.steps), _F4)
    wide = ~np.isfinite(scale)  # of finite ends: a difference beyond float32
    if wide.any():
        wider = (high.astype(np.float64) - low) / kind.steps
        scale = np.where(wide, wider.astype(_F4), scale)
    scale = np.where(extent == 0, _F4(1), np.maximum(scale, _LEAST_SCALE)).astype(_F4)
    if kind.symmetric:
        return Parameters(scale, np.zeros(scale.shape, kind.dtype))
    zero = np.clip(np.rint(_F4(kind.least) - low / scale), kind.least, kind.most)
    return Parameters(scale, np.asarray(zero).astype(np.int32).astype(kind.dtype))
