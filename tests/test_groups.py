"""Many products in one call: lists of pairs, and segments of rows with a matrix each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ufuse as uf
from contraction_cases import Array, dtype_of, product, same, small, spread

DTYPES = [
    "float32", "float64", "complex64", "complex128", "int8", "int64", "bool", "float16", "bfloat16",
]  # fmt: skip
each_dtype = pytest.mark.parametrize("name", DTYPES)


@each_dtype
def test_pairs_of_any_shapes(name: str, any_tier: str) -> None:
    rng = np.random.default_rng(1)
    dtype = dtype_of(name)
    shapes = [(1, 1, 1), (5, 7, 3), (40, 33, 20), (0, 3, 4), (3, 0, 4), (3, 4, 0), (130, 60, 70)]
    a = [small(rng, (m, k), dtype) for m, n, k in shapes]
    b = [small(rng, (k, n), dtype) for m, n, k in shapes]
    a[1], b[2] = spread(a[1]), np.asfortranarray(b[2])
    want = [product(x, y) for x, y in zip(a, b, strict=True)]
    for got, exact in zip(uf.grouped_matmul(a, b), want, strict=True):
        same(got, exact)
    out = [spread(np.zeros_like(x)) if i % 2 else np.zeros_like(x) for i, x in enumerate(want)]
    found = uf.grouped_matmul(a, b, out=out)
    for result, target, exact in zip(found, out, want, strict=True):
        assert result is target
        same(result, exact)


def test_the_bits_are_matmuls(threads: int) -> None:
    """Many small ones on all threads at once; a large one among them; one after the other."""
    rng = np.random.default_rng(2)
    for sizes in (
        [(20, 20, 20)] * 300,
        [(20, 20, 20)] * 30 + [(300, 300, 300)],
        [(200, 150, 600)] * 2,
    ):
        a = [rng.normal(size=(m, k)) for m, n, k in sizes]
        b = [rng.normal(size=(k, n)) for m, n, k in sizes]
        for got, x, y in zip(uf.grouped_matmul(a, b), a, b, strict=True):
            assert got.tobytes() == uf.matmul(x, y).tobytes()


def test_mixed_pairs() -> None:
    """Dtypes of each pair, lists, scalars' kinds that others multiply, and outputs that overlap."""
    a: list[Any] = [np.ones((2, 3)), np.ones((2, 3), "f4"), [[1, 2]], np.ones((2, 2), object)]
    b: list[Any] = [
        np.ones((3, 2), "f4"),
        np.ones((3, 2), "f4"),
        [[1], [2]],
        np.ones((2, 2), object),
    ]
    for got, x, y in zip(uf.grouped_matmul(a, b), a, b, strict=True):
        want = np.matmul(x, y)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
    x, y = np.arange(9.0).reshape(3, 3), np.eye(3) * 2
    uf.grouped_matmul([x], [y], out=[x])
    np.testing.assert_array_equal(x, np.arange(9.0).reshape(3, 3) * 2)
    assert uf.grouped_matmul([], []) == []
    assert uf.grouped_matmul((x,), (y,))[0].shape == (3, 3)


GROUP_ERRORS: list[tuple[Any, Any, Any, type[Exception], str]] = [
    ([np.eye(2)], [], None, ValueError, "as many matrices in each list, got 1 and 0"),
    ([np.eye(2)], [np.eye(2)], [], ValueError, "got 1 and 1, and 0 results"),
    (
        [np.eye(2), np.eye(3)],
        [np.eye(2), np.eye(4)],
        None,
        ValueError,
        r"pair 1:.*\(3, 3\) and \(4, 4\)",
    ),
    ([np.ones(3)], [np.eye(3)], None, ValueError, r"pair 0: expected shapes \(m, k\).*\(3,\)"),
    ([np.eye(2)], [np.eye(2)], [np.zeros((2, 3))], ValueError, r"'out\[0\]'"),
    (
        [np.eye(2)],
        [np.eye(2)],
        [np.zeros((2, 2), "i4")],
        TypeError,
        r"'out\[0\]'",
    ),
    ([np.eye(2)] * 2, [np.eye(2)] * 2, [np.zeros((2, 2))] * 2, ValueError, "same one for 0 and 1"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "out", "kind", "message"), GROUP_ERRORS)
