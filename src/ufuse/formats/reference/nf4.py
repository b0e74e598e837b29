"""NF4 and FP4 of bitsandbytes in plain NumPy: sixteen values, times each block's largest magnitude.

The values of NF4 are quantiles of a normal distribution (Dettmers et al., 2023, "QLoRA",
arXiv:2305.14314, appendix E). FP4 has a sign, two bits that choose 2^-4 times 0 or 1, 2^3, 2^2 or
2^1 in this order, and one that adds the half, over 12.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from ..blocks import Array, Layout
from .bits import pack, unpack
from .codec import Codec

_NF4: Final = np.array(
    [
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ],
    np.float32,
)
_FP4_SIZES: Final = np.array([0, 0.0625, 8, 12, 4, 6, 2, 3], np.float32) / np.float32(12)

VALUES: Final = {"nf4": _NF4, "fp4": np.concatenate([_FP4_SIZES, np.float32(0) - _FP4_SIZES])}
#: Codes in the order of their values; of FP4's two zeros the one without a sign comes first.
ORDER: Final = {kind: np.argsort(table, kind="stable") for kind, table in VALUES.items()}
#: Half way between neighbouring values; what equals a bound becomes the smaller of them.
BOUNDS: Final = {
    kind: (table[ORDER[kind]][:-1] + table[ORDER[kind]][1:]) / np.float32(2)
    for kind, table in VALUES.items()
}
#: What a largest magnitude is raised to before it divides: bitsandbytes' guard for zeros.
SMALLEST: Final = np.float32(1e-38)


def nearest(scaled: Array, kind: str) -> Array:
    """Return the codes of the nearest values; of NaN that of the largest."""
    return ORDER[kind][np.searchsorted(BOUNDS[kind], scaled, side="left")].astype(np.uint8)


def _encode(kind: str, x: Array, weights: Array | None, layout: Layout) -> tuple[Array, Array]:
    largest = np.abs(x).max(axis=1)
    scaled = x * (np.float32(1) / np.maximum(largest, SMALLEST))[:, None]
    return pack(nearest(scaled, kind), 4, high_first=True), largest


def _decode(kind: str, codes: Array, scales: Array | None, layout: Layout) -> Array:
    assert scales is not None
    result: Array = VALUES[kind][unpack(codes, 4, high_first=True)] * scales[:, None]
    return result


def encode_rest(x: Array, kind: str) -> tuple[Array, Array]:
    """Quantize the last elements, fewer than a block: packed codes, and their scale (1,).

    Unlike those of full blocks they are divided by the largest magnitude, which is kept as it was
    raised to 1e-38: so does bitsandbytes 0.50 on the CPU.
    """
    with np.errstate(all="ignore"):
        largest = np.maximum(np.abs(x).max(keepdims=True), SMALLEST)
        codes = nearest(x / largest, kind)
    even = np.zeros((1, x.size + x.size % 2), np.uint8)
    even[0, : x.size] = codes
    if x.size % 2:
        even[0, -1] = nearest(np.zeros(1, np.float32), kind)[0]
    return pack(even, 4, high_first=True)[0], largest


CODECS: Final = {kind: Codec(partial(_encode, kind), partial(_decode, kind)) for kind in VALUES}
