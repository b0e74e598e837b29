"""What contractions refuse: by the name of what was called, as NumPy does, with nothing written."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf

X, Y, V = np.arange(12.0).reshape(3, 4), np.arange(20.0).reshape(4, 5), np.arange(4.0)
F, W, B = X.astype("f4"), np.ones((5, 4), "f4"), np.ones(5, "f4")
CODES = uf.quantize(W, "int8", axis=0)
STACK = np.ones((2, 4, 5))

_SUMS: dict[str, Any] = {
    "dtype": None, "order": "K", "casting": "same_kind", "accumulate": None,
    "semiring": "plus_times",
}  # fmt: skip
_FINISHED = {**_SUMS, "return_arg": False, "finish": None}
_PATHS = {**_FINISHED, "optimize": "auto", "memory_limit": None}
_PLANNED = {name: _PATHS[name] for name in ("semiring", "optimize", "memory_limit")}
_CALLED = {name: _FINISHED[name] for name in _FINISHED if name != "semiring"}

#: A call that is right, its keywords, and the shape of its result where it takes an `out`.
CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = {
    "einsum": (uf.einsum, ("ij,jk->ik", X, Y), _PATHS, (3, 5)),
    "einsum of one": (uf.einsum, ("ij->ji", X), _PATHS, (4, 3)),
    "einsum of three": (uf.einsum, ("ij,jk,j->ik", X, Y, V), _PATHS, (3, 5)),
    "einsum by lists": (uf.einsum, (X, [0, 1], Y, [1, 2], [0, 2]), {}, (3, 5)),
    "einsum_path": (
        uf.einsum_path, ("ij,jk,j->ik", X, Y, V), {"optimize": True, "einsum_call": False}, None
    ),
    "matmul": (uf.matmul, (X, Y), {**_FINISHED, "axes": None}, (3, 5)),
    "matvec": (uf.matvec, (X, V), {**_SUMS, "axes": None}, (3,)),
    "vecmat": (uf.vecmat, (V, Y), {**_SUMS, "axes": None}, (5,)),
    "vecdot": (uf.vecdot, (X, V), {**_SUMS, "axes": None}, (3,)),
    "vecdot along": (uf.vecdot, (X, X), {**_SUMS, "axis": 1, "keepdims": False}, (3,)),
    "vecdot kept": (uf.vecdot, (X, V), {**_SUMS, "axes": None, "keepdims": True}, (3, 1)),
    "dot": (uf.dot, (X, Y), {}, (3, 5)),
    "vdot": (uf.vdot, (X, X), {}, None),
    "inner": (uf.inner, (X, X), {}, None),
    "outer": (uf.outer, (V, V), {}, (4, 4)),
    "tensordot": (uf.tensordot, (X, Y), {"axes": 1}, None),
    "kron": (uf.kron, (X, Y), {}, None),
    "cdist": (uf.cdist, (X, X), {"metric": "euclidean"}, (3, 3)),
    "contract_plan": (
        uf.contract_plan, ("ij,jk,j->ik", (3, 4), (4, 5), (4,)), {**_PLANNED, "dtype": "f8"}, None
    ),
    "contract_plan called": (
        uf.contract_plan("ij,jk->ik", (3, 4), (4, 5)), (X, Y), _CALLED, (3, 5)
    ),
    "linear": (uf.linear, (F, W, B), {"activation": None, "mode": None, "out_scale": None}, (3, 5)),
    "linear by codes": (
        uf.linear, (F, CODES, B), {"mode": None, "out_scale": 0.1, "out_zero_point": 0}, (3, 5)
    ),
    "prepack": (uf.prepack, (W,), {"mode": None}, None),
    "attention": (
        uf.attention, (F, F, F), {"mask": None, "scale": None, "causal": False}, (3, 4)
    ),
    "grouped_matmul": (uf.grouped_matmul, ([X, X], [Y, Y]), {}, None),
    "segment_matmul": (uf.segment_matmul, (X, [0, 1, 3], STACK), {}, (3, 5)),
    "semiring": (uf.semiring, (np.maximum, np.add, 0.0), {}, None),
}  # fmt: skip

BAD: dict[str, Any] = {
    "text": "foo", "nothing": None, "an integer": 5, "a number": 5.5, "negative": -1,
    "huge": 10**30, "not a number": np.nan, "an object": object(), "a dict": {1: 2},
    "a list": [1, 2], "empty": (),
    "ragged": [[1, 2], [3]], "bytes": b"x", "an array": np.ones(3), "true": True, "a type": int,
    "of no argument": lambda: 0, "reduces": lambda s: s.sum(), "constant": lambda s: 1,
    "two results": lambda s: (s, s), "strings": np.array(["a", "b"]),
    "times": np.ones((3, 4), "m8[s]"), "a date": np.datetime64("2020-01-01"),
    "raw": np.ones(3, "V4"), "fields": np.zeros(2, [("a", "f4")]),
}  # fmt: skip

KINDS = (TypeError, ValueError, KeyError, RuntimeError, MemoryError)


def _places() -> list[tuple[str, int | str]]:
    found: list[tuple[str, int | str]] = []
    for name, (_, args, kwargs, shape) in CALLS.items():
        found += [(name, i) for i in range(len(args))]
        found += [(name, key) for key in kwargs]
        if shape is not None or name == "grouped_matmul":
            found.append((name, "out"))
    return found


@pytest.mark.parametrize(("name", "place"), _places(), ids=str)
def test_what_is_refused_names_the_function_and_writes_nothing(name: str, place: int | str) -> None:
    """Wrong types for every argument: none of what NumPy or Python says by itself comes through."""
    function, args, kwargs, shape = CALLS[name]
    public = re.escape(f"ufuse.{name.partition(' ')[0]}: ")
    refused = 0
    for what, bad in BAD.items():
        given = list(args)
        options = dict(kwargs)
        out = None
        if isinstance(place, int):
            given[place] = bad
        else:
            options[place] = bad
        if shape is not None and place != "out":
            out = options["out"] = np.full(shape, 7, "f4" if args[0] is F else "f8")
            if "out_scale" in options and options["out_scale"] is not None:
                out = options["out"] = np.full(shape, 7, "i1")
        try:
            function(*given, **options)
        except uf.TraceError:  # of a finish: by the line of the user's function
            refused += 1
        except KINDS as error:
            refused += 1
            said = str(error.args[0]) if error.args else ""
            assert re.match(public, said), f"{what}: {type(error).__name__}: {said}"
            assert out is None or (out == 7).all(), what
    assert refused > 5, "the table of what is bad is none for this argument"


def _like_numpys() -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    square = np.ones((3, 3))
    found: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    for options in (
        {"order": 5}, {"order": "Z"}, {"order": "Fortran"}, {"casting": 5}, {"casting": "Z"},
        {"casting": None}, {"dtype": "foo"}, {"dtype": 5}, {"out": "foo"}, {"out": 5},
        {"axes": 5}, {"axes": "ab"}, {"axes": [0, 1]}, {"axes": [(0, 1), (0, 1)]},
        {"axes": [(0, 1), (0, 1), (0, 5)]}, {"axes": [(0, 0), (0, 1), (0, 1)]},
        {"axes": [("a", "b"), (0, 1), (0, 1)]}, {"axes": [(0, 1)] * 4},
        {"out": np.ones((3, 4))}, {"out": (square, square)},
    ):  # fmt: skip
        found.append(("matmul", (square, square), options))
        if "axes" not in options and not isinstance(options.get("out"), tuple):
            found.append(("einsum", ("ij,jk->ik", square, square), options))
    for options in (
        {"axis": 5}, {"axis": -3}, {"axis": "a"}, {"axis": 1.5}, {"axis": (0,)}, {"keepdims": 1},
        {"keepdims": "a"}, {"keepdims": None}, {"axes": 5}, {"axis": 5, "keepdims": True},
        {"keepdims": True, "out": np.ones(3)}, {"keepdims": True, "out": np.ones((3, 3))},
    ):  # fmt: skip
        found.append(("vecdot", (square, square), options))
    for optimize in (
        "foo", 5, ("foo", 5), ["einsum_path", (0, 1)], ["einsum_path", "ab"], [(0, 1)]
    ):  # fmt: skip
        args = ("ij,jk,kl->il", square, square, square)
        found.append(("einsum", args, {"optimize": optimize}))
        found.append(("einsum_path", args, {"optimize": optimize}))
    for axes in (None, 1.5, [1], ([5], [0]), (("a",), ("b",)), [[0.5], [1]], 5, "a"):
        found.append(("tensordot", (square, square, axes), {}))
    times, strings = np.ones((3, 3), "m8[s]"), np.full((3, 3), "a")
    for bad in (times, strings, np.zeros((3, 3), [("a", "f4")]), np.ones((2, 2))):
        found += [("matmul", (square, bad), {}), ("einsum", ("ij,jk->ik", square, bad), {})]
        if bad is not times:
            found += [("inner", (square, bad), {}), ("vdot", (square, bad), {})]
    return found


@pytest.mark.parametrize(("name", "args", "options"), _like_numpys(), ids=str)
def test_the_kind_of_an_error_is_numpys(
    name: str, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    numpys = getattr(np, name, None)
    if numpys is None:
        pytest.skip(f"this NumPy has no {name}")
    with pytest.raises(Exception) as theirs:
        numpys(*args, **options)
    with pytest.raises(Exception, match=rf"^['\"(]*ufuse\.{name}: ") as ours:
        getattr(uf, name)(*args, **options)
    kinds = [kind for kind in theirs.type.__mro__ if kind in KINDS or kind is IndexError]
    if kinds == [IndexError]:  # of Python's lists, from inside of NumPy
        kinds = [ValueError, RuntimeError]
    assert issubclass(ours.type, tuple(kinds)), (theirs.value, ours.value)


def test_a_path_by_a_name_that_opt_einsum_has() -> None:
    for optimize in ("branch-1", "dp", ("random-greedy", 1e6), np.True_, None):
        found = uf.einsum("ij,jk,j->ik", X, Y, V, optimize=optimize)
        np.testing.assert_array_equal(found, (X * V) @ Y)


def test_sums_that_could_overflow_name_what_was_called() -> None:
    long = np.ones((2, 140_000), "i1")
    plan = uf.contract_plan("ij,kj->ik", long.shape, long.shape)
    calls: dict[str, Callable[[], Any]] = {
        "einsum": lambda: uf.einsum("ij,kj->ik", long, long, accumulate="i4"),
        "matmul": lambda: uf.matmul(long, long.T, accumulate="i4"),
        "matvec": lambda: uf.matvec(long, long[0], accumulate="i4"),
        "vecdot": lambda: uf.vecdot(long, long, accumulate="i4"),
        "contract_plan": lambda: plan(long, long, accumulate="i4"),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=rf"^ufuse\.{name}: argument 'accumulate': int32"):
            call()


def test_paths_and_limits_name_what_was_called() -> None:
    args = ("ij,jk,k->i", (3, 4), (4, 5), (5,))
    with pytest.raises(MemoryError, match=r"^ufuse\.contract_plan: .* limit of 1"):
        uf.contract_plan(*args, memory_limit=1)
    with pytest.raises(RuntimeError, match=r"^ufuse\.contract_plan: argument 'optimize'"):
        uf.contract_plan(*args, optimize=["einsum_path", (0, 9)])
    with pytest.raises(RuntimeError, match=r"^ufuse\.einsum_path: argument 'optimize'"):
        uf.einsum_path("ij,jk,j", X, Y, V, optimize=["einsum_path", (0, 1)])


def test_out_of_a_plan_and_of_a_distance() -> None:
    plan = uf.contract_plan("ij,jk->ik", (3, 4), (4, 5))
    with pytest.raises(ValueError, match=r"^ufuse\.contract_plan: argument 'out': .*\(3, 5\)"):
        plan(X, Y, out=np.zeros((3, 4)))
    with pytest.raises(TypeError, match=r"^ufuse\.cdist: argument 'out': .*float64"):
        uf.cdist(X, X, out=np.zeros((3, 3), "i4"))
    with pytest.raises(ValueError, match=r"^ufuse\.cdist: argument 'out': .*\(3, 3\)"):
        uf.cdist(X, X, out=np.zeros((3, 4)))


def test_times_are_multiplied_where_numpy_does() -> None:
    square, times = np.ones((3, 3)), np.arange(9).astype("m8[s]").reshape(3, 3)
    for name in ("inner", "dot", "outer", "kron"):
        found, expected = (getattr(module, name)(square, times) for module in (uf, np))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_objects_raise_what_they_raise() -> None:
    class Stubborn:
        def __mul__(self, other: Any) -> Any:
            raise ZeroDivisionError("stubborn")

    stubborn = np.array([[Stubborn()]], object)
    for call in (
        lambda: uf.matmul(stubborn, stubborn),
        lambda: uf.einsum("ij,jk->ik", stubborn, stubborn),
        lambda: uf.kron(stubborn, stubborn),
    ):
        with pytest.raises(ZeroDivisionError, match="stubborn"):
            call()


@pytest.mark.parametrize("dtype", ["f8", np.float64, np.dtype("f8")])
def test_a_dtype_of_one_call_is_not_the_next_ones(dtype: Any) -> None:
    """np.dtype("f8") == None is True."""
    x = np.ones((6, 6), "f4")
    for _ in range(2):
        assert uf.matmul(x, x, dtype=dtype).dtype == np.float64
        assert uf.matmul(x, x, accumulate=dtype).dtype == np.float64
        assert uf.matmul(x, x).dtype == np.float32
        assert uf.einsum("ij,jk->ik", x, x, dtype=dtype).dtype == np.float64
        assert uf.einsum("ij,jk->ik", x, x).dtype == np.float32


def test_an_order_of_one_call_is_not_the_next_ones() -> None:
    """Results of Fortran's arrays are laid out as these, whatever was asked for before."""
    x, y = np.ones((6, 6)).T.copy("F"), np.full((6, 6), 2.0).T.copy("F")
    for _ in range(2):
        assert uf.matmul(x, y, order="C").flags.c_contiguous
        assert uf.matmul(x, y, out=np.empty((6, 6))).flags.c_contiguous
        assert uf.matmul(x, y).flags.f_contiguous
        assert uf.einsum("ij,jk->ik", x, y, order="C").flags.c_contiguous
        assert uf.einsum("ij,jk->ik", x, y).flags.f_contiguous
