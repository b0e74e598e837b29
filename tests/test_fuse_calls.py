"""Calling fused functions: out=, overlap, the cache, threads, methods, captured values."""

from __future__ import annotations

import array
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pytest

import ufuse as uf
from test_fuse import assert_same
from ufuse import executors


@uf.fuse
def combine(a: Any, b: Any) -> Any:
    """Add twice one to thrice the other."""
    return 2 * a + 3 * b


# --- out= ------------------------------------------------------------------------------------


def test_out_is_written_and_returned() -> None:
    a, out = np.arange(6.0).reshape(2, 3), np.zeros((2, 3))
    assert combine(a, a, out=out) is out
    assert_same(out, 5 * a)
    swapped = np.zeros((2, 3), ">f4")
    assert combine(a, a, out=swapped) is swapped
    np.testing.assert_array_equal(swapped, 5 * a)
    view = np.zeros((3, 4)).T[::2, :]
    combine(a, a, out=view)
    np.testing.assert_array_equal(view, 5 * a)


def test_out_of_several_results() -> None:
    both = uf.fuse(lambda x: (x + 1, x > 0))
    x = np.arange(3.0)
    first = np.empty(3)
    result = both(x, out=(first, None))
    assert result[0] is first
    np.testing.assert_array_equal(result[1], x > 0)
    with pytest.raises(ValueError, match="expected 2 arrays"):
        both(x, out=first)
    with pytest.raises(ValueError, match="overlap each other"):
        uf.fuse(lambda x: (x, x + 1))(x, out=(first, first))


def test_bad_out_is_refused_before_anything_is_written() -> None:
    a = np.ones((2, 3))
    read_only = np.zeros((2, 3))
    read_only.flags.writeable = False
    for out, error, message in (
        (np.zeros((3, 2)), ValueError, r"shape \(3, 2\), expected \(2, 3\)"),
        (np.zeros((5, 2, 3)), ValueError, "expected"),
        (np.zeros((2, 3), int), TypeError, "same_kind"),
        (read_only, ValueError, "read-only"),
        ([1.0, 2.0], TypeError, "out"),
    ):
        with pytest.raises(error, match=message):
            combine(a, a, out=out)
        assert not np.any(out) or isinstance(out, list)


def test_out_may_be_an_input() -> None:
    a, b = np.arange(100.0), np.ones(100)
    expected = 2 * a + 3 * b
    combine(a, b, out=a)
    assert_same(a, expected)


@pytest.mark.parametrize("shift", [-3, -1, 1, 3, 64])
@pytest.mark.parametrize("size", [10, 5000])
def test_overlap_is_as_if_inputs_were_read_first(size: int, shift: int) -> None:
    memory = np.arange(size + 200.0)
    start = 100
    x, out = memory[start : start + size], memory[start + shift : start + shift + size]
    expected = 2 * x + 3 * x[::-1]
    combine(x, x[::-1], out=out)
    assert_same(out, expected)


def test_overlap_with_broadcast_inputs_rows_and_captured_arrays() -> None:
    x = np.arange(12.0).reshape(3, 4)
    expected = 2 * x + 3 * x[0]
    combine(x, x[0], out=x)
    assert_same(x, expected)

    normalise = uf.fuse(lambda x: x / x.sum(axis=-1, keepdims=True))
    expected = x / x.sum(axis=-1, keepdims=True)
    normalise(x, out=x)
    assert_same(x, expected, ulp=2)

    captured = np.arange(5.0)
    add = uf.fuse(lambda x: x + captured[::-1])
    y, expected = np.ones(5), 1 + captured[::-1]
    add(y, out=captured)
    assert_same(captured, expected)


def test_overlap_where_results_have_several_shapes() -> None:
    a, b = np.arange(3.0), np.ones((2, 3))
    expected = (a * 2, a + b)
    results = uf.fuse(lambda a, b: (a * 2, a + b))(a, b, out=(a, None))
    assert_same(results, expected)


# --- arguments -------------------------------------------------------------------------------


