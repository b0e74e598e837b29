"""Inputs: reproducible, aligned, and with their pages in place."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..probe import touched

MILLION_16 = 1 << 24
MATRIX = (4096, 4096)


def uniform(
    shape: int | tuple[int, ...],
    low: float = 0.0,
    high: float = 1.0,
    order: Literal["C", "F"] = "C",
) -> np.ndarray:
    """Uniform float32 values in [low, high)."""
    result = touched(shape, np.float32, order)
    flat = result.reshape(-1, order="A")
    np.random.default_rng(0).random(out=flat, dtype=np.float32)
    flat *= np.float32(high - low)
    flat += np.float32(low)
    return result


def normal(shape: int | tuple[int, ...], seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Return normal float32 values."""
    result = touched(shape, np.float32)
    np.random.default_rng(seed).standard_normal(out=result, dtype=np.float32)
    result *= np.float32(scale)
    return result


def values(shape: int | tuple[int, ...], dtype: np.typing.DTypeLike, seed: int = 0) -> np.ndarray:
    """Return values to multiply, of any dtype.

    Floats and complex numbers are normal; integers of 8 bits are all there are, wider ones below
    100; of bools every 32nd is true, so that rows of a thousand meet and miss each other.
    """
    result = touched(shape, dtype)
    rng, dtype = np.random.default_rng(seed), result.dtype
    if dtype in (np.float32, np.float64):
        rng.standard_normal(out=result, dtype=dtype.type)
    elif dtype.kind == "c":
        result.real, result.imag = rng.standard_normal(shape), rng.standard_normal(shape)
    elif dtype.kind in "iu":
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.itemsize == 1 else (-99, 99)
        result[...] = rng.integers(low, high, shape, dtype, endpoint=True)
    elif dtype.kind == "b":
        result[...] = rng.random(shape) < 1 / 32
    else:
        result[...] = rng.standard_normal(shape)
    return result


def touched_bytes(x: np.ndarray, line: int = 64) -> int:
    """Return the bytes of the cache lines that hold an array's elements.

    Parameters
    ----------
    x : ndarray
        Any strides.
    line : int
        Bytes of a cache line.

    Returns
    -------
    int
    """
    if x.flags.c_contiguous or x.flags.f_contiguous:
        return x.nbytes
    offsets = np.zeros((1,) * x.ndim, np.int64)
    for axis, (size, stride) in enumerate(zip(x.shape, x.strides, strict=True)):
        shape = [1] * x.ndim
        shape[axis] = size
        offsets = offsets + (np.arange(size) * stride).reshape(shape)
    return int(np.unique((offsets + x.ctypes.data) // line).size) * line
