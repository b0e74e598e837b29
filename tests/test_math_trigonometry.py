"""Trigonometric functions and their inverses: special values, hard arguments, neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from ufuse.catalogue import OPERATIONS

pytestmark = pytest.mark.usefixtures("silent")

UNARY = [np.sin, np.cos, np.tan, np.arcsin, np.arccos, np.arctan]
FUNCTIONS = [*UNARY, np.arctan2]
FUSED = {ufunc: uf.fuse(lambda *args, ufunc=ufunc: ufunc(*args)) for ufunc in FUNCTIONS}
#: Units in the last place that a result may be off.
BOUND = {row.ufunc: row.ulp for row in OPERATIONS if row.ufunc in FUNCTIONS}
NAN, INF, PI = math.nan, math.inf, math.pi


def by_name(function: Any) -> str:
    return str(function.__name__)


def errors(got: np.ndarray, high: np.ndarray, low: Any = 0.0) -> np.ndarray:
    """Units in the last place between `got` and high + low."""
    rounded = np.abs(high).astype(got.dtype)
    return np.abs((got - high) - low) / np.spacing(rounded)


# --- special values ---

SPECIAL: list[tuple[Any, tuple[float, ...], float]] = [
    *((f, (zero,), zero) for f in (np.sin, np.tan, np.arcsin, np.arctan) for zero in (0.0, -0.0)),
    *((f, (x,), NAN) for f in UNARY for x in (NAN, -NAN)),
    *((f, (x,), NAN) for f in (np.sin, np.cos, np.tan) for x in (INF, -INF)),
    *((f, (x,), NAN) for f in (np.arcsin, np.arccos) for x in (INF, -INF, 1.0000002, -2.0, 1e30)),
    *((np.cos, (x,), 1.0) for x in (0.0, -0.0, 1e-30)),
    *((np.arccos, (x,), y) for x, y in ((1, 0.0), (-1, PI), (0.0, PI / 2), (-0.0, PI / 2))),
    *((np.arcsin, (x,), y) for x, y in ((1, PI / 2), (-1, -PI / 2))),
    *(
        (np.arctan, (x,), y)
        for x, y in ((INF, PI / 2), (-INF, -PI / 2), (1, PI / 4), (-1, -PI / 4))
    ),
    *((np.arctan2, (s * 0.0, x), s * 0.0) for s in (1, -1) for x in (0.0, 1e-40, 3.0, INF)),
    *((np.arctan2, (s * 0.0, x), s * PI) for s in (1, -1) for x in (-0.0, -1e-40, -3.0, -INF)),
    *(
        (np.arctan2, (s * y, x), s * PI / 2)
        for s in (1, -1)
        for y in (1e-40, 2.0)
        for x in (0.0, -0.0)
    ),
    *((np.arctan2, (s * INF, x), s * PI / 2) for s in (1, -1) for x in (0.0, -7.0, 1e38)),
    *((np.arctan2, (s * y, INF), s * 0.0) for s in (1, -1) for y in (1e-40, 2.0, 1e38)),
    *((np.arctan2, (s * y, -INF), s * PI) for s in (1, -1) for y in (1e-40, 2.0, 1e38)),
    *(
        (np.arctan2, (s * INF, x), s * y)
        for s in (1, -1)
        for x, y in ((INF, PI / 4), (-INF, 3 * PI / 4))
    ),
    *(
        (np.arctan2, p, NAN)
        for p in ((NAN, 1.0), (1.0, NAN), (NAN, INF), (-INF, NAN), (0.0, NAN), (NAN, 0.0))
    ),
]


@pytest.mark.parametrize("code", ["f4", "f8"])
@pytest.mark.parametrize("function", FUNCTIONS, ids=by_name)
def test_special_values(function: Any, code: str, any_tier: str) -> None:
    """In a register of their own and among ordinary numbers."""
    for _, args, want in (row for row in SPECIAL if row[0] is function):
        for size in (1, 100):
            filled = [np.full(size, 0.75, code) for _ in args]
            for array, arg in zip(filled, args, strict=True):
                array[-1] = arg
            got = FUSED[function](*filled)[-1]
            np.testing.assert_equal(got, np.dtype(code).type(want), err_msg=str(args))
            assert np.isnan(want) or np.signbit(got) == np.signbit(want), args


# --- symmetries ---


def patterns(count: int, seed: int = 0) -> np.ndarray:
    """Bit patterns of float32 at an even stride, and as many moderate numbers."""
    rng = np.random.default_rng(seed)
    step = 2**32 // count
    bits = np.arange(count, dtype=np.uint64) * step + rng.integers(0, step, count).astype(np.uint64)
    usual = rng.uniform(-2, 2, count) * 10.0 ** rng.integers(-2, 4, count)
    x = np.concatenate([bits.astype(np.uint32).view(np.float32), usual.astype(np.float32)])
    x[np.isnan(x)] = np.nan  # a signalling one warns where it is cast
    return x


@pytest.mark.parametrize("code", ["f4", "f8"])
def test_symmetries_hold_to_the_bit(code: str, any_tier: str) -> None:
    x = patterns(20_000).astype(code)
    for function, sign in (
        (np.sin, -1),
        (np.tan, -1),
        (np.arcsin, -1),
        (np.arctan, -1),
        (np.cos, 1),
    ):
        fused = FUSED[function]
        np.testing.assert_array_equal(fused(-x), sign * fused(x))
    y = np.roll(x, 7919)
    angle = FUSED[np.arctan2](y, x)
    np.testing.assert_array_equal(FUSED[np.arctan2](-y, x), -angle)


@pytest.mark.parametrize("code", ["f4", "f8"])
@pytest.mark.parametrize("function", [np.sin, np.cos, np.tan], ids=by_name)
def test_a_huge_neighbour_changes_nothing(function: Any, code: str, any_tier: str) -> None:
    x = np.linspace(-1e5, 1e5, 64).astype(code)
    alone = FUSED[function](x)
    for huge in (2e6, 1e30, np.inf, np.nan):
        for place in range(64):
            mixed = x.copy()
            mixed[place] = huge
            got = FUSED[function](mixed)
            np.testing.assert_array_equal(np.delete(got, place), np.delete(alone, place))
    spread = np.zeros((64, 5), code)
    spread[:, 3] = x
    np.testing.assert_array_equal(FUSED[function](spread[::-1, 3]), alone[::-1])


@pytest.mark.parametrize("function", [np.sin, np.cos], ids=by_name)
def test_results_stay_within_one(function: Any, any_tier: str) -> None:
    """Near the largest and smallest values, where a rounding up would leave the interval."""
    turns = np.arange(-40_000, 40_000) * (np.pi / 2)
    for code in ("f4", "f8"):
        assert np.abs(FUSED[function](turns.astype(code))).max() == 1


@pytest.mark.parametrize("code", ["f4", "f8"])
def test_a_small_angle_is_the_quotient(code: str, any_tier: str) -> None:
    """Also where the remainder is below the smallest number. The reference rounds twice."""
    info = np.finfo(code)
    rng = np.random.default_rng(3)
    low, high = info.minexp - info.nmant, info.maxexp - 1
    top = rng.integers(low, high, 20_000)
    bottom = np.minimum(top + rng.integers(info.nmant // 2 + 4, 2 * high, 20_000), high)
    y = np.ldexp(rng.uniform(1, 2, 20_000).astype(code), top)
    x = np.ldexp(rng.uniform(1, 2, 20_000).astype(code), bottom)
    small = bottom - top > info.nmant // 2 + 3
    y, x = y[small], x[small]
    assert x.size > 10_000
    quotient = y / x
    slack = np.spacing(quotient) * (not NATIVE)
    assert np.all(np.abs(FUSED[np.arctan2](y, x) - quotient) <= slack)
    assert np.all(np.abs(FUSED[np.arctan2](-y, x) + quotient) <= slack)


# --- accuracy ---


@pytest.mark.parametrize("function", UNARY, ids=by_name)
def test_float32_against_float64(function: Any) -> None:
    x = patterns(1_000_000)
    if function in (np.arcsin, np.arccos):
        with np.errstate(all="ignore"):
            x = np.where(np.abs(x) > 1, 1 / x, x)
    x = x[np.isfinite(x)]
    got, want = FUSED[function](x), function(x.astype(np.float64))
    error = errors(got, want)
    assert error.max() <= BOUND[function] + 1e-6, (error.max(), x[error.argmax()])


def test_arctan2_of_float32_against_float64() -> None:
    y, x = patterns(1_000_000), patterns(1_000_000, 1)
    with np.errstate(all="ignore"):
        x[::2] = y[::2] * np.linspace(-4, 4, x[::2].size, dtype=np.float32)
    finite = np.isfinite(x) & np.isfinite(y)
    y, x = y[finite], x[finite]
    error = errors(FUSED[np.arctan2](y, x), np.arctan2(y.astype(np.float64), x.astype(np.float64)))
    assert error.max() <= BOUND[np.arctan2] + 1e-6, (
        error.max(),
        y[error.argmax()],
        x[error.argmax()],
    )


#: Arguments, then the exact value as a sum of two doubles, by mpmath: the doubles nearest to whole
#: quarter turns, below and above the limit of the short reduction; numbers beside which formulas
#: change; where errors were found to be large; powers of two, the smallest and the largest.
HARD = {
    "sin": """
        0x1.6c6cbc45dc8dep+5 0x1p+0 -0x1.04bfe27f01e31p-122
        0x1.39c6fd67805a7p+18 -0x1p+0 0x1.46040ce74732ep-110
        0x1.921fb54442d18p+0 0x1p+0 -0x1.377ce858a5d48p-109
        0x1.b951f1572eba5p+23 -0x1p+0 0x1.ead7c8117d252p-120
        0x1.b951f1572eba5p+24 0x1.f54f5227a4e84p-59 -0x1.01b19345a7a1cp-117
        0x1.6ac5b262ca1ffp+849 0x1p+0 -0x1.2b089ea1e692bp-123
        0x1.6ac5b262ca1ffp+850 -0x1.14ae72e6ba22fp-60 0x1.73eef1477d90ep-117
        0x1.921fb54442d18p-1 0x1.6a09e667f3bccp-1 0x1.7a7fb8d4bd43fp-55
        0x1.921fb54442d19p-1 0x1.6a09e667f3bcdp-1 0x1.3a4e169292f60p-57
        0x1.921fb54442d18p+1 0x1.1a62633145c07p-53 -0x1.f1976b7ed8fbdp-109
        0x1.2d97c7f3321d2p+1 0x1.6a09e667f3bcdp-1 0x1.3267a12a5e3d6p-56
        0x1.9000000000000p+6 -0x1.03425b78c4db8p-1 -0x1.c23d8557420fbp-59
        0x1.fffffffffffffp+19 0x1.526ccb2de52a8p-2 0x1.504f1937c75e9p-59
        0x1p+20 0x1.526ccb2fc8656p-2 -0x1.312bfebafe1dfp-56
        0x1.0f0cf064dd592p+73 -0x1.b453ab76bf397p-1 -0x1.f453790772648p-58
        0x1.fffffffffffffp+1023 0x1.452fc98b34e97p-8 -0x1.27bb193d960dfp-62
        0x1.2bdf8fd90773fp+1 0x1.6edea06ee36a5p-1 -0x1.811d9e929ca8dp-60
        -0x1.956312f4cf4a5p-1 -0x1.6c56b4e5feed8p-1 -0x1.2eb46cbb17c0bp-55
        0x1.5798ee2308c3ap-27 0x1.5798ee2308c3ap-27 -0x1.9ca58cce0be35p-83
        0x0.0000000000001p-1022 0x0.0000000000001p-1022 0
    """,
    "cos": """
        0x1.6c6cbc45dc8dep+5 -0x1.6d61b58c99c43p-61 0x1.d8d2a16b7bd6ep-118
        0x1.39c6fd67805a7p+18 -0x1.988efe18ff83fp-55 -0x1.662d9427328d7p-109
        0x1.921fb54442d18p+0 0x1.1a62633145c07p-54 -0x1.f1976b7ed8fbcp-110
        0x1.b951f1572eba5p+23 -0x1.f54f5227a4e84p-60 0x1.01b19345a7a1cp-118
        0x1.b951f1572eba5p+24 -0x1p+0 0x1.ead7c8117d252p-118
        0x1.6ac5b262ca1ffp+849 -0x1.14ae72e6ba22fp-61 0x1.73eef1477d90ep-118
        0x1.6ac5b262ca1ffp+850 -0x1p+0 0x1.2b089ea1e692bp-121
        0x1.921fb54442d18p-1 0x1.6a09e667f3bcdp-1 -0x1.ec4c7696139d5p-56
        0x1.921fb54442d19p-1 0x1.6a09e667f3bccp-1 0x1.ae2fbf2875bdep-58
        0x1.921fb54442d18p+1 -0x1p+0 0x1.377ce858a5d48p-107
        0x1.2d97c7f3321d2p+1 -0x1.6a09e667f3bccp-1 0x1.4da530b7ba971p-59
        0x1.9000000000000p+6 0x1.b981dbf665fdfp-1 0x1.8fd0cdcd985e8p-55
        0x1.fffffffffffffp+19 0x1.e33ada9352c61p-1 0x1.89a9b70444bdep-57
        0x1p+20 0x1.e33ada92fe2aep-1 -0x1.420bfaf737b2dp-57
        0x1.0f0cf064dd592p+73 0x1.0be2cef01c8f4p-1 -0x1.b2d1bc8018c4fp-55
        0x1.fffffffffffffp+1023 -0x1.fffe62ecfab75p-1 -0x1.e038d934070f1p-56
        0x1.2bdf8fd90773fp+1 -0x1.6524722f5141ep-1 -0x1.8f871199ff029p-56
        -0x1.956312f4cf4a5p-1 0x1.67b954285963ap-1 -0x1.c59c7b9ea70fcp-55
        0x1.5798ee2308c3ap-27 0x1p+0 -0x1.cd2b297d889bcp-55
        0x0.0000000000001p-1022 0x1p+0 0
    """,
    "tan": """
        0x1.6c6cbc45dc8dep+5 -0x1.66b9ebc4850c6p+60 -0x1.b1cb5fca6e9dfp+6
        0x1.39c6fd67805a7p+18 0x1.40d0d167bccd6p+54 0x1.10f8682022cd4p+0
        0x1.921fb54442d18p+0 0x1.d02967c31cdb5p+53 -0x1.f3c72fe49aa2ap-3
        0x1.b951f1572eba5p+23 0x1.057584c429b3ap+59 0x1.ba829972bfe62p+5
        0x1.b951f1572eba5p+24 -0x1.f54f5227a4e84p-59 0x1.01b19345a7a1cp-117
        0x1.6ac5b262ca1ffp+849 -0x1.d9ba9a7975636p+60 0x1.714cf36c65449p+6
        0x1.6ac5b262ca1ffp+850 0x1.14ae72e6ba22fp-60 -0x1.73eef1477d90ep-117
        0x1.921fb54442d18p-1 0x1.fffffffffffffp-1 0x1.cb3b399d747f3p-55
        0x1.921fb54442d19p-1 0x1.0000000000001p+0 -0x1.1a62633145c06p-54
        0x1.921fb54442d18p+1 -0x1.1a62633145c07p-53 0x1.f1976b7ed8fbap-109
        0x1.2d97c7f3321d2p+1 -0x1.0000000000001p+0 0x1.61b1acd85d7d4p-55
        0x1.9000000000000p+6 -0x1.2ca74d62b5d38p-1 0x1.41bccbb510deep-55
        0x1.fffffffffffffp+19 0x1.6692e575533f1p-2 0x1.896171bc23d06p-58
        0x1p+20 0x1.6692e5779206fp-2 0x1.d2e6e7ad9a795p-56
        0x1.0f0cf064dd592p+73 -0x1.a0f79c1b6b257p+0 -0x1.d27810f5737ddp-54
        0x1.fffffffffffffp+1023 -0x1.4530cfe729484p-8 0x1.1c97823bf87a5p-62
        0x1.2bdf8fd90773fp+1 -0x1.06f8f6c4fe4fap+0 -0x1.290932a8581e2p-54
        -0x1.956312f4cf4a5p-1 -0x1.0348bc538d168p+0 -0x1.a16cd75847400p-57
        0x1.5798ee2308c3ap-27 0x1.5798ee2308c3ap-27 0x1.9ca58cce0be35p-82
        0x0.0000000000001p-1022 0x0.0000000000001p-1022 0
    """,
    "arcsin": """
        0x1p-1 0x1.0c152382d7366p-1 -0x1.ee6913347c2a6p-55
        0x1.0000000000001p-1 0x1.0c152382d7367p-1 -0x1.4fff41d06f634p-55
        0x1.fffffffffffffp-2 0x1.0c152382d7365p-1 -0x1.ecefdf34146f4p-58
        0x1.03cb441be7ef8p-1 0x1.1079753e1996dp-1 -0x1.dfc67d2b46131p-56
        0x1.fdd6e04c05921p-2 0x1.0ad60438efc61p-1 -0x1.e636b349832c3p-55
        0x1.fffffffffffffp-1 0x1.921fb50442d18p+0 0x1.1a6263269b15cp-54
        0x1.fffffff800000p-1 0x1.921ce1307600bp+0 -0x1.1afddd5c7ade6p-54
        -0x1p-1 -0x1.0c152382d7366p-1 0x1.ee6913347c2a6p-55
        -0x1.0000000000001p-1 -0x1.0c152382d7367p-1 0x1.4fff41d06f634p-55
        -0x1.fffffffffffffp-2 -0x1.0c152382d7365p-1 0x1.ecefdf34146f4p-58
        -0x1.fffffffffffffp-1 -0x1.921fb50442d18p+0 -0x1.1a6263269b15cp-54
        -0x1.fffffff800000p-1 -0x1.921ce1307600bp+0 0x1.1afddd5c7ade6p-54
        0x1.12e0be826d695p-30 0x1.12e0be826d695p-30 0x1.a68cd9e985016p-93
        0x1p-27 0x1p-27 0x1.5555555555555p-84
        0x0.0000000000001p-1022 0x0.0000000000001p-1022 0
        0x1.dc28f5c28f5c3p-1 0x1.31c50a48f3a76p+0 0x1.1e0f6fc4b1c69p-54
        -0x1.3333333333333p-2 -0x1.380159e14f6ffp-2 0x1.faba2e0185aa0p-56
    """,
    "arccos": """
        0x1p-1 0x1.0c152382d7366p+0 -0x1.ee6913347c2a6p-54
        0x1.0000000000001p-1 0x1.0c152382d7365p+0 -0x1.ecefdf34146f9p-57
        0x1.fffffffffffffp-2 0x1.0c152382d7366p+0 -0x1.8d9d3db6f1f14p-55
        0x1.03cb441be7ef8p-1 0x1.09e2faa536062p+0 -0x1.b6aff60fa2eb3p-56
        0x1.fdd6e04c05921p-2 0x1.0cb4b327caee8p+0 0x1.afb79ac0ead11p-59
        0x1.fffffffffffffp-1 0x1p-26 0x1.5555555555555p-83
        0x1.fffffff800000p-1 0x1.6a09e6686c6acp-15 0x1.0237027b5747cp-72
        -0x1p-1 0x1.0c152382d7366p+1 -0x1.ee6913347c2a6p-53
        -0x1.0000000000001p-1 0x1.0c152382d7366p+1 -0x1.8d9d3db6f1f13p-54
        -0x1.fffffffffffffp-2 0x1.0c152382d7365p+1 0x1.7dc9b29f023ccp-53
        -0x1.fffffffffffffp-1 0x1.921fb52442d18p+1 0x1.1a62632bf06b2p-53
        -0x1.fffffff800000p-1 0x1.921e4b3a5c691p+1 0x1.ffb242ea65710p-53
        0x1.12e0be826d695p-30 0x1.921fb53ff74e9p+0 -0x1.680b061ebd8cbp-54
        0x1p-27 0x1.921fb52442d18p+0 0x1.1a62632bf06b2p-54
        0x0.0000000000001p-1022 0x1.921fb54442d18p+0 0x1.1a62633145c07p-54
        0x1.dc28f5c28f5c3p-1 0x1.816aabed3ca88p-2 -0x1.d68649b603126p-61
        -0x1.3333333333333p-2 0x1.e0200bbc96ad8p+0 -0x1.9130a13c6ea84p-56
    """,
    "arctan": """
        0x1p-1 0x1.dac670561bb4fp-2 0x1.a2b7f222f65e2p-56
        0x1.0000000000001p-1 0x1.dac670561bb51p-2 0x1.23cb112b988dep-61
        0x1.fdbf487fcb924p-2 0x1.d8f8a8d407aacp-2 0x1.e62e234dbf678p-56
        0x1p+0 0x1.921fb54442d18p-1 0x1.1a62633145c07p-55
        0x1.0000000000001p+0 0x1.921fb54442d19p-1 0x1.1a62633145c05p-55
        0x1.fffffffffffffp-1 0x1.921fb54442d18p-1 -0x1.cb3b399d747f3p-56
        0x1p+1 0x1.1b6e192ebbe44p+0 0x1.b1b466a88828ep-54
        0x1.0000000000001p+1 0x1.1b6e192ebbe45p+0 -0x1.6963ff7bbc7b3p-55
        0x1.fff972474538fp+0 0x1.1b6cc99ff3b1dp+0 0x1.b1a047b2cddb7p-55
        0x1.1c37937e08000p+53 0x1.921fb54442d18p+0 -0x1.65918c9885b6bp-55
        0x1.7e43c8800759cp+996 0x1.921fb54442d18p+0 0x1.1a62633145c07p-54
        0x1p+60 0x1.921fb54442d18p+0 0x1.1662633145c07p-54
        0x1.9c511dc3a41dfp-29 0x1.9c511dc3a41dfp-29 -0x1.6486d7dd08392p-87
        -0x1.e000000000000p+2 -0x1.7030cf9403197p+0 0x1.cbe1896221608p-56
        0x0.0000000000001p-1022 0x0.0000000000001p-1022 0
        0x1p-1022 0x1p-1022 0
    """,
    "arctan2": """
        0x1p+0 -0x1p+0 0x1.2d97c7f3321d2p+1 0x1.a79394c9e8a0ap-54
        0x0.0000000000001p-1022 0x0.0000000000001p-1022 0x1.921fb54442d18p-1 0x1.1a62633145c07p-55
        0x0.0000000000001p-1022 0x1p+0 0x0.0000000000001p-1022 0
        0x1.1ccf385ebc8a0p+1023 0x1.b7cdfd9d7bdbbp-34 0x1.921fb54442d18p+0 0x1.1a62633145c07p-54
        0x1.e42d130773b76p+1023 0x1.e42d130773b76p+1023 0x1.921fb54442d18p-1 0x1.1a62633145c07p-55
        0x0.012688b70e62bp-1022 -0x0.03739a252b281p-1022 0x1.68f095fdf593cp+1 0x1.10419152a6383p-54
        0x0.012688b70e62bp-1022 0x0.024d116e1cc56p-1022 0x1.dac670561bb4fp-2 0x1.a2b7f222f65e2p-56
        0x1.f5c28f5c28f5cp-2 0x1p+0 0x1.d28ce8e859fefp-2 -0x1.eecb10c3230a8p-58
        0x1.0000035afe535p-1 -0x1p+0 0x1.56c6e68db2e45p+1 -0x1.c741fd4a4b070p-53
        0x1.87e92154ef7acp-665 -0x1.c83e7ad4e6efep-632 0x1.921fb5440bd7cp+1 0x1.2d7684540e3b6p-53
        0x1.8000000000000p+1 0x1.56e1fc2f8f359p-997 0x1.921fb54442d18p+0 0x1.1a62633145c07p-54
        -0x0.fd1d7d505cd02p-1022 0x1.cc359e067a349p-1022 -0x1.0174aa53e6ce4p-1 0x1.31508d1e55d8ep-55
        0x1.7e43c8800759cp+996 -0x1.cab7bd666f388p+994 0x1.dcbc9edcbd8dap+0 -0x1.027faf640f10bp-54
        0x0.00000000007e8p-1022 0x1.2a05f20000000p+33 0 0
        0x1p+1 0x1.0000000000001p+1 0x1.921fb54442d17p-1 0x1.1a62633145c09p-55
        0x1.dd55745cbb7edp+514 -0x1.1297872d9cbb5p-515 0x1.921fb54442d18p+0 0x1.1a62633145c07p-54
    """,
}


@pytest.mark.parametrize("function", FUNCTIONS, ids=by_name)
def test_float64_at_hard_arguments(function: Any, any_tier: str) -> None:
    rows = [
        [float.fromhex(x) for x in row.split()]
        for row in HARD[function.__name__].split("\n")
        if row.strip()
    ]
    *args, high, low = np.array(rows).T.copy()
    bound = BOUND[function] * (3 if any_tier == "v2" else 1)
    error = errors(FUSED[function](*args), high, low)
    assert error.max() <= bound, (error.max(), [float(a[error.argmax()]) for a in args])


_CHUNK = 1 << 24


@pytest.mark.slow
@pytest.mark.parametrize("function", UNARY, ids=by_name)
def test_every_float32(function: Callable[..., Any]) -> None:
    bits = np.arange(_CHUNK, dtype=np.uint32)
    worst = 0.0
    for first in range(0, 1 << 32, _CHUNK):
        x = (bits + np.uint32(first)).view(np.float32)
        with np.errstate(all="ignore"):
            got, want = FUSED[function](x), function(x.astype(np.float64))
            np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
            worst = max(worst, float(np.nanmax(errors(got, want), initial=0.0)))
    assert worst <= BOUND[function] + 1e-6
