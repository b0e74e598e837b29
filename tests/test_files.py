"""Model files: what is written is what the formats give, whole or not at all."""

from __future__ import annotations

import doctest
import os
import stat
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from ufuse.__main__ import main
from ufuse.files import running, tiles
from ufuse.files.safetensors import Reader, Writer
from ufuse.formats import mx, nvfp4

ml_dtypes = pytest.importorskip("ml_dtypes")


def model() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(24, 512)).astype(np.float32)
    return {
        "long.weight": weight,
        "short.weight": rng.normal(size=(8, 384)).astype(np.float32),
        "odd.weight": rng.normal(size=(5, 37)).astype(np.float32),
        "half.weight": rng.normal(size=(6, 256)).astype(np.float16),
        "brain.weight": rng.normal(size=(6, 256)).astype(ml_dtypes.bfloat16),
        "conv.weight": rng.normal(size=(4, 3, 2, 64)),
        "norm.bias": rng.normal(size=512).astype(np.float32),
        "brain.bias": rng.normal(size=6).astype(ml_dtypes.bfloat16),
        "positions": np.arange(12).reshape(1, 12),
        "empty": np.zeros((0, 64), np.float32),
        "scale": np.array(2.5, np.float32),
    }


def write(
    path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None
) -> Path:
    from ufuse.files.safetensors import NAME_OF

    words = {name: (NAME_OF[a.dtype.name], a.shape) for name, a in arrays.items()}
    with Writer(path, words, metadata or {}) as writer:
        for name, array in arrays.items():
            writer.write(name, array)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "model.safetensors", model(), {"made by": "a test"})


