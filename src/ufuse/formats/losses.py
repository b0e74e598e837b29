"""Numbers that a kind of GGUF's cannot hold: looked for where an encoder suspects some."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from ..catalogue.formats import Format
from .blocks import Array


class Lost(NamedTuple):
    """What a kind could not hold.

    Attributes
    ----------
    overflowed : int
        Blocks (numbers, where a block is one) of finite numbers that are not read back as such.
    largest : float
        The largest magnitude in them.
    nonfinite : int
        Numbers that are NaN or infinite.
    """

    overflowed: int
    largest: float
    nonfinite: int


def lost_of(row: Format, x: Array, packed: Array) -> Lost | None:
    """Look for numbers that are not finite, and for finite ones that gave a scale that is not."""
    with np.errstate(over="ignore"):  # float64 is read as float32
        groups = np.ascontiguousarray(x, np.float32).reshape(-1, row.block)
    finite = np.isfinite(groups)
    whole = finite.all(axis=1)
    blocks = packed.reshape(-1, row.nbytes)
    beyond = np.zeros(whole.shape, bool)
    for at in row.halves:
        if row.name == "BF16":
            beyond |= (blocks[:, at + 1] & 0x7F == 0x7F) & (blocks[:, at] >= 0x80)
        else:
            beyond |= blocks[:, at + 1] & 0x7C == 0x7C
    beyond &= whole
    largest = float(np.abs(groups[beyond]).max(initial=0))
    keeps = row.block == 1  # NaN and infinity
    found = Lost(int(beyond.sum()), largest, 0 if keeps else int((~finite).sum()))
    return found if found.overflowed or found.nonfinite else None


def warn_of(row: Format, lost: Lost) -> None:
    """Warn the caller of `gguf.quantize` of what is lost, once of each sort."""
    function = "ufuse.formats.gguf.quantize"
    if lost.overflowed:
        numbers = f"{lost.overflowed} numbers"
        blocks = f"the float16 scales of {lost.overflowed} blocks"
        warnings.warn(
            f"{function}: {numbers if row.block == 1 else blocks} overflow in {row.name} and read "
            f"back as infinities or NaN, of magnitudes up to {lost.largest:g}; scale the array "
            "down, or use a kind with a wider range, such as BF16 or F32",
            RuntimeWarning,
            stacklevel=4,
        )
    if lost.nonfinite:
        warnings.warn(
            f"{function}: {lost.nonfinite} numbers are NaN or infinite in float32, which "
            f"{row.name} does not have: blocks of {row.block} with one of them read back as other "
            "numbers, or as NaN; replace them (np.nan_to_num), or use F16, BF16 or F32",
            RuntimeWarning,
            stacklevel=4,
        )
