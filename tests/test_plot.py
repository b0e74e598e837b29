"""Pictures of quantization."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import ufuse as uf


def test_matplotlib_is_named_where_it_is_missing() -> None:
    code = """
import sys
sys.modules["matplotlib"] = sys.modules["matplotlib.figure"] = None
import numpy as np, ufuse as uf
x = np.ones((2, 3), np.float32)
try:
    uf.plot.quantization(x, uf.quantize(x))
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'ufuse[plot]'" in done.stdout


@pytest.mark.parametrize("scheme", ["int8", "uint4", "float8_e4m3fn"])
@pytest.mark.parametrize("where", [{}, {"axis": 0}, {"axis": 0, "block_size": 4}])
def test_the_bars_are_the_codes(scheme: str, where: dict[str, int]) -> None:
    pytest.importorskip("matplotlib")
    x = np.random.default_rng(0).normal(0, 1, (30, 40)).astype(np.float32)
    q = uf.quantize(x, scheme, **where)
    figure = uf.plot.quantization(x, q, title="a title")
    values, codes, errors = figure.axes
    assert sum(bar.get_height() for bar in codes.patches) == x.size
    for axes in (values, errors):
        assert axes.patches[0].get_data().values.sum() == x.size
    assert figure.get_suptitle() == "a title"


def test_numbers_that_are_not_finite() -> None:
    pytest.importorskip("matplotlib")
    x = np.float32([[1, 2, 3]])
    q = uf.quantize(x)
    x[0, 0] = np.nan
    assert len(uf.plot.quantization(x, q).axes) == 3
