"""What the executors of block formats agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from ..catalogue.formats import BY_NAME

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """A format with all that is asked for besides values.

    Attributes
    ----------
    name : str
        A row of the catalogue's `FORMATS`.
    block, nbytes : int
        Elements, and bytes of codes, of a block.
    tensor_scale : float
        Of formats with a scale for the whole array.
    scale_mode : int
        How a power of two is made of the largest magnitude, for formats that ask.
    """

    name: str
    block: int
    nbytes: int
    tensor_scale: float = 1.0
    scale_mode: int = 0


def layout_of(name: str) -> Layout:
    """Return the layout of a format that leaves nothing open."""
    row = BY_NAME[name]
    return Layout(name, row.block, row.nbytes)
