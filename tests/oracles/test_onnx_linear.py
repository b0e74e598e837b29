"""Linear quantization against ONNX's own cases and onnxruntime."""

from __future__ import annotations

import re
import warnings

import numpy as np
import oracle_api as uf
import pytest
from near_ties import HOSTILE, SIZES, assert_same_bits, near_ties, scale_and_zero

from ufuse.catalogue import conventions

ml_dtypes = pytest.importorskip("ml_dtypes")
onnx = pytest.importorskip("onnx")
helper, numpy_helper, T = onnx.helper, onnx.numpy_helper, onnx.TensorProto

# --- ONNX's cases --------------------------------------------------------------------------------

PATTERN = re.compile(
    r"test_(quantizelinear|dequantizelinear|dynamicquantizelinear|cast_|castlike_)"
)


def cases():
    try:
        from onnx.backend.test.case.node import collect_testcases

        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = collect_testcases(None)
    except ImportError:
        return []
    return [c for c in found if PATTERN.match(c.name) and len(c.model.graph.node) == 1]


def as_array(value):
    return numpy_helper.to_array(value) if isinstance(value, T) else np.asarray(value)


def dtype_of(attributes):
    kind = attributes.get("output_dtype") or attributes.get("to")
    return helper.tensor_dtype_to_np_dtype(kind) if kind else None


