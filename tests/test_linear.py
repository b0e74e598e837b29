"""linear and prepack against a product in float64."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE, tiers
from ufuse.catalogue import OPERATIONS
from ufuse.contract.finish import ACTIVATIONS
from ufuse.formats import gguf, mx, nf4, nvfp4

ACTIVATE = {
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": uf.gelu,
    "gelu_tanh": uf.gelu_tanh,
    "tanh": np.tanh,
    "sigmoid": uf.sigmoid,
    "silu": uf.silu,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATE)
@pytest.mark.parametrize("biased", [False, True])
def test_linear(dtype: type, activation: str | None, biased: bool) -> None:
    rng = np.random.default_rng(9)
    for shape, n in (((5, 7, 33), 19), ((300, 130), 270), ((64,), 3), ((2, 0, 4), 5), ((3, 0), 2)):
        x = rng.normal(size=shape).astype(dtype)
        w = rng.normal(size=(n, shape[-1])).astype(dtype)
        bias = rng.normal(size=n).astype(dtype) if biased else None
        want = ACTIVATE[activation](x @ w.T + (0 if bias is None else bias)).astype(dtype)
        got = uf.linear(x, w, bias, activation)
        assert got.dtype == dtype and got.shape == want.shape
        tolerance = 1e-4 if dtype == np.float32 else 1e-10
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
        out = np.empty((*shape[:-1], 2 * n), dtype)[..., ::2]
        assert uf.linear(x, w, bias, activation, out=out) is out
        np.testing.assert_array_equal(out, got)


def test_linear_int8_is_exact_but_for_the_activations_rounding(tier: str) -> None:
    rng = np.random.default_rng(4)
    for m, k, n in ((1, 1, 1), (5, 33, 7), (40, 384, 100), (130, 1537, 300), (3, 4, 0), (0, 4, 3)):
        x = rng.normal(size=(m, k)).astype(np.float32)
        if m > 2:
            x[1] = 0
        w = uf.quantize(rng.normal(size=(n, k)).astype(np.float32), "int8", axis=0)
        bias = rng.normal(size=n).astype(np.float32)
        largest = np.abs(x).max(axis=1, initial=0)
        scale = np.where(largest == 0, np.float32(1), largest / np.float32(127))[:, None]
        sums = np.rint(x / scale).astype(np.int64) @ w.data.T.astype(np.int64)
        want = sums.astype(np.float32) * scale * w.scale + bias
        np.testing.assert_array_equal(uf.linear(x, w, bias), want)
        np.testing.assert_array_equal(uf.linear(x, w, bias), want)  # from the packed weights


def test_linear_int8_at_the_extremes() -> None:
    """Every code at its end: the largest sums int32 has to hold for this K."""
    k = 4096
    x = np.full((2, k), 3, np.float32)
    x[1] = -3
    w = uf.quantize(np.full((5, k), -1, np.float32), "int8", axis=0)
    want = (x / 3 * 127) @ w.data.T.astype(np.float32) * np.float32(3 / 127) * w.scale
    np.testing.assert_allclose(uf.linear(x, w), want, rtol=1e-6)


def test_linear_int8_refuses_k_that_could_overflow() -> None:
    if not NATIVE:
        pytest.skip("the reference sums in float64")
    k = 140_000
    w = uf.quantize(np.ones((1, k), np.float32), "int8", axis=0)
    with pytest.raises(ValueError, match="overflow"):
        uf.linear(np.ones((1, k), np.float32), w)


def test_linear_of_strided_operands() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(6, 50, 20)).astype(np.float32).transpose(1, 0, 2)[:, ::2, ::-1]
    w = np.asfortranarray(rng.normal(size=(30, 20)).astype(np.float32))
    np.testing.assert_allclose(uf.linear(x, w), x @ w.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"w": np.ones((4, 4), np.float32)}, ValueError, r"'w'.*\(4, 4\)"),
        ({"w": np.ones((4, 3))}, TypeError, "'w'.*float64"),
        ({"x": np.ones((2, 3), np.int32)}, TypeError, "'x'.*int32"),
        ({"bias": np.ones(3, np.float32)}, ValueError, r"'bias'.*\(4,\).*\(3,\)"),
        ({"activation": "swish"}, ValueError, "'activation'.*swish"),
        ({"out": np.ones((2, 5), np.float32)}, ValueError, r"'out'.*\(2, 4\)"),
        ({"out": np.ones((2, 4))}, TypeError, "'out'.*float64"),
    ],
)
def test_linear_bad_input(change: dict, kind: type, message: str) -> None:
    call = {"x": np.ones((2, 3), np.float32), "w": np.ones((4, 3), np.float32), **change}
    with pytest.raises(kind, match=message):
        uf.linear(**call)


def test_activations_are_the_catalogues() -> None:
    """A new public row is an activation at once; the message lists them all."""
    public = {
        row.name
        for row in OPERATIONS
        if row.public and row.arity == 1 and all(s.output in ("f4", "f8") for s in row.signatures)
    }
    assert set(ACTIVATIONS) == public | {"tanh"} and "erf" in ACTIVATIONS
    x, w = np.linspace(-2, 2, 6).reshape(2, 3), np.eye(3)
    for name in ACTIVATIONS:
        function = np.tanh if name == "tanh" else getattr(uf, name)
        np.testing.assert_allclose(uf.linear(x, w, activation=name), function(x), rtol=1e-14)
    for wrong in ("swish", 3, ["relu"]):
        with pytest.raises(ValueError, match="'activation': expected None.*" + "|".join(public)):
            uf.linear(x, w, activation=wrong)


# --- dtypes ---


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("m", [0, 1, 3, 8, 9])
def test_narrow_floats_are_rounded_once(dtype: Any, m: int, tier: str) -> None:
    """What float32 gives, rounded."""
    rng = np.random.default_rng(3)
    for n, k in ((1, 1), (70, 33), (65, 1040)):
        x, w = (rng.normal(size=(r, k)).astype(dtype) for r in (m, n))
        bias = rng.normal(size=n).astype(dtype)
        wide = [a.astype(np.float32) for a in (x, w, bias)]
        want = uf.linear(*wide, activation="relu").astype(dtype)
        for weights in (w, np.asfortranarray(w), uf.prepack(w)):
            got = uf.linear(x, weights, bias, "relu")
            assert got.dtype == dtype
            np.testing.assert_array_equal(got, want)
        out = np.empty((m, 2 * n), dtype)[:, ::-2]
        assert uf.linear(x, w, bias, "relu", out=out) is out
        np.testing.assert_array_equal(out, want)


ROWS = [0, 1, 2, 7, 8, 9, 33]


@pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")
@pytest.mark.parametrize("k", [1, 15, 16, 257, 1024, 1025, 2100])
def test_few_rows_have_the_bits_of_many(k: int, tier: str) -> None:
    """Weights that are read where they lie, and those of the packed product."""
    rng = np.random.default_rng(k)
    x = rng.normal(size=(33, k)).astype(np.float32)
    w = rng.normal(size=(83, k)).astype(np.float32)
    want = uf.linear(x, w)
    packed = uf.prepack(w)
    for m in ROWS:
        np.testing.assert_array_equal(uf.linear(x[:m], w), want[:m])
        np.testing.assert_array_equal(uf.linear(x[:m], packed), want[:m])
        np.testing.assert_array_equal(uf.linear(x[::-1][-m or 33 :][::-1][:m], w), want[:m])
        np.testing.assert_array_equal(uf.linear(np.asfortranarray(x)[:m], w), want[:m])
        wide = np.zeros((83, k + 3), np.float32)[:, 1 : k + 1]
        wide[...] = w
        np.testing.assert_array_equal(uf.linear(x[:m], wide), want[:m])
        np.testing.assert_array_equal(uf.linear(x[:m], np.asfortranarray(w)), want[:m])


# --- formats ---


def weights(n: int, k: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, k)).astype(np.float32)


def _quantized(scheme: str, n: int, k: int, **how: Any) -> uf.QuantizedArray:
    return uf.quantize(weights(n, k), scheme, **how)


def _kind(name: str, n: int, k: int) -> gguf.GGUFArray:
    """Blocks of a kind; of those that are not written, random bytes with fine scales."""
    if name in gguf.kinds(encodes=True):
        return gguf.GGUFArray(gguf.quantize(weights(n, k), name), name)
    rng = np.random.default_rng(8)
    size = gguf.type_size(name)
    data = rng.integers(0, 256, (n, k // gguf.block_size(name), size)).astype(np.uint8)
    data[..., :2] = np.float16([0.01]).view(np.uint8)
    if name == "IQ1_M":  # four bits of the scale in each of the last words
        data[..., -1] = data[..., -1] & 15 | 32
    return gguf.GGUFArray(data.reshape(n, -1), name)


QUANTIZED = {
    "int8": lambda n, k: _quantized("int8", n, k),
    "int8 axis 0": lambda n, k: _quantized("int8", n, k, axis=0),
    "int8 blocks": lambda n, k: _quantized("int8", n, k, axis=1, block_size=32),
    "int8 axis 1": lambda n, k: _quantized("int8", n, k, axis=1),
    "int8 odd blocks": lambda n, k: _quantized("int8", n, k, axis=1, block_size=20),
    "uint8 axis 0": lambda n, k: _quantized("uint8", n, k, axis=0),
    "uint8 blocks": lambda n, k: _quantized("uint8", n, k, axis=1, block_size=64),
    "uint8 tiles": lambda n, k: _quantized("uint8", n, k, block_size=(4, 64)),
    "int4": lambda n, k: _quantized("int4", n, k),
    "int4 axis 0": lambda n, k: _quantized("int4", n, k, axis=0),
    "int4 blocks": lambda n, k: _quantized("int4", n, k, axis=1, block_size=32),
    "int4 blocks of 512": lambda n, k: _quantized("int4", n, k, axis=1, block_size=512),
    "uint4": lambda n, k: _quantized("uint4", n, k),
    "uint4 axis 0": lambda n, k: _quantized("uint4", n, k, axis=0),
    "uint4 blocks": lambda n, k: _quantized("uint4", n, k, axis=1, block_size=32),
    "int2 blocks": lambda n, k: _quantized("int2", n, k, axis=1, block_size=16),
    "uint2 axis 0": lambda n, k: _quantized("uint2", n, k, axis=0),
    "int16 axis 0": lambda n, k: _quantized("int16", n, k, axis=0),
    "float8": lambda n, k: _quantized("float8_e4m3fn", n, k, axis=0),
    "float4": lambda n, k: _quantized("float4_e2m1fn", n, k, axis=1, block_size=32),
    "nf4": lambda n, k: nf4.quantize(weights(n, k), kind="nf4", block_size=32),
    "fp4": lambda n, k: nf4.quantize(weights(n, k), kind="fp4", block_size=32),
    "nvfp4": lambda n, k: nvfp4.quantize(weights(n, k)),
    "mxfp4": lambda n, k: mx.quantize(weights(n, k), "mxfp4"),
    "mxint8": lambda n, k: mx.quantize(weights(n, k), "mxint8"),
    "mxfp8": lambda n, k: mx.quantize(weights(n, k), "mxfp8"),
    "mxfp6": lambda n, k: mx.quantize(weights(n, k), "mxfp6_e2m3"),
    "mxfp4 axis 0": lambda n, k: mx.quantize(weights(n, k), "mxfp4", axis=0),
}
GGUF = [name for name in gguf.kinds() if name not in ("F32", "F16", "BF16", "F64")]


def made(case: str, n: int, k: int) -> Any:
    return _kind(case, n, k) if case in GGUF else QUANTIZED[case](n, k)


def inputs_of(case: str) -> list[int]:
    """Inputs that the blocks of a case divide, one of them crossing parts of 256."""
    block = gguf.block_size(case) if case in GGUF else 1
    return (
        [block, 3 * block] if block >= 256 else [block, 11 * block] if block > 1 else [7, 352, 1043]
    )


def bound(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Rounding of all products and sums, with room for what is taken from whole blocks."""
    wide = np.abs(x.astype(np.float64)) @ (np.abs(w) + np.abs(w).max(initial=0)).T
    return 4e-6 * wide + 1e-30


