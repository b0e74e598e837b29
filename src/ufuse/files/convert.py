"""Whole model files, quantized a tile at a time."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..formats import gguf
from .encoders import MX, NVFP4, Blocks, Encoder, Linear
from .replacing import replacing
from .report import Meter, TensorReport
from .running import Job, Run, report_of, write_gguf, write_safetensors
from .sources import open_source
from .tiles import Tensor

Array = NDArray[Any]
NAME: Final = "ufuse.files.quantize_model"

#: What safetensors files can have: those of `ufuse.quantize`, of NVFP4, and of MX.
LINEAR: Final = ("int8", "uint8", "int4", "uint4", "float8_e4m3fn", "float8_e5m2")
MX_KINDS: Final = ("mxfp4", "mxfp8_e4m3", "mxfp8_e5m2", "mxint8")
TARGETS: Final = (*LINEAR, "nvfp4", *MX_KINDS)
#: What GGUF files can have.
KINDS: Final = tuple(kind for kind in gguf.kinds(encodes=True) if kind != "F32")

#: Where a kind's block does not divide a row: llama.cpp's rule (``tensor_type_fallback`` of
#: ``llama-quant.cpp``), but for IQ4_NL, which cannot be written here: Q4_0 has its size.
FALLBACK: Final = {
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
    "TQ1_0": "Q4_0",
    "TQ2_0": "Q4_0",
    "NVFP4": "MXFP4",
}
#: Elements that share a scale of 4 bits, where the caller does not say.
_BLOCK_OF_FOUR_BITS: Final = 32
#: The types of GGUF that hold a tensor as it is.
_COPIED: Final = ("F64", "F32", "F16", "BF16", "I8", "I16", "I32", "I64")
_MOST_AXES: Final = 4  # GGML_MAX_DIMS
_CLOSEST: Final = 3  # names that an error lists
_SCALAR_AXES: Final = 1  # norms and biases are not quantized


def quantize_model(
    source: str | Path,
    target: str | Path | None,
    to: str,
    *,
    block_size: int | None = None,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    drop: str | Sequence[str] = (),
    importance: str | Path | Mapping[str, ArrayLike] | None = None,
    architecture: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: bool | None = None,
) -> list[TensorReport]:
    """Quantize the tensors of a model file to another file.

    Parameters
    ----------
    source : path_like
        A .safetensors or .gguf file.
    target : path_like or None
        A .safetensors or .gguf file, whatever `source` is. None in a dry run alone.
    to : str
        For .gguf a kind of `ufuse.formats.gguf` (``"Q4_K"``); for .safetensors a scheme of
        `ufuse.quantize`: ``"int8" "uint8" "int4" "uint4" "float8_e4m3fn" "float8_e5m2"``, or
        ``"nvfp4"``, or of `ufuse.formats.mx` ``"mxfp4" "mxfp8_e4m3" "mxfp8_e5m2" "mxint8"``. Upper
        and lower case are alike, but for ``"NVFP4"`` and ``"MXFP4"`` without `target`: GGUF's.
    block_size : int, optional
        For a scheme of `ufuse.quantize`: elements of a row that share a scale. By default 32 for
        codes of 4 bits, and otherwise one scale for each index of the first axis.
    include, exclude : str or sequence of str
        Patterns (``"*.weight"``) of tensors to quantize, all by default, and not to: others are
        copied. Each matches a tensor.
    drop : str or sequence of str
        Patterns of tensors to leave out of the file. Each matches a tensor, and some are left.
    importance : path_like or mapping, optional
        Weights of the columns of tensors, by name: an .npz file or arrays of shape (D,). For the
        kinds that take them, see `ufuse.formats.gguf.quantize`; of tensors that do not become one
        of these they are unused, and the report says so.
    architecture : str, optional
        GGUF's ``general.architecture``; by default the source's, or ``"unknown"``.
    overwrite : bool
        Whether to replace a file at `target`.
    dry_run : bool
        Return the report, without errors measured, and write nothing. What can be known without
        reading the tensors is refused alike, `target` included where it is given; NaN cannot.
    progress : bool, optional
        Whether to draw a bar on stderr, where tqdm is installed; by default on a terminal.

    Returns
    -------
    list of TensorReport
        A row per tensor; `format_table` makes a table of them.

    Raises
    ------
    ValueError
        If `to` is unknown or the file's kind does not have it; a pattern matches no tensor; a file
        is corrupt or truncated, or has no tensors; a tensor cannot be in the file, or has NaN or
        infinity that the format cannot scale; weights are negative or not finite.
    TypeError
        If an argument is of another type.
    FileExistsError
        If there is a file at `target`, without `overwrite`.
    IsADirectoryError, FileNotFoundError
        If `target` is a folder, or in a folder that there is not.
    ImportError
        If a package is missing: gguf for .gguf files, ml_dtypes for bfloat16 and float8.

    Notes
    -----
    Floating tensors of two or more axes are quantized; those of fewer (norms, biases), integers
    and float8 are copied. Rows that a kind's block does not divide get the kind that llama.cpp
    falls back to: see the page on files. The file appears when it is complete and on disk; whatever
    happens before, what was at `target` stays.

    Examples
    --------
    >>> import ufuse as uf
    >>> rows = uf.files.quantize_model("model.safetensors", "m.gguf", "Q4_K")  # doctest: +SKIP
    """
    include, exclude, drop = (
        _read_patterns(word, patterns)
        for word, patterns in (("include", include), ("exclude", exclude), ("drop", drop))
    )
    path, output = Path(source), None if target is None else Path(target)
    kind, to_gguf = _read_target(to, output, dry_run)
    if block_size is not None and not isinstance(block_size, (int, np.integer)):
        raise TypeError(
            f"{NAME}: argument 'block_size': expected an int or None, got {block_size!r}"
        )
    if block_size is not None and (kind not in LINEAR or block_size < 1):
        raise ValueError(
            f"{NAME}: argument 'block_size': expected None or 1 or more, for {', '.join(LINEAR)}; "
            f"got {block_size} for {kind}"
        )
    if output is not None:
        if output.is_dir():
            raise IsADirectoryError(f"{output}: a folder; expected the name of a file")
        if output.exists() and not overwrite:
            raise FileExistsError(
                f"{output}: the file exists; overwrite=True (--force) replaces it"
            )
        if not output.resolve().parent.is_dir():
            raise FileNotFoundError(f"{output}: there is no folder {output.parent}")
    model = open_source(path)
    if not model.tensors:
        raise ValueError(f"{path}: there are no tensors in it")
    weights = _read_importance(importance, kind, to_gguf, {t.name: t for t in model.tensors})
    names = [tensor.name for tensor in model.tensors]
    for word, patterns in (("include", include), ("exclude", exclude), ("drop", drop)):
        _check_patterns(word, patterns, names)

    def chosen(name: str) -> bool:
        if any(fnmatchcase(name, pattern) for pattern in exclude):
            return False
        return not include or any(fnmatchcase(name, pattern) for pattern in include)

    jobs = []
    for tensor in model.tensors:
        if any(fnmatchcase(tensor.name, pattern) for pattern in drop):
            continue
        wanted = kind if chosen(tensor.name) and _is_weight(tensor) else None
        if to_gguf:
            job = _plan_gguf(path, tensor, wanted, weights.get(tensor.name))
            if tensor.name in weights and (job.encoder is None or not _weighs(job.kind)):
                note = f"{job.note}; importance unused" if job.note else "importance unused"
                job = job._replace(note=note)
            jobs.append(job)
        else:
            jobs.append(_plan_safetensors(path, tensor, wanted, block_size))
    if not jobs:
        raise ValueError(
            f"{NAME}: argument 'drop' (--drop): the patterns {', '.join(map(repr, drop))} leave "
            f"none of the {len(names)} tensors"
        )
    if dry_run or output is None:
        return [report_of(job, Meter()) for job in jobs]
    run = Run(path, model, jobs, sys.stderr.isatty() if progress is None else progress)
    write = write_gguf if to_gguf else write_safetensors
    with replacing(output) as beside, run:
        write(beside, run, model, architecture)
    return [report_of(job, meter) for job, meter in zip(jobs, run.meters, strict=True)]


def _read_target(to: str, output: Path | None, dry_run: bool) -> tuple[str, bool]:
    """Return what tensors become, and whether in a GGUF file."""
    suffix = "" if output is None else output.suffix.lower()
    if output is None and not dry_run:
        raise ValueError(f"{NAME}: argument 'target': expected a path, got None; or dry_run=True")
    if suffix not in (".gguf", ".safetensors") and output is not None:
        raise ValueError(
            f"{NAME}: argument 'target': expected a name that ends in .gguf or .safetensors, got "
            f"{str(output)!r}"
        )
    if not isinstance(to, str):
        raise TypeError(f"{NAME}: argument 'to': expected a str, got {to!r}")
    scheme, kind = to.lower(), to.upper()
    # NVFP4 is a kind and a scheme: without a file its case says which.
    if suffix != ".gguf" and scheme in TARGETS and not (not suffix and to in KINDS):
        return scheme, False
    if suffix != ".safetensors" and kind in KINDS:
        return kind, True
    if suffix:
        listed = f"for {suffix} one of {', '.join(KINDS if suffix == '.gguf' else TARGETS)}"
    else:
        listed = f"one of {', '.join(KINDS)} for .gguf, {', '.join(TARGETS)} for .safetensors"
    raise ValueError(f"{NAME}: argument 'to': expected {listed}; got {to!r}{_hint(to)}")


def _hint(to: str) -> str:
    """Return how a message about `to` goes on."""
    scheme, kind = to.lower(), to.upper()
    if scheme in TARGETS:
        return f"; {scheme} is of .safetensors: end the output's name so"
    if kind in KINDS:
        return f"; {kind} is of .gguf: end the output's name so"
    plain = kind.rpartition("_")[0]
    if plain in KINDS:
        return f"; mixtures of kinds are not made: take {plain} for all tensors"
    if kind in gguf.kinds():
        return f"; {kind} is read and not written"
    return ""


def _read_patterns(word: str, patterns: Any) -> tuple[str, ...]:
    """Return the patterns of an argument, checked."""
    found: Any = (patterns,) if isinstance(patterns, str) else patterns
    try:
        found = tuple(found)
    except TypeError:
        found = (None,)
    if not all(isinstance(pattern, str) for pattern in found):
        raise TypeError(
            f"{NAME}: argument {word!r}: expected a pattern or a sequence of them, got {patterns!r}"
        )
    return tuple(str(pattern) for pattern in found)


def _check_patterns(word: str, patterns: Sequence[str], names: Sequence[str]) -> None:
    """Refuse patterns that choose nothing: with a typing error all tensors would be copied."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            closest = ", ".join(get_close_matches(pattern, names, _CLOSEST, 0.0)) or "none at all"
            raise ValueError(
                f"{NAME}: argument {word!r} (--{word}): no tensor matches {pattern!r}; the "
                f"closest names are {closest}"
            )


