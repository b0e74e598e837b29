"""`ufuse.formats.nvfp4`; the oracles of others are in `oracles`."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from formats_cases import LAYOUTS, by_the_twin, hostile_rows, same
from ufuse.formats import nvfp4

Array = np.ndarray[Any, Any]


def same_record(a: nvfp4.NVFP4Array, b: nvfp4.NVFP4Array) -> None:
    same(a.codes, b.codes)
    same(a.scales, b.scales)
    assert (a.tensor_scale, a.shape, a.axis, a.swizzled) == (
        *(b.tensor_scale, b.shape),
        *(b.axis, b.swizzled),
    )


def check(x: Array, **options: Any) -> nvfp4.NVFP4Array:
    """Compare with the twin, both ways."""
    got = nvfp4.quantize(x, **options)
    plain = np.array(x, x.dtype.newbyteorder("="))
    with by_the_twin():
        want = nvfp4.quantize(plain, **options)
        numbers = want.dequantize()
    same_record(got, want)
    same(got.dequantize(), numbers)
    return got


@pytest.mark.parametrize("scale", [1.0, 0.3, 2.0**-120, 1e-20, 3e38])
@pytest.mark.parametrize("columns", [16, 1, 15, 17, 67, 512])
def test_hostile_values(columns: int, scale: float) -> None:
    check(hostile_rows(columns), tensor_scale=scale)


@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-38, 1e-30, 1e-3, 1.0, 1e10, 3.4e38])
def test_default_scale(size: float) -> None:
    """amax / (448 * 6), but not so small that a block's factor overflows."""
    x = np.random.default_rng(1).uniform(-1, 1, (5, 100)).astype(np.float32) * np.float32(size)
    x[2, 3] = -size
    q = check(x)
    assert q.tensor_scale == max(np.float32(size) / np.float32(2688), np.float32(2.0**-120))
    if size > 1e-30:
        error = np.abs(q.dequantize().astype(np.float64) - x)
        assert error.max() <= 0.2 * size
    else:
        assert np.isfinite(q.dequantize()).all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("swizzle", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_layouts_and_axes(axis: int, swizzle: bool, layout: str) -> None:
    x = np.random.default_rng(2).normal(size=(3, 70, 45)).astype(np.float32)
    q = check(LAYOUTS[layout](x), axis=axis, swizzle=swizzle)
    moved = nvfp4.quantize(np.moveaxis(x, axis, -1).copy(), swizzle=swizzle)
    same(np.moveaxis(q.codes, axis, -1), moved.codes)
    same(q.scales if swizzle else np.moveaxis(q.scales, axis, -1), moved.scales)


@pytest.mark.parametrize("swizzle", [False, True])
@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (1,), (1, 1), (5,), (2, 1, 33), (130, 80)])
def test_shapes(shape: tuple[int, ...], swizzle: bool) -> None:
    x = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    q = check(x, swizzle=swizzle)
    assert q.codes.shape == (*shape[:-1], -(-shape[-1] // 2))
    rows, columns = int(np.prod(shape[:-1])), -(-shape[-1] // 16)
    if swizzle:
        assert q.scales.shape == (32 * -(-rows // 128), 16 * -(-columns // 4))
    else:
        assert q.scales.shape == (*shape[:-1], columns)
    assert q.nbytes == q.codes.size + q.scales.size + 4


def test_tiles_of_scales() -> None:
    """The place of a scale, as cuBLAS's documentation has it."""
    scales = np.random.default_rng(4).integers(0, 256, (300, 9)).astype(np.uint8)
    blocked = nvfp4.to_blocked(scales)
    assert blocked.shape == (96, 48)
    flat = blocked.reshape(-1)
    for row in (0, 1, 31, 32, 127, 128, 255, 299):
        for column in range(9):
            tile = row // 128 * 3 + column // 4
            place = 512 * tile + 16 * (row % 32) + 4 * (row % 128 // 32) + column % 4
            assert flat[place] == scales[row, column]
    assert flat.astype(int).sum() == scales.astype(int).sum()  # the others are 0
    same(nvfp4.from_blocked(blocked, 300, 9), scales)
    same(nvfp4.from_blocked(flat, 300, 9), scales)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", ">f8", ">f2"])
def test_other_floats(dtype: str) -> None:
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    x = (np.random.default_rng(5).normal(size=(5, 77)) * 3).astype(dtype)
    same_record(nvfp4.quantize(x), nvfp4.quantize(x.astype(np.float32)))
    same_record(nvfp4.quantize(x.T), nvfp4.quantize(x.T.astype(np.float32)))


def test_nan_takes_its_block_alone() -> None:
    x = np.ones((1, 40), np.float32)
    x[0, 20] = np.nan
    q = nvfp4.quantize(x, tensor_scale=0.01)
    assert q.scales[0, 1] == 0x7F and not q.codes[0, 8:16].any()
    numbers = q.dequantize()
    assert np.isnan(numbers[0, 16:32]).all() and np.isfinite(numbers[0, :16]).all()
    assert np.isfinite(numbers[0, 32:]).all()


def test_infinity_saturates() -> None:
    q = nvfp4.quantize(np.float32([np.inf, -np.inf, 1.0]), tensor_scale=0.5)
    np.testing.assert_array_equal(q.dequantize(), np.float32([6 * 448 * 0.5, -6 * 448 * 0.5, 0]))


def test_known_bytes() -> None:
    """A scale of 1: the elements are rounded half to even."""
    x = np.float32([6.0, -0.25, 0.75, 1.25, 1.75, 2.5, -3.5, 5.0, -0.0])
    q = nvfp4.quantize(x, tensor_scale=1.0)
    assert q.scales.tolist() == [0x38]
    assert q.codes.tolist() == [0x87, 0x22, 0x44, 0x6E, 0x08]


@pytest.mark.parametrize("swizzle", [False, True])
def test_out_is_written(swizzle: bool) -> None:
    record = nvfp4.quantize(np.ones((6, 75), np.float32), axis=0, swizzle=swizzle)
    x = np.random.default_rng(6).normal(size=(6, 75)).astype(np.float32)
    got = nvfp4.quantize(x, axis=0, swizzle=swizzle, out=record)
    assert np.shares_memory(got.codes, record.codes)
    assert np.shares_memory(got.scales, record.scales)
    same_record(got, nvfp4.quantize(x, axis=0, swizzle=swizzle))
    out = np.empty((75, 12), np.float32).T[::2]
    assert got.dequantize(out=out) is out
    same(out.copy(), got.dequantize())


def test_out_may_overlap() -> None:
    x = np.random.default_rng(7).normal(size=(4, 64)).astype(np.float32)
    want = nvfp4.quantize(x)
    memory = np.zeros(x.nbytes, np.uint8)
    values = memory.view(np.float32).reshape(x.shape)
    values[...] = x
    codes, scales = memory[100:228].reshape(4, 32), memory[300:316].reshape(4, 4)
    record = nvfp4.NVFP4Array(codes, scales, 1.0, (4, 64))
    got = nvfp4.quantize(values, out=record)
    same_record(got, want)
    same(got.dequantize(out=values).copy(), want.dequantize())


@pytest.mark.skipif(not NATIVE, reason="the reference executor has no threads or tiles")
def test_threads_and_tiles_do_not_matter() -> None:
    x = np.random.default_rng(8).normal(size=(1 << 17, 67)).astype(np.float32)
    with uf.threads(1):
        want = nvfp4.quantize(x)
        numbers = want.dequantize()
    with uf.threads(3):
        got = nvfp4.quantize(x)
        same_record(got, want)
        same(got.dequantize(), numbers)
    whole = np.ascontiguousarray(x[:, :64])
    same_record(
        nvfp4.quantize(whole, tensor_scale=0.01), nvfp4.quantize(x[:, :64], tensor_scale=0.01)
    )


def test_records() -> None:
    x = np.random.default_rng(9).normal(size=(3, 40)).astype(np.float32)
    q = nvfp4.quantize(x, axis=0, swizzle=True, tensor_scale=0.25)
    same_record(pickle.loads(pickle.dumps(q)), q)
    assert repr(q) == (
        "NVFP4Array(shape=(3, 40), tensor_scale=0.25, blocks of 16 on axis 0, swizzled scales, "
        "596 bytes)"
    )
    same(np.asarray(q), q.dequantize())
    with pytest.raises(TypeError, match="NVFP4Array"):
        np.ones((2, 3), np.float32) @ q


X = np.ones((3, 40), np.float32)
ERRORS = {
    "dtype": (lambda: nvfp4.quantize(X.astype(int)), TypeError, "'x': expected float32.*int64"),
    "0-d": (lambda: nvfp4.quantize(np.float32(1)), ValueError, "'x'.*0-d"),
    "nan": (lambda: nvfp4.quantize(X * np.nan), ValueError, "'x': expected finite.*tensor_scale="),
    "inf": (lambda: nvfp4.quantize(X * -np.inf), ValueError, "'x': expected finite"),
    "too large": (lambda: nvfp4.quantize(np.full(3, 1e300)), ValueError, "'x': expected finite"),
    "scale": (lambda: nvfp4.quantize(X, tensor_scale="a"), TypeError, "'tensor_scale'.*'a'"),
    "zero": (lambda: nvfp4.quantize(X, tensor_scale=0), ValueError, "'tensor_scale'.*got 0"),
    "nan scale": (lambda: nvfp4.quantize(X, tensor_scale=np.nan), ValueError, "'tensor_scale'"),
    "huge": (lambda: nvfp4.quantize(X, tensor_scale=1e39), ValueError, "'tensor_scale'.*1e.39"),
    "axis": (lambda: nvfp4.quantize(X, axis=2), np.exceptions.AxisError, "axis 2"),
    "out type": (lambda: nvfp4.quantize(X, out=X), TypeError, "'out': expected an NVFP4Array"),
    "out": (
        lambda: nvfp4.quantize(X, out=nvfp4.quantize(X, swizzle=True)),
        ValueError,
        "'out'.*False.*True",
    ),
    "dequantize": (
        lambda: nvfp4.quantize(X).dequantize(out=np.empty(3, np.float32)),
        ValueError,
        r"'out': expected shape \(3, 40\)",
    ),
    "record": (
        lambda: nvfp4.NVFP4Array(
            np.zeros((3, 20), np.uint8), np.zeros((3, 2), np.uint8), 1, (3, 40)
        ),
        ValueError,
        r"'scales': expected shape \(3, 3\)",
    ),
    "tiles": (lambda: nvfp4.to_blocked(np.zeros(4, np.uint8)), ValueError, "'scales'.*matrix"),
    "tiles back": (
        lambda: nvfp4.from_blocked(np.zeros(4, np.uint8), 2, 2),
        ValueError,
        "'blocked'.*512 bytes",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_input(case: str) -> None:
    call, kind, message = ERRORS[case]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "ufuse.formats.nvfp4." in str(caught.value)


def test_read_only_out_is_refused_before_anything_is_written() -> None:
    for swizzle in (False, True):
        record = nvfp4.quantize(X, swizzle=swizzle)
        scales = record.scales.copy()
        scales.flags.writeable = False
        record = replace(record, codes=record.codes.copy(), scales=scales)
        before = record.codes.copy()
        with pytest.raises(ValueError, match="'out': its scales are read-only"):
            nvfp4.quantize(-X, swizzle=swizzle, out=record)
        same(record.codes, before)


def test_a_tensor_scale_of_letters_was_accepted() -> None:
    for given in ("2", b"2"):
        with pytest.raises(TypeError, match=r"argument 'tensor_scale': expected a number, got"):
            nvfp4.quantize(X, tensor_scale=given)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"attribute 'tensor_scale'|argument 'tensor_scale'"):
            replace(nvfp4.quantize(X), tensor_scale=given)
