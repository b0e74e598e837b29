"""linear and prepack against a product in float64."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE, tiers
from contraction_cases import spread
from linear_cases import ROWS, quantized
from ufuse.catalogue import OPERATIONS
from ufuse.contract.layer_finish import ACTIVATIONS

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
        (
            {"w": np.ones((4, 3))},
            TypeError,
            r"'x' and 'w'.*or bfloat16, or w quantized, got float32 and float64; .*x.astype",
        ),
        ({"w": np.ones((4, 3), np.int16)}, TypeError, r"'w'.*int16; .*w\.astype.*ufuse\.quantize"),
        ({"x": np.ones((2, 3), np.int32)}, TypeError, r"'x'.*int32; convert it with x\.astype"),
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
@pytest.mark.parametrize("m", [0, 1, 3, 8, 9, 64])
def test_narrow_floats_are_rounded_once(dtype: Any, m: int, tier: str) -> None:
    """What float32 gives, rounded."""
    rng = np.random.default_rng(3)
    for n, k in ((1, 1), (70, 33), (65, 1040)):
        if tier == "v4a" and dtype == ml_dtypes.bfloat16 and m * n * k > 1_000_000:
            continue  # below
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
        if m and NATIVE:
            np.testing.assert_array_equal(uf.linear(x[-1:], w, bias, "relu"), want[-1:])
        options = {"out_scale": 0.5, "out_zero_point": np.uint8(7)}
        codes = uf.linear(x, w, bias, "relu", **options)
        np.testing.assert_array_equal(codes, uf.linear(*wide, activation="relu", **options))


@pytest.mark.skipif("v4a" not in tiers(), reason="this machine has no tiles")
@pytest.mark.parametrize("m", [7, 8, 9, 33, 64])
@pytest.mark.parametrize(("n", "k"), [(100, 150), (130, 1040), (1100, 190)])
def test_many_rows_of_bfloat16_have_the_bits_of_a_product(m: int, n: int, k: int) -> None:
    """By tiles above eight rows and a million terms, else in float32 as on every other tier."""
    from ufuse import _core

    rng = np.random.default_rng(4)
    x, w = (rng.normal(size=(r, k)).astype(ml_dtypes.bfloat16) for r in (m, n))
    bias = rng.normal(size=n).astype(ml_dtypes.bfloat16)
    try:
        _core.set_tier("v4a")
        if m > 8 and m * n * k > 1_000_000:
            sums = uf.matmul(x, w.T, accumulate="float32")
        else:
            sums = uf.matmul(x.astype(np.float32), w.astype(np.float32).T)
        wide = np.maximum(sums + bias.astype(np.float32), 0)
        want = wide.astype(x.dtype)
        for weights in (w, np.asfortranarray(w), spread(w), uf.prepack(w)):
            for rows in (x, np.asfortranarray(x), spread(x), x.reshape(1, m, k)):
                got = uf.linear(rows, weights, bias, "relu")
                np.testing.assert_array_equal(got.reshape(m, n), want)
        for count in (2, 3):
            with uf.threads(count):
                np.testing.assert_array_equal(uf.linear(x, w, bias, "relu"), want)
        out = np.empty((m, 2 * n), x.dtype)[:, ::-2]
        assert uf.linear(x, w, bias, "relu", out=out) is out
        np.testing.assert_array_equal(out, want)
        codes = uf.linear(x, w, bias, "relu", out_scale=0.5)
        np.testing.assert_array_equal(codes, uf.quantize_linear(wide, np.float32(0.5), dtype="i1"))
    finally:
        _core.set_tier("")


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


# --- the fast entry ---

FOUR = quantized("int4", 8, 32, axis=0)
X = np.ones((2, 32), np.float32)


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
