"""Linear quantization to every type of code, with scales per axis and block, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import tiers
from ufuse import executors
from ufuse.catalogue import conventions
from ufuse.catalogue.floats import BY_NAME as FLOATS
from ufuse.quant.codes import CODE_TYPES, CodeType

ml_dtypes = pytest.importorskip("ml_dtypes")

INTEGERS = [code for code in CODE_TYPES if not code.is_float]
FLOATING = [code for code in CODE_TYPES if code.is_float]
HOSTILE = np.float32([0, -0.0, np.nan, np.inf, -np.inf, 1e-45, 1e-38, 3e38, -3e38, 0.5, 1.5, -2.5])
codes = pytest.mark.parametrize("code", CODE_TYPES, ids=lambda code: code.name)
integers = pytest.mark.parametrize("code", INTEGERS, ids=lambda code: code.name)


def sample(shape: Any, spread: float = 3, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(0, spread, shape).astype(np.float32)
    flat = x.reshape(-1)
    flat[: min(flat.size, HOSTILE.size)] = HOSTILE[: flat.size]
    return x


def formula(x: np.ndarray, scale: Any, zero: Any, code: CodeType, spec: str = "onnx") -> Any:
    """Codes by the conventions' NumPy, as the dtype of `code`."""
    scale, zero = np.asarray(scale, np.float32), np.asarray(zero, np.int64)
    if code.is_float:
        with np.errstate(all="ignore"):
            return FLOATS[code.name].encode(x / scale, 8).view(code.dtype)
    per_axis = scale.ndim > 0
    found = conventions.quantize(x, scale, zero, code.low, code.high, spec, per_axis=per_axis)
    return found.astype(code.dtype)


def same(got: np.ndarray, want: np.ndarray) -> None:
    assert got.dtype == want.dtype and got.shape == want.shape
    kind = f"u{got.itemsize}"
    np.testing.assert_array_equal(got.view(kind), want.view(kind))


@codes
@pytest.mark.parametrize("size", [0, 1, 2, 17, 64, 1023, 5001])
def test_sizes(code: CodeType, size: int) -> None:
    x = sample(size)
    same(uf.quantize_linear(x, 0.37, dtype=code.dtype), formula(x, 0.37, 0, code))
    same(uf.quantize_linear(x, np.float32(0.37), dtype=code.name), formula(x, 0.37, 0, code))


@codes
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_numbers(code: CodeType, dtype: str) -> None:
    """float16 and bfloat16 are quantized as the float32 they are; float64 divides in float64."""
    with np.errstate(all="ignore"):
        x = sample((7, 33)).astype(np.dtype(getattr(ml_dtypes, dtype, dtype)))
    for source in (x, x.T, x[::-1, ::2]):
        got = uf.quantize_linear(source, 0.25, dtype=code.name)
        if dtype == "float64" and code.is_float:
            want = FLOATS[code.name].encode(source / 0.25, 8).view(code.dtype)
        else:
            want = formula(source.astype(np.float32), 0.25, 0, code)
        same(got, want)
        back = uf.dequantize_linear(got, 0.25, dtype=x.dtype)
        assert back.dtype == x.dtype
        with np.errstate(all="ignore"):
            exact = uf.dequantize_linear(got, 0.25).astype(x.dtype)
        number = ~np.isnan(back.astype(np.float64))  # NumPy does not see bfloat16's NaN
        np.testing.assert_array_equal(back[number], exact[number])
        assert np.isnan(exact[~number].astype(np.float64)).all()
        fake = uf.fake_quantize(source, 0.25, dtype=code.name)
        np.testing.assert_array_equal(fake[number], back[number])


@pytest.mark.parametrize("spec", ["onnx", "torch", "torch-2.15", "torchao", "litert"])
@integers
def test_conventions(code: CodeType, spec: str) -> None:
    """Near ties, where they differ, on every tier."""
    rng = np.random.default_rng(1)
    scale = np.float32(0.0371)
    ties = ((np.arange(-400, 400) + 0.5) * scale).astype(np.float32)
    x = np.concatenate(
        [ties, np.nextafter(ties, np.float32(9)), np.nextafter(ties, np.float32(-9))]
    )
    x = np.concatenate([HOSTILE, x, rng.normal(0, 2, 1000).astype(np.float32)])
    zero = np.asarray(1, code.dtype)
    scales = rng.uniform(0.01, 0.1, 4).astype(np.float32)
    rows = np.stack([x, -x, x[::-1], x / 3])
    for name in tiers() if executors.native else [""]:
        if executors.native:
            executors.native._core.set_tier(name)
        if not (spec == "torch" and name == "v2"):  # no fused multiply-add there
            same(uf.quantize_linear(x, scale, zero, spec=spec), formula(x, scale, 1, code, spec))
        same(
            uf.quantize_linear(rows, scales, 1, axis=0, dtype=code.name, spec=spec),
            formula(rows, scales[:, None], 1, code, spec),
        )
        got = uf.fake_quantize(x, scale, zero, spec=spec)
        want = conventions.fake_quantize(
            x, np.asarray(scale), np.asarray(1), code.low, code.high, spec
        )
        np.testing.assert_array_equal(got, want)
    if executors.native:
        executors.native._core.set_tier("")


