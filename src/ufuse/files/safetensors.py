"""Safetensors files: a header checked to the last byte, tensors in a memory map, parts written.

The format is that of https://github.com/huggingface/safetensors: eight bytes with the length of a
header in JSON, the header, and the tensors' bytes without a gap. The package ``safetensors`` is not
used: its NumPy interface has no float8, copies a tensor to read it, and writes only what is all in
memory. The tests compare with it.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..interop.lowprecision import low_precision_dtype

Array = NDArray[Any]

#: Bits of an element, and the dtype it is read as; of those of less than a byte the bytes are.
DTYPES: Final[dict[str, tuple[int, str]]] = {
    "BOOL": (8, "bool"),
    "U8": (8, "uint8"),
    "I8": (8, "int8"),
    "U16": (16, "uint16"),
    "I16": (16, "int16"),
    "U32": (32, "uint32"),
    "I32": (32, "int32"),
    "U64": (64, "uint64"),
    "I64": (64, "int64"),
    "F16": (16, "float16"),
    "BF16": (16, "bfloat16"),
    "F32": (32, "float32"),
    "F64": (64, "float64"),
    "C64": (64, "complex64"),
    "F8_E4M3": (8, "float8_e4m3fn"),
    "F8_E5M2": (8, "float8_e5m2"),
    "F8_E4M3FNUZ": (8, "float8_e4m3fnuz"),
    "F8_E5M2FNUZ": (8, "float8_e5m2fnuz"),
    "F8_E8M0": (8, "float8_e8m0fnu"),
    "F4": (4, ""),
    "F6_E2M3": (6, ""),
    "F6_E3M2": (6, ""),
}
NAME_OF: Final = {name: key for key, (_, name) in DTYPES.items() if name}

#: The format's own limit.
_LARGEST_HEADER: Final = 100_000_000
_PREFIX: Final = 8


class Entry(NamedTuple):
    """A tensor of a file: `dtype` in the format's words, and where its bytes are in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return self.stop - self.start


