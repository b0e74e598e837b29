"""The operations on parts of an axis: what each runs, and its warnings and errors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ..catalogue.dtypes import ELEMENT_TYPES, FLOATS
from ..catalogue.reducers import BY_NAME as REDUCERS
from ..reduce import extremes, logic, nan, norms, sums
from ..reduce.request import NO_VALUE, Array, DType, Slot, code_of, read_dtype, read_initial
from .parts import Call


def read_operation(function: str, op: Any) -> str:
    """Return `op` if it is an operation."""
    if not isinstance(op, str) or op not in OPERATIONS:
        raise ValueError(
            f"{function}: argument 'op': expected one of {' '.join(OPERATIONS)}, got {op!r}"
        )
    return op


def reduce_parts(call: Call, dtype: Any, initial: Any, ddof: Any) -> Any:
    """Run a call whose parts are known."""
    takes, run = OPERATIONS[call.name]
    if call.x.dtype.kind in "biu" and call.name.removeprefix("nan") in OPERATIONS:
        run = OPERATIONS[call.name.removeprefix("nan")][1]  # no integer is NaN
    for argument, given in (
        ("dtype", dtype is not None),
        ("initial", not (initial is None or initial is NO_VALUE)),
        ("ddof", not (isinstance(ddof, int) and ddof == 0)),
    ):
        if given and argument not in takes:
            raise TypeError(f"{call.function}: {call.name} takes no argument {argument!r}")
    call.dtype = read_dtype(call.function, dtype)
    call.initial = initial
    call.ddof = sums.read_ddof(call.function, ddof, NO_VALUE)
    return run(call)


def _plain_name(call: Call) -> str:
    """Return the operation's name, without its nan where there can be none."""
    return call.name.removeprefix("nan") if call.x.dtype.kind in "biu" else call.name


def _function(name: str) -> Callable[..., Any]:
    """Our function of one array."""
    for module in (nan, sums, extremes, logic, norms):
        if name in vars(module):
            found: Callable[..., Any] = vars(module)[name]
            return found
    raise KeyError(name)


def _accumulate(call: Call) -> Any:
    name = _plain_name(call)
    result = call.dtype
    if result is None:
        result = sums.default_dtype(call.x.dtype, call.out_dtype)
    result = result.newbyteorder("=")
    call.check_cast(result)
    start = read_initial(call.function, call.initial, result)
    element = sums.element_for(name, call.x.dtype, result)
    if element is None:
        more = {} if start is None else {"initial": start[()]}
        return call.each(_function(name), result, dtype=result, **more)
    first = None if start is None else start.astype(REDUCERS[name].state[element][0])
    target = call.target(result)
    call.run(Slot(name, element, "value", target, initial=first))
    return call.answer(target)


def _mean(call: Call) -> Any:
    result, code = _moments_of(call)
    if code is None:
        return call.each(sums.mean, result, dtype=result)
    element = "f8" if call.x.dtype.kind in "iu" and call.x.dtype.itemsize == 8 else code
    target = call.target(result)
    call.run(Slot("sum", element, "mean", target))
    call.warn_of_empty_means()
    return call.answer(target)


def _spread(call: Call) -> Any:
    result, code = _moments_of(call)
    name = call.name.removeprefix("nan")
    if code is None:
        return call.each(_function(name), result, ddof=call.ddof, **_given_dtype(call))
    target = call.target(result)
    element = sums.moments_element(call.x.dtype)
    call.run(Slot("moments", element, _SPREADS[name], target, ddof=float(call.ddof)))
    _warn_of_freedom(call.parts.count > 0 and call.parts.shortest(call) <= call.ddof)
    return call.answer(target)


def _moments_of(call: Call) -> tuple[DType, str | None]:
    """Dtype of a mean or variance, and the code of the elements; None if these are not compiled."""
    result = sums.moment_dtype(call.x.dtype, call.dtype)
    if call.x.dtype.kind == "c" and call.dtype is None and "mean" not in call.name:
        result = call.x.real.dtype.newbyteorder("=")  # the variance of complex numbers is real
    call.check_cast(result)
    return result, code_of(call.x.dtype) if code_of(result) in FLOATS else None


def _given_dtype(call: Call) -> dict[str, Any]:
    return {} if call.dtype is None else {"dtype": call.dtype}


