"""The machine's limits: `probe.cpp`, compiled at first use and called through ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Literal

import numpy as np

_SOURCE = Path(__file__).with_name("probe.cpp")
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-pthread", "-shared", "-fPIC")

#: Kinds of limit, what they count, and the unit of their rates in tables.
UNITS = {
    "read": "GB/s",
    "copy": "GB/s",
    "fma_f32": "GFLOP/s",
    "fma_f64": "GFLOP/s",
    "dot_i8": "GOP/s",
    "dot_bf16": "GFLOP/s",
    "min_plus": "GOP/s",
}

#: Long enough for a timer, short enough to run beside every round.
_ARITHMETIC_SECONDS = 0.004

#: Twice the last cache level of one core complex on current servers (32 MB).
_EVICT_PER_THREAD = 64 << 20


def build_dir() -> Path:
    """Return the folder for compiled and cached things (ignored by git)."""
    folder = Path(__file__).resolve().parents[1] / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")  # whatever the project's own says
    return folder


def _compile() -> Path:
    """Return the probe as a shared library, compiled once for this source and machine."""
    compiler = os.environ.get("CXX", "c++")
    # -march=native: a library from another machine may not run here.
    key = "\0".join((_SOURCE.read_text(), compiler, *_FLAGS, platform.machine(), cpu_name()))
    library = build_dir() / f"probe-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    if not library.exists():
        part = library.with_suffix(f".{os.getpid()}.part")
        subprocess.run([compiler, *_FLAGS, "-o", str(part), str(_SOURCE)], check=True)
        part.replace(library)
    return library


def cpu_name() -> str:
    """Return the processor's model and features, a line each."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    # Flags tell virtual machines apart that share a model name.
    return "\n".join(
        next((x for x in lines if x.startswith(k)), "") for k in ("model name", "flags")
    )


def touched(
    shape: int | tuple[int, ...], dtype: np.typing.DTypeLike, order: Literal["C", "F"] = "C"
) -> np.ndarray:
    """Return an array whose pages exist and whose data is aligned to 64 bytes.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : dtype
    order : {"C", "F"}

    Returns
    -------
    ndarray
        Ones; written once, so that a benchmark into it measures no page fault.
    """
    dims = (shape,) if isinstance(shape, int) else shape
    dtype = np.dtype(dtype)
    nbytes = int(np.prod(dims)) * dtype.itemsize
    raw = np.empty(nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    result = np.ndarray(dims, dtype, raw[start : start + nbytes].data, order=order)
    result[...] = 1
    return result


class Probe:
    """The limits of this machine with a number of threads.

    Parameters
    ----------
    threads : int
    nbytes : int
        Size of each of the two buffers for the memory limits.
    """

    def __init__(self, threads: int, nbytes: int = 64 << 20) -> None:
        self.threads = threads
        self._library = ctypes.CDLL(str(_compile()))
        self._nbytes = nbytes
        self._source = touched(nbytes, np.uint8)
        self._target = touched(nbytes, np.uint8)
        self._scratch = touched(_EVICT_PER_THREAD * threads, np.uint8)
        self._steps: dict[str, int] = {}
        for kind in UNITS:
            getattr(self._library, f"probe_{kind}").restype = ctypes.c_double

    def evict(self) -> None:
        """Push everything else out of the caches of all cores.

        64 MB find a large part of themselves in the last cache level of two core complexes; whether
        they do depends on which core gets which part. Memory is measured from memory instead.
        """
        self._call("read", self._scratch, self._scratch.nbytes)

    def rate(self, kind: str) -> float:
        """One measurement of a limit.

        Parameters
        ----------
        kind : str
            A key of `UNITS`.

        Returns
        -------
        float
            Bytes or operations per second; a multiply-add counts as two operations, a copied byte
            as two (read and written). NaN where this machine lacks the instruction.
        """
        if kind == "read":
            self.evict()
            return self._nbytes / self._call(kind, self._source, self._nbytes)
        if kind == "copy":
            self.evict()
            return 2 * self._nbytes / self._call(kind, self._target, self._source, self._nbytes)
        ops: int = getattr(self._library, f"probe_ops_{kind}")()
        if ops == 0:
            return float("nan")
        if kind not in self._steps:
            trial = 10_000
            seconds = self._call(kind, ctypes.c_int64(trial))
            self._steps[kind] = max(trial, int(trial * _ARITHMETIC_SECONDS / seconds))
        steps = self._steps[kind]
        return steps * ops * self.threads / self._call(kind, ctypes.c_int64(steps))

    def _call(self, kind: str, *args: object) -> float:
        converted = [
            ctypes.c_void_p(a.ctypes.data)
            if isinstance(a, np.ndarray)
            else (ctypes.c_size_t(a) if isinstance(a, int) else a)
            for a in args
        ]
        function = getattr(self._library, f"probe_{kind}")
        return float(function(*converted, ctypes.c_int(self.threads)))
