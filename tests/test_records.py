"""What all records of quantized arrays have in common."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from test_quantization_error import exact
from ufuse.formats import gguf, mx, nf4, nvfp4
from ufuse.quant import decoded
from ufuse.quant.record import Record, boxes

ml_dtypes = pytest.importorskip("ml_dtypes")


def of_gguf(kind: str) -> Callable[[np.ndarray], gguf.GGUFArray]:
    return lambda x: gguf.GGUFArray(gguf.quantize(x, kind), kind)


#: How records are made of arrays, and the block that has to divide the last axis.
MAKERS: dict[str, tuple[Callable[[np.ndarray], Any], int]] = {
    "int8": (lambda x: uf.quantize(x, "int8"), 1),
    "uint16 axis": (lambda x: uf.quantize(x, "uint16", axis=0), 1),
    "int4 blocks": (lambda x: uf.quantize(x, "int4", axis=-1, block_size=32), 1),
    "int4 odd blocks": (lambda x: uf.quantize(x, "int4", axis=-1, block_size=7), 1),
    "int2": (lambda x: uf.quantize(x, "int2"), 1),
    "uint2 axis": (lambda x: uf.quantize(x, "uint2", axis=-1), 1),
    "float4": (lambda x: uf.quantize(x, "float4_e2m1fn", axis=0), 1),
    "float8": (lambda x: uf.quantize(x, "float8_e4m3fn"), 1),
    "mxfp8": (lambda x: mx.quantize(x, "mxfp8"), 1),
    "mxfp6": (lambda x: mx.quantize(x, "mxfp6_e3m2"), 1),
    "mxfp6 packed": (lambda x: mx.quantize(x, "mxfp6_e2m3", packed=True), 1),
    "mxfp4 axis": (lambda x: mx.quantize(x, "mxfp4", axis=0, block_size=16), 1),
    "mxint8": (lambda x: mx.quantize(x, "mxint8"), 1),
    "nvfp4": (nvfp4.quantize, 1),
    "nvfp4 axis": (lambda x: nvfp4.quantize(x, axis=0), 1),
    "nvfp4 swizzled": (lambda x: nvfp4.quantize(x, swizzle=True), 1),
    "nf4": (nf4.quantize, 1),
    "fp4": (lambda x: nf4.quantize(x, kind="fp4", block_size=32), 1),
    "nf4 double": (lambda x: nf4.quantize(x, double=True), 1),
    "Q8_0": (of_gguf("Q8_0"), 32),
    "Q4_K": (of_gguf("Q4_K"), 256),
    "BF16": (of_gguf("BF16"), 1),
}
every = pytest.mark.parametrize("name", MAKERS)


def make(name: str, shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, Any]:
    """Return an array and its record; a last axis that does not fit the format is made longer."""
    maker, block = MAKERS[name]
    shape = (*shape[:-1], -(-shape[-1] // block) * block)
    x = np.random.default_rng(seed).normal(0.1, 1, shape).astype(np.float32)
    return x, maker(x)


def same(got: Any, want: Any) -> None:
    """Records with the same parts."""
    assert type(got) is type(want) and repr(got) == repr(want)
    assert got._about() == want._about()
    one, other = got._stored(), want._stored()
    assert one.keys() == other.keys()
    for suffix, part in one.items():
        assert part.dtype == other[suffix].dtype and part.shape == other[suffix].shape
        assert part.tobytes() == other[suffix].tobytes(), suffix


@every
@pytest.mark.parametrize("shape", [(6, 64), (5, 77), (3, 4, 50), (0, 64), (3, 0)], ids=str)
def test_numbers_and_bytes(name: str, shape: tuple[int, ...]) -> None:
    x, q = make(name, shape)
    assert isinstance(q, Record) and q.shape == x.shape and len(q) == shape[0]
    assert f"shape={q.shape}" in repr(q) and f"{q.nbytes} bytes" in repr(q)
    assert q.nbytes == sum(part.nbytes for part in q._stored().values())
    want = q.dequantize()
    assert want.dtype == np.float32 and want.shape == x.shape
    np.testing.assert_array_equal(np.asarray(q), want)
    np.testing.assert_array_equal(np.asarray(q, np.float64), want.astype(np.float64))
    for dtype in (np.float16, "bfloat16", ml_dtypes.bfloat16):
        got = q.dequantize(dtype=dtype)
        single = want.astype(ml_dtypes.bfloat16 if dtype != np.float16 else dtype)
        np.testing.assert_array_equal(got.view(np.uint16), single.view(np.uint16))
        out = np.empty(x.shape, got.dtype, order="F")
        assert q.dequantize(out=out) is out
        np.testing.assert_array_equal(out.view(np.uint16), got.view(np.uint16))
    swapped = np.empty(x.shape, ">f4")
    np.testing.assert_array_equal(q.dequantize(swapped), want)
    with pytest.raises(ValueError, match="copy=None"):
        np.asarray(q, copy=False)
    with pytest.raises(TypeError):
        x + q


@every
def test_float64_whatever_the_format(name: str) -> None:
    """Records of formats once refused it; theirs are the float32 numbers."""
    _, q = make(name, (4, 64))
    if isinstance(q, uf.QuantizedArray):
        zero = q.zero_point.view(q.codes().dtype)
        how: dict[str, Any] = {"axis": q.axis, "block_size": q.block_size, "dtype": np.float64}
        want = uf.dequantize_linear(q.codes(), q.scale, zero, **how)
        np.testing.assert_array_equal(q.dequantize(dtype=np.float64), want)
        np.testing.assert_array_equal(q.dequantize(np.empty(q.shape)), want)
        return
    want = q.dequantize().astype(np.float64)
    found = q.dequantize(dtype=np.float64)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, want)
    swapped = np.empty(q.shape[::-1], ">f8").T
    assert q.dequantize(swapped) is swapped
    np.testing.assert_array_equal(swapped, want)
    with pytest.raises(TypeError, match=r"expected float32, float64, float16 or bfloat16"):
        q.dequantize(dtype=np.int8)


ROWS = [2, -1, slice(1, 4), slice(None, None, -2), [0, 3, 3], np.array([True, False] * 3)]


@every
@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("shape", [(6, 64), (6, 2, 128), (6, 45)], ids=str)
def test_rows(name: str, rows: Any, shape: tuple[int, ...]) -> None:
    """Formats' records once had none."""
    x, q = make(name, shape)
    shared = getattr(q, "axis", None) == 0 and not isinstance(q, uf.QuantizedArray)
    if shared or (isinstance(q, nf4.NF4Array) and x[0].size % q.block_size):
        with pytest.raises(IndexError, match=r"share scales; dequantize\(\) first"):
            q[rows]
        return
    part = q[rows]
    assert type(part) is type(q)
    np.testing.assert_array_equal(part.dequantize(), q.dequantize()[rows])
    if not np.ndim(rows) and not isinstance(rows, slice):
        return
    np.testing.assert_array_equal(part[0].dequantize(), q.dequantize()[rows][0])


