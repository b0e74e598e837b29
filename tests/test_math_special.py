"""Powers, roots, erfc and the gamma functions: special values, bounds, shapes of the curves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from ufuse.catalogue.operations import BY_NAME
from ufuse.fusion.operations import recorder
from ulp_hard_special import HARD

pytestmark = pytest.mark.usefixtures("silent")

INF, NAN = math.inf, math.nan


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """Fuse a function of arrays that is not one of Python."""

    def call(*arguments: Any) -> Any:
        return function(*arguments)

    return uf.fuse(call)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "power": traced(np.power),
    "hypot": traced(np.hypot),
    "cbrt": traced(np.cbrt),
    "xlogy": traced(recorder("xlogy")),
    "erfc": uf.erfc,
    "gamma": uf.gamma,
    "gammaln": uf.gammaln,
}


def same(got: Any, want: Any) -> bool:
    """Whether numbers are equal, zeros by their sign, NaN to NaN."""
    both = np.isnan(got) & np.isnan(want)
    equal = (got == want) & (np.signbit(got) == np.signbit(want))
    return bool(np.all(both | equal))


# --- special values: C17, annex F, where C has the function; scipy.special's else -----------------

ENDS = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.0, 3.0, -3.0, 2.5, -2.5, INF, -INF, NAN, 5e-324, 1e308,
        -1e308, 2.0**53, -(2.0**53) + 1)  # fmt: skip


@pytest.mark.parametrize("code", ["f4", "f8"])
def test_power_of_every_pair_of_special_values_is_that_of_c(code: str) -> None:
    with np.errstate(all="ignore"):
        ends = np.append(np.unique(np.array(ENDS).astype(code)), np.array(-0.0, code))
        x, y = (side.ravel() for side in np.meshgrid(ends, ends))
        want = np.power(x, y)
    got = FUNCTIONS["power"](x, y)
    special = ~np.isfinite(want) | (want == 0) | (np.abs(want) == 1)
    assert special.sum() > 150
    assert same(got[special], want[special]), (x[special], y[special])


@pytest.mark.parametrize("code", ["f4", "f8"])
@pytest.mark.parametrize(
    ("name", "arguments", "want"),
    [
        ("cbrt", [0.0, -0.0, INF, -INF, NAN, 8, -8], [0.0, -0.0, INF, -INF, NAN, 2, -2]),
        ("erfc", [0.0, -0.0, INF, -INF, NAN], [1, 1, 0.0, 2, NAN]),
        (
            "gamma",
            [0.0, -0.0, INF, -INF, NAN, 1, 2, 3, 4, 5, -1, -2, -1e30],
            [INF, -INF, INF, NAN, NAN, 1, 1, 2, 6, 24, NAN, NAN, NAN],
        ),
        (
            "gammaln",
            [0.0, -0.0, INF, -INF, NAN, 1, 2, -1, -3],
            [INF] * 3 + [-INF, NAN, 0.0, 0.0, INF, INF],
        ),
    ],
)
def test_special_values(name: str, arguments: list[float], want: list[float], code: str) -> None:
    got = FUNCTIONS[name](np.array(arguments, code))
    assert same(got, np.array(want, code)), got


PAIRS = {
    "hypot": [(INF, NAN, INF), (NAN, INF, INF), (-INF, 1, INF), (0.0, -0.0, 0.0), (-0.0, 0.0, 0.0),
              (3, -4, 5), (NAN, 1, NAN)],
    "xlogy": [(0, 0, 0.0), (-0.0, -1, 0.0), (0, INF, 0.0), (0, -INF, 0.0), (0, NAN, NAN),
              (1, 0, -INF), (1, -1, NAN), (2, 1, 0.0), (INF, 2, INF), (NAN, 1, NAN)],
}  # fmt: skip


@pytest.mark.parametrize("code", ["f4", "f8"])
@pytest.mark.parametrize("name", PAIRS)
def test_special_pairs(name: str, code: str) -> None:
    x, y, want = (np.array(side, code) for side in zip(*PAIRS[name], strict=True))
    got = FUNCTIONS[name](x, y)
    assert same(got, want), got


# --- exact operations: NumPy's bits ------------------------------------------------------

EXACT = [np.fmod, np.remainder, np.floor_divide, np.copysign, np.nextafter, np.fmax, np.fmin,
         np.heaviside]  # fmt: skip


@pytest.mark.parametrize("code", ["f4", "f8"])
@pytest.mark.parametrize("ufunc", EXACT, ids=lambda ufunc: ufunc.__name__)
def test_exact_operations_have_the_bits_of_numpy(ufunc: np.ufunc, code: str) -> None:
    rng = np.random.default_rng(5)
    count = 200_000
    bits = [rng.integers(0, 1 << 63, count, dtype=np.uint64) * 2 + 1 for _ in range(2)]
    wild = [
        b.view("f8")[:count].astype(code) if code == "f8" else b.view("f4")[:count] for b in bits
    ]
    tame = [rng.uniform(-50, 50, count).astype(code) for _ in range(2)]
    whole = [np.rint(t) for t in tame]
    ends = np.array([*ENDS, 1e-310, -1e-45], "f8")
    with np.errstate(all="ignore"):
        pairs = [side.ravel().astype(code) for side in np.meshgrid(ends, ends)]
        for x, y in (wild, tame, whole, [tame[0] * 1000, tame[1]], pairs):
            want = ufunc(x, y)
            got = traced(ufunc)(x, y)
            assert same(got, want) or ufunc in (np.fmax, np.fmin)
            np.testing.assert_array_equal(got, want)


def divisors(code: str) -> list[int]:
    """Powers of two and their neighbours, small numbers, ends, and others."""
    limits = np.iinfo(code)
    powers = [1 << k for k in range(limits.bits)]
    near = {p + more for p in powers for more in (-1, 0, 1)} | {-p + 1 for p in powers}
    rng = np.random.default_rng(8)
    spread = rng.integers(limits.min, limits.max, 40, dtype=code, endpoint=True).tolist()
    return sorted(
        d for d in {*near, *spread, *range(-9, 130), limits.min} if limits.min <= d <= limits.max
    )


@pytest.mark.parametrize("code", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
@pytest.mark.parametrize("ufunc", EXACT[:3], ids=lambda ufunc: ufunc.__name__)
def test_division_by_one_number_is_that_of_numpy(ufunc: np.ufunc, code: str) -> None:
    limits = np.iinfo(code)
    rng = np.random.default_rng(7)
    fused = traced(ufunc)
    for d in divisors(code):
        by = np.array(d, code)
        spread = rng.integers(limits.min, limits.max, 400, dtype=code, endpoint=True)
        multiples = rng.integers(0, 99, 200).astype(code) * by
        near = multiples[:, None] + np.array([-1, 0, 1]).astype(code)
        shifted = spread >> rng.integers(0, limits.bits, spread.size).astype(code)
        ends = np.array([limits.min, limits.min + 1, limits.max, 0, 1], code)
        x = np.concatenate([spread, near.ravel(), shifted, ends, np.repeat(by, 3)])
        with np.errstate(all="ignore"):
            want = ufunc(x, by)
            np.testing.assert_array_equal(fused(x, by), want, err_msg=f"by {d}")
    rows = x[: x.size // 5 * 5].reshape(5, -1)
    each = np.array([[1], [3], [limits.max], [0], [2]], code)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(fused(rows, each), ufunc(rows, each))
        np.testing.assert_array_equal(fused(rows[::-1, ::-3], each), ufunc(rows[::-1, ::-3], each))


@pytest.mark.parametrize("code", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
@pytest.mark.parametrize("ufunc", EXACT[:3], ids=lambda ufunc: ufunc.__name__)
def test_division_of_integers_is_that_of_numpy(ufunc: np.ufunc, code: str) -> None:
    limits = np.iinfo(code)
    rng = np.random.default_rng(6)
    x = rng.integers(limits.min, limits.max, 60_000, dtype=code, endpoint=True)
    ends = [0, 1, 2, 3, limits.min, limits.max, limits.max - 1, limits.min + 1]
    x[:64] = np.repeat(np.array(ends, code), 8)
    y = rng.integers(limits.min, limits.max, x.size, dtype=code, endpoint=True)
    y[:64] = np.tile(np.array(ends, code), 8)
    y[1000:30_000] = rng.integers(max(limits.min, -9), 9, 29_000).astype(code)
    near = x[30_000:].astype(object) // 7
    y[30_000:50_000] = near[:20_000].astype(code)  # quotients about 7
    with np.errstate(all="ignore"):
        want = ufunc(x, y)
        by_seven = ufunc(x, np.array(7, code))
    divide = traced(ufunc)
    np.testing.assert_array_equal(divide(x, y), want)
    np.testing.assert_array_equal(divide(x, np.array(7, code)), by_seven)


@pytest.mark.parametrize("code", ["f4", "f8"])
@pytest.mark.parametrize("exponent", ["i4", "i8"])
def test_ldexp_rounds_once(code: str, exponent: str) -> None:
    rng = np.random.default_rng(7)
    x = rng.integers(0, 1 << 63, 100_000, dtype=np.uint64).view("f8")
    x = (x if code == "f8" else x.view("f4")[: x.size]).copy()
    x[:4] = [0.0, -0.0, INF, NAN]
    n = rng.integers(-2300, 2300, x.size).astype(exponent)
    n[4:10] = [2**31 - 1, -(2**31), 2**31 - 1, -(2**31), 0, 1]
    with np.errstate(all="ignore"):
        want = np.ldexp(x, n)
    assert same(traced(np.ldexp)(x, n), want)


def test_multiply_add_rounds_once() -> None:
    """The product's rounding error is what is left of it."""
    fused = traced(recorder("multiply_add"))
    for code, unit in (("f4", 2.0**-12), ("f8", 2.0**-27)):
        x = np.full(5, 1 + unit, code)
        np.testing.assert_array_equal(fused(x, x, -(x * x)), np.full(5, unit * unit, code))


