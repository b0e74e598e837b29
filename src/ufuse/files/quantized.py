"""Records of quantized arrays in files: what their parts are called, and what is said of them."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..formats.mx import MXArray
from ..formats.nvfp4 import NVFP4Array
from ..quant import QuantizedArray
from ..quant.arguments import as_stored
from ..quant.array import PACKED
from ..quant.codes import BY_NAME as CODES
from ..quant.codes import CodeType
from .replacing import replacing
from .safetensors import NAME_OF, Reader, Writer

Array = NDArray[Any]
Record: TypeAlias = QuantizedArray | NVFP4Array | MXArray

#: Of the layout below. A reader refuses any other.
VERSION: Final = 1
#: Keys of the metadata: the version, and JSON with what each quantized tensor is.
VERSION_KEY: Final = "ufuse.version"
RECORDS_KEY: Final = "ufuse.quantized"

SCALE: Final = ".scale"
ZERO_POINT: Final = ".zero_point"
TENSOR_SCALE: Final = ".tensor_scale"

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
    """Return the metadata of a file, given what `described` says of each record."""
    return {VERSION_KEY: str(VERSION), RECORDS_KEY: json.dumps(records, separators=(",", ":"))}


def described(q: QuantizedArray) -> dict[str, Any]:
    """Return what its arrays do not say of a record."""
    return {
        "kind": "linear",
        "scheme": q.scheme,
        "axis": q.axis,
        "block_size": q.block_size,
        "shape": q.shape,
    }


def restored(about: Mapping[str, Any], part: Callable[[str], Array]) -> Record:
    """Make a record of what `described` said, and of its parts by their suffix."""
    kind, shape = about["kind"], tuple(about["shape"])
    if kind == "linear":
        code = CODES[about["scheme"]]
        block = about["block_size"]
        data = part("")
        if code.is_float and code.name not in PACKED and data.dtype == np.uint8:
            data = data.view(code.dtype)  # stored as bytes: safetensors or NumPy has no word for it
        return QuantizedArray(
            data,
            part(SCALE),
            part(ZERO_POINT),
            about["axis"],
            tuple(block) if isinstance(block, list) else block,
            code.name,
            shape,
        )
    scales = part(SCALE).view(np.uint8)
    if kind == "nvfp4":
        return NVFP4Array(part(""), scales, np.float32(part(TENSOR_SCALE)), shape, about["axis"])
    return MXArray(part(""), scales, kind, shape, about["axis"], about["block_size"])


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

    return _checked(reader.path, name, lambda: restored(about, part))


def load_model(path: str | Path) -> dict[str, Any]:
    """Read the tensors of a safetensors file, those that ufuse has quantized as records.

    Parameters
    ----------
    path : path_like
        A safetensors file, of `quantize_model` or of anyone.

    Returns
    -------
    dict of str to ndarray, QuantizedArray, NVFP4Array or MXArray
        Arrays are read-only views of a memory map: what is not used is not read.

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


def save(q: QuantizedArray, path: str | Path) -> None:
    """Write a record to a file, .npz or .safetensors: see `QuantizedArray.save`."""
    target = Path(path)
    data = q.data if q.is_packed else as_stored(q.data, q.code)
    about = described(q)
    suffix = _suffix(target, "save")
    with replacing(target) as beside:
        if suffix == ".npz":
            words = json.dumps(about)
            with beside.open("wb") as file:
                np.savez(
                    file, version=VERSION, about=words, data=data, scale=q.scale,
                    zero_point=q.zero_point,
                )  # fmt: skip
            return
        parts = {
            "": (codes_dtype(q.code, q.is_packed), data),
            SCALE: ("F32", q.scale),
            ZERO_POINT: (NAME_OF[q.zero_point.dtype.name], q.zero_point),
        }
        tensors = {_ALONE + name: (dtype, a.shape) for name, (dtype, a) in parts.items()}
        with Writer(beside, tensors, metadata_of({_ALONE: about})) as writer:
            for name, (_, array) in parts.items():
                writer.write(_ALONE + name, array)


def load(path: str | Path) -> QuantizedArray:
    """Read a record of a file: see `QuantizedArray.load`."""
    source = Path(path)
    if _suffix(source, "load") == ".npz":
        return _load_npz(source)
    reader = Reader(source)
    records = records_of(reader)
    if set(records) != {_ALONE}:
        raise ValueError(
            f"{source}: expected a record that QuantizedArray.save has written, got a file of "
            f"{len(records)} quantized tensors; ufuse.files.load_model reads them"
        )
    found = record(reader, _ALONE, records[_ALONE])
    if not isinstance(found, QuantizedArray):
        raise ValueError(f"{source}: expected a QuantizedArray, got {type(found).__name__}")
    return found


def _load_npz(path: Path) -> QuantizedArray:
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
    needed = {"version", "about", "data", "scale", "zero_point"}
    if "version" in members:
        _check_version(path, str(members["version"]))
    if not needed <= members.keys():
        raise ValueError(
            f"{path}: expected a record that QuantizedArray.save has written, with the arrays "
            f"{', '.join(sorted(needed))}; got {', '.join(sorted(members)) or 'none'}"
        )

    def make() -> Record:
        about = json.loads(str(members["about"]))
        parts = {"": members["data"], SCALE: members["scale"], ZERO_POINT: members["zero_point"]}
        return restored(about, parts.__getitem__)

    found = _checked(path, "data", make)
    assert isinstance(found, QuantizedArray)
    return found


def _checked(path: Path, name: str, make: Callable[[], Record]) -> Record:
    """Make a record; what its class finds wrong is an error of the file."""
    try:
        return make()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{path}: tensor {name!r}: parts that do not fit: {what}") from error


def _check_version(path: Path, version: str | None) -> None:
    if version != str(VERSION):
        raise ValueError(
            f"{path}: version {version} of the layout; this ufuse reads version {VERSION}: "
            "convert the array again, or install the ufuse that wrote it"
        )


def _suffix(path: Path, method: str) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".safetensors"):
        raise ValueError(
            f"ufuse.QuantizedArray.{method}: argument 'path': expected a name that ends in .npz or "
            f".safetensors, got {str(path)!r}"
        )
    return suffix
