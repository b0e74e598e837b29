"""Running sums and products, against NumPy's and the plain definition."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ufuse as uf
from conftest import NATIVE

SCANS = ["cumsum", "cumprod", "nancumsum", "nancumprod"]
AXES = [0, 1, 2, -1, None]
INTEGERS = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
NARROW = [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, ml_dtypes.float8_e4m3fn]


def sample(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> np.ndarray:
    """Numbers near 1 for floats, so that neither products nor sums run away."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.random(shape) < 0.5
    if kind in "iu":
        return rng.integers(0, 5, shape).astype(dtype)
    x = rng.uniform(0.98, 1.02, shape) * rng.choice([-1.0, 1.0], shape)
    if kind == "c":
        x = x + 0.01j * rng.standard_normal(shape)
    return x.astype(dtype)


def layouts(x: np.ndarray) -> dict[str, np.ndarray]:
    padded = np.zeros((2 * x.shape[0], x.shape[1], 3 * x.shape[2]), x.dtype)
    padded[::2, :, ::3] = x
    unaligned = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    made = {
        "C": x,
        "F": np.asfortranarray(x),
        "strided": padded[::2, :, ::3],
        "reversed": np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
        "inner axis first": np.ascontiguousarray(x.transpose(1, 2, 0)).transpose(2, 0, 1),
        "unaligned": unaligned,
        "swapped": x.astype(x.dtype.newbyteorder()),
    }
    for array in made.values():
        array.flags.writeable = False
    return made


def blocked_sums(values: np.ndarray) -> np.ndarray:
    """Running sums as csrc/scan/scan.hpp defines them, in plain Python."""
    found, offset = [], -0.0
    for first in range(0, len(values), 1040):
        carry = -0.0
        for x in values[first : first + 1040].tolist():
            carry += x
            found.append(offset + carry)
        offset += carry
    return np.array(found)


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(6, 9, 11), (1, 1, 1), (3, 2100, 2), (40, 3, 130), (9, 1100, 8)])
def test_floats(shape: Any, dtype: Any, axis: Any, name: str) -> None:
    x = sample(shape, dtype)
    if name.startswith("nan"):
        x[np.random.default_rng(1).random(shape) < 0.2] = np.nan
    want = getattr(np, name)(x.astype(np.longdouble), axis).astype(dtype)
    rtol = 5e-7 if dtype is np.float32 else 1e-12
    for layout, view in layouts(x).items():
        got = getattr(uf, name)(view, axis)
        assert got.dtype == dtype, layout
        np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-10)


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("axis", [0, 2, None])
@pytest.mark.parametrize("code", [*INTEGERS, "c8", "c16"])
def test_other_dtypes(code: str, axis: Any, name: str) -> None:
    x = sample((5, 40, 12), code)
    want = getattr(np, name)(x, axis)
    for view in layouts(x).values():
        got = getattr(uf, name)(view, axis)
        if code[0] == "c":
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=1e-4 if code == "c8" else 1e-12)
        else:
            np.testing.assert_array_equal(got, want, strict=True)


@pytest.mark.parametrize("code", ["i1", "u2", "i8", "u8"])
def test_integers_wrap_as_numpys(code: str) -> None:
    x = np.full(100, np.iinfo(code).max, code)
    for name in ("cumsum", "cumprod"):
        np.testing.assert_array_equal(getattr(uf, name)(x), getattr(np, name)(x), strict=True)


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("axis", [0, 1, None])
def test_narrow_floats(axis: Any, dtype: Any, name: str) -> None:
    x = sample((50, 30), np.float32, 3).astype(dtype)
    if name.startswith("nan"):
        x[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan
    want = getattr(np, name)(x.astype(np.float64), axis).astype(dtype)
    got = getattr(uf, name)(x, axis)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.astype(np.float32), want.astype(np.float32))


def test_float16_sums_do_not_stick() -> None:
    """In float16 a running sum of ones would stop at 2048."""
    assert float(uf.cumsum(np.ones(4000, np.float16))[-1]) == 4000.0


@pytest.mark.parametrize("count", [1, 8, 1039, 1040, 1041, 2080, 16_640, 16_641, 40_000, 300_000])
def test_the_blocks_are_the_documented_ones(count: int, tier: str) -> None:
    x = np.random.default_rng(0).standard_normal(count) * 1e3
    np.testing.assert_array_equal(uf.cumsum(x), blocked_sums(x))
    columns = np.stack([x, -x, 2 * x], axis=1)
    want = np.stack([blocked_sums(column) for column in columns.T], axis=1)
    np.testing.assert_array_equal(uf.cumsum(columns, axis=0), want)


@pytest.mark.skipif(not NATIVE, reason="the reference executor is NumPy's order of sums")
@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((200_003,), 0), ((40_000, 5), 0), ((5, 40_000), 1), ((300, 700), 0), ((300, 700), None)],
)
def test_the_same_bits_for_threads_layouts_and_tiers(shape: Any, axis: Any, name: str) -> None:
    from ufuse import _core

    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x *= 1 if name.endswith("sum") else np.float32(1.5)
    results = []
    try:
        for tier in [tier for tier in _core.available_tiers() if tier != "v2"]:
            _core.set_tier(tier)
            for threads, view in itertools.product(
                (1, 2, 3), (x, np.asfortranarray(x), np.ascontiguousarray(x[::-1])[::-1])
            ):
                with uf.threads(threads):
                    results.append(np.ascontiguousarray(getattr(uf, name)(view, axis)))
    finally:
        _core.set_tier("")
    assert len({result.tobytes() for result in results}) == 1


