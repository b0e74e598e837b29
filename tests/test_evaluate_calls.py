"""Calls of `evaluate`: where names are found, `out`, layouts, casting, repetition, threads."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from expression_cases import by_python, numbers, same
from ufuse.expression import evaluation

GLOBAL = np.arange(3.0)
SHADOWED = np.arange(3.0)


# --- names ---------------------------------------------------------------------------------------


def test_names_are_local_then_global() -> None:
    SHADOWED = np.ones(3)  # noqa: F841, N806
    same(uf.evaluate("GLOBAL + SHADOWED"), GLOBAL + 1)
    same(uf.evaluate("GLOBAL + x", {"x": 2}), GLOBAL + 2)
    same(uf.evaluate("GLOBAL + x", {"x": 2}, {"GLOBAL": np.ones(1)}), np.array([3.0]))
    with pytest.raises(KeyError, match="'GLOBAL'"):
        uf.evaluate("GLOBAL + x", {"x": 2}, {})
    with pytest.raises(KeyError, match="'SHADOWED'"):
        uf.evaluate("SHADOWED", {}, {})


def test_names_of_enclosing_functions_that_are_used() -> None:
    a = np.ones(2)

    def inner() -> Any:
        b = a + 1  # noqa: F841
        return uf.evaluate("a + b")

    same(inner(), np.full(2, 3.0))


def test_names_in_a_comprehension_a_class_and_a_module() -> None:
    same(uf.evaluate("x + y", {"x": GLOBAL, "y": 1}), GLOBAL + 1)
    results = [uf.evaluate("GLOBAL * i") for i in range(3)]
    for i, result in enumerate(results):
        same(result, GLOBAL * i)

    class Body:
        value = np.ones(2)
        twice = uf.evaluate("2*value")
        after = value  # the namespace is as it was

    same(Body.twice, np.full(2, 2.0))
    code = "\n".join(
        [
            "import numpy as np, ufuse as uf",
            "a = np.ones(2)",
            "assert uf.evaluate('a + 1').tolist() == [2, 2]",
            "space = {'b': a, 'uf': uf}",
            "exec('c = uf.evaluate(\"b + 2\")', {}, space)",
            "assert space['c'].tolist() == [3, 3] and a is space['b']",
        ]
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_depth_of_the_frame() -> None:
    def helper(text: str) -> Any:
        a = np.zeros(2)  # noqa: F841
        assert uf.validate(text, _frame_depth=3) is None
        same(uf.re_evaluate(_frame_depth=3), np.full(2, 3.0))
        return uf.evaluate(text, _frame_depth=4)

    a = np.ones(2)
    same(helper("a + 2"), a + 2)


def test_local_variables_are_not_kept_alive() -> None:
    """numexpr#310: Python before 3.13 keeps a copy of the local variables in the frame."""
    a = np.ones(100)
    known = weakref.ref(a)
    uf.evaluate("a + 1")
    del a
    gc.collect()
    assert known() is None


def test_what_locals_returned_is_left_alone() -> None:
    a = np.ones(3)
    names = locals()
    uf.evaluate("a + 1")
    assert names["a"] is a


def test_dicts_of_names_are_left_alone_and_arguments_not_kept() -> None:
    a, out = np.ones(1000), np.empty(1000)
    names = {"a": a, "unused": object()}
    uf.evaluate("a * 2", names, out=out)
    assert names["a"] is a and len(names) == 2
    known = [weakref.ref(a), weakref.ref(out)]
    del a, out, names
    gc.collect()
    assert [one() for one in known] == [None, None]


def test_lists_and_what_shares_memory_are_arrays() -> None:
    same(uf.evaluate("a + 1", {"a": [1, 2]}), np.array([2, 3]))
    same(uf.evaluate("a + 1", {"a": memoryview(np.ones(2))}), np.full(2, 2.0))


# --- out, order, casting -------------------------------------------------------------------------


def test_out_may_overlap() -> None:
    """numexpr's own case: x is operand and result."""
    x = np.arange(12.0).reshape(3, 4)
    expected = x + 3
    assert uf.evaluate("x + 3", out=x) is x
    same(x, expected)
    y = np.arange(10.0)
    uf.evaluate("a + b", {"a": y[1:], "b": y[:-1]}, out=y[:-1])
    same(y, np.concatenate([np.arange(9.0) * 2 + 1, [9.0]]))


