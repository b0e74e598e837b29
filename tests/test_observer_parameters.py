"""Scales and zero points of what observers have seen."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from observer_cases import MAKERS, every
from ufuse.observers import MinMax
from ufuse.quant.codes import BY_NAME, CODE_TYPES


@pytest.mark.parametrize("dtype", [row.name for row in CODE_TYPES if not row.is_float])
def test_parameters_are_those_of_the_formula(dtype: str) -> None:
    least, most, stored = BY_NAME[dtype].low, BY_NAME[dtype].high, BY_NAME[dtype].dtype
    x = np.float32([-1.5, 4.25])
    scale, zero = MinMax().update(x).scale_zero_point(dtype, symmetric=False)
    assert scale == np.float32(5.75) / np.float32(most - least)
    assert zero == np.clip(np.rint(least + np.float32(1.5) / scale), least, most)
    assert (scale.dtype, zero.dtype, scale.shape) == (np.float32, stored, ())
    if least < 0:
        scale, zero = MinMax().update(x).scale_zero_point(dtype)
        assert (float(scale), int(zero)) == (np.float32(4.25) / np.float32(most), 0)
        assert zero.dtype == stored


@every
@pytest.mark.parametrize("dtype", [row.name for row in CODE_TYPES if row.is_float])
def test_floats_have_scales_of_their_largest(name: str, dtype: str) -> None:
    x = np.float32([[-1.5, 0.5], [4.25, 0.0]])
    observer = MAKERS[name](axis=0).update(x)
    if name == "Entropy":
        match = rf"Entropy.scale_zero_point: argument 'dtype': expected integer codes.* got {dtype}"
        with pytest.raises(TypeError, match=match):
            observer.scale_zero_point(dtype)
        with pytest.raises(TypeError, match="take MSE or Percentile"):
            observer.clip_range(getattr(ml_dtypes, dtype))
        return
    scale, zero = observer.scale_zero_point(dtype)
    low, high = observer.clip_range(dtype)
    largest = np.float32(ml_dtypes.finfo(dtype).max)
    np.testing.assert_array_equal(scale, np.maximum(-low, high) / largest)
    assert zero.dtype == getattr(ml_dtypes, dtype)
    np.testing.assert_array_equal(zero.astype(np.float32), [0, 0])
    if name in ("MinMax", "MovingAverage"):
        np.testing.assert_array_equal(scale, np.float32([1.5, 4.25]) / largest)
    elif name == "Percentile":
        np.testing.assert_allclose(scale, np.float32([1.5, 4.25]) / largest, 1e-3)
    for error in (observer.scale_zero_point(np.dtype(dtype)), observer.scale_zero_point(dtype)):
        np.testing.assert_array_equal(error.scale, scale)
    with pytest.raises(ValueError, match=rf"'symmetric': {dtype} codes are symmetric, got False"):
        observer.scale_zero_point(dtype, symmetric=False)


def test_the_range_holds_zero() -> None:
    scale, zero = MinMax().update([3.0, 5.1]).scale_zero_point("uint8")
    assert (float(scale), int(zero)) == (pytest.approx(0.02), 0)
    scale, zero = MinMax().update([-5.1, -3.0]).scale_zero_point("uint8")
    assert (float(scale), int(zero)) == (pytest.approx(0.02), 255)


@pytest.mark.parametrize("extreme", [1e-45, 1e-40, 3.4e38])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_scales_are_positive_and_finite(extreme: float, dtype: str) -> None:
    observer = MinMax().update(np.float32([-extreme, extreme]))
    for symmetric in (True, False) if dtype != "uint8" else (False,):
        scale, _ = observer.scale_zero_point(dtype, symmetric=symmetric)
        assert 0 < scale < np.inf


@every
def test_of_zeros_the_scale_is_one(name: str) -> None:
    observer = MAKERS[name]().update(np.zeros(10, np.float32)).update(np.float32([-0.0]))
    for dtype in ("int8", "uint8"):
        scale, zero = observer.scale_zero_point(dtype)
        assert (scale, zero) == (1, 0)


def test_dtypes_of_ml_dtypes_are_kept() -> None:
    zero = MinMax().update([0, 3.0]).scale_zero_point(ml_dtypes.int4, symmetric=False).zero_point
    assert zero.dtype == ml_dtypes.int4
    assert int(zero) == -8


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"dtype": "int9"}, TypeError, "argument 'dtype': expected one of int8 .* got 'int9'"),
        ({"dtype": np.float32}, TypeError, "argument 'dtype': expected one of"),
        ({"dtype": "uint8", "symmetric": True}, ValueError, "uint8 has no negative .*dtype='int8'"),
        ({"symmetric": 2}, TypeError, "'symmetric': expected a bool or None"),
    ],
)
def test_kinds_are_checked(arguments: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        MinMax().update([1.0]).scale_zero_point(**arguments)
