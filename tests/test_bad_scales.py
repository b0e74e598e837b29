"""Scales that are no steps (zero, negative, NaN, infinite), as docs/quantization.md has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from ufuse.catalogue import conventions

SCALES = [0.0, -0.0, np.nan, np.inf, -np.inf, -0.5, 1e-45, -1e-45, 3e-39]
X = np.float32([0, -0.0, 1, -1, 3e38, -3e38, np.inf, -np.inf, np.nan, 1e-40, 0.75] * 11)
SPECS = [(spec, axis) for spec in conventions.SPECS for axis in (None, 0)]


def same(got: Any, want: Any) -> None:
    assert got.shape == want.shape
    np.testing.assert_array_equal(got, want)
    number = ~np.isnan(got.astype(np.float32))
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))


@pytest.mark.parametrize(("spec", "axis"), SPECS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("zero", [np.uint8(3), np.int8(-5), np.int16(77)])
def test_every_convention_computes_with_any_scale(
    spec: Any, axis: int | None, scale: float, zero: Any
) -> None:
    low, high = np.iinfo(zero.dtype).min, np.iinfo(zero.dtype).max
    step, shift = np.float32(scale), np.asarray(zero)
    terms = (X, np.asarray(step), shift, low, high, spec)
    codes = conventions.quantize(*terms, per_axis=axis is not None).astype(zero.dtype)
    fakes = conventions.fake_quantize(*terms, per_axis=axis is not None)
    back = conventions.dequantize(codes, np.asarray(step), shift, spec)
    if axis is None:
        same(uf.quantize_linear(X, step, zero, spec=spec), codes)
        same(uf.dequantize_linear(codes, step, zero, spec=spec), back)
        same(uf.fake_quantize(X, step, zero, spec=spec), fakes)
        return
    rows, scales, zeros = np.stack([X, X]), np.float32([scale, scale]), np.stack([zero, zero])
    same(uf.quantize_linear(rows, scales, zeros, axis=0, spec=spec), np.stack([codes, codes]))
    both = np.stack([codes, codes])
    same(uf.dequantize_linear(both, scales, zeros, axis=0, spec=spec), np.stack([back, back]))
    same(uf.fake_quantize(rows, scales, zeros, axis=0, spec=spec), np.stack([fakes, fakes]))


@pytest.mark.parametrize("scale", SCALES)
def test_one_scale_and_scales_of_blocks_agree(scale: float) -> None:
    x = np.stack([X, X])
    grid = np.full((2, -(-X.size // 7)), scale, np.float32)
    blocked = uf.quantize_linear(x, grid, axis=1, block_size=7, dtype="int8")
    same(blocked, uf.quantize_linear(x, scale, dtype="int8"))
    same(blocked, uf.quantize_linear(x, np.asarray(scale, np.float32), dtype="int8"))


@pytest.mark.parametrize(
    ("scale", "codes"),
    [
        (0.0, [-128, 127, -128, 127, -128]),
        (-0.0, [-128, -128, 127, -128, -128]),
        (np.nan, [-128, -128, -128, -128, -128]),
        (np.inf, [3, 3, 3, -128, -128]),
        (-0.5, [3, 1, 5, -128, -128]),
    ],
)
def test_the_table_of_the_documentation(scale: float, codes: list[int]) -> None:
    x = np.float32([0, 1, -1, np.inf, np.nan])
    assert uf.quantize_linear(x, scale, np.int8(3)).tolist() == codes


@pytest.mark.parametrize("scale", SCALES)
def test_floating_codes_of_any_scale(scale: float) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with np.errstate(all="ignore"):
        ratio = X / np.float32(scale)
    got = uf.quantize_linear(X, np.float32(scale), dtype="float8_e4m3fn").astype(np.float32)
    want = np.clip(ratio, -448, 448).astype(ml_dtypes.float8_e4m3fn).astype(np.float32)
    same(got, want)


@pytest.mark.parametrize("scale", [0.0, np.nan, np.inf, -0.5])
@pytest.mark.parametrize("out_scale", [0.0, np.nan, np.inf, -0.5, 0.1])
@pytest.mark.parametrize("spec", ["onnx", "torch", "torchao"])
def test_requantize_multiplies_by_any_quotient(scale: float, out_scale: float, spec: Any) -> None:
    x = np.int32([0, 1, -1, 1000, -1000, 2**31 - 1, -(2**31)])
    terms = (np.asarray(0), np.asarray(np.float32(out_scale)), np.asarray(3), -128, 127, spec)
    want = conventions.requantize(x, np.asarray(np.float32(scale)), *terms)
    got = uf.requantize(x, scale, 0, out_scale, np.int8(3), spec=spec)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("which", "scale"),
    [
        *(
            (name, value)
            for name in ("scale", "out_scale")
            for value in (0.0, -0.5, np.nan, np.inf)
        ),
        ("scale", [0.5, -1.0, 1.0]),
    ],
)
def test_requantize_in_integers_refuses_what_has_no_multiplier(which: str, scale: Any) -> None:
    x, out = np.ones((3, 5), np.int32), np.full((3, 5), 7, np.int8)
    where: dict[str, Any] = {"axis": 0} if isinstance(scale, list) else {}
    scales = (np.float32(scale), 1.0) if which == "scale" else (1.0, np.float32(scale))
    with pytest.raises(ValueError, match=rf"'{which}': expected positive, finite.*spec='onnx'"):
        uf.requantize(x, scales[0], 0, scales[1], dtype="int8", spec="litert", out=out, **where)
    assert (out == 7).all()


def test_requantize_in_integers_refuses_a_quotient_beyond_float64() -> None:
    with pytest.raises(ValueError, match="quotient scale / out_scale within float64"):
        uf.requantize(np.int32([1]), 1e200, 0, 1e-200, dtype="int8", spec="litert")


@pytest.mark.parametrize("spec", ["onnx", "litert"])
def test_requantize_takes_scales_of_blocks(spec: Any) -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(-9999, 9999, (6, 50)).astype(np.int32)
    scale = rng.uniform(1e-3, 1e-2, (6, 4)).astype(np.float32)
    zero = rng.integers(-9, 9, (6, 4)).astype(np.int32)
    spread, shifts = (np.repeat(a, 16, axis=1)[:, :50] for a in (scale, zero))
    want = [
        uf.requantize(x[:, i], spread[:, i], shifts[:, i], 0.3, np.int8(2), axis=0, spec=spec)
        for i in range(50)
    ]
    got = uf.requantize(x, scale, zero, 0.3, np.int8(2), axis=1, block_size=16, spec=spec)
    np.testing.assert_array_equal(got, np.stack(want, axis=1))
    with pytest.raises(ValueError, match=r"'scale': expected shape \(6, 4\)"):
        uf.requantize(x, scale.T, 0, 0.3, np.int8(2), axis=1, block_size=16, spec=spec)


@pytest.mark.parametrize("scheme", ["int4", "uint4", "int2", "uint2"])
@pytest.mark.parametrize("block_size", [None, 16])
def test_zero_points_of_records_go_with_codes_of_less_than_a_byte(
    scheme: str, block_size: int | None
) -> None:
    pytest.importorskip("ml_dtypes")
    x = np.random.default_rng(2).normal(1, 1, (4, 40)).astype(np.float32)
    q = uf.quantize(x, scheme, axis=1 if block_size else 0, block_size=block_size, symmetric=False)
    codes = uf.unpack(q.data, scheme, size=40)
    assert q.zero_point.dtype.itemsize == 1 and q.zero_point.any()
    got = uf.dequantize_linear(codes, q.scale, q.zero_point, axis=q.axis, block_size=q.block_size)
    same(got, q.dequantize())
    beyond = np.full_like(q.zero_point, 16)
    with pytest.raises(ValueError, match=r"'zero_point': expected values from .*got 16 to 16"):
        uf.dequantize_linear(codes, q.scale, beyond, axis=q.axis, block_size=q.block_size)
    other = q.zero_point.view(np.uint8 if scheme[0] == "i" else np.int8)
    with pytest.raises(TypeError, match=f"'zero_point': expected the dtype of x, {scheme}"):
        uf.dequantize_linear(codes, q.scale, other, axis=q.axis, block_size=q.block_size)


@pytest.mark.parametrize("scheme", ["float8_e4m3fn", "float8_e5m2"])
def test_zero_points_of_records_go_with_floating_codes(scheme: str) -> None:
    pytest.importorskip("ml_dtypes")
    q = uf.quantize(np.float32([[1, 2], [3, -4]]), scheme, axis=0)
    same(uf.dequantize_linear(q.data, q.scale, q.zero_point, axis=0), q.dequantize())
    with pytest.raises(ValueError, match=r"'zero_point'.*got 1 to 1"):
        uf.dequantize_linear(q.data, q.scale, np.ones((), np.uint8), axis=0)


def test_dequantize_has_the_specs_of_quantize() -> None:
    codes = np.int16([-30000, 5, 30000])
    for spec in ("onnx", "torch", "torch-2.15", "litert"):
        same(uf.dequantize_linear(codes, 0.1, spec=spec), uf.dequantize_linear(codes, 0.1))
    scale = np.float16(0.1)  # torchao rounds 30000 to float16 before and after the product
    got = uf.dequantize_linear(codes, scale, spec="torchao", dtype=np.float16)
    want = conventions.dequantize(codes, np.asarray(scale), np.asarray(0), "torchao", np.float16)
    same(got, want)
    with pytest.raises(ValueError, match=r"'spec': expected one of onnx, torch, torch-2\.15, "):
        uf.dequantize_linear(codes, 0.1, spec="tflite")


MOST = float(np.finfo(np.float32).max)
SCHEMES = ["int8", "uint8", "int16", "uint16", "int4", "uint4", "int2", "uint2"]
FLOATS = ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float4_e2m1fn", "float6_e3m2fn"]


@pytest.mark.parametrize("ends", [(-MOST, MOST), (-3.4e38, 3.4e38), (-MOST, 1), (-1, MOST)])
@pytest.mark.parametrize("where", [{}, {"axis": 0}, {"axis": 1, "block_size": 4}])
@pytest.mark.parametrize("symmetric", [None, False])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_codes_of_the_largest_numbers_stand_for_finite_ones(
    scheme: str, symmetric: bool | None, where: dict[str, Any], ends: tuple[float, float]
) -> None:
    pytest.importorskip("ml_dtypes")
    x = np.tile(np.float32([*ends, 0, 3e37, -3e37]), (2, 4))
    q = uf.quantize(x, scheme, symmetric=symmetric, **where)
    back = q.dequantize()
    assert np.isfinite(q.scale).all() and np.isfinite(back).all()
    step = q.scale.max() * np.float64(1.51)  # a step at an end, else half of one
    assert np.abs(back.astype(np.float64) - x).max() <= step
    assert (back[x == 0] == 0).all()
    every = np.arange(q.code.low + (symmetric is None and scheme[0] == "i"), q.code.high + 1)
    zero = q.zero_point.astype(np.int64).reshape(-1, 1)
    with np.errstate(over="raise"):
        (every - zero).astype(np.float32) * q.scale.reshape(-1, 1)


@pytest.mark.parametrize("scheme", FLOATS)
def test_floating_codes_of_the_largest_numbers_stand_for_finite_ones(scheme: str) -> None:
    pytest.importorskip("ml_dtypes")
    x = np.float32([[MOST, -MOST, 0, 1e38, -2e38, 3.4e38]])
    back = uf.quantize(x, scheme).dequantize()
    assert np.isfinite(back).all()
    np.testing.assert_allclose(back, x, rtol=0.26)


@pytest.mark.parametrize("codes", ["int8", "uint8", "int4"])
def test_observers_of_the_largest_numbers_give_finite_scales(codes: str) -> None:
    x = np.float32([-MOST, 0, MOST])
    found = uf.observers.MinMax().update(x).scale_zero_point(codes, symmetric=False)
    q = uf.quantize_linear(x, found.scale, found.zero_point, dtype=codes)
    assert np.isfinite(uf.dequantize_linear(q, found.scale, found.zero_point)).all()
