"""Several reductions of one array in one read."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from ..catalogue.dtypes import FLOATS
from ..interop.lowprecision import narrowed
from . import extremes, logic, norms, sums
from .request import DType, Request, Slot, code_of, execute, written_as


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


def reduce(a: Any, ops: str | Iterable[str], axis: Any = None, *, keepdims: bool = False) -> Any:
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
    request = Request(function, a, axis, None, keepdims, single=_has_indices(names))
    code = code_of(request.x.dtype)
    result = _result_type(names)
    if code is None or request.count == 0 or 0 in request.shape or request.x.dtype.kind == "b":
        return result(*(_STATISTICS[name].alone(a, axis=axis, keepdims=keepdims) for name in names))
    together = _SUMMARY if code in FLOATS and _many(names) else {}
    dtypes = [_result_dtype(name, request.x.dtype.newbyteorder("=")) for name in names]
    slots = [
        _slot(name, request, code, dtype, together.get(name))
        for name, dtype in zip(names, dtypes, strict=True)
    ]
    for first in range(0, len(slots), _MOST_SLOTS):
        execute(request.x, request.axes, slots[first : first + _MOST_SLOTS], None)
    finished = (
        np.subtract(request.count, slot.out) if name == "nan_count" else slot.out
        for name, slot in zip(names, slots, strict=True)
    )
    return result(
        *(
            request.answer(state if state.dtype == dtype else narrowed(state, dtype))
            for state, dtype in zip(finished, dtypes, strict=True)
        )
    )


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
    elif name in ("var", "std", "norm", "nan_count"):
        element = code if code in FLOATS else "f8"
    if name == "nan_count":
        written = np.dtype(np.float64)
    return Slot(
        statistic.reducer,
        element,
        statistic.finish,
        np.empty(request.full_shape, written),
        divisor=float(request.count),
        component=statistic.component,
    )
