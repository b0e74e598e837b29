"""The K-quants of `uf.formats.gguf` against ggml: the library that ctransformers 0.2.27 ships.

Its build for plain x86-64 ("basic") is the oracle; the one for AVX agrees with it. The AVX2 build
contracts products and sums into fused multiply-adds, and makes other bytes of many blocks: of
normal values 25 % in Q2_K, 30 % in Q5_K, 6 % in Q4_K, 2 % in Q6_K, 0.05 % in Q3_K.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ufuse.formats import gguf
from ufuse.formats.blocks import layout_of

KINDS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
Values = NDArray[np.float32]

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*the float16 scales of:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.* NaN or infinite in float32:RuntimeWarning"),
]


class _Memory(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("buffer", ctypes.c_void_p),
        ("no_allocation", ctypes.c_bool),
    ]


@pytest.fixture(scope="module")
def ggml() -> Callable[[Values, str], NDArray[np.uint8]]:
    """Return the encoder of ggml: blocks (n, 256) and a kind to bytes (n, bytes of a block)."""
    found = importlib.util.find_spec("ctransformers")  # not imported: it asks for huggingface_hub
    if found is None or found.origin is None:
        pytest.skip("needs ctransformers 0.2.27")
    path = Path(found.origin).parent / "lib" / "basic" / "libctransformers.so"
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        pytest.skip(f"ctransformers has no library for this machine: {error}")
    library.ggml_init.argtypes = [_Memory]
    library.ggml_init.restype = ctypes.c_void_p
    library.ggml_init(_Memory(1 << 20, None, False))  # float16 tables

    def encode(x: Values, kind: str) -> NDArray[np.uint8]:
        x = np.ascontiguousarray(x, np.float32)
        codes = np.empty((len(x), layout_of(kind).nbytes), np.uint8)
        function: Any = getattr(library, f"quantize_row_{kind.lower().replace('k', 'K')}_reference")
        function.restype = None
        pointer = ctypes.c_void_p
        function(pointer(x.ctypes.data), pointer(codes.ctypes.data), ctypes.c_int(x.size))
        return codes

    return encode


@functools.cache
def _cases() -> dict[str, Values]:
    rng = np.random.default_rng(2024)
    n = 500

    def normal(spread: float = 1) -> Values:
        return (rng.standard_normal((n, 256)) * spread).astype(np.float32)

    def powers(low: float, high: float, groups: int) -> Values:
        parts = rng.standard_normal((n, groups, 256 // groups))
        scaled = parts * 10.0 ** rng.uniform(low, high, (n, groups, 1))
        return scaled.reshape(n, 256).astype(np.float32)

    sparse, nan, inf = normal(), normal(), normal()
    sparse[rng.random(sparse.shape) < 0.9] = 0
    nan[rng.random(nan.shape) < 0.01] = np.nan
    inf[rng.random(inf.shape) < 0.01] = np.inf
    inf[rng.random(inf.shape) < 0.01] = -np.inf
    runs = np.repeat(rng.standard_normal((n, 16)).astype(np.float32), 16, axis=1)
    return {
        "normal": normal(),
        "weights": normal(0.02),
        "uniform": rng.random((n, 256), dtype=np.float32),
        "laplace": rng.laplace(size=(n, 256)).astype(np.float32),
        "negative": -np.abs(normal()),
        "shifted": normal() + rng.uniform(-50, 50, (n, 1)).astype(np.float32),
        "narrow": (rng.uniform(-3e4, 3e4, (n, 1)) + normal(1e-2)).astype(np.float32),
        "integers": rng.integers(-8, 8, (n, 256)).astype(np.float32),
        "powers of ten": powers(-6, 4, 1),
        "parts of many sizes": powers(-4, 4, 16),
        "float16 scales overflow": powers(5, 9, 16),
        "sparse": sparse,
        "runs": runs,
        "runs, negative": -np.abs(runs),
        "alternating": np.abs(runs) * np.tile(np.float32([1, -1]), 128),
        "NaN": nan,
        "infinite": inf,
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", _cases())
def test_bytes(ggml: Callable[..., NDArray[np.uint8]], case: str, kind: str) -> None:
    x = _cases()[case]
    np.testing.assert_array_equal(gguf.quantize(x, kind), ggml(x, kind))


@pytest.mark.parametrize("kind", ["Q2_K", "Q4_K", "Q5_K"])
def test_tiny_values(ggml: Callable[..., NDArray[np.uint8]], kind: str) -> None:
    """Down to denormals: where a float16 scale is zero the levels of the search stay.

    Q3_K and Q6_K have since taken magnitudes below 1e-15 for zero.
    """
    rng = np.random.default_rng(7)
    x = rng.standard_normal((500, 256)) * 10.0 ** rng.uniform(-44, -7, (500, 1))
    x = x.astype(np.float32)
    np.testing.assert_array_equal(gguf.quantize(x, kind), ggml(x, kind))


def test_zero_block_of_q6_k_is_zeros(ggml: Callable[..., NDArray[np.uint8]]) -> None:
    """The one difference in ordinary values: ggml of 2023 made a scale of -0.0, since then 0.0."""
    x = np.zeros((1, 256), np.float32)
    then, now = ggml(x, "Q6_K"), gguf.quantize(x, "Q6_K")
    assert not now.any()
    np.testing.assert_array_equal(np.flatnonzero(then != now), [209])
    assert then[0, 209] == 0x80
