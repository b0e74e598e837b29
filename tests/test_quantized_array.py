"""Arrays quantized by a scheme, and the records they are."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from ufuse.quant import ranged
from ufuse.quant.codes import CODE_TYPES, CodeType

ml_dtypes = pytest.importorskip("ml_dtypes")

codes = pytest.mark.parametrize("code", CODE_TYPES, ids=lambda code: code.name)


def sample(shape: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1, shape).astype(np.float32)


WHERE = [
    ((6, 64), {}),
    ((6, 65), {}),
    ((6, 64), {"axis": 0}),
    ((6, 64), {"axis": 1}),
    ((6, 64), {"axis": -1, "block_size": 32}),
    ((6, 70), {"axis": 1, "block_size": 32}),
    ((6, 70), {"axis": 1, "block_size": 7}),
    ((70, 6), {"axis": 0, "block_size": 32}),
    ((10, 20), {"block_size": (4, 8)}),
    ((3, 4, 10), {"axis": 1}),
    ((0, 4), {"axis": 1}),
    ((5,), {}),
]


@codes
@pytest.mark.parametrize(("shape", "where"), WHERE)
def test_error_is_bounded_by_the_scale(code: CodeType, shape: tuple[int, ...], where: Any) -> None:
    """Codes and back: within half a step, for integers; and the record says what it holds."""
    x = sample(shape)
    for layout in (x, np.asfortranarray(x), x[::-1]):
        q = uf.quantize(layout, code.name, **where)
        back = q.dequantize()
        assert back.dtype == np.float32 and back.shape == shape == q.shape
        assert q.nbytes == q.data.nbytes + q.scale.nbytes + q.zero_point.nbytes
        every = uf.dequantize_linear(
            q.codes(), q.scale, q.zero_point.view(q.codes().dtype), axis=q.axis,
            block_size=q.block_size,
        )  # fmt: skip
        np.testing.assert_array_equal(back, every)
        if not code.is_float and x.size:
            step = uf.dequantize_linear(
                np.ones(shape, np.int8), q.scale, axis=q.axis, block_size=q.block_size
            )
            assert np.all(np.abs(back - layout) <= 0.501 * step + 1e-6)
        out = np.empty(shape, np.float32, order="F")
        assert q.dequantize(out) is out
        np.testing.assert_array_equal(out, back)
        again = pickle.loads(pickle.dumps(q))
        np.testing.assert_array_equal(again.dequantize(), back)
        assert repr(again) == repr(q) and code.name in repr(q)


@codes
def test_packed_codes_are_quantize_linears(code: CodeType) -> None:
    x = sample((5, 48))
    q = uf.quantize(x, code.name, axis=1, block_size=16)
    limits = None if code.is_float else (-code.high if code.low < 0 else code.low, code.high)
    zero = None if code.is_float else q.zero_point
    want = uf.quantize_linear(
        x, q.scale, zero, axis=1, block_size=16, dtype=code.name, limits=limits
    )
    np.testing.assert_array_equal(q.codes().view(np.uint8), want.view(np.uint8))
    if code.bits in (2, 4):
        np.testing.assert_array_equal(q.data, uf.pack(want))
        assert q.data.shape == (5, 48 * code.bits // 8)


def test_ranges() -> None:
    x = np.float32([[-1, 3], [0, 0], [2, 6]])
    q = uf.quantize(x, "uint8", axis=0)
    np.testing.assert_array_equal(q.scale, np.float32([4 / 255, 1, 6 / 255]))
    np.testing.assert_array_equal(q.zero_point, [64, 0, 0])
    q = uf.quantize(x, "int8", axis=0)
    np.testing.assert_array_equal(q.scale, np.float32([3, 0, 6]) / np.float32(127) + [0, 1, 0])
    q = uf.quantize(x, "int8", axis=0, symmetric=False)
    np.testing.assert_array_equal(q.zero_point, [-64, -128, -128])
    q = uf.quantize(x, "float8_e4m3fn")
    assert q.scale == np.float32(6) / np.float32(448) and q.dequantize()[2, 1] == 6
    huge = uf.quantize(np.float32([-3e38, 3e38]), "uint8")
    assert np.isfinite(huge.scale)
    np.testing.assert_allclose(huge.dequantize(), [-3e38, 3e38], rtol=0.01)
    tiny = uf.quantize(np.float32([-1e-44, 1e-44]), "int8")
    assert tiny.scale > 0


def test_a_list_is_quantized_one_by_one() -> None:
    arrays = [sample((4, 8), i) for i in range(3)] + [sample((7,), 9)]
    for x, q in zip(arrays, uf.quantize(arrays, "int4"), strict=True):
        np.testing.assert_array_equal(q.data, uf.quantize(x, "int4").data)


@pytest.mark.parametrize("code", CODE_TYPES, ids=lambda code: code.name)
def test_schemes_may_be_dtypes(code: CodeType) -> None:
    """Names alone were once taken, unlike dtype= elsewhere."""
    x = sample((4, 8))
    want = uf.quantize(x, code.name)
    for scheme in (code.dtype, code.dtype.type):
        q = uf.quantize(x, scheme)
        assert q.scheme == code.name
        np.testing.assert_array_equal(q.data.view("u1"), want.data.view("u1"))
    assert uf.quantize(x, "i2").scheme == "int16"


def test_schemes_that_are_none() -> None:
    x = sample((4, 8))
    for scheme, error in ((np.float32, ValueError), ("f4", ValueError), (8, TypeError)):
        with pytest.raises(error, match="'scheme': expected one of int8, uint8"):
            uf.quantize(x, scheme)  # type: ignore[call-overload]


@pytest.mark.parametrize("scheme", ["int8", "uint8", "int4", "uint2", "float8_e5m2"])
@pytest.mark.parametrize(("shape", "where"), WHERE)
@pytest.mark.parametrize("dtype", [np.float16, ">f2", ml_dtypes.bfloat16, np.float64], ids=str)
def test_other_floats(scheme: str, shape: tuple[int, ...], where: Any, dtype: Any) -> None:
    """float32 alone was once quantized."""
    x = sample(shape).astype(dtype)
    q, single = uf.quantize(x, scheme, **where), uf.quantize(x.astype(np.float32), scheme, **where)
    np.testing.assert_array_equal(q.scale, single.scale)
    np.testing.assert_array_equal(q.zero_point, single.zero_point)
    np.testing.assert_array_equal(q.data, single.data)  # x is a float32, whatever it is kept as
    if x.size and not q.code.is_float:
        seen = uf.observers.MinMax().update(x.astype(np.float32))
        a = uf.quantize(x, scheme, observer=seen)
        np.testing.assert_array_equal(a.data, uf.quantize(x, scheme).data)


def test_float64_is_divided_as_it_is() -> None:
    """Its scale is float32, and its quotient is rounded once."""
    x = np.array([254.0, 1 + 1e-12, 1 - 1e-12, 3 - 1e-12])
    q = uf.quantize(x, "int8")
    assert q.scale == 2 and q.scale.dtype == np.float32
    np.testing.assert_array_equal(q.data, [127, 1, 0, 1])
    np.testing.assert_array_equal(uf.quantize(x.astype(np.float32), "int8").data, [127, 0, 0, 2])
    for values in ([1e39, 1], [np.nan, 1], [-np.inf, 0]):
        with pytest.raises(ValueError, match=r"'x': expected finite values, got .*float32"):
            uf.quantize(np.array(values))
    with pytest.raises(ValueError, match=r"got NaN or infinity$"):
        uf.quantize(np.float16([np.inf]))


def test_lists_of_numbers() -> None:
    """They are float64 for NumPy, which was once refused."""
    want = uf.quantize(np.float32([[1, -2], [3, 4]]), "int8", axis=0)
    for x in ([[1, -2], [3, 4]], [[1.0, -2.0], (3.0, 4.0)], ((1, -2), (3, 4))):
        q = uf.quantize(x, "int8", axis=0)
        assert isinstance(q, uf.QuantizedArray) and repr(q) == repr(want)
        np.testing.assert_array_equal(q.data, want.data)
    assert uf.quantize(3).shape == uf.quantize(-2.5).shape == ()
    for values in (np.arange(3), [True, False], ["a"]):
        with pytest.raises(TypeError, match="argument 'x'"):
            uf.quantize(values)


ROWS = [2, -1, slice(1, 4), slice(None, None, 2), [0, 3], np.array([True, False] * 3)]


@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("scheme", ["int8", "uint8", "int4", "float8_e5m2"])
@pytest.mark.parametrize(
    "where",
    [{}, {"axis": 0}, {"axis": 1}, {"axis": 2, "block_size": 4}, {"block_size": (1, 2, 10)}],
)
def test_rows(rows: Any, scheme: str, where: Any) -> None:
    q = uf.quantize(sample((6, 4, 10)), scheme, **where)
    part = q[rows]
    np.testing.assert_array_equal(part.dequantize(), q.dequantize()[rows])
    assert part.scheme == scheme and len(q) == 6


def test_rows_that_are_none() -> None:
    q = uf.quantize(sample((6, 4)), axis=0, block_size=2)
    with pytest.raises(IndexError, match="blocks of 2 run along the first axis"):
        q[0]
    q = uf.quantize(sample((6, 4)))
    for rows in ((0, 1), None, ...):
        with pytest.raises(IndexError, match="expected indices of the first axis"):
            q[rows]
    with pytest.raises(IndexError, match="out of bounds"):
        q[6]
    with pytest.raises(IndexError, match="has no rows to take"):
        uf.quantize(sample(8), "int4")[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"scheme": "int5"}, ValueError, "'scheme': expected one of int8, uint8"),
        ({"scheme": "uint8", "symmetric": True}, ValueError, "none of them negative.*symmetric=Fa"),
        ({"symmetric": "no"}, TypeError, "'symmetric': expected a bool or None, got 'no'"),
        ({"observer": uf.observers.MinMax}, TypeError, "'observer': expected an observer that has"),
        ({"observer": "mse"}, TypeError, "'observer': expected an observer that has seen data"),
        (
            {"observer": uf.observers.MinMax(axis=0).update(np.ones((3, 4)))},
            ValueError,
            r"'observer': expected ranges of shape \(\).*give both the same axis",
        ),
        ({"scheme": "float8_e5m2", "symmetric": False}, ValueError, "codes are symmetric"),
        ({"block_size": 4}, ValueError, "'axis': expected the axis that blocks"),
        ({"axis": 2}, np.exceptions.AxisError, "axis 2 is out of bounds"),
        ({"axis": 0, "block_size": -1}, ValueError, "'block_size': expected a positive int"),
    ],
)
def test_bad_input(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=r"ufuse\.quantize: .*" + message):
        uf.quantize(sample((6, 4)), **arguments)


def test_zero_dimensions() -> None:
    q = uf.quantize(np.float32(2.5))
    assert q.shape == () and q.dequantize() == np.float32(2.5)
    with pytest.raises(TypeError, match="unsized"):
        len(q)
    with pytest.raises(ValueError, match="at least one axis to pack"):
        uf.quantize(np.float32(2.5), "int4")


def test_the_record_is_checked() -> None:
    data, scale, zero = np.zeros((2, 3), np.uint8), np.ones(2, np.float32), np.zeros((), np.int8)
    q = uf.QuantizedArray(data, scale, zero, 0, None, "int4", (2, 5))
    assert q.shape == (2, 5) and q.codes().shape == (2, 5)
    assert uf.QuantizedArray(data, scale, zero, 0, None, "int4").shape == (2, 6)
    for arguments, error, message in (
        (
            (data, scale, zero, 0, None, "int4", (2, 7)),
            ValueError,
            r"'data': expected shape \(2, 4\)",
        ),
        ((data, scale, zero, 0, None, "int3"), ValueError, "'scheme': expected one of"),
        ((data, scale, np.int8(9), 0, None, "int4"), ValueError, "values from -8 to 7"),
        ((data, scale, zero, 0, 2, "int4"), ValueError, r"'scale': expected shape \(1, 6\)"),
    ):
        with pytest.raises(error, match=r"ufuse\.QuantizedArray: .*" + message):
            uf.QuantizedArray(*arguments)


def test_blocks_of_no_axes_failed() -> None:
    for how in ({"block_size": (1,)}, {"axis": 0, "block_size": 1}, {"axis": 0}):
        row = uf.quantize(np.ones(5, np.float32), "int8", **how)[0]
        assert row.shape == () and row.block_size is None and row.dequantize() == 1
    for dtype in (np.float32, np.float64, np.float16):
        q = uf.quantize(dtype(3), block_size=())
        assert q.shape == q.scale.shape == () and q.block_size is None
        np.testing.assert_allclose(q.dequantize(), 3, rtol=1e-6)
    assert uf.quantize_linear(np.float32(3), np.float32(1), block_size=()) == 3
    assert uf.dequantize_linear(np.int8(3), np.float32(2), block_size=()) == 6
    assert uf.QuantizedArray(
        np.int8(3), np.float32(2), np.int8(0), None, ()
    ).dequantize() == np.float32(6)
    with pytest.raises(ValueError, match="one size for each of the 1 axes"):
        uf.quantize(np.ones(5, np.float32), block_size=())


def test_records_of_shapes_that_are_none_were_made() -> None:
    bytes_, one, zero = np.zeros(0, np.uint8), np.float32(1), np.int8(0)
    for shape in ((-1,), (-2, -3), ("2",), (1.5,)):
        with pytest.raises(ValueError, match=r"ufuse\.QuantizedArray: attribute 'shape': expected"):
            uf.QuantizedArray(bytes_, one, zero, None, None, "int4", shape)
    for shape in (None, ()):
        with pytest.raises(ValueError, match="attribute 'data': expected at least one axis"):
            uf.QuantizedArray(np.zeros((), np.uint8), one, zero, None, None, "int4", shape)
    for scheme in (["int8"], {}, None, 8):
        with pytest.raises(ValueError, match="attribute 'scheme': expected one of"):
            uf.QuantizedArray(np.zeros(2, np.int8), one, zero, None, None, scheme)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_of_a_list_nan_was_named_x(dtype: Any) -> None:
    arrays = [sample(4).astype(dtype) for _ in range(3)]
    arrays[1][2] = np.nan
    seen = uf.observers.MinMax().update(arrays[0])
    for how in ({}, {"axis": 0, "block_size": 2}, {"observer": seen}):
        with pytest.raises(ValueError, match=r"argument 'x\[1\]': expected finite values"):
            uf.quantize(arrays, **how)
        with pytest.raises(ValueError, match=r"argument 'x\[0\]': expected finite values"):
            uf.quantize(arrays[1:2], **how)
        with pytest.raises(ValueError, match=r"argument 'x': expected finite values"):
            uf.quantize(arrays[1], **how)


def test_an_axis_beyond_64_bits_overflowed() -> None:
    x = sample((4, 4))
    for axis in (2**70, -(2**70)):
        for call in (
            lambda axis=axis: uf.quantize(x, axis=axis),
            lambda axis=axis: uf.quantization_error(x, uf.quantize(x), axis=axis),
            lambda axis=axis: uf.formats.mx.quantize(x, "mxfp8", axis=axis),
            lambda axis=axis: uf.observers.MinMax(axis=axis).update(x),
        ):
            with pytest.raises(np.exceptions.AxisError, match="out of bounds"):
                call()


def test_a_block_size_of_true_was_kept() -> None:
    x = sample((4, 4))
    for size in (True, (True, 2)):
        how = {"axis": 0} if size is True else {}
        with pytest.raises(ValueError, match="'block_size': expected a positive int"):
            uf.quantize(x, block_size=size, **how)
        with pytest.raises(TypeError, match="'block_size': expected an int"):
            uf.observers.MinMax(block_size=size, **how)


def test_a_percentile_of_letters_was_a_comparison_that_failed() -> None:
    for given in ("a", None, np.ones(2)):
        with pytest.raises(TypeError, match="Percentile: argument 'percentile': expected a number"):
            uf.observers.Percentile(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("scheme", ["int8", "uint8", "int4", "uint2", "float8_e4m3fn"])
def test_floats_of_16_bits_are_quantized_alike_as_float32_and_by_steps(
    dtype: Any, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small arrays become float32 at once, large ones are read as they are."""
    arrays = [(sample(shape) * 5).astype(dtype) for shape in ((40, 7), (130, 64), (2, 3))]
    arrays.append(arrays[1][::2, ::-3])
    arrays.append(arrays[1].astype(np.dtype(dtype).newbyteorder())) if dtype is np.float16 else 0
    arrays[0][:3, 0] = 6e-8, -0.0, np.finfo(np.float16).max
    for how in ({}, {"axis": 1}, {"axis": 0, "block_size": 32}):
        quick = uf.quantize(arrays, scheme, **how)
        with monkeypatch.context() as patch:
            patch.setattr(ranged, "_WIDENED", 0)
            steps = uf.quantize(arrays, scheme, **how)
        for x, *found in zip(arrays, quick, steps, strict=True):
            found.append(uf.quantize(x.astype(np.float32), scheme, **how))
            for q in found:
                assert q.data.tobytes() == found[0].data.tobytes()
                assert q.scale.tobytes() == found[0].scale.tobytes()
                assert q.zero_point.tobytes() == found[0].zero_point.tobytes()
