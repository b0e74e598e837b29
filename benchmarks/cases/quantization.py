"""Linear quantization of 16 M float32 and back: per tensor, axis and block, to kinds of code."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from ..libraries import installed, load
from ..model import Call, Case, Prepare, close, same_values
from ..probe import touched
from . import loops, packed, quantization_peers
from .data import MATRIX
from .grains import GRAINS, Grain, encode, make

GROUP = "quantization"

#: Operation: bytes per element that it reads and writes, and its check.
OPERATIONS = {
    "quantize": (4 + 1, same_values),
    "dequantize": (1 + 4, same_values),
    "fake_quantize": (4 + 4, close(0, 1e-6)),
}

#: Kinds of code, of ufuse's catalogue; the first is the one of which there is all.
KINDS = ("int8", "uint8", "int4", "float8_e4m3fn", "float8_e5m2")


def _operands(v: SimpleNamespace, operation: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what is read and what is written, as arrays that broadcast with `v.s` and `v.z`."""
    return (
        v.plain if operation == "dequantize" else v.view,
        v.out_plain if operation == "quantize" else v.out_view,
    )


def _ours(operation: str, into: bool) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        name = operation if operation == "fake_quantize" else f"{operation}_linear"
        f = getattr(load("ufuse"), name)
        x = v.codes if operation == "dequantize" else v.x
        how = v.grain.keywords
        if v.code.is_float and operation != "dequantize":
            how["dtype"] = v.code.dtype
        if into:
            how["out"] = v.out_codes if operation == "quantize" else v.out
        return lambda: f(x, v.scale, v.zero, **how)

    return prepare


def _numpy(operation: str, into: bool) -> Prepare:
    """NumPy with all its means: `out=` for every temporary, so that only passes are left."""

    def prepare(v: SimpleNamespace) -> Call:
        x, out = _operands(v, operation)
        work = touched(x.shape, np.float32) if into else None

        def quantize() -> np.ndarray:
            codes = encode(v, work)
            if not into:
                return codes.astype(out.dtype)
            np.copyto(out, codes, casting="unsafe")
            return out

        def dequantize() -> np.ndarray:
            if v.code.is_float:
                t = out
                np.copyto(t, x, casting="unsafe")
            else:
                t = np.subtract(x, v.z, out=out if into else None)
            t *= v.s
            return t

        def fake_quantize() -> np.ndarray:
            t = encode(v, work)
            t -= v.z
            result = out if into else t
            np.multiply(t, v.s, out=result)
            return result

        functions: dict[str, Callable[[], np.ndarray]] = {
            "quantize": quantize,
            "dequantize": dequantize,
            "fake_quantize": fake_quantize,
        }
        return functions[operation]

    return prepare


def _numexpr(operation: str, into: bool) -> Prepare:
    # Its round() goes away from zero at ties, and it has no clip.
    code = "where(x/s + z > h, h, where(x/s + z < l, l, round(x/s) + z))"
    text = {"quantize": code, "dequantize": "(x - z)*s", "fake_quantize": f"({code} - z)*s"}

    def prepare(v: SimpleNamespace) -> Call:
        x, out = _operands(v, operation)
        names = {"x": x, "s": v.s, "z": v.z, "h": v.high, "l": v.low}
        evaluate = load("numexpr").evaluate
        if into:
            return lambda: evaluate(text[operation], local_dict=names, out=out, casting="unsafe")
        if operation == "quantize":
            return lambda: evaluate(text[operation], local_dict=names).astype(out.dtype)
        return lambda: evaluate(text[operation], local_dict=names)

    return prepare


def _numba(operation: str, into: bool) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = loops.compiled(getattr(loops, operation))
        x, out = _operands(v, operation)
        limits = () if operation == "dequantize" else (v.low, v.high)

        def call() -> np.ndarray:
            result = out if into else np.empty(out.shape, out.dtype)
            f(x, v.s, v.z, *limits, result)
            return result

        return call

    return prepare


def _peers(operation: str, kind: str, grain: Grain, into: bool) -> dict[str, Prepare]:
    peers = {"numpy": _numpy(operation, into)}
    if kind == KINDS[0]:
        peers["numexpr"] = _numexpr(operation, into)
    if not kind.startswith("float"):  # of which numba has none
        peers["numba"] = _numba(operation, into)
    peers["torch"] = quantization_peers.torch(operation, into)
    peers["jax"] = quantization_peers.jax(operation)
    if kind != "int4":  # packed there, two to a byte
        peers["onnxruntime"] = quantization_peers.onnxruntime(operation, into)
    return peers


def _case(operation: str, kind: str, grain: Grain, into: bool) -> Case:
    per_element, check = OPERATIONS[operation]
    which = "" if kind == KINDS[0] else f"{kind} "
    return Case(
        name=f"{operation} {which}per {grain}, {'out=' if into else 'allocating'}",
        group=GROUP,
        make=lambda: make(kind, grain),
        ours=_ours(operation, into),
        peers=_peers(operation, kind, grain, into),
        limit="copy",
        amount=per_element * MATRIX[0] * MATRIX[1],
        bar="limit >= 0.85; best >= 1x" if into else "limit >= 0.6",
        check=check,
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    kinds = KINDS if installed("ml_dtypes") else KINDS[:2]
    whole = [grain for grain in GRAINS if not grain.block]
    result = [
        _case(operation, KINDS[0], grain, into)
        for into in (True, False)
        for operation in OPERATIONS
        for grain in (GRAINS if into and operation != "fake_quantize" else whole)
    ]
    result += [
        _case(operation, kind, grain, True)
        for kind in kinds[1:]
        for operation in ("quantize", "dequantize")
        for grain in GRAINS
    ]
    return result + packed.cases(GROUP)
