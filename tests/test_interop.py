"""Other libraries' arrays in and out: same memory, same bits, owners kept alive, bad ones refused.

DLPack capsules are made here from bytes laid out as in dlpack.h, so that every field can be wrong.
"""

import array
import ctypes
import gc
import mmap
import struct
import subprocess
import sys

import numpy as np
import pytest

from ufuse.interop import CPU, Device, accepts_buffers, as_output, asarray, device_of, wrap_like

MAX_INT64 = 2**63 - 1


def read(obj):
    return asarray(obj, function="ufuse.sum", argument="x")


def write(obj):
    return as_output(obj, function="ufuse.sum")


def pointer(array_):
    return array_.__array_interface__["data"][0]


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


@pytest.mark.parametrize("obj", [[1, 2], 3.5, (1,), None, object()])
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


# ---------------------------------------------------------------- DLPack, made by hand


def _capsule_function(name, result, *arguments):
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_Destructor = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_new = _capsule_function(
    "PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
)
_is_valid = _capsule_function("PyCapsule_IsValid", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
_name_of = _capsule_function("PyCapsule_GetName", ctypes.c_char_p, ctypes.py_object)


class Exporter:
    """A DLPack producer whose every field can be set, and that counts calls of its deleter."""

    def __init__(self, *, versioned, memory=None, **fields):
        self.memory = np.arange(24.0) if memory is None else memory
        self.versioned = versioned
        self.name = b"dltensor_versioned" if versioned else b"dltensor"
        self.device = (1, 0)
        self.deleted = 0
        self.asked = []
        self.fields = {
            "data": pointer(self.memory),
            "device": (1, 0),
            "ndim": self.memory.ndim,
            "dtype": (2, 64, 1),
            "shape": self.memory.shape,
            "strides": [step // self.memory.itemsize for step in self.memory.strides],
            "offset": 0,
            "version": (1, 0),
            "flags": 0,
        } | fields
        self._deleter = _Deleter(self._delete)
        self._destructor = _Destructor(self._destroy)

    def _delete(self, address):
        assert address == ctypes.addressof(self.struct)
        self.deleted += 1

    def _destroy(self, capsule):  # what dlpack.h asks of a capsule nobody has used
        if _is_valid(capsule, self.name):
            self._delete(ctypes.addressof(self.struct))

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **options):
        self.asked.append(options)
        if options and not self.versioned:
            raise TypeError("unexpected keyword argument")
        f = self.fields
        self.arrays = [
            None if f[key] is None else (ctypes.c_int64 * max(len(f[key]), 1))(*f[key])
            for key in ("shape", "strides")
        ]
        addresses = [0 if a is None else ctypes.addressof(a) for a in self.arrays]
        tensor = struct.pack(
            "@QiiiBBHQQQ", f["data"], *f["device"], f["ndim"], *f["dtype"], *addresses, f["offset"]
        )
        owner = struct.pack(
            "@QQ", 0, f.get("deleter", ctypes.cast(self._deleter, ctypes.c_void_p).value)
        )
        content = tensor + owner
        if self.versioned:
            content = (
                struct.pack("@II", *f["version"]) + owner + struct.pack("@Q", f["flags"]) + tensor
            )
        self.struct = ctypes.create_string_buffer(content, len(content))
        address = ctypes.addressof(self.struct)
        destructor = ctypes.cast(self._destructor, ctypes.c_void_p).value
        self.capsule = _new(address, self.name, destructor)
        capsule, self.capsule = self.capsule, None
        return capsule


both = pytest.mark.parametrize("versioned", [True, False])


@both
def test_deleter_runs_once_when_the_last_view_dies(versioned):
    source = Exporter(versioned=versioned)
    view = read(source)
    assert pointer(view) == pointer(source.memory)
    np.testing.assert_array_equal(view, source.memory)
    assert source.asked == (
        [{"max_version": (1, 0)}] if versioned else [{"max_version": (1, 0)}, {}]
    )
    part = view[3:].view(np.int64)
    del view
    gc.collect()
    assert source.deleted == 0
    assert part.size == 21
    del part
    gc.collect()
    assert source.deleted == 1


@both
def test_a_null_deleter_is_allowed(versioned):
    source = Exporter(versioned=versioned, deleter=0)
    assert read(source)[2] == 2.0
    gc.collect()
    assert source.deleted == 0


@both
@pytest.mark.parametrize(
    "memory",
    [
        np.arange(24.0).reshape(2, 3, 4)[::-1, :, ::2],
        np.arange(24.0).reshape(4, 6).T,
        np.broadcast_to(np.arange(3.0), (5, 3)),
        np.array(4.0),
        np.ones((0, 3)),
        np.ones((1,) * 64),
    ],
    ids=["negative", "transposed", "broadcast", "0-d", "empty", "64-d"],
)
def test_layouts(versioned, memory):
    view = read(Exporter(versioned=versioned, memory=memory))
    np.testing.assert_array_equal(view, memory, strict=True)
    if memory.size:
        assert (pointer(view), view.strides) == (pointer(memory), memory.strides)


@both
def test_null_strides_are_c_order_and_offsets_count(versioned):
    source = Exporter(versioned=versioned, shape=(2, 3), ndim=2, strides=None, offset=8)
    np.testing.assert_array_equal(read(source), np.arange(1.0, 7.0).reshape(2, 3))
    assert read(source).flags.c_contiguous


def test_strides_never_used_may_be_absurd():
    source = Exporter(versioned=True, shape=(1, 24), ndim=2, strides=(MAX_INT64, 1))
    np.testing.assert_array_equal(read(source), source.memory[None])
    empty = Exporter(versioned=True, shape=(0, 5), ndim=2, strides=(MAX_INT64, -MAX_INT64), data=0)
    assert read(empty).shape == (0, 5)
    gc.collect()
    assert (source.deleted, empty.deleted) == (1, 1)


@pytest.mark.parametrize(("flags", "writeable"), [(0, True), (1, False), (2, False), (3, False)])
def test_flags(flags, writeable):
    source = Exporter(versioned=True, flags=flags)
    assert read(source).flags.writeable is writeable
    if writeable:
        write(source)[0] = 9.0
        assert source.memory[0] == 9.0
    else:
        with pytest.raises(ValueError, match="read-only"):
            write(source)


def test_an_unversioned_capsule_cannot_promise_to_be_writable():
    with pytest.raises(ValueError, match="read-only"):
        write(Exporter(versioned=False))


@both
@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"ndim": -1}, ValueError, "ndim -1, expected 0 to 64"),
        ({"ndim": 65}, ValueError, "ndim 65, expected 0 to 64"),
        ({"ndim": 2**31 - 1}, ValueError, "ndim 2147483647"),
        ({"shape": None}, ValueError, "no shape"),
        ({"shape": (-3,)}, ValueError, "negative extent"),
        ({"shape": (2**62,)}, ValueError, "larger than memory"),
        ({"shape": (2**32, 2**32), "strides": (0, 0), "ndim": 2}, ValueError, "larger than"),
        ({"shape": (0, MAX_INT64), "strides": (0, 0), "ndim": 2}, ValueError, "larger than"),
        ({"strides": (MAX_INT64,)}, ValueError, "outside the address space"),
        ({"strides": (-MAX_INT64,)}, ValueError, "outside the address space"),
        ({"strides": (2**59,)}, ValueError, "outside the address space"),
        ({"offset": 2**64 - 8}, ValueError, "outside the address space"),
        ({"data": 0}, ValueError, "no data"),
        ({"dtype": (2, 64, 2)}, BufferError, "packs 2 values"),
        ({"dtype": (2, 64, 0)}, BufferError, "packs 0 values"),
        ({"dtype": (3, 64, 1)}, BufferError, "none that ndarrays have"),
        ({"dtype": (99, 8, 1)}, BufferError, r"code 99, 8 bits"),
        ({"dtype": (2, 0, 1)}, BufferError, r"code 2, 0 bits"),
        ({"dtype": (17, 4, 1)}, BufferError, "float4_e2m1fn, packed below a byte"),
        ({"device": (2, 3)}, BufferError, "CUDA device 3, expected host memory"),
    ],
)
def test_malformed_tensors(versioned, fields, error, words):
    source = Exporter(versioned=versioned, **fields)
    with pytest.raises(error, match=r"ufuse\.sum: argument 'x' \([\w.]*Exporter\).*" + words):
        read(source)
    gc.collect()
    assert source.deleted == 1, "a refused capsule frees its tensor itself"


