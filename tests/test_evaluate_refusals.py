"""What is no expression of the language is refused without being executed, and says where and why.

PR numexpr#564, numexpr#442: evaluating strings by `eval` is unsafe.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import ufuse as uf
from ufuse.expression.parsing import MOST_CHARACTERS, MOST_NESTED

A = np.arange(3.0)


class Loud:
    """Says so if anything at all is done with it."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return object.__getattribute__(self, name)
        raise AssertionError(f"{name} was looked at")

    def __call__(self, *args: Any) -> Any:
        raise AssertionError("was called")


def refused(text: Any, names: dict[str, Any] | None = None) -> Exception:
    """Return the error of an expression; no name in it is looked up before it is refused."""
    given = {"a": A, "b": A} if names is None else names
    with pytest.raises(Exception) as caught:
        uf.evaluate(text, given)
    assert repr(uf.validate(text, given)) == repr(caught.value)
    return caught.value


REFUSED: list[tuple[str, type[Exception], str]] = [
    # attributes, calls and names
    ("a.T", ValueError, "column 1: the attribute '.T'"),
    ("2 + a.real.tobytes", ValueError, "column 5: the attribute '.tobytes'"),
    ("a.__class__", ValueError, "'.__class__'"),
    ("(3+1).ᵇit_length()", TypeError, "no plain name"),
    ("a.tofile('x')", TypeError, "column 1: a call of what is no plain name"),
    ("(lambda: 1)()", TypeError, "no plain name"),
    ("sin(a)(b)", TypeError, "no plain name"),
    ("__import__('os')", TypeError, "no function __import__()"),
    ("open('x')", TypeError, "no function open()"),
    ("eval(a)", TypeError, "no function eval()"),
    ("a(b)", TypeError, "no function a()"),
    ("sinn(a)", TypeError, "did you mean sin()?"),
    ("fromfile(a)", TypeError, "no function fromfile()"),
    ("loadtxt(a)", TypeError, "no function loadtxt()"),
    ("frompyfunc(a, 1, 1)", TypeError, "no function frompyfunc()"),
    ("matmul(a, b)", TypeError, "no function matmul()"),
    ("modf(a)", TypeError, "no function modf()"),
    ("a + __builtins__", ValueError, "column 5: the name '__builtins__' begins with two"),
    ("__\uff42uiltins__ + 1", ValueError, "the name '__builtins__'"),
    # what is no expression of numbers
    ("lambda: 3", ValueError, "'lambda: 3'; expected numbers"),
    ("[x for x in a]", ValueError, "expected numbers"),
    ("sum(x for x in a)", ValueError, "column 4: '(x for x in a)'; expected numbers"),
    ("{a: b}", ValueError, "expected numbers"),
    ("{a, b}", ValueError, "expected numbers"),
    ("(x := a)", ValueError, "expected numbers"),
    ("f'{a}'", ValueError, "operations on strings are not offered"),
    ("'abc' == a", TypeError, "column 1: a string"),
    ("a == b'abc'", TypeError, "column 6: a string"),
    ("contains(a, b)", TypeError, "contains(), which is of strings"),
    ("a[0]", ValueError, "indexing"),
    ("a[1:]", ValueError, "indexing"),
    ("[1, 2] + a", ValueError, "a list"),
    ("(a, b)", TypeError, "a tuple"),
    ("sin(*a)", ValueError, "a starred argument"),
    ("a is b", ValueError, "'a is b'; expected"),
    ("a in b", ValueError, "'a in b'; expected"),
    ("None", TypeError, "None; expected a number"),
    ("a + ...", TypeError, "Ellipsis; expected a number"),
    ("await a", ValueError, "expected numbers"),
    ("(yield a)", ValueError, "expected numbers"),
    # one truth value
    ("(a > 1) and (b < 2)", TypeError, "write '&', '|' and '~'"),
    ("(a > 1) or b", TypeError, "parentheses around comparisons"),
    ("not a", TypeError, "'not'"),
    ("0 < a < 2", TypeError, "a chain of comparisons"),
    ("a > 1 & b < 2", TypeError, "'&' binds more tightly"),
    ("a if a > 0 else b", TypeError, "where(condition, a, b)"),
    # arguments of functions
    ("sin()", TypeError, "sin() takes 1 argument; got 0 arguments"),
    ("sin(a, b)", TypeError, "sin() takes 1 argument; got 2 arguments"),
    ("where(a > 0)", TypeError, "where() takes 3 arguments; got 1 argument"),
    ("sin(a, out=b)", TypeError, "sin() takes no out="),
    ("sin(x=a)", TypeError, "sin() takes 1 argument"),
    ("sum(a, out=b)", TypeError, "sum() takes no out=; expected axis=, dtype=, keepdims="),
    ("sum(a, **b)", TypeError, "takes no '**'"),
    ("sum(a, 0, axis=0)", TypeError, "sum() was given axis= twice"),
    ("sum(a, 0, float32)", TypeError, "sum() takes 1 argument, and axis=, dtype=, keepdims="),
    ("sum(a, axis=b)", TypeError, "axis= of sum(): expected an integer, a tuple of them, or None"),
    ("sum(a, axis=0.5)", TypeError, "expected an integer"),
    ("sum(a, axis=True)", TypeError, "expected an integer"),
    ("sum(a, axis=(0, b))", TypeError, "expected an integer"),
    ("sum(a, keepdims=1)", TypeError, "keepdims= of sum(): expected True or False"),
    ("sum(a, dtype='f4')", TypeError, "dtype= of sum(): expected the name of a dtype"),
    ("sum(a, dtype=object)", TypeError, "expected the name of a dtype"),
    ("var(a, ddof=None)", TypeError, "ddof= of var(): expected an integer"),
    ("min(a, b)", TypeError, "the min of two arrays is minimum(a, b)"),
    # syntax
    ("a +", SyntaxError, "column 4: invalid syntax"),
    ("", SyntaxError, "column 1"),
    ("a b", SyntaxError, "expected an expression"),
    ("a = b", SyntaxError, "column 3"),
    ("import os", SyntaxError, "expected an expression"),
    ("a; b", SyntaxError, "expected an expression"),
    ("a\n+ + * b", SyntaxError, "line 2, column 1"),
    ("(a", SyntaxError, "'(' was never closed"),
    ("a\0b", ValueError, "column 2: a null byte"),
    ("a + \ud800", ValueError, "half of a surrogate pair"),
    ("§", SyntaxError, "invalid character"),
]


