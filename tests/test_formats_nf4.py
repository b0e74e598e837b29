"""`ufuse.formats.nf4`: NF4 and FP4; bitsandbytes as oracle is in `oracles`."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from formats_cases import HOSTILE, LAYOUTS, by_the_twin, hostile_rows, same
from ufuse.formats import nf4

Array = np.ndarray[Any, Any]


def same_record(a: nf4.NF4Array, b: nf4.NF4Array) -> None:
    same(a.codes, b.codes)
    same(a.absmax, b.absmax)
    assert (a.kind, a.shape, a.block_size, a.offset) == (b.kind, b.shape, b.block_size, b.offset)
    assert (a.nested is None) == (b.nested is None)
    if a.nested is not None and b.nested is not None:
        same(a.nested, b.nested)


def check(x: Array, **options: Any) -> nf4.NF4Array:
    """Compare with the twin, both ways."""
    got = nf4.quantize(x, **options)
    plain = np.array(x, x.dtype.newbyteorder("="), order="C")
    with by_the_twin():
        want = nf4.quantize(plain, **options)
        numbers = want.dequantize()
    same_record(got, want)
    same(got.dequantize(), numbers)
    return got


@pytest.mark.parametrize("block", nf4.BLOCK_SIZES)
@pytest.mark.parametrize("kind", nf4.KINDS)
@pytest.mark.parametrize("columns", [64, 1, 63, 4096, 200])
def test_hostile_values(kind: str, block: int, columns: int) -> None:
    check(hostile_rows(columns), kind=kind, block_size=block)


def tables() -> dict[str, Array]:
    """Of each kind the numbers that codes stand for."""
    codes = np.arange(16, dtype=np.uint8)
    packed = codes[::2] << 4 | codes[1::2]
    one = np.ones(1, np.float32)
    return {kind: nf4.NF4Array(packed, one, kind, (16,)).dequantize() for kind in nf4.KINDS}


@pytest.mark.parametrize("kind", nf4.KINDS)
def test_nearest_value(kind: str) -> None:
    """Exhaustive around the bounds: below and at a bound the smaller value, above it the larger."""
    values = np.unique(tables()[kind])
    bounds = (values[:-1] + values[1:]) / np.float32(2)
    for steps in range(-40, 41):
        x = (bounds.view(np.int32) + np.where(bounds < 0, -steps, steps)).astype(np.int32)
        row = np.append(x.view(np.float32), np.float32(1))
        row = np.pad(row, (0, 64 - row.size))
        numbers = nf4.quantize(row, kind=kind).dequantize()[: bounds.size]
        np.testing.assert_array_equal(numbers, values[1:] if steps > 0 else values[:-1])


@pytest.mark.parametrize("kind", nf4.KINDS)
def test_nearest_of_a_fine_grid(kind: str) -> None:
    values = tables()[kind]
    x = np.linspace(-1, 1, 64 * 4001).astype(np.float32).reshape(-1, 64)
    x[:, 5] = 1  # the largest magnitude
    numbers = nf4.quantize(x, kind=kind).dequantize()
    distance = np.abs(numbers - x)
    best = np.abs(x[..., None] - values).min(axis=-1)
    assert (distance <= best + 1e-7).all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("shape", [(6, 128), (3, 70, 45), (7, 33)])
def test_layouts(shape: tuple[int, ...], double: bool, layout: str) -> None:
    """bitsandbytes#1690: the elements are those of x.ravel(), however they lie."""
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    q = check(LAYOUTS[layout](x), double=double)
    flat = nf4.quantize(x.ravel(), double=double)
    same(q.codes, flat.codes)
    same(q.absmax, flat.absmax)
    same(q.dequantize().ravel(), flat.dequantize())


