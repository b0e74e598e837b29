"""linear with quantized weights, and prepack, against a product in float64."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE, tiers
from linear_cases import GGUF, QUANTIZED, ROWS, bound, inputs_of, kind_of, made, quantized, weights


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
    w = quantized("int4", 20, 64, axis=0)
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
    w = quantized("int4", 40, 96, axis=1, block_size=32)
    x = np.random.default_rng(7).normal(size=(5, 96)).astype(dtype)
    bias = np.ones(40, dtype)
    for mode in ("dynamic", "weight_only"):
        wide = uf.linear(x.astype(np.float32), w, bias.astype(np.float32), mode=mode)
        got = uf.linear(x, w, bias, mode=mode)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, wide.astype(dtype))


def test_empty_sizes(tier: str) -> None:
    for m, n, k in ((0, 3, 4), (2, 0, 4), (2, 3, 0)):
        for w in (np.ones((n, k), np.float32), quantized("int4", n, k, axis=0)):
            x = np.ones((m, k), np.float32)
            got = uf.linear(x, w, np.ones(n, np.float32))
            assert got.shape == (m, n)
            if k == 0:
                assert np.all(got == 1)


def test_out_of_bfloat16_may_overlap_everything() -> None:
    """On tiles, where there are any."""
    _overlap_everything(np.random.default_rng(5).normal(size=(128, 128)).astype(ml_dtypes.bfloat16))


def _overlap_everything(memory: Any) -> None:
    want = uf.linear(memory, memory, memory[0])
    again = memory.copy()
    assert uf.linear(again, again, again[0], out=again) is again
    np.testing.assert_array_equal(again, want)


def test_out_may_overlap_everything() -> None:
    rng = np.random.default_rng(9)
    memory = rng.normal(size=(64, 64)).astype(np.float32)
    _overlap_everything(memory)
    w = quantized("int8", 64, 64, axis=0)
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
    q4k = kind_of("Q4_K", 128, 256)
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


FOUR = quantized("int4", 8, 32, axis=0)
F8 = quantized("float8_e4m3fn", 8, 32, axis=0)
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


def test_copies() -> None:
    w = np.random.default_rng(21).normal(size=(48, 64)).astype(np.float32)
    for given in (w, w.astype(np.float16), uf.quantize(w, "int4", axis=0)):
        packed = uf.prepack(given)
        assert copy.copy(packed) is packed
        assert copy.deepcopy({"layer": packed})["layer"] is packed


def restored(packed: uf.PackedWeights) -> uf.PackedWeights:
    again = pickle.loads(pickle.dumps(packed))
    assert (repr(again), again.dtype, again.mode) == (repr(packed), packed.dtype, packed.mode)
    return pickle.loads(pickle.dumps(again))  # what was packed again can be pickled again


@pytest.mark.parametrize("case", [*QUANTIZED, *GGUF])
def test_pickles_of_codes(case: str) -> None:
    rng = np.random.default_rng(22)
    for n in (1, 70):
        for k in inputs_of(case):
            x = rng.normal(size=(3, k)).astype(np.float32)
            w = made(case, n, k)
            for mode in ("weight_only", "dynamic") if case in DYNAMIC else ("weight_only",):
                packed = uf.prepack(w, mode)
                got, want = uf.linear(x, restored(packed)), uf.linear(x, packed)
                if NATIVE:
                    np.testing.assert_array_equal(got, want)
                else:  # of codes without their record all numbers are made at once
                    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "int8"])
def test_pickles_have_the_bits_that_were_packed(name: str, any_tier: str) -> None:
    """Panels and k blocks that are whole, and not; NaN with a payload, infinities, negative 0."""
    rng = np.random.default_rng(23)
    sizes = [
        (1, 1),
        (2, 3),
        (17, 5),
        (16, 64),
        (33, 70),
        (48, 64),
        (65, 1100),
        (113, 2049),
        (700, 9),
    ]
    for n, k in [*sizes, (0, 3), (3, 0)]:
        if name == "int8":
            record = uf.quantize(rng.normal(size=(n, k)).astype(np.float32), "int8", axis=0)
            packed, want = uf.prepack(record), record.data
        else:
            want = rng.integers(0, 256, (n, k, np.dtype(name).itemsize), np.uint8).view(name)[
                ..., 0
            ]
            packed = uf.prepack(want)
        form: Any = packed._weights
        stored = form.array if hasattr(form, "array") else form.__reduce__()[1][0]
        assert stored.shape == want.shape
        assert stored.dtype == want.dtype
        assert stored.tobytes() == want.tobytes(), (n, k)
        again = restored(packed)
        x = rng.normal(size=(40, k)).astype("f4" if name == "int8" else name)
        with np.errstate(all="ignore"):  # of NumPy
            assert uf.linear(x, again).tobytes() == uf.linear(x, packed).tobytes()


@pytest.mark.skipif(not NATIVE, reason="the reference executor has no tiers")
def test_pickles_are_read_by_other_machines(tier: str) -> None:
    """What one tier packed, another one packs its own way."""
    from ufuse import _core

    rng = np.random.default_rng(24)
    w = rng.normal(size=(70, 300)).astype(np.float32)
    x = rng.normal(size=(33, 300)).astype(np.float32)
    for given in (w, uf.quantize(w, "int8", axis=0), uf.quantize(w, "int4", axis=0)):
        dumped = pickle.dumps(uf.prepack(given))
        for other in tiers():
            _core.set_tier(other)
            want = uf.linear(x, uf.prepack(given))
            np.testing.assert_array_equal(uf.linear(x, pickle.loads(dumped)), want)
        _core.set_tier(tier)