@pytest.mark.parametrize("case", [*QUANTIZED, *GGUF])
def test_weight_only(case: str) -> None:
    rng = np.random.default_rng(1)
    for k in inputs_of(case):
        w = made(case, 70, k)
        x = rng.normal(size=(33, k)).astype(np.float32)
        numbers = w.dequantize().astype(np.float64)
        want = x @ numbers.T
        packed = uf.prepack(w, "weight_only")
        assert packed.shape == (70, k) and packed.mode == "weight_only"
        whole = uf.linear(x, packed)
        assert np.all(np.abs(whole - want) <= bound(x, numbers)), case
        got = uf.linear(x, w, mode="weight_only")
        assert np.all(np.abs(got - want) <= bound(x, numbers)), case
        if NATIVE:
            for m in ROWS:
                np.testing.assert_array_equal(uf.linear(x[:m], packed), whole[:m])


@pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")
@pytest.mark.parametrize(
    "case", ["float8", "mxfp8", "int8 axis 1", "mxfp4 axis 0", "IQ2_S", "Q8_0"]
)
def test_decoded_weights_have_the_bits_of_what_they_stand_for(case: str) -> None:
    """Also where strips of outputs are many."""
    n, k = (3000, 768) if case != "mxfp4 axis 0" else (3001, 700)
    w = made(case, n, k)
    x = np.random.default_rng(1).normal(size=(9, k)).astype(np.float32)
    bias = np.arange(n, dtype=np.float32)
    for m in (1, 9):
        want = uf.linear(x[:m], w.dequantize(), bias)
        np.testing.assert_array_equal(uf.linear(x[:m], w, bias), want)


