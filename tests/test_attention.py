"""Attention beside the formula in float64, on every everywhere, layout and number of threads."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest

import ufuse as uf
from conftest import tiers
from ufuse import executors
from ufuse.contract.scaled_dot import reference

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.float16), BFLOAT16]
#: Half a unit in the last place of results up to 4, and what float32 and float64 lose on the way.
TOLERANCE = {"float32": 4e-6, "float64": 2e-14, "float16": 2e-3, "bfloat16": 2e-2}
BLOCK = 252  # keys: csrc/attention/kernels.hpp


@pytest.fixture(params=tiers() or ["reference"])
def everywhere(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on every CPU tier of this machine, or on the reference executor."""
    if executors.native is None:
        yield request.param
        return
    from ufuse import _core

    _core.set_tier(request.param)
    yield request.param
    _core.set_tier("")


def normal(shape, seed, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def formula(q, k, v, mask=None, scale=None, causal=False):
    """The definition, in float64."""
    wide = [a.astype(np.float64) for a in (q, k, v)]
    masks = [] if mask is None else [mask if mask.dtype == bool else mask.astype(np.float64)]
    scale = 1 / np.sqrt(q.shape[-1]) if scale is None else scale
    return reference([*wide, *masks], scale, causal)


def assert_attends(q, k, v, **options):
    result = uf.attention(q, k, v, **options)
    expected = formula(q, k, v, **options)
    assert result.dtype == q.dtype
    assert result.shape == expected.shape
    tolerance = TOLERANCE[q.dtype.name]
    got = result.astype(np.float64)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def bits(array):
    return array.view(f"u{array.itemsize}")


def test_the_reference_is_softmax():
    q, k, v = normal((5, 4), 0), normal((7, 4), 1), normal((7, 3), 2)
    shares = uf.softmax((q @ k.T).astype(np.float64) * 0.5, axis=1)
    np.testing.assert_allclose(reference([q, k, v], 0.5, False), shares @ v, rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("length", [1, 2, 8, 9, 16, 17, 33, 130])
@pytest.mark.parametrize("span", [1, 13, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
def test_lengths(everywhere, dtype, length, span):
    """Across every block: few queries, registers, tiles, groups; rows of keys, blocks of keys."""
    q, k = normal((length, 19), 1, dtype), normal((span, 19), 2, dtype)
    assert_attends(q, k, normal((span, 21), 3, dtype))


@pytest.mark.parametrize("depth", [0, 1, 3, 14, 16, 17, 64, 80, 96, 128, 256])
@pytest.mark.parametrize("width", [1, 5, 15, 16, 63, 64, 130])
@pytest.mark.parametrize("length", [3, 40])
def test_depths_and_widths(everywhere, depth, width, length):
    q, k, v = normal((length, depth), 1), normal((30, depth), 2), normal((30, width), 3)
    assert_attends(q, k, v, scale=0.1)


@pytest.mark.parametrize("length", [1, 40])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_masks(everywhere, dtype, length):
    rng = np.random.default_rng(0)
    q, k = normal((2, 3, length, 16), 1, dtype), normal((2, 3, 300, 16), 2, dtype)
    v = normal((2, 3, 300, 16), 3, dtype)
    seen = rng.random((length, 300)) < 0.6
    masks = [
        seen,
        rng.random((2, 1, 1, 300)) < 0.6,  # padding
        np.ones((2, 3, length, 300), bool),
        seen[:, ::-1],
        normal((3, length, 300), 4, dtype),
        normal((length, 300), 4, np.float32),
        normal((length, 300), 4, np.float64),
        np.where(seen, 0, -np.inf).astype(np.float16),
        np.where(seen, 0, np.finfo(np.float32).min).astype(np.float32),
        np.zeros((length, 300), BFLOAT16),
    ]
    for mask, causal in itertools.product(masks, (False, True)):
        assert_attends(q, k, v, mask=mask, causal=causal)


@pytest.mark.parametrize(
    "length, span", [(1, 5), (7, 3), (40, 600), (600, 40), (300, 300), (513, 517)]
)
def test_causal_is_aligned_at_the_top_left(everywhere, length, span):
    q, k, v = normal((length, 16), 1), normal((span, 16), 2), normal((span, 8), 3)
    assert_attends(q, k, v, causal=True)
    masked = uf.attention(q, k, v, mask=np.tri(length, span, dtype=bool))
    np.testing.assert_array_equal(bits(uf.attention(q, k, v, causal=True)), bits(masked))


@pytest.mark.parametrize("scale", [0.0, -0.0, -0.7, 3.0, 1e-42, np.float32(0.5), 2])
@pytest.mark.parametrize("hidden", [False, True])
def test_scales(everywhere, scale, hidden):
    q, k, v = normal((20, 8), 1), normal((270, 8), 2), normal((270, 8), 3)
    mask = np.random.default_rng(0).random((20, 270)) < 0.5 if hidden else None
    assert_attends(q, k, v, scale=scale, mask=mask)
    assert_attends(q[:2], k, v, scale=scale, mask=None if mask is None else mask[:2])


@pytest.mark.parametrize("span", [0, 5, BLOCK + 8])
@pytest.mark.parametrize("length", [3, 20])
def test_a_query_that_sees_nothing_gets_zeros(everywhere, length, span):
    q, k, v = normal((length, 8), 1), normal((span, 8), 2), normal((span, 4), 3)
    mask = np.ones((length, span), bool)
    mask[::2] = False
    added = np.where(mask, np.float32(0), np.float32(-np.inf))
    for some in (mask, added):
        result = uf.attention(q, k, v, mask=some)
        np.testing.assert_array_equal(result[::2], 0)
        np.testing.assert_allclose(result, formula(q, k, v, mask=some), atol=1e-6)


def test_sizes_of_zero(everywhere):
    assert uf.attention(np.ones((0, 4)), np.ones((3, 4)), np.ones((3, 2))).shape == (0, 2)
    assert uf.attention(np.ones((2, 4)), np.ones((3, 4)), np.ones((3, 0))).shape == (2, 0)
    empty = np.ones((0, 2, 4), np.float32)
    assert uf.attention(empty, empty, empty).shape == (0, 2, 4)
    # No depth: all scores are 0.
    means = uf.attention(np.ones((2, 0)), np.ones((4, 0)), np.arange(4.0)[:, None])
    np.testing.assert_array_equal(means, [[1.5], [1.5]])


@pytest.mark.parametrize("length", [2, 50])
@pytest.mark.parametrize("span", [40, 2 * BLOCK])
def test_nan_and_inf_are_those_of_the_formula(everywhere, length, span):
    clean = normal((length, 8), 1), normal((span, 8), 2), normal((span, 4), 3)
    mask = np.random.default_rng(0).random((length, span)) < 0.5
    mask[:, 0] = True
    cases = itertools.product(range(3), (0, 1, -1), (np.nan, np.inf, -np.inf), (None, mask), (0, 1))
    for operand, row, value, some, causal in cases:
        arrays = [array.copy() for array in clean]
        arrays[operand][row, 1] = value
        with np.errstate(all="ignore"):
            expected = formula(*arrays, mask=some, causal=bool(causal))
        got = uf.attention(*arrays, mask=some, causal=bool(causal))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_large_scores_overflow_nothing(everywhere):
    q = np.float32([[1e4, 0], [-1e4, 0], [3e38, 0]] * 6)
    k = np.float32([[1, 0], [2, 0], [1, 0]])
    v = np.float32([[1], [2], [3]])
    for length in (3, 18):
        result = uf.attention(q[:length], k, v, scale=1.0)
        np.testing.assert_array_equal(result[:2], [[2], [2]])
    assert uf.attention(q[:2], k, v, scale=1e30).tolist() == [[2], [2]]


def test_leading_axes_broadcast(everywhere):
    q, k, v = normal((3, 1, 9, 8), 1), normal((4, 30, 8), 2), normal((2, 1, 1, 30, 5), 3)
    assert_attends(q, k, v)
    assert_attends(q[0, 0], k, v)
    assert_attends(q, k[0], v[0, 0, 0])
    assert_attends(
        q, k, v, mask=np.random.default_rng(0).random((2, 1, 4, 9, 30)) < 0.5, causal=True
    )


def test_grouped_queries_are_the_same_bits(tier):
    """Keys that are broadcast take the queries of all heads as one, whatever that does to tiles."""
    for length in (1, 5, 9, 70):
        q, k = normal((2, 3, 4, length, 16), 1), normal((2, 3, 1, 400, 16), 2)
        v = normal((2, 3, 1, 400, 8), 3)
        many = [np.ascontiguousarray(np.broadcast_to(a, (2, 3, 4, *a.shape[-2:]))) for a in (k, v)]
        mask = np.random.default_rng(0).random((2, 3, 4, length, 400)) < 0.8
        for options in ({}, {"causal": True}, {"mask": mask}, {"mask": mask[0, 0], "causal": True}):
            grouped = uf.attention(q, k, v, **options)
            np.testing.assert_array_equal(bits(grouped), bits(uf.attention(q, *many, **options)))


def layouts(array):
    """The same numbers in other places."""
    yield np.asfortranarray(array)
    yield array[..., ::-1].copy()[..., ::-1]
    yield np.swapaxes(np.swapaxes(array, 0, -2).copy(), 0, -2)
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1] + 1), array.dtype)
    wide[..., 1::2] = array
    yield wide[..., 1::2]
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    memory[...] = array
    yield memory  # not aligned
    yield array[..., ::-1, :].copy()[..., ::-1, :]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("length", [4, 37])
def test_layouts_are_the_same_bits(tier, dtype, length):
    q, k = normal((2, 2, length, 24), 1, dtype), normal((2, 2, 270, 24), 2, dtype)
    v, mask = normal((2, 2, 270, 24), 3, dtype), normal((2, 2, length, 270), 4, dtype)
    expected = bits(uf.attention(q, k, v, mask))
    for changed in zip(*map(layouts, (q, k, v, mask)), strict=True):
        np.testing.assert_array_equal(bits(uf.attention(*changed)), expected)
    for out in layouts(np.zeros(q.shape, dtype)):
        assert uf.attention(q, k, v, mask, out=out) is out
        np.testing.assert_array_equal(bits(np.ascontiguousarray(out)), expected)


def test_heads_beside_each_other(tier):
    """(batch, length, heads, width), whose rows are far apart."""
    q, k, v = (normal((2, 270, 16, 64), i).transpose(0, 2, 1, 3) for i in range(3))
    out = np.empty((2, 270, 16, 64), np.float32).transpose(0, 2, 1, 3)
    uf.attention(q, k, v, out=out)
    packed = uf.attention(*(np.ascontiguousarray(a) for a in (q, k, v)))
    np.testing.assert_array_equal(bits(np.ascontiguousarray(out)), bits(packed))


def test_bytes_in_the_other_order():
    q, k, v = (normal((10, 8), i) for i in range(3))
    swapped = [a.astype(a.dtype.newbyteorder()) for a in (q, k, v)]
    np.testing.assert_array_equal(uf.attention(*swapped), uf.attention(q, k, v))


@pytest.mark.parametrize("length", [1, 300])
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"mask": True}, {"mask": 0.5}], ids=str)
def test_threads_are_the_same_bits(tier, length, options):
    q, k, v = (normal((3, 2, n, 32), i) for i, n in enumerate((length, 520, 520)))
    if "mask" in options:
        kind = options["mask"]
        mask = np.random.default_rng(0).random((length, 520)) < 0.5
        options = {"mask": mask if kind is True else mask * np.float32(kind)}
    with uf.threads(1):
        alone = uf.attention(q, k, v, **options)
    for count in (2, 3, 5):
        with uf.threads(count):
            np.testing.assert_array_equal(bits(uf.attention(q, k, v, **options)), bits(alone))