def test_static_arguments_are_part_of_the_key() -> None:
    @uf.fuse
    def scaled(x: Any, mode: str, axis: tuple[int, ...] = (-1,), *, keep: bool = True) -> Any:
        if mode == "sum" and keep:
            return x / x.sum(axis=axis, keepdims=True)
        return x if mode is None else -x

    x = np.arange(1.0, 7).reshape(2, 3)
    assert_same(scaled(x, "sum"), x / x.sum(-1, keepdims=True), ulp=2)
    assert_same(scaled(x, "sum", keep=False), -x)
    assert_same(scaled(x, None), x)
    assert_same(scaled(x, mode="other", axis=(0, 1)), -x)
    assert scaled.cache_info().misses == 4


def test_arrays_in_tuples_are_inputs() -> None:
    class Layer(NamedTuple):
        weight: Any
        bias: Any

    apply = uf.fuse(lambda x, layer: x * layer.weight + layer.bias)
    x = np.arange(3.0)
    for factor in (1.0, 2.0):
        assert_same(apply(x, Layer(x * factor, x)), x * (x * factor) + x)
    assert apply.cache_info().misses == 1


def test_buffers_and_lists() -> None:
    assert_same(combine(array.array("d", [1, 2]), [1, 2]), np.array([5.0, 10.0]))
    out = bytearray(16)
    assert combine(np.ones(2), np.ones(2), out=np.frombuffer(out)).sum() == 10


def test_methods_and_metadata() -> None:
    class Model:
        def __init__(self, weight: Any) -> None:
            self.weight = weight

        @uf.fuse
        def apply(self, x: Any) -> Any:
            """Weigh."""
            return x * self.weight

    first, second = Model(np.arange(3.0)), Model(np.ones(3))
    assert_same(first.apply(np.ones(3)), np.arange(3.0))
    assert_same(second.apply(np.ones(3)), np.ones(3))
    assert Model.apply.__doc__ == "Weigh."
    assert combine.__name__ == "combine"
    assert combine.__doc__ == "Add twice one to thrice the other."
    assert_same(combine.__wrapped__(np.ones(2), 0), np.full(2, 2.0))
    assert pickle.loads(pickle.dumps(combine)) is combine


def test_decorator_with_options() -> None:
    @uf.fuse(cache_size=2)
    def double(x: Any) -> Any:
        return x * 2

    for dtype in (np.int8, np.int16, np.int32, np.int64):
        assert_same(double(np.ones(3, dtype)), np.full(3, 2, dtype))
    assert double.cache_info() == (0, 4, 2, 2)


def test_fused_functions_call_each_other() -> None:
    outer = uf.fuse(lambda a, b: combine(a, b) + combine(a, 1))
    a = np.arange(4, dtype=np.float32)
    assert_same(outer(a, a), (2 * a + 3 * a) + (2 * a + 3))
    assert len(outer.program(a, a).outputs) == 1


# --- captured values -------------------------------------------------------------------------

SCALE = 2.0
OFFSET = np.arange(3.0)


def test_captured_arrays_are_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    # cupy#9447
    shift = uf.fuse(lambda x: x * SCALE + OFFSET)
    x = np.ones(3)
    assert_same(shift(x), 2 + np.arange(3.0))
    OFFSET[0] = 10
    assert_same(shift(x), np.array([12.0, 3, 4]))
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert_same(shift(x), np.array([13.0, 4, 5]))
    monkeypatch.setitem(globals(), "OFFSET", np.zeros(3))
    assert_same(shift(x), np.full(3, 3.0))
    assert shift.cache_info().misses == 3


def test_a_setting_that_was_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SCALE", None)
    scaled = uf.fuse(lambda x: x if SCALE is None else x * SCALE)
    x = np.arange(3.0)
    assert_same(scaled(x), x)
    monkeypatch.setitem(globals(), "SCALE", 4.0)
    assert_same(scaled(x), x * 4)


# --- cache and shapes ------------------------------------------------------------------------


