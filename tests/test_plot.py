"""Pictures of quantization."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import ufuse as uf
from ufuse import plot
from ufuse.formats import gguf, mx, nf4, nvfp4
from ufuse.quant import decoded


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


RECORDS = {
    "mxfp8": (lambda x: mx.quantize(x, "mxfp8"), 256),
    "mxfp6": (lambda x: mx.quantize(x, "mxfp6_e2m3"), 64),
    "mxfp6 packed": (lambda x: mx.quantize(x, "mxfp6_e3m2", packed=True), 64),
    "mxfp4": (lambda x: mx.quantize(x, "mxfp4", axis=0), 16),
    "mxint8": (lambda x: mx.quantize(x, "mxint8"), 256),
    "nvfp4": (lambda x: nvfp4.quantize(x, swizzle=True), 16),
    "nf4": (nf4.quantize, 16),
    "nf4 double": (lambda x: nf4.quantize(x, double=True), 16),
    "fp4 of whole rows": (lambda x: nf4.quantize(x.reshape(-1, 32), kind="fp4", block_size=32), 16),
    "Q4_0": (lambda x: gguf.GGUFArray(gguf.quantize(x.reshape(-1, 32), "Q4_0"), "Q4_0"), None),
}


@pytest.mark.parametrize("name", RECORDS)
def test_records_of_formats_are_drawn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `QuantizedArray` once was."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(plot, "SLAB", 256)
    monkeypatch.setattr(decoded, "SLAB", 256)
    maker, codes_there_are = RECORDS[name]
    x = np.random.default_rng(0).normal(0, 1, (32, 45)).astype(np.float32)
    q = maker(x)
    x = x.reshape(q.shape)
    for numbers in (x, x.astype(np.float64), x.astype(np.float16)):
        values, codes, errors = uf.plot.quantization(numbers, q).axes
        for axes in (values, errors):
            assert axes.patches[0].get_data().values.sum() == x.size
        if codes_there_are is None:
            assert codes.patches[0].get_data().values.sum() == x.size
            continue
        assert sum(bar.get_height() for bar in codes.patches) == x.size
        assert codes.get_title().endswith(f"of {codes_there_are} codes used")


@pytest.mark.parametrize("scheme", ["int2", "uint4", "float4_e2m1fn", "uint16"])
@pytest.mark.parametrize("where", [{}, {"axis": 1}, {"axis": 1, "block_size": 3}])
def test_codes_are_counted_in_slabs(
    scheme: str, where: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were once unpacked all at once."""
    pytest.importorskip("ml_dtypes")
    monkeypatch.setattr(plot, "SLAB", 64)
    x = np.random.default_rng(0).normal(0, 1, (30, 41)).astype(np.float32)
    q = uf.quantize(x, scheme, **where)
    used = plot._codes_used(q)
    assert used is not None
    numbers, counts, total = used
    codes = q.codes().astype(np.float32)
    want, times = np.unique(codes, return_counts=True)
    assert counts.sum() == x.size and total == 1 << q.code.bits
    at = np.searchsorted(numbers, want)
    found = [counts[numbers == value].sum() for value in want]
    np.testing.assert_array_equal(found, times)
    np.testing.assert_array_equal(numbers[at], want)


def test_numbers_that_are_not_finite() -> None:
    pytest.importorskip("matplotlib")
    x = np.float32([[1, 2, 3]])
    q = uf.quantize(x)
    x[0, 0] = np.nan
    assert len(uf.plot.quantization(x, q).axes) == 3


@pytest.mark.parametrize("scheme", ["int16", "uint16"])
def test_codes_of_16_bits_are_drawn_in_bars_that_can_be_seen(scheme: str) -> None:
    """65536 bars were once drawn, each narrower than a pixel."""
    pytest.importorskip("matplotlib")
    x = np.random.default_rng(0).normal(0, 1, (30, 40)).astype(np.float32)
    codes = uf.plot.quantization(x, uf.quantize(x, scheme)).axes[1]
    assert len(codes.patches) == 512
    assert sum(bar.get_height() for bar in codes.patches) == x.size
    assert sum(bar.get_width() for bar in codes.patches) == 65536
    assert "of 65536 codes used" in codes.get_title()
