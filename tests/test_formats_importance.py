"""Q4_0 to Q5_1 with `importance`, which search for scales as the K-quants do."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import NATIVE
from test_formats_kquants import HOSTILE, _fixed
from ufuse.formats import gguf, reference
from ufuse.formats.blocks import layout_of

KINDS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1"]
Values = NDArray[np.float32]

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*the float16 scales of:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.* NaN or infinite in float32:RuntimeWarning"),
]


def by_twin(x: Values, kind: str, importance: Values) -> NDArray[np.uint8]:
    codes = np.zeros(gguf.quantized_shape(x.shape, kind), np.uint8)
    reference.encode(layout_of(kind), x, codes, None, importance)
    return codes


def weights(size: int, seed: int = 3) -> Values:
    rng = np.random.default_rng(seed)
    found = rng.random(size, dtype=np.float32) ** 2
    found[rng.random(size) < 0.1] = 0
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", HOSTILE)
def test_importance_as_the_twin(kind: str, case: str, tier: str) -> None:
    with np.errstate(all="ignore"):
        x = np.asarray(HOSTILE[case](np.random.default_rng(len(case))), np.float32)
    for importance in (weights(256), np.zeros(256, np.float32), np.ones(256, np.float32)):
        got = gguf.quantize(x, kind, importance=importance)
        counted = importance if importance.any() else np.ones_like(importance)
        np.testing.assert_array_equal(got, by_twin(x, kind, counted))


ZEROS_LOST = ["Q4_0", "Q5_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]


@pytest.mark.parametrize("kind", [*ZEROS_LOST, "Q4_1", "Q5_1"])
def test_a_block_without_importance_is_not_read_back_as_zeros(kind: str) -> None:
    x = np.random.default_rng(7).normal(size=(3, 768)).astype(np.float32)
    importance = weights(768) + np.float32(0.01)
    importance[256:512] = 0
    kept = importance.copy()
    found = gguf.dequantize(gguf.quantize(x, kind, importance=importance), kind)
    np.testing.assert_array_equal(importance, kept)
    filled = np.where(importance == 0, np.float32(1), importance)
    want = gguf.dequantize(gguf.quantize(x, kind, importance=filled), kind)
    np.testing.assert_array_equal(found, want)
    error = np.abs(found - x)
    assert error[:, 256:512].mean() < 1.1 * error[:, :256].mean()
    nothing = gguf.quantize(x, kind, importance=np.zeros(768))
    assert nothing.tobytes() == gguf.quantize(x, kind, importance=np.ones(768)).tobytes()


@pytest.mark.parametrize("kind", ["Q3_K", "Q6_K"])
def test_a_part_of_a_block_without_importance_is_not_read_back_as_zeros(kind: str) -> None:
    x = np.random.default_rng(8).normal(size=(3, 512)).astype(np.float32)
    importance = weights(512) + np.float32(0.01)
    importance[32:48] = importance[300:310] = 0  # a part, and some of a part
    found = gguf.quantize(x, kind, importance=importance)
    importance[32:48] = np.delete(importance[:256], np.s_[32:48]).min()
    np.testing.assert_array_equal(found, gguf.quantize(x, kind, importance=importance))
    error = np.abs(gguf.dequantize(found, kind) - x)
    assert error[:, 32:48].mean() < 1.5 * error.mean()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [0, 32, 64, 96, 480, 512, 544, 1024, 1056, 4096])
def test_rows_of_any_length(kind: str, columns: int, tier: str) -> None:
    """Weights of errors are made of all of a row, and of no other."""
    x = np.random.default_rng(columns).standard_normal((5, columns)).astype(np.float32)
    x *= np.float32([[1], [100], [1e-3], [0], [7]])
    importance = weights(columns)
    want = by_twin(x, kind, importance)
    np.testing.assert_array_equal(gguf.quantize(x, kind, importance=importance), want)
    for row, codes in zip(x, want, strict=True):
        np.testing.assert_array_equal(gguf.quantize(row, kind, importance=importance), codes)


@pytest.mark.parametrize("kind", KINDS)
def test_layouts_and_dtypes(kind: str) -> None:
    x = np.random.default_rng(4).standard_normal((20, 1120)).astype(np.float32)
    importance = weights(1120)
    want = by_twin(x, kind, importance)
    strided = np.repeat(x, 3, axis=1)[:, ::3]
    for layout in (np.asfortranarray(x), strided, x.astype(">f4"), x.astype(np.float64)):
        np.testing.assert_array_equal(gguf.quantize(layout, kind, importance=importance), want)
    cube = np.moveaxis(x.reshape(4, 5, 1120), 0, 1)
    found = gguf.quantize(cube, kind, importance=importance)
    np.testing.assert_array_equal(np.moveaxis(found, 1, 0).reshape(want.shape), want)
    half = x.astype(np.float16)
    expected = by_twin(half.astype(np.float32), kind, importance)
    np.testing.assert_array_equal(gguf.quantize(half, kind, importance=importance), expected)
    memory = x.copy()
    out = memory.view(np.uint8)[:, : want.shape[1]]
    np.testing.assert_array_equal(gguf.quantize(memory, kind, importance=importance, out=out), want)


@pytest.mark.skipif(not NATIVE, reason="the twin takes its time")
@pytest.mark.parametrize("kind", KINDS)
def test_many_rows_by_any_number_of_threads(kind: str, threads: int) -> None:
    x = np.random.default_rng(5).standard_normal((300, 2048)).astype(np.float32)
    importance = weights(2048)
    want = by_twin(x, kind, importance)
    np.testing.assert_array_equal(gguf.quantize(x, kind, importance=importance), want)
    np.testing.assert_array_equal(
        gguf.quantize(np.asfortranarray(x), kind, importance=importance), want
    )
    long = np.tile(x, 20).reshape(2, -1)
    both = gguf.quantize(long, kind, importance=np.tile(importance, long.shape[1] // 2048))
    alone = [gguf.quantize(row, kind, importance=np.tile(importance, row.size // 2048))
             for row in long]  # fmt: skip
    np.testing.assert_array_equal(both, alone)


#: SHA-256 of what ggml d99724f, compiled without contraction, makes of `_fixed` in rows of 1024.
GGML = {
    "Q4_0": "f726b765bb81bed3",
    "Q4_1": "55dabb024a0fb771",
    "Q5_0": "487431e886b918b6",
    "Q5_1": "d621ce4cd09de4ea",
}


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_of_ggml(kind: str) -> None:
    x, importance = _fixed()
    importance = np.outer(np.float32([1, 0.5, 2, 0.25]), importance).reshape(-1)
    codes = gguf.quantize(x.reshape(24, 1024), kind, importance=importance)
    assert hashlib.sha256(codes.tobytes()).hexdigest()[:16] == GGML[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_important_has_less_error(kind: str) -> None:
    x = np.random.default_rng(6).standard_normal((200, 512)).astype(np.float32)
    importance = np.ones(512, np.float32)
    importance[:64] = 1000

    def error(codes: Any) -> Any:
        return ((gguf.dequantize(codes, kind) - x) ** 2 * importance).sum()

    plain, weighted = gguf.quantize(x, kind), gguf.quantize(x, kind, importance=importance)
    assert error(weighted) < 0.95 * error(plain)


def test_kinds_without_a_search_refuse_importance() -> None:
    for kind in ("Q8_0", "MXFP4", "NVFP4", "TQ1_0", "BF16"):
        with pytest.raises(ValueError, match=r"written without weights.*Q4_0, Q4_1, Q5_0, Q5_1"):
            gguf.quantize(np.ones(512, np.float32), kind, importance=np.ones(512, np.float32))


def test_smallest_values_that_overflow_are_warned_of() -> None:
    """A fit to two elements goes far beyond them where no other has a weight."""
    x = np.random.default_rng(7).uniform(900, 1023, (400, 32)).astype(np.float32)
    for kind in KINDS:
        codes = gguf.quantize(x, kind, importance=weights(32))
        assert np.isfinite(gguf.dequantize(codes, kind)).all()
    x[7, 7] = 3e38
    for kind in KINDS:
        with pytest.warns(RuntimeWarning, match="the float16 scales of 1 blocks overflow"):
            gguf.quantize(x, kind, importance=np.ones(32, np.float32))
