"""Segments and groups in plain NumPy: each part is a slice, reduced on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..reduce import reference
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

    See `native.segments`.
    """
    length = x.shape[axis]
    ends = np.append(starts, length)[1:] if stops is None else stops
    outside = [(p < 0) | (p > length) for p in (starts, ends)]
    if any(bad.any() for bad in outside):
        start, stop = (int(np.argmax(bad)) if bad.any() else -1 for bad in outside)
        return start, stop if stops is not None else -1, -1, 0
    sizes = np.maximum(ends - starts, 0)
    shortest = int(sizes.min(initial=length))
    if all_needed and not sizes.all():
        return -1, -1, int(np.argmin(sizes != 0)), shortest
    before = (slice(None),) * axis
    for part, (start, stop) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        piece = x[(*before, slice(start, stop))]
        place = (*before, slice(part, part + 1))
        some = [replace(slot, out=slot.out[place], divisor=piece.shape[axis]) for slot in slots]
        if piece.shape[axis]:
            reference.reduce(piece, (axis,), some, None, False)
            continue
        for slot in some:
            slot.out[...] = _of_nothing(slot)
    return -1, -1, -1, shortest


def _of_nothing(slot: Slot) -> object:
    """Return what an empty part gives."""
    if slot.finish in ("mean", "ratio", "variance", "deviation"):
        return np.nan
    if slot.initial is not None:
        return slot.initial
    return slot.reducer.endswith("prod") or slot.finish == "complete"


def groups(
    x: Array,
    axis: int,
    labels: Array,
    count: int,
    slots: Sequence[Slot],
    sizes: Array | None,
    all_needed: bool,
) -> tuple[int, int]:
    """Sort the positions by label: groups are then segments. See `native.groups`."""
    labels = labels.copy()  # NumPy's sort does not survive labels that another thread changes
    bad = (labels < 0) | (labels >= count)
    if bad.any():
        return int(np.argmax(bad)), -1
    order = np.argsort(labels, kind="stable")
    found = np.bincount(labels[order].astype(np.intp), minlength=count)
    if sizes is not None:
        sizes[...] = found
    if all_needed and not found.all():
        return -1, int(np.argmin(found != 0))
    stops = np.cumsum(found)
    segments(np.take(x, order, axis), axis, stops - found, stops, slots, False)
    before: tuple[Any, ...] = (slice(None),) * axis
    for slot in slots:
        if "arg" not in slot.reducer or slot.component != 1:
            continue
        for part in np.flatnonzero(found):
            place = (*before, part)
            slot.out[place] = order[stops[part] - found[part] + slot.out[place]]
    return -1, -1
