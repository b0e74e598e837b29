"""segment_reduce and group_reduce: each part is what the function of that name gives for it."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ufuse as uf

SUMS = ("sum", "prod", "mean", "var", "std", "nansum", "nanprod", "nanmean", "nanvar", "nanstd")
EXTREMES = ("min", "max", "ptp", "argmin", "argmax", "nanmin", "nanmax", "nanargmin", "nanargmax")
COUNTS = ("any", "all", "count_nonzero")
OPS = (*SUMS, *EXTREMES, *COUNTS, "norm")
NO_IDENTITY = EXTREMES
DTYPES = ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "g")

STARTS = np.array([0, 5, 3, 40, 39, 0, 12])
STOPS = np.array([5, 6, 20, 41, 41, 41, 29])


def sample(dtype: Any, shape: tuple[int, ...] = (3, 41, 20)) -> Any:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 2 if dtype == "?" else 100, shape) - (
        50 if np.dtype(dtype).kind in "ifc" else 0
    )
    x = x.astype(dtype)
    if x.dtype.kind in "fc":
        x = (x / 7).astype(dtype)
    return x


def layouts(x: Any) -> dict[str, Any]:
    """The same values in other memory."""
    swapped = x.astype(x.dtype.newbyteorder())
    stepped = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
    stepped[tuple(slice(None, None, 2) for _ in x.shape)] = x
    flipped = np.ascontiguousarray(x[tuple(slice(None, None, -1) for _ in x.shape)])
    memory = np.zeros(x.nbytes + 1, np.uint8)[1:]
    unaligned = memory.view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    return {
        "C": x,
        "F": np.asfortranarray(x),
        "middle": np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0),
        "stepped": stepped[tuple(slice(None, None, 2) for _ in x.shape)],
        "reversed": flipped[tuple(slice(None, None, -1) for _ in x.shape)],
        "swapped": swapped,
        "unaligned": unaligned,
    }


def alone(op: str, piece: Any, axis: int) -> Any:
    """Ours, of one array."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return getattr(uf, op)(piece, axis=axis)


def part(x: Any, axis: int, index: Any) -> Any:
    return x[(*(slice(None),) * axis, index)]


def expected(op: str, x: Any, axis: int) -> Any:
    slices = zip(STARTS, STOPS, strict=True)
    return np.stack([alone(op, part(x, axis, slice(a, b)), axis) for a, b in slices], axis)


def same_bits(a: Any, b: Any) -> None:
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    np.testing.assert_array_equal(a, b)  # any NaN is any other
    if a.dtype.kind == "f":
        numbers = ~np.isnan(a)
        np.testing.assert_array_equal(np.signbit(a[numbers]), np.signbit(b[numbers]))


def takes(op: str, dtype: Any) -> bool:
    kind = np.dtype(dtype).kind
    if kind == "c":
        return op in ("sum", "prod", "mean", "var", "nansum", "any", "all", "count_nonzero", "norm")
    return not (op == "ptp" and kind == "b")


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_segments_are_slices(dtype: str, op: str) -> None:
    if not takes(op, dtype):
        pytest.skip("there is no such operation")
    axis = 1
    x = sample(dtype)
    got = uf.segment_reduce(x, STARTS, STOPS, op, axis=axis)
    want = expected(op, x, axis)
    assert got.dtype == want.dtype
    same_bits(got, want)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("op", ["sum", "var", "max", "argmin", "nanmean", "ptp", "all"])
def test_segments_in_any_memory(op: str, axis: int) -> None:
    shape = [3, 4, 5]
    shape[axis] = 41
    x = sample("f4", tuple(shape))
    x[x > 6] = np.nan
    want = expected(op, x, axis % 3)
    for layout in layouts(x).values():
        same_bits(uf.segment_reduce(layout, STARTS, STOPS, op, axis=axis), want)
    wide = sample("i2", (41, 300))
    same_bits(uf.segment_reduce(wide, STARTS, STOPS, op, axis=0), expected(op, wide, 0))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn"])
