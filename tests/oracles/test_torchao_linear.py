"""Linear quantization against torchao's primitives."""

from __future__ import annotations

import numpy as np
import oracle_api as uf
import pytest
from near_ties import HOSTILE, SIZES, assert_same_bits, near_tie_ranges, near_ties, scale_and_zero

from float_forms import FLOAT_BY_NAME
from scale_rules import choose_scale

ml_dtypes = pytest.importorskip("ml_dtypes")
torch = pytest.importorskip("torch")
pytest.importorskip("torchao")

pytestmark = pytest.mark.filterwarnings("ignore")
FLOATS = ["float32", "float16", "bfloat16"]
CODES = ["int8", "uint8", "int16", "uint4", "uint2"]


@pytest.fixture(scope="module")
def primitives():
    from torchao.quantization import quant_primitives

    return quant_primitives


def own(name):
    return np.dtype(getattr(ml_dtypes, name, name))


def to_torch(x):
    return torch.from_numpy(np.asarray(x, np.float64)).to(getattr(torch, x.dtype.name))


def wide(x):
    return x.to(torch.float64).numpy()


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("step", FLOATS)
def test_quantize(primitives, name, dtype, step):
    """Each operation rounds to its dtype. (int16's largest code becomes 32768: stay below.)"""
    rng = np.random.default_rng(1)
    low, high = uf.limits(own(name))
    if name == "int16" and dtype == step != "float32":
        low, high = -10_000, 10_000
    for size in SIZES:
        scale, zero = scale_and_zero(rng, low, high)
        scale = np.float32([max(scale, 1e-3)]).astype(own(step))
        x = near_ties(rng, scale.astype(np.float64)[0], low - zero, high - zero, size)
        with np.errstate(over="ignore"):
            x = x.astype(own(dtype))
        x = np.where(np.isfinite(x), x, own(dtype).type(0))
        want = primitives.quantize_affine(
            to_torch(x), x.shape, to_torch(scale), torch.tensor([zero]), getattr(torch, name)
        )
        got = uf.quantize_linear(x, scale, zero, dtype=own(name), spec="torchao")
        np.testing.assert_array_equal(got.astype(np.int64), wide(want).astype(np.int64))


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize(
    "scale", [1.0, 0.37, 1e-40, 3e-39, 0.0, -0.0, -0.5, np.inf, -np.inf, np.nan]
)
@pytest.mark.parametrize("zero", [0, 3])
@pytest.mark.parametrize("repeat", [1, 64])
def test_hostile_numbers(primitives, name, scale, zero, repeat):
    """NaN gives code 0; in fake quantization it stays NaN."""
    x, scale = np.repeat(HOSTILE, repeat), np.float32([scale])
    tensors = (torch.from_numpy(x), x.shape, torch.from_numpy(scale), torch.tensor([zero]))
    want = primitives.quantize_affine(*tensors, getattr(torch, name)).numpy()
    got = uf.quantize_linear(x, scale, zero, dtype=own(name), spec="torchao")
    np.testing.assert_array_equal(got.astype(np.int64), want.astype(np.int64))
    if np.isfinite(scale) and scale > 0:  # else codes that NaN became meet 0 * inf
        want = primitives._fake_quantize_affine(*tensors, getattr(torch, name)).numpy()
        got = uf.fake_quantize(x, scale, zero, dtype=own(name), spec="torchao")
        reciprocal = np.isfinite(np.float32(1) / scale)
        assert_same_bits(got[reciprocal | (x != 0)], want[reciprocal | (x != 0)])


@pytest.mark.parametrize("name", ["int8", "uint8", "int16"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("step", FLOATS)
def test_dequantize(primitives, name, dtype, step):
    rng = np.random.default_rng(2)
    low, high = uf.limits(name)
    for size in SIZES:
        scale, zero = scale_and_zero(rng, low, high)
        scale = np.float32([scale]).astype(own(step))
        codes = rng.integers(low, high, size, endpoint=True).astype(name)
        want = primitives.dequantize_affine(
            torch.from_numpy(codes), codes.shape, to_torch(scale), torch.tensor([zero]),
            getattr(torch, name), output_dtype=getattr(torch, dtype),
        )  # fmt: skip
        got = uf.dequantize_linear(codes, scale, zero, dtype=own(dtype), spec="torchao")
        assert got.dtype == own(dtype)
        assert_same_bits(got.astype(np.float64), wide(want))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["int8", "uint8", "uint4"])
def test_fake_quantize(primitives, dtype, name):
    rng = np.random.default_rng(3)
    low, high = uf.limits(own(name))
    for size in SIZES:
        scale, zero = scale_and_zero(rng, low, high)
        scale = np.float32([scale]).astype(own(dtype))
        x = near_ties(rng, scale.astype(np.float64)[0], low - zero, high - zero, size)
        x = x.astype(own(dtype))
        tensors = (to_torch(x), x.shape, to_torch(scale), torch.tensor([zero]))
        want = primitives._fake_quantize_affine(*tensors, getattr(torch, name))
        got = uf.fake_quantize(x, scale, zero, dtype=own(name), spec="torchao")
        assert_same_bits(got.astype(np.float64), wide(want))


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "uint4"])
def test_choose_scale(primitives, symmetric, dtype, name):
    rng = np.random.default_rng(4)
    random = np.sort(rng.normal(0, 1, (300, 2)) * np.exp(rng.normal(0, 3, (300, 1))))
    hostile = [(0, 0), (1, 3), (-3, -1), (-1e-30, 1e-30), (-6e4, 6e4), (-1e-40, 0), (0, np.inf)]
    low, high = uf.limits(own(name))
    if dtype == "float32":
        hostile = np.concatenate([hostile, near_tie_ranges(rng, high - low)])
    elif name == "int16":  # whose largest code it rounds to 32768
        hostile, random = hostile[:2], np.abs(random)
    mapping = primitives.MappingType.SYMMETRIC if symmetric else primitives.MappingType.ASYMMETRIC
    ranges = np.sort(np.concatenate([random, hostile])).astype(own(dtype))
    scale, zero = primitives.choose_qparams_affine(
        to_torch(ranges), mapping, (1, 2), getattr(torch, name)
    )
    got = choose_scale(ranges[:, 0], ranges[:, 1], low, high, symmetric, "torchao")
    assert got[0].dtype == own(dtype)
    assert_same_bits(got[0].astype(np.float64), wide(scale))
    np.testing.assert_array_equal(got[1], zero.numpy())


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_float8(primitives, name):
    """A true division, clamped to the largest finite number."""
    rng = np.random.default_rng(5)
    largest = FLOAT_BY_NAME[name].maximum
    for size in SIZES:
        x = rng.normal(0, 1, size).astype(np.float32)
        x = np.concatenate([x, HOSTILE[np.abs(HOSTILE) < 1e30], np.float32([np.nan, np.inf])])
        finite = torch.from_numpy(x[np.isfinite(x)][:size])
        scale = primitives._choose_scale_float8(finite, [size], getattr(torch, name)).numpy()
        assert scale == np.abs(x[:size]).max() / np.float32(largest)
        want = primitives._quantize_affine_float8(
            torch.from_numpy(x), torch.from_numpy(scale), getattr(torch, name)
        )
        got = uf.quantize_linear(x, scale, dtype=own(name), spec="torchao")
        np.testing.assert_array_equal(got.astype(np.float32), want.float().numpy())
        number = ~np.isnan(x)
        np.testing.assert_array_equal(
            got.view(np.uint8)[number], want.view(torch.uint8).numpy()[number]
        )
