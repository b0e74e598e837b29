"""NumPy's own tables of exact values (``umath-validation-set-*.csv``), computed by ours."""

from __future__ import annotations

import csv
from importlib import resources
from typing import Any, Final

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from ufuse import ufuncs
from ufuse.catalogue.operations import BY_UFUNC

pytest.importorskip("numpy._core.tests", reason="this installation of NumPy has no tests")

_PREFIX, _SUFFIX = "umath-validation-set-", ".csv"
_DATA = resources.files("numpy._core.tests") / "data"
NAMES: Final = sorted(
    path.name[len(_PREFIX) : -len(_SUFFIX)]
    for path in (_DATA.iterdir() if _DATA.is_dir() else ())
    if path.name.startswith(_PREFIX) and path.name.endswith(_SUFFIX)
)
CODES: Final = {"np.float32": "f4", "np.float64": "f8"}


def table(name: str) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Arguments, values and the largest of the bounds, by dtype."""
    lines = (_DATA / f"{_PREFIX}{name}{_SUFFIX}").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if line and line[0] not in "$#"))
    found = {}
    for kind in {row["dtype"] for row in rows}:
        code = CODES[kind]
        mine = [row for row in rows if row["dtype"] == kind]
        x, y = (
            np.array([int(row[column], 16) for row in mine], f"u{code[1]}").view(code)
            for column in ("input", "output")
        )
        found[code] = (x, y, max(float(row["ulperrortol"]) for row in mine))
    return found


def units(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """How many numbers lie between; infinite where one alone is NaN."""
    kind = f"i{got.itemsize}"
    low = np.iinfo(kind).min
    a, b = (np.where(x.view(kind) < 0, low - x.view(kind), x.view(kind)) for x in (got, want))
    high, low = (np.where(first, a, b).view(f"u{got.itemsize}") for first in (a > b, a <= b))
    both, one = (
        combined(np.isnan(got), np.isnan(want)) for combined in (np.logical_and, np.not_equal)
    )
    return np.select([both, one], [0.0, np.inf], (high - low).astype("f8"))


@pytest.mark.parametrize("code", CODES.values())
def test_units(code: str) -> None:
    one = np.ones(1, code)
    tiny = np.finfo(code).smallest_subnormal
    pairs = [(one, np.nextafter(one, 0), 1), (tiny, -tiny, 2), (one, np.nan, np.inf),
             (0.0, -0.0, 0), (np.nan, np.nan, 0), (np.finfo(code).max, np.inf, 1)]  # fmt: skip
    for x, y, apart in pairs:
        assert units(np.array(x, code), np.array(y, code)) == apart
    assert units(one, -one) > 2.0**30 - 1


def test_there_are_tables() -> None:
    assert len(NAMES) >= 20


@pytest.mark.parametrize("name", NAMES)
def test_table(name: str, any_tier: str) -> None:
    """Within NumPy's bound and ours; half a unit is the rounding of the value in the table."""
    ufunc: Any = getattr(np, name)
    functions = [uf.fuse(ufunc)]
    if name in ufuncs.__all__:
        functions.append(getattr(ufuncs, name))
    ours = BY_UFUNC[ufunc].ulp * (3 if any_tier == "v2" else 1) + 0.5 if NATIVE else np.inf
    for code, (x, want, theirs) in table(name).items():
        for function in functions:
            with np.errstate(all="ignore"):
                got = function(x)
            assert got.dtype == code
            off = units(got, want)
            worst = off.argmax()
            assert off[worst] <= min(ours, theirs), (code, x[worst].hex(), got[worst], want[worst])
