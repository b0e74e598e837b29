"""What all tests share: the executors and tiers this machine has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings

import ufuse as uf
from ufuse import executors

# Timings on shared machines say nothing about a test's health.
settings.register_profile("ufuse", deadline=None, max_examples=60)
settings.load_profile("ufuse")

NATIVE = executors.backend() == "native"


def tiers() -> list[str]:
    """Names of the CPU tiers to test; on the reference executor there are none."""
    if not NATIVE:
        return []
    from ufuse import _core

    return list(_core.available_tiers())


@pytest.fixture(params=tiers() or ["none"])
def tier(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on every CPU tier of this machine."""
    if request.param == "none":
        pytest.skip("the reference executor has no tiers")
    from ufuse import _core

    _core.set_tier(request.param)
    yield request.param
    _core.set_tier("")


@pytest.fixture(params=tiers() or ["none"])
def any_tier(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on every CPU tier of this machine, and once on the reference executor."""
    if NATIVE:
        from ufuse import _core

        _core.set_tier(request.param)
    yield request.param
    if NATIVE:
        _core.set_tier("")


@pytest.fixture
def silent() -> Iterator[None]:
    """Ignore floating-point errors: test_fuse_warnings.py is about these, others about values."""
    with np.errstate(all="ignore"):
        yield


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Run the test with several thread counts."""
    with uf.threads(request.param):
        yield request.param
