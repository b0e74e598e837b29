"""Ranges and errors of what is quantized: dynamic quantization, observers, error measures."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import load, tensor
from ..model import Call, Case, Prepare, close, same_values
from ..probe import touched
from .data import MATRIX, MILLION_16, normal
from .onnx_graphs import Node, session_call

GROUP = "calibration"

# ---- dynamic quantization ---------------------------------------------------------------------

#: Sizes, and whether the second pass finds in cache what the first has read.
SIZES = {"16 M": (MILLION_16, False), "1 M": (1 << 20, True), "64 k": (1 << 16, True)}


def _dynamic_make(size: int) -> SimpleNamespace:
    return SimpleNamespace(x=normal(size, 3), out=touched(size, np.uint8))


def _dynamic_ours(v: SimpleNamespace) -> Call:
    f = load("ufuse").dynamic_quantize_linear
    return lambda: f(v.x, out=v.out).codes


def _dynamic_numpy(v: SimpleNamespace) -> Call:
    work = touched(v.x.shape, np.float32)

    def call() -> np.ndarray:
        low, high = min(v.x.min(), np.float32(0)), max(v.x.max(), np.float32(0))
        scale = (high - low) / np.float32(255)
        zero = np.rint(-low / scale)
        np.divide(v.x, scale, out=work)
        np.rint(work, out=work)
        np.add(work, zero, out=work)
        np.clip(work, 0, 255, out=work)
        np.copyto(v.out, work, casting="unsafe")
        result: np.ndarray = v.out
        return result

    return call


def _dynamic_torch(v: SimpleNamespace) -> Call:
    """Quantize with the scale and zero point of its observer; it has no single operator."""
    torch = load("torch")
    x = tensor(v.x)

    def call() -> Any:
        low, high = (float(end) for end in torch.aminmax(x))
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / 255
        return torch.quantize_per_tensor(x, scale, round(-low / scale), torch.quint8)

    return call


def _dynamic_onnxruntime(v: SimpleNamespace) -> Call:
    node: Node = ("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], {})
    return session_call([node], {"x": v.x}, {}, v.out, into=True)


def _one_code_off(result: np.ndarray, expected: np.ndarray) -> str | None:
    """Codes of which one in 10,000 may be the next one: torch multiplies by the inverse."""
    if same_values(result, expected) is None:
        return None
    off = np.abs(result.astype(np.int16) - expected)
    share = np.count_nonzero(off) / expected.size
    return None if off.max() <= 1 and share <= 1e-4 else f"{share:.2g} of the codes differ"


def _dynamic_case(name: str, size: int, cached: bool) -> Case:
    reread = 0.0 if cached else 4.0 * size
    return Case(
        name=f"dynamic_quantize_linear {name}",
        group=GROUP,
        make=lambda: _dynamic_make(size),
        ours=_dynamic_ours,
        peers={
            "numpy": _dynamic_numpy,
            "torch": _dynamic_torch,
            "onnxruntime": _dynamic_onnxruntime,
        },
        limit="copy",
        amount=5.0 * size + reread,
        reread=reread,
        bar="limit >= 0.85; best >= 1x",
        check=_one_code_off,
    )


# ---- records: ranges, scales and codes --------------------------------------------------------

#: What `ufuse.quantize` takes, and NumPy's axes of a range in rows cut in pieces of so many.
RECORDS: dict[str, tuple[dict[str, Any], int]] = {
    "axis 0": ({"axis": 0}, 4096),
    "block 32": ({"axis": 1, "block_size": 32}, 32),
    "block 128": ({"axis": 1, "block_size": 128}, 128),
}


def _record_ours(how: dict[str, Any]) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = load("ufuse").quantize
        return lambda: f(v.x, "int8", **how).data

    return prepare


def _record_numpy(piece: int) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        rows = v.x.reshape(len(v.x), -1, piece)
        work = touched(rows.shape, np.float32)

        def call() -> np.ndarray:
            low, high = rows.min(axis=-1, keepdims=True), rows.max(axis=-1, keepdims=True)
            scale = np.maximum(-low, high) / np.float32(127)
            np.divide(rows, scale, out=work)
            np.rint(work, out=work)
            return work.astype(np.int8).reshape(v.x.shape)

        return call

    return prepare


def _record_torch(piece: int) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        torch = load("torch")
        rows = tensor(v.x).reshape(len(v.x), -1, piece)

        def call() -> Any:
            scale = rows.abs().amax(dim=-1, keepdim=True) / 127
            return torch.round(rows / scale).to(torch.int8)

        return call

    return prepare


def _record_case(name: str) -> Case:
    how, piece = RECORDS[name]
    return Case(
        name=f"quantize int8 {name}",
        group=GROUP,
        make=lambda: SimpleNamespace(x=normal(MATRIX, 3)),
        ours=_record_ours(how),
        peers={"numpy": _record_numpy(piece), "torch": _record_torch(piece)},
        limit="copy",
        amount=5.0 * MILLION_16,
        bar="best >= 4x",
        check=same_values,
    )


def _list_make() -> SimpleNamespace:
    return SimpleNamespace(x=[normal((1000,), seed) for seed in range(1000)])


def _list_ours(v: SimpleNamespace) -> Call:
    f = load("ufuse").quantize
    return lambda: np.stack([q.data for q in f(v.x, "int8")])


def _list_numpy(v: SimpleNamespace) -> Call:
    def code(x: np.ndarray) -> np.ndarray:
        scale = max(-x.min(), x.max()) / np.float32(127)
        return np.rint(x / scale).astype(np.int8)

    return lambda: np.stack([code(x) for x in v.x])


def _list_case() -> Case:
    return Case(
        name="quantize a list of 1000 times 1000",
        group=GROUP,
        make=_list_make,
        ours=_list_ours,
        peers={"numpy": _list_numpy},
        bar="numpy >= 1x",
        check=same_values,
    )


# ---- observers --------------------------------------------------------------------------------

#: Those of `Entropy`: one of them is around 0.
_BINS = 2049
_TOP = 127  # of symmetric int8
_MEMORY = 64 << 20


def _observer_make() -> SimpleNamespace:
    x = normal(MILLION_16, 3)
    return SimpleNamespace(x=x, largest=np.abs(x).max())


def _observer_ours(name: str) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        observer = getattr(load("ufuse").observers, name)()
        return lambda: observer.update(v.x)

    return prepare


def _histogram(v: SimpleNamespace) -> Call:
    """Count as calibration in NumPy does; the search of the range comes after all batches."""
    return lambda: np.concatenate(np.histogram(v.x, _BINS, range=(-v.largest, v.largest)))


def _errors(expected: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the mean squared errors of clipping at `ends`, of a histogram's middles."""
    counts, edges = expected[:_BINS], expected[_BINS:]
    middles = (edges[1:] + edges[:-1]) / 2
    scale = ends[:, None] / _TOP
    codes = np.clip(np.rint(middles / scale), -_TOP, _TOP)
    return np.asarray((counts * (codes * scale - middles) ** 2).sum(1) / counts.sum())