def test_out_of_an_expression_without_arrays() -> None:
    out = np.empty((2, 3), np.float32)
    assert uf.evaluate("2**0.5", {}, out=out) is out
    same(out, np.full((2, 3), np.float32(2**0.5)))
    with pytest.raises(TypeError, match="'safe'"):
        uf.evaluate("0.5", {}, out=np.empty(2, np.int32), casting="safe")
    misaligned = np.empty(9, np.uint8)[1:].view(np.int32)
    uf.evaluate("3", {}, out=misaligned)
    same(misaligned, np.full(2, 3, np.int32))


@pytest.mark.parametrize("casting", ["no", "equiv", "safe", "same_kind", "unsafe"])
def test_casting(casting: Any) -> None:
    a = numbers("f8")
    for code in ("?", "i4", "f4", "f8", ">f8", "c16"):
        out = np.zeros(a.shape, code)
        if np.can_cast(a.dtype, code, casting):
            assert uf.evaluate("a*2", out=out, casting=casting) is out
            same(out, (a * 2).astype(code))
            continue
        with pytest.raises(TypeError, match="argument 'out' has dtype"):
            uf.evaluate("a*2", out=out, casting=casting)
        assert not out.any()


def test_out_has_the_shape_of_the_result() -> None:
    a = np.ones((2, 3))  # noqa: F841
    with pytest.raises(ValueError, match=r"'out' has shape \(3,\), expected \(2, 3\)"):
        uf.evaluate("a + 1", out=np.empty(3))
    with pytest.raises(ValueError, match="read-only"):
        out = np.empty((2, 3))
        out.flags.writeable = False
        uf.evaluate("a + 1", out=out)


def test_order() -> None:
    c = np.arange(24.0).reshape(2, 3, 4)
    f, t = np.asfortranarray(c), c.transpose(1, 2, 0)
    for order, x, strides in [
        ("K", c, c.strides), ("C", c, c.strides), ("F", c, f.strides), ("A", c, c.strides),
        ("K", f, f.strides), ("C", f, c.strides), ("F", f, f.strides), ("A", f, f.strides),
        ("K", np.broadcast_to(c[0], (2, 3, 4)), c.strides), ("K", f[::-1, 1:], (8, 16, 32)),
        ("K", t, t.strides), ("K", c[:, ::-1], c.strides), ("K", c[:1, :, ::2], (48, 16, 8)),
    ]:  # fmt: skip
        got = uf.evaluate("2*x + y", {"x": x, "y": 1.0}, order=order)
        same(got, 2 * x + 1)
        assert got.strides == strides, order
    both = uf.evaluate("f + c", order="A")
    assert both.flags.c_contiguous
    assert uf.evaluate("f + c", order="F").flags.f_contiguous
    same(uf.evaluate("f.real*2 + c", order="F", out=np.empty_like(c)), f * 2 + c)
    same(uf.evaluate("2 + s", {"s": 3}, order="F"), np.int64(5))


# --- repetition ----------------------------------------------------------------------------------


def test_re_evaluate() -> None:
    a, b = np.arange(3.0), np.ones(3)
    uf.evaluate("2*a + 3*b")
    same(uf.re_evaluate(), 2 * a + 3 * b)
    a = a + 1
    same(uf.re_evaluate(), 2 * a + 3 * b)
    same(uf.re_evaluate({"a": b}, {"b": b}), 5 * b)
    with pytest.raises(KeyError, match="'b'"):
        uf.re_evaluate({"a": a}, {})


def test_re_evaluate_writes_to_out_as_long_as_it_is_there() -> None:
    out = np.zeros(3)
    assert uf.evaluate("a + 1", {"a": np.ones(3)}, out=out) is out
    assert uf.re_evaluate({"a": np.zeros(3)}) is out
    same(out, np.ones(3))
    known = weakref.ref(out)
    del out
    gc.collect()
    assert known() is None
    same(uf.re_evaluate({"a": np.ones(2)}), np.full(2, 2.0))
    result = np.empty(2)
    uf.evaluate("a + 1", {"a": np.ones(2)}, out=(result,))
    same(result, np.full(2, 2.0))


def test_re_evaluate_needs_something_to_repeat() -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="evaluated nothing yet"):
        pool.submit(uf.re_evaluate, {"a": 1}).result()


def test_validate() -> None:
    a, b = np.arange(3.0), np.ones(3)
    assert uf.validate("2*a + b") is None
    same(uf.re_evaluate(), 2 * a + b)
    assert uf.validate("2 + 3") is None
    for text, kind in [
        ("2 +", SyntaxError), ("a + missing", KeyError), ("a & b", TypeError),
        ("a.tobytes()", TypeError), ("a + c", ValueError), (3, ValueError),
    ]:  # fmt: skip
        assert isinstance(uf.validate(text, {"a": a, "b": b, "c": np.ones(2)}), kind)  # type: ignore[arg-type]
    assert isinstance(uf.validate("a", out=np.empty(2)), ValueError)
    assert isinstance(uf.validate("a", out=np.empty(3, int)), TypeError)
    assert isinstance(uf.validate("a", order="X"), ValueError)
    same(uf.re_evaluate(), np.int64(5))  # of what was valid last