DYNAMIC = ["int8 axis 0", "int4", "int4 axis 0", "int4 blocks", "uint4 blocks", "uint4 axis 0"]
DYNAMIC += ["int2 blocks", "uint2 axis 0", "Q4_0", "Q4_1", "Q4_K", "Q2_K", "Q3_K"]


@pytest.mark.parametrize("case", DYNAMIC)
def test_dynamic(case: str) -> None:
    """As weight-only with rows of x that have been quantized."""
    rng = np.random.default_rng(2)
    for k in inputs_of(case):
        w = made(case, 70, k)
        x = rng.normal(size=(33, k)).astype(np.float32)
        x[1] = 0
        largest = np.abs(x).max(axis=1, initial=0)
        scale = np.where(largest == 0, np.float32(1), largest / np.float32(127))[:, None]
        rounded = np.rint(x / scale) * scale.astype(np.float64)
        numbers = w.dequantize().astype(np.float64)
        for form in (uf.prepack(w, "dynamic"), w):
            got = uf.linear(x, form, mode="dynamic")
            assert np.all(np.abs(got - rounded @ numbers.T) <= bound(rounded, numbers)), case
            if NATIVE:
                for m in ROWS:
                    np.testing.assert_array_equal(uf.linear(x[:m], form, mode="dynamic"), got[:m])


