"""Drawings of what a fused function runs."""

from __future__ import annotations

import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ufuse as uf

X = np.ones((30, 40))


@uf.fuse
def standardised(values: Any, gain: Any) -> Any:
    return (values - values.mean(axis=0)) / values.std(axis=0) * gain, values.sum()


def test_explain_names_what_is_read_and_written() -> None:
    explained = standardised.explain(X, 2.0)
    first, *_, last = explained.passes
    assert first.reads == ("values",)
    assert last.reads[0] == "values"
    assert any(name.startswith("temporary") for name in last.reads)
    assert {name for one in explained.passes for name in one.writes} >= {"result 0", "result 1"}
    assert f"pass 1 ({first.executor}): values to temporary" in str(explained)


def test_a_drawing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "passes.svg"
    explained = standardised.explain(X, 2.0, plot=path)
    assert explained.passes
    root = xml.etree.ElementTree.parse(path).getroot()
    assert root.tag.endswith("svg")
    assert [file.name for file in tmp_path.iterdir()] == ["passes.svg"]
    texts = {text.get_text() for text in explained.plot().axes[0].texts}
    assert {"values", "a number", "result 1"} <= texts
    assert sum(text.startswith("pass ") for text in texts) == len(explained.passes)


def test_a_name_without_a_type_that_is_known(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "passes.nonsense"
    with pytest.raises(ValueError, match=r"argument 'plot': expected a name that ends in .*svg"):
        standardised.explain(X, 2.0, plot=path)
    assert not path.exists()


def test_an_argument_called_plot_is_the_functions() -> None:
    fused = uf.fuse(lambda x, plot: x * plot)
    assert fused.explain(X, plot=2.0).passes[0].reads == ("x", "a number")
