"""Many numbers by one scale: prepared once, with the bits of a division for each."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ufuse as uf
from ufuse.catalogue import conventions, floats, formulas
from ufuse.catalogue.operations import pack_limits

INTEGERS = [np.int8, np.uint8, np.int16, np.uint16]
FLOATS = [
    "float8_e4m3fn", "float8_e5m2", "float8_e4m3", "float8_e4m3fnuz", "float8_e5m2fnuz",
    "float8_e3m4", "float8_e4m3b11fnuz", "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn",
]  # fmt: skip
ONES = np.float32(2 - 2**-23)  # a fraction of ones, whose inverse is the hardest to round


def scales(count: int = 40) -> np.ndarray:
    """Scales of all sizes, with those at the ends of what is prepared."""
    rng = np.random.default_rng(5)
    drawn = np.exp2(rng.uniform(-70, 95, count)) * rng.uniform(1, 2, count)
    ends = np.float32([2.0**-64, 2.0**90])
    named = [1.0, 3.0, 0.1, ONES, ONES / 1024, 1 + 2**-23, 1e-45, 1e-38, 3e38]
    around = [np.nextafter(ends, np.float32(to)) for to in (0, np.inf)]
    return np.concatenate([np.float32(drawn), np.float32(named), ends, *around])


def odd_scales() -> np.ndarray:
    return np.float32([0.0, -0.0, -0.5, np.inf, -np.inf, np.nan])


def hard(scale: Any, low: int, high: int) -> np.ndarray:
    """Numbers at the ties between codes and one step from them, past the ends, and no numbers."""
    steps = np.arange(low - 3, high + 4, max(1, (high - low) // 700)) + 0.5
    with np.errstate(all="ignore"):
        ties = np.float32(steps * np.float64(scale))
        sides = [np.nextafter(ties, np.float32(to)) for to in (-np.inf, np.inf)]
        random = np.random.default_rng(0).normal(0, high / 3, 256) * np.float64(scale)
        random = np.float32(random)
    more = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1e-38, 3e38, -3e38]
    return np.concatenate([ties, *sides, random, np.float32(more)])


def in_rows(x: np.ndarray, rows: int, multiple: int = 32) -> np.ndarray:
    padded = np.resize(x, -(-x.size // multiple) * multiple)
    return np.tile(padded, (rows, 1))


@pytest.mark.parametrize("code", INTEGERS)
@pytest.mark.parametrize("zero", [0, 3])
def test_codes_are_those_of_a_division(code: type, zero: int, tier: str) -> None:
    info = np.iinfo(code)
    limits = pack_limits(info.min, info.max)
    for scale in np.concatenate([scales(), odd_scales()]):
        x = hard(scale, info.min - zero, info.max - zero)
        with np.errstate(all="ignore"):
            wanted = formulas.quantize_linear(x, scale, np.asarray(code(zero)), limits)
        found = uf.quantize_linear(x, scale, code(zero))
        np.testing.assert_array_equal(found, wanted, err_msg=f"scale {float(scale).hex()}")


@pytest.mark.parametrize("code", INTEGERS)
def test_rows_columns_and_blocks_are_those_of_one_scale(code: type, tier: str) -> None:
    info = np.iinfo(code)
    for scale in [*scales(4), *odd_scales()]:
        x = in_rows(hard(scale, info.min, info.max), 5)
        rows, columns = x.shape
        wanted = uf.quantize_linear(x, scale, code(1))
        for size, kwargs in (
            ((rows,), {"axis": 0}),
            ((columns,), {"axis": 1}),
            ((rows, columns // 16), {"axis": 1, "block_size": 16}),
            ((rows, columns // 32), {"axis": -1, "block_size": 32}),
        ):
            s = np.full(size, scale, np.float32)
            for zero in (code(1), np.full(size, 1, code)):
                np.testing.assert_array_equal(uf.quantize_linear(x, s, zero, **kwargs), wanted)


def test_each_row_has_its_own_scale(tier: str) -> None:
    every = np.concatenate([scales(), odd_scales()])
    x = np.stack([np.resize(hard(s, -128, 127), 1024) for s in every])
    zeros = (np.arange(every.size) % 7 - 3).astype(np.int8)
    wanted = [uf.quantize_linear(row, s, z) for row, s, z in zip(x, every, zeros, strict=True)]
    np.testing.assert_array_equal(uf.quantize_linear(x, every, zeros, axis=0), wanted)
    blocks = np.repeat(every[:, np.newaxis], 32, axis=1)
    found = uf.quantize_linear(x, blocks, np.int8(2), axis=1, block_size=32)
    alike = [uf.quantize_linear(row, s, np.int8(2)) for row, s in zip(x, every, strict=True)]
    np.testing.assert_array_equal(found, alike)


@pytest.mark.parametrize(
    "convention",
    ["torch", "torch_axis", "torch_fake", "torch_rounded", "torchao", "litert", "litert_away"],
)
def test_other_conventions(convention: str, tier: str) -> None:
    formula = formulas.quantizer(getattr(conventions, f"quantize_{convention}"))
    if convention == "torch" and tier == "v2":  # two roundings without a fused multiply-add
        formula = formulas.quantizer(conventions.quantize_torch_axis)
    spec, _, rest = convention.partition("_")
    spec = "torch-2.15" if rest == "rounded" else spec
    limits = pack_limits(-128, 127)
    for scale in scales(12):
        x = hard(scale, -130, 126)
        with np.errstate(all="ignore"):
            wanted = np.asarray(formula(x, scale, np.asarray(np.int8(-2)), limits))
            if convention == "torch" and tier == "v2":
                wanted = np.where(np.isnan(x * (np.float32(1) / scale)), 127, wanted)
        if convention == "torch_axis":
            x = in_rows(x, 3)
            s, z = np.full(3, scale, np.float32), np.full(3, -2, np.int8)
            found = uf.quantize_linear(x, s, z, axis=0, spec=spec)[1, : wanted.size]
        elif convention == "torch_fake":
            found = uf.fake_quantize(x, scale, np.int8(-2), spec=spec)
            with np.errstate(over="ignore"):
                wanted = (np.float32(wanted.astype(np.int8)) + 2) * scale
        else:
            rounding = "half_away" if rest == "away" else "half_even"
            found = uf.quantize_linear(x, scale, np.int8(-2), spec=spec, rounding=rounding)
        np.testing.assert_array_equal(found, wanted, err_msg=f"scale {float(scale).hex()}")


def test_float64_divides_as_float64(tier: str) -> None:
    rng = np.random.default_rng(2)
    for scale in [*np.exp2(rng.uniform(-810, 810, 30)), 2.0**-800, 2.0**800, 2 - 2.0**-52, 0.1]:
        ties = (np.arange(-130, 131) + 0.5) * scale
        x = np.concatenate([ties, np.nextafter(ties, np.inf), np.nextafter(ties, -np.inf)])
        x = np.concatenate([x, [np.nan, np.inf, -np.inf, 1e308, 5e-324]])
        with np.errstate(over="ignore"):
            wanted = np.clip(np.rint(x / scale), -128, 127)
        wanted[np.isnan(x)] = -128
        np.testing.assert_array_equal(uf.quantize_linear(x, scale, dtype="int8"), wanted)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("saturate", [True, False])
def test_float_codes_are_those_of_a_division(name: str, saturate: bool, tier: str) -> None:
    format_ = floats.BY_NAME[name]
    mode = floats.SATURATE if saturate else 0
    numbers = np.unique(np.abs(format_.decode(np.arange(1 << format_.bits).astype(np.uint8))))
    numbers = numbers[np.isfinite(numbers)].astype(np.float64)
    ties = np.concatenate([(numbers[1:] + numbers[:-1]) / 2, numbers, numbers[-1:] * 1.0625, [7e4]])
    dtype = np.dtype(getattr(ml_dtypes, name))
    for scale in [*scales(20), *odd_scales()]:
        with np.errstate(all="ignore"):
            x = np.float32(ties * np.float64(scale))
            x = np.concatenate([x, np.nextafter(x, np.float32(0)), hard(scale, -20, 20)])
            x = np.concatenate([x, -x])
            wanted = format_.encode(x / scale, np.full(x.shape, mode))
        x2 = in_rows(x, 3)
        s = np.full((3, x2.shape[1] // 32), scale)
        for found in (
            uf.quantize_linear(x, scale, dtype=dtype, saturate=saturate),
            uf.quantize_linear(x2, s, axis=1, block_size=32, dtype=dtype, saturate=saturate)[2],
            uf.quantize_linear(x2, s[:, 0], axis=0, dtype=dtype, saturate=saturate)[1],
        ):
            codes = found[: x.size].view(np.uint8)
            np.testing.assert_array_equal(codes, wanted, err_msg=f"scale {float(scale).hex()}")


@pytest.mark.parametrize("columns", [2, 6, 16, 64, 97, 130])
@pytest.mark.parametrize("kind", ["int4", "uint4"])
def test_two_codes_of_a_byte_with_scales_of_their_own(columns: int, kind: str, tier: str) -> None:
    x = np.random.default_rng(columns).normal(0.5, 3, (40, columns)).astype(np.float32)
    x *= np.exp2(np.arange(columns) % 9).astype(np.float32)
    for symmetric in (True, False)[kind == "uint4" :]:
        q = uf.quantize(x, kind, axis=1, symmetric=symmetric)
        codes = q.codes()
        zero = q.zero_point if q.zero_point.ndim else np.full(columns, q.zero_point)
        wide = np.float32(codes.astype(np.int8)) - zero
        back = wide * q.scale
        np.testing.assert_array_equal(q.dequantize(), back)
        low, high = (-8, 7) if kind == "int4" else (0, 15)
        limits = pack_limits(-7 if symmetric and kind == "int4" else low, high)
        zeros = zero.astype(np.int8 if kind == "int4" else np.uint8)
        wanted = formulas.quantize_linear(x, q.scale, zeros, limits)
        np.testing.assert_array_equal(codes.astype(np.int8), wanted.astype(np.int8))
        out = np.zeros((40, columns + 1), np.float32)[:, 1:]  # pairs that begin within one
        np.testing.assert_array_equal(q.dequantize(out=out), back)


@pytest.mark.parametrize("offset", [0, 1, 16, 48, 63])
@pytest.mark.parametrize("rows, columns", [(1, 3 << 20), (1536, 2048), (3001, 1003)])
def test_streamed_codes_begin_anywhere(offset: int, rows: int, columns: int) -> None:
    """`test_casts_to_where_numpy_puts_arrays`: whole lines go past the caches, the rest beside."""
    x = np.random.default_rng(1).normal(0, 40, (rows, columns)).astype(np.float32)
    raw = np.full(x.size + 256, 99, np.uint8)
    first = -raw.ctypes.data % 64 + offset
    out = raw[first : first + x.size].view(np.int8).reshape(x.shape)
    uf.quantize_linear(x, np.float32(0.5), dtype="int8", out=out)
    np.testing.assert_array_equal(out, np.clip(np.rint(x / np.float32(0.5)), -128, 127))
    assert (raw[:first] == 99).all()
    assert (raw[first + x.size :] == 99).all()
    uf.quantize_linear(
        x, np.full(rows, 0.5, np.float32), axis=0, dtype="int8", out=out[:, :columns]
    )
    np.testing.assert_array_equal(out, np.clip(np.rint(x / np.float32(0.5)), -128, 127))


@pytest.mark.parametrize("count", [8, 16, 32, 48, 64, 160, 256, 272])
@pytest.mark.parametrize("rows", [1, 15, 16, 17, 50])
@pytest.mark.parametrize("nan", [False, True])
def test_short_rows_are_folded_together(count: int, rows: int, nan: bool, tier: str) -> None:
    x = np.random.default_rng(count).normal(size=(rows, count)).astype(np.float32)
    x[0, 0], x[-1, -1] = -0.0, 0.0
    if nan:
        x[rows // 2, count // 3] = np.nan
    whole = np.int32(np.nan_to_num(x) * 100)
    for view in (x, x[::-1], np.tile(x, (1, 2))[:, :count], whole):
        np.testing.assert_array_equal(uf.min(view, axis=1), view.min(axis=1))
        np.testing.assert_array_equal(uf.max(view, axis=1), view.max(axis=1))
        low, high = uf.minmax(view, axis=1)
        np.testing.assert_array_equal(low, view.min(axis=1))
        np.testing.assert_array_equal(high, view.max(axis=1))


@pytest.mark.parametrize(
    "shape, scale, kwargs",
    [
        ((4, 8), np.ones(4), {"axis": 2**32}),
        ((4, 8), np.ones(4), {"axis": 2}),
        ((4, 8), np.ones(4), {"axis": -3}),
        ((4, 8), np.ones(4), {"axis": 1}),
        ((4, 8), np.ones(4), {}),
        ((4, 8), np.ones((4, 1)), {"axis": 0}),
        ((4, 8), np.ones((4, 3)), {"axis": 1, "block_size": 4}),
        ((4, 8), np.ones((4, 2)), {"axis": 0, "block_size": 4}),
        ((4, 8), np.ones((4, 2)), {"axis": 1, "block_size": 0}),
        ((4, 8), np.ones((4, 2)), {"axis": 1, "block_size": 2**70}),
        ((4, 8), np.ones((4, 2)), {"axis": 1, "block_size": 4, "zero_point": np.zeros(4, np.int8)}),
        ((4, 8), np.ones(4), {"axis": 0, "zero_point": np.zeros(3, np.int8)}),
        ((4, 8), np.ones(4), {"axis": 0, "zero_point": np.zeros(4, np.int8), "dtype": np.uint8}),
        ((0,), np.ones(4), {"axis": 0, "block_size": 2**62}),
        ((), np.ones(1), {"axis": 0}),
    ],
)
def test_the_fast_entry_refuses_what_the_general_function_does(
    shape: tuple[int, ...], scale: np.ndarray, kwargs: dict[str, Any]
) -> None:
    x, scales_ = np.ones(shape, np.float32), scale.astype(np.float32)
    general = getattr(uf.quantize_linear, "__wrapped__", uf.quantize_linear)
    with pytest.raises((ValueError, TypeError)) as wanted:
        general(x, scales_, **kwargs)
    with pytest.raises(wanted.type) as found:
        uf.quantize_linear(x, scales_, **kwargs)
    assert str(found.value) == str(wanted.value)


@pytest.mark.parametrize("rows, columns", [(0, 32), (3, 0), (1, 1), (5, 7), (3, 64)])
@pytest.mark.parametrize("code", [np.int8, np.uint8])
def test_the_fast_entry_gives_what_the_general_function_does(
    rows: int, columns: int, code: type
) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(0, 3, (columns, rows)).astype(np.float32).T
    general = getattr(uf.quantize_linear, "__wrapped__", uf.quantize_linear)
    back = getattr(uf.dequantize_linear, "__wrapped__", uf.dequantize_linear)
    for kwargs in ({"axis": 0}, {"axis": -1}, {"axis": 1, "block_size": 4}, {"axis": 1}):
        size: tuple[int, ...] = (x.shape[kwargs["axis"]],)
        if "block_size" in kwargs:
            size = (rows, -(-columns // 4))
        scale = rng.uniform(0.01, 0.1, size[::-1]).astype(np.float32).T
        for zero in (None, 2, code(3), rng.integers(0, 100, size).astype(code)):
            dtype = None if isinstance(zero, (np.ndarray, np.generic)) else code
            wanted = general(x, scale, zero, dtype=dtype, **kwargs)
            found = uf.quantize_linear(x, scale, zero, dtype=dtype, **kwargs)
            np.testing.assert_array_equal(found, wanted, strict=True)
            numbers = back(wanted, scale, zero, **kwargs)
            again = uf.dequantize_linear(found, scale, zero, **kwargs)
            np.testing.assert_array_equal(again, numbers, strict=True)
            out = np.empty(x.shape, code)
            uf.quantize_linear(x, scale, zero, dtype=dtype, out=out, **kwargs)
            np.testing.assert_array_equal(out, wanted)


def test_codes_of_sixteen_bits_with_zero_points_at_their_ends(tier: str) -> None:
    """What is clamped is farthest from its code there."""
    for code, zero in ((np.uint16, 65535), (np.int16, -32768), (np.int16, 32767)):
        info = np.iinfo(code)
        limits = pack_limits(info.min, info.max)
        for scale in scales(8):
            x = hard(scale, info.min - zero, info.max - zero)
            for spec, name in (("onnx", "linear"), ("litert", "litert"), ("torchao", "torchao")):
                formula = formulas.quantize_linear
                if name != "linear":
                    formula = formulas.quantizer(getattr(conventions, f"quantize_{name}"))
                with np.errstate(all="ignore"):
                    wanted = formula(x, scale, np.asarray(code(zero)), limits)
                found = uf.quantize_linear(x, scale, code(zero), spec=spec)
                np.testing.assert_array_equal(found, np.asarray(wanted).astype(code))
