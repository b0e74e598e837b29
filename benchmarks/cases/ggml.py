"""The K-quants of ggml, in C and on one thread: the library that ctransformers 0.2.27 ships."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..model import Call, Prepare


class _Memory(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("buffer", ctypes.c_void_p),
        ("no_allocation", ctypes.c_bool),
    )


@functools.cache
def _library(build: str) -> Any:
    # Not imported: the package asks for huggingface_hub.
    found = importlib.util.find_spec("ctransformers")
    if found is None or found.origin is None:
        raise ImportError("ctransformers is not installed")
    path = Path(found.origin).parent / "lib" / build / "libctransformers.so"
    library = ctypes.CDLL(str(path))
    library.ggml_init.argtypes = [_Memory]
    library.ggml_init.restype = ctypes.c_void_p
    library.ggml_init(_Memory(1 << 20, None, False))  # fills the float16 tables that it reads
    return library


def quantize(kind: str, build: str) -> Prepare:
    """Return the encoder of a kind.

    Parameters
    ----------
    kind : str
        A K-quant.
    build : str
        "basic" is for plain x86-64, and its bytes are ours. "avx2" fuses products and sums, and
        chooses other scales where two are about as good.
    """

    def prepare(v: SimpleNamespace) -> Call:
        name = f"quantize_row_{kind.lower().replace('k', 'K')}_reference"
        function = getattr(_library(build), name)
        function.restype = None
        codes: np.ndarray = np.empty_like(v.data)
        arguments = (
            ctypes.c_void_p(v.x.ctypes.data),
            ctypes.c_void_p(codes.ctypes.data),
            ctypes.c_int(v.x.size),
        )

        def call() -> np.ndarray:
            function(*arguments)
            return codes

        return call

    return prepare
