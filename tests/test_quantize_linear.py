"""Linear quantization against its formula, onnxruntime and ONNX's own cases."""

from __future__ import annotations

import array
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ufuse as uf
from ufuse.catalogue import formulas
from ufuse.catalogue.operations import pack_limits

CODES = [np.int8, np.uint8]
HOSTILE = np.float32(
    [
        0.0,
        -0.0,
        np.nan,
        np.inf,
        -np.inf,
        1e-45,
        -1e-45,
        1e-38,
        3e38,
        -3e38,
        0.5,
        1.5,
        2.5,
        -0.5,
        -1.5,
    ]
)


def near_ties(scale: np.float32, count: int = 4096) -> np.ndarray:
    """Numbers whose quotient by `scale` is a tie, or one step from it: where conventions differ."""
    steps = (np.arange(count, dtype=np.float32) - count // 2 + np.float32(0.5)) / 16
    with np.errstate(over="ignore"):
        ties = steps * scale
        up, down = np.nextafter(ties, np.float32(np.inf)), np.nextafter(ties, np.float32(-np.inf))
    return np.concatenate([ties, up, down])


def expected(x: np.ndarray, scale: object, zero: object, code: type) -> np.ndarray:
    limits = pack_limits(np.iinfo(code).min, np.iinfo(code).max)
    scales, zeros = np.asarray(scale, np.float32), np.asarray(zero, code)
    return formulas.quantize_linear(x, scales, zeros, limits)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("size", [0, 1, 2, 15, 16, 17, 63, 64, 65, 100, 1023, 1024, 1025, 100_001])
def test_sizes(code: type, size: int) -> None:
    x = np.random.default_rng(size).normal(0, 40, size).astype(np.float32)
    np.testing.assert_array_equal(
        uf.quantize_linear(x, 0.37, dtype=code), expected(x, 0.37, 0, code)
    )


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("zero", [0, 1, 3, 100])
@pytest.mark.parametrize("scale", [0.1, 1.0, 0.00214854861, 1e-40, 3e38, 0.0])
def test_hostile_values_and_ties(code: type, zero: int, scale: float) -> None:
    x = np.concatenate([HOSTILE, near_ties(np.float32(scale))])
    with np.errstate(all="ignore"):
        want = expected(x, scale, zero, code)
    got = uf.quantize_linear(x, np.float32(scale), code(zero))
    np.testing.assert_array_equal(got, want)
    fake = uf.fake_quantize(x, np.float32(scale), code(zero))
    np.testing.assert_array_equal(
        fake, formulas.dequantize_linear(want, np.float32(scale), code(zero))
    )


def test_reciprocal_is_not_division() -> None:
    """QUANT: scale .00214854861, x .273939937 gives 127 by division, 128 by reciprocal."""
    assert uf.quantize_linear(np.float32([0.273939937]), np.float32(0.00214854861)) == [127]


def test_nan_gives_the_smallest_code() -> None:
    nan = np.float32([np.nan])
    assert uf.quantize_linear(nan, 1.0, dtype=np.int8) == [-128]
    assert uf.quantize_linear(nan, 1.0, 7) == [0]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_axis_of_any_layout(code: type, axis: int) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0, 30, (5, 67, 33)).astype(np.float32)
    scale = rng.uniform(0.01, 2, x.shape[axis]).astype(np.float32)
    zero = rng.integers(0, 90, x.shape[axis]).astype(code)
    shape = [-1 if i == axis % 3 else 1 for i in range(3)]
    want = expected(x, scale.reshape(shape), zero.reshape(shape), code)
    for layout in (x, np.asfortranarray(x), np.repeat(x, 2, axis=2)[..., ::2], x[::-1][::-1]):
        got = uf.quantize_linear(layout, scale, zero, axis=axis)
        np.testing.assert_array_equal(got, want)
        back = uf.dequantize_linear(got, scale, zero, axis=axis)
        np.testing.assert_array_equal(
            back, formulas.dequantize_linear(want, scale.reshape(shape), zero.reshape(shape))
        )
        np.testing.assert_array_equal(uf.fake_quantize(layout, scale, zero, axis=axis), back)


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=0, max_dims=4, max_side=9),
        elements=st.floats(width=32, allow_nan=True),
    ),
    st.floats(2.0**-20, 2.0**20, width=32),
    st.integers(-128, 127),
)
def test_any_shape_and_value(x: np.ndarray, scale: float, zero: int) -> None:
    with np.errstate(all="ignore"):
        want = expected(x, scale, zero, np.int8)
    np.testing.assert_array_equal(uf.quantize_linear(x, scale, zero, dtype=np.int8), want)


