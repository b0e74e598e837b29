"""The table of measured errors, docs/accuracy.json: whole, within the bounds, and true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import NATIVE, tiers
from test_catalogue import program
from ufuse import executors
from ufuse.catalogue import OPERATIONS

ROWS = {row.name: row for row in OPERATIONS if row.ulp > 0}
TABLE = Path(__file__).resolve().parent.parent / "docs" / "accuracy.json"
ENTRIES = json.loads(TABLE.read_text())


def test_every_function_that_is_not_exact_is_there() -> None:
    got = [(entry["function"], entry["dtype"]) for entry in ENTRIES]
    assert sorted(got) == sorted((name, dtype) for name in ROWS for dtype in ("float32", "float64"))


def test_so_many_points() -> None:
    for entry in ENTRIES:
        alone = ROWS[entry["function"]].arity == 1
        least = 100_000 if entry["dtype"] == "float64" else 250_000_000 if alone else 19_000_000
        assert entry["points"] >= least, entry


def named(entry: dict[str, Any]) -> str:
    return f"{entry['function']}-{entry['dtype']}"


@pytest.mark.parametrize("entry", ENTRIES, ids=named)
def test_entry(entry: dict[str, Any]) -> None:
    """Within the bound; the number that was measured is the one that every tier gives."""
    row = ROWS[entry["function"]]
    assert 0.45 < entry["ulp"] <= row.ulp
    inputs = [np.array([float.fromhex(x)]).astype(entry["dtype"]) for x in entry["at"]]
    result = float.fromhex(entry["result"])
    wide = np.float64 if entry["dtype"] == "float32" else np.longdouble
    spare = np.finfo(wide).nmant - np.finfo(entry["dtype"]).nmant
    if spare >= 10 and row.ufunc is not None:
        exact = row.ufunc(*(x.astype(wide) for x in inputs))[0]
        step = np.spacing(np.abs(np.asarray(exact).astype(entry["dtype"]))).astype(wide)
        assert abs(float(abs(result - exact) / step) - entry["ulp"]) < 0.02
    if not NATIVE:
        return
    from ufuse import _core

    code = inputs[0].dtype.str[1:]
    (signature,) = (s for s in row.signatures if s.output == code and set(s.inputs) == {code})
    for tier in set(tiers()) - {"v2"}:
        _core.set_tier(tier)
        out = np.empty(1, code)
        executors.run_program(program(row, signature), inputs, [out])
        _core.set_tier("")
        assert float(out[0]) == result, tier