# --- accuracy --------------------------------------------------------------------------------


def error(got: np.ndarray, want: np.ndarray, rest: np.ndarray | float = 0.0) -> np.ndarray:
    """Distance of `got` from ``want + rest``, rounded `want` being of its dtype, in its ULP."""
    with np.errstate(all="ignore"):
        nearest = want.astype(got.dtype)
        step = np.spacing(np.abs(nearest)).astype("f8")
        off = np.abs((got.astype("f8") - want) - rest) / step
    return np.where(np.isfinite(nearest) & np.isfinite(got), off, np.where(got == nearest, 0, INF))


@pytest.mark.parametrize("name", HARD)
def test_hard_points_of_float64(name: str) -> None:
    *arguments, want, rest = (
        np.array([float.fromhex(row[k]) for row in HARD[name]]) for k in range(len(HARD[name][0]))
    )
    got = FUNCTIONS[name](*arguments)
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    off = error(got[finite], want[finite], rest[finite])
    # NumPy's own power, cbrt and hypot are the reference executor's.
    bound = BY_NAME[name].ulp if NATIVE else 3.0
    assert off.max() <= bound, (off, arguments)


_EXACT: dict[str, Callable[..., Any]] = {
    "power": np.power,
    "hypot": np.hypot,
    "cbrt": np.cbrt,
    "erfc": np.frompyfunc(math.erfc, 1, 1),
}


