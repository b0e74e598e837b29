"""Reductions of segments of an axis, and of groups of its elements."""

from __future__ import annotations

import math
import operator
from functools import cached_property
from typing import Any, Final

import numpy as np

from .. import executors
from ..interop import asarray
from ..reduce.extremes import max as largest
from ..reduce.request import Array, Slot
from .operations import FAST_ROWS, read_operation, reduce_parts
from .parts import Call

#: The core's limit (csrc/segment/groups.hpp).
_MOST_GROUPS: Final = 1 << 30
#: Operations that ask for the sizes of their parts.
_SIZED: Final = ("mean", "var", "std")


@executors.fast_parts(FAST_ROWS, groups=False)
def segment_reduce(
    x: Any,
    starts: Any = None,
    stops: Any = None,
    op: str = "sum",
    *,
    offsets: Any = None,
    axis: Any = 0,
    initial: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
) -> Any:
    """Reduce segments of an axis, ``x[starts[i]:stops[i]]`` each.

    Parameters
    ----------
    x : array_like
        Any strides; never copied.
    starts, stops : array_like of int
        Where segments begin and end along the axis, 0 to its length. Segments may overlap, come in
        any order, and be empty (`stops` not above `starts`). Without `stops` a segment ends where
        the next one starts, and the last at the end of the axis.
    op : str, optional
        ``"sum" "prod" "mean" "var" "std" "min" "max" "ptp" "argmin" "argmax" "any" "all"
        "count_nonzero"``, ``"nansum" "nanprod" "nanmean" "nanvar" "nanstd" "nanmin" "nanmax"
        "nanargmin" "nanargmax"``, ``"norm"`` (of order 2), ``"count"`` (of the elements) or
        ``"nan_count"``.
    offsets : array_like of int, optional
        In place of `starts` and `stops`: where n ragged rows that follow each other begin, and
        where the last one ends; n + 1 positions that do not decrease.
    axis : int, optional
        The axis that is divided.
    initial : scalar, optional
        Takes part in every result of a sum, product, minimum or maximum.
    dtype : dtype, optional
        Of the result of a sum, product, mean or variance.
    out : array, optional
        Where the result goes: the shape of `x` with the number of segments along the axis.
    ddof : float, optional
        Of a variance or standard deviation.

    Returns
    -------
    array
        `out` if given. Along the axis, what the function of the operation's name gives for each
        segment: positions of ``"argmin"`` count from the segment's start.

    Warns
    -----
    RuntimeWarning
        As these functions: a mean of an empty segment is NaN.

    Raises
    ------
    IndexError
        If a segment is not within the axis. Positions from its end, below zero, are not taken.
    ValueError
        If a segment is empty and the operation has no identity and no `initial` (minima, maxima,
        ranges and their positions), if `op` is none of the above, if `offsets` decrease, or if
        `out` or `stops` has another shape.
    TypeError
        If `starts`, `stops` or `offsets` are no integers, an argument is not for this operation, or
        the result cannot be cast to the dtype of `out` by the rule ``same_kind``.
    numpy.exceptions.AxisError
        If the axis is out of range.

    Notes
    -----
    Segments have the meaning that NumPy's pull request 25476 gives ``ufunc.reduceat`` with stops:
    an empty segment gives the identity, where ``np.add.reduceat`` gives the element it starts with.
    So a sum of nothing is 0, a product 1, ``"any"`` False, ``"all"`` True, a norm or count 0;
    a mean or variance is NaN, with NumPy's warning; minima, maxima, ranges and positions raise.

    The results have the bits of `ufuse.sum` (or another function) of the slice alone, for any
    memory layout and number of threads.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    >>> uf.segment_reduce(x, [0, 2, 2])
    array([ 3.,  0., 12.])
    >>> uf.segment_reduce(x, [3, 0], [5, 4], op="max")
    array([5., 4.])
    >>> uf.segment_reduce(x, offsets=[0, 2, 2, 5])
    array([ 3.,  0., 12.])
    """
    function = "ufuse.segment_reduce"
    call = Call(function, read_operation(function, op), x, axis, out)
    if offsets is not None:
        if starts is not None or stops is not None:
            raise TypeError(f"{function}: expected 'starts' and 'stops', or 'offsets'; got both")
        parts = Segments(*_read_offsets(function, offsets, call.x.shape[call.axis]))
    elif starts is None:
        raise TypeError(f"{function}: missing argument 'starts' (or 'offsets')")
    else:
        first = _read_positions(function, "starts", starts)
        if isinstance(stops, str):
            raise TypeError(
                f"{function}: argument 'stops': expected positions, got {stops!r}; an operation is "
                f"passed as op={stops!r}"
            )
        last = None if stops is None else _read_positions(function, "stops", stops)
        if last is not None and last.shape != first.shape:
            raise ValueError(
                f"{function}: argument 'stops': expected one for each of the {first.size} starts, "
                f"got {last.size}"
            )
        parts = Segments(first, last)
    call.divide(parts)
    return reduce_parts(call, dtype, initial, ddof)


