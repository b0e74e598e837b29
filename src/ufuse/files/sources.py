"""Model files as lists of tensors in a memory map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from ..formats import gguf
from ..interop.lowprecision import low_precision_dtype
from .quantized import RECORDS_KEY
from .replacing import optional
from .safetensors import NAME_OF, Reader
from .tiles import Tensor

#: Fields of GGUF's that its writer makes, or that describe the file and not the model.
_OWN: Final = ("general.architecture", "general.alignment", "general.file_type", "split.")
#: What the package gguf reads.
_VERSIONS: Final = (2, 3)


class Source(NamedTuple):
    """A model.

    Attributes
    ----------
    tensors : list of Tensor
    metadata : dict of str to str
        Of safetensors.
    fields : list
        Of GGUF: key, value, type, and type of elements of each.
    architecture : str or None
        What GGUF says.
    release : callable
        Given the name of a tensor that is done with, forgets the pages of the memory map.
    """

    tensors: list[Tensor]
    metadata: dict[str, str]
    fields: list[tuple[str, Any, Any, Any]]
    architecture: str | None
    release: Callable[[str], None]


def open_source(path: Path) -> Source:
    """Open a model file by the end of its name.

    Raises
    ------
    ValueError
        If it is corrupt or truncated, already quantized by ufuse, or none of these files.
    """
    suffix = path.suffix.lower()
    if suffix == ".gguf":
        return _open_gguf(path)
    if suffix != ".safetensors":
        raise ValueError(f"{path}: expected a name that ends in .safetensors or .gguf")
    reader = Reader(path)
    if RECORDS_KEY in reader.metadata:
        raise ValueError(f"{path}: already quantized by ufuse; convert the model it was made of")
    tensors = [
        Tensor(name, entry.dtype, entry.shape, reader.array(name))
        for name, entry in reader.entries.items()
    ]
    return Source(tensors, reader.metadata, [], None, reader.release)


def _damage(path: Path) -> str:
    """Return what is wrong with a file that gguf cannot read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        magic, version = file.read(4), file.read(4)
    if magic != b"GGUF":
        return f"offset 0: not a whole GGUF file of {size} bytes: it begins with {magic!r}"
    if len(version) == 4 and 0xFFFF & int.from_bytes(version, "little") not in (0, *_VERSIONS):
        found = int.from_bytes(version, "little")
        return f"offset 4: version {found} of GGUF; versions {_VERSIONS[0]} to 3 are read"
    return (
        f"not a whole GGUF file of {size} bytes: its header is damaged, or goes on past the end of "
        "the file, as may a tensor"
    )


def _check_places(path: Path, reader: Any) -> None:
    """Refuse tensors that share bytes, or that end where the file does not go."""
    size, end, before = path.stat().st_size, int(reader.data_offset), "the header"
    for tensor in sorted(reader.tensors, key=lambda tensor: int(tensor.data_offset)):
        start = int(tensor.data_offset)
        stop = start + int(tensor.n_bytes)
        if start < end:
            raise ValueError(
                f"{path}: offset {start}: not a whole GGUF file: tensor {tensor.name!r} overlaps "
                f"{before}, which ends at offset {end}"
            )
        if stop > size:
            raise ValueError(
                f"{path}: offset {size}: not a whole GGUF file: tensor {tensor.name!r} goes from "
                f"offset {start} to {stop}"
            )
        if stop > start:
            end, before = stop, f"tensor {tensor.name!r}"


def _open_gguf(path: Path) -> Source:
    package = optional("gguf", "reading .gguf files")
    try:
        reader = package.GGUFReader(path)
    except (ValueError, IndexError, KeyError, OverflowError, TypeError, MemoryError) as error:
        # gguf slices a memory map that is too short, and fails on what it gets, in NumPy's words.
        raise ValueError(f"{path}: {_damage(path)}") from error
    _check_places(path, reader)
    tensors = []
    for found in reader.tensors:
        shape = tuple(int(extent) for extent in reversed(found.shape.tolist()))
        word, array = found.tensor_type.name, np.asarray(found.data)
        if word == "BF16":
            array = array.view(low_precision_dtype("bfloat16")).reshape(shape)
        elif array.dtype != np.uint8:
            word = NAME_OF[array.dtype.name]
        elif word not in gguf.kinds():
            raise ValueError(f"{path}: tensor {found.name!r} is {word}, which ufuse does not read")
        tensors.append(Tensor(found.name, word, shape, array))
    fields, architecture = [], None
    for key, field in reader.fields.items():
        if key == "general.architecture":
            architecture = field.contents()
        if not key.startswith(("GGUF.", *_OWN)):
            inner = field.types[1] if len(field.types) > 1 else None
            fields.append((key, field.contents(), field.types[0], inner))
    return Source(tensors, {}, fields, architecture, lambda name: None)
