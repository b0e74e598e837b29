"""The conventions of linear quantization, by their formulas; with the libraries in `oracles`."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from scale_rules import choose_scale
from ufuse.catalogue.conventions import (
    SPECS,
    dequantize,
    fake_quantize,
    fused_multiply_add,
    half_away,
    multiply_by_quantized_multiplier,
    quantize,
    quantize_onnx,
    quantized_multiplier,
    requantize,
)

F = np.float32
AWAY = {"rounding": "half_away"}
specs = pytest.mark.parametrize("spec", SPECS)


def array(value, dtype=np.float32):
    return np.asarray(value, dtype)


def codes_of(x, scale, zero, spec, low=-128, high=127, **how):
    x = x if isinstance(x, np.ndarray) else array(x)
    return quantize(x, array(scale), array(zero, np.int64), low, high, spec, **how).tolist()


@pytest.mark.parametrize(
    ("spec", "how", "code"),
    [
        ("onnx", {}, 127),
        ("torch", {}, 128),
        ("torch", {"per_axis": True}, 128),
        ("torch-2.15", {}, 128),
        ("torch-2.15", {"per_axis": True}, 128),
        ("torchao", {}, 128),
        ("litert", {}, 127),
        ("litert", AWAY, 127),
    ],
)
def test_division_and_reciprocal(spec, how, code):
    """0.273939937 / 0.00214854861 is just below 127.5 by division, and 127.5 by the reciprocal."""
    assert codes_of([0.273939937], 0.00214854861, 0, spec, 0, 255, **how) == [code]


@pytest.mark.parametrize(
    ("spec", "how", "codes"),
    [
        ("onnx", {}, [3, 5, 3, 1]),
        ("torch", {}, [4, 4, 2, 2]),
        ("torch", {"per_axis": True}, [4, 4, 2, 2]),
        ("torch-2.15", {}, [3, 5, 3, 1]),
        ("torch-2.15", {"per_axis": True}, [3, 5, 3, 1]),
        ("torchao", {}, [3, 5, 3, 1]),
        ("litert", {}, [4, 4, 2, 2]),
        ("litert", AWAY, [4, 5, 2, 1]),
    ],
)
def test_ties_with_an_odd_zero_point(spec, how, codes):
    assert codes_of([0.5, 1.5, -0.5, -1.5], 1, 3, spec, **how) == codes


@pytest.mark.parametrize(
    ("spec", "how", "nan"),
    [
        ("onnx", {}, -128),
        ("torch", {}, 127),
        ("torch", {"per_axis": True}, 0),
        ("torch-2.15", {}, 127),
        ("torch-2.15", {"per_axis": True}, 0),
        ("torchao", {}, 0),
        ("litert", {}, 0),
        ("litert", AWAY, -128),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("zero", [0, 3])
def test_what_is_not_a_number_or_too_large(spec, how, nan, dtype, zero):
    x = np.array([np.nan, np.inf, -np.inf, 6e4, -6e4], dtype)
    assert codes_of(x, 1, zero, spec, **how) == [nan, 127, -128, 127, -128]
    if dtype != np.float16:
        x = np.array([3e9, -3e9, 1e30, -1e30], dtype)
        assert codes_of(x, 1, zero, spec, **how) == [127, -128, 127, -128]


@specs
def test_zero_and_denormal_scales(spec):
    assert codes_of([1, -1], 0, 0, spec) == [127, -128]
    assert codes_of([1.5e-38, -1e-38], 1e-40, 0, spec) == [127, -100] or "torch" in spec
    assert codes_of([1.5e-38, -1e-38], 3e-39, 0, spec) == [5, -3]


@specs
@pytest.mark.parametrize(("low", "high"), [(0, 3), (-2, 1), (0, 15), (-8, 7), (0, 65535)])
def test_every_code_is_reached(spec, low, high):
    codes = np.arange(low, high + 1)
    zero = array((low + high) // 2, np.int64)
    x = dequantize(codes, array(0.25), zero, spec)
    np.testing.assert_array_equal(quantize(x, array(0.25), zero, low, high, spec), codes)
    np.testing.assert_array_equal(fake_quantize(x, array(0.25), zero, low, high, spec), x)
    assert quantize(x, array(0.25), zero, low, high, spec).dtype == np.int32


def test_precision_of_the_quotient():
    """float16 divides in float32, unless asked for ONNX's reading."""
    x, scale, zero = array([8.81], np.float16), array(0.0371, np.float16), array(0)
    exact = float(x[0]) / float(scale)
    assert abs(exact - 237.4) < 0.2
    assert quantize_onnx(x, scale, zero, 0, 255) == round(exact)
    x = array([8.77], np.float16)
    for precision, quotient in ((None, x.astype(F) / scale.astype(F)), (np.float16, x / scale)):
        assert quantize_onnx(x, scale, zero, 0, 255, precision) == np.rint(quotient.astype(F))


