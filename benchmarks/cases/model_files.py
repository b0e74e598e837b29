"""Whole model files: the tensors of all-MiniLM-L6-v2, 91 MB of float32, to GGUF."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from ..libraries import load
from ..model import Call, Case, Prepare
from .block_formats import numpy_encode
from .data import normal

GROUP = "files"

_WIDTH, _INNER, _LAYERS = 384, 1536, 6
#: Its rows of 384 are no multiple of a super-block, and get what llama.cpp gives them.
_WHOLE, _SHORT = "Q4_K", "Q5_0"


def _shapes() -> dict[str, tuple[int, ...]]:
    """Return the model's tensors: embeddings, and six layers of attention and a perceptron."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.words": (30522, _WIDTH),
        "embeddings.positions": (512, _WIDTH),
        "embeddings.types": (2, _WIDTH),
        "embeddings.norm": (_WIDTH,),
    }
    for layer in range(_LAYERS):
        for name in ("query", "key", "value", "output"):
            shapes[f"layers.{layer}.{name}"] = (_WIDTH, _WIDTH)
        shapes[f"layers.{layer}.up"] = (_INNER, _WIDTH)
        shapes[f"layers.{layer}.down"] = (_WIDTH, _INNER)
        for name in ("norm", "bias"):
            shapes[f"layers.{layer}.{name}"] = (_WIDTH,)
    return shapes


def _kind(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return "F32"
    return _WHOLE if shape[-1] % 256 == 0 else _SHORT


def _make() -> SimpleNamespace:
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name)
    tensors = {name: normal(shape, 3) for name, shape in _shapes().items()}
    importlib.import_module("safetensors.numpy").save_file(tensors, path / "model.safetensors")
    return SimpleNamespace(folder=folder, source=path / "model.safetensors", path=path)


def _sizes(path: Path) -> np.ndarray:
    """Return the bytes of each tensor of a file, as its header says, in order of their names."""
    reader = importlib.import_module("gguf").GGUFReader(path)
    return np.array([int(t.n_bytes) for t in sorted(reader.tensors, key=lambda t: str(t.name))])


def _expected(_: SimpleNamespace) -> np.ndarray:
    per_element = {"F32": 4.0, _WHOLE: 144 / 256, _SHORT: 22 / 32}
    shapes = _shapes()
    return np.array(
        [int(np.prod(shapes[name]) * per_element[_kind(shapes[name])]) for name in sorted(shapes)]
    )


def _ours(v: SimpleNamespace) -> Call:
    convert = load("ufuse").files.quantize_model
    target = v.path / "ufuse.gguf"

    def call() -> Path:
        convert(v.source, target, _WHOLE, overwrite=True, progress=False)
        return target

    return call


def _written(name: str, encoder: Callable[[str], Callable[[np.ndarray], np.ndarray]]) -> Prepare:
    """Return what reads the tensors, encodes them with a function per kind, and writes the file."""

    def prepare(v: SimpleNamespace) -> Call:
        gguf = importlib.import_module("gguf")
        read = importlib.import_module("safetensors.numpy").load_file
        encoders = {kind: encoder(kind) for kind in (_WHOLE, _SHORT)}
        target = v.path / f"{name}.gguf"

        def call() -> Path:
            writer = gguf.GGUFWriter(target, "unknown")
            for key, tensor in read(v.source).items():
                kind = _kind(tensor.shape)
                if kind == "F32":
                    writer.add_tensor(key, tensor)
                    continue
                data = encoders[kind](tensor)
                writer.add_tensor(key, data, raw_dtype=gguf.GGMLQuantizationType[kind])
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
            return target

        return call

    return prepare


def _twin(kind: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return our NumPy fallback: the one encoder of K-quants in Python that there is."""
    from ufuse.formats.blocks import layout_of

    layout = layout_of(kind)

    def encode(x: np.ndarray) -> np.ndarray:
        data = np.empty((x.shape[0], x.shape[1] // layout.block * layout.nbytes), np.uint8)
        return np.asarray(numpy_encode(SimpleNamespace(layout=layout, x=x, data=data))())

    return encode


def _gguf(kind: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the package's encoder. It has none for Q4_K, and is given less to do there."""
    gguf = importlib.import_module("gguf")
    simple = gguf.GGMLQuantizationType["Q4_0" if kind == _WHOLE else kind]  # of the same size
    return lambda x: np.asarray(gguf.quants.quantize(x, simple))


def _check(result: np.ndarray, expected: np.ndarray) -> str | None:
    found = _sizes(Path(str(result)))
    return None if np.array_equal(found, expected) else f"bytes of tensors: {found}"


def cases() -> list[Case]:
    """Return the cases of this group."""
    return [
        Case(
            name=f"MiniLM to {_WHOLE}",
            group=GROUP,
            make=_make,
            ours=_ours,
            peers={"numpy": _written("numpy", _twin), "gguf": _written("gguf", _gguf)},
            bar="numpy >= 20x; gguf >= 1x",
            check=_check,
            expected=_expected,
        )
    ]
