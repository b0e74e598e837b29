"""Which order statistics a quantile is made of, and how they are blended: NumPy's 13 methods.

A method places quantile `q` of `n` sorted elements at a *virtual index*, which is not whole as a
rule; the elements on both sides are blended by how far it is between them. The definitions are
those of Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), and NumPy's own four.
They are computed in the dtype of `q`, operation by operation as NumPy computes them: the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..reduce.request import Array

#: What becomes of the two order statistics; numbered as in ``csrc/order/kernels.hpp``.
PREVIOUS: Final = 0  #: the previous itself
MEAN: Final = 1  #: ``(previous + next) / 2``
LOWER: Final = 2  #: ``previous + difference * t``
UPPER: Final = 3  #: ``next - difference * (1 - t)``


class Rules(NamedTuple):
    """Order statistics and blends for lanes of given counts.

    Attributes
    ----------
    counts : ndarray of int64
        Numbers of elements, ascending; a row of the others for each.
    previous, next : ndarray of int64
        Positions among the sorted elements, ``[count, query]``; `next` is `previous` or one more.
    t, one_minus_t : ndarray of float64
        How far between them; the difference rounded as NumPy rounds it.
    blend : ndarray of uint8
        ``PREVIOUS``, ``MEAN``, ``LOWER`` or ``UPPER``.
    """

    counts: NDArray[np.int64]
    previous: NDArray[np.int64]
    next: NDArray[np.int64]
    t: NDArray[np.float64]
    one_minus_t: NDArray[np.float64]
    blend: NDArray[np.uint8]


def _between(alpha: float, beta: float) -> Callable[[Array, Array], Array]:
    """Hyndman and Fan's continuous methods by their two constants."""

    def virtual(n: Array, q: Array) -> Array:
        return n * q + (alpha + q * (1 - alpha - beta)) - 1

    return virtual


def _linear(n: Array, q: Array) -> Array:
    return (n - 1) * q


#: Methods that blend: the virtual index.
_CONTINUOUS: Final[dict[str, Callable[[Array, Array], Array]]] = {
    "averaged_inverted_cdf": lambda n, q: n * q - 1,
    "interpolated_inverted_cdf": _between(0, 1),
    "hazen": _between(0.5, 0.5),
    "weibull": _between(0, 0),
    "linear": _linear,
    "median_unbiased": _between(1 / 3.0, 1 / 3.0),
    "normal_unbiased": _between(3 / 8.0, 3 / 8.0),
    "midpoint": lambda n, q: 0.5 * (np.floor(_linear(n, q)) + np.ceil(_linear(n, q))),
}


def _step(index: Array, stay: Callable[[Array], Array]) -> Array:
    """Whole index after `index`; itself where it is whole and `stay` says so."""
    whole = np.floor(index)
    return np.where((index == whole) & stay(whole), whole, whole + 1)


#: Methods that choose an element: its index, to be clipped.
_DISCRETE: Final[dict[str, Callable[[Array, Array], Array]]] = {
    "inverted_cdf": lambda n, q: _step(n * q - 1, lambda whole: whole == whole),
    # The even one of two order statistics counted from 1, the odd one counted from 0.
    "closest_observation": lambda n, q: _step(n * q - 1 - 0.5, lambda whole: whole % 2 == 1),
    "lower": lambda n, q: np.floor(_linear(n, q)),
    "higher": lambda n, q: np.ceil(_linear(n, q)),
    "nearest": lambda n, q: np.around(_linear(n, q)),
}

#: The mean of the two elements in the middle, as np.median has it, is a method of its own here.
MEDIAN: Final = "median"

#: Names of the methods, in NumPy's order.
METHODS: Final = (
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "interpolated_inverted_cdf",
    "hazen",
    "weibull",
    "linear",
    "median_unbiased",
    "normal_unbiased",
    "lower",
    "higher",
    "midpoint",
    "nearest",
)


def chooses_elements(method: str, q: np.dtype[Any]) -> bool:
    """Whether the results are elements as they are: NumPy then keeps their dtype."""
    return method in _DISCRETE or (method == "linear" and q.kind in "biu")


