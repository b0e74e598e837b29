"""What all observers have in common: reading batches, merging, and what comes out."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np

from ..interop import asarray
from ..interop.lowprecision import is_low_precision
from ..reduce.request import code_of
from .layout import Layout
from .parameters import Array, ClipRange, CodeKind, Parameters, parameters_of, read_kind


class Observer(ABC):
    """Base of the observers: sees batches of a tensor, and says how to quantize it.

    Attributes
    ----------
    axis : int or None
        The axis that has a range per index, or that blocks run along.
    block_size : int, tuple of int, or None
        Elements of a block that has a range: along `axis`, or along each axis.
    count : int
        Elements seen, NaN included.
    nan_count : int
        How many of them were NaN: they have no part in any range.
    batches : int
        How many updates there were, those of merged observers included.
    """

    axis: int | None
    block_size: int | tuple[int, ...] | None
    count: int = 0
    nan_count: int = 0
    batches: int = 0

    def __init__(self, *, axis: Any = None, block_size: Any = None) -> None:
        self._layout = Layout(self._named(), axis, block_size)
        self.axis, self.block_size = self._layout.axis, self._layout.block_size
        self.reset()

    @classmethod
    def _named(cls, method: str = "") -> str:
        return f"ufuse.observers.{cls.__name__}" + (f".{method}" if method else "")

    # --- the stream -----------------------------------------------------------------------------

    def update(self, batch: Any) -> Self:
        """Take in the next batch.

        Parameters
        ----------
        batch : array_like
            Real numbers, any strides and byte order; a `numpy.memmap` is read where it lies. With
            ``axis=`` each batch has as many indices there as the first one, with ``block_size=``
            the same shape.

        Returns
        -------
        Observer
            `self`.

        Raises
        ------
        TypeError
            If the dtype is not real.
        ValueError
            If an element is infinite, in float32 too; the shape does not fit; or there is no room
            for the elements in the observer's ``memory=``.
        numpy.exceptions.AxisError
            If the batch has no such axis.

        Notes
        -----
        All or nothing: where this raises, the observer is as it was. Elements count as the nearest
        float32. NaN are left out, and counted in `nan_count`.
        """
        function = self._named("update")
        x = asarray(batch, function=function, argument="batch")
        if x.dtype == np.bool_:
            x = x.view(np.uint8)
        if code_of(x.dtype) is None:
            raise TypeError(
                f"{function}: argument 'batch': expected real numbers of up to 64 bits, got dtype "
                f"{x.dtype}"
            )
        axis = self._layout.read_axis(x, function)
        self._check(function, x, axis)
        if x.size > 0:
            self.nan_count += self._take(function, x, axis)
            self.count += x.size
            self.batches += 1
        return self

    def merge(self, other: Self) -> Self:
        """Take in what another observer has seen, as if its batches came now.

        Parameters
        ----------
        other : Observer
            Of the same kind, arguments and lanes; not changed.

        Returns
        -------
        Observer
            `self`.

        Raises
        ------
        TypeError
            If `other` is of another kind.
        ValueError
            If its arguments or the shape of its ranges differ; or there is no room for both in the
            observer's ``memory=``. Nothing has changed then.
        """
        function = self._named("merge")
        if type(other) is not type(self):
            raise TypeError(
                f"{function}: argument 'other': expected {type(self).__name__}, got "
                f"{type(other).__name__}"
            )
        if other._arguments() != self._arguments():
            raise ValueError(
                f"{function}: argument 'other': {other!r} has other arguments than {self!r}"
            )
        if other.batches == 0:
            return self
        if self.batches > 0 and other._lanes() != self._lanes():
            raise ValueError(
                f"{function}: argument 'other': expected ranges of shape {self._lanes()}, got "
                f"{other._lanes()}"
            )
        mine, theirs = self._batch_shape(), other._batch_shape()
        if self.batches > 0 and mine != theirs:
            raise ValueError(
                f"{function}: argument 'other': expected ranges of batches of shape {mine}, got "
                f"{theirs}"
            )
        self._join(copy.deepcopy(other) if other is self else other)
        self.count += other.count
        self.nan_count += other.nan_count
        self.batches += other.batches
        return self

    def reset(self) -> Self:
        """Forget everything but the arguments; return `self`."""
        self.count = self.nan_count = self.batches = 0
        self._forget()
        return self

    # --- what it comes to -----------------------------------------------------------------------

    def scale_zero_point(self, dtype: Any = "int8", *, symmetric: bool | None = None) -> Parameters:
        """Return how to quantize what was seen.

        Parameters
        ----------
        dtype : str or dtype, optional
            The codes: ``"int8" "uint8" "int16" "uint16" "int4" "uint4" "int2" "uint2"``, or a float
            of 8, 6 or 4 bits: ``"float8_e4m3fn" "float8_e5m2" "float4_e2m1fn"``...
        symmetric : bool, optional
            Whether the zero point is 0, and the scale the larger magnitude of the range by the
            largest code, or the largest float. By default for signed codes; floats are symmetric
            always. Otherwise the range is widened to hold 0, and goes from the least code to the
            largest.

        Returns
        -------
        scale : ndarray
            float32, positive: 0-d; one per index of the axis; or one per block, in the shape of a
            batch whose axis counts blocks. 1 where there were zeros alone, or nothing but NaN.
        zero_point : ndarray
            In the same shape, of `dtype`: of codes narrower than a byte, ml_dtypes'.

        Raises
        ------
        ValueError
            If nothing was seen, `symmetric` is asked of unsigned codes, or refused for floats.
        TypeError
            If `dtype` is none of these; for `Entropy`, if it is a float.
        """
        kind, low, high = self._found("scale_zero_point", dtype, symmetric)
        return parameters_of(low, high, kind)

    def clip_range(self, dtype: Any = "int8", *, symmetric: bool | None = None) -> ClipRange:
        """Return the range that `scale_zero_point` of the same arguments is made of.

        Returns
        -------
        low, high : ndarray
            float32, in the shape of the scales. Where the extremes are the range it is theirs:
            `scale_zero_point` widens it, to be symmetric or to hold 0.

        Raises
        ------
        ValueError, TypeError
            As `scale_zero_point`.
        """
        _, low, high = self._found("clip_range", dtype, symmetric)
        return ClipRange(low, high)

    def _found(self, method: str, dtype: Any, symmetric: Any) -> tuple[CodeKind, Array, Array]:
        function = self._named(method)
        kind = self._kind(function, dtype, symmetric)
        if self.batches == 0:
            raise ValueError(f"{function}: nothing has been seen yet; update(batch) comes first")
        low, high = self._range(kind)
        nothing = ~(low <= high)  # lanes of NaN alone
        low = np.where(nothing, np.float32(0), low).astype(np.float32)
        high = np.where(nothing, np.float32(0), high).astype(np.float32)
        return kind, low, high

    def _kind(self, function: str, dtype: Any, symmetric: Any) -> CodeKind:
        """Return the codes to quantize to; raise for those that there is no range for."""
        return read_kind(function, dtype, symmetric)

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of what is kept."""

    # --- of each kind ---------------------------------------------------------------------------

    @abstractmethod
    def _forget(self) -> None:
        """Set up the state of nothing seen."""

    @abstractmethod
    def _check(self, function: str, x: Array, axis: int | None) -> None:
        """Raise where the shape does not fit what was seen before."""

    @abstractmethod
    def _take(self, function: str, x: Array, axis: int | None) -> int:
        """Take in elements, at least one; return how many are NaN. All or nothing."""

    @abstractmethod
    def _join(self, other: Any) -> None:
        """Take in what another has seen, at least one batch."""

    @abstractmethod
    def _range(self, kind: CodeKind) -> tuple[Array, Array]:
        """Return the range to quantize in; low > high where a lane has no element."""

    @abstractmethod
    def _extremes(self) -> tuple[Array, Array]:
        """Return the smallest and largest element, for `repr`."""

    @abstractmethod
    def _lanes(self) -> tuple[int, ...]:
        """Return the shape of the ranges."""

    @abstractmethod
    def _batch_shape(self) -> tuple[int, ...] | None:
        """Return what all batches have in common of their shape; None before the first."""

    def _arguments(self) -> dict[str, Any]:
        """Return what the observer was made with, by name."""
        return {"axis": self.axis, "block_size": self.block_size}

    def __copy__(self) -> Self:
        return copy.deepcopy(self)  # batches change the state in place

    def __repr__(self) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in self._arguments().items() if v is not None)
        name = f"{type(self).__name__}({given})"
        if self.batches == 0:
            return f"<{name}: nothing seen>"
        nans = f", {self.nan_count} NaN" if self.nan_count else ""
        low, high = self._extremes()
        ends = f"{np.min(low):.6g} to {np.max(high):.6g}"
        number = int(np.prod(self._lanes(), dtype=np.int64))
        ranges = f", {number} ranges" if self._lanes() else ""
        return f"<{name}: {self.count} elements{nans}, {ends}{ranges}>"


def refuse_unlike(function: str, expected: str, x: Array) -> None:
    """Raise where something else was expected of a batch's shape."""
    if expected:
        raise ValueError(
            f"{function}: argument 'batch': expected {expected}, as the first batch has, got shape "
            f"{x.shape}"
        )


def refuse_infinite(function: str, x: Array) -> None:
    """Raise for infinite elements, and say how many there are."""
    infinite = sum(int(np.count_nonzero(np.isinf(piece))) for piece in singles(x))
    raise ValueError(
        f"{function}: argument 'batch': expected finite values, got {infinite} infinite of "
        f"{x.size} (as float32); clip the batch, or leave them out"
    )


def singles(x: Array) -> Any:
    """Return the elements as pieces of float32, in no order."""
    if is_low_precision(x.dtype):  # they have no buffers for NumPy's iterator
        return (np.asarray(row, np.float32) for row in x.reshape(-1, *x.shape[-1:]))
    with np.errstate(over="ignore"):
        return np.nditer(
            x,
            ["external_loop", "buffered", "zerosize_ok"],
            ["readonly"],
            np.float32,
            casting="unsafe",
            buffersize=1 << 16,
        )
