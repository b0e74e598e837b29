"""torch tensors: how they are recognised, and made of results. torch is never imported here."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .lowprecision import is_low_precision

# Those of ml_dtypes that torch also has, under the same names, and an integer of their size.
_LOW_PRECISION_CARRIERS = {
    "bfloat16": np.uint16,
    "float8_e4m3fn": np.uint8,
    "float8_e4m3fnuz": np.uint8,
    "float8_e5m2": np.uint8,
    "float8_e5m2fnuz": np.uint8,
    "float8_e8m0fnu": np.uint8,
}


def is_tensor(obj: object) -> bool:
    """Tell whether `obj` is a ``torch.Tensor``; where torch is not loaded, nothing is one."""
    kind: Any = type(obj)
    return _is_tensor_type(kind)


@lru_cache(maxsize=512)
def _is_tensor_type(kind: type) -> bool:
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    return tensor is not None and issubclass(kind, tensor)


def require_plain_values(tensor: Any) -> None:
    """Refuse a lazily negated tensor: torch exports its memory and forgets the sign."""
    if tensor.is_neg():
        raise BufferError("its values are negated lazily, use tensor.resolve_neg()")


def to_tensor(array: npt.NDArray[Any]) -> Any:
    """Make a torch tensor over the memory of `array`, or return None if torch lacks the dtype.

    Copies only what a tensor cannot express: memory that is read-only, in foreign byte order, or
    whose strides are negative or not whole elements.
    """
    torch = sys.modules["torch"]
    target = None
    if is_low_precision(array.dtype):
        name = array.dtype.type.__name__
        target = getattr(torch, name, None)
        if name not in _LOW_PRECISION_CARRIERS or target is None:
            return None
        array = array.view(_LOW_PRECISION_CARRIERS[name])
    expressible = (
        array.flags.writeable
        and array.dtype.isnative
        and all(stride >= 0 and stride % array.itemsize == 0 for stride in array.strides)
    )
    if not expressible:
        array = array.astype(array.dtype.newbyteorder("="), order="C", copy=True)
    try:
        tensor = torch.from_numpy(array)
    except TypeError:
        return None
    return tensor if target is None else tensor.view(target)
