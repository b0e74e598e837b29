"""DLPack in and out: every field of a capsule right and wrong, and who frees what when.

Capsules are made here from bytes laid out as in dlpack.h, so that every field can be wrong.
"""

import ctypes
import gc
import struct
import sys

import numpy as np
import pytest

from test_interop import Returns, pointer, read, write

MAX_INT64 = 2**63 - 1


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
