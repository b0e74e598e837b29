"""GGUF's kinds against the package gguf: the same bytes, the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from blocks_of_values import hostile, same_floats
from ufuse.catalogue.formats import BY_NAME

gguf: Any = pytest.importorskip("gguf")
quants: Any = pytest.importorskip("gguf.quants")

#: NVFP4 and the K-quants are not written by the package.
WRITTEN = [
    name
    for name in uf.formats.gguf.kinds(encodes=True)
    if name != "NVFP4" and not name.endswith("_K")
]
#: Bytes of float16 numbers of which NumPy leaves the sign of a zero, or what a NaN is, open.
LEFT_OPEN = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q8_0": (0,), "TQ1_0": (52,), "TQ2_0": (64,)}

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* overflow in :RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.* NaN or infinite in float32:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:(overflow|invalid|divide) .*encountered:RuntimeWarning"),
]


def quantized(x: np.ndarray, kind: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        data = quants.quantize(x, gguf.GGMLQuantizationType[kind])
    return np.ascontiguousarray(data).view(np.uint8)


def assert_same_bytes(got: np.ndarray, want: np.ndarray, kind: str, x: np.ndarray) -> None:
    row = BY_NAME[kind]
    got, want = (data.reshape(-1, row.nbytes).copy() for data in (got, want))
    for at in LEFT_OPEN.get(kind, (0,) if kind == "F16" else ()):
        a, b = (data[:, at : at + 2].copy().view(np.float16) for data in (got, want))
        alike = (np.isnan(a) & np.isnan(b)) | ((a == 0) & (b == 0) & (at == 2))
        got[alike[:, 0], at : at + 2] = want[alike[:, 0], at : at + 2]
    wrong = np.flatnonzero((got != want).any(axis=1))
    assert not wrong.size, (wrong.size, x.reshape(-1, row.block)[wrong[0]], got[wrong[0]])


@pytest.mark.parametrize("kind", WRITTEN)
def test_bytes(kind: str, tier: str) -> None:
    x = hostile(1500, 256, seed=3)
    assert_same_bytes(uf.formats.gguf.quantize(x, kind), quantized(x, kind), kind, x)


@pytest.mark.parametrize("kind", WRITTEN)
def test_bytes_of_the_reference(kind: str) -> None:
    from ufuse.formats import reference
    from ufuse.formats.blocks import layout_of

    x = hostile(800, 256, seed=4)
    got = np.zeros(uf.formats.gguf.quantized_shape(x.shape, kind), np.uint8)
    reference.encode(layout_of(kind), x, got)
    assert_same_bytes(got, quantized(x, kind), kind, x)


@pytest.mark.parametrize("kind", WRITTEN)
def test_bytes_of_one_plain_nan(kind: str) -> None:
    """Of one ordinary NaN in a block nothing is left open but where its sign goes."""
    x = np.random.default_rng(1).standard_normal((8, 256)).astype(np.float32)
    x[:, 17] = np.nan
    got, want = uf.formats.gguf.quantize(x, kind), quantized(x, kind)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", uf.formats.gguf.kinds())
def test_numbers(kind: str, tier: str) -> None:
    size = uf.formats.gguf.type_size(kind) * (256 // uf.formats.gguf.block_size(kind))
    data = np.random.default_rng(7).integers(0, 256, (400, size), np.uint8)
    with np.errstate(all="ignore"):
        want = quants.dequantize(data, gguf.GGMLQuantizationType[kind])
    assert same_floats(uf.formats.gguf.dequantize(data, kind), want).all()


@pytest.mark.parametrize("kind", uf.formats.gguf.kinds())
def test_sizes(kind: str) -> None:
    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    assert uf.formats.gguf.block_size(kind) == block
    assert uf.formats.gguf.type_size(kind) == size
    shape = (3, block * 5)
    assert uf.formats.gguf.quantized_shape(shape, kind) == quants.quant_shape_to_byte_shape(
        shape, gguf.GGMLQuantizationType[kind]
    )
