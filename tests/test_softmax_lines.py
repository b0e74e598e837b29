"""softmax and log_softmax of lines that stay in cache: rows, lines side by side, their edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import ufuse as uf
from conftest import NATIVE

FUNCTIONS = [uf.softmax, uf.log_softmax]
needs_bits = pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")


def sample(shape: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * 4).astype(dtype)


def exact(x: np.ndarray, axis: Any, logarithm: bool) -> np.ndarray:
    wide = x.astype(np.longdouble)
    shifted = wide - wide.max(axis=axis, keepdims=True)
    powers = np.exp(shifted)
    if not logarithm:
        return powers / powers.sum(axis=axis, keepdims=True)
    top = (shifted == 0).sum(axis=axis, keepdims=True).astype(np.longdouble)
    others = np.where(shifted == 0, 0, powers).sum(axis=axis, keepdims=True)
    return shifted - (np.log(top) + np.log1p(others / top))


def aligned(shape: tuple[int, ...], dtype: Any, offset: int) -> np.ndarray:
    """Return zeros whose first element lies `offset` elements after the start of a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 256, np.uint8)
    start = -memory.ctypes.data % 64 + offset * np.dtype(dtype).itemsize
    return memory[start : start + size].view(dtype).reshape(shape)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "length", [1, 2, 7, 15, 16, 17, 31, 100, 127, 128, 129, 255, 300, 1024, 4099, 8192, 8193]
)
def test_lengths(length: int, dtype: Any, function: Any, tier: str) -> None:
    """Around a register, a step of lanes, and the longest line that stays in cache."""
    x = sample((19, length), dtype, length)
    want = exact(x, 1, function is uf.log_softmax)
    rtol = 64 * np.finfo(dtype).eps  # of exponents of up to 32, subtracted in the type
    got = function(x, 1)
    np.testing.assert_allclose(got, want.astype(dtype), rtol=rtol, atol=np.finfo(dtype).tiny)
    across = function(np.asfortranarray(x), 1)
    np.testing.assert_array_equal(across, got)


@needs_bits
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("columns", [1, 15, 16, 33, 63, 64, 65, 130, 1000])
def test_tiles_of_every_width(columns: int, function: Any, tier: str) -> None:
    """Lines side by side, wherever the results begin in a cache line."""
    x = sample((70, columns), seed=columns)
    want = np.stack([function(np.ascontiguousarray(line)) for line in x.T], axis=1)
    for offset in (0, 1, 5, 15):
        out = aligned(x.shape, np.float32, offset)
        assert function(x, 0, out=out) is out
        np.testing.assert_array_equal(out, want)


@needs_bits
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("offset", [0, 3])
def test_results_past_the_caches(axis: int, offset: int, function: Any, tier: str) -> None:
    """Large results are streamed, whole cache lines at a time: the same bits, nothing beside."""
    x = sample((2050, 2049), seed=3)
    memory = aligned((x.size + 64,), np.float32, offset)
    memory[...] = 7
    out = memory[16 : 16 + x.size].reshape(x.shape)
    function(x, axis, out=out)
    assert (memory[:16] == 7).all() and (memory[16 + x.size :] == 7).all()
    some = np.s_[:, ::97] if axis == 0 else np.s_[::97]
    np.testing.assert_array_equal(out[some], function(np.ascontiguousarray(x[some]), axis))


@needs_bits
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", [0, 1, 2, (0, 2), (1, 2), None])
def test_results_anywhere(axis: Any, function: Any) -> None:
    """Results with strides, backwards, and in place of the elements."""
    x = sample((18, 33, 40), seed=4)
    want = function(x, axis)
    wide = np.zeros((36, 33, 120), np.float32)
    for out in (
        wide[::2, :, ::3],
        np.empty(x.shape, np.float32)[::-1, :, ::-1],
        np.empty((40, 33, 18), np.float32).T,
    ):
        assert function(x, axis, out=out) is out
        np.testing.assert_array_equal(out, want)
    assert not wide[1::2].any() and not wide[:, :, 1::3].any()
    for layout in (x.copy(), np.asfortranarray(x), wide[::2, :, ::3]):
        layout[...] = x
        assert function(layout, axis, out=layout) is layout
        np.testing.assert_array_equal(layout, want)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_results_over_other_elements(function: Any) -> None:
    memory = sample((101, 50), seed=5)
    x = memory[:-1].copy()
    want = function(x, 1)
    memory[:-1] = x
    function(memory[:-1], 1, out=memory[1:])
    np.testing.assert_array_equal(memory[1:], want)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", [0, 1])
