"""Order statistics: medians, quantiles, and the largest or smallest elements."""

from .quantiles import median, nanmedian, nanpercentile, nanquantile, percentile, quantile
from .top import TopK, topk

__all__ = [
    "TopK",
    "median",
    "nanmedian",
    "nanpercentile",
    "nanquantile",
    "percentile",
    "quantile",
    "topk",
]
