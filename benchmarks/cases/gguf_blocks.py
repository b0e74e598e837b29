"""The block formats of GGUF, all of ufuse's catalogue: 16 M float32, and 1 M to K-quants."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import installed, load
from ..model import Call, Case, Prepare, equal
from ..probe import touched
from . import ggml
from .block_formats import numpy_decode, numpy_encode
from .data import MATRIX, normal

GROUP = "gguf"

#: Their bar is of bandwidth; what else is written without a search has to be ahead of others.
FAST = ("Q4_0", "Q8_0", "MXFP4")
#: ggml encodes 17 to 36 million elements a second; NumPy, which searches too, a quarter of that.
SEARCHED = (256, 4096)
#: Blocks drawn to be decoded, and repeated.
_DRAWN = 1 << 14


def _rows() -> tuple[Any, ...]:
    from ufuse.catalogue.formats import GGUF

    rows: tuple[Any, ...] = GGUF
    return rows


def _layout(row: Any) -> Any:
    from ufuse.formats.blocks import layout_of

    return layout_of(row.name)


def _bytes(row: Any, shape: tuple[int, int]) -> tuple[int, int]:
    return shape[0], shape[1] // row.block * row.nbytes


def _values(row: Any, shape: tuple[int, int]) -> SimpleNamespace:
    x = normal(shape, 3)
    return SimpleNamespace(layout=_layout(row), x=x, data=touched(_bytes(row, shape), np.uint8))


def _blocks(row: Any) -> SimpleNamespace:
    """Return random blocks of finite numbers: no package writes all the kinds."""
    rng = np.random.default_rng(5)
    drawn = rng.integers(0, 256, (_DRAWN, row.nbytes), dtype=np.uint8)
    with np.errstate(all="ignore"):
        numbers = load("ufuse").formats.gguf.dequantize(drawn, row.name)
        drawn = drawn[(np.abs(numbers) < 1e30).all(axis=1)]
    data = touched(_bytes(row, MATRIX), np.uint8)
    data[...] = np.resize(drawn, data.size).reshape(data.shape)
    return SimpleNamespace(layout=_layout(row), data=data, out=touched(MATRIX, np.float32))


def _ours_quantize(kind: str) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        quantize = load("ufuse").formats.gguf.quantize
        return lambda: quantize(v.x, kind, out=v.data)

    return prepare


def _ours_dequantize(kind: str) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        dequantize = load("ufuse").formats.gguf.dequantize
        return lambda: dequantize(v.data, kind, out=v.out)

    return prepare


def _gguf(kind: str, operation: str) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        package: Any = load("gguf")
        of = package.GGMLQuantizationType[kind]
        if operation == "dequantize":
            # It takes arrays of float kinds as what they are.
            data = v.data.view({"F32": np.float32, "F16": np.float16}.get(kind, np.uint8))
            return lambda: package.quants.dequantize(data, of)
        return lambda: package.quants.quantize(v.x, of).view(np.uint8)

    return prepare


def _package(row: Any, operation: str) -> dict[str, Prepare]:
    # Of float32 it returns the array it is given.
    return {} if row.name == "F32" else {"gguf": _gguf(row.name, operation)}


def _encode_case(row: Any) -> Case:
    searched = row.name.endswith("_K")  # without weights, too
    shape = SEARCHED if searched else MATRIX
    peers = {"numpy": numpy_encode, **_package(row, "quantize")}
    bar = "limit >= 0.7; best >= 1x" if row.name in FAST else "best >= 1x"
    unchecked: frozenset[str] = frozenset()
    if searched:
        peers = {"numpy": numpy_encode}
        peers |= {f"ggml:{build}": ggml.quantize(row.name, build) for build in ("basic", "avx2")}
        bar, unchecked = "ggml:basic,ggml:avx2 >= 8x", frozenset({"ggml:avx2"})
    return Case(
        name=f"quantize {row.name}",
        group=GROUP,
        make=lambda: _values(row, shape),
        ours=_ours_quantize(row.name),
        peers=peers,
        limit="copy",
        amount=shape[0] * shape[1] * (4 + row.nbytes / row.block),
        bar=bar,
        check=equal,
        unchecked=unchecked,
    )


def _decode_case(row: Any) -> Case:
    return Case(
        name=f"dequantize {row.name}",
        group=GROUP,
        make=lambda: _blocks(row),
        ours=_ours_dequantize(row.name),
        peers={"numpy": numpy_decode, **_package(row, "dequantize")},
        limit="copy",
        amount=MATRIX[0] * MATRIX[1] * (4 + row.nbytes / row.block),
        bar="limit >= 0.7; best >= 1x",
        check=equal,
    )


def cases() -> list[Case]:
    """Return the cases of this group: none without ufuse, whose catalogue lists the kinds."""
    if not installed("ufuse"):
        return []
    encode = [_encode_case(row) for row in _rows() if row.encodes]
    return encode + [_decode_case(row) for row in _rows()]
