"""Expressions in strings beside numexpr, where both have the same dtypes: int64, float64, bool.

The differences are in docs/fusion.md; each that is meant has a test here.
"""

from __future__ import annotations

import unittest
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ufuse as uf

ne = pytest.importorskip("numexpr")


def both(text: str, names: dict[str, Any], **options: Any) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = ne.evaluate(text, names, {}, **options)
    return uf.evaluate(text, names, {}, **options), expected


# --- numexpr's own suite, run on ours ------------------------------------------------------------

LACKING = {
    "test_axis": "axes that numexpr refuses are NumPy's here",
    "test_small_int": "2 alone is an int64",
    "test_small_uint32": "uint32 stays uint32",
    "test_sanitize": "'import os;' is a SyntaxError, and strings are not offered",
}


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """Return the module of numexpr's tests, with our functions in it."""
    request.config.addinivalue_line("markers", "thread_unsafe: of numexpr's")
    module = pytest.importorskip("numexpr.tests.test_numexpr")
    for name in ("evaluate", "re_evaluate", "validate"):
        monkeypatch.setattr(module, name, getattr(uf, name))
    return module


def test_its_test_cases(suite: Any) -> None:
    cases = [
        unittest.defaultTestLoader.loadTestsFromTestCase(getattr(suite, f"test_{name}"))
        for name in "numexpr evaluate int64 int32_int64 uint32_int64 irregular_stride zerodim "
        "threading".split()
    ]
    result = unittest.TestResult()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unittest.TestSuite(cases).run(result)
    failed = {test.id().rpartition(".")[2]: text for test, text in result.failures + result.errors}
    strings = {name for name in failed if name.startswith("test_str_contains")}
    assert all("operations on strings" in failed[name] for name in strings)
    assert failed.keys() - strings == LACKING.keys(), failed
    assert result.testsRun > 70


def test_its_expressions(suite: Any) -> None:
    (parametrize,) = (m for m in suite.test_expressions.pytestmark if m.name == "parametrize")
    cases = [case for case in parametrize.args[1] if "aggressive" in case]
    for case in cases:
        try:
            suite.test_expressions(*case)
        except pytest.skip.Exception:
            continue
    assert len(cases) > 1000


# --- values ---------------------------------------------------------------------------------------


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