def run(node, inputs):
    """Call the function that a node stands for."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    where = {name: attributes[name] for name in ("axis", "block_size") if name in attributes}
    if node.op_type == "QuantizeLinear":
        saturate = bool(attributes.get("saturate", 1))
        return [uf.quantize_linear(*inputs, **where, dtype=dtype_of(attributes), saturate=saturate)]
    if node.op_type == "DequantizeLinear":
        return [uf.dequantize_linear(*inputs, **where)]
    if node.op_type == "DynamicQuantizeLinear":
        return list(uf.dynamic_quantize_linear(*inputs))
    target = dtype_of(attributes) if node.op_type == "Cast" else inputs[1].dtype
    saturate = bool(attributes.get("saturate", 1))
    if not target.name.startswith(("float8", "float4")):
        saturate = False  # ONNX has none there: integers lose the bits that do not fit
    up = target.name == "float8_e8m0fnu" and attributes.get("round_mode", b"up") == b"up"
    rounding = "up" if up else "half_even"
    return [uf.cast(inputs[0], target, saturate=saturate, rounding=rounding)]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_case_of_onnx(case):
    for inputs, outputs in case.data_sets:
        results = run(case.model.graph.node[0], [as_array(i) for i in inputs])
        for got, output in zip(results, outputs, strict=True):
            want = as_array(output)
            assert got.dtype == want.dtype and got.shape == want.shape
            if want.dtype.kind == "f" and want.itemsize > 1:
                assert_same_bits(got, want)
            else:
                assert got.tobytes() == want.tobytes()


def test_there_are_cases():
    assert len(cases()) > 150


# --- onnxruntime ---------------------------------------------------------------------------------

CODES = {
    "uint8": T.UINT8,
    "int8": T.INT8,
    "uint16": T.UINT16,
    "int16": T.INT16,
    "uint4": T.UINT4,
    "int4": T.INT4,
    "uint2": getattr(T, "UINT2", None),
    "int2": getattr(T, "INT2", None),
}
FLOATS = {
    "float8_e4m3fn": T.FLOAT8E4M3FN,
    "float8_e4m3fnuz": T.FLOAT8E4M3FNUZ,
    "float8_e5m2": T.FLOAT8E5M2,
    "float8_e5m2fnuz": T.FLOAT8E5M2FNUZ,
}
#: How onnxruntime's results of types that NumPy lacks leave the model.
CARRIER = {"uint4": T.UINT8, "int4": T.INT8, "uint2": T.UINT8, "int2": T.INT8}


def dtype_named(name):
    return np.dtype(getattr(ml_dtypes, name, name))


def tensor(name, values, kind):
    values = np.asarray(values)
    return helper.make_tensor(name, kind, values.shape, values.ravel().tolist())


def infer(nodes, constants, inputs, outputs):
    """Run a small model with onnxruntime, on one thread and without rewriting it."""
    ort = pytest.importorskip("onnxruntime")
    kinds = helper.np_dtype_to_tensor_dtype
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, kinds(v.dtype), v.shape) for n, v in inputs.items()],
        [helper.make_tensor_value_info(n, kind, None) for n, kind in outputs],
        initializer=constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=11)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)


def ort_quantize(x, scale, zero, name, **attributes):
    kind = CODES.get(name) or FLOATS[name]
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], **attributes)]
    result = ("y", kind)
    if name in CARRIER or name in FLOATS:
        to = CARRIER.get(name, T.FLOAT)
        nodes.append(helper.make_node("Cast", ["y"], ["w"], to=to))
        result = ("w", to)
    zeros = np.broadcast_to(zero, np.shape(scale))
    constants = [numpy_helper.from_array(np.asarray(scale), "s"), tensor("z", zeros, kind)]
    return infer(nodes, constants, {"x": x}, [result])[0]


def ort_dequantize(codes, scale, zero, name, **attributes):
    kind = T.INT32 if name == "int32" else CODES[name]
    scale = np.asarray(scale)
    names = ["x", "s"] if zero is None else ["x", "s", "z"]
    constants = [tensor("x", codes, kind), numpy_helper.from_array(scale, "s")]
    if zero is not None:
        constants.append(tensor("z", np.broadcast_to(zero, scale.shape), kind))
    nodes = [helper.make_node("DequantizeLinear", names, ["y"], **attributes)]
    return infer(nodes, constants, {}, [("y", helper.np_dtype_to_tensor_dtype(scale.dtype))])[0]


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_near_ties(name, dtype):
    rng = np.random.default_rng(1)
    low, high = uf.limits(dtype_named(name))
    for index, size in enumerate(SIZES):
        scale, zero = scale_and_zero(rng, low, high, odd=index % 3 > 0)
        scale = np.asarray(scale, dtype)
        x = near_ties(rng, scale, low - zero, high - zero, size, dtype)
        x = np.where(np.isfinite(x), x, dtype(0))  # float16 of large codes: undefined there
        got = uf.quantize_linear(x, scale, np.asarray(zero).astype(dtype_named(name)))
        want = ort_quantize(x, scale, zero, name)
        np.testing.assert_array_equal(got.astype(np.int64), want.astype(np.int64))


def test_division_is_not_the_reciprocal():
    scale, x = np.float32(0.00214854861), np.float32([0.273939937])
    assert ort_quantize(x, scale, 0, "uint8") == uf.quantize_linear(x, scale) == [127]
    assert np.rint(x * (np.float32(1) / scale)) == [128]


def test_zero_point_is_added_after_rounding():
    x = np.float32([0.5, 1.5, -0.5])
    got = uf.quantize_linear(x, np.float32(1), np.int8(1))
    np.testing.assert_array_equal(got, ort_quantize(x, np.float32(1), 1, "int8"))
    np.testing.assert_array_equal(got, [1, 3, 1])


@pytest.mark.parametrize("name", ["uint8", "int8", "uint16", "int16", "uint4", "int4"])
@pytest.mark.parametrize(
    "scale", [1.0, 0.37, 1e-40, 1e-45, -1e-45, 3e38, 0.0, -0.0, np.inf, -np.inf, np.nan, -1.0]
)
@pytest.mark.parametrize("zero", [0, 1, 3])
def test_hostile_numbers(name, scale, zero):
    # 26 numbers 3 times: an odd last element of int4 is converted by an undefined cast
    x, scale = np.tile(HOSTILE, 3), np.float32(scale)
    got = uf.quantize_linear(x, scale, np.asarray(zero).astype(dtype_named(name)))
    want = ort_quantize(x, scale, zero, name)
    np.testing.assert_array_equal(got.astype(np.int64), want.astype(np.int64))


@pytest.mark.parametrize("name", ["int2", "uint2", "int8"])
def test_what_onnxruntime_leaves_undefined(name):
    """Beyond int32 its scalar code gives the smallest code; ours the end on that side."""
    dtype = np.float16 if name == "int8" else np.float32
    low, high = uf.limits(dtype_named(name))
    x = np.array([np.inf, -np.inf, np.nan], dtype)
    got = uf.quantize_linear(x, dtype(1), dtype=dtype_named(name)).astype(np.int64)
    np.testing.assert_array_equal(got, [high, low, low])


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("saturate", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("scale", [1.0, 0.37, 1e-3, 0.0])
def test_float8(name, saturate, dtype, scale):
    rng = np.random.default_rng(2)
    dtype8 = dtype_named(name)
    every = np.arange(256, dtype=np.uint8).view(dtype8).astype(np.float32)
    finite = np.unique(every[np.isfinite(every)])
    ties = (finite[1:] + finite[:-1]) / 2
    near = [ties, np.nextafter(ties, np.float32(9e9)), np.nextafter(ties, np.float32(-9e9))]
    spread = np.exp(rng.normal(0, 8, 999)).astype(np.float32)
    with np.errstate(all="ignore"):
        x = np.concatenate([HOSTILE, finite, *near, spread, -spread]).astype(dtype)
        ratio = x.astype(np.float32) / np.float32(dtype(scale))
    got = uf.quantize_linear(x, dtype(scale), dtype=dtype8, saturate=saturate).astype(np.float32)
    want = ort_quantize(x, dtype(scale), 0, name, saturate=int(saturate))
    if not saturate:  # onnxruntime: 448 up to 496, and NaN where e5m2 rounds up to infinity
        edge = {"float8_e4m3fn": (464, 496), "float8_e5m2": (61440, 65536)}.get(name, (0, 0))
        wrong = (edge[0] <= np.abs(ratio)) & (np.abs(ratio) <= edge[1])
        got, want = got[~wrong], want[~wrong]
    assert_same_bits(got, want)


@pytest.mark.parametrize("name", [*CODES, "int32"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_dequantize(name, dtype):
    rng = np.random.default_rng(3)
    low, high = uf.limits(dtype_named(name))
    for size in SIZES:
        scale, zero = scale_and_zero(rng, low, high)
        zero = None if name == "int32" else zero
        with np.errstate(over="ignore"):
            steps = np.array([scale, 1e-40, 0.0, 1e38, -0.5, np.inf, np.nan]).astype(dtype)
        for step in steps:
            codes = rng.integers(low, high, size, endpoint=True)
            own = dtype_named(name)
            zeros = None if zero is None else np.asarray(zero).astype(own)
            got = uf.dequantize_linear(codes.astype(own), step, zeros)
            assert_same_bits(got, ort_dequantize(codes, step, zero, name))


@pytest.mark.parametrize("step", [np.float32, np.float16])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_output_dtype(step, dtype):
    """The product is float32 before it becomes `dtype`."""
    rng = np.random.default_rng(7)
    scale, kind = np.asarray(0.0371, step), helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    codes = rng.integers(-32768, 32767, 1001)
    nodes = [helper.make_node("DequantizeLinear", ["x", "s"], ["y"], output_dtype=kind)]
    constants = [tensor("x", codes, T.INT16), numpy_helper.from_array(scale, "s")]
    want = infer(nodes, constants, {}, [("y", kind)])[0]
    assert_same_bits(uf.dequantize_linear(codes.astype(np.int16), scale, dtype=dtype), want)


def test_precision():
    """Of the quotient, in ONNX's reference; onnxruntime ignores the attribute."""
    from onnx.reference import ReferenceEvaluator

    rng = np.random.default_rng(8)
    scale = np.asarray(0.0371, np.float16)
    x = near_ties(rng, scale, -128, 127, 1001, np.float16)
    for precision in (np.float32, np.float16):
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(precision))
        node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], precision=kind)
        graph = helper.make_graph(
            [node],
            "g",
            [
                helper.make_tensor_value_info(n, T.INT8 if n == "z" else T.FLOAT16, None)
                for n in "xsz"
            ],
            [helper.make_tensor_value_info("y", T.INT8, None)],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)])
        inputs = {"x": x, "s": scale, "z": np.int8(1)}
        want = ReferenceEvaluator(model).run(None, inputs)[0]
        got = conventions.quantize_onnx(x, scale, np.asarray(1), -128, 127, precision)
        np.testing.assert_array_equal(got, want)
        same = (got == ort_quantize(x, scale, 1, "int8", precision=kind)).all()
        assert same == (precision is np.float32)


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize(("axis", "block_size"), [(0, None), (1, None), (2, None), (1, 3), (2, 4)])
def test_axes_and_blocks(name, axis, block_size):
    """Also a ragged last block, in each axis."""
    rng = np.random.default_rng(4)
    shape = (3, 7, 10)
    low, high = uf.limits(dtype_named(name))
    parameters = [shape[axis]]
    where = {"axis": axis}
    if block_size:
        where["block_size"] = block_size
        parameters = [-(-n // block_size) if i == axis else n for i, n in enumerate(shape)]
    scale = np.exp(rng.normal(-3, 1, parameters)).astype(np.float32)
    zero = rng.integers(low, high, parameters, endpoint=True)
    steps, zeros = (uf.spread(a, np.empty(shape), axis, block_size) for a in (scale, zero))
    ties = rng.integers(low, high, shape) + 0.5 - zeros
    x = (ties * steps.astype(np.float64)).astype(np.float32)
    x = np.nextafter(x, np.where(rng.random(shape) < 0.5, np.float32(9e9), np.float32(-9e9)))
    own = zero.astype(dtype_named(name))
    got = uf.quantize_linear(x, scale, own, **where)
    want = ort_quantize(x, scale, zero, name, **where)
    np.testing.assert_array_equal(got.astype(np.int64), want.astype(np.int64))
    back = uf.dequantize_linear(got, scale, own, **where)
    assert_same_bits(back, ort_dequantize(want.astype(np.int64), scale, zero, name, **where))


def ort_dynamic(x):
    names = ["y", "s", "z"]
    node = helper.make_node("DynamicQuantizeLinear", ["x"], names)
    return infer([node], [], {"x": x}, list(zip(names, (T.UINT8, T.FLOAT, T.UINT8), strict=True)))


def test_dynamic():
    rng = np.random.default_rng(5)
    for index in range(300):
        size = SIZES[index % len(SIZES)]
        x = rng.normal(rng.normal(0, 2), 1, size) * np.exp(rng.normal(0, 9))
        for got, want in zip(
            uf.dynamic_quantize_linear(x.astype(np.float32)),
            ort_dynamic(x.astype(np.float32)),
            strict=True,
        ):
            np.testing.assert_array_equal(got, want)
            assert got.dtype == want.dtype


RANGES = [[5], [-5], [3e38, -3e38], [1e-45, 0], [1e-45, -1e-45], [1e-43, -3e-44], [1e-38, 0]]


@pytest.mark.parametrize("x", [*RANGES, [1, np.inf], [-np.inf, 1], [-np.inf, np.inf]])
def test_dynamic_hostile(x):
    """Ranges that overflow, and scales that underflow to 0."""
    for got, want in zip(
        uf.dynamic_quantize_linear(np.float32(x)), ort_dynamic(np.float32(x)), strict=True
    ):
        np.testing.assert_array_equal(got, want)


def test_dynamic_zeros_and_nan():
    """Where onnxruntime has another answer than ONNX (1 for 1/255), or several."""
    for x in (np.zeros(3, np.float32), np.zeros(0, np.float32)):
        codes, scale, zero = uf.dynamic_quantize_linear(x)
        assert scale == np.float32(1) / np.float32(255) and zero == 0 and not codes.any()
    assert ort_dynamic(np.zeros(3, np.float32))[1] == 1
    with pytest.raises(ValueError, match="expected numbers, got NaN"):
        uf.dynamic_quantize_linear(np.float32([1, np.nan, 2]))


@pytest.mark.parametrize(
    ("left", "right", "result"),
    [("uint8", "uint8", "uint8"), ("uint8", "int8", "uint8"), ("int8", "int8", "int8")],
)
def test_requantize(left, right, result):
    """QLinearMatMul: exact accumulators, then the float route."""
    rng = np.random.default_rng(6)
    names = ["a", "sa", "za", "b", "sb", "zb", "sy", "zy"]
    for size in SIZES:
        a, b = (
            rng.integers(*uf.limits(name), shape, endpoint=True).astype(name)
            for name, shape in ((left, (40, 3)), (right, (3, size)))
        )
        za, zb, zy = (
            np.asarray(rng.integers(*uf.limits(name)), name) for name in (left, right, result)
        )
        sa, sb = np.exp(rng.normal(-3, 1, 2)).astype(np.float32)
        for factor in (200, 150.5, 0.5, 2, 1000, 256):
            sy = np.float32(sa * sb * factor)
            values = dict(zip(names, (a, sa, za, b, sb, zb, sy, zy), strict=True))
            constants = [
                numpy_helper.from_array(np.asarray(v), n) for n, v in values.items() if n != "a"
            ]
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(result))
            node = helper.make_node("QLinearMatMul", names, ["y"])
            want = infer([node], constants, {"a": a}, [("y", kind)])[0]
            sums = (a.astype(np.int64) - za) @ (b.astype(np.int64) - zb)
            got = uf.requantize(sums, np.float32(sa * sb), 0, sy, zy, dtype=result)
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("step", [1.0, 0.0, -0.5, np.nan, np.inf, 1e-45])
@pytest.mark.parametrize("out_step", [1.0, 0.0, -0.0, -0.5, np.nan, np.inf, 1e-45])
@pytest.mark.parametrize("name", ["int8", "uint8"])
def test_requantize_hostile(step, out_step, name):
    """Scales that are zero, negative, NaN or infinite: onnxruntime computes with them."""
    names = ["a", "sa", "za", "b", "sb", "zb", "sy", "zy"]
    a = np.tile(np.arange(16), 5).astype(name).reshape(-1, 1)
    one, zero, three = np.float32(1), np.asarray(0, name), np.asarray(3, name)
    values = (a, np.float32(step), np.asarray(5, name), np.asarray([[1]], name), one, zero,
              np.float32(out_step), three)  # fmt: skip
    constants = [
        numpy_helper.from_array(np.asarray(v), n)
        for n, v in zip(names, values, strict=True)
        if n != "a"
    ]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(name))
    node = helper.make_node("QLinearMatMul", names, ["y"])
    want = infer([node], constants, {"a": a}, [("y", kind)])[0]
    sums = a.astype(np.int32) - 5
    got = uf.requantize(sums, np.float32(step), 0, np.float32(out_step), three, dtype=name)
    np.testing.assert_array_equal(got, want)
