"""Reductions: NumPy's functions over any axes and strides, in one read, with one result for all."""

from .exponential import LogSum, log_softmax, logsumexp, softmax
from .extremes import MinMax, argmax, argmin, max, min, minmax
from .sums import mean, prod, std, sum, var

__all__ = [
    "LogSum",
    "MinMax",
    "argmax",
    "argmin",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
    "minmax",
    "prod",
    "softmax",
    "std",
    "sum",
    "var",
]
