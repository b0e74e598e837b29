"""Expressions in strings: every construct beside Python's own evaluation with NumPy."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ufuse as uf
from expression_cases import KINDS, by_python, numbers, same
from ufuse.expression.language import FUNCTIONS

pytestmark = pytest.mark.usefixtures("silent")

OPERATORS = "+ - * / // % ** << >> & | ^ < <= == != >= >".split()


def check(text: str, *, rtol: float = 0.0, **names: Any) -> Any:
    """Compare with Python, errors too: a call, a repeated one, and one into `out`."""
    try:
        expected = by_python(text, **names)
    except Exception as error:
        with pytest.raises(type(error)):
            uf.evaluate(text, names)
        return None
    for _ in range(2):
        same(uf.evaluate(text, names), expected, rtol=rtol)
    out = np.empty(expected.shape, expected.dtype)
    assert uf.evaluate(text, names, out=out) is out
    same(out[()], expected, rtol=rtol)
    return expected


# --- operators -----------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_on_every_pair_of_dtypes(operator: str) -> None:
    for left, right in product(KINDS, repeat=2):
        a, b = numbers(left), numbers(right, 1)
        if operator in ("<<", ">>"):
            b = np.abs(b)
        inexact = operator in ("**", "/") and "f2" in (left, right)
        complex_ = "c" in a.dtype.kind + b.dtype.kind
        check(f"a {operator} b", a=a, b=b, rtol=1e-3 if inexact else 1e-5 if complex_ else 1e-7)


@pytest.mark.parametrize("operator", "+-~")
@pytest.mark.parametrize("code", KINDS)
def test_unary_operators(operator: str, code: str) -> None:
    check(f"{operator}a", a=numbers(code))


def test_matrix_product() -> None:
    check("a @ b + c", a=numbers("f8"), b=numbers("f8", 1, (5, 4)), c=numbers("f8", 2, (4,)))


@pytest.mark.parametrize("code", KINDS)
@pytest.mark.parametrize(
    "number", ["2", "-3", "300", "2.5", "1e-3", "2j", "True", "2**3", "0x10", "1_000", "2**70"]
)
def test_constants_are_weak(number: str, code: str) -> None:
    """pandas#12388: float32 stays float32 beside 2.5; an integer that does not fit is an error."""
    beyond = number == "2**70" and code == "?"  # NumPy refuses to compare these, ufuse does not
    for operator in ("+", "*", "/", "+" if beyond else "<"):
        check(f"a {operator} {number}", a=numbers(code), rtol=1e-3 if code == "f2" else 1e-6)


@pytest.mark.parametrize("code", KINDS)
@pytest.mark.parametrize("number", [2, -3, 300, 2.5, 1 + 2j, True, np.float32(2), np.int64(3)])
def test_variables_that_are_numbers(number: Any, code: str) -> None:
    """Python's are weak, NumPy's are not."""
    check("a*s + s", a=numbers(code), s=number, rtol=1e-3 if code == "f2" else 1e-6)
    check("a + s.real", a=numbers(code), s=number, rtol=1e-3 if code == "f2" else 1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "2", "2.5", "1.5j", "3.j", "True", "1.2e3 + 4.5e6j", "2**40", "2**10", "7.0 == 5",
        "1 + 1", "-2**2", "2**-1", "-7 // 2", "-7 % 3", "1 << 4", "6 & 3 | 8 ^ 1", "~5",
        "cos(1 + 1)", "arcsin(0.5)", "where(1 < 2, 3, 4)", "sqrt(2)", "(1 + 2j).imag",
        "complex(1, 2)", "float32(2)", "2**63", "abs(-3)", "sum(3)", "minimum(2, 3.5)",
    ],
)  # fmt: skip
def test_expressions_without_arrays(text: str) -> None:
    same(uf.evaluate(text, {}), by_python(text))


def test_bools_that_are_written_out_are_inverted_as_bools() -> None:
    """Python's own ~True is -2, and deprecated."""
    same(uf.evaluate("~True", {}), np.False_)
    same(uf.evaluate("~(2 < 1)", {}), np.True_)


