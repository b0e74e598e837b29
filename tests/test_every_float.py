"""Every float32 there is, cast to every narrower float: `make test-slow` alone runs it."""

from __future__ import annotations

import numpy as np
import pytest

import ufuse as uf
from float_forms import FLOATS, Form, dtype_of

_CHUNK = 1 << 24


@pytest.mark.slow
@pytest.mark.parametrize("form", FLOATS, ids=lambda form: form.name)
def test_every_float32_is_cast_as_ml_dtypes_casts_it(form: Form) -> None:
    dtype = dtype_of(form)
    kind = f"u{dtype.itemsize}"
    patterns = np.arange(_CHUNK, dtype=np.uint32)
    got = np.empty(_CHUNK, dtype)
    for first in range(0, 1 << 32, _CHUNK):
        x = (patterns + np.uint32(first)).view(np.float32)
        uf.cast(x, dtype, saturate=False, out=got)
        with np.errstate(all="ignore"):
            want = x.astype(dtype)
        different = got.view(kind) != want.view(kind)
        if form.name == "float16":  # NumPy keeps what a NaN carries
            different &= ~np.isnan(x)
        assert not different.any(), x[different][:5]
