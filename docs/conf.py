"""Sphinx's configuration; it also writes the tables that follow from the catalogue."""

from __future__ import annotations

from pathlib import Path

import ufuse
from ufuse.catalogue import OPERATIONS, REDUCERS

project = "ufuse"
author = copyright = "The ufuse developers"
release = ufuse.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
myst_heading_anchors = 3
numpydoc_show_class_members = False
autodoc_typehints = "none"


def _operations() -> str:
    lines = [
        "# Operations",
        "",
        "Written from the catalogue: one row of it, one functor. An error of 0 means the bits of",
        "the reference; others are bounds in units in the last place, checked by",
        "`tests/test_catalogue.py`",
        "(three times as much on the tier v2, which has no fused multiply-add).",
        "",
        "| operation | is | element types | ULP |",
        "|---|---|---|---|",
    ]
    for row in OPERATIONS:
        name = f"`uf.{row.name}`" if row.public else f"`{row.name}`"
        types = f"`{row.signatures[0]}`"
        if len(row.signatures) > 1:
            types += f" and {len(row.signatures) - 1} more"
        doc = row.doc.replace("|", "\\|")
        lines.append(f"| {name} | {doc} | {types} | {row.ulp:g} |")
    lines += ["", "## Reducers", "", "| reducer | is | state |", "|---|---|---|"]
    for reducer in REDUCERS:
        lines.append(f"| `{reducer.name}` | {reducer.doc} | {', '.join(reducer.components)} |")
    return "\n".join(lines) + "\n"


_path = Path(__file__).parent / "reference" / "operations.md"
_path.parent.mkdir(exist_ok=True)
_path.write_text(_operations())
