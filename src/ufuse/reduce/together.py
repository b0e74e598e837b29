"""Several reductions of one array in one read."""

from __future__ import annotations

import warnings
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from .. import executors
from ..catalogue.dtypes import FLOATS
from ..catalogue.reducers import BY_NAME
from ..interop.lowprecision import narrowed
from . import extremes, logic, nan, norms, sums
from .nothing import EMPTY, Valid
from .request import Array, DType, Request, Slot, code_of, execute, written_as


def _count_nan(a: Any, axis: Any = None, keepdims: bool = False, where: Any = True) -> Any:
    """Count NaN, for dtypes and shapes that take the way of single reductions."""
    x = Request("ufuse.reduce", a).x
    found = np.isnan(x) if x.dtype.kind not in "biu" else np.zeros(x.shape, np.bool_)
    return sums.sum(found, axis, keepdims=keepdims, where=where)


@dataclass(frozen=True)
class _Statistic:
    """One name: its function, and how it is made of a reducer's state in a common read."""

    alone: Callable[..., Any]
    reducer: str
    finish: str = "value"
    component: int = 0


_STATISTICS: Final = {
    "sum": _Statistic(sums.sum, "sum"),
    "prod": _Statistic(sums.prod, "prod"),
    "mean": _Statistic(sums.mean, "sum", "mean"),
    "var": _Statistic(sums.var, "moments", "variance"),
    "std": _Statistic(sums.std, "moments", "deviation"),
    "min": _Statistic(extremes.min, "min"),
    "max": _Statistic(extremes.max, "max"),
    "argmin": _Statistic(extremes.argmin, "argmin", "value", 1),
    "argmax": _Statistic(extremes.argmax, "argmax", "value", 1),
    "any": _Statistic(logic.any, "nonzero", "nonzero"),
    "all": _Statistic(logic.all, "nonzero", "complete"),
    "count_nonzero": _Statistic(logic.count_nonzero, "nonzero"),
    "norm": _Statistic(norms.norm, "sum_of_squares", "root"),
    "ptp": _Statistic(logic.ptp, "minmax", "span"),  # without a mask, which it does not take
    "nansum": _Statistic(nan.nansum, "nansum"),
    "nanprod": _Statistic(nan.nanprod, "nanprod"),
    "nanmean": _Statistic(nan.nanmean, "nan_mean", "ratio"),
    "nanvar": _Statistic(nan.nanvar, "nan_moments", "variance"),
    "nanstd": _Statistic(nan.nanstd, "nan_moments", "deviation"),
    "nanmin": _Statistic(nan.nanmin, "nanmin"),
    "nanmax": _Statistic(nan.nanmax, "nanmax"),
    "nanargmin": _Statistic(nan.nanargmin, "nanargmin", "value", 1),
    "nanargmax": _Statistic(nan.nanargmax, "nanargmax", "value", 1),
    "nan_count": _Statistic(_count_nan, "valid"),
}

_INDICES: Final = frozenset({"argmin", "argmax", "nanargmin", "nanargmax"})
_EXTREMES: Final = frozenset({"min", "max", "ptp", "nanmin", "nanmax"})


def _plan(ops: Any) -> tuple[type, tuple[Any, ...]] | None:
    """Return the type of the result and the functions of valid names."""
    names = (ops,) if isinstance(ops, str) else ops
    if type(names) is not tuple or not names or len(set(names)) != len(names):
        return None
    if any(name not in _STATISTICS for name in names):
        return None
    return _result_type(names), tuple(_STATISTICS[name].alone for name in names)


