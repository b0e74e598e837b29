"""The README's tour is true, and the package mentions no machine."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="reprs differ")
def test_the_tour_is_true() -> None:
    readme = (ROOT / "README.md").read_text()
    tour = readme.split("## Tour", 1)[1].split("```python\n", 1)[1].split("```", 1)[0]
    test = doctest.DocTestParser().get_doctest(tour, {}, "README", "README.md", 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="reprs differ")
@pytest.mark.parametrize(
    "page", sorted(page.stem for page in ROOT.glob("docs/*.md") if ">>>" in page.read_text())
)
def test_the_pages_are_true(page: str) -> None:
    path = ROOT / "docs" / f"{page}.md"
    flags = doctest.NORMALIZE_WHITESPACE
    assert doctest.testfile(str(path), module_relative=False, optionflags=flags).failed == 0


def test_docstring_examples_are_true() -> None:
    import ufuse as uf

    failed: list[str] = []
    seen = 0
    for name in uf.__all__:
        member = getattr(uf, name)
        source = getattr(member, "__wrapped__", member)
        if not (getattr(source, "__doc__", None) or "").count(">>>"):
            continue
        names = {"np": np, "uf": uf, "fuse": uf.fuse}
        test = doctest.DocTestParser().get_doctest(source.__doc__, names, name, None, 0)
        seen += 1
        flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
        if doctest.DocTestRunner(optionflags=flags).run(test).failed:
            failed.append(name)
    assert not failed
    assert seen >= 8
