"""What a fused function finds outside of its arguments: no value that was there once is used."""

from __future__ import annotations

import functools
import inspect
import pickle
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from test_fuse import assert_same

X = np.arange(1.0, 5.0)


class Settings:
    scale = 2.0

    def __init__(self) -> None:
        self.offset = 1.0
        self.calls = 0
        self.nested = types.SimpleNamespace(gain=[1.0, {"k": 3.0}])
        self._hidden = 5.0

    @property
    def hidden(self) -> float:
        return self._hidden

    @functools.cached_property
    def doubled(self) -> float:
        return self._hidden * 2

    def weigh(self, x: Any) -> Any:
        return x * self.offset

    def other(self, x: Any) -> Any:
        return x

    @staticmethod
    def function(x: Any) -> Any:
        return x

    def __rmul__(self, x: Any) -> Any:
        return x * self._hidden


class Slotted:
    __slots__ = ("gain",)

    def __init__(self) -> None:
        self.gain = 1.5


@dataclass
class Record:
    weight: float = 2.0
    table: list[float] = field(default_factory=lambda: [1.0, 2.0])


SETTINGS = Settings()
SLOTTED = Slotted()
RECORD = Record()
CONFIG: dict[str, Any] = {"k": 2.0, "deep": {"list": [1.0, 2.0]}}
GET = CONFIG.get
WEIGHTS = [1.0, 2.0, 3.0]
MODULE = types.ModuleType("settings_of_a_test")
MODULE.CONSTANT = 4.0  # type: ignore[attr-defined]
DEFAULTS: Any = defaultdict(lambda: 7.0, {"a": 1.0})
ORDERED = OrderedDict(a=1.0)
QUEUE = deque([1.0])
FACTOR = 3.0


def helper(x: Any) -> Any:
    return x * FACTOR + CONFIG["k"]


def attributed() -> None:
    """Keep an attribute."""


attributed.gain = 1.0  # type: ignore[attr-defined]
MODULE.helper = helper  # type: ignore[attr-defined]


def through_a_default(x: Any, config: Any = CONFIG) -> Any:
    return x * config["k"]


def through_a_wrapper(function: Callable[..., Any], settings: Settings) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(x: Any) -> Any:
        return function(x) * settings.offset

    return wrapper


class Callable_(Record):  # noqa: N801
    def __call__(self, x: Any) -> Any:
        return x * self.weight


CALLABLE = Callable_()

