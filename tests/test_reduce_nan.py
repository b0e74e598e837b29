"""Reductions that leave NaN out, against NumPy's."""

from __future__ import annotations

import warnings
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ufuse as uf
from conftest import NATIVE

FLOATS = [np.float32, np.float64]
SUMS = ["nansum", "nanprod", "nanmean", "nanvar", "nanstd"]
EXTREMES = ["nanmin", "nanmax"]
INDICES = ["nanargmin", "nanargmax"]
AXES = [0, 1, 2, (0, 1), (0, 2), (1, 2), None]


def sample(shape: tuple[int, ...], dtype: Any, seed: int = 0, share: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 0.5 + 1
    return np.where(rng.random(shape) < share, np.nan, x).astype(dtype)


def layouts(x: np.ndarray) -> dict[str, np.ndarray]:
    padded = np.zeros((2 * x.shape[0], x.shape[1], 3 * x.shape[2]), x.dtype)
    padded[::2, :, ::3] = x
    unaligned = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    return {
        "C": x,
        "F": np.asfortranarray(x),
        "strided": padded[::2, :, ::3],
        "reversed": np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
        "unaligned": unaligned,
        "swapped": x.astype(x.dtype.newbyteorder()),
    }


def both(name: str, x: Any, *args: Any, **keywords: Any) -> tuple[Any, Any, list[str], list[str]]:
    """Ours and NumPy's result, and the warnings of each but for the flags of arithmetic."""
    results, said = [], []
    for module in (uf, np):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            results.append(getattr(module, name)(x, *args, **keywords))
        texts = {str(w.message).rstrip(".") for w in caught}
        said.append(sorted(text for text in texts if "encountered in" not in text))
    return results[0], results[1], said[0], said[1]


@pytest.mark.parametrize("name", SUMS + EXTREMES)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("shape", [(6, 9, 11), (1, 1, 1), (3, 2100, 2), (40, 3, 130)])
def test_values_and_warnings(shape: Any, axis: Any, dtype: Any, name: str) -> None:
    for share in (0.0, 0.3, 1.0):
        x = sample(shape, dtype, 1, share)
        got, want, warned, expected = both(name, x, axis)
        rtol = 2e-5 if dtype is np.float32 else 1e-11
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol, strict=True)
        assert warned == expected


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("dtype", [*FLOATS, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("axis", [0, 1, 2, None])
def test_indices(axis: Any, dtype: Any, name: str) -> None:
    x = sample((7, 300, 5), dtype, 2)
    x[0], x[:, 0], x[:, :, 0] = 1.5, 0.5, 1  # no slice of NaN alone
    for keepdims in (False, True):
        want = getattr(np, name)(x.astype(np.float32), axis, keepdims=keepdims)
        np.testing.assert_array_equal(getattr(uf, name)(x, axis, keepdims=keepdims), want)
    out = np.full_like(want, -1)
    x[...] = np.nan
    with pytest.raises(ValueError, match=rf"ufuse.{name}.*All-NaN slice"):
        getattr(uf, name)(x, axis, out=out, keepdims=True)
    assert (out == -1).all()  # nothing was written


@pytest.mark.skipif(not NATIVE, reason="the reference executor promises no bits")
@pytest.mark.parametrize("name", SUMS + EXTREMES)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axis", AXES)
def test_the_same_bits_for_every_layout_and_thread_count(axis: Any, dtype: Any, name: str) -> None:
    x = sample((33, 70, 64), dtype, 3)
    function = getattr(uf, name)
    with uf.threads(1):
        want = function(x, axis)
    for threads in (1, 2, 3):
        with uf.threads(threads):
            for layout, array in layouts(x).items():
                np.testing.assert_array_equal(function(array, axis), want, err_msg=layout)


@pytest.mark.parametrize("name", SUMS + EXTREMES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_where(dtype: Any, name: str) -> None:
    x = sample((40, 50), dtype, 4)
    mask = np.random.default_rng(5).random((40, 50)) < 0.6
    mask[3] = False
    keywords = {"initial": 0.25} if name in EXTREMES else {}
    for axis in (0, 1, None):
        got, want, warned, expected = both(name, x, axis, where=mask, **keywords)
        np.testing.assert_allclose(got, want, rtol=1e-4 if dtype is np.float32 else 1e-11)
        assert warned == expected


@pytest.mark.parametrize("name", SUMS + EXTREMES + INDICES)
@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.bool_])
def test_integers_have_no_nan(dtype: Any, name: str) -> None:
    x = np.random.default_rng(6).integers(0, 2, (5, 6)).astype(dtype)
    got, want, warned, expected = both(name, x, 1)
    np.testing.assert_allclose(got, want)
    assert np.asarray(got).dtype == np.asarray(want).dtype
    assert warned == expected


@pytest.mark.parametrize("name", SUMS + EXTREMES)
def test_half_precision(name: str) -> None:
    x = sample((4, 300), np.float16, 7)
    x[1] = np.nan
    got, _, warned, _ = both(name, x, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = getattr(np, name)(x.astype(np.float64), 1)
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, want.astype(np.float16), rtol=2e-3)
    assert bool(warned) == (name not in ("nansum", "nanprod"))


def test_complex() -> None:
    x = np.array([1 + 2j, np.nan, 3 - 1j, 1j * np.nan], np.complex128)
    assert uf.nansum(x) == np.nansum(x)
    assert uf.nanmean(x) == np.nanmean(x)
    assert uf.nanvar(x) == pytest.approx(np.nanvar(x))


def test_infinities_are_numbers() -> None:
    inf, nan = np.inf, np.nan
    x = np.array([[inf, nan], [-inf, nan], [inf, -inf], [nan, nan]], np.float32)
    for name in (*EXTREMES, "nansum", "nanmean"):
        got, want, warned, expected = both(name, x, 1)
        np.testing.assert_array_equal(got, want)
        assert warned == expected


def test_out_and_dtype() -> None:
    x = sample((5, 6), np.float32, 8)
    x[:, 0] = 1
    for name in SUMS + EXTREMES:
        out = np.empty((5, 1))
        keywords = {} if name in EXTREMES else {"dtype": np.float64}
        assert getattr(uf, name)(x, 1, out=out, keepdims=True, **keywords) is out
        want = getattr(np, name)(x.astype(np.float64), 1, keepdims=True)
        np.testing.assert_allclose(out, want, rtol=1e-6)
    for name in ("nanmean", "nanvar", "nanstd"):
        with pytest.raises(TypeError, match=rf"ufuse.{name}.*'dtype'.*inexact.*int64"):
            getattr(uf, name)(x, dtype=np.int64)
        with pytest.raises(TypeError, match=rf"ufuse.{name}.*'out'.*inexact.*int64"):
            getattr(uf, name)(x, 1, out=np.empty(5, np.int64))
    for name in SUMS + EXTREMES + INDICES:
        with pytest.raises(np.exceptions.AxisError, match=f"ufuse.{name}"):
            getattr(uf, name)(x, 2)
        with pytest.raises(ValueError, match=rf"ufuse.{name}.*'out'.*\(5,\)"):
            getattr(uf, name)(x, 1, out=np.empty(4))


def test_empty() -> None:
    x = np.empty((0, 3), np.float32)
    for name in SUMS:
        got, want, warned, expected = both(name, x, 0)
        np.testing.assert_array_equal(got, want)
        assert warned == expected
    for name in EXTREMES + INDICES:
        with pytest.raises(ValueError, match=f"ufuse.{name}"):
            getattr(uf, name)(x, 0)
        assert getattr(uf, name)(x, 1).shape == (0,)


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(max_dims=4, max_side=6),
        elements=st.one_of(st.floats(-1e3, 1e3), st.just(np.nan)),
    ),
    st.data(),
)
def test_any_shape(x: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.sampled_from([None, *range(x.ndim)]))
    ddof = data.draw(st.sampled_from([0, 1, 2]))
    for name in SUMS + EXTREMES:
        keywords = {"ddof": ddof} if name in ("nanvar", "nanstd") else {}
        # A product in another order may overflow before its zero comes.
        given = np.clip(x, -1.5, 1.5) if name == "nanprod" else x
        got, want, warned, expected = both(name, given, axis, **keywords)
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
        assert warned == expected


def test_masked_nanvar_along_rows_takes_no_pivot_of_another_call() -> None:
    """The rows of a masked nanvar once read pivots and counts that nobody had set."""
    x = np.random.default_rng(0).standard_normal((50, 60))
    mask = x > -1
    uf.var(np.full((50, 60), 1e200), 1, where=mask)
    np.testing.assert_allclose(uf.nanvar(x, 1, where=mask), np.nanvar(x, 1, where=mask))