def _extreme(call: Call) -> Any:
    name = _plain_name(call)
    result = call.x.dtype.newbyteorder("=")
    call.check_cast(result)
    start = read_initial(call.function, call.initial, result)
    code = code_of(call.x.dtype)
    if code is None:
        if start is None:
            call.need_elements()
        more = {} if start is None else {"initial": start[()]}
        return call.each(_function(name), result, **more)
    target = call.target(result, extreme=True)
    first = None if start is None else start.astype(target.dtype)
    call.run(Slot(name, code, "value", target, initial=first), all_needed=start is None)
    if name.startswith("nan") and start is None and np.isinf(target).any():
        counts = call.scratch(np.float64)
        call.run(Slot("valid", code, "value", counts))
        if not counts.all():
            target[counts == 0] = np.nan
            warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=4)
    return call.answer(target)


def _range(call: Call) -> Any:
    if call.x.dtype.kind == "b":
        raise TypeError(
            f"{call.function}: argument 'x': bool has no difference; use x.astype(np.int8)"
        )
    result = call.x.dtype.newbyteorder("=")
    if result.kind == "M":
        result = np.subtract(np.zeros(1, result), np.zeros(1, result)).dtype
    call.check_cast(result)
    code = code_of(call.x.dtype)
    if code is None:
        call.need_elements()
        return call.each(np.ptp, result)
    target = call.target(result, extreme=True)
    call.run(Slot("minmax", code, "span", target), all_needed=True)
    return call.answer(target)


def _index(call: Call) -> Any:
    name = _plain_name(call)
    dtype = extremes.check_index_out(call)
    if call.x.dtype == np.bool_:
        call.x = call.x.view(np.uint8)
    code = code_of(call.x.dtype)
    if code is None:
        return _index_of_other(call, dtype)
    if name.startswith("nan"):
        return _nan_index(call, code, dtype)
    target = call.target(dtype)
    call.run(Slot(name, code, "value", target, component=1), all_needed=True)
    return call.answer(target)


def _nan_index(call: Call, code: str, dtype: DType) -> Any:
    # Apart from `out`, which is left alone if there is a part without elements that count.
    indices, values = call.scratch(dtype), call.scratch(code)
    slots = (
        Slot(call.name, code, "value", indices, component=1),
        Slot(call.name, code, "value", values),
    )
    call.run(*slots, all_needed=True)
    if np.isinf(values).any():  # an infinity, or nothing but NaN: hardly ever
        counts = call.scratch(np.float64)
        call.run(Slot("valid", code, "value", counts))
        if not counts.all():
            part = int(np.argwhere(counts == 0)[0][call.axis])
            raise ValueError(
                f"{call.function}: All-NaN slice encountered ({call.parts.noun} {part}); fill them "
                "first, with np.where(np.isnan(x), value, x)"
            )
    return call.answer(indices)


def _index_of_other(call: Call, dtype: DType) -> Any:
    call.need_elements()
    plain = _function(call.name)
    found = call.scratch(dtype)
    before: tuple[Any, ...] = (slice(None),) * call.axis
    for part in range(call.parts.count):
        piece = call.x[(*before, call.parts.piece(call, part))]
        position = plain(piece, axis=call.axis)
        found[(*before, part)] = call.parts.position(call, part, position)
    return call.answer(found)


def _count_nonzero(call: Call) -> Any:
    return _counted(call, np.dtype(np.int64), "value")


def _any(call: Call) -> Any:
    return _counted(call, np.dtype(np.bool_), "nonzero")


def _all(call: Call) -> Any:
    return _counted(call, np.dtype(np.bool_), "complete")


def _counted(call: Call, dtype: DType, finish: str) -> Any:
    call.check_cast(dtype)
    code = code_of(call.x.dtype)
    if code is None:
        return call.each(_function(call.name), dtype)
    target = call.target(dtype)
    call.run(Slot("nonzero", code, finish, target))
    return call.answer(target)


def _count(call: Call) -> Any:
    return _sized(call, np.zeros((1,) * call.x.ndim, np.int64))


def _nan_count(call: Call) -> Any:
    code = code_of(call.x.dtype)
    if call.x.dtype.kind in "biu":
        return _sized(call, call.along(call.parts.sizes(call)))
    valid = call.scratch(np.float64)
    if code is None:
        call.check_cast(np.dtype(np.int64))
        return call.each(lambda piece, axis: np.isnan(piece).sum(axis), np.dtype(np.int64))
    call.run(Slot("valid", code, "value", valid))
    return _sized(call, valid)


def _sized(call: Call, less: Array) -> Any:
    """Answer with the sizes of the parts, less something."""
    dtype: DType = np.dtype(np.int64)
    call.check_cast(dtype)
    sizes = call.parts.sizes(call)  # which checks the labels
    target = call.target(dtype)
    np.subtract(call.along(sizes), less, out=target, casting="unsafe")
    return call.answer(target)


