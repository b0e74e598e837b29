"""Exponentials, logarithms, hyperbolic functions: special values, symmetries, error bounds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import ufuse as uf
from exact_exponentials import EXACT
from test_catalogue import program, ulps
from ufuse import executors
from ufuse.catalogue import OPERATIONS, Operation
from ufuse.executors import reference

ROWS = {row.name: row for row in OPERATIONS}
CODES = ("f4", "f8")
INF, NAN = np.inf, np.nan

#: Function to argument and result. Of a zero the sign counts, too.
SPECIAL = {
    "exp": [(0, 1), (-0.0, 1), (INF, INF), (-INF, 0), (NAN, NAN), (1e4, INF), (-1e4, 0)],
    "exp2": [(0, 1), (INF, INF), (-INF, 0), (NAN, NAN), (10, 1024), (-3, 0.125), (-1e4, 0)],
    "expm1": [(0, 0), (-0.0, -0.0), (INF, INF), (-INF, -1), (NAN, NAN), (-1e4, -1), (1e4, INF)],
    "log": [(0, -INF), (-0.0, -INF), (1, 0), (-1, NAN), (INF, INF), (-INF, NAN), (NAN, NAN)],
    "log2": [(0, -INF), (-0.0, -INF), (1, 0), (8, 3), (-1, NAN), (INF, INF), (NAN, NAN)],
    "log10": [(0, -INF), (-0.0, -INF), (1, 0), (1e8, 8), (-1, NAN), (INF, INF), (NAN, NAN)],
    "log1p": [(0, 0), (-0.0, -0.0), (-1, -INF), (-2, NAN), (INF, INF), (-INF, NAN), (NAN, NAN)],
    "sinh": [(0, 0), (-0.0, -0.0), (INF, INF), (-INF, -INF), (NAN, NAN), (1e4, INF), (-1e4, -INF)],
    "cosh": [(0, 1), (-0.0, 1), (INF, INF), (-INF, INF), (NAN, NAN), (-1e4, INF)],
    "tanh": [(0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), (NAN, NAN), (30, 1), (-30, -1)],
    "asinh": [(0, 0), (-0.0, -0.0), (INF, INF), (-INF, -INF), (NAN, NAN)],
    "acosh": [(1, 0), (0.5, NAN), (-2, NAN), (INF, INF), (-INF, NAN), (NAN, NAN)],
    "atanh": [(0, 0), (-0.0, -0.0), (1, INF), (-1, -INF), (1.5, NAN), (-INF, NAN), (NAN, NAN)],
    "softplus": [(INF, INF), (-INF, 0), (NAN, NAN), (-1e4, 0), (100, 100)],
    "log_sigmoid": [(INF, -0.0), (-INF, -INF), (NAN, NAN), (1e4, -0.0), (-100, -100)],
    "logit": [(0, -INF), (-0.0, -INF), (1, INF), (0.5, 0), (-1, NAN), (INF, NAN), (NAN, NAN)],
    "sigmoid": [(0, 0.5), (INF, 1), (-INF, 0), (NAN, NAN), (-1e4, 0)],
}  # fmt: skip
ODD = ("sinh", "tanh", "asinh", "atanh")
RISING = sorted(SPECIAL.keys() - {"cosh"})

needs_native = pytest.mark.skipif(
    executors.native is None, reason="the reference executor's errors are NumPy's"
)


def computed(name: str, *inputs: np.ndarray) -> np.ndarray:
    """Run one row of the catalogue."""
    row = ROWS[name]
    code = inputs[0].dtype.str[1:]
    signature = next(s for s in row.signatures if s.output == code)
    out = np.empty(inputs[0].shape, code)
    executors.run_program(program(row, signature), list(inputs), [out])
    return out


def bound(row: Operation) -> float:
    """Return the row's bound; thrice that on v2, which has no fused multiply-add."""
    from ufuse import _core

    return row.ulp * (3 if _core.active_tier() == "v2" else 1)


def exact(row: Operation, *inputs: np.ndarray) -> np.ndarray:
    """Return what a row's reference makes of float32 in float64."""
    with np.errstate(all="ignore"):
        return np.asarray(row.reference(*(a.astype(np.float64) for a in inputs)))


def patterns(stride: int) -> Iterator[np.ndarray]:
    """Yield float32 numbers by their bits, every `stride`-th."""
    step = (1 << 22) * stride
    for first in range(0, 1 << 32, step):
        yield np.arange(first, min(first + step, 1 << 32), stride, np.uint32).view(np.float32)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name: str, code: str) -> None:
    x, want = np.array(SPECIAL[name], code).T
    got = computed(name, np.ascontiguousarray(x))
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got[want == 0]), np.signbit(want[want == 0]))


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", ["logaddexp", "logaddexp2"])
def test_logarithms_of_sums_at_special_values(name: str, code: str) -> None:
    most = float(np.finfo(code).max)
    ends = np.array([INF, -INF, NAN, 0.0, -0.0, 1.0, -2.0, 1e30, -1e30, 1e17, most, -most], code)
    a, b = (np.ascontiguousarray(v.ravel()) for v in np.meshgrid(ends, ends))
    with np.errstate(all="ignore"):
        want = np.asarray(ROWS[name].reference(a, b))
    np.testing.assert_allclose(
        computed(name, a, b), want.astype(code), rtol=float(np.finfo(code).eps)
    )


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", [*ODD, "cosh"])
def test_odd_and_even_functions_have_the_same_bits_on_both_sides(name: str, code: str) -> None:
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.uniform(0, 1, 3000), np.exp(rng.uniform(-90, 85, 3000))]).astype(code)
    right, left = computed(name, x), computed(name, -x)
    np.testing.assert_array_equal(left, right if name == "cosh" else -right)


