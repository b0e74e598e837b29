"""Warnings point at the line that called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf

EMPTY, NAN = np.empty((3, 0)), np.full((50, 60), np.nan)

CALLS: dict[str, Callable[[], Any]] = {
    "mean": lambda: uf.mean(EMPTY, 1),
    "var": lambda: uf.var(np.ones(3), ddof=3),
    "std": lambda: uf.std(EMPTY, 1),
    "masked mean": lambda: uf.mean(np.ones(3), where=np.zeros(3, bool)),
    "nanmean": lambda: uf.nanmean(NAN, 0),
    "nanvar": lambda: uf.nanvar(NAN, 1),
    "nanstd of a few": lambda: uf.nanstd(NAN[:2, :2], 1),
    "nanmin": lambda: uf.nanmin(NAN, 0),
    "nanmax": lambda: uf.nanmax(NAN),
    "moments": lambda: uf.moments(EMPTY, axis=1),
    "reduce": lambda: uf.reduce(NAN, ("nanmin", "nanmax"), 0),
    "median": lambda: uf.median(EMPTY, 1),
    "nanmedian": lambda: uf.nanmedian(NAN, 0),
    "nanquantile": lambda: uf.nanquantile(NAN, 0.5, 1),
}


@pytest.mark.parametrize("name", CALLS)
def test_warnings_point_at_the_call(name: str) -> None:
    with pytest.warns(RuntimeWarning) as caught:
        CALLS[name]()
    assert {one.filename for one in caught} == {__file__}
