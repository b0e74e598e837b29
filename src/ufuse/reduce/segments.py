"""Reductions of segments of an axis, and of groups of its elements."""

from __future__ import annotations

import operator
from functools import cached_property
from typing import Any, Final

import numpy as np

from .. import executors
from ..interop import asarray
from .parts import Call, is_narrow, reduce_parts
from .request import Array, Slot

#: The core's limit (csrc/segment/groups.hpp).
_MOST_GROUPS: Final = 1 << 30
#: Operations that ask for the sizes of their parts.
_SIZED: Final = ("mean", "var", "std", "all")
#: Elements that are converted together, of dtypes that are not compiled: 1 MB of float32.
_CONVERTED: Final = 1 << 18


def segment_reduce(
    x: Any,
    starts: Any,
    stops: Any = None,
    op: str = "sum",
    *,
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
        the next one starts, and the last at the end of the axis. Rows given by n + 1 offsets are
        ``segment_reduce(x, offsets[:-1], offsets[1:])``.
    op : str, optional
        ``"sum" "prod" "mean" "var" "std" "min" "max" "ptp" "argmin" "argmax" "any" "all" "count"
        "count_nonzero"``, or ``"nansum" "nanprod" "nanmean" "nanvar" "nanstd" "nanmin" "nanmax"
        "nanargmin" "nanargmax"``. ``"count"`` is the number of elements.
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
    ValueError
        If a segment is not within the axis, if one is empty and the operation has no identity and
        no `initial`, if `op` is none of the above, or `out` has another shape.
    TypeError
        If `starts` or `stops` are no integers, an argument is not for this operation, or the result
        cannot be cast to the dtype of `out` by the rule ``same_kind``.
    numpy.exceptions.AxisError
        If the axis is out of range.

    Notes
    -----
    Segments have the meaning that NumPy's pull request 25476 gives ``ufunc.reduceat`` with stops:
    an empty segment gives the identity, where ``np.add.reduceat`` gives the element it starts with.
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
    """
    function = "ufuse.segment_reduce"
    call = Call(function, x, op, axis, out)
    length = call.x.shape[call.axis]
    first = _read_integers(function, "starts", starts, length + 1).astype(np.int64)
    if stops is None:
        last = np.append(first[1:], length)
    else:
        last = _read_integers(function, "stops", stops, length + 1).astype(np.int64)
        if last.shape != first.shape:
            raise ValueError(
                f"{function}: argument 'stops': expected one for each of the {first.size} starts, "
                f"got {last.size}"
            )
    call.divide(Segments(first, last))
    return reduce_parts(call, dtype, initial, ddof)


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
    The axis is read in parts that depend on its length and the number of groups alone. In a part
    every group has an accumulator, float64 for floats, to which its elements are added in their
    order; the parts are then merged by a fixed tree. So the bits are the same for any memory layout
    and number of threads. They are not those of `ufuse.sum` of the group's elements, which adds
    them in another order.

    Dtypes that are not compiled take memory of the size of `x`: it is converted (float16 and
    bfloat16 to float32), or taken apart by label.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.group_reduce([1.0, 2.0, 3.0, 4.0], [2, 0, 2, 0])
    array([6., 0., 4.])
    >>> uf.group_reduce([1.0, 2.0, 3.0, 4.0], [1, 0, 1, 0], "argmax")
    array([3, 2])
    """
    function = "ufuse.group_reduce"
    call = Call(function, x, op, axis, out)
    of = _read_labels(function, labels, call)
    if num_groups is None:
        count = 0 if of.size == 0 else int(of.max()) + 1
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


def _read_integers(function: str, argument: str, values: Any, limit: int) -> Array:
    """Return a 1-d array of integers from 0 up to below `limit`."""
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
    bad = (found < 0) | (found >= limit)
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(
            f"{function}: argument {argument!r}: segment {at}: expected a position from 0 to "
            f"{limit - 1}, the length of the axis, got {found[at]}"
        )
    return found


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

    def __init__(self, starts: Array, stops: Array) -> None:
        self.starts, self.stops = starts, stops
        self.count = starts.size
        self._sizes = np.maximum(stops - starts, 0)

    def overlaps(self, out: Array) -> bool:
        return False  # these are copies

    def check(self, call: Call) -> None:
        pass

    def sizes(self, call: Call) -> Array:
        return self._sizes

    def piece(self, call: Call, part: int) -> slice:
        return slice(self.starts[part], self.stops[part])

    def position(self, call: Call, part: int, found: Any) -> Any:
        return found

    def run(self, call: Call, slots: list[Slot], skip_nan: bool, all_needed: bool) -> None:
        if all_needed:
            call.need_elements()
        if is_narrow(call.x.dtype):
            self._convert(call, slots, skip_nan)
        else:
            _executor().segments(call.x, call.axis, self.starts, self.stops, slots, skip_nan)

    def _convert(self, call: Call, slots: list[Slot], skip_nan: bool) -> None:
        """Convert what neighbouring segments span, as much as stays in cache, and reduce that."""
        before = (slice(None),) * call.axis
        across = max(1, call.x.size // max(1, call.x.shape[call.axis]))
        first = 0
        while first < self.count:
            last = first + 1
            low, high = int(self.starts[first]), int(self.stops[first])
            while last < self.count:
                wider = min(low, int(self.starts[last])), max(high, int(self.stops[last]))
                if (wider[1] - wider[0]) * across > _CONVERTED:
                    break
                low, high = wider
                last += 1
            high = max(low, high)
            piece = call.x[(*before, slice(low, high))].astype(np.float32)
            starts = np.clip(self.starts[first:last] - low, 0, high - low)
            stops = np.clip(self.stops[first:last] - low, 0, high - low)
            some = [_part_of(slot, (*before, slice(first, last))) for slot in slots]
            _executor().segments(piece, call.axis, starts, stops, some, skip_nan)
            first = last


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
            self._fill(call, ones, 0, [Slot("sum", "?", "value", counts)], False, False)
            self._sizes = counts
        return self._sizes

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

    def run(self, call: Call, slots: list[Slot], skip_nan: bool, all_needed: bool) -> None:
        x = call.x.astype(np.float32) if is_narrow(call.x.dtype) else call.x
        sizes = np.zeros(self.count, np.int64) if call.name in _SIZED else None
        self._fill(call, x, call.axis, slots, skip_nan, all_needed, sizes)
        self._sizes = sizes

    def _fill(
        self,
        call: Call,
        x: Array,
        axis: int,
        slots: list[Slot],
        skip_nan: bool,
        all_needed: bool,
        sizes: Array | None = None,
    ) -> None:
        label, group = _executor().groups(
            x, axis, self.labels, self.count, slots, skip_nan, sizes, all_needed
        )
        if label >= 0:
            self._refuse(call, label)
        if group >= 0:
            call.refuse_empty(group)


def _part_of(slot: Slot, index: Any) -> Slot:
    out = slot.out[index]
    return Slot(
        slot.reducer, slot.element, slot.finish, out, slot.divisor, slot.ddof, slot.initial
    )


def _executor() -> Any:
    if executors.backend() == "native":
        from . import parts_native as executor
    else:
        from . import parts_reference as executor  # type: ignore[no-redef]
    return executor
