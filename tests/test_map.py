"""`FusedFunction.map`: what a loop of calls gives, in one call."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pytest

import ufuse as uf
from fused_cases import same

pytestmark = pytest.mark.usefixtures("silent")

RNG = np.random.default_rng(5)
MANY, WIDE = 300, 1500  # float32: enough to be shared out to threads, by items


def normal(*shape: int, dtype: str = "f4") -> Any:
    return RNG.standard_normal(shape).astype(dtype)


def items(count: int, *shape: int, dtype: str = "f4") -> list[Any]:
    return [normal(*shape, dtype=dtype) for _ in range(count)]


def check(function: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """Compare with a loop of calls of the fused function, and with the function itself."""
    fused = uf.fuse(function)
    walked = [isinstance(arg, (list, tuple)) for arg in args]
    count = next(len(arg) for arg, walk in zip(args, walked, strict=True) if walk)
    results = fused.map(*args, **kwargs)
    assert type(results) is list
    assert len(results) == count
    for i, result in enumerate(results):
        given = [arg[i] if walk else arg for arg, walk in zip(args, walked, strict=True)]
        same(result, fused(*given, **kwargs))
        expected = function(*given, **kwargs)
        if isinstance(result, np.ndarray):
            assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
            np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
    return results


def chain(a: Any, b: Any) -> Any:
    return (2 * a + 3 * b) * a - b


def blocks(a: Any, b: Any) -> Any:
    return np.where(a > b, np.tanh(a), b * 2) + a


FUNCTIONS = pytest.mark.parametrize("function", [chain, blocks])


# --- values ----------------------------------------------------------------------------------


@FUNCTIONS
@pytest.mark.parametrize("size", [1, 2, 15, 64, 100, 129, 5000])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_items_alike(function: Any, size: int, dtype: str, any_tier: str) -> None:
    check(function, items(7, size, dtype=dtype), items(7, size, dtype=dtype))


@FUNCTIONS
def test_mixed_shapes_and_dtypes(function: Any) -> None:
    a = [normal(n) for n in (5, 5, 100, 3, 100, 100, 1)]
    a[3:3] = [normal(3, 4), np.arange(5), normal(5, dtype="f8"), normal(6), normal(6)]
    check(function, a, [x[..., ::-1] for x in a])
    check(function, a, tuple(x + 1 for x in a))


@FUNCTIONS
def test_layouts(function: Any) -> None:
    base = normal(8, 9, 10)
    read_only = normal(9, 10)
    read_only.flags.writeable = False
    memory = np.zeros(9 * 10 * 4 + 1, np.uint8)
    unaligned = memory[1:].view("f4").reshape(9, 10)
    unaligned[...] = normal(9, 10)
    a = [base[0], base[1], base[2, ::-1], base[3, :, ::-1], base[4, ::-1, ::-1],
         read_only, read_only, unaligned, base[5].astype(">f4"), base[6].astype(">f4"),
         np.broadcast_to(base[7, 0], (9, 10)), np.asfortranarray(base[7])]  # fmt: skip
    check(function, a, a[::-1])
    check(function, a, base[0])
    check(function, base[0], a)


def test_nothing_of_an_item_is_left_from_the_one_before() -> None:
    """Values that are the same throughout an item differ between items of one layout."""
    a, ones = items(40, 100), [normal(1) for _ in range(40)]
    check(chain, a, ones)
    check(blocks, ones, a)
    ones[7][0] = np.nan
    check(lambda x, least: np.maximum(x, least) * 2, a, ones)
    check(lambda x, y: x / y + 1, [normal(3, 50) for _ in range(9)], [normal(3, 1) for _ in a[:9]])


def test_broadcasting() -> None:
    check(chain, items(5, 1, 6), items(5, 4, 1))
    check(chain, items(5, 4, 6), normal(6))
    check(chain, normal(3, 1), items(5, 6))


@FUNCTIONS
def test_no_elements_and_no_dimensions(function: Any) -> None:
    empty = normal(0)
    check(function, [empty, normal(3), normal(3), empty, empty], normal(1))
    check(function, [np.float32(2), np.array(3.0), normal(4), 2.5], normal(1))
    scalars = uf.fuse(function).map([np.array(1.0), np.array(2.0)], np.array(3.0))
    assert all(isinstance(x, np.float64) for x in scalars)


def test_no_items() -> None:
    assert uf.fuse(chain).map([], []) == []
    assert uf.fuse(chain).map([], normal(3), out=[]) == []


def test_rows() -> None:
    def centred(x: Any) -> Any:
        return np.exp(x - x.max(axis=-1, keepdims=True))

    check(centred, [normal(n) for n in (7, 7, 100, 100, 1, 100)])
    check(centred, items(4, 5, 33))


# --- arguments -------------------------------------------------------------------------------


def scaled(x: Any, factor: Any, shift: Any = 0) -> Any:
    return x * factor + shift


def test_numbers() -> None:
    a = items(6, 50)
    check(scaled, a, 0.5)
    check(scaled, a, 2, 0.25)
    check(scaled, a, [0.5, 1.5, -2.5, 0.0, 3.5, np.inf])
    check(scaled, a, [1, 2, 1000, 0.5, 2**70, True])
    check(scaled, [x.astype("i2") for x in a], [1, 2, -3, 100, 1000, 4], 5)
    check(scaled, a, np.float32(0.5))
    with pytest.raises(OverflowError) as caught:
        uf.fuse(scaled).map([x.astype("i1") for x in a], [1, 2, 1000, 1, 1, 1])
    assert caught.value.__notes__ == ["scaled.map: item 2"]


def test_keywords_are_the_same_for_all() -> None:
    a = items(6, 50)
    check(scaled, a, factor=0.5)
    check(scaled, a, factor=normal(50), shift=2)
    check(scaled, a, shift=2, factor=0.5)

    def weighted(x: Any, *, pair: Any) -> Any:
        return x * pair[0] + pair[1]

    check(weighted, a, pair=(normal(50), normal(50)))


def test_any_iterator() -> None:
    f, a = uf.fuse(chain), items(5, 20)
    expected = f.map(a, a)
    for got in (f.map(iter(a), (x for x in a)), f.map(tuple(a), map(np.copy, a))):
        for one, other in zip(got, expected, strict=True):
            same(one, other)


def test_lists_of_numbers_are_items() -> None:
    for got, row in zip(uf.fuse(scaled).map([[1, 2], [3, 4]], 2), ([2, 4], [6, 8]), strict=True):
        np.testing.assert_array_equal(got, row)


def test_what_is_walked_must_be_there_and_of_one_length() -> None:
    f, a = uf.fuse(chain), items(3, 5)
    with pytest.raises(TypeError, match=r"chain.map: expected a list.*got ndarray, float"):
        f.map(normal(3, 5), 0.5)
    with pytest.raises(TypeError, match="got none"):
        f.map()
    out = [np.zeros(5, "f4") for _ in a]
    for bad in ({"out": out[:2]}, {"out": np.zeros((3, 5), "f4")}):
        with pytest.raises((ValueError, TypeError), match=r"chain.map: argument 'out'"):
            f.map(a, a, **bad)
    with pytest.raises(ValueError, match=r"chain.map: the lists have different lengths: 3, 2"):
        f.map(a, a[:2], out=out)
    assert not np.any(out)


def test_an_error_names_the_item() -> None:
    f = uf.fuse(chain)
    a, b = items(30, 5), items(30, 5)
    b[17] = normal(6)
    out = [np.zeros(5, "f4") for _ in a]
    with pytest.raises(ValueError) as caught:
        f.map(a, b, out=out)
    assert caught.value.__notes__ == ["chain.map: item 17"]
    done = [bool(np.any(x)) for x in out]
    assert done == [True] * 17 + [False] * 13
    with pytest.raises(ValueError) as caught:
        f.map(a, a, out=[*out[:29], np.zeros(4, "f4")])
    assert caught.value.__notes__ == ["chain.map: item 29"]


class Pair(NamedTuple):
    sum: Any
    rest: dict[str, Any]


def test_several_results() -> None:
    f = uf.fuse(lambda a, b: Pair(a + b, {"difference": a - b}))
    a, b = items(4, 10), items(4, 10)
    for got, x, y in zip(f.map(a, b), a, b, strict=True):
        assert type(got) is Pair
        same((got.sum, got.rest["difference"]), (x + y, x - y))
    out = [(np.zeros(10, "f4"), None) for _ in a]
    for got, (first, _) in zip(f.map(a, b, out=out), out, strict=True):
        assert got.sum is first


def test_other_arrays() -> None:
    class Own(np.ndarray):
        pass

    f, b = uf.fuse(chain), normal(5)
    a = [normal(5), normal(5).view(Own), normal(5).tolist(), memoryview(normal(5)), normal(5)]
    for got, x in zip(f.map(a, b), a, strict=True):
        same(got, f(x, b))


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    f = uf.fuse(chain)
    a = [torch.from_numpy(x) for x in items(4, 9)]
    for got, x in zip(f.map(a, a), a, strict=True):
        assert type(got) is torch.Tensor
        assert torch.equal(got, f(x, x))


def test_within_another_fused_function() -> None:
    inner = uf.fuse(scaled)

    def outer(a: Any, b: Any) -> Any:
        first, second = inner.map([a, b], 0.5)
        return first * second

    a, b = items(2, 10)
    np.testing.assert_allclose(uf.fuse(outer)(a, b), a * 0.5 * b * 0.5, rtol=1e-6)


def test_a_rebound_global_is_noticed() -> None:
    space: dict[str, Any] = {"factor": 2}
    exec("def f(x): return x * factor", space)
    f, a = uf.fuse(space["f"]), items(3, 4)
    f.map(a)
    space["factor"] = 3
    for got, x in zip(f.map(a), a, strict=True):
        same(got, x * 3)


# --- out= ------------------------------------------------------------------------------------


@FUNCTIONS
def test_out(function: Any) -> None:
    f, a, b = uf.fuse(function), items(9, 100), items(9, 100)
    expected = f.map(a, b)
    strided = np.zeros((2, 200), "f4")
    out: list[Any] = [np.zeros(100, "f4") for _ in a]
    out[3], out[4], out[5], out[6] = strided[0, ::2], strided[1, ::-2], np.zeros(100, "f8"), None
    got = f.map(a, b, out=tuple(out))
    for one, other, target in zip(got, expected, out, strict=True):
        assert target is None or one is target
        np.testing.assert_array_equal(one, other)
    read_only = np.zeros(100, "f4")
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="read-only") as caught:
        f.map(a[:2], b[:2], out=[np.zeros(100, "f4"), read_only])
    assert caught.value.__notes__[0].endswith("item 1")


@pytest.mark.parametrize(("count", "size"), [(6, 100), (MANY, WIDE)])
@pytest.mark.parametrize("shift", [0, 0.01, 1, 0.5, 1.3, -1])
@FUNCTIONS
def test_overlap_is_that_of_calls_one_after_another(
    function: Any, shift: float, count: int, size: int, threads: int
) -> None:
    """Each call may write what later ones read, or what earlier ones have written."""
    start = normal(size * count + 4 * size)

    def views(memory: Any, first: float) -> list[Any]:
        return [memory[round(size * (first + i)) :][:size] for i in range(count)]

    f, b = uf.fuse(function), normal(size)
    results = []
    for run in (False, True):
        memory = start.copy()
        a, out = views(memory, 1.5), views(memory, 1.5 + shift)
        if run:
            f.map(a, b, out=out)
        else:
            for x, target in zip(a, out, strict=True):
                f(x, b, out=target)
        results.append(memory)
    np.testing.assert_array_equal(*results)


def test_one_array_for_all_results(threads: int) -> None:
    f, a, out = uf.fuse(chain), items(MANY, WIDE), np.zeros(WIDE, "f4")
    f.map(a, a, out=[out] * MANY)
    same(out, f(a[-1], a[-1]))
    total = np.zeros(1, "f4")
    one = normal(1)
    f.map([one] * 5, total, out=[total] * 5)
    expected = np.zeros(1, "f4")
    for _ in range(5):
        f(one, expected, out=expected)
    same(total, expected)


# --- threads ---------------------------------------------------------------------------------


@FUNCTIONS
@pytest.mark.parametrize(("count", "size"), [(3000, 100), (MANY, WIDE), (100, 4097), (3, 300_000)])
def test_threads_change_nothing(function: Any, count: int, size: int) -> None:
    f, a, b = uf.fuse(function), items(count, size), normal(size)
    with uf.threads(1):
        expected = f.map(a, b)
    with uf.threads(3):
        got = f.map(a, b)
    for one, other, x in itertools.islice(zip(got, expected, a, strict=True), 0, None, 7):
        same(one, other)
        same(one, f(x, b))


def test_several_python_threads() -> None:
    f, a = uf.fuse(chain), items(MANY, WIDE)
    expected = f.map(a, a)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: f.map(a, a), range(8)):
            for one, other in zip(got, expected, strict=True):
                same(one, other)


def test_lists_that_change_meanwhile() -> None:
    """Another thread empties the list: what was in it when the call began is computed."""
    f = uf.fuse(chain)
    for _ in range(20):
        a = items(300, 100)
        kept = [x.copy() for x in a]
        thread = threading.Thread(target=a.clear)
        thread.start()
        got = f.map(a, 1.0)
        thread.join()
        for one, x in zip(got, kept, strict=False):
            same(one, f(x, 1.0))


# --- what ordinary calls leave to the general way --------------------------------------------


def test_calls_without_elements_after_others() -> None:
    f = uf.fuse(chain)
    f(normal(5), normal(5))
    before = f.cache_info().hits
    same(f(normal(0), normal(0)), normal(0))
    assert f.cache_info().hits == before + 1


def test_long_rows_after_short_ones(threads: int) -> None:
    """They are cut into passes that use all threads."""
    f = uf.fuse(lambda x: np.exp(x - x.max(axis=-1, keepdims=True)))
    f(normal(100))
    before = f.cache_info().hits
    for size in (1 << 15, (1 << 15) + 1):
        x = normal(size)
        np.testing.assert_allclose(f(x), np.exp(x - x.max()), rtol=1e-5)
    native = uf.executors.native is not None
    assert f.cache_info().hits == before + (1 if native else 2)
    assert len(f.explain(normal((1 << 15) + 1)).passes) > 1
