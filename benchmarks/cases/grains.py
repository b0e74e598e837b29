"""What one scale is for, and the inputs of linear quantization by it."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..probe import touched
from .data import MATRIX, normal

#: Scales that take so many standard deviations to the largest code: some values are beyond it.
_DEVIATIONS = 2.2


@dataclass(frozen=True)
class Grain:
    """What has a scale of its own: everything, an index of an axis, or a block along the last."""

    axis: int | None = None
    block: int | None = None

    def __str__(self) -> str:
        if self.block:
            return f"block of {self.block}"
        return "tensor" if self.axis is None else f"axis {self.axis}"

    @property
    def keywords(self) -> dict[str, Any]:
        """Arguments of our functions."""
        return {"axis": self.axis, "block_size": self.block} if self.block else {"axis": self.axis}

    @property
    def attributes(self) -> dict[str, int]:
        """Attributes of ONNX nodes."""
        return {name: value for name, value in self.keywords.items() if value is not None}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the scales."""
        if self.block:
            return (MATRIX[0], MATRIX[1] // self.block)
        return () if self.axis is None else (MATRIX[self.axis],)

    @property
    def view(self) -> tuple[int, int]:
        """Shape of the values such that scales of shape `flat` broadcast against them."""
        return (-1, self.block) if self.block else MATRIX

    @property
    def flat(self) -> tuple[int, int]:
        """Two-dimensional shape of the scales."""
        if self.axis is None:
            return (1, 1)
        return (1, -1) if self.axis == 1 and not self.block else (-1, 1)


GRAINS = (Grain(), Grain(0), Grain(1), Grain(1, 32), Grain(1, 128))


def encode(v: SimpleNamespace, work: np.ndarray | None = None) -> np.ndarray:
    """Return codes as float32: NumPy's operations, into `work` if there is one."""
    t: np.ndarray = np.divide(v.view, v.s, out=work)
    if not v.code.is_float:
        np.rint(t, out=t)
        t += v.z
    np.clip(t, v.low, v.high, out=t)
    return t


def make(kind: str, grain: Grain) -> SimpleNamespace:
    """Return values, codes, scales and zero points.

    Parameters
    ----------
    kind : str
        A type of codes of ufuse's catalogue.
    grain : Grain

    Returns
    -------
    SimpleNamespace
        `x`, `codes`, `scale`, `zero` (None: of floats), as ufuse takes them; `out`, `out_codes`.
        For broadcasting in two dimensions, views of them: `view`, `s`, `z`, and `plain`,
        `out_plain` with a whole byte per code.
    """
    from ufuse.catalogue.floats import BY_NAME as FLOAT_FORMATS
    from ufuse.quant.codes import BY_NAME

    code = BY_NAME[kind]
    rng = np.random.default_rng(7)
    if code.is_float:
        row = FLOAT_FORMATS[kind]
        high = np.float32(row.magnitudes[row.largest_code])
        low, reach, spread, middle = -high, high, 0, 0
    else:
        low, high = np.float32(code.low), np.float32(code.high)
        reach = (high - low) / 2
        spread, middle = min(5, code.high // 4), (code.low + code.high + 1) // 2
    # About what calibration gives.
    scale = (_DEVIATIONS / reach * (0.9 + 1.1 * rng.random(grain.shape))).astype(np.float32)
    zero = (middle + rng.integers(-spread, spread + 1, grain.shape)).astype(np.int32)
    x = normal(MATRIX, 3)
    out, out_codes = touched(MATRIX, np.float32), touched(MATRIX, np.uint8).view(code.dtype)
    byte = out_codes.dtype if code.is_float else np.dtype(code.storage)
    v = SimpleNamespace(
        code=code, grain=grain, low=low, high=high, x=x, out=out, out_codes=out_codes,
        scale=scale if grain.shape else np.float32(scale),
        zero=None if code.is_float else zero.astype(byte).astype(code.dtype),
        view=x.reshape(grain.view),
        s=scale.reshape(grain.flat),
        z=zero.reshape(grain.flat).astype(np.float32),
        out_view=out.reshape(grain.view),
        out_plain=out_codes.view(byte).reshape(grain.view),
    )  # fmt: skip
    v.plain = touched(MATRIX, np.uint8).view(byte).reshape(grain.view)
    np.copyto(v.plain, encode(v), casting="unsafe")
    v.codes = v.plain.reshape(MATRIX)
    if byte != code.dtype:
        v.codes = touched(MATRIX, np.uint8).view(code.dtype)
        v.codes[...] = v.plain.reshape(MATRIX).astype(code.dtype)
    if v.zero is not None and not grain.shape:
        v.zero = v.zero[()]
    return v