@pytest.fixture(params=[1 << 20, 300], ids=["whole", "tiles"])
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Run with tiles that hold any tensor, and with some smaller than a row of conv.weight."""
    monkeypatch.setattr(tiles, "TILE", request.param)
    monkeypatch.setattr(running, "TILE", request.param)
    yield request.param


def single(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32)


# --- GGUF ---------------------------------------------------------------------------------------


def test_gguf_file_holds_what_the_formats_give(source: Path, tmp_path: Path, tile: int) -> None:
    gguf = pytest.importorskip("gguf")
    target = tmp_path / "model.gguf"
    rows = {r.name: r for r in uf.files.quantize_model(source, target, "Q4_K", architecture="x")}
    reader = gguf.GGUFReader(target)
    assert reader.get_field("general.architecture").contents() == "x"
    kinds = {
        "long.weight": "Q4_K", "short.weight": "Q5_0", "odd.weight": "F16", "half.weight": "Q4_K",
        "brain.weight": "Q4_K", "conv.weight": "Q5_0", "norm.bias": "F32", "brain.bias": "F32",
        "positions": "I64", "empty": "F32", "scale": "F32",
    }  # fmt: skip
    arrays = model()
    assert [t.name for t in reader.tensors] == list(rows)
    assert {t.name: t.tensor_type.name for t in reader.tensors} == kinds
    for tensor in reader.tensors:
        kind, array = kinds[tensor.name], arrays[tensor.name]
        assert rows[tensor.name].kind == kind
        assert rows[tensor.name].nbytes_after == tensor.n_bytes
        assert tuple(reversed(tensor.shape.tolist())) == (array.shape or (1,))
        if kind in ("I64", "F32"):
            wanted = array if kind == "I64" else single(array)
            np.testing.assert_array_equal(tensor.data, wanted.reshape(array.shape or 1))
        else:
            data = uf.formats.gguf.quantize(array, kind)
            assert tensor.data.tobytes() == data.tobytes()
            decoded = uf.formats.gguf.dequantize(data, kind).reshape(array.shape)
            check_error(rows[tensor.name], single(array), decoded)
    assert "384" in rows["short.weight"].note and "Q4_K" in rows["short.weight"].note


def check_error(row: uf.files.TensorReport, x: np.ndarray, decoded: np.ndarray) -> None:
    wide, error = x.astype(np.float64), x.astype(np.float64) - decoded
    sqnr = 10 * np.log10((wide**2).sum() / (error**2).sum())
    assert row.sqnr_db == pytest.approx(sqnr, abs=1e-4)
    assert row.max_abs == pytest.approx(np.abs(error).max(), rel=1e-6)


@pytest.mark.parametrize("kind", uf.formats.gguf.kinds(encodes=True))
@pytest.mark.parametrize("columns", [256, 64, 32, 48])
def test_every_kind_has_a_fallback_that_fits(kind: str, columns: int, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    if kind == "F32":
        return
    x = np.random.default_rng(1).normal(size=(4, columns)).astype(np.float32)
    source = write(tmp_path / "a.safetensors", {"w": x})
    (row,) = uf.files.quantize_model(source, tmp_path / "a.gguf", kind)
    assert columns % uf.formats.gguf.block_size(row.kind) == 0
    assert (row.kind == kind) == (columns % uf.formats.gguf.block_size(kind) == 0)
    assert bool(row.note) == (row.kind != kind)


def test_importance_goes_to_the_kinds_that_take_it(source: Path, tmp_path: Path, tile: int) -> None:
    gguf = pytest.importorskip("gguf")
    weights = np.linspace(0.1, 9, 512).astype(np.float32) ** 2
    np.savez(tmp_path / "w.npz", **{"long.weight": weights})
    target = tmp_path / "model.gguf"
    uf.files.quantize_model(source, target, "q4_k", importance=tmp_path / "w.npz")
    found = {t.name: t for t in gguf.GGUFReader(target).tensors}
    x = model()["long.weight"]
    wanted = uf.formats.gguf.quantize(x, "Q4_K", importance=weights)
    np.testing.assert_array_equal(found["long.weight"].data, wanted)
    assert wanted.tobytes() != uf.formats.gguf.quantize(x, "Q4_K").tobytes()
    for bad, message in (({"no": weights}, "no tensor"), ({"long.weight": weights[1:]}, "shape")):
        with pytest.raises(ValueError, match=message):
            uf.files.quantize_model(source, tmp_path / "b.gguf", "Q4_K", importance=bad)
    with pytest.raises(ValueError, match="without weights"):
        uf.files.quantize_model(source, tmp_path / "b.gguf", "Q8_0", importance={})
    (tmp_path / "w.npz").write_bytes((tmp_path / "w.npz").read_bytes()[:100])
    with pytest.raises(ValueError, match=r"w\.npz"):
        uf.files.quantize_model(source, tmp_path / "b.gguf", "Q4_K", importance=tmp_path / "w.npz")


@pytest.mark.parametrize("to", ["Q4_0", "int8"])
def test_gguf_files_are_read(source: Path, tmp_path: Path, to: str, tile: int) -> None:
    gguf = pytest.importorskip("gguf")
    middle, target = tmp_path / "middle.gguf", tmp_path / "target.gguf"
    uf.files.quantize_model(source, middle, "Q8_0", architecture="bert")
    wide = uf.formats.gguf.dequantize(
        uf.formats.gguf.quantize(model()["long.weight"], "Q8_0"), "Q8_0"
    )
    if to == "int8":
        target = target.with_suffix(".safetensors")
        uf.files.quantize_model(middle, target, to)
        found = uf.files.load_model(target)
        np.testing.assert_array_equal(
            found["long.weight"].data, uf.quantize(wide, "int8", axis=0).data
        )
        return
    uf.files.quantize_model(middle, target, to, exclude=["short*"])
    reader = gguf.GGUFReader(target)
    assert reader.get_field("general.architecture").contents() == "bert"
    data = {t.name: t.data for t in reader.tensors}
    np.testing.assert_array_equal(data["long.weight"], uf.formats.gguf.quantize(wide, to))
    kept = uf.formats.gguf.quantize(model()["short.weight"], "Q8_0")
    np.testing.assert_array_equal(data["short.weight"], kept)
    middle.write_bytes(middle.read_bytes()[:-5000])
    with pytest.raises(ValueError, match="not a whole GGUF file"):
        uf.files.quantize_model(middle, tmp_path / "none.gguf", to)


def test_gguf_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    source = write(tmp_path / "a.safetensors", {"flag": np.ones(3, bool), "w": np.ones((2, 32))})
    with pytest.raises(ValueError, match=r"'flag' is BOOL.*--drop"):
        uf.files.quantize_model(source, tmp_path / "a.gguf", "Q8_0")
    (row,) = uf.files.quantize_model(source, tmp_path / "a.gguf", "Q8_0", drop=["fl*"])
    assert row.name == "w" and row.source == "F64"
    source = write(tmp_path / "a.safetensors", {"w": np.ones((1, 1, 1, 2, 32))})
    with pytest.raises(ValueError, match="at most 4 axes"):
        uf.files.quantize_model(source, tmp_path / "b.gguf", "Q8_0")


# --- safetensors --------------------------------------------------------------------------------


def expected(array: np.ndarray, to: str, block: int | None) -> Any:
    if to == "nvfp4":
        return nvfp4.quantize(array)
    if to.startswith("mx"):
        return mx.quantize(array, to)
    if block is None and "int4" in to:
        block = 32
    if block is None:
        return uf.quantize(single(array), to, axis=0)
    return uf.quantize(single(array), to, axis=array.ndim - 1, block_size=block)


def parts(record: Any) -> tuple[np.ndarray, ...]:
    if isinstance(record, uf.QuantizedArray):
        return record.data, record.scale, np.broadcast_to(record.zero_point, record.scale.shape)
    return record.codes, record.scales, np.asarray(getattr(record, "tensor_scale", 1))


@pytest.mark.parametrize(
    ("to", "block"),
    [(to, None) for to in uf.files.convert.TARGETS] + [("int8", 24), ("uint4", 64), ("int4", 6)],
)
def test_safetensors_file_holds_what_quantize_gives(
    source: Path, tmp_path: Path, to: str, block: int | None, tile: int
) -> None:
    target = tmp_path / "out.safetensors"
    rows = uf.files.quantize_model(source, target, to, block_size=block)
    found = uf.files.load_model(target)
    arrays = model()
    assert set(found) == set(arrays)
    for row in rows:
        array, record = arrays[row.name], found[row.name]
        if array.ndim < 2 or array.dtype == np.int64 or array.size == 0:
            assert row.sqnr_db is None and record.dtype == array.dtype
            np.testing.assert_array_equal(record, array)
            continue
        wanted = expected(array, to, block)
        for got, part in zip(parts(record), parts(wanted), strict=True):
            assert got.shape == part.shape and got.tobytes() == part.tobytes(), row.name
        assert record.shape == array.shape and row.nbytes_after >= record.nbytes
        check_error(row, single(array), wanted.dequantize().reshape(array.shape))
        if isinstance(wanted, uf.QuantizedArray):
            error = uf.quantization_error(single(array), wanted)
            assert row.max_abs == error.max_abs
            assert row.sqnr_db == pytest.approx(float(error.sqnr_db), abs=1e-4)
    assert Reader(target).metadata["made by"] == "a test"
    assert sum(row.nbytes_after for row in rows) < target.stat().st_size
    with pytest.raises(ValueError, match="already quantized"):
        uf.files.quantize_model(target, tmp_path / "twice.safetensors", to)


def test_the_package_safetensors_reads_and_writes_the_same(source: Path, tmp_path: Path) -> None:
    package = pytest.importorskip("safetensors.numpy")
    from safetensors import safe_open

    target = tmp_path / "out.safetensors"
    uf.files.quantize_model(source, target, "int8")
    found, ours = package.load_file(target), Reader(target)
    assert set(found) == set(ours.entries)
    for name, array in found.items():
        assert array.dtype == ours.array(name).dtype
        np.testing.assert_array_equal(array, ours.array(name))
    with safe_open(target, "numpy") as file:
        assert file.metadata() == ours.metadata
    arrays = model() | {"eight": np.arange(7).astype(ml_dtypes.float8_e4m3fn)}
    package.save_file(arrays, tmp_path / "theirs.safetensors")
    theirs = Reader(tmp_path / "theirs.safetensors")
    for name, array in arrays.items():
        assert theirs.array(name).dtype == array.dtype
        assert theirs.array(name).tobytes() == array.tobytes()


def test_include_and_exclude_choose_what_is_quantized(source: Path, tmp_path: Path) -> None:
    rows = uf.files.quantize_model(
        source, tmp_path / "o.safetensors", "int8", include=["*.weight"], exclude=["odd*", "conv*"]
    )
    quantized = {row.name for row in rows if row.kind == "int8"}
    assert quantized == {"long.weight", "short.weight", "half.weight", "brain.weight"}


def test_copied_tensors_with_a_suffix_of_another_kind_are_loaded(tmp_path: Path) -> None:
    """Every suffix of every kind was once taken for a part, and such tensors vanished."""
    x = np.ones((2, 64), np.float32)
    tensors = {"w": x, "w.zero_point": x[0], "w.tensor_scale": x[1]}
    source = write(tmp_path / "a.safetensors", tensors)
    for to, copied in (
        ("mxfp4", {"w.zero_point", "w.tensor_scale"}),
        ("nvfp4", {"w.zero_point"}),
        ("int8", {"w.tensor_scale"}),
    ):
        drop = sorted({*tensors} - copied - {"w"})
        uf.files.quantize_model(source, tmp_path / f"{to}.safetensors", to, drop=drop)
        assert set(uf.files.load_model(tmp_path / f"{to}.safetensors")) == {"w", *copied}


def test_values_that_have_no_scale_name_the_tensor(tmp_path: Path) -> None:
    x = np.ones((2, 32), np.float32)
    x[1, 3] = np.nan
    source = write(tmp_path / "a.safetensors", {"good": x[:1], "bad": x})
    for to in ("int8", "nvfp4"):
        with pytest.raises(ValueError, match=r"tensor 'bad'.*finite"):
            uf.files.quantize_model(source, tmp_path / "o.safetensors", to)
    assert os.listdir(tmp_path) == ["a.safetensors"]


@pytest.mark.parametrize(("to", "suffix"), [("mxfp4", "safetensors"), ("Q8_0", "gguf")])
def test_lost_numbers_are_in_the_table_and_named(
    to: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], tile: int
) -> None:
    if suffix == "gguf":
        pytest.importorskip("gguf")
    x = np.random.default_rng(5).normal(size=(40, 64)).astype(np.float32)
    bad, large = x.copy(), x.copy()
    bad[3, 5], bad[39, 63], bad[7, 7] = np.nan, np.inf, -np.inf
    large[9, 9] = 1e30
    source = write(tmp_path / "a.safetensors", {"bad": bad, "good": x, "large": large})
    target = tmp_path / f"o.{suffix}"
    rows = {row.name: row for row in uf.files.quantize_model(source, target, to)}
    assert rows["bad"].nonfinite == 3 and rows["bad"].note.startswith("3 NaN or infinite")
    assert rows["good"].note == "" and rows["good"].nonfinite == rows["good"].spoilt == 0
    overflows = to == "Q8_0"
    assert rows["large"].spoilt == (32 if overflows else 0)
    assert rows["large"].note == ("32 finite read back as NaN or infinite" if overflows else "")
    assert main(["quantize", str(source), "--to", to, "-o", str(target), "--force"]) == 0
    out, err = capsys.readouterr()
    assert "3 NaN or infinite" in out
    names = "bad, large" if overflows else "bad"
    assert err == (
        f"ufuse quantize: warning: NaN, infinity or overflow in {1 + overflows} of 3 tensors: "
        f"{names}\n"
    )


def test_tensors_that_are_not_aligned_are_read(tmp_path: Path) -> None:
    x = np.random.default_rng(4).normal(size=(3, 64)).astype(np.float32)
    source = tmp_path / "odd.safetensors"
    text = '{"w":{"dtype":"F32","shape":[3,64],"data_offsets":[0,768]}}'
    text += " " * (1 - len(text) % 2)  # the tensor begins at an odd offset
    source.write_bytes(header(text) + x.tobytes())
    assert not Reader(source).array("w").flags.aligned
    for to in ("int8", "nvfp4"):
        uf.files.quantize_model(source, tmp_path / "o.safetensors", to, overwrite=True)
        found = uf.files.load_model(tmp_path / "o.safetensors")["w"]
        assert found.dequantize().tobytes() == expected(x, to, None).dequantize().tobytes()


def test_a_tensor_with_the_name_of_a_part_is_refused(tmp_path: Path) -> None:
    x = np.ones((2, 8), np.float32)
    source = write(tmp_path / "a.safetensors", {"w": x, "w.scale": x[0]})
    with pytest.raises(ValueError, match=r"a\.safetensors: tensor 'w\.scale'.*name of a part"):
        uf.files.quantize_model(source, tmp_path / "o.safetensors", "int8")
    assert os.listdir(tmp_path) == ["a.safetensors"]


# --- files that are whole or not there ----------------------------------------------------------


@pytest.mark.parametrize("suffix", [".gguf", ".safetensors"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError])
def test_an_interrupted_conversion_leaves_the_old_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, error: Any
) -> None:
    if suffix == ".gguf":
        pytest.importorskip("gguf")
    target = tmp_path / f"out{suffix}"
    target.write_bytes(b"old")
    counted = 0
    add = running.Meter.add

    def interrupted(meter: Any, *args: Any) -> None:
        nonlocal counted
        counted += 1
        if counted == 4:
            assert len(os.listdir(tmp_path)) == 3  # the file under way is there
            raise error("in the middle")
        add(meter, *args)

    monkeypatch.setattr(running.Meter, "add", interrupted)
    with pytest.raises(error, match="in the middle"):
        uf.files.quantize_model(source, target, "MXFP4" if suffix == ".gguf" else "int8",
                                overwrite=True)  # fmt: skip
    assert target.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == sorted(["model.safetensors", target.name])


def test_an_existing_file_is_replaced_on_demand_alone(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "o.safetensors"
    target.write_bytes(b"old")
    with pytest.raises(FileExistsError, match="--force"):
        uf.files.quantize_model(source, target, "int8")
    assert target.read_bytes() == b"old"
    uf.files.quantize_model(source, target, "int8", overwrite=True)
    assert isinstance(uf.files.load_model(target)["long.weight"], uf.QuantizedArray)
    # The source itself: its memory map is of the old file.
    uf.files.quantize_model(source, source, "int8", overwrite=True)
    assert source.read_bytes() == target.read_bytes()
    with pytest.raises(FileNotFoundError, match="no folder"):
        uf.files.quantize_model(target, tmp_path / "no" / "o.safetensors", "int8")


@pytest.mark.skipif(os.name != "posix", reason="bits of the mode are POSIX's")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o664])
def test_a_replaced_file_keeps_its_mode_and_a_new_one_follows_the_umask(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    target, seen = tmp_path / "o.safetensors", []
    add = running.Meter.add

    def watched(meter: Any, *args: Any) -> None:
        (part,) = tmp_path.glob(".*.part")
        seen.append(stat.S_IMODE(part.stat().st_mode))
        add(meter, *args)

    monkeypatch.setattr(running.Meter, "add", watched)
    before = os.umask(0o027)
    try:
        uf.files.quantize_model(source, target, "int8")
        assert stat.S_IMODE(target.stat().st_mode) == 0o640 and set(seen) == {0o640}
        target.chmod(mode)
        seen.clear()
        uf.files.quantize_model(source, target, "int8", overwrite=True)
        assert stat.S_IMODE(target.stat().st_mode) == mode
        assert all(bits & ~(mode | 0o200) == 0 for bits in seen)  # never more open than the old one
        record = tmp_path / "q.npz"
        q = uf.quantize(np.ones((2, 4), np.float32), "int8")
        q.save(record)
        record.chmod(mode)
        q.save(record)
        assert stat.S_IMODE(record.stat().st_mode) == mode
    finally:
        os.umask(before)


def test_a_pattern_of_include_that_matches_nothing_names_the_closest(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "o.safetensors"
    with pytest.raises(ValueError, match=r"'long\.wieght'; the closest names are long\.weight, "):
        uf.files.quantize_model(source, target, "int8", include=["short.*", "long.wieght"])
    arguments = ["quantize", str(source), "--to", "int8", "-o", str(target), "--include", "Odd.*"]
    assert main(arguments) == 2
    assert "no tensor matches 'Odd.*'; the closest names are odd.weight" in capsys.readouterr().err
    assert not target.exists()
    uf.files.quantize_model(source, target, "int8", include="odd.*", exclude="norm.*", drop="scale")


def test_a_gguf_file_is_no_safetensors_file_and_the_error_says_what_reads_it(
    tmp_path: Path,
) -> None:
    for name in ("model.gguf", "model.safetensors"):
        (tmp_path / name).write_bytes(b"GGUF" + bytes([3]) + bytes(60))
        with pytest.raises(ValueError, match=r"offset 0: a GGUF file.*GGUFReader.*dequantize"):
            uf.files.load_model(tmp_path / name)


def test_a_dry_run_writes_nothing(source: Path, tmp_path: Path) -> None:
    for to in ("Q4_K", "int8", "nvfp4"):
        rows = uf.files.quantize_model(source, None, to, dry_run=True)
        assert all(row.sqnr_db is None for row in rows)
        if to != "Q4_K":
            done = uf.files.quantize_model(source, tmp_path / f"{to}.safetensors", to)
            assert [r._replace(sqnr_db=None, max_abs=None) for r in done] == rows
    assert len(os.listdir(tmp_path)) == 3


# --- corrupt files ------------------------------------------------------------------------------


def test_every_truncation_is_refused_with_its_offset(tmp_path: Path) -> None:
    arrays = {"a": np.arange(5.0), "b": np.ones((2, 3), np.int8)}
    whole = write(tmp_path / "a.safetensors", arrays).read_bytes()
    short = tmp_path / "short.safetensors"
    for length in range(len(whole)):
        short.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"short\.safetensors: offset {length}: .*truncated"):
            Reader(short)
    short.write_bytes(whole + b"x")
    with pytest.raises(ValueError, match=rf"offset {len(whole)}: .*1 bytes follow"):
        Reader(short)


def header(text: str | bytes, data: int = 0) -> bytes:
    raw = text if isinstance(text, bytes) else text.encode()
    return len(raw).to_bytes(8, "little") + raw + bytes(data)


ENTRY = '"%s":{"dtype":"U8","shape":[%s],"data_offsets":[%s,%s]}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff" * 20, "offset 0: .*100000000"),
        (header(b'{"\xff": 1}'), "offset 10: .*UTF-8"),
        (header('{"a": }'), "offset 14: .*JSON"),
        (header("[1]"), "offset 8: .*object"),
        (header("[" * 100_000), "offset 8: .*"),
        (header('{"__metadata__":{"a":1}}'), "metadata"),
        (header('{"a":' + "9" * 5000 + "}"), "offset 8: .*JSON"),
        (header("{" + ENTRY % ("a", "1," * 64 + "1", 0, 1) + "}", 1), "NumPy cannot hold"),
        (header("{" + ENTRY % ("a", "0,9" + "9" * 25, 0, 0) + "}"), "NumPy cannot hold"),
        (header('{"a":{"dtype":"U8","shape":[1]}}', 1), "keys"),
        (header('{"a":{"dtype":"Q","shape":[1],"data_offsets":[0,1]}}', 1), "unknown dtype 'Q'"),
        (header("{" + ENTRY % ("a", "-1", 0, 1) + "}", 1), "shape"),
        (header("{" + ENTRY % ("a", "2", 0, 1) + "}", 1), "offset 61: .*needs 2 bytes"),
        (header("{" + ENTRY % ("a", "true", 0, 1) + "}", 1), "shape"),
        (header("{" + ENTRY % ("a", "1", 1, 0) + "}", 1), "needs 1 bytes"),
        (header("{" + ENTRY % ("a", "1", 1, 2) + "}", 2), "gap after the header"),
        (
            header("{" + ENTRY % ("a", "2", 0, 2) + "," + ENTRY % ("b", "2", 1, 3) + "}", 3),
            "'b' overlaps tensor 'a'",
        ),
        (
            header("{" + ENTRY % ("a", "1", 0, 1) + "," + ENTRY % ("a", "1", 1, 2) + "}", 2),
            "'a' twice",
        ),
    ],
)
def test_corrupt_safetensors_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Reader(path).array("a")
    with pytest.raises(ValueError, match=message):
        uf.files.quantize_model(path, tmp_path / "out.safetensors", "int8")
    assert os.listdir(tmp_path) == ["bad.safetensors"]


# --- records ------------------------------------------------------------------------------------

SCHEMES = [
    "int8", "uint8", "int16", "int4", "uint4", "int2", "float8_e4m3fn", "float8_e5m2",
    "float8_e4m3b11fnuz", "float4_e2m1fn", "float6_e2m3fn",
]  # fmt: skip


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "how", [{}, {"axis": 0}, {"axis": 1, "block_size": 5}, {"block_size": (2, 3)}]
)
def test_records_come_back(tmp_path: Path, scheme: str, how: dict[str, Any], suffix: str) -> None:
    x = np.random.default_rng(2).normal(size=(3, 13)).astype(np.float32)
    q = uf.quantize(x, scheme, **how)
    path = tmp_path / f"q{suffix}"
    path.write_bytes(b"old")
    q.save(path)
    back = uf.QuantizedArray.load(path)
    for name in ("scheme", "axis", "block_size", "shape", "nbytes"):
        assert getattr(back, name) == getattr(q, name)
    for name in ("data", "scale", "zero_point"):
        one, other = getattr(back, name), getattr(q, name)
        assert one.dtype == other.dtype and one.shape == other.shape
        assert one.tobytes() == other.tobytes()
    np.testing.assert_array_equal(back.dequantize(), q.dequantize())
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_truncated_and_corrupt_records_are_refused(tmp_path: Path, suffix: str) -> None:
    q = uf.quantize(np.ones((4, 50), np.float32), "int8", axis=0)
    path = tmp_path / f"q{suffix}"
    q.save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"q\{suffix}: offset {length}: not a whole"):
            uf.QuantizedArray.load(path)
    if suffix == ".npz":
        at = whole.index(q.data.tobytes())
        path.write_bytes(whole[: at + 9] + b"\x55" + whole[at + 10 :])
        start = whole.rindex(b"PK\x03\x04", 0, at)
        with pytest.raises(ValueError, match=rf"offset {start}: .*CRC"):
            uf.QuantizedArray.load(path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_changed_bytes_are_refused_or_make_a_record(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(3)
    q = uf.quantize(rng.normal(size=(4, 9)).astype(np.float32), "int4", axis=1, block_size=4)
    path = tmp_path / f"q{suffix}"
    q.save(path)
    whole = path.read_bytes()
    refused = 0
    for _ in range(600):
        changed = bytearray(whole)
        for at in rng.integers(len(whole), size=rng.integers(1, 4)):
            changed[at] = rng.integers(256)
        if rng.random() < 0.2:
            first, last = sorted(rng.integers(len(whole), size=2))
            del changed[first:last]
        path.write_bytes(changed)
        try:
            with np.errstate(all="ignore"):
                assert uf.QuantizedArray.load(path).dequantize().size <= 8 * len(whole)
        except ValueError as error:
            assert path.name in str(error)
            refused += 1
    assert refused > 300


def test_other_versions_and_other_files_are_refused(tmp_path: Path) -> None:
    q = uf.quantize(np.ones((4, 50), np.float32), "int8")
    arrays, path = tmp_path / "q.npz", tmp_path / "q.safetensors"
    q.save(arrays)
    q.save(path)
    with np.load(arrays) as file:
        members = dict(file)
    np.savez(arrays, **members | {"version": 3})
    path.write_bytes(path.read_bytes().replace(b'"ufuse.version":"2"', b'"ufuse.version":"7"'))
    for file, version in ((arrays, 3), (path, 7)):
        with pytest.raises(ValueError, match=f"version {version} .*reads versions 1 and 2"):
            uf.QuantizedArray.load(file)
    with pytest.raises(ValueError, match="version 7"):
        uf.files.load_model(path)
    np.savez(arrays, **members | {"scale": np.ones(3, np.float32)})
    with pytest.raises(ValueError, match=r"do not fit: .*'scale'"):
        uf.QuantizedArray.load(arrays)
    np.savez(arrays, a=np.ones(3))
    with pytest.raises(ValueError, match=r"expected a record that ufuse has saved.*got a"):
        uf.QuantizedArray.load(arrays)
    write(path, {"a": np.ones(3)})
    with pytest.raises(ValueError, match="0 quantized tensors"):
        uf.QuantizedArray.load(path)
    for name in ("q.bin", "q"):
        with pytest.raises(ValueError, match=r"\.npz or \.safetensors"):
            q.save(tmp_path / name)


# --- the command --------------------------------------------------------------------------------


def test_command_prints_a_table(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "o.safetensors"
    assert main(["quantize", str(source), "--to", "int8", "-o", str(target)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == len(model()) + 3 and lines[0].startswith("name")
    assert "long.weight" in out and "24x512" in out and "int8" in out
    assert not err  # no bar where stderr is no terminal
    assert main(["quantize", str(source), "--to", "int8", "-o", str(target)]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["quantize", str(source), "--to", "int8", "-o", str(target), "--force"]) == 0
    assert main(["quantize", str(source), "--to", "Q9", "--dry-run"]) == 2
    assert "expected one of" in capsys.readouterr().err
    assert main(["quantize", str(source), "--to", "Q4_K", "--dry-run"]) == 0
    assert "rows of 384: no whole blocks of 256 for Q4_K" in capsys.readouterr().out
    assert main(["quantize", str(source), "--to", "Q4_K"]) == 2
    assert main(["quantize", str(tmp_path / "no.safetensors"), "--to", "int8", "--dry-run"]) == 1
    with pytest.raises(SystemExit, match="2"):
        main([])


@pytest.mark.parametrize(
    ("to", "name", "message"),
    [
        ("Q4_K", "o.safetensors", "for .safetensors one of int8"),
        ("int8", "o.gguf", "for .gguf one of"),
        ("int8", "o.bin", "ends in .gguf or .safetensors"),
        ("IQ4_XS", "o.gguf", "argument 'to'"),
    ],
)
def test_targets_that_do_not_fit_are_refused(
    source: Path, tmp_path: Path, to: str, name: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        uf.files.quantize_model(source, tmp_path / name, to)
    with pytest.raises(ValueError, match="block_size"):
        uf.files.quantize_model(source, tmp_path / "o.safetensors", "nvfp4", block_size=32)


def test_missing_packages_are_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ImportError, match=r"gguf.*pip install 'ufuse\[files\]'"):
        uf.files.quantize_model(source, tmp_path / "o.gguf", "Q4_0")
    assert os.listdir(tmp_path) == [source.name]


def test_a_bar_is_drawn_on_demand(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tqdm")
    uf.files.quantize_model(source, tmp_path / "o.safetensors", "int8", progress=True)
    assert "model.safetensors: 100%" in capsys.readouterr().err


def test_the_module_is_a_command(source: Path) -> None:
    arguments = ["quantize", str(source), "--to", "mxfp4", "--dry-run"]
    done = subprocess.run(
        [sys.executable, "-m", "ufuse", *arguments], capture_output=True, text=True, check=True
    )
    assert "mxfp4" in done.stdout and "nothing written" in done.stdout


def test_an_interrupt_ends_the_command(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running.Meter, "add", interrupted)
    target = source.with_name("o.safetensors")
    assert main(["quantize", str(source), "--to", "int8", "-o", str(target)]) == 130
    assert capsys.readouterr().err == "ufuse quantize: interrupted\n"
    assert os.listdir(source.parent) == [source.name]


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="reprs differ")
def test_page_and_docstrings_are_true() -> None:
    page = Path(__file__).resolve().parent.parent / "docs" / "files.md"
    assert doctest.testfile(str(page), module_relative=False).failed == 0
    for member in (
        *map(uf.files.__dict__.get, uf.files.__all__),
        *vars(uf.QuantizedArray).values(),
    ):
        for test in doctest.DocTestFinder().find(member, "example", globs={}):
            assert doctest.DocTestRunner().run(test).failed == 0


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.skipif(not NATIVE, reason="the reference executor takes memory of its own")
@pytest.mark.parametrize("to", ["Q8_0", "int8", "nvfp4", "mxfp4", "int4"])
def test_memory_is_bounded_by_tiles(tmp_path: Path, to: str) -> None:
    if to == "Q8_0":
        pytest.importorskip("gguf")
    shapes = {"a": (2048, 4096), "row": (1, 1 << 23)}
    source = tmp_path / "big.safetensors"
    words: dict[str, tuple[str, tuple[int, ...]]] = {n: ("BF16", s) for n, s in shapes.items()}
    with Writer(source, words, {}) as writer:
        for name, shape in shapes.items():
            writer.write(name, np.full(shape, 0.5, ml_dtypes.bfloat16))
    target = tmp_path / ("o.gguf" if to == "Q8_0" else "o.safetensors")
    uf.files.quantize_model(source, None, to, dry_run=True)
    tracemalloc.start()
    uf.files.quantize_model(source, target, to)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * (2 << 23), f"{peak / 2**20:.0f} MiB; the largest tensor has 16"


@pytest.mark.skipif(sys.platform != "linux" or not NATIVE, reason="asks Linux for a limit")
def test_conversion_fits_in_twice_the_largest_tensor(tmp_path: Path) -> None:
    """The whole process: Linux refuses it more private memory, and counts what was resident."""
    source = tmp_path / "big.safetensors"
    x = np.random.default_rng(0).normal(size=(4096, 4096)).astype(ml_dtypes.bfloat16)
    write(source, dict.fromkeys("abcd", x))
    code = """
        import resource, sys, numpy as np, ml_dtypes, ufuse as uf
        from pathlib import Path
        from ufuse.files import quantize_model
        def memory(what):
            return int(Path("/proc/self/status").read_text().split(what + ":")[1].split()[0]) << 10
        with uf.threads(2):
            uf.quantize(np.ones((64, 4096), np.float32), "int8", axis=0)  # threads are started
            used, before = memory("VmData"), memory("VmHWM")
            resource.setrlimit(resource.RLIMIT_DATA, (used + 2 * (2 << 24),) * 2)
            for to in ("int8", "nvfp4", "mxfp4", "int4"):
                quantize_model(sys.argv[1], sys.argv[2], to, overwrite=True)
        resident = memory("VmHWM") - before
        assert resident < 2 * (2 << 24), resident  # pages of the memory map too
        try:
            np.ones(1 << 24)  # 128 MiB: the limit is one
        except MemoryError:
            print("fits")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(source), str(tmp_path / "o.safetensors")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "fits", done.stderr
