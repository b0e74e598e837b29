"""The largest and smallest elements of lanes, against NumPy's stable sort."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ufuse as uf

DTYPES = [
    np.bool_,
    np.int8,
    np.uint8,
    np.int16,
    np.uint16,
    np.int32,
    np.uint32,
    np.int64,
    np.uint64,
]
DTYPES += [np.float16, np.float32, np.float64, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn]
DTYPES += [ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2, np.longdouble]


def expected(x: np.ndarray, k: int, axis: int, largest: bool) -> np.ndarray:
    """Indices of the first `k` in order: of equal ones the lowest first, NaN largest."""
    wide = x.astype(np.float32) if x.dtype.kind == "V" or x.dtype.itemsize < 4 else x
    lanes = np.moveaxis(wide, axis, -1).reshape(-1, x.shape[axis])
    rows = []
    for lane in lanes:
        order = range(len(lane))
        nan = np.isnan(lane)
        sign = -1 if largest else 1
        keys = [(sign * int(nan[i]), 0 if nan[i] else sign * lane[i].item(), i) for i in order]
        rows.append(sorted(order, key=keys.__getitem__)[:k])
    shape = (*np.moveaxis(wide, axis, -1).shape[:-1], k)
    return np.moveaxis(np.array(rows, np.int64).reshape(shape), -1, axis)


def check(x: np.ndarray, k: int, axis: int, largest: bool) -> None:
    found = uf.topk(x, k, axis, largest)
    want = expected(x, k, axis, largest)
    assert found.values.dtype == x.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found.indices, want, strict=True)
    bits = [np.take_along_axis(x, want, axis).astype(found.values.dtype), found.values]
    np.testing.assert_array_equal(*(part.astype(np.float64) for part in bits))


def sample(shape: Any, dtype: Any, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    if kind in "biu":
        x = rng.integers(0 if kind in "bu" else -60, 2 if kind == "b" else 60, shape)
        return x.astype(dtype)
    x = np.round(rng.standard_normal(shape) * 4) / 2  # with equal ones, and both zeros
    x[rng.random(shape) < 0.1] *= -0.0
    x[rng.random(shape) < 0.05] = np.nan
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("largest", [True, False])
def test_dtypes(dtype: Any, largest: bool) -> None:
    for shape in ((5, 60), (3, 1, 40), (40, 9), (2, 300, 3)):
        x = sample(shape, dtype, 1)
        for axis in range(-1, x.ndim):
            for k in {0, 1, 2, 7, x.shape[axis]}:
                if k <= x.shape[axis]:
                    check(x, k, axis, largest)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_layouts(dtype: Any, threads: int) -> None:
    x = sample((6, 20, 30), dtype, 2)
    frozen = x.copy()
    frozen.flags.writeable = False
    unaligned = np.empty(x.nbytes + 1, np.uint8)[1:].view(dtype).reshape(x.shape)
    unaligned[...] = x
    for array in (
        np.asfortranarray(x),
        np.repeat(np.repeat(x, 2, 0), 3, 2)[::2, :, ::3],
        np.ascontiguousarray(x[::-1, :, ::-1])[::-1, :, ::-1],
        x[::-1, ::-1, ::-1],
        x.astype(x.dtype.newbyteorder()),
        np.broadcast_to(x[:, :1], x.shape),
        np.broadcast_to(x[..., :1], x.shape),
        frozen,
        unaligned,
    ):
        for axis in range(3):
            check(array, 5, axis, True)
            check(array, 5, axis, False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 10, 1000, 40_000])
def test_long_lanes_on_every_tier(k: int, dtype: Any, tier: str) -> None:
    """In parts for each thread, in any order the elements come."""
    rng = np.random.default_rng(3)
    size = 600_000
    lanes = np.array(
        [rng.standard_normal(size), np.arange(size), np.arange(size)[::-1], np.arange(size) % 5]
    ).astype(dtype)
    lanes[0, ::1000] = np.nan
    for array, axis in ((lanes, 1), (np.ascontiguousarray(lanes.T), 0)):
        for largest in (True, False):
            found = uf.topk(array, k, axis, largest)
            for i, lane in enumerate(lanes):
                keys = -lane if largest else lane
                if largest:
                    keys = np.where(np.isnan(keys), -np.inf, keys)
                want = np.argsort(keys, kind="stable")[:k]
                np.testing.assert_array_equal(found.indices.take(i, 1 - axis), want)
                np.testing.assert_array_equal(found.values.take(i, 1 - axis), lane[want])


def test_nan_and_zeros() -> None:
    x = np.array([1.0, np.nan, -0.0, 0.0, -np.inf, np.nan, np.inf])
    assert uf.topk(x, 4).indices.tolist() == [1, 5, 6, 0]
    assert uf.topk(x, 4, largest=False).indices.tolist() == [4, 2, 3, 0]
    assert np.signbit(uf.topk(x, 2, largest=False).values).all()
    assert uf.topk(x, 5).values[-1] == 0
    assert uf.topk(x, 7).indices.tolist() == [1, 5, 6, 0, 2, 3, 4]


def test_empty_and_lists() -> None:
    found = uf.topk([[3, 1], [2, 5]], 1, axis=0)
    assert found.values.tolist() == [[3, 5]]
    assert found.indices.tolist() == [[0, 1]]
    assert uf.topk(np.empty((0, 4)), 2).values.shape == (0, 2)
    assert uf.topk(np.empty((4, 0)), 0).indices.shape == (4, 0)


def test_errors() -> None:
    x = np.arange(6.0).reshape(2, 3)
    for k in (-1, 4):
        with pytest.raises(ValueError, match=rf"ufuse.topk.*'k'.*0 to 3.*axis 1.*{k}"):
            uf.topk(x, k)
    with pytest.raises(TypeError, match=r"ufuse.topk.*'k'.*int.*1.5"):
        uf.topk(x, 1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"ufuse.topk.*'axis'.*int.*None"):
        uf.topk(x, 1, None)  # type: ignore[arg-type]
    with pytest.raises(np.exceptions.AxisError, match=r"ufuse.topk"):
        uf.topk(x, 1, 2)
    with pytest.raises(TypeError, match=r"ufuse.topk.*'x'.*complex128"):
        uf.topk(x * 1j, 1)
    with pytest.raises(ValueError, match=r"ufuse.topk.*'x'.*scalar"):
        uf.topk(3.0, 0, 0)


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(max_dims=3, max_side=9),
        elements=st.one_of(st.floats(-3, 3, width=32), st.sampled_from([np.nan, 0.0, -0.0, 1.0])),
    ),
    st.booleans(),
    st.data(),
)
def test_any_array(x: np.ndarray, largest: bool, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    check(x, data.draw(st.integers(0, x.shape[axis])), axis, largest)
