"""Threads of other projects that reductions answer, one test each, by the thread's name."""

from __future__ import annotations

import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from ufuse import executors

native_only = pytest.mark.skipif(
    executors.backend() != "native", reason="a property of the native executor"
)


def peak_of(call: Callable[[], Any]) -> int:
    """Bytes that NumPy and Python allocate at most while `call` runs."""
    call()
    tracemalloc.start()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def ratio_of(call: Callable[[], Any], plain: Callable[[], Any]) -> float:
    """Time of a call in that of another one: the best of several, as others use the machine too."""
    best = [np.inf, np.inf]
    for _ in range(7):
        for i, one in enumerate((call, plain)):
            start = time.perf_counter()
            one()
            best[i] = min(best[i], time.perf_counter() - start)
    return best[0] / best[1]


@pytest.mark.parametrize("axis", [0, 1])
def test_numpy_22956_float32_sums_over_an_outer_axis_stick(axis: int) -> None:
    """numpy#22956, #29772, #20458: sums of ones stop at 2**24 along axis 0."""
    x = np.broadcast_to(np.float32(1), (2**24 + 64, 1))
    x = x if axis == 0 else x.T
    assert uf.sum(x, axis=axis)[0] == 2**24 + 64


@native_only
def test_numpy_9182_argmax_over_an_outer_axis_copies() -> None:
    x = np.random.default_rng(0).random((3000, 200), dtype=np.float32)
    np.testing.assert_array_equal(uf.argmax(x, axis=0), np.argmax(x, axis=0))
    assert peak_of(lambda: uf.argmax(x, axis=0)) < x.nbytes // 10


@native_only
@pytest.mark.parametrize("given", [{}, {"initial": 0.0}])
def test_numpy_9836_minmax_in_one_pass(
    given: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """numpy#9836: one call of the executor has both; one that read twice would be two."""
    x = np.random.default_rng(0).standard_normal((300, 301))
    from ufuse.reduce import native

    calls = []
    read = native.reduce
    monkeypatch.setattr(
        native, "reduce", lambda *given: (calls.append(len(given[2])), read(*given))
    )
    low, high = uf.minmax(x, **given)
    assert calls == [2]
    assert low == x.min() and high == x.max()


def test_numpy_8480_mean_over_the_first_two_of_three_axes() -> None:
    """numpy#8480, numba#9679, jax#25187: images averaged per channel."""
    x = np.random.default_rng(0).random((250, 251, 3), dtype=np.float32)
    np.testing.assert_allclose(
        uf.mean(x, axis=(0, 1)), x.mean(axis=(0, 1), dtype=np.float64), rtol=1e-7
    )


@native_only
@pytest.mark.parametrize("axis", [0, 1, None])
def test_numpy_13199_variance_without_temporaries_of_the_inputs_size(axis: int | None) -> None:
    """numpy#13199, #6231."""
    x = np.random.default_rng(0).random((2000, 300), dtype=np.float32)
    assert peak_of(lambda: uf.var(x, axis=axis)) < x.nbytes // 10


def test_numpy_8217_float16_sums_overflow() -> None:
    """numpy#8217, #15785, #24443."""
    x = np.full(70_000, 1.0, np.float16)
    assert uf.mean(x) == 1
    assert uf.sum(x, dtype=np.float32) == 70_000
    assert uf.var(np.full(1000, 300.0, np.float16)) == 0


def test_ml_dtypes_63_bfloat16_sums_stick_at_256() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.ones(4096, ml_dtypes.bfloat16)
    assert uf.sum(x) == 4096 and uf.sum(x).dtype == x.dtype
    assert uf.mean(x) == 1


@native_only
@pytest.mark.parametrize("axis", [0, 1, None])
def test_numpy_27206_where_costs_no_multiple(axis: int | None) -> None:
    """numpy#27206: masked sums took several times the time of plain ones, and 5 are enough here."""
    rng = np.random.default_rng(0)
    x = rng.random((2000, 2000))
    mask = rng.random(x.shape) < 0.5
    with uf.threads(1):
        ratio = ratio_of(lambda: uf.sum(x, axis=axis, where=mask), lambda: uf.sum(x, axis=axis))
    assert ratio < 5


@pytest.mark.parametrize("axis", [0, 1])
def test_numpy_27206_where_in_reductions(axis: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((400, 500))
    mask = rng.random((400, 500)) < 0.5
    np.testing.assert_allclose(
        uf.sum(x, axis=axis, where=mask), np.sum(x, axis=axis, where=mask), rtol=1e-12
    )


def test_bottleneck_193_mean_of_many_float32_ones() -> None:
    """bottleneck#193, #379, #124, xarray#1346: the mean of 2**25 ones is 0.5."""
    x = np.broadcast_to(np.float32(1), 2**25)
    assert uf.mean(x) == 1


@native_only
def test_numpy_23523_results_do_not_depend_on_alignment() -> None:
    """numpy#23523, OpenBLAS#5972, torch#88718, jax#39741."""
    values = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    sums = set()
    for offset in range(0, 64, 4):
        memory = np.zeros(values.nbytes + 64, np.uint8)
        x = memory[offset : offset + values.nbytes].view(np.float32)
        x[...] = values
        sums.add(float(uf.sum(x)))
    assert len(sums) == 1


def test_numexpr_271_any_reducer_anywhere() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    for axis in (0, 1, 2, (0, 2)):
        np.testing.assert_array_equal(uf.max(x, axis=axis), x.max(axis=axis))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_allclose(uf.std(x, axis=axis), x.std(axis=axis))


@native_only
@pytest.mark.parametrize("axis", [0, 1, None])
def test_scipy_9300_logsumexp_without_temporaries(axis: int | None) -> None:
    """scipy#9300: exponentials of the whole input, and copies of it."""
    x = np.random.default_rng(0).standard_normal((2000, 300))
    want = np.log(np.sum(np.exp(x), axis=axis))
    np.testing.assert_allclose(uf.logsumexp(x, axis=axis), want, rtol=1e-12)
    assert peak_of(lambda: uf.logsumexp(x, axis=axis)) < x.nbytes // 10


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scipy_9300_logsumexp_of_large_values(dtype: Any) -> None:
    """scipy#9300: of values whose exponentials overflow, or vanish."""
    for value in (1e4, -1e4, 3e30):
        x = np.full((40, 1000), value, dtype)
        np.testing.assert_allclose(
            uf.logsumexp(x, axis=1), np.full(40, dtype(value)) + np.log(1000), rtol=1e-6
        )


@native_only
@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize(
    "case", [(np.complex128, None), (np.complex64, 1), (np.int8, 3), (np.float64, 3)]
)
def test_norms_without_temporaries_of_the_inputs_size(case: Any, axis: int | None) -> None:
    """Magnitudes of complex numbers and other powers are made a slice at a time."""
    dtype, order = case
    x = (np.random.default_rng(0).standard_normal((3000, 1000)) * 5).astype(dtype)
    if np.dtype(dtype).kind == "c":
        x *= dtype(0.6 + 0.8j)
    flat = x.ravel() if axis is None else x
    want = np.linalg.norm(flat.astype(np.promote_types(dtype, np.float64)), order, axis or 0)
    np.testing.assert_allclose(uf.norm(x, order, axis), want, rtol=1e-5)
    assert (
        peak_of(lambda: uf.norm(x, order, axis))
        < (4 << 20)
        < x.nbytes * 8 // np.dtype(dtype).itemsize
    )