@pytest.mark.parametrize(
    "text",
    [
        "b*c + d*e", "2*a + 3*b", "-a", "sinh(a)", "2*a + (cos(3) + 5)*sinh(cos(b))",
        "2*a + arctan2(a, b)", "where(a != 0.0, 2, a)", "where(a > 10, b < a, b > a)",
        "where((a - 10).real != 0.0, a, 2)", "0.25 * (a < 5) + 0.33 * (a >= 5)", "a",
        "(a + 2*b) / (1 + a + 4*b*b)", "((.25*a + .75)*a - 1.5)*a - 2", "a*2.e-5 + 2.",
        "sqrt(c) > 1.", "(b > 1) & (c < 9) | ~(d > 0)", "a**0.5 + b**-1.0 + c**0 + d**3 + e**4.5",
        "sin(complex(a, b)).real + (a + 1j*b).imag", "a   +\\\n b", "(a +\n b)  # a comment",
    ],
)  # fmt: skip
@pytest.mark.parametrize("code", ["i4", "i8", "f4", "f8"])
def test_what_numexpr_documents(text: str, code: str) -> None:
    a, b, c, d, e = (np.abs(numbers(code, seed)) + np.ones((), code) for seed in range(5))
    check(text, a=a, b=b, c=c, d=d, e=e, rtol=1e-5)


def test_gains_of_numpy_are_kept() -> None:
    """pandas#12388: uint32 and complex64 stay what they are."""
    assert uf.evaluate("a + 1", {"a": np.ones(3, np.uint32)}).dtype == np.uint32
    assert uf.evaluate("a * 2.5", {"a": np.ones(3, np.complex64)}).dtype == np.complex64
    assert uf.evaluate("a * 2.5", {"a": np.ones(3, np.float32)}).dtype == np.float32


# --- functions -----------------------------------------------------------------------------------

ELEMENTWISE = sorted(name for name, f in FUNCTIONS.items() if isinstance(f.call, np.ufunc))
PUBLIC = sorted(uf.fusion.public_functions())


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_numpys_elementwise_functions(name: str) -> None:
    operands = ", ".join("abc"[: FUNCTIONS[name].most])
    for code in ("?", "i4", "u1", "f4", "f8", "c16"):
        a, b = numbers(code), np.abs(numbers("i4" if name == "ldexp" else code, 1))
        check(f"{name}({operands})", a=a, b=b, rtol=1e-4 if code == "f4" else 1e-6)


@pytest.mark.parametrize("name", PUBLIC)
def test_functions_that_numpy_lacks(name: str) -> None:
    a = numbers("f8")
    same(uf.evaluate(f"{name}(a)", {"a": a}), getattr(uf, name)(a))
    expected = by_python(f"2*{name}(a)", a=a).astype(np.float64)  # references have digits to spare
    same(uf.evaluate(f"2*{name}(a)", {"a": a}), expected, rtol=1e-12)
    same(uf.evaluate(f"{name}(a)", {"a": a.astype("f4")}), getattr(uf, name)(a.astype("f4")))


def test_numexprs_functions_are_all_there() -> None:
    numexprs = """where sin cos tan arcsin arccos arctan arctan2 arctanh arcsinh arccosh sinh cosh
    tanh log log10 log1p log2 exp expm1 sqrt abs conj real imag complex fmod hypot nextafter
    copysign maximum minimum ceil floor round trunc sign isnan isfinite isinf signbit ones_like
    copy sum prod min max"""
    assert set(numexprs.split()) <= FUNCTIONS.keys()


@pytest.mark.parametrize("code", KINDS)
def test_parts_of_complex_numbers(code: str) -> None:
    a = numbers(code)
    for text in ("a.real", "a.imag", "real(a)", "imag(a) + a.real", "conj(a)", "(a*2).imag"):
        check(text, a=a, rtol=1e-3 if code == "f2" else 0.0)


def test_complex_of_infinite_parts() -> None:
    a, b = np.array([1.0, np.inf, -0.0]), np.array([np.inf, 1.0, -0.0])
    got = check("complex(a, b)", a=a, b=b)
    assert np.signbit(got.real[2]) and np.signbit(got.imag[2])
    for codes in product(["i1", "i8", "f4", "f8"], repeat=2):
        check("complex(a, b)", a=numbers(codes[0]), b=numbers(codes[1], 1))
    check("complex(a, 2)", a=numbers("f4"))
    check("complex(s, t) * a", a=numbers("c8"), s=2.0, t=3)


