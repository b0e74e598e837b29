"""Low-precision floats, bit by bit: against ml_dtypes, and against a search among all values."""

from __future__ import annotations

import numpy as np
import pytest

import ufuse as uf
from float_forms import FLOAT_BY_NAME, FLOATS, Form, decode, dtype_of, encode
from ufuse.catalogue.floats import ROUNDINGS

ml_dtypes = pytest.importorskip("ml_dtypes")

forms = pytest.mark.parametrize("form", FLOATS, ids=lambda form: form.name)
INF = np.float32(np.inf)


def every_code(form: Form) -> np.ndarray:
    return np.arange(1 << form.bits).astype(np.uint16 if form.bits > 8 else np.uint8)


def finite_values(form: Form) -> np.ndarray:
    """All finite values, ascending, each once, as float64."""
    values = decode(every_code(form), form)
    return np.unique(values[np.isfinite(values)].astype(np.float64))


def boundaries(form: Form) -> np.ndarray:
    """Values, the middles between them, where overflow begins, and what is beside all these."""
    values = finite_values(form)
    step = values[-1] - values[-2]
    ends = values[-1] + step * np.array([0.25, 0.5, 0.75, 1, 1.5, 2])
    middle = np.concatenate([values, (values[1:] + values[:-1]) / 2, ends, -ends])
    with np.errstate(over="ignore"):
        exact = middle.astype(np.float32)
    return np.concatenate([exact, np.nextafter(exact, INF), np.nextafter(exact, -INF)])


def patterns() -> np.ndarray:
    """float32 of every bfloat16, with a few endings, and random ones."""
    upper = np.arange(1 << 16, dtype=np.uint32) << 16
    random = np.random.default_rng(1).integers(0, 1 << 32, 100_000, dtype=np.uint32)
    return np.concatenate([*(upper | low for low in (0, 1, 0x8000, 0xFFFF)), random]).view("f4")


def astype(x: np.ndarray, form: Form) -> np.ndarray:
    with np.errstate(all="ignore"):
        if form.name == "float16":  # NumPy keeps payloads of NaN
            x = np.where(np.isnan(x), np.copysign(x.dtype.type(np.nan), x), x)
        return x.astype(dtype_of(form)).view(np.uint16 if form.bits > 8 else np.uint8)


@forms
def test_the_table(form):
    info = ml_dtypes.finfo(dtype_of(form))
    assert form.maximum == float(info.max)
    assert form.mantissa_bits == info.nmant
    assert form.bits == info.bits
    if form.has_zero:
        assert decode(np.array([1]), form) == np.float32(info.smallest_subnormal)


@forms
def test_decode(form):
    with np.errstate(all="ignore"):
        want = every_code(form).view(dtype_of(form)).astype(np.float32)
    got = decode(every_code(form), form)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got)[got == 0], np.signbit(want)[want == 0])


@forms
@pytest.mark.parametrize("numbers", [boundaries, lambda form: patterns()], ids=["edges", "all"])
def test_encode_is_ml_dtypes(form, numbers):
    x = numbers(form)
    got = encode(x, form, saturate=False)
    np.testing.assert_array_equal(got, astype(x, form))
    assert got.dtype == (np.uint16 if form.bits > 8 else np.uint8)


@forms
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("saturate", [True, False])
def test_round_trip(form, rounding, saturate):
    """A value of the format stays, whatever the mode."""
    codes = every_code(form)
    codes = codes[np.isfinite(decode(codes, form))]
    random = np.full(codes.shape, 0xFFFFFFFF, np.uint32)
    for dtype in (np.float32, np.float64):
        x = decode(codes, form).astype(dtype)
        np.testing.assert_array_equal(encode(x, form, rounding, saturate, random), codes)