@pytest.mark.skipif(executors.native is None, reason="the reference executor has no tiers")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("length", [1, 7, 9, 150])
def test_tiers_are_the_same_bits(dtype, length):
    from ufuse import _core

    q, k, v = (normal((2, n, 40), i, dtype) * 4 for i, n in enumerate((length, 530, 530)))
    v[:, 400, 3] = np.inf
    seen = np.random.default_rng(0).random((length, 530)) < 0.5
    seen[0] = False
    options = [{}, {"causal": True}, {"mask": seen}, {"mask": seen, "causal": True}]
    options += [{"scale": -1.0}, {"mask": normal((length, 530), 5)}]
    try:
        for some in options:
            results = []
            for tier in _core.available_tiers():
                if tier != "v2":  # no fused multiply-add
                    _core.set_tier(tier)
                    results.append(uf.attention(q, k, v, **some))
            for result in results[1:]:
                np.testing.assert_array_equal(bits(result), bits(results[0]))
    finally:
        _core.set_tier("")


@pytest.mark.parametrize("length", [2, 40])
def test_overlapping_out(everywhere, length):
    for which in range(3):
        q, k, v = (normal((3, length, 8), i) for i in range(3))
        expected = uf.attention(q, k, v)
        out = (q, k, v)[which]
        assert uf.attention(q, k, v, out=out) is out
        np.testing.assert_array_equal(out, expected)
    x = normal((3, length + 1, 8), 1)
    expected = uf.attention(x[:, :-1], x[:, 1:], x[:, 1:])
    np.testing.assert_array_equal(
        uf.attention(x[:, :-1], x[:, 1:], x[:, 1:], out=x[:, 1:]), expected
    )
    mask = normal((8, 8), 1)
    x = normal((8, 8), 2)
    expected = uf.attention(x, x, x, mask=mask)
    np.testing.assert_array_equal(uf.attention(x, x, x, mask=mask, out=mask), expected)