def _norm(call: Call) -> Any:
    x = call.x
    code = code_of(x.dtype)
    result: DType = np.dtype(np.float64) if x.dtype.kind in "biu" else x.real.dtype
    result = result.newbyteorder("=")
    call.check_cast(result)
    if code is None:
        return call.each(norms.norm, result)
    target = call.target(result)
    call.run(Slot("sum_of_squares", code if code in FLOATS else "f8", "root", target))
    return call.answer(target)


def _nan_mean(call: Call) -> Any:
    result, code = _moments_of(call)
    if code is None:
        return call.each(nan.nanmean, result, dtype=result)
    target, counts = call.target(result), call.scratch(np.float64)
    slots = (
        Slot("nan_mean", code, "ratio", target),
        Slot("nan_mean", code, "value", counts, component=1),
    )
    call.run(*slots)
    if not counts.all():
        warnings.warn("Mean of empty slice", RuntimeWarning, stacklevel=4)
    return call.answer(target)


def _nan_spread(call: Call) -> Any:
    result, code = _moments_of(call)
    if code is None:
        return call.each(_function(call.name), result, ddof=call.ddof, **_given_dtype(call))
    target, counts = call.target(result), call.scratch(np.float64)
    finish = _SPREADS[call.name.removeprefix("nan")]
    slots = (
        Slot("nan_moments", code, finish, target, ddof=float(call.ddof)),
        Slot("nan_moments", code, "value", counts),
    )
    call.run(*slots)
    bad = counts <= call.ddof
    _warn_of_freedom(bool(bad.any()))
    target[bad] = np.nan
    return call.answer(target)


_SPREADS: Final = {"var": "variance", "std": "deviation"}


def _warn_of_freedom(missing: bool) -> None:
    if missing:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=5)


#: Name: the optional arguments it takes, and how it is done.
OPERATIONS: Final[dict[str, tuple[tuple[str, ...], Callable[[Call], Any]]]] = {
    "sum": (("dtype", "initial"), _accumulate),
    "prod": (("dtype", "initial"), _accumulate),
    "mean": (("dtype",), _mean),
    "var": (("dtype", "ddof"), _spread),
    "std": (("dtype", "ddof"), _spread),
    "min": (("initial",), _extreme),
    "max": (("initial",), _extreme),
    "ptp": ((), _range),
    "argmin": ((), _index),
    "argmax": ((), _index),
    "any": ((), _any),
    "all": ((), _all),
    "count": ((), _count),
    "nan_count": ((), _nan_count),
    "norm": ((), _norm),
    "count_nonzero": ((), _count_nonzero),
    "nansum": (("dtype", "initial"), _accumulate),
    "nanprod": (("dtype", "initial"), _accumulate),
    "nanmean": (("dtype",), _nan_mean),
    "nanvar": (("dtype", "ddof"), _nan_spread),
    "nanstd": (("dtype", "ddof"), _nan_spread),
    "nanmin": (("initial",), _extreme),
    "nanmax": (("initial",), _extreme),
    "nanargmin": ((), _index),
    "nanargmax": ((), _index),
}


def _fast_row(name: str, dtype: DType) -> tuple[str, str, str, int, DType, bool] | None:
    """Return what an operation runs where no part is empty; None where it does more than that."""
    plain = name.removeprefix("nan") if dtype.kind in "biu" else name
    code = code_of(dtype)
    if code is None:
        return None
    if plain in ("sum", "prod", "nansum", "nanprod"):
        result = sums.default_dtype(dtype, None)
        element = sums.element_for(plain, dtype, result)
        return None if element is None else (plain, element, "value", 0, result, False)
    if plain in ("min", "max"):
        return plain, code, "value", 0, dtype, True
    if plain == "mean":
        wide = dtype.kind in "iu" and dtype.itemsize == 8
        return "sum", "f8" if wide else code, "mean", 0, sums.moment_dtype(dtype, None), True
    if plain in _SPREADS:
        element = sums.moments_element(dtype)
        return "moments", element, _SPREADS[plain], 0, sums.moment_dtype(dtype, None), True
    if plain in ("argmin", "argmax") and dtype.kind != "b":
        return plain, code, "value", 1, np.dtype(np.intp), True
    if plain == "count_nonzero":
        return "nonzero", code, "value", 0, np.dtype(np.int64), False
    return None


#: What the fast entries of `segment_reduce` and `group_reduce` run: see `executors.fast_parts`.
FAST_ROWS: Final = {
    name: {row.code: fast for row in ELEMENT_TYPES if (fast := _fast_row(name, row.dtype))}
    for name in OPERATIONS
}
