"""Ufuncs from definitions, by the executor that there is."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from .. import executors
from .loops import Definition


def make(definition: Definition, module: str) -> Any:
    """Return the ufunc; it names `module` as where it is from, as far as NumPy's can."""
    ufunc = executors.of("ufuse.ufuncs").make(definition)
    with suppress(AttributeError):  # NumPy before 2.2: pickle then looks for it in all modules
        ufunc.__module__ = module
        ufunc.__qualname__ = definition.name
    return ufunc
