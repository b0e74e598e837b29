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
    all,
    any,
    argmax,
    argmin,
    average,
    count_nonzero,
    cumprod,
    cumsum,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    minmax,
    moments,
    nanargmax,
    nanargmin,
    nancumprod,
    nancumsum,
    nanmax,
    nanmean,
    nanmin,
    nanprod,
    nanstd,
    nansum,
    nanvar,
    norm,
    prod,
    ptp,
    reduce,
    softmax,
    std,
    sum,
    var,
)

__version__ = "0.1.0"

__all__ = [
    "FusedFunction",
    "QuantizedArray",
    "TraceError",
    "all",
    "any",
    "argmax",
    "argmin",
    "average",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "dequantize_linear",
    "einsum",
    "fake_quantize",
    "fuse",
    "get_num_threads",
    "linear",
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
    "quantize",
    "quantize_linear",
    "reduce",
    "register_threadpoolctl",
    "set_num_threads",
    "softmax",
    "std",
    "sum",
    "threads",
    "var",
]

# The functions that NumPy lacks, one for each public row of the catalogue: gelu, erf, relu...
globals().update(public_functions())
__all__ += list(public_functions())

register_if_imported()
