"""How far a sample has moved away from a reference."""

from __future__ import annotations

import operator
from collections import namedtuple
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import numpy as np

from ..reduce.request import Array
from .distributions import Binned, Ranked, binned, distribution_of, histogram_of

_MEASURES: Final = ("ks", "pvalue", "psi", "kl", "js", "wasserstein")


def drift(
    reference: Any,
    sample: Any,
    *,
    bins: Any = None,
    measures: str | Iterable[str] | None = None,
    epsilon: float = 1e-4,
) -> Any:
    """Measure how far the distribution of a sample is from that of a reference.

    Parameters
    ----------
    reference, sample : array_like, QuantileSketch or State
        Real numbers of any shape; or what is kept of a stream: a sketch, or a state with
        ``"median"``, ``"quantile"``, ``"percentile"`` or ``"histogram"``. NaN are left out.
    bins : int or array_like, optional
        Of `psi`, `kl` and `js`. A number b, 10 by default: cut at the quantiles of 1/b, 2/b... of
        the reference, each once; a value that more than one of them falls on has a bin of its
        own. Or cuts, increasing. A bin has the values from its lower cut on
        and below its upper one; the first and the last bin are open. Of histograms the bins are
        theirs, and what is below and above is a bin each.
    measures : sequence of str, optional
        Some of the fields below; None means all.
    epsilon : float, optional
        Shares of `psi` and `kl` that are smaller are raised to it, and all divided by their sum: an
        empty bin has no logarithm.

    Returns
    -------
    namedtuple
        With r and s the shares of the bins in reference and sample, F and G the distribution
        functions:

        ks
            Kolmogorov-Smirnov statistic, the largest ``|F - G|``. Exact on arrays; of sketches off
            by at most the sum of their ``error_bound``; of histograms the largest at an edge.
        pvalue
            Chance of as large a `ks` from one distribution, in the limit of many elements
            (Kolmogorov's series).
        psi
            Population stability index, ``sum((s - r) * log(s / r))``.
        kl
            Kullback-Leibler divergence of the sample from the reference, ``sum(s * log(s / r))``,
            in nats.
        js
            Jensen-Shannon distance to base 2, between 0 and 1: the square root of the mean of the
            divergences of r and s from their mean. `epsilon` has no part in it.
        wasserstein
            Wasserstein-1 (earth mover's) distance, the integral of ``|F - G|``. Of histograms as
            if the elements of a bin were spread evenly; NaN if there are some outside of the edges.

    Raises
    ------
    ValueError
        If there is nothing to compare, a state has lanes or neither sketch nor histogram, two
        histograms have different edges, or an argument makes no sense.
    TypeError
        If the numbers are not real.

    Notes
    -----
    Where only one of the two has a histogram alone, the other is counted in its bins.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> rng = np.random.default_rng(0)
    >>> before, after = rng.normal(size=10_000), rng.normal(0.5, size=10_000)
    >>> found = uf.drift(before, after)
    >>> bool(found.ks > 0.15), bool(found.pvalue < 1e-6), round(float(found.wasserstein), 1)
    (True, True, 0.5)
    >>> uf.drift(before, before, measures=("psi", "js"))
    Drift(psi=0.0, js=0.0)
    """
    function = "ufuse.drift"
    names = _read_measures(function, measures)
    least = _read_epsilon(function, epsilon)
    a = distribution_of(function, "reference", reference)
    b = distribution_of(function, "sample", sample)
    found: dict[str, float] = {}
    if isinstance(a, Binned) or isinstance(b, Binned):
        if bins is not None:
            raise ValueError(f"{function}: argument 'bins': histograms have bins of their own")
        first, second = _in_one_binning(
            function, a, histogram_of(reference), b, histogram_of(sample)
        )
        shares = first.counts / first.count, second.counts / second.count
        found["ks"], found["wasserstein"] = _distances_of_bins(
            *shares, first.edges.astype(np.float64)
        )
    else:
        if {"ks", "pvalue", "wasserstein"} & set(names):
            found["ks"], found["wasserstein"] = _distances(a, b)
        cuts = _cuts(function, bins, a)
        shares = _shares(a, cuts), _shares(b, cuts)
    if "pvalue" in names:
        found["pvalue"] = _kolmogorov(found["ks"], a.count, b.count)
    found |= _divergences(*shares, least)
    return _result_type(names)(*(float(found[name]) for name in names))


def _in_one_binning(
    function: str,
    a: Ranked | Binned,
    a_bins: Binned | None,
    b: Ranked | Binned,
    b_bins: Binned | None,
) -> tuple[Binned, Binned]:
    """Return two histograms with the edges of one."""
    edges = (a if isinstance(a, Binned) else b).edges  # type: ignore[union-attr]
    found = []
    for one, bins in ((a, a_bins), (b, b_bins)):
        if bins is not None and _same_edges(bins.edges, edges):
            found.append(bins)
        elif isinstance(one, Binned):
            raise ValueError(
                f"{function}: the histograms of reference and sample have different edges: "
                f"{_told(edges)} and {_told(one.edges)}"
            )
        else:
            found.append(binned(one, edges))
    return found[0], found[1]


