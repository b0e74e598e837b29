"""One function over many small arrays in one call, which others do call by call."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import load
from ..model import Call, Case, Statement, close
from . import loops
from .data import normal
from .elementwise import THREE, TWO

GROUP = "small"
N, COUNT = 100, 1000


def _make() -> SimpleNamespace:
    a, b = normal((COUNT, N), 1), normal((COUNT, N), 2)
    return SimpleNamespace(xs=[row.copy() for row in a], ys=[row.copy() for row in b])


def _statement(code: str, v: SimpleNamespace, **names: Any) -> Statement:
    return Statement(code, {**vars(v), **names})


def _ours(v: SimpleNamespace) -> Call:
    return _statement("f.map(xs, ys)", v, f=load("ufuse").fuse(lambda a, b: 2 * a + 3 * b))


def _numpy(v: SimpleNamespace) -> Call:
    return _statement("[2*a + 3*b for a, b in zip(xs, ys)]", v)


def _numexpr(v: SimpleNamespace) -> Call:
    f = load("numexpr").evaluate
    return _statement("[f('2*a + 3*b', {'a': a, 'b': b}) for a, b in zip(xs, ys)]", v, f=f)


def _numexpr_again(v: SimpleNamespace) -> Call:
    library = load("numexpr")
    library.evaluate("2*a + 3*b", {"a": v.xs[0], "b": v.ys[0]})
    return _statement("[f({'a': a, 'b': b}) for a, b in zip(xs, ys)]", v, f=library.re_evaluate)


def _numba(v: SimpleNamespace) -> Call:
    """Compile a function of one pair, called in Python's loop."""
    f = loops.compiled(loops.axpby_new, parallel=False)
    code = "[f(two, three, a, b) for a, b in zip(xs, ys)]"
    return _statement(code, v, f=f, two=TWO, three=THREE)


def _numba_list(v: SimpleNamespace) -> Call:
    """Compile the loop over numba's own lists, whose making is not in the time."""
    numba = load("numba")
    f = loops.compiled(loops.axpby_list, parallel=False)
    xs, ys = numba.typed.List(v.xs), numba.typed.List(v.ys)
    out = numba.typed.List([np.empty_like(x) for x in v.xs])
    code = "(f(two, three, p, q, out), out)[1]"
    return _statement(code, v, f=f, two=TWO, three=THREE, p=xs, q=ys, out=out)


def cases() -> list[Case]:
    """Return the cases of this module."""
    return [
        Case(
            name=f"2*a + 3*b, {COUNT} pairs of {N} elements",
            group=GROUP,
            make=_make,
            ours=_ours,
            peers={
                "numpy": _numpy,
                "numexpr": _numexpr,
                "numexpr:re_evaluate": _numexpr_again,
                "numba": _numba,
                "numba:list": _numba_list,
            },
            bar="numexpr >= 10x; time <= 600 us",
            check=close(1e-6, 1e-6),
        ),
    ]
