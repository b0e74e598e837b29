"""Other libraries' arrays in and out: same memory, same bits, owners kept alive, bad ones refused.

DLPack and torch have files of their own.
"""

import array
import ctypes
import gc
import mmap
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from ufuse.interop import CPU, Device, as_output, asarray, device_of, wrap_like


def read(obj):
    return asarray(obj, function="ufuse.sum", argument="x")


def write(obj):
    return as_output(obj, function="ufuse.sum")


def pointer(array_):
    return array_.__array_interface__["data"][0]


class Returns:
    """Its ``__dlpack__`` gives what it is told."""

    def __init__(self, answer, device=(1, 0)):
        self.answer, self.device = answer, device

    def __dlpack__(self, **options):
        return self.answer

    def __dlpack_device__(self):
        return self.device


# ---------------------------------------------------------------- sources NumPy knows


def test_an_ndarray_is_itself():
    x = np.arange(6.0)[::-2]
    assert read(x) is x
    assert write(x) is x


@pytest.mark.parametrize(
    ("make", "dtype", "writeable"),
    [
        (lambda: array.array("d", [1, 2, 3]), np.float64, True),
        (lambda: array.array("h"), np.int16, True),
        (lambda: bytearray(b"abc"), np.uint8, True),
        (lambda: b"abc", np.uint8, False),
        (lambda: b"", np.uint8, False),
        (lambda: memoryview(b"abcd").cast("I"), np.uint32, False),
        (lambda: memoryview(np.arange(6, dtype=np.float32).reshape(2, 3)), np.float32, True),
        (lambda: memoryview(np.arange(6, dtype=">i4")[::-2]), np.dtype(">i4"), True),
        (lambda: memoryview(np.array(7, np.int8)), np.int8, True),
        (lambda: (ctypes.c_int16 * 4)(1, 2, 3, 4), np.int16, True),
        (lambda: mmap.mmap(-1, 16), np.uint8, True),
        (lambda: np.ones((2, 3)).view(np.matrix), np.float64, True),
    ],
)
def test_shared_memory_is_viewed(make, dtype, writeable):
    obj = make()
    view = read(obj)
    assert type(view) is np.ndarray
    assert view.dtype == dtype
    assert view.flags.writeable is writeable
    direct = obj if isinstance(obj, np.ndarray) else np.asarray(memoryview(obj))
    assert view.shape == direct.shape
    assert view.strides == direct.strides
    assert view.size == 0 or pointer(view) == pointer(direct)
    if writeable:
        assert pointer(write(obj)) == pointer(view)
    else:
        with pytest.raises(ValueError, match=r"ufuse\.sum: argument 'out' \(\w+\) is read-only"):
            write(obj)
    del view, direct  # an mmap with views cannot be closed


def test_memmap_and_read_only_file(tmp_path):
    path = tmp_path / "data"
    np.arange(10, dtype=np.int32).tofile(path)
    mapped = np.memmap(path, np.int32, mode="r")
    view = read(mapped)
    assert type(view) is np.ndarray
    assert pointer(view) == pointer(mapped)
    with pytest.raises(ValueError, match="read-only"):
        write(mapped)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">i8", "?", "<c16"])
@pytest.mark.parametrize("key", [(), np.s_[::-2, 1:], np.s_[:0], np.s_[1, 2]])
def test_array_interface(dtype, key):
    base = np.ones((4, 5), dtype)[key][...]
    holder = type("Holder", (), {"__array_interface__": base.__array_interface__})()
    view = read(holder)
    assert (view.dtype, view.shape) == (base.dtype, base.shape)
    if view.size:
        assert (pointer(view), view.strides) == (pointer(base), base.strides)
        assert pointer(write(holder)) == pointer(base)


@pytest.mark.parametrize("obj", [[[1, 2], [3, 4]], (1.5,), 2.5, 3, True, 1j, np.float32(2), []])
def test_sequences_and_scalars_as_numpy_reads_them(obj):
    np.testing.assert_array_equal(read(obj), np.asarray(obj), strict=True)


def test_array_method_may_copy_but_is_no_output():
    class Series:
        def __array__(self, dtype=None, copy=None):
            return np.arange(3)

    np.testing.assert_array_equal(read(Series()), [0, 1, 2])
    with pytest.raises(TypeError, match="no memory that a result can be written to"):
        write(Series())


@pytest.mark.parametrize("obj", [[1, 2], 3.5, np.float64(1), np.bool_(0), (1,), None, object()])
def test_no_memory_to_write_to(obj):
    with pytest.raises(TypeError, match=r"ufuse\.sum: argument 'out'.*expected an ndarray"):
        write(obj)


@pytest.mark.parametrize(
    ("obj", "error", "words"),
    [
        ("text", TypeError, "no array of numbers: NumPy reads it as dtype <U4"),
        (None, TypeError, "dtype object"),
        ([object()], TypeError, "dtype object"),
        ([[1, 2], [3]], ValueError, "cannot be read as an array"),
        (np.void(b"ab"), TypeError, "no array of numbers"),
        (np.ma.array([1, 2], mask=[0, 1]), TypeError, r"x\.filled\(value\)"),
    ],
)
def test_what_is_no_array_of_numbers(obj, error, words):
    with pytest.raises(error, match=r"^ufuse\.sum: argument 'x' \([\w.]+\).*" + words):
        read(obj)
    if isinstance(obj, np.ma.MaskedArray):
        with pytest.raises(error, match=r"argument 'out'.*masked array"):
            write(obj)


