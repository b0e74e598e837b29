"""What the tests of block formats share: values, layouts, and the twin in NumPy to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from ufuse import executors
from ufuse.formats import reference

Array = np.ndarray[Any, Any]

HOSTILE = np.float32(
    [
        *(0.0, -0.0, 1e-45, -1e-45, 1.1754942e-38, 1.1754944e-38, -1e-38, 1e-30, 0.1, -0.3),
        *(
            1.0,
            -1.0,
            1.9999999,
            2.0,
            2.0000002,
            5.9999995,
            6.0,
            6.5,
            7.5,
            28.0,
            447.9,
            448.0,
            449.0,
        ),
        *(57344.0, 1e10, -3e38, 3.4028235e38, np.inf, -np.inf, np.nan, -np.nan),
    ]
)


@contextmanager
def by_the_twin() -> Iterator[None]:
    """Run the functions of formats by their reference executor."""
    of = executors.of

    def executor(package: str) -> Any:
        return reference if package == "ufuse.formats" else of(package)

    with mock.patch.object(executors, "of", executor):
        yield


def hostile_rows(columns: int, seed: int = 0) -> Array:
    """Rows of numbers of one size, of ties and near ties, of zeros, and with the values above."""
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=(24, columns)) * 2.0 ** rng.integers(-100, 100, (24, 1))
    ties = rng.integers(-512, 513, (12, columns)) / 64 * 2.0 ** rng.integers(-9, 9, (12, 1))
    near = ties * (1 + 2.0**-23 * rng.integers(-2, 3, ties.shape))
    tiny = rng.normal(size=(8, columns)) * 2.0 ** rng.integers(-149, -118, (8, 1))
    large = rng.uniform(-1, 1, (2, columns)) * np.finfo(np.float32).max
    special = rng.normal(size=(HOSTILE.size, columns))
    special[np.arange(HOSTILE.size), rng.integers(0, columns, HOSTILE.size)] = HOSTILE
    zeros = np.zeros((2, columns))
    return np.concatenate([plain, ties, near, tiny, large, special, zeros]).astype(np.float32)


#: Ways for the same numbers to lie in memory.
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": lambda x: x,
    "transposed": np.asfortranarray,
    "every second": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
    "rows backwards": lambda x: x[::-1].copy()[::-1],
    "apart": lambda x: np.pad(x, [(0, 0)] * (x.ndim - 1) + [(1, 3)])[..., 1 : 1 + x.shape[-1]],
    "swapped bytes": lambda x: x.astype(">f4"),
    "unaligned": lambda x: (
        np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    ),
    "read-only": lambda x: np.broadcast_to(x, x.shape),
}


def same(a: Array, b: Array) -> None:
    """The same dtype, shape and bytes, but that NaN is NaN."""
    np.testing.assert_array_equal(a, b, strict=True)
    if a.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(a[a == 0]), np.signbit(b[b == 0]))
