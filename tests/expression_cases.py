"""What tests of expressions in strings share: Python's own evaluation of a text, and arrays."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ufuse.catalogue import OPERATIONS

KINDS = ["?", "i1", "u1", "i2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"]


def complex_(real: Any, imag: Any) -> Any:
    """Numbers of two parts, in the dtype that numbers of these dtypes and complex64 promote to."""
    if type(real) in (int, float) and type(imag) in (int, float):
        return complex(real, imag)
    result = np.zeros(np.broadcast(real, imag).shape, np.result_type(real, imag, np.complex64))
    result.real, result.imag = real, imag
    return result[()]


#: NumPy's functions, and for those that NumPy lacks their references, in float64.
FUNCTIONS: dict[str, Any] = {
    **{name: getattr(np, name) for name in dir(np) if callable(getattr(np, name))},
    **{row.name: row.reference for row in OPERATIONS if row.public},
    "complex": complex_,
}


def by_python(text: str, **names: Any) -> Any:
    """Have Python evaluate a text of this file's making, with NumPy's functions."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(eval(text, FUNCTIONS, names))[()]


def same(got: Any, expected: Any, *, rtol: float = 0.0) -> None:
    """Compare values, dtype, shape, and whether it is a scalar."""
    assert type(got) is type(expected)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    if rtol:
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol)
    else:
        np.testing.assert_array_equal(got, expected)


def numbers(code: str, seed: int = 0, shape: tuple[int, ...] = (3, 5)) -> np.ndarray[Any, Any]:
    """Return small numbers of a dtype, with a fraction and a sign where it has them."""
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 2 if code == "?" else 7, shape)
    kind = np.dtype(code).kind
    if kind in "if":
        array = array - 3
    if kind in "fc":
        array = array + rng.choice([0.0, 0.25, -1.5], shape)
    if kind == "c":
        array = array + 1j * rng.choice([0.0, 0.5, -2.0], shape)
    return array.astype(code)
