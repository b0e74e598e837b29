"""What several reductions in one read say of slices that have nothing but NaN."""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np

from .request import Array, Request, Slot, execute

#: What the functions say where there is nothing to reduce.
EMPTY: Final = {
    "mean": "Mean of empty slice",
    "var": "Degrees of freedom <= 0 for slice",
    "std": "Degrees of freedom <= 0 for slice",
    "nanmean": "Mean of empty slice",
    "nanvar": "Degrees of freedom <= 0 for slice",
    "nanstd": "Degrees of freedom <= 0 for slice",
    "nanmin": "All-NaN slice encountered",
    "nanmax": "All-NaN slice encountered",
}


class Valid:
    """How many elements are no NaN, for the names that must know.

    Means and moments count them in the same read. Of the others a result is infinite where there
    are none, which it hardly ever is: only then is there another read.

    Attributes
    ----------
    slots : list of Slot
        What the read has to find besides the results.
    """

    def __init__(self, request: Request, code: str, slots: list[Slot]) -> None:
        self._request, self._code = request, code
        self._counts: Array | None = None
        self._values: dict[str, Array] = {}
        self.slots: list[Slot] = []
        reducers = {slot.reducer for slot in slots}
        for reducer, component in (("nan_moments", 0), ("nan_mean", 1)):
            if reducer in reducers and self._counts is None:
                self._counts = np.empty(request.full_shape)
                self.slots.append(Slot(reducer, code, "value", self._counts, component=component))
        for reducer in ("nanargmin", "nanargmax"):
            if reducer in reducers:
                self._values[reducer] = np.empty(request.full_shape, code)
                self.slots.append(Slot(reducer, code, "value", self._values[reducer]))

    def _missing(self) -> Array:
        if self._counts is None:
            self._counts = np.empty(self._request.full_shape)
            slot = Slot("valid", self._code, "value", self._counts)
            execute(self._request.x, self._request.axes, [slot], self._request.where)
        return np.asarray(self._counts == 0)

    def check(self, names: list[str], slots: list[Slot]) -> None:
        """Raise and warn as the functions of those names, and mark results of NaN alone."""
        for reducer, values in self._values.items():
            if np.isinf(values).any() and self._missing().any():
                raise ValueError(
                    f"{self._request.function}: All-NaN slice encountered by {reducer!r} "
                    f"(axis={self._request.axes}); fill them first, with "
                    "np.where(np.isnan(a), value, a)"
                )
        said = set()
        for name, slot in zip(names, slots, strict=True):
            text = EMPTY.get(name)
            if text is None or not name.startswith("nan"):
                continue
            if slot.reducer in ("nanmin", "nanmax") and not np.isinf(slot.out).any():
                continue
            missing = self._missing()
            if missing.any():
                slot.out[missing] = np.nan
                said.add(text)
        for text in sorted(said):
            warnings.warn(text, RuntimeWarning, stacklevel=4)