@pytest.mark.parametrize(("text", "kind", "message"), REFUSED)
def test_refused(text: str, kind: type[Exception], message: str) -> None:
    error = refused(text, {"a": Loud(), "b": Loud(), "x": Loud()})
    assert type(error) is kind
    assert message in str(error)
    assert str(error).startswith("ufuse.evaluate: argument 'ex', ")


@pytest.mark.parametrize("text", [3, None, b"a + b", ["a"], np.str_])
def test_what_is_no_string(text: Any) -> None:
    error = refused(text)
    assert type(error) is ValueError
    assert "expected an expression as a string" in str(error)


def test_strings_of_other_classes_are_their_text() -> None:
    class Text(str):
        def strip(self, *_: Any) -> str:
            raise AssertionError("was called")

    np.testing.assert_array_equal(uf.evaluate(Text("a + 1"), {"a": A}), A + 1)
    np.testing.assert_array_equal(uf.evaluate(np.str_("a + 1"), {"a": A}), A + 1)


def test_the_caret_is_under_what_is_meant() -> None:
    assert str(refused("2*a + b.foo")).splitlines()[1:] == [
        "    2*a + b.foo",
        "          ^^^^^",
    ]
    assert str(refused("äö + b.foo")).splitlines()[2] == "         ^^^^^"
    assert str(refused("  a + b.foo")).splitlines()[2] == "        ^^^^^"
    assert str(refused("(a +\n b.foo)")).splitlines()[1:] == ["     b.foo)", "     ^^^^^"]
    long = str(refused("+".join(["a"] * 300) + "+ b.foo +" + "+".join(["a"] * 300))).splitlines()
    assert len(long[1]) < 90
    start, end = long[2].index("^"), long[2].rindex("^") + 1
    assert long[1][start:end] == "b.foo"


# --- size ----------------------------------------------------------------------------------------


def test_length() -> None:
    fits = "a" + " " * (MOST_CHARACTERS - 1)
    np.testing.assert_array_equal(uf.evaluate(fits, {"a": A}), A)
    error = refused("a +" + " " * MOST_CHARACTERS + "b")
    assert f"expected at most {MOST_CHARACTERS} characters, got {MOST_CHARACTERS + 4}" in str(error)


@pytest.mark.parametrize(
    ("before", "after"), [("(", ")"), ("sin(", ")"), ("[", "]"), ("{", "}"), ("-(", ")")]
)
def test_brackets_in_one_another(before: str, after: str) -> None:
    if before == "sin(":
        fits = before * MOST_NESTED + "a" + after * MOST_NESTED
        assert uf.evaluate(fits, {"a": A}).shape == A.shape
    error = refused(before * (MOST_NESTED + 1) + "a" + after * (MOST_NESTED + 1))
    assert f"more than {MOST_NESTED} brackets in one another" in str(error)


@pytest.mark.parametrize("sign", ["-", "~", "+ ", "-+~"])
def test_signs_in_a_row(sign: str) -> None:
    assert f"more than {MOST_NESTED} signs in a row" in str(refused(sign * 200 + "a"))


@pytest.mark.parametrize(
    "text", ["+".join(["a"] * 5000), "**".join(["a"] * 3000), "a" + ".b" * 4000]
)
def test_operations_in_one_another(text: str) -> None:
    """Python's parser gives up in one way or the other; a sum of 500 is fine (test_evaluate.py)."""
    try:
        uf.evaluate(text, {"a": A})
    except ValueError as error:
        assert str(error).startswith("ufuse.evaluate: argument 'ex'")


