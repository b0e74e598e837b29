"""``where=``: what it leaves out is nowhere in the result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE

FUNCTIONS = [
    "sum prod mean var std min max minmax any all moments norm logsumexp".split(),
    "nansum nanprod nanmean nanvar nanstd nanmin nanmax".split(),
]
NAMES = [name for names in FUNCTIONS for name in names]


def reduced(name: str, x: np.ndarray, axis: Any, mask: np.ndarray) -> list[np.ndarray]:
    least: Any = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    most: Any = np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).max
    starts = {"min": most, "max": least, "minmax": (most, least)}
    plain = name.removeprefix("nan")
    more: dict[str, Any] = {"initial": starts[plain]} if plain in starts else {}
    found = getattr(uf, name)(x, axis=axis, where=mask, **more)
    parts = found if isinstance(found, tuple) else (found,)
    return [np.asarray(part) for part in parts if part is not None]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int8, np.int32])
@pytest.mark.parametrize("name", NAMES)
def test_masked_elements_are_nowhere_in_the_result(name: str, dtype: Any, tier: str) -> None:
    """The variance without NaN was once shifted by an element that the mask leaves out."""
    rng = np.random.default_rng(3)
    floating = np.dtype(dtype).kind == "f"
    for shape in ((5, 300), (300, 5), (40, 2100), (2100, 40), (3, 17)):
        x = (rng.random(shape) + 1 if floating else rng.integers(1, 4, shape)).astype(dtype)
        if name.startswith("nan") and floating:
            x[rng.random(shape) < 0.1] = np.nan
        mask = rng.random(shape) < 0.7
        mask[0, 0] = mask[:, 0].any()
        mask[:, -1] = mask[-1, :] = True
        mask[0, :2] = mask[:2, 0] = False  # where a pivot would be looked for
        hidden = [1e30, np.inf, -np.inf, np.nan] if floating else [np.iinfo(dtype).max]
        for axis in (0, 1):
            want = reduced(name, np.where(mask, x, dtype(1)), axis, mask)
            for value in hidden:
                with np.errstate(over="ignore"):
                    other = np.where(mask, x, np.array(value).astype(dtype))
                for layout in (
                    other,
                    np.asfortranarray(other),
                    np.repeat(other, 2, axis=1)[:, ::2],
                ):
                    for got, right in zip(reduced(name, layout, axis, mask), want, strict=True):
                        np.testing.assert_array_equal(got, right, err_msg=f"{shape} {axis} {value}")


@pytest.mark.skipif(not NATIVE, reason="the reference executor is NumPy")
@pytest.mark.parametrize(
    "name", ["sum", "mean", "var", "std", "nansum", "nanmean", "nanvar", "nanstd"]
)
def test_masked_reductions_are_numpys(name: str) -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((70, 1500))
    if name.startswith("nan"):
        x[rng.random(x.shape) < 0.1] = np.nan
    mask = rng.random(x.shape) < 0.5
    x[~mask] = 1e30
    for axis in (0, 1, None):
        got = getattr(uf, name)(x, axis=axis, where=mask)
        np.testing.assert_allclose(got, getattr(np, name)(x, axis=axis, where=mask), rtol=1e-12)
