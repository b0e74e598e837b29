"""Threads of other projects that fusion answers, one test each, by the thread's name."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from test_fuse import assert_same, check
from test_reduce_threads import native_only, peak_of, ratio_of

RNG = np.random.default_rng(0)


def in_a_fresh_process(code: str) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout.split()


# --- numexpr -------------------------------------------------------------------------------------


def test_numexpr_271_reductions_anywhere() -> None:
    """numexpr#271, #255, #76: outermost alone there, by one thread, sums and products."""
    a = RNG.integers(-50, 50, (64, 70)).astype(float)  # sums are exact
    check(lambda a: a - a.mean(axis=0), a)
    check(lambda a: np.max(a, axis=1, keepdims=True) - a, a)
    check(lambda a: -np.sum(a * 0 + 1) * 2, a)
    check(lambda a: np.sum(a - np.min(a), axis=1) / (np.max(a) - np.min(a)), a)
    check(lambda a: (np.argmax(a, axis=1), np.any(a > 3), a.std(axis=0)), a, ulp=4)


@native_only
@pytest.mark.parametrize("axis", [0, 1, None])
def test_numexpr_73_a_sum_of_a_product_that_is_in_no_memory(axis: int | None) -> None:
    """numexpr#73, #271: sum(exp(a[:, None] * b)), whatever the number of threads."""
    a, b = RNG.normal(size=(1500, 1)), RNG.normal(size=1400)
    fused = uf.fuse(lambda a, b: np.sum(np.exp(a * b), axis=axis))
    want = np.sum(np.exp(a * b), axis=axis)
    bits = set()
    for count in (1, 2, 3):
        with uf.threads(count):
            got = fused(a, b)
            bits.add(np.asarray(got).tobytes())
    np.testing.assert_allclose(got, want, rtol=1e-13)
    assert len(bits) == 1
    assert peak_of(lambda: fused(a, b)) < a.size * b.size * 8 // 20


def test_numexpr_442_what_is_fused_is_a_function() -> None:
    """numexpr#442, #323, PR#564: a text is a value like any other, and never run."""
    with pytest.raises(TypeError):
        uf.fuse("__import__('os').getpid() + a")  # type: ignore[call-overload]
    ran = []
    fused = uf.fuse(lambda a, text: a + len(text))
    assert_same(fused(np.ones(2), "ran.append(1)"), np.full(2, 14.0))
    for text in ("a.__class__", "().__class__.__bases__", "(lambda: a)()", "__import__('os')"):
        with pytest.raises((TypeError, ValueError)):
            uf.evaluate(text, {"a": np.ones(2)}, {"ran": ran})
    assert not ran


def test_numexpr_3_the_first_call_is_in_another_thread() -> None:
    """numexpr#3: state that only the importing thread had."""
    code = """
import threading, numpy as np, ufuse as uf
cube = uf.fuse(lambda a: a ** 3)
results = []
thread = threading.Thread(target=lambda: results.append(cube(np.arange(10))))
thread.start(); thread.join()
print(*results[0])
"""
    assert in_a_fresh_process(code) == [str(n**3) for n in range(10)]


def test_numexpr_80_large_arrays_from_many_threads() -> None:
    """numexpr#80, #494, #569: one function, in two threads at once; also with one thread each."""
    norm = RNG.integers(0, 3, 200_000).astype(float)
    signal = RNG.random(norm.size)
    fused = uf.fuse(lambda signal, norm: np.where(norm == 0, -1.0, signal / norm))
    with np.errstate(all="ignore"):
        want = np.where(norm == 0, -1.0, signal / norm)

    def call(n: int) -> bool:
        with uf.threads(1 + n % 2), np.errstate(all="ignore"):
            return np.array_equal(fused(signal, norm), want)

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(call, range(120)))


def test_numexpr_155_complex64_and_float32_stay() -> None:
    """numexpr#155, #156, #492; also into the argument itself."""
    a = (RNG.random(20) + 1j * RNG.random(20)).astype(np.complex64)
    b = RNG.random(20).astype(np.float32)
    product = uf.fuse(lambda a, b: a * b)
    want = a * b
    assert product(a, b).dtype == np.complex64
    assert product(a, b, out=a) is a
    np.testing.assert_array_equal(a, want)