def test_broadcast_and_read_only(axis: int, function: Any) -> None:
    line = sample((60,), seed=6)
    for x in (np.broadcast_to(line, (40, 60)), np.broadcast_to(line[:40, None], (40, 60))):
        np.testing.assert_array_equal(function(x, axis), function(x.copy(), axis))
    x = as_strided(line, (20, 30), (4, 4))  # windows that overlap
    np.testing.assert_array_equal(function(x, axis), function(x.copy(), axis))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("length", [90, 9000])
def test_in_place_of_windows_that_overlap(length: int, function: Any) -> None:
    """Every element is read before any is written, though they share memory."""
    line = sample((length + 19,), seed=10)
    x = as_strided(line, (20, length), (4, 4))
    want = np.zeros_like(line)
    np.copyto(as_strided(want, x.shape, x.strides), function(x.copy(), 1))
    function(x, 1, out=x)
    finite = np.isfinite(line) & np.isfinite(want)
    assert finite.all()
    np.testing.assert_array_equal(line[[0, -1]], want[[0, -1]])


@needs_bits
@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_same_bits_on_every_tier(function: Any) -> None:
    from ufuse import _core

    x = sample((65, 330), seed=11)
    try:
        found = {}
        for tier in _core.available_tiers():
            _core.set_tier(tier)
            found[tier] = [function(x.astype(t), a).tobytes() for t in "fd" for a in (0, 1, None)]
    finally:
        _core.set_tier("")
    found.pop("v2", None)  # without fused multiply-add
    assert len({tuple(bits) for bits in found.values()}) <= 1


@needs_bits
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values_have_the_same_bits(dtype: Any, function: Any, tier: str) -> None:
    """NaN, infinities and ties, in every place of a register and both directions."""
    x = sample((96, 50), dtype, 7)
    x[np.arange(40), np.arange(40)] = np.nan
    x[40, 3] = np.inf
    x[41, :] = -np.inf
    x[42, 5:] = -np.inf
    x[43, :] = 3
    x[44, ::2] = np.finfo(dtype).max
    x[45, 49] = -np.nan
    want = function(x, 1)
    assert np.isnan(want[:40]).all() and np.isnan(want[45]).all() and np.isnan(want[41]).all()
    assert np.isfinite(want[46:]).all()
    np.testing.assert_array_equal(want[42, 5:], -np.inf if function is uf.log_softmax else 0)
    got = np.ascontiguousarray(function(np.asfortranarray(x), 1))
    np.testing.assert_array_equal(got.view(np.uint8), want.view(np.uint8))


@needs_bits
@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_same_bits_for_every_thread_count(function: Any) -> None:
    for shape, axis in (((3000, 130), 1), ((130, 3000), 0), ((50, 90, 64), 1)):
        x = sample(shape, seed=8)
        with uf.threads(1):
            want = function(x, axis)
        for threads in (2, 5):
            with uf.threads(threads):
                np.testing.assert_array_equal(function(x, axis), want)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_short_calls(function: Any) -> None:
    """What the fast entry takes, and what it leaves to the general function."""
    x = sample((6, 9), seed=9)
    want = function(x, axis=(1,))
    for got in (
        function(x, 1),
        function(x, -1),
        function(x, axis=1),
        function(x, 1, None),
        function(x, 1, np.empty_like(x)),
        function(x, 1, out=np.empty_like(x)),
    ):
        np.testing.assert_array_equal(got, want)
    assert function(x).shape == x.shape
    np.testing.assert_allclose(function(x), function(x.ravel()).reshape(x.shape))
    name = f"ufuse.{function.__name__}"
    for wrong in ({"axis": 2}, {"axis": -3}, {"axis": "1"}):
        with pytest.raises((np.exceptions.AxisError, TypeError), match=name):
            function(x, **wrong)
    read_only = np.empty_like(x)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="'out'"):
        function(x, 1, out=read_only)
    with pytest.raises(TypeError):
        function(x, 1, unknown=3)
