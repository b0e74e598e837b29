"""Fast entries of small arrays: they give what the general functions behind them give."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from ufuse import executors
from ufuse.segment.operations import OPERATIONS

pytestmark = pytest.mark.skipif(executors.backend() != "native", reason="fast entries are native")

SIZES = (1, 2, 33, 100, 2100)
DTYPES = ("f4", "f8", "i1", "u2", "i4", "i8", "u8", "?", "f2", ">f8")


def data(size: int, dtype: str, seed: int = 0, kind: str = "normal") -> Any:
    rng = np.random.default_rng([size, seed])
    if np.dtype(dtype).kind in "iu?":
        x = rng.integers(0, 100, size).astype(dtype)
    else:
        x = rng.standard_normal(size).astype(dtype)
    if x.dtype.kind == "f" and kind in ("nan", "inf", "zeros"):
        hostile = {"nan": [np.nan], "inf": [np.inf, -np.inf], "zeros": [0.0, -0.0]}[kind]
        x[::3] = np.resize(hostile, len(x[::3]))
    if kind == "scales" and x.dtype.kind == "f":  # sums of which show their order
        x *= (10.0 ** rng.integers(0, 8, size)).astype(dtype)
    if kind == "ties":
        x = np.round(x)
    return x


def bits(result: Any) -> bytes:
    """Bits of a result, those of any NaN being the same."""
    array = np.array(result)
    if array.dtype.kind == "f":
        array[np.isnan(array)] = np.nan
    return array.tobytes()


def outcome(function: Any, *args: Any, **kwargs: Any) -> Any:
    """What a call gives, warns of or raises, to be compared."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            return type(error), str(error)
    parts = result if isinstance(result, tuple) else (result,)
    return (
        type(result),
        [(type(p), p.dtype.str, p.shape, bits(p)) for p in parts],
        sorted((w.category.__name__, str(w.message)) for w in said),
    )


def same(function: Any, *args: Any, **kwargs: Any) -> None:
    expected = outcome(function.__wrapped__, *args, **kwargs)
    assert outcome(function, *args, **kwargs) == expected, (args[1:], kwargs)


def arrays(dtype: str) -> Any:
    for size in SIZES:
        for kind in ("normal", "nan", "inf", "zeros"):
            x = data(size, dtype, kind=kind)
            yield x
            if np.dtype(dtype).kind != "f":
                break
        yield np.repeat(x, 2)[::2]
        yield data(size, dtype)[::-1]
    x = data(240, dtype)
    yield x.reshape(4, 60)
    yield x.reshape(60, 4).T
    yield x.reshape(3, 4, 20)[:, ::2, ::-1]
    yield x[:0]
    yield x[:0].reshape(0, 3)
    yield x[0]


REDUCTIONS = [
    (uf.minmax, ()),
    (uf.average, ()),
    (uf.moments, ()),
    (uf.moments, (2,)),
    (uf.reduce, (("mean", "std"),)),
    (uf.reduce, (["min", "argmax", "nansum"],)),
    (uf.reduce, ("ptp",)),
    (uf.norm, ()),
    *((uf.norm, (order,)) for order in (None, 0, 1, 2, 2.0, np.inf, -np.inf, 3, 1.5)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("function", "first"), REDUCTIONS)
def test_named_tuples_and_norms_are_those_of_the_general_function(
    function: Any, first: Any, dtype: str
) -> None:
    for x in arrays(dtype):
        same(function, x, *first)
        for axis in range(-x.ndim, x.ndim):
            same(function, x, *first, axis=axis)
            same(function, x, *first, axis=axis, keepdims=True)
        if function is not uf.norm and function is not uf.moments:
            same(function, x, *first, None)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [uf.var, uf.std, uf.nanvar, uf.nanstd])
def test_ddof_is_that_of_the_general_function(function: Any, dtype: str) -> None:
    for x in arrays(dtype):
        for ddof in (0, 1, 1.5, x.size, 10**20, -1, np.nan, True, np.int64(1), "1", None):
            same(function, x, ddof=ddof)
            if x.ndim > 1:
                same(function, x, axis=1, ddof=ddof, keepdims=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [uf.cumsum, uf.cumprod, uf.nancumsum, uf.nancumprod])
