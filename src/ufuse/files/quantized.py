"""Records of quantized arrays in files: what their parts are called, and what is said of them."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..formats.gguf import GGUFArray
from ..formats.mx import MXArray
from ..formats.nf4 import NF4Array
from ..formats.nvfp4 import NVFP4Array
from ..quant import QuantizedArray
from ..quant.codes import CodeType
from ..quant.record import Record
from .replacing import replacing
from .safetensors import NAME_OF, Reader, Writer

Array = NDArray[Any]
_R = TypeVar("_R", bound=Record)

#: Of the layout below, and those that are read: in 1 the key ``record`` was missing.
VERSION: Final = 2
_READABLE: Final = ("1", "2")
#: Keys of the metadata: the version, and JSON with what each quantized tensor is.
VERSION_KEY: Final = "ufuse.version"
RECORDS_KEY: Final = "ufuse.quantized"

SCALE: Final = ".scale"
ZERO_POINT: Final = ".zero_point"
TENSOR_SCALE: Final = ".tensor_scale"

#: Classes by the word for them.
_CLASSES: Final[dict[str, type[Record]]] = {
    kind._kept_as: kind for kind in (QuantizedArray, NVFP4Array, MXArray, NF4Array, GGUFArray)
}

#: What zipfile and numpy.lib.format raise for files that are corrupt.
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    EOFError,
    OSError,
    MemoryError,
    RuntimeError,
)

_ALONE: Final = "data"  # the name of the tensor in a file with one record


def codes_dtype(code: CodeType, is_packed: bool) -> str:
    """Return safetensors' word for the codes of a scheme; bytes where it has none."""
    return "U8" if is_packed else NAME_OF.get(code.name, "U8")