def test_a_later_major_version_is_refused_unread():
    source = Exporter(versioned=True, version=(2, 0), ndim=99)
    with pytest.raises(BufferError, match=r"version is 2\.0, expected 1\.x"):
        read(source)
    gc.collect()
    assert source.deleted == 1


class Returns:
    """Its ``__dlpack__`` gives what it is told."""

    def __init__(self, answer, device=(1, 0)):
        self.answer, self.device = answer, device

    def __dlpack__(self, **options):
        return self.answer

    def __dlpack_device__(self):
        return self.device


@both
def test_a_capsule_is_used_once(versioned):
    source = Exporter(versioned=versioned)
    capsule = source.__dlpack__(**({"max_version": (1, 0)} if versioned else {}))
    view = read(Returns(capsule))
    assert _name_of(capsule) == b"used_" + source.name
    with pytest.raises(ValueError, match="used already"):
        read(Returns(capsule))
    del view, capsule
    gc.collect()
    assert source.deleted == 1


@pytest.mark.parametrize("name", [b"tensor", b"", None])
def test_a_foreign_capsule(name):
    content = ctypes.create_string_buffer(8)
    with pytest.raises(ValueError, match="expected 'dltensor' or 'dltensor_versioned'"):
        read(Returns(_new(ctypes.addressof(content), name, None)))


