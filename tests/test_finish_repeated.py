"""finish= of repeated calls: functions made anew for each call, and what they find outside."""

from __future__ import annotations

import gc
import types
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from contraction_cases import Array, small, spread
from ufuse.contract import summation

rng = np.random.default_rng(11)
A, B = small(rng, (6, 5), np.float32), small(rng, (5, 4), np.float32)
SUMS = A @ B
BIAS = small(rng, (4,), np.float32)
FACTOR: Any = 2.0
CONFIG = types.SimpleNamespace(scale=2.0)

Finish = Callable[[Any], Any]


@contextmanager
def traces(monkeypatch: pytest.MonkeyPatch, most: int) -> Iterator[None]:
    """Calls that find nothing remembered: so many at most, where there is a fast entry."""
    general = summation.traced
    seen = []

    def counted(*args: Any) -> Any:
        seen.append(args)
        return general(*args)

    with monkeypatch.context() as patch:
        patch.setattr(summation, "traced", counted)
        yield
    assert not NATIVE or len(seen) <= most


def check(finish: Finish, want: Any, **options: Any) -> None:
    for call in (
        lambda **more: uf.matmul(A, B, finish=finish, **more),
        lambda **more: uf.einsum("ij,jk->ik", A, B, finish=finish, **more),
    ):
        np.testing.assert_array_equal(call(**options), want)
        out = np.zeros_like(want)
        assert call(out=out, **options) is out
        np.testing.assert_array_equal(out, want)


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


def shifted(x: Any) -> Any:
    return x + BIAS


def made() -> dict[str, tuple[Finish, Any]]:
    """Return new functions, and what they make of the sums."""
    local, factor, dtype = BIAS, np.float32(0.5), np.dtype("f8")
    column = np.arange(6, dtype=np.float32)[:, None]
    return {
        "a global array": (lambda s: s + BIAS, SUMS + BIAS),
        "an array of a cell": (lambda s: np.maximum(s + local, 0), np.maximum(SUMS + BIAS, 0)),
        "a default": (lambda s, x=local: s * x, SUMS * BIAS),
        "two arrays": (lambda s, x=local: s * x - column, SUMS * BIAS - column),
        "an array twice": (lambda s, x=local: s * x - local, SUMS * BIAS - BIAS),
        "views": (
            lambda s: (s + local[None, ::-1]) * column.T.reshape(6, 1),
            (SUMS + BIAS[::-1]) * column,
        ),
        "numbers": (lambda s: s * factor + 3, SUMS * factor + 3),
        "a dtype": (lambda s: s.astype(dtype), SUMS.astype(dtype)),
        "functions": (lambda s: relu(shifted(s)), np.maximum(SUMS + BIAS, 0)),
        "no capture": (lambda s: s * 2, SUMS * 2),
        "a shape": (lambda s: s * float(local.shape[0]), SUMS * 4),
    }