def _is_weight(tensor: Tensor) -> bool:
    return tensor.is_float and len(tensor.shape) > _SCALAR_AXES and tensor.array.size > 0


def _read_importance(
    importance: str | Path | Mapping[str, ArrayLike] | None,
    kind: str,
    to_gguf: bool,
    tensors: Mapping[str, Tensor],
) -> dict[str, Array]:
    """Return weights by tensor, checked before anything is written."""
    if importance is None:
        return {}
    name = f"{NAME}: argument 'importance'"
    if not to_gguf or not _weighs(kind):
        weighing = ", ".join(k for k in KINDS if _weighs(k))
        raise ValueError(f"{name}: {kind} is written without weights; these take them: {weighing}")
    if isinstance(importance, (str, Path)):
        given = _read_npz(name, Path(importance))
    elif isinstance(importance, Mapping):
        given = dict(importance)
    else:
        raise TypeError(
            f"{name}: expected a path to an .npz file, or a mapping of names of tensors to arrays, "
            f"got {type(importance).__name__}"
        )
    for key, value in given.items():
        if key not in tensors:
            raise ValueError(f"{name}: the model has no tensor {key!r}")
        shape = tensors[key].shape[-1:]
        array = np.asarray(value)
        if array.shape != shape:
            raise ValueError(
                f"{name}: expected shape {shape} for tensor {key!r}, got {array.shape}"
            )
        if array.dtype.kind not in "fiu":
            raise TypeError(f"{name}: tensor {key!r}: expected real numbers, got {array.dtype}")
        with np.errstate(over="ignore"):
            single = array.astype(np.float32)
        if not (np.isfinite(single) & (single >= 0)).all():
            raise ValueError(
                f"{name}: tensor {key!r}: expected weights that are finite in float32 and not "
                "negative"
            )
    return {key: np.asarray(value) for key, value in given.items()}


