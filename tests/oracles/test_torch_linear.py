"""Linear quantization against torch: quantized tensors, fake quantization, observers."""

from __future__ import annotations

import numpy as np
import oracle_api as uf
import pytest
from near_ties import HOSTILE, SIZES, assert_same_bits, near_tie_ranges, near_ties, scale_and_zero

from scale_rules import choose_scale

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")  # torch deprecates quantized tensors
#: PyTorch 2.15 adds the zero point of quantized tensors after rounding, 2.13 before.
ROUNDS_FIRST = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 15)
SPEC = "torch-2.15" if ROUNDS_FIRST else "torch"
CODES = {"int8": torch.qint8, "uint8": torch.quint8}
SCALES = [1.0, 0.37, 1e-40, 3e-39, 1e-45, 3e38, 0.0, -0.0, -0.5, np.inf, -np.inf, np.nan]


@pytest.fixture(autouse=True)
def on_x86():
    """The codes of quantized tensors are fbgemm's; qnnpack's, on ARM, differ."""
    if torch.backends.quantized.engine not in ("x86", "fbgemm", "onednn"):
        pytest.skip(f"quantized tensors by {torch.backends.quantized.engine}")


def torch_per_tensor(x, scale, zero, name):
    tensor = torch.quantize_per_tensor(torch.from_numpy(x), float(scale), int(zero), CODES[name])
    return tensor.int_repr().numpy()


def torch_per_channel(x, scale, zero, axis, name):
    scale, zero = torch.from_numpy(scale), torch.from_numpy(zero)
    tensor = torch.quantize_per_channel(torch.from_numpy(x), scale, zero, axis, CODES[name])
    return tensor.int_repr().numpy()


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("odd", [False, True])
def test_per_tensor(name, odd):
    """A fused multiply-add with the reciprocal; from 2.15 on a product, rounded before it."""
    rng = np.random.default_rng(1)
    low, high = uf.limits(name)
    for size in SIZES * 4:
        scale, zero = scale_and_zero(rng, low, high, odd)
        x = near_ties(rng, scale, low - zero, high - zero, size)
        got = uf.quantize_linear(x, scale, zero, dtype=name, spec=SPEC)
        np.testing.assert_array_equal(got, torch_per_tensor(x, scale, zero, name))


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("axis", [0, 1])
def test_per_channel(name, axis):
    """Product and sum round separately."""
    rng = np.random.default_rng(2)
    low, high = uf.limits(name)
    for size in SIZES * 4:
        scale = np.exp(rng.normal(-3, 2, 3)).astype(np.float32).astype(np.float64)
        zero = rng.integers(low, high, 3, endpoint=True)
        rows = [
            near_ties(rng, s, low - z, high - z, size) for s, z in zip(scale, zero, strict=True)
        ]
        x = np.ascontiguousarray(np.stack(rows, axis))
        got = uf.quantize_linear(x, scale, zero, axis=axis, dtype=name, spec=SPEC)
        np.testing.assert_array_equal(got, torch_per_channel(x, scale, zero, axis, name))


def test_the_reciprocal_is_not_division():
    scale, x = np.float32(0.00214854861), np.float32([0.273939937])
    got = uf.quantize_linear(x, scale, dtype="uint8", spec=SPEC)
    assert got == torch_per_tensor(x, scale, 0, "uint8") == [128]
    assert uf.quantize_linear(x, scale, dtype="uint8") == [127]


def test_zero_point_is_added_before_rounding():
    """But not in fake quantization, nor from 2.15 on."""
    x = np.float32([0.5, 1.5, -0.5])
    for got in (
        uf.quantize_linear(x, 1.0, 3, dtype="int8", spec=SPEC),
        torch_per_tensor(x, 1, 3, "int8"),
    ):
        np.testing.assert_array_equal(got, [3, 5, 3] if ROUNDS_FIRST else [4, 4, 2])
    for got in (
        uf.fake_quantize(x, np.float32(1), 3, dtype="int8", spec=SPEC),
        torch.fake_quantize_per_tensor_affine(torch.from_numpy(x), 1.0, 3, -128, 127).numpy(),
    ):
        np.testing.assert_array_equal(got, [0, 2, 0])


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("zero", [0, 3])
@pytest.mark.parametrize("repeat", [1, 64])
def test_hostile_numbers(name, scale, zero, repeat):
    """NaN gives the largest code per tensor, code 0 per channel."""
    scale = np.float32(scale)
    x = np.repeat(HOSTILE, repeat)
    got = uf.quantize_linear(x, scale, zero, dtype=name, spec=SPEC)
    np.testing.assert_array_equal(got, torch_per_tensor(x, scale, zero, name))
    scale, zero = np.float64([scale, scale]), np.array([zero, zero])
    got = uf.quantize_linear(np.stack([x, x]), scale, zero, axis=0, dtype=name, spec=SPEC)
    np.testing.assert_array_equal(got, torch_per_channel(np.stack([x, x]), scale, zero, 0, name))


