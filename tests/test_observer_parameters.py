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