class RuleSource:
    """The rules of one call, made as they are asked for.

    Parameters
    ----------
    method : str
        Of `METHODS`, or `MEDIAN`.
    q : ndarray
        1-D, the quantiles in [0, 1].
    """

    __slots__ = ("_key", "_q", "queries")

    def __init__(self, method: str, q: Array) -> None:
        self.queries = q.size
        self._q = q
        self._key = (method, q.tobytes(), q.dtype.str)

    def of(self, counts: NDArray[np.int64]) -> Rules:
        """Rules of ascending counts."""
        return rules_of_counts(self._key[0], self._q, counts)

    def alone(self, count: int) -> Rules:
        """Rules of one count."""
        return _cached_rules(*self._key, count, False)

    def up_to(self, count: int) -> Rules:
        """Rules of every count from 1."""
        return _cached_rules(*self._key, count, True)


@lru_cache(maxsize=64)
def _cached_rules(method: str, q: bytes, dtype: str, count: int, every: bool) -> Rules:
    counts = np.arange(1 if every else count, count + 1, dtype=np.int64)
    return rules_of_counts(method, np.frombuffer(q, dtype), counts)


def rules_of_counts(method: str, q: Array, counts: NDArray[np.int64]) -> Rules:
    """Rules of quantiles for ascending `counts`."""
    if method == MEDIAN:
        return _median_rules(counts)
    whole = q.dtype.kind in "biu"
    if whole:  # 0 and 1: exact in any dtype
        q = q.astype(np.float64)
    n = counts.astype(q.dtype)[:, None]
    last = counts[:, None] - 1
    if method in _DISCRETE:
        index = np.clip(_DISCRETE[method](n, q).astype(np.int64), 0, last)
        t = np.zeros(index.shape)
        return Rules(counts, index, index, t, t, np.full(index.shape, PREVIOUS, np.uint8))
    virtual = _CONTINUOUS[method](n, q)
    floor = np.floor(virtual)
    t = virtual - floor
    if method == "averaged_inverted_cdf":
        t = np.where(t == 0, 0.5, 1).astype(q.dtype)
    # Beyond the ends there is nothing to blend with, and at a whole index nothing to blend: NumPy
    # multiplies an infinite difference by 0 there, and calls the result NaN.
    ends = (virtual >= n - 1) | (virtual < 0)
    previous = np.clip(floor.astype(np.int64), 0, last)
    alone = ends | (t == 0)
    following = np.where(alone, previous, np.minimum(previous + 1, last))
    blend = np.where(t >= 0.5, UPPER, LOWER)
    return Rules(
        counts,
        previous,
        following,
        t.astype(np.float64),
        (1 - t).astype(np.float64),
        np.where(alone, PREVIOUS, blend).astype(np.uint8),
    )


def _median_rules(counts: NDArray[np.int64]) -> Rules:
    following = (counts // 2)[:, None]
    odd = (counts % 2 == 1)[:, None]
    previous = np.where(odd, following, following - 1)
    half = np.full(previous.shape, 0.5)
    blend = np.where(odd, PREVIOUS, MEAN).astype(np.uint8)
    return Rules(counts, previous, following, half, half, blend)


def blended(previous: Array, following: Array, rules: Rules, rows: Array, dtype: Any) -> Array:
    """Blend order statistics in `dtype`.

    Parameters
    ----------
    previous, following : ndarray
        ``[query, lanes...]``
    rules : Rules
    rows : ndarray of int
        The row of `rules` for each lane, ``[lanes...]``; or of one for all.
    dtype : dtype
        Of the result.
    """
    if not rules.blend.any():
        return previous.astype(dtype, copy=False)

    def of_lanes(table: Array) -> Array:
        return np.moveaxis(table[rows], -1, 0)

    blend = of_lanes(rules.blend)
    t, one_minus_t = (of_lanes(part).astype(dtype) for part in (rules.t, rules.one_minus_t))
    if previous.dtype.kind in "biu":  # the exact difference, even where it overflows their type
        unsigned = np.dtype(f"u{previous.dtype.itemsize}")
        difference = (following.view(unsigned) - previous.view(unsigned)).astype(dtype)
    else:
        difference = (following - previous).astype(dtype)
    first, second = previous.astype(dtype), following.astype(dtype)
    wide = np.dtype(np.float32) if dtype == np.float16 else dtype  # as NumPy's mean
    mean = ((first.astype(wide) + second.astype(wide)) / wide.type(2)).astype(dtype)
    result = np.where(blend == UPPER, second - difference * one_minus_t, first + difference * t)
    return np.asarray(np.where(blend == PREVIOUS, first, np.where(blend == MEAN, mean, result)))
