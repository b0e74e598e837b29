"""Reductions against NumPy: dtypes, shapes, layouts, axes, outputs, masks, and errors."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ufuse as uf
from ufuse.catalogue import ELEMENT_TYPES

DTYPES = [row.dtype for row in ELEMENT_TYPES]
NUMBERS = [dtype for dtype in DTYPES if dtype.kind != "b"]
FUNCTIONS = ["sum", "prod", "mean", "var", "std", "min", "max"]
# Around the 16 lanes, the 128 elements that make a group and the 1024 of a chunk.
SHAPES = [(), (1,), (3,), (16,), (17,), (129,), (1023,), (1025,), (5, 7), (130, 33), (4, 1, 40)]
SHAPES += [(2100, 3), (3, 2100), (3, 4, 5, 6, 2), (20, 129, 18)]


def sample(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    if dtype.kind == "f":
        return (rng.standard_normal(shape) + 3).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.6
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def layouts(x: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Hold the same elements in every way memory can."""
    strided = np.zeros(tuple(2 * n + 1 for n in x.shape), x.dtype)
    view = strided[tuple(slice(1, None, 2) for _ in x.shape)]
    view[...] = x
    back = tuple(slice(None, None, -1) for _ in x.shape)
    memory = np.zeros(x.nbytes + 1, np.uint8)
    unaligned = np.ndarray(x.shape, x.dtype, memory.data, offset=1)
    unaligned[...] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    order = tuple(reversed(range(x.ndim)))
    shuffled = order[1:] + order[:1]
    return {
        "C": x,
        "F": np.asfortranarray(x),
        "transposed": np.ascontiguousarray(x.transpose(shuffled)).transpose(np.argsort(shuffled)),
        "strided": view,
        "reversed": np.ascontiguousarray(x[back])[back],
        "unaligned": unaligned,
        "swapped": x.astype(x.dtype.newbyteorder()),
        "read-only": read_only,
    }


def all_axes(ndim: int) -> list[Any]:
    axes: list[Any] = [None]
    for count in range(ndim + 1):
        axes += itertools.combinations(range(ndim), count)
    return axes


def reference(name: str, x: np.ndarray[Any, Any], **keywords: Any) -> Any:
    """NumPy's result; floats in float64, rounded once, as the contract says."""
    native = x.astype(x.dtype.newbyteorder("="))
    with np.errstate(all="ignore"):
        if x.dtype.kind == "f" and name in ("sum", "prod", "mean", "var", "std"):
            result = getattr(np, name)(native.astype(np.float64), **keywords)
            return np.asarray(result).astype(native.dtype)[()]
        return getattr(np, name)(native, **keywords)


def check(name: str, x: np.ndarray[Any, Any], **keywords: Any) -> None:
    expected = reference(name, x, **keywords)
    result = getattr(uf, name)(x, **keywords)
    assert np.asarray(result).dtype == np.asarray(expected).dtype
    assert np.shape(result) == np.shape(expected)
    if name in ("min", "max", "argmin", "argmax") or (
        name in ("sum", "prod") and np.asarray(expected).dtype.kind in "iu"
    ):
        np.testing.assert_array_equal(result, expected)
    else:
        tolerance = 2e-7 if np.asarray(expected).dtype == np.float32 else 1e-12
        scale = np.max(np.abs(x), initial=0) if x.dtype.kind == "f" else 0.0
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=1e-14 * float(scale))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_axis_of_every_shape(name: str, dtype: np.dtype[Any]) -> None:
    for shape in SHAPES:
        x = sample(shape, dtype)
        if name == "prod" and dtype.kind == "f" and x.size > 100:
            continue  # overflows, in an order that differs
        for axis in all_axes(x.ndim):
            check(name, x, axis=axis)
            check(name, x, axis=axis, keepdims=True)


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
@pytest.mark.parametrize("name", ["argmin", "argmax"])
def test_index_of_extremes(name: str, dtype: np.dtype[Any]) -> None:
    for shape in SHAPES:
        x = sample(shape, dtype) if dtype.kind == "f" else sample(shape, dtype) // 40
        for axis in (None, *range(x.ndim)):
            check(name, x, axis=axis)
            check(name, x, axis=axis, keepdims=True)


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i4", "u8", "f4", "f8"])
@pytest.mark.parametrize("shape", [(1300,), (37, 140), (9, 33, 70), (2, 3, 19, 2, 21)], ids=str)
def test_layouts(shape: tuple[int, ...], dtype: str) -> None:
    x = sample(shape, np.dtype(dtype))
    for layout in layouts(x).values():
        for axis in all_axes(x.ndim)[:12]:
            for name in ("sum", "mean", "var", "max"):
                check(name, layout, axis=axis)
        if dtype != "?":
            check("argmin", layout, axis=x.ndim - 1)
            check("argmax", layout)


