"""Quantile sketches: the bound on the error of ranks holds, whatever the stream and the merges."""

from __future__ import annotations

import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ufuse as uf
from conftest import NATIVE

#: Elements of the long streams: the reference executor has only NumPy's sort.
LONG = 1_300_000 if NATIVE else 300_000


def zigzag(n: int) -> np.ndarray:
    """Largest, smallest, second largest... : every block has both ends of all."""
    x = np.empty(n)
    x[::2] = np.arange(n, n - (n + 1) // 2, -1)
    x[1::2] = np.arange(n // 2)
    return x


STREAMS = {
    "sorted": lambda n: np.arange(n, dtype=np.float64),
    "reversed": lambda n: np.arange(n, 0, -1, dtype=np.float64),
    "constant": lambda n: np.full(n, 2.5),
    "two values": lambda n: (np.arange(n) % 3 == 0).astype(np.float64),
    "zigzag": zigzag,
    "sawtooth": lambda n: (np.arange(n) % 1000).astype(np.float64),
    "normal": lambda n: np.random.default_rng(1).standard_normal(n),
    "heavy tails": lambda n: np.random.default_rng(2).standard_cauchy(n),
    "sorted blocks": lambda n: np.sort(
        np.random.default_rng(3).random((n // 1000, 1000)), axis=1
    ).ravel(),
    "one in a thousand": lambda n: np.where(np.arange(n) % 1000 == 7, 1.0, 0.0),
}


def rank_errors(x: np.ndarray, q: np.ndarray, found: np.ndarray) -> np.ndarray:
    """How far the ranks that `found` has in `x` are from those asked for, as shares.

    A rank between two elements is that of either.
    """
    ordered = np.sort(x, axis=None)
    below = np.searchsorted(ordered, found, side="left")
    up_to = np.searchsorted(ordered, found, side="right")
    rank = q * (x.size - 1)
    return np.maximum(np.maximum(below - np.ceil(rank), np.floor(rank) - up_to), 0) / x.size


def check(sketch: uf.QuantileSketch, x: np.ndarray) -> None:
    """The sketch says of `x` what it promises."""
    assert sketch.count == x.size
    assert sketch.error_bound <= sketch.error
    assert sketch.min == x.min()
    assert sketch.max == x.max()
    q = np.linspace(0, 1, 501)
    found = sketch.quantile(q)
    assert np.all(np.diff(found) >= 0)
    assert rank_errors(x, q, found).max() <= sketch.error_bound + 1e-12
    assert found[0] == x.min()
    assert found[-1] == x.max()
    ordered = np.sort(x, axis=None)
    points = np.unique(np.concatenate([found, found + 0.25, ordered[[0, -1]] + [-1, 1]]))
    for inclusive, side in ((True, "right"), (False, "left")):
        ranks = np.searchsorted(ordered, points, side=side)
        off = np.abs(sketch.rank(points, inclusive=inclusive) - ranks)
        assert off.max() <= sketch.error_bound * x.size + 1e-6


@pytest.mark.parametrize("stream", STREAMS)
def test_the_bound_holds(stream: str) -> None:
    x = STREAMS[stream](LONG)
    sketch = uf.QuantileSketch()
    for chunk in np.array_split(x, 7):
        assert sketch.update(chunk) is sketch
    check(sketch, x)
    assert len(pickle.dumps(sketch)) < 3_000_000


@pytest.mark.parametrize("error", [0.25, 0.05, 0.01, 0.0003])
@pytest.mark.parametrize("stream", ["sorted", "zigzag", "normal", "two values"])
def test_the_bound_holds_for_every_error(stream: str, error: float) -> None:
    x = STREAMS[stream](200_003)
    sketch = uf.QuantileSketch(error).update(x)
    check(sketch, x)
    assert sketch.error == error


@pytest.mark.parametrize("parts", [2, 7, 40])
@pytest.mark.parametrize("shape", ["tree", "chain", "reversed chain", "random"])
@pytest.mark.parametrize("stream", ["sorted", "zigzag", "normal"])
def test_the_bound_holds_for_every_tree(stream: str, shape: str, parts: int) -> None:
    x = STREAMS[stream](200_000)
    rng = np.random.default_rng(4)
    cuts = np.sort(rng.integers(0, x.size, parts - 1))
    sketches = [uf.QuantileSketch(0.02).update(part) for part in np.split(x, cuts)]
    while len(sketches) > 1:
        at = {"tree": 0, "chain": 0, "reversed chain": -1, "random": rng.integers(len(sketches))}
        other = pickle.loads(pickle.dumps(sketches.pop(int(at[shape]))))
        into = sketches.pop(0)
        before = pickle.dumps(other)
        into.merge(other)
        assert pickle.dumps(other) == before
        sketches.insert(len(sketches) if shape == "tree" else 0, into)
    check(sketches[0], x)


def test_memory_is_bounded() -> None:
    sketch = uf.QuantileSketch(0.01)
    x = np.random.default_rng(5).random(100_000).astype(np.float32)
    for _ in range(100):
        sketch.update(x)
        assert len(pickle.dumps(sketch)) < 100_000
    assert sketch.count == 10_000_000
    assert sketch.error_bound <= 0.01


def test_as_many_elements_as_are_promised() -> None:
    """Merged with itself again and again: 2**22 times the stream."""
    x = zigzag(150_000)
    sketch = uf.QuantileSketch(0.01).update(x)
    check(sketch.merge(sketch), np.concatenate([x, x]))
    for _ in range(21):
        sketch.merge(sketch)
    assert sketch.count == x.size << 22
    assert sketch.error_bound <= 0.01
    assert len(pickle.dumps(sketch)) < 700_000
    points = np.linspace(0, x.size, 300)
    ranks = np.searchsorted(np.sort(x), points, side="right") / x.size
    assert np.abs(sketch.cdf(points) - ranks).max() <= sketch.error_bound


@pytest.mark.parametrize(
    "dtype",
    [
        *(np.bool_, np.int8, np.uint16, np.int32, np.int64, np.uint64, np.float32, np.float64),
        *(np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn),
    ],
)
def test_every_dtype(dtype: Any) -> None:
    rng = np.random.default_rng(6)
    x = (rng.random(90_000) * (2 if dtype is np.bool_ else 100)).astype(np.int64).astype(dtype)
    sketch = uf.QuantileSketch(0.01).update(x)
    q = np.linspace(0, 1, 101)
    found = sketch.quantile(q)
    assert found.dtype == (np.float64 if x.dtype.kind in "biu" else x.dtype)
    wide = x.astype(np.float64)
    assert rank_errors(wide, q, found.astype(np.float64)).max() <= sketch.error_bound
    assert (float(sketch.min), float(sketch.max)) == (wide.min(), wide.max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint64, np.int8])
def test_order_of_extreme_values(dtype: Any) -> None:
    """Sorting sees signs, infinities, denormals and the ends of integers."""
    if np.dtype(dtype).kind == "f":
        info = np.finfo(dtype)
        some = [-np.inf, info.min, -1, -info.smallest_subnormal, 0, info.tiny, 2, info.max, np.inf]
    else:
        ends = np.iinfo(dtype)
        some = sorted({ends.min, ends.min + 1, 0, 1, ends.max - 1, ends.max})
    x = np.random.default_rng(7).permutation(np.repeat(np.array(some, dtype), 3000))
    sketch = uf.QuantileSketch(0.05).update(x)
    assert sketch.error_bound > 0
    middle = (np.arange(len(some)) + 0.5) / len(some)
    found = sketch.quantile(middle)
    np.testing.assert_array_equal(found, np.array(some, dtype).astype(found.dtype))


def test_layouts_and_chunks_make_the_same_sketch() -> None:
    x = np.random.default_rng(8).standard_normal((300, 700)).astype(np.float32)
    x[::7, 3] = np.nan
    want = uf.QuantileSketch(0.01).update(x)
    padded = np.zeros((600, 2100), np.float32)
    padded[::2, ::3] = x
    unaligned = np.empty(x.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(x.shape)
    unaligned[...] = x
    reversed_ = np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    for y in (np.asfortranarray(x), padded[::2, ::3], unaligned, reversed_, x.astype(">f4")):
        assert contents(uf.QuantileSketch(0.01).update(y)) == contents(want)
    for rows in (1, 17, 299):
        sketch = uf.QuantileSketch(0.01)
        for start in range(0, 300, rows):
            sketch.update(x[start : start + rows])
        assert contents(sketch) == contents(want)
    for threads in (1, 2, 3):
        with uf.threads(threads):
            assert contents(uf.QuantileSketch(0.01).update(x)) == contents(want)


def contents(sketch: uf.QuantileSketch) -> tuple[Any, ...]:
    values, ranks = sketch._sorted()
    counts = sketch.count, sketch.nan_count, sketch.error_bound, sketch.min, sketch.max
    return values.tobytes(), ranks.tobytes(), *map(float, counts)


def test_nan_have_no_rank() -> None:
    x = np.random.default_rng(9).standard_normal(400_000)
    x[np.random.default_rng(10).random(x.size) < 0.2] = np.nan
    x[:70_000] = np.nan
    sketch = uf.QuantileSketch(0.005)
    for chunk in np.array_split(x, 5):
        sketch.update(chunk)
    assert sketch.nan_count == np.isnan(x).sum()
    check(sketch, x[~np.isnan(x)])
    assert np.isnan(sketch.rank(np.nan))
    nothing = uf.QuantileSketch().update([np.nan, np.nan])
    assert (nothing.count, nothing.nan_count, nothing.min) == (0, 2, None)


@pytest.mark.parametrize("n", [1, 2, 3, 100, 12_000])
def test_exact_while_everything_is_held(n: int) -> None:
    x = np.random.default_rng(11).standard_normal(n)
    sketch = uf.QuantileSketch().update(x)
    q = [0, 0.1, 0.25, 0.5, 0.77, 1]
    assert sketch.error_bound == 0
    np.testing.assert_allclose(sketch.quantile(q), np.quantile(x, q), rtol=1e-12)
    points = np.linspace(-4, 4, 50)
    ordered = np.sort(x)
    np.testing.assert_array_equal(sketch.rank(points), np.searchsorted(ordered, points, "right"))
    np.testing.assert_array_equal(sketch.cdf(points), sketch.rank(points) / n)
    assert isinstance(sketch.quantile(0.5), np.float64)
    assert sketch.quantile([[0.5]]).shape == (1, 1)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 4000), max_size=12),
    st.integers(1, 40),
    st.sampled_from([0.25, 0.1, 0.03]),
)
def test_chunks_of_any_size(sizes: list[int], values: int, error: float) -> None:
    rng = np.random.default_rng(12)
    chunks = [rng.integers(0, values, n).astype(np.float32) for n in sizes]
    sketch, merged = uf.QuantileSketch(error), uf.QuantileSketch(error)
    for chunk in chunks:
        sketch.update(chunk)
        merged.merge(uf.QuantileSketch(error).update(chunk))
    x = np.concatenate([*chunks, np.empty(0, np.float32)])
    if x.size:
        check(sketch, x)
        check(merged, x)


def test_of_nothing() -> None:
    sketch = uf.QuantileSketch()
    assert (sketch.count, sketch.nan_count, sketch.error_bound) == (0, 0, 0)
    assert sketch.rank([1, 2]).tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"ufuse\.QuantileSketch\.quantile: .* no elements"):
        sketch.quantile(0.5)
    with pytest.raises(ValueError, match=r"ufuse\.QuantileSketch\.cdf: .* no elements"):
        sketch.cdf(0.5)
    sketch.update(np.empty((0, 3), np.int16))
    assert sketch.dtype == np.int16
    assert uf.QuantileSketch().merge(sketch).dtype == np.int16
    assert sketch.merge(uf.QuantileSketch()).count == 0