def torch_fake(x, scale, zero, low, high, per_channel):
    if not per_channel:
        y = torch.fake_quantize_per_tensor_affine(x, float(scale), int(zero), low, high)
        return y
    scale = torch.tensor([float(scale)], dtype=torch.float32)
    zero = torch.tensor([int(zero)], dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(x[None], scale, zero, 0, low, high)[0]


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("limit", [(-128, 127), (0, 255), (-8, 7), (0, 15)])
def test_fake_quantize(per_channel, dtype, limit):
    """The zero point goes in after rounding."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(3)
    own = np.dtype(getattr(ml_dtypes, dtype, dtype))
    low, high = limit
    for size in SIZES:
        scale, zero = scale_and_zero(rng, low, high)
        wide = np.float32
        x = near_ties(rng, scale, low - zero, high - zero, size, wide).astype(own)
        tensor = torch.from_numpy(x.astype(np.float64)).to(getattr(torch, dtype))
        want = torch_fake(tensor, scale, zero, low, high, per_channel).double().numpy()
        where = {"axis": 0} if per_channel else {}
        step = np.float32([scale]) if per_channel else scale
        got = uf.fake_quantize(x, step, zero, **where, limit=limit, spec=SPEC)
        assert got.dtype == own
        assert_same_bits(got.astype(np.float64), want)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("zero", [0, 3])
@pytest.mark.parametrize("repeat", [1, 64])
def test_fake_quantize_hostile_numbers(scale, zero, repeat):
    """NaN gives what the smallest code stands for."""
    x, scale = np.repeat(HOSTILE, repeat), np.float32(scale)
    want = torch_fake(torch.from_numpy(x), scale, zero, -128, 127, False).numpy()
    got = uf.fake_quantize(x, scale, zero, dtype="int8", spec=SPEC)
    assert_same_bits(got, want)
    # beyond int64, per channel, torch converts what C++ leaves undefined
    with np.errstate(all="ignore"):
        defined = ~(np.abs(x * (np.float32(1) / scale)) >= 2.0**63)
    want = torch_fake(torch.from_numpy(x), scale, zero, -128, 127, True).numpy()
    got = uf.fake_quantize(x, np.float32([scale]), zero, axis=0, dtype="int8", spec=SPEC)
    assert_same_bits(got[defined], want[defined])


@pytest.mark.parametrize("name", CODES)
def test_dequantize(name):
    rng = np.random.default_rng(4)
    low, high = uf.limits(name)
    for size in SIZES:
        scale, zero = scale_and_zero(rng, low, high)
        for step in np.float32([scale, 1e-40, 0.0, 1e38, np.inf]):
            codes = rng.integers(low, high, size, endpoint=True).astype(name)
            tensor = torch._make_per_tensor_quantized_tensor(
                torch.from_numpy(codes), float(step), zero
            )
            got = uf.dequantize_linear(codes, step, np.asarray(zero), spec=SPEC)
            assert_same_bits(got, tensor.dequantize().numpy())


RANGES = [(0, 0), (0, 3), (-2, 0), (1, 3), (-3, -1), (-1e-9, 1e-9), (-3e38, 3e38), (-1, 1e-30)]


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("name", ["qint8", "quint8", "int16", "uint16"])
def test_choose_scale(symmetric, name):
    from torch.ao.quantization.observer import MinMaxObserver

    rng = np.random.default_rng(5)
    random = np.sort(rng.normal(0, 1, (300, 2)) * np.exp(rng.normal(0, 5, (300, 1))))
    scheme = torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
    observer = MinMaxObserver(dtype=getattr(torch, name), qscheme=scheme)
    low, high = uf.limits(name.lstrip("q"))
    ties = near_tie_ranges(rng, high - low)
    start, end = np.concatenate([RANGES, random, ties]).astype(np.float32).T.copy()
    scale, zero = observer._calculate_qparams(torch.from_numpy(start), torch.from_numpy(end))
    got = choose_scale(start, end, low, high, symmetric, "torch")
    assert_same_bits(got[0], scale.numpy())
    np.testing.assert_array_equal(got[1], zero.numpy())
