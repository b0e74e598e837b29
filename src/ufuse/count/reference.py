"""Histograms and counts by NumPy, a lane at a time: also for what is not compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..interop.lowprecision import coding, is_low_precision, narrowed
from ..reduce.request import Array
from .histograms import Bins, refuse_negative


def histogram(x: Array, axes: Sequence[int], bins: Bins, weights: Array | None) -> Any:
    """Return the counts, or sums of weights: kept axes, then bins."""
    if weights is not None and coding(weights.dtype) is not None:
        return narrowed(histogram(x, axes, bins, weights.astype(np.float64)), weights.dtype)
    kept = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    dtype = np.dtype(np.intp) if weights is None else weights.dtype
    result = np.zeros((*kept, bins.count), dtype)
    elements = _lanes(x, axes)
    amounts = None if weights is None else _lanes(weights, axes)
    for lane in np.ndindex(*kept):
        values = elements[lane].ravel()
        if is_low_precision(x.dtype) or (x.dtype == np.float16 and bins.outer is None):
            # Of given edges NumPy sorts, and its float16 come out of order where there is a -0.0.
            values = values.astype(np.float32)
        weight = None if amounts is None else amounts[lane].ravel()
        if weight is not None and weight.dtype == np.bool_:
            weight = weight.astype(np.intp)  # for given edges NumPy would subtract bools
        result[lane] = np.histogram(values, weights=weight, **bins.as_numpys)[0]
    return result


def _lanes(x: Array, axes: Sequence[int]) -> Array:
    return np.moveaxis(x, tuple(axes), tuple(range(x.ndim - len(axes), x.ndim)))


def bincount(x: Array, weights: Array | None, least: int) -> Any:
    """Return the counts, or sums of weights, of at least so many integers."""
    amounts = None if weights is None else weights.astype(np.float64)
    try:
        return np.bincount(x, amounts, least)
    except ValueError:
        refuse_negative(x.min())
        raise
