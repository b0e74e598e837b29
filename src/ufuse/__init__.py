"""ufuse: fused native kernels for NumPy arrays.

Any NumPy expression, quantization, reductions over any strides, and einsum-like contractions, each
in one pass over memory. The README has the tour; `fuse`, `quantize_linear`, `sum` and `einsum` are
the functions to begin with.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from .fusion import FusedFunction, TraceError, fuse, public_functions
from .observe import get_num_threads, register_threadpoolctl, set_num_threads, threads
from .observe.threads import register_if_imported
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

if TYPE_CHECKING:
    from . import files, formats, observers, plot, ufuncs
    from .contract import (
        PackedWeights,
        attention,
        cdist,
        contract_plan,
        dot,
        einsum,
        einsum_path,
        grouped_matmul,
        inner,
        kron,
        linear,
        matmul,
        matvec,
        outer,
        prepack,
        segment_matmul,
        semiring,
        tensordot,
        vdot,
        vecdot,
        vecmat,
    )
    from .count import bincount, histogram
    from .expression import evaluate, re_evaluate, validate
    from .order import median, nanmedian, nanpercentile, nanquantile, percentile, quantile, topk
    from .quant import (
        QuantizedArray,
        dequantize_linear,
        dynamic_quantize_linear,
        fake_quantize,
        pack,
        quantization_error,
        quantize,
        quantize_linear,
        unpack,
    )
    from .quant.cast import cast
    from .quant.requantize import requantize
    from .segment import group_reduce, segment_reduce
    from .streams import QuantileSketch, State, drift
    from .window import move_reduce

__version__ = "0.1.0"

__all__ = [
    "FusedFunction",
    "PackedWeights",
    "QuantileSketch",
    "QuantizedArray",
    "State",
    "TraceError",
    "all",
    "any",
    "argmax",
    "argmin",
    "attention",
    "average",
    "bincount",
    "cast",
    "cdist",
    "contract_plan",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "dequantize_linear",
    "dot",
    "drift",
    "dynamic_quantize_linear",
    "einsum",
    "einsum_path",
    "evaluate",
    "fake_quantize",
    "files",
    "formats",
    "fuse",
    "get_num_threads",
    "group_reduce",
    "grouped_matmul",
    "histogram",
    "inner",
    "kron",
    "linear",
    "log_softmax",
    "logsumexp",
    "matmul",
    "matvec",
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
    "observers",
    "outer",
    "pack",
    "percentile",
    "plot",
    "prepack",
    "prod",
    "ptp",
    "quantile",
    "quantization_error",
    "quantize",
    "quantize_linear",
    "re_evaluate",
    "reduce",
    "register_threadpoolctl",
    "requantize",
    "segment_matmul",
    "segment_reduce",
    "semiring",
    "set_num_threads",
    "softmax",
    "std",
    "sum",
    "tensordot",
    "threads",
    "topk",
    "ufuncs",
    "unpack",
    "validate",
    "var",
    "vdot",
    "vecdot",
    "vecmat",
]

# The functions that NumPy lacks, one for each public row of the catalogue: gelu, erf, relu...
globals().update(public_functions())
__all__ += list(public_functions())

#: Rooms that are imported when one of their names is first asked for: `import ufuse` stays quick.
_ROOMS = {
    "contract": (
        "PackedWeights",
        "attention",
        "cdist",
        "contract_plan",
        "dot",
        "einsum",
        "einsum_path",
        "grouped_matmul",
        "inner",
        "kron",
        "linear",
        "matmul",
        "matvec",
        "outer",
        "prepack",
        "segment_matmul",
        "semiring",
        "tensordot",
        "vdot",
        "vecdot",
        "vecmat",
    ),
    "count": ("bincount", "histogram"),
    "expression": ("evaluate", "re_evaluate", "validate"),
    "order": (
        "median",
        "nanmedian",
        "nanpercentile",
        "nanquantile",
        "percentile",
        "quantile",
        "topk",
    ),
    "quant": (
        "QuantizedArray",
        "cast",
        "dequantize_linear",
        "dynamic_quantize_linear",
        "fake_quantize",
        "pack",
        "quantization_error",
        "quantize",
        "quantize_linear",
        "requantize",
        "unpack",
    ),
    "segment": ("group_reduce", "segment_reduce"),
    "streams": ("QuantileSketch", "State", "drift"),
    "window": ("move_reduce",),
}
#: Rooms that are names themselves.
_MODULES = ("files", "formats", "observers", "plot", "ufuncs")
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return _import_module(f".{name}", __name__)
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'ufuse' has no attribute {name!r}")
    value = getattr(_import_module(f".{_ROOM_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_if_imported()
