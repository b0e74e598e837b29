"""Every construct that can be traced, against the function itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import ufuse as uf
from ufuse import executors
from ufuse.catalogue import OPERATIONS

pytestmark = pytest.mark.usefixtures("silent")

DTYPES = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")


def assert_same(got: Any, expected: Any, ulp: float = 0) -> None:
    """Compare values, dtype, shape and kind of result."""
    assert type(got) is type(expected)
    if isinstance(expected, (tuple, list)):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_same(one, other, ulp)
        return
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    if ulp and expected.dtype.kind in "fc":
        np.testing.assert_allclose(got, expected, rtol=ulp * np.finfo(expected.dtype).eps)
    else:
        np.testing.assert_array_equal(got, expected)


def check(function: Callable[..., Any], *args: Any, ulp: float = 0, **kwargs: Any) -> Any:
    """Call `function` fused, twice, and compare with NumPy's own result."""
    fused = uf.fuse(function)
    with np.errstate(all="ignore"):
        expected = function(*args, **kwargs)
    first, second = fused(*args, **kwargs), fused(*args, **kwargs)
    assert_same(first, expected, ulp)
    assert_same(second, first)
    return first


def sample(code: str, shape: tuple[int, ...] = (5, 7), seed: int = 0) -> Any:
    rng = np.random.default_rng([seed, ord(code[0])])
    dtype = np.dtype(code)
    if dtype.kind == "?" or code == "?":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    values = rng.standard_normal(shape) * 3
    if dtype.kind == "c":
        return (values + 1j * rng.standard_normal(shape)).astype(dtype)
    values.flat[:4] = np.nan, np.inf, -np.inf, -0.0
    return values.astype(dtype)


UNARY = [row for row in OPERATIONS if row.ufunc is not None and row.arity == 1]
BINARY = [row for row in OPERATIONS if row.ufunc is not None and row.arity == 2]


@pytest.mark.parametrize("code", [*DTYPES, "f2", "c8"])
@pytest.mark.parametrize("row", UNARY, ids=lambda row: row.name)
def test_unary_ufuncs(row: Any, code: str) -> None:
    x = sample(code)
    try:
        with np.errstate(all="ignore"):
            row.ufunc(x)
    except TypeError:
        with pytest.raises(TypeError):
            uf.fuse(row.ufunc)(x)
    else:
        check(row.ufunc, x, ulp=4)


@pytest.mark.parametrize(
    "pair",
    [(c, c) for c in DTYPES]
    + [
        ("?", "f4"),
        ("i1", "u1"),
        ("u8", "i8"),
        ("i8", "f4"),
        ("f2", "f4"),
        ("f4", "c8"),
        ("f4", "f8"),
    ],
    ids=str,
)
@pytest.mark.parametrize("row", BINARY, ids=lambda row: row.name)
def test_binary_ufuncs(row: Any, pair: tuple[str, str]) -> None:
    a, b = sample(pair[0]), sample(pair[1], seed=1)
    try:
        with np.errstate(all="ignore"):
            row.ufunc(a, b)
    except (TypeError, ValueError) as error:  # integers to negative powers
        with pytest.raises(type(error)):
            uf.fuse(row.ufunc)(a, b)
    else:
        # NumPy's logarithms of sums lose digits where they are near zero.
        check(row.ufunc, a, b, ulp=16 if row.ulp else 1 if "c8" in pair else 0)


@pytest.mark.parametrize("target", [*DTYPES, "f2", "c16"])
@pytest.mark.parametrize("code", DTYPES)
def test_astype(code: str, target: str) -> None:
    x = sample(code)
    if np.dtype(code).kind == "f":
        x = np.float64([0.0, -0.0, 1.5, 2.75, 100.9]).astype(code)
    check(lambda x: x.astype(target), x)


CONSTRUCTS: dict[str, Callable[..., Any]] = {
    "arithmetic": lambda a, b: 2 * a + 3 * b - a / 7 + -b,
    "operators": lambda a, b: abs(a) - +b,
    "comparisons": lambda a, b: (a < b) & (a != 0) | ~(b >= 1) ^ (a == b),
    "where": lambda a, b: np.where(a > b, a, b * 2),
    "where with scalars": lambda a, b: np.where(a > 0, 1.0, b),
    "where of numbers": lambda a, b: np.where(a > 0, a.astype(bool), b),
    "clip": lambda a, b: np.clip(a, -1, 1) + b,
    "clip keywords": lambda a, b: np.clip(a, a_min=-1, a_max=None) * b.clip(max=0.5),
    "clip by arrays": lambda a, b: a.clip(b, b + 1),
    "in place": lambda a, b: _in_place(a, b) - 1,
    "square": lambda a, b: a**2 + b,
    "cube": lambda a, b: a**3 + b,
    "root": lambda a, b: abs(a) ** 0.5 + b,
    "inverse": lambda a, b: a**-1 + b,
    "no power": lambda a, b: a**0 + b**1,
    "like": lambda a, b: np.zeros_like(a) + np.ones_like(b) + np.full_like(a, 2),
    "round": lambda a, b: np.round(a) + b.round() + np.rint(a),
    "logic": lambda a, b: np.logical_and(a, b) ^ np.logical_not(a),
    "maximum": lambda a, b: np.maximum(a, 0) + np.minimum(b, 1),
    "not compiled": lambda a, b: np.spacing(a) + np.nextafter(a, b),
    "floor division": lambda a, b: a // 2 + b % 3,
    "two results": lambda a, b: np.divmod(a, 3),
    "several": lambda a, b: (a + b, [a - b, a > b]),
    "chained names": lambda a, b: np.add(a, b, dtype=np.float64),
    "copies": lambda a, b: a.copy() + np.copy(b),
    "conjugate": lambda a, b: a.conj() * b,
}