def test_broadcast_views() -> None:
    row = sample((300,), np.dtype("f4"))
    for x in (np.broadcast_to(row, (40, 300)), np.broadcast_to(row[:, None], (300, 40))):
        for axis in (None, 0, 1):
            for name in ("sum", "var", "min", "argmax"):
                check(name, x, axis=axis)


@pytest.mark.parametrize("name", [*FUNCTIONS, "argmin", "argmax"])
def test_special_values(name: str) -> None:
    values = np.array([1.0, np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, 5e-324])
    for chosen in itertools.permutations(values, 3):
        for length in (3, 40, 1100):
            x = np.ones((length, 17))
            x[[0, length // 2, -1], 5] = chosen
            if name == "prod" and length > 3:
                continue
            for axis in (0, None):
                expected = reference(name, x, axis=axis)
                result = getattr(uf, name)(x, axis=axis)
                if name in ("var", "std", "prod"):
                    # Squares of 1e300 overflow in another place; infinity and NaN both say so.
                    np.testing.assert_array_equal(np.isfinite(result), np.isfinite(expected))
                else:
                    np.testing.assert_array_equal(result, expected)


def test_negative_zeros() -> None:
    x = np.full(40, -0.0, np.float32)
    assert not np.signbit(uf.sum(x)) and not np.signbit(np.sum(x))
    assert np.signbit(uf.min(np.array([0.0, -0.0]))) and not np.signbit(
        uf.max(np.array([-0.0, 0.0]))
    )


@pytest.mark.parametrize("name", ["sum", "prod", "min", "max", "mean", "var", "std"])
@pytest.mark.parametrize("dtype", ["i2", "u8", "f4", "f8"])
def test_where(name: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    x = sample((45, 130), np.dtype(dtype))
    if name == "prod":
        x = x[:9, :9].copy()
    keywords: dict[str, Any] = {"initial": x.flat[0]} if name in ("min", "max") else {}
    for mask in (rng.random(x.shape) < 0.5, rng.random(x.shape[1]) < 0.5, np.False_, np.True_):
        for axis in (None, 0, 1):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                check(name, x, axis=axis, where=mask, **keywords)
                check(name, np.asfortranarray(x), axis=axis, where=mask, **keywords)


def test_where_ignores_what_it_masks() -> None:
    x = np.array([[1e30, 1.0, np.nan], [np.nan, 2.0, 1e30], [np.inf, 4.0, 5.0]], np.float32)
    mask = np.abs(x) < 10
    for axis in (0, 1, None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            check("var", x, axis=axis, where=mask)
            check("mean", x, axis=axis, where=mask)


@pytest.mark.parametrize("name", ["sum", "prod", "min", "max"])
def test_initial(name: str) -> None:
    for dtype in ("i4", "f4", "f8"):
        x = np.arange(1, 7, dtype=dtype).reshape(2, 3)
        for initial in (0, 3, 10):
            for axis in (None, 0, 1):
                check(name, x, axis=axis, initial=initial)


@pytest.mark.parametrize("name", ["sum", "prod"])
def test_dtype(name: str) -> None:
    for source in ("?", "i1", "u4", "i8", "u8", "f4", "f8"):
        x = np.ones((3, 5), source)
        if name == "sum":
            x = (sample((3, 5), np.dtype(source)) % 7).astype(source)  # so that float16 holds it
        for target in ("i1", "i4", "u8", "f4", "f8", "c16", "f2"):
            with np.errstate(all="ignore"):
                expected = getattr(np, name)(x, axis=1, dtype=target)
            result = getattr(uf, name)(x, axis=1, dtype=target)
            assert result.dtype == expected.dtype
            if not (source == "f8" and target in ("i1", "i4", "u8")):
                np.testing.assert_allclose(result, expected, rtol=2e-3 if target == "f2" else 1e-6)


def test_sum_of_64_bit_integers_as_float_does_not_wrap() -> None:
    x = np.full(10, 2**63 - 1)
    assert uf.mean(x) == 2.0**63
    assert uf.sum(x, dtype=np.float64) == 10 * 2.0**63


# --- outputs ---


@pytest.mark.parametrize("name", ["sum", "mean", "std", "max"])
def test_out(name: str) -> None:
    x = sample((33, 40, 50), np.dtype("f4"))
    for axis in (0, 1, (0, 2), (1, 2)):
        expected = reference(name, x, axis=axis)
        wide = np.zeros(tuple(2 * n for n in expected.shape), np.float32)
        every_other = wide[tuple(slice(None, None, -2) for _ in expected.shape)]
        swapped = np.zeros(expected.shape, ">f4")
        double = np.zeros(expected.shape)
        for out in (np.zeros_like(expected), every_other, swapped, double):
            assert getattr(uf, name)(x, axis=axis, out=out) is out
            np.testing.assert_allclose(out, expected, rtol=3e-7)
    out = np.zeros((1, 40, 1), np.float32)
    assert getattr(uf, name)(x, axis=(0, 2), keepdims=True, out=out) is out
    np.testing.assert_allclose(out[0, :, 0], reference(name, x, axis=(0, 2)), rtol=3e-7)


def test_out_may_overlap_the_input() -> None:
    x = sample((60, 60), np.dtype("f4"))
    for function in (uf.sum, uf.var, uf.max):
        expected = function(x, axis=0)
        for target in (lambda y: y[0], lambda y: y[:, 3], lambda y: y[59, ::-1]):
            y = x.copy()
            function(y, axis=0, out=target(y))
            np.testing.assert_array_equal(target(y), expected)


@pytest.mark.parametrize("name", [*FUNCTIONS, "argmax"])
def test_nothing_is_written_where_validation_fails(name: str) -> None:
    x = np.ones((3, 4))
    function = getattr(uf, name)
    wrong = np.full((5,), 7.0 if name != "argmax" else 7)
    read_only = np.full((4,), 7.0)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match=rf"ufuse\.{name}.*'out'.*\(4,\).*\(5,\)"):
        function(x, axis=0, out=wrong)
    with pytest.raises(ValueError, match="read-only"):
        function(x, axis=0, out=read_only)
    with pytest.raises(TypeError, match=rf"ufuse\.{name}: argument 'out'"):
        function(x, axis=0, out=np.full(4, 7, np.int8))
    assert (wrong == 7).all() and (read_only == 7).all()


# --- errors and warnings ---


@pytest.mark.parametrize("name", [*FUNCTIONS, "minmax", "argmin"])
def test_axis_errors(name: str) -> None:
    x = np.ones((3, 4))
    function = getattr(uf, name)
    for axis in (2, -3):
        with pytest.raises(np.exceptions.AxisError, match=rf"ufuse\.{name}.*axis {axis} is out"):
            function(x, axis=axis)
    with pytest.raises(TypeError, match="'axis'"):
        function(x, axis=1.0)
    if name == "argmin":
        with pytest.raises(TypeError, match="'axis'"):
            function(x, axis=(0, 1))
    else:
        with pytest.raises(ValueError, match="duplicate"):
            function(x, axis=(0, -2))


def test_where_errors() -> None:
    with pytest.raises(TypeError, match=r"ufuse\.sum: argument 'where': expected an array of bool"):
        uf.sum(np.ones(3), where=np.ones(3))
    with pytest.raises(ValueError, match="broadcasts"):
        uf.sum(np.ones(3), where=np.ones(4, bool))
    with pytest.raises(ValueError, match="initial"):
        uf.min(np.ones(3), where=np.ones(3, bool))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (0, 0), (2, 0, 5)], ids=str)
def test_empty(shape: tuple[int, ...]) -> None:
    x = np.empty(shape, np.float32)
    for axis in (None, *range(x.ndim)):
        np.testing.assert_array_equal(uf.sum(x, axis=axis), np.sum(x, axis=axis), strict=True)
        np.testing.assert_array_equal(uf.prod(x, axis=axis), np.prod(x, axis=axis), strict=True)
        np.testing.assert_array_equal(
            uf.max(x, axis=axis, initial=2), np.max(x, axis=axis, initial=2), strict=True
        )
        for name in ("min", "max", "argmin", "argmax"):
            try:
                expected = getattr(np, name)(x, axis=axis)
            except ValueError:
                with pytest.raises(ValueError, match=rf"ufuse\.{name}.*(no identity|empty)"):
                    getattr(uf, name)(x, axis=axis)
            else:
                np.testing.assert_array_equal(getattr(uf, name)(x, axis=axis), expected)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            expected = np.asarray(np.mean(x, axis=axis))
            theirs = any("Mean of empty" in str(w.message) for w in caught)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            np.testing.assert_array_equal(np.asarray(uf.mean(x, axis=axis)), expected)
            assert any("Mean of empty" in str(w.message) for w in caught) == theirs


def test_degrees_of_freedom() -> None:
    x = np.array([[1.0, 2.0, 4.0]])
    for ddof in (0, 1, 1.5, 2):
        np.testing.assert_allclose(uf.var(x, axis=1, ddof=ddof), np.var(x, axis=1, ddof=ddof))
        np.testing.assert_allclose(uf.std(x, correction=ddof), np.std(x, ddof=ddof))
    with pytest.warns(RuntimeWarning, match="Degrees of freedom"):
        assert np.isinf(uf.var(x, axis=1, ddof=3)).all()
    with pytest.warns(RuntimeWarning, match="Degrees of freedom"):
        assert np.isnan(uf.var(np.array([1.0]), ddof=1))
    with pytest.raises(ValueError, match="correction"):
        uf.var(x, ddof=1, correction=1)


# --- other dtypes and arguments ---


def test_float16_sums_neither_overflow_nor_stick() -> None:
    x = np.full(200_000, 0.25, np.float16)
    assert uf.mean(x) == 0.25
    assert uf.sum(x, dtype=np.float32) == 50_000
    assert uf.sum(x[:4096]).dtype == np.float16


def test_complex_and_object_take_numpys_way() -> None:
    z = np.array([1 + 2j, 3 - 4j])
    assert uf.sum(z) == np.sum(z)
    assert uf.var(z) == np.var(z) and uf.var(z).dtype == np.float64
    assert uf.sum(np.array([1, 10**30], object)) == 10**30 + 1


def test_sequences_and_scalars() -> None:
    assert uf.sum([1, 2, 3]) == 6 and uf.max(5) == 5
    assert isinstance(uf.sum(np.ones(3)), np.float64)
    assert uf.sum(np.float32(2), axis=0) == 2


def test_minmax() -> None:
    x = sample((50, 70), np.dtype("f4"))
    for axis in (None, 0, 1):
        low, high = uf.minmax(x, axis=axis)
        np.testing.assert_array_equal(low, x.min(axis=axis))
        np.testing.assert_array_equal(high, x.max(axis=axis))
    out = np.zeros(70, np.float32), np.zeros(70, np.float32)
    result = uf.minmax(x, axis=0, out=out)
    assert result.min is out[0] and result.max is out[1]
    np.testing.assert_array_equal(out[1], x.max(axis=0))
    with pytest.raises(TypeError, match=r"ufuse\.minmax: argument 'out'"):
        uf.minmax(x, out=np.zeros(()))
    with pytest.raises(ValueError, match="no identity"):
        uf.minmax(np.empty(0))


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_view(data: st.DataObject) -> None:
    ndim = data.draw(st.integers(1, 4))
    sizes = st.sampled_from([1, 2, 3, 7, 15, 16, 17, 40, 129])
    shape = tuple(data.draw(sizes) for _ in range(ndim))
    if int(np.prod(shape)) > 200_000:
        shape = shape[:2]
    dtype = np.dtype(data.draw(st.sampled_from(["i1", "u2", "i4", "f4", "f8"])))
    steps = tuple(data.draw(st.sampled_from([1, 2, -1, -3])) for _ in shape)
    order = data.draw(st.permutations(range(len(shape))))
    full = sample(tuple(n * abs(s) for n, s in zip(shape, steps, strict=True)), dtype)
    x = full[tuple(slice(None, None, s) for s in steps)].transpose(order)
    axis = tuple(i for i in range(x.ndim) if data.draw(st.booleans()))
    for name in ("sum", "var", "min"):
        check(name, x, axis=axis)


@pytest.mark.parametrize("name", ["sum", "mean", "cumsum", "nansum", "min", "ptp", "median"])
def test_durations_as_numpy(name: str) -> None:
    x = np.array([[1, 2, 5], [7, 0, 3]], "m8[s]")
    got, expected = getattr(uf, name)(x, axis=1), getattr(np, name)(x, axis=1)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def test_the_range_of_dates_is_a_duration() -> None:
    days = np.array(["2020-01-01", "2020-03-01"], "M8[D]")
    assert uf.ptp(days) == np.timedelta64(60, "D")


def test_index_in_a_complex_scalar() -> None:
    assert uf.argmax(np.complex64(1 + 1j), axis=0) == 0
    assert uf.argmin(np.complex64(1 + 1j), axis=-1) == 0
