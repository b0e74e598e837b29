"""Many products in one call: lists of pairs, and segments of rows with a matrix each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import executors
from ..interop import accepts_buffers, as_output, asarray, wrap_like
from .dtypes import check_numbers, common_dtype, is_ours
from .options import read_list
from .outputs import check_out, given_back, new_or_checked, unshared
from .pairs import Pair, Product, prepare
from .subscripts import Sizes
from .summation import contract

Array = NDArray[Any]

_GROUPED, _SEGMENT = "ufuse.grouped_matmul", "ufuse.segment_matmul"
_MATRICES = "ij,jk->ik"


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def grouped_matmul(
    a: Sequence[ArrayLike], b: Sequence[ArrayLike], *, out: Sequence[Array] | None = None
) -> list[Any]:
    """Multiply pairs of matrices of any shapes, in one call.

    Parameters
    ----------
    a, b : sequence of array_like, shapes (m, k) and (k, n)
        As many of each; sizes may differ from pair to pair.
    out : sequence of ndarray, shapes (m, n), optional
        Written to and returned. None may overlap an operand, or another of them: only that no
        array is given twice is looked at.

    Returns
    -------
    list of ndarray
        ``matmul(x, y)`` for each pair.

    Raises
    ------
    ValueError
        If there are not as many, or shapes disagree: the pair is named.
    TypeError
        If an array of `out` has another dtype than its result.

    Notes
    -----
    Small products run on one thread each, all threads at once; large ones one after the other on
    all threads. The bits are `matmul`'s.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.grouped_matmul([np.eye(2), np.ones((1, 3))], [np.eye(2), np.ones((3, 1))])[1]
    array([[3.]])
    """
    a, b = read_list(_GROUPED, "a", a), read_list(_GROUPED, "b", b)
    out = None if out is None else read_list(_GROUPED, "out", out)
    if len(a) != len(b) or (out is not None and len(out) != len(a)):
        raise ValueError(
            f"{_GROUPED}: expected as many matrices in each list, got {len(a)} and "
            f"{len(b)}{'' if out is None else f', and {len(out)} results'}"
        )
    results: list[Any] = []
    prepared: dict[Any, Product] = {}
    calls: list[tuple[Product, list[int]]] = []
    kept: list[Any] = []
    given: dict[int, int] = {}  # results by identity
    others: list[int] = []  # pairs that the core does not multiply as they are
    for number, pair in enumerate(zip(a, b, strict=True)):
        x, y = (
            asarray(array, function=_GROUPED, argument=f"{name}[{number}]")
            for array, name in zip(pair, "ab", strict=True)
        )
        if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[0]:
            raise ValueError(
                f"{_GROUPED}: pair {number}: expected shapes (m, k) and (k, n), got "
                f"{x.shape} and {y.shape}"
            )
        target = None if out is None else out[number]
        shape, dtype = (x.shape[0], y.shape[1]), common_dtype(_GROUPED, (x, y))
        check_numbers(_GROUPED, dtype)
        if target is not None:
            name = f"out[{number}]"
            check_out(
                _GROUPED, as_output(target, function=_GROUPED, argument=name), shape, dtype,
                argument=name,
            )  # fmt: skip
            if id(target) in given:
                raise ValueError(
                    f"{_GROUPED}: argument 'out': expected an array for each product, got the same "
                    f"one for {given[id(target)]} and {number}"
                )
            given[id(target)] = number
        if not _is_plain(x, y, target):
            others.append(number)
            results.append(target)
            continue
        result = executors.empty(shape, dtype) if target is None else target
        key = (x.shape, y.shape, x.strides, y.strides, result.strides, x.dtype)
        product = prepared.get(key)
        if product is None:
            product = prepared[key] = _product(x, y, result)
        calls.append((product, [_address(z) for z in (x, y, result)]))
        kept.append((x, y))
        results.append(wrap_like(result, *pair) if target is None else target)
    for number in others:
        pair = (a[number], b[number])
        results[number] = contract(_GROUPED, _MATRICES, pair, out=results[number])
    _run(calls, [-1] * len(calls))
    return results


def _is_plain(x: Array, y: Array, target: Array | None) -> bool:
    """Whether the core multiplies these as they are."""
    return (
        executors.native is not None
        and x.dtype == y.dtype
        and x.dtype.isnative
        and is_ours(x.dtype)
        and x.dtype.kind in "fc"
        and (target is None or (type(target) is np.ndarray and target.dtype.isnative))
        and not (
            target is not None and (executors.overlap(x, target) or executors.overlap(y, target))
        )
    )


def _product(x: Array, y: Array, out: Array) -> Product:
    sizes: Sizes = {"i": x.shape[0], "j": x.shape[1], "k": y.shape[1]}
    pair = Pair(("i", "j"), ("j", "k"), ("i", "k"), sizes, x.dtype)
    product = prepare(pair, x, y, out, always_product=True)
    assert isinstance(product, Product)
    return product


def _run(calls: Sequence[tuple[Product, list[int]]], rows: Sequence[int]) -> None:
    if calls:
        executors.native.run_contractions(
            [product.core for product, _ in calls], [addresses for _, addresses in calls], rows
        )


@accepts_buffers("x", "w")
def segment_matmul(
    x: ArrayLike, offsets: ArrayLike, w: ArrayLike, *, out: Array | None = None
) -> Array:
    """Multiply segments of rows with a matrix each: the experts of a mixture, types of nodes.

    Parameters
    ----------
    x : array_like, shape (rows, k)
        Of any strides.
    offsets : array_like of int, shape (segments + 1,)
        Where each segment begins; the last one is where the last segment ends. Rising; rows before
        the first and after the last offset have no matrix, and are 0 in the result.
    w : array_like, shape (segments, k, n)
        Of the dtype of `x`.
    out : ndarray, shape (rows, n), optional
        Written to and returned. It may overlap the other arguments.

    Returns
    -------
    ndarray, shape (rows, n)
        ``x[offsets[i]:offsets[i + 1]] @ w[i]``, one below the other.

    Raises
    ------
    ValueError
        If shapes disagree, or offsets fall or lie outside of the rows.
    TypeError
        If `w` or `out` has another dtype than `x`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> x, w = np.ones((3, 2)), np.float64([[[1.0], [1.0]], [[5.0], [5.0]]])
    >>> uf.segment_matmul(x, [0, 1, 3], w)
    array([[ 2.],
           [10.],
           [10.]])
    """
    rows, ends, weights = (
        asarray(given, function=_SEGMENT, argument=name)
        for given, name in ((x, "x"), (offsets, "offsets"), (w, "w"))
    )
    if rows.ndim != 2 or weights.ndim != 3 or rows.shape[1] != weights.shape[1]:
        raise ValueError(
            f"{_SEGMENT}: expected x of shape (rows, k) and w of shape (segments, k, n), "
            f"got {rows.shape} and {weights.shape}"
        )
    if ends.shape != (len(weights) + 1,) or ends.dtype.kind not in "iu":
        raise ValueError(
            f"{_SEGMENT}: argument 'offsets': expected {len(weights) + 1} integers, one "
            f"more than matrices, got shape {ends.shape} and dtype {ends.dtype}"
        )
    dtype = rows.dtype.newbyteorder("=")
    check_numbers(_SEGMENT, dtype)
    if weights.dtype.newbyteorder("=") != dtype:
        raise TypeError(
            f"{_SEGMENT}: argument 'w': expected the dtype of x, {rows.dtype}, got {weights.dtype}"
        )
    if (ends[1:] < ends[:-1]).any() or ends[0] < 0 or ends[-1] > len(rows):
        raise ValueError(
            f"{_SEGMENT}: argument 'offsets': expected rising places within "
            f"{len(rows)} rows, got {ends.tolist()[:8]}{'...' if len(ends) > 8 else ''}"
        )
    places = ends.astype(np.int64)
    shape = (rows.shape[0], weights.shape[2])
    result = new_or_checked(_SEGMENT, out, shape, dtype)
    rows, weights = unshared((rows, weights), out)
    result[: places[0]] = 0
    result[places[-1] :] = 0
    if not (_is_plain(rows, weights, None) and len(rows)):
        for i, (first, last) in enumerate(pairwise(places.tolist())):
            contract(_SEGMENT, _MATRICES, (rows[first:last], weights[i]), out=result[first:last])
        return given_back(result, out)
    product = _product(rows, weights[0], result) if len(weights) else None
    calls, counts = [], []
    starts = [_address(z) for z in (rows, weights, result)]
    for i, (first, last) in enumerate(pairwise(places.tolist())):
        if product is not None and last > first:
            moved = (first * rows.strides[0], i * weights.strides[0], first * result.strides[0])
            calls.append((product, [s + m for s, m in zip(starts, moved, strict=True)]))
            counts.append(last - first)
    _run(calls, counts)
    return given_back(result, out)
