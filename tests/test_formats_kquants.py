"""Encoders of the K-quants.

Every tier and thread count against the twin in NumPy, and both against digests of ggml's bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import NATIVE
from ufuse.formats import gguf
from ufuse.formats.blocks import layout_of
from ufuse.formats.reference.kquants_encode import ENCODERS
from ufuse.formats.reference.kquants_search import nearest

KINDS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
Values = NDArray[np.float32]

# Hostile blocks have scales beyond float16, which quantize says.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*the float16 scales of:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.* NaN or infinite in float32:RuntimeWarning"),
]


def _blocks(rng: np.random.Generator, spread: float = 1) -> Values:
    """Return 21 blocks, so that no register's lanes divide them."""
    return (rng.standard_normal((21, 256)) * spread).astype(np.float32)


def _scaled(rng: np.random.Generator, low: float, high: float, groups: int = 1) -> Values:
    """Return blocks whose parts differ in magnitude by powers of ten."""
    parts = rng.standard_normal((21, groups, 256 // groups))
    with np.errstate(over="ignore", under="ignore"):
        scaled = parts * 10 ** rng.uniform(low, high, (21, groups, 1))
        return scaled.reshape(21, 256).astype(np.float32)


def _sprinkled(rng: np.random.Generator, *values: float) -> Values:
    x = _blocks(rng)
    for value in values:
        x[rng.random(x.shape) < 0.02] = value
    return x


def _runs(rng: np.random.Generator) -> Values:
    return np.repeat(rng.standard_normal((21, 16)).astype(np.float32), 16, axis=1)


def _any_bits(rng: np.random.Generator) -> Values:
    return rng.integers(0, 2**32, (21, 256), dtype=np.uint32).view(np.float32)


HOSTILE: dict[str, Callable[[np.random.Generator], Values]] = {
    "normal": _blocks,
    "uniform": lambda rng: rng.random((21, 256), dtype=np.float32),
    "negative": lambda rng: -np.abs(_blocks(rng)),
    "shifted": lambda rng: _blocks(rng) + rng.uniform(-50, 50, (21, 1)).astype(np.float32),
    "narrow": lambda rng: (rng.uniform(-3e4, 3e4, (21, 1)) + _blocks(rng, 1e-3)).astype(np.float32),
    "integers": lambda rng: rng.integers(-8, 8, (21, 256)).astype(np.float32),
    "sparse": lambda rng: _blocks(rng) * (rng.random((21, 256)) < 0.1),
    "outliers": lambda rng: _sprinkled(rng, 1e4, -3e5),
    "parts of many sizes": lambda rng: _scaled(rng, -4, 4, 16),
    "parts of all sizes": lambda rng: _scaled(rng, -45, 38, 16),
    "tiny": lambda rng: _scaled(rng, -45, -12),
    "huge": lambda rng: _scaled(rng, 5, 39),
    "zeros": lambda rng: np.zeros((21, 256), np.float32),
    "negative zeros": lambda rng: np.full((21, 256), -0.0, np.float32),
    "zero parts": lambda rng: _blocks(rng) * np.repeat(rng.random((21, 16)) < 0.5, 16, axis=1),
    "equal": lambda rng: np.full((21, 256), 0.7, np.float32),
    "equal negative": lambda rng: np.full((21, 256), -3.0, np.float32),
    "runs": _runs,
    "alternating": lambda rng: np.abs(_runs(rng)) * np.tile(np.float32([1, -1]), 128),
    "largest float32": lambda rng: np.sign(_blocks(rng)) * np.finfo(np.float32).max,
    "denormal": lambda rng: _sprinkled(rng) * np.float32(1e-39),
    "nan": lambda rng: _sprinkled(rng, np.nan),
    "all nan": lambda rng: np.full((21, 256), np.nan, np.float32),
    "inf": lambda rng: _sprinkled(rng, np.inf, -np.inf),
    "all inf": lambda rng: np.full((21, 256), -np.inf, np.float32),
    "any bits": _any_bits,
}


@pytest.fixture(params=HOSTILE)
def values(request: pytest.FixtureRequest) -> Iterator[Values]:
    """Blocks of one sort."""
    rng = np.random.default_rng(sum(map(ord, request.param)))
    with np.errstate(all="ignore"):
        yield np.asarray(HOSTILE[request.param](rng), np.float32)


def by_twin(x: Values, kind: str, importance: Values | None = None) -> NDArray[np.uint8]:
    """Return what the reference makes of `x`."""
    weights = None if importance is None else np.broadcast_to(importance, x.shape).reshape(-1, 256)
    with np.errstate(all="ignore"):
        codes, _ = ENCODERS[kind](x.reshape(-1, 256), weights, layout_of(kind))
    return codes.reshape(*x.shape[:-1], -1)


@pytest.mark.parametrize("kind", KINDS)
def test_as_the_twin(kind: str, values: Values, tier: str) -> None:
    np.testing.assert_array_equal(gguf.quantize(values, kind), by_twin(values, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_importance_as_the_twin(kind: str, values: Values, tier: str) -> None:
    rng = np.random.default_rng(3)
    importance = rng.random(256, dtype=np.float32) ** 2
    importance[rng.random(256) < 0.1] = 0
    native = gguf.quantize(values, kind, importance=importance)
    np.testing.assert_array_equal(native, by_twin(values, kind, importance))


@pytest.mark.parametrize("blocks", [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33])
@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_blocks(kind: str, blocks: int, tier: str) -> None:
    """Blocks do not depend on those that are encoded beside them."""
    x = _blocks(np.random.default_rng(blocks), 3)
    x = np.concatenate([x, x[::-1]])[:blocks].reshape(-1)
    importance = np.abs(x[::-1]).copy()
    np.testing.assert_array_equal(gguf.quantize(x, kind), by_twin(x, kind))
    weighted = gguf.quantize(x, kind, importance=importance)
    np.testing.assert_array_equal(weighted, by_twin(x, kind, importance))


@pytest.mark.parametrize("kind", KINDS)
def test_importance_is_of_each_row(kind: str, tier: str) -> None:
    """Rows of three blocks share a register, and weights begin again with each."""
    x = np.random.default_rng(2).standard_normal((50, 768)).astype(np.float32)
    importance = np.random.default_rng(3).random(768, dtype=np.float32)
    expected = by_twin(x, kind, importance)
    np.testing.assert_array_equal(gguf.quantize(x, kind, importance=importance), expected)
    strided = np.repeat(x, 2, axis=1)[::-1, ::2]
    weighted = gguf.quantize(strided, kind, importance=importance)
    np.testing.assert_array_equal(weighted, expected[::-1])


@pytest.mark.parametrize("kind", KINDS)
def test_any_strides(kind: str, tier: str) -> None:
    x = np.random.default_rng(4).standard_normal((11, 1280)).astype(np.float32)
    expected = by_twin(x, kind)
    for layout in (np.asfortranarray(x), x[::-1][::-1], np.repeat(x, 3, axis=1)[:, ::3]):
        np.testing.assert_array_equal(gguf.quantize(layout, kind), expected)
    half = x.astype(np.float16)
    widened = by_twin(half.astype(np.float32), kind)
    np.testing.assert_array_equal(gguf.quantize(half, kind), widened)


@pytest.mark.parametrize("kind", KINDS)
def test_threads(kind: str, threads: int) -> None:
    x = np.random.default_rng(1).standard_normal((37, 1280)).astype(np.float32)
    importance = np.random.default_rng(2).random(1280, dtype=np.float32)
    np.testing.assert_array_equal(gguf.quantize(x, kind), by_twin(x, kind))
    weighted = gguf.quantize(x, kind, importance=importance)
    np.testing.assert_array_equal(weighted, by_twin(x, kind, importance))


@pytest.mark.skipif(not NATIVE, reason="the twin takes its time")
@pytest.mark.parametrize("kind", KINDS)
def test_many_blocks(kind: str) -> None:
    """Enough for rare branches: every tenth block has a neighbour's scale of zero, or a tie."""
    rng = np.random.default_rng(11)
    x = np.concatenate([_scaled(rng, -6, 5, 16) for _ in range(60)])
    np.testing.assert_array_equal(gguf.quantize(x, kind), by_twin(x, kind))
    importance = rng.random(256, dtype=np.float32)
    weighted = gguf.quantize(x, kind, importance=importance)
    np.testing.assert_array_equal(weighted, by_twin(x, kind, importance))


# --- ggml's own bytes -----------------------------------------------------------------------------


def _fixed() -> tuple[Values, Values]:
    """Return 96 blocks and weights for each element, made without rounding that could differ."""
    i = np.arange(2 * 96 * 256, dtype=np.uint64)
    noise = i * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
    noise = (noise ^ (noise >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    units = ((noise >> np.uint64(40)).astype(np.float32) - 2**23) / np.float32(2**23)
    x, weights = (units * np.abs(units)).reshape(2, 96, 256)
    powers = np.float32(2) ** -(np.arange(96 * 16) % 13).astype(np.float32)
    return x * np.repeat(powers, 16).reshape(96, 256), np.abs(weights[0])


#: SHA-256 of what ggml d99724f, compiled without contraction, makes of `_fixed`: plain, weighted.
GGML = {
    "Q2_K": ("b22a61141c1dc5c6", "37d6ec78c62c5028"),
    "Q3_K": ("b534f206f58db4c4", "51d20ca789102e34"),
    "Q4_K": ("5e13b00620cef7ef", "69c95222387bd406"),
    "Q5_K": ("9c7a5a3a3f664924", "54aa3bcf5a89aa35"),
    "Q6_K": ("3503bd1c70b1d3d0", "8bbe09704c05ac8e"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_of_ggml(kind: str) -> None:
    x, importance = _fixed()
    plain = gguf.quantize(x, kind)
    weighted = gguf.quantize(x, kind, importance=importance)
    digests = tuple(hashlib.sha256(codes.tobytes()).hexdigest()[:16] for codes in (plain, weighted))
    assert digests == GGML[kind]


# --- what the searches rest on --------------------------------------------------------------------


def test_nearest_is_half_to_even_below_a_limit() -> None:
    near = np.float32([0.5, 1.5, 2.5, -0.5, -1.5, 2.4999998, 4194303.0, -4194303.0])
    np.testing.assert_array_equal(nearest(near), np.rint(near))


def test_nearest_of_what_is_too_large_is_what_the_bits_say() -> None:
    large = np.float32([np.nan, np.inf, 4194305.0, 1e10])
    np.testing.assert_array_equal(nearest(large), [0, -4194304, -4194304, -2804999])
