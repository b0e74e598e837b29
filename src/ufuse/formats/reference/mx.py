"""MX formats in plain NumPy: blocks share a power of two (OCP Microscaling Formats 1.0)."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from ...catalogue.floats import SATURATE, decode_e8m0
from ..blocks import Array, Layout
from ..elements import ELEMENTS, SCALE_MODES, Element
from .bits import pack, unpack
from .codec import Codec

SCALE_NAN: Final = 0xFF
_FRACTION: Final = 23  # bits of a float32's fraction


def scale_codes(largest: Array, element: Element, mode: str) -> Array:
    """Return the scales of blocks whose largest magnitude is `largest`, float32: biased exponents.

    Exponents are read from the bits: ``floor(log2(x))`` in floats is wrong just below powers of
    two.
    """
    if mode == "rceil":
        largest = largest / np.float32(element.largest)
    word = largest.view(np.uint32).astype(np.int64)
    exponent, fraction = word >> _FRACTION, word & ((1 << _FRACTION) - 1)
    if mode == "even":  # as an element would be rounded: a carry out of the fraction counts
        exponent = (word + (1 << (_FRACTION - 1 - element.fraction))) >> _FRACTION
    elif mode != "floor":
        # Of denormal numbers the larger half alone has 2^-126, and not 2^-127, above it.
        exponent = exponent + (fraction > np.where(exponent == 0, 1 << (_FRACTION - 1), 0))
    if mode != "rceil":
        exponent = exponent - element.exponent
    code = np.clip(exponent, 0, SCALE_NAN - 1)
    return np.where(np.isnan(largest), SCALE_NAN, code).astype(np.uint8)


def _encode(
    element: Element, x: Array, weights: Array | None, layout: Layout
) -> tuple[Array, Array]:
    scales = scale_codes(np.abs(x).max(axis=1), element, SCALE_MODES[layout.scale_mode])
    lost = (scales == SCALE_NAN)[:, None]  # in a block of NaN codes say nothing: they are 0
    scaled = np.where(lost, 0.0, x.astype(np.float64) / decode_e8m0(scales)[:, None])
    if element.format is None:
        codes = np.clip(np.rint(scaled * 64), -127, 127).astype(np.int8).view(np.uint8)
    else:
        codes = element.format.encode(scaled, SATURATE)
    return pack(codes, 8 * layout.nbytes // layout.block), scales


def _decode(element: Element, codes: Array, scales: Array | None, layout: Layout) -> Array:
    assert scales is not None
    codes = unpack(codes, 8 * layout.nbytes // layout.block)
    if element.format is None:
        numbers = codes.view(np.int8).astype(np.float32) / np.float32(64)
    else:
        numbers = element.format.decode(codes)
    result: Array = numbers * decode_e8m0(scales)[:, None]
    return result


CODECS: Final = {
    name: Codec(partial(_encode, element), partial(_decode, element))
    for kind, element in ELEMENTS.items()
    for name in ((kind, f"{kind}_packed") if element.bits == 6 else (kind,))
}
