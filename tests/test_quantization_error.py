"""What quantization loses, measured without the dequantized array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE

pytest.importorskip("ml_dtypes")


def sample(shape: Any, seed: int = 0, spread: float = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, shape).astype(np.float32)


def exact(x: np.ndarray, y: np.ndarray, axis: int | None) -> dict[str, np.ndarray]:
    """By the formulas, in float64."""
    a, b = x.astype(np.float64), y.astype(np.float64)
    others = None if axis is None else tuple(i for i in range(x.ndim) if i != axis % x.ndim)
    e = a - b
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "sqnr_db": 10 * np.log10((a * a).sum(others) / (e * e).sum(others)),
            "mse": (e * e).mean(others),
            "mae": np.abs(e).mean(others),
            "max_abs": np.abs(e).max(others),
            "cosine": (a * b).sum(others) / np.sqrt((a * a).sum(others) * (b * b).sum(others)),
        }


def check(x: np.ndarray, q: uf.QuantizedArray, axis: int | None = None) -> None:
    got, want = uf.quantization_error(x, q, axis=axis), exact(x, q.dequantize(), axis)
    for name, value in want.items():
        found = getattr(got, name)
        assert np.shape(found) == np.shape(value), name
        # Of decibels near 0 a relative error says nothing.
        atol = 1e-4 if name == "sqnr_db" else 0
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=atol, err_msg=name)
    np.testing.assert_array_equal(got.max_abs, np.float64(want["max_abs"]))


LONG = 70_000 if NATIVE else 700  # more than a slab; the reference takes a lane at a time
SHAPES = [(1,), (7,), (300,), (33, 65), (4, LONG), (LONG, 3), (5, 40, 30), (1, 1), (3, 1, 8)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scheme", ["int8", "uint8", "int4", "uint2", "float8_e4m3fn"])
def test_every_axis(shape: tuple[int, ...], scheme: str) -> None:
    x = sample(shape)
    q = uf.quantize(x, scheme)
    for axis in (None, *range(x.ndim), -1):
        check(x, q, axis)


WHERE = [
    ((64, 96), {"axis": 0}),
    ((64, 96), {"axis": 1}),
    ((64, 96), {"axis": 1, "block_size": 32}),
    ((64, 100), {"axis": 1, "block_size": 32}),
    ((100, 64), {"axis": 0, "block_size": 32}),
    ((50, 60), {"block_size": (8, 16)}),
    ((6, 50, 60), {"block_size": (1, 8, 16)}),
]


@pytest.mark.parametrize(("shape", "where"), WHERE)
@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_scales_of_axes_and_blocks(shape: tuple[int, ...], where: Any, scheme: str) -> None:
    x = sample(shape)
    q = uf.quantize(x, scheme, **where)
    for layout in (x, np.asfortranarray(x), x.astype(">f4"), np.repeat(x, 2, 0)[::2]):
        for axis in (None, *range(x.ndim)):
            check(layout, q, axis)


def test_no_error() -> None:
    x = np.arange(-100, 100, dtype=np.float32)
    got = uf.quantization_error(x, uf.QuantizedArray(x.astype(np.int8), np.float32(1), np.int8(0)))
    assert got.mse == got.mae == got.max_abs == 0 and got.sqnr_db == np.inf
    np.testing.assert_allclose(got.cosine, 1)
    zero = uf.quantization_error(np.zeros(9, np.float32), uf.quantize(np.zeros(9, np.float32)))
    assert zero.mse == 0 and np.isnan(zero.cosine) and np.isnan(zero.sqnr_db)


@pytest.mark.parametrize("spread", [1e-38, 1e-30, 1e-22, 1e-15, 1e15, 1e19, 1e25, 1e36])
def test_squares_beyond_float32(spread: float) -> None:
    """Their sums are in float64 where float32 has no place for them."""
    x = sample((3, 1000), spread=spread)
    check(x, uf.quantize(x, "int8"))
    check(x, uf.quantize(x, "int8", axis=0), 0)


def test_nan_and_infinity_stay_in_their_index() -> None:
    x = sample((4, 600))
    q = uf.quantize(x, axis=0)
    x[1, 7], x[2, 599] = np.nan, np.inf
    got = uf.quantization_error(x, q, axis=0)
    for value in (got.mse, got.mae, got.max_abs):
        assert np.isnan(value[1]) and np.isinf(value[2]) and np.isfinite(value[[0, 3]]).all()
    assert np.isnan(uf.quantization_error(x, q).max_abs)


@pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")
def test_any_number_of_threads_gives_the_same_bits() -> None:
    x = sample((700, 1000))
    q = uf.quantize(x, "int4", axis=1, block_size=100)
    found = []
    for threads in (1, 2, 5):
        with uf.threads(threads):
            found.append(np.array(uf.quantization_error(x, q)).tobytes())
            found.append(np.array(uf.quantization_error(np.asfortranarray(x), q)).tobytes())
    assert len(set(found)) == 1


LAYOUTS = [(1000,), (64, 96), (33, 65), (3, 1, 48), (130, 16, 20), (5, LONG), (2100, 70)]
SCHEMES = [
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int4",
    "uint4",
    "int2",
    "float8_e5m2",
    "float4_e2m1fn",
]


@pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")
@pytest.mark.parametrize("shape", LAYOUTS, ids=str)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_any_layout_gives_the_same_bits(shape: tuple[int, ...], scheme: str) -> None:
    """Codes are compared in registers, or decoded first, or turned in cache: as memory asks."""
    x = sample(shape, spread=3)
    x[..., :2] *= 1e-25  # squares beyond float32
    wide = np.full((*shape[:-1], shape[-1] * 2), np.nan, np.float32)
    wide[..., ::2] = x
    layouts = [
        np.asfortranarray(x),
        wide[..., ::2],
        x.astype(">f4"),
        x[..., ::-1].copy()[..., ::-1],
    ]
    grains: list[dict[str, Any]] = [{}, {"axis": 0}, {"axis": -1}]
    grains += [{"axis": -1, "block_size": 16}, {"axis": 0, "block_size": 5}]
    for grain in grains:
        q = uf.quantize(x, scheme, **grain)
        for axis in (None, *range(x.ndim)):
            want = uf.quantization_error(x, q, axis=axis)
            for layout in layouts:
                np.testing.assert_equal(uf.quantization_error(layout, q, axis=axis), want)


def test_empty_and_scalar() -> None:
    x = np.zeros((0, 4), np.float32)
    got = uf.quantization_error(x, uf.quantize(x), axis=1)
    assert got.mse.shape == (4,) and np.isnan(got.mse).all()
    got = uf.quantization_error(np.float32(2), uf.quantize(np.float32(2)))
    assert got.max_abs == 0


def test_the_largest_error_of_nothing_was_0_where_others_were_nan() -> None:
    for shape, axis in (((0,), None), ((0, 4), 1), ((3, 0), 0)):
        x = np.zeros(shape, np.float32)
        got = uf.quantization_error(x, uf.quantize(x), axis=axis)
        assert all(np.isnan(measure).all() for measure in got)
        assert got.max_abs.shape == (() if axis is None else (x.shape[axis],))


def test_bad_input() -> None:
    x = sample((4, 6))
    q = uf.quantize(x)
    for call, error, message in (
        (lambda: uf.quantization_error(x[:3], q), ValueError, r"'q': expected the shape of x, \(3"),
        (lambda: uf.quantization_error(x.astype("i4"), q), TypeError, "'x': expected float32"),
        (lambda: uf.quantization_error(x, x), TypeError, "'q': expected a QuantizedArray"),
        (lambda: uf.quantization_error(x, q, axis=2), np.exceptions.AxisError, "axis 2"),
    ):
        with pytest.raises(error, match=message):
            call()