def _read_npz(name: str, path: Path) -> dict[str, Any]:
    """Return the arrays of an .npz file."""
    import zipfile

    with path.open("rb") as opened:  # numpy.load leaves a file that is no archive open
        if not zipfile.is_zipfile(opened):
            raise ValueError(
                f"{name}: {path}: no .npz file, as np.savez(path, **{{name: weights}}) writes it"
            )
        opened.seek(0)
        try:
            with np.load(opened, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except (zipfile.BadZipFile, ValueError, EOFError, AttributeError, TypeError) as error:
            raise ValueError(f"{name}: {path}: not a whole .npz file: {error}") from None


def _weighs(kind: str) -> bool:
    from ..catalogue.formats import BY_NAME

    return BY_NAME[kind].weighs


def _plan_gguf(path: Path, tensor: Tensor, kind: str | None, weights: Array | None) -> Job:
    if len(tensor.shape) > _MOST_AXES:
        raise ValueError(
            f"{path}: tensor {tensor.name!r} of shape {tensor.shape}: GGUF has at most "
            f"{_MOST_AXES} axes; leave it out with drop= (--drop)"
        )
    if kind is None:
        if tensor.dtype == "BF16" and len(tensor.shape) <= _SCALAR_AXES:
            # llama.cpp reads norms and biases as float32.
            return Job(tensor, "F32", Blocks("F32", tensor.shape), "one axis")
        if tensor.dtype not in _COPIED and not tensor.is_blocks:
            raise ValueError(
                f"{path}: tensor {tensor.name!r} is {tensor.dtype}, which GGUF does not have; "
                "leave it out with drop= (--drop)"
            )
        return Job(tensor, tensor.dtype, None)
    columns, note = tensor.shape[-1], ""
    found = kind
    while columns % gguf.block_size(found):
        # What no block divides keeps 16 bits; llama.cpp makes it F16.
        found = FALLBACK.get(found, "BF16" if tensor.dtype == "BF16" else "F16")
        note = f"rows of {columns}: no whole blocks of {gguf.block_size(kind)} for {kind}"
    if found == tensor.dtype:
        return Job(tensor, found, None, note)
    return Job(
        tensor, found, Blocks(found, tensor.shape, weights if _weighs(found) else None), note
    )


def _plan_safetensors(path: Path, tensor: Tensor, kind: str | None, block: int | None) -> Job:
    if kind is None:
        if tensor.is_blocks:
            raise ValueError(
                f"{path}: tensor {tensor.name!r} is {tensor.dtype}, which safetensors does not "
                "have; quantize it, or leave it out with drop= (--drop)"
            )
        return Job(tensor, tensor.dtype, None)
    encoder: Encoder
    if kind in LINEAR:
        if block is None and kind.endswith("int4"):
            block = _BLOCK_OF_FOUR_BITS
        encoder = Linear(kind, tensor.shape, block)
    else:
        encoder = NVFP4(tensor.shape) if kind == "nvfp4" else MX(kind, tensor.shape)
    return Job(tensor, kind, encoder)