@pytest.mark.parametrize(
    "op", ["sum", "mean", "std", "min", "argmax", "nansum", "nanmax", "any", "norm"]
)
def test_narrow_floats(name: str, op: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(np.float16 if name == "float16" else getattr(ml_dtypes, name))
    labels = np.random.default_rng(0).integers(0, 4, 41)
    for wide in (sample("f4", (41,)), sample("f4", (41, 70)), sample("f4", (70, 41)).T):
        x = wide.astype(dtype)
        got, want = uf.segment_reduce(x, STARTS, STOPS, op), expected(op, x, 0)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got.astype("f8"), want.astype("f8"))
        groups = uf.group_reduce(x, labels, op, 4)
        for g in range(4):
            one = alone(op, x[labels == g], 0)
            if op == "argmax":
                one = np.flatnonzero(labels == g)[one]
            assert groups.dtype == want.dtype
            np.testing.assert_allclose(
                groups[g].astype("f8"), one.astype("f8"), rtol=0.13 if "8" in name else 0.01
            )


def test_broadcast_axes() -> None:
    x = np.broadcast_to(sample("f8", (41, 1)), (41, 9))
    y = np.broadcast_to(sample("f8", (1, 9)), (41, 9))
    for array in (x, y):
        for axis in (0, 1):
            starts, stops = STARTS % array.shape[axis], STOPS % (array.shape[axis] + 1)
            starts, stops = np.minimum(starts, stops), np.maximum(starts, stops)
            same_bits(
                uf.segment_reduce(array, starts, stops, axis=axis),
                uf.segment_reduce(array.copy(), starts, stops, axis=axis),
            )
    labels = np.arange(41) % 3
    same_bits(uf.group_reduce(x, labels), uf.group_reduce(x.copy(), labels))