SAMPLE = ["int8 blocks", "uint4 blocks", "int4 axis 0", "nf4", "Q4_K", "Q6_K", "Q5_1", "mxfp4"]


@pytest.mark.parametrize("case", SAMPLE)
def test_every_tier_and_thread_count_has_the_same_bits(case: str) -> None:
    if not NATIVE:
        pytest.skip("the reference executor promises no bits")
    from ufuse import _core

    k = 768
    w = made(case, 200, k)
    x = np.random.default_rng(4).normal(size=(9, k)).astype(np.float32)
    numbers = w.dequantize().astype(np.float64)
    modes = ["weight_only"] + (["dynamic"] if case in DYNAMIC else [])
    found: dict[Any, set[bytes]] = {}
    for name in tiers():
        _core.set_tier(name)
        for count in (1, 2, 3):
            with uf.threads(count):
                for mode in modes:
                    for m in (1, 2, 3, 4, 5, 6, 7, 8, 9):
                        got = uf.linear(x[:m], uf.prepack(w, mode), activation="gelu", mode=mode)
                        if name != "v2":
                            found.setdefault((mode, m), set()).add(got.tobytes())
        plain = uf.linear(x, uf.prepack(w, "weight_only"))
        assert np.all(np.abs(plain - x @ numbers.T) <= bound(x, numbers)), name
    _core.set_tier("")
    assert all(len(bits) == 1 for bits in found.values())


def test_a_row_with_nan_is_nan() -> None:
    w = _quantized("int4", 20, 64, axis=0)
    x = np.ones((3, 64), np.float32)
    x[1, 5] = np.nan
    for mode in ("dynamic", "weight_only"):
        got = uf.linear(x, w, mode=mode)
        assert np.isnan(got[1]).all() and np.isfinite(got[[0, 2]]).all()


