"""Quantization of arrays with as many axes as NumPy has, which blocks would make one too many."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from ufuse.formats import gguf, mx, nf4, nvfp4
from ufuse.quant.grid import Blocks

ml_dtypes = pytest.importorskip("ml_dtypes")

FLAT = np.random.default_rng(0).normal(size=(6, 3, 256)).astype(np.float32)


def spread(ndim: int) -> tuple[np.ndarray, tuple[int, int, int]]:
    """FLAT with axes of one element between its own, and where these are."""
    places = (2, ndim // 2, ndim - 1)
    shape = [1] * ndim
    for place, extent in zip(places, FLAT.shape, strict=True):
        shape[place] = extent
    return FLAT.reshape(shape), places


def same(got: Any, want: Any) -> None:
    np.testing.assert_array_equal(got.reshape(want.shape), want)


@pytest.mark.parametrize("ndim", [33, 62, 63, 64])
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("scheme", ["int8", "int4", "uint2", "float8_e4m3fn"])
def test_blocks(ndim: int, which: int, scheme: str) -> None:
    x, places = spread(ndim)
    axis, block = places[which], (4, 2, 16)[which]
    want = uf.quantize(FLAT, scheme, axis=which, block_size=block)
    got = uf.quantize(x, scheme, axis=axis, block_size=block)
    assert got.shape == x.shape and got.scale.ndim == ndim
    same(got.data, want.data)
    same(got.scale, want.scale)
    same(got.dequantize(), want.dequantize())
    for along in (None, which):
        place = None if along is None else places[along]
        for a, b in zip(
            uf.quantization_error(x, got, axis=place),
            uf.quantization_error(FLAT, want, axis=along),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-6)
    assert uf.quantization_error(x, got, axis=0).mse.shape == (1,)


@pytest.mark.parametrize("ndim", [63, 64])
@pytest.mark.parametrize("scheme", ["int8", "uint8", "int4", "float8_e4m3fn"])
def test_one_scale_and_scales_of_an_axis(ndim: int, scheme: str) -> None:
    x, places = spread(ndim)
    for which in (None, 0, 1, 2):
        want = uf.quantize(FLAT, scheme, axis=which)
        got = uf.quantize(x, scheme, axis=None if which is None else places[which])
        same(got.data, want.data)
        same(got.scale, want.scale)
        same(got.dequantize(), want.dequantize())
    want, got = uf.quantize([FLAT, FLAT[0]], scheme), uf.quantize([x, x[:, :, :1]], scheme)
    for a, b in zip(got, want, strict=True):
        same(a.data, b.data)
    for a, b in zip(uf.dynamic_quantize_linear(x), uf.dynamic_quantize_linear(FLAT), strict=True):
        same(np.asarray(a), np.asarray(b))


def test_blocks_of_several_axes() -> None:
    x, places = spread(64)
    sizes = [1] * 64
    for place, size in zip(places, (4, 2, 100), strict=True):  # each with a ragged end
        sizes[place] = size
    want = uf.quantize(FLAT, "int8", block_size=(4, 2, 100))
    got = uf.quantize(x, "int8", block_size=tuple(sizes))
    same(got.data, want.data)
    same(got.dequantize(), want.dequantize())
    codes = uf.quantize_linear(x, got.scale, block_size=tuple(sizes), dtype="int8")
    same(uf.fake_quantize(x, got.scale, block_size=tuple(sizes), dtype="int8"), want.dequantize())
    back = uf.requantize(codes, got.scale, 0, 0.1, block_size=tuple(sizes), dtype="int8")
    flat = uf.requantize(want.data, want.scale, 0, 0.1, block_size=(4, 2, 100), dtype="int8")
    same(back, flat)


def test_blocks_along_twenty_axes() -> None:
    """Blocks of two in twenty axes of three, which make forty of them."""
    shape = (1,) * 44 + (3,) * 9 + (1,) * 11
    x = np.arange(3.0**9, dtype=np.float32).reshape(shape)
    sizes = tuple(2 if n > 1 else 1 for n in shape)
    q = uf.quantize(x, "uint8", block_size=sizes)
    blocks = Blocks((3,) * 9, (2,) * 9)
    assert q.scale.size == 2**9 and q.scale.shape == Blocks(shape, sizes).grid
    want = uf.quantize(x.reshape((3,) * 9), "uint8", block_size=(2,) * 9)
    assert want.scale.shape == blocks.grid
    same(q.dequantize(), want.dequantize())


def test_arrays_without_elements() -> None:
    shape = (0, *(1,) * 20, *(3,) * 30)
    q = uf.quantize(np.empty(shape, np.float32), "int8", axis=30, block_size=2)
    assert q.dequantize().shape == shape


@pytest.mark.parametrize("which", [0, 1, 2])
def test_observers(which: int) -> None:
    x, places = spread(64)
    x = x.copy()
    x.reshape(-1)[7] = np.nan
    flat = x.reshape(FLAT.shape)
    block = (4, 2, 100)[which]
    want = uf.observers.MinMax(axis=which, block_size=block).update(flat).scale_zero_point()
    found = uf.observers.MinMax(axis=places[which], block_size=block).update(x).scale_zero_point()
    assert found.scale.ndim == 64
    same(found.scale, want.scale)


@pytest.mark.parametrize("kind", gguf.kinds(encodes=True))
@pytest.mark.parametrize("value", [1e30, np.nan])
def test_gguf(kind: str, value: float) -> None:
    """Also where scales overflow, of which there is a warning."""
    x, _ = spread(64)
    x = x.copy()
    x.reshape(-1)[5] = value
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = gguf.quantize(x, kind)
    with warnings.catch_warnings(record=True) as expected:
        warnings.simplefilter("always")
        want = gguf.quantize(x.reshape(FLAT.shape), kind)
    assert data.shape == gguf.quantized_shape(x.shape, kind)
    same(data, want)
    assert [str(w.message) for w in caught] == [str(w.message) for w in expected]
    same(gguf.dequantize(data, kind), gguf.dequantize(want, kind))


@pytest.mark.parametrize("which", [0, 1, 2])
def test_mx_and_nvfp4(which: int) -> None:
    x, places = spread(64)
    for kind in ("mxfp4", "mxfp6_e2m3", "mxfp8", "mxint8"):
        want = mx.quantize(FLAT, kind, axis=which)
        got = mx.quantize(x, kind, axis=places[which])
        same(got.codes, want.codes)
        same(got.dequantize(), want.dequantize())
    for swizzle in (False, True):
        got, want = (
            nvfp4.quantize(a, axis=axis, swizzle=swizzle)
            for a, axis in ((x, places[which]), (FLAT, which))
        )
        same(got.codes, want.codes)
        same(got.dequantize(), want.dequantize())


@pytest.mark.parametrize("double", [False, True])
def test_nf4(double: bool) -> None:
    x, _ = spread(64)
    for a, b in ((x, FLAT), (x.T, np.ascontiguousarray(x.T).reshape(FLAT.T.shape))):
        got, want = nf4.quantize(a, double=double), nf4.quantize(b, double=double)
        same(got.codes, want.codes)
        same(got.dequantize(), want.dequantize())


@pytest.mark.parametrize("scheme", ["uint4", "int2", "float6_e2m3fn"])
def test_packing(scheme: str) -> None:
    x, _ = spread(64)
    codes = (np.abs(x) * 9).astype(np.uint8) & 3
    packed = uf.pack(codes, scheme)
    assert packed.ndim == 64
    same(uf.unpack(packed, scheme).view(np.uint8), codes.reshape(FLAT.shape))
