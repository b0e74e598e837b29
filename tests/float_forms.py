"""Low-precision floats as tests see them: what they are, and casts to and from their codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import tiers
from ufuse import executors
from ufuse.catalogue.floats import FLOAT_FORMATS, FloatFormat
from ufuse.quant.programs import caster, storage_of

ml_dtypes = pytest.importorskip("ml_dtypes")


@dataclass(frozen=True)
class Form:
    """What the tests know of a format."""

    name: str
    bits: int
    mantissa_bits: int
    largest: int
    infinity: int | None
    quiet_nan: int | None
    has_zero: bool = True

    @property
    def signed(self) -> bool:
        return self.has_zero

    @property
    def magnitude_bits(self) -> int:
        return self.bits - self.signed

    @property
    def maximum(self) -> float:
        return float(decode(np.array([self.largest]), self)[0])


def form_of(row: FloatFormat) -> Form:
    infinity = row.overflow_code if row.specials == "ieee" else None
    nan = None if row.specials == "finite" else row.nan_code
    return Form(row.name, row.bits, row.fraction, row.largest_code, infinity, nan)


FLOATS = [
    *(form_of(row) for row in FLOAT_FORMATS),
    Form("float8_e8m0fnu", 8, 0, 254, None, 255, has_zero=False),
]
FLOAT_BY_NAME = {form.name: form for form in FLOATS}


def dtype_of(form: Form) -> np.dtype:
    return np.dtype(getattr(ml_dtypes, form.name, form.name))


def stored(codes: np.ndarray, form: Form) -> np.ndarray:
    return codes.astype(np.uint16 if form.bits > 8 else np.uint8)


def decode(codes: np.ndarray, form: Form) -> np.ndarray:
    return uf.cast(stored(codes, form).view(dtype_of(form)), np.float32)


def encode(
    x: np.ndarray, form: Form, rounding: str = "half_even", saturate: bool = True,
    random: Any = None,
) -> np.ndarray:  # fmt: skip
    """Cast, by every tier there is; with given bits for stochastic rounding."""
    results = []
    for name in tiers() if executors.native else [""]:
        if executors.native:
            executors.native._core.set_tier(name)
        if random is None:
            codes = uf.cast(x, dtype_of(form), rounding=rounding, saturate=saturate)
        else:
            source = "f8" if x.dtype == np.float64 else "f4"
            codes = np.empty(x.shape, storage_of(form.name))
            program = caster(source, form.name, rounding, saturate)
            inputs = (x, random)[: len(program.inputs)]
            executors.run_program(program, inputs, (codes,))
        results.append(codes.view(np.uint16 if form.bits > 8 else np.uint8))
    if executors.native:
        executors.native._core.set_tier("")
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    return results[0]