def search(x: np.ndarray, form: Form, rounding: str) -> np.ndarray:
    """Round by looking among all values: of those around x, the one that the mode says."""
    values = finite_values(form)
    magnitudes = values[values >= 0]
    below = np.searchsorted(magnitudes, np.abs(x), side="right") - 1
    lower = magnitudes[np.maximum(below, 0)]
    upper = magnitudes[np.minimum(below + 1, len(magnitudes) - 1)]
    middle = (lower + upper) / 2  # exact
    outwards = x > 0 if rounding == "up" else x < 0
    # codes of magnitudes count up with them, and their last bit is that of the mantissa; but
    # without mantissa and zero, code c is 1 times a power: odd
    even = below % 2 == 0 if form.has_zero else np.zeros(below.shape, bool)
    away = {
        "half_even": (np.abs(x) > middle) | ((np.abs(x) == middle) & ~even),
        "half_away": np.abs(x) >= middle,
        "toward_zero": np.zeros(x.shape, bool),
    }.get(rounding, outwards)
    away = away & (np.abs(x) > lower)
    return np.copysign(np.where(away, upper, lower), x)


def test_values_are_counted_by_their_codes():
    """What `search` relies on."""
    for form in FLOATS:
        values = finite_values(form)
        np.testing.assert_array_equal(
            decode(np.arange(form.largest + 1), form), values[values >= 0].astype(np.float32)
        )


