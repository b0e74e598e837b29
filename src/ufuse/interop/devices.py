"""Where an argument's memory is.

The choice of executor asks :func:`device_of` first. Memory on the host goes to
:func:`ufuse.interop.asarray`; a CUDA executor takes what is on ``"cuda"`` before that call, and
:func:`not_on_host` is the error while there is none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .messages import type_name


class Device(NamedTuple):
    """A kind of memory and the index of the device; `id` is None where it is not known."""

    kind: str
    id: int | None = 0

    def __str__(self) -> str:
        label = _LABELS.get(self.kind, self.kind)
        return f"a {label} device" if self.id is None else f"{label} device {self.id}"


CPU = Device("cpu")

# DLDeviceType of dlpack.h. Pinned memory (3 and 11) is host memory that a GPU can also read.
_DLPACK_KINDS = {
    1: "cpu",
    2: "cuda",
    3: "cpu",
    4: "opencl",
    7: "vulkan",
    8: "metal",
    9: "vpi",
    10: "rocm",
    11: "cpu",
    12: "extension",
    13: "cuda",  # managed memory: the host may touch it only after a synchronisation
    14: "oneapi",
    15: "webgpu",
    16: "hexagon",
    17: "maia",
    18: "trainium",
}
_LABELS = {"cpu": "CPU", "cuda": "CUDA", "opencl": "OpenCL", "rocm": "ROCm", "metal": "Metal"}

# How each library copies an array to the host, by the first part of its type's module.
_TO_HOST = {
    "cupy": "{0}.get()",
    "jax": "jax.device_get({0})",
    "jaxlib": "jax.device_get({0})",
    "numba": "{0}.copy_to_host()",
    "torch": "{0}.cpu()",
}


def dlpack_device(device_type: int, index: int) -> Device:
    """Translate a ``DLDevice``; a type that dlpack.h does not list keeps its number."""
    kind = _DLPACK_KINDS.get(device_type, f"DLPack type {device_type}")
    return CPU if kind == "cpu" else Device(kind, index)


def device_of(obj: Any) -> Device:
    """Say where the memory of `obj` is.

    Parameters
    ----------
    obj : object
        Anything that may be passed as an array.

    Returns
    -------
    Device
        What ``__dlpack_device__`` says; else ``Device("cuda", None)`` for an object with
        ``__cuda_array_interface__``; else ``CPU``. Pinned host memory is ``CPU``.

    Raises
    ------
    ValueError
        If ``__dlpack_device__`` does not give two integers.

    Notes
    -----
    What ``__dlpack_device__`` itself raises passes through.
    """
    report = getattr(obj, "__dlpack_device__", None)
    if callable(report):
        answer = report()
        try:
            device_type, index = answer
            return dlpack_device(int(device_type), int(index))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{type_name(obj)}.__dlpack_device__() must give (device type, index), "
                f"but gave {answer!r}"
            ) from error
    # An object of torch has the attribute on its type and raises AttributeError off the GPU.
    if hasattr(obj, "__cuda_array_interface__"):
        return Device("cuda", None)
    return CPU


def not_on_host(
    obj: object, device: Device, *, function: str, argument: str, output: bool = False
) -> TypeError:
    """Make the error for an argument that no executor of this version can reach."""
    library = type(obj).__module__.partition(".")[0]
    remedy = "an output in host memory"
    if not output:
        remedy = _TO_HOST.get(library, "a copy of {0} in host memory").format(argument)
    family = _LABELS.get(device.kind, device.kind)
    return TypeError(
        f"{function}: argument {argument!r} is on {device} ({type_name(obj)}); "
        f"{family} arrays are not supported by this version; pass {remedy}"
    )