@pytest.mark.parametrize("answer", [None, 3, "dltensor", np.ones(3)])
def test_no_capsule_at_all(answer):
    with pytest.raises(ValueError, match="expected a PyCapsule"):
        read(Returns(answer))


def test_padded_sub_byte_types():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    memory = np.array([1, -2, 3], ml_dtypes.int4)
    source = Exporter(versioned=True, memory=memory.view(np.int8), dtype=(0, 4, 1), flags=4)
    np.testing.assert_array_equal(read(source), memory, strict=True)


def test_float8_says_when_ml_dtypes_is_missing(monkeypatch):
    from ufuse.interop.lowprecision import low_precision_dtype

    low_precision_dtype.cache_clear()
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    source = Exporter(versioned=True, memory=np.zeros(4, np.uint8), dtype=(10, 8, 1))
    with pytest.raises(ImportError, match=r"argument 'x'.*float8_e4m3fn.*pip install ml_dtypes"):
        read(source)


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


# ---------------------------------------------------------------- torch, jax, pandas


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


LOW_PRECISION = [
    "bfloat16",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
]
NATIVE = ["bool", "int8", "uint8", "int64", "uint16", "float16", "float32", "float64", "complex64"]


def element_type(name):
    return getattr(pytest.importorskip("ml_dtypes"), name) if name in LOW_PRECISION else name


@pytest.mark.parametrize("name", NATIVE + LOW_PRECISION)
def test_torch_dtypes_both_ways(torch, name):
    if not hasattr(torch, name):
        pytest.skip(f"this torch has no {name}")
    expected = np.array([[0.5, 1, 2], [4, 8, 16]]).astype(element_type(name))
    tensor = torch.tensor([[0.5, 1, 2], [4, 8, 16]]).to(getattr(torch, name))
    for make in (
        lambda t: t,
        lambda t: t.T,
        lambda t: t[:, ::2],
        lambda t: t[1, 2],
        lambda t: t[:0],
    ):
        view = read(make(tensor))
        assert view.dtype == expected.dtype
        assert view.tobytes() == make(expected).tobytes()
        assert view.size == 0 or pointer(view) == make(tensor).data_ptr()
        assert view.shape == tuple(make(tensor).shape)
        back = wrap_like(view, tensor)
        assert type(back) is torch.Tensor
        assert (back.dtype, back.shape) == (tensor.dtype, make(tensor).shape)
        assert view.size == 0 or back.data_ptr() == make(tensor).data_ptr()


def test_torch_output_is_written_in_place(torch):
    tensor = torch.zeros(3, 4)
    write(tensor.T)[...] = np.arange(12.0).reshape(4, 3)
    assert tensor[2].tolist() == [2.0, 5.0, 8.0, 11.0]


