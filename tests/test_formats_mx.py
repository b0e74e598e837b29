"""`ufuse.formats.mx`: MX formats; the oracles of others are in `oracles`."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from formats_cases import LAYOUTS, by_the_twin, hostile_rows, same
from ufuse.formats import mx

Array = np.ndarray[Any, Any]
KINDS = ("mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e2m3", "mxfp6_e3m2", "mxfp4", "mxint8")
FORMS = [(kind, False) for kind in KINDS] + [("mxfp6_e2m3", True), ("mxfp6_e3m2", True)]
MODES = ("floor", "ceil", "even", "rceil")


def same_record(a: mx.MXArray, b: mx.MXArray) -> None:
    same(a.codes, b.codes)
    same(a.scales, b.scales)
    assert (a.kind, a.shape, a.axis, a.block_size, a.packed) == (
        *(b.kind, b.shape, b.axis),
        *(b.block_size, b.packed),
    )


def check(x: Array, kind: str, **options: Any) -> mx.MXArray:
    """Compare with the twin, both ways."""
    got = mx.quantize(x, kind, **options)
    plain = np.array(x, x.dtype.newbyteorder("="))
    with by_the_twin():
        want = mx.quantize(plain, kind, **options)
        numbers = want.dequantize()
    same_record(got, want)
    same(got.dequantize(), numbers)
    return got


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "packed"), FORMS)
@pytest.mark.parametrize("columns", [32, 1, 31, 33, 67, 200])
def test_hostile_values(kind: str, packed: bool, mode: str, columns: int) -> None:
    check(hostile_rows(columns), kind, scale_mode=mode, packed=packed)


@pytest.mark.parametrize("block", [16, 48, 64, 128, 1024])
@pytest.mark.parametrize(("kind", "packed"), FORMS)
def test_block_sizes(kind: str, packed: bool, block: int) -> None:
    check(hostile_rows(300), kind, block_size=block, packed=packed)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("axis", [0, 1, 2, -2])
@pytest.mark.parametrize(("kind", "packed"), [("mxfp8", False), ("mxfp4", False), FORMS[-1]])
def test_layouts_and_axes(kind: str, packed: bool, axis: int, layout: str) -> None:
    x = np.random.default_rng(1).normal(size=(3, 70, 45)).astype(np.float32)
    q = check(LAYOUTS[layout](x), kind, axis=axis, packed=packed)
    moved = mx.quantize(np.moveaxis(x, axis, -1).copy(), kind, packed=packed)
    same(np.moveaxis(q.codes, axis, -1), moved.codes)
    same(np.moveaxis(q.scales, axis, -1), moved.scales)
    assert q.dequantize().shape == x.shape


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (1,), (1, 1), (5,), (2, 1, 33)])
@pytest.mark.parametrize(("kind", "packed"), FORMS)
def test_shapes(kind: str, packed: bool, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    q = check(x, kind, packed=packed)
    bits = 8 if kind.startswith("mxfp6") and not packed else {"4": 4, "6": 6}.get(kind[4], 8)
    count = shape[-1]
    assert q.codes.shape == (*shape[:-1], -(-count * bits // 8))
    assert q.scales.shape == (*shape[:-1], -(-count // 32))
    assert q.nbytes == q.codes.size + q.scales.size


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", ">f8", ">f2"])
def test_other_floats(dtype: str) -> None:
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    x = (np.random.default_rng(3).normal(size=(5, 77)) * 3).astype(dtype)
    same_record(mx.quantize(x, "mxfp8"), mx.quantize(x.astype(np.float32), "mxfp8"))
    same_record(mx.quantize(x.T, "mxfp8"), mx.quantize(x.T.astype(np.float32), "mxfp8"))


def test_results_of_narrow_floats() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    q = mx.quantize(hostile_rows(70)[:40], "mxfp8")
    for dtype in (np.float16, ml_dtypes.bfloat16):
        with np.errstate(all="ignore"):
            want = q.dequantize().astype(dtype)
        same(q.dequantize(dtype=dtype).view(np.uint16), want.view(np.uint16))
        out = np.empty((70, 40), dtype).T
        assert q.dequantize(out=out) is out
        same(out.view(np.uint16), want.view(np.uint16))


def test_scales_are_read_from_the_bits() -> None:
    """QUANT: floor(log2(x)) in floats is wrong just below powers of two."""
    x = np.float32([[np.nextafter(np.float32(2.0**k), np.float32(0))] for k in range(-100, 100)])
    assert (mx.quantize(x, "mxint8").scales[:, 0] == np.arange(-101, 99) + 127).all()


def test_floor_clips() -> None:
    """QUANT: FLOOR clips amax 449..511 to 448; the other modes do not."""
    x = np.full((1, 32), 500, np.float32)
    assert mx.quantize(x, "mxfp8").dequantize()[0, 0] == 448
    for mode in MODES[1:]:
        assert mx.quantize(x, "mxfp8", scale_mode=mode).dequantize()[0, 0] in (480, 512)


def test_nan_takes_its_block_alone() -> None:
    x = np.ones((1, 70), np.float32)
    x[0, 40] = np.nan
    for kind in KINDS:
        q = mx.quantize(x, kind)
        assert q.scales[0, 1] == 255
        numbers = q.dequantize()
        assert np.isnan(numbers[0, 32:64]).all() and (numbers[0, :32] == 1).all()
        assert (numbers[0, 64:] == 1).all()


def test_infinity_saturates() -> None:
    x = np.float32([[np.inf, -np.inf, 1.0]])
    for kind in KINDS:
        numbers = mx.quantize(x, kind).dequantize()
        assert numbers[0, 0] == -numbers[0, 1] > 1e37


def test_known_bytes() -> None:
    x = np.float32([[1.0, -0.5, 6.0, 3.0, -0.0]])
    q = mx.quantize(x, "mxfp4")
    assert q.codes.tolist() == [[0x92, 0x57, 0x08]] and q.scales.tolist() == [[127]]
    six = mx.quantize(x, "mxfp6_e2m3", packed=True)
    codes = [0x08, 0x24, 0x1C, 0x14, 0x20]
    word = sum(code << 6 * i for i, code in enumerate(codes))
    assert six.codes[0].tolist() == list(word.to_bytes(4, "little"))


@pytest.mark.parametrize(("kind", "packed"), FORMS)
def test_out_is_written_and_returned(kind: str, packed: bool) -> None:
    rng = np.random.default_rng(4)
    record = mx.quantize(np.zeros((6, 75), np.float32), kind, packed=packed, axis=0)
    x = rng.normal(size=(6, 75)).astype(np.float32)
    assert mx.quantize(x, kind, packed=packed, axis=0, out=record) is record
    same_record(record, mx.quantize(x, kind, packed=packed, axis=0))
    out = np.empty((75, 12), np.float32).T[::2]
    assert record.dequantize(out=out) is out
    same(out.copy(), record.dequantize())


def test_out_may_overlap() -> None:
    x = np.random.default_rng(5).normal(size=(4, 64)).astype(np.float32)
    want = mx.quantize(x, "mxfp8")
    memory = np.zeros(4 * 64 * 4 + 8, np.uint8)
    for codes_at, scales_at in ((0, 600), (300, 0)):
        values = memory[: x.nbytes].view(np.float32).reshape(x.shape)
        values[...] = x
        codes = memory[codes_at : codes_at + 256].reshape(4, 64)
        scales = memory[scales_at : scales_at + 8].reshape(4, 2)
        record = mx.MXArray(codes, scales, "mxfp8", (4, 64))
        mx.quantize(values, "mxfp8", out=record)
        same_record(record, want)
        numbers = memory[4 : 4 + x.nbytes].view(np.float32).reshape(x.shape)
        same(record.dequantize(out=numbers).copy(), want.dequantize())


@pytest.mark.skipif(not NATIVE, reason="the reference executor has no threads or tiles")
def test_threads_and_tiles_do_not_matter() -> None:
    """Past a tile, a thread's share, and the size from which results go past the caches."""
    x = np.random.default_rng(6).normal(size=(1 << 17, 67)).astype(np.float32)
    with uf.threads(1):
        want = mx.quantize(x, "mxfp8")
        numbers = want.dequantize()
    with uf.threads(3):
        got = mx.quantize(x, "mxfp8")
        same_record(got, want)
        same(got.dequantize(), numbers)
    flat = mx.quantize(x[:, :64].copy(), "mxfp4")
    same_record(flat, mx.quantize(x[:, :64], "mxfp4"))
    some = slice(1 << 16, (1 << 16) + 50)
    same(want.codes[some], mx.quantize(x[some], "mxfp8").codes)


