"""What a conversion did to each tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..fusion.program import Program
from ..quant.sums import joined, measures, sums_of

Array = NDArray[Any]

#: float32 as it is: the error measures compare a program's result with their argument.
_UNCHANGED: Final = Program(("f4",), (), (), (0,))


#: Tensors that a line names.
_NAMED: Final = 5


class TensorReport(NamedTuple):
    """A row of the report.

    Attributes
    ----------
    name : str
    shape : tuple of int
    source : str
        What it was: ``"F32"``, ``"BF16"``...
    kind : str
        What it has become.
    nbytes_before, nbytes_after : int
        Scales included.
    sqnr_db, max_abs : float or None
        Signal to quantization noise and largest error, as `ufuse.quantization_error` defines them.
        None for what was copied, and in a dry run.
    note : str
        Why it is not what was asked for, and what was lost; else empty.
    nonfinite, spoilt : int
        Elements that are NaN or infinite as float32, and others that are read back so: of a block
        with one of those, or whose scale overflows. 0 of what was copied, and in a dry run.
    """

    name: str
    shape: tuple[int, ...]
    source: str
    kind: str
    nbytes_before: int
    nbytes_after: int
    sqnr_db: float | None = None
    max_abs: float | None = None
    note: str = ""
    nonfinite: int = 0
    spoilt: int = 0


class Meter:
    """The error of a tensor, summed up tile by tile."""

    def __init__(self) -> None:
        self._sums = np.zeros(6)
        self._count = 0
        self.nonfinite = self.spoilt = 0  # as `TensorReport` has them

    def add(self, x: Array, decoded: Array) -> None:
        """Take in a tile and what its codes stand for, both float32."""
        found = sums_of(_UNCHANGED, x, [decoded], 0)[0]
        self._sums = joined(self._sums, found)
        self._count += x.size
        if not np.isfinite(found[:2]).all():  # the squares of x, and of what is read back
            wrong = ~np.isfinite(x)
            self.nonfinite += int(wrong.sum())
            self.spoilt += int((~np.isfinite(decoded) & ~wrong).sum())

    def result(self) -> tuple[float | None, float | None]:
        """Return sqnr_db and max_abs."""
        if not self._count:
            return None, None
        found = measures(self._sums[np.newaxis], self._count)
        return float(found.sqnr_db[0]), float(found.max_abs[0])


def format_losses(rows: Sequence[TensorReport]) -> str:
    """Return a line that names the tensors of which numbers are no numbers any more; or nothing."""
    names = [row.name for row in rows if row.nonfinite or row.spoilt]
    if not names:
        return ""
    listed = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"warning: NaN, infinity or overflow in {len(names)} of {len(rows)} tensors: {listed}"


def format_table(rows: Sequence[TensorReport]) -> str:
    """Return the report as a table, a line per tensor and one for all.

    Examples
    --------
    >>> import ufuse as uf
    >>> row = uf.files.TensorReport("w", (2, 64), "F32", "Q8_0", 512, 136, 45.2, 0.003)
    >>> print(uf.files.format_table([row]))
    name   shape  from  to    before  after  SQNR dB  max error
    w      2x64   F32   Q8_0     512    136     45.2      0.003
    total                        512    136
    """
    lines: list[tuple[str, ...]] = [
        ("name", "shape", "from", "to", "before", "after", "SQNR dB", "max error", "")
    ]
    lines += [_line(row) for row in rows]
    before = sum(row.nbytes_before for row in rows)
    after = sum(row.nbytes_after for row in rows)
    lines.append(("total", "", "", "", f"{before:,}", f"{after:,}", "", "", ""))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = (0, 1, 2, 3, 8)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _line(row: TensorReport) -> tuple[str, ...]:
    shape = "x".join(map(str, row.shape)) or "scalar"
    sqnr = "" if row.sqnr_db is None else f"{row.sqnr_db:.1f}"
    most = "" if row.max_abs is None else f"{row.max_abs:.3g}"
    sizes = (f"{row.nbytes_before:,}", f"{row.nbytes_after:,}")
    return (row.name, shape, row.source, row.kind, *sizes, sqnr, most, row.note)
