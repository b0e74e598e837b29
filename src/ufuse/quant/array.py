"""Quantized arrays: a record of codes and of what they stand for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..interop import asarray
from ..reduce import minmax
from .arguments import read_axis
from .linear import dequantize_linear, quantize_linear

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class QuantizedArray:
    """Codes with their scale: a record of arrays, not an array class.

    Attributes
    ----------
    data : ndarray
        The codes, int8.
    scale : ndarray
        float32: 0-d, or one value per index of `axis`.
    zero_point : ndarray
        0-d, dtype of `data`; 0, since the scheme is symmetric.
    axis : int or None
        The axis that `scale` runs along, counted from the front; None for one scale.

    Raises
    ------
    TypeError
        If an attribute is no array, or not of the dtype above.
    ValueError
        If the shape of `scale` or `zero_point` is none of those above, or `zero_point` is not 0.
    numpy.exceptions.AxisError
        If `data` has no such axis.

    Notes
    -----
    The arrays are read-only views of those given, which stay as writable as they were. Codes are
    not to change, through them or otherwise: what `linear` has packed would not follow. Make a new
    record of new codes.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> codes = np.int8([[1, -2], [3, 4]])
    >>> q = uf.QuantizedArray(codes, np.float32([0.5, 2.0]), np.int8(0), axis=0)
    >>> q.dequantize()
    array([[ 0.5, -1. ],
           [ 6. ,  8. ]], dtype=float32)
    """

    data: Array
    scale: Array
    zero_point: Array
    axis: int | None = None
    _packed: dict[str, Any] = field(default_factory=dict)  # by tier: contract.linear keeps it here

    def __post_init__(self) -> None:
        data = self._frozen("data", np.dtype(np.int8))
        scale = self._frozen("scale", np.dtype(np.float32))
        zero = self._frozen("zero_point", data.dtype)
        shape: tuple[int, ...] = ()
        if self.axis is not None:
            axis = read_axis(self.axis, data.ndim, "QuantizedArray")
            object.__setattr__(self, "axis", axis)
            shape = data.shape[axis : axis + 1]
        if scale.shape != shape:
            raise ValueError(
                f"ufuse.QuantizedArray: attribute 'scale': expected shape {shape} for data of "
                f"shape {data.shape} and axis={self.axis}, got shape {scale.shape}"
            )
        if zero.shape != () or zero != 0:
            raise ValueError(
                "ufuse.QuantizedArray: attribute 'zero_point': expected a 0-d array of 0, since "
                f"int8 codes are symmetric, got {zero!r}"
            )

    def _frozen(self, name: str, dtype: np.dtype[Any]) -> Array:
        """Put a read-only view in place of an attribute, checked, and return it."""
        value = getattr(self, name)
        if not isinstance(value, (np.ndarray, np.generic)):
            raise TypeError(
                f"ufuse.QuantizedArray: attribute {name!r}: expected an ndarray of {dtype}, got "
                f"{type(value).__name__}"
            )
        if value.dtype != dtype:
            raise TypeError(
                f"ufuse.QuantizedArray: attribute {name!r}: expected dtype {dtype}, got dtype "
                f"{value.dtype}; convert it"
            )
        view: Array = np.asarray(value).view()
        view.flags.writeable = False
        object.__setattr__(self, name, view)  # the record itself is frozen
        return view

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and zero point."""
        return self.data.nbytes + self.scale.nbytes + self.zero_point.nbytes

    def dequantize(self, out: Array | None = None) -> Array:
        """Return the numbers the codes stand for, float32, in the shape of `data`."""
        result: Array = dequantize_linear(
            self.data, self.scale, self.zero_point, axis=self.axis, out=out
        )
        return result

    # Operators of arrays with it are refused (`x @ q`): `linear` multiplies, `dequantize` converts.
    __array_ufunc__ = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("QuantizedArray: dequantizing makes a copy; use copy=None")
        return self.dequantize().astype(dtype or np.float32, copy=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return QuantizedArray, (self.data, self.scale, self.zero_point, self.axis)

    def __repr__(self) -> str:
        scales = (
            "one scale" if self.axis is None else f"{self.scale.size} scales on axis {self.axis}"
        )
        return (
            f"QuantizedArray(shape={self.shape}, {self.data.dtype} symmetric, {scales}, "
            f"{self.nbytes} bytes)"
        )


def quantize(x: ArrayLike, scheme: str = "int8", *, axis: int | None = None) -> QuantizedArray:
    """Quantize an array by a scheme, its scale taken from the data.

    Parameters
    ----------
    x : array_like
        float32, any shape, strides and byte order; finite.
    scheme : {"int8"}
        ``"int8"``: symmetric, codes -127 to 127, ``scale = max(abs(x)) / 127``.
    axis : int, optional
        One scale per index of this axis (0 for the output channels of a weight of shape
        (out, in)); one scale for all by default.

    Returns
    -------
    QuantizedArray

    Raises
    ------
    ValueError
        If the scheme is unknown or `x` is not finite.
    TypeError
        If `x` is not float32.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> q = uf.quantize(np.float32([[1.0, -2.0], [0.5, 0.25]]), "int8", axis=0)
    >>> q
    QuantizedArray(shape=(2, 2), int8 symmetric, 2 scales on axis 0, 13 bytes)
    >>> q.data
    array([[  64, -127],
           [ 127,   64]], dtype=int8)
    """
    if scheme != "int8":
        raise ValueError(f"ufuse.quantize: argument 'scheme': expected 'int8', got {scheme!r}")
    array = asarray(x, function="ufuse.quantize", argument="x")
    if array.dtype.newbyteorder("=") != np.float32:
        raise TypeError(
            f"ufuse.quantize: argument 'x': expected float32, got dtype {array.dtype}; convert it "
            "with x.astype(np.float32)"
        )
    others: tuple[int, ...] | None = None
    if axis is not None:
        axis = read_axis(axis, array.ndim, "quantize")
        others = tuple(i for i in range(array.ndim) if i != axis)
    zero = np.zeros((), np.int8)
    if array.size == 0:
        scale = np.ones(() if axis is None else array.shape[axis], np.float32)
        return QuantizedArray(np.zeros(array.shape, np.int8), scale, zero, axis)
    low, high = minmax(array, axis=others)
    largest = np.maximum(np.abs(low), np.abs(high))
    if not np.all(np.isfinite(largest)):
        raise ValueError(
            "ufuse.quantize: argument 'x': expected finite values, got NaN or infinity"
        )
    # A scale of 1 for zeros alone; one that underflows to 0 is raised to the smallest float32.
    scale = np.asarray(largest / np.float32(127.0), np.float32)
    scale = np.where(largest == 0, np.float32(1), np.maximum(scale, np.float32(1e-45)))
    data = quantize_linear(array, scale, zero, axis=axis)
    return QuantizedArray(data, scale, zero, axis)
