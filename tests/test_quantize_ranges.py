"""Ranges found, scales made of them and codes written: alike for every layout, piece and list."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from ufuse.quant.scales import choose_scale_onnx, scale_of_range

pytest.importorskip("ml_dtypes")

LONG = 150_000 if NATIVE else 700  # more than what is read at a time
SHAPES = [
    (1,),
    (17,),
    (LONG,),
    (33, 65),
    (5, 64),
    (2, LONG),
    (LONG // 3, 3),
    (4, 1, 6),
    (3, 40, 34),
]
SCHEMES = ["int8", "uint8", "int16", "int4", "uint4", "int2", "float8_e4m3fn", "float4_e2m1fn"]
FLOATS = {"float8_e4m3fn": 448.0, "float4_e2m1fn": 6.0}


def sample(shape: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1, shape).astype(np.float32)


def by_steps(x: np.ndarray, scheme: str, asymmetric: bool, axis: Any, block: Any) -> Any:
    """Ranges by NumPy, scales by `scale_of_range`, codes by `quantize_linear`."""
    low, high = -128, 127
    if scheme not in FLOATS:
        bits = int(scheme.removeprefix("u").removeprefix("int"))
        low, high = (
            (0, 2**bits - 1) if scheme[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        )
    if block is not None:
        count = -(-x.shape[axis] // block)
        cuts = [
            x.take(range(i * block, min((i + 1) * block, x.shape[axis])), axis)
            for i in range(count)
        ]
        ends = [(c.min(axis, keepdims=True), c.max(axis, keepdims=True)) for c in cuts]
        least, most = (np.concatenate([e[k] for e in ends], axis) for k in range(2))
    else:
        others = None if axis is None else tuple(i for i in range(x.ndim) if i != axis % x.ndim)
        least, most = np.asarray(x.min(others)), np.asarray(x.max(others))
    scale, zero = scale_of_range(least, most, low, FLOATS.get(scheme, high), not asymmetric)
    if scheme in FLOATS:
        return uf.quantize_linear(x, scale, axis=axis, block_size=block, dtype=scheme), scale, zero
    limits = (low, high) if asymmetric else (-high, high)
    codes = uf.quantize_linear(
        x, scale, zero, axis=axis, block_size=block, dtype=scheme, limits=limits
    )
    return codes, scale, zero


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("asymmetric", [False, True])
def test_as_by_steps(shape: tuple[int, ...], scheme: str, asymmetric: bool) -> None:
    if asymmetric and scheme in FLOATS:
        pytest.skip("floating codes are symmetric")
    asymmetric |= scheme[0] == "u"
    x = sample(shape)
    grains: list[dict[str, Any]] = [{}, *({"axis": axis} for axis in range(x.ndim))]
    for axis, extent in enumerate(shape):
        sizes = (1, 7, 16) if extent < 1000 else (32_000,)
        grains += [{"axis": axis, "block_size": size} for size in sizes]
    wide = np.full((*shape[:-1], shape[-1] * 2), np.nan, np.float32)
    wide[..., ::2] = x
    layouts = [x, np.asfortranarray(x), wide[..., ::2], x[::-1].copy()[::-1], x.astype(">f4")]
    for grain in grains:
        axis, block = grain.get("axis"), grain.get("block_size")
        codes, scale, zero = by_steps(x, scheme, asymmetric, axis, block)
        for layout in layouts:
            q = uf.quantize(layout, scheme, symmetric=not asymmetric, **grain)
            np.testing.assert_array_equal(q.scale, scale)
            np.testing.assert_array_equal(q.zero_point, zero if asymmetric else 0)
            np.testing.assert_array_equal(
                q.codes().view(np.uint8),
                codes.view(np.uint8).reshape(q.codes().view(np.uint8).shape),
            )


EXTREMES = [
    [0.0, 0.0],
    [-0.0, 0.0],
    [1e-45, 0.0],
    [-1e-45, 3e-44],
    [1e-38, -1e-40],
    [3.4e38, 3.3e38],
    [-3.4e38, 1.0],
    [5.0, 5.0],
    [-7.0, -7.0],
    [float(np.finfo(np.float32).max), 0.0],
]


@pytest.mark.parametrize("values", EXTREMES, ids=str)
@pytest.mark.parametrize("scheme", ["int8", "uint8", "uint4", "float8_e5m2"])
def test_scales_of_extreme_ranges(values: list[float], scheme: str) -> None:
    x = np.float32([values, [1.0, -2.0]])
    for axis in (None, 0):
        q = uf.quantize(x, scheme, axis=axis)
        least, most = (np.asarray(f(x, axis=None if axis is None else 1)) for f in (np.min, np.max))
        top = {"int8": 127, "uint8": 255, "uint4": 15, "float8_e5m2": 57344.0}[scheme]
        scale, zero = scale_of_range(
            least, most, 0 if scheme[0] == "u" else -128, top, scheme[0] != "u"
        )
        np.testing.assert_array_equal(q.scale, scale)
        np.testing.assert_array_equal(q.zero_point, zero)


def test_a_list_is_quantized_as_its_arrays() -> None:
    arrays = [
        sample(shape, seed) for seed, shape in enumerate([(3,), (0,), (40, 5), (), (LONG,), (1, 1)])
    ]
    arrays += [sample(9).astype(np.float16), sample((7, 3)).astype(np.float64), sample(8)[::2]]
    for scheme, how in [("int8", {}), ("uint8", {"symmetric": False}), ("float8_e5m2", {})]:
        got = uf.quantize(arrays, scheme, **how)
        for x, q in zip(arrays, got, strict=True):
            want = uf.quantize(x, scheme, **how)
            np.testing.assert_array_equal(q.data.view(np.uint8), want.data.view(np.uint8))
            np.testing.assert_array_equal(q.scale, want.scale)
            np.testing.assert_array_equal(q.zero_point, want.zero_point)
            assert q.shape == want.shape == x.shape and repr(q) == repr(want)
            assert not (q.data.flags.writeable or q.scale.flags.writeable)
            assert not q.zero_point.flags.writeable
    rows = [sample((4, 6)), sample((5, 64)), sample((6, 33))]  # pairs share a byte in some alone
    for q, x in zip(uf.quantize(tuple(rows), "int4", axis=1, block_size=8), rows, strict=True):
        np.testing.assert_array_equal(q.data, uf.quantize(x, "int4", axis=1, block_size=8).data)


def test_the_array_of_a_list_that_is_not_finite_is_named() -> None:
    arrays = [sample(5), sample(6), np.float32([1, np.nan])]
    with pytest.raises(ValueError, match=r"argument 'x\[2\]': expected finite"):
        uf.quantize(arrays)
    for bad in (np.nan, np.inf, -np.inf):
        x = sample((300, 400))
        x[-1, -1] = bad
        for how in ({}, {"axis": 0}, {"axis": 1}, {"axis": 1, "block_size": 32}):
            with pytest.raises(ValueError, match="argument 'x': expected finite"):
                uf.quantize(x, **how)  # type: ignore[call-overload]


@pytest.mark.parametrize("size", [1, 2, 100, 2049, 20_000, LONG])
def test_dynamic_is_range_then_codes(size: int) -> None:
    x = sample(size)
    for values in (x, -abs(x), x[::-1], np.repeat(x, 2)[::2], x.reshape(1, 1, -1)):
        with np.errstate(all="ignore"):
            ends = np.asarray(values.min()), np.asarray(values.max())
            scale, zero = choose_scale_onnx(*ends, 0, 255, False)
        got = uf.dynamic_quantize_linear(values)
        assert type(got.scale) is np.float32 and type(got.zero_point) is np.uint8
        assert (got.scale, got.zero_point) == (scale, zero)
        want = uf.quantize_linear(values, np.float32(scale), np.uint8(zero))
        np.testing.assert_array_equal(got.codes, want)
        out = np.empty_like(want)
        assert uf.dynamic_quantize_linear(values, out=out).codes is out
        np.testing.assert_array_equal(out, want)


def test_dynamic_writes_nothing_where_there_is_no_range() -> None:
    for size in (3, 5000, LONG):
        x, out = sample(size), np.full(size, 7, np.uint8)
        x[size // 2] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            uf.dynamic_quantize_linear(x, out=out)
        assert (out == 7).all()
    scale = uf.dynamic_quantize_linear(np.float32([1, np.inf])).scale
    assert scale == np.inf


def test_a_list_with_an_array_is_a_list_of_arrays() -> None:
    """Tensors of one shape were one array, and records were quantized again."""
    torch = pytest.importorskip("torch")
    tensors = [torch.ones(3, 4), torch.zeros(2), torch.ones(2, 2, dtype=torch.bfloat16)]
    got = uf.quantize(tensors)
    assert [q.shape for q in got] == [(3, 4), (2,), (2, 2)]


def test_what_is_no_array_in_a_list_is_named() -> None:
    x = sample((2, 3))
    with pytest.raises(TypeError, match=r"'x\[1\]'.*dequantize"):
        uf.quantize([x, uf.quantize(x)])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"'x\[1\]'"):
        uf.quantize([x, None])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"'x\[1\]'.*complex64"):
        uf.quantize([x, x.astype(np.complex64)])
    assert uf.quantize([x, [1.0, 2.0]])[1].shape == (2,)  # type: ignore[list-item]
    assert uf.quantize([np.float32(1), np.float32(2)]).shape == (2,)  # numbers


@pytest.mark.parametrize("block", [16, 32, 48, 128, 1024])
@pytest.mark.parametrize(
    "scheme", ["int8", "uint8", "int16", "int4", "float8_e4m3fn", "float8_e5m2"]
)
def test_blocks_of_full_tiles(block: int, scheme: str) -> None:
    """Full tiles of short rows read a row's scale where it is; others have it spread first."""
    rows, count = 37, 3072 // block
    x = sample((rows, block * count))
    scale = np.random.default_rng(1).uniform(0.01, 0.5, (rows, count)).astype(np.float32)
    whole = not scheme.startswith("float")
    zero = (
        np.random.default_rng(2)
        .integers(0, 7, (rows, count))
        .astype(np.int8 if scheme[0] == "i" else np.uint8)
    )
    zero = zero.astype(np.int16) if scheme == "int16" else zero
    zeros, how = (zero if whole else None), {"axis": 1, "dtype": scheme}
    each = np.repeat(scale, block, axis=1)
    each_zero = None if zeros is None else np.repeat(zeros, block, axis=1)
    codes = uf.quantize_linear(x, scale, zeros, block_size=block, **how)
    want = uf.quantize_linear(x, each, each_zero, block_size=1, **how)
    np.testing.assert_array_equal(codes.view(np.uint8), want.view(np.uint8))
    given = None if zeros is None else zeros.astype(codes.dtype)
    given_each = None if zeros is None else each_zero.astype(codes.dtype)
    np.testing.assert_array_equal(
        uf.dequantize_linear(codes, scale, given, axis=1, block_size=block),
        uf.dequantize_linear(codes, each, given_each, axis=1, block_size=1),
    )
    np.testing.assert_array_equal(
        uf.fake_quantize(x, scale, zeros, block_size=block, **how),
        uf.fake_quantize(x, each, each_zero, block_size=1, **how),
    )
    np.testing.assert_array_equal(
        uf.quantize_linear(x.astype(np.float16), scale, zeros, block_size=block, **how).view(
            np.uint8
        ),
        uf.quantize_linear(x.astype(np.float16), each, each_zero, block_size=1, **how).view(
            np.uint8
        ),
    )
    if scheme == "int4":
        q = uf.quantize(x, "int4", axis=1, block_size=block)
        np.testing.assert_array_equal(
            q.dequantize(),
            uf.dequantize_linear(q.codes(), q.scale, axis=1, block_size=block),
        )