def test_sums_of_what_is_not_negative_never_decrease() -> None:
    x = np.random.default_rng(0).random(100_000).astype(np.float32)
    assert (np.diff(uf.cumsum(x)) >= 0).all()


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("axis", [0, 1, None])
def test_out(axis: Any, name: str) -> None:
    x = sample((30, 2000), np.float32)
    want = getattr(uf, name)(x, axis)
    for dtype in (np.float32, np.float64, np.float16):
        out = np.zeros(want.shape, dtype)
        assert getattr(uf, name)(x, axis, out=out) is out
        np.testing.assert_allclose(out, want, rtol=2e-3 if dtype is np.float16 else 1e-6)
    if axis is None:
        padded = np.zeros(2 * want.size, np.float32)
        strided = padded[::2]
        assert not padded[1::2].any()
    else:
        padded = np.zeros((30, 4000), np.float32)
        strided = padded[:, ::2][:, ::-1]
    getattr(uf, name)(x, axis, out=strided)
    np.testing.assert_array_equal(strided, want)
    assert not padded[..., 1::2].any()


@pytest.mark.parametrize("axis", [0, 1])
def test_out_may_be_the_input_and_overlap_it(axis: int) -> None:
    x = sample((300, 700), np.float64)
    want = uf.cumsum(x, axis)
    y = x.copy()
    assert uf.cumsum(y, axis, out=y) is y
    np.testing.assert_array_equal(y, want)
    memory = np.zeros((301, 700))
    memory[1:] = x
    uf.cumsum(memory[1:], axis, out=memory[:-1])
    np.testing.assert_array_equal(memory[:-1], want)


@pytest.mark.parametrize("name", SCANS)
def test_dtype(name: str) -> None:
    x = sample((6, 50), np.int8)
    for dtype in (np.int8, np.int16, np.int64, np.uint64, np.float32, np.float64, np.complex64):
        got = getattr(uf, name)(x, 1, dtype=dtype)
        np.testing.assert_allclose(got, getattr(np, name)(x, 1, dtype=dtype), rtol=1e-6)
        assert got.dtype == dtype
    floats = sample((6, 50), np.float32)
    assert getattr(uf, name)(floats, 1, dtype=np.float64).dtype == np.float64


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
def test_empty(shape: Any, name: str) -> None:
    for axis in [*range(len(shape)), None]:
        for dtype in (np.float32, np.int8, np.float16):
            x = np.ones(shape, dtype)
            got, want = getattr(uf, name)(x, axis), getattr(np, name)(x, axis)
            np.testing.assert_array_equal(got, want, strict=True)


@pytest.mark.parametrize("name", SCANS)
def test_scalars_and_lists(name: str) -> None:
    for value in (3.0, np.float32(2), np.array(4), [1, 2, 3], [[1.5, 2.5]]):
        np.testing.assert_array_equal(
            getattr(uf, name)(value), getattr(np, name)(value), strict=True
        )
    np.testing.assert_array_equal(getattr(uf, name)(np.array(4.0), axis=0), [4.0])


def test_specials() -> None:
    inf = np.inf
    np.testing.assert_array_equal(
        uf.cumsum([1.0, inf, 1.0, -inf, 1.0]), [1, inf, inf, *[np.nan] * 2]
    )
    np.testing.assert_array_equal(uf.cumsum([1.0, np.nan, 1.0]), [1, np.nan, np.nan])
    np.testing.assert_array_equal(uf.nancumsum([np.nan] * 3), [0, 0, 0])
    np.testing.assert_array_equal(uf.nancumprod([np.nan] * 3), [1, 1, 1])
    assert np.signbit(uf.cumsum(np.array([-0.0, -0.0]))).all()
    np.testing.assert_array_equal(uf.cumprod([0.0, inf]), [0, np.nan])


def test_broadcast_and_zero_strides() -> None:
    x = np.broadcast_to(np.arange(5.0), (2000, 5))
    for axis in (0, 1, None):
        np.testing.assert_allclose(uf.cumsum(x, axis), np.cumsum(x, axis))


@given(
    hnp.arrays(
        st.sampled_from([np.int32, np.float64]),
        hnp.array_shapes(max_dims=4, max_side=12),
        elements=st.integers(-9, 9),
    ),
    st.data(),
)
def test_any_view(x: np.ndarray, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(x.ndim)))
    view = x.transpose(order)[data.draw(hnp.basic_indices(tuple(x.shape[i] for i in order)))]
    view = np.asarray(view)
    axis = data.draw(st.sampled_from([None, *range(view.ndim)]))
    np.testing.assert_array_equal(uf.cumsum(view, axis), np.cumsum(view, axis), strict=True)


@pytest.mark.parametrize("name", SCANS)
def test_errors(name: str) -> None:
    function = getattr(uf, name)
    x = np.ones((3, 4))
    with pytest.raises(np.exceptions.AxisError, match=rf"ufuse\.{name}.*'axis'"):
        function(x, 2)
    with pytest.raises(TypeError, match=r"'axis': expected an int or None"):
        function(x, (0, 1))
    with pytest.raises(TypeError, match=r"'dtype': expected a dtype"):
        function(x, dtype="nothing")
    out = np.full((3, 5), 7.0)
    with pytest.raises(ValueError, match=r"'out': expected shape \(3, 4\).*got \(3, 5\)"):
        function(x, 0, out=out)
    assert (out == 7).all()
    with pytest.raises(TypeError, match="'out'"):
        function(x, 0, out=[1, 2])