def test_every_code_comes_back() -> None:
    for code in CODES:
        info = np.iinfo(code)
        codes = np.arange(info.min, info.max + 1).astype(code)
        values = uf.dequantize_linear(codes, 0.25, code(3))
        np.testing.assert_array_equal(uf.quantize_linear(values, 0.25, code(3)), codes)


def test_int32_codes_dequantize() -> None:
    q = np.int32([2**31 - 1, -(2**31), 0, 12345])
    np.testing.assert_array_equal(
        uf.dequantize_linear(q, np.float32(0.5)), q.astype(np.float32) * np.float32(0.5)
    )


def test_int32_differences_do_not_wrap() -> None:
    """They once did: -2**31 - 5 was 2**31 - 5."""
    q = np.int32([-(2**31), 2**31 - 1])
    for dtype in (np.float32, np.float64):
        got = uf.dequantize_linear(q, 1.0, np.int32(5), dtype=dtype)
        np.testing.assert_array_equal(got, (q.astype(np.int64) - 5).astype(dtype))
    assert uf.requantize(q, 1.0, 5, 1e7, dtype="int16").tolist() == [-215, 215]


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_floats(dtype: type) -> None:
    x = np.linspace(-20, 20, 1001).astype(dtype)
    wide = np.float64 if dtype == np.float64 else np.float32  # of float16, the quotient is float32
    want = np.clip(np.rint(x.astype(wide) / wide(dtype(0.3))) + 2, -128, 127).astype(np.int8)
    np.testing.assert_array_equal(uf.quantize_linear(x, dtype(0.3), np.int8(2)), want)
    assert uf.fake_quantize(x, dtype(0.3), np.int8(2)).dtype == dtype


def test_out_and_in_place() -> None:
    x = np.linspace(-3, 3, 1000, dtype=np.float32)
    out = np.empty(1000, np.uint8)
    assert uf.quantize_linear(x, 0.1, 7, out=out) is out
    np.testing.assert_array_equal(out, expected(x, 0.1, 7, np.uint8))
    y = x.copy()
    want = uf.fake_quantize(x, 0.1, dtype=np.int8)
    assert uf.fake_quantize(y, 0.1, dtype=np.int8, out=y) is y
    np.testing.assert_array_equal(y, want)


def test_out_may_overlap() -> None:
    x = np.linspace(-3, 3, 1001, dtype=np.float32)
    for source, target in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        buffer = x.copy()
        want = uf.fake_quantize(x[source].copy(), 0.1, dtype=np.int8)
        uf.fake_quantize(buffer[source], 0.1, dtype=np.int8, out=buffer[target])
        np.testing.assert_array_equal(buffer[target], want)
    # codes written over the start of the very array they are made from
    buffer = x.copy()
    codes = buffer.view(np.int8)[: x.size]
    want = uf.quantize_linear(x, 0.1, dtype=np.int8)
    uf.quantize_linear(buffer, 0.1, dtype=np.int8, out=codes)
    np.testing.assert_array_equal(codes, want)


def test_read_only_byte_swapped_and_unaligned_inputs() -> None:
    x = np.linspace(-3, 3, 333, dtype=np.float32)
    want = uf.quantize_linear(x, 0.1)
    frozen = x.copy()
    frozen.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32)
    for source in (frozen, x.astype(">f4"), unaligned, x[::-1][::-1], array.array("f", x)):
        np.testing.assert_array_equal(uf.quantize_linear(source, 0.1), want)


