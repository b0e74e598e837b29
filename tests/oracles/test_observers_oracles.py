"""Observers against those of onnxruntime and torch."""

from __future__ import annotations

import numpy as np
import pytest

import ufuse as uf
from ufuse.observers.divergence import least_divergence

rng = np.random.default_rng(7)
NORMAL = rng.normal(size=40_000).astype(np.float32)
DATA = {
    "normal": NORMAL,
    "laplace": rng.laplace(size=40_000).astype(np.float32),
    "after a relu": np.maximum(NORMAL, 0),
    "outliers": np.append(NORMAL, 30 * NORMAL[:20]),
}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize(("bins", "levels"), [(257, 64), (513, 128), (400, 32)])
def test_divergence_is_onnxruntimes(data: str, bins: int, levels: int) -> None:
    calibrate = pytest.importorskip("onnxruntime.quantization.calibrate")
    x = DATA[data]
    largest = np.abs(x).max()
    counts, edges = np.histogram(x, bins, range=(-largest, largest))
    collector = calibrate.HistogramCollector("entropy", True, bins, levels, None, None)
    histogram = (counts, edges.astype(np.float32), -largest, largest)
    low, high = collector.get_entropy_threshold(histogram, levels)
    found = least_divergence(counts, edges, levels)
    assert min(found.high, largest) == pytest.approx(float(high), rel=1e-6)
    assert max(found.low, -largest) == pytest.approx(float(low), rel=1e-6)


@pytest.mark.parametrize(
    "x",
    [
        NORMAL[:1000],
        NORMAL[:1000] + 7,
        -np.abs(NORMAL[:77]),
        NORMAL[:9] * np.float32(1e-30),
        np.float32([-1.0, 254.0]),
        np.float32([-0.5, 254.5]),  # a zero point on a tie
        np.zeros(5, np.float32),
    ],
)
def test_unsigned_parameters_are_those_of_dynamic_quantize_linear(x: np.ndarray) -> None:
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    helper = onnx.helper
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None])
    outputs = [
        helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, [None]),
        helper.make_tensor_value_info("s", onnx.TensorProto.FLOAT, []),
        helper.make_tensor_value_info("z", onnx.TensorProto.UINT8, []),
    ]
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])
    graph = helper.make_graph([node], "g", [value], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    _, scale, zero = session.run(None, {"x": x})
    found = uf.observers.MinMax().update(x).scale_zero_point("uint8")
    assert (float(found.scale), int(found.zero_point)) == (float(scale), int(zero))


@pytest.mark.parametrize("axis", [None, 1])
def test_moving_averages_are_torchs(axis: int | None) -> None:
    torch = pytest.importorskip("torch")
    observers = pytest.importorskip("torch.ao.quantization.observer")
    if axis is None:
        theirs = observers.MovingAverageMinMaxObserver(averaging_constant=0.05)
    else:
        theirs = observers.MovingAveragePerChannelMinMaxObserver(0.05, ch_axis=axis)
    ours = uf.observers.MovingAverage(axis=axis, momentum=0.05)
    for _ in range(10):
        batch = rng.normal(size=(8, 3, 5)).astype(np.float32)
        theirs(torch.from_numpy(batch))
        ours.update(batch)
    found = ours.clip_range("uint8")
    np.testing.assert_allclose(found.low, theirs.min_val.numpy(), rtol=2e-6)
    np.testing.assert_allclose(found.high, theirs.max_val.numpy(), rtol=2e-6)


@pytest.mark.parametrize("percentile", [99.0, 99.9])
def test_percentiles_are_onnxruntimes_up_to_its_bins(percentile: float) -> None:
    calibrate = pytest.importorskip("onnxruntime.quantization.calibrate")
    x = DATA["laplace"]
    for symmetric, dtype in ((True, "int8"), (False, "uint8")):
        collector = calibrate.HistogramCollector(
            "percentile", symmetric, 16384, 128, percentile, None
        )
        if symmetric:
            collector.collect_absolute_value({"x": x})
        else:
            collector.collect_value({"x": x})
        low, high = collector.compute_percentile()["x"][:2]
        found = uf.observers.Percentile(percentile).update(x).clip_range(dtype)
        assert float(found.low) == pytest.approx(float(low), rel=5e-3)
        assert float(found.high) == pytest.approx(float(high), rel=5e-3)
