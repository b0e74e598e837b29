"""Linear quantization against ai-edge-quantizer, and against LiteRT (TFLite) itself.

ai-edge-quantizer imports without TensorFlow (0.10: with immutabledict, tqdm, absl-py, flatbuffers
and ai-edge-litert). LiteRT runs models of one operator, written here as flatbuffers; its reference
kernels are those that `rounding="half_away"` and `requantize` follow.
"""

from __future__ import annotations

import numpy as np
import oracle_api as uf
import pytest
from near_ties import HOSTILE, SIZES, assert_same_bits, near_tie_ranges, near_ties, scale_and_zero

from scale_rules import block_scale, choose_scale

pytestmark = pytest.mark.filterwarnings("ignore")

# --- ai-edge-quantizer ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aeq():
    pytest.importorskip("ai_edge_quantizer")
    from ai_edge_quantizer.algorithms.uniform_quantize import uniform_quantize_tensor

    return uniform_quantize_tensor


#: bits, signed, symmetric
KINDS = [(8, True, True), (8, True, False), (8, False, False), (4, True, True), (4, True, False)]
KINDS += [(2, True, True), (16, True, True)]


def whole_range(bits, signed):
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def narrow_range(bits, signed, symmetric):
    """Codes of symmetric weights of 8 bits and more leave out the smallest."""
    low, high = whole_range(bits, signed)
    return (low + 1 if symmetric and bits >= 8 else low), high


def parameters(aeq, scale, zero, bits, signed, symmetric, axis=None):
    return aeq.qtyping.UniformQuantParams(
        num_bits=bits,
        quantized_dimension=axis,
        scale=np.atleast_1d(scale),
        zero_point=np.atleast_1d(zero).astype(np.int32),
        symmetric=symmetric,
        signed=signed,
    )


@pytest.mark.parametrize(("bits", "signed", "symmetric"), KINDS)
def test_quantize(aeq, bits, signed, symmetric):
    """Half to even, the zero point before rounding."""
    rng = np.random.default_rng(1)
    low, high = narrow_range(bits, signed, symmetric)
    dtype = "int16" if bits > 8 else "int8" if signed else "uint8"
    for size in SIZES * 3:
        scale, zero = scale_and_zero(rng, low, high, odd=not symmetric)
        x = near_ties(rng, scale, low - zero, high - zero, size)
        want = aeq.uniform_quantize(x, parameters(aeq, scale, zero, bits, signed, symmetric))
        got = uf.quantize_linear(x, scale, zero, dtype=dtype, limit=(low, high), spec="litert")
        np.testing.assert_array_equal(got, want)
        # float64, exact: an int32 zero point widens the difference, and that the product
        back = aeq.uniform_dequantize(want, parameters(aeq, scale, zero, bits, signed, symmetric))
        assert_same_bits(
            uf.dequantize_linear(got, scale, np.asarray(zero), spec="litert"),
            back.astype(np.float32),
        )


def test_quantize_axis(aeq):
    rng = np.random.default_rng(2)
    scale = np.exp(rng.normal(-3, 1, 3)).astype(np.float32)
    zero = rng.integers(-128, 127, 3)
    x = np.stack([near_ties(rng, s, -128, 127, 65) for s in scale], 1)
    want = aeq.uniform_quantize(x, parameters(aeq, scale, zero, 8, True, False, axis=1))
    got = uf.quantize_linear(x, scale, zero, axis=1, dtype="int8", spec="litert")
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "scale", [1.0, 0.37, 1e-40, 1e-45, 3e38, 0.0, -0.0, -0.5, np.inf, -np.inf, np.nan]
)
@pytest.mark.parametrize("zero", [0, 3])
@pytest.mark.parametrize("repeat", [1, 64])
def test_hostile_numbers(aeq, scale, zero, repeat):
    """NaN gives code 0."""
    x, scale = np.repeat(HOSTILE, repeat), np.float32(scale)
    with np.errstate(all="ignore"):
        want = aeq.uniform_quantize(x, parameters(aeq, scale, zero, 8, True, False))
    got = uf.quantize_linear(x, scale, zero, dtype="int8", spec="litert")
    np.testing.assert_array_equal(got, want)


def test_zero_point_and_ties(aeq):
    x = np.float32([0.5, 1.5, -0.5])
    want = aeq.uniform_quantize(x, parameters(aeq, np.float32(1), 3, 8, True, False))
    np.testing.assert_array_equal(want, [4, 4, 2])
    got = uf.quantize_linear(x, np.float32(1), 3, dtype="int8", spec="litert")
    np.testing.assert_array_equal(got, want)
    away = {"dtype": "int8", "spec": "litert", "rounding": "half_away"}
    np.testing.assert_array_equal(uf.quantize_linear(x, np.float32(1), 3, **away), [4, 5, 2])


RANGES = [(0, 0), (0, 3), (-2, 0), (1, 3), (-3, -1), (-1e-10, 1e-10), (-3e38, 3e38), (-1, 1e-30)]


@pytest.mark.parametrize("kind", [*KINDS, (8, False, True)])
def test_choose_scale(aeq, kind):
    bits, signed, symmetric = kind
    rng = np.random.default_rng(3)
    random = np.sort(rng.normal(0, 1, (500, 2)) * np.exp(rng.normal(0, 5, (500, 1))))
    ties = near_tie_ranges(rng, 2**bits - 1)
    low, high = np.concatenate([RANGES, random, ties]).astype(np.float32).T
    with np.errstate(all="ignore"):
        zero, scale = aeq.tensor_zp_scale_from_min_max(
            low, high, bits, symmetric, aeq.qtyping.QuantGranularity.TENSORWISE, signed=signed
        )
    got = choose_scale(low, high, *whole_range(bits, signed), symmetric, "litert")
    assert_same_bits(got[0], scale)
    finite = np.isfinite(scale)
    np.testing.assert_array_equal(got[1][finite], zero[finite])


