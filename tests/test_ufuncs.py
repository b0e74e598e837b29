"""`ufuse.ufuncs`: NumPy's ufuncs, beside the public functions of the same names."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from ufuse import ufuncs
from ufuse.catalogue import OPERATIONS, Operation
from ufuse.ufuncs.definitions import NAMES, definition

native_only = pytest.mark.skipif(not NATIVE, reason="needs the native executor")

ROWS = [row for row in OPERATIONS if row.public]
UNARY = [row.name for row in ROWS if row.arity == 1]
OVER_AXIS = ["softmax", "log_softmax", "logsumexp"]


def numbers(size: int, dtype: str = "f4", seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).uniform(-6, 6, size).astype(dtype)
    x[: min(size, 5)] = [0, -1, 1, 2, -3][:size]
    return x


def same(got: object, want: object) -> None:
    assert np.asarray(got).dtype == np.asarray(want).dtype
    np.testing.assert_array_equal(np.asarray(got), np.asarray(want), strict=True)


# --- which there are, and what they are ------------------------------------------------------


def test_every_public_row_is_a_ufunc_also_by_scipys_name() -> None:
    for row in ROWS:
        ufunc = getattr(ufuncs, row.name)
        assert ufunc.__name__ == row.name
        assert (ufunc.nin, ufunc.nout) == (row.arity, 1)
        for other in row.scipy:
            assert getattr(ufuncs, other) is ufunc
    assert ufuncs.expit is ufuncs.sigmoid
    assert set(ufuncs.__all__) >= {row.name for row in ROWS} | {"expit", *OVER_AXIS}
    assert set(dir(ufuncs)) >= set(ufuncs.__all__)


@native_only
def test_they_are_numpys_ufuncs() -> None:
    for name in ufuncs.__all__:
        assert type(getattr(ufuncs, name)) is np.ufunc


@native_only
@pytest.mark.parametrize("name", sorted(set(NAMES.values()) - set(OVER_AXIS)))
def test_every_loop_is_compiled(name: str) -> None:
    from ufuse.ufuncs import native

    for loop in definition(name).loops:
        assert native.compiled(loop)[1] is not None, loop.dtypes


def test_documentation_is_of_the_row() -> None:
    (gelu,) = (row for row in OPERATIONS if row.name == "gelu")
    doc = ufuncs.gelu.__doc__
    assert "a/2 * (1 + erf(a / sqrt 2))" in doc
    assert "Parameters\n---" in doc and f"at most {gelu.ulp:g} ULP" in doc


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match=r"ufuse.ufuncs.*'nothing'"):
        _ = ufuncs.nothing


@pytest.mark.parametrize("name", ufuncs.__all__)
def test_pickle(name: str) -> None:
    ufunc = getattr(ufuncs, name)
    assert pickle.loads(pickle.dumps(ufunc)) is ufunc


# --- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i1", "u2", "i4", "?"])
@pytest.mark.parametrize("name", UNARY)
def test_equals_the_public_function(name: str, dtype: str) -> None:
    for size in (0, 1, 7, 1000):
        x = np.abs(numbers(size)).astype(dtype) if dtype[0] == "u" else numbers(size).astype(dtype)
        same(getattr(ufuncs, name)(x), getattr(uf, name)(x))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_equals_the_reference(row: Operation) -> None:
    args = [numbers(300, row.signatures[0].inputs[k], k) for k in range(row.arity)]
    got = getattr(ufuncs, row.name)(*args)
    assert got.dtype == row.signatures[0].output
    with np.errstate(all="ignore"):
        want = np.asarray(row.reference(*args)).astype(got.dtype)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-30)


def test_scalars_are_scalars() -> None:
    assert isinstance(ufuncs.gelu(2.0), np.float64)
    assert isinstance(ufuncs.gelu(np.float32(2)), np.float32)
    same(ufuncs.gelu([1, 2]), uf.gelu(np.array([1, 2])))


def test_types_are_float16_last_so_that_small_integers_give_float32() -> None:
    assert ufuncs.gelu.types == ["f->f", "d->d", "e->e"]
    assert ufuncs.gelu(np.int8(1)).dtype == np.float32


LAYOUTS = {
    "step": lambda x: x[::3],
    "reversed": lambda x: x[::-1],
    "columns": lambda x: x[:600].reshape(20, 30).T,
    "repeated": lambda x: np.broadcast_to(x[:30], (7, 30)),
    "same": lambda x: np.broadcast_to(x[3], (70,)),
    "swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "unaligned": lambda x: np.frombuffer(b"." + x.tobytes(), "u1")[1:].view(x.dtype),
    "no dimension": lambda x: x[4],
    "three": lambda x: x[:960].reshape(8, 10, 12)[::2, ::-1, 1::2],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["gelu", "sigmoid", "relu"])
def test_layouts(name: str, layout: str) -> None:
    x = LAYOUTS[layout](numbers(1000))
    plain = np.ascontiguousarray(x, dtype="f4").reshape(np.shape(x))
    np.testing.assert_array_equal(getattr(ufuncs, name)(x), getattr(uf, name)(plain))


def test_no_floating_point_warnings() -> None:
    x = np.array([-1e30, 1e30, np.inf, -np.inf, np.nan, 1e-45], "f4")
    with np.errstate(all="raise"):
        for name in UNARY:
            getattr(ufuncs, name)(x)
            getattr(ufuncs, name)(x.astype("f8"))


@native_only
def test_threads_have_the_bits_of_one() -> None:
    x = numbers(3_000_000)
    with uf.threads(1):
        want = ufuncs.gelu(x)
    for threads in (2, 3):
        with uf.threads(threads):
            same(ufuncs.gelu(x), want)


def test_calls_from_many_threads() -> None:
    x, results = numbers(200_000), [None] * 6
    want = uf.silu(x)

    def work(place: int) -> None:
        results[place] = ufuncs.silu(x)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(len(results))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for result in results:
        same(result, want)


# --- NumPy's keywords ------------------------------------------------------------------------


def test_out() -> None:
    x = numbers(100)
    out = np.empty(100, "f4")
    assert ufuncs.erf(x, out) is out
    same(out, uf.erf(x))
    wide = np.empty((3, 100), "f8")
    ufuncs.erf(x, out=wide[1])
    np.testing.assert_array_equal(wide[1], uf.erf(x))
    strided = np.zeros(200, "f4")
    ufuncs.erf(x, out=(strided[::-2],))
    np.testing.assert_array_equal(strided[::-2], uf.erf(x))


def test_where() -> None:
    x, out = numbers(1000), np.full(1000, 9, "f4")
    mask = np.arange(1000) % 3 == 1
    ufuncs.gelu(x, out=out, where=mask)
    same(out, np.where(mask, uf.gelu(x), np.float32(9)))


def test_casting_dtype_and_signature() -> None:
    x = numbers(50, "f8")
    same(ufuncs.gelu(x, dtype="f4", casting="same_kind"), uf.gelu(x.astype("f4")))
    same(ufuncs.gelu(x.astype("f4"), signature="d->d"), uf.gelu(x.astype("f4").astype("f8")))
    same(ufuncs.gelu(np.arange(4), dtype=np.float64), uf.gelu(np.arange(4.0)))
    with pytest.raises(TypeError, match="casting rule"):
        ufuncs.gelu(x, dtype="f4", casting="safe")
    with pytest.raises(TypeError, match="same_kind"):
        ufuncs.gelu(x, out=np.empty(50, "i4"))


def test_errors_are_numpys() -> None:
    x = numbers(10)
    with pytest.raises(TypeError, match="not supported for the input types"):
        ufuncs.gelu(x.astype("c8"))
    with pytest.raises(ValueError, match="non-broadcastable output operand"):
        ufuncs.gelu(np.ones((2, 3), "f4"), out=np.empty((1, 3), "f4"))
    with pytest.raises(ValueError, match="broadcast"):
        ufuncs.gelu(x, out=np.empty(3, "f4"))
    with pytest.raises(ValueError, match="read-only"):
        out = np.empty(10, "f4")
        out.flags.writeable = False
        ufuncs.gelu(x, out=out)
    with pytest.raises(TypeError):
        ufuncs.gelu(x, x, x)
    with pytest.raises(TypeError, match="nothing"):
        ufuncs.gelu(x, nothing=1)
    with pytest.raises(ValueError, match="broadcast"):
        ufuncs.clip_round(x, x[:3], x)


OVERLAPS = {
    "itself": lambda x: (x, x),
    "behind": lambda x: (x[1:], x[:-1]),
    "ahead": lambda x: (x[:-1], x[1:]),
    "far": lambda x: (x[500:], x[:-500]),
    "turned": lambda x: (x, x[::-1]),
    "interleaved": lambda x: (x[::2], x[1::2]),
    "reversed ahead": lambda x: (x[::-1][1:], x[::-1][:-1]),
    "columns": lambda x: (x.reshape(1000, 5)[:, 1:3], x.reshape(1000, 5)[:, 2:4]),
}


@pytest.mark.parametrize("layout", OVERLAPS)
@pytest.mark.parametrize("name", ["gelu", "clip_round"])
def test_out_may_overlap(name: str, layout: str) -> None:
    x = numbers(5000)
    others = (-2, 3) if name == "clip_round" else ()
    want = getattr(ufuncs, name)(OVERLAPS[layout](x)[0].copy(), *others)
    given, out = OVERLAPS[layout](x)
    getattr(ufuncs, name)(given, *others, out=out)
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("step", [1, 40])
def test_out_may_lag_behind_what_is_read_by_several_threads(step: int) -> None:
    """NumPy calls the loop with such operands as they are, since it goes in order."""
    x = numbers(2_000_000)
    want = ufuncs.gelu(x[step:].copy())
    with uf.threads(3):
        ufuncs.gelu(x[step:], out=x[:-step])
    np.testing.assert_array_equal(x[:-step], want)


def test_out_may_be_another_view_of_the_same_memory() -> None:
    x = numbers(1000, "f8")
    want = ufuncs.gelu(x).astype("f4")
    ufuncs.gelu(x, out=x.view("f4")[::2], casting="same_kind")
    np.testing.assert_array_equal(x.view("f4")[::2], want)


# --- those of several operations -------------------------------------------------------------


def test_clip_round() -> None:
    x = np.array([-9.5, -0.5, 0.5, 1.5, 2.5, 9.5, np.nan], "f4")
    same(ufuncs.clip_round(x, -2, 2), np.float32([-2, -0.0, 0, 2, 2, 2, np.nan]))
    assert ufuncs.clip_round(x.astype("f2"), np.float16(0), np.float16(1)).dtype == np.float16


@pytest.mark.parametrize("code", ["i1", "u1", "i2", "u2"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_quantize_and_dequantize(dtype: str, code: str) -> None:
    x, zero = numbers(500, dtype), np.dtype(code).type(7)
    scale = np.dtype(dtype).type(0.03)
    codes = ufuncs.quantize(x, scale, zero)
    same(codes, uf.quantize_linear(x, scale, zero))
    want = ((codes.astype("i4") - zero.astype("i4")).astype(dtype) * scale).astype(dtype)
    same(ufuncs.dequantize(codes, scale, zero), want)


def test_quantize_broadcasts_scales() -> None:
    x = numbers(600).reshape(20, 30)
    scale = np.linspace(0.01, 0.1, 30, dtype="f4")
    zero = np.arange(30, dtype="i1")
    same(ufuncs.quantize(x, scale, zero), uf.quantize_linear(x, scale, zero, axis=1))
    same(ufuncs.quantize(x, scale, 0), uf.quantize_linear(x, scale, np.zeros(30, "i1"), axis=1))


# --- over an axis ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i1", "i8"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", OVER_AXIS)
def test_over_an_axis(name: str, axis: int, dtype: str) -> None:
    x = numbers(4 * 30 * 20).reshape(4, 30, 20).astype(dtype)
    got, want = getattr(ufuncs, name)(x, axis=axis), getattr(uf, name)(x, axis=axis)
    if NATIVE:
        same(got, want)
    else:  # plain NumPy adds in another order where lines lie across memory
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=8 * np.finfo(want.dtype).eps)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 100, 9000])
@pytest.mark.parametrize("name", OVER_AXIS)
def test_lines_have_the_same_bits_in_any_layout(name: str, length: int) -> None:
    x = numbers(17 * 3 * length).reshape(17, 3, length)
    ufunc = getattr(ufuncs, name)
    want = ufunc(x)
    same(ufunc(x[::2]), want[::2])
    same(ufunc(np.asfortranarray(x)), want)
    for k in range(3):
        same(ufunc(x[:, k]), want[:, k])
    if length < 100:
        many = np.concatenate([x.reshape(-1, length)] * (100_000 // length))
        same(ufunc(many)[: 17 * 3], want.reshape(17 * 3, *want.shape[2:]))


def test_axes_and_keepdims() -> None:
    x = numbers(600).reshape(20, 30)
    same(ufuncs.logsumexp(x, axis=0, keepdims=True), uf.logsumexp(x, axis=0, keepdims=True))
    same(ufuncs.logsumexp(x, axes=[(0,), ()]), uf.logsumexp(x, axis=0))
    out = np.empty((20, 30), "f4")
    assert ufuncs.softmax(x, out=out) is out
    same(out, uf.softmax(x, axis=1))
    ufuncs.softmax(x, out=x)
    same(x, out)


def test_over_an_axis_without_elements() -> None:
    with pytest.raises(ValueError, match="nothing to sum over"):
        ufuncs.softmax(np.ones((3, 0)))
    assert ufuncs.softmax(np.ones((0, 3))).shape == (0, 3)
    with pytest.raises(ValueError, match="does not have enough dimensions"):
        ufuncs.softmax(1.0)


# --- in fused functions, and objects of other libraries --------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f2", "i1"])
def test_inside_a_fused_function(dtype: str) -> None:
    x = numbers(100).astype(dtype)
    fused = uf.fuse(lambda x: ufuncs.gelu(x) * 2 + ufuncs.expit(x))
    same(fused(x), uf.gelu(x) * 2 + uf.sigmoid(x))


@native_only
def test_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(numbers(50), index=[f"r{i}" for i in range(50)], name="a")
    got = ufuncs.gelu(series)
    assert isinstance(got, pandas.Series) and got.name == "a"
    pandas.testing.assert_series_equal(
        got, pandas.Series(uf.gelu(series.to_numpy()), series.index, name="a")
    )
    frame = pandas.DataFrame({"a": numbers(9), "b": numbers(9, seed=1)})
    assert list(ufuncs.relu(frame).columns) == ["a", "b"]


@native_only
def test_dask() -> None:
    array = pytest.importorskip("dask.array")
    x = numbers(6000).reshape(60, 100)
    lazy = array.from_array(x, chunks=(25, 40))
    got = ufuncs.gelu(lazy)
    assert isinstance(got, array.Array) and got.dtype == np.float32
    same(got.compute(), uf.gelu(x))
    same(ufuncs.clip_round(lazy, -2, 2).compute(), ufuncs.clip_round(x, -2, 2))


@native_only
def test_xarray() -> None:
    xarray = pytest.importorskip("xarray")
    x = xarray.DataArray(numbers(60).reshape(6, 10), dims=("t", "c"), coords={"t": range(6)})
    got = ufuncs.sigmoid(x)
    assert isinstance(got, xarray.DataArray) and got.dims == ("t", "c") and "t" in got.coords
    same(got.to_numpy(), uf.sigmoid(x.to_numpy()))
    lines = xarray.apply_ufunc(ufuncs.softmax, x, input_core_dims=[["c"]], output_core_dims=[["c"]])
    same(lines.to_numpy(), uf.softmax(x.to_numpy(), axis=1))
