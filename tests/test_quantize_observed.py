"""Quantization with the scales of observers: the package's, and others that answer as they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf
from test_quantized_array import sample

ml_dtypes = pytest.importorskip("ml_dtypes")


def test_observers_give_the_scale() -> None:
    x = sample((6, 40))
    seen = uf.observers.MinMax(axis=0).update(2 * x)
    for scheme in ("int8", "uint4"):
        q = uf.quantize(x, scheme, axis=0, observer=seen)
        np.testing.assert_array_equal(q.scale, seen.scale_zero_point(scheme).scale)
        np.testing.assert_array_equal(q.scale, uf.quantize(2 * x, scheme, axis=0).scale)
    x[2, 3] = np.nan
    with pytest.raises(ValueError, match="'x': expected finite values"):
        uf.quantize(x, axis=0, observer=seen)


@pytest.mark.parametrize(
    ("shape", "theirs", "ours"),
    [
        ((8, 8), {"axis": 1}, {"axis": 0}),
        ((8, 8), {"axis": -1}, {"axis": -2}),
        ((4, 16), {"axis": 0}, {"block_size": (1, 4)}),
        ((8, 8), {"block_size": (2, 4)}, {"block_size": (4, 2)}),
        ((16,), {"axis": 0, "block_size": 4}, {"axis": 0, "block_size": 5}),
        ((8, 8), {"axis": 0, "block_size": 4}, {"axis": 1, "block_size": 4}),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_observer_of_another_axis_was_accepted_where_shapes_agreed(
    shape: tuple[int, ...], theirs: Any, ours: Any, dtype: Any
) -> None:
    x = sample(shape).astype(dtype)
    seen = uf.observers.MinMax(**theirs).update(x)
    with pytest.raises(ValueError, match="'observer': expected ranges of"):
        uf.quantize(x, **ours, observer=seen)


@pytest.mark.parametrize(
    ("shape", "theirs", "ours"),
    [
        ((8, 8), {"axis": -1}, {"axis": 1}),
        ((8, 8), {"axis": 0, "block_size": 4}, {"block_size": (4, 1)}),
        ((16,), {"axis": 0}, {"axis": -1, "block_size": 1}),
        ((6, 10), {"axis": 1, "block_size": 64}, {"block_size": (1, 10)}),
        ((8, 8), {}, {}),
    ],
)
def test_observers_of_the_same_ranges_in_other_words(
    shape: tuple[int, ...], theirs: Any, ours: Any
) -> None:
    x = sample(shape)
    seen = uf.observers.MinMax(**theirs).update(x)
    np.testing.assert_array_equal(
        uf.quantize(x, **ours, observer=seen).data, uf.quantize(x, **ours).data
    )


class Chooser:
    """Something that is no observer of the package, but answers as one does."""

    def __init__(self, scale: Any, zero_point: Any) -> None:
        self.scale, self.zero_point = scale, zero_point

    def scale_zero_point(self, dtype: Any, *, symmetric: Any) -> Any:
        return self


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_arrays_of_an_observer_were_frozen_and_kept_their_dtype(dtype: Any) -> None:
    x = sample((3, 5)).astype(dtype)
    chooser = Chooser(np.array([0.5, 0.25, 1.0]), np.array([3, 4, 5]))
    q = uf.quantize(x, "uint8", axis=0, observer=chooser)
    assert q.scale.dtype == np.float32 and q.zero_point.dtype == np.uint8
    assert chooser.scale.flags.writeable and chooser.zero_point.flags.writeable
    chooser.scale[:] = chooser.zero_point[:] = 0
    assert q.scale.tolist() == [0.5, 0.25, 1.0] and q.zero_point.tolist() == [3, 4, 5]
    assert uf.quantize(x, "uint8", observer=Chooser(0.5, 3)).scale == np.float32(0.5)
    with pytest.raises(ValueError, match="'observer': expected ranges of shape"):
        uf.quantize(x, "uint8", axis=0, observer=Chooser(np.ones(3), np.zeros(2, np.uint8)))
