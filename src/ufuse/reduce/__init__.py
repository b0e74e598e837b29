"""Reductions: NumPy's functions over any axes and strides, in one read, with one result for all."""

from .exponential import LogSum, log_softmax, logsumexp, softmax
from .extremes import MinMax, argmax, argmin, max, min, minmax
from .histograms import bincount, histogram
from .logic import all, any, count_nonzero, ptp
from .nan import nanargmax, nanargmin, nanmax, nanmean, nanmin, nanprod, nanstd, nansum, nanvar
from .norms import norm
from .segments import group_reduce, segment_reduce
from .sums import mean, prod, std, sum, var
from .together import reduce
from .windows import move_reduce

__all__ = [
    "LogSum",
    "MinMax",
    "all",
    "any",
    "argmax",
    "argmin",
    "bincount",
    "count_nonzero",
    "group_reduce",
    "histogram",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
    "minmax",
    "move_reduce",
    "nanargmax",
    "nanargmin",
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
    "segment_reduce",
    "softmax",
    "std",
    "sum",
    "var",
]
