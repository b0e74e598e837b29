"""Reductions of many parts of one axis: what segments and groups have in common.

Each result is what the function of the operation's name gives for that part of the array: its value,
its dtype, and its warnings and errors where a part is empty.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np
from numpy.exceptions import AxisError

from .. import executors
from ..catalogue.dtypes import FLOATS
from ..interop import as_output, asarray
from . import extremes, logic, nan, sums
from .request import NO_VALUE, Array, DType, Request, Slot, code_of, read_dtype, read_initial


class Parts(Protocol):
    """How an axis is divided."""

    noun: str
    count: int

    def overlaps(self, out: Array) -> bool:
        """Whether writing `out` would change what says where the parts are."""

    def check(self, call: Call) -> None:
        """Raise where something is no part of the axis."""

    def sizes(self, call: Call) -> Array:
        """How many elements each part has."""

    def piece(self, call: Call, part: int) -> Any:
        """Return an index along the axis: the elements of a part, in their order."""

    def position(self, call: Call, part: int, found: Any) -> Any:
        """Return what argmin gives for the place `found` in a part."""

    def run(self, call: Call, slots: list[Slot], skip_nan: bool, all_needed: bool) -> None:
        """Fill the outputs of `slots`; raise before that where an empty part may not be."""


class Call(Request):
    """The arguments of one call, checked; results have the number of parts along the axis."""

    __slots__ = ("axis", "ddof", "dtype", "initial", "name", "parts")

    def __init__(self, function: str, x: Any, op: Any, axis: Any, out: Any) -> None:
        self.function = function
        self.template = x
        self.x = asarray(x, function=function, argument="x")
        if not isinstance(op, str) or op not in OPERATIONS:
            raise ValueError(
                f"{function}: argument 'op': expected one of {' '.join(OPERATIONS)}, got {op!r}"
            )
        self.name = op
        self.axis = _read_axis(function, axis, self.x)
        self.axes = (self.axis,)
        self.where = None
        self.keepdims = True  # the axis stays
        self._given = out[0] if type(out) is tuple and len(out) == 1 else out
        self._out = None if out is None else as_output(self._given, function=function)

    def divide(self, parts: Parts) -> None:
        """Say what the parts are."""
        self.parts = parts
        shape = self.x.shape
        self.shape = (*shape[: self.axis], parts.count, *shape[self.axis + 1 :])
        if self._out is not None:
            self.check_shape(self._out, "out")

    @property
    def full_shape(self) -> tuple[int, ...]:
        return self.shape

    def check_shape(self, out: Array, argument: str) -> None:
        if out.shape != self.shape:
            raise ValueError(
                f"{self.function}: argument {argument!r}: expected shape {self.shape} (for an "
                f"array of shape {self.x.shape} and {self.parts.count} {self.parts.noun}s along "
                f"axis {self.axis}), got {out.shape}"
            )

    def _overlaps(self, out: Array) -> bool:
        return executors.overlap(out, self.x) or self.parts.overlaps(out)

    @property
    def code(self) -> str | None:
        """Element code of the array, of narrow floats that of what they are converted to."""
        return "f4" if is_narrow(self.x.dtype) else code_of(self.x.dtype)

    def along(self, values: Array) -> Array:
        """Return one value per part as an array that broadcasts to the results."""
        return values.reshape(-1, *(1,) * (self.x.ndim - self.axis - 1))

    def empty(self, dtype: Any) -> Array:  # type: ignore[override]
        return np.empty(self.shape, dtype)

    def run(self, *slots: Slot, skip_nan: bool = False, all_needed: bool = False) -> None:
        if slots[0].out.size:
            self.parts.run(self, list(slots), skip_nan, all_needed)
            return
        self.parts.check(self)
        if all_needed:
            self.need_elements()

    def need_elements(self) -> None:
        """Raise where a part is empty and the operation has no identity."""
        sizes = self.parts.sizes(self)
        if not sizes.all():
            self.refuse_empty(int(np.argmin(sizes != 0)))

    def refuse_empty(self, part: int) -> None:
        hint = "; pass initial=" if self.name.removeprefix("nan") in ("min", "max") else ""
        raise ValueError(
            f"{self.function}: {self.parts.noun} {part} is empty, and {self.name} has no identity"
            f"{hint}"
        )

    def each(self, function: Callable[..., Any], result: DType, **keywords: Any) -> Any:
        """Run the function of one array on every part, for dtypes that are not compiled."""
        self.parts.check(self)
        target = self.target(result)
        before = (slice(None),) * self.axis
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # said by the caller
            for part in range(self.parts.count):
                piece = self.x[(*before, self.parts.piece(self, part))]
                target[(*before, part)] = function(piece, axis=self.axis, **keywords)
        return self.answer(target)

    def deliver(self, result: Array, dtype: DType) -> Any:
        """Answer with `result`, converted where it was made in a wider type."""
        if result.dtype != dtype:
            target = self.target(dtype)
            with np.errstate(all="ignore"):
                np.copyto(target, result, casting="unsafe")
            result = target
        return self.answer(result)

    def made_in(self, dtype: DType) -> Array:
        """Return where a result of `dtype` is made: float64 for floats that are not compiled."""
        return self.empty(np.float64) if is_narrow(dtype) else self.target(dtype)

    def warn_of_empty_means(self, sizes: Array) -> None:
        if not sizes.all():
            warnings.warn("Mean of empty slice.", RuntimeWarning, stacklevel=5)


def is_narrow(dtype: DType) -> bool:
    """Whether a dtype is a float that float32 holds and that is not compiled: float16, bfloat16..."""
    if dtype.kind == "f":
        return dtype.itemsize == 2
    return dtype.kind == "V" and dtype.itemsize <= 2 and np.can_cast(dtype, np.float32, "safe")


def reduce_parts(call: Call, dtype: Any, initial: Any, ddof: Any) -> Any:
    """Run a call whose parts are known."""
    takes, run = OPERATIONS[call.name]
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


# --- the operations ------------------------------------------------------------------------------


def _accumulate(call: Call) -> Any:
    x = call.x
    name = call.name.removeprefix("nan") if x.dtype.kind in "biu" else call.name
    result = call.dtype
    if result is None:
        result = sums.default_dtype(x.dtype, call.out_dtype)
    result = result.newbyteorder("=")
    call.check_cast(result)
    start = read_initial(call.function, call.initial, result)
    made: DType = np.dtype(np.float64) if is_narrow(result) else result
    elements: DType = np.dtype(np.float32) if is_narrow(x.dtype) else x.dtype
    element = sums.element_for(name, elements, made)
    if element is None:
        more = {} if start is None else {"initial": start[()]}
        plain = getattr(nan if name.startswith("nan") else sums, name)
        return call.each(plain, result, dtype=result, **more)
    wide = {"b": "i8", "i": "i8", "u": "u8", "f": "f8"}[np.dtype(element).kind]
    first = None if start is None else start.astype(wide)
    target = call.made_in(result)
    call.run(Slot(name, element, "value", target, initial=first))
    return call.deliver(target, result)


def _mean(call: Call) -> Any:
    result = sums.moment_dtype(call.x.dtype, call.dtype)
    call.check_cast(result)
    code = call.code
    if code is None or not _is_real(result):
        call.warn_of_empty_means(call.parts.sizes(call))
        return call.each(sums.mean, result, dtype=result)
    element = "f8" if call.x.dtype.kind in "iu" and call.x.dtype.itemsize == 8 else code
    target = call.made_in(result)
    call.run(Slot("sum", element, "mean", target))
    call.warn_of_empty_means(call.parts.sizes(call))
    return call.deliver(target, result)


def _spread(call: Call) -> Any:
    x, name = call.x, call.name
    result = sums.moment_dtype(x.dtype, call.dtype)
    if x.dtype.kind == "c" and call.dtype is None:
        result = x.real.dtype
    call.check_cast(result)
    code = call.code
    if code is None or not _is_real(result):
        _warn_of_freedom(bool((call.parts.sizes(call) <= call.ddof).any()))
        plain = sums.var if name == "var" else sums.std
        return call.each(plain, result, dtype=result, ddof=call.ddof)
    finish = "variance" if name == "var" else "deviation"
    target = call.made_in(result)
    element = code if code in FLOATS else "f8"
    call.run(Slot("moments", element, finish, target, ddof=float(call.ddof)))
    _warn_of_freedom(bool((call.parts.sizes(call) <= call.ddof).any()))
    return call.deliver(target, result)


def _extreme(call: Call) -> Any:
    x = call.x
    name = call.name.removeprefix("nan") if x.dtype.kind in "biu" else call.name
    result = x.dtype.newbyteorder("=")
    call.check_cast(result)
    start = read_initial(call.function, call.initial, result)
    code = call.code
    if code is None:
        if start is None:
            call.need_elements()
        more = {} if start is None else {"initial": start[()]}
        return call.each(getattr(nan if name.startswith("nan") else extremes, name), result, **more)
    made: DType = np.dtype(np.float32) if is_narrow(result) else result
    target = call.empty(made) if made != result else call.target(result)
    first = None if start is None else start.astype(made)
    call.run(Slot(name, code, "value", target, initial=first), all_needed=start is None)
    if name.startswith("nan") and start is None and np.isinf(target).any():
        counts = call.empty(np.float64)
        call.run(Slot("valid", code, "value", counts))
        if not counts.all():
            target[counts == 0] = np.nan
            warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=4)
    return call.deliver(target, result)


def _range(call: Call) -> Any:
    if call.x.dtype.kind == "b":
        raise TypeError(
            f"{call.function}: argument 'x': bool has no difference; use x.astype(np.int8)"
        )
    result = call.x.dtype.newbyteorder("=")
    if result.kind in "mM":
        result = np.subtract(np.zeros(1, result), np.zeros(1, result)).dtype
    call.check_cast(result)
    code = call.code
    if code is None:
        call.need_elements()
        return call.each(logic.ptp, result)
    made = np.float32 if is_narrow(result) else result
    low, high = call.empty(made), call.empty(made)
    call.run(Slot("min", code, "value", low), Slot("max", code, "value", high), all_needed=True)
    target = call.target(result)
    with np.errstate(all="ignore"):
        np.subtract(high.astype(result, copy=False), low.astype(result, copy=False), out=target)
    return call.answer(target)


def _index(call: Call) -> Any:
    dtype = extremes.check_index_out(call)
    if call.x.dtype == np.bool_:
        call.x = call.x.view(np.uint8)
    code = call.code
    if code is None:
        return _index_of_other(call, dtype)
    target = call.target(dtype)
    call.run(Slot(call.name, code, "index", target), all_needed=True)
    return call.answer(target)


def _nan_index(call: Call) -> Any:
    if call.x.dtype.kind in "biu":
        call.name = call.name.removeprefix("nan")
        return _index(call)
    dtype = extremes.check_index_out(call)
    code = call.code
    if code is None:
        return _index_of_other(call, dtype)
    # Apart from `out`, which is left alone if there is a part without elements that count.
    indices, counts = call.empty(dtype), call.empty(np.float64)
    slots = (Slot(call.name[3:], code, "index", indices), Slot("valid", code, "value", counts))
    call.run(*slots, skip_nan=True, all_needed=True)
    if not counts.all():
        part = int(np.argwhere(counts == 0)[0][call.axis])
        raise ValueError(
            f"{call.function}: All-NaN slice encountered ({call.parts.noun} {part}); fill them "
            "first, with np.where(np.isnan(x), value, x)"
        )
    target: Array = call.target(dtype)
    target[...] = indices
    return call.answer(target)


def _index_of_other(call: Call, dtype: DType) -> Any:
    call.need_elements()
    plain = getattr(nan if call.name.startswith("nan") else extremes, call.name)
    target = call.target(dtype)
    before = (slice(None),) * call.axis
    for part in range(call.parts.count):
        piece = call.parts.piece(call, part)
        found = plain(call.x[(*before, piece)], axis=call.axis)
        target[(*before, part)] = call.parts.position(call, part, found)
    return call.answer(target)


def _count_nonzero(call: Call) -> Any:
    dtype: DType = np.dtype(np.int64)
    call.check_cast(dtype)
    if call.code is None:
        return call.each(logic.count_nonzero, dtype)
    target = call.target(dtype)
    call.run(Slot("nonzero", call.code, "value", target))
    return call.answer(target)


def _truth(call: Call) -> Any:
    dtype: DType = np.dtype(np.bool_)
    if call.code is None:
        return call.each(logic.any if call.name == "any" else logic.all, dtype)
    counts = call.empty(np.int64)
    call.run(Slot("nonzero", call.code, "value", counts))
    target = call.target(dtype)
    if call.name == "any":
        np.not_equal(counts, 0, out=target)
    else:
        np.equal(counts, call.along(call.parts.sizes(call)), out=target)
    return call.answer(target)


def _count(call: Call) -> Any:
    dtype: DType = np.dtype(np.int64)
    call.check_cast(dtype)
    sizes = call.parts.sizes(call)  # which checks the labels
    target = call.target(dtype)
    target[...] = call.along(sizes)
    return call.answer(target)


def _nan_mean(call: Call) -> Any:
    if call.x.dtype.kind in "biu":
        return _mean(call)
    result = sums.moment_dtype(call.x.dtype, call.dtype)
    call.check_cast(result)
    code = call.code
    if code is None or not _is_real(result):
        return call.each(nan.nanmean, result, dtype=result)
    totals, counts = call.empty(np.float64), call.empty(np.float64)
    call.run(Slot("nansum", code, "value", totals), Slot("valid", code, "value", counts))
    if not counts.all():
        warnings.warn("Mean of empty slice", RuntimeWarning, stacklevel=4)
    target = call.target(result)
    with np.errstate(all="ignore"):
        np.divide(totals, counts, out=target, casting="unsafe")
    return call.answer(target)


def _nan_spread(call: Call) -> Any:
    if call.x.dtype.kind in "biu":
        call.name = call.name.removeprefix("nan")
        return _spread(call)
    result = sums.moment_dtype(call.x.dtype, call.dtype)
    if call.x.dtype.kind == "c" and call.dtype is None:
        result = call.x.real.dtype
    call.check_cast(result)
    code = call.code
    if code is None or not _is_real(result):
        plain = nan.nanvar if call.name == "nanvar" else nan.nanstd
        return call.each(plain, result, dtype=result, ddof=call.ddof)
    finish = "variance" if call.name == "nanvar" else "deviation"
    target, counts = call.made_in(result), call.empty(np.float64)
    slots = (
        Slot("moments", code, finish, target, ddof=float(call.ddof)),
        Slot("valid", code, "value", counts),
    )
    call.run(*slots, skip_nan=True)
    bad = counts <= call.ddof
    _warn_of_freedom(bool(bad.any()))
    target[bad] = np.nan
    return call.deliver(target, result)


def _is_real(result: DType) -> bool:
    return code_of(result) in FLOATS or is_narrow(result)


def _warn_of_freedom(missing: bool) -> None:
    if missing:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=5)


def _read_axis(function: str, axis: Any, x: Array) -> int:
    try:
        index = operator.index(axis)
    except TypeError:
        raise TypeError(f"{function}: argument 'axis': expected an int, got {axis!r}") from None
    if not -x.ndim <= index < x.ndim:
        raise AxisError(index, x.ndim, f"{function}: argument 'axis'")
    return index % x.ndim


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
    "any": ((), _truth),
    "all": ((), _truth),
    "count": ((), _count),
    "count_nonzero": ((), _count_nonzero),
    "nansum": (("dtype", "initial"), _accumulate),
    "nanprod": (("dtype", "initial"), _accumulate),
    "nanmean": (("dtype",), _nan_mean),
    "nanvar": (("dtype", "ddof"), _nan_spread),
    "nanstd": (("dtype", "ddof"), _nan_spread),
    "nanmin": (("initial",), _extreme),
    "nanmax": (("initial",), _extreme),
    "nanargmin": ((), _nan_index),
    "nanargmax": ((), _nan_index),
}