#: A function, and what changes a value that it reads.
CASES: dict[str, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
    "attribute": (lambda x: x * SETTINGS.offset, lambda v: setattr(SETTINGS, "offset", v)),
    "attribute of a class": (lambda x: x * SETTINGS.scale,
                             lambda v: setattr(Settings, "scale", v)),
    "attribute in front of one of a class": (lambda x: x * SETTINGS.scale,
                                             lambda v: setattr(SETTINGS, "scale", v)),
    "class": (lambda x: x * Settings.scale, lambda v: setattr(Settings, "scale", v)),
    "property": (lambda x: x * SETTINGS.hidden, lambda v: setattr(SETTINGS, "_hidden", v)),
    "operator of a class": (lambda x: SETTINGS.__rmul__(x) + 0,
                            lambda v: setattr(SETTINGS, "_hidden", v)),
    "method": (lambda x: SETTINGS.weigh(x) + 0, lambda v: setattr(SETTINGS, "offset", v)),
    "bound method": (SETTINGS.weigh, lambda v: setattr(SETTINGS, "offset", v)),
    "nested": (lambda x: x * SETTINGS.nested.gain[1]["k"],
               lambda v: SETTINGS.nested.gain[1].__setitem__("k", v)),
    "getattr": (lambda x: x * getattr(SETTINGS, "off" + "set"),
                lambda v: setattr(SETTINGS, "offset", v)),
    "slot": (lambda x: x * SLOTTED.gain, lambda v: setattr(SLOTTED, "gain", v)),
    "dataclass": (lambda x: x * RECORD.weight, lambda v: setattr(RECORD, "weight", v)),
    "list in a dataclass": (lambda x: x * RECORD.table[1],
                            lambda v: RECORD.table.__setitem__(1, v)),
    "entry": (lambda x: x * CONFIG["k"], lambda v: CONFIG.__setitem__("k", v)),
    "entry deep": (lambda x: x * CONFIG["deep"]["list"][0],
                   lambda v: CONFIG["deep"]["list"].__setitem__(0, v)),
    "new entry": (lambda x: x * CONFIG.get("new", 1.0), lambda v: CONFIG.__setitem__("new", v)),
    "method of a dict": (lambda x: x * GET("k"), lambda v: CONFIG.__setitem__("k", v)),
    "defaultdict": (lambda x: x * DEFAULTS["a"], lambda v: DEFAULTS.__setitem__("a", v)),
    "ordered dict": (lambda x: x * ORDERED["a"], lambda v: ORDERED.__setitem__("a", v)),
    "element": (lambda x: x * WEIGHTS[0], lambda v: WEIGHTS.__setitem__(0, v)),
    "all elements": (lambda x: sum(x * w for w in WEIGHTS), WEIGHTS.append),
    "deque": (lambda x: x * QUEUE[0], lambda v: QUEUE.__setitem__(0, v)),
    "module": (lambda x: x * MODULE.CONSTANT, lambda v: setattr(MODULE, "CONSTANT", v)),
    "function of a module": (lambda x: MODULE.helper(x) * 2,
                             lambda v: globals().__setitem__("FACTOR", v)),
    "function of a module that is rebound": (lambda x: MODULE.helper(x) + 0,
                                             lambda v: setattr(MODULE, "helper", lambda x: x * v)),
    "function in an attribute": (lambda x: SETTINGS.function(x) + 0,
                                 lambda v: setattr(SETTINGS, "function", lambda x: x * v)),
    "method that is rebound": (lambda x: SETTINGS.other(x) + 0,
                               lambda v: setattr(Settings, "other", lambda self, x: x * v)),
    "attribute of a function": (lambda x: x * attributed.gain,
                                lambda v: setattr(attributed, "gain", v)),
    "function's variable": (lambda x: helper(x) + 0, lambda v: globals().__setitem__("FACTOR", v)),
    "function's entry": (lambda x: helper(x) + 0, lambda v: CONFIG.__setitem__("k", v)),
    "default": (through_a_default, lambda v: CONFIG.__setitem__("k", v)),
    "wrapper": (through_a_wrapper(lambda x: x + 1, SETTINGS),
                lambda v: setattr(SETTINGS, "offset", v)),
    "partial": (functools.partial(lambda settings, x: x * settings.offset, SETTINGS),
                lambda v: setattr(SETTINGS, "offset", v)),
    "callable object": (CALLABLE, lambda v: setattr(CALLABLE, "weight", v)),
    "array in an attribute": (lambda x: x * SETTINGS.nested.gain[0],
                              lambda v: SETTINGS.nested.gain.__setitem__(0, np.full(4, v))),
    "fused function": (lambda x: inner(x) + 0, lambda v: CONFIG.__setitem__("k", v)),
}  # fmt: skip
inner = uf.fuse(lambda x: x - CONFIG["k"])


@pytest.mark.parametrize("name", CASES)
def test_a_value_that_changes_is_noticed(name: str) -> None:
    function, change = CASES[name]
    fused = uf.fuse(function)
    for value in (11.0, 12.0, 13.5, 13.5, 2.0):
        change(value)
        for _ in range(3):  # traced, prepared, by the compiled entry
            assert_same(fused(X), function(X))
    misses = fused.cache_info().misses
    change(11.0)
    fused(X)
    assert fused.cache_info().misses <= misses + 1


def test_what_is_not_read_costs_no_trace() -> None:
    fused = uf.fuse(lambda x: x * SETTINGS.offset)
    fused(X)
    for n in range(5):
        SETTINGS.calls = n
        fused(X)
    assert fused.cache_info().misses == 1
    assert_same(fused(X), X * SETTINGS.offset)


def test_what_the_function_changes_itself_costs_no_trace() -> None:
    seen: list[Any] = []

    class Counting:
        def __init__(self) -> None:
            self.calls, self.scale = 0, 2.0

        @uf.fuse
        def apply(self, x: Any) -> Any:
            self.calls += 1
            seen.append(x.dtype)
            return x * self.scale

    counting = Counting()
    for _ in range(3):
        assert_same(counting.apply(X), X * 2)
    assert counting.calls == len(seen) == 1
    counting.scale = 3.0
    assert_same(counting.apply(X), X * 3)
    assert counting.calls == len(seen) == 2