def test_bad_groups(a: Any, b: Any, out: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        uf.grouped_matmul(a, b, out=out)


def test_nothing_is_written_where_a_later_pair_is_wrong() -> None:
    out = [np.full((2, 2), 7.0), np.full((2, 2), 7.0)]
    for good in (np.eye(2), np.eye(2, dtype=np.float32)):  # by the core, and by matmul
        with pytest.raises(ValueError, match="pair 1"):
            uf.grouped_matmul([good, np.eye(2)], [np.eye(2), np.eye(3)], out=out)
        assert (out[0] == 7).all()
    frozen = np.zeros((2, 2))
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        uf.grouped_matmul([np.eye(2)], [np.eye(2)], out=[frozen])


# --- segments ---


def by_segments(x: Array, offsets: Any, w: Array) -> Array:
    want = np.zeros((len(x), w.shape[2]), x.dtype)
    for i, matrix in enumerate(w):
        rows = slice(int(offsets[i]), int(offsets[i + 1]))
        want[rows] = product(x[rows], matrix)
    return want


OFFSETS = {
    "whole": [0, 4, 9, 20],
    "empty segments": [0, 0, 0, 7, 7, 20, 20],
    "gaps at both ends": [3, 5, 12],
    "one": [0, 20],
    "one row each": list(range(21)),
    "none": [5],
    "no rows": [9, 9, 9],
}


@pytest.mark.parametrize("n", [1, 2, 4, 5, 33])
@pytest.mark.parametrize("case", OFFSETS)
def test_segments(case: str, n: int, any_tier: str) -> None:
    """Turned layouts (few columns) and others; every dtype; strided; into `out`."""
    rng = np.random.default_rng(3)
    offsets = np.array(OFFSETS[case])
    for name in DTYPES:
        dtype = dtype_of(name)
        x, w = small(rng, (20, 13), dtype), small(rng, (len(offsets) - 1, 13, n), dtype)
        want = by_segments(x, offsets, w)
        same(uf.segment_matmul(x, offsets, w), want, name)
        turned = np.ascontiguousarray(w.transpose(0, 2, 1)).transpose(0, 2, 1)
        same(uf.segment_matmul(spread(x), offsets.tolist(), turned), want, name)
        out = spread(np.full((20, n), 1, dtype))
        assert uf.segment_matmul(x, offsets, w, out=out) is out
        same(out, want, name)
        across = np.full((n, 20), 1, dtype).T
        uf.segment_matmul(np.asfortranarray(x), offsets.astype(np.uint8), w, out=across)
        same(across, want, name)


def test_segments_have_matmuls_bits(threads: int) -> None:
    """A large one among small ones, and many of a few rows."""
    rng = np.random.default_rng(4)
    for offsets in ([0, 3, 700, 703, 710], list(range(0, 1001, 4)), [0, 400, 800]):
        for n in (1, 3, 40):
            x = rng.normal(size=(offsets[-1], 60)).astype(np.float32)
            w = rng.normal(size=(len(offsets) - 1, 60, n)).astype(np.float32)
            got = uf.segment_matmul(x, offsets, w)
            for i in range(len(w)):
                rows = slice(offsets[i], offsets[i + 1])
                assert got[rows].tobytes() == uf.matmul(x[rows], w[i]).tobytes()


def test_segments_into_what_they_read(any_tier: str) -> None:
    rng = np.random.default_rng(5)
    x, w = small(rng, (12, 6), np.float64), small(rng, (2, 6, 6), np.float64)
    want = by_segments(x, [1, 5, 11], w)
    y = x.copy()
    uf.segment_matmul(y, [1, 5, 11], w, out=y)
    same(y, want)
    matrices = w.copy()
    out = matrices.reshape(12, 6)
    uf.segment_matmul(x, [1, 5, 11], matrices, out=out)
    same(out, want)


def test_segments_without_rows_or_terms() -> None:
    assert uf.segment_matmul(np.ones((0, 3)), [0, 0], np.ones((1, 3, 4))).shape == (0, 4)
    same(uf.segment_matmul(np.ones((2, 0)), [0, 2], np.ones((1, 0, 3))), np.zeros((2, 3)))
    same(uf.segment_matmul(np.ones((2, 3)), [0, 2], np.ones((1, 3, 0))), np.zeros((2, 0)))
    swapped = np.ones((2, 3), ">f8")
    got = uf.segment_matmul(swapped, [0, 2], np.ones((1, 3, 1), ">f8"))
    np.testing.assert_array_equal(got, np.full((2, 1), 3))


X, W = np.ones((6, 3)), np.ones((2, 3, 4))
SEGMENT_ERRORS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "a vector": ({"x": np.ones(3)}, ValueError, r"x of shape \(rows, k\).*\(3,\)"),
    "one matrix": ({"w": np.ones((3, 4))}, ValueError, r"w of shape \(segments, k, n\)"),
    "k": ({"w": np.ones((2, 5, 4))}, ValueError, r"\(6, 3\) and \(2, 5, 4\)"),
    "too few": ({"offsets": [0, 6]}, ValueError, r"'offsets': expected 3 integers.*\(2,\)"),
    "floats": ({"offsets": [0.0, 3.0, 6.0]}, ValueError, "'offsets'.*float64"),
    "falling": ({"offsets": [0, 4, 2]}, ValueError, r"'offsets': expected rising.*\[0, 4, 2\]"),
    "negative": ({"offsets": [-1, 4, 6]}, ValueError, "'offsets'.*within 6 rows"),
    "beyond": ({"offsets": [0, 4, 7]}, ValueError, "'offsets'.*within 6 rows"),
    "wrapping": ({"offsets": np.array([0, 4, 2**63], np.uint64)}, ValueError, "'offsets'"),
    "dtype": ({"w": np.ones((2, 3, 4), "f4")}, TypeError, "'w'.*float64, got float32"),
    "out shape": ({"out": np.zeros((6, 3))}, ValueError, r"'out'.*\(6, 4\).*\(6, 3\)"),
    "out dtype": ({"out": np.zeros((6, 4), "f4")}, TypeError, "'out'.*float64.*float32"),
}


@pytest.mark.parametrize("case", SEGMENT_ERRORS)
def test_bad_segments(case: str) -> None:
    change, kind, message = SEGMENT_ERRORS[case]
    call: dict[str, Any] = {"x": X, "offsets": [0, 4, 6], "w": W, **change}
    with pytest.raises(kind, match=message):
        uf.segment_matmul(**call)


def test_a_read_only_out_is_refused() -> None:
    frozen = np.full((6, 4), 7.0)
    frozen.flags.writeable = False
    for offsets in ([0, 4, 6], [2, 4, 5]):
        with pytest.raises(ValueError, match="read-only"):
            uf.segment_matmul(X, offsets, W, out=frozen)
    assert (frozen == 7).all()


@given(st.lists(st.integers(0, 30), min_size=1, max_size=9), st.integers(1, 6), st.integers(0, 20))
def test_any_segments(cuts: list[int], n: int, k: int) -> None:
    rng = np.random.default_rng(6)
    offsets = sorted(cuts)
    x, w = small(rng, (30, k), np.float64), small(rng, (len(offsets) - 1, k, n), np.float64)
    same(uf.segment_matmul(x, offsets, w), by_segments(x, offsets, w))
