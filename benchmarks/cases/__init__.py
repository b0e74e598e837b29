"""The table of cases. A module per group; a new case is a row in its module's `cases`."""

from __future__ import annotations

from ..model import Case
from . import (
    attention,
    block_formats,
    calibration,
    casts,
    contractions,
    counts,
    elementwise,
    fused_products,
    fusion,
    gguf_blocks,
    linear,
    many_arrays,
    model_files,
    narrow_products,
    order,
    products,
    quantization,
    reductions,
    scans,
    segments,
    semirings,
    small,
    small_products,
    statistics,
    streams,
    tensors,
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
    fusion,
    reductions,
    statistics,
    counts,
    order,
    segments,
    windows,
    scans,
    streams,
    contractions,
    fused_products,
    products,
    narrow_products,
    tensors,
    semirings,
    attention,
    linear,
    small,
    many_arrays,
    small_products,
)

#: Names of the groups, in the order of the tables; modules may share one.
GROUPS = tuple(dict.fromkeys(module.GROUP for module in _MODULES))


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
