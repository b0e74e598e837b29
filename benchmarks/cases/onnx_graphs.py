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


def session_call(
    nodes: Sequence[Node],
    inputs: Mapping[str, np.ndarray],
    constants: Mapping[str, np.ndarray],
    result: np.ndarray,
    into: bool,
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

    Returns
    -------
    callable
    """
    import onnx
    from onnx import helper, numpy_helper

    runtime = load("onnxruntime")
    output = nodes[-1][2][0]

    def info(name: str, array: np.ndarray) -> Any:
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        return helper.make_tensor_value_info(name, kind, array.shape)

    graph = helper.make_graph(
        [helper.make_node(op, list(i), list(o), **a) for op, i, o, a in nodes],
        "benchmark",
        [info(name, array) for name, array in inputs.items()],
        [info(output, result)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
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
        binding.bind_cpu_input(name, array)
    binding.bind_output(output, "cpu", 0, result.dtype.type, result.shape, result.ctypes.data)

    def call() -> np.ndarray:
        session.run_with_iobinding(binding)
        return result

    return call