@pytest.mark.parametrize("code", ["u4", "u8", "i1", "i2", "f2"])
def test_numexpr_19_dtypes_are_not_widened(code: str) -> None:
    """numexpr#19, #106, #335."""
    x = np.arange(1, 9).astype(code)
    check(lambda x: (x + 1) * 2 - x // 3, x)
    if np.dtype(code).kind in "iu":
        check(lambda x: (x << 1) ^ (x & 3) | ~x, x)


def test_pandas_12388_float32_by_float32_and_by_numbers() -> None:
    """pandas#12388, #61951: float64 where divided, or where arrays are large."""
    for size in (3, 1_000_001):
        x = np.ones(size, np.float32)
        for function in (lambda x: x / x, lambda x: 2 + x, lambda x: x + np.float32(1) / 2):
            assert uf.fuse(function)(x).dtype == function(x[:1]).dtype == np.float32


@native_only
def test_numexpr_36_small_arrays_are_no_slower_than_numpy() -> None:
    """numexpr#36, #301: threads and set-up for a thousand elements."""
    x = np.float32(RNG.random(1000))

    def function(x: Any) -> Any:
        return 2 * x**2 + 3 * x - 1

    fused = uf.fuse(function)
    fused(x)
    before = threading.active_count()
    ratio = ratio_of(
        lambda: [fused(x) for _ in range(50)], lambda: [function(x) for _ in range(50)]
    )
    assert ratio < 1
    assert threading.active_count() == before


def test_numexpr_301_its_expression() -> None:
    x = np.array([m + 3j for m in range(1, 1001)])
    check(lambda x: 11808000.0 * 1j * x**2 * np.exp(2.5e-10 * 1j * x)
          + 1512000.0 * 1j * x**2 * np.exp(5.0e-10 * 1j * x), x, ulp=4)  # fmt: skip


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_numexpr_341_fusing_takes_no_threads_and_little_memory() -> None:
    """numexpr#299, #341, #110: threads and memory by the number of cores, at import."""
    code = """
import os, numpy as np
def resident(): return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
def tasks(): return len(os.listdir("/proc/self/task"))
before = resident(), tasks()
import ufuse as uf
fused = uf.fuse(lambda x: np.exp(x) * 2 + 1)
fused(np.ones(100, np.float32))
print((resident() - before[0]) >> 20, tasks() - before[1])
"""
    megabytes, threads = map(int, in_a_fresh_process(code))
    assert threads == 0
    assert megabytes < 64


# --- cupy.fuse -----------------------------------------------------------------------------------


def test_cupy_9002_slices_sorting_and_arrays_from_outside() -> None:
    """cupy#9002: full and reversed slices alone; no array from outside; what cannot be says so."""
    table = RNG.random(6)
    x = RNG.random((5, 6))
    check(lambda x: x[1:3, ::2] + x[2:4, 1::2], x)
    check(lambda x: x[:, 0] * 2 + x[..., -1], x)
    check(lambda x: x * table + table[::-1], x)
    check(lambda x: x + np.arange(6), x)
    with pytest.raises(uf.TraceError, match="sort"):
        uf.fuse(np.sort)(x)


def test_cupy_9447_methods_and_what_the_limits_are() -> None:
    """cupy#9447, #3112, #1097: methods as functions; a refusal names the line and the remedy."""
    x = np.arange(-300.0, 300.0)
    check(lambda x: (x > 127).sum(), x)
    check(lambda x, y, z: x + y + np.ones_like(z), x, x, x)

    def mutating(x: Any) -> Any:
        x[x < 0] = 0
        return x

    with pytest.raises(uf.TraceError, match=r"test_fuse_threads.py.*\n.*np\.where"):
        uf.fuse(mutating)(x)


def test_cupy_8381_results_of_shapes_of_their_own() -> None:
    """cupy#8381, #8198: broadcast to one shape there."""
    a, b = np.ones((2, 2, 2)), np.ones((2, 2))
    check(lambda a, b: (2.0 * a, 3.0 * b), a, b)
    check(lambda x, y: (x, x + y), np.array([1, 2]), np.array([[3, 4], [5, 6]]))
    check(lambda a: (a.sum(axis=0), a * 2, a.max()), RNG.random((4, 5)), ulp=4)


@pytest.mark.skipif(not hasattr(np, "astype"), reason="np.clip has had min= since NumPy 2.1")
def test_cupy_7098_clip_by_keywords() -> None:
    """cupy#7098, #5909, #6901: also with None, and limits in the wrong order."""
    x = np.linspace(0, 10, 50)
    for keywords in ({"a_min": 0, "a_max": 1e30}, {"a_min": None, "a_max": 3}, {"min": 2},
                     {"min": 2, "max": 5.5}, {"a_min": 6, "a_max": 3}):  # fmt: skip
        check(lambda x, keywords=keywords: np.clip(x, **keywords), x)
    check(lambda x: x.clip(min=3, max=6), x)
    check(lambda x, low, high: np.clip(x, a_min=low, a_max=high), x, 2, x[::-1])


# --- numba ---------------------------------------------------------------------------------------


def test_numba_8085_the_first_call_of_a_fresh_process() -> None:
    """numba#8085: seconds to load what was compiled before. Here nothing is compiled or loaded."""
    code = """
import time, numpy as np
begin = time.process_time()
import ufuse as uf
f = uf.fuse(lambda a, b: np.where(a > b, np.exp(a), np.sqrt(b)).sum(axis=0) * 2)
f(np.ones((30, 40)), np.ones(40))
print(time.process_time() - begin)
"""
    assert min(float(in_a_fresh_process(code)[0]) for _ in range(2)) < 0.8


def test_numba_3980_local_variables_do_not_part_what_is_fused() -> None:
    """numba#3980, #6387: names for parts of an expression cost passes over memory there."""

    def in_one_line(x: Any) -> Any:
        return np.sin(x) ** 2 + np.cos(x) ** 2

    def by_names(x: Any) -> Any:
        a = np.sin(x)
        b = np.cos(x)
        a = a**2
        b **= 2
        total = a + b
        return total

    x = RNG.random(1000)
    first, second = uf.fuse(in_one_line), uf.fuse(by_names)
    assert len(first.program(x).instructions) == len(second.program(x).instructions) == 5
    np.testing.assert_array_equal(first(x), second(x))
    assert len(second.explain(x).passes) == 1
    if NATIVE:
        large = RNG.random(500_000)
        out = np.empty_like(large)
        assert peak_of(lambda: second(large, out=out)) < large.nbytes // 10


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sqrt(x) + 1,
        lambda x: x.sum(axis=0),
        lambda x: x - x.mean(axis=1, keepdims=True),
        lambda x: np.einsum("ij,kj->ik", x, x),
    ],
    ids=["map", "reduction", "rows", "contraction"],
)
def test_numba_9288_first_calls_from_many_threads_at_once(function: Callable[..., Any]) -> None:
    """numba#9288, #10565, #8563: the process aborts. All begin together, before any trace."""
    x = RNG.random((400, 300))
    fused = uf.fuse(function)
    barrier, results = threading.Barrier(6), []

    def caller() -> None:
        barrier.wait(60)
        with uf.threads(2):
            results.append(fused(x))

    callers = [threading.Thread(target=caller) for _ in range(6)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(120)
    assert len(results) == 6
    np.testing.assert_allclose(results[0], function(x), rtol=1e-12, atol=1e-12)
    assert len({r.tobytes() for r in results}) == 1


# --- NumPy, of what is computed inside of a fused function --------------------------------------


@native_only
def test_numpy_8480_mean_of_what_is_computed_over_two_axes() -> None:
    """numpy#8480, numba#9679: no temporary, and NumPy's value."""
    image = RNG.random((500, 501, 3), dtype=np.float32)
    fused = uf.fuse(lambda image: np.mean(image * 2 - 1, axis=(0, 1)))
    np.testing.assert_allclose(
        fused(image), np.mean(image * np.float64(2) - 1, axis=(0, 1)), rtol=1e-6
    )
    assert len(fused.explain(image).passes) == 1
    assert peak_of(lambda: fused(image)) < image.nbytes // 10


def test_numpy_22956_float32_sums_of_what_is_computed() -> None:
    """numpy#22956, #29772: they stick at 2**24 along axis 0."""
    x = np.broadcast_to(np.float32(0.5), (2**24 + 64, 2))
    assert uf.fuse(lambda x: np.sum(x * 2, axis=0))(x).tolist() == [2**24 + 64] * 2


@native_only
def test_numpy_13199_variance_of_what_is_computed() -> None:
    """numpy#13199, #6231: temporaries of the size of the input."""
    x = RNG.random((2000, 300), dtype=np.float32)
    fused = uf.fuse(lambda x: np.var(x * 3, axis=0))
    assert peak_of(lambda: fused(x)) < x.nbytes // 10
    np.testing.assert_allclose(fused(x), np.var(x * np.float64(3), axis=0), rtol=1e-5)


def test_numpy_8217_float16_sums_of_what_is_computed() -> None:
    """numpy#8217, #15785: they overflow, or stick."""
    x = np.full(70_000, 0.5, np.float16)
    assert uf.fuse(lambda x: np.mean(x * 2))(x) == 1


@native_only
def test_numpy_9182_argmax_of_what_is_computed() -> None:
    x = RNG.random((3000, 200), dtype=np.float32)
    fused = uf.fuse(lambda x: np.argmax(-x, axis=0))
    np.testing.assert_array_equal(fused(x), np.argmax(-x, axis=0))
    assert peak_of(lambda: fused(x)) < x.nbytes // 10
