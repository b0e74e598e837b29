"""Pytest plugin: NumPy's names are ours while NumPy's own tests run (``-p numpy_suites.rebind``).

The names are bound before anything is collected, because test modules bind some when they are
imported. What is ours and asks NumPy in turn (dtypes that are not compiled) gets NumPy's own
function, and so does NumPy itself: it calls its functions with what is no array.
"""

from __future__ import annotations

import numpy as np
import pytest

import ufuse as uf

from .bound import Rebound, mark_skips
from .suites import FUNCTIONS, SUITES

for _name in FUNCTIONS:
    if hasattr(uf, _name):
        setattr(np, _name, Rebound(getattr(uf, _name), getattr(np, _name)))
for _alias, _name in (("amin", "min"), ("amax", "max")):
    setattr(np, _alias, getattr(np, _name))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is skipped, with the reason."""
    mark_skips(items, SUITES)