def metadata_of(records: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Return the metadata of a file, given what is said of each record."""
    return {VERSION_KEY: str(VERSION), RECORDS_KEY: _as_json(records)}


def _as_json(words: Mapping[str, Any]) -> str:
    return json.dumps(words, separators=(",", ":"), default=np.generic.item)


def class_of(about: Mapping[str, Any]) -> type[Record]:
    """Return the class of a record, given what a file says of it."""
    word = about["record"] if "record" in about else about["kind"]
    if "record" not in about and word not in ("linear", "nvfp4"):
        word = "mx"  # in version 1, whose `kind` was the format's
    if word not in _CLASSES:
        raise ValueError(f"expected a record of {', '.join(_CLASSES)}, got {word!r}")
    return _CLASSES[word]


def records_of(reader: Reader) -> dict[str, dict[str, Any]]:
    """Return what a file says of its quantized tensors; nothing where ufuse has not written it.

    Raises
    ------
    ValueError
        If it was written in another version of the layout, or its words for them are no JSON.
    """
    if RECORDS_KEY not in reader.metadata:
        return {}
    _check_version(reader.path, reader.metadata.get(VERSION_KEY))
    try:
        found = json.loads(reader.metadata[RECORDS_KEY])
    except json.JSONDecodeError as error:
        raise ValueError(f"{reader.path}: metadata {RECORDS_KEY!r} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{reader.path}: metadata {RECORDS_KEY!r} is no object")
    return found


def record(
    reader: Reader, name: str, about: Mapping[str, Any], parts: set[str] | None = None
) -> Record:
    """Return a quantized tensor of a file; its arrays are views of the memory map.

    Parameters
    ----------
    reader : Reader
        The file.
    name : str
        Name of the tensor.
    about : mapping
        What `records_of` says of it.
    parts : set of str, optional
        Gets the names of the arrays that the record is made of.

    Raises
    ------
    ValueError
        If its parts do not fit together.
    """

    def part(suffix: str) -> Array:
        if parts is not None:
            parts.add(name + suffix)
        return np.require(reader.array(name + suffix), requirements="A")

    return _checked(reader.path, name, lambda: class_of(about)._of(about, part))


def load_model(path: str | Path) -> dict[str, Any]:
    """Read the tensors of a safetensors file, those that ufuse has quantized as records.

    Parameters
    ----------
    path : path_like
        A safetensors file, of `quantize_model` or of anyone.

    Returns
    -------
    dict of str to ndarray or record
        Records are `QuantizedArray` and those of `ufuse.formats`. Arrays are read-only views of a
        memory map: what is not used is not read.

    Raises
    ------
    ValueError
        If the file is corrupt, truncated, or of another version of the layout.
    ImportError
        If a tensor's dtype is one of ml_dtypes', which is not installed.

    Examples
    --------
    >>> import tempfile, numpy as np, ufuse as uf
    >>> q = uf.quantize(np.ones((2, 4), np.float32), "int8", axis=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     q.save(folder + "/ones.safetensors")
    ...     uf.files.load_model(folder + "/ones.safetensors")
    {'data': QuantizedArray(shape=(2, 4), int8 symmetric, 2 scales on axis 0, 17 bytes)}
    """
    reader = Reader(Path(path))
    records = records_of(reader)
    parts: set[str] = set()
    found: dict[str, Any] = {
        name: record(reader, name, about, parts) for name, about in records.items()
    }
    found.update({name: reader.array(name) for name in reader.entries if name not in parts})
    return found


def save(q: Record, path: str | Path) -> None:
    """Write a record to a file, .npz or .safetensors: see `Record.save`."""
    target = Path(path)
    about, parts = q._about(), q._stored()
    suffix = _suffix(target, q, "save")
    with replacing(target) as beside:
        if suffix == ".npz":
            named: dict[str, Any] = {_member(suffix): part for suffix, part in parts.items()}
            with beside.open("wb") as file:
                np.savez(file, version=VERSION, about=_as_json(about), **named)
            return
        tensors = {
            _ALONE + suffix: (_dtype_of(q, suffix, part), part.shape)
            for suffix, part in parts.items()
        }
        with Writer(beside, tensors, metadata_of({_ALONE: about})) as writer:
            for suffix, part in parts.items():
                writer.write(_ALONE + suffix, part)


def _member(suffix: str) -> str:
    """Return what a part is called in an .npz file."""
    return suffix.removeprefix(".") or _ALONE


def _dtype_of(q: Record, suffix: str, part: Array) -> str:
    """Return safetensors' word for a part of a record."""
    if isinstance(q, QuantizedArray) and not suffix:
        return codes_dtype(q.code, q.is_packed)
    if isinstance(q, NVFP4Array) and suffix == SCALE:
        return "F8_E4M3"
    return NAME_OF[part.dtype.name]


def load(path: str | Path, kind: type[_R]) -> _R:
    """Read a record of a file: see `Record.load`."""
    source = Path(path)
    if _suffix(source, kind, "load") == ".npz":
        found = _load_npz(source)
    else:
        reader = Reader(source)
        records = records_of(reader)
        if set(records) != {_ALONE}:
            raise ValueError(
                f"{source}: expected a record that {kind.__name__}.save has written, got a file of "
                f"{len(records)} quantized tensors; ufuse.files.load_model reads them"
            )
        found = record(reader, _ALONE, records[_ALONE])
    if not isinstance(found, kind):
        raise ValueError(
            f"{source}: expected a record that {kind.__name__}.save has written, got {found!r}; "
            f"{found._name}.load reads it"
        )
    return found


def _load_npz(path: Path) -> Record:
    members: dict[str, Array] = {}
    with path.open("rb") as file:
        at = file.seek(0, 2)  # where what is missing of a truncated file begins
        try:
            with zipfile.ZipFile(file) as archive:
                for info in archive.infolist():
                    at = info.header_offset
                    with archive.open(info) as member:
                        members[info.filename.removesuffix(".npy")] = np.lib.format.read_array(
                            member, allow_pickle=False
                        )
        except _BROKEN as error:
            raise ValueError(f"{path}: offset {at}: not a whole .npz file: {error}") from None
    if "version" in members:
        _check_version(path, str(members["version"]))
    if not {"version", "about"} <= members.keys():
        raise ValueError(
            f"{path}: expected a record that ufuse has saved, with the arrays version, about, and "
            f"those of the record; got {', '.join(sorted(members)) or 'none'}"
        )

    def make() -> Record:
        about = json.loads(str(members["about"]))
        return class_of(about)._of(about, lambda suffix: members[_member(suffix)])

    return _checked(path, _ALONE, make)


def _checked(path: Path, name: str, make: Callable[[], Record]) -> Record:
    """Make a record; what its class finds wrong is an error of the file."""
    try:
        return make()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{path}: tensor {name!r}: parts that do not fit: {what}") from error


def _check_version(path: Path, version: str | None) -> None:
    if version not in _READABLE:
        raise ValueError(
            f"{path}: version {version} of the layout; this ufuse reads versions "
            f"{' and '.join(_READABLE)}: convert the array again, or install the ufuse that wrote "
            "it"
        )


def _suffix(path: Path, kind: Record | type[Record], method: str) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".safetensors"):
        raise ValueError(
            f"{kind._name}.{method}: argument 'path': expected a name that ends in .npz or "
            f".safetensors, got {str(path)!r}"
        )
    return suffix
