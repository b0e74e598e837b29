"""Moving windows against their definition, and against bottleneck where it is installed."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.exceptions import AxisError

import ufuse as uf
from conftest import NATIVE, tiers
from ufuse.window.windows import OPS
from windows_defined import close, defined, sample

FLOATS = [np.float32, np.float64]
# One kind of kernel each, with the lengths at which it changes: folds by doubling, by segments,
# sorted columns, sorted blocks.
WINDOWS = [1, 2, 3, 7, 8, 13, 50, 64, 160, 161, 192, 193, 300, 700]


def layouts(x: np.ndarray) -> dict[str, np.ndarray]:
    padded = np.zeros((2 * x.shape[0], 3 * x.shape[1]), x.dtype)
    padded[::2, ::3] = x
    unaligned = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    fixed = x.copy()
    fixed.flags.writeable = False
    return {
        "C": x,
        "F": np.asfortranarray(x),
        "strided": padded[::2, ::3],
        "reversed": np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
        "unaligned": unaligned,
        "swapped": x.astype(x.dtype.newbyteorder()),
        "read-only": fixed,
    }


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_definition(share: float, window: int, dtype: Any, op: str) -> None:
    x = sample((2, max(window + 40, 90)), dtype, share, window)
    for least in {window, max(1, window // 3), 1}:
        want = defined(x, window, op, least)
        close(uf.move_reduce(x, window, op, least), want, dtype)
        close(uf.move_reduce(x.T, window, op, least, 0), want.T, dtype)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("shape", [(1,), (3, 0), (0, 4), (4, 1, 5), (5, 70, 3), (40, 3, 20)])
def test_shapes_and_axes(shape: tuple[int, ...], op: str) -> None:
    x = sample(shape, share=0.2)
    for axis in range(-x.ndim, x.ndim):
        for window in {1, 2, 5, x.shape[axis]}:
            if 1 <= window <= x.shape[axis]:
                got = uf.move_reduce(x, window, op, 1, axis)
                close(got, defined(x, window, op, 1, axis), np.float64)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("window", [2, 50, 161, 200])
def test_long_lanes(window: int, op: str) -> None:
    """Longer than a tile or a piece, with NaN in some of them."""
    x = sample(9000, share=0.0, seed=1)
    x[3000:3010] = x[7777] = np.nan
    for least in (window, 1):
        close(uf.move_reduce(x, window, op, least), defined(x, window, op, least), np.float64)


@pytest.mark.parametrize("op", OPS)
@given(
    x=hnp.arrays(
        np.float64,
        st.integers(1, 60),
        elements=st.one_of(st.integers(-3, 3).map(float), st.just(np.nan), st.floats(-1e3, 1e3)),
    ),
    data=st.data(),
)
def test_any_values(op: str, x: np.ndarray, data: Any) -> None:
    window = data.draw(st.integers(1, len(x)))
    least = data.draw(st.integers(1, window))
    ddof = data.draw(st.sampled_from([0, 1, 2] if op in ("var", "std") else [0]))
    got = uf.move_reduce(x, window, op, least, ddof=ddof)
    want = defined(x, window, op, least, ddof=ddof)
    # A deviation of equal numbers is exact here, but rounded in the definition.
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-10 if op != "std" else 1e-5)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("window", [1, 6, 50, 190, 250])
def test_bottleneck(window: int, dtype: Any, op: str) -> None:
    bn = pytest.importorskip("bottleneck")
    for share in (0.0, 0.3):
        x = sample((3, 400), dtype, share, 2)
        for axis, wanted in ((1, None), (1, 1), (1, max(2, window // 2)), (0, None)):
            length = min(window, x.shape[axis])
            least = wanted and min(wanted, length)
            # Where the divisor is zero or less, bottleneck's quotient is what has drifted over it.
            keywords = {"ddof": 1} if op in ("var", "std") and least != 1 and length > 1 else {}
            got = uf.move_reduce(x, length, op, least, axis, **keywords)
            want = getattr(bn, f"move_{op}")(x, length, least, axis, **keywords)
            # Its running sums drift in the dtype of the array.
            tolerance = 2e-3 if dtype == np.float32 else 1e-7
            near = 10 * tolerance if op == "std" else tolerance  # the root of what has drifted
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=near, strict=True)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint16, np.int32, np.int64, np.uint64])
def test_integers(dtype: Any, op: str) -> None:
    x = (
        np.random.default_rng(3)
        .integers(0, 2 if dtype is np.bool_ else 100, (4, 300))
        .astype(dtype)
    )
    for axis, window in ((1, 5), (1, 200), (0, 3)):
        got = uf.move_reduce(x, window, op, axis=axis)
        close(got, defined(x, window, op, axis=axis), np.float64)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    "dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.longdouble]
)
def test_other_floats(dtype: Any, op: str) -> None:
    x = sample((3, 60), np.float64, 0.1).astype(dtype)
    got = uf.move_reduce(x, 7, op, 3)
    assert got.dtype == x.dtype
    want = defined(x, 7, op, 3).astype(dtype)
    rtol = max(float(ml_dtypes.finfo(dtype).eps), 1e-12)
    np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol, rtol)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("window", [3, 50, 170, 195])
def test_layouts(window: int, op: str) -> None:
    for axis in (0, 1):
        x = sample((230, 220), np.float32, 0.01, 4)
        want = uf.move_reduce(x, window, op, window // 2, axis)
        for layout, array in layouts(x).items():
            got = uf.move_reduce(array, window, op, window // 2, axis)
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got, want, err_msg=layout)
        lane = np.broadcast_to(x[0], x.shape)
        want = np.broadcast_to(uf.move_reduce(x[0], window, op, 1), x.shape)
        np.testing.assert_array_equal(uf.move_reduce(lane, window, op, 1), want)


@pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("window", [3, 50, 170, 500])
def test_the_same_bits_for_every_thread_count(window: int, op: str) -> None:
    rng = np.random.default_rng(5)
    for shape, axis in (((400_000,), 0), ((40, 9000), 1), ((9000, 40), 0)):
        x = rng.standard_normal(shape)
        x.ravel()[5000:5003] = np.nan
        results = []
        for count in (1, 2, 3):
            with uf.threads(count):
                results.append(uf.move_reduce(x, window, op, axis=axis))
        for result in results[1:]:
            np.testing.assert_array_equal(result.view(np.uint64), results[0].view(np.uint64))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_same_bits_on_every_tier(tier: str, dtype: Any, op: str) -> None:
    from ufuse import _core

    x = np.random.default_rng(6).standard_normal((30, 1200)).astype(dtype)
    x[::7, ::50] = np.nan
    for axis, window in ((1, 5), (1, 50), (1, 180), (1, 400), (0, 20)):
        got = uf.move_reduce(x, window, op, window // 2, axis)
        _core.set_tier(tiers()[-1])
        want = uf.move_reduce(x, window, op, window // 2, axis)
        _core.set_tier(tier)
        if tier == "v2":  # it has no fused multiply-add
            close(got, want, dtype)
        else:
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("op", OPS)
def test_out(op: str) -> None:
    x = sample((6, 200), share=0.1)
    want = uf.move_reduce(x, 9, op, 2)
    for out in (np.empty_like(x), np.empty_like(x, order="F"), np.empty((12, 400))[::2, ::-2]):
        assert uf.move_reduce(x, 9, op, 2, out=out) is out
        np.testing.assert_array_equal(out, want)
    narrow = np.empty(x.shape, np.float32)
    uf.move_reduce(x, 9, op, 2, out=(narrow,))
    np.testing.assert_array_equal(narrow, want.astype(np.float32))
    buffer = np.concatenate([x, x[:1]])
    uf.move_reduce(buffer[:-1], 9, op, 2, out=buffer[1:])
    np.testing.assert_array_equal(buffer[1:], want)
    uf.move_reduce(x, 9, op, 2, out=x)
    np.testing.assert_array_equal(x, want)


def test_lists_and_torch() -> None:
    np.testing.assert_array_equal(uf.move_reduce([1, 2, 3], 2, "sum"), [np.nan, 3, 5])
    torch = pytest.importorskip("torch")
    got = uf.move_reduce(torch.arange(4.0), 2, "mean")
    assert isinstance(got, torch.Tensor)
    np.testing.assert_array_equal(got.numpy(), [np.nan, 0.5, 1.5, 2.5])


@pytest.mark.parametrize("ddof", [0, 1, 2, 2.5, 10])
def test_ddof(ddof: float) -> None:
    x = sample((2, 80), share=0.3)
    for op in ("var", "std"):
        close(uf.move_reduce(x, 8, op, 2, ddof=ddof), defined(x, 8, op, 2, ddof=ddof), np.float64)


X = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    ("error", "message", "arguments", "keywords"),
    [
        (
            ValueError,
            r"'window': expected from 1 to 4, the length of axis 1.*got 0",
            (X, 0, "sum"),
            {},
        ),
        (
            ValueError,
            r"'window': expected from 1 to 3, the length.*got 4",
            (X, 4, "sum"),
            {"axis": 0},
        ),
        (ValueError, r"'window'.*got -2", (X, -2, "median"), {}),
        (TypeError, r"'window': expected an int, got 2\.5", (X, 2.5, "sum"), {}),
        (
            ValueError,
            r"'op': expected one of 'sum', 'mean'.*'rank'; got 'total'",
            (X, 2, "total"),
            {},
        ),
        (ValueError, r"'op'.*got None", (X, 2, None), {}),
        (
            ValueError,
            r"'min_count': expected None or from 1 to the window, 2; got 3",
            (X, 2, "sum", 3),
            {},
        ),
        (ValueError, r"'min_count'.*got 0", (X, 2, "sum", 0), {}),
        (TypeError, r"'min_count': expected an int, got 'a'", (X, 2, "sum", "a"), {}),
        (
            AxisError,
            r"'axis': axis 2 is out of bounds for array of dimension 2",
            (X, 2, "sum"),
            {"axis": 2},
        ),
        (TypeError, r"'axis': expected an int, got None", (X, 2, "sum"), {"axis": None}),
        (TypeError, r"'ddof': expected a number, got 'x'", (X, 2, "var"), {"ddof": "x"}),
        (TypeError, r"'ddof': expected 0 for 'sum', got 1", (X, 2, "sum"), {"ddof": 1}),
        (ValueError, r"'x': expected an array with at least one axis", (1.5, 1, "sum"), {}),
        (
            TypeError,
            r"'x': expected real numbers, got dtype complex128.*x\.real",
            (X * 1j, 2, "sum"),
            {},
        ),
        (TypeError, r"'x'", (np.array(["a"]), 1, "sum"), {}),
    ],
)
def test_errors(error: Any, message: str, arguments: Any, keywords: Any) -> None:
    with pytest.raises(error, match=rf"ufuse\.move_reduce: argument {message}"):
        uf.move_reduce(*arguments, **keywords)


def test_errors_of_out_come_before_anything_is_written() -> None:
    for error, out, message in (
        (
            ValueError,
            np.zeros((4, 3)),
            r"'out': expected shape \(3, 4\), that of 'x'; got \(4, 3\)",
        ),
        (TypeError, np.zeros((3, 4), np.int64), r"'out': cannot cast .* from float64 to int64"),
    ):
        with pytest.raises(error, match=rf"ufuse\.move_reduce: argument {message}"):
            uf.move_reduce(X, 2, "sum", out=out)
        assert (out == 0).all()
    fixed = np.zeros(X.shape)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match=r"ufuse\.move_reduce.*'out'"):
        uf.move_reduce(X, 2, "sum", out=fixed)