def test_dequantize_rounds_the_product_once():
    codes = np.arange(-32768, 32768)
    scale, zero = array(0.0371), array(-77, np.int64)
    exact = (codes + 77) * np.float64(scale)
    np.testing.assert_array_equal(dequantize(codes, scale, zero), exact.astype(F))
    half = dequantize(codes, scale.astype(np.float16), zero)
    assert half.dtype == np.float16
    wide = dequantize(codes, scale.astype(np.float16), zero, dtype=F)
    np.testing.assert_array_equal(half, wide.astype(np.float16))
    assert dequantize(codes, np.float64(scale), zero).dtype == np.float64


@specs
def test_fake_quantization_keeps_the_dtype_and_has_no_negative_zero(spec):
    for dtype in (np.float16, np.float32, np.float64):
        x = np.array([-0.2, 0.2, 1.6], dtype)
        got = fake_quantize(x, array(0.5), array(3, np.int64), -128, 127, spec)
        assert got.dtype == dtype and got.tolist() == [0, 0, 1.5]
        assert not np.signbit(got[0])


def test_fused_multiply_add_rounds_once():
    """Against fractions, where float64 would round twice, too."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, (2, 3000)).astype(F)
    c = rng.integers(-300, 300, 3000).astype(F)
    half = 2.0**-25  # 1 + 2**-24 is a tie of float32; the product decides, far below float64's ulp
    a = np.concatenate([a, F([half, half, -half])])
    b = np.concatenate([b, F([2 + 2**-22, 2, 2 - 2**-22])])
    c = np.concatenate([c, F([1, 1, 1])])
    got = fused_multiply_add(a, b, c)
    for x, y, z, value in zip(a, b, c, got, strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        error = abs(Fraction(float(value)) - exact)
        for other in (np.nextafter(value, F(np.inf)), np.nextafter(value, F(-np.inf))):
            distance = abs(Fraction(float(other)) - exact)
            assert error < distance or (error == distance and value.view(np.int32) % 2 == 0)
    assert (got != a * b + c).any()


def test_half_away():
    x = F([0.5, -0.5, 1.5, 2.5, 0.49999997, -0.49999997, 8388609, 1e30])
    assert half_away(x).tolist() == [1, -1, 2, 3, 0, 0, 8388609, float(F(1e30))]
    with np.errstate(invalid="ignore"):
        assert np.isnan(half_away(F([np.nan]))) and half_away(F([np.inf])) == np.inf


def test_quantized_multiplier():
    factors = np.array([1.0, 0.5, 0.75, 1 / 3, 3.7, 1e-5, 1 - 2.0**-40, 2.0**-33, 0.0])
    multiplier, shift = quantized_multiplier(factors)
    assert multiplier[0] == 2**30 and shift[0] == 1
    assert multiplier[6] == 2**30 and shift[6] == 1  # rounds up to 1
    assert not multiplier[7:].any() and not shift[7:].any()
    got = multiplier[:6] * 2.0 ** (shift[:6] - 31)
    np.testing.assert_allclose(got, factors[:6], rtol=2.0**-31)


def test_multiply_by_quantized_multiplier_is_near_the_product():
    rng = np.random.default_rng(2)
    values = rng.integers(-(2**31), 2**31, 5000)
    for factor in np.exp(rng.uniform(-15, 0, 50)):
        multiplier, shift = quantized_multiplier(np.asarray(factor))
        got = multiply_by_quantized_multiplier(values, multiplier, shift)
        assert np.abs(got - values * factor).max() <= 1.0
    # twice rounded: 0.25 becomes half of 1, that 1
    got = multiply_by_quantized_multiplier(
        np.array([1, 2, -2, 3, -1]), *quantized_multiplier(np.asarray(0.25))
    )
    assert got.tolist() == [1, 1, -1, 1, 0]


@pytest.mark.parametrize("spec", ["onnx", "litert"])
def test_requantize(spec):
    scales = array(0.5), array(0, np.int64), array(2.0), array(10, np.int64)
    got = requantize(np.array([4, 6, 8, -4, -600, 10**6]), *scales, -128, 127, spec)
    assert got.tolist() == [11, 12, 12, 9, -128, 127]


@specs
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("qmin", "qmax"), [(-128, 127), (0, 255), (-8, 7), (0, 65535)])
def test_chosen_scales_cover_the_range(spec, symmetric, qmin, qmax):
    rng = np.random.default_rng(3)
    low, high = np.sort(rng.normal(0, 1, (2, 500)) * np.exp(rng.normal(0, 2, 500)), 0).astype(F)
    scale, zero = choose_scale(low, high, qmin, qmax, symmetric, spec)
    assert scale.dtype == F and zero.dtype == np.int32 and scale.shape == zero.shape == (500,)
    assert (zero >= qmin).all() and (zero <= qmax).all()
    if symmetric:
        assert (zero == zero[0]).all()
    start, end = (qmin - zero) * np.float64(scale), (qmax - zero) * np.float64(scale)
    assert (start <= low + scale).all() and (end >= high - scale).all()