def test_records() -> None:
    x = np.random.default_rng(7).normal(size=(3, 40)).astype(np.float32)
    q = mx.quantize(x, "mxfp6_e3m2", packed=True, axis=0)
    same_record(pickle.loads(pickle.dumps(q)), q)
    assert repr(q) == (
        "MXArray(shape=(3, 40), mxfp6_e3m2, packed, blocks of 32 on axis 0, 160 bytes)"
    )
    same(np.asarray(q), q.dequantize())
    assert np.asarray(q, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        np.asarray(q, copy=False)
    with pytest.raises(TypeError, match="MXArray"):
        np.ones((2, 3), np.float32) @ q
    with pytest.raises(AttributeError):
        q.kind = "mxfp4"  # type: ignore[misc]


X = np.ones((3, 40), np.float32)
ERRORS = {
    "dtype": (lambda: mx.quantize(X.astype(int), "mxfp8"), TypeError, "'x': expected float32.*int"),
    "complex": (lambda: mx.quantize(X * 1j, "mxfp8"), TypeError, "'x'.*complex64"),
    "0-d": (lambda: mx.quantize(np.float32(1), "mxfp8"), ValueError, "'x'.*0-d"),
    "kind": (lambda: mx.quantize(X, "mxfp5"), ValueError, "'kind'.*'mxfp8_e4m3'.*'mxfp5'"),
    "kind type": (lambda: mx.quantize(X, 8), ValueError, "'kind'.*got 8"),
    "axis": (lambda: mx.quantize(X, "mxfp8", axis=2), np.exceptions.AxisError, "axis 2"),
    "axis type": (lambda: mx.quantize(X, "mxfp8", axis="x"), TypeError, "'axis'.*'x'"),
    "block": (lambda: mx.quantize(X, "mxfp8", block_size=24), ValueError, "'block_size'.*16.*24"),
    "no block": (lambda: mx.quantize(X, "mxfp8", block_size=0), ValueError, "'block_size'.*got 0"),
    "mode": (lambda: mx.quantize(X, "mxfp8", scale_mode="up"), ValueError, "'scale_mode'.*'up'"),
    "packed": (lambda: mx.quantize(X, "mxfp8", packed=True), ValueError, "'packed'.*8 bits"),
    "out type": (lambda: mx.quantize(X, "mxfp8", out=X), TypeError, "'out': expected an MXArray"),
    "out kind": (
        lambda: mx.quantize(X, "mxfp8", out=mx.quantize(X, "mxint8")),
        ValueError,
        "'out'.*mxfp8_e4m3.*mxint8",
    ),
    "dequantize dtype": (
        lambda: mx.quantize(X, "mxfp8").dequantize(dtype=np.int8),
        TypeError,
        "dequantize: argument 'dtype': expected float32.*int8",
    ),
    "dequantize shape": (
        lambda: mx.quantize(X, "mxfp8").dequantize(out=np.empty(3, np.float32)),
        ValueError,
        r"'out': expected shape \(3, 40\), got shape \(3,\)",
    ),
    "dequantize out": (
        lambda: mx.quantize(X, "mxfp8").dequantize(out=np.empty((3, 40), np.int32)),
        TypeError,
        "'out': expected dtype float32, float64.*int32",
    ),
    "record codes": (
        lambda: mx.MXArray(
            np.zeros((3, 40), np.int8), np.zeros((3, 2), np.uint8), "mxfp8", (3, 40)
        ),
        TypeError,
        "MXArray: attribute 'codes': expected dtype uint8",
    ),
    "record scales": (
        lambda: mx.MXArray(
            np.zeros((3, 40), np.uint8), np.zeros((3, 1), np.uint8), "mxfp8", (3, 40)
        ),
        ValueError,
        r"'scales': expected shape \(3, 2\), got shape \(3, 1\)",
    ),
    "record shape": (
        lambda: mx.MXArray(np.zeros(0, np.uint8), np.zeros(0, np.uint8), "mxfp8", (-1,)),
        ValueError,
        "attribute 'shape'",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_input(case: str) -> None:
    call, kind, message = ERRORS[case]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "ufuse.formats.mx." in str(caught.value)


def test_read_only_out_is_refused_before_anything_is_written() -> None:
    record = mx.quantize(X, "mxfp8")
    scales = record.scales.copy()
    scales.flags.writeable = False
    record = replace(record, codes=record.codes.copy(), scales=scales)
    before = record.codes.copy()
    with pytest.raises(ValueError, match=r"mx\.quantize: argument 'out': its scales are read-only"):
        mx.quantize(X * 3, "mxfp8", out=record)
    same(record.codes, before)


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(8).normal(size=(3, 40)).astype(np.float32)
    same_record(mx.quantize(torch.from_numpy(x), "mxfp8"), mx.quantize(x, "mxfp8"))
    tensor = torch.from_numpy(x).to(torch.bfloat16)
    same_record(
        mx.quantize(tensor, "mxfp4"), mx.quantize(tensor.to(torch.float32).numpy(), "mxfp4")
    )