def test_nothing_is_kept_without_the_cache() -> None:
    a = np.ones(3)
    uf.evaluate("a + 1")
    kept = evaluation._compiled.cache_info().currsize
    same(uf.evaluate("a * 7 - 0.25", disable_cache=True), a * 7 - 0.25)
    assert evaluation._compiled.cache_info().currsize == kept
    same(uf.re_evaluate(), a + 1)


def test_the_cache_is_bounded() -> None:
    a = np.ones(2)
    for i in range(evaluation.MOST_KEPT + 10):
        uf.evaluate(f"a + {i}")
    assert evaluation._compiled.cache_info().currsize == evaluation.MOST_KEPT
    same(uf.evaluate("a + 0"), a)


def test_numexprs_other_keywords() -> None:
    x = np.arange(10, dtype="i4")
    for truediv in (False, True, "auto"):
        same(uf.evaluate("x / 2", truediv=truediv), x / 2)
    for optimization in ("none", "moderate", "aggressive"):
        same(uf.evaluate("x ** 3", optimization=optimization), x**3)
    for sanitize in (None, False, True):
        same(uf.evaluate("x + 1", sanitize=sanitize), x + 1)


# --- threads -------------------------------------------------------------------------------------


def test_threads_have_expressions_of_their_own() -> None:
    """numexpr#80, #3, #494: no crash, and what one evaluates is nothing to the others."""
    a, b = np.arange(50.0), np.arange(50.0) + 1

    def call(n: int) -> bool:
        text = f"{n % 13}*a {'+-*/'[n % 4]} b"
        x = a.astype(("f8", "f4")[n % 2])
        expected = by_python(text, a=x, b=b)
        fine = np.array_equal(uf.evaluate(text, {"a": x, "b": b}), expected)
        return fine and np.array_equal(uf.re_evaluate({"a": x, "b": b}), expected)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(call, range(2000)))


def test_small_arrays_are_repeated_without_python() -> None:
    """numexpr#36, #301: 7 us there for 100 elements. The second call takes the compiled entry."""
    names = {"a": np.ones(100, np.float32), "b": np.ones(100, np.float32)}
    uf.evaluate("2*a + 3*b", names)
    fused = evaluation._compiled("2*a + 3*b").fused
    before = fused.cache_info()
    uf.evaluate("2*a + 3*b", names)
    if uf.executors.backend() == "native":
        assert fused.cache_info() == before


def test_one_pass() -> None:
    names = {"a": np.ones(1000, np.float32), "b": np.ones(1000, np.float32)}
    fused = evaluation._compiled("where(a > b, a*2, exp(b)) - 1").fused
    explanation = fused.explain(*names.values())
    assert len(explanation.passes) == 1
    assert "ufuse.evaluate(a: float32" in str(explanation)


def test_within_a_fused_function() -> None:
    @uf.fuse
    def function(x: Any, y: Any) -> Any:
        scaled = x * 2  # noqa: F841
        return uf.evaluate("scaled + y.real", order="F") - 1

    x, y = np.ones((2, 3), np.float32), np.arange(3, dtype=np.complex64)
    same(function(x, y), x * 2 + y.real - 1)
    assert len(function.explain(x, y).passes) == 1


def test_tracing_takes_parts_of_complex_numbers() -> None:
    function = uf.fuse(lambda z, x: (z.real * z.imag, np.real(z) - np.imag(x), np.imag(2 * z)))
    z, x = numbers("c8"), numbers("f4")
    for got, expected in zip(
        function(z, x), (z.real * z.imag, z.real - 0 * x, 2 * z.imag), strict=True
    ):
        same(got, expected)


def test_masked_arrays_are_refused() -> None:
    with pytest.raises(TypeError, match="argument 'a'"):
        uf.evaluate("a + 1", {"a": np.ma.array([1, 2], mask=[0, 1])})


def test_a_reduction_is_known_in_the_first_call_of_a_process() -> None:
    code = "import numpy as np, ufuse; print(ufuse.evaluate('sum(a)', {'a': np.ones(3)}))"
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert run.stdout.strip() == "3.0", run.stderr