def _same_edges(a: Array, b: Array) -> bool:
    """Whether edges are the same in the narrower of their types, which rounds equal bins."""
    narrow = min(a.dtype, b.dtype, key=lambda dtype: dtype.itemsize)
    return np.array_equal(a.astype(narrow), b.astype(narrow))


def _told(edges: Array) -> str:
    return f"{edges.size - 1} bins from {edges[0]:g} to {edges[-1]:g}"


# --- distances of distribution functions ----------------------------------------------------------


def _distances(a: Ranked, b: Ranked) -> tuple[float, float]:
    """Kolmogorov-Smirnov and Wasserstein-1, over all values where a function steps."""
    points = np.sort(np.concatenate([a.values, b.values]), kind="stable")
    gap = np.abs(
        a.ranks(points, inclusive=True) / a.count - b.ranks(points, inclusive=True) / b.count
    )
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.diff(points.astype(np.float64))
        moved = np.where(gap[:-1] > 0, gap[:-1] * steps, 0.0)  # also over infinite steps
    return float(gap.max()), float(moved.sum())


def _distances_of_bins(r: Array, s: Array, edges: Array) -> tuple[float, float]:
    gap = np.cumsum(s - r)[:-1]  # at the edges
    ks = float(np.abs(gap).max())
    if r[0] + r[-1] + s[0] + s[-1] > 0:
        return ks, np.nan
    low, high = np.abs(gap[:-1]), np.abs(gap[1:])
    # The gap is linear in a bin: a trapezium, or two triangles where it changes its sign.
    crossed = np.signbit(gap[:-1]) != np.signbit(gap[1:])
    both = np.where(low + high > 0, low + high, 1.0)
    mean = np.where(crossed, (low * low + high * high) / both, low + high) / 2
    return ks, float((mean * np.diff(edges)).sum())


def _kolmogorov(ks: float, n: int, m: int) -> float:
    """Survival function of Kolmogorov's distribution, by the series that converges quickly."""
    x = ks * np.sqrt(n / (n + m) * m)
    if x < 0.04:  # the next double to 1
        return 1.0
    if x < 1.18:
        odd = 2 * np.arange(20) + 1
        total = np.exp(-((odd * np.pi / x) ** 2) / 8).sum()
        return float(1 - np.sqrt(2 * np.pi) / x * total)
    k = np.arange(1, 20)
    return float(2 * np.sum((-1.0) ** (k - 1) * np.exp(-2 * (k * x) ** 2)))


# --- divergences of shares ------------------------------------------------------------------------


def _cuts(function: str, bins: Any, reference: Ranked) -> Array:
    if bins is None or np.ndim(bins) == 0:
        try:
            number = operator.index(10 if bins is None else bins)
        except TypeError:
            number = 0
        if number < 1:
            raise ValueError(
                f"{function}: argument 'bins': expected a number of bins from 1 on, or cuts; got "
                f"{bins!r}"
            )
        cuts, times = np.unique(
            reference.quantiles(np.arange(1, number) / number), return_counts=True
        )
        # A value that many quantiles fall on has a bin of its own: zeros of a sparse column, say.
        return np.unique(np.concatenate([cuts, np.nextafter(cuts[times > 1], np.inf)]))
    try:
        cuts = np.asarray(bins, np.float64)
    except (TypeError, ValueError):
        cuts = np.empty(0)
    if cuts.ndim != 1 or cuts.size == 0 or not np.all(np.diff(cuts) > 0) or np.isnan(cuts).any():
        raise ValueError(f"{function}: argument 'bins': expected cuts that increase, got {bins!r}")
    return cuts


def _shares(x: Ranked, cuts: Array) -> Array:
    below = x.ranks(cuts, inclusive=False)
    return np.diff(np.concatenate([[0], below, [x.count]])) / x.count


def _divergences(r: Array, s: Array, epsilon: float) -> dict[str, float]:
    mean = (r + s) / 2
    js = (_relative_entropy(r, mean) + _relative_entropy(s, mean)) / 2 / np.log(2)
    r, s = (np.maximum(x, epsilon) for x in (r, s))
    r, s = r / r.sum(), s / s.sum()
    return {
        "psi": float(np.sum((s - r) * np.log(s / r))),
        "kl": _relative_entropy(s, r),
        "js": float(np.sqrt(max(js, 0.0))),
    }


def _relative_entropy(p: Array, q: Array) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / q[some])))


# --- arguments ------------------------------------------------------------------------------------


def _read_measures(function: str, measures: Any) -> tuple[str, ...]:
    if measures is None:
        return _MEASURES
    names = (measures,) if isinstance(measures, str) else tuple(measures)
    if not names or set(names) - set(_MEASURES) or len(set(names)) != len(names):
        raise ValueError(
            f"{function}: argument 'measures': expected different names out of "
            f"{' '.join(_MEASURES)}, got {measures!r}"
        )
    return names


def _read_epsilon(function: str, epsilon: Any) -> float:
    try:
        least = float(epsilon)
    except (TypeError, ValueError):
        least = np.nan
    if not 0 < least < 0.5:
        raise ValueError(
            f"{function}: argument 'epsilon': expected a share between 0 and 0.5, got {epsilon!r}"
        )
    return least


@lru_cache(maxsize=64)
def _result_type(names: tuple[str, ...]) -> Any:
    return namedtuple("Drift", names)
