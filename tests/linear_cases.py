"""Quantized weights of every format, for the tests of linear."""

from __future__ import annotations

from typing import Any

import numpy as np

import ufuse as uf
from ufuse.formats import gguf, mx, nf4, nvfp4

#: Rows of x: none, few, and one more than few.
ROWS = [0, 1, 2, 7, 8, 9, 33]


def weights(n: int, k: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, k)).astype(np.float32)


def quantized(scheme: str, n: int, k: int, **how: Any) -> uf.QuantizedArray:
    return uf.quantize(weights(n, k), scheme, **how)


def kind_of(name: str, n: int, k: int) -> gguf.GGUFArray:
    """Blocks of a kind; of those that are not written, random bytes with fine scales."""
    if name in gguf.kinds(encodes=True):
        return gguf.GGUFArray(gguf.quantize(weights(n, k), name), name)
    rng = np.random.default_rng(8)
    size = gguf.type_size(name)
    data = rng.integers(0, 256, (n, k // gguf.block_size(name), size)).astype(np.uint8)
    data[..., :2] = np.float16([0.01]).view(np.uint8)
    if name == "IQ1_M":  # four bits of the scale in each of the last words
        data[..., -1] = data[..., -1] & 15 | 32
    return gguf.GGUFArray(data.reshape(n, -1), name)


QUANTIZED = {
    "int8": lambda n, k: quantized("int8", n, k),
    "int8 axis 0": lambda n, k: quantized("int8", n, k, axis=0),
    "int8 blocks": lambda n, k: quantized("int8", n, k, axis=1, block_size=32),
    "int8 axis 1": lambda n, k: quantized("int8", n, k, axis=1),
    "int8 odd blocks": lambda n, k: quantized("int8", n, k, axis=1, block_size=20),
    "uint8 axis 0": lambda n, k: quantized("uint8", n, k, axis=0),
    "uint8 blocks": lambda n, k: quantized("uint8", n, k, axis=1, block_size=64),
    "uint8 tiles": lambda n, k: quantized("uint8", n, k, block_size=(4, 64)),
    "int4": lambda n, k: quantized("int4", n, k),
    "int4 axis 0": lambda n, k: quantized("int4", n, k, axis=0),
    "int4 blocks": lambda n, k: quantized("int4", n, k, axis=1, block_size=32),
    "int4 blocks of 512": lambda n, k: quantized("int4", n, k, axis=1, block_size=512),
    "uint4": lambda n, k: quantized("uint4", n, k),
    "uint4 axis 0": lambda n, k: quantized("uint4", n, k, axis=0),
    "uint4 blocks": lambda n, k: quantized("uint4", n, k, axis=1, block_size=32),
    "int2 blocks": lambda n, k: quantized("int2", n, k, axis=1, block_size=16),
    "uint2 axis 0": lambda n, k: quantized("uint2", n, k, axis=0),
    "int16 axis 0": lambda n, k: quantized("int16", n, k, axis=0),
    "float8": lambda n, k: quantized("float8_e4m3fn", n, k, axis=0),
    "float4": lambda n, k: quantized("float4_e2m1fn", n, k, axis=1, block_size=32),
    "nf4": lambda n, k: nf4.quantize(weights(n, k), kind="nf4", block_size=32),
    "fp4": lambda n, k: nf4.quantize(weights(n, k), kind="fp4", block_size=32),
    "nvfp4": lambda n, k: nvfp4.quantize(weights(n, k)),
    "mxfp4": lambda n, k: mx.quantize(weights(n, k), "mxfp4"),
    "mxint8": lambda n, k: mx.quantize(weights(n, k), "mxint8"),
    "mxfp8": lambda n, k: mx.quantize(weights(n, k), "mxfp8"),
    "mxfp6": lambda n, k: mx.quantize(weights(n, k), "mxfp6_e2m3"),
    "mxfp4 axis 0": lambda n, k: mx.quantize(weights(n, k), "mxfp4", axis=0),
}
GGUF = [name for name in gguf.kinds() if name not in ("F32", "F16", "BF16", "F64")]


def made(case: str, n: int, k: int) -> Any:
    return kind_of(case, n, k) if case in GGUF else QUANTIZED[case](n, k)


def inputs_of(case: str) -> list[int]:
    """Inputs that the blocks of a case divide, one of them crossing parts of 256."""
    block = gguf.block_size(case) if case in GGUF else 1
    return (
        [block, 3 * block] if block >= 256 else [block, 11 * block] if block > 1 else [7, 352, 1043]
    )


def bound(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Rounding of all products and sums, with room for what is taken from whole blocks."""
    wide = np.abs(x.astype(np.float64)) @ (np.abs(w) + np.abs(w).max(initial=0)).T
    return 4e-6 * wide + 1e-30