@pytest.mark.parametrize("queries", [1, 20])
def test_error_of_a_share(everywhere, queries):
    """One score apart from another: a rounding of the distance, and that of the exponential."""
    x = -np.linspace(0, 80, 20000, dtype=np.float32)
    k = v = np.float32([[0], [1]])
    q = x.reshape(-1, queries, 1)
    got = uf.attention(q, k, v, scale=1.0).astype(np.float64)
    e = np.exp(q.astype(np.float64))
    expected = e / (1 + e)
    error = np.abs(got - expected) / np.spacing(expected.astype(np.float32))
    assert np.max(error / (4 + 1.5 * np.abs(q))) < 1


@pytest.mark.parametrize("queries", [1, 20])
def test_error_of_an_exponential(everywhere, queries):
    """Scores of which the base-2 logarithm is exact, so far apart that the sum is 1."""
    if executors.native is None:
        pytest.skip("NumPy's exponential")
    t = -np.linspace(26, 125, 40000, dtype=np.float32)
    k = v = np.float32([[0], [1]])
    got = uf.attention(t.reshape(-1, queries, 1), k, v, scale=np.log(2.0)).reshape(-1)
    expected = np.exp2(t.astype(np.float64))
    error = np.abs(got - expected) / np.spacing(expected.astype(np.float32))
    assert error.max() < (1.5 if everywhere == "v2" else 0.8)  # v2 rounds products