def test_long_segments_and_chunks() -> None:
    # Longer than a chunk of 1024, and than what one task takes.
    rng = np.random.default_rng(1)
    for dtype, n in (("f4", 2_500_000), ("i2", 5_000), ("f8", 5_000)):
        x = (rng.normal(size=n) * 100).astype(dtype)
        starts = np.array([0, 1, 7, 1024, 0, 5, 4999])
        stops = np.array([n, n - 1, 8 + 1024, 3 * 1024, 2048, 4, 5000])
        for op in ("sum", "std", "max", "mean") + (("argmin",) if n == 5_000 else ()):
            ok = stops > starts if op in NO_IDENTITY else np.full(7, True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                got = uf.segment_reduce(x, starts[ok], stops[ok], op)
            slices = zip(starts[ok], stops[ok], strict=True)
            want = [alone(op, x[a : max(a, b)], 0) for a, b in slices]
            same_bits(got, np.array(want))


def test_numpy_25476_empty_and_overlapping() -> None:
    """NumPy PR#25476: reduceat with starts and stops, where each segment is a slice."""
    x = np.arange(8.0)
    # What reduceat gives an element for is a sum of nothing.
    np.testing.assert_array_equal(np.add.reduceat(x, [0, 4, 4]), [6, 4, 22])
    np.testing.assert_array_equal(uf.segment_reduce(x, [0, 4, 4]), [6, 0, 22])
    np.testing.assert_array_equal(uf.segment_reduce(x, [0, 4, 2], [4, 4, 8]), [6, 0, 27])
    np.testing.assert_array_equal(uf.segment_reduce(x, [5, 8, 8], [2, 8, 0]), [0, 0, 0])
    np.testing.assert_array_equal(uf.segment_reduce(x, [3], [3], "prod"), [1])
    np.testing.assert_array_equal(uf.segment_reduce(x, [3, 0], [3, 3], "max", initial=-1), [-1, 2])
    with pytest.raises(ValueError, match="segment 1 is empty, and min has no identity"):
        uf.segment_reduce(x, [0, 3], [1, 3], "min")


@pytest.mark.parametrize("dtype", ["f4", "i4", "f2", "c8"])
def test_empty_parts(dtype: str) -> None:
    x = sample(dtype, (41, 2))
    labels = np.arange(41) % 3 + 1  # none is 0
    zero: dict[str, Any] = {
        "sum": 0,
        "prod": 1,
        "nansum": 0,
        "any": False,
        "all": True,
        "count_nonzero": 0,
        "count": 0,
        "norm": 0,
    }
    for op, value in zero.items():
        for got in (uf.segment_reduce(x, [4, 0], [4, 41], op), uf.group_reduce(x, labels, op, 4)):
            assert np.all(got[0] == value), op
            assert op == "all" or not np.all(got[1] == value), op
    means = {"mean": "Mean of empty slice", "nanmean": "Mean of empty slice"}
    for op, message in {**means, "var": "Degrees of freedom", "nanstd": "Degrees"}.items():
        for call in (
            lambda op=op: uf.segment_reduce(x, [4, 0], [4, 41], op),
            lambda op=op: uf.group_reduce(x, labels, op, 4),
        ):
            if dtype == "c8" and op in ("nanmean", "nanstd"):
                continue
            with pytest.warns(RuntimeWarning, match=message) as caught:
                got = call()
            assert caught[0].filename == __file__
            assert np.isnan(got[0]).all()
            assert not np.isnan(got[1]).any()
    if dtype == "c8":
        return
    for op in NO_IDENTITY:
        out = np.full((2, 2), 7, np.intp if "arg" in op else dtype)
        with pytest.raises(ValueError, match=f"segment 0 is empty, and {op} has no identity"):
            uf.segment_reduce(x, [4, 0], [4, 41], op, out=out)
        assert np.all(out == 7)
        out = np.full((4, 2), 7, np.intp if "arg" in op else dtype)
        with pytest.raises(ValueError, match=f"group 0 is empty, and {op} has no identity"):
            uf.group_reduce(x, labels, op, 4, out=out)
        assert np.all(out == 7)


def test_nothing_at_all() -> None:
    for op in ("sum", "max", "argmin", "mean", "count"):
        assert uf.segment_reduce(np.zeros(5), [], op=op).shape == (0,)
        assert uf.group_reduce(np.zeros((0, 3)), [], op).shape == (0, 3)
        assert uf.segment_reduce(np.zeros((5, 0)), [0, 3], op=op).shape == (2, 0)
        assert uf.group_reduce(np.zeros((2, 0)), [0, 1], op).shape == (2, 0)
    np.testing.assert_array_equal(uf.segment_reduce(np.zeros(0), [0, 0]), [0, 0])
    np.testing.assert_array_equal(uf.group_reduce(np.zeros(0), [], num_groups=2), [0, 0])
    with pytest.raises(ValueError, match="group 0 is empty"):
        uf.group_reduce(np.zeros((0, 3)), [], "max", 2)
    with pytest.raises(ValueError, match="segment 1 is empty"):
        uf.segment_reduce(np.zeros((5, 0)), [0, 5], op="max")


def test_one_element() -> None:
    x = np.array([3.5], np.float32)
    for op in OPS:
        want = np.atleast_1d(alone(op, x, 0))
        same_bits(uf.segment_reduce(x, [0], op=op), want)
        same_bits(uf.group_reduce(x, [0], op), want)


def test_ragged_rows() -> None:
    x = np.arange(12.0)
    offsets = np.array([0, 3, 3, 12], np.int32)
    rows = np.split(x, offsets[1:-1])
    np.testing.assert_array_equal(
        uf.segment_reduce(x, offsets=offsets), [row.sum() for row in rows]
    )
    np.testing.assert_array_equal(
        uf.segment_reduce(x, offsets=offsets), uf.segment_reduce(x, offsets[:-1], offsets[1:])
    )
    assert uf.segment_reduce(x, offsets=[3]).shape == (0,)


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", ">u8"])
def test_integer_dtypes_of_positions(kind: str) -> None:
    x = sample("f4", (41,))
    same_bits(uf.segment_reduce(x, STARTS.astype(kind), STOPS.astype(kind)), expected("sum", x, 0))
    labels = np.arange(41) % 5
    want = uf.group_reduce(x, labels)
    same_bits(uf.group_reduce(x, labels.astype(kind)), want)
    spread = np.zeros(82, kind)
    spread[::2] = labels
    same_bits(uf.group_reduce(x, spread[::2]), want)
    backwards = np.ascontiguousarray(labels[::-1]).astype(kind)[::-1]
    same_bits(uf.group_reduce(x, backwards, num_groups=5), want)


# --- groups ---------------------------------------------------------------------------------------


def by_label(op: str, x: Any, labels: Any, count: int, axis: int) -> Any:
    """Each group on its own, sums of floats in a wider type."""
    results = []
    for g in range(count):
        where = np.flatnonzero(labels == g)
        result = alone(op, np.take(x, where, axis), axis)
        results.append(where[result] if "arg" in op else result)
    return np.stack(results, axis)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_groups(dtype: str, op: str) -> None:
    if not takes(op, dtype):
        pytest.skip("there is no such operation")
    labels = np.random.default_rng(2).integers(0, 6, 41)
    x = sample(dtype)
    if op.endswith("prod") and x.dtype.kind in "fc":
        x = np.where(x == 0, x.dtype.type(1), x)
    got = uf.group_reduce(x, labels, op, axis=1)
    want = by_label(op, x, labels, 6, 1)
    assert got.dtype == want.dtype
    if want.dtype.kind in "biu" or op in EXTREMES:
        np.testing.assert_array_equal(got, want)
    else:
        eps = float(np.finfo(want.dtype).eps)
        np.testing.assert_allclose(got, want, rtol=40 * eps, atol=200 * eps)


@pytest.mark.parametrize("op", ["sum", "var", "nanmean", "max", "nanargmin", "ptp", "all"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_groups_in_any_memory(op: str, axis: int) -> None:
    shape = [3, 4, 5]
    shape[axis] = 600
    x = sample("f4", tuple(shape))
    if op.startswith("nan"):
        x[x > 6] = np.nan
    labels = np.random.default_rng(2).integers(0, 6, 600)
    for some in (labels, np.sort(labels)):
        want = uf.group_reduce(x, some, op, axis=axis)
        near = by_label(op, x, some, 6, axis)
        np.testing.assert_allclose(want, near, rtol=1e-5)
        for layout in layouts(x).values():
            same_bits(uf.group_reduce(layout, some, op, axis=axis), want)
        same_bits(uf.group_reduce(x.T, some, op, axis=2 - axis), want.T)


@pytest.mark.parametrize("count", [1, 3, 1000, 70_000])
def test_many_groups(count: int) -> None:
    rng = np.random.default_rng(4)
    n = 400_000
    x = rng.normal(size=n)
    labels = rng.integers(0, count, n)
    for some in (labels, np.sort(labels)):
        np.testing.assert_allclose(
            uf.group_reduce(x, some, num_groups=count),
            np.bincount(some, x, minlength=count),
            rtol=1e-9,
            atol=1e-9,
        )
        np.testing.assert_array_equal(
            uf.group_reduce(x, some, "count", count), np.bincount(some, minlength=count)
        )
        largest = np.full(count, -9.0)
        np.maximum.at(largest, some, x)
        np.testing.assert_array_equal(uf.group_reduce(x, some, "max", count, initial=-9.0), largest)


def test_bits_do_not_depend_on_threads(threads: int) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=700_001).astype("f4")
    wide = rng.normal(size=(5_001, 130))
    starts = np.sort(rng.integers(0, x.size, 3_000))
    labels = rng.integers(0, 40, x.size)
    for op in ("sum", "mean", "var", "nanstd", "argmax", "prod"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            some = np.unique(starts)
            calls: tuple[Callable[[], Any], ...] = (
                lambda op=op, some=some: uf.segment_reduce(x, some, op=op),
                lambda op=op: uf.group_reduce(x, labels, op),
                lambda op=op: uf.segment_reduce(wide, np.arange(0, 5_001, 700), op=op),
                lambda op=op: uf.group_reduce(wide, labels[:5_001], op),
            )
            for call in calls:
                with uf.threads(1):
                    want = call()
                same_bits(call(), want)


def test_bits_do_not_depend_on_the_tier(tier: str) -> None:
    from ufuse import _core

    x = sample("f4", (41, 37)) * np.float32(1e3)
    labels = np.arange(41) % 4
    ops = ("sum", "mean", "max", "argmin", "nanmean", "ptp", "count_nonzero", "norm")
    # Squares of deviations are rounded once more without fused multiply-add.
    for op in ops if tier == "v2" else (*ops, "var", "nanstd"):
        _core.set_tier("")
        best = uf.segment_reduce(x, STARTS, STOPS, op), uf.group_reduce(x, labels, op)
        row = uf.segment_reduce(x[:, 3].copy(), STARTS, STOPS, op)
        _core.set_tier(tier)
        same_bits(uf.segment_reduce(x, STARTS, STOPS, op), best[0])
        same_bits(uf.group_reduce(x, labels, op), best[1])
        same_bits(uf.segment_reduce(x[:, 3].copy(), STARTS, STOPS, op), row)


def test_large_means_cancel_nothing() -> None:
    x = 1e9 + np.tile([0.0, 1.0, 2.0], 5000)
    labels = np.repeat([0, 1], 7500)
    np.testing.assert_allclose(uf.group_reduce(x, labels, "var"), [2 / 3, 2 / 3], rtol=1e-12)
    np.testing.assert_allclose(
        uf.segment_reduce(x, [0, 7500], op="var"), [2 / 3, 2 / 3], rtol=1e-12
    )


def test_nan_infinities_and_zeros() -> None:
    x = np.array([np.nan, 1, -np.inf, np.inf, -0.0, 0.0, np.nan, np.nan, np.inf, 3])
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    starts = np.arange(0, 10, 2)
    for call in (
        lambda op, y=x: uf.segment_reduce(y, starts, op=op),
        lambda op, y=x: uf.group_reduce(y, labels, op),
    ):
        np.testing.assert_array_equal(call("max"), [np.nan, np.inf, 0, np.nan, np.inf])
        for op in ("min", "max"):
            assert np.signbit(call(op)[2]) == np.signbit(alone(op, x[4:6], 0))
        np.testing.assert_array_equal(call("sum"), [np.nan, np.nan, 0, np.nan, np.inf])
        np.testing.assert_array_equal(call("nan_count"), [1, 0, 0, 2, 0])
        with pytest.warns(RuntimeWarning, match="All-NaN slice") as caught:
            np.testing.assert_array_equal(call("nanmax"), [1, np.inf, 0, np.nan, np.inf])
        assert caught[0].filename == __file__
        with pytest.warns(RuntimeWarning, match="Mean of empty slice"):
            np.testing.assert_array_equal(call("nanmean"), [1, np.nan, 0, np.nan, np.inf])
        with pytest.raises(ValueError, match=r"All-NaN slice encountered .* 3"):
            call("nanargmin")
        assert call("argmax")[0] == 0
    with np.errstate(all="ignore"):
        assert np.isnan(uf.group_reduce(x, labels, "var")[[0, 1, 3, 4]]).all()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("op", ["min", "max", "nanmin", "sum"])
def test_special_values_anywhere_in_short_segments(op: str, dtype: str) -> None:
    lengths = np.array([*range(1, 70), 127, 128, 129, 1023, 1024, 1025])
    starts = np.cumsum(lengths) - lengths
    rng = np.random.default_rng(5)
    for special in (np.nan, np.inf, -np.inf, -0.0):
        for scale in (0, 1):  # zeros of one sign but for one
            x = (scale * rng.normal(size=lengths.sum())).astype(dtype)
            x = np.abs(x) if scale == 0 else x
            x[starts + rng.integers(0, lengths)] = special
            x[7:9] = x[8:10]  # a segment or two without
            if op == "nanmin" and np.isnan(special):
                x[starts[0]] = 1  # not nothing but NaN
            got = uf.segment_reduce(x, starts, op=op)
            pieces = np.split(x, starts[1:])
            same_bits(got, np.array([alone(op, piece, 0) for piece in pieces]))


@pytest.mark.parametrize("op", ["sum", "mean", "var", "max", "argmin"])
def test_segments_of_all_lengths_side_by_side(op: str) -> None:
    # Some longer than a chunk between others, and more of them than a block of 256.
    rng = np.random.default_rng(2)
    lengths = np.where(
        rng.random(700) < 0.1, rng.integers(900, 3000, 700), rng.integers(1, 50, 700)
    )
    starts = np.cumsum(lengths) - lengths
    for dtype in ("f8", "i4"):
        x = (rng.normal(size=lengths.sum()) * 100).astype(dtype)
        want = np.array([alone(op, piece, 0) for piece in np.split(x, starts[1:])])
        same_bits(uf.segment_reduce(x, starts, op=op), want)
        order = rng.permutation(700)
        got = uf.segment_reduce(x, starts[order], (starts + lengths)[order], op)
        same_bits(got, want[order])


@pytest.mark.parametrize("kind", ["i8", "u8", "i4", "u4", "i2", "u2", "i1", "u1"])
def test_labels_that_would_be_groups_if_cut_off(kind: str) -> None:
    limits = np.iinfo(kind)
    wrong = [limits.max, limits.max - 1, limits.min, -1, -127, 2**31, 2**32, 2**32 + 1, -(2**32)]
    for label in wrong:
        if not limits.min <= label <= limits.max or 0 <= label < 3:
            continue
        for at in (0, 40, 299):
            labels = np.zeros(300, kind)
            labels[at] = label
            with pytest.raises(ValueError, match=rf"position {at}: expected .* got {label}$"):
                uf.group_reduce(np.ones(300), labels, "sum", 3)


def test_arguments_of_operations() -> None:
    x = sample("i4", (41,))
    labels = np.arange(41) % 2
    assert uf.group_reduce(x, labels, dtype=np.float32).dtype == np.float32
    assert uf.segment_reduce(x, [0], dtype=np.int16).dtype == np.int16
    assert uf.segment_reduce(x, [0], initial=10)[0] == x.sum() + 10
    assert uf.group_reduce(x, labels, "prod", initial=0)[1] == 0
    assert uf.segment_reduce(x, [0], op="min", initial=-99)[0] == -99
    np.testing.assert_allclose(
        uf.group_reduce(x, labels, "var", ddof=1),
        [np.var(x[labels == g], ddof=1) for g in (0, 1)],
        rtol=1e-13,
    )
    f = sample("f2", (41,))
    np.testing.assert_array_equal(
        uf.segment_reduce(f, [0], op="nanmin", initial=-30), np.array([-30], "f2")
    )


def test_out() -> None:
    x = sample("f4", (41, 6))
    labels = np.arange(41) % 3
    want = uf.group_reduce(x, labels)
    for out in (
        np.empty((3, 6), np.float32),
        np.empty((3, 6), np.float64),
        np.empty((6, 3), np.float32).T,
        np.empty((6, 12), np.float32)[::-2, ::2],
        np.empty((3, 6), ">f4"),
    ):
        assert uf.group_reduce(x, labels, out=out) is out
        np.testing.assert_allclose(out, want, rtol=1e-6)
        assert uf.segment_reduce(x, [0, 9, 30], out=(out,)) is out
        np.testing.assert_allclose(out, uf.segment_reduce(x, [0, 9, 30]), rtol=1e-6)


def test_out_overlaps_what_is_read() -> None:
    x = sample("f8", (41,))
    want = uf.segment_reduce(x.copy(), [0, 3, 7])
    np.testing.assert_array_equal(uf.segment_reduce(x, [0, 3, 7], out=x[2:5]), want)
    starts, stops = STARTS.copy(), STOPS.copy()
    y = sample("i8", (41,))
    want = uf.segment_reduce(y, STARTS, STOPS)
    np.testing.assert_array_equal(uf.segment_reduce(y, starts, stops, out=starts), want)
    labels = np.arange(41) % 4
    want = uf.group_reduce(y, labels.copy())
    np.testing.assert_array_equal(uf.group_reduce(y, labels, out=labels[:4]), want)


def test_arrays_stay_as_they_are() -> None:
    x, labels = sample("f4", (41,)), np.arange(41) % 3
    starts, stops = STARTS.copy(), STOPS.copy()
    for array in (x, labels, starts, stops):
        array.flags.writeable = False
    uf.segment_reduce(x, starts, stops)
    uf.group_reduce(x, labels)
    np.testing.assert_array_equal(uf.segment_reduce([1.0, 2.0], [0, 1]), [1, 2])


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=30),
    st.sampled_from(["f4", "i1", "u8", "f8", "?"]),
    st.booleans(),
)
def test_any_segments(pairs: list[tuple[int, int]], dtype: str, rows: bool) -> None:
    x = sample(dtype, (60,)) if rows else sample(dtype, (60, 17))
    starts = np.array([a for a, _ in pairs], np.int64)
    stops = np.array([b for _, b in pairs], np.int64)
    got = uf.segment_reduce(x, starts, stops)
    assert got.shape == (len(pairs), *x.shape[1:])
    for result, (a, b) in zip(got, pairs, strict=True):
        same_bits(np.asarray(result), np.asarray(uf.sum(x[a : max(a, b)], axis=0)))


@given(st.lists(st.integers(0, 8), max_size=80), st.sampled_from(["f4", "i2", "f8"]))
def test_any_labels(labels: list[int], dtype: str) -> None:
    x = sample(dtype, (80,))[: len(labels)]
    got = uf.group_reduce(x, labels, num_groups=9)
    for g in range(9):
        want = x[np.array(labels, int) == g].sum(dtype="f8")
        np.testing.assert_allclose(got[g], want, rtol=1e-6, atol=1e-5)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: uf.segment_reduce(x, [0, 11]),
            IndexError,
            r"'starts': element 1.*0 to 10.*got 11",
        ),
        (lambda x: uf.segment_reduce(x, [-1]), IndexError, r"'starts': element 0.*got -1"),
        (lambda x: uf.segment_reduce(x, [0], [11]), IndexError, r"'stops': element 0.*got 11"),
        (
            lambda x: uf.segment_reduce(x, np.array([2**63], "u8")),
            IndexError,
            "got 9223372036854775808",
        ),
        (lambda x: uf.segment_reduce(x, offsets=[0, 12]), IndexError, r"'offsets': element 1"),
        (
            lambda x: uf.segment_reduce(x, [0, 1], [2]),
            ValueError,
            "one for each of the 2 starts, got 1",
        ),
        (lambda x: uf.segment_reduce(x, [[0]]), ValueError, "one dimension"),
        (
            lambda x: uf.segment_reduce(x, [0.5]),
            TypeError,
            "'starts': expected integers, got dtype float64",
        ),
        (lambda x: uf.segment_reduce(x, [True]), TypeError, "expected integers, got dtype bool"),
        (uf.segment_reduce, TypeError, "missing argument 'starts'"),
        (lambda x: uf.segment_reduce(x, [0], offsets=[0, 1]), TypeError, "or 'offsets'; got both"),
        (lambda x: uf.segment_reduce(x, offsets=[0, 5, 3]), ValueError, "got 5 before 3"),
        (lambda x: uf.segment_reduce(x, offsets=[]), ValueError, "at least one"),
        (lambda x: uf.segment_reduce(x, [0], op="median"), ValueError, "'op': expected one of sum"),
        (lambda x: uf.segment_reduce(x, [0], op=None), ValueError, "'op'"),
        (lambda x: uf.segment_reduce(x, [0], axis=1), np.exceptions.AxisError, "axis 1"),
        (lambda x: uf.segment_reduce(np.float64(1), [0]), np.exceptions.AxisError, "axis 0"),
        (lambda x: uf.segment_reduce(x, [0], axis=(0,)), TypeError, "'axis': expected an int"),
        (lambda x: uf.segment_reduce(x, [0], axis=None), TypeError, "'axis': expected an int"),
        (
            lambda x: uf.segment_reduce(x, [0], out=np.empty(2)),
            ValueError,
            r"expected shape \(1,\)",
        ),
        (lambda x: uf.segment_reduce(x, [0], out=np.empty(1, int)), TypeError, "same_kind"),
        (
            lambda x: uf.segment_reduce(x, [0], op="argmin", out=np.empty(1, "i2")),
            TypeError,
            "'out'",
        ),
        (
            lambda x: uf.segment_reduce(x, [0], op="max", dtype="f4"),
            TypeError,
            "max takes no argument 'dtype'",
        ),
        (
            lambda x: uf.segment_reduce(x, [0], op="mean", initial=1),
            TypeError,
            "no argument 'initial'",
        ),
        (lambda x: uf.segment_reduce(x, [0], op="sum", ddof=1), TypeError, "no argument 'ddof'"),
        (lambda x: uf.segment_reduce(x, [0], initial=[1, 2]), ValueError, "'initial'"),
        (lambda x: uf.segment_reduce(x > 0, [0], op="ptp"), TypeError, "bool has no difference"),
        (
            lambda x: uf.group_reduce(x, np.arange(9)),
            ValueError,
            r"'labels': expected shape \(10,\)",
        ),
        (lambda x: uf.group_reduce(x, np.zeros((10, 1), int)), ValueError, "'labels'"),
        (lambda x: uf.group_reduce(x, np.zeros(10)), TypeError, "return_inverse"),
        (lambda x: uf.group_reduce(x, np.arange(10) - 1), ValueError, r"position 0: .*got -1"),
        (lambda x: uf.group_reduce(x, np.arange(10) - 30), ValueError, r"position 0: .*got -30"),
        (
            lambda x: uf.group_reduce(x, np.arange(10), num_groups=9),
            ValueError,
            "position 9: .*got 9",
        ),
        (
            lambda x: uf.group_reduce(x, np.arange(10), "count", 9),
            ValueError,
            "position 9: .*got 9",
        ),
        (
            lambda x: uf.group_reduce(x, np.full(10, -1, "i1"), num_groups=300),
            ValueError,
            "position 0",
        ),
        (lambda x: uf.group_reduce(x, np.arange(10), num_groups=-1), ValueError, "'num_groups'"),
        (lambda x: uf.group_reduce(x, np.arange(10), num_groups=2.0), TypeError, "'num_groups'"),
        (
            lambda x: uf.group_reduce(x, np.full(10, 2**40)),
            ValueError,
            "one more than the largest label",
        ),
        (lambda x: uf.group_reduce(x + 1j, np.arange(10) - 1), ValueError, "position 0"),
    ],
)
def test_errors(call: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(np.arange(10.0))


def test_nothing_is_written_before_an_error() -> None:
    # The wrong label is in the last of many parts.
    n = 600_000
    labels = np.zeros(n, np.int32)
    labels[-1], labels[-7] = 3, 3
    out = np.full(3, 7.0)
    with pytest.raises(ValueError, match=f"position {n - 7}: "):
        uf.group_reduce(np.ones(n), labels, num_groups=3, out=out)
    assert np.all(out == 7)


@pytest.mark.parametrize("dtype", ["f8", "g", "D"])
@pytest.mark.parametrize("op", ["nanmean", "nanvar", "nanstd", "nanmin", "nanmax", "mean", "var"])
def test_parts_of_nothing_but_nan_warn_once(op: str, dtype: str) -> None:
    x = np.array([np.nan, np.nan, 1.0, np.nan, 2.0], dtype)
    skips = op.startswith("nan")
    starts, stops = ([0, 2, 3], [2, 3, 4]) if skips else ([0, 1, 1], [2, 1, 1])
    for run in (
        lambda: uf.segment_reduce(x, starts, stops, op=op),
        lambda: uf.group_reduce(x, [0, 0, 1, 2, 3], op, num_groups=4 if skips else 6),
    ):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            run()
        assert [one.category for one in said] == [RuntimeWarning]
        assert "slice" in str(said[0].message)
        assert said[0].filename == __file__


@pytest.mark.parametrize("kind", ["i1", "u2", "i4", "u8"])
def test_labels_and_positions_may_change_meanwhile(kind: str) -> None:
    """Another thread writes what is no label, after the labels of its block were checked."""
    count, stop = 100, threading.Event()
    x = np.ones(1 << 20)
    labels = np.zeros(x.size, kind)
    starts, stops = np.zeros(20000, np.int64), np.full(20000, 50)

    def disturb() -> None:
        while not stop.is_set():
            labels[1::997] = 127
            stops[1::97] = 1 << 40
            labels[1::997] = 0
            stops[1::97] = 50

    other = threading.Thread(target=disturb)
    other.start()
    try:
        for _ in range(40):
            for run in (
                lambda: uf.group_reduce(x, labels, "sum", num_groups=count),
                lambda: uf.segment_reduce(x, starts, stops, op="sum"),
            ):
                with contextlib.suppress(ValueError, IndexError):
                    run()
    finally:
        stop.set()
        other.join()