def test_transposed() -> None:
    x = np.random.default_rng(2).normal(size=(128, 192)).astype(np.float32)
    same_record(check(x.T), nf4.quantize(x.T.copy()))


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (2,), (3,), (64,), (65,), (2, 1, 33)])
def test_shapes(shape: tuple[int, ...], double: bool) -> None:
    x = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    q = check(x, double=double)
    blocks = -(-x.size // 64)
    assert q.codes.shape == (-(-x.size // 2),) and q.absmax.shape == (blocks,)
    assert q.dequantize().shape == shape
    assert q.absmax.dtype == (np.uint8 if double else np.float32)
    nested = (-(-blocks // 256)) * 4 + 4 if double else 0
    assert q.nbytes == q.codes.nbytes + q.absmax.nbytes + nested


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", ">f8", ">f2"])
@pytest.mark.parametrize("shape", [(5, 77), (3, 64)])
def test_other_floats(shape: tuple[int, ...], dtype: str) -> None:
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    x = (np.random.default_rng(4).normal(size=shape) * 3).astype(dtype)
    same_record(nf4.quantize(x), nf4.quantize(x.astype(np.float32)))
    same_record(nf4.quantize(x.T), nf4.quantize(x.T.astype(np.float32)))


@pytest.mark.parametrize("shape", [(64, 64), (35, 50)])
def test_results_of_narrow_floats_and_strides(shape: tuple[int, int]) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    q = nf4.quantize(np.random.default_rng(5).normal(size=shape).astype(np.float32))
    want = q.dequantize()
    for dtype in (np.float32, np.float16, ml_dtypes.bfloat16):
        out = np.empty((shape[1], 2 * shape[0]), dtype).T[::2]
        assert q.dequantize(out=out) is out
        np.testing.assert_array_equal(out.astype(np.float32), want.astype(dtype).astype(np.float32))
        assert q.dequantize(dtype=dtype).dtype == dtype


@pytest.mark.parametrize("kind", nf4.KINDS)
def test_nan_and_infinity_take_their_block_alone(kind: str) -> None:
    for value in (np.nan, np.inf, -np.inf):
        x = np.ones(192, np.float32)
        x[70] = value
        numbers = nf4.quantize(x, kind=kind).dequantize()
        assert (numbers[:64] == 1).all() and (numbers[128:] == 1).all()
        assert not np.isfinite(numbers[70])


def test_known_bytes() -> None:
    q = nf4.quantize(np.float32([1.0, -1.0, 0.0, 0.3]))
    assert q.codes.tolist() == [0xF0, 0x7B] and q.absmax.tolist() == [1.0]
    four = nf4.quantize(np.float32([1.0, -1.0, 0.0, 0.3]), kind="fp4")
    assert four.codes.tolist() == [0x3B, 0x04]


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("shape", [(6, 75), (6, 64)])
def test_out_is_written(shape: tuple[int, int], double: bool) -> None:
    record = nf4.quantize(np.ones(shape, np.float32), double=double)
    x = np.random.default_rng(6).normal(size=shape).astype(np.float32)
    got = nf4.quantize(x, double=double, out=record)
    assert np.shares_memory(got.codes, record.codes)
    assert np.shares_memory(got.absmax, record.absmax)
    assert not double or np.shares_memory(got.nested, record.nested)
    same_record(got, nf4.quantize(x, double=double))


def test_out_may_overlap() -> None:
    for size in (512, 515):
        x = np.random.default_rng(7).normal(size=size).astype(np.float32)
        want = nf4.quantize(x)
        memory = x.copy()
        codes = memory.view(np.uint8)[100 : 100 + want.codes.size]
        record = nf4.NF4Array(codes, memory[400 : 400 + want.absmax.size], "nf4", (size,))
        same_record(nf4.quantize(memory, out=record), want)
        same(record.dequantize(out=memory).copy(), want.dequantize())


@pytest.mark.skipif(not NATIVE, reason="the reference executor has no threads or tiles")
def test_threads_and_tiles_do_not_matter() -> None:
    x = np.random.default_rng(8).normal(size=(1 << 17, 67)).astype(np.float32)
    for block in (64, 4096):
        with uf.threads(1):
            want = nf4.quantize(x, block_size=block)
            numbers = want.dequantize()
        with uf.threads(3):
            got = nf4.quantize(x, block_size=block)
            same_record(got, want)
            same(got.dequantize(), numbers)


def test_double_is_close() -> None:
    x = np.random.default_rng(9).normal(size=(300, 500)).astype(np.float32)
    plain, double = (nf4.quantize(x, double=double) for double in (False, True))
    same(plain.codes, double.codes)
    np.testing.assert_allclose(double.scales(), plain.absmax, rtol=0.02)
    assert double.nbytes < plain.nbytes and double.double and not plain.double


def test_records() -> None:
    x = np.random.default_rng(10).normal(size=(3, 40)).astype(np.float32)
    for double in (False, True):
        q = nf4.quantize(x, double=double)
        same_record(pickle.loads(pickle.dumps(q)), q)
        same(np.asarray(q), q.dequantize())
    assert repr(q) == "NF4Array(shape=(3, 40), nf4, blocks of 64, scales quantized, 70 bytes)"
    with pytest.raises(TypeError, match="NF4Array"):
        np.ones((2, 3), np.float32) @ q


X = np.ones((3, 40), np.float32)
NAN = np.full(70, np.nan, np.float32)
ERRORS = {
    "dtype": (lambda: nf4.quantize(X.astype(int)), TypeError, "'x': expected float32.*int64"),
    "kind": (lambda: nf4.quantize(X, kind="nf5"), ValueError, "'kind'.*'nf4', 'fp4'.*'nf5'"),
    "block": (lambda: nf4.quantize(X, block_size=48), ValueError, "'block_size'.*4096.*got 48"),
    "nan": (lambda: nf4.quantize(NAN, double=True), ValueError, "'x'.*double=False"),
    "out type": (lambda: nf4.quantize(X, out=X), TypeError, "'out': expected an NF4Array"),
    "out": (lambda: nf4.quantize(X, out=nf4.quantize(X.T)), ValueError, r"'out'.*\(40, 3\)"),
    "dequantize": (
        lambda: nf4.quantize(X).dequantize(out=np.empty(3, np.float32)),
        ValueError,
        r"'out': expected shape \(3, 40\)",
    ),
    "record": (
        lambda: nf4.NF4Array(np.zeros(60, np.uint8), np.zeros(1, np.float32), "nf4", (3, 40)),
        ValueError,
        r"'absmax': expected shape \(2,\)",
    ),
    "half a record": (
        lambda: nf4.NF4Array(
            np.zeros(60, np.uint8), np.zeros(2, np.uint8), "nf4", (3, 40), offset=1
        ),
        ValueError,
        "'offset'",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_input(case: str) -> None:
    call, kind, message = ERRORS[case]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "ufuse.formats.nf4." in str(caught.value)


def test_read_only_out_is_refused_before_anything_is_written() -> None:
    record = nf4.quantize(X)
    absmax = record.absmax.copy()
    absmax.flags.writeable = False
    record = replace(record, codes=record.codes.copy(), absmax=absmax)
    before = record.codes.copy()
    with pytest.raises(ValueError, match="'out': its absmax are read-only"):
        nf4.quantize(-X, out=record)
    same(record.codes, before)


def test_every_hostile_value_alone() -> None:
    for value in HOSTILE:
        check(np.full((1,), value))
        check(np.full((64,), value))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("shape", [(300, 64), (5, 75)])
def test_values_that_double_refuses_leave_the_record_as_it_was(
    value: float, shape: tuple[int, int]
) -> None:
    x = np.random.default_rng(11).normal(size=shape)
    record = nf4.quantize(x, double=True)
    before = [part.copy() for part in (record.codes, record.absmax, record.nested)]
    x[-1, -1] = value
    with pytest.raises(ValueError, match=r"'x': expected finite values.*use double=False"):
        nf4.quantize(-x, double=True, out=record)
    for part, was in zip((record.codes, record.absmax, record.nested), before, strict=True):
        same(part, was)


def test_double_out_may_overlap() -> None:
    x = np.random.default_rng(12).normal(size=4096).astype(np.float32)
    want = nf4.quantize(x, double=True)
    memory = x.copy()
    codes, absmax = (
        memory.view(np.uint8)[100 : 100 + want.codes.size],
        memory.view(np.uint8)[6000 : 6000 + want.absmax.size],
    )
    record = nf4.NF4Array(codes, absmax, "nf4", (4096,), 64, memory[3000:3001], np.float32(0))
    same_record(nf4.quantize(memory, double=True, out=record), want)
