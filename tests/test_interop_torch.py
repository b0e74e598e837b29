"""torch tensors in and out: dtypes, owners, results in the kind of the arguments."""

import array
import gc
import subprocess
import sys

import numpy as np
import pytest

from test_interop import pointer, read, write
from ufuse.interop import accepts_buffers, wrap_like


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
