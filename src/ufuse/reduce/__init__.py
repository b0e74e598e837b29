"""Reductions: NumPy's functions over any axes and strides, in one read, with one result for all."""

from .drift import drift
from .exponential import LogSum, log_softmax, logsumexp, softmax
from .extremes import MinMax, argmax, argmin, max, min, minmax
from .logic import all, any, count_nonzero, ptp
from .nan import nanargmax, nanargmin, nanmax, nanmean, nanmin, nanprod, nanstd, nansum, nanvar
from .norms import norm
from .sketches import QuantileSketch
from .states import State
from .sums import mean, prod, std, sum, var
from .together import reduce

__all__ = [
    "LogSum",
    "MinMax",
    "QuantileSketch",
    "State",
    "all",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "drift",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
    "minmax",
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
    "softmax",
    "std",
    "sum",
    "var",
]