@executors.fast_several(_plan)
def reduce(
    a: Any,
    ops: str | Iterable[str],
    axis: Any = None,
    *,
    keepdims: bool = False,
    where: Any = True,
) -> Any:
    """Several reductions over axes, in one read.

    Parameters
    ----------
    a : array_like
        Any strides; read once, never copied.
    ops : sequence of str
        Any of ``"sum" "prod" "mean" "var" "std" "min" "max" "argmin" "argmax" "any" "all"
        "count_nonzero" "norm" "ptp" "nansum" "nanprod" "nanmean" "nanvar" "nanstd" "nanmin"
        "nanmax" "nanargmin" "nanargmax" "nan_count"``; ``"norm"`` is that of order 2.
    axis : int, tuple of int or None, optional
        Axes to reduce; None means all. For indices (``"argmin"``, ...) one axis or None.
    keepdims : bool, optional
        Whether reduced axes stay, with size 1.
    where : array of bool, optional
        Elements that count; broadcasts against `a`. Not for indices; a smallest or largest of no
        elements is an error.

    Returns
    -------
    namedtuple
        One field for each of `ops`, in their order: what the function of that name returns, bit for
        bit.

    Raises
    ------
    ValueError
        If `ops` names something else or the same twice, a reduction is of nothing, or an index is
        wanted of NaN alone.
    TypeError, numpy.exceptions.AxisError
        As the functions of those names.

    Warns
    -----
    RuntimeWarning
        As the functions of those names: of what has no elements, or NaN alone.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> found = uf.reduce(np.array([[3.0, 1.0], [2.0, 6.0]]), ("mean", "max", "argmax"), axis=1)
    >>> found.mean
    array([2., 4.])
    >>> found.argmax
    array([0, 1])
    """
    function = "ufuse.reduce"
    names = (ops,) if isinstance(ops, str) else tuple(ops)
    _check_names(function, names)
    result = _result_type(names)
    request = Request(function, a, axis, None, keepdims, where, single=_has_indices(names))
    plain = [_plain(name, request.x.dtype) for name in names]
    counts = _masked(request, plain)
    code = code_of(request.x.dtype)
    if code is None or request.count == 0 or 0 in request.shape or request.x.dtype.kind == "b":
        return result(*(_alone(name, request) for name in names))
    common = _common(plain, code, counts)
    dtypes = [_result_dtype(name, request.x.dtype.newbyteorder("=")) for name in plain]
    slots = [
        _slot(name, request, code, dtype, common.get(name))
        for name, dtype in zip(plain, dtypes, strict=True)
    ]
    valid = Valid(request, code, slots)
    least = {
        name: Slot("min", slot.element, "value", np.empty_like(slot.out))
        for name, slot in zip(plain, slots, strict=True)
        if name == "ptp" and slot.reducer == "max"
    }
    # Those of one reducer beside each other: they share its state if they are in one call.
    every = sorted([*slots, *valid.slots, *least.values()], key=lambda slot: slot.reducer)
    for first in range(0, len(every), _MOST_SLOTS):
        execute(request.x, request.axes, every[first : first + _MOST_SLOTS], request.where)
    for name, slot in least.items():
        highest = slots[plain.index(name)].out
        with np.errstate(all="ignore"):
            np.subtract(highest, slot.out, out=highest)
    valid.check(plain, slots)
    finished = (
        _finished(name, slot, request.count if counts is None else counts, written_as(dtype))
        for name, slot, dtype in zip(plain, slots, dtypes, strict=True)
    )
    return result(
        *(
            request.answer(state if state.dtype == dtype else narrowed(state, dtype))
            for state, dtype in zip(finished, dtypes, strict=True)
        )
    )


def _plain(name: str, dtype: DType) -> str:
    """Return the name of the same reduction where no element can be NaN."""
    if dtype.kind in "biu" and name != "nan_count":
        return name.removeprefix("nan")
    return name


def _finished(name: str, slot: Slot, count: Any, written: DType) -> Array:
    """Return what a slot wrote, and what its finish cannot do where counts differ."""
    if name == "nan_count":
        return np.asarray(np.subtract(count, slot.out, dtype=np.float64).astype(np.int64))
    if name == "mean" and slot.finish == "value":
        with np.errstate(all="ignore"):
            return np.asarray(np.divide(slot.out, count)).astype(written)
    if name == "all" and slot.finish == "value":
        return np.asarray(slot.out == count)
    return slot.out


def _alone(name: str, request: Request) -> Any:
    """Return the result of one name, for dtypes and shapes that have no common read."""
    x, mask = request.x, request.where
    given: dict[str, Any] = {"axis": request.axes, "keepdims": request.keepdims}
    if name in _INDICES:
        given["axis"] = request.axes[0] if len(request.axes) == 1 else None
    if mask is None:
        return _STATISTICS[name].alone(x, **given)
    given["where"] = mask
    if name == "count_nonzero":  # has no mask
        return sums.sum(x if x.dtype.kind == "b" else x != 0, **given)
    # A mask wants something to begin with, which no result is: each has elements.
    least, most = _bounds(x.dtype)
    if name == "ptp" and x.dtype.kind != "b":
        low, high = extremes.minmax(x, initial=(most, least), **given)
        return high - low
    if name == "ptp":
        return logic.ptp(x)  # raises
    if name in ("nanmin", "nanmax") and x.dtype.kind not in "biu":
        counted = given.pop("where")
        return _STATISTICS[name].alone(np.where(counted, x, x.dtype.type(np.nan)), **given)
    if name in _EXTREMES:
        given["initial"] = most if name.endswith("min") else least
    if _plain(name, x.dtype) in ("mean", "var", "std"):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", EMPTY[name], RuntimeWarning)  # said by `_masked`
            return _STATISTICS[name].alone(x, **given)
    return _STATISTICS[name].alone(x, **given)


def _bounds(dtype: DType) -> tuple[Any, Any]:
    """Return what is not larger, and what is not smaller, than any element."""
    if dtype.kind == "b":
        return False, True
    if dtype.kind in "iu":
        return np.iinfo(dtype).min, np.iinfo(dtype).max
    if dtype.kind == "c":
        return complex(-np.inf, -np.inf), complex(np.inf, np.inf)
    return -np.inf, np.inf


