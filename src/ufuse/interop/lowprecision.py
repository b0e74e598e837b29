"""The dtypes that NumPy has only through ml_dtypes, which is imported on first need."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Numbers of dtypes of packages begin here.
_NUMPYS_OWN: Final = 256


@cache
def low_precision_dtype(name: str) -> np.dtype[Any]:
    """Find the dtype of ml_dtypes called `name`, such as ``"bfloat16"``.

    Raises
    ------
    ImportError
        If ml_dtypes is not installed, or is too old to have this type.
    """
    try:
        module = importlib.import_module("ml_dtypes")
    except ImportError as error:
        raise ImportError(
            f"its dtype is {name}, which NumPy has only through the package ml_dtypes; "
            "install it with: pip install ml_dtypes"
        ) from error
    scalar = getattr(module, name, None)
    if scalar is None:
        raise ImportError(
            f"its dtype is {name}, which ml_dtypes {getattr(module, '__version__', '')} does not "
            "have; update it with: pip install --upgrade ml_dtypes"
        )
    dtype: np.dtype[Any] = np.dtype(scalar)
    return dtype


def is_low_precision(dtype: np.dtype[Any]) -> bool:
    """Tell whether `dtype` is one of ml_dtypes' (by its type object), importing nothing."""
    if dtype.num < _NUMPYS_OWN:
        return False
    module = sys.modules.get("ml_dtypes")
    return bool(module) and getattr(module, dtype.type.__name__, None) is dtype.type


def coding(dtype: np.dtype[Any]) -> str | None:
    """Tell how the core reads a float narrower than float32; None for every other dtype.

    Returns
    -------
    str or None
        ``"half"``, ``"bfloat16"``, or ``"table"`` for those of one byte.
    """
    if dtype.type is np.float16:
        return "half"
    if dtype.num < _NUMPYS_OWN:
        return None
    if dtype.kind not in "fV" or not is_low_precision(dtype):  # the kinds of ml_dtypes' vary
        return None
    if dtype.name == "bfloat16":
        return "bfloat16"
    return "table" if dtype.name.startswith("float") and dtype.itemsize == 1 else None


@cache
def values_of(dtype: np.dtype[Any]) -> NDArray[np.float32]:
    """Value of each of the 256 bytes as a narrow float."""
    return np.arange(256, dtype=np.uint8).view(dtype).astype(np.float32)


def narrowed(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round float64 `values` to a narrow `dtype`, once.

    ml_dtypes goes through float32, and would round twice: here float32 is rounded to odd, which
    keeps what the second rounding must know (Boldo and Melquiond, 2008).
    """
    if values.dtype == np.float64 and dtype.type is not np.float16:
        with np.errstate(over="ignore", invalid="ignore"):
            single = values.astype(np.float32)
            beyond = values - single.astype(np.float64)
        even = single.view(np.uint32) & 1 == 0
        adjust = even & (beyond != 0) & np.isfinite(single)
        towards = np.where(beyond > 0, np.float32(np.inf), np.float32(-np.inf))
        values = np.where(adjust, np.nextafter(single, towards), single)
    with np.errstate(all="ignore"):
        return values.astype(dtype)