@pytest.mark.parametrize("case", ["int8 axis 0", "uint4 blocks", "Q4_0", "float8"])
def test_quantized_weights_of_strided_x_and_out(case: str) -> None:
    w = made(case, 37, 64)
    raw = np.random.default_rng(6).normal(size=(2, 64, 9)).astype(np.float32)
    x = raw.transpose(0, 2, 1)[:, ::-2]
    bias = np.arange(37, dtype=np.float32)
    want = uf.linear(np.ascontiguousarray(x), w, bias, "relu")
    assert want.shape == (2, 5, 37)
    out = np.empty((2, 37, 5), np.float32).transpose(0, 2, 1)
    assert uf.linear(x, w, bias, "relu", out=out) is out
    np.testing.assert_array_equal(out, want)
    unaligned = np.frombuffer(b"\0" + np.ascontiguousarray(x).tobytes(), np.uint8)[1:]
    view = np.ndarray(x.shape, x.dtype, unaligned.data)
    np.testing.assert_array_equal(uf.linear(view, w, bias, "relu"), want)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_quantized_weights_of_narrow_x(dtype: Any) -> None:
    w = _quantized("int4", 40, 96, axis=1, block_size=32)
    x = np.random.default_rng(7).normal(size=(5, 96)).astype(dtype)
    bias = np.ones(40, dtype)
    for mode in ("dynamic", "weight_only"):
        wide = uf.linear(x.astype(np.float32), w, bias.astype(np.float32), mode=mode)
        got = uf.linear(x, w, bias, mode=mode)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, wide.astype(dtype))


def test_empty_sizes(tier: str) -> None:
    for m, n, k in ((0, 3, 4), (2, 0, 4), (2, 3, 0)):
        for w in (np.ones((n, k), np.float32), _quantized("int4", n, k, axis=0)):
            x = np.ones((m, k), np.float32)
            got = uf.linear(x, w, np.ones(n, np.float32))
            assert got.shape == (m, n)
            if k == 0:
                assert np.all(got == 1)


def test_out_may_overlap_everything() -> None:
    rng = np.random.default_rng(9)
    memory = rng.normal(size=(64, 64)).astype(np.float32)
    want = uf.linear(memory, memory, memory[0])
    again = memory.copy()
    assert uf.linear(again, again, again[0], out=again) is again
    np.testing.assert_array_equal(again, want)
    w = _quantized("int8", 64, 64, axis=0)
    want = uf.linear(memory, w)
    assert uf.linear(memory, w, out=memory) is memory
    np.testing.assert_array_equal(memory, want)


# --- requantization ---


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("case", ["float32", "float64", "int8 axis 0", "uint4 blocks", "Q6_K"])
def test_requantized_result(case: str, dtype: Any) -> None:
    w = made(case, 50, 256) if not case.startswith("float") else weights(50, 256).astype(case)
    x = np.random.default_rng(3).normal(size=(9, 256)).astype(case if "float" in case else "f4")
    bias = np.linspace(-20, 20, 50).astype(x.dtype)
    plain = uf.linear(x, w, bias, "relu")
    zero = dtype(3)
    got = uf.linear(x, w, bias, "relu", out_scale=0.25, out_zero_point=zero)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, uf.quantize_linear(plain, x.dtype.type(0.25), zero))
    out = np.empty((9, 50), dtype)
    assert uf.linear(x, w, bias, "relu", out, out_scale=0.25, out_zero_point=3) is out
    np.testing.assert_array_equal(out, got)


# --- packed weights ---


def test_repr_and_bytes_of_packed_weights() -> None:
    w = weights(128, 256)
    floats = uf.prepack(w)
    assert repr(floats).startswith("PackedWeights(shape=(128, 256), float32, ")
    assert floats.shape == (128, 256) and floats.mode is None and floats.dtype == np.float32
    assert floats.nbytes >= w.nbytes
    four = uf.prepack(uf.quantize(w, "int4", axis=0))
    assert repr(four).startswith("PackedWeights(shape=(128, 256), int4 symmetric, 128 scales on")
    assert four.mode == "weight_only" and four.nbytes < w.nbytes / 6
    q4k = _kind("Q4_K", 128, 256)
    assert uf.prepack(q4k).nbytes <= 1.03 * q4k.nbytes
    eight = uf.prepack(uf.quantize(w, "int8", axis=0))
    assert eight.mode == "dynamic" and "int8, dynamic" in repr(eight)
    assert uf.prepack(four) is four


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_packed_floats(dtype: Any, tier: str) -> None:
    w = weights(90, 70).astype(dtype)
    x = np.random.default_rng(3).normal(size=(40, 70)).astype(dtype)
    packed = uf.prepack(w.T.copy().T)
    w_before = uf.linear(x, w)
    w[...] = 0  # nothing of the array is kept
    np.testing.assert_array_equal(uf.linear(x, packed), w_before)