@pytest.mark.skipif(executors.native is None, reason="the reference executor has the scores")
def test_no_matrix_of_scores():
    """Of 8 heads it would be 128 MB; two threads have a few hundred kilobytes each."""
    code = """
import resource, numpy as np, ufuse as uf
q = np.random.default_rng(0).normal(size=(8, 2048, 64)).astype(np.float32)
out = np.zeros_like(q)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
uf.attention(q[:, :9, :5], q[:, :9, :5], q[:, :9, :5])
before = peak()
uf.attention(q, q, q, out=out)
print(peak() - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 8 << 10  # KiB


@pytest.mark.parametrize(
    "error, message, change",
    [
        (TypeError, "argument 'q': expected float16", {"q": np.ones((2, 3), int)}),
        (TypeError, "argument 'q': expected float16", {"q": np.ones((2, 3), complex)}),
        (TypeError, "argument 'k': expected the dtype of q", {"k": np.ones((4, 3))}),
        (TypeError, "argument 'v': expected the dtype of q", {"v": np.ones((4, 3), "f2")}),
        (TypeError, "argument 'mask': expected bool", {"mask": np.ones((2, 4), int)}),
        (ValueError, "argument 'q': expected two dimensions", {"q": np.ones(3, "f4")}),
        (ValueError, "argument 'k': expected rows of 3", {"k": np.ones((4, 2), "f4")}),
        (
            ValueError,
            "argument 'v': expected a row for each of the 4",
            {"v": np.ones((5, 3), "f4")},
        ),
        (
            ValueError,
            "do not broadcast",
            {"q": np.ones((2, 2, 3), "f4"), "k": np.ones((3, 4, 3), "f4")},
        ),
        (ValueError, "argument 'mask': expected a shape", {"mask": np.ones((3, 4), bool)}),
        (ValueError, "argument 'mask': expected a shape", {"mask": np.ones((1, 2, 4), bool)}),
        (ValueError, "argument 'out': expected shape", {"out": np.ones((2, 4), "f4")}),
        (TypeError, "argument 'out': expected dtype float32", {"out": np.ones((2, 3))}),
        (TypeError, "scale", {"scale": "x"}),
    ],
)
def test_errors(error, message, change):
    arguments = {"q": np.ones((2, 3), "f4"), "k": np.ones((4, 3), "f4"), "v": np.ones((4, 3), "f4")}
    out = np.full((2, 3), 7, np.float32)
    with pytest.raises(error, match=message):
        uf.attention(**{**arguments, "out": out, **change})
    np.testing.assert_array_equal(out, 7)


def test_read_only():
    q = np.ones((2, 3), np.float32)
    q.flags.writeable = False
    uf.attention(q, q, q)
    with pytest.raises(ValueError, match="read-only"):
        uf.attention(q, q, q, out=q)
