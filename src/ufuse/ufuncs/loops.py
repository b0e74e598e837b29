"""Loops of ufuncs: a program of elements, or a function of ufuse, for one signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..fusion.program import Program

Array = NDArray[Any]


@dataclass(frozen=True)
class Loop:
    """What a ufunc does for one signature.

    Attributes
    ----------
    dtypes : tuple of dtype
        Of the inputs, then of the results.
    program : Program or None
        Of elements; its inputs and outputs are the ufunc's.
    call : callable or None
        In place of a program: takes a list of input arrays and one of arrays to write.
    """

    dtypes: tuple[np.dtype[Any], ...]
    program: Program | None = None
    call: Callable[[Sequence[Array], Sequence[Array]], None] | None = None


@dataclass(frozen=True)
class Definition:
    """All of a ufunc.

    Attributes
    ----------
    name, doc : str
    inputs, outputs : int
    loops : tuple of Loop
        In the order in which NumPy looks for one that the inputs can be cast to; one for the very
        dtypes of the inputs goes before.
    core : tuple of bool or None
        Of a gufunc: which operands have the core dimension.
    """

    name: str
    doc: str
    inputs: int
    outputs: int
    loops: tuple[Loop, ...]
    core: tuple[bool, ...] | None = None