@executors.fast_parts(FAST_ROWS, groups=True)
def group_reduce(
    x: Any,
    labels: Any,
    op: str = "sum",
    num_groups: Any = None,
    *,
    axis: Any = 0,
    initial: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
) -> Any:
    """Reduce the elements along an axis that have the same label.

    Parameters
    ----------
    x : array_like
        Any strides.
    labels : array_like of int
        The group of each position of the axis, 0 to ``num_groups - 1``, of any integer dtype.
    op : str, optional
        As of `ufuse.segment_reduce`.
    num_groups : int, optional
        By default one more than the largest label, which costs a read of the labels.
    axis : int, optional
        The axis that is divided.
    initial, dtype, ddof
        As of `ufuse.segment_reduce`.
    out : array, optional
        Where the result goes: the shape of `x` with the number of groups along the axis.

    Returns
    -------
    array
        `out` if given. Along the axis, what the function of the operation's name gives for each
        group, but that positions of ``"argmin"`` and its like are positions along the axis.

    Warns
    -----
    RuntimeWarning
        As these functions: a mean of a group without elements is NaN.

    Raises
    ------
    ValueError
        If a label is negative or too large, if a group has no elements and the operation no
        identity and no `initial`, or if `labels`, `op` or `out` are not as above. Nothing is
        written to `out` then.
    TypeError, numpy.exceptions.AxisError
        As `ufuse.segment_reduce`.

    Notes
    -----
    A group without elements gives what an empty segment gives: see `ufuse.segment_reduce`.

    The axis is read in parts that depend on the shape, the number of groups and the operation. In
    a part every group has an accumulator, float64 for floats, to which its elements are added in
    their order; the parts are then merged by a fixed tree. So the bits are the same for any memory
    layout and number of threads. They are not those of `ufuse.sum` of the group's elements, which
    adds them in another order.

    Where all positions of the axis are sorted by label, `ufuse.segment_reduce` does less.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.group_reduce([1.0, 2.0, 3.0, 4.0], [2, 0, 2, 0])
    array([6., 0., 4.])
    >>> uf.group_reduce([1.0, 2.0, 3.0, 4.0], [1, 0, 1, 0], "argmax")
    array([3, 2])
    """
    function = "ufuse.group_reduce"
    call = Call(function, read_operation(function, op), x, axis, out)
    of = _read_labels(function, labels, call)
    if num_groups is None:
        count = 0 if of.size == 0 else int(largest(of)) + 1
    else:
        try:
            count = operator.index(num_groups)
        except TypeError:
            raise TypeError(
                f"{function}: argument 'num_groups': expected an int or None, got {num_groups!r}"
            ) from None
    if count < 0 and num_groups is None:
        count = 0  # all labels are negative: that is what is wrong
    if not 0 <= count <= _MOST_GROUPS:
        raise ValueError(
            f"{function}: argument 'num_groups': expected between 0 and {_MOST_GROUPS} groups, "
            f"got {count}" + ("" if num_groups is not None else ", one more than the largest label")
        )
    call.divide(Groups(of, count))
    return reduce_parts(call, dtype, initial, ddof)


def _read_positions(function: str, argument: str, values: Any) -> Array:
    """Return positions along an axis as a 1-d array of integers, anywhere."""
    found = asarray(values, function=function, argument=argument)
    if found.size == 0 and not isinstance(values, np.ndarray):
        found = found.astype(np.int64)  # an empty list is of float64
    if found.ndim != 1:
        raise ValueError(
            f"{function}: argument {argument!r}: expected one dimension, got shape {found.shape}"
        )
    if found.dtype.kind not in "iu":
        raise TypeError(
            f"{function}: argument {argument!r}: expected integers, got dtype {found.dtype}"
        )
    return found


def _refuse_position(function: str, argument: str, found: Array, at: int, length: int) -> None:
    raise IndexError(
        f"{function}: argument {argument!r}: element {at}: expected a position from 0 to "
        f"{length}, the length of the axis, got {found[at]}"
    )


def _read_offsets(function: str, offsets: Any, length: int) -> tuple[Array, Array]:
    found = _read_positions(function, "offsets", offsets)
    if found.size == 0:
        raise ValueError(f"{function}: argument 'offsets': expected at least one, got none")
    decreasing = found[1:] < found[:-1]
    if found[0] < 0 or found[-1] > length or decreasing.any():
        outside = (found < 0) | (found > length)
        if outside.any():
            _refuse_position(function, "offsets", found, int(np.argmax(outside)), length)
        at = int(np.argmax(decreasing))
        raise ValueError(
            f"{function}: argument 'offsets': expected positions that do not decrease, got "
            f"{found[at]} before {found[at + 1]} (element {at + 1})"
        )
    return found[:-1], found[1:]