def test_torch_view_outlives_the_tensor(torch):
    view = read(torch.full((1000,), 3.0))
    gc.collect()
    assert view.sum() == 3000


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda t: t.ones(3, requires_grad=True), r"use tensor\.detach\(\)"),
        (lambda t: t.nn.Parameter(t.ones(3)), r"use tensor\.detach\(\)"),
        (lambda t: t.ones(3, dtype=t.complex64).conj(), "conjugate bit"),
        (lambda t: t.ones(3, dtype=t.complex64).conj().imag, r"use tensor\.resolve_neg\(\)"),
        (lambda t: t.eye(3).to_sparse(), "layout other than torch.strided"),
        (lambda t: t.ones(3, device="meta"), "meta"),
    ],
)
def test_torch_tensors_that_cannot_be_shared(torch, make, words):
    tensor = make(torch)
    for reader in (read, write):
        with pytest.raises(BufferError, match=r"ufuse\.sum: argument '(x|out)'.*torch.*" + words):
            reader(tensor)


def test_packed_float4_says_what_to_do(torch):
    if not hasattr(torch, "float4_e2m1fn_x2"):
        pytest.skip("this torch has no float4")
    packed = torch.zeros(4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    with pytest.raises(BufferError, match=r"packs 2 values.*as uint8"):
        read(packed)


def test_results_follow_the_first_tensor(torch):
    tensor, x = torch.ones(2), np.arange(4.0)
    assert wrap_like(x, x, [1, 2], None) is x
    assert wrap_like(x, x, [1], tensor).data_ptr() == pointer(x)
    scalar = wrap_like(np.float32(2), tensor)
    assert (scalar.shape, scalar.dtype, scalar.item()) == ((), torch.float32, 2.0)
    low, high = wrap_like((x.min(), x), tensor)
    assert (low.item(), high.tolist()) == (0.0, x.tolist())


def test_results_torch_cannot_express(torch):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x, tensor = np.arange(6.0, dtype=np.float32), torch.ones(1)
    fixed = x.copy()
    fixed.flags.writeable = False
    wide = np.frombuffer(bytearray(30), np.uint8).view("u1,<f4")["f1"]
    for awkward in (x[::-1], fixed, x.astype(">f4"), wide):
        assert wrap_like(awkward, tensor).tolist() == awkward.tolist()
    for unknown in (np.zeros(2, ml_dtypes.int4), np.zeros(2, np.longdouble)):
        assert wrap_like(unknown, tensor) is unknown


@accepts_buffers("x", "scale")
def scaled(x, scale=1.0, *, out=None):
    assert type(x) is np.ndarray
    return np.multiply(x, scale, out=out)


def test_a_decorated_function(torch):
    assert scaled(np.float32([1, 2]), 3.0).dtype == np.float32, "Python scalars stay weak"
    assert type(scaled(torch.ones(3), scale=torch.full((3,), 2.0))) is torch.Tensor
    assert scaled([1, 2], np.float64(2)).tolist() == [2.0, 4.0]
    result = torch.empty(3)
    assert scaled(x=torch.ones(3), out=result) is result
    assert result.tolist() == [1.0, 1.0, 1.0]
    memory = array.array("d", [0, 0])
    assert scaled([1.0, 2.0], out=memory) is memory
    assert memory.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match=r"ufuse\.scaled: argument 'out' \(bytes\) is read-only"):
        scaled([1.0], out=b"12345678")
    with pytest.raises(TypeError, match=r"ufuse\.scaled: argument 'scale' \(str\)"):
        scaled([1.0], "two")
    with pytest.raises(TypeError, match=r"no parameters \['y'\]"):
        accepts_buffers("y")(scaled.__wrapped__)


def test_a_decorated_function_with_several_outputs(torch):
    @accepts_buffers("x", function="uf.minmax")
    def minmax(x, out=(None, None)):
        return np.min(x, out=out[0]), np.max(x, out=out[1])

    low = torch.empty(())
    results = minmax(torch.arange(3.0), (low, None))
    assert results[0] is low
    assert [part.item() for part in results] == [0.0, 2.0]


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


def test_views_alive_at_exit_are_harmless():
    pytest.importorskip("torch")
    code = """
import torch
from ufuse.interop import asarray
kept = [asarray(torch.ones(9), function="f", argument="x")]
kept.append(kept)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
