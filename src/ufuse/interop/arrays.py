"""Arguments of public functions as ndarrays over the same memory."""

from __future__ import annotations

import sys
from enum import Enum
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from . import dlpack
from .devices import CPU, device_of, not_on_host
from .lowprecision import is_low_precision
from .messages import subject
from .tensors import is_tensor, require_plain_values

# What producers raise when they cannot give their memory: torch BufferError, RuntimeError (also
# jax) and ValueError; pyarrow TypeError and ValueError.
_REFUSALS = (BufferError, TypeError, ValueError, RuntimeError, AttributeError)


class _Route(Enum):
    """How the memory of an object of some type is reached; found once per type."""

    NUMPY = "np.asarray, from host memory"
    NDARRAY = "a subclass of ndarray"
    MASKED = "a masked array"
    BYTES = "bytes, which np.asarray takes for a string"
    DLPACK = "__dlpack__"
    FOREIGN = "np.asarray, once it is known not to be CUDA memory"


@lru_cache(maxsize=512)
def _route(kind: type) -> _Route:
    masked = sys.modules.get("numpy.ma")  # NumPy itself imports it on first need
    if masked is not None and issubclass(kind, masked.MaskedArray):
        return _Route.MASKED
    if issubclass(kind, np.ndarray):
        return _Route.NDARRAY
    if issubclass(kind, (bool, int, float, complex, list, tuple, np.generic)):
        return _Route.NUMPY
    if issubclass(kind, bytes):
        return _Route.BYTES
    if hasattr(kind, "__dlpack__"):
        return _Route.DLPACK
    return _Route.FOREIGN


def asarray(obj: Any, *, function: str, argument: str) -> npt.NDArray[Any]:
    """See `obj` as an ndarray, without a copy wherever its memory can be reached.

    Parameters
    ----------
    obj : array_like
        An ndarray or a subclass; an object with ``__dlpack__``, the buffer protocol,
        ``__array_interface__`` or ``__array__``; a scalar or nested sequences. Bytes are uint8.
    function, argument : str
        Names for messages: ``"ufuse.sum"``, ``"x"``.

    Returns
    -------
    numpy.ndarray
        `obj` itself if it is an ndarray; else a view of its memory, which it keeps alive, with its
        strides and byte order, not writable where `obj` is read-only. Sequences, and objects that
        have only ``__array__``, are read as ``np.asarray`` reads them. bfloat16 and float8 tensors
        have the dtypes of ml_dtypes.

    Raises
    ------
    TypeError
        If `obj` is not on the host, is a masked array, or holds no numbers.
    BufferError
        If `obj` refuses to share its memory, as tensors that require a gradient do.
    ValueError
        If a sequence is ragged, or a DLPack capsule is malformed.
    ImportError
        If the dtype needs ml_dtypes, and it is not installed.
    """
    kind: Any = type(obj)
    if kind is np.ndarray:
        array: npt.NDArray[Any] = obj
        return array
    route = _route(kind)
    if route is _Route.NDARRAY:
        return np.asarray(obj)
    if route is _Route.MASKED:
        raise _masked(obj, function, argument)
    if route is _Route.DLPACK:
        return _by_dlpack(obj, function, argument, output=False)
    if route is _Route.BYTES:
        return np.asarray(memoryview(obj))
    if route is _Route.FOREIGN:
        _require_host(obj, function, argument, output=False)
    return _by_numpy(obj, function, argument)


def as_output(obj: Any, *, function: str, argument: str = "out") -> npt.NDArray[Any]:
    """See `obj` as an ndarray that a result can be written to.

    Parameters
    ----------
    obj : object
        A writable ndarray or subclass, or an object that shares writable memory by ``__dlpack__``,
        the buffer protocol or ``__array_interface__``.
    function, argument : str
        Names for messages.

    Returns
    -------
    numpy.ndarray
        A writable view: what is written to it is in `obj`.

    Raises
    ------
    ValueError
        If `obj` is read-only, or its DLPack capsule malformed.
    TypeError
        If `obj` has no memory that could be written, is not on the host, or is a masked array.
    BufferError
        If `obj` refuses to share its memory.
    """
    kind: Any = type(obj)
    if kind is np.ndarray:
        array: npt.NDArray[Any] = obj
    else:
        route = _route(kind)
        if route is _Route.MASKED:
            raise _masked(obj, function, argument)
        if route is _Route.NDARRAY:
            array = np.asarray(obj)
        elif route is _Route.DLPACK:
            array = _by_dlpack(obj, function, argument, output=True)
        else:
            array = _by_shared_memory(obj, function, argument)
    if not array.flags.writeable:
        raise ValueError(
            f"{subject(obj, function, argument)} is read-only; expected memory that can be "
            "written, such as an ndarray of the result's shape and dtype"
        )
    return array