def _read_labels(function: str, labels: Any, call: Call) -> Array:
    found = asarray(labels, function=function, argument="labels")
    if found.size == 0 and not isinstance(labels, np.ndarray):
        found = found.astype(np.int64)
    length = call.x.shape[call.axis]
    if found.shape != (length,):
        raise ValueError(
            f"{function}: argument 'labels': expected shape {(length,)}, one for each position of "
            f"axis {call.axis} of an array of shape {call.x.shape}; got {found.shape}"
        )
    if found.dtype.kind not in "iu":
        raise TypeError(
            f"{function}: argument 'labels': expected integers, got dtype {found.dtype}; use "
            "np.unique(labels, return_inverse=True) to make some"
        )
    return found


class Segments:
    """Parts that are slices of the axis."""

    noun = "segment"

    def __init__(self, starts: Array, stops: Array | None) -> None:
        self._given = {"starts": starts, "stops": stops}
        self._starts = np.ascontiguousarray(starts, np.int64)
        self._stops = None if stops is None else np.ascontiguousarray(stops, np.int64)
        self._shortest: int | None = None
        self.count = starts.size

    def overlaps(self, out: Array) -> bool:
        return executors.overlap(out, self._starts) or (
            self._stops is not None and executors.overlap(out, self._stops)
        )

    def check(self, call: Call) -> None:
        length = call.x.shape[call.axis]
        for argument, found in self._given.items():
            if found is None:
                continue
            outside = (found < 0) | (found > length)
            if outside.any():
                at = int(np.argmax(outside))
                _refuse_position(call.function, argument, found, at, length)

    def _ends(self, call: Call) -> Array:
        if self._stops is None:
            self._stops = np.append(self._starts, call.x.shape[call.axis])[1:]
        return self._stops

    def sizes(self, call: Call) -> Array:
        self.check(call)
        sizes: Array = np.maximum(self._ends(call) - self._starts, 0)
        return sizes

    def shortest(self, call: Call) -> float:
        if self._shortest is None:
            return _least(self.sizes(call))
        return self._shortest

    def piece(self, call: Call, part: int) -> slice:
        return slice(self._starts[part], self._ends(call)[part])

    def position(self, call: Call, part: int, found: Any) -> Any:
        return found

    def run(self, call: Call, slots: list[Slot], all_needed: bool) -> None:
        start, stop, empty, shortest = _executor().segments(
            call.x, call.axis, self._starts, self._stops, slots, all_needed
        )
        if start >= 0 or stop >= 0:
            argument, at = ("starts", start) if start >= 0 else ("stops", stop)
            found = self._given[argument]
            assert found is not None
            _refuse_position(call.function, argument, found, at, call.x.shape[call.axis])
        if empty >= 0:
            call.refuse_empty(empty)
        self._shortest = shortest


class Groups:
    """Parts that have the same label."""

    noun = "group"

    def __init__(self, labels: Array, count: int) -> None:
        self.labels, self.count = labels, count
        self._sizes: Array | None = None

    def overlaps(self, out: Array) -> bool:
        return executors.overlap(out, self.labels)

    def check(self, call: Call) -> None:
        bad = (self.labels < 0) | (self.labels >= self.count)
        if bad.any():
            self._refuse(call, int(np.argmax(bad)))

    def _refuse(self, call: Call, at: int) -> None:
        raise ValueError(
            f"{call.function}: argument 'labels': position {at}: expected a label from 0 to "
            f"{self.count - 1} (num_groups={self.count}), got {self.labels[at]}"
        )

    def sizes(self, call: Call) -> Array:
        if self._sizes is None:
            ones = np.broadcast_to(np.True_, self.labels.shape)
            counts = np.zeros(self.count, np.int64)
            self._fill(call, ones, 0, [Slot("sum", "?", "value", counts)], False)
            self._sizes = counts
        return self._sizes

    def shortest(self, call: Call) -> float:
        return _least(self.sizes(call))

    @cached_property
    def sorted(self) -> tuple[Array, Array]:
        """Positions by label, in their order within each, and where each label's positions end."""
        order = np.argsort(self.labels, kind="stable")
        return order, np.cumsum(np.bincount(self.labels[order], minlength=self.count))

    def piece(self, call: Call, part: int) -> Array:
        order, ends = self.sorted
        piece: Array = order[0 if part == 0 else ends[part - 1] : ends[part]]
        return piece

    def position(self, call: Call, part: int, found: Any) -> Any:
        return self.piece(call, part)[found]

    def run(self, call: Call, slots: list[Slot], all_needed: bool) -> None:
        sizes = np.zeros(self.count, np.int64) if call.name.removeprefix("nan") in _SIZED else None
        self._fill(call, call.x, call.axis, slots, all_needed, sizes)
        self._sizes = sizes

    def _fill(
        self,
        call: Call,
        x: Array,
        axis: int,
        slots: list[Slot],
        all_needed: bool,
        sizes: Array | None = None,
    ) -> None:
        label, group = _executor().groups(
            x, axis, self.labels, self.count, slots, sizes, all_needed
        )
        if label >= 0:
            self._refuse(call, label)
        if group >= 0:
            call.refuse_empty(group)


def _least(sizes: Array) -> float:
    return int(sizes.min()) if sizes.size else math.inf


def _executor() -> Any:
    return executors.of(__package__)
