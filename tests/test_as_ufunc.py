"""`FusedFunction.as_ufunc`: traced functions of elements as NumPy's ufuncs, beside NumPy."""

from __future__ import annotations

import functools
import gc
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE

native_only = pytest.mark.skipif(not NATIVE, reason="needs the native executor")

OUTSIDE = np.float32([1, 2, 3])


def f4(size: int = 1000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-3, 3, size).astype("f4")


@uf.fuse
def lerp(a, b, t):
    """Go from a to b."""
    return a + t * (b - a)


@uf.fuse
def added(a, b):
    return a + b


def _halved(a):
    return a / 2


_halved.__name__ = _halved.__qualname__ = "halved"
halved = uf.fuse(_halved).as_ufunc()

FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "one operation": (lambda a: a + 1, 1),
    "several": (lambda a, b: np.where(a > b, np.sqrt(np.abs(a)), a * b), 2),
    "comparison": (lambda a, b: (a > b) & (b < 1), 2),
    "no kernel": (lambda a, b: np.nextafter(np.spacing(a), b), 2),
    "several results": (lambda a, b: (a - b, a > b, np.rint(a)), 2),
    "a list": (lambda a: [a, -a], 1),
    "results with no kernel": (lambda a: np.frexp(a * 2), 1),
    "an argument": (lambda a, b: b, 2),
    "the same twice": (lambda a: (a, a), 1),
    "a constant": (lambda a: np.full_like(a, 2), 1),
    "a wider result": (lambda a: a * np.float64(2), 1),
    "arguments in another order": (lambda a, b, c: c - (b - 2 * a), 3),
    "a conversion": (lambda a: np.rint(a).astype(np.int8), 1),
}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_equals_numpy(name: str, dtype: str) -> None:
    function, count = FUNCTIONS[name]
    args = [f4(777, seed).astype(dtype) for seed in range(count)]
    made = uf.fuse(function).as_ufunc()
    want = function(*args)
    results = want if isinstance(want, (tuple, list)) else (want,)
    assert (made.nin, made.nout, made.ntypes) == (count, len(results), 2)
    for given in (args, [a[::-2] for a in args], [a[:0] for a in args], [a[:1] for a in args]):
        got = made(*given)
        wanted = function(*given)
        for one, two in zip(
            got if made.nout > 1 else (got,),
            wanted if made.nout > 1 else (wanted,),
            strict=True,
        ):
            np.testing.assert_array_equal(one, two, strict=True)


@native_only
def test_is_numpys_with_name_and_documentation() -> None:
    made = lerp.as_ufunc()
    assert type(made) is np.ufunc
    assert made.__name__ == "lerp"
    assert "Go from a to b." in made.__doc__
    assert made.types == ["fff->f", "ddd->d"]


def test_it_lives_without_the_function_and_many_may_be_made() -> None:
    def made() -> Any:
        return uf.fuse(lambda a, b: a * b + 7).as_ufunc()

    many = [made() for _ in range(200)]
    uf.fuse(lambda a: a).cache_clear()
    gc.collect()
    np.testing.assert_array_equal(many[99](f4(), f4()), f4() * f4() + 7)
    del many
    gc.collect()


@pytest.mark.parametrize(
    ("signature", "types"),
    [
        ("ff", ["ff->f"]),
        ("ff->f", ["ff->f"]),
        ("dd->f", ["dd->f"]),
        ("d,d->d", ["dd->d"]),
        ("f4, f8 -> f8", ["fd->d"]),
        ((np.float32, np.int8), ["fb->f"]),
        (("f4", ">f4"), ["ff->f"]),
        ((("f4", "f4"), ("f8",)), ["ff->d"]),
        (["ee->e", "ff", "dd->d"], ["ee->e", "ff->f", "dd->d"]),
        ("FF->F", ["FF->F"]),
        ("ii", ["ii->i"]),
        ("??", ["??->?"]),
        ("gg", ["gg->g"]),
    ],
)
def test_signatures(signature: Any, types: list[str]) -> None:
    made = added.as_ufunc(signature)
    assert made.types == types
    for one in types:
        a = np.abs(f4(100)).astype(one[0])
        b = np.abs(f4(100, 1)).astype(one[1])
        np.testing.assert_array_equal(made(a, b), (a + b).astype(one[-1]), strict=True)


def test_float16_by_kernels_and_without() -> None:
    gelu = uf.fuse(lambda a: uf.gelu(a * 1)).as_ufunc("e")
    x = f4(500).astype("f2")
    np.testing.assert_array_equal(gelu(x), uf.gelu(x), strict=True)
    np.testing.assert_array_equal(added.as_ufunc("ee")(x, x[::-1]), x + x[::-1], strict=True)


def test_defaults_are_constants_unless_they_have_a_type() -> None:
    def scaled(x: Any, factor: Any = 3, *, shift: Any = 1) -> Any:
        return x * factor + shift

    x = f4(50)
    fused = uf.fuse(scaled)
    np.testing.assert_array_equal(fused.as_ufunc()(x), x * 3 + 1, strict=True)
    np.testing.assert_array_equal(fused.as_ufunc("ff")(x, x), x * x + 1, strict=True)
    partial = uf.fuse(functools.partial(scaled, factor=5))
    np.testing.assert_array_equal(partial.as_ufunc("f")(x), x * 5 + 1, strict=True)


def test_any_number_of_arguments_needs_a_signature() -> None:
    total = uf.fuse(lambda *args: sum(args[1:], args[0]))
    with pytest.raises(TypeError, match=r"as_ufunc: argument 'signature'.*'ff->f'"):
        total.as_ufunc()
    x = f4(9)
    np.testing.assert_array_equal(total.as_ufunc("fff")(x, x, x), x + x + x, strict=True)


