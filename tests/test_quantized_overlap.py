"""Results written over what they are made of: as if everything were read first."""

from __future__ import annotations

import numpy as np
import pytest

import ufuse as uf


@pytest.mark.parametrize("part", ["data", "scale", "zero_point"])
@pytest.mark.parametrize("scheme", ["int4", "uint4", "int8", "uint2"])
def test_a_record_dequantized_over_its_own_parts(part: str, scheme: str) -> None:
    """Only the data were once looked at, and scales were overwritten while they were read."""
    pytest.importorskip("ml_dtypes")
    x = np.random.default_rng(0).normal(0.5, 1, (64, 64)).astype(np.float32)
    q = uf.quantize(x, scheme, axis=0, symmetric=False if scheme == "int4" else None)
    memory = np.zeros(x.nbytes, np.uint8)
    parts = {"data": q.data, "scale": q.scale, "zero_point": q.zero_point}
    there = memory[: parts[part].nbytes].view(parts[part].dtype).reshape(parts[part].shape)
    there[...] = parts[part]
    parts[part] = there
    again = uf.QuantizedArray(**parts, axis=0, scheme=scheme)
    want = q.dequantize()
    np.testing.assert_array_equal(again.dequantize(memory.view("f4").reshape(64, 64)), want)


@pytest.mark.parametrize("which", ["x", "out_scale", "out_zero_point"])
def test_requantize_over_its_own_operands(which: str) -> None:
    memory = np.zeros(4096 * 4, np.uint8)
    values = {
        "x": np.arange(4096, dtype=np.int32),
        "out_scale": np.float32(0.5),
        "out_zero_point": np.uint8(7),
    }
    want = uf.requantize(values["x"], 0.01, 0, values["out_scale"], values["out_zero_point"])
    value = np.asarray(values[which])
    there = memory[: value.nbytes].view(value.dtype).reshape(value.shape)
    there[...] = value
    values[which] = there
    got = uf.requantize(
        values["x"], 0.01, 0, values["out_scale"], values["out_zero_point"], out=memory[:4096]
    )
    np.testing.assert_array_equal(got, want)


def test_rows_by_indices_of_more_dimensions_are_refused() -> None:
    """They once gave the scales of another axis."""
    q = uf.quantize(np.ones((4, 8), np.float32), axis=1)
    with pytest.raises(IndexError, match="a 1-d array of indices"):
        q[np.zeros((2, 8), int)]