def test_a_class_that_is_made_in_the_function() -> None:
    class Made:
        gain = 2.0

        def __init__(self, x: Any) -> None:
            self.x = x * self.gain

    fused = uf.fuse(lambda x: Made(x).x)
    for value in (2.0, 3.0):
        Made.gain = value
        assert_same(fused(X), X * value)


def test_a_function_that_is_rebound() -> None:
    def scaled(function: Callable[..., Any]) -> Callable[..., Any]:
        return uf.fuse(lambda x: function(x) * 2)

    def one(x: Any) -> Any:
        return x + 1

    fused = scaled(one)
    assert_same(fused(X), (X + 1) * 2)
    cell = fused.__wrapped__.__closure__[0]
    cell.cell_contents = np.sqrt
    assert_same(fused(X), np.sqrt(X) * 2)
    assert_same(fused(X), np.sqrt(X) * 2)


def test_attributes_of_arguments() -> None:
    fused = uf.fuse(lambda settings, x: x * settings.offset + settings.nested.gain[1]["k"])
    settings = Settings()
    for value in (2.0, 3.0, 4.0):
        settings.offset = value
        settings.nested.gain[1]["k"] = value / 2
        for _ in range(2):
            assert_same(fused(settings, X), X * value + value / 2)


def test_objects_that_refer_to_each_other() -> None:
    one, other = types.SimpleNamespace(k=1.0), types.SimpleNamespace(k=2.0)
    one.other, other.other = other, one
    fused = uf.fuse(lambda x: x * one.other.other.other.k)
    assert_same(fused(X), X * 2)
    other.k = 3.0
    assert_same(fused(X), X * 3)


def test_functions_that_are_made_anew_are_not_collected() -> None:
    settings = Settings()
    fused = uf.fuse(lambda x: settings.function(x) + 0)
    for n in range(1500):
        settings.function = lambda x, n=n: x * n  # type: ignore[method-assign]
        assert fused(X)[0] == n
    assert len(list(fused._environment.roots())) < 1200


def test_very_deep_objects() -> None:
    node = last = types.SimpleNamespace(k=1.0, next=None)
    for _ in range(3000):
        node = types.SimpleNamespace(k=0.0, next=node)
    fused = uf.fuse(lambda x: x * last.k if node else x)
    for value in (1.0, 2.0):
        last.k = value
        assert_same(fused(X), X * value)


def test_more_than_is_worth_comparing() -> None:
    """Then each call is traced."""
    rows = [[float(n)] for n in range(2000)]
    fused = uf.fuse(lambda x: x * rows[-1][0])
    for value in (1.0, 2.0, 3.0):
        rows[-1][0] = value
        assert_same(fused(X), X * value)
        assert_same(fused(X), X * value)


def test_out_and_other_arguments() -> None:
    fused = uf.fuse(lambda x, y, s: (x + y) * s * CONFIG["k"])
    out = np.empty_like(X)
    for value in (2.0, 5.0):
        CONFIG["k"] = value
        for _ in range(2):
            assert fused(X, X, 0.5, out=out) is out
            assert_same(out, X * value)


def test_map_reads_what_is_there_now() -> None:
    fused = uf.fuse(lambda x: x * SETTINGS.offset)
    for value in (2.0, 7.0):
        SETTINGS.offset = value
        for got in fused.map([X, X]):
            assert_same(got, X * value)


def test_the_finish_of_a_product() -> None:
    a = np.ones((3, 4))
    finish = uf.fuse(lambda sums: sums * CONFIG["k"])
    for value in (2.0, 3.0, 4.0):
        CONFIG["k"] = value
        for _ in range(3):
            for function in (finish, finish.__wrapped__):
                got = uf.einsum("ij,kj->ik", a, a, finish=function)
                np.testing.assert_array_equal(got, np.full((3, 3), 4 * value))


def test_evaluate_and_explain_see_what_is_there_now() -> None:
    fused = uf.fuse(lambda x: x * 2 if CONFIG.get("twice") else x)
    CONFIG["twice"] = False
    assert not fused.program(X).instructions
    CONFIG["twice"] = True
    assert len(fused.program(X).instructions) == 1


# --- bound methods --------------------------------------------------------------------------------