def test_the_trace_depends_on_dtypes_and_dimensions() -> None:
    calls = []

    @uf.fuse
    def counted(x: Any) -> Any:
        calls.append(x.dtype)
        return x + x.ndim

    for shape in ((3,), (5,), (0,)):
        counted(np.ones(shape))
    assert len(calls) == 1
    assert_same(counted(np.ones((2, 2))), np.full((2, 2), 3.0))
    counted(np.ones(3, np.float32))
    assert len(calls) == 3
    counted.cache_clear()
    assert counted.cache_info().currsize == 0
    counted(np.ones(3))
    assert len(calls) == 4


def test_shapes_that_are_looked_at_are_part_of_the_key() -> None:
    fused = uf.fuse(lambda x: x * x.shape[-1] + len(x) + x.size + np.shape(x)[0])
    for shape in ((3,), (5,), (3,), (2, 4)):
        x = np.ones(shape)
        assert_same(fused(x), x * shape[-1] + len(x) + x.size + shape[0])
    assert fused.cache_info().misses == 3


def test_tracing_twice_gives_the_same_program() -> None:
    function = combine.__wrapped__
    a = np.ones(3, np.float32)
    assert uf.fuse(function).program(a, a) == uf.fuse(function).program(a, a)
    assert hash(uf.fuse(function).program(a, a)) == hash(combine.program(a, a))


def test_threads_share_a_function() -> None:
    # numexpr#80, numexpr#494
    fused = uf.fuse(lambda x, a: np.where(x > 0, x * a, x.astype(np.float64)))
    dtypes = [np.dtype(code) for code in ("i1", "i4", "f4", "f8")]

    def call(n: int) -> bool:
        x = np.arange(-50, 50).astype(dtypes[n % 4])
        expected = np.where(x > 0, x * (n % 7), x.astype(np.float64))
        return np.array_equal(fused(x, n % 7), expected)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(400)))
    assert fused.cache_info().misses == 4


# --- explain ---------------------------------------------------------------------------------


def test_explain() -> None:
    a = np.ones((1000, 1000), np.float32)
    explanation = combine.explain(a, a[0])
    assert explanation.bytes_read == a.nbytes + a[0].nbytes
    assert explanation.bytes_written == a.nbytes
    assert explanation.bytes_numpy == 4 * a.nbytes + 3 * a[0].nbytes
    assert len(explanation.passes) == 1
    text = str(explanation)
    for part in ("combine(a: float32(1000, 1000)", "1 pass", "4 MB written", "multiply f4"):
        assert part in text
    if explanation.executor == "native":
        assert explanation.temporaries == 0
        assert explanation.tier in text
    with pytest.raises(TypeError, match="no array"):
        combine.explain(1, 2)


SCALE = np.float32(2.0)


