"""Contractions that others' users reported as wrong, slow or too large: each by its thread."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from contraction_cases import same, small

native = pytest.mark.skipif(
    not NATIVE, reason="the reference executor is NumPy, as slow and as large"
)


def times(a: Callable[[], Any], b: Callable[[], Any]) -> float:
    """How many times as long `a` takes as `b`: the best of interleaved rounds.

    Bounds on it are wide: the threads tell of factors of 10 to 7000, and other work on the machine
    takes one of two threads from the faster of the two.
    """
    best = [float("inf")] * 2
    for _ in range(7):
        for i, call in enumerate((a, b)):
            begin = time.perf_counter()
            call()
            best[i] = min(best[i], time.perf_counter() - begin)
    return best[0] / best[1]


# --- wrong ---


def test_numpy_10899_float16_sums_of_one_operand() -> None:
    """einsum gave 32770: bits were added as if they were numbers."""
    x, y = np.eye(2, dtype=np.float16), np.ones(2, np.float16)
    for equation, a, b, want in (
        ("i,ji->", y, x, 2),
        ("i,ij->", y, x, 2),
        ("ij,i->", x, y, 2),
        ("ij,ij->", x, x, 2),
        ("i,->", y, np.float16(3), 6),
    ):
        got = uf.einsum(equation, a, b)
        assert got == want and got.dtype == np.float16


def test_numpy_20305_float16_products_below_one() -> None:
    """einsum gave zeros: sums were kept in integers."""
    a = (np.linspace(0, 301, 300).reshape(10, 10, 3) / 301).astype(np.float16)
    matrix = np.array([[0.39, 0.54, 0.0089], [0.07, 0.96, 0.001], [0.02, 0.13, 0.94]], np.float16)
    got = uf.einsum("ij, ...j", matrix, a)
    want = np.einsum("ij,...j", matrix.astype(np.float64), a.astype(np.float64))
    assert got.dtype == np.float16 and got.shape == want.shape and (got != 0).any()
    np.testing.assert_allclose(got, want, rtol=2**-11, atol=2**-24)
    x = np.array([1.764, 0.4001], np.float16)
    assert uf.einsum("i,i->", x, x) == np.float16(np.square(x.astype(np.float64)).sum())
    for size in (1, 4, 7, 16, 33, 70):
        line = (np.arange(size) / 7 + 0.3).astype(np.float16)
        exact = line.astype(np.float64)
        strided = np.repeat(line, 2)[::2]
        for p in (line, strided):
            same(uf.einsum("i,i->i", p, line), (exact * exact).astype(np.float16))
            same(uf.einsum("i,->i", p, np.float16(2)), (2 * exact).astype(np.float16))
            total = uf.einsum("i->", p)
            assert abs(float(total) - exact.sum()) <= exact.sum() * 2**-11


# --- memory ---

_MEASURE = """
import sys
import numpy as np, ufuse as uf
from numpy.lib.stride_tricks import as_strided, sliding_window_view

def memory(name):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) * 1024

{prepare}
small()  # what is imported and made once
before = memory("VmHWM")
result = large()
print(memory("VmHWM") - before - result.nbytes)
"""

_MEMORY = {
    "numpy#12132": """
rng = np.random.default_rng(1)
image, weights = rng.normal(size=(1000, 2000)), rng.normal(size=(30, 40))

def large():  # the view stands for 18 GB
    found = uf.tensordot(sliding_window_view(image, (30, 40)), weights, axes=2)
    for i, j in ((0, 0), (970, 1960), (123, 1234)):
        want = (image[i : i + 30, j : j + 40] * weights).sum()
        assert abs(found[i, j] - want) < 1e-10, (found[i, j], want)
    return found

def small():
    uf.tensordot(sliding_window_view(image[:60, :80], (30, 40)), weights, axes=2)
    (image[:30, :40] * weights).sum()
""",
    "torch#21760": """
rng = np.random.default_rng(2)
b, s, h, k, c = 1, 512, 2, 2048, 32
base = rng.normal(size=(b, h, k + s - 1, c)).astype(np.float32)
weights = rng.normal(size=(b, s, h, k)).astype(np.float32)

def call(weights, s, k):  # the view stands for 268 MB
    windows = as_strided(base, (b, h, k, s, c), (*base.strides[:3], base.strides[2], 4))
    return uf.einsum("bshk,bhksc->bhsc", weights, windows)

def large():
    found = call(weights, s, k)
    want = (weights[0, 7, 1, :, None].astype(np.float64) * base[0, 1, 7 : 7 + k]).sum(0)
    assert np.allclose(found[0, 1, 7], want, atol=1e-2)
    return found

