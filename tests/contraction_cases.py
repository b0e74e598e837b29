"""What tests of contractions share: dtypes, operands of exact numbers, exact results, layouts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np

from conftest import NATIVE

Array = np.ndarray[Any, Any]

INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
FLOAT8 = [
    "float8_e4m3fn",
    "float8_e5m2",
    "float8_e4m3fnuz",
    "float8_e5m2fnuz",
    "float8_e4m3b11fnuz",
]
NARROW = ["float16", "bfloat16", *FLOAT8]
FLOATS = ["float32", "float64"]
COMPLEX = ["complex64", "complex128"]
DTYPES = ["bool", *INTEGERS, *NARROW, *FLOATS, *COMPLEX]


def dtype_of(name: str) -> np.dtype[Any]:
    """Return the dtype of a name, ml_dtypes' names too."""
    return np.dtype(getattr(ml_dtypes, name, name))


def small(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Array:
    """Draw small integers, which every order of summation adds exactly."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.2
    low = 0 if dtype.kind == "u" else -3
    found = rng.integers(low, 4, shape)
    if dtype.kind == "c":
        return (found + 1j * rng.integers(-3, 4, shape)).astype(dtype)
    return found.astype(dtype)


def wide(x: Array) -> Array:
    """Return numbers in a dtype that holds sums of them exactly, and that BLAS multiplies."""
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def result_of(sums: Array, dtype: Any) -> Array:
    """Return exact sums in a dtype: integers wrap around, narrow floats are rounded once."""
    dtype = np.dtype(dtype)
    with np.errstate(all="ignore"):
        if dtype.kind == "b":
            return sums != 0
        if dtype.kind in "iu":
            return sums.astype(np.int64).astype(dtype)
        if dtype.kind in "c" or dtype in (np.float32, np.float64):
            return sums.astype(dtype)
        return sums.astype(np.float32).astype(dtype)


def product(a: Array, b: Array, dtype: Any = None) -> Array:
    """Return the exact matrix product in the dtype of the operands, or in that given."""
    return result_of(wide(a) @ wide(b), np.result_type(a, b) if dtype is None else dtype)


def same(got: Array, want: Array, message: str = "") -> None:
    """Compare numbers and dtypes; dtypes of ml_dtypes by their bytes."""
    assert got.dtype == want.dtype, (got.dtype, want.dtype, message)
    assert got.shape == want.shape, (got.shape, want.shape, message)
    if got.dtype.kind == "V" or got.dtype.num >= 256:
        got, want = got.astype(np.float32), want.astype(np.float32)
    np.testing.assert_array_equal(got, want, err_msg=message)


def spread(x: Array) -> Array:
    """Return the same numbers at distances of 2 and 3 elements, backwards."""
    shape = [3 * n if i == x.ndim - 1 else 2 * n for i, n in enumerate(x.shape)]
    room = np.zeros(shape, x.dtype)
    view = room[tuple(slice(None, None, 3 if i == x.ndim - 1 else 2) for i in range(x.ndim))]
    view = view[tuple(slice(None, None, -1) for _ in x.shape)]
    view[...] = x
    return view


def kernels() -> dict[str, dict[str, Any]]:
    """Return block sizes and micro-kernels of the tier in use, by code of the elements."""
    from ufuse import _core

    return _core.contraction_kernels()


def block_sizes(code: str) -> Iterator[tuple[int, int, int]]:
    """Yield (m, n, k) around every block of the tier in use, one less and one more."""
    if not NATIVE:
        yield from ((1, 1, 1), (4, 5, 6), (33, 17, 65), (0, 2, 3), (2, 0, 3), (2, 3, 0))
        return
    e = kernels()[code]
    mr, nr, lanes, group = e["mr"], e["nr"], e["lanes"], e["group"]
    for m in (1, 2, mr - 1, mr, mr + 1, 2 * mr + 1):
        yield m, nr + 1, 2 * group + 1
    for n in (1, 3, lanes - 1, lanes, lanes + 1, nr - 1, nr, nr + 1, 4 * nr + 1):
        yield mr + 1, max(n, 1), group + 1
    for k in (1, group - 1, group, group + 1, 15, 16, 17, 63, 64, 65):
        yield 3, lanes + 1, max(k, 0)
    for k in (e["kc"] - 1, e["kc"], e["kc"] + 1, 2 * e["kc"] + 1):
        yield mr + 1, lanes + 1, k
    mc = e["mc"] // mr * mr
    for m in (mc - 1, mc, mc + 1, 2 * mc - 1, 2 * mc, 2 * mc + 1):  # the L2 decides between the two
        yield m, nr + 1, group + 2
    nc = e["nc"] // nr * nr
    for n in (nc - 1, nc, nc + 1):
        yield mr + 1, n, group + 1
    # B packed by all threads together: more rows than a block; strips of columns; blocks of k.
    yield 2 * mc + mr + 1, nc + 1, 3
    yield 2 * mc + 1, nr + 1, e["kc"] + 1
    yield 2 * mc + 1, 5 * nr - 1, 2 * e["kc"] + 5
    yield from ((0, 2, 3), (2, 0, 3), (2, 3, 0))