class Layer:
    def __init__(self, weight: float) -> None:
        self.weight = weight

    @uf.fuse
    def apply(self, x: Any, y: Any = 1.0) -> Any:
        """Weigh."""
        return x * self.weight + y


def test_map_of_a_method() -> None:
    first, second = Layer(2.0), Layer(3.0)
    items = [X, X[:2], X.astype(np.float32)]
    for layer in (first, second):
        for got, x in zip(layer.apply.map(items), items, strict=True):
            assert_same(got, x * layer.weight + 1.0)
        for got, x in zip(layer.apply.map(items, y=2.0), items, strict=True):
            assert_same(got, x * layer.weight + 2.0)
        outs = [np.empty_like(x) for x in items]
        layer.apply.map(items, outs and [2.0, 3.0, 4.0], out=outs)
        for got, x, y in zip(outs, items, (2.0, 3.0, 4.0), strict=True):
            assert_same(got, (x * layer.weight + y).astype(x.dtype))
    first.weight = 10.0
    assert_same(first.apply.map([X])[0], X * 10 + 1)
    with pytest.raises(TypeError, match=r"map: expected a list"):
        first.apply.map(X)


class Pair(NamedTuple):
    low: Any
    high: Any

    @uf.fuse
    def between(self, x: Any) -> Any:
        return self.low + (self.high - self.low) * x


def test_map_of_a_method_of_a_tuple() -> None:
    """The object is no list of items, whatever its class."""
    pair = Pair(np.float64(1.0), np.float64(3.0))
    for got in pair.between.map([X, X, X]):
        assert_same(got, 1 + 2 * X)


def test_a_bound_method_is_as_the_function() -> None:
    layer = Layer(2.0)
    method = layer.apply
    assert method == layer.apply
    assert method != Layer(2.0).apply
    assert hash(method) == hash(layer.apply)
    assert method.__self__ is layer
    assert method.__func__ is Layer.apply
    assert (method.__name__, method.__doc__) == ("apply", "Weigh.")
    assert_same(pickle.loads(pickle.dumps(method))(X), X * 2 + 1)
    assert list(inspect.signature(method).parameters) == ["x", "y"]
    assert len(method.program(X).instructions) == 2
    assert len(method.explain(X).passes) == 1
    assert_same(method.as_ufunc("d")(X), X * 2 + 1)
    assert method.cache_info().maxsize == 64
    if NATIVE:
        assert isinstance(method.as_ufunc("d"), np.ufunc)
    a = np.ones((2, 3))
    np.testing.assert_array_equal(uf.einsum("ij,kj->ik", a, a, finish=method), np.full((2, 2), 7.0))
    layer.weight = 5.0
    np.testing.assert_array_equal(
        uf.einsum("ij,kj->ik", a, a, finish=method), np.full((2, 2), 16.0)
    )


class Dense:
    def __init__(self) -> None:
        self.weights = np.ones(3)


@pytest.mark.parametrize(
    "of",
    [
        lambda x, w: x + w * 2,
        lambda x, w: x + np.sqrt(w).sum(),
        lambda x, w: x * w[0] + w[-1],
        lambda x, w: x + float(w[0]),
        lambda x, w: x + (2 if w[0] > 3 else 1),
        lambda x, w: x + w + w[:, None] * 2,
        lambda x, w: x + w,
    ],
)
def test_what_numpy_makes_of_an_array_from_outside(of: Callable[[Any, Any], Any]) -> None:
    # It was made once, and stayed where the array had other elements.
    x, w, layer = np.arange(3.0), np.ones(3), Dense()
    for function in (lambda x: of(x, w), lambda x: of(x, layer.weights)):  # noqa: B023
        fused = uf.fuse(function)
        for value in (4.0, 5.0, 4.0):
            w[...] = layer.weights[...] = value
            for _ in range(2):
                np.testing.assert_array_equal(fused(x), function(x))
        w, layer.weights = np.full(3, 7.0), np.full(3, 8.0)
        np.testing.assert_array_equal(fused(x), function(x))
        w[:] = layer.weights[:] = 9
        np.testing.assert_array_equal(fused(x), function(x))


def test_arrays_that_are_only_read_are_not_compared() -> None:
    w = np.ones(3)
    fused = uf.fuse(lambda x: x + w + w[::-1])
    fused(np.ones(3))
    assert not fused._environment.is_watched(w)
    assert fused.cache_info().misses == 1