@needs_native  # NumPy's expm1 of float32 falls
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", RISING)
def test_rising_functions_never_fall(name: str, code: str) -> None:
    low, high = {"acosh": (1, 20), "logit": (0, 1), "log1p": (-1, 50), "atanh": (-1, 1)}.get(
        name, ROWS[name].domain
    )
    near = np.geomspace(1e-30, 1, 2000)
    x = np.concatenate([np.linspace(low, high, 30000), near, -near, 1 + near, 1 - near, 0.5 + near])
    x = np.unique(x[(x >= low) & (x <= high)].astype(code))
    y = computed(name, x)
    assert np.all(y[1:] >= y[:-1])


@needs_native
@pytest.mark.parametrize("name", sorted(SPECIAL))
def test_float32_is_within_the_bound(name: str) -> None:
    row = ROWS[name]
    for x in patterns(1009 * 2):
        assert ulps(computed(name, x), exact(row, x)) <= bound(row)


@needs_native
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SPECIAL))
def test_every_float32_is_within_the_bound(name: str) -> None:
    row = ROWS[name]
    for x in patterns(1):
        assert ulps(computed(name, x), exact(row, x)) <= bound(row)


@needs_native
@pytest.mark.parametrize("name", sorted(EXACT))
def test_float64_is_within_the_bound_where_it_is_hard(name: str) -> None:
    rows = [line.split() for line in EXACT[name].split("\n") if line.strip()]
    x, nearest = (np.array([float.fromhex(row[k]) for row in rows]) for k in (0, 1))
    rest = np.array([float(row[2]) for row in rows])
    got = computed(name, x)
    error = np.abs((got - nearest) / np.spacing(np.abs(nearest)) - rest)
    assert np.all(error <= bound(ROWS[name])), x[np.argmax(error)].hex()


@needs_native
@pytest.mark.parametrize(("name", "base"), [("logaddexp", np.e), ("logaddexp2", 2)])
def test_logarithms_of_sums_are_within_the_bound(name: str, base: float) -> None:
    """Float32 where nothing cancels: the larger operand is not negative."""
    row = ROWS[name]
    rng = np.random.default_rng(9)
    larger = np.concatenate([rng.uniform(0, 90, 300_000), np.exp(rng.uniform(-90, 3, 300_000))])
    smaller = larger - rng.exponential(12, larger.size)
    a, b = larger.astype(np.float32), smaller.astype(np.float32)
    assert ulps(computed(name, a, b), exact(row, a, b)) <= bound(row)
    np.testing.assert_array_equal(computed(name, a, b), computed(name, b, a))


def test_softplus_is_a_logarithm_of_a_sum() -> None:
    x = np.linspace(-90, 90, 1001)
    np.testing.assert_allclose(uf.softplus(x), np.logaddexp(x, 0), rtol=1e-15)
    np.testing.assert_array_equal(uf.log_sigmoid(x), -uf.softplus(-x))


def test_logit_undoes_sigmoid() -> None:
    x = np.linspace(-5, 5, 1001)
    np.testing.assert_allclose(uf.logit(uf.sigmoid(x)), x, rtol=1e-13, atol=1e-15)


def test_scipys_ufuncs_are_traced_as_ours() -> None:
    special = pytest.importorskip("scipy.special")
    x = np.linspace(0.01, 0.99, 99)
    for theirs, ours in [("logit", "logit"), ("log_expit", "log_sigmoid"), ("log1p", "log1p"),
                         ("expm1", "expm1"), ("exp2", "exp2")]:  # fmt: skip
        function = getattr(special, theirs)
        fused = uf.fuse(lambda a, function=function: function(a) + 0)
        assert fused.program(x).is_native()
        np.testing.assert_array_equal(fused(x), computed(ours, x))


def test_references_are_right_near_one_half() -> None:
    """The reference of logit is not the difference of logarithms where that cancels."""
    row = ROWS["logit"]
    d = 2.0 ** -np.arange(3, 40, dtype=np.float64)
    want = 4 * d * (1 + 4 * d**2 / 3 + 16 * d**4 / 5 + 64 * d**6 / 7 + 256 * d**8 / 9)
    d, want = d[4:], want[4:]
    out = np.empty_like(d)
    reference.run_program(program(row, row.signatures[-1]), [0.5 + d], [out])
    np.testing.assert_allclose(out, want, rtol=4e-16)