def nbytes_of(dtype: str, shape: tuple[int, ...]) -> int:
    """Return the bytes of a tensor; those of less than a byte are packed without gaps."""
    return -(-DTYPES[dtype][0] * math.prod(shape) // 8)


class Reader:
    """A safetensors file, its header checked.

    Attributes
    ----------
    path : pathlib.Path
    metadata : dict of str to str
    entries : dict of str to Entry
        In the order of the header.

    Raises
    ------
    ValueError
        If the file is corrupt or truncated; the message has the offset.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self._size = file.seek(0, 2)
            if self._size < _PREFIX:
                raise self._wrong(
                    self._size, f"truncated in the {_PREFIX} bytes of the header's length"
                )
            # Mapped, and not read: pages that were used can be dropped again.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if self._map[:4] == b"GGUF":
            raise ValueError(
                f"{path}: offset 0: a GGUF file, and no safetensors file; gguf.GGUFReader (of the "
                "package gguf) gives its tensors and ufuse.formats.gguf.dequantize their numbers, "
                "and ufuse.files.quantize_model converts it where its name ends in .gguf"
            )
        length = int.from_bytes(self._map[:_PREFIX], "little")
        if length > _LARGEST_HEADER:
            raise self._wrong(0, f"a header of {length} bytes; the format allows {_LARGEST_HEADER}")
        self._data = _PREFIX + length
        if self._data > self._size:
            raise self._wrong(self._size, f"truncated: the header ends at offset {self._data}")
        self.metadata: dict[str, str] = {}
        self.entries: dict[str, Entry] = {}
        self._read(self._header(length))

    def _wrong(self, offset: int, what: str) -> ValueError:
        return ValueError(f"{self.path}: offset {offset}: not a whole safetensors file: {what}")

    def _header(self, length: int) -> dict[str, Any]:
        raw = bytes(self._map[_PREFIX : _PREFIX + length])

        twice: list[str] = []

        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            found: dict[str, Any] = {}
            for key, value in pairs:
                if key in found:
                    twice.append(key)
                found[key] = value
            return found

        try:
            text = raw.decode()
            header = json.loads(text, object_pairs_hook=unique)
        except UnicodeDecodeError as error:
            raise self._wrong(_PREFIX + error.start, "the header is not UTF-8") from None
        except json.JSONDecodeError as error:
            at = _PREFIX + len(text[: error.pos].encode())
            raise self._wrong(at, f"the header is not JSON: {error.msg}") from None
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, say
            raise self._wrong(
                _PREFIX, f"the header is not JSON that can be read: {error}"
            ) from None
        if twice:
            raise self._wrong(_PREFIX, f"the header has {twice[0]!r} twice")
        if not isinstance(header, dict):
            raise self._wrong(_PREFIX, f"expected an object in the header, got {header!r:.40}")
        return header

    def _read(self, header: dict[str, Any]) -> None:
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise self._wrong(_PREFIX, "'__metadata__' is not an object of strings")
        self.metadata = metadata
        for name, entry in header.items():
            self.entries[name] = self._entry(name, entry)
        at, before = self._data, "the header"
        for name, entry in sorted(self.entries.items(), key=lambda item: item[1][2:]):
            if entry.start != at:
                what = "overlaps" if entry.start < at else "leaves a gap after"
                raise self._wrong(entry.start, f"tensor {name!r} {what} {before}")
            at, before = entry.stop, f"tensor {name!r}"
        if at != self._size:
            raise self._wrong(at, f"{self._size - at} bytes follow the last tensor")

    def _entry(self, name: str, entry: Any) -> Entry:
        def integers(value: Any) -> bool:
            return isinstance(value, list) and all(type(v) is int and v >= 0 for v in value)

        keys = {"dtype", "shape", "data_offsets"}
        if not isinstance(entry, dict) or set(entry) != keys:
            raise self._wrong(_PREFIX, f"tensor {name!r} has not the keys {sorted(keys)}")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise self._wrong(
                _PREFIX,
                f"tensor {name!r} has the unknown dtype {dtype!r}; known: {', '.join(DTYPES)}",
            )
        if not integers(shape) or not integers(offsets) or len(offsets) != 2:
            raise self._wrong(
                _PREFIX, f"tensor {name!r} has the shape {shape!r} and the offsets {offsets!r}"
            )
        start, stop = (self._data + offset for offset in offsets)
        if stop < start or stop - start != nbytes_of(dtype, tuple(shape)):
            raise self._wrong(
                start,
                f"tensor {name!r} of {dtype} and shape {tuple(shape)} needs "
                f"{nbytes_of(dtype, tuple(shape))} bytes, its offsets give {stop - start}",
            )
        if stop > self._size:
            raise self._wrong(
                self._size, f"truncated: tensor {name!r} goes from offset {start} to {stop}"
            )
        return Entry(dtype, tuple(shape), start, stop)

    def array(self, name: str) -> Array:
        """Return a tensor: a read-only view of the memory map.

        Elements of less than a byte are given as the bytes they are packed in, 1-d.

        Raises
        ------
        ImportError
            If its dtype is one of ml_dtypes', which is not installed.
        """
        entry = self.entries[name]
        data: Array = np.frombuffer(self._map, np.uint8, entry.nbytes, entry.start)
        bits, known = DTYPES[entry.dtype]
        if bits < 8:
            return data
        own = hasattr(np, known) or known == "bool"
        dtype = np.dtype(known) if own else low_precision_dtype(known)
        try:
            return data.view(dtype).reshape(entry.shape)
        except (ValueError, OverflowError):  # 65 axes, or 0 times more than an index can be
            what = f"tensor {name!r} has the shape {entry.shape}, which NumPy cannot hold"
            raise self._wrong(entry.start, what) from None

    def release(self, name: str) -> None:
        """Take the pages of a tensor out of the process's memory; they are read again on need."""
        entry = self.entries[name]
        first = -(-entry.start // mmap.PAGESIZE) * mmap.PAGESIZE
        if hasattr(mmap, "MADV_DONTNEED") and entry.stop > first:
            self._map.madvise(mmap.MADV_DONTNEED, first, entry.stop - first)


class Writer:
    """A safetensors file whose tensors are known from the start and written in parts, in any order.

    Parameters
    ----------
    path : pathlib.Path
        An empty file is made of it.
    tensors : mapping of str to (str, tuple of int)
        dtype, in the format's words, and shape of each.
    metadata : mapping of str to str
    """

    def __init__(
        self,
        path: Path,
        tensors: Mapping[str, tuple[str, tuple[int, ...]]],
        metadata: Mapping[str, str],
    ) -> None:
        header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
        at = 0
        self._start: dict[str, int] = {}
        self._missing: dict[str, int] = {}
        # The widest first: with a header of whole words each tensor is aligned to its elements.
        for name in sorted(tensors, key=lambda name: (-DTYPES[tensors[name][0]][0], name)):
            dtype, shape = tensors[name]
            size = nbytes_of(dtype, shape)
            header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
            self._start[name], self._missing[name] = at, size
            at += size
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        if len(text) > _LARGEST_HEADER:
            raise ValueError(
                f"{path}: a header of {len(text)} bytes; safetensors allows {_LARGEST_HEADER}"
            )
        self._data = _PREFIX + len(text)
        self._file = path.open("wb")
        try:
            self._file.write(len(text).to_bytes(_PREFIX, "little") + text)
            self._file.truncate(self._data + at)  # a full disk is found out early where it can be
        except BaseException:
            self._file.close()
            raise

    def write(self, name: str, part: Array, at: int = 0) -> None:
        """Write a part of a tensor, from byte `at` of it on; each byte is to be written once."""
        data = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
        self._file.seek(self._data + self._start[name] + at)
        self._file.write(data.data)
        self._missing[name] -= data.size

    def close(self) -> None:
        """Close the file.

        Raises
        ------
        RuntimeError
            If tensors have not been written as they were announced.
        """
        self._file.close()
        missing = [name for name, size in self._missing.items() if size]
        if missing:
            raise RuntimeError(f"tensors written in part: {', '.join(missing)}")

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()
