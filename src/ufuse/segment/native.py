"""Segments and groups by the C++ core: see `csrc/segment`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _core
from ..reduce.native import as_codes
from ..reduce.request import Array, Slot


def segments(
    x: Array,
    axis: int,
    starts: Array,
    stops: Array | None,
    slots: Sequence[Slot],
    all_needed: bool,
) -> tuple[int, int, int, int]:
    """Fill the outputs of `slots`: one result along the axis for each segment.

    Without `stops` a segment ends where the next one starts, the last at the end of the axis.

    Returns
    -------
    tuple of four ints
        The first of `starts` and the first of `stops` that are not within the axis, and the first
        empty segment where `all_needed`; -1 where there is none. Otherwise nothing is written. The
        length of the shortest segment.
    """
    codes, coding, table = as_codes(x)
    return _core.segment_reduce(
        codes, axis, coding, table, starts, stops, _specifications(slots), all_needed
    )


def groups(
    x: Array,
    axis: int,
    labels: Array,
    count: int,
    slots: Sequence[Slot],
    sizes: Array | None,
    all_needed: bool,
) -> tuple[int, int]:
    """Fill the outputs of `slots`, and `sizes` with the number of elements of each group.

    Returns
    -------
    tuple of two ints
        The position of the first label that is no group, and the first group without elements where
        `all_needed`; -1 where there is none. Otherwise nothing but `sizes` is written.
    """
    codes, coding, table = as_codes(x)
    return _core.group_reduce(
        codes, axis, coding, table, labels, count, _specifications(slots), sizes, all_needed
    )


def _specifications(slots: Sequence[Slot]) -> list[Any]:
    return [
        (
            slot.reducer,
            slot.element,
            slot.finish,
            slot.component,
            slot.out,
            slot.ddof,
            None if slot.initial is None else slot.initial.tobytes(),
        )
        for slot in slots
    ]
