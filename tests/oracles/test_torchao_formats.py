"""torchao's MX formats and NVFP4 as oracles: codes and scales, byte for byte."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from ufuse.formats import mx, nvfp4

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    mx_tensor = pytest.importorskip("torchao.prototype.mx_formats.mx_tensor")
    nvfp4_tensor = pytest.importorskip("torchao.prototype.mx_formats.nvfp4_tensor")

Array = np.ndarray[Any, Any]

DTYPES = {
    "mxfp8_e4m3": torch.float8_e4m3fn,
    "mxfp8_e5m2": torch.float8_e5m2,
    "mxfp6_e2m3": "fp6_e2m3",
    "mxfp6_e3m2": "fp6_e3m2",
    "mxfp4": torch.float4_e2m1fn_x2,
}


def hostile_rows(columns: int) -> Array:
    """Rows of every order of magnitude, near powers of two and near ties; NaN and Inf in some."""
    rng = np.random.default_rng(11)
    rows = [rng.normal(size=(64, columns)) * 2.0 ** rng.integers(-110, 110, (64, 1))]
    powers = 2.0 ** rng.integers(-20, 20, (32, columns))
    rows.append(powers * (1 + 2.0**-23 * rng.integers(-3, 4, (32, columns))))
    quarters = rng.integers(-1024, 1025, (64, columns)) / 64.0  # ties of all elements
    rows.append(quarters * 2.0 ** rng.integers(-8, 8, (64, 1)))
    rows.append(rng.uniform(-512, 512, (32, columns)))  # past 448
    rows.append(rng.choice([0.0, -0.0, 1.0], (8, columns)))
    rows.append(np.zeros((2, columns)))
    x = np.concatenate(rows).astype(np.float32)
    special = rng.normal(size=(9, columns)).astype(np.float32)
    for row, value in enumerate((np.nan, -np.nan, np.inf, -np.inf, 3e38, 1e-38, 1e-44, -1e-45)):
        special[row, row * 3] = value
    special[8] = 1e-44
    return np.concatenate([x, special])


def torch_mx(x: Array, kind: str, mode: str, block: int) -> tuple[Array, Array]:
    mode = getattr(mx_tensor.ScaleCalculationMode, mode.upper())
    scales, codes = mx_tensor.to_mx(torch.from_numpy(x), DTYPES[kind], block, mode)
    return codes.view(torch.uint8).numpy(), scales.view(torch.uint8).numpy()


def just_above_a_power(x: Array, kind: str, block: int) -> Array:
    """Blocks whose amax over the largest element has a logarithm that float32 rounds down."""
    amax = np.abs(x).reshape(len(x), -1, block).max(axis=-1)
    ratio = amax / np.float32(mx.ELEMENTS[kind].largest)
    fraction = ratio.view(np.uint32) & 0x7FFFFF
    return (fraction > 0) & (fraction < 1 << 9)


@pytest.mark.parametrize("block", [32, 16, 64])
@pytest.mark.parametrize("mode", ["floor", "ceil", "even", "rceil"])
@pytest.mark.parametrize("kind", DTYPES)
def test_mx(kind: str, mode: str, block: int) -> None:
    x = hostile_rows(128)
    codes, scales = torch_mx(x, kind, mode, block)
    q = mx.quantize(x, kind, scale_mode=mode, block_size=block)
    off = np.zeros(scales.shape, bool)
    if mode == "rceil":
        off = (q.scales != scales) & just_above_a_power(x, kind, block)
        assert off.mean() < 0.2
    np.testing.assert_array_equal(q.scales[~off], scales[~off])
    # The documented differences: codes of blocks of NaN, and of the smallest scale.
    same = ~off & (scales != 255) & (scales != 0)
    got, want = (a.reshape(*scales.shape, -1) for a in (q.codes, codes))
    np.testing.assert_array_equal(got[same], want[same])
    assert same.mean() > 0.5


@pytest.mark.parametrize("kind", DTYPES)
def test_mx_dequantizes_every_code_with_every_scale(kind: str) -> None:
    bits = mx.ELEMENTS[kind].bits
    codes = np.tile(np.arange(256 if bits != 6 else 64, dtype=np.uint8), (256, 1))
    count = codes.shape[1] * (2 if bits == 4 else 1)
    scales = np.repeat(np.arange(256, dtype=np.uint8)[:, None], count // 32, axis=1)
    with np.errstate(all="ignore"):
        want = mx_tensor.to_dtype(
            torch.from_numpy(codes).view(DTYPES[kind]) if bits == 8 else torch.from_numpy(codes),
            torch.from_numpy(scales),
            DTYPES[kind],
            32,
            torch.float32,
        ).numpy()
    record = mx.MXArray(codes, scales, kind, (256, count))
    np.testing.assert_array_equal(record.dequantize(), want)


def torch_nvfp4(x: Array, scale: Any) -> tuple[Array, Array]:
    whole = None if scale is None else torch.tensor(scale, dtype=torch.float32)
    scales, codes = nvfp4_tensor.nvfp4_quantize(torch.from_numpy(x), 16, whole)
    return codes.numpy(), scales.view(torch.uint8).numpy()


@pytest.mark.parametrize("scale", [None, 1.0, 0.37, 1e-3, 2.0**-119, 1e30])
def test_nvfp4(scale: float | None) -> None:
    """Without a scale torchao has none, which is 1."""
    x = hostile_rows(128)
    codes, scales = torch_nvfp4(x, scale)
    q = nvfp4.quantize(x, tensor_scale=1.0 if scale is None else scale)
    np.testing.assert_array_equal(q.scales, scales)
    numbers = (scales & 0x7F) != 0x7F
    got, want = (a.reshape(*scales.shape, 8) for a in (q.codes, codes))
    np.testing.assert_array_equal(got[numbers], want[numbers])


@pytest.mark.parametrize("swizzle", [False, True])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("rows", [1, 200])
def test_nvfp4_with_its_own_scale(swizzle: bool, size: float, rows: int) -> None:
    x = (np.random.default_rng(12).normal(size=(rows, 320)) * size).astype(np.float32)
    tensor = torch.from_numpy(x)
    whole = nvfp4_tensor.per_tensor_amax_to_scale(tensor.abs().max())
    want = nvfp4_tensor.NVFP4Tensor.to_nvfp4(
        tensor, per_tensor_scale=whole, is_swizzled_scales=swizzle
    )
    q = nvfp4.quantize(x, swizzle=swizzle)
    assert q.tensor_scale == whole.item()
    np.testing.assert_array_equal(q.codes, want.qdata.numpy())
    np.testing.assert_array_equal(q.scales, want.scale.view(torch.uint8).numpy())
    np.testing.assert_array_equal(q.dequantize(), want.dequantize(torch.float32).numpy())


def test_nvfp4_dequantizes_every_code_with_every_scale() -> None:
    codes = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    scales = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 32, axis=1)
    scale = torch.tensor(0.37)
    want = nvfp4_tensor.NVFP4Tensor(
        torch.from_numpy(codes),
        torch.from_numpy(scales).view(torch.float8_e4m3fn),
        16,
        torch.float32,
        scale,
    ).dequantize()
    record = nvfp4.NVFP4Array(codes, scales, np.float32(0.37), (256, 512))
    np.testing.assert_array_equal(record.dequantize(), want.numpy())


@pytest.mark.parametrize("shape", [(1, 1), (128, 4), (129, 5), (300, 33)])
def test_blocked_scales(shape: tuple[int, int]) -> None:
    scales = np.random.default_rng(13).integers(0, 256, shape).astype(np.uint8)
    want = nvfp4_tensor.to_blocked(torch.from_numpy(scales)).numpy()
    got = nvfp4.to_blocked(scales)
    np.testing.assert_array_equal(got.reshape(-1), want)
    np.testing.assert_array_equal(nvfp4.from_blocked(got, *shape), scales)
