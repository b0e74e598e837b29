"""Low-precision floats in every rounding mode against gfloat."""

from __future__ import annotations

import numpy as np
import pytest

from ufuse.catalogue.floats import FLOAT_BY_NAME
from ufuse.quant.lowfloat import decode, encode

pytest.importorskip("gfloat")

NAMES = {
    "float16": "binary16",
    "bfloat16": "bfloat16",
    "float8_e4m3fn": "ocp_e4m3",
    "float8_e5m2": "ocp_e5m2",
    "float8_e8m0fnu": "ocp_e8m0",
    "float6_e2m3fn": "ocp_e2m3",
    "float6_e3m2fn": "ocp_e3m2",
    "float4_e2m1fn": "ocp_e2m1",
}
MODES = {
    "half_even": "TiesToEven",
    "half_away": "TiesToAway",
    "toward_zero": "TowardZero",
    "down": "TowardNegative",
    "up": "TowardPositive",
    "stochastic": "StochasticFastest",
}


def numbers(form, rng):
    """Values, middles and what is beside them, beyond the largest, and random ones, as float64."""
    values = decode(np.arange(form.largest + 1), form).astype(np.float64)
    middle = (values[1:] + values[:-1]) / 2
    x = np.concatenate([values, middle, form.maximum * np.array([1.01, 1.03, 1.06, 1.2, 1.6, 3])])
    x = np.concatenate([x, np.nextafter(x, np.inf), np.nextafter(x, 0), x * (1 + 2.0**-30)])
    x = np.concatenate([x, np.exp(rng.normal(0, 8, 5000)), [np.inf, 1e-300]])
    x = x[x != 0]
    return np.concatenate([x, -x, [0.0, -0.0]]) if form.signed else x


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rounding", MODES)
@pytest.mark.parametrize("saturate", [True, False])
def test_gfloat(name, rounding, saturate):
    import gfloat
    from gfloat import formats

    rng = np.random.default_rng(1)
    form = FLOAT_BY_NAME[name]
    info = getattr(formats, f"format_info_{NAMES[name]}")
    x = numbers(form, rng)
    if not form.has_zero:  # ml_dtypes has its own way there, and its ties go up
        x = x[x >= 2.0**-126]
        if rounding == "half_even":
            x = x[np.frexp(x)[0] != 0.75]
    if form.quiet_nan is None and not saturate:  # gfloat refuses what is too large
        x = x[np.abs(x) <= form.maximum]
    random = rng.integers(0, 1 << 32, x.shape, dtype=np.uint32)
    mode = getattr(gfloat.RoundMode, MODES[rounding])
    bits = {"srbits": random.astype(np.int64), "srnumbits": 32} if rounding == "stochastic" else {}
    want = gfloat.round_ndarray(info, x, mode, saturate, **bits)
    got = decode(encode(x, form, rounding, saturate, random), form).astype(np.float64)
    np.testing.assert_array_equal(got, want)
    number = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))
