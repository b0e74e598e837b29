"""NumPy's own tests of the functions that we have too, run against ours."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import NATIVE
from numpy_suites.element_suites import FUSED, GENUINE
from numpy_suites.suites import SUITES, VERSION, Suite


def named(suite: Suite) -> str:
    mode = (option[9:] for option in suite.plugin if option.startswith("--ufuncs="))
    return "-".join((suite.module.rpartition(".")[2], *suite.names, *mode))


@pytest.mark.skipif(
    not np.__version__.startswith(VERSION + "."),
    reason=f"the list of skips is for the tests of NumPy {VERSION}",
)
@pytest.mark.parametrize("suite", SUITES + FUSED + GENUINE, ids=named)
def test_suite_of_numpy(suite: Suite, tmp_path: Path) -> None:
    """All pass but those of `suites.py` and `element_suites.py`, which say why."""
    if suite.missing():
        pytest.skip(f"ufuse does not have {', '.join(suite.missing())}")
    if any(suite is one for one in GENUINE) and not NATIVE:
        pytest.skip("a numpy.ufunc takes the extension")
    spec = importlib.util.find_spec(suite.module)
    if spec is None or spec.origin is None:
        pytest.skip("this installation of NumPy has no tests")
    configuration = tmp_path / "pytest.ini"
    configuration.write_text("[pytest]\n")  # NumPy's warnings are NumPy's business
    tests = [f"{spec.origin}::{name}" for name in suite.classes] or [spec.origin]
    here = str(Path(__file__).parent)
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    run = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "pytest", "-q", "-c", str(configuration)),
            *("-p", "no:cacheprovider", *suite.plugin, "--tb=short", *tests),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert re.search(r"\b[1-9]\d* passed", run.stdout), run.stdout[-500:]
    calls = re.search(r"calls computed by ours: (\d+)", run.stdout)
    assert calls is None or int(calls[1]) > 1000, run.stdout[-500:]
