"""Quantization by the ranges of the data: one call for the parts of many arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..fusion.program import Program
from ..reduce import minmax
from .cast import cast
from .scales import choose_scale_onnx, scale_of_range

Array = NDArray[Any]
Rule = Literal["symmetric", "asymmetric", "onnx"]

#: Elements of a float16 or bfloat16 array, and of all those of a list, that are made float32 first:
#: a call takes 18 us and not 110. From 2**24 on one way is as fast as the other, and this one takes
#: memory; in between it is up to twice as fast.
_WIDENED = 1 << 20
_WIDENED_AT_ONCE = 1 << 24
#: Above so many `cast` is faster than NumPy.
_CAST = 1 << 12


class Part(NamedTuple):
    """An array, or blocks of one as axes of their own, with what is written for it.

    Attributes
    ----------
    x : ndarray
        float32, not empty.
    scale : ndarray
        float32, written: as many dimensions as `x`, and 1 along those that have one scale.
    zero_point : ndarray or None
        Written: the shape of `scale`; None where it is 0.
    codes : ndarray
        Written: what the program makes of the following.
    numbers, scales, zero_points : ndarray
        The program's inputs, which broadcast to `codes`; the latter two are views of what is
        written, or constants.
    """

    x: Array
    scale: Array
    zero_point: Array | None
    codes: Array
    numbers: Array
    scales: Array
    zero_points: Array


def quantize_ranged(
    program: Program, parts: Sequence[Part], rule: Rule, least: float, most: float
) -> bool:
    """Write the scales, the zero points and the codes of parts.

    Parameters
    ----------
    program : Program
        (numbers, scales, zero points) -> codes.
    parts : sequence of Part
    rule : str
        ``"symmetric"`` and ``"asymmetric"`` are `scale_of_range`, ``"onnx"`` `choose_scale_onnx`.
    least, most : float
        The smallest and the largest code.

    Returns
    -------
    bool
        Whether all ranges were finite (by ``"onnx"``: none NaN). If not, what was written is of no
        use, and of an array with one scale nothing was.
    """
    if executors.native is not None:
        fine: bool = executors.native.quantize_ranged(program, parts, rule, least, most)
        return fine
    all_fine = True
    for part in parts:
        within = tuple(i for i in range(part.x.ndim) if part.scale.shape[i] == 1)
        low, high = (np.asarray(end) for end in minmax(part.x, axis=within, keepdims=True))
        bad = np.isnan if rule == "onnx" else lambda ends: ~np.isfinite(ends)
        if np.any(bad(low)) or np.any(bad(high)):
            all_fine = False
            continue
        if rule == "onnx":
            with np.errstate(all="ignore"):
                scale, zero = choose_scale_onnx(low, high, int(least), int(most), False)
        else:
            scale, zero = scale_of_range(low, high, int(least), most, rule == "symmetric")
        part.scale[...] = scale
        if part.zero_point is not None:
            part.zero_point[...] = zero
        executors.run_program(program, (part.numbers, part.scales, part.zero_points), (part.codes,))
    return all_fine


def widened(arrays: list[Array]) -> list[Array]:
    """Return arrays, those of 16 bits as float32 where that is faster: the same numbers."""
    room = _WIDENED_AT_ONCE
    for i, x in enumerate(arrays):
        if x.itemsize == 2 and 0 < x.size <= min(_WIDENED, room):
            room -= x.size
            if x.size > _CAST:
                arrays[i] = cast(x, np.float32, saturate=False)
                continue
            with np.errstate(invalid="ignore"):  # NaN are refused later
                arrays[i] = x.astype(np.float32)
    return arrays
