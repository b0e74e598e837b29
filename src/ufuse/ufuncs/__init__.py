"""Genuine ufuncs of what NumPy lacks: ``ufuse.ufuncs.gelu`` is a `numpy.ufunc`.

Elementwise ones follow from the catalogue's public rows, and are there under `scipy.special`'s name
as well, where that has them (``expit``); besides there are `clip_round`, `quantize` and
`dequantize`, and the gufuncs `softmax`, `log_softmax` and `logsumexp`. `ufuse.fuse(f).as_ufunc()`
makes others. Without the extension they are objects that are called in the same way, and no
`numpy.ufunc`.
"""

from __future__ import annotations

from typing import Any

from .definitions import NAMES, define

__all__ = list(NAMES)


def __getattr__(name: str) -> Any:
    """Make a ufunc when it is first asked for; another name of one is the same object."""
    if name not in NAMES:
        raise AttributeError(f"module 'ufuse.ufuncs' has no attribute {name!r}")
    first = NAMES[name]
    if first not in globals():
        globals().setdefault(first, define(first))
    ufunc = globals()[name] = globals()[first]
    return ufunc


def __dir__() -> list[str]:
    return sorted({*globals(), *NAMES})
