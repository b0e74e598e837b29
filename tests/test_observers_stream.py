"""A thousand million values streamed: what observers keep of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from conftest import NATIVE

STREAM = """
import resource
import sys
import numpy as np
import ufuse as uf

batch = np.random.default_rng(0).standard_normal(1 << 24, np.float32)
observer = getattr(uf.observers, sys.argv[1])()
observer.update(batch[:1000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for part in range(64):
    observer.update(batch)
found = observer.scale_zero_point("int8")
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(after - before, float(found.scale))
"""


@pytest.mark.skipif(not NATIVE, reason="the reference executor makes temporary arrays")
@pytest.mark.skipif(sys.platform != "linux", reason="measures the peak in KiB, as Linux gives it")
@pytest.mark.parametrize("name", ["Percentile", "MSE", "Entropy"])
def test_a_stream_of_1g_values_takes_less_than_64_mb(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STREAM, name], capture_output=True, text=True, check=True
    )
    grown, scale = done.stdout.split()
    assert int(grown) < 64 << 10
    assert 0.01 < float(scale) < 0.06  # of normal numbers, up to 5.6 of them