def test_the_conventions_differ() -> None:
    """Else the tests above would show nothing."""
    x, scale = np.float32([0.273939937, 0.5, 1.5]), np.float32([0.00214854861] * 3)
    found = {
        spec: tuple(uf.quantize_linear(x, scale, 1, axis=0, dtype="int16", spec=spec).tolist())
        for spec in ("onnx", "torch", "torchao", "litert")
    }
    assert found["onnx"][0] == 128 and found["torchao"][0] == 129
    ties = np.float32([0.5, 1.5, 2.5])
    for spec, want in (
        ("onnx", [1, 3, 3]),
        ("litert", [2, 2, 4]),
        ("torch", [2, 2, 4]),
        ("torch-2.15", [1, 3, 3]),
    ):
        assert uf.quantize_linear(ties, 1.0, 1, dtype="int8", spec=spec).tolist() == want
    away = uf.quantize_linear(ties, 1.0, 1, dtype="int8", spec="litert", rounding="half_away")
    assert away.tolist() == [2, 3, 4]


def test_limits() -> None:
    x = np.float32([-9, -1, 0, 9])
    assert uf.quantize_linear(x, 0.05, dtype="int8", limits=(-127, 127)).tolist() == [
        -127,
        -20,
        0,
        127,
    ]
    assert uf.fake_quantize(x, 1.0, dtype="int8", limits=(-2, 3)).tolist() == [-2, -1, 0, 3]
    for limits in ((3, 3), (-200, 0), (0, 128), "ab", 3):
        with pytest.raises(ValueError, match="'limits': expected two integers"):
            uf.quantize_linear(x, 1.0, dtype="int8", limits=limits)


# --- blocks ---


