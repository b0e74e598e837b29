"""Reductions: NumPy's functions over any axes and strides, in one read, with one result for all."""

from .extremes import MinMax, argmax, argmin, max, min, minmax
from .sums import mean, prod, std, sum, var

__all__ = [
    "MinMax",
    "argmax",
    "argmin",
    "max",
    "mean",
    "min",
    "minmax",
    "prod",
    "std",
    "sum",
    "var",
]
