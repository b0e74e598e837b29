"""Pytest plugin: NumPy's names are ours while NumPy's own tests run (``-p numpy_suites.rebind``).

The names are bound before anything is collected, because test modules bind some when they are
imported. What is ours and asks NumPy in turn (dtypes that are not compiled) gets NumPy's own
function, and so does NumPy itself: it calls its functions with what is no array.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest

import ufuse as uf

from .suites import FUNCTIONS, SUITES

_state = threading.local()


def _inside_numpy(caller: FrameType) -> bool:
    module = caller.f_globals.get("__name__", "")
    tests = ".tests." in module or module.startswith("numpy.testing")
    return module.startswith("numpy.") and not tests


class _Rebound:
    """One of NumPy's names, calling ours.

    An object, for a class of tests may keep it as its attribute: a function there would be bound
    and given the instance, which a ufunc is not. A ufunc's own attributes are the original's.
    """

    def __init__(self, ours: Callable[..., Any], original: Callable[..., Any]) -> None:
        functools.update_wrapper(self, original)
        self._ours, self._original = ours, original

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if getattr(_state, "inside", False) or _inside_numpy(sys._getframe(1)):
            return self._original(*args, **kwargs)
        _state.inside = True
        try:
            return self._ours(*args, **kwargs)
        finally:
            _state.inside = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_original"], name)


for _name in FUNCTIONS:
    if hasattr(uf, _name):
        setattr(np, _name, _Rebound(getattr(uf, _name), getattr(np, _name)))
for _alias, _name in (("amin", "min"), ("amax", "max")):
    setattr(np, _alias, getattr(np, _name))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is skipped, with the reason."""
    reasons = {place: why for suite in SUITES for place, why in suite.skips.items()}
    for item in items:
        place = item.nodeid.split("::", 1)[1]
        bare = place.split("[", 1)[0]
        for key in (place, bare, bare.split("::", 1)[0]):
            if key in reasons:
                item.add_marker(pytest.mark.skip(reason=reasons[key]))
                break
