"""Numbers where conventions of quantization differ."""

from __future__ import annotations

import numpy as np

SIZES = (1, 2, 3, 7, 15, 16, 17, 31, 63, 64, 65, 127, 1001)

#: What libraries treat specially: signed zeros, NaN, infinities, denormal, tiny, ties, huge.
HOSTILE = np.float32(
    """0 -0 nan -nan inf -inf 1e-45 -1e-45 1e-38 -1e-38 0.5 1.5 2.5 -0.5 -1.5 1e9 -1e9 2147483520
    2147483648 -2147483648 5e9 -5e9 1e19 -1e19 3e38 -3e38""".split()
)


def near_ties(
    rng: np.random.Generator, scale: float, low: int, high: int, size: int, dtype: type = np.float32
) -> np.ndarray:
    """Numbers within two steps of where the quotient by `scale` is a tie, `low` to `high` codes."""
    codes = rng.integers(low - 2, high + 3, size)
    x = ((codes + 0.5) * np.float64(scale)).astype(dtype)
    integer = np.dtype(f"i{x.itemsize}")
    return (x.view(integer) + rng.integers(-2, 3, size).astype(integer)).view(dtype)


def near_tie_ranges(rng: np.random.Generator, steps: int, count: int = 2000) -> np.ndarray:
    """Ranges, (count, 2), whose lower end is near half a step away from a whole code."""
    below = rng.integers(0, steps, count) + 0.5
    scale = np.exp(rng.normal(0, 2, count))
    ends = np.stack([-below * scale, (steps - below) * scale], 1).astype(np.float32)
    return (ends.view(np.int32) + rng.integers(-2, 3, ends.shape).astype(np.int32)).view(np.float32)


def scale_and_zero(rng: np.random.Generator, low: int, high: int, odd: bool = True):
    """A random scale, float32, and an odd zero point (or 0) within the codes."""
    scale = np.float32(np.exp(rng.normal(-3, 2)))
    zero = min(int(rng.integers(low, high + 1)) | 1, high) if odd else 0
    return scale, zero


def assert_same_bits(got: np.ndarray, want: np.ndarray) -> None:
    """Like numpy.testing, but -0 is not 0; NaN equals NaN."""
    assert got.dtype == want.dtype, (got.dtype, want.dtype)
    np.testing.assert_array_equal(got, want)
    number = ~np.isnan(got)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))
