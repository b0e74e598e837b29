"""What conversions of model files refuse, before anything is written, and in which words."""

from __future__ import annotations

import os
import signal
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from test_files import model, write
from ufuse.__main__ import main
from ufuse.files import running

pytest.importorskip("ml_dtypes")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "model.safetensors", model())


def one_weight(folder: Path) -> Path:
    return write(folder / "one.safetensors", {"w": np.ones((4, 256), np.float32)})


def as_gguf(path: Path) -> Path:
    """Write a GGUF file of two tensors of 32 float32 each, by hand."""

    def text(word: str) -> bytes:
        return struct.pack("<Q", len(word)) + word.encode()

    infos = b"".join(
        text(name) + struct.pack("<IQIQ", 1, 32, 0, at) for name, at in (("a", 0), ("b", 128))
    )
    header = b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + infos
    header += bytes(-len(header) % 32)
    path.write_bytes(header + bytes(256))
    return path


def places(path: Path) -> tuple[bytes, int, int]:
    """Return the bytes of such a file, and where it says the place of the second tensor."""
    content = path.read_bytes()
    return content, len(content) - 256, content.index(struct.pack("<QIQ", 32, 0, 128)) + 12


def test_gguf_tensors_that_overlap_are_refused_with_offsets(tmp_path: Path) -> None:
    """Such a file was once converted, with a status of 0."""
    pytest.importorskip("gguf")
    path = as_gguf(tmp_path / "m.gguf")
    rows = uf.files.quantize_model(path, None, "Q8_0", dry_run=True)
    assert [row.name for row in rows] == ["a", "b"]
    content, data, at = places(path)
    path.write_bytes(content[:at] + struct.pack("<Q", 64) + content[at + 8 :])
    with pytest.raises(ValueError, match=rf"offset {data + 64}: .*'b' overlaps tensor 'a', which"):
        uf.files.quantize_model(path, tmp_path / "o.gguf", "Q8_0")


@pytest.mark.parametrize("how", ["far", "cut", "header", "version", "magic", "empty"])
def test_damaged_gguf_files_are_refused_in_our_words(tmp_path: Path, how: str) -> None:
    pytest.importorskip("gguf")
    path = as_gguf(tmp_path / "m.gguf")
    content, _, at = places(path)
    path.write_bytes(
        {
            "far": content[:at] + struct.pack("<Q", 1 << 40) + content[at + 8 :],
            "cut": content[:-1],
            "header": content[:40],
            "version": content[:4] + struct.pack("<I", 9) + content[8:],
            "magic": b"GGML" + content[4:],
            "empty": b"",
        }[how]
    )
    wanted = {"version": "version 9 of GGUF", "magic": "begins with b'GGML'"}
    with pytest.raises(ValueError, match=wanted.get(how, "not a whole GGUF file")) as error:
        uf.files.quantize_model(path, tmp_path / "o.gguf", "Q8_0")
    for word in ("reshape", "index 0", "itemsize", "axis"):
        assert word not in str(error.value)


