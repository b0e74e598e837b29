"""float16, bfloat16 and float8 in fused functions: NumPy's and ml_dtypes' bits, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from ufuse import executors
from ufuse.executors.narrow import with_codes

pytestmark = pytest.mark.usefixtures("silent")

NAMES = ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz"]

FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda a, b: a + b,
    "several": lambda a, b: (a * b - a) * a + b,
    "quotient": lambda a, b: a / b,
    "root": lambda a, b: np.sqrt(np.abs(a)),
    "extremes": lambda a, b: np.minimum(np.maximum(a, b), -a),
    "comparison": lambda a, b: (a > b) & (a != 0),
    "where": lambda a, b: np.where(a > b, a, -b),
    "to float32": lambda a, b: a.astype(np.float32) + b.astype(np.float32),
    "to float64": lambda a, b: a.astype(np.float64) * 1.1,
    "from float64": lambda a, b: (a.astype(np.float64) * 1.1).astype(a.dtype),
    "from integers": lambda a, b: np.arange(50).astype(a.dtype) * a,
    "to integers": lambda a, b: np.where(np.isfinite(a), a, 1).astype(np.int32),
    "Python numbers": lambda a, b: a * 2 + 0.5,
    "exponential": lambda a, b: np.exp(a / 4),
    "rows": lambda a, b: a - a.max(1, keepdims=True),
    "several results": lambda a, b: (a + b, a, b.astype(np.float32)),
    "views": lambda a, b: a[1:, ::2] - b.T[: a.shape[0] - 1, : a.shape[1] // 2],
}


def arrays(name: str) -> tuple[np.ndarray, np.ndarray]:
    dtype = np.dtype(np.float16) if name == "float16" else ml_type(name)
    rng = np.random.default_rng(0)
    a, b = ((rng.standard_normal((40, 50)) * 3).astype(dtype) for _ in range(2))
    with np.errstate(over="ignore"):
        a[0, :6] = np.array([0, -0.0, np.nan, 1e-7, 1e30, -1e30]).astype(dtype)
    b[1, :2] = np.array([np.nan, 0]).astype(dtype)
    return a, b


def ml_type(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(pytest.importorskip("ml_dtypes"), name))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_bits(name: str, function: str) -> None:
    a, b = arrays(name)
    if function == "views":
        b = b[:, :40]
    f = FUNCTIONS[function]
    fused = uf.fuse(f)
    with np.errstate(all="ignore"):
        want = f(a, b)
    assert fused.explain(a, b).executor == executors.backend()
    for x, y in ((a, b), (np.asfortranarray(a), b)):
        got = fused(x, y)
        for one, other in zip(several(got), several(want), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one.astype(np.float64), other.astype(np.float64))


def several(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


def test_swapped_bytes_and_out() -> None:
    a, b = arrays("float16")
    with np.errstate(all="ignore"):
        want = a * b + a
    out = np.zeros(a.shape, ">f2")
    fused = uf.fuse(lambda a, b: a * b + a)
    assert fused(a.astype(">f2"), b, out=out) is out
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(fused(a[::-1], b[::-1])[::-1], want)


def test_reductions_are_of_float32() -> None:
    """numpy#15785: NumPy adds float16 in float16."""
    x = np.full((3, 5000), 0.1, np.float16)
    got = uf.fuse(lambda x: (x * x).sum(1))(x)
    np.testing.assert_array_equal(got, (x * x).astype(np.float64).sum(1).astype(np.float16))


def test_only_programs_with_narrow_floats_change() -> None:
    a, b = arrays("float16")
    assert with_codes(uf.fuse(lambda a, b: a + b).program(b, b)) is not None
    wide = a.astype(np.float32)
    assert with_codes(uf.fuse(lambda a, b: a + b).program(wide, wide)) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_choice_of_a_constant_beside_rows(name: str) -> None:
    # The constant was encoded by an instruction, and so a value of a row.
    a = arrays(name)[0][1:]

    def chosen(a: Any) -> Any:
        return np.where(a > 1, a, 0) - a.max(1, keepdims=True)

    np.testing.assert_array_equal(uf.fuse(chosen)(a), chosen(a))


@pytest.mark.parametrize("name", NAMES)
def test_values_of_rows_beside_full_ones(name: str) -> None:
    # What an argument of one value per row decodes to has to be spread.
    a, _ = arrays(name)
    a = a[2:]
    for rows in (a[:, :1], a[0, 0]):
        fused = uf.fuse(
            lambda a, r: ((a + r) * r - a.max(1, keepdims=True) * r, r + a.max(1)[:, None])
        )
        expected = (a + rows) * rows - a.max(1, keepdims=True) * rows, rows + a.max(1)[:, None]
        for got, wanted in zip(fused(a, rows), expected, strict=True):
            np.testing.assert_array_equal(got.astype(np.float32), wanted.astype(np.float32))
