"""What order statistics share: their operands, and results with axes of their own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import executors
from ..interop import as_output, wrap_like
from ..interop.lowprecision import is_low_precision
from ..reduce.request import Array, DType, Request


def require_numbers(request: Request, argument: str) -> None:
    """Refuse what has an order, but is no number: strings and structures."""
    dtype = request.x.dtype
    if dtype.kind not in "biufc" and not is_low_precision(dtype):
        raise TypeError(
            f"{request.function}: argument {argument!r}: expected an array of numbers, got dtype "
            f"{dtype}"
        )


class LeadingAnswer:
    """Where the results of a call go.

    Parameters
    ----------
    request : Request
        The call, without its ``out``.
    lead : tuple of int
        Shape of the axes that come first.
    out
        As the caller gave it.
    dtype : dtype
        Of the result.

    Attributes
    ----------
    target : ndarray
        What executors write: one axis for all of `lead`, then those of the array, 1 long where
        they are reduced.
    """

    __slots__ = ("_given", "_out", "_request", "_shape", "target")

    def __init__(self, request: Request, lead: tuple[int, ...], out: Any, dtype: DType) -> None:
        self._request = request
        self._shape = lead + request.shape
        if type(out) is tuple and len(out) == 1:
            (out,) = out
        self._given = out
        self._out: Array | None = None
        if out is not None:
            self._out = as_output(out, function=request.function)
            self._check(self._out, dtype)
        self.target = self._place(lead, dtype)

    def _check(self, out: Array, dtype: DType) -> None:
        function, request = self._request.function, self._request
        if out.shape != self._shape:
            raise ValueError(
                f"{function}: argument 'out': expected shape {self._shape} (for an array of shape "
                f"{request.x.shape} and axis={request.axes}), got {out.shape}"
            )
        if not np.can_cast(dtype, out.dtype, "same_kind"):
            raise TypeError(
                f"{function}: argument 'out': cannot cast the result from {dtype} to {out.dtype} "
                f"with casting rule 'same_kind'; expected an array of {dtype}"
            )

    def _place(self, lead: tuple[int, ...], dtype: DType) -> Array:
        request, out = self._request, self._out
        if (
            out is None
            or out.dtype != dtype
            or not dtype.isnative
            or len(lead) > 1
            or executors.overlap(out, request.x)
        ):
            return executors.empty((math.prod(lead), *request.full_shape), dtype)
        if not request.keepdims:
            out = np.expand_dims(out, tuple(axis + len(lead) for axis in request.axes))
        return out if lead else out[None]

    def given(self) -> Any:
        """Return the results as the caller wants them."""
        if self._out is None:
            result = self.target.reshape(self._shape)
            return wrap_like(result[()] if result.ndim == 0 else result, self._request.template)
        if not np.may_share_memory(self.target, self._out):
            np.copyto(self._out, self.target.reshape(self._shape), casting="unsafe")
        return self._given
