"""MX formats, NVFP4 and NF4: 16 M float32 to codes with scales per block, and back."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import installed, load, tensor
from ..model import Call, Case, Prepare, equal
from ..probe import touched
from .data import MATRIX, MILLION_16, normal

GROUP = "formats"

#: Rows at a time of NumPy's temporaries, so that they stay in cache: 2 MB per array of float64.
_ROWS = 64


def numpy_encode(v: SimpleNamespace) -> Call:
    """Encode by the readable twin of ufuse's kernels, plain NumPy: codes, and scales if any."""
    reference = importlib.import_module("ufuse.formats.reference")
    scales = getattr(v, "scales", None)
    parts = [np.empty_like(part) for part in (v.data, scales) if part is not None]

    def call() -> Any:
        for i in range(0, len(v.x), _ROWS):
            rows = slice(i, i + _ROWS)
            reference.encode(v.layout, v.x[rows], *(part[rows] for part in parts))
        return tuple(parts) if len(parts) > 1 else parts[0]

    return call


def numpy_decode(v: SimpleNamespace) -> Call:
    """Decode by the same twin."""
    reference = importlib.import_module("ufuse.formats.reference")
    parts = [part for part in (v.data, getattr(v, "scales", None)) if part is not None]
    out: np.ndarray = np.empty_like(v.out)

    def call() -> np.ndarray:
        for i in range(0, len(out), _ROWS):
            rows = slice(i, i + _ROWS)
            codes, *scales = (part[rows] for part in parts)
            reference.decode(v.layout, codes, out[rows], *scales)
        return out

    return call


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes
    ----------
    name : str
    quantize : callable
        From ufuse's package of formats, the function to call as ``quantize(x, out=record)``.
    layout : callable
        What ufuse's reference takes, from a record.
    code_bytes, scale_bytes : float
        Bytes of codes and of scales per element.
    peer : str
        A key of `_PEERS` and its library, such as "mx:torchao", or none.
    reread : bool
        Whether the largest magnitude of all has to be known first.
    """

    name: str
    quantize: Callable[[Any], Callable[..., Any]]
    layout: Callable[[Any], Any]
    code_bytes: float
    scale_bytes: float
    peer: str = ""
    reread: bool = False


def _make(row: Format) -> SimpleNamespace:
    x = normal(MATRIX, 3)
    quantize = row.quantize(load("ufuse").formats)
    record = quantize(x)
    scales = record.absmax if hasattr(record, "absmax") else record.scales
    return SimpleNamespace(
        x=x, record=record, quantize=quantize, layout=row.layout(record),
        data=record.codes.reshape(MATRIX[0], -1),
        scales=scales.reshape(MATRIX[0], -1),
        out=touched(MATRIX, np.float32),
    )  # fmt: skip


def _ours_encode(v: SimpleNamespace) -> Call:
    quantize, x, record = v.quantize, v.x, v.record

    def call() -> Any:
        quantize(x, out=record)
        return v.data, v.scales

    return call


def _ours_decode(v: SimpleNamespace) -> Call:
    return lambda: v.record.dequantize(out=v.out)


# ---- peers ------------------------------------------------------------------------------------


def _torchao_mx(v: SimpleNamespace, encodes: bool) -> Call:
    torch = load("torch")
    module = importlib.import_module("torchao.prototype.mx_formats.mx_tensor")
    kind, bits = v.record.kind, 8 * v.layout.nbytes // v.layout.block
    dtype = kind[2:] if kind.startswith("mxfp6") else _element(torch, kind)
    if encodes:
        x, block = tensor(v.x), v.layout.block

        def call() -> Any:
            scales, codes = module.to_mx(x, dtype, block)
            return codes.view(torch.uint8), scales.view(torch.uint8)

        return call
    codes, scales = tensor(v.data), tensor(v.scales)
    codes = codes.view(dtype) if bits == 8 and not isinstance(dtype, str) else codes
    return lambda: module.to_dtype(codes, scales, dtype, v.layout.block, torch.float32)


def _element(torch: Any, kind: str) -> Any:
    from ufuse.formats.elements import ELEMENTS

    name = ELEMENTS[kind].format.name  # type: ignore[union-attr]
    return getattr(torch, f"{name}_x2" if ELEMENTS[kind].bits == 4 else name)


def _torchao_nvfp4(v: SimpleNamespace, encodes: bool) -> Call:
    torch = load("torch")
    module = importlib.import_module("torchao.prototype.mx_formats.nvfp4_tensor")
    whole = torch.tensor(v.record.tensor_scale)
    x = tensor(v.x)

    def encode() -> Any:
        scale = module.per_tensor_amax_to_scale(x.abs().max())
        scales, codes = module.nvfp4_quantize(x, v.layout.block, scale)
        return codes, scales.view(torch.uint8)

    if encodes:
        return encode
    codes, scales = tensor(v.data), tensor(v.scales).view(torch.float8_e4m3fn)
    record = module.NVFP4Tensor(codes, scales, v.layout.block, torch.float32, whole)
    return lambda: record.dequantize(torch.float32)


def _bitsandbytes(v: SimpleNamespace, encodes: bool) -> Call:
    functional = importlib.import_module("bitsandbytes.functional")
    kind, block, x = v.record.kind, v.layout.block, tensor(v.x)

    def encode() -> Any:
        codes, state = functional.quantize_4bit(x, blocksize=block, quant_type=kind)
        return codes, state.absmax

    if encodes:
        return encode
    codes, state = functional.quantize_4bit(x, blocksize=block, quant_type=kind)
    return lambda: functional.dequantize_4bit(codes, state)


_PEERS = {"mx": _torchao_mx, "nvfp4": _torchao_nvfp4, "nf4": _bitsandbytes}


def _peer(row: Format, encodes: bool) -> dict[str, Prepare]:
    if not row.peer:
        return {}
    family, library = row.peer.split(":")
    return {library: lambda v: _PEERS[family](v, encodes)}


# ---- rows -------------------------------------------------------------------------------------


def _formats() -> list[Format]:
    """Return all the formats of ufuse: their kinds, and of 6 bits those with a byte per code."""
    from ufuse.formats import nf4
    from ufuse.formats.blocks import Layout
    from ufuse.formats.elements import ELEMENTS

    rows = []
    for kind, element in ELEMENTS.items():
        bits = 4 if element.bits == 4 else 8

        def quantize_mx(formats: Any, kind: str = kind) -> Callable[..., Any]:
            return lambda x, **more: formats.mx.quantize(x, kind, **more)

        def layout_mx(record: Any, kind: str = kind, bits: int = bits) -> Any:
            return Layout(kind, record.block_size, record.block_size * bits // 8)

        peer = "mx:torchao" if element.format else ""
        rows.append(Format(kind, quantize_mx, layout_mx, bits / 8, 1 / 32, peer))

    def layout_nvfp4(record: Any) -> Any:
        return Layout("nvfp4", 16, 8, tensor_scale=float(record.tensor_scale))

    rows.append(
        Format(
            "nvfp4", lambda f: f.nvfp4.quantize, layout_nvfp4, 1 / 2, 1 / 16, "nvfp4:torchao", True
        )
    )
    for kind in nf4.KINDS:

        def quantize_nf4(formats: Any, kind: str = kind) -> Callable[..., Any]:
            return lambda x, **more: formats.nf4.quantize(x, kind=kind, **more)

        def layout_nf4(record: Any, kind: str = kind) -> Any:
            return Layout(kind, record.block_size, record.block_size // 2)

        rows.append(Format(kind, quantize_nf4, layout_nf4, 1 / 2, 4 / 64, "nf4:bitsandbytes"))
    return rows


def _case(row: Format, encodes: bool) -> Case:
    reread = 4.0 * MILLION_16 if encodes and row.reread else 0.0
    return Case(
        name=f"{'quantize' if encodes else 'dequantize'} {row.name}",
        group=GROUP,
        make=lambda: _make(row),
        ours=_ours_encode if encodes else _ours_decode,
        peers={"numpy": numpy_encode if encodes else numpy_decode, **_peer(row, encodes)},
        limit="copy",
        amount=(4 + row.code_bytes + row.scale_bytes) * MILLION_16 + reread,
        reread=reread,
        bar="limit >= 0.6; best >= 1x",
        check=equal,
    )


def cases() -> list[Case]:
    """Return the cases of this group: none without ufuse, which lists the kinds."""
    if not installed("ufuse"):
        return []
    return [_case(row, encodes) for row in _formats() for encodes in (True, False)]
