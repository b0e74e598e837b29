"""Reductions: NumPy's functions over any axes and strides, in one read, with one result for all."""

from .average import average
from .exponential import LogSum, log_softmax, logsumexp, softmax
from .extremes import MinMax, argmax, argmin, max, min, minmax
from .higher import moments
from .logic import all, any, count_nonzero, ptp
from .nan import nanargmax, nanargmin, nanmax, nanmean, nanmin, nanprod, nanstd, nansum, nanvar
from .norms import norm
from .scans import cumprod, cumsum, nancumprod, nancumsum
from .sums import mean, prod, std, sum, var
from .together import reduce

__all__ = [
    "LogSum",
    "MinMax",
    "all",
    "any",
    "argmax",
    "argmin",
    "average",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
    "minmax",
    "moments",
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
    "norm",
    "prod",
    "ptp",
    "reduce",
    "softmax",
    "std",
    "sum",
    "var",
]
