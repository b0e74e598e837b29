"""The arguments of `State`, checked."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .accumulators import Binning
from .sketch_blocks import read_shares
from .statistics import NAMES, RANKED


def read_names(function: str, names: tuple[Any, ...]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        raise ValueError(
            f"{function}: argument 'statistics': expected names out of {' '.join(NAMES)}, got "
            f"{unknown or names}"
        )
    if len(set(names)) != len(names):
        raise ValueError(f"{function}: argument 'statistics': a name is repeated in {names}")
    return names


def read_axis(function: str, axis: Any, names: tuple[str, ...]) -> Any:
    if axis is None:
        return None
    single = any(name.removeprefix("nan") in ("argmin", "argmax") for name in names)
    try:
        if single or not isinstance(axis, tuple):
            return operator.index(axis)
        axes = tuple(operator.index(one) for one in axis)
    except TypeError:
        expected = "an int or None" if single else "an int, a tuple of ints or None"
        raise TypeError(f"{function}: argument 'axis': expected {expected}, got {axis!r}") from None
    if len(set(axes)) != len(axes) or not axes:
        raise ValueError(f"{function}: argument 'axis': expected different axes, got {axis!r}")
    return axes


def read_bins(function: str, bins: Any, ends: Any, wanted: bool) -> Binning | None:
    if not wanted:
        if bins is not None or ends is not None:
            raise ValueError(f"{function}: bins= and range= are of 'histogram', which is not asked")
        return None
    if bins is None or (np.ndim(bins) == 0) != (ends is not None):
        raise ValueError(
            f"{function}: 'histogram' needs its edges beforehand: bins=256, range=(0, 1), or edges "
            f"as bins=; got bins={bins!r}, range={ends!r}"
        )
    try:
        if ends is None:
            edges = np.asarray(bins, np.float64)
            found = Binning(edges.size - 1, edges=tuple(edges.ravel().tolist()))
        else:
            low, high = map(float, ends)
            edges = np.array([low, high])
            found = Binning(operator.index(bins), ends=(low, high))
    except (TypeError, ValueError):
        edges, found = np.empty(0), Binning(0)
    finite = edges.ndim == 1 and found.number >= 1 and np.isfinite(edges).all()
    if not finite or not np.isfinite(edges[-1] - edges[0]) or np.any(np.diff(edges) <= 0):
        raise ValueError(
            f"{function}: arguments 'bins' and 'range': expected edges that are finite and "
            f"increase, or a number of bins between two; got bins={bins!r}, range={ends!r}"
        )
    return found


def read_q(function: str, q: Any, names: tuple[str, ...]) -> Any:
    asked = {name.removeprefix("nan") for name in names} & set(RANKED) - {"median"}
    if len(asked) != (q is not None):
        raise ValueError(
            f"{function}: argument 'q' goes with one of 'quantile' (0 to 1) and 'percentile' (0 to "
            f"100); got q={q!r} with {names}"
        )
    if q is None:
        return None
    shares = read_shares(function, "q", q, 100.0 if asked == {"percentile"} else 1.0)
    return _frozen(shares.tolist())


def _frozen(shares: Any) -> Any:
    return tuple(map(_frozen, shares)) if isinstance(shares, list) else shares
