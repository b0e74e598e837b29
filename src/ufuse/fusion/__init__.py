"""Fusion: tracing a NumPy function into a program, and calling it.

The functions that NumPy lacks (`gelu`, `erf`: the public rows of the catalogue) are attributes too.
"""

from collections.abc import Callable
from typing import Any

from .errors import TraceError
from .function import CacheInfo, FusedFunction, fuse
from .instructions import Instruction
from .operations import public_functions
from .program import Program

__all__ = [
    "CacheInfo",
    "FusedFunction",
    "Instruction",
    "Program",
    "TraceError",
    "fuse",
    "public_functions",
]


def __getattr__(name: str) -> Callable[..., Any]:
    try:
        return public_functions()[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
