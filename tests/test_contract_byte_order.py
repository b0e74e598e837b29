"""Byte order is no part of a dtype: operands and outputs may have any, in every function."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf

Array = np.ndarray[Any, np.dtype[Any]]

rng = np.random.default_rng(0)

#: Shapes of the arrays, what is called with them, and whether it takes an `out`.
CALLS: dict[str, tuple[list[tuple[int, ...]], Callable[..., Any], bool]] = {
    "einsum": ([(6, 8), (5, 8)], lambda a, b, **o: uf.einsum("ij,kj->ik", a, b, **o), True),
    "einsum of three": (
        [(6, 8), (8, 5), (5,)], lambda a, b, c, **o: uf.einsum("ij,jk,k->ik", a, b, c, **o), True
    ),
    "einsum of one": ([(6, 8)], lambda a, **o: uf.einsum("ij->j", a, **o), True),
    "finished": (
        [(6, 8), (8, 5), (5,)],
        lambda a, b, c, **o: uf.matmul(a, b, finish=lambda s: np.maximum(s + c, 0), **o), True
    ),
    "min_plus": ([(6, 8), (8, 5)], lambda *x, **o: uf.matmul(*x, semiring="min_plus", **o), True),
    "matmul": ([(6, 8), (8, 5)], uf.matmul, True),
    "matmul along": (
        [(8, 6), (8, 5)],
        lambda *x, **o: uf.matmul(*x, axes=[(1, 0), (0, 1), (0, 1)], **o), True
    ),
    "matvec": ([(6, 8), (8,)], uf.matvec, True),
    "vecmat": ([(8,), (8, 5)], uf.vecmat, True),
    "vecdot": ([(6, 8), (6, 8)], uf.vecdot, True),
    "vecdot kept": ([(6, 8), (6, 8)], lambda *x, **o: uf.vecdot(*x, keepdims=True, **o), True),
    "dot": ([(6, 8), (8, 5)], uf.dot, True),
    "vdot": ([(6, 8), (6, 8)], uf.vdot, False),
    "inner": ([(6, 8), (5, 8)], uf.inner, False),
    "outer": ([(6,), (5,)], uf.outer, True),
    "tensordot": ([(6, 8), (8, 5)], lambda *x: uf.tensordot(*x, 1), False),
    "kron": ([(2, 3), (4, 5)], uf.kron, False),
    "cdist": ([(6, 8), (5, 8)], uf.cdist, True),
    "cosine": ([(6, 8), (5, 8)], lambda *x, **o: uf.cdist(*x, "cosine", **o), True),
    "plan": ([(6, 8), (8, 5)], uf.contract_plan("ij,jk->ik", (6, 8), (8, 5)), True),
    "linear": ([(6, 8), (5, 8), (5,)], uf.linear, True),
    "attention": ([(2, 6, 8), (2, 7, 8), (2, 7, 4)], uf.attention, True),
    "masked": ([(2, 6, 8), (2, 7, 8), (2, 7, 4), (6, 7)], uf.attention, True),
    "grouped": (
        [(6, 8), (8, 5)],
        lambda a, b, out=None: uf.grouped_matmul([a], [b], out=None if out is None else [out])[0],
        True,
    ),
    "segments": (
        [(6, 8), (2, 8, 5)], lambda a, b, **o: uf.segment_matmul(a, [0, 2, 5], b, **o), True
    ),
}  # fmt: skip


def swapped(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("S"))


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("name", CALLS)
def test_any_byte_order(name: str, dtype: str) -> None:
    shapes, call, has_out = CALLS[name]
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    expected = np.asarray(call(*arrays))
    for swaps in itertools.product((False, True), repeat=len(arrays)):
        given = [swapped(x) if s else x for x, s in zip(arrays, swaps, strict=True)]
        found = call(*given)
        assert found.dtype == expected.dtype
        assert found.dtype.isnative
        np.testing.assert_array_equal(found, expected)
        if has_out:
            for out in (np.zeros_like(expected), swapped(np.zeros_like(expected))):
                assert call(*given, out=out) is out
                np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("name", [name for name, (*_, has_out) in CALLS.items() if has_out])
def test_a_swapped_out_may_overlap_an_operand(name: str) -> None:
    """Its bytes are those of the first operand, in the other order."""
    if name == "grouped":
        pytest.skip("no output of it may overlap an operand")
    shapes, call, _ = CALLS[name]
    arrays = [rng.normal(size=shape).astype("f4") for shape in shapes]
    expected = np.asarray(call(*arrays))
    memory = np.zeros(max(arrays[0].size, expected.size), "f4")
    first = memory[: arrays[0].size].reshape(arrays[0].shape)
    first[...] = arrays[0]
    out = memory.view(memory.dtype.newbyteorder("S"))[: expected.size].reshape(expected.shape)
    call(first, *arrays[1:], out=out)
    np.testing.assert_array_equal(out, expected)


def test_casting_is_asked_for_as_in_numpy() -> None:
    x = np.ones((3, 3))
    for module in (np, uf):
        with pytest.raises(TypeError, match="'no'"):
            module.einsum("ij,jk->ik", x, x, out=swapped(x), casting="no")
        module.einsum("ij,jk->ik", x, x, out=swapped(x), casting="equiv")


VIEWS = ["ii->i", "ij->ji", "ij", "ii->i", "...->..."]


@pytest.mark.parametrize("subscripts", VIEWS)
@pytest.mark.parametrize("dtype", ["f8", ">f8", ">i2", ">c16", "f2", ">f2", "?"])
def test_one_operand_is_a_view_as_numpys(subscripts: str, dtype: str) -> None:
    x = np.arange(9).reshape(3, 3).astype(dtype)
    for options in ({}, {"order": "F"}, {"dtype": x.dtype.newbyteorder("=")}, {"optimize": True}):
        found, expected = (m.einsum(subscripts, x, **options) for m in (uf, np))
        assert found.dtype == expected.dtype
        assert found.dtype.byteorder == expected.dtype.byteorder
        assert found.strides == expected.strides
        assert np.shares_memory(found, x)
        assert found.flags.writeable
        np.testing.assert_array_equal(found, expected)
    uf.einsum("ii->i", x)[...] = 0
    assert not x.diagonal().any()
    x.flags.writeable = False
    assert not uf.einsum(subscripts, x).flags.writeable
    assert uf.einsum(subscripts, x, out=np.zeros_like(found)).flags.owndata


def test_a_view_is_one_after_it_was_written_into_an_output() -> None:
    x = np.arange(9.0).reshape(3, 3)
    uf.einsum("ii->i", x, out=np.zeros(3))
    assert np.shares_memory(uf.einsum("ii->i", x), x)


def test_a_swapped_weight_of_codes_and_scales() -> None:
    x, w = rng.normal(size=(6, 8)).astype("f4"), rng.normal(size=(5, 8)).astype("f4")
    record = uf.quantize(w, "int8", axis=0)
    expected = uf.linear(x, record)
    out = np.zeros((6, 5), ">f4")
    assert uf.linear(swapped(x), record, out=out) is out
    np.testing.assert_array_equal(out, expected)
    codes = uf.linear(x, record, out_scale=0.1)
    scale = np.array(0.1, ">f4")
    np.testing.assert_array_equal(uf.linear(swapped(x), record, out_scale=scale), codes)
    np.testing.assert_array_equal(uf.linear(x, uf.prepack(swapped(w))), uf.linear(x, w))
