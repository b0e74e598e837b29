"""Small ONNX graphs for onnxruntime, and calls of them that write into given arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import environment
from ..libraries import load
from ..model import Call

#: A node: operator, input names, output names, attributes.
Node = tuple[str, Sequence[str], Sequence[str], Mapping[str, Any]]

#: What bytes stand for: the dtype of elements of less than a byte, and their array's shape.
Packed = tuple[np.dtype[Any], tuple[int, ...]]


def session_call(
    nodes: Sequence[Node],
    inputs: Mapping[str, np.ndarray],
    constants: Mapping[str, np.ndarray],
    result: np.ndarray,
    into: bool,
    packed: Mapping[str, Packed] | None = None,
) -> Call:
    """Return a call that runs a graph.

    Parameters
    ----------
    nodes : sequence of Node
        The last node's first output is the result.
    inputs, constants : mapping of str to ndarray
        Constants are folded into the graph, where onnxruntime may prepack them.
    result : ndarray
        Gives the result's shape and dtype.
    into : bool
        Whether the call writes into `result` or allocates.
    packed : mapping of str to Packed, optional
        By name, of what is given as bytes; `into` only.

    Returns
    -------
    callable
    """
    import onnx
    from onnx import helper, numpy_helper

    runtime = load("onnxruntime")
    output = nodes[-1][2][0]

    def described(name: str, array: np.ndarray) -> tuple[int, tuple[int, ...]]:
        dtype, shape = (packed or {}).get(name, (array.dtype, array.shape))
        return helper.np_dtype_to_tensor_dtype(dtype), shape

    def info(name: str, array: np.ndarray) -> Any:
        return helper.make_tensor_value_info(name, *described(name, array))

    graph = helper.make_graph(
        [helper.make_node(op, list(i), list(o), **a) for op, i, o, a in nodes],
        "benchmark",
        [info(name, array) for name, array in inputs.items()],
        [info(output, result)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = environment.threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = dict(inputs)
    if not into:
        return lambda: session.run(None, feed)[0]

    binding = session.io_binding()
    for name, array in inputs.items():
        # By address: Python's arrays have no element type for float8 and packed integers.
        binding.bind_input(name, "cpu", 0, *described(name, array), array.ctypes.data)
    binding.bind_output(output, "cpu", 0, *described(output, result), result.ctypes.data)

    def call() -> np.ndarray:
        session.run_with_iobinding(binding)
        return result

    return call