def test_fast_calls_notice_rebound_variables() -> None:
    """The compiled entry point repeats a call only while globals and cells are what was traced."""
    offset = 1.0

    @uf.fuse
    def shifted(x):
        return SCALE * x + offset

    x = np.arange(3, dtype=np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(shifted(x), 2 * x + 1)
    offset = 5.0
    for _ in range(3):
        np.testing.assert_array_equal(shifted(x), 2 * x + 5)
    try:
        globals()["SCALE"] = np.float32(3.0)
        for _ in range(3):
            np.testing.assert_array_equal(shifted(x), 3 * x + 5)
    finally:
        globals()["SCALE"] = np.float32(2.0)
    np.testing.assert_array_equal(shifted(x), 2 * x + 5)


# --- findings of a review --------------------------------------------------------------------


def test_interleaved_arrays_do_not_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    copied = []
    apart = executors.apart

    def counting(array: Any, out: Any) -> Any:
        result = apart(array, out)
        copied.append(result is not array)
        return result

    monkeypatch.setattr(executors, "apart", counting)
    b = np.arange(20.0)
    expected = b.copy()
    expected[1::2] = 5 * b[::2]
    combine(b[::2], b[::2], out=b[1::2])
    assert_same(b, expected)
    assert copied and not any(copied)
    combine(b[::2], b[::2], out=b[:10])  # these do overlap
    assert any(copied)

    both = uf.fuse(lambda x: (x + 1, x > 0))
    x, o = np.arange(-3.0, 3), np.zeros((6, 2))
    both(x, out=(o[:, 0], o[:, 1]))
    assert_same(o, np.stack([x + 1, x > 0], axis=1))
    with pytest.raises(ValueError, match="overlap each other"):
        both(x, out=(o[:, 0], o.reshape(-1)[4:10]))


def test_a_string_among_the_arrays_is_named() -> None:
    x = np.ones(3)
    for call in (lambda: combine(x, "a"), lambda: combine(x, b="a")):
        with pytest.raises(TypeError, match="combine: argument 'b': expected an array or a number"):
            call()

    @uf.fuse
    def picky(x: Any, mode: str) -> Any:
        raise TypeError("no such mode")

    with pytest.raises(TypeError, match=r"^no such mode$"):
        picky(x, "sum")


def test_fuse_wants_a_callable() -> None:
    message = r"ufuse\.fuse: argument 'function': expected a callable, got 3 \(int\)"
    with pytest.raises(TypeError, match=message):
        uf.fuse(3)


def test_reductions_name_bad_arguments() -> None:
    x = np.ones(3, np.float32)
    message = "argument 'initial': expected a number that float32 can hold, got "
    for wrong in ("x", "1", 1j):
        with pytest.raises(TypeError, match=r"ufuse\.sum: " + message):
            uf.sum(x, initial=wrong)
    with pytest.raises(TypeError, match=r"ufuse\.max: " + message):
        uf.max(x, initial="x")
    with pytest.raises(OverflowError, match=r"ufuse\.prod: argument 'initial'.*int8 can hold"):
        uf.prod(np.ones(3, np.int8), dtype=np.int8, initial=300)
    for wrong in ("x", "1", None, 1j, np.ones(2)):
        with pytest.raises(TypeError, match=r"ufuse\.var: argument 'ddof': expected a number, got"):
            uf.var(x, ddof=wrong)
    with pytest.raises(TypeError, match=r"ufuse\.std: argument 'correction': expected a number"):
        uf.std(x, correction="x")


def test_reductions_write_beside_what_they_read() -> None:
    memory = np.arange(24.0).reshape(4, 6)
    expected = memory[:, ::2].sum(axis=0)
    out = memory[0, 1::2]
    assert uf.sum(memory[:, ::2], axis=0, out=out) is out
    np.testing.assert_array_equal(out, expected)
    low_high = np.zeros((3, 2))
    uf.minmax(memory[:, ::2], axis=0, out=(low_high[:, 0], low_high[:, 1]))
    np.testing.assert_array_equal(low_high[:, 1], memory[:, ::2].max(axis=0))


def test_threads_trace_at_the_same_time_and_the_first_is_kept() -> None:
    """Tracing holds no lock: each of these waits for the other to be tracing too."""
    meeting = threading.Barrier(2, timeout=30)

    @uf.fuse
    def slow(x: Any) -> Any:
        meeting.wait()
        return x + 1

    x = np.arange(3.0)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(slow, [x, x]))
    for result in results:
        assert_same(result, x + 1)
    assert slow.cache_info() == (1, 1, 64, 1)


def test_a_trace_from_before_cache_clear_is_not_kept() -> None:
    @uf.fuse
    def cleared(x: Any) -> Any:
        cleared.cache_clear()
        return x + 1

    x = np.arange(3.0)
    assert_same(cleared(x), x + 1)
    assert cleared.cache_info().currsize == 0


def test_outputs_may_be_given_as_a_list() -> None:
    both = uf.fuse(lambda a: (a + 1, a * 2))
    x = np.arange(3, dtype=np.float32)
    outs = [np.empty_like(x), np.empty_like(x)]
    both(x, out=outs)
    np.testing.assert_array_equal(outs[0], x + 1)
    np.testing.assert_array_equal(outs[1], x * 2)