def spread(value: np.ndarray, shape: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    for axis, (extent, block) in enumerate(zip(shape, size, strict=True)):
        value = np.take(np.repeat(value, block, axis), np.arange(extent), axis)
    return value


@pytest.mark.parametrize(
    ("shape", "axis", "block"),
    [
        ((64,), 0, 32), ((70,), 0, 32), ((3, 64), 1, 16), ((3, 65), 1, 16), ((65, 3), 0, 16),
        ((5, 40, 3), 1, 7), ((5, 6), 1, 6), ((5, 6), 1, 99), ((5, 6), 1, 1), ((0, 6), 1, 4),
        ((9, 10), None, (4, 3)), ((8, 9), None, (4, 3)), ((2, 9, 10), None, (1, 9, 4)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("code", [INTEGERS[0], INTEGERS[5], FLOATING[3]], ids=lambda c: c.name)
def test_blocks(shape: tuple[int, ...], axis: Any, block: Any, code: CodeType) -> None:
    rng = np.random.default_rng(2)
    x = sample(shape)
    size = block if axis is None else tuple(block if i == axis else 1 for i in range(len(shape)))
    grid = tuple(-(-extent // b) for extent, b in zip(shape, size, strict=True))
    scale = rng.uniform(0.05, 0.2, grid).astype(np.float32)
    zero = np.zeros(grid, code.dtype)
    if not code.is_float:
        zero = rng.integers(code.low, code.high, grid, endpoint=True).astype(code.dtype)
    scales, zeros = spread(scale, shape, size), spread(zero.astype(np.int64), shape, size)
    want = formula(x, scales, zeros, code)
    where = {"axis": axis, "block_size": block}
    for layout in (x, np.asfortranarray(x), x[::-1][::-1]):
        same(uf.quantize_linear(layout, scale, zero, **where), want)
    out = np.empty_like(want)
    assert uf.quantize_linear(x, scale, zero, out=out, **where) is out
    same(out, want)
    with np.errstate(all="ignore"):
        numbers = (want.astype(np.float32) - zeros.astype(np.float32)) * scales
    np.testing.assert_array_equal(uf.dequantize_linear(want, scale, zero, **where), numbers)
    np.testing.assert_array_equal(uf.fake_quantize(x, scale, zero, **where), numbers)


BAD_BLOCKS = {
    "no axis": ({"block_size": 4}, (3, 2), ValueError, "'axis': expected the axis that blocks"),
    "zero": ({"block_size": 0, "axis": 1}, (3, 2), ValueError, "'block_size': expected a positive"),
    "grid": ({"block_size": 4, "axis": 1}, (3, 3), ValueError, r"'scale': expected shape \(3, 2\)"),
    "sizes": ({"block_size": (4,)}, (3, 2), ValueError, "one size for each of the 2 axes"),
    "both": ({"block_size": (1, 4), "axis": 1}, (3, 2), ValueError, "and no axis="),
    "float": ({"block_size": 2.5, "axis": 1}, (3, 2), ValueError, "'block_size'"),
}


@pytest.mark.parametrize("case", BAD_BLOCKS)
def test_bad_blocks(case: str) -> None:
    where, shape, error, message = BAD_BLOCKS[case]
    out = np.full((3, 8), 77, np.uint8)
    with pytest.raises(error, match=message):
        uf.quantize_linear(
            np.ones((3, 8), np.float32), np.ones(shape, np.float32), out=out, **where
        )
    assert (out == 77).all()


# --- rounding by chance, dynamic ranges, other scales ---


@pytest.mark.parametrize("name", ["int8", "uint4", "float8_e4m3fn"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stochastic_rounding(name: str, dtype: type) -> None:
    x = np.full(40_000, 2.3, dtype)
    got = uf.quantize_linear(x, 1.0, dtype=name, rounding="stochastic", rng=3)
    values = got.astype(np.float64)
    assert set(values) == ({2, 3} if "int" in name else {2.25, 2.5})
    assert abs(values.mean() - 2.3) < 0.02
    again = uf.quantize_linear(x, 1.0, dtype=name, rounding="stochastic", rng=3)
    same(got, again)
    other = uf.quantize_linear(x, 1.0, dtype=name, rounding="stochastic", rng=4)
    assert (other != got).any()
    whole = np.arange(-8, 8, dtype=dtype)
    exact = uf.quantize_linear(whole, 1.0, dtype="int8", rounding="stochastic", rng=5)
    np.testing.assert_array_equal(exact, whole)
    with pytest.raises(ValueError, match="'rng': given, but"):
        uf.quantize_linear(x, 1.0, rng=3)
    with pytest.raises(ValueError, match="'rounding': expected 'half_even' or 'stochastic'"):
        uf.quantize_linear(x, 1.0, rounding="up")


@pytest.mark.parametrize("shape", [(), (1,), (0,), (17,), (40, 50)])
def test_dynamic(shape: tuple[int, ...]) -> None:
    x = np.asarray(np.random.default_rng(4).normal(1, 2, shape), np.float32)
    got = uf.dynamic_quantize_linear(x)
    low, high = min(x.min(initial=0), 0), max(x.max(initial=0), 0)
    scale = np.float32(np.float32(high - low) / np.float32(255)) or np.float32(1 / 255)
    zero = np.uint8(np.rint(np.clip(np.float32(0) - low / scale, 0, 255)))
    assert got.scale == scale and got.zero_point == zero and type(got.zero_point) is np.uint8
    np.testing.assert_array_equal(got.codes, uf.quantize_linear(x, scale, zero))
    out = np.empty(shape, np.uint8)
    assert uf.dynamic_quantize_linear(x, out=out).codes is out
    with pytest.raises(ValueError, match="expected numbers, got NaN"):
        uf.dynamic_quantize_linear(np.float32([1, np.nan]))
    assert uf.dynamic_quantize_linear(np.float32([1, np.inf])).scale == np.inf


@integers
def test_requantize(code: CodeType) -> None:
    rng = np.random.default_rng(5)
    x = rng.integers(-50_000, 50_000, (6, 101)).astype(np.int32)
    scale = rng.uniform(1e-4, 1e-3, 6).astype(np.float32)
    for spec in ("onnx", "litert"):
        want = conventions.requantize(
            x, scale[:, None], np.asarray(0), np.asarray(np.float32(0.11)), np.asarray(1),
            code.low, code.high, spec,
        ).astype(code.dtype)  # fmt: skip
        got = uf.requantize(x, scale, 0, np.float32(0.11), 1, axis=0, dtype=code.name, spec=spec)
        same(got, want)
    small = np.arange(code.low, min(code.high, 300) + 1).astype(code.dtype)
    back = uf.requantize(small, 0.5, 1 % (code.high + 1), 0.25, dtype="int16")
    exact = 2 * (small.astype(np.int64) - 1 % (code.high + 1))
    np.testing.assert_array_equal(back, np.clip(exact, -32768, 32767))


def test_every_code_comes_back() -> None:
    for code in CODE_TYPES:
        storage = np.arange(1 << code.bits).astype(f"u{max(1, code.bits // 8)}")
        every = storage.view(code.dtype)
        numbers = uf.dequantize_linear(every, 0.5)
        number = np.isfinite(numbers) & (numbers != 0)
        np.testing.assert_array_equal(numbers, every.astype(np.float32) * np.float32(0.5))
        same(uf.quantize_linear(numbers[number], 0.5, dtype=code.name), every[number])


def test_floating_codes_have_no_zero_point() -> None:
    x = np.ones(3, np.float32)
    zero = np.zeros((), ml_dtypes.float8_e4m3fn)
    assert uf.quantize_linear(x, 1.0, zero).dtype == ml_dtypes.float8_e4m3fn
    with pytest.raises(ValueError, match="'zero_point': expected values from 0 to 0"):
        uf.quantize_linear(x, 1.0, 1, dtype="float8_e4m3fn")
    with pytest.raises(TypeError, match="'spec': 'torch' quantizes"):
        uf.quantize_linear(x, 1.0, dtype="float8_e4m3fn", spec="torch")
    with pytest.raises(ValueError, match="'spec': expected one of onnx, torch"):
        uf.quantize_linear(x, 1.0, spec="tf")
