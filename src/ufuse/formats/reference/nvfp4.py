"""NVFP4 in plain NumPy: e2m1 elements, an e4m3 scale per 16, a float32 scale for the array."""

from __future__ import annotations

from typing import Final

import numpy as np

from ...catalogue.floats import BY_NAME, SATURATE
from ..blocks import Array, Layout
from .bits import pack, unpack
from .codec import Codec

SMALLEST_SCALE: Final = np.float32(2.0**-6)  # the smallest normal e4m3, as torchao has it
LARGEST_SCALE: Final = np.float32(448.0)
LARGEST: Final = np.float32(6.0)
_ELEMENT: Final = BY_NAME["float4_e2m1fn"]
_SCALE: Final = BY_NAME["float8_e4m3fn"]


def _encode(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, Array]:
    # The order of torchao 0.18: two divisions for a scale, and elements multiplied by
    # (1 / tensor_scale) / scale.
    whole = np.float32(layout.tensor_scale)
    wanted = np.abs(x).max(axis=1) / LARGEST / whole
    scales = _SCALE.encode(np.clip(wanted, SMALLEST_SCALE, LARGEST_SCALE), SATURATE)
    factor = np.float32(1) / whole / _SCALE.decode(scales)
    # A scale of NaN says what its elements are.
    scaled = np.where(np.isnan(factor)[:, None], np.float32(0), x * factor[:, None])
    return pack(_ELEMENT.encode(scaled, SATURATE), 4), scales


def _decode(codes: Array, scales: Array | None, layout: Layout) -> Array:
    assert scales is not None
    factor = np.float32(layout.tensor_scale) * _SCALE.decode(scales)
    result: Array = _ELEMENT.decode(unpack(codes, 4)) * factor[:, None]
    return result


CODECS: Final = {"nvfp4": Codec(_encode, _decode)}
