"""DLPack capsules read as NumPy views.

NumPy's own ``from_dlpack`` knows neither bfloat16 nor float8, so the capsule is taken apart here,
following ``dlpack.h`` of DLPack 1.x and, for older producers, the unversioned struct.

Two exceptions tell two cases apart: `ValueError` is a capsule that breaks the specification,
`BufferError` a correct one that cannot be seen as an ndarray (another route may still work). A
refused capsule is left as it came, so that its own destructor frees the memory.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .devices import CPU, dlpack_device
from .lowprecision import low_precision_dtype

_READ_ONLY, _IS_COPIED, _SUBBYTE_PADDED = 1, 2, 4  # bits of DLManagedTensorVersioned.flags
_MAX_NDIM = 64  # NumPy's
_MAX_BYTES = sys.maxsize


class _DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (
        ("tensor", _DLTensor),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


class _ManagedVersioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _DLTensor),
    )


def _python_api(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    # A prototype of our own: argtypes set on ctypes.pythonapi.f would change f for everybody.
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_capsule_is_valid = _python_api(
    "PyCapsule_IsValid", ctypes.c_int, ctypes.py_object, ctypes.c_char_p
)
_capsule_pointer = _python_api(
    "PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p
)
_capsule_name = _python_api("PyCapsule_GetName", ctypes.c_char_p, ctypes.py_object)
_capsule_rename = _python_api("PyCapsule_SetName", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)
_keep_forever = _python_api("Py_IncRef", None, ctypes.py_object)
_call_deleter = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)

_UNVERSIONED, _VERSIONED = b"dltensor", b"dltensor_versioned"
_USED = {_UNVERSIONED: b"used_dltensor", _VERSIONED: b"used_dltensor_versioned"}
for _name in _USED.values():
    _keep_forever(_name)  # a capsule keeps the pointer to its name, and may outlive this module

_NATIVE_TYPES = {
    (code, bits): np.dtype(f"{name}{bits}")
    for code, name, sizes in (
        (0, "int", (8, 16, 32, 64)),
        (1, "uint", (8, 16, 32, 64)),
        (2, "float", (16, 32, 64)),
        (5, "complex", (64, 128)),
    )
    for bits in sizes
} | {(6, 8): np.dtype(np.bool_)}

_LOW_PRECISION_TYPES = {
    (4, 16): "bfloat16",
    (7, 8): "float8_e3m4",
    (8, 8): "float8_e4m3",
    (9, 8): "float8_e4m3b11fnuz",
    (10, 8): "float8_e4m3fn",
    (11, 8): "float8_e4m3fnuz",
    (12, 8): "float8_e5m2",
    (13, 8): "float8_e5m2fnuz",
    (14, 8): "float8_e8m0fnu",
    # Below a byte: ml_dtypes holds one value per byte, as a padded DLPack tensor does.
    (0, 4): "int4",
    (0, 2): "int2",
    (1, 4): "uint4",
    (1, 2): "uint2",
    (15, 6): "float6_e2m3fn",
    (16, 6): "float6_e3m2fn",
    (17, 4): "float4_e2m1fn",
}


class _Owner:
    """A managed tensor that belongs to us: its deleter runs when the last view is gone.

    NumPy reads the memory by ``__array_interface__`` and keeps this object as the view's base.
    """

    __slots__ = ("__array_interface__", "_address", "_deleter")
    __array_interface__: dict[str, Any]

    def __init__(self, address: int, deleter: int | None) -> None:
        self._address = address
        self._deleter = _call_deleter(deleter) if deleter else None

    # At interpreter shutdown the producer may be gone already; the process frees the memory.
    def __del__(self, _finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if self._deleter is not None and not _finalizing():
            self._deleter(self._address)


def request(obj: Any) -> object:
    """Ask `obj` for a capsule, versioned if it can make one; its own exceptions pass through."""
    try:
        return obj.__dlpack__(max_version=(1, 0))
    except TypeError:
        return obj.__dlpack__()  # a producer from before DLPack 1.0


def view(capsule: object, *, unversioned_is_writable: bool = False) -> npt.NDArray[Any]:
    """See the tensor in `capsule` as an ndarray over the same memory, and use the capsule up.

    Parameters
    ----------
    capsule : PyCapsule
        What ``__dlpack__`` returned.
    unversioned_is_writable : bool, optional
        Unversioned capsules cannot say that they are read-only (those of jax are), so their views
        are read-only, unless the caller knows the producer.

    Returns
    -------
    numpy.ndarray
        Not writable where the producer says read-only, or that it made a copy: what is written
        there would be lost. The tensor's deleter is called once, when the last view of the memory
        is gone.

    Raises
    ------
    ValueError
        If the capsule is not a fresh DLPack capsule or breaks the specification.
    BufferError
        If the tensor is correct, but not host memory, of a later major version, or of a type that
        no ndarray has.
    ImportError
        If the type needs ml_dtypes, and it is not installed.
    """
    name = next((name for name in _USED if _capsule_is_valid(capsule, name)), None)
    if name is None:
        raise ValueError(_describe_invalid(capsule))

    address = _capsule_pointer(capsule, name)
    managed: _Managed | _ManagedVersioned
    if name == _VERSIONED:
        managed = _ManagedVersioned.from_address(address)
        if managed.major != 1:  # only version and deleter may be read
            raise BufferError(
                f"its DLPack version is {managed.major}.{managed.minor}, expected 1.x"
            )
        flags = managed.flags
    else:
        managed = _Managed.from_address(address)
        flags = 0 if unversioned_is_writable else _READ_ONLY

    tensor = managed.tensor
    device = dlpack_device(tensor.device_type, tensor.device_id)
    if device != CPU:
        raise BufferError(f"its DLPack capsule is on {device}, expected host memory")
    dtype = _dtype(tensor, flags)
    start, shape, strides = _layout(tensor, dtype.itemsize)

    owner = _Owner(address, managed.deleter)
    _capsule_rename(capsule, _USED[name])  # from here on the memory is ours to free
    # A dtype of ml_dtypes has no type string: an unsigned integer of its size stands in.
    native = dtype.isbuiltin == 1
    owner.__array_interface__ = {
        "version": 3,
        "data": (start, bool(flags & (_READ_ONLY | _IS_COPIED))),
        "typestr": dtype.str if native else f"u{dtype.itemsize}",
        "shape": shape,
        "strides": strides,
    }
    array = np.asarray(owner)
    return array if native else array.view(dtype)


def _describe_invalid(capsule: object) -> str:
    if type(capsule).__name__ != "PyCapsule":
        return f"its __dlpack__ gave {type(capsule).__name__}, expected a PyCapsule"
    name = _capsule_name(capsule)
    if name in _USED.values():
        return "its DLPack capsule has been used already; each call of __dlpack__ must make one"
    return f"its DLPack capsule is named {name!r}, expected 'dltensor' or 'dltensor_versioned'"


def _dtype(tensor: _DLTensor, flags: int) -> np.dtype[Any]:
    code, bits, lanes = tensor.code, tensor.bits, tensor.lanes
    if lanes != 1:
        raise BufferError(
            f"its DLPack type packs {lanes} values in an element (code {code}, {bits} bits), "
            "expected 1; pass a view of the bytes, as uint8"
        )
    native = _NATIVE_TYPES.get((code, bits))
    if native is not None:
        return native
    name = _LOW_PRECISION_TYPES.get((code, bits))
    if name is None:
        raise BufferError(f"its DLPack type (code {code}, {bits} bits) is none that ndarrays have")
    if bits < 8 and not flags & _SUBBYTE_PADDED:
        raise BufferError(
            f"its dtype is {name}, packed below a byte, expected one value per byte; "
            "pass a view of the bytes, as uint8"
        )
    return low_precision_dtype(name)


def _layout(
    tensor: _DLTensor, itemsize: int
) -> tuple[int, tuple[int, ...], tuple[int, ...] | None]:
    """Address of the first element, shape, and byte strides (None is C order).

    Every element is checked to lie where memory can be.
    """
    shape = _int64s(tensor.ndim, tensor.shape, "shape")
    size = itemsize
    for extent in shape:
        if extent < 0:
            raise ValueError(f"its DLPack tensor has a negative extent: shape {shape}")
        size *= extent or 1  # NumPy bounds the extents of empty arrays too
    if size > _MAX_BYTES:
        raise ValueError(f"its DLPack tensor is larger than memory can be: shape {shape}")
    if 0 in shape:
        # No element is ever reached, whatever data and strides say. The address is any that lives
        # as long as the owner: NumPy 2.0 takes no null.
        return ctypes.addressof(tensor), shape, None
    if tensor.data is None:
        raise ValueError(f"its DLPack tensor has no data, but shape {shape}")
    start: int = tensor.data + tensor.byte_offset
    strides = None
    low, high = start, start + size
    if tensor.strides is not None and shape:
        # The stride of an extent of 1 is never used, and producers leave anything in it.
        strides = tuple(
            [
                stride * itemsize if extent > 1 else itemsize
                for extent, stride in zip(
                    shape, _int64s(tensor.ndim, tensor.strides, "strides"), strict=True
                )
            ]
        )
        high = start + itemsize
        for extent, stride in zip(shape, strides, strict=True):
            reach = (extent - 1) * stride
            if reach > 0:
                high += reach
            else:
                low += reach
    if low <= 0 or high > _MAX_BYTES:
        raise ValueError(
            "its DLPack tensor reaches outside the address space: "
            f"shape {shape}, byte strides {strides}, byte offset {tensor.byte_offset}"
        )
    return start, shape, strides


def _int64s(ndim: int, address: int | None, what: str) -> tuple[int, ...]:
    if not 0 <= ndim <= _MAX_NDIM:
        raise ValueError(f"its DLPack tensor has ndim {ndim}, expected 0 to {_MAX_NDIM}")
    if ndim == 0:
        return ()
    if address is None:
        raise ValueError(f"its DLPack tensor has ndim {ndim} but no {what}")
    return tuple((ctypes.c_int64 * ndim).from_address(address)[:])