def patterns(seed: int, count: int) -> np.ndarray:
    """Random bit patterns of float32 that are finite."""
    x = np.random.default_rng(seed).integers(0, 1 << 32, count, dtype=np.uint32).view("f4")
    return x[np.isfinite(x)]


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_float32_is_that_of_float64_rounded(name: str) -> None:
    """Two million patterns, by NumPy's float64 or ours, which the points above test."""
    count = 2_000_000 if NATIVE else 100_000  # long doubles are slow
    x = patterns(1, count)
    rng = np.random.default_rng(2)
    arguments = [x]
    if name in ("power", "xlogy", "hypot"):
        y = patterns(3, count)[: x.size]
        x, y = x[: y.size].copy(), y.copy()
        third = x.size // 3
        with np.errstate(all="ignore"):
            if name == "power":  # results that are neither 0 nor infinite
                x[third:] = np.abs(x[third:])
                y[third:] = rng.uniform(-150, 129, x.size - third) / np.log2(x[third:].astype("f8"))
                y[~np.isfinite(y)] = 1
            elif name == "hypot":
                y[third:] = x[third:] * rng.uniform(0, 2, x.size - third)
                y[~np.isfinite(y)] = 1
            else:
                y[third:] = 1 + rng.uniform(-0.5, 0.5, y.size - third) * np.exp2(
                    -rng.integers(0, 24, y.size - third)
                )
        arguments = [x, y]
    else:
        x[: x.size // 2] = rng.uniform(-40, 40, x.size // 2)
    got = FUNCTIONS[name](*arguments)
    wide = [a.astype("f8") for a in arguments]
    with np.errstate(all="ignore"):
        want = np.asarray(_EXACT.get(name, FUNCTIONS[name])(*wide)).astype("f8")
    bound = BY_NAME[name].ulp if NATIVE else 2.0
    off = error(got, want)
    off[np.isnan(got) & np.isnan(want)] = 0
    assert off.max() <= bound, (off.max(), [a[off.argmax()] for a in arguments])


def test_gammaln_about_its_zeros_below_0() -> None:
    """There its error is absolute: within 2**-54 in float64, but in float32 within the bound."""
    zeros = np.array([-2.4570247382208006, -2.7476826467274127, -3.1435808883499798,
                      -3.955294284858598, -4.039361839740537, -4.991544640560048])  # fmt: skip
    x = (zeros[:, None] + np.arange(-200, 201) * 2.0**-30).ravel()
    with np.errstate(all="ignore"):
        want = BY_NAME["gammaln"].reference(x)
    assert np.abs(uf.gammaln(x) - want).max() <= 2.0**-54
    single = (
        (zeros.astype("f4")[:, None] * (1 + np.arange(-50, 51) * 2.0**-23)).astype("f4").ravel()
    )
    want = BY_NAME["gammaln"].reference(single.astype("f8")).astype("f8")
    assert error(uf.gammaln(single), want).max() <= 0.51


# --- shapes of the curves --------------------------------------------------------------------


@pytest.mark.parametrize("code", ["f4", "f8"])
def test_monotone_and_symmetric(code: str) -> None:
    x = np.sort(np.concatenate([np.linspace(-6, 27, 40_000), 2.0 ** np.linspace(-120, 4, 5_000)]))
    x = x.astype(code)
    assert np.all(np.diff(FUNCTIONS["cbrt"](x)) >= 0)
    assert np.all(np.diff(uf.erfc(x[x < 9])) <= 0)
    assert same(FUNCTIONS["cbrt"](-x), -FUNCTIONS["cbrt"](x))
    y = x[::-1].copy()
    assert same(FUNCTIONS["hypot"](x, y), FUNCTIONS["hypot"](-y, x))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cbrt", "erfc", "gamma", "gammaln"])
def test_every_float32(name: str) -> None:
    """All patterns against float64's, of which the error hardly shows."""
    chunk = 1 << 24
    for first in range(0, 1 << 32, chunk):
        x = (np.arange(chunk, dtype=np.uint32) + np.uint32(first)).view("f4")
        got = FUNCTIONS[name](x)
        with np.errstate(invalid="ignore"):  # of signalling NaN
            want = FUNCTIONS[name](x.astype("f8"))
        off = error(got, want)
        off[np.isnan(got) & np.isnan(want)] = 0
        assert off.max() <= BY_NAME[name].ulp, x[off.argmax()]