@pytest.mark.parametrize("name", ["float32", "int16", "bool", "complex64", "float16", "uint8"])
def test_conversions(name: str) -> None:
    for code in KINDS[:-2]:
        a = np.abs(numbers(code))
        expected = a.astype(name)
        same(uf.evaluate(f"{name}(a)", {"a": a}), expected)
        same(uf.evaluate(f"{name}(s)*{name}(a)", {"a": a, "s": 2}), getattr(np, name)(2) * expected)


def test_where_clip_round_and_the_like() -> None:
    for code in ("i4", "u1", "f4", "f8"):
        a, b = numbers(code), numbers(code, 1)
        check("where(a > b, a, 0)", a=a, b=b)
        check("where(True, a, b)", a=a, b=b)
        check("clip(a, 1, 2)", a=a)
        check("round(a)", a=a)
        check("copy(a) + ones_like(a) - zeros_like(b)", a=a, b=b)
        check("where(m, a, b)", a=a, b=b, m=True)


def test_names_of_functions_are_free_for_variables() -> None:
    a = np.arange(3.0)
    same(uf.evaluate("sum + sin(abs)", {"sum": a, "abs": a}), a + np.sin(a))


# --- reductions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["?", "i4", "u1", "f4", "f8"])
@pytest.mark.parametrize("name", ["sum", "prod", "min", "max", "mean", "any", "all", "var", "std"])
def test_reductions_within(name: str, code: str) -> None:
    """numexpr#271: anywhere, and not sums and products alone."""
    a = numbers(code)
    check(f"{name}(a, -1, keepdims=True)", a=a, rtol=1e-5)
    check(f"a / (1 + {name}(a*a, axis=1, keepdims=True))", a=a, rtol=1e-5)


def test_options_of_reductions() -> None:
    a = numbers("f4")
    check("sum(a, axis=-1, dtype=float64, keepdims=True)", a=a, rtol=1e-12)
    check("var(a, axis=-1, ddof=1, keepdims=True)", a=a, rtol=1e-5)
    check("(a - max(a, axis=(-1,), keepdims=True))", a=a)


@pytest.mark.parametrize(
    "text", ["sum(a)", "sum(a, axis=0)", "prod(a**2 + 2, 1)", "min(a, (0, 1))", "max(a - 1)"]
)
def test_reductions_over_any_axes(text: str) -> None:
    check(text, a=numbers("f8"), rtol=1e-12)


# --- random trees --------------------------------------------------------------------------------

UNARY = ["-({})", "abs({})", "sqrt({})", "floor({})", "square({})", "isnan({})", "({}).real"]
BINARY = [f"({{}}) {op} ({{}})" for op in "+ - * / < <= == != >= >".split()] + [
    "maximum({}, {})", "minimum({}, {})", "where(({0}) > 1, {0}, {1})", "arctan2({}, {})",
]  # fmt: skip
LEAVES = st.sampled_from(["a", "b", "c", "s", "2", "3.5", "0", "-1", "1e3"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds(str.format, st.sampled_from(UNARY), inner),
        st.builds(str.format, st.sampled_from(BINARY), inner, inner),
    )


@given(
    text=st.recursive(LEAVES, _grown, max_leaves=12),
    codes=st.lists(st.sampled_from(["?", "i1", "u1", "i4", "f4", "f8"]), min_size=3, max_size=3),
    number=st.sampled_from([2, -1, 0.5, 1000]),
)
def test_random_trees(text: str, codes: list[str], number: Any) -> None:
    a, b, c = (numbers(code, i, ((3, 5), (5,), (3, 1))[i]) for i, code in enumerate(codes))
    check(text, a=a, b=b, c=c, s=number, rtol=1e-4)


def test_a_long_sum() -> None:
    a = np.arange(4.0)
    same(uf.evaluate("+".join(["a"] * 500), {"a": a}), 500 * a)