def small():
    call(weights[:, :9, :, :9], 9, 9)
    (weights[0, 7, 1, :, None].astype(np.float64) * base[0, 1, 7 : 7 + k]).sum(0)
""",
}


@native
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to measure by")
@pytest.mark.parametrize("thread", _MEMORY)
def test_windows_are_not_copied(thread: str) -> None:
    """At most 32 MB more than the result: NumPy's tensordot and torch's einsum copy the windows."""
    run = subprocess.run(
        [sys.executable, "-c", _MEASURE.format(prepare=_MEMORY[thread])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    extra = int(run.stdout)
    assert extra <= 32 << 20, f"{extra / 2**20:.0f} MiB"


# --- slow ---


def test_numpy_22604_attention_scores() -> None:
    rng = np.random.default_rng(3)
    x, y = small(rng, (100, 1, 50), np.float64), small(rng, (90, 1, 50), np.float64)
    want = np.einsum("thd,Thd->thT", x, y)
    np.testing.assert_array_equal(uf.einsum("thd,Thd->thT", x, y), want)


@native
def test_numpy_22604_is_as_fast_as_a_matrix_product() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(1000, 1, 500)), rng.normal(size=(1000, 1, 500))
    assert times(
        lambda: uf.einsum("thd,Thd->thT", x, y), lambda: uf.matmul(x[:, 0], y[:, 0].T)
    ) < 4  # fmt: skip


def test_numpy_22604_many_labels() -> None:
    """The contraction of a tensor network that took NumPy 11 minutes, with axes of 2."""
    equation = "kdyzBvhwcqfnbeg,htiAzxobvudBw->ywukbnvizxo"
    rng = np.random.default_rng(4)
    x, y = (
        small(rng, (2,) * len(t), np.float64)
        for t in equation.split("->", maxsplit=1)[0].split(",")
    )
    want = np.einsum(equation, x, y, optimize=True)
    np.testing.assert_array_equal(uf.einsum(equation, x, y), want)
    np.testing.assert_array_equal(uf.einsum(equation, np.flip(x), y.copy("F")),
                                  np.einsum(equation, np.flip(x), y, optimize=True))  # fmt: skip


@native
def test_numpy_22604_many_labels_are_as_fast_as_a_batched_product() -> None:
    """The same in its sizes but the largest: at least within a factor of the arithmetic of `@`."""
    equation = "kdyzBvhwcqfnbeg,htiAzxobvudBw->ywukbnvizxo"
    shapes = (
        (3, 3, 3, 2, 3, 2, 2, 2, 2, 3, 2, 3, 3, 2, 2),
        (2, 2, 3, 3, 2, 3, 3, 3, 2, 3, 3, 3, 2),
    )
    rng = np.random.default_rng(5)
    x, y = (rng.normal(size=shape) for shape in shapes)
    begin = time.perf_counter()
    uf.einsum(equation, x, y)
    took = time.perf_counter() - begin
    assert took < 2, f"{took:.1f} s; NumPy's einsum takes minutes"


def test_numpy_19647_batches() -> None:
    rng = np.random.default_rng(6)
    a = small(rng, (20, 30, 30), np.float64)
    np.testing.assert_array_equal(uf.einsum("qij,qjk->qik", a, a), a @ a)


@native
def test_numpy_19647_einsum_is_as_fast_as_matmul() -> None:
    a = np.random.default_rng(6).normal(size=(100, 100, 100))
    assert times(lambda: uf.einsum("qij,qjk->qik", a, a), lambda: np.matmul(a, a)) < 10


AXES = (((0, 1, 2), (0, 1, 2)), ((1, 2, 0), (1, 2, 0)))


def test_numpy_11940_order_of_axes() -> None:
    x = small(np.random.default_rng(7), (20, 21, 22), np.float64)
    for array in (x, np.moveaxis(x, -1, 0)):
        for axes in AXES:
            assert uf.tensordot(array, array, axes) == np.square(x).sum()


@native
def test_numpy_11940_the_order_of_axes_does_not_matter() -> None:
    """tensordot took 50 times as long for the same axes in another order."""
    x = np.random.default_rng(7).normal(size=(100, 100, 100))
    first, second = (lambda axes=axes: uf.tensordot(x, x, axes) for axes in AXES)
    assert times(second, first) < 10
    turned = np.moveaxis(x, -1, 0)
    assert times(lambda: uf.tensordot(turned, turned, AXES[0]), first) < 10


SPELLINGS = ("abcd,cdef->abef", "abcr,cref->abef", "xyzw,zwuv->xyuv")


def test_numpy_11686_names_of_labels() -> None:
    rng = np.random.default_rng(8)
    u, t = small(rng, (9, 8, 7, 6), np.float64), small(rng, (7, 6, 3, 2), np.float64)
    want = np.tensordot(u, t)
    for equation in SPELLINGS:
        np.testing.assert_array_equal(uf.einsum(equation, u, t), want)


@native
def test_numpy_11686_names_of_labels_and_optimize_do_not_matter() -> None:
    rng = np.random.default_rng(8)
    u, t = rng.normal(size=(20, 20, 40, 40)), rng.normal(size=(40, 40, 4, 4))
    plain = lambda: np.tensordot(u, t)  # noqa: E731
    for equation in SPELLINGS:
        assert times(lambda e=equation: uf.einsum(e, u, t), plain) < 10
        assert times(lambda e=equation: uf.einsum(e, u, t, optimize=False), plain) < 10


def test_numpy_7569_stacks_of_small_products() -> None:
    rng = np.random.default_rng(9)
    for size in (1, 2, 3, 9):
        for name in ("float64", "float32", "complex128"):
            a, b = small(rng, (300, size, size), name), small(rng, (300, size, size), name)
            np.testing.assert_array_equal(uf.matmul(a, b), a @ b)


@native
def test_numpy_7569_stacks_are_not_much_slower_than_numpys() -> None:
    a = np.random.default_rng(9).normal(size=(10_000, 9, 9))
    assert times(lambda: uf.matmul(a, a), lambda: np.matmul(a, a)) < 8


def test_torch_101249_a_tiny_contracted_dimension() -> None:
    rng = np.random.default_rng(10)
    for c in (1, 2, 3, 5):
        a, b = small(rng, (1000, c), np.float32), small(rng, (1000, c), np.float32)
        np.testing.assert_array_equal(uf.einsum("Nc,Nc->N", a, b), (a * b).sum(-1))


@native
def test_torch_101249_is_not_much_slower_than_multiplying_and_summing() -> None:
    rng = np.random.default_rng(10)
    a, b = (rng.normal(size=(1 << 18, 2)).astype(np.float32) for _ in range(2))
    assert times(lambda: uf.einsum("Nc,Nc->N", a, b), lambda: (a * b).sum(-1)) < 6


def test_torch_21760_a_product_by_columns() -> None:
    rng = np.random.default_rng(11)
    x, y = small(rng, (100, 200), np.float32), small(rng, (100, 2, 200), np.float32)
    np.testing.assert_array_equal(uf.einsum("ac,abc->cb", x, y), np.einsum("ac,abc->cb", x, y))


@native
def test_torch_21760_is_not_much_slower_than_numpys() -> None:
    rng = np.random.default_rng(11)
    x = rng.normal(size=(1000, 500)).astype(np.float32)
    y = rng.normal(size=(1000, 2, 500)).astype(np.float32)
    assert times(
        lambda: uf.einsum("ac,abc->cb", x, y), lambda: np.einsum("ac,abc->cb", x, y)
    ) < 10  # fmt: skip


@native
@pytest.mark.parametrize("size", [2, 4, 8, 16])
def test_blis_857_very_small_products(size: int) -> None:
    """One call, strided or not, of what fits into registers: within 8 times NumPy's."""
    rng = np.random.default_rng(12)
    a, b = rng.normal(size=(size, size)), rng.normal(size=(size, size))
    wide = rng.normal(size=(2 * size, 2 * size))[::2, ::2]

    def repeated(call: Callable[..., Any], x: Any, y: Any) -> Callable[[], None]:
        def run() -> None:
            for _ in range(200):
                call(x, y)

        return run

    for x, y in ((a, b), (a, b.T), (wide, wide)):
        assert times(repeated(uf.matmul, x, y), repeated(np.matmul, x, y)) < 8
        np.testing.assert_allclose(uf.matmul(x, y), x @ y, rtol=1e-12, atol=1e-12)


@native
@pytest.mark.parametrize("sizes", [(1024, 1024), (1021, 1031), (600_000, 3)])
def test_offsets_of_long_axes_stay_small(sizes: tuple[int, int]) -> None:
    """Two labels that step differently in operand and result: half a million at a time."""
    first, second = sizes
    x = np.random.default_rng(0).integers(-3, 4, (second, 3, first)).astype(np.float32)
    w = np.random.default_rng(1).integers(-3, 4, (3, 5)).astype(np.float32)
    want = np.einsum("bka,kc->cab", x, w)
    np.testing.assert_array_equal(uf.einsum("bka,kc->cab", x, w), want)
    np.testing.assert_array_equal(uf.einsum("bka,kc->abc", x, w), want.transpose(1, 2, 0))
