"""ONNX's integer products: exact int32 sums by `einsum`, brought to 8 bits by `requantize`."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import ufuse as uf

onnx = pytest.importorskip("onnx")


def cases():
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    return [c for c in found if c.name.startswith(("test_matmulinteger", "test_qlinearmatmul"))]


def array(value):
    is_proto = isinstance(value, onnx.TensorProto)
    return onnx.numpy_helper.to_array(value) if is_proto else np.asarray(value)


def product(a, b, zero_a, zero_b):
    """MatMulInteger: a zero point for all, for each row of a, for each column of b."""
    rows = zero_a.reshape(-1, 1).astype(np.int32)
    return uf.einsum("...ij,...jk->...ik", a.astype(np.int32) - rows, b.astype(np.int32) - zero_b)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_case_of_onnx(case):
    (node,) = case.model.graph.node
    for inputs, outputs in case.data_sets:
        values, (want,) = [array(i) for i in inputs], [array(o) for o in outputs]
        if node.op_type == "MatMulInteger":
            got = product(*values)
        else:
            a, scale_a, zero_a, b, scale_b, zero_b, scale, zero = values
            step = np.float32(scale_a.item()) * np.float32(scale_b.item())
            sums = product(a, b, zero_a, zero_b)
            got = uf.requantize(sums, step, None, scale.reshape(()), zero.reshape(()))
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


def test_there_are_cases():
    assert len(cases()) >= 9


@pytest.mark.parametrize("name", ["int8", "uint8"])
def test_scales_of_columns(name):
    """QLinearMatMul with a scale and zero point for each column of b, as onnxruntime has it."""
    ort = pytest.importorskip("onnxruntime")
    helper, rng = onnx.helper, np.random.default_rng(0)
    info = np.iinfo(name)
    a, b = (rng.integers(info.min, info.max, s, name, True) for s in ((30, 40), (40, 7)))
    zero_a, zero_b = np.asarray(3, name), rng.integers(0, 20, 7).astype(name)
    scale_a, scale_b = np.float32(0.02), rng.uniform(0.01, 0.1, 7).astype(np.float32)
    scale, zero = np.float32(0.9), np.asarray(11, name)
    names = ["a", "sa", "za", "b", "sb", "zb", "sy", "zy"]
    values = [a, scale_a, zero_a, b, scale_b, zero_b, scale, zero]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(name))
    graph = helper.make_graph(
        [helper.make_node("QLinearMatMul", names, ["y"])], "g",
        [helper.make_tensor_value_info("a", kind, a.shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        initializer=[
            onnx.numpy_helper.from_array(np.asarray(v), n)
            for n, v in zip(names[1:], values[1:], strict=True)
        ],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (want,) = session.run(None, {"a": a})
    sums = product(a, b, zero_a, zero_b)
    got = uf.requantize(sums, scale_a * scale_b, None, scale, zero, axis=1)
    np.testing.assert_array_equal(got, want)
