"""Semirings of contractions: what stands in the place of the sum and of the product, a row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .dtypes import FLOATS

_SIGNED_AND_FLOATS: Final = ("i4", "i8", *FLOATS)


@dataclass(frozen=True, slots=True)
class Semiring:
    """One semiring, or a near one: what is summed over the shared labels, and how.

    Attributes
    ----------
    name : str
        The sum's name and the product's.
    plus : str
        The NumPy ufunc that adds; its ``reduce`` is the reference.
    times : callable
        Of two broadcast arrays.
    identity : float
        What an empty sum is: of integers their end where it is infinite.
    codes : tuple of str
        Element types with a kernel; ``"?"`` is packed to bits.
    doc : str
    """

    name: str
    plus: str
    times: Any
    identity: float
    codes: tuple[str, ...]
    doc: str
    distributes: bool = False  # the product over the sum, so that an operand may be summed first

    @property
    def selects(self) -> bool:
        """Whether the sum is one of its terms, so that it has an index."""
        return self.plus in ("minimum", "maximum")

    def empty(self, dtype: np.dtype[Any]) -> Any:
        """Return the sum of nothing."""
        if dtype.kind in "iu" and np.isinf(self.identity):
            return np.iinfo(dtype).max if self.identity > 0 else np.iinfo(dtype).min
        return dtype.type(self.identity)


def _absolute_difference(a: Any, b: Any) -> Any:
    return np.maximum(a, b) - np.minimum(a, b) if a.dtype.kind in "iu" else np.absolute(a - b)


def _squared_difference(a: Any, b: Any) -> Any:
    return np.square(np.subtract(a, b))


def _not_equal(a: Any, b: Any) -> Any:
    return np.not_equal(a, b).astype(np.result_type(a, b))


SEMIRINGS: Final = (
    Semiring("min_plus", "minimum", np.add, np.inf, _SIGNED_AND_FLOATS, "Shortest paths.", True),
    Semiring("max_plus", "maximum", np.add, -np.inf, _SIGNED_AND_FLOATS, "Critical paths.", True),
    Semiring(
        "max_times", "maximum", np.multiply, -np.inf, _SIGNED_AND_FLOATS, "Most likely paths."
    ),
    Semiring("min_max", "minimum", np.maximum, np.inf, _SIGNED_AND_FLOATS, "Bottlenecks.", True),
    Semiring("or_and", "logical_or", np.logical_and, 0, ("?",), "Reachability.", True),
    Semiring("xor_and", "logical_xor", np.logical_and, 0, ("?",), "Algebra modulo 2.", True),
    Semiring("logaddexp_plus", "logaddexp", np.add, -np.inf, FLOATS, "Log-likelihoods.", True),
    Semiring("plus_absdiff", "add", _absolute_difference, 0, _SIGNED_AND_FLOATS, "City blocks."),
    Semiring(
        "plus_sqdiff", "add", _squared_difference, 0, _SIGNED_AND_FLOATS, "Squared distances."
    ),
    Semiring("max_absdiff", "maximum", _absolute_difference, 0, _SIGNED_AND_FLOATS, "Chebyshev's."),
    Semiring("plus_notequal", "add", _not_equal, 0, _SIGNED_AND_FLOATS, "Hamming's, not divided."),
)

BY_NAME: Final = {row.name: row for row in SEMIRINGS}
