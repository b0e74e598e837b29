"""What the functions of `gguf` ask of their arguments."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import executors
from ..catalogue.formats import GGUF, Format
from ..interop.lowprecision import coding, low_precision_dtype
from .blocks import Array

KINDS: Final = {row.name: row for row in GGUF}
_BY_UPPER: Final = {name.upper(): row for name, row in KINDS.items()}

UINT8: Final = np.dtype(np.uint8)

#: Elements whose scale is searched apart from their block's others by a weighted fit that, with
#: weights of 0 alone, finds a scale of 0. Of other kinds that is a block; parts of Q2_K, Q4_K and
#: Q5_K have searches that end in another scale.
_FITTED_APART: Final = {"Q3_K": 16, "Q6_K": 16}


def row_of(function: str, kind: str, *, encodes: bool = False) -> Format:
    """Return the row of a kind, in any case; with `encodes`, messages list those written alone."""
    row = _BY_UPPER.get(kind.upper()) if isinstance(kind, str) else None
    if row is None:
        raise (ValueError if isinstance(kind, str) else TypeError)(
            f"ufuse.formats.gguf.{function}: argument 'kind': expected one of "
            f"{', '.join(name for name, k in KINDS.items() if k.encodes or not encodes)}; "
            f"got {kind!r}"
        )
    return row


def bytes_shape(
    function: str, argument: str, shape: tuple[int, ...], row: Format
) -> tuple[int, ...]:
    """Return the shape of the bytes of an array."""
    if not shape:
        raise ValueError(
            f"ufuse.formats.gguf.{function}: argument {argument!r}: expected at least one axis, "
            "got a scalar"
        )
    if shape[-1] % row.block:
        written = (other for other in KINDS.values() if other.encodes)
        fit = [other.name for other in written if shape[-1] % other.block == 0]
        raise ValueError(
            f"ufuse.formats.gguf.{function}: argument {argument!r}: expected a last axis of whole "
            f"blocks of {row.block} elements for {row.name}, got shape {shape}; {shape[-1]} "
            f"elements are whole blocks of {', '.join(fit)}"
        )
    return (*shape[:-1], shape[-1] // row.block * row.nbytes)


def elements_shape(
    function: str, argument: str, shape: tuple[int, ...], row: Format
) -> tuple[int, ...]:
    """Return the shape of the array of some bytes."""
    if not shape or shape[-1] % row.nbytes:
        raise ValueError(
            f"ufuse.formats.gguf.{function}: argument {argument!r}: expected a last axis of whole "
            f"blocks of {row.nbytes} bytes for {row.name}, got shape {shape}"
        )
    return (*shape[:-1], shape[-1] // row.nbytes * row.block)


def read_values(x: Array) -> Array:
    """Return numbers of a dtype that blocks are made of."""
    if x.dtype.type in (np.float32, np.float64) or coding(x.dtype) in ("half", "bfloat16"):
        return x
    raise TypeError(
        "ufuse.formats.gguf.quantize: argument 'x': expected float32, float64, float16 or "
        f"bfloat16, got {x.dtype}; x.astype(np.float32) converts it"
    )


def result_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return a dtype that blocks are read to."""
    try:
        result = low_precision_dtype("bfloat16") if dtype == "bfloat16" else np.dtype(dtype)
    except TypeError:
        result = None
    if result is None or not (result.type is np.float32 or coding(result) in ("half", "bfloat16")):
        raise TypeError(
            "ufuse.formats.gguf.dequantize: argument 'dtype': expected float32, float16 or "
            f"bfloat16, got {dtype!r}"
        )
    return result


def target_of(
    function: str, out: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Array:
    """Return the array to write."""
    if out is None:
        return executors.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        raise TypeError(
            f"ufuse.formats.gguf.{function}: argument 'out': expected an array of {dtype}, got "
            f"{getattr(out, 'dtype', type(out).__name__)}"
        )
    if out.shape != shape:
        raise ValueError(
            f"ufuse.formats.gguf.{function}: argument 'out': expected shape {shape}, got "
            f"{out.shape}"
        )
    return out


def read_weights(importance: ArrayLike, row: Format, length: int) -> Array:
    """Return the weights of the elements of a row."""
    name = "ufuse.formats.gguf.quantize: argument 'importance'"
    if not row.weighs:
        weighing = ", ".join(other.name for other in KINDS.values() if other.weighs)
        raise ValueError(
            f"{name}: {row.name} is written without weights; kinds that search for the scale of "
            f"least weighted error: {weighing}"
        )
    weights = np.asarray(importance)
    if weights.dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected real numbers, got {weights.dtype}")
    if weights.shape != (length,):
        raise ValueError(
            f"{name}: expected shape {(length,)}, a weight for each element of the last axis of "
            f"'x'; got shape {weights.shape}"
        )
    with np.errstate(over="ignore"):
        weights = np.ascontiguousarray(weights, np.float32)
    if not (weights >= 0).all() or not np.isfinite(weights).all():
        raise ValueError(f"{name}: expected weights that are finite in float32 and not negative")
    return _weights_of_zeros(weights, row)


def _weights_of_zeros(weights: Array, row: Format) -> Array:
    """Return weights with which no block counts for nothing: it would be read back as zeros.

    llama-quantize takes 1 for what no sample has reached, such as an expert that was never chosen.
    Within a block that has other weights, the least of these is taken.
    """
    if weights.all():
        return weights
    found = weights.copy()  # never the caller's
    blocks = found.reshape(-1, row.block)
    unweighted = ~blocks.any(axis=1)
    blocks[unweighted] = 1
    apart = _FITTED_APART.get(row.name)
    if apart is not None:
        least = np.where(blocks > 0, blocks, np.inf).min(axis=1, initial=np.inf)
        parts = blocks.reshape(len(blocks), -1, apart)
        fill = np.broadcast_to(least[:, np.newaxis, np.newaxis], parts.shape)
        np.copyto(parts, fill, where=~parts.any(axis=2, keepdims=True))
    return found


def has_contiguous_rows(data: Array) -> bool:
    """Tell whether the elements of a row follow one another."""
    return data.shape[-1] <= 1 or data.strides[-1] == data.itemsize