ERRORS = {
    "dtype of x": (lambda x: uf.quantize_linear(x.astype(np.int32), 0.1), TypeError, "'x'.*int32"),
    "dtype of codes": (
        lambda x: uf.quantize_linear(x, 0.1, dtype=np.int32),
        TypeError,
        "'dtype': expected int8, uint8.*int32",
    ),
    "zero_point range": (
        lambda x: uf.quantize_linear(x, 0.1, 300),
        ValueError,
        "zero_point.*0 to 255.*300",
    ),
    "zero_point dtype": (
        lambda x: uf.quantize_linear(x, 0.1, np.int8(1), dtype=np.uint8),
        TypeError,
        "zero_point",
    ),
    "zero_point float": (lambda x: uf.quantize_linear(x, 0.1, 0.5), TypeError, "zero_point"),
    "scale without axis": (
        lambda x: uf.quantize_linear(x, np.ones(4, np.float32)),
        ValueError,
        "pass axis=",
    ),
    "scale length": (
        lambda x: uf.quantize_linear(x, np.ones(5, np.float32), axis=1),
        ValueError,
        r"expected 4 values for axis 1.*got 5",
    ),
    "scale shape": (
        lambda x: uf.quantize_linear(x, np.ones((3, 4), np.float32), axis=1),
        ValueError,
        "scale",
    ),
    "axis": (
        lambda x: uf.quantize_linear(x, np.ones(4, np.float32), axis=2),
        np.exceptions.AxisError,
        "axis 2",
    ),
    "out shape": (
        lambda x: uf.quantize_linear(x, 0.1, out=np.empty(12, np.uint8)),
        ValueError,
        "'out'",
    ),
    "out dtype": (
        lambda x: uf.quantize_linear(x, 0.1, out=np.empty((3, 4), np.int8)),
        TypeError,
        "'out'",
    ),
    "codes of another dtype": (
        lambda x: uf.dequantize_linear(x, 0.1),
        TypeError,
        "expected codes: int32, int8, uint8.*got dtype float32",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_input(case: str) -> None:
    call, kind, message = ERRORS[case]
    with pytest.raises(kind, match=message) as caught:
        call(np.ones((3, 4), np.float32))
    assert "ufuse." in str(caught.value)


def test_read_only_out_is_refused() -> None:
    out = np.zeros(4, np.uint8)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        uf.quantize_linear(np.ones(4, np.float32), 0.1, out=out)


def test_onnxruntime_agrees() -> None:
    """The C++ oracle, on random, near-tie and hostile values."""
    ort = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    helper, proto = onnx.helper, onnx.TensorProto
    rng = np.random.default_rng(7)
    scale = np.float32(0.0371)
    x = np.concatenate([rng.normal(0, 5, 100_000), near_ties(scale), HOSTILE]).astype(np.float32)
    for code, kind in ((np.int8, proto.INT8), (np.uint8, proto.UINT8)):
        graph = helper.make_graph(
            [
                helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
                helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
            ],
            "g",
            [helper.make_tensor_value_info("x", proto.FLOAT, [None])],
            [
                helper.make_tensor_value_info("q", kind, [None]),
                helper.make_tensor_value_info("y", proto.FLOAT, [None]),
            ],
            [
                onnx.numpy_helper.from_array(scale, "s"),
                onnx.numpy_helper.from_array(np.asarray(5, code), "z"),
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        session = ort.InferenceSession(model.SerializeToString())
        q, y = session.run(None, {"x": x})
        np.testing.assert_array_equal(uf.quantize_linear(x, scale, code(5)), q)
        np.testing.assert_array_equal(uf.dequantize_linear(q, scale, code(5)), y)


def test_quantized_array() -> None:
    rng = np.random.default_rng(3)
    w = rng.normal(0, 1, (7, 33)).astype(np.float32)
    w[3] = 0
    q = uf.quantize(w, "int8", axis=0)
    scale = np.abs(w).max(axis=1) / np.float32(127)
    scale[3] = 1
    np.testing.assert_array_equal(q.scale, scale)
    np.testing.assert_array_equal(q.data, np.rint(w / scale[:, None]).astype(np.int8))
    np.testing.assert_array_equal(q.dequantize(), q.data * scale[:, None])
    assert q.shape == w.shape and q.nbytes == w.size + 7 * 4 + 1 and q.zero_point == 0
    whole = uf.quantize(w)
    assert whole.scale.shape == () and whole.axis is None
    with pytest.raises(ValueError, match="finite"):
        uf.quantize(np.float32([1, np.inf]))
    with pytest.raises(ValueError, match="scheme"):
        uf.quantize(w, "int3")
    with pytest.raises(TypeError, match="float32"):
        uf.quantize(w.astype(np.complex64))


# --- records ---


def test_quantized_array_is_checked() -> None:
    data, scale, zero = np.ones((2, 3), np.int8), np.ones(3, np.float32), np.int8(0)
    assert uf.QuantizedArray(data, scale, zero, axis=-1).axis == 1
    for arguments, error, message in (
        (([[1]], scale, zero, 1), TypeError, "'data': expected an ndarray of int8, got list"),
        ((data.astype(np.uint8), scale, zero, 1), TypeError, "'data': expected dtype int8, got"),
        ((data, np.ones(3), zero, 1), TypeError, "'scale': expected dtype float32, got"),
        ((data, scale, np.uint8(0), 1), TypeError, "'zero_point': expected dtype int8, got"),
        ((data, scale, np.zeros(1, np.int8), 1), ValueError, "'zero_point': expected a 0-d array"),
        ((data, scale, zero, 0), ValueError, r"'scale': expected shape \(2,\).*got shape \(3,\)"),
        ((data, scale, zero), ValueError, r"'scale': expected shape \(\).*got shape \(3,\)"),
        ((data, scale[0], zero, 1), ValueError, r"'scale': expected shape \(3,\).*got shape \(\)"),
        ((data, scale, zero, 2), np.exceptions.AxisError, "axis 2 is out of bounds"),
        ((data, scale, zero, "x"), TypeError, "'axis': expected an int or None, got 'x'"),
    ):
        with pytest.raises(error, match=r"ufuse\.QuantizedArray: .*" + message):
            uf.QuantizedArray(*arguments)


def test_quantized_array_is_read_only_and_the_callers_arrays_are_not() -> None:
    data, scale = np.ones((2, 3), np.int8), np.ones(2, np.float32)
    q = uf.QuantizedArray(data, scale, np.zeros((), np.int8), axis=0)
    for part in (q.data, q.scale, q.zero_point):
        assert type(part) is np.ndarray
        with pytest.raises(ValueError, match="read-only"):
            part[...] = 2
    assert np.shares_memory(q.data, data) and np.shares_memory(q.scale, scale)
    data[0, 0], scale[0] = 2, 3
    again = pickle.loads(pickle.dumps(q))
    np.testing.assert_array_equal(again.data, q.data)
    assert not again.data.flags.writeable and again.axis == 0


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_quantize_takes_byte_swapped_arrays(axis: int | None) -> None:
    x = np.random.default_rng(5).normal(size=(6, 50)).astype(np.float32)
    want, got = uf.quantize(x, axis=axis), uf.quantize(x.astype(">f4"), axis=axis)
    np.testing.assert_array_equal(got.data, want.data, strict=True)
    np.testing.assert_array_equal(got.scale, want.scale, strict=True)


# --- messages, ranks ---


@pytest.mark.parametrize("zero_point", [10**30, -(10**30), 256, -1])
def test_zero_points_out_of_range_are_named(zero_point: int) -> None:
    x = np.ones(4, np.float32)
    for function in (uf.quantize_linear, uf.fake_quantize):
        message = (
            rf"ufuse\.{function.__name__}: argument 'zero_point': expected values from 0 to 255"
        )
        with pytest.raises(ValueError, match=message):
            function(x, 0.1, zero_point)
    with pytest.raises(ValueError, match=r"ufuse\.dequantize_linear: argument 'zero_point'"):
        uf.dequantize_linear(np.ones(4, np.uint8), 0.1, zero_point)


@pytest.mark.parametrize("dtype", [[], {}, "foo", np.int32])
def test_bad_dtypes_are_named(dtype: object) -> None:
    x = np.ones(4, np.float32)
    for function in (uf.quantize_linear, uf.fake_quantize):
        message = rf"ufuse\.{function.__name__}: argument 'dtype': expected int8, uint8, int16"
        with pytest.raises(TypeError, match=message):
            function(x, 0.1, dtype=dtype)
    message = r"ufuse\.dequantize_linear: argument 'dtype': expected float32, float64, float16 or "
    with pytest.raises(TypeError, match=message):
        uf.dequantize_linear(np.ones(4, np.uint8), 0.1, dtype=dtype)


def test_an_axis_that_is_no_integer_is_named() -> None:
    x = np.ones(4, np.float32)
    message = r"ufuse\.quantize_linear: argument 'axis': expected an int or None, got 'q'"
    with pytest.raises(TypeError, match=message):
        uf.quantize_linear(x, 0.1, axis="q")
    with pytest.raises(TypeError, match=r"ufuse\.quantize: argument 'axis'.*'q'"):
        uf.quantize(x, axis="q")


def test_a_tuple_as_out_is_refused() -> None:
    x = np.ones(4, np.float32)
    with pytest.raises(
        TypeError, match=r"ufuse\.fake_quantize: argument 'out': expected one array"
    ):
        uf.fake_quantize(x, 0.1, out=(x,))


def test_forty_dimensions() -> None:
    """np.broadcast_shapes stops at 32."""
    x = np.random.default_rng(6).normal(size=(2, *(1,) * 37, 3, 4)).astype(np.float32)[..., ::-1]
    flat = x.reshape(2, 3, 4)
    want = uf.quantize_linear(flat, 0.05, dtype=np.int8)
    got = uf.quantize_linear(x, 0.05, dtype=np.int8)
    np.testing.assert_array_equal(got, want.reshape(x.shape), strict=True)
    scale = np.float32([0.1, 0.2, 0.3])
    want = uf.quantize_linear(flat, scale, axis=1, dtype=np.int8)
    got = uf.quantize_linear(x, scale, axis=38, dtype=np.int8)
    np.testing.assert_array_equal(got, want.reshape(x.shape), strict=True)


def test_quantized_array_is_an_array_where_numpy_asks() -> None:
    """np.asarray once made a 0-d object array of it, and `x @ q` failed far from the cause."""
    q = uf.quantize(np.float32([[1.0, -2.0], [0.5, 0.25]]), axis=0)
    np.testing.assert_array_equal(np.asarray(q), q.dequantize())
    assert np.asarray(q, np.float64).dtype == np.float64
    with pytest.raises(TypeError, match="QuantizedArray"):
        np.ones((2, 2), np.float32) @ q
