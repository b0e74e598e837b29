"""NumPy functions that reduce or scan, as they are recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from . import reductions
from .array_functions import Context, records
from .errors import trace_error
from .reductions import reduced_shape
from .shapes import Shape

if TYPE_CHECKING:
    from .tracing import Tracer


def _by_method(name: str) -> Callable[..., Any]:
    def recorder(context: Context, a: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(context.tracer(a), name)(*args, **kwargs)

    return recorder


for _function, _method in (
    (np.sum, "sum"), (np.prod, "prod"), (np.max, "max"), (np.amax, "max"), (np.min, "min"),
    (np.amin, "min"), (np.any, "any"), (np.all, "all"), (np.mean, "mean"), (np.var, "var"),
    (np.std, "std"), (np.argmax, "argmax"), (np.argmin, "argmin"), (np.cumsum, "cumsum"),
    (np.cumprod, "cumprod"),
):  # fmt: skip
    records(_function)(_by_method(_method))


@records(np.count_nonzero)
def _count_nonzero(context: Context, a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    return context.new(reductions.count_nonzero(context.tracer(a), axis, keepdims=keepdims))


@records(np.ptp)
def _ptp(context: Context, a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    x = context.tracer(a)
    return x.max(axis, out, keepdims) - x.min(axis, out, keepdims)


# --- calls of what is no reducer -----------------------------------------------------------------


def _quantile_shape(shape: Shape, q: Any = (), **options: Any) -> Shape:
    return (*np.shape(q), *reduced_shape(shape, **options))


def _scanned_shape(shape: Shape, axis: Any = None, **_: Any) -> Shape:
    return (int(np.prod(shape, dtype=np.intp)),) if axis is None else shape


def _same_shape(shape: Shape, **_: Any) -> Shape:
    return shape


def scan(x: Tracer, name: str, axis: Any, dtype: Any, out: Any) -> Tracer:
    """Record cumsum or cumprod."""
    if out is not None:
        raise trace_error(f"out= of {name}", "use the result it returns")
    if axis is not None:
        axis = normalize_axis_index(axis, x.ndim)
    options = {"axis": axis, "dtype": None if dtype is None else np.dtype(dtype)}
    return x._new(reductions.call(name, x, _scanned_shape, options))


def _frozen(value: Any) -> Any:
    """Return an option as a key can have it."""
    if isinstance(value, np.ndarray):
        return _frozen(value.tolist())
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _calls(name: str, shape: Any, *parameters: str) -> Callable[..., Any]:
    """Return what records a call of ``ufuse.NAME``; `parameters` are those after the array."""

    def recorder(context: Context, a: Any, *args: Any, **kwargs: Any) -> Any:
        if len(args) > len(parameters):
            raise TypeError(f"{name}: expected at most {len(parameters) + 1} positional arguments")
        options = {**dict(zip(parameters, args, strict=False)), **kwargs}
        given = {
            key: _frozen(value)
            for key, value in options.items()
            if value is not np._NoValue and not (key == "out" and value is None)
        }
        for key, value in given.items():
            if key not in parameters:
                raise TypeError(f"{name}: unexpected argument {key!r}")
            if key in ("out", "where", "weights", "overwrite_input") and value not in (True, False):
                raise trace_error(f"{key}= of {name}", "leave it out, or call it outside")
        given.pop("overwrite_input", None)
        if given.get("where") is True:
            del given["where"]
        x = context.tracer(a)
        return context.new(reductions.call(name, x, shape, given))

    return recorder


_MEAN = ("axis", "dtype", "out", "keepdims")
_SPREAD = ("axis", "dtype", "out", "ddof", "keepdims")
_SUM = ("axis", "dtype", "out", "keepdims", "initial", "where")
_EXTREME = ("axis", "out", "keepdims", "initial", "where")
_INDEX = ("axis", "out", "keepdims")
_QUANTILE = ("q", "axis", "out", "overwrite_input", "method", "keepdims", "weights")
_MEDIAN = ("axis", "out", "overwrite_input", "keepdims")
_SCAN = ("axis", "dtype", "out")

for _name, _shape, _parameters in (
    ("nansum", reduced_shape, _SUM), ("nanprod", reduced_shape, _SUM),
    ("nanmean", reduced_shape, _MEAN), ("nanvar", reduced_shape, _SPREAD),
    ("nanstd", reduced_shape, _SPREAD), ("nanmin", reduced_shape, _EXTREME),
    ("nanmax", reduced_shape, _EXTREME), ("nanargmin", reduced_shape, _INDEX),
    ("nanargmax", reduced_shape, _INDEX), ("median", reduced_shape, _MEDIAN),
    ("nanmedian", reduced_shape, _MEDIAN), ("quantile", _quantile_shape, _QUANTILE),
    ("nanquantile", _quantile_shape, _QUANTILE), ("percentile", _quantile_shape, _QUANTILE),
    ("nanpercentile", _quantile_shape, _QUANTILE), ("nancumsum", _scanned_shape, _SCAN),
    ("nancumprod", _scanned_shape, _SCAN),
):  # fmt: skip
    records(getattr(np, _name), f"ufuse.{_name}")(_calls(_name, _shape, *_parameters))

for _name in ("softmax", "log_softmax"):
    records(f"ufuse.{_name}")(_calls(_name, _same_shape, "axis"))
records("ufuse.logsumexp")(_calls("logsumexp", reduced_shape, "axis", "keepdims"))
records("ufuse.norm")(_calls("norm", reduced_shape, "ord", "axis", "keepdims"))
for _name in ("sum", "prod", "min", "max", "any", "all", "mean", "var", "std", "argmin", "argmax",
              "cumsum", "cumprod"):  # fmt: skip
    records(f"ufuse.{_name}")(_by_method(_name))
records("ufuse.count_nonzero")(_count_nonzero)
records("ufuse.ptp")(_ptp)
