"""Bad arguments of quantization: refused, in words that name the function that was called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ufuse as uf

X = np.float32([[1, 2], [3, 4]])
CODES = np.int8([[1, 2], [3, 4]])


def test_integer_sums_of_another_dtype_are_sent_to_int32() -> None:
    """The advice was once int8, which wraps."""
    with pytest.raises(TypeError, match=r"x\.astype\(np\.int32\) converts integer sums"):
        uf.requantize(np.int64([100_000]), 0.1, 0, 0.2)
    with pytest.raises(TypeError, match="quantize_linear makes codes of numbers"):
        uf.requantize(X, 0.1, 0, 0.2)


def test_limits_that_are_no_integers_are_refused() -> None:
    """They were truncated."""
    function: Any
    for function in (uf.quantize_linear, uf.fake_quantize):
        for bad in ((-1.5, 1.5), (np.float32(-1), 1), (1, 2, 3), 3):
            with pytest.raises(ValueError, match="'limits': expected two integers within"):
                function(X, 0.1, dtype="int8", limits=bad)
    np.testing.assert_array_equal(
        uf.quantize_linear(X, 1, dtype="int8", limits=(np.int64(-2), np.int8(2))), [[1, 2], [2, 2]]
    )


def test_limits_of_floating_codes_say_that_there_are_none() -> None:
    pytest.importorskip("ml_dtypes")
    with pytest.raises(ValueError, match="codes of float8_e4m3fn are floats, which have none"):
        uf.quantize_linear(X, 0.1, dtype="float8_e4m3fn", limits=(-1, 1))


def test_a_cast_to_none_is_refused() -> None:
    """NumPy means float64 by it."""
    nothing: Any = None
    with pytest.raises(TypeError, match=r"ufuse\.cast: argument 'dtype'.*got None"):
        uf.cast(X, nothing)


def test_half_away_says_whose_it_is() -> None:
    with pytest.raises(ValueError, match="with spec='litert' 'half_away'"):
        uf.quantize_linear(X, 0.1, rounding="half_away")
    with pytest.raises(TypeError, match=r"half to even or half away; .*rounding='half_away'"):
        uf.quantize_linear(X.astype(np.float64), 0.1, rounding="half_away", spec="litert")


def test_zero_points_may_be_lists_of_integers() -> None:
    found = uf.dequantize_linear(CODES, [0.5, 2.0], [0, 1], axis=0)
    np.testing.assert_array_equal(found, [[0.5, 1], [4, 6]])
    with pytest.raises(ValueError, match="'zero_point': expected values from -128 to 127"):
        uf.dequantize_linear(CODES, [0.5, 2.0], [0, 128], axis=0)
    with pytest.raises(TypeError, match="'zero_point': expected the dtype of x, int8, got int16"):
        uf.dequantize_linear(CODES, 0.5, np.int16(3))


@pytest.mark.parametrize("bad", [-3, "a", 1.5])
def test_seeds_that_are_none_are_refused_by_name(bad: Any) -> None:
    for call in (
        lambda: uf.quantize_linear(X, 0.1, rounding="stochastic", rng=bad),
        lambda: uf.cast(X, "float16", rounding="stochastic", rng=bad),
    ):
        with pytest.raises((TypeError, ValueError), match=r"ufuse\.\w+: argument 'rng': expected"):
            call()


def test_what_pack_refuses_it_does_not_list() -> None:
    for call in (lambda: uf.pack(CODES, "int3"), lambda: uf.unpack(CODES.view("u1"), "int3")):
        with pytest.raises(TypeError, match="expected int4, uint4, int2, ") as error:
            call()
        assert "int8" not in str(error.value)
    size: Any = 1.0
    with pytest.raises(TypeError, match=r"ufuse\.unpack: argument 'size': expected an int"):
        uf.unpack(np.uint8([1]), "int4", size=size)


def test_errors_of_dynamic_quantization_name_it() -> None:
    dynamic = uf.dynamic_quantize_linear
    with pytest.raises(ValueError, match=r"ufuse\.dynamic_quantize_linear: argument 'out'"):
        dynamic(X, out=np.zeros(3, np.uint8))
    with pytest.raises(TypeError, match=r"ufuse\.dynamic_quantize_linear: argument 'out'"):
        dynamic(X, out=np.zeros(X.shape, np.int8))
    for other in (CODES, X.astype(np.float64), X.astype(np.float16)):
        with pytest.raises(TypeError, match=r"'x': expected float32, got dtype \w+; convert"):
            dynamic(other)
    swapped = dynamic(X.astype(">f4"))
    np.testing.assert_array_equal(swapped.codes, dynamic(X).codes)


def test_dynamic_quantization_of_zeros_and_infinities_is_as_documented() -> None:
    zeros = uf.dynamic_quantize_linear(np.zeros(3, np.float32))
    assert zeros.scale == np.float32(1 / 255) and not zeros.codes.any()
    wide = uf.dynamic_quantize_linear(np.float32([1, np.inf, -2]))
    assert wide.scale == np.inf and wide.codes[0] == wide.codes[2] == wide.zero_point


def test_dynamic_quantization_of_a_tensor_gives_tensors() -> None:
    torch = pytest.importorskip("torch")
    found = uf.dynamic_quantize_linear(torch.tensor([1.0, 2.0]))
    assert type(found).__name__ == "DynamicallyQuantized"
    assert all(isinstance(part, torch.Tensor) for part in found)
    assert found.codes.tolist() == [127, 255] or found.codes.tolist() == [128, 255]


@pytest.mark.parametrize("bad", [1000, np.float32(2), [1000]])
def test_a_bad_zero_point_of_the_result_is_called_so(bad: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="argument 'out_"):
        uf.requantize(np.int32([1]), 0.1, 0, 0.2, bad)
    with pytest.raises(TypeError, match="argument 'out_zero_point': expected dtype uint8"):
        uf.requantize(np.int32([1]), 0.1, 0, 0.2, np.int8(1), dtype="uint8")
    with pytest.raises(TypeError, match="argument 'out_scale': expected floating-point"):
        uf.requantize(np.int32([1]), 0.1, 0, np.True_)


def test_kinds_that_are_read_alone_are_not_offered() -> None:
    with pytest.raises(ValueError, match="expected one of Q4_0") as error:
        uf.formats.gguf.quantize(X, "Q7")
    assert "IQ" not in str(error.value)
    with pytest.raises(ValueError, match="IQ4_XS"):
        uf.formats.gguf.dequantize(CODES.view("u1"), "Q7")
