"""Promotion: Python scalars are weak, NumPy's are not (NEP 50), inside and as arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from test_fuse import DTYPES, assert_same, check, sample
from ufuse import executors

pytestmark = pytest.mark.usefixtures("silent")

SCALARS: list[Any] = [
    2,
    -3,
    2.5,
    1 + 2j,
    True,
    np.float32(2),
    np.float64(2),
    np.int8(2),
    np.uint8(200),
    np.bool(True),
]


@pytest.mark.parametrize("scalar", SCALARS, ids=repr)
@pytest.mark.parametrize("code", DTYPES)
def test_scalars_inside_and_as_arguments(code: str, scalar: Any) -> None:
    # numexpr#155, numexpr#19, pandas#12388
    x = sample(code)
    functions = (
        lambda x, s: x * s,
        lambda x, s: np.maximum(s, x),
        lambda x, s: x < s,
        lambda x, s: np.where(x > 0, x, s),
    )
    for function in functions:
        try:
            with np.errstate(all="ignore"):
                expected = function(x, scalar)
        except OverflowError as error:
            for call in (uf.fuse(function), uf.fuse(lambda x, s, f=function: f(x, scalar))):
                with pytest.raises(OverflowError) as caught:
                    call(x, scalar)
                assert str(caught.value) == str(error)
        else:
            assert_same(uf.fuse(function)(x, scalar), expected)
            assert_same(uf.fuse(lambda x, f=function: f(x, scalar))(x), expected)


@pytest.mark.parametrize("number", [-1, 127, 128, 255, 256, -129, 2**63, 2**64, -(2**70)])
@pytest.mark.parametrize("code", ["i1", "u1", "i8", "u8"])
def test_integers_out_of_range(code: str, number: int) -> None:
    x = sample(code)
    for compare in (np.less, np.greater_equal, np.equal, np.not_equal):
        check(lambda x, compare=compare: compare(x, number), x)
        check(lambda x, n, compare=compare: compare(n, x), x, number)
    fused = uf.fuse(lambda x, n: x + n)
    fused(x, 1)
    try:
        expected = x + number
    except OverflowError:
        with pytest.raises(OverflowError):
            fused(x, number)
    else:
        assert_same(fused(x, number), expected)


def test_scalar_arguments_are_inputs_not_constants() -> None:
    fused = uf.fuse(lambda x, a, b: x * (1 - a) + (a * b - 2) / 4)
    x = np.arange(5, dtype=np.float32)
    for a, b in ((0.1, 2.0), (0.7, -3.5), (1e-3, 0.25)):
        assert_same(fused(x, a, b), x * (1 - a) + (a * b - 2) / 4)
    assert fused.cache_info().misses == 1
    assert fused(x, 1, 2).dtype == np.float32
    assert fused.cache_info().misses == 2


def test_scalars_whose_value_is_looked_at_become_part_of_the_key() -> None:
    @uf.fuse
    def power(x: Any, exponent: float, sign: float) -> Any:
        if sign > 0:
            return x**exponent
        return -(x ** int(exponent))

    x = np.arange(1, 5, dtype=np.float64)
    assert_same(power(x, 2, 1.0), x**2)
    assert_same(power(x, 3, 1.0), x**3, ulp=1)
    assert_same(power(x, 2.0, -1.0), -(x**2))
    assert power.program(x, 2, 1.0) != power.program(x, 3, 1.0)


def test_ufuncs_of_scalars_alone_are_strong() -> None:
    check(lambda x, a: x * np.sqrt(a), np.ones(3, np.float32), 2.0)
    check(lambda x, a: x + np.add(a, 1), np.ones(3, np.int8), 2)
    check(lambda x, a: x * (a + np.float64(1)), np.ones(3, np.float32), 2.0)
    check(lambda x, a: x * (a * np.arange(3.0)), np.ones(3, np.float32), 2.0)


@pytest.mark.skipif(not hasattr(np, "astype"), reason="np.clip has had min= since NumPy 2.1")
def test_clip_keywords() -> None:
    # cupy#7098
    x = sample("i1")
    check(lambda x: np.clip(x, min=-5, max=5), x)
    check(lambda x: np.clip(x, -1000, 5), x)
    check(lambda x: x.clip(0, 2.5), x)
    check(lambda x, low: x.clip(min=low), x, -1000)
    check(lambda x, low: np.clip(x, a_min=low, a_max=100), x, -7)
    for function in (
        lambda x: np.clip(x, 1),
        lambda x: np.clip(x, 0, 1, min=0),
    ):
        with pytest.raises((TypeError, ValueError)) as expected:
            function(x)
        with pytest.raises(expected.type):
            uf.fuse(function)(x)


def test_a_function_of_scalars_alone_runs_as_it_is() -> None:
    assert uf.fuse(lambda a, b: a * b)(2, 3.5) == 7.0
    with pytest.raises(TypeError, match="needs an array"):
        uf.fuse(lambda a: a)(1, out=np.empty(()))


def test_minus_zero_and_nan_constants_are_kept() -> None:
    x = np.array([0.0, -0.0])
    result = uf.fuse(lambda x: (x * 0.0, x * -0.0))(x)
    np.testing.assert_array_equal(np.signbit(result), [[False, True], [True, False]])
    assert np.isnan(uf.fuse(lambda x: x + np.nan)(x)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("single", range(16))
@pytest.mark.parametrize("join", [np.add, np.subtract])
def test_sums_of_two_products_round_each_operation(join, single: int, dtype) -> None:
    """They run in one step; any of the four operands may be a scalar, or one value per row."""
    rng = np.random.default_rng(single)
    full = rng.standard_normal((4, 6, 1024)).astype(dtype)
    full[:, 0, :4] = np.array([[np.nan, np.inf, -0.0, 1e-310]]).astype(dtype)
    operands = [full[k, :, :1] if single >> k & 1 else full[k] for k in range(4)]
    fused = uf.fuse(lambda a, b, c, d: join(a * b, c * d))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(
            fused(*operands),
            np.broadcast_to(
                join(operands[0] * operands[1], operands[2] * operands[3]), fused(*operands).shape
            ),
        )
        a, b = full[:2]
        np.testing.assert_array_equal(
            uf.fuse(lambda a, b: join(2 * a, b * 3))(a, b), join(2 * a, b * 3)
        )
        np.testing.assert_array_equal(uf.fuse(lambda a: join(a * a, a * a))(a), join(a * a, a * a))


@pytest.mark.parametrize("code", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_calls_with_numbers_are_repeated(code: str) -> None:
    """The compiled entry takes Python numbers: 0.3 us a call, 16 by way of Python."""
    x, y = sample(code), sample(code)[:1]
    for function in (lambda x, n: x + n, lambda n, x: n * x, lambda n, x, y, m: (x - n) * y + m):
        order = function.__code__.co_varnames
        fused = uf.fuse(function)
        for kind in (int, float):
            for number in (3, 3, 5, 127, 0, 2**40, -1, -128, 2**62, 7):
                values = {"x": x, "y": y, "n": kind(number), "m": kind(2)}
                args = [values[name] for name in order]
                try:
                    with np.errstate(all="ignore"):
                        expected = function(*args)
                except OverflowError:
                    with pytest.raises(OverflowError):
                        fused(*args)
                    continue
                for _ in range(2):
                    assert_same(fused(*args), expected)
                    out = np.empty_like(expected)
                    assert fused(*args, out=out) is out
                    assert_same(out, expected)


def test_repeated_numbers_keep_their_types_and_classes() -> None:
    x = np.arange(5, dtype=np.int8)
    fused = uf.fuse(lambda x, n: x + n)
    for _ in range(2):
        assert_same(fused(x, 1), x + 1)
    before = fused.cache_info()
    assert_same(fused(x, 100), x + 100)
    if executors.backend() == "native":
        assert fused.cache_info() == before
    with pytest.raises(OverflowError):
        fused(x, 200)
    assert_same(fused(x, True), x + True)
    assert_same(fused(x, 1.0), x + 1.0)
    assert_same(fused(x, np.int8(1)), x + np.int8(1))
    assert_same(fused(1, x), 1 + x)
    assert_same(fused(x.astype(np.float32), np.inf), np.full(5, np.float32(np.inf)))
    assert_same(fused(x.astype(np.float32), 1e300), np.full(5, np.float32(np.inf)))
    with pytest.raises(TypeError):
        fused(x, 1, 2)


def test_repeated_numbers_notice_rebound_variables() -> None:
    offset = 1.0
    fused = uf.fuse(lambda x, n: x * n + offset)
    x = np.arange(3, dtype=np.float32)
    for _ in range(3):
        assert_same(fused(x, 2), x * 2 + 1)
    offset = 5.0
    for _ in range(3):
        assert_same(fused(x, 2), x * 2 + 5)


def test_numbers_that_a_contraction_is_beside() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    fused = uf.fuse(lambda n, a, b: (a @ b) * n)
    for n in (2.0, 3.0, 3.0):
        assert_same(fused(n, x, x.T), (x @ x.T) * n)


@pytest.mark.parametrize("exponent", [2, np.int64(2), 2.0, 3])
def test_powers_of_bool(exponent: Any) -> None:
    # NumPy's operator squares bool to int8; np.power takes the type of the exponent.
    x = np.array([True, False])
    for function in (lambda a: a**exponent, lambda a: np.power(a, exponent)):
        expected = function(x)
        for call in (uf.fuse(function)(x), uf.fuse(lambda a, e: function(a))(x, exponent)):  # noqa: B023
            assert call.dtype == expected.dtype
            np.testing.assert_array_equal(call, expected)


@pytest.mark.parametrize(
    "function",
    [lambda a, k: np.where(k, a, -a), lambda a, k: np.logical_xor(a > 1, k)],
    ids=["where", "logical_xor"],
)
def test_whether_a_number_is_zero_in_repeated_calls(function: Any) -> None:
    # The compiled entry wrote the number itself in the byte of a bool.
    a = np.arange(64, dtype=np.int32)
    fused = uf.fuse(function)
    for number in (3, 2, 1, 256, 0, -2):
        for _ in range(2):
            np.testing.assert_array_equal(fused(a, number), function(a, number))
    for got, item in zip(fused.map([a, a + 1, a + 2], 2), (a, a + 1, a + 2), strict=True):
        np.testing.assert_array_equal(got, function(item, 2))
