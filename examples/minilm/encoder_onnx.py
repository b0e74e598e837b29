"""The all-MiniLM-L6-v2 sentence encoder as a graph for onnxruntime, in float32 and in dynamic int8.

The graph is made of the operators that onnxruntime's own optimizer for transformers puts in:
attention, layer norm and GELU fused.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from .weights import N_HEADS, NORM_EPSILON, Array, Norm, Weights

_CONTRIB = "com.microsoft"


class _Graph:
    """Nodes and weights, by name, as they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, value: NDArray[Any]) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def norm(self, x: str, skip: str, norm: Norm, bias: Array | None = None) -> str:
        inputs = [x, skip, self.weight(norm.gain), self.weight(norm.shift)]
        if bias is not None:
            inputs.append(self.weight(bias))
        return self.add("SkipLayerNormalization", *inputs, domain=_CONTRIB, epsilon=NORM_EPSILON)


def _model(weights: Weights) -> Any:
    """Return the encoder: ids (batch, length) and mask (batch, length) to vectors of length 1."""
    g = _Graph()
    words = g.add("Gather", g.weight(weights.words), "ids")
    length = g.add("Shape", "ids", start=1, end=2)
    zero, one = g.weight(np.array([0])), g.weight(np.array([1]))
    places = g.add("Slice", g.weight(weights.positions), zero, length, zero)
    # The skip of a layer norm has the shape of its input.
    places = g.add("Expand", places, g.add("Shape", words))
    hidden = g.norm(words, places, weights.embedding_norm)
    keys = g.add("Cast", "mask", to=onnx.TensorProto.INT32)
    for layer in weights.layers:
        context = g.add(
            "Attention", hidden, g.weight(layer.qkv.weight.T), g.weight(layer.qkv.bias), keys,
            domain=_CONTRIB, num_heads=N_HEADS,
        )  # fmt: skip
        mixed = g.add("MatMul", context, g.weight(layer.attention_output.weight.T))
        hidden = g.norm(mixed, hidden, layer.attention_norm, layer.attention_output.bias)
        inner = g.add("MatMul", hidden, g.weight(layer.intermediate.weight.T))
        inner = g.add("BiasGelu", inner, g.weight(layer.intermediate.bias), domain=_CONTRIB)
        outer = g.add("MatMul", inner, g.weight(layer.output.weight.T))
        hidden = g.norm(outer, hidden, layer.output_norm, layer.output.bias)
    mask = g.add("Cast", "mask", to=onnx.TensorProto.FLOAT)
    total = g.add("Squeeze", g.add("MatMul", g.add("Unsqueeze", mask, one), hidden), one)
    mean = g.add("Div", total, g.add("ReduceSum", mask, one, keepdims=1))
    result = g.add("LpNormalization", mean, axis=-1, p=2)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        g.nodes,
        "encoder",
        [
            info("ids", onnx.TensorProto.INT64, ("batch", "length")),
            info("mask", onnx.TensorProto.BOOL, ("batch", "length")),
        ],
        [info(result, onnx.TensorProto.FLOAT, ("batch", "width"))],
        g.weights,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(_CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


class OnnxWeights:
    """A session of onnxruntime; it takes the place of the weights that an encoder is given."""

    def __init__(self, model: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.nbytes = len(model)
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )


def make_weights(weights: Weights, threads: int) -> tuple[OnnxWeights, OnnxWeights]:
    """Return the encoder in float32, and with weights and activations in dynamic int8."""
    model = _model(weights)
    with tempfile.TemporaryDirectory() as folder:
        plain, narrow = Path(folder, "f4.onnx"), Path(folder, "i1.onnx")
        onnx.save(model, plain)
        logging.disable(logging.WARNING)  # it advises to prepare the model, and does without
        quantize_dynamic(
            plain,
            narrow,
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        logging.disable(logging.NOTSET)
        return OnnxWeights(plain.read_bytes(), threads), OnnxWeights(narrow.read_bytes(), threads)


def encode(token_ids: NDArray[np.int64], mask: NDArray[np.bool_], weights: OnnxWeights) -> Array:
    """Embed a batch of tokenised sentences: see `encoder_numpy.encode`."""
    (result,) = weights.session.run(None, {"ids": token_ids, "mask": mask})
    vectors: Array = result
    return vectors
