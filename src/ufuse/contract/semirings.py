"""Semirings of one's own."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..catalogue.semirings import SEMIRINGS, Semiring
from .options import read_number


def semiring(plus: Any, times: Any, identity: float) -> Semiring:
    """Return a semiring for `einsum` and `matmul`: what stands for sum and product.

    Parameters
    ----------
    plus, times : numpy.ufunc or str
        Of two arguments, such as ``np.maximum``, or their names. `plus` has a ``reduce``.
    identity : float
        The sum of nothing. Where it is infinite, integers have their end instead.

    Returns
    -------
    Semiring
        One with kernels of its own where ufuse has these (``np.minimum`` and ``np.add`` are
        ``"min_plus"``). Others run as a program over the result for each term, where both functions
        are in the catalogue of operations, and in NumPy else.

    Raises
    ------
    TypeError
        If `plus` or `times` is no ufunc of two arguments.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> reliable = uf.semiring(np.maximum, np.minimum, -np.inf)
    >>> uf.matmul([[1.0, 5.0]], [[3.0], [4.0]], semiring=reliable)
    array([[4.]])
    """
    functions = []
    for name, given in (("plus", plus), ("times", times)):
        found = getattr(np, given, None) if isinstance(given, str) else given
        if not isinstance(found, np.ufunc) or (found.nin, found.nout) != (2, 1):
            raise TypeError(
                f"ufuse.semiring: argument '{name}': expected a ufunc of two arguments, or the "
                f"name of NumPy's, got {given!r}"
            )
        functions.append(found)
    first, second = functions
    end = read_number("ufuse.semiring", "identity", identity)
    for row in SEMIRINGS:
        if (row.plus, row.times, row.identity) == (first.__name__, second, end):
            return row
    return Semiring(f"{first.__name__}_{second.__name__}", first.__name__, second, end, (), "")
