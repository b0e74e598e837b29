"""Sphinx's configuration; it also writes the tables that follow from the catalogue."""

from __future__ import annotations

import json
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


_ACCURACY = """\
# Measured errors

The largest error found of each function that is not exact, in units in the last place of the
exact result; `make accuracy` measures them anew. An error of 0.5 is that of rounding alone. The
bound is the one of the [table of operations](operations.md), which tests hold the function to.
Results have the same bits on every CPU tier from v3 (AVX2 and FMA) on, for any layout and any
number of threads, so that the errors are no machine's.

- float32: *all* are all 2**32 patterns of bits, *every 17th* those 17 apart, which leaves no
  bit constant. They are compared with float64, by NumPy where it has the function.
- float64 is compared with mpmath of 300 bits at points drawn from all patterns and from the
  function's domain, powers of two and their neighbours, numbers about 1, and multiples of half
  pi for the trigonometric functions; then about the worst of these, three times over. That
  finds what is close to the largest error, and proves no bound.
- `logaddexp` and `logaddexp2` are measured where the larger argument is not negative: about a
  result of 0 their error is absolute. So is that of `gammaln` in float64 about its zeros below
  0 (2**-54), which is left out. `exp_difference` is of the difference as it is rounded.

| function | dtype | ULP | bound | at | points |
|---|---|---|---|---|---|"""


def _accuracy() -> str:
    bounds = {row.name: row.ulp for row in OPERATIONS}
    lines = [_ACCURACY]
    for row in json.loads((_docs / "accuracy.json").read_text()):
        at = ", ".join(f"`{_shortened(x)}`" for x in row["at"])
        points = f"{row['points']:,}: {row['of']}"
        name, bound = row["function"], bounds[row["function"]]
        lines.append(
            f"| `{name}` | {row['dtype']} | {row['ulp']:.3f} | {bound:g} | {at} | {points} |"
        )
    return "\n".join(lines) + "\n"


def _shortened(number: str) -> str:
    """Leave out the zeros that a float32 ends with in float64's hexadecimal digits."""
    digits, exponent = number.split("p")
    return f"{digits.rstrip('0').rstrip('.')}p{exponent}"


_docs = Path(__file__).parent
(_docs / "reference").mkdir(exist_ok=True)
(_docs / "reference" / "operations.md").write_text(_operations())
(_docs / "reference" / "accuracy.md").write_text(_accuracy())
