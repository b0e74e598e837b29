"""The dtypes that NumPy has only through ml_dtypes, which is imported on first need."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import Any

import numpy as np


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
    module = sys.modules.get("ml_dtypes")
    return bool(module) and getattr(module, dtype.type.__name__, None) is dtype.type
