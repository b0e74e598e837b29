"""Block formats in plain NumPy: what the tests compare with.

A module per family, each with a table `CODECS` of its formats.
"""

from __future__ import annotations

import numpy as np

from ..blocks import Array, Layout
from . import gguf_float4, iq, kquants, legacy, mx, nf4, nvfp4, ternary
from .codec import Codec

CODECS: dict[str, Codec] = {
    **legacy.CODECS,
    **mx.CODECS,
    **nvfp4.CODECS,
    **nf4.CODECS,
    **ternary.CODECS,
    **gguf_float4.CODECS,
    **kquants.CODECS,
    **iq.CODECS,
}


def encode(
    layout: Layout,
    values: Array,
    codes: Array,
    scales: Array | None = None,
    importance: Array | None = None,
) -> bool:
    """Fill `codes` and `scales`; see `ufuse.formats.native.encode`."""
    row = values.shape[-1]
    blocks = -(-row // layout.block)
    if 0 in values.shape:
        return False
    with np.errstate(all="ignore"):
        padded = np.zeros((*values.shape[:-1], blocks * layout.block), np.float32)
        padded[..., :row] = values
        weights = None
        if importance is not None:
            weights = np.broadcast_to(importance[: padded.shape[-1]], padded.shape)
            if layout.name in legacy.WEIGHTED:
                weights = legacy.weights_of(padded, weights)
            weights = weights.reshape(-1, layout.block)
        encoder = CODECS[layout.name].encode
        assert encoder is not None
        encoded, scaled = encoder(padded.reshape(-1, layout.block), weights, layout)
    codes[...] = encoded.reshape(*values.shape[:-1], -1)[..., : codes.shape[-1]]
    if scales is not None:
        assert scaled is not None
        scales[...] = scaled.reshape(scales.shape)
    return True


def decode(layout: Layout, codes: Array, values: Array, scales: Array | None = None) -> None:
    """Fill `values`; see `ufuse.formats.native.decode`."""
    if 0 in values.shape:
        return
    blocks = -(-values.shape[-1] // layout.block)
    padded = np.zeros((*codes.shape[:-1], blocks * layout.nbytes), np.uint8)
    padded[..., : codes.shape[-1]] = codes
    flat = None if scales is None else scales.reshape(-1)
    with np.errstate(all="ignore"):
        decoded = CODECS[layout.name].decode(padded.reshape(-1, layout.nbytes), flat, layout)
        values[...] = decoded.reshape(*values.shape[:-1], -1)[..., : values.shape[-1]]