@pytest.mark.parametrize("word", ["exclude", "drop"])
def test_patterns_of_exclude_and_drop_that_match_nothing_name_the_closest(
    source: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["quantize", str(source), "--to", "int8", "--dry-run", f"--{word}", "long.wieght"]
    assert main(arguments) == 2
    message = f"(--{word}): no tensor matches 'long.wieght'; the closest names are long.weight"
    assert message in capsys.readouterr().err


def test_what_leaves_no_tensor_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--drop.*leave none of the 11 tensors"):
        uf.files.quantize_model(source, None, "int8", drop="*", dry_run=True)
    nothing = write(tmp_path / "nothing.safetensors", {})
    with pytest.raises(ValueError, match=r"nothing\.safetensors: there are no tensors"):
        uf.files.quantize_model(nothing, tmp_path / "o.safetensors", "int8")


def test_a_dry_run_refuses_what_the_run_would(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "o.gguf"
    target.write_bytes(b"old")

    def dry(**how: Any) -> Any:
        return uf.files.quantize_model(source, how.pop("target", None), dry_run=True, **how)

    with pytest.raises(FileExistsError, match="--force"):
        dry(to="Q4_0", target=target)
    dry(to="Q4_0", target=target, overwrite=True)
    with pytest.raises(TypeError, match=r"'block_size': expected an int or None, got 1\.5"):
        dry(to="int8", block_size=1.5)
    for bad in (-1, np.nan, np.inf):
        weights = {"long.weight": np.full(512, bad)}
        with pytest.raises(ValueError, match=r"'long\.weight': expected weights that are finite"):
            dry(to="Q4_0", importance=weights)
    with pytest.raises(TypeError, match="expected real numbers"):
        dry(to="Q4_0", importance={"long.weight": np.full(512, "1")})
    assert target.read_bytes() == b"old"


def test_importance_that_is_not_used_is_in_the_report(source: Path) -> None:
    weights = {"long.weight": np.ones(512), "norm.bias": np.ones(512), "short.weight": np.ones(384)}
    rows = uf.files.quantize_model(
        source, None, "Q6_K", dry_run=True, importance=weights, exclude="half.*"
    )
    notes = {row.name: row.note for row in rows}
    assert notes["long.weight"] == "" and notes["norm.bias"] == "importance unused"
    assert notes["short.weight"].endswith("for Q6_K; importance unused")  # Q8_0


def test_importance_that_is_no_npz_file_is_told_so(source: Path, tmp_path: Path) -> None:
    """NumPy's words were about pickles."""
    with pytest.raises(ValueError, match=r"model\.safetensors: no \.npz file, as np\.savez"):
        uf.files.quantize_model(source, tmp_path / "o.gguf", "Q4_K", importance=source)
    array: Any = np.ones(512)
    with pytest.raises(TypeError, match=r"'importance': expected a path to an \.npz file, or a"):
        uf.files.quantize_model(source, tmp_path / "o.gguf", "Q4_K", importance=array)


@pytest.mark.parametrize(
    ("to", "name", "message"),
    [
        ("Q4_K_M", "o.gguf", "mixtures of kinds are not made: take Q4_K"),
        ("int8", "o.gguf", r"int8 is of \.safetensors"),
        ("INT8", "o.gguf", r"int8 is of \.safetensors"),
        ("q4_k", "o.safetensors", r"Q4_K is of \.gguf"),
        ("iq4_xs", "o.gguf", "IQ4_XS is read and not written"),
    ],
)
def test_targets_of_other_files_and_mixtures_are_told_what_to_do(
    source: Path, tmp_path: Path, to: str, name: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        uf.files.quantize_model(source, tmp_path / name, to)


def test_kinds_and_schemes_are_read_in_any_case(source: Path, tmp_path: Path) -> None:
    only: Any = {"dry_run": True, "include": "long.weight"}

    def kind(to: str, target: Path | None = None) -> set[str]:
        rows = uf.files.quantize_model(source, target, to, **only)
        return {row.kind for row in rows if row.name == "long.weight"}

    assert kind("INT8") == {"int8"} and kind("q4_k") == {"Q4_K"}
    assert kind("NVFP4") == {"NVFP4"} and kind("nvfp4") == {"nvfp4"}
    assert kind("NVFP4", tmp_path / "o.safetensors") == {"nvfp4"}


def test_output_paths_that_cannot_be_are_named(tmp_path: Path) -> None:
    source = one_weight(tmp_path)
    (tmp_path / "folder.gguf").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder\.gguf: a folder"):
        uf.files.quantize_model(source, tmp_path / "folder.gguf", "Q4_0", overwrite=True)
    with pytest.raises(FileNotFoundError, match=r"no/o\.gguf: there is no folder .*no$"):
        uf.files.quantize_model(source, tmp_path / "no" / "o.gguf", "Q4_0")


@pytest.mark.parametrize("word", ["include", "exclude", "drop"])
@pytest.mark.parametrize("bad", [3, [3], b"a"])
def test_patterns_of_other_types_are_refused(tmp_path: Path, word: str, bad: Any) -> None:
    how: Any = {word: bad, "dry_run": True}
    with pytest.raises(TypeError, match=rf"argument '{word}': expected a pattern or a sequence"):
        uf.files.quantize_model(one_weight(tmp_path), None, "int8", **how)


def test_bad_arguments_of_the_command_exit_with_2(tmp_path: Path) -> None:
    source = one_weight(tmp_path)
    for arguments in (["--to", "Q9"], ["--to", "nvfp4", "--block-size", "3"]):
        assert main(["quantize", str(source), "--dry-run", *arguments]) == 2
    assert main(["quantize", str(tmp_path / "no.gguf"), "--to", "int8", "--dry-run"]) == 1


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_conversion_leaves_no_part_files(
    tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = one_weight(tmp_path)

    def terminated(*_: Any) -> None:
        os.kill(os.getpid(), number)

    monkeypatch.setattr(running.Meter, "add", terminated)
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:
        pytest.skip("the signal is ignored where these tests run, as under nohup")
    target = tmp_path / "o.safetensors"
    with pytest.raises(SystemExit) as ended:
        main(["quantize", str(source), "--to", "int8", "-o", str(target)])
    assert ended.value.code == 128 + number
    assert os.listdir(tmp_path) == [source.name] and signal.getsignal(number) is before