def _masked(request: Request, names: list[str]) -> Array | None:
    """How many elements count for each result; None where it is all of them."""
    if request.where is None:
        return None
    indices = [name for name in names if name in _INDICES]
    if indices:
        raise ValueError(
            f"{request.function}: argument 'where': expected True with "
            f"{' and '.join(map(repr, indices))}, which have no mask in NumPy either; got an array "
            f"of shape {request.where.shape}; put what cannot win in the place of the others"
        )
    counts = np.asarray(sums.sum(request.where, request.axes, keepdims=True))
    if np.all(counts):
        return counts
    extreme = [name for name in names if name in _EXTREMES]
    if extreme:
        raise ValueError(
            f"{request.function}: argument 'where': expected an element to count for each result "
            f"of {' and '.join(map(repr, extreme))}, got none for {np.sum(counts == 0)} of "
            f"{counts.size} (shape {request.x.shape}, axis={request.axes}); use ufuse.min and "
            "ufuse.max with initial="
        )
    said = {EMPTY[name] for name in names if name in ("mean", "var", "std")}
    for text in sorted(said):
        warnings.warn(text, RuntimeWarning, stacklevel=4)
    return counts


#: Of one call of an executor.
_MOST_SLOTS: Final = 16

#: Statistics that one reducer of floats has together: its finish and component of each.
_SUMMARY: Final = {
    "sum": _Statistic(sums.sum, "summary", "value", 4),
    "mean": _Statistic(sums.mean, "summary", "mean", 4),
    "var": _Statistic(sums.var, "summary", "variance"),
    "std": _Statistic(sums.std, "summary", "deviation"),
    "min": _Statistic(extremes.min, "summary", "value", 5),
    "max": _Statistic(extremes.max, "summary", "value", 6),
    "ptp": _Statistic(logic.ptp, "summary", "span", 5),
}

#: The same of the smallest and largest elements alone.
_BOTH: Final = {
    "min": _Statistic(extremes.min, "minmax"),
    "max": _Statistic(extremes.max, "minmax", "value", 1),
}


#: What a range is made of where there is a mask: the smallest is found beside it.
_HIGHEST: Final = _Statistic(logic.ptp, "max")


def _common(names: list[str], code: str, counts: Array | None) -> Mapping[str, _Statistic]:
    """Return the names for which one reducer has several results, where it has them."""
    wanted = {_STATISTICS[name].reducer for name in names if name in _SUMMARY}
    if counts is not None:
        return {"ptp": _HIGHEST}
    if len(wanted) < 2:
        return {}
    if wanted <= {"min", "max", "minmax"}:
        return _BOTH
    return _SUMMARY if code in FLOATS else {}


def _check_names(function: str, names: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in _STATISTICS]
    if unknown or not names:
        raise ValueError(
            f"{function}: argument 'ops': expected names out of {' '.join(_STATISTICS)}; got "
            f"{unknown or 'none'}"
        )
    if len(set(names)) != len(names):
        raise ValueError(
            f"{function}: argument 'ops': expected each name once, but one is repeated in {names}; "
            "leave the others out: results have these names"
        )


def _has_indices(names: tuple[str, ...]) -> bool:
    return not _INDICES.isdisjoint(names)


@lru_cache(maxsize=256)
def _result_type(names: tuple[str, ...]) -> Any:
    return namedtuple("Reduced", names)


def _result_dtype(name: str, dtype: DType) -> DType:
    if name in ("any", "all"):
        return np.dtype(np.bool_)
    if name in _INDICES or name in ("count_nonzero", "nan_count"):
        return np.dtype(np.int64)
    if name in ("sum", "prod", "nansum", "nanprod"):
        return sums.default_dtype(dtype, None)
    return dtype if name in _EXTREMES else sums.moment_dtype(dtype, None)


def _slot(
    name: str, request: Request, code: str, result: DType, together: _Statistic | None
) -> Slot:
    statistic = _STATISTICS[name] if together is None else together
    dtype = request.x.dtype
    element, written = code, written_as(result, extreme=name in _EXTREMES)
    if name in ("sum", "prod", "nansum", "nanprod"):
        element = sums.element_for(name, dtype, result) or code
    elif name == "mean":
        element = "f8" if dtype.kind in "iu" and dtype.itemsize == 8 else code
    elif name in ("var", "std"):
        element = sums.moments_element(dtype)
    elif name in ("norm", "nan_count"):
        element = code if code in FLOATS else "f8"
    finish = statistic.finish
    if name == "nan_count":
        written = np.dtype(BY_NAME[statistic.reducer].state[element][0])
    if request.where is not None and name in ("mean", "all"):
        finish = "value"  # the counts differ: see `_finished`
        written = np.dtype(BY_NAME[statistic.reducer].state[element][0])
    return Slot(
        statistic.reducer,
        element,
        finish,
        np.empty(request.full_shape, written),
        divisor=float(request.count),
        component=statistic.component,
    )