def _by_dlpack(obj: Any, function: str, argument: str, *, output: bool) -> npt.NDArray[Any]:
    tensor = is_tensor(obj)
    try:
        device = device_of(obj)
        if device == CPU:
            if tensor:
                require_plain_values(obj)
            capsule = dlpack.request(obj)
    except _REFUSALS as error:
        return _by_other_means(obj, function, argument, error, output=output)
    if device != CPU:
        raise not_on_host(obj, device, function=function, argument=argument, output=output)
    try:
        return dlpack.view(capsule, unversioned_is_writable=tensor)
    except BufferError as error:
        return _by_other_means(obj, function, argument, error, output=output)
    except (ValueError, ImportError) as error:
        raise type(error)(f"{subject(obj, function, argument)}: {error}") from error


def _by_other_means(
    obj: Any, function: str, argument: str, reason: Exception, *, output: bool
) -> npt.NDArray[Any]:
    """Read what DLPack cannot carry by ``__array__`` (jax has int4 so), or give `reason`."""
    if not output and hasattr(type(obj), "__array__"):
        try:
            return _by_numpy(obj, function, argument)
        except _REFUSALS:
            pass  # the first reason says more
    raise BufferError(
        f"{subject(obj, function, argument)} does not share its memory: {reason}"
    ) from reason


def _no_memory(obj: Any, function: str, argument: str) -> TypeError:
    return TypeError(
        f"{subject(obj, function, argument)} has no memory that a result can be written to; "
        "expected an ndarray, or an object with DLPack, the buffer protocol or __array_interface__"
    )


def _by_shared_memory(obj: Any, function: str, argument: str) -> npt.NDArray[Any]:
    """See `obj` as NumPy does, but only where NumPy makes no copy."""
    _require_host(obj, function, argument, output=True)
    if isinstance(obj, np.generic):  # its interface is that of a copy
        raise _no_memory(obj, function, argument)
    if hasattr(obj, "__array_interface__") or hasattr(obj, "__array_struct__"):
        return _by_numpy(obj, function, argument)
    try:
        buffer = memoryview(obj)
    except TypeError:
        raise _no_memory(obj, function, argument) from None
    except (ValueError, BufferError) as error:  # released, or closed
        raise type(error)(f"{subject(obj, function, argument)}: {error}") from error
    return _by_numpy(buffer, function, argument)


def _by_numpy(obj: Any, function: str, argument: str) -> npt.NDArray[Any]:
    try:
        array = np.asarray(obj)
    except _REFUSALS as error:
        from ..fusion.errors import TraceError, not_inside  # which import this module

        if isinstance(error, TraceError) and function != "ufuse.fuse":
            raise not_inside(function, argument) from None
        shown = ValueError if isinstance(error, ValueError) else TypeError
        raise shown(
            f"{subject(obj, function, argument)} cannot be read as an array: {error}"
        ) from error
    if array.dtype.kind in "OSUV" and not is_low_precision(array.dtype):
        raise TypeError(
            f"{subject(obj, function, argument)} is no array of numbers: NumPy reads it as dtype "
            f"{array.dtype}; {_remedy(obj, array, argument)}"
        )
    return array


def _remedy(obj: Any, array: npt.NDArray[Any], argument: str) -> str:
    """Say how numbers could be had of what NumPy reads as none."""
    if hasattr(obj, "__next__"):
        return f"take the elements of an iterator first, by list({argument})"
    if array.dtype.kind in "SU":
        return f"numbers written as text are read by np.asarray({argument}).astype(np.float64)"
    if array.ndim == 0:
        return "expected an array, a sequence or a number"
    return f"objects that are numbers are read by np.asarray({argument}, dtype=np.float64)"


def _require_host(obj: Any, function: str, argument: str, *, output: bool) -> None:
    device = device_of(obj)
    if device != CPU:
        raise not_on_host(obj, device, function=function, argument=argument, output=output)


def _masked(obj: Any, function: str, argument: str) -> TypeError:
    return TypeError(
        f"{subject(obj, function, argument)} is a masked array, whose mask would be ignored; pass "
        f"{argument}.filled(value), or {argument}.data with where=~np.ma.getmaskarray({argument}) "
        "if the function takes where="
    )
