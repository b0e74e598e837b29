"""Random expression graphs, fused and in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ufuse as uf

pytestmark = pytest.mark.usefixtures("silent")

Node = Callable[[list[Any]], Any]

UNARY: list[Callable[[Any], Any]] = [
    lambda a: -a if a.dtype != bool else ~a,
    np.spacing,
    np.absolute,
    np.square,
    np.floor,
    np.sqrt,
    np.sign,
    lambda a: a.astype(np.float32),
    lambda a: a.astype(np.int32) if a.dtype.kind in "biu" else np.isnan(a),
    lambda a: a * 2 + 1,
    lambda a: np.clip(a, -3, 3) if a.dtype.kind in "if" else a,
    lambda a: a - a.max(axis=-1, keepdims=True) if a.dtype != bool else a,
    lambda a: a.min(axis=-1, keepdims=True),
    lambda a: a.sum(axis=-1, keepdims=True, dtype=np.float64) if a.dtype.kind == "f" else a,
    lambda a: a.sum(axis=0, dtype=np.float64) if a.ndim else a,
    lambda a: a.mean(axis=-1, dtype=np.float64)[..., None] if a.ndim else a,
    lambda a: a.max(axis=tuple(range(a.ndim))[:2], keepdims=True),
    lambda a: a.any(axis=0, keepdims=True) if a.ndim else a,
    lambda a: a.argmax(axis=-1, keepdims=True) if a.ndim else a,
    lambda a: a[..., 1:] if a.ndim and a.shape[-1] > 1 else a,
    lambda a: a[..., ::-1] if a.ndim else a,
    lambda a: a[..., 0:1] if a.ndim else a,
    lambda a: a[0] if a.ndim > 2 else a,
    lambda a: a.reshape(-1, 1) if a.ndim == 1 else a,
    lambda a: a.reshape(-1) if a.ndim > 2 else a,
    lambda a: a.swapaxes(0, -1) if a.ndim > 1 and a.shape[0] == a.shape[-1] else a,
    lambda a: np.cumsum(a, axis=-1, dtype=np.float64) if a.ndim else a,
]
BINARY: list[Callable[[Any, Any], Any]] = [
    np.add,
    np.multiply,
    np.maximum,
    np.minimum,
    np.divide,
    np.less,
    np.equal,
    np.logical_and,
    lambda a, b: a - b if bool not in (a.dtype, b.dtype) else np.not_equal(a, b),
    lambda a, b: np.where(a > 0, a, b),
    lambda a, b: np.where(b, 1, a),
]
SHAPES = [(3, 5), (3, 1), (5,), (1, 5), (2, 3, 5), (2, 1, 1)]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Any], Callable[..., Any]]:
    count = draw(st.integers(1, 3))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    arrays = []
    for _ in range(count):
        code = draw(st.sampled_from(["?", "i1", "u1", "i4", "i8", "f4", "f8"]))
        array = rng.integers(0, 5, draw(st.sampled_from(SHAPES))).astype(code)
        if array.dtype.kind == "f":
            array = array + rng.choice(np.array([0, 0.25, -7.5], code), array.shape)
        arrays.append(array)
    steps: list[tuple[Any, ...]] = []
    for n in range(draw(st.integers(1, 10))):
        value = st.integers(0, count + n - 1)
        if draw(st.booleans()):
            steps.append((draw(st.sampled_from(UNARY)), draw(value)))
        else:
            steps.append((draw(st.sampled_from(BINARY)), draw(value), draw(value)))
    outputs = draw(st.lists(st.integers(0, len(steps) - 1), min_size=1, max_size=3, unique=True))

    def function(*values: Any) -> Any:
        known = list(values)
        for operation, *args in steps:
            known.append(operation(*(known[arg] for arg in args)))
        results = tuple(known[count + output] for output in outputs)
        return results if len(results) > 1 else results[0]  # one takes the compiled entry point

    return arrays, function


def assert_close(results: Any, expected: Any) -> None:
    if not isinstance(expected, tuple):
        results, expected = (results,), (expected,)
    for got, wanted in zip(results, expected, strict=True):
        assert got.dtype == wanted.dtype
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


@settings(max_examples=300, deadline=None)
@given(graphs())
def test_random_graphs(graph: tuple[list[Any], Callable[..., Any]]) -> None:
    arrays, function = graph
    copies = [array.copy() for array in arrays]
    fused = uf.fuse(function)
    try:
        with np.errstate(all="ignore"):
            expected = function(*arrays)
    except (TypeError, ValueError) as error:
        with pytest.raises(type(error)):
            fused(*arrays)
        return
    for results in (fused(*arrays), fused(*arrays)):
        assert_close(results, expected)
    for one in fused.explain(*arrays).passes:
        if one.program is not None:
            one.program.validate()
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    # Other layouts and lengths of the same kind of arguments: none, all or some axes of length 1.
    others: list[list[Any]] = [[np.asfortranarray(array[::-1]) for array in arrays]]
    for chosen in range(2 ** len(arrays)):
        others.append([a[..., :1] if chosen >> i & 1 else a for i, a in enumerate(arrays)])
    for other in others:
        try:
            with np.errstate(all="ignore"):
                expected = function(*other)
        except ValueError:
            continue
        assert_close(fused(*other), expected)