@every
def test_rows_that_are_none(name: str) -> None:
    _, q = make(name, (6, 64))
    for rows in ((0, 1), None, ...):
        with pytest.raises(IndexError, match="expected indices of the first axis"):
            q[rows]
    for rows in (6, -7, "a", 1.0):
        with pytest.raises(IndexError):
            q[rows]
    with pytest.raises(IndexError, match="array of 2 dimensions"):
        q[[[0, 1], [1, 2]]]
    _, line = make(name, (64,))
    if not isinstance(line, uf.QuantizedArray) or line.is_packed:
        with pytest.raises(IndexError, match=r"dequantize\(\) first"):
            line[0]


@every
def test_pickles(name: str) -> None:
    _, q = make(name, (5, 45))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        same(pickle.loads(pickle.dumps(q, protocol)), q)


@every
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files(name: str, suffix: str, tmp_path: Path) -> None:
    """Only `QuantizedArray` could once be saved."""
    _, q = make(name, (5, 45))
    path = tmp_path / f"q{suffix}"
    q.save(path)
    back = type(q).load(path)
    same(back, q)
    np.testing.assert_array_equal(back.dequantize(), q.dequantize())
    if suffix == ".safetensors":
        same(uf.files.load_model(path)["data"], q)
    other = nf4.NF4Array if not isinstance(q, nf4.NF4Array) else mx.MXArray
    with pytest.raises(ValueError, match=f"{type(q).__name__}.load reads it"):
        other.load(path)


