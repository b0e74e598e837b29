"""Errors of the functions of the catalogue, measured: ``make accuracy`` writes docs/accuracy.json.

``python -m benchmarks.accuracy --stride 1`` takes every float32 there is, some two minutes for a
function of one argument. An odd stride leaves none of its bits constant.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from ufuse.catalogue import Operation

from .exact import MEASURED, Array, computed, exact, wide
from .points import chosen, near, pairs_of_single

#: Errors of float64 about zeros, where those are absolute.
ABSOLUTE: Final = {"gammaln": 2.0**-54}
_BLOCK: Final = 1 << 17  # numbers at a time: some arrays of float64 fit in L2
TABLE: Final = Path(__file__).parent.parent / "docs" / "accuracy.json"


class Worst:
    """The largest error so far, and where it is."""

    def __init__(self) -> None:
        self.error, self.points = 0.0, 0
        self.at: list[str] = []
        self.result = ""

    def take(self, errors: Array, inputs: tuple[Array, ...], got: Array) -> None:
        """Look at more points; `errors` in units in the last place."""
        self.points += errors.size
        place = int(errors.argmax()) if errors.size else 0
        if errors.size and errors[place] > self.error:
            self.error = float(errors[place])
            self.at = [float(x[place]).hex() for x in inputs]
            self.result = float(got[place]).hex()

    def record(self, row: Operation, dtype: str, kind: str) -> dict[str, Any]:
        """Return the entry of the table."""
        return {
            "function": row.name,
            "dtype": dtype,
            "ulp": math.ceil(self.error * 1e4) / 1e4,
            "at": self.at,
            "result": self.result,
            "points": self.points,
            "of": kind,
        }


# --- float32 -------------------------------------------------------------------------------------


def errors_of_single(got: Array, want: Array) -> Array:
    """Units in the last place between float32 and float64; infinite where one alone is NaN."""
    with np.errstate(all="ignore"):
        nearest = want.astype(np.float32)
        exponent = np.maximum(nearest.view(np.uint32) >> 23 & 255, 1).astype(np.uint64)
        scale = (np.uint64(1023 + 150) - exponent << np.uint64(52)).view(np.float64)
        errors = np.abs(got - want) * scale
    odd = ~np.isfinite(errors) | ~np.isfinite(nearest)
    if odd.any():
        g, w = got[odd], nearest[odd]
        largest = np.finfo(np.float32).max
        same = (
            (g == w) | (np.isnan(g) & np.isnan(w)) | (np.isinf(w) & (g == np.copysign(largest, w)))
        )
        errors[odd] = np.where(same, 0, np.inf)
    result: Array = errors
    return result


def _patterns(stride: int) -> Iterator[tuple[Array, ...]]:
    step = _BLOCK * stride
    for first in range(0, 1 << 32, step):
        bits = np.arange(first, min(first + step, 1 << 32), stride, np.uint32)
        yield (bits.view(np.float32),)


def single(row: Operation, stride: int, pairs: int) -> dict[str, Any]:
    """Measure float32: all patterns `stride` apart, or random pairs."""
    worst, reference = Worst(), wide(row)
    alone = row.arity == 1
    for inputs in _patterns(stride) if alone else pairs_of_single(row, pairs, _BLOCK):
        got = computed(row, *inputs)
        with np.errstate(all="ignore"):
            want = reference(*(x.astype(np.float64) for x in inputs))
        worst.take(errors_of_single(got, want), inputs, got)
    every = "all" if stride == 1 else f"every {stride}th"
    return worst.record(row, "float32", every if alone else "random pairs")


# --- float64 -------------------------------------------------------------------------------------


def error_of_double(got: float, want: Any) -> float:
    """Units in the last place between a float64 and one of mpmath's numbers."""
    import mpmath

    if not mpmath.isfinite(want) or mpmath.im(want):  # a pole, or outside of the domain
        return 0.0
    size = mpmath.mag(want) if want else -2000
    if size > 1024 or (size == 1024 and math.isinf(float(want))):
        return 0.0 if abs(got) >= np.finfo(float).max else math.inf
    if not math.isfinite(got):
        return math.inf
    step = mpmath.ldexp(1, max(int(size) - 53, -1074))
    return float(abs(mpmath.mpf(got) - want) / step)


def double(row: Operation, count: int) -> dict[str, Any]:
    """Measure float64 at random points, hard ones, and about the worst of these."""
    import mpmath

    function, worst = exact(row.name), Worst()
    rng = np.random.default_rng(2026)
    inputs = chosen(row, count, rng)
    for _ in range(4):
        got = computed(row, *inputs)
        errors = np.zeros(got.size)
        for place, values in enumerate(zip(*(x.tolist() for x in inputs), strict=True)):
            try:
                want = function(*(mpmath.mpf(v) for v in values))
            except (ZeroDivisionError, ValueError):  # a pole
                continue
            errors[place] = error_of_double(float(got[place]), want)
            if row.name in ABSOLUTE and abs(want) < 1:  # nothing else is promised there
                off = abs(want - float(got[place]))
                errors[place] = 0.0 if off <= ABSOLUTE[row.name] else errors[place]
        worst.take(errors, inputs, got)
        inputs = near(row, inputs, errors, count // 8, rng)
    return worst.record(row, "float64", "random and hard")


# --- the table -----------------------------------------------------------------------------------


def main() -> None:
    """Measure what is asked for, and put it into the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stride", type=int, default=17, help="of the bits of float32")
    parser.add_argument("--pairs", type=int, default=20_000_000, help="of float32")
    parser.add_argument("--points", type=int, default=200_000, help="of float64")
    parser.add_argument("--dtypes", nargs="*", default=["float32", "float64"])
    parser.add_argument("--functions", nargs="*", default=[row.name for row in MEASURED])
    parser.add_argument("--output", type=Path, default=TABLE)
    options = parser.parse_args()
    known = json.loads(options.output.read_text()) if options.output.exists() else []
    table = {(entry["function"], entry["dtype"]): entry for entry in known}
    order = {row.name: place for place, row in enumerate(MEASURED)}
    for row in (row for row in MEASURED if row.name in options.functions):
        for dtype in options.dtypes:
            begin = time.perf_counter()
            entry = (
                single(row, options.stride, options.pairs)
                if dtype == "float32"
                else double(row, options.points)
            )
            table[row.name, dtype] = entry
            seconds = time.perf_counter() - begin
            print(f"{row.name:16} {dtype} {entry['ulp']:8.4f} of {row.ulp}  {seconds:6.1f} s"
                  f"  {entry['points']} {entry['at']}", flush=True)  # fmt: skip
            kept = [table[key] for key in sorted(table, key=lambda k: (order.get(k[0], -1), k[1]))]
            lines = ",\n".join(json.dumps(entry) for entry in kept if entry["function"] in order)
            options.output.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