@pytest.mark.parametrize("name", made())
def test_new_functions_of_known_code_are_not_traced(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(*made()[name])
    with traces(monkeypatch, 0):
        for _ in range(3):
            check(*made()[name])


def test_arrays_are_those_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other arrays of the same layout, and other layouts, in turn; each with new values."""

    def finish(bias: Array) -> Finish:
        return lambda s: s + bias

    def checks() -> None:
        for array in (BIAS, BIAS * 2, spread(BIAS), BIAS[::-1].copy()[::-1], BIAS.astype("f8"),
                      BIAS.astype(">f4"), np.ones((6, 4), "f4"), np.float32(3)):  # fmt: skip
            check(finish(array), SUMS + array)  # type: ignore[arg-type]
            if isinstance(array, np.ndarray) and array is not BIAS:
                np.add(array, 1, out=array)
                check(finish(array), SUMS + array)

    checks()
    with traces(monkeypatch, 8):  # those of another byte order
        checks()


def test_an_array_twice_is_not_two_arrays() -> None:
    """A trace reads the same array once."""

    def finish(x: Array, y: Array) -> Finish:
        return lambda s: s * x + y

    other = BIAS + 1
    for x, y in ((BIAS, BIAS), (BIAS, other), (other, BIAS), (other, other)) * 2:
        check(finish(x, y), SUMS * x + y)


def test_constants_are_compared_by_type_and_value() -> None:
    def finish(x: Any) -> Finish:
        return lambda s: np.where(s > 1e6, s, x)

    for x in (0.0, -0.0, 0, 1, True, 1.0, np.float64(1), np.float32(1), np.float32(-0.0)) * 2:
        for call in (finish(x), lambda s, x=x: np.where(s > 1e6, s, x)):
            got, want = uf.matmul(A, B, finish=call), np.where(SUMS > 1e6, SUMS, x)
            assert got.dtype == want.dtype
            assert got.tobytes() == want.tobytes()


def test_a_global_that_comes_later_and_goes() -> None:
    code = compile("lambda s: abs(s) * factor", "made", "eval")
    scope: dict[str, Any] = {"factor": 2}

    def new() -> Finish:
        return eval(code, scope)  # type: ignore[no-any-return]

    check(new(), abs(SUMS) * 2)
    check(new(), abs(SUMS) * 2)
    scope["factor"] = 3
    check(new(), abs(SUMS) * 3)
    scope["abs"] = np.negative
    check(new(), -SUMS * 3)
    del scope["abs"]
    check(new(), abs(SUMS) * 3)
    del scope["factor"]
    with pytest.raises(NameError):
        uf.matmul(A, B, finish=new())
    scope["factor"] = BIAS
    check(new(), abs(SUMS) * BIAS)


def test_what_may_change_unseen_is_traced_anew() -> None:
    """Elements, copies, attributes, entries, other modules: as they are when a function is made."""
    bias, entries = BIAS.copy(), {"scale": 2.0}
    makers: list[Callable[[], tuple[Finish, Any]]] = [
        lambda: (lambda s: s * bias[0], SUMS * bias[0]),
        lambda: (lambda s: s * float(bias[1]), SUMS * bias[1]),
        lambda: (lambda s: s + bias.astype("f4"), SUMS + bias),
        lambda: (lambda s: s + bias * 2, SUMS + bias * 2),
        lambda: (lambda s: s * bias.max(), SUMS * bias.max()),
        lambda: (lambda s: s * (2 if bias[0] > 0 else 3), SUMS * (2 if bias[0] > 0 else 3)),
        lambda: (lambda s: s + np.asarray(bias.tolist(), "f4"), SUMS + bias),
        lambda: (lambda s: s + bias.copy(), SUMS + bias),
        lambda: (lambda s: s + np.arange(4, dtype="f4"), SUMS + np.arange(4, dtype="f4")),
        lambda: (lambda s: s + bias if bias.any() else s, SUMS + bias),
        lambda: (lambda s: s + np.sqrt(bias * bias), SUMS + np.sqrt(bias * bias)),
        lambda: (lambda s: s * CONFIG.scale, SUMS * CONFIG.scale),
        lambda: (lambda s: s * entries["scale"], SUMS * entries["scale"]),
    ]
    for make in makers:
        for change in (1.0, -2.0, 40.0):
            finish, want = make()
            check(finish, want)
            bias[:] = BIAS + change
            CONFIG.scale = entries["scale"] = change
            finish, want = make()
            check(finish, want)


def test_functions_with_effects_are_called_in_each_trace() -> None:
    count = 0

    def counting() -> Finish:
        def finish(s: Any) -> Any:
            nonlocal count
            count += 1
            return s + count

        return finish

    for number in range(1, 5):
        np.testing.assert_array_equal(uf.matmul(A, B, finish=counting()), SUMS + number)


def test_modules_of_ones_own_are_looked_into_again() -> None:
    module = types.ModuleType("settings")
    module.scale = 2.0  # type: ignore[attr-defined]
    for scale in (2.0, 3.0):
        module.scale = scale  # type: ignore[attr-defined]
        check(lambda s: s * module.scale, SUMS * scale)  # type: ignore[attr-defined]


def test_random_numbers_are_new_in_new_functions() -> None:
    results = [uf.matmul(A, B, finish=lambda s: s + np.random.rand()) for _ in range(4)]
    assert len({x.tobytes() for x in results}) == 4


def test_random_integers_are_drawn_by_new_functions() -> None:
    """Two traces that agree by chance say nothing."""
    np.random.seed(5)
    for number in range(8):  # code of its own each: whether its first two agree decides
        scope: dict[str, Any] = {"np": np}
        exec(f"def make():\n    return lambda s: s * {number} + np.random.randint(2)", scope)
        results = {uf.matmul(A, B, finish=scope["make"]()).tobytes() for _ in range(20)}
        assert len(results) == 2


def test_functions_that_tell_stand_ins_from_arrays_are_traced_anew() -> None:
    def handled(w: Array) -> Finish:
        def finish(s: Any) -> Any:
            try:
                below = bool(w[0] < 0)
            except:  # noqa: E722 (no name is looked up)
                below = False
            return s - w if below else s + w

        return finish

    def matched(w: Array) -> Finish:
        def finish(s: Any) -> Any:
            match w:
                case np.ndarray() if w[0] < 0:
                    return s - w
            return s + w

        return finish

    def of_class(w: Array) -> Finish:
        return lambda s: s - w if w.__class__ is np.ndarray and w[0] < 0 else s + w

    def of_text(w: Array) -> Finish:
        return lambda s: s - w if f"{w}".startswith("[-") else s + w

    def iterated(w: Array) -> Finish:
        return lambda s: s - w if np.iterable(w) and w[0] < 0 else s + w

    for make in (handled, matched, of_class, of_text, iterated):
        for w in (abs(BIAS) + 1, -abs(BIAS) - 1):
            check(make(w), SUMS + abs(w))


def test_helpers_that_take_the_name_of_a_function_of_numpy() -> None:
    entries = {"scale": 1.0}

    @wraps(np.mean)
    def helper(s: Any) -> Any:
        return s * entries["scale"]

    del helper.__wrapped__  # type: ignore[attr-defined]
    for scale in (1.0, 2.0, 3.0):
        entries["scale"] = scale
        check(lambda s: helper(s) + 1, SUMS * scale + 1)


def test_attributes_of_functions_are_looked_at_anew() -> None:
    def helper(s: Any) -> Any:
        return s * 2

    for scale in (1, 2, 3):
        if scale > 1:
            helper.scale = scale  # type: ignore[attr-defined]
        check(lambda s: helper(s) * helper.__dict__.get("scale", 1), SUMS * 2 * scale)


def test_equal_functions_are_not_the_same() -> None:
    @dataclass(frozen=True)
    class Scale:
        factor: Any

        def __call__(self, s: Any) -> Any:
            return s * self.factor

    codes = small(rng, (4, 4), np.int8)
    sums = codes.astype(np.int32) @ codes
    for factor in (1, 1.0, True, 0.0, -0.0):
        for _ in range(3):
            got = uf.matmul(codes, codes, accumulate="int32", finish=Scale(factor))
            want = sums * factor
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(np.signbit(got), np.signbit(want))
            np.testing.assert_array_equal(got, want)


def test_callables_of_arrays_have_no_hash() -> None:
    class Biased(NamedTuple):
        bias: Array

        def __call__(self, s: Any) -> Any:
            return s + self.bias

    for bias in (BIAS, -BIAS):
        check(Biased(bias), SUMS + bias)


def test_variables_of_a_wrapper_may_be_rebound() -> None:
    factor: Any = 2

    @wraps(relu)
    def finish(s: Any) -> Any:
        return relu(s) * factor

    for fused in (finish, uf.fuse(finish)):
        for factor in (2, 2.5, np.arange(4, dtype="f4")):
            for _ in range(3):
                check(fused, np.maximum(SUMS, 0) * factor)
                np.testing.assert_array_equal(uf.fuse(fused)(SUMS), np.maximum(SUMS, 0) * factor)


def test_code_and_defaults_may_be_replaced() -> None:
    """As tools do that load a module again."""

    def finish(s: Any, factor: Any = 2.0) -> Any:
        return s * factor

    def other(s: Any, factor: Any = 2.0) -> Any:
        return s + factor

    for _ in range(3):
        check(finish, SUMS * 2)
    finish.__defaults__ = (3.0,)
    for _ in range(3):
        check(finish, SUMS * 3)
    finish.__code__ = other.__code__
    for _ in range(3):
        check(finish, SUMS + 3)


@pytest.mark.parametrize("count", [28, 29, 30, 31, 60])
def test_more_arrays_than_the_fast_entry_takes(count: int) -> None:
    scope: dict[str, Any] = {f"w{i}": np.full(4, i, np.float32) for i in range(count)}
    exec(f"def make():\n    return lambda s: s + {' + '.join(scope)}", scope)
    want = SUMS.copy()
    for i in range(count):
        want += i
    check(scope["make"](), want)
    finish = scope["make"]()
    for _ in range(3):
        check(finish, want)


def test_functions_that_are_called_may_be_rebound(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        check(lambda s: relu(s) * 1, np.maximum(SUMS, 0))
        with monkeypatch.context() as patch:
            patch.setitem(globals(), "relu", lambda x: x - 1)
            check(lambda s: relu(s) * 1, SUMS - 1)
            patch.setitem(globals(), "FACTOR", 5.0)
            check(lambda s: relu(s) * FACTOR, (SUMS - 1) * 5)
        check(lambda s: relu(s) * FACTOR, np.maximum(SUMS, 0) * 2)


def test_one_function_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what kind ever: it holds for itself while its variables are bound to the same.

    What it reaches by attributes may change, and is compared in Python.
    """

    class Layer:
        def __init__(self) -> None:
            self.bias = BIAS.copy()

        def finish(self, s: Any) -> Any:
            return s + self.bias

        __call__ = finish

    layer = Layer()
    by_attribute: Finish = lambda s: s + layer.bias  # noqa: E731
    kinds: list[tuple[Finish, Any]] = [
        (by_attribute, SUMS + BIAS),
        (layer.finish, SUMS + BIAS),
        (layer, SUMS + BIAS),
        (np.negative, -SUMS),
        (uf.relu, np.maximum(SUMS, 0)),
        (uf.fuse(lambda s: s + BIAS), SUMS + BIAS),
    ]
    for finish, want in kinds * 2:
        check(finish, want)
    with traces(monkeypatch, 0):
        for finish, want in kinds[3:]:
            check(finish, want)
    layer.bias += 1
    for finish in (by_attribute, layer.finish, layer):
        check(finish, SUMS + BIAS + 1)
    layer.bias = BIAS + 2
    for finish in (by_attribute, layer.finish, layer):
        check(finish, SUMS + BIAS + 2)
    other = Layer()
    check(other.finish, SUMS + BIAS)
    check(other, SUMS + BIAS)


def test_a_function_whose_variable_is_rebound() -> None:
    factor: Any = 2
    bias = BIAS
    held = [1]

    def finish(s: Any) -> Any:
        return s * factor + bias * held[0]

    def repeat() -> None:
        for _ in range(3):
            check(finish, SUMS * factor + bias)

    repeat()
    factor = 3.0
    repeat()
    bias = BIAS + 1
    repeat()
    bias = BIAS
    factor = BIAS.copy()
    repeat()
    factor += 1
    repeat()


def test_options_beside_a_finish() -> None:
    """Each is remembered by its own key, and none for another."""
    a, b = A.astype("i1"), B.astype("i1")
    sums = a.astype("i4") @ b.astype("i4")
    least = (A[:, :, None] + B[None]).min(1)
    for _ in range(3):
        np.testing.assert_array_equal(
            uf.matmul(a, b, accumulate="int32", finish=lambda s: s * 2), sums * 2
        )
        got = uf.matmul(a, b, finish=lambda s: s * 2)
        assert got.dtype == np.int8
        np.testing.assert_array_equal(got, (sums * 2).astype("i1"))
        np.testing.assert_array_equal(
            uf.matmul(A, B, semiring="min_plus", finish=lambda s: s + BIAS), least + BIAS
        )
        np.testing.assert_array_equal(uf.matmul(A, B, finish=None), SUMS)
        got = uf.matmul(A, B, order="F", finish=lambda s: s + BIAS)
        assert got.flags.f_contiguous
        got = uf.matmul(A, B, dtype="f8", finish=lambda s: s + BIAS)
        assert got.dtype == np.float64
        for out in (np.zeros((6, 4)), np.zeros((6, 4), ">f4"), np.zeros((4, 6), "f4").T):
            uf.matmul(A, B, out=out, finish=lambda s: s + BIAS)
            np.testing.assert_array_equal(out, SUMS + BIAS)


def test_out_overlaps_what_a_known_function_reads() -> None:
    """As if all were read before anything is written, once the function is known too."""
    a, b = small(rng, (250, 9), np.float32), small(rng, (9, 300), np.float32)
    sums, start = a @ b, small(rng, (250, 300), np.float32)
    views: list[Callable[[Array], Array]] = [
        lambda x: x, lambda x: x[::-1], lambda x: x[:, ::-1], lambda x: x[3:4],
    ]  # fmt: skip
    for view in views:
        want = sums + view(start)
        for overlaps in (False, True, True):
            out = start.copy()
            read = view(out) if overlaps else view(start.copy())
            uf.matmul(a, b, out=out, finish=lambda s, x=read: s + x)
            np.testing.assert_array_equal(out, want)


def test_errors_are_the_same_each_time() -> None:
    three = np.zeros((2, 6, 4), np.float32)
    uf.matmul(A, B, finish=lambda s: s + BIAS)
    for _ in range(2):
        with pytest.raises(ValueError, match="finish"):
            uf.matmul(A, B, finish=lambda s: s + three)
        with pytest.raises(TypeError, match="'finish'"):
            uf.matmul(A, B, finish=3)  # type: ignore[arg-type]


def test_arrays_are_not_kept_for_functions_known_by_their_code() -> None:
    def call(bias: Array) -> None:
        uf.matmul(A, B, finish=lambda s: s - bias)

    call(BIAS)
    bias = BIAS.copy()
    seen = weakref.ref(bias)
    call(bias)
    del bias
    gc.collect()
    assert not NATIVE or seen() is None


def test_many_functions_and_numbers() -> None:
    """More than are remembered."""
    for i in range(300):
        scope: dict[str, Any] = {}
        exec(f"def finish(s):\n    return s + {i}", scope)
        np.testing.assert_array_equal(uf.matmul(A, B, finish=scope["finish"]), SUMS + i)
    for i in range(100):
        x = float(i)
        np.testing.assert_array_equal(uf.matmul(A, B, finish=lambda s: s + x), SUMS + x)  # noqa: B023


def test_threads() -> None:
    """The same code with arrays of each thread's own."""

    def work(number: int) -> bool:
        bias = np.full(4, number, np.float32)
        return all(
            np.array_equal(uf.matmul(A, B, finish=lambda s: s + bias), SUMS + number)
            for _ in range(200)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))
