"""Arrays of other libraries, in and out, without a copy.

A public function reads its arguments with :func:`asarray`, its ``out=`` with :func:`as_output`, and
gives its result back with :func:`wrap_like`; :func:`accepts_buffers` does all three. Importing this
package imports NumPy alone: other libraries are recognised by the types of the arguments.
"""

from .arrays import as_output, asarray
from .devices import CPU, Device, device_of
from .results import accepts_buffers, wrap_like

__all__ = [
    "CPU",
    "Device",
    "accepts_buffers",
    "as_output",
    "asarray",
    "device_of",
    "wrap_like",
]
