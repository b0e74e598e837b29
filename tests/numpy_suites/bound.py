"""What the plugins share: an object in the place of one of NumPy's functions, and the skips."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import pytest

from .suites import Suite

_state = threading.local()


def _inside_numpy(caller: FrameType) -> bool:
    module = caller.f_globals.get("__name__", "")
    tests = ".tests." in module or module.startswith("numpy.testing")
    return module.startswith("numpy.") and not tests


class Rebound:
    """One of NumPy's names, calling ours.

    An object, for a class of tests may keep it as its attribute: a function there would be bound
    and given the instance, which a ufunc is not. A ufunc's own attributes are the original's.
    """

    def __init__(self, ours: Callable[..., Any], original: Callable[..., Any]) -> None:
        functools.update_wrapper(self, original)
        self.ours, self.original = ours, original

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if getattr(_state, "inside", False) or _inside_numpy(sys._getframe(1)):
            return self.original(*args, **kwargs)
        _state.inside = True
        try:
            return self.call(*args, **kwargs)
        finally:
            _state.inside = False

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Call ours, for what is not NumPy itself."""
        return self.ours(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["original"], name)


def mark_skips(items: list[pytest.Item], suites: Iterable[Suite]) -> None:
    """Mark what is skipped, with the reason."""
    reasons = {place: why for suite in suites for place, why in suite.skips.items()}
    for item in items:
        place = item.nodeid.split("::", 1)[1]
        bare = place.split("[", 1)[0]
        for key in (place, bare, bare.split("::", 1)[0]):
            if key in reasons:
                item.add_marker(pytest.mark.skip(reason=reasons[key]))
                break