def test_block_scale(aeq):
    rng = np.random.default_rng(4)
    high = np.exp(rng.normal(0, 6, 2000)).astype(np.float32)
    granularity = aeq.qtyping.QuantGranularity.BLOCKWISE_32
    want = aeq.tensor_zp_scale_from_min_max(-high, high, 4, True, granularity)[1]
    got = choose_scale(-high, high, -8, 7, True, "litert")[0]
    assert_same_bits(block_scale(got), want)


# --- LiteRT --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def litert():
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("flatbuffers")
    from ai_edge_litert import interpreter, schema_py_generated

    return interpreter, schema_py_generated


def run(litert, operator, x, source, result, kernels="BUILTIN_REF"):
    """Run one operator on `x`; `source` and `result` are dtype, scale, zero point."""
    import flatbuffers

    interpreter, schema = litert
    kinds = {"float32": "FLOAT32", "int8": "INT8", "uint8": "UINT8", "int16": "INT16"}
    kinds["int32"] = "INT32"
    graph, model, code, operation = (
        getattr(schema, name)() for name in ("SubGraphT", "ModelT", "OperatorCodeT", "OperatorT")
    )
    graph.tensors = []
    for dtype, scale, zero in (source, result):
        tensor = schema.TensorT()
        tensor.shape, tensor.buffer, tensor.name = list(x.shape), 0, b"t"
        tensor.type = getattr(schema.TensorType, kinds[dtype])
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.atleast_1d(scale).astype(np.float32).tolist()
            tensor.quantization.zeroPoint = np.atleast_1d(zero).tolist()
        graph.tensors.append(tensor)
    operation.opcodeIndex, operation.inputs, operation.outputs = 0, [0], [1]
    graph.operators, graph.inputs, graph.outputs = [operation], [0], [1]
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, operator)
    code.version = 1
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], [code]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    runner = interpreter.Interpreter(
        model_content=bytes(builder.Output()),
        experimental_op_resolver_type=getattr(interpreter.OpResolverType, kernels),
        num_threads=1,
    )
    runner.allocate_tensors()
    runner.set_tensor(0, x)
    runner.invoke()
    return runner.get_tensor(1)


@pytest.mark.parametrize("name", ["int8", "uint8", "int16"])
def test_reference_kernel(litert, name):
    """Half away from zero, the zero point after rounding."""
    rng = np.random.default_rng(5)
    low, high = uf.limits(name)
    where = {"spec": "litert", "rounding": "half_away", "dtype": name}
    for size in SIZES:
        scale, zero = scale_and_zero(rng, low, high, odd=name != "int16")
        x = near_ties(rng, scale, low - zero, high - zero, size)
        want = run(litert, "QUANTIZE", x, ("float32", None, None), (name, scale, zero))
        np.testing.assert_array_equal(uf.quantize_linear(x, scale, zero, **where), want)
        back = run(litert, "DEQUANTIZE", want, (name, scale, zero), ("float32", None, None))
        assert_same_bits(uf.dequantize_linear(want, scale, np.asarray(zero), spec="litert"), back)


@pytest.mark.parametrize("zero", [0, 3])
def test_reference_kernel_hostile(litert, zero):
    """What fits int32, and NaN; beyond, the kernel's conversion is undefined."""
    with np.errstate(invalid="ignore"):
        x = HOSTILE[~(np.abs(HOSTILE) > 2147483520)]
    want = run(litert, "QUANTIZE", x, ("float32", None, None), ("int8", 1.0, zero))
    where = {"spec": "litert", "rounding": "half_away", "dtype": "int8"}
    np.testing.assert_array_equal(uf.quantize_linear(x, np.float32(1), zero, **where), want)
    ends = uf.quantize_linear(np.float32([np.inf, -np.inf, 1e19]), np.float32(1), zero, **where)
    np.testing.assert_array_equal(ends, [127, -128, 127])


PAIRS = [("int8", "int8"), ("uint8", "int8"), ("int8", "uint8"), ("uint8", "uint8")]
PAIRS += [("int16", "int8"), ("int16", "int16"), ("int32", "int16")]


@pytest.mark.parametrize(("source", "result"), PAIRS)
def test_requantize(litert, source, result):
    """The doubling high multiply and the rounding shift."""
    rng = np.random.default_rng(6)
    low, high = uf.limits(source)
    for factor in [0.5, 2, 0.25, 1 / 3, 0.75, *np.exp(rng.normal(0, 1, 20))]:
        scale = np.float32(np.exp(rng.normal(-3, 1)))
        out_scale = np.float32(scale * factor * (2**15 if source == "int32" else 1))
        zero, out_zero = (
            int(rng.integers(*uf.limits(name))) if name[-1] == "8" else 0
            for name in (source, result)
        )
        codes = rng.integers(low, high, 3001, endpoint=True).astype(source)
        if source[-1] == "8":
            codes = np.arange(low, high + 1).astype(source)
        want = run(litert, "QUANTIZE", codes, (source, scale, zero), (result, out_scale, out_zero))
        got = uf.requantize(codes, scale, zero, out_scale, out_zero, dtype=result, spec="litert")
        np.testing.assert_array_equal(got, want)