FOUR = _quantized("int4", 8, 32, axis=0)
F8 = _quantized("float8_e4m3fn", 8, 32, axis=0)
X = np.ones((2, 32), np.float32)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"x": X.astype(np.float64)}, TypeError, "'x'.*float64.*astype"),
        ({"x": X[:, :31]}, ValueError, r"'w'.*\(2, 31\).*\(8, 32\)"),
        ({"mode": "int8"}, ValueError, "'mode'.*'int8'"),
        ({"w": F8, "mode": "dynamic"}, ValueError, "'mode'.*float8.*weight_only"),
        ({"w": X, "mode": "dynamic"}, ValueError, "'mode'.*float32.*quantize"),
        ({"w": uf.prepack(FOUR), "mode": "dynamic"}, ValueError, "'mode'.*prepack"),
        ({"w": np.ones((2, 3, 32), np.float32)}, ValueError, r"'w'.*\(2, 3, 32\)"),
        ({"w": np.ones((3, 32), np.int8)}, TypeError, "'w'.*int8"),
        ({"out_zero_point": 3}, ValueError, "'out_zero_point'.*out_scale"),
        ({"out_scale": 0.0}, ValueError, "'out_scale'.*0.0"),
        ({"out_scale": 1.0, "out_zero_point": 200}, ValueError, "'out_zero_point'.*200"),
        ({"out_scale": 1.0, "out_zero_point": np.int16(2)}, TypeError, "int16"),
        ({"out_scale": 1.0, "out": np.ones((2, 8), np.float32)}, TypeError, "'out'.*float32"),
    ],
)
def test_bad_quantized_input(change: dict, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        uf.linear(**{"x": X, "w": FOUR, **change})


def test_prepack_refuses() -> None:
    for bad, kind, message in (
        (np.ones((2, 2), np.int8), TypeError, "ufuse.prepack: argument 'w'.*int8"),
        (np.ones(2), ValueError, r"ufuse.prepack: argument 'w'.*\(2,\)"),
    ):
        with pytest.raises(kind, match=message):
            uf.prepack(bad)


# --- the fast entry ---


def test_fast_entry_is_the_general_function() -> None:
    """The same results, and what is not for it left to the general function."""
    general = getattr(uf.linear, "__wrapped__", uf.linear)
    rng = np.random.default_rng(11)
    w = rng.normal(size=(40, 64)).astype(np.float32)
    bias = rng.normal(size=40).astype(np.float32)
    q8, q4 = uf.quantize(w, "int8", axis=0), uf.quantize(w, "int4", axis=0)
    forms = [w, w[::-1], w.astype(">f4"), uf.prepack(w), q8, uf.prepack(q8), q4, uf.prepack(q4)]
    forms += [uf.prepack(q4, "dynamic"), uf.prepack(q8, "weight_only")]
    for shape in ((64,), (1, 64), (3, 5, 64), (0, 64)):
        x = rng.normal(size=shape).astype(np.float32)
        for form in forms:
            for options in ({}, {"bias": bias}, {"bias": bias, "activation": "gelu", "mode": None}):
                want = general(x, form, **options)
                for _ in range(2):  # what is kept with the weights, the second time
                    np.testing.assert_array_equal(uf.linear(x, form, **options), want)
                out = np.empty_like(want)
                assert uf.linear(x, form, **options, out=out) is out
                np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize(
    ("args", "options", "kind"),
    [
        ((X, FOUR), {"nothing": None}, TypeError),
        ((X, FOUR, None), {"bias": None}, TypeError),
        ((X, X), {"bias": np.ones(3, np.float32)}, ValueError),
        ((X, X), {"activation": "swish"}, ValueError),
        ((X, X), {"activation": ["relu"]}, ValueError),
        ((X, X[:, :3]), {}, ValueError),
        ((X, uf.prepack(FOUR)), {"out": np.ones((2, 7), np.float32)}, ValueError),
        ((X, uf.prepack(FOUR), np.ones((1, 8), np.float32)), {}, ValueError),
    ],
)
def test_fast_entry_declines(args: Any, options: dict, kind: type) -> None:
    with pytest.raises(kind):
        uf.linear(*args, **options)


def test_fast_entry_and_read_only_or_overlapping_out() -> None:
    x = np.random.default_rng(12).normal(size=(64, 64)).astype(np.float32)
    want = uf.linear(x, x, x[0])
    frozen = np.empty_like(want)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        uf.linear(x, x, out=frozen)
    for which in range(3):
        parts = [x.copy(), x.copy(), x[0].copy()]
        out = parts[which] if which < 2 else np.empty((65, 64), np.float32)[:-1]
        if which == 2:
            out[3] = parts[2]
            parts[2] = out[3]
        assert uf.linear(*parts, out=out) is out
        np.testing.assert_array_equal(out, want)