def _in_place(a: Any, b: Any) -> Any:
    y = a * 2
    alias = y
    y += b
    np.multiply(y, 2, out=y)
    return y + alias


@pytest.mark.parametrize("code", ["f4", "f8"])
@pytest.mark.parametrize("name", CONSTRUCTS)
def test_constructs(name: str, code: str) -> None:
    check(CONSTRUCTS[name], sample(code), sample(code, seed=1), ulp=4)


@pytest.mark.parametrize("code", ["i1", "i4", "u8"])
@pytest.mark.parametrize(
    "name", ["comparisons", "where", "maximum", "square", "cube", "two results", "like"]
)
def test_constructs_of_integers(name: str, code: str) -> None:
    check(CONSTRUCTS[name], sample(code), sample(code, seed=1))


@pytest.mark.parametrize("exponent", [*range(-8, 10), 0.5, -0.5, 1.5, 3.0])
@pytest.mark.parametrize("code", ["f4", "f8"])
def test_constant_powers_agree_with_numpy(code: str, exponent: float) -> None:
    x = np.random.default_rng(0).uniform(0.01, 10, 20_000).astype(code)
    got, expected = uf.fuse(lambda x: x**exponent)(x), x**exponent
    assert got.dtype == expected.dtype
    assert np.max(np.abs(got - expected) / np.spacing(expected)) <= 1


def test_negative_powers_of_integers_are_refused() -> None:
    with pytest.raises(ValueError, match="negative integer powers"):
        uf.fuse(lambda x: x**-1)(np.arange(3))


@pytest.mark.parametrize(
    "shapes",
    [((), (3,)), ((3,), ()), ((4, 1), (5,)), ((0,), (1,)), ((2, 0, 3), (3,)), ((1, 1), (1,)),
     ((2, 3, 4), (3, 1))],
    ids=str,
)  # fmt: skip
def test_broadcasting(shapes: tuple[tuple[int, ...], ...]) -> None:
    a, b = (np.ones(shape, np.float32) * 3 for shape in shapes)
    check(lambda a, b: np.where(a > 0, a * b + 1, b), a, b)


def test_a_result_from_0d_arguments_is_a_scalar() -> None:
    check(lambda a, b: a + b, np.float32(1), np.array(2.0, np.float32))
    assert type(uf.fuse(lambda x: x + 1)(np.int8(3))) is np.int8


def test_several_results_of_different_shapes() -> None:
    # cupy#8381
    a, b = np.ones((4, 1)), np.arange(3.0)
    check(lambda a, b: (a * 2, b + 1, a + b, a - b, a * a), a, b)


def test_results_keep_the_structure_of_the_function() -> None:
    class Pair(NamedTuple):
        low: Any
        high: Any

    pair = uf.fuse(lambda x: Pair(x - 1, x + 1))(np.arange(3))
    assert type(pair) is Pair
    assert pair.high[0] == 1
    both = uf.fuse(lambda x: {"twice": 2 * x, "name": "x"})(np.arange(3))
    assert both["name"] == "x"
    assert both["twice"][2] == 4


def test_an_argument_returned_as_it_is_is_copied() -> None:
    x = np.arange(3.0)
    result, same = uf.fuse(lambda x: (x, x))(x)
    assert not np.shares_memory(result, x)
    assert_same(result, x)
    assert_same(same, x)


@pytest.mark.parametrize("layout", ["transposed", "reversed", "strided", "swapped", "unaligned"])
def test_any_layout(layout: str) -> None:
    x = np.arange(24, dtype="f4").reshape(4, 6)
    if layout == "unaligned":
        x = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view("f4").reshape(4, 6)
    views = {
        "transposed": x.T, "reversed": x[::-1, ::-1], "strided": x[::2, ::3],
        "swapped": x.astype(">f4"), "unaligned": x,
    }  # fmt: skip
    check(lambda x: 2 * x + 1, views[layout])
    check(lambda x: x - x.max(axis=-1, keepdims=True), views[layout])


def test_bfloat16() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.arange(10).astype(ml_dtypes.bfloat16)
    check(lambda x: np.where(x > 3, x * x, x), x)


def test_public_functions_inside_and_outside() -> None:
    x = sample("f4")
    for name, function in uf.fusion.public_functions().items():
        assert function.__name__ == name
        outside = function(x)
        assert outside.dtype == np.float32
        inside = uf.fuse(lambda x, function=function: function(x) * 2)
        assert_same(inside(x), outside * np.float32(2))


@pytest.mark.parametrize(
    ("code", "result"),
    [("?", "f4"), ("i1", "f4"), ("u2", "f4"), ("i4", "f8"), ("u8", "f8"), ("f2", "f2")],
)
def test_public_functions_choose_a_float(code: str, result: str) -> None:
    assert uf.gelu(np.ones(3, code)).dtype == np.dtype(result)
    assert uf.gelu(2).dtype == np.float64
    with pytest.raises(TypeError, match="complex"):
        uf.gelu(np.ones(3, complex))


@pytest.mark.parametrize("code", ["i1", "u2", "i8", "f2", "f4", "f8"])
def test_logic_of_numbers_is_native(code: str) -> None:
    # It was left to NumPy, and the whole pass with it.
    a, b = np.array([0, 1, 2, 0], code), np.array([0, 0, 3, 1], code)
    for function in (np.logical_and, np.logical_or, np.logical_xor):
        check(function, a, b)
    check(np.logical_not, a)
    explained = uf.fuse(np.logical_and).explain(a, b)
    assert explained.executor == executors.backend()
