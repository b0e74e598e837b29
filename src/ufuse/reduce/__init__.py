"""Reductions: NumPy's functions over any axes and strides, in one read, with one result for all."""

from .average import average
from .drift import drift
from .exponential import LogSum, log_softmax, logsumexp, softmax
from .extremes import MinMax, argmax, argmin, max, min, minmax
from .higher import moments
from .histograms import bincount, histogram
from .logic import all, any, count_nonzero, ptp
from .nan import nanargmax, nanargmin, nanmax, nanmean, nanmin, nanprod, nanstd, nansum, nanvar
from .norms import norm
from .quantiles import median, nanmedian, nanpercentile, nanquantile, percentile, quantile
from .scans import cumprod, cumsum, nancumprod, nancumsum
from .segments import group_reduce, segment_reduce
from .sketches import QuantileSketch
from .states import State
from .sums import mean, prod, std, sum, var
from .together import reduce
from .top import TopK, topk
from .windows import move_reduce

__all__ = [
    "LogSum",
    "MinMax",
    "QuantileSketch",
    "State",
    "TopK",
    "all",
    "any",
    "argmax",
    "argmin",
    "average",
    "bincount",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "drift",
    "group_reduce",
    "histogram",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "median",
    "min",
    "minmax",
    "moments",
    "move_reduce",
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmedian",
    "nanmin",
    "nanpercentile",
    "nanprod",
    "nanquantile",
    "nanstd",
    "nansum",
    "nanvar",
    "norm",
    "percentile",
    "prod",
    "ptp",
    "quantile",
    "reduce",
    "segment_reduce",
    "softmax",
    "std",
    "sum",
    "topk",
    "var",
]