def _keeps_too_much(result: np.ndarray) -> str | None:
    """Whether an observer needs more memory than streams of any length may take."""
    nbytes = result.item().nbytes
    return None if nbytes < _MEMORY else f"keeps {nbytes} bytes"


def _finds_least_error(result: np.ndarray, expected: np.ndarray) -> str | None:
    """Whether an observer's range is as good as the best of 200 ends: to 2 %."""
    if problem := _keeps_too_much(result):
        return problem
    end = float(result.item().clip_range("int8").high)
    largest = np.abs(expected[_BINS:]).max()
    best = _errors(expected, largest * np.linspace(0.1, 1, 200)).min()
    found = _errors(expected, np.array([end]))[0]
    return None if found <= 1.02 * best else f"error {found:.3g} instead of {best:.3g}"


def _finds_least_divergence(result: np.ndarray, expected: np.ndarray) -> str | None:
    """Whether an observer's range is that of a histogram of the elements themselves, to 10 %.

    Divergence is nearly flat around its least; see `ufuse.observers.Entropy`.
    """
    if problem := _keeps_too_much(result):
        return problem
    divergence = importlib.import_module("ufuse.observers.divergence")
    observer = result.item()
    wanted = divergence.least_divergence(
        expected[:_BINS], expected[_BINS:], observer.quantized_bins
    ).high
    found = float(observer.clip_range("int8").high)
    return None if abs(found - wanted) <= 0.1 * wanted else f"{found:.4g} instead of {wanted:.4g}"


