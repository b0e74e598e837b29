"""Several reductions of one array in one read."""

from __future__ import annotations

import warnings
from collections import namedtuple
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from ..catalogue.dtypes import FLOATS
from ..catalogue.reducers import BY_NAME
from ..interop.lowprecision import narrowed
from . import extremes, logic, norms, sums
from .request import Array, DType, Request, Slot, code_of, execute, is_small, written_as


def _count_nan(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Count NaN, for dtypes and shapes that take the way of single reductions."""
    x = Request("ufuse.reduce", a).x
    nan = np.isnan(x) if x.dtype.kind not in "biu" else np.zeros(x.shape, np.bool_)
    return sums.sum(nan, axis, keepdims=keepdims)


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
    "nan_count": _Statistic(_count_nan, "valid"),
}


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
        "count_nonzero" "norm" "nan_count"``; ``"norm"`` is that of order 2.
    axis : int, tuple of int or None, optional
        Axes to reduce; None means all. For ``"argmin"`` and ``"argmax"`` one axis or None.
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
        If `ops` names something else or the same twice, or a reduction is of nothing.
    TypeError, numpy.exceptions.AxisError
        As the functions of those names.

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
    if where is True and is_small(a, axis):
        return result(*(_STATISTICS[name].alone(a, axis=axis, keepdims=keepdims) for name in names))
    request = Request(function, a, axis, None, keepdims, where, single=_has_indices(names))
    counts = _masked(request, names)
    code = code_of(request.x.dtype)
    if code is None or request.count == 0 or 0 in request.shape or request.x.dtype.kind == "b":
        return result(*(_alone(name, request) for name in names))
    together = _SUMMARY if code in FLOATS and _many(names) and counts is None else {}
    dtypes = [_result_dtype(name, request.x.dtype.newbyteorder("=")) for name in names]
    slots = [
        _slot(name, request, code, dtype, together.get(name))
        for name, dtype in zip(names, dtypes, strict=True)
    ]
    for first in range(0, len(slots), _MOST_SLOTS):
        execute(request.x, request.axes, slots[first : first + _MOST_SLOTS], request.where)
    finished = (
        _finished(name, slot, request.count if counts is None else counts, written_as(dtype))
        for name, slot, dtype in zip(names, slots, dtypes, strict=True)
    )
    return result(
        *(
            request.answer(state if state.dtype == dtype else narrowed(state, dtype))
            for state, dtype in zip(finished, dtypes, strict=True)
        )
    )


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
    if _has_indices((name,)):
        given["axis"] = request.axes[0] if len(request.axes) == 1 else None
    if mask is not None and name == "nan_count":
        return _count_nan(np.where(mask, x, x.dtype.type(0)), **given)
    if mask is not None and name in ("norm", "count_nonzero"):
        return _STATISTICS[name].alone(np.where(mask, x, x.dtype.type(0)), **given)
    if mask is not None:
        given["where"] = mask
    if mask is not None and name in ("min", "max") and x.dtype.kind == "b":
        given["initial"] = name == "min"
    return _STATISTICS[name].alone(x, **given)


def _masked(request: Request, names: tuple[str, ...]) -> Array | None:
    """How many elements count for each result; None where it is all of them."""
    if request.where is None:
        return None
    if _has_indices(names):
        raise ValueError(
            f"{request.function}: argument 'where': expected True with 'argmin' and 'argmax', "
            "which have no mask in NumPy either; put what cannot win in the place of the others"
        )
    counts = sums.sum(np.broadcast_to(request.where, request.x.shape), request.axes, keepdims=True)
    if ("min" in names or "max" in names) and not np.all(counts):
        raise ValueError(
            f"{request.function}: argument 'where': smallest or largest of no elements"
        )
    if not np.all(counts) and {"mean", "var", "std"}.intersection(names):
        warnings.warn("Mean or variance of an empty slice", RuntimeWarning, stacklevel=3)
    return np.asarray(counts)


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
}


def _many(names: tuple[str, ...]) -> bool:
    """Whether more than one of the plain reducers behind `names` is one of the summary's."""
    return len({_STATISTICS[name].reducer for name in names if name in _SUMMARY}) > 1


def _check_names(function: str, names: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in _STATISTICS]
    if unknown or not names:
        raise ValueError(
            f"{function}: argument 'ops': expected names out of {' '.join(_STATISTICS)}, got "
            f"{unknown or names}"
        )
    if len(set(names)) != len(names):
        raise ValueError(f"{function}: argument 'ops': a name is repeated in {names}")


def _has_indices(names: tuple[str, ...]) -> bool:
    return "argmin" in names or "argmax" in names


@lru_cache(maxsize=256)
def _result_type(names: tuple[str, ...]) -> Any:
    return namedtuple("Reduced", names)


def _result_dtype(name: str, dtype: DType) -> DType:
    if name in ("any", "all"):
        return np.dtype(np.bool_)
    if name in ("argmin", "argmax", "count_nonzero", "nan_count"):
        return np.dtype(np.int64)
    if name in ("sum", "prod"):
        return sums.default_dtype(dtype, None)
    return dtype if name in ("min", "max") else sums.moment_dtype(dtype, None)


def _slot(
    name: str, request: Request, code: str, result: DType, together: _Statistic | None
) -> Slot:
    statistic = _STATISTICS[name] if together is None else together
    dtype = request.x.dtype
    element, written = code, written_as(result, extreme=name in ("min", "max"))
    if name in ("sum", "prod"):
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