@forms
@pytest.mark.parametrize("rounding", ROUNDINGS[:-1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_encode_is_the_search(form, rounding, dtype):
    rng = np.random.default_rng(2)
    largest, smallest = form.maximum, finite_values(form)[-1] if form.has_zero else 2.0**-126
    x = boundaries(form).astype(np.float64)
    spread = np.exp(rng.uniform(np.log(1e-9), np.log(largest), 20_000))
    x = np.concatenate([x, spread, -spread])
    if dtype == np.float64:  # beside the boundaries by less than float32 can say
        x = np.concatenate(
            [x, np.nextafter(x, np.inf), np.nextafter(x, -np.inf), x * (1 + 2.0**-40)]
        )
    x = x[np.isfinite(x) & (np.abs(x) <= largest)].astype(dtype)
    if not form.signed:
        x = x[x >= smallest]
    got = decode(encode(x, form, rounding, saturate=False), form)
    want = search(x.astype(np.float64), form, rounding)
    np.testing.assert_array_equal(got, want.astype(np.float32))


@pytest.mark.parametrize("name", ["float8_e4m3fn", "bfloat16", "float4_e2m1fn", "float16"])
def test_float64_is_rounded_once(name):
    """Just above a tie float32 sees the tie, and goes to even (ml_dtypes does so)."""
    form = FLOAT_BY_NAME[name]
    values = finite_values(form)
    values = values[(values >= 1) & (values <= 2)]
    ties = (values[1:] + values[:-1]) / 2
    for x in (ties * (1 + 2.0**-40), ties * (1 - 2.0**-40)):
        got = decode(encode(x, form), form)
        np.testing.assert_array_equal(got, values[1:] if x[0] > ties[0] else values[:-1])
        assert (got != decode(encode(x.astype(np.float32), form), form)).any()


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e4m3fnuz", "float4_e2m1fn"])
@pytest.mark.parametrize("through", ["float16", "bfloat16"])
def test_going_through_another_format_rounds_twice(name, through):
    form, between = FLOAT_BY_NAME[name], FLOAT_BY_NAME[through]
    x = np.random.default_rng(3).normal(0, 1, 200_000).astype(np.float32)
    twice = encode(decode(encode(x, between), between), form)
    assert (twice != encode(x, form)).any()


@forms
def test_saturation(form):
    """Overflow and infinity to the largest, NaN as without."""
    x = np.float32([3e38, INF, np.finfo(np.float32).max])
    largest = form.largest
    for dtype in (np.float32, np.float64):
        np.testing.assert_array_equal(encode(x.astype(dtype), form)[1:], [largest] * 2)
        if form.signed:
            negative = largest | 1 << form.magnitude_bits
            np.testing.assert_array_equal(encode(-x.astype(dtype), form)[1:], [negative] * 2)
    np.testing.assert_array_equal(encode(np.float64([1e300, 2.0**1023]), form), [largest] * 2)
    nan = np.float32([np.nan, -np.nan])
    np.testing.assert_array_equal(encode(nan, form), astype(nan, form))
    np.testing.assert_array_equal(encode(nan.astype(np.float64), form), astype(nan, form))
    inside = boundaries(form)
    inside = inside[(np.abs(inside) <= form.maximum) & ((inside != 0) | form.has_zero)]
    np.testing.assert_array_equal(encode(inside, form), astype(inside, form))


@forms
@pytest.mark.parametrize("rounding", ["toward_zero", "down", "up"])
def test_overflow_of_directed_rounding(form, rounding):
    """Towards zero it stops at the largest finite number; infinity does not."""
    end = decode(np.array([form.largest]), form)[0]
    beyond = form.infinity if form.infinity is not None else form.quiet_nan
    outer = form.largest if beyond is None else beyond
    x = np.float64([form.maximum * 4, np.inf])
    stops = rounding != "up"
    np.testing.assert_array_equal(
        encode(x, form, rounding, saturate=False), [form.largest if stops else outer, outer]
    )
    if form.signed:
        sign = 1 << form.magnitude_bits
        stops = rounding != "down"
        np.testing.assert_array_equal(
            encode(-x, form, rounding, saturate=False),
            [(form.largest if stops else outer) | sign, outer | sign],
        )
    assert end == form.maximum


def test_e8m0():
    """No zero, no sign: zero is the smallest number where saturation is asked for, else NaN."""
    form = FLOAT_BY_NAME["float8_e8m0fnu"]
    x = np.float32([0, -0.0, -1, -np.inf, 1e-45, 2.0**-127, 1, 1.5, 3, 2.9])
    np.testing.assert_array_equal(encode(x, form), [0, 0, 255, 255, 0, 0, 127, 128, 129, 128])
    assert list(encode(x, form, saturate=False)[:4]) == [255] * 4
    np.testing.assert_array_equal(encode(np.float32([1.001, 2, 3]), form, "up"), [128, 128, 129])
    np.testing.assert_array_equal(encode(np.float32([1.999, 2, 3]), form, "down"), [127, 128, 128])
    assert encode(np.float64([2.0**-150, 2.0**-1070]), form, "half_even").tolist() == [0, 0]


@forms
def test_stochastic_rounding_is_exact(form):
    """Away from zero in as many of 2**32 cases as the discarded fraction says."""
    values = finite_values(form)
    values = values[values >= (0 if form.has_zero else 2.0**-120)][:300]
    lower, upper = values[:-1], values[1:]
    for eighths in range(8):
        x = lower + (upper - lower) * (eighths / 8)
        for sign in (1, -1) if form.signed else (1,):
            # the last number that does not carry, and the first that does
            threshold = (1 << 32) - (eighths << 29)
            low = np.full(x.shape, threshold - 1, np.uint32)
            got = decode(encode(sign * x, form, "stochastic", random=low), form)
            np.testing.assert_array_equal(sign * got, lower.astype(np.float32))
            if eighths:
                high = np.full(x.shape, threshold, np.uint32)
                got = decode(encode(sign * x, form, "stochastic", random=high), form)
                np.testing.assert_array_equal(sign * got, upper.astype(np.float32))


def test_stochastic_rounding_of_small_fractions():
    """What is far below the last place is rarely rounded away, and zero never."""
    form = FLOAT_BY_NAME["float8_e4m3fn"]
    ones = np.full(3, 0xFFFFFFFF, np.uint32)
    tiny = np.float32([0, 1e-45, 1e-30])
    assert encode(tiny, form, "stochastic", random=ones).tolist() == [0, 0, 0]
    x = np.float32([1, 1 + 2.0**-23, 1 + 2.0**-22])  # a place is 1/8
    assert encode(x, form, "stochastic", random=ones).tolist() == [0x38, 0x39, 0x39]
    below = ones - np.uint32(1 << 12)
    assert encode(x, form, "stochastic", random=below).tolist() == [0x38, 0x38, 0x39]


def test_stochastic_rounding_has_the_right_mean():
    rng = np.random.default_rng(4)
    form = FLOAT_BY_NAME["float4_e2m1fn"]
    x = np.full(100_000, 1.1, np.float32)  # between 1 and 1.5
    random = rng.integers(0, 1 << 32, x.size, dtype=np.uint32)
    mean = decode(encode(x, form, "stochastic", random=random), form).mean(dtype=np.float64)
    assert abs(mean - 1.1) < 5 * 0.2 / np.sqrt(x.size)
    again = [uf.cast(x, dtype_of(form), rounding="stochastic", rng=7) for _ in range(2)]
    np.testing.assert_array_equal(*again)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0), (3, 5)])