def test_numbers_of_numpy_are_saved(tmp_path: Path) -> None:
    """A block size that was a NumPy integer was once no JSON."""
    x = np.ones((4, 64), np.float32)
    for q in (
        uf.quantize(x, axis=1, block_size=np.int64(32)),
        uf.quantize(x, block_size=(np.int32(2), np.uint8(32))),
        mx.quantize(x, "mxfp8", block_size=np.int16(32)),
        nf4.quantize(x, block_size=np.int64(32)),
    ):
        for suffix in (".npz", ".safetensors"):
            q.save(tmp_path / f"q{suffix}")
            np.testing.assert_array_equal(type(q).load(tmp_path / f"q{suffix}"), q)


@every
def test_changed_files_are_refused_or_make_a_record(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    _, q = make(name, (2, 33))
    for suffix in (".npz", ".safetensors"):
        path = tmp_path / f"q{suffix}"
        q.save(path)
        whole = path.read_bytes()
        for _ in range(100):
            changed = bytearray(whole)
            for at in rng.integers(len(whole), size=rng.integers(1, 4)):
                changed[at] = rng.integers(256)
            path.write_bytes(changed)
            try:
                with np.errstate(all="ignore"):
                    type(q).load(path).dequantize()
            except ValueError as error:
                assert path.name in str(error)


def version_1(path: Path, about: dict[str, Any], parts: dict[str, tuple[str, np.ndarray]]) -> None:
    """Write a file as ufuse did before records had a common layout."""
    from ufuse.files.safetensors import Writer

    if path.suffix == ".npz":
        named = {suffix.removeprefix(".") or "data": a for suffix, (_, a) in parts.items()}
        np.savez(path, version=1, about=json.dumps(about), **named)
        return
    words = {"ufuse.version": "1", "ufuse.quantized": json.dumps({"data": about})}
    tensors = {"data" + suffix: (word, a.shape) for suffix, (word, a) in parts.items()}
    with Writer(path, tensors, words) as writer:
        for suffix, (_, array) in parts.items():
            writer.write("data" + suffix, array)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("scheme", ["int8", "int4", "float8_e5m2", "float6_e2m3fn"])
def test_linear_records_of_version_1_are_read(scheme: str, suffix: str, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(4, 13)).astype(np.float32)
    q = uf.quantize(x, scheme, block_size=(2, 5))
    about = {
        "kind": "linear", "scheme": scheme, "axis": None, "block_size": (2, 5), "shape": (4, 13)
    }  # fmt: skip
    word = "F8_E5M2" if scheme == "float8_e5m2" else "I8" if scheme == "int8" else "U8"
    data = q.data.view(np.uint8) if q.code.is_float else q.data
    zero = ("U8" if q.code.is_float else "I8", q.zero_point)
    path = tmp_path / f"q{suffix}"
    version_1(path, about, {"": (word, data), ".scale": ("F32", q.scale), ".zero_point": zero})
    same(uf.QuantizedArray.load(path), q)


def test_models_of_version_1_are_read(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(4, 40)).astype(np.float32)
    path = tmp_path / "m.safetensors"
    q = nvfp4.quantize(x)
    about: dict[str, Any] = {"kind": "nvfp4", "shape": (4, 40), "axis": 1}
    parts = {"": ("U8", q.codes), ".scale": ("F8_E4M3", q.scales)}
    version_1(path, about, {**parts, ".tensor_scale": ("F32", np.asarray(q.tensor_scale))})
    same(uf.files.load_model(path)["data"], q)
    for kind in ("mxfp4", "mxfp8_e5m2"):
        m = mx.quantize(x, kind)
        about = {"kind": kind, "shape": (4, 40), "axis": 1, "block_size": 32}
        version_1(path, about, {"": ("U8", m.codes), ".scale": ("U8", m.scales)})
        same(uf.files.load_model(path)["data"], m)


def test_records_of_unknown_words_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "q.npz"
    mx.quantize(np.ones((2, 32), np.float32), "mxfp4").save(path)
    with np.load(path) as file:
        members = dict(file)
    about = json.loads(str(members["about"]))
    for change, message in (
        ({"record": "mx5"}, "expected a record of linear, nvfp4, mx, nf4, gguf, got 'mx5'"),
        ({"kind": "mxfp5"}, "'kind': expected one of"),
        ({"shape": [2, 64]}, "'codes': expected shape"),
    ):
        np.savez(path, **members | {"about": json.dumps({**about, **change})})
        with pytest.raises(ValueError, match=f"do not fit: .*{message}"):
            mx.MXArray.load(path)


@pytest.mark.parametrize("name", MAKERS)
def test_parts_of_formats_could_be_written(name: str) -> None:
    make, _ = MAKERS[name]
    record = make(np.linspace(-1, 1, 512, dtype=np.float32).reshape(2, 256))
    rows = [] if name in ("mxfp4 axis", "nvfp4 axis") else [record[:1]]
    for made in (record, *rows, pickle.loads(pickle.dumps(record))):
        for part in made._suffixes:
            value = getattr(made, part)
            assert not isinstance(value, np.ndarray) or not value.flags.writeable, part
    given = np.zeros(34, np.uint8)
    assert not gguf.GGUFArray(given, "Q8_0").data.flags.writeable and given.flags.writeable


def test_a_folder_that_is_missing_was_called_by_the_name_of_a_part(tmp_path: Path) -> None:
    path = tmp_path / "none" / "x.npz"
    with pytest.raises(FileNotFoundError) as caught:
        uf.quantize(np.ones(3, np.float32)).save(path)
    assert caught.value.filename == str(path) and ".part" not in str(caught.value)
    path = tmp_path / "folder.npz"
    path.mkdir()
    with pytest.raises(OSError, match=r"folder\.npz") as taken:
        uf.quantize(np.ones(3, np.float32)).save(path)
    assert ".part" not in str(taken.value) and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("word", "value"), [("scheme", ["int8"]), ("shape", [-1]), ("shape", "ab"), ("shape", [])]
)
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_of_shapes_and_schemes_that_are_none_were_read(
    word: str, value: Any, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    q, path = uf.quantize(np.zeros(0, np.float32), "int4"), tmp_path / f"x{suffix}"
    about = q._about() | {word: value}
    with monkeypatch.context() as patch:
        patch.setattr(uf.QuantizedArray, "_about", lambda self: about)
        q.save(path)
    with pytest.raises(ValueError, match="parts that do not fit"):
        uf.QuantizedArray.load(path)


def test_gguf_bytes_are_checked() -> None:
    data = gguf.quantize(np.ones((2, 64), np.float32), "Q4_0")
    assert gguf.GGUFArray(data, "q4_0", (2, 64)).kind == "Q4_0"
    for arguments, error, message in (
        ((data, "Q9"), ValueError, "'kind': expected one of"),
        ((data, "Q8_0"), ValueError, "whole blocks of 34 bytes"),
        ((data, "Q4_0", (4, 32)), ValueError, r"shape \(4, 32\), got shape \(2, 36\)"),
        ((data.view(np.int8), "Q4_0"), TypeError, "expected an ndarray of uint8, got int8"),
        ((data.tolist(), "Q4_0"), TypeError, r"got list; np.asarray\(data, dtype\) makes one"),
    ):
        with pytest.raises(error, match=r"ufuse\.formats\.gguf\.GGUFArray: .*" + message):
            gguf.GGUFArray(*arguments)


def test_records_are_refused_where_arrays_are_wanted() -> None:
    """They were once dequantized without a word, or called int8 codes of dtype float32."""
    q = uf.quantize(np.ones((2, 64), np.float32))
    g = gguf.GGUFArray(gguf.quantize(q.dequantize(), "Q4_0"), "Q4_0")
    for call, argument in (
        (lambda: uf.dequantize_linear(q, 1.0), "x"),
        (lambda: uf.quantize_linear(q, 1.0), "x"),
        (lambda: uf.quantize_linear(np.ones(3, np.float32), q), "scale"),
        (lambda: uf.fake_quantize(q, 1.0), "x"),
        (lambda: uf.dynamic_quantize_linear(q), "x"),
        (lambda: uf.requantize(q, 1.0, 0, 1.0, 0), "x"),
        (lambda: uf.cast(q, "float16"), "x"),
        (lambda: uf.pack(q, "int4"), "x"),
        (lambda: uf.quantize(q), "x"),
        (lambda: mx.quantize(q, "mxfp4"), "x"),
        (lambda: nvfp4.quantize(q), "x"),
        (lambda: nf4.quantize(q), "x"),
        (lambda: gguf.quantize(q, "Q4_0"), "x"),
        (lambda: gguf.dequantize(g, "Q4_0"), "data"),
    ):
        with pytest.raises(TypeError, match=rf"'{argument}': .*{argument}\.dequantize\(\) gives"):
            call()


def test_messages_say_what_to_convert_with() -> None:
    codes, one = np.zeros((2, 32), np.uint8), np.ones((), np.float32)
    torch = type("Tensor", (), {"__module__": "torch"})()
    q = uf.quantize(np.ones((4, 3), np.float32), axis=0)
    for call, message in (
        (lambda: mx.MXArray(codes.tolist(), codes, "mxfp8", (2, 32)), r"np.asarray\(codes, dtype"),
        (lambda: mx.MXArray(codes, torch, "mxfp8", (2, 32)), r"scales\.numpy\(\) is one"),
        (lambda: uf.QuantizedArray(torch, one, np.int8(0)), r"data\.numpy\(\) is one"),
        (lambda: q.dequantize(torch), r"out\.numpy\(\) is one"),
        (lambda: q.dequantize(np.float16), r"pass dtype=<class 'numpy.float16'>"),
        (lambda: nvfp4.to_blocked([[1]]), r"np.asarray\(scales, dtype\)"),
        (lambda: nvfp4.from_blocked([1] * 512, 2, 2), r"np.asarray\(blocked, dtype\)"),
        (lambda: gguf.dequantize([0] * 18, "Q4_0"), r"np.asarray\(data, np.uint8\)"),
        (lambda: uf.dequantize_linear([1, 2], 0.5), r"np.asarray\(x, np.int8\)"),
        (lambda: uf.pack([1, 2], "int4"), r"np.asarray\(x, np.int8\)"),
        (lambda: uf.unpack([1, 2], "int4"), r"np.asarray\(x, np.uint8\)"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            call()


def test_scales_with_kept_dimensions_are_told_their_shape() -> None:
    """Scales made with keepdims=True were once said to need block_size=."""
    x = np.ones((4, 3), np.float32)
    for call, message in (
        (lambda s: uf.quantize_linear(x, s, axis=0), r"shape \(4,\), got .*pass scale.reshape\(-1"),
        (lambda s: uf.quantize_linear(x, s), r"pass scale.reshape\(-1\) and axis=0"),
        (lambda s: uf.QuantizedArray(x.astype("i1"), s, np.int8(0), 0), r"pass scale.reshape\(-1"),
        (lambda s: uf.QuantizedArray(x.astype("i1"), s[:1], np.int8(0)), r"np.squeeze\(scale\)"),
        (
            lambda s: uf.quantize_linear(x, np.ones((4, 2, 1)), axis=1, block_size=2),
            r"pass scale.reshape\(\(4, 2\)\)",
        ),
        (lambda s: uf.quantize_linear(x, np.ones((4, 2))), "scales of blocks need block_size="),
    ):
        with pytest.raises(ValueError, match=message):
            call(np.ones((4, 1), np.float32))


# --- errors, measured in slabs ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "units", "size"),
    [((10, 20), (1, 1), 50), ((10, 20), (3, 7), 50), ((4, 5, 6), (1, 2, 6), 12), ((), (), 9)],
)
def test_boxes_are_a_partition(shape: tuple[int, ...], units: tuple[int, ...], size: int) -> None:
    seen = np.zeros(shape, int)
    for box in boxes(shape, units, size):
        seen[box] += 1
        assert seen[box].size <= max(size, np.prod(units))
        assert all(along.start % unit == 0 for along, unit in zip(box, units, strict=True))
    assert (seen == 1).all()


def check(x: np.ndarray, q: Any, numbers: np.ndarray) -> None:
    for axis in (None, *range(x.ndim)):
        got, want = uf.quantization_error(x, q, axis=axis), exact(x, numbers, axis)
        for name, value in want.items():
            atol = 1e-4 if name == "sqnr_db" else 0
            np.testing.assert_allclose(
                getattr(got, name), value, rtol=1e-5, atol=atol, err_msg=f"{name} {axis}"
            )


@every
@pytest.mark.parametrize("shape", [(7, 64), (33, 45), (6, 5, 96), (300,), (1, 1)], ids=str)
@pytest.mark.parametrize("slab", [128, 1 << 18])
def test_errors_of_every_record(
    name: str, shape: tuple[int, ...], slab: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of linear records alone could once be measured."""
    monkeypatch.setattr(decoded, "SLAB", slab)
    x, q = make(name, shape)
    numbers = q.dequantize()
    for layout in (x, np.asfortranarray(x), x.astype(">f4"), np.repeat(x, 2, 0)[::2]):
        check(layout, q, numbers)
        if not NATIVE:
            break


@pytest.mark.parametrize("quantize", [uf.quantize, nf4.quantize])
def test_records_without_axes(quantize: Any) -> None:
    x = np.asarray(np.float32(2.5))
    q = quantize(x)
    for numbers in (x, x.astype(np.float16), x.astype(np.float64), np.float32(2.5)):
        assert uf.quantization_error(numbers, q).max_abs == 0
    with pytest.raises(IndexError, match="no axes has no rows"):
        q[0]
    with pytest.raises(TypeError, match="unsized"):
        len(q)


@every
@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16, ">f8"], ids=str)
def test_errors_of_other_floats(name: str, dtype: Any) -> None:
    x, q = make(name, (9, 70))
    x = (x * 1.001).astype(dtype)
    single = x.astype(np.float32)
    check(single, q, q.dequantize())
    got, want = uf.quantization_error(x, q), uf.quantization_error(single, q)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")
@every
def test_layouts_and_threads_give_the_same_bits(name: str) -> None:
    x, q = make(name, (700, 512))
    found = set()
    for threads in (1, 2, 5):
        with uf.threads(threads):
            for layout in (x, np.asfortranarray(x), x.astype(">f4")):
                found.add(np.array(uf.quantization_error(layout, q)).tobytes())
    assert len(found) == 1


@pytest.mark.skipif(not NATIVE, reason="its memory is the reference's own")
@pytest.mark.parametrize("name", [*MAKERS])
@pytest.mark.parametrize("axis", [None, 0])
def test_errors_take_the_memory_of_slabs(name: str, axis: int | None) -> None:
    """The codes of int2, and of rows of odd length, were once unpacked all at once."""
    import tracemalloc

    x, q = make(name, (4096, 4095 if "odd" in name or "2" in name else 4096))
    uf.quantization_error(x[:64], MAKERS[name][0](x[:64]))
    tracemalloc.start()
    try:
        uf.quantization_error(x, q, axis=axis)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20  # codes alone are twice that
