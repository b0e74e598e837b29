"""Map, reduce, map over the trailing axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from test_fuse import assert_same, check, sample

KEEP = {"axis": -1, "keepdims": True}


@pytest.mark.parametrize("code", ["?", "i1", "u2", "i8", "f2", "f4", "f8", "c16"])
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "any", "all", "mean", "var", "std"])
def test_methods_and_functions(name: str, code: str) -> None:
    if code == "c16" and name in ("var", "std"):
        pytest.skip("the variance of complex numbers is refused")
    x = sample(code)
    if code in ("f2", "f4", "f8"):
        x = np.random.default_rng(1).uniform(1, 2, (5, 7)).astype(code)
    method = check(lambda x: getattr(x, name)(**KEEP), x, ulp=30)
    function = check(lambda x: getattr(np, name)(x, **KEEP), x, ulp=30)
    assert_same(method, function)


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def layer_norm(x: Any, gain: Any, shift: Any, epsilon: Any = 1e-5) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    return centred / np.sqrt(variance + epsilon) * gain + shift


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 1), (0, 4), (2, 100)], ids=str)
@pytest.mark.parametrize("code", ["f4", "f8"])
def test_softmax_and_layer_norm(code: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(code)
    row = np.linspace(0, 1, shape[-1], dtype=code)
    check(softmax, x, ulp=16)
    got = uf.fuse(layer_norm)(x, row, row, 1e-3)
    expected = layer_norm(x, row, row, 1e-3)
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_one_trace_serves_every_length() -> None:
    fused = uf.fuse(lambda x: x - x.mean(**KEEP))
    for length in (1, 2, 5, 100):
        x = np.arange(3.0 * length).reshape(3, length)
        np.testing.assert_allclose(fused(x), x - x.mean(**KEEP), rtol=1e-12, atol=1e-12)
    assert fused.cache_info().misses == 1


@pytest.mark.parametrize("lengths", [(7, 7), (7, 1), (1, 7), (1, 1), (7, 3)], ids=str)
def test_rows_of_other_lengths(lengths: tuple[int, int]) -> None:
    functions: list[Callable[..., Any]] = [
        lambda a, b: a * b.sum(**KEEP),
        lambda a, b: a.sum(**KEEP) * b.max(**KEEP),
        lambda a, b: (a.mean(**KEEP) * 2, b - b.min(**KEEP)),
    ]
    fused = [uf.fuse(function) for function in functions]
    for order in (lengths, lengths[::-1]):
        a, b = (np.arange(5.0 * n).reshape(5, n) + 1 for n in order)
        for one, function in zip(fused, functions, strict=True):
            assert_same(one(a, b), function(a, b), ulp=4)


def test_row_arguments_beside_rows() -> None:
    x, scale = np.ones((4, 6), np.float32), np.arange(4, dtype=np.float32)[:, None]
    check(lambda x, s: x.sum(**KEEP) * s, x, scale)
    check(lambda x, s: (x.sum(**KEEP) * s, x + s), x, scale)
    check(lambda x, s: x.sum(**KEEP) * s.sum(**KEEP), x, scale)
    check(lambda x, s: (x + (s * s).max(**KEEP), s * 2), x, scale)


def test_options() -> None:
    x = np.arange(12.0).reshape(3, 4)
    check(lambda x: x.var(axis=1, keepdims=True, ddof=1), x, ulp=4)
    check(lambda x: np.std(x, axis=(-1,), keepdims=True, correction=1), x, ulp=4)
    check(lambda x: x.sum(axis=-1, dtype=np.float32, keepdims=True), x)
    check(lambda x: np.add.reduce(x, axis=-1, keepdims=True), x)
    check(lambda x: x.sum(keepdims=True), x[0])


def test_float32_sums_do_not_stick() -> None:
    # numpy#22956, bottleneck#193
    x = np.ones((1, 2**20), np.float32) / 3
    exact = np.float32(np.float64(np.float32(1 / 3)) * 2**20)
    assert uf.fuse(lambda x: x.sum(**KEEP))(x)[0, 0] == exact


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.sum(axis=0, out=np.empty(4)), "out="),
        (np.subtract.reduce, "np.subtract.reduce"),
        (np.add.accumulate, "accumulate"),
    ],
)
def test_what_is_refused(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(uf.TraceError, match=message):
        uf.fuse(function)(np.ones((3, 4)))


def test_errors_are_numpys() -> None:
    with pytest.raises(ValueError, match="zero-size array"):
        uf.fuse(lambda x: x.max(**KEEP))(np.ones((3, 0)))
    with pytest.raises(np.exceptions.AxisError):
        uf.fuse(lambda x: x.sum(axis=2, keepdims=True))(np.ones((3, 4)))
    with pytest.raises(np.exceptions.AxisError):
        uf.fuse(lambda x: x.sum(axis=1, keepdims=True))(np.array(1.0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [16, 100, 4096, 5003, 9000])
@pytest.mark.parametrize("length", [2, 3, 16, 33])
def test_weights_along_rows_that_lie_across_memory(length: int, rows: int, dtype: type) -> None:
    """The last tile once read a block shaped like the full ones."""
    rng = np.random.default_rng(length)
    x = rng.standard_normal((rows, length)).astype(dtype)
    w = rng.standard_normal(length).astype(dtype)
    column = rng.standard_normal((rows, 1)).astype(dtype)

    @uf.fuse
    def weighted(x, w, column):
        y = x * w + column
        return y - y.max(axis=-1, keepdims=True), (y * w).sum(axis=-1, keepdims=True)

    y = x * w + column
    want = y - y.max(axis=-1, keepdims=True), (y * w).sum(axis=-1, keepdims=True, dtype=np.float64)
    for array in (x, np.asfortranarray(x), x[::-1].copy()[::-1]):
        got = weighted(array, w, column)
        np.testing.assert_array_equal(got[0], want[0])
        np.testing.assert_allclose(got[1], want[1], rtol=1e-5, atol=1e-5)


def test_repeated_calls_where_an_argument_only_adds_to_a_row_value() -> None:
    """The compiled entry gave the result the length of the longest argument."""
    functions: list[Callable[..., Any]] = [
        lambda a, b: a + (a + b).min(axis=-1, keepdims=True),
        lambda a, b: a * 1 + ((a + b).max(axis=-1, keepdims=True) + a).sum(axis=-1, keepdims=True),
    ]
    rng = np.random.default_rng(0)
    wide, narrow = rng.random((3, 5)), rng.random((3, 1))
    for function in functions:
        fused = uf.fuse(function)
        for _ in range(2):
            for a, b in ((wide, wide), (narrow, wide), (wide, narrow), (narrow, narrow)):
                np.testing.assert_allclose(fused(a, b), function(a, b), strict=True)


@pytest.mark.parametrize("dtype", [">f4", ">i8", ">f8"])
def test_results_in_swapped_byte_order(dtype: str) -> None:
    # The bytes of a result were written as they are in a register.
    x = np.arange(4500, dtype=np.float32).reshape(3, 1500)
    for axis in (0, 1, None):
        for function in (np.max, np.sum, np.count_nonzero):
            for of in (lambda a: a, lambda a: a * 2):
                fused = uf.fuse(lambda a: function(of(a), axis))  # noqa: B023
                expected = function(of(x), axis)
                if not np.can_cast(expected.dtype, dtype, "same_kind"):
                    continue
                out = np.zeros(expected.shape, dtype)
                assert fused(x, out=out) is out
                np.testing.assert_allclose(out, expected, rtol=1e-6)


@pytest.mark.parametrize("code", ["?", "u1", "i4", "i8", "f2", "f4", "f8", "c16"])
@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 4), (3, 0, 2), (2, 3)])
def test_extremes_of_nothing_with_an_initial_value(
    name: str, code: str, shape: tuple[int, ...]
) -> None:
    x = np.ones(shape, code)
    function = getattr(np, name)
    for axis in (0, -1, None):
        check(lambda x: function(x, axis, initial=1), x)  # noqa: B023
        check(lambda x: function(x & x if code == "?" else x * x, axis, initial=1), x)  # noqa: B023
    check(lambda x: function(x, axis=-1, keepdims=True, initial=1) + x, x)
    with pytest.raises(ValueError, match="no identity"):
        uf.fuse(lambda x: function(x, axis=0) | x)(np.ones((0, 2), np.int8))


@pytest.mark.parametrize("code", [">c8", ">c16"])
def test_complex_numbers_in_swapped_byte_order(code: str) -> None:
    # NumPy refuses such a dtype= for what is computed.
    x = (np.arange(12) + 2j).astype(code).reshape(3, 4)
    for name in ("sum", "prod", "mean", "var", "std"):
        expected = getattr(np, name)(x.astype(x.dtype.newbyteorder("=")), axis=1)
        np.testing.assert_allclose(getattr(uf, name)(x, axis=1), expected)
        np.testing.assert_allclose(uf.fuse(lambda a: getattr(np, name)(a, axis=1))(x), expected)  # noqa: B023


def test_the_index_of_one_complex_number() -> None:
    x = np.array(3 + 1j)
    assert uf.fuse(lambda a: np.argmax(a, axis=0))(x) == np.argmax(x, axis=0)
