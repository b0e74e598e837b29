"""Pytest plugin: NumPy's ufuncs are ours while its tests run (``-p numpy_suites.elements``).

``--ufuncs fused`` binds fused functions (`ufuse.fuse` of the ufunc), ``--ufuncs genuine`` what
`as_ufunc` makes of those. Numbers alone become arrays of no dimension, for with them a fused
function calls NumPy's. Calls with what only a ufunc takes (``where=``, ``dtype=``) are NumPy's in
the first case, and ours in the second. Ours give no floating-point warnings: those that tests
expect come from a call of NumPy's before.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any, Final

import numpy as np
import pytest

import ufuse as uf
from ufuse.catalogue.operations import BY_UFUNC

from .bound import Rebound, mark_skips
from .element_suites import FUSED, GENUINE

#: What as_ufunc has loops for; NumPy's other types (long double, objects, times) stay NumPy's.
_TYPES: Final = frozenset("?bBhHiIlLqQefdFD")
_NUMBERS: Final = (int, float, complex, bool)


def _names() -> list[str]:
    """Return NumPy's names for what the catalogue has."""
    every = {name: getattr(np, name) for name in dir(np) if not name.startswith("_")}
    return [name for name, f in every.items() if type(f) is np.ufunc and f in BY_UFUNC]


def _warn(ufunc: np.ufunc, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Let NumPy's ufunc give its floating-point warnings and errors, and no others."""
    if set(np.geterr().values()) == {"ignore"}:
        return
    try:
        ufunc(*args, **kwargs)
    except (FloatingPointError, Warning):
        raise
    except Exception:
        return


class _Counted(Rebound):
    calls = 0

    def computed(self, *args: Any, **kwargs: Any) -> Any:
        """Call ours for its values, after NumPy's has given its warnings.

        Those of ours, and where they are not NumPy's, are the business of test_fuse_warnings.py.
        """
        rest = {name: value for name, value in kwargs.items() if name != "out"}
        _warn(self.original, args[: self.original.nin], rest)
        _Counted.calls += 1
        with np.errstate(all="ignore"):
            return self.ours(*args, **kwargs)


class _Fused(_Counted):
    def call(self, *args: Any, **kwargs: Any) -> Any:
        original: np.ufunc = self.original
        if len(args) > original.nin:
            args, kwargs = args[: original.nin], {**kwargs, "out": args[original.nin]}
        out = kwargs.pop("out", None)
        out = out[0] if type(out) is tuple and len(out) == 1 else out
        ours = not kwargs and all(_is_ours(a) for a in (*args, out))
        if not ours or len(args) != original.nin:
            given = {**kwargs, "out": out} if out is not None else kwargs
            return original(*args, **given)
        if all(type(a) in _NUMBERS for a in args):
            args = tuple(np.asarray(a) for a in args)
        return self.computed(*args, **({} if out is None else {"out": out}))


def _is_ours(argument: Any) -> bool:
    """Whether it is an array or number of a type that ufuse computes with."""
    if argument is None:
        return True
    if type(argument) is not np.ndarray and not isinstance(
        argument, (np.generic, list, tuple, *_NUMBERS)
    ):
        return False  # subclasses, and what overrides ufuncs
    try:
        return np.asarray(argument).dtype.char in _TYPES
    except (TypeError, ValueError):
        return False


class _Genuine(_Counted):
    """Ours where it has the loop: NumPy's types that it lacks are NumPy's business."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        every = (*args, kwargs.get("out"))
        if all(_is_ours(a) for a in every if type(a) is not tuple):
            return self.computed(*args, **kwargs)
        return self.original(*args, **kwargs)


def _genuine(fused: Any, original: np.ufunc) -> np.ufunc | None:
    loops = []
    for types in original.types:
        if not set(types.replace("->", "")) <= _TYPES:
            continue
        try:
            fused.as_ufunc([types])
        except (TypeError, uf.TraceError):
            continue
        loops.append(types)
    ufunc: np.ufunc | None = fused.as_ufunc(loops) if loops else None
    return ufunc


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ufuncs", choices=("fused", "genuine"), default="fused")


def pytest_configure(config: pytest.Config) -> None:
    """Bind the names, before anything is collected."""
    with suppress(ImportError):  # it adds loops to `numpy.add`, which it looks up by that name
        importlib.import_module("numpy._core._rational_tests")
    genuine = config.getoption("--ufuncs") == "genuine"
    for name in _names():
        original = getattr(np, name)
        ours: Any = uf.fuse(original)
        if genuine:
            ours = _genuine(ours, original)
            if ours is None:
                continue
        setattr(np, name, (_Genuine if genuine else _Fused)(ours, original))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is skipped, with the reason."""
    mark_skips(items, GENUINE if config.getoption("--ufuncs") == "genuine" else FUSED)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many calls were ours."""
    terminalreporter.write_line(f"calls computed by ours: {_Counted.calls}")
