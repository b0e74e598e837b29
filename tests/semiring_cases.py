"""Contractions in semirings by brute force: every term in memory, and NumPy's reduce of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from contraction_cases import Array
from ufuse.catalogue.semirings import SEMIRINGS, Semiring

SELECTING = [row for row in SEMIRINGS if row.selects]


def summed_in(row: Semiring, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return where sums are kept: narrow integers and floats in wider ones, as by kernels."""
    if row.codes == ("?",):
        return np.dtype(bool)
    if row.codes and dtype.kind in "iu" and dtype.itemsize < 8:
        return np.dtype("i8" if dtype == np.uint32 else "i4")
    return np.dtype("f4") if dtype.num >= 256 or dtype == np.float16 else dtype


def terms(subscripts: str, a: Array, b: Array, row: Semiring) -> tuple[Array, tuple[int, ...]]:
    """Return the products, terms last, and the shape of the result."""
    inputs, out = subscripts.split("->")
    labels = inputs.split(",")
    every = dict.fromkeys("".join(labels))
    wanted = [*out, *(x for x in every if x not in out)]
    dtype = summed_in(row, np.result_type(a, b))
    sizes: dict[str, int] = {}
    views = []
    for term, x in zip(labels, (a, b), strict=True):
        sizes.update(zip(term, x.shape, strict=True))
        inside = [x for x in wanted if x in term]
        view = np.einsum(x.astype(dtype), [*map(wanted.index, term)],
                         [*map(wanted.index, inside)])  # fmt: skip
        shape = iter(view.shape)
        views.append(view.reshape([next(shape) if x in term else 1 for x in wanted]))
    with np.errstate(all="ignore"):
        products = np.asarray(row.times(*views), dtype)
    products = np.broadcast_to(products, [sizes[x] for x in wanted])
    shape_out = tuple(sizes[x] for x in out)
    count = math.prod(sizes[x] for x in wanted[len(out) :])
    return products.reshape(*shape_out, count), shape_out


def brute(subscripts: str, a: Array, b: Array, row: Semiring) -> Array:
    products, shape = terms(subscripts, a, b, row)
    dtype = np.result_type(a, b) if row.codes != ("?",) else np.dtype(bool)
    if products.shape[-1] == 0:
        return np.full(shape, row.empty(dtype), dtype)
    with np.errstate(all="ignore"):
        return np.asarray(getattr(np, row.plus).reduce(products, axis=-1)).astype(dtype)


def positions(subscripts: str, a: Array, b: Array, row: Semiring) -> Array:
    products, _ = terms(subscripts, a, b, row)
    return (np.argmin if row.plus == "minimum" else np.argmax)(products, axis=-1)


def drawn(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Array:
    """Draw small numbers with many ties, which all rows add exactly."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.2
    return rng.integers(0 if dtype.kind == "u" else -4, 5, shape).astype(dtype)


def agree(got: Any, want: Array, row: Semiring, message: str = "") -> None:
    got = np.asarray(got)
    assert (got.dtype, got.shape) == (want.dtype, want.shape), message
    if got.dtype.num >= 256:
        got, want = got.astype(np.float32), want.astype(np.float32)
    if row.plus == "logaddexp":
        digits = {2: 1e-2, 4: 1e-5, 8: 1e-12}[got.itemsize]
        np.testing.assert_allclose(got, want, rtol=digits, atol=digits, err_msg=message)
    else:
        np.testing.assert_array_equal(got, want, err_msg=message)