def test_what_is_refused() -> None:
    for error in (0, 1, -0.1, np.nan, "a", 1e-6):
        with pytest.raises(ValueError, match=r"ufuse\.QuantileSketch: argument 'error'"):
            uf.QuantileSketch(error)  # type: ignore[arg-type]
    sketch = uf.QuantileSketch().update(np.ones(3, np.float32))
    for q in (-0.1, 1.1, np.nan, "x"):
        with pytest.raises(ValueError, match=r"'q': expected numbers between 0 and 1"):
            sketch.quantile(q)
    with pytest.raises(TypeError, match=r"'chunk': expected dtype float32.*got float64"):
        sketch.update(np.ones(3))
    for bad in (np.ones(3, complex), np.array(["a"]), np.ones(2, np.longdouble)):
        with pytest.raises(TypeError, match=r"ufuse\.QuantileSketch\.update"):
            uf.QuantileSketch().update(bad)
    with pytest.raises(TypeError, match=r"expected a QuantileSketch, got State"):
        sketch.merge(uf.State("mean"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"error=0\.01 cannot be merged into one of error=0\.001"):
        sketch.merge(uf.QuantileSketch(0.01))
    with pytest.raises(TypeError, match=r"dtype float64 cannot be merged into one of dtype float3"):
        sketch.merge(uf.QuantileSketch().update(np.ones(3)))
    assert sketch.count == 3


def test_repr() -> None:
    sketch = uf.QuantileSketch(0.01).update(np.arange(5))
    assert repr(sketch) == "QuantileSketch(error=0.01): 5 elements of dtype int64, error bound 0"