@pytest.mark.parametrize(
    "text",
    [
        "2**10**10", "10**10**10", "2**2**2**2**2**2", "1 << 10**9", "9**9**9 * a", "s**s",
        "2**s", "s << s", "(2**1000)*(2**1000)", "-(2**5000)",
    ],
)  # fmt: skip
def test_large_integers_are_not_computed(text: str) -> None:
    error = refused(text, {"a": A, "s": 10**10})
    assert type(error) is OverflowError
    assert "bits" in str(error) and "1024" in str(error)
    assert "ufuse.evaluate, column" in error.__notes__[0]


def test_large_integers_are_not_read() -> None:
    for text in ("1" * 400, "0x" + "f" * 2000, "a + " + "1" * 9000):
        error = refused(text)
        assert isinstance(error, (ValueError, SyntaxError))
        assert "bits" in str(error) or "digits" in str(error)
    assert type(refused("2**100")) is OverflowError  # no dtype has it
    np.testing.assert_array_equal(uf.evaluate("a * 2**100", {"a": A}), A * 2.0**100)


# --- arguments -----------------------------------------------------------------------------------


def test_names_that_nothing_has() -> None:
    error = refused("a + 2*missing")
    assert isinstance(error, KeyError)
    assert str(error).splitlines() == [
        "ufuse.evaluate: argument 'ex', column 7: no variable 'missing', neither local nor global; "
        "pass it in local_dict=",
        "    a + 2*missing",
        "          ^^^^^^^",
    ]


def test_shapes_that_do_not_broadcast() -> None:
    """NumPy's message, with the arguments by name; also where other shapes were fine before."""
    for _ in range(2):
        with pytest.raises(ValueError, match="operands could not be broadcast together") as caught:
            uf.evaluate("2*x + y", {"x": np.ones((2, 3)), "y": np.ones(4)})
        assert "with shapes (2, 3) (4,)" in str(caught.value)
        assert "the arguments have shapes x (2, 3), y (4,)" in str(caught.value)
        uf.evaluate("2*x + y", {"x": np.ones((2, 3)), "y": np.ones(3)})


def test_errors_of_numpy_say_where() -> None:
    for text, kind in [
        ("b + (a & 1)", TypeError), ("uint8(a) + 300", OverflowError), ("1/0*a", ZeroDivisionError),
        ("sum(a, axis=3, keepdims=True)", ValueError), ("1 << -1", ValueError),
        ("complex(1j*a, 2)", TypeError), ("maximum(a, s)", TypeError),
    ]:  # fmt: skip
        error = refused(text, {"a": A, "b": A, "s": None})
        assert isinstance(error, kind), text
        told = "\n".join([str(error), *getattr(error, "__notes__", [])])
        assert "ufuse.evaluate" in told and ("column" in told or "'s'" in told)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        sys,
        len,
        uf,
        object(),
        np.array(["a"]),
        np.array([None]),
        np.dtype("f4"),
        (1, 2),
    ],
)
def test_variables_that_are_no_numbers(value: Any) -> None:
    error = refused("a + x", {"a": A, "x": value})
    assert isinstance(error, TypeError)
    assert "ufuse.evaluate: argument 'x'" in str(error) and "expected" in str(error)


@pytest.mark.parametrize(
    "option",
    [{"order": "k"}, {"casting": "some"}, {"optimization": 3}, {"truediv": None}],
)
def test_options(option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(ValueError, match=f"argument '{name}': expected one of"):
        uf.evaluate("a", {"a": A}, **option)
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        uf.evaluate("a", {"a": A}, bad=1)  # type: ignore[call-arg]


# --- anything at all -----------------------------------------------------------------------------

WORDS = """a b 2 0.5 1j + - * / // % ** << >> & | ^ ~ < <= == != >= > ( ) [ ] { } , . : := = ; @ ! ?
# \\ \n sin( where( sum( axis= dtype=float32 real imag .real None True and or not if else
lambda for in is import yield await __class__ __import__( ' " f' b' \0 é 10**10""".split(" ")


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join) | st.text(max_size=30))
@example("(a)" * 2)
def test_any_text_gives_a_result_or_an_error_of_these_kinds(text: str) -> None:
    names = {"a": A, "b": A}
    try:
        result = uf.evaluate(text, names, {})
    except (SyntaxError, TypeError, ValueError, KeyError, ArithmeticError):
        return
    assert isinstance(result, (np.ndarray, np.generic))


def test_the_code_holds_no_eval() -> None:
    for path in (Path(uf.__file__).parent / "expression").glob("*.py"):
        text = path.read_text()
        assert (
            "eval(" not in text
            and "exec(" not in text
            and "compile(" not in text.replace("_compile(", "").replace("re.compile(", "")
        )
