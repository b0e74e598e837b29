"""Two codes to a byte: `ufuse.quantize` to int4, scales found in the data, and back."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from ..libraries import load
from ..model import Call, Case, Prepare, same_values
from ..probe import touched
from . import quantization_peers
from .data import MATRIX, MILLION_16
from .grains import GRAINS, Grain, make
from .onnx_graphs import session_call

KIND = "int4"
_BYTES = (MATRIX[0], MATRIX[1] // 2)


def _make(grain: Grain) -> SimpleNamespace:
    """Return inputs as `grains.make` does, but symmetric, with scales that the data ask for."""
    v = make(KIND, grain)
    v.scale, v.s = _scales(v)
    v.scale = v.scale if grain.shape else np.float32(v.scale)
    v.zero, v.z = np.zeros_like(v.zero), np.zeros_like(v.z)
    v.low = -v.high
    v.bytes, v.out_bytes = touched(_BYTES, np.uint8), touched(_BYTES, np.uint8)
    v.bytes[...] = _numpy_quantize(v)()
    return v


def _scales(v: SimpleNamespace) -> tuple[np.ndarray, np.ndarray]:
    """Return scales in their shape and to broadcast: the largest magnitudes over 7."""
    axis = {(1, 1): None, (1, -1): 0, (-1, 1): 1}[v.grain.flat]
    least, most = v.view.min(axis=axis, keepdims=True), v.view.max(axis=axis, keepdims=True)
    s = np.maximum(-least, most) / np.float32(v.code.high)
    return s.reshape(v.grain.shape), s


def _ours_quantize(v: SimpleNamespace) -> Call:
    f, how = load("ufuse").quantize, v.grain.keywords
    return lambda: f(v.x, KIND, **how).data


def _ours_dequantize(v: SimpleNamespace) -> Call:
    record = load("ufuse").QuantizedArray
    how = v.grain.keywords
    zero = np.asarray(v.zero).astype(np.int8)
    q = record(v.bytes, np.asarray(v.scale), zero, scheme=KIND, shape=MATRIX, **how)
    return lambda: q.dequantize(out=v.out)


def _numpy_quantize(v: SimpleNamespace) -> Call:
    work = touched(v.view.shape, np.float32)

    def call() -> np.ndarray:
        _, s = _scales(v)
        np.divide(v.view, s, out=work)
        np.rint(work, out=work)
        np.clip(work, -v.high, v.high, out=work)
        codes = work.astype(np.int8).view(np.uint8).reshape(-1, 2) & 15
        return (codes[:, 0] | codes[:, 1] << 4).reshape(_BYTES)

    return call


def _numpy_dequantize(v: SimpleNamespace) -> Call:
    codes = touched(MATRIX, np.int8)

    def call() -> np.ndarray:
        # Shifted up and down again, as signed numbers: the sign comes down too.
        np.left_shift(v.bytes.view(np.int8), 4, out=codes[:, ::2])
        codes[:, ::2] >>= 4
        np.right_shift(v.bytes.view(np.int8), 4, out=codes[:, 1::2])
        np.multiply(codes.reshape(v.grain.view), v.s, out=v.out_view)
        result: np.ndarray = v.out
        return result

    return call


def _onnxruntime(operation: str) -> Prepare:
    """Its nodes are given the scales: to quantize is one pass there."""

    def prepare(v: SimpleNamespace) -> Call:
        quantizes = operation == "quantize"
        x, out = (v.x, v.out_bytes) if quantizes else (v.bytes, v.out)
        which = {"q" if quantizes else "x": (v.code.dtype, MATRIX)}
        nodes = quantization_peers.linear_nodes(operation, v.grain.attributes)
        return session_call(nodes, {"x": x}, quantization_peers.constants(v), out, True, which)

    return prepare


def cases(group: str) -> list[Case]:
    """Return a case per direction and grain."""
    result = []
    for operation, ours, baseline, peer, bar in (
        # A peer that has no ranges to find, and whose codes reach to -8.
        ("quantize", _ours_quantize, _numpy_quantize, "onnxruntime:given", "numpy >= 1x"),
        ("dequantize", _ours_dequantize, _numpy_dequantize, "onnxruntime", "best >= 1x"),
    ):
        for grain in GRAINS:
            # A scale for a part that fits in cache is found there; else there are two passes.
            twice = operation == "quantize" and (grain.axis is None or grain == Grain(1))
            reread = 4.0 * MILLION_16 if twice else 0.0
            result.append(
                Case(
                    name=f"{operation} packed {KIND} per {grain}",
                    group=group,
                    make=lambda grain=grain: _make(grain),  # type: ignore[misc]
                    ours=ours,
                    peers={"numpy": baseline, peer: _onnxruntime(operation)},
                    limit="copy",
                    amount=4.5 * MILLION_16 + reread,
                    reread=reread,
                    bar=f"limit >= 0.85; {bar}",
                    check=same_values,
                    unchecked=frozenset({"onnxruntime:given"}),
                )
            )
    return result
