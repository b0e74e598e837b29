"""Expressions in strings beside numexpr, where both have the same dtypes: int64, float64, bool.

The differences are in docs/fusion.md; each that is meant has a test here.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ufuse as uf

ne = pytest.importorskip("numexpr")

#: What both lack for complex numbers.
ORDERED = "< > % // arctan2 fmod hypot nextafter copysign trunc floor ceil max min".split()

COMPLEX = {
    "sin(complex(b, c)).real + b.imag": "complex() of complex numbers",
    "isinf(c / (a - a))": "complex numbers divided by 0: ours are NumPy's",
    "a + arctan(b + c)": "beside the branch cut: ours is NumPy's",
}

FUNCTIONS = """copy ones_like sqrt sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh
arctanh log log1p log10 log2 exp expm1 abs conj ceil floor round trunc sign""".split()
EXPRESSIONS = [
    "b*c + d*e", "2*a + 3*b", "-a", "sinh(a)", "2*a + (cos(3) + 5)*sinh(cos(b))",
    "2*a + arctan2(a, b)", "arcsin(0.5)", "where(a != 0.0, 2, a)", "where(a > 10, b < a, b > a)",
    "where((a - 10).real != 0.0, a, 2)", "0.25 * (a < 5) + 0.33 * (a >= 5)", "cos(1 + 1)",
    "cos(m)", "(a + 2*b) / (1 + a + 4*b*b)", "((.25*a + .75)*a - 1.5)*a - 2", "a", "a.real",
    "(a > 1) & (b < 2)", "(a > 1) | ~(b < 2)", "(a > 1) ^ (b < 2)", "m + a", "m * c",
    "sin(complex(b, c)).real + b.imag", "1.2e3 + 4.5e6j*a", "maximum(a, b) - minimum(a, b)",
    "isnan(b / a)", "isinf(c / (a - a))", "isfinite(b)", "signbit(b - 5)",
    *(f"a + {name}(b + c)" for name in FUNCTIONS),
    *(f"a + {name}(b + c, {other})" for other in ("d + 1", "1")
      for name in ("arctan2", "fmod", "hypot", "nextafter", "copysign")),
    *(f"{left} {op} {right}" for op in ("+", "-", "*", "/", "%", "**") for left, right in (
        ("(a + 1)", "(b + 3)"), ("3", "(b + 3)"), ("(a + 1)", "4"), ("2", "(b + 3)"),
        ("(a + 1)", "2"), ("(a + 1)", "0.5"))),
    *(f"{left} {op} {right}" for op in ("<", "<=", "==", ">=", ">", "!=")
      for left, right in (("a/2 + 5", "b"), ("a/2 + 5", "7"), ("7", "b"))),
    *(f"(a + 1)**{n}" for n in (-2.5, -1.3, -0.5, 0, 0.0, 1, 2.3, 3)),
]  # fmt: skip


def names(dtype: Any) -> dict[str, Any]:
    n = 100
    a = np.arange(2 * n).astype(dtype)[::2]
    b = (np.arange(n) / n).astype(dtype)
    c, d, e = (np.arange(n).astype(dtype) + i for i in range(3))
    if dtype is complex:
        b, c, d, e = (x * (1 + 1j) + 1j for x in (b, c, d, e))
    return {"a": a, "b": b, "c": c, "d": d, "e": e, "m": np.zeros((3, n), dtype)}


def both(text: str, names: dict[str, Any], **options: Any) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = ne.evaluate(text, names, {}, **options)
    return uf.evaluate(text, names, {}, **options), expected


@pytest.mark.parametrize("dtype", [np.int64, float, complex])
@pytest.mark.parametrize("text", EXPRESSIONS)
def test_numexprs_own_tests(text: str, dtype: Any) -> None:
    if dtype is complex and any(word in text for word in ORDERED):
        pytest.skip("not of complex numbers")
    if dtype is complex and text in COMPLEX:
        pytest.skip(COMPLEX[text])
    try:
        got, expected = both(text, names(dtype))
    except NotImplementedError:
        pytest.skip("numexpr lacks it for this dtype")
    if dtype is float and not text.startswith("a + conj"):
        assert got.dtype == expected.dtype  # of integers numexpr makes floats in more places
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("text", ["x << y", "x >> y", "x & y", "x | y", "x ^ y", "~x", "x % z",
                                  "x // z"])  # fmt: skip
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_integers(text: str, dtype: Any) -> None:
    x, y = np.arange(-20, 20, dtype=dtype), np.arange(40, dtype=dtype) % 70
    got, expected = both(text, {"x": x, "y": y, "z": (y - 20) * 3})
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


BINARY = [f"({{}}) {op} ({{}})" for op in "+ - * < <= == != >= >".split()]


@given(
    text=st.recursive(
        st.sampled_from(["a", "b", "c", "s"]),
        lambda inner: st.one_of(
            st.builds("sqrt(abs({}))".format, inner),
            st.builds("({}) * 2.5 - 1.0".format, inner),
            st.builds("where(({0}) > 1, {0}, {1})".format, inner, inner),
            st.builds(str.format, st.sampled_from(BINARY), inner, inner),
        ),
        max_leaves=8,
    )
)
def test_random_trees(text: str) -> None:
    rng = np.random.default_rng(len(text))
    a, b, c = rng.normal(size=(3, 5)), rng.normal(size=5), rng.normal(size=(3, 1))
    try:
        got, expected = both(text, {"a": a, "b": b, "c": c, "s": np.float64(0.75)})
    except (TypeError, NotImplementedError, ValueError):
        return  # sums of bools and the like, which numexpr lacks
    # numexpr drops the operand that a condition without arrays does not choose, and its shape.
    np.testing.assert_allclose(got, np.broadcast_to(expected, got.shape), rtol=1e-12)


# --- keywords, and errors ------------------------------------------------------------------------


def test_out_order_and_casting() -> None:
    a = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    for order in "KCFA":
        got, expected = both("2*a + 1", {"a": a}, order=order)
        np.testing.assert_array_equal(got, expected)
        assert got.strides == expected.strides
    for casting in ("safe", "same_kind", "unsafe"):
        outcomes = []
        for library in (uf, ne):
            out = np.zeros((3, 4), np.float32)
            try:
                assert library.evaluate("a / 3", out=out, casting=casting) is out
                outcomes.append(out)
            except TypeError as error:
                outcomes.append(type(error))
        np.testing.assert_array_equal(*outcomes)


@pytest.mark.parametrize(
    "text",
    ["a +", "a b", "import os", "a & missing", "(a > 1) and (a < 2)", "0 < a < 2", "not a",
     "lambda: a", "a[0]", "a.T", "__builtins__", "a if a else a", "a < [0, 0]", "unknown(a)"],
)  # fmt: skip
def test_kinds_of_errors(text: str) -> None:
    kinds = [type(library.validate(text, {"a": np.ones(3)}, {})) for library in (uf, ne)]
    assert issubclass(*kinds)


def test_names_and_re_evaluation() -> None:
    a = np.arange(3.0)
    for library in (uf, ne):
        assert library.validate("a + 1") is None
        np.testing.assert_array_equal(library.re_evaluate(), a + 1)
        np.testing.assert_array_equal(library.re_evaluate({"a": a + 1}), a + 2)


# --- what is meant to differ ---------------------------------------------------------------------


def test_dtypes_are_numpys() -> None:
    """pandas#12388."""
    for code, text, theirs in [
        ("f4", "a * 2.5", "f8"), ("u4", "a + 1", "i8"), ("c8", "a * 2", "c16"), ("i1", "-a", "i4"),
        ("f2", "a", "f4"),
    ]:  # fmt: skip
        a = np.ones(3, code)
        assert uf.evaluate(text).dtype == eval(text, {"a": a}).dtype == code
        try:
            assert ne.evaluate(text).dtype == theirs
        except (ValueError, NotImplementedError):
            continue


def test_strings_are_not_offered() -> None:
    with pytest.raises(TypeError, match="operations on strings"):
        uf.evaluate("contains(a, b)", {"a": 1, "b": 1})


def test_reductions_within() -> None:
    """numexpr#271: outermost alone, there."""
    a = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(
        uf.evaluate("a / sum(a, axis=1, keepdims=True)"), a / a.sum(axis=1, keepdims=True)
    )