def test_shapes(shape):
    form = FLOAT_BY_NAME["float8_e5m2"]
    x = np.random.default_rng(5).normal(0, 1, shape).astype(np.float32)
    assert encode(np.asarray(x), form).shape == shape
    assert decode(encode(np.asarray(x), form), form).shape == shape
    for dtype in (">f4", ">f8"):
        np.testing.assert_array_equal(
            encode(np.asarray(x, dtype), form), encode(np.asarray(x), form)
        )
    if len(shape) == 2:
        np.testing.assert_array_equal(encode(x.T, form), encode(x, form).T)
        np.testing.assert_array_equal(encode(x[::-1, ::2], form), encode(x, form)[::-1, ::2])


LARGEST, INFINITE, NAN = "the largest", np.inf, np.nan
OVERFLOWS = {  # of 1e39 and of infinity, saturated; of both, not saturated; of NaN
    "float64": (1e39, INFINITE, None, NAN),
    "float32": (LARGEST, LARGEST, INFINITE, NAN),
    **dict.fromkeys(
        ["float16", "bfloat16", "float8_e5m2", "float8_e4m3", "float8_e3m4"],
        (LARGEST, LARGEST, INFINITE, NAN),
    ),
    **dict.fromkeys(
        [
            "float8_e4m3fn",
            "float8_e4m3fnuz",
            "float8_e5m2fnuz",
            "float8_e4m3b11fnuz",
            "float8_e8m0fnu",
        ],
        (LARGEST, LARGEST, NAN, NAN),
    ),
    **dict.fromkeys(
        ["float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn"], (LARGEST, LARGEST, LARGEST, 0.0)
    ),
}


@pytest.mark.parametrize("name", OVERFLOWS)
def test_overflow_is_what_the_documentation_says(name):
    """The table of docs/quantization.md; of float64, and of float32 where it reaches."""
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    finite, infinity, wrapped, nan = OVERFLOWS[name]
    most = float(ml_dtypes.finfo(dtype).max)

    def check(x, want, saturate):
        got = uf.cast(x, name, saturate=saturate).astype(np.float64)
        np.testing.assert_array_equal(got, most if want is LARGEST else want)

    huge = np.float64([1e39])
    check(huge, finite, True)
    check(np.float64([np.inf]), infinity, True)
    check(np.float64([np.nan]), nan, True)
    if wrapped is not None:
        check(huge, wrapped, False)
        check(np.float64([np.inf]), wrapped, False)
    if name not in ("float64", "float32"):
        check(np.float32([np.inf, np.inf]), infinity, True)
        check(np.float32([np.inf, np.inf]), wrapped, False)
    negative = np.nan if name == "float8_e8m0fnu" else -most
    if finite is LARGEST:
        np.testing.assert_array_equal(uf.cast(-huge, name).astype(np.float64), negative)
