"""The pool of result blocks, and what results own."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from ufuse import executors

pytestmark = pytest.mark.skipif(not NATIVE, reason="the reference executor has no pool")


def statistics() -> dict[str, int]:
    from ufuse import _core

    return dict(_core.pool_statistics())


def test_a_loop_without_out_reuses_its_blocks() -> None:
    x = np.ones(2_000_000, np.float32)
    result = uf.quantize_linear(x, 0.1)
    misses = statistics()["misses"]
    for _ in range(20):
        result = uf.quantize_linear(x, 0.1)
    assert statistics()["misses"] <= misses + 1
    assert result[0] == 10


def test_results_own_their_memory() -> None:
    """A result behaves as any array: it can be resized, and outlives what made it."""
    x = np.ones(2_000_000, np.float32)
    result = uf.quantize_linear(x, 0.1, dtype=np.int8)
    assert result.flags.owndata and result.base is None and result.flags.aligned
    result.resize(4_000_000, refcheck=False)
    assert result[1_999_999] == 10 and not result[2_000_000:].any()
    result.resize(3, refcheck=False)
    np.testing.assert_array_equal(result, [10, 10, 10])


def test_blocks_return_and_the_limit_holds() -> None:
    from ufuse import _core

    limit = statistics()["limit"]
    try:
        array = executors.empty((8_000_000,), np.dtype(np.uint8))
        used = statistics()["in_use"]
        del array
        gc.collect()
        assert statistics()["in_use"] <= used - 8_000_000
        _core.set_pool_limit(0)
        assert statistics()["cached"] == 0
        executors.empty((8_000_000,), np.dtype(np.uint8))
        gc.collect()
        assert statistics()["cached"] == 0
    finally:
        _core.set_pool_limit(limit)


def test_absurd_sizes_are_a_memory_error() -> None:
    with pytest.raises((MemoryError, ValueError)):
        executors.empty((1 << 45, 1 << 10), np.dtype(np.float64))
