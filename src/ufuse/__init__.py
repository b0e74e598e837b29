"""ufuse: fused native kernels for NumPy arrays.

Any NumPy expression, quantization, reductions over any strides, and einsum-like contractions, each
in one pass over memory. The README has the tour; `fuse`, `quantize_linear`, `sum` and `einsum` are
the functions to begin with.
"""

from .contract import einsum, linear
from .fusion import FusedFunction, TraceError, fuse, public_functions
from .observe import get_num_threads, register_threadpoolctl, set_num_threads, threads
from .observe.threads import register_if_imported
from .quant import QuantizedArray, dequantize_linear, fake_quantize, quantize, quantize_linear
from .reduce import (
    QuantileSketch,
    State,
    all,
    any,
    argmax,
    argmin,
    bincount,
    count_nonzero,
    drift,
    group_reduce,
    histogram,
    log_softmax,
    logsumexp,
    max,
    mean,
    median,
    min,
    minmax,
    move_reduce,
    nanargmax,
    nanargmin,
    nanmax,
    nanmean,
    nanmedian,
    nanmin,
    nanpercentile,
    nanprod,
    nanquantile,
    nanstd,
    nansum,
    nanvar,
    norm,
    percentile,
    prod,
    ptp,
    quantile,
    reduce,
    segment_reduce,
    softmax,
    std,
    sum,
    topk,
    var,
)

__version__ = "0.1.0"

__all__ = [
    "FusedFunction",
    "QuantileSketch",
    "QuantizedArray",
    "State",
    "TraceError",
    "all",
    "any",
    "argmax",
    "argmin",
    "bincount",
    "count_nonzero",
    "dequantize_linear",
    "drift",
    "einsum",
    "fake_quantize",
    "fuse",
    "get_num_threads",
    "group_reduce",
    "histogram",
    "linear",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "median",
    "min",
    "minmax",
    "move_reduce",
    "nanargmax",
    "nanargmin",
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
    "quantize",
    "quantize_linear",
    "reduce",
    "register_threadpoolctl",
    "segment_reduce",
    "set_num_threads",
    "softmax",
    "std",
    "sum",
    "threads",
    "topk",
    "var",
]

# The functions that NumPy lacks, one for each public row of the catalogue: gelu, erf, relu...
globals().update(public_functions())
__all__ += list(public_functions())

register_if_imported()