def test_scalars_from_outside_are_kept_as_they_were() -> None:
    offset = np.array(2, "f4")
    made = uf.fuse(lambda a: a + offset).as_ufunc()
    offset[...] = 9
    np.testing.assert_array_equal(made(f4(5)), f4(5) + np.float32(2), strict=True)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda a: a - a.sum(), r"a reduction \(sum\).*fused function itself"),
        (lambda a: a[::-1], "a view"),
        (lambda a, b: a @ b, "a contraction"),
        (lambda a: a / a.shape[0], "depend on shapes"),
        (lambda a: a + OUTSIDE, r"shape \(3,\) from outside.*argument"),
        (lambda a: {"a": a}, "flat tuple or list"),
        (lambda a: (a, 2), "flat tuple or list"),
        (lambda a: (a, (a, a)), "flat tuple or list"),
        (lambda a: uf.softmax(a + 1, axis=-1), "a ufunc computes element by element"),
    ],
)
def test_what_is_not_of_elements_is_refused(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(TypeError, match=message) as raised:
        uf.fuse(function).as_ufunc()
    assert "as_ufunc" in str(raised.value)


@pytest.mark.parametrize(
    ("signature", "error", "message"),
    [
        ("f", ValueError, "types of 2 arguments.*got 1"),
        (["ff", "fff"], ValueError, "got 2 and 3"),
        ("ff->ff", ValueError, "types of 1 results, got 2"),
        ("ff->i", TypeError, "same_kind"),
        ("xx", TypeError, "expected types such as"),
        (3, TypeError, "expected types such as"),
        ("MM", TypeError, "NumPy's own numbers"),
        ("OO", TypeError, "NumPy's own numbers"),
    ],
)
def test_signatures_that_are_wrong(signature: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        added.as_ufunc(signature)
    assert "added.as_ufunc: argument 'signature'" in str(raised.value)


def test_keyword_only_arguments_need_a_value() -> None:
    def scaled(x: Any, *, factor: Any) -> Any:
        return x * factor

    with pytest.raises(TypeError, match=r"'factor' is keyword-only.*functools\.partial"):
        uf.fuse(scaled).as_ufunc()


def test_errors_while_computing_arrive() -> None:
    power = uf.fuse(lambda a, b: np.power(a + 0, b)).as_ufunc("ll->l")
    with pytest.raises(ValueError, match="negative integer powers"):
        power(np.arange(1000), -1)
    np.testing.assert_array_equal(power(np.arange(9), 2), np.arange(9) ** 2)


def test_pickle_is_by_the_functions_name() -> None:
    assert pickle.loads(pickle.dumps(halved)) is halved
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(added.as_ufunc())  # another object has that name


# --- two operands ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), (2,), (1000,), (7, 30), (3, 4, 5)])
@pytest.mark.parametrize("operation", ["add", "nextafter"])
def test_reduce_accumulate_outer(operation: str, shape: tuple[int, ...]) -> None:
    function = getattr(np, operation)
    made = uf.fuse(lambda a, b: function(a + 0, b)).as_ufunc()
    x = np.rint(f4(int(np.prod(shape)))).reshape(shape)
    for axis in range(-1, len(shape)):
        want = function.accumulate(x, axis=axis)
        np.testing.assert_array_equal(made.accumulate(x, axis=axis), want, strict=True)
        # The last of all is what folding one after the other gives; np.add may pair.
        last = np.take(want, -1, axis)
        np.testing.assert_array_equal(made.reduce(x, axis=axis), last)
        np.testing.assert_array_equal(
            made.reduce(x, axis=axis, keepdims=True), np.expand_dims(last, axis)
        )
    np.testing.assert_array_equal(made.outer(x, x[0]), function.outer(x, x[0]), strict=True)
    out = np.empty_like(x)
    assert made.accumulate(x, out=out) is out
    with pytest.raises(ValueError, match="no identity"):
        made.reduce(x[:0])
    if len(shape) > 1:
        with pytest.raises(ValueError, match="not reorderable"):
            made.reduce(x, axis=None)


@native_only
def test_at_and_reduceat() -> None:
    made = added.as_ufunc()
    x = np.zeros(5)
    made.at(x, [0, 0, 3], 2.0)
    np.testing.assert_array_equal(x, [4, 0, 0, 2, 0])
    np.testing.assert_array_equal(made.reduceat(np.arange(8.0), [0, 4]), [6, 22])


def test_a_running_result_that_overlaps() -> None:
    x = np.rint(f4(999)).astype("f8")
    want = np.add.accumulate(x)
    added.as_ufunc().accumulate(x, out=x)
    np.testing.assert_array_equal(x, want)


@pytest.mark.parametrize("place", [0, 1])
def test_several_results_in_place_of_arguments(place: int) -> None:
    swap = uf.fuse(lambda a, b: (b - a, a + b)).as_ufunc()
    a, b = f4(3000), f4(3000, 1)
    want = b - a, a + b
    swap(a, b, out=(a, b) if place == 0 else (b, a))
    np.testing.assert_array_equal(a, want[place])
    np.testing.assert_array_equal(b, want[1 - place])


@native_only
def test_threads() -> None:
    a, b, t = f4(2_000_000), f4(2_000_000, 1), f4(2_000_000, 2)
    made = lerp.as_ufunc()
    with uf.threads(1):
        want = made(a, b, t)
    with uf.threads(3):
        np.testing.assert_array_equal(made(a, b, t), want)


@native_only
def test_objects_of_other_libraries() -> None:
    pandas = pytest.importorskip("pandas")
    series = pandas.Series([1.0, 2.0], index=["a", "b"])
    pandas.testing.assert_series_equal(added.as_ufunc()(series, 2.0), series + 2)