def test_scans_are_those_of_the_general_function(function: Any, dtype: str) -> None:
    for x in arrays(dtype):
        same(function, x)
        for axis in (None, 0, 1, -1, 7, "0"):
            same(function, x, axis)
            same(function, x, axis=axis)


QUERIES: list[Any] = [
    0.5, 0.3, 0.0, 1.0, 0, 1, 50, 90, 12.5, 101, -1, np.nan, True, "0.5", np.float64(0.25),
    [0.25, 0.5, 0.75], (5, 95), [0, 1], [0, 0.5], [], [0.5] * 40, [0.1, 2.0, 200], [[0.5]],
    np.linspace(0, 1, 5), [True, 0.5],
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [uf.quantile, uf.percentile, uf.nanquantile, uf.nanpercentile])
def test_quantiles_are_those_of_the_general_function(function: Any, dtype: str) -> None:
    for x in arrays(dtype):
        if x.size > 1025:
            continue
        for q in QUERIES if x.shape in ((100,), (4, 60)) else QUERIES[::4]:
            same(function, x, q)
            if x.ndim > 1:
                same(function, x, q, axis=1)
                same(function, x, q, 0, keepdims=True)


@pytest.mark.parametrize("kind", ["normal", "ties", "nan", "inf", "zeros"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u8", "i1"])
def test_every_rank_of_lanes_of_every_length(dtype: str, kind: str) -> None:
    """Samples that miss are looked at again: whatever the rank, the range and the order."""
    for size in (1, 2, 31, 32, 33, 34, 47, 48, 64, 96, 97, 129, 300, 1000, 9000):
        for order in ("as it is", "sorted", "reversed", "organ pipe"):
            x = data(size, dtype, kind=kind)
            if order != "as it is":
                x = np.sort(x)
            if order == "reversed":
                x = x[::-1].copy()
            if order == "organ pipe":
                x = np.concatenate([x[::2], x[1::2][::-1]])
            expected = np.sort(x[x == x])
            for rank in {0, 1, size // 3, size // 2, (size + 1) // 2, size - 2, size - 1}:
                if not 0 <= rank < expected.size:
                    continue
                q = rank / max(expected.size - 1, 1)
                found = uf.nanquantile(x, q)
                near = expected[max(rank - 1, 0) : rank + 2].astype(np.float64)
                # Rounding of q may move the place by less than one element.
                assert near[0] <= found <= near[-1]
            if expected.size and expected.size % 2:
                assert uf.nanmedian(x) == expected[expected.size // 2]


BINS: list[Any] = [1, 2, 10, 256, 1000, 0, -1, np.int64(5), 3.0, "auto", [0, 1, 2], True]
RANGES: list[Any] = [
    None, (-1, 2), (0.0, 50.0), [-2.5, 2.5], (1, 1), (2, 1), (0, np.nan), (0, np.inf), (0, 1, 2),
    (np.float64(-1), np.float64(1)), (np.float32(-1), np.float32(1)), (-1e300, 1e300), "ab",
    (0, 5e-324), (1, 1.0000000000000002), (10**30, 10**31),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_histograms_are_those_of_the_general_function(dtype: str) -> None:
    for x in arrays(dtype):
        for bins in BINS if x.shape in ((100,), (4, 60)) else BINS[:5:2]:
            same(uf.histogram, x, bins)
            if x.size == 100 and bins in (2, 256):
                for ends in RANGES:
                    same(uf.histogram, x, bins, ends)
                    same(uf.histogram, x, bins=bins, range=ends, density=None)
        same(uf.histogram, x, density=True)
        same(uf.histogram, x, weights=np.ones(x.shape), axis=None)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8"])
def test_histograms_of_small_arrays_are_numpys(dtype: str) -> None:
    rng = np.random.default_rng(5)
    for trial in range(400):
        size, bins = int(rng.integers(1, 300)), int(rng.integers(1, 300))
        x = (rng.standard_normal(size) * 10.0 ** rng.integers(-3, 4) + trial).astype(dtype)
        if trial % 3 == 0:  # on the edges
            x = np.round(x * 2) / 2 if x.dtype.kind == "f" else x
        try:
            counts, edges = np.histogram(x, bins)
        except ValueError:
            with pytest.raises(ValueError, match="Too many bins"):
                uf.histogram(x, bins)
            continue
        found, ends = uf.histogram(x, bins)
        assert found.dtype == counts.dtype
        np.testing.assert_array_equal(found, counts)
        assert ends.dtype == edges.dtype
        np.testing.assert_array_equal(ends, edges)


@pytest.mark.parametrize("dtype", DTYPES)
def test_histograms_of_given_edges_are_those_of_the_general_function(dtype: str) -> None:
    nan, inf = np.nan, np.inf
    edges: list[Any] = [
        np.linspace(-2, 60, 9), np.array([-1.0, 0.0, 0.0, 0.5, 50.0]), [0.0, 1.0, 2.0], [0, 1.0, 2],
        [-inf, 0.0, inf], np.array([0.0, nan]), [nan, nan], [1.0, 0.0], np.array([1.0]), [],
        (0.0, 1.0), np.arange(5), np.linspace(0, 1, 5).astype("f4"),
        np.linspace(0, 1, 5).astype(">f8"),
        np.linspace(0, 9, 10)[::2], [[0.0, 1.0]], np.array([-0.0, 1e-300, 5.0]), [3.0, 3.0],
    ]  # fmt: skip
    for x in arrays(dtype):
        for bins in edges if x.size in (100, 240) else edges[:5]:
            same(uf.histogram, x, bins)
            same(uf.histogram, x, bins, (0, 1))
    x = data(50, "f8")
    assert uf.histogram(x, edges[0])[1] is edges[0]


def test_integers_beyond_float64_are_left_to_the_general_histogram() -> None:
    for x in (
        np.array([2**53, 2**53 + 1, 2**53 + 3]),
        np.array([-(2**63), 2**63 - 1]),
        np.array([0, 2**64 - 1], np.uint64),
    ):
        same(uf.histogram, x, 4)
        same(uf.histogram, x, 4, (0, 2**60))


@pytest.mark.parametrize("dtype", DTYPES)
def test_bincounts_are_those_of_the_general_function(dtype: str) -> None:
    for x in arrays(dtype):
        weights = np.linspace(0.1, 7, max(x.size, 1)).reshape(-1)[: x.size]
        for least in (0, 200, -1, 2.0, None, np.int64(3), 70_000):
            same(uf.bincount, x, None, least)
            same(uf.bincount, x, minlength=least)
        same(uf.bincount, x, weights)
        same(uf.bincount, x, weights=np.repeat(weights, 2)[::2], minlength=3)
        same(uf.bincount, x, weights[:-1])
        same(uf.bincount, x, weights.astype("f4"))
        same(uf.bincount, x, weights.astype(">f8"))
        same(uf.bincount, x, list(weights))
    same(uf.bincount, np.array([1, -1]))
    same(uf.bincount, np.array([1, 10**5]), None)
    same(uf.bincount, np.array([2**63], np.uint64))


def test_names_that_are_none_are_refused_as_before() -> None:
    x = data(10, "f8")
    for ops in (("mean", "mean"), ("nothing",), (), [], [["mean"]], 7, None, ("mean", 3)):
        same(uf.reduce, x, ops)
    for order in (0, 5, 2.0, "4", None, True):
        same(uf.moments, x, order)
    same(uf.minmax, x, out=None)
    same(uf.minmax, x, initial=0.0)
    same(uf.minmax, x, where=x > 0, initial=0.0)
    same(uf.reduce, x, ops=("mean",), where=x > 0)
    same(uf.norm, x, [1])
    same(uf.norm, x, np.nan)
    same(uf.average, x, weights=None, returned=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weighted_averages_are_those_of_the_general_function(dtype: str) -> None:
    for x in arrays(dtype):
        shape = np.shape(x)
        for weights in (
            np.ones(shape, dtype), np.full(shape, 0.1), np.zeros(shape, dtype),
            np.ones(np.size(x) + 1, dtype), data(max(np.size(x), 1), dtype)[::-1],
            np.linspace(0.0, 2.0, np.size(x)).astype(dtype).reshape(shape),
            [1.0] * np.size(x), "abc",
        ):  # fmt: skip
            same(uf.average, x, weights=weights)
            for axis in (None, 0, -1, 1):
                same(uf.average, x, axis, weights)
            same(uf.average, x, None, weights, True)
            same(uf.average, x, axis=0, weights=weights, returned=False)
            same(uf.average, x, None, weights, keepdims=True)


def test_plans_are_kept_in_bounds() -> None:
    """Each tuple of names has a plan of its own; they may be many."""
    names = ("sum", "prod", "mean", "var", "std", "min", "max", "ptp", "norm", "any")
    x = data(20, "f8")
    for i in range(1, 1 << len(names)):
        ops = tuple(name for k, name in enumerate(names) if i >> k & 1)
        assert uf.reduce(x, ops)._fields == ops


def test_subclasses_lists_and_masks_are_read_as_before() -> None:
    class Mine(np.ndarray):
        pass

    x = data(12, "f8")
    for given in (list(x), x.view(Mine), np.ma.masked_array(x, x > 0)):
        for function, rest in (*REDUCTIONS[:6], (uf.cumsum, ()), (uf.histogram, (4,))):
            same(function, given, *rest)
        same(uf.median, given)
        same(uf.percentile, given, [5, 95])


@pytest.mark.parametrize("dtype", DTYPES)
def test_topk_is_that_of_the_general_function(dtype: str) -> None:
    for x in arrays(dtype):
        for k in (0, 1, 5, x.shape[-1] if x.ndim else 1, 10**6, -1, 2.0, True, None):
            same(uf.topk, x, k)
            same(uf.topk, x, k, 0, False)
            same(uf.topk, x, k=k, axis=-1, largest=False)
            same(uf.topk, x, k, axis=1)
            same(uf.topk, x, k, largest=0)


@pytest.mark.parametrize(
    "op", ["sum", "mean", "var", "std", "min", "max", "argmin", "median", "rank"]
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_moving_windows_are_those_of_the_general_function(dtype: str, op: str) -> None:
    for x in arrays(dtype):
        if x.size > 300:
            continue
        for window in (1, 4, 33, 0, -1, 1000, 2.0, True):
            same(uf.move_reduce, x, window, op)
            same(uf.move_reduce, x, window, op, 1)
            same(uf.move_reduce, x, window, op, min_count=2, axis=0, ddof=1)
            same(uf.move_reduce, x, window, op, None, 1, ddof=0.5)
        for least in (0, 5, 2.0, True, "1"):
            same(uf.move_reduce, x, 4, op, least)
        same(uf.move_reduce, x, 3, op, axis=5)
        same(uf.move_reduce, x, 3, op, ddof="1")
        same(uf.move_reduce, x, 3, op, ddof=np.nan)
    same(uf.move_reduce, x, 3, "mode")
    same(uf.move_reduce, x, 3, 7)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "u2", "i4", "u8", "?"])
@pytest.mark.parametrize("name", ["sum", "mean", "std", "min", "ptp", "any", "argmax", "nanmean"])
def test_rows_and_columns_of_small_matrices(name: str, dtype: str) -> None:
    """They are gathered, and folded as rows, which no bit may show."""
    function = getattr(uf, name)
    for rows, columns in (
        (1, 1),
        (1, 9),
        (9, 1),
        (10, 10),
        (3, 300),
        (300, 3),
        (64, 16),
        (70, 70),
        (7, 127),
        (7, 128),
        (1, 900),
        (900, 1),
        (8, 129),
    ):
        for kind in ("normal", "scales", "nan", "zeros"):
            x = data(rows * columns, dtype, kind=kind).reshape(rows, columns)
            wide = np.repeat(np.repeat(x, 2, 0), 3, 1)
            for view in (x, x.T, x[::-1], x[:, ::-1], wide[::2, ::3], np.asfortranarray(x)):
                for axis in (None, 0, 1, -1, -2):
                    same(function, view, axis)
                    same(function, view, axis, keepdims=True)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i8", "u8"])
@pytest.mark.parametrize("values", [1, 2, 3, 5, 9, 40])
def test_medians_of_few_different_values(values: int, dtype: str) -> None:
    """What repeats may be most of a lane, and the two in the middle may differ."""
    rng = np.random.default_rng(values)
    for size in (10, 34, 100, 101, 1000, 1001, 9000, 9001, 40_000):
        for share in (0.5, 0.9, 0.999):
            x = np.where(rng.random(size) < share, 3, rng.integers(0, values, size)).astype(dtype)
            half = np.repeat(np.arange(values + 1), size // (values + 1) + 1)[:size].astype(dtype)
            for y in (x, half, rng.permutation(half), half[::-1]):
                assert uf.median(y) == np.median(y)
                for q in (0.0, 0.1, 0.25, 0.37, 0.9, 1.0):
                    assert uf.quantile(y, q) == np.quantile(y, q)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPERATIONS)
def test_segments_are_those_of_the_general_function(op: str, dtype: str) -> None:
    for x in arrays(dtype):
        if x.ndim == 0:
            continue
        for axis in range(-x.ndim, x.ndim):
            length = x.shape[axis]
            cuts = np.linspace(0, length, 5).astype(np.int64)
            for starts, stops in (
                (cuts[:-1], None),
                (cuts[:-1], cuts[1:]),
                (np.array([0, length // 2, length // 2]), None),  # the second is empty
                (np.array([length // 3, 0]), np.array([length, length // 2])),
                (np.array([0, length + 1]), None),
                (np.array([-1]), None),
                (np.array([0]), np.array([length + 1])),
                (np.array([], np.int64), None),
                (cuts[::2], None),
                (cuts.astype(np.int32), None),
                ([0], None),
            ):
                same(uf.segment_reduce, x, starts, stops, op, axis=axis)
    same(uf.segment_reduce, data(30, dtype), np.array([0, 9]), op=op, ddof=1)
    same(uf.segment_reduce, data(30, dtype), np.array([0, 9]), op=op, initial=3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPERATIONS)
def test_groups_are_those_of_the_general_function(op: str, dtype: str) -> None:
    for x in arrays(dtype):
        if x.ndim == 0:
            continue
        for axis in range(-x.ndim, x.ndim):
            labels = np.random.default_rng(x.size).integers(0, 4, x.shape[axis])
            for of, count in (
                (labels, None),
                (labels, 4),
                (labels, 7),  # some are empty
                (labels, 2),
                (labels.astype(np.uint8), None),
                (labels.astype(np.int32)[::-1], None),
                (labels - 1, None),
                (labels + (1 << 40), None),
                (labels[1:], None),
                (labels, 0),
                (labels, -1),
                (labels, 2.0),
                (labels.astype(float), None),
                (list(labels), 4),
            ):
                same(uf.group_reduce, x, of, op, count, axis=axis)
    same(uf.group_reduce, data(30, dtype), np.arange(30) % 3, op=op, num_groups=3)
    same(uf.group_reduce, data(30, dtype), np.arange(30) % 3, op, 3, initial=2)


def test_parts_of_no_operation_are_refused_as_before() -> None:
    x, starts = data(10, "f4"), np.array([0, 5])
    for function in (uf.segment_reduce, uf.group_reduce):
        same(function, x, starts, op="nothing")
        same(function, x, starts, op=3)
        same(function, x, starts, axis=1)
        same(function, x, starts, axis="0")
        same(function, x, starts, unknown=1)
        same(function, x)
    same(uf.segment_reduce, x, starts, starts[:1])
    same(uf.segment_reduce, x, starts, offsets=starts)