def test_released_and_closed_buffers():
    released = memoryview(b"abc")
    released.release()
    closed = mmap.mmap(-1, 16)
    closed.close()
    for obj in (released, closed):
        for reader in (read, write):
            with pytest.raises((ValueError, TypeError), match=r"ufuse\.sum: argument"):
                reader(obj)


# ---------------------------------------------------------------- devices


class FakeCuda:
    @property
    def __cuda_array_interface__(self):
        return {"shape": (3,), "typestr": "<f4", "data": (4096, False), "version": 3}


def test_device_of():
    assert device_of(np.ones(3)) == device_of([1]) == CPU
    assert device_of(FakeCuda()) == Device("cuda", None)
    assert device_of(Returns(None, (2, 1))) == Device("cuda", 1)
    assert device_of(Returns(None, (3, 0))) == CPU  # pinned
    assert device_of(Returns(None, (77, 5))) == Device("DLPack type 77", 5)


@pytest.mark.parametrize("reader", [read, write])
@pytest.mark.parametrize(
    ("obj", "words"),
    [
        (FakeCuda(), r"is on a CUDA device \([\w.]*FakeCuda\); CUDA arrays are not supported"),
        (
            Returns(None, (2, 1)),
            r"is on CUDA device 1 .*; pass (a copy of x|an output) in host memory",
        ),
        (Returns(None, (8, 0)), "is on Metal device 0"),
        (
            type("ndarray", (Returns,), {"__module__": "cupy"})(None, (2, 0)),
            r".*; pass (x\.get\(\)|an output in host memory)$",
        ),
    ],
)
def test_arrays_off_the_host_are_refused(obj, words, reader):
    with pytest.raises(TypeError, match=r"^ufuse\.sum: argument '(x|out)' " + words):
        reader(obj)


@pytest.mark.parametrize("answer", [None, 3, (1,), ("a", "b")])
def test_a_malformed_device(answer):
    with pytest.raises(BufferError, match=r"must give \(device type, index\)"):
        read(Returns(None, answer))


# ---------------------------------------------------------------- jax, pandas


def test_jax():
    jnp = pytest.importorskip("jax.numpy")
    for dtype in ("float32", "bfloat16", "float8_e4m3fn", "int4"):
        x = jnp.ones((2, 3), dtype)
        view = read(x)
        assert (view.dtype, view.shape) == (x.dtype, x.shape)
        assert not view.flags.writeable
        assert dtype == "int4" or pointer(view) == x.unsafe_buffer_pointer()
    with pytest.raises(ValueError, match="read-only"):
        write(jnp.ones(3))
    assert type(wrap_like(np.ones(3), jnp.ones(3))) is np.ndarray


def test_pandas():
    pandas = pytest.importorskip("pandas")
    series = pandas.Series([1.5, 2.5])
    assert pointer(read(series)) == pointer(series.to_numpy())
    with pytest.raises(TypeError, match="dtype object"):
        read(pandas.Series(["a", None], dtype=object))


# ---------------------------------------------------------------- what importing costs


def test_importing_loads_no_other_library():
    code = """
import sys
import ufuse.interop as interop
x = interop.asarray(bytearray(8), function="f", argument="x")
interop.wrap_like(x, bytearray(8))
interop.asarray([1, 2], function="f", argument="x")
print(*sorted(sys.modules.keys() & {"torch", "ml_dtypes", "jax", "cupy", "pandas", "numpy.ma"}))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_no_call_keeps_its_output() -> None:
    """A function that called itself was a cycle, and held `out` until a collection."""
    x = np.float32([[1, -2, 3, 4], [5, 6, 7, 8]])
    codes, scale = np.ones((2, 4), np.int8), np.float32([0.5, 2])
    bytes_ = np.zeros((1, 18), np.uint8)
    q = uf.quantize(x, "int8", axis=0)
    calls: list[tuple[Any, tuple[int, ...], Any]] = [
        (lambda out: uf.quantize_linear(x, scale, axis=0, dtype="int8", out=out), (2, 4), np.int8),
        (lambda out: uf.dequantize_linear(codes, scale, axis=0, out=out), (2, 4), np.float32),
        (lambda out: uf.fake_quantize(x, scale, axis=0, out=out), (2, 4), np.float32),
        (lambda out: uf.dynamic_quantize_linear(x[:, ::2], out=out), (2, 2), np.uint8),
        (lambda out: uf.cast(x, np.float16, out=out), (2, 4), np.float16),
        (lambda out: uf.pack(codes, "int4", out=out), (2, 2), np.uint8),
        (lambda out: uf.formats.gguf.dequantize(bytes_, "Q4_0", out=out), (1, 32), np.float32),
        (lambda out: q.dequantize(out=out), (2, 4), np.float32),
        (lambda out: uf.cumsum(x, axis=1, out=out), (2, 4), np.float32),
        (lambda out: uf.einsum("ij,kj->ik", x, x, out=out), (2, 2), np.float32),
    ]
    gc.collect()
    gc.disable()
    try:
        for call, shape, dtype in calls:
            out = np.zeros(shape, dtype)
            call(out)
            kept = weakref.ref(out)
            del out
            assert kept() is None
    finally:
        gc.enable()
