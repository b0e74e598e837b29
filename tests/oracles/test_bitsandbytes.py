"""bitsandbytes on the CPU as oracle of NF4 and FP4: every byte."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from ufuse.formats import dynamic, nf4

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    functional = pytest.importorskip("bitsandbytes.functional")

Array = np.ndarray[Any, Any]
SIZES = (1, 2, 31, 64, 65, 127, 4096, 4097, 10_000, 100_003)


def theirs(x: Any, kind: str, block: int) -> tuple[Array, Array, Any]:
    codes, state = functional.quantize_4bit(x, blocksize=block, quant_type=kind)
    return codes.numpy().reshape(-1), state.absmax.numpy(), (codes, state)


def dequantized(pair: Any) -> Array:
    """What they make of it: of one byte they give a transposed tensor."""
    codes, state = pair
    return functional.dequantize_4bit(codes, state).numpy().reshape(state.shape)


def near_bounds(kind: str, block: int) -> Array:
    """Blocks with values at, just above and just below the bounds between codes."""
    values = np.sort(functional.get_4bit_type(kind, device="cpu").numpy())
    bounds = (values[:-1] + values[1:]) / np.float32(2)
    offsets = np.float32([0, 1, -1, 2, -2]) * np.float32(2.0**-24)
    near = (bounds[:, None] * (1 + offsets)).reshape(-1).astype(np.float32)
    out = np.zeros((40, max(block, 128)), np.float32)
    out[:, : near.size] = near
    out[:, 127] = 1
    sizes = np.random.default_rng(5).uniform(0.1, 10, (40, 1)).astype(np.float32)
    sizes[0] = 1
    return (out * sizes).reshape(-1)


def test_tables() -> None:
    for kind in ("nf4", "fp4"):
        want = functional.get_4bit_type(kind, device="cpu").numpy()
        codes = np.arange(16, dtype=np.uint8)
        record = nf4.NF4Array((codes[::2] << 4) | codes[1::2], np.ones(1, np.float32), kind, (16,))
        np.testing.assert_array_equal(record.dequantize(), want)
    np.testing.assert_array_equal(dynamic.values(), functional.create_dynamic_map().numpy())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("block", nf4.BLOCK_SIZES)
@pytest.mark.parametrize("kind", nf4.KINDS)
def test_random(kind: str, block: int, size: int) -> None:
    rng = np.random.default_rng(size + block)
    x = (rng.normal(size=size) * 2.0 ** rng.integers(-4, 5, size)).astype(np.float32)
    codes, absmax, pair = theirs(torch.from_numpy(x), kind, block)
    q = nf4.quantize(x, kind=kind, block_size=block)
    np.testing.assert_array_equal(q.absmax, absmax)
    np.testing.assert_array_equal(q.codes, codes)
    np.testing.assert_array_equal(q.dequantize(), dequantized(pair))


@pytest.mark.parametrize("block", [32, 64, 128])
@pytest.mark.parametrize("kind", nf4.KINDS)
def test_near_bounds(kind: str, block: int) -> None:
    for x in (near_bounds(kind, block), -near_bounds(kind, block), near_bounds(kind, block)[:-1]):
        codes, absmax, _ = theirs(torch.from_numpy(x), kind, block)
        q = nf4.quantize(x, kind=kind, block_size=block)
        np.testing.assert_array_equal(q.codes, codes)
        np.testing.assert_array_equal(q.absmax, absmax)


@pytest.mark.parametrize("rest", [0, 7])
@pytest.mark.parametrize("value", [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-39, 3e38, 1.0])
@pytest.mark.parametrize("kind", nf4.KINDS)
def test_hostile(kind: str, value: float, rest: int) -> None:
    """Alone among zeros, among numbers, and in a last block that is not full."""
    x = np.zeros(192 + rest, np.float32)
    x[5] = value
    x[64:128] = np.random.default_rng(3).normal(size=64)
    x[70] = value
    x[128:] = value
    codes, absmax, pair = theirs(torch.from_numpy(x), kind, 64)
    q = nf4.quantize(x, kind=kind)
    np.testing.assert_array_equal(q.codes, codes)
    np.testing.assert_array_equal(q.absmax, absmax)
    np.testing.assert_array_equal(q.dequantize(), dequantized(pair))


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_narrow_floats(name: str) -> None:
    x = torch.from_numpy(np.random.default_rng(4).normal(size=1000).astype(np.float32))
    x = x.to(getattr(torch, name))
    codes, absmax, _ = theirs(x, "nf4", 64)
    q = nf4.quantize(x)
    np.testing.assert_array_equal(q.codes, codes)
    np.testing.assert_array_equal(q.absmax, absmax)


def test_transposed() -> None:
    """bitsandbytes#1690: a transposed tensor once gave the codes of another one."""
    x = np.random.default_rng(6).normal(size=(96, 130)).astype(np.float32)
    for view in (x.T, x[:, ::2], x[::-1], x.T[64:]):
        codes, absmax, _ = theirs(torch.from_numpy(np.ascontiguousarray(view)), "nf4", 64)
        q = nf4.quantize(view)
        np.testing.assert_array_equal(q.codes, codes)
        np.testing.assert_array_equal(q.absmax, absmax)


