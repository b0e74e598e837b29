"""The libraries compared: whether they are installed, their threads, their arrays."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
from types import ModuleType
from typing import Any

import numpy as np

from . import environment

#: Column label, import name; in the order of the columns.
MODULES = {
    "ufuse": "ufuse",
    "numpy": "numpy",
    "numexpr": "numexpr",
    "numba": "numba",
    "bottleneck": "bottleneck",
    "fast_histogram": "fast_histogram",
    "boost_histogram": "boost_histogram",
    "pandas": "pandas",
    "scipy": "scipy",
    "opt_einsum": "opt_einsum",
    "torch": "torch",
    "jax": "jax",
    "onnxruntime": "onnxruntime",
    "ml_dtypes": "ml_dtypes",
    "torchao": "torchao",
    "bitsandbytes": "bitsandbytes",
    "gguf": "gguf",
    "ggml": "ctransformers",
}

#: Needed beside the library itself.
_COMPANIONS = {"onnxruntime": ("onnx",), "torchao": ("torch",), "bitsandbytes": ("torch",)}


def installed(name: str) -> bool:
    """Whether a library of `MODULES` and its companions can be imported."""
    return all(importlib.util.find_spec(m) for m in (MODULES[name], *_COMPANIONS.get(name, ())))


def version(name: str) -> str:
    """Return the version of a library's distribution, or "-"."""
    if not installed(name):
        return "-"
    try:
        return importlib.metadata.version(MODULES[name])
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(importlib.import_module(MODULES[name]), "__version__", "?"))


@functools.cache
def load(name: str) -> ModuleType:
    """Import a library and give it the threads of this run.

    Parameters
    ----------
    name : str
        A key of `MODULES`.

    Returns
    -------
    module
    """
    if name == "ggml":
        # Its shared library is called; the package imports what only downloads of models need.
        return ModuleType("ggml")
    if name in ("torchao", "bitsandbytes"):
        load("torch")
    module = importlib.import_module(MODULES[name])
    count = environment.threads()
    if name == "ufuse":
        module.set_num_threads(count)
    elif name == "numpy":
        with contextlib.suppress(ImportError):
            # For asv, where NumPy is imported before the environment can be set.
            importlib.import_module("threadpoolctl").threadpool_limits(count)
    elif name == "numexpr":
        module.set_num_threads(count)
    elif name == "torch":
        module.set_num_threads(count)
        module.set_grad_enabled(False)
    elif name == "jax":
        module.config.update("jax_enable_x64", True)
    return module


def blocking(function: Any) -> Any:
    """Return a jitted JAX function that waits for its result."""
    jitted = load("jax").jit(function)
    return lambda *args: jitted(*args).block_until_ready()


def tensor(array: np.ndarray) -> Any:
    """Return the torch tensor that shares an array's memory."""
    return load("torch").from_numpy(array)


def as_numpy(result: Any) -> np.ndarray:
    """Any library's result as a NumPy array, for comparison; of several parts, all their bytes."""
    if isinstance(result, tuple):
        parts = [np.ascontiguousarray(as_numpy(part)) for part in result]
        return np.concatenate([part.reshape(-1).view(np.uint8) for part in parts])
    if hasattr(result, "int_repr"):
        result = result.int_repr() if result.is_quantized else result
    return np.asarray(result)
