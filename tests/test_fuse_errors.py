"""What cannot be traced says where, what, and what to do instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf

REFUSED: list[tuple[Callable[..., Any], str]] = [
    (lambda x: x if x > 0 else -x, "np.where"),
    (lambda x: x[x > 0], "a mask"),
    (lambda x: x[[0, 1]], "an index that is an array"),
    (lambda x: x[np.array([0, 1])], "an index that is an array"),
    (lambda x: x[0.5:], "the index 0.5"),
    (lambda x: x.reshape(-1, order="F"), "order 'F'"),
    (lambda x: x.view(np.int64), "'.view'"),
    (float, "Python number"),
    (lambda x: x.item(), "Python number"),
    (lambda x: [y for y in np.broadcast_to(x, (99, 3))], "iteration over an axis of 99"),
    (lambda x: 1 in x, "branches"),
    (np.asarray, "conversion to an ndarray"),
    (lambda x: np.array([x, x]), "conversion to an ndarray"),
    (np.sort, "np.sort"),
    (np.linalg.norm, "np.linalg.norm"),
    (lambda x: np.concatenate([x, x]), "np.concatenate"),
    (lambda x: np.kron(x, x), "kron"),
    (lambda x: np.where(x > 0), "one argument"),
    (lambda x: np.add(x, 1, where=x > 0), "where="),
    (lambda x: np.add(x, 1, out=np.empty(3)), "out="),
    (lambda x: np.round(x.astype(int), -2), "tens"),
    (lambda x: 3.0, "returned no array"),
    (lambda x: x.sort(), "'.sort'"),
]


@pytest.mark.parametrize(("function", "construct"), REFUSED)
def test_refused_constructs(function: Callable[..., Any], construct: str) -> None:
    with pytest.raises(uf.TraceError) as caught:
        uf.fuse(function)(np.ones(3))
    assert construct in str(caught.value)
    assert isinstance(caught.value, TypeError)


def test_a_branch_names_its_line_and_the_alternative() -> None:
    @uf.fuse
    def branches(x: Any) -> Any:
        y = x * 2
        if y > 1:  # the line
            return y
        return x

    with pytest.raises(uf.TraceError) as caught:
        branches(np.ones(3))
    lines, first = inspect.getsourcelines(branches.__wrapped__)
    line = first + next(i for i, text in enumerate(lines) if "# the line" in text)
    message = str(caught.value)
    assert f"{__file__}:{line}: if y > 1:" in message
    assert "np.where(condition, a, b)" in message


def test_assignment_is_refused() -> None:
    @uf.fuse
    def assigns(x: Any) -> Any:
        y = x * 2
        y[0] = 0
        return y

    @uf.fuse
    def modifies(x: Any) -> Any:
        x += 1
        return x

    with pytest.raises(uf.TraceError, match=r"np\.where\(mask"):
        assigns(np.ones(3))
    with pytest.raises(uf.TraceError, match="argument 'x' in place"):
        modifies(np.ones(3))


def test_arrays_kept_from_another_trace_are_refused() -> None:
    kept: list[Any] = []
    uf.fuse(lambda x: kept.append(x) or x + 1)(np.ones(3))  # type: ignore[func-returns-value]
    with pytest.raises(uf.TraceError, match="another call"):
        uf.fuse(lambda x: x + kept[0])(np.ones(3))


def test_mistakes_of_the_user_pass_through() -> None:
    with pytest.raises(NameError, match="undefined"):
        uf.fuse(lambda x: x + undefined)(np.ones(3))  # type: ignore[name-defined]  # noqa: F821
    with pytest.raises(AttributeError, match="nonsense"):
        uf.fuse(lambda x: x.nonsense)(np.ones(3))
    with pytest.raises(ZeroDivisionError):
        uf.fuse(lambda x: x + 1 / 0)(np.ones(3))
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        uf.fuse(lambda x, y: x + y)(np.ones(3))


def test_refusals_of_numpy_keep_their_words() -> None:
    with pytest.raises(TypeError, match="numpy boolean subtract"):
        uf.fuse(lambda x: x - x)(np.ones(3, bool))
    with pytest.raises(TypeError):
        uf.fuse(lambda x: x & 1.5)(np.ones(3, np.int8))
    with pytest.raises(TypeError, match="Cannot cast ufunc"):
        uf.fuse(_add_float_to_integers)(np.ones(3, np.int8))


def _add_float_to_integers(x: Any) -> Any:
    y = x * 2
    y += 1.5
    return y


def test_shapes_that_do_not_broadcast_are_named_from_the_first_call_on() -> None:
    fused = uf.fuse(lambda a, b: a + b)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"have shapes a \(3,\), b \(4,\)$") as caught:
            fused(np.ones(3), np.ones(4))
        assert str(caught.value).count("have shapes") == 1


def test_shapes_that_do_not_broadcast() -> None:
    add = uf.fuse(lambda first, second: first + second)
    with pytest.raises(ValueError, match=r"broadcast together with shapes \(3,\) \(4,\)"):
        add(np.ones(3), np.ones(4))
    add(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match=r"first \(3,\), second \(4,\)"):
        add(np.ones(3), np.ones(4))


@pytest.mark.parametrize("dtype", ["O", "U3", "S3", "M8[s]", "i4,f4"])
def test_dtypes_that_are_no_numbers(dtype: str) -> None:
    with pytest.raises(TypeError, match="'x' has dtype"):
        uf.fuse(lambda x: x)(np.empty(3, dtype))


def test_arguments_that_are_nothing_are_refused() -> None:
    with pytest.raises(TypeError, match=r"'options'.*hashable"):
        uf.fuse(lambda x, options: x)(np.ones(3), {"a": 1})