@pytest.mark.parametrize("size", [64, 1000, 64 * 256, 64 * 256 * 3 + 5])
@pytest.mark.parametrize("kind", nf4.KINDS)
def test_double(kind: str, size: int) -> None:
    """Their mean is summed in float32; given ours, the bytes are theirs."""
    x = np.random.default_rng(size).normal(size=size).astype(np.float32)
    codes, state = functional.quantize_4bit(
        torch.from_numpy(x), quant_type=kind, compress_statistics=True
    )
    q = nf4.quantize(x, kind=kind, double=True)
    np.testing.assert_array_equal(q.codes, codes.numpy().reshape(-1))
    np.testing.assert_allclose(q.offset, state.offset.item(), rtol=2e-6)
    plain = nf4.quantize(x, kind=kind).absmax
    want, inner = functional.quantize_blockwise(torch.from_numpy(plain - q.offset), blocksize=256)
    np.testing.assert_array_equal(q.absmax, want.numpy())
    np.testing.assert_array_equal(q.nested, inner.absmax.numpy())
    scales = functional.dequantize_blockwise(want, inner).numpy() + q.offset
    np.testing.assert_array_equal(q.scales(), scales)
    state.absmax, state.offset, state.state2 = want, torch.tensor(q.offset), inner
    np.testing.assert_array_equal(q.dequantize(), dequantized((codes, state)))


@pytest.mark.parametrize("case", ["random", "near ties", "zeros", "extremes", "denormal"])
def test_dynamic_map(case: str) -> None:
    rng = np.random.default_rng(8)
    table = dynamic.values()
    x = {
        "random": rng.normal(size=5000),
        "near ties": np.concatenate([np.append((table[1:] + table[:-1]) / 2, 1)] * 3)
        * np.repeat([1.0, 0.7, 3.3], 256),
        "zeros": np.zeros(300),
        "denormal": rng.choice([1e-44, -1e-42, 0.0], 600),
        "extremes": rng.choice([1e-44, -1e-38, 3e38, 0.0, -0.0], 600),
    }[case].astype(np.float32)
    want, state = functional.quantize_blockwise(torch.from_numpy(x), blocksize=256)
    codes, scales = np.empty(x.size, np.uint8), np.empty(-(-x.size // 256), np.float32)
    dynamic.encode(x, codes, scales)
    np.testing.assert_array_equal(scales, state.absmax.numpy())
    np.testing.assert_array_equal(codes, want.numpy())
    back = functional.dequantize_blockwise(want, state).numpy()
    np.testing.assert_array_equal(dynamic.decode(codes, scales), back)
