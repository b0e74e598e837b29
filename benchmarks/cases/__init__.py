"""The table of cases. A module per group; a new case is a row in its module's `cases`."""

from __future__ import annotations

from ..model import Case
from . import (
    block_formats,
    calibration,
    casts,
    contractions,
    counts,
    elementwise,
    gguf_blocks,
    linear,
    model_files,
    order,
    quantization,
    reductions,
    scans,
    segments,
    small,
    statistics,
    streams,
    windows,
)

_MODULES = (
    quantization,
    casts,
    gguf_blocks,
    block_formats,
    calibration,
    model_files,
    elementwise,
    reductions,
    statistics,
    counts,
    order,
    segments,
    windows,
    scans,
    streams,
    contractions,
    linear,
    small,
)

#: Names of the groups, in the order of the tables.
GROUPS = tuple(module.GROUP for module in _MODULES)


def all_cases() -> list[Case]:
    """Every case, in the order of the tables.

    Raises
    ------
    ValueError
        If two cases have the same name.
    """
    result = [case for module in _MODULES for case in module.cases()]
    names = [(case.group, case.name) for case in result]
    if len(set(names)) != len(names):
        raise ValueError("two cases have the same group and name")
    return result