def _finds_percentile(result: np.ndarray, expected: np.ndarray) -> str | None:
    """Whether an observer's range is that percentile of a histogram's magnitudes: to two bins."""
    if problem := _keeps_too_much(result):
        return problem
    counts, edges = expected[:_BINS], expected[_BINS:]
    middles = np.abs(edges[1:] + edges[:-1]) / 2
    order = np.argsort(middles)
    below = np.cumsum(counts[order]) / counts.sum()
    observer = result.item()
    wanted = middles[order][np.searchsorted(below, observer.percentile / 100)]
    found = float(observer.clip_range("int8").high)
    near = abs(found - wanted) <= 2 * (edges[1] - edges[0])
    return None if near else f"{found:.4g} instead of {wanted:.4g}"


#: Observers that count, and what is asked of the ranges they find.
OBSERVERS: dict[str, Callable[[np.ndarray, np.ndarray], str | None]] = {
    "Percentile": _finds_percentile,
    "MSE": _finds_least_error,
    "Entropy": _finds_least_divergence,
}


def _observer_case(name: str) -> Case:
    return Case(
        name=f"{name} update 16 M",
        group=GROUP,
        make=_observer_make,
        ours=_observer_ours(name),
        peers={"numpy": _histogram},
        limit="read",
        amount=4.0 * MILLION_16,
        bar="numpy >= 20x",
        check=OBSERVERS[name],
        expected=lambda v: _histogram(v)(),
        unchecked=frozenset({"numpy"}),
    )


# ---- errors -----------------------------------------------------------------------------------

#: Schemes with what `ufuse.quantize` takes, and bytes of a code.
SCHEMES: dict[str, tuple[dict[str, Any], float]] = {
    "int8": ({"axis": 0}, 1.0),
    "int4": ({"axis": 1, "block_size": 32}, 0.5),
    "float8_e4m3fn": ({}, 1.0),
}


def _error_make(scheme: str) -> SimpleNamespace:
    x = normal(MATRIX, 3)
    return SimpleNamespace(x=x, q=load("ufuse").quantize(x, scheme, **SCHEMES[scheme][0]))


def _error_ours(v: SimpleNamespace) -> Call:
    f = load("ufuse").quantization_error
    return lambda: f(v.x, v.q)


def _sums(v: SimpleNamespace) -> Call:
    """Sum both: what reading them once costs here."""
    total = load("ufuse").sum
    words = v.q.data.view(np.uint8).reshape(-1).view(np.float32)
    return lambda: (total(v.x), total(words))


def _error_numpy(v: SimpleNamespace) -> Call:
    def call() -> tuple[Any, ...]:
        y = v.q.dequantize()
        d = v.x - y
        squares = np.mean(d * d, dtype=np.float64)
        xx, yy = np.mean(v.x * v.x, dtype=np.float64), np.mean(y * y, dtype=np.float64)
        np.multiply(y, v.x, out=y)
        xy = np.mean(y, dtype=np.float64)
        np.abs(d, out=d)
        return (
            10 * np.log10(xx / squares),
            squares,
            np.mean(d, dtype=np.float64),
            np.float64(d.max()),
            xy / np.sqrt(xx * yy),
        )

    return call


def _measures_close(result: np.ndarray, expected: np.ndarray) -> str | None:
    return close(1e-4)(result.view(np.float64), expected.view(np.float64))


def _error_case(scheme: str) -> Case:
    _, code_bytes = SCHEMES[scheme]
    return Case(
        name=f"quantization_error {scheme}",
        group=GROUP,
        make=lambda: _error_make(scheme),
        ours=_error_ours,
        peers={"numpy": _error_numpy, "ufuse:sum of both": _sums},
        limit="read",
        amount=(4 + code_bytes) * MILLION_16,
        # 1.2 times one read of both.
        bar="limit >= 0.83; numpy >= 1x",
        check=_measures_close,
        unchecked=frozenset({"ufuse:sum of both"}),
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    dynamic = [_dynamic_case(name, *row) for name, row in SIZES.items()]
    records = [*(_record_case(name) for name in RECORDS), _list_case()]
    observers = [_observer_case(name) for name in OBSERVERS]
    return [*dynamic, *records, *observers, *(_error_case(scheme) for scheme in SCHEMES)]
