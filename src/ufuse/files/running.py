"""A conversion under way: tensors encoded tile by tile, and written to one kind of file."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .encoders import Encoder, parts_nbytes
from .quantized import SCALE, TENSOR_SCALE, ZERO_POINT, metadata_of
from .replacing import optional
from .report import Meter, TensorReport
from .safetensors import Writer
from .sources import Source
from .tiles import TILE, Matrix, Tensor, tiles

Array = NDArray[Any]

#: Bytes of a tensor that are copied at a time.
_COPY: Final = 4 << 20


class Job(NamedTuple):
    """A tensor and what becomes of it: copied where there is no encoder."""

    tensor: Tensor
    kind: str
    encoder: Encoder | None
    note: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes in the file that is made."""
        return self.tensor.array.nbytes if self.encoder is None else parts_nbytes(self.encoder)


def report_of(job: Job, meter: Meter) -> TensorReport:
    tensor = job.tensor
    before, after = tensor.array.nbytes, job.nbytes
    notes = [job.note] if job.note else []
    if meter.nonfinite:
        notes.append(f"{meter.nonfinite:,} NaN or infinite")
    if meter.spoilt:
        notes.append(f"{meter.spoilt:,} finite read back as NaN or infinite")
    return TensorReport(
        tensor.name, tensor.shape, tensor.dtype, job.kind, before, after, *meter.result(),
        "; ".join(notes), meter.nonfinite, meter.spoilt,
    )  # fmt: skip


class Run:
    """A conversion under way: bytes of each job in turn, errors measured, progress drawn."""

    def __init__(self, path: Path, model: Source, jobs: list[Job], progress: bool) -> None:
        self.jobs = jobs
        self.meters = [Meter() for _ in jobs]
        self.path = path
        self._decoded = np.empty(0, np.float32)
        self._release = model.release
        self._progress = progress
        self._advance: Callable[[int], Any] = lambda nbytes: None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Run:
        if self._progress:
            with contextlib.suppress(ImportError):
                bar = optional("tqdm", "a progress bar").tqdm(
                    total=sum(job.tensor.array.nbytes for job in self.jobs),
                    unit="B", unit_scale=True, desc=self.path.name, file=sys.stderr,
                )  # fmt: skip
                self._advance = self._stack.enter_context(bar).update
        return self

    def __exit__(self, *_: Any) -> None:
        self._stack.close()

    def pieces(self, index: int) -> Iterator[tuple[str, int, Array]]:
        """Yield suffix, offset and bytes of all parts of what a tensor becomes."""
        job = self.jobs[index]
        try:
            if job.encoder is None:
                yield from self._copied(job.tensor)
            else:
                yield from self._encoded(job.tensor, job.encoder, self.meters[index])
        except ValueError as error:
            raise ValueError(f"{self.path}: tensor {job.tensor.name!r}: {error}") from error
        self._release(job.tensor.name)

    def _copied(self, tensor: Tensor) -> Iterator[tuple[str, int, Array]]:
        data = np.ascontiguousarray(tensor.array).reshape(-1).view(np.uint8)
        for at in range(0, data.size, _COPY):
            part = data[at : at + _COPY]
            yield "", at, part
            self._advance(part.size)

    def _encoded(
        self, tensor: Tensor, encoder: Encoder, meter: Meter
    ) -> Iterator[tuple[str, int, Array]]:
        matrix = Matrix(tensor, encoder.rows, encoder.columns)
        yield from encoder.prepare(matrix)
        for at in tiles(encoder.rows, encoder.columns, encoder.block):
            x = matrix.tile(at)
            if self._decoded.size < x.size:
                self._decoded = np.empty(
                    max(x.size, min(TILE, encoder.rows * encoder.columns)), "f4"
                )
            pieces, decode = encoder.encode(matrix, at, x)
            yield from pieces
            decoded = self._decoded[: x.size].reshape(x.shape)
            decode(decoded)
            meter.add(x, decoded)
            self._advance(x.size * tensor.array.nbytes // (encoder.rows * encoder.columns))


class _Streamed:
    """What the writer of gguf takes for an array: it writes itself, tile by tile."""

    def __init__(self, nbytes: int, pieces: Iterator[tuple[str, int, Array]]) -> None:
        self.nbytes = nbytes
        self._pieces = pieces

    def tofile(self, file: Any) -> None:
        written = 0
        for _, at, part in self._pieces:
            assert at == written, "pieces come in the order of the file"
            data = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
            file.write(data.data)
            written += data.size
        assert written == self.nbytes


def write_gguf(path: Path, run: Run, model: Source, architecture: str | None) -> None:
    package = optional("gguf", "writing .gguf files")
    writer = package.GGUFWriter(path, architecture or model.architecture or "unknown")
    try:
        for key, value, kind, inner in model.fields:
            if key != "general.quantization_version":
                writer.add_key_value(key, value, kind, inner)
        writer.add_quantization_version(package.GGML_QUANT_VERSION)
        types = package.GGMLQuantizationType
        for job in run.jobs:
            writer.add_tensor_info(
                job.tensor.name, job.tensor.shape or (1,), np.dtype(np.float32), job.nbytes,
                raw_dtype=types[job.kind],
            )  # fmt: skip
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for index, job in enumerate(run.jobs):
            writer.write_tensor_data(_Streamed(job.nbytes, run.pieces(index)))
    finally:
        writer.close()


def write_safetensors(path: Path, run: Run, model: Source, _: str | None) -> None:
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    records = {}
    for job in run.jobs:
        tensor = job.tensor
        parts = {"": (tensor.dtype, tensor.shape)} if job.encoder is None else job.encoder.parts
        for suffix, part in parts.items():
            if tensor.name + suffix in tensors:
                raise ValueError(
                    f"{run.path}: tensor {tensor.name + suffix!r} has the name of a part of "
                    f"another: parts are called {SCALE}, {ZERO_POINT} and {TENSOR_SCALE}; copy or "
                    "drop one of the two (--exclude, --drop)"
                )
            tensors[tensor.name + suffix] = part
        if job.encoder is not None:
            records[tensor.name] = job.encoder.about
    metadata = {"format": "pt", **model.metadata, **metadata_of(records)}
    with Writer(path, tensors, metadata) as writer:
        for index, job in enumerate(run.jobs):
            for suffix, at, data in run.pieces(index):
                writer.write(job.tensor.name + suffix, data, at)
