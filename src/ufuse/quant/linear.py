"""Linear quantization: ONNX's QuantizeLinear and kin, and other libraries' conventions.

Each function is one program; scale and zero point are broadcast operands, so that per tensor, per
axis and per block are the same pass over memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import executors
from ..catalogue import conventions
from ..interop import accepts_buffers
from .arguments import (
    Operands,
    as_stored,
    codes_wanted,
    float_name,
    generator_of,
    limited,
    low_bits,
    read_codes,
    read_numbers,
    read_operands,
    read_output,
    read_spec,
    stored,
)
from .codes import BY_NAME as CODES
from .codes import CodeType
from .programs import OPERATIONS, dequantizer, faker, quantizer
from .record import refuse_record

Array = NDArray[Any]

_EIGHT_BITS = {"i1": CODES["int8"], "u1": CODES["uint8"]}


def _wide(source: str) -> str:
    return "f8" if source == "f8" else "f4"


def _random_bits(rounding: str, rng: Any, shape: tuple[int, ...], function: str) -> Array | None:
    """Return the random bits that a rounding asks for; None for rounding to the nearest."""
    if rounding == "half_even":
        if rng is not None:
            raise ValueError(
                f"ufuse.{function}: argument 'rng': given, but rounding='half_even' draws nothing; "
                "pass rounding='stochastic' or leave rng= out"
            )
        return None
    if rounding != "stochastic":
        raise ValueError(
            f"ufuse.{function}: argument 'rounding': expected 'half_even' or 'stochastic', or with "
            f"spec='litert' 'half_away', got {rounding!r}"
        )
    generator = generator_of(rng, function)
    return generator.integers(0, 1 << 32, size=shape, dtype=np.uint32)


def _run(program: Any, operands: Operands, target: Array, *others: Array) -> None:
    for x, scale, zero, out, *rest in operands.parts(target, *others):
        executors.run_program(program, (x, scale, zero, *rest), (out,))


@executors.fast_linear(
    {zero: quantizer("quantize_linear", "f4", code) for zero, code in _EIGHT_BITS.items()}
)
@accepts_buffers("x", "scale", "zero_point", check=refuse_record)
def quantize_linear(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike | None = None,
    *,
    axis: int | None = None,
    block_size: int | tuple[int, ...] | None = None,
    dtype: DTypeLike | str | None = None,
    limits: tuple[int, int] | None = None,
    saturate: bool = True,
    spec: str = "onnx",
    rounding: str = "half_even",
    rng: Any = None,
    out: Array | None = None,
) -> Array:
    """Quantize to codes: ``saturate(round_half_even(x / scale) + zero_point)``.

    Parameters
    ----------
    x : array_like
        float32, float64, float16 or bfloat16, any shape and strides.
    scale : array_like
        A scalar; with `axis` one value per index of that axis; with `block_size` one per block.
        Computed with in float32, or float64 where `x` is.
    zero_point : array_like, optional
        Of the codes' dtype, or Python integers; a scalar or the shape of `scale`. 0 by default,
        and 0 for floating codes.
    axis : int, optional
        The axis of `x` that a 1-d `scale` belongs to, or that blocks run along.
    block_size : int or tuple of int, optional
        Elements of a block along `axis`, or one number for each axis of `x`. The last block of an
        axis may have fewer. `scale` has then as many dimensions as `x`, and
        ``ceil(length / block_size)`` entries along each.
    dtype : dtype_like or str, optional
        int8, uint8, int16, uint16, or one of ml_dtypes' int4, uint4, int2, uint2 (one code per
        byte; `pack` packs them) and float8, float6 and float4 kinds, or its name; by default the
        zero point's dtype, or uint8.
    limits : (int, int), optional
        The smallest and the largest code, where they are not those of the type: ``(-127, 127)``.
    saturate : bool
        Of floating codes: whether what is too large becomes the largest number; otherwise infinity
        or NaN.
    spec : {"onnx", "torch", "torch-2.15", "torchao", "litert"}
        Whose bits: see Notes. Integer codes only, but for ``"onnx"``.
    rounding : {"half_even", "stochastic", "half_away"}
        ``"stochastic"`` rounds up or down with the probability of what is cut off (``"onnx"``).
        ``"half_away"`` is of ``"litert"`` alone: its kernels' rule.
    rng : int or numpy.random.Generator, optional
        What stochastic rounding draws 32 bits per element from.
    out : ndarray, optional
        Written to and returned; shape of `x`, dtype of the codes. It may overlap `x`.

    Returns
    -------
    ndarray
        Codes in the shape of `x`.

    Raises
    ------
    TypeError
        If a dtype is none of those above.
    ValueError
        If shapes disagree or a zero point is out of range. Nothing has been written then.
    ImportError
        If the codes' dtype is one of ml_dtypes', which is not installed.

    Notes
    -----
    ``"onnx"`` is QuantizeLinear-25 as onnxruntime computes it: a true division, half to even, the
    zero point added after rounding, clamped before the conversion to integers. NaN gives the
    smallest code, infinities the ends; floating codes are ``saturate(x / scale)``. Scales that are
    zero, negative, infinite or NaN are divided by likewise, as those libraries do: the page on
    quantization has a table. ``"torch"`` is
    ``torch.quantize_per_tensor``, with `axis` ``torch.quantize_per_channel``: times the rounded
    inverse of the scale, the zero point added before rounding; from PyTorch 2.15 on it is added
    after, ``"torch-2.15"``. ``"torchao"`` is
    ``quantize_affine``: times the inverse, the zero point after rounding. ``"litert"`` is
    ai-edge-quantizer: a division, the zero point before rounding; with half away from zero,
    TFLite's reference kernel, which adds it after. The bits do not depend on
    threads, strides or CPU (``"torch"`` per tensor: from AVX2 up).

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.quantize_linear(np.float32([-1.0, 0.25, 9.0]), 0.1, dtype=np.int8)
    array([-10,   2,  90], dtype=int8)
    >>> uf.quantize_linear(np.float32([[1, 2, 3, 40]]), [[0.5, 10]], axis=1, block_size=2)
    array([[2, 4, 0, 4]], dtype=uint8)
    """
    function = "quantize_linear"
    array, source = read_numbers(x, function)
    code = codes_wanted(dtype, zero_point, function)
    operation = OPERATIONS[read_spec(spec, function)][axis is not None]
    asked = rounding
    if spec == "litert" and rounding == "half_away":
        operation, rounding = "quantize_litert_away", "half_even"
    if spec == "torchao" and code.is_float:
        operation = "quantize_linear"  # alike there
    elif spec != "onnx" and (code.is_float or source == "f8" or rounding != "half_even"):
        raise TypeError(
            f"ufuse.{function}: argument 'spec': {spec!r} quantizes float32, float16 and bfloat16 "
            f"to integers, half to even{' or half away' if spec == 'litert' else ''}; got dtype "
            f"{np.asarray(x).dtype}, codes {code.name} and rounding={asked!r}"
        )
    code = limited(code, limits, function)
    operands = read_operands(
        array, scale, zero_point, axis, block_size, _wide(source), code, function
    )
    target = read_output(out, array.shape, code.dtype, function)
    random = _random_bits(rounding, rng, array.shape, function)
    if out is not None:
        operands = operands.apart(target)
    codes = as_stored(target, code)
    if spec == "torchao" and not code.is_float and _is_narrow(source, scale):
        _run_torchao(np.asarray(x), scale, operands, code, codes)
        return target
    plus_zero = code.name == "float4_e2m1fn" and zero_point is not None  # ONNX's: -0 becomes 0
    program = quantizer(operation, source, code, bool(saturate), random is not None, plus_zero)
    _run(program, operands, codes, *([] if random is None else [random]))
    return target


def _is_narrow(source: str, scale: Any) -> bool:
    """Whether numbers or scales are narrower than float32."""
    own = getattr(scale, "dtype", None)
    return source != "f4" or (own is not None and float_name(own) in ("float16", "bfloat16"))


def _float_dtype(scale: Any) -> np.dtype[Any]:
    """Return the dtype of scales; float32 of those that have none, or no floating one."""
    own = getattr(scale, "dtype", None)
    found = np.dtype(np.float32) if own is None else np.dtype(own).newbyteorder("=")
    return np.dtype(np.float32) if float_name(found) is None else found


def _run_torchao(x: Array, scale: Any, operands: Operands, code: CodeType, codes: Array) -> None:
    """Quantize float16 or bfloat16, whose every step torchao rounds: in NumPy."""
    own = getattr(scale, "dtype", x.dtype)
    for numbers, scales, zero, out in operands._replace(x=x).parts(codes):
        with np.errstate(all="ignore"):
            found = conventions.quantize_torchao(
                numbers, scales.astype(own), zero, code.low, code.high
            )
        out[...] = low_bits(found, code)


@executors.fast_linear({zero: dequantizer(code, "f4") for zero, code in _EIGHT_BITS.items()})
@accepts_buffers("x", "scale", "zero_point", check=refuse_record)
def dequantize_linear(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike | None = None,
    *,
    axis: int | None = None,
    block_size: int | tuple[int, ...] | None = None,
    dtype: DTypeLike | None = None,
    spec: str = "onnx",
    out: Array | None = None,
) -> Array:
    """Turn codes back into numbers: ``(x - zero_point) * scale``.

    Parameters
    ----------
    x : array_like
        Codes of any dtype that `quantize_linear` gives, or int32; any shape and strides.
    scale : array_like
        As for `quantize_linear`.
    zero_point : array_like, optional
        Of the dtype of `x`, or Python integers (int64); a scalar or the shape of `scale`. 0 by
        default. For codes of less than a byte int8 or uint8 too, as a `QuantizedArray` keeps it.
    axis, block_size
        As for `quantize_linear`.
    dtype : dtype_like, optional
        float32 (default), float64, float16 or bfloat16: the result. float64 computes in float64,
        the others in float32.
    spec : {"onnx", "torch", "torch-2.15", "torchao", "litert"}
        As for `quantize_linear`. They agree but for ``"torchao"``, which rounds codes, difference
        and product to `dtype` where it is float16 or bfloat16, and takes `scale` in its own dtype.
    out : ndarray, optional
        Written to and returned; shape of `x`, dtype of the result. It may overlap `x`.

    Returns
    -------
    ndarray
        Numbers in the shape of `x`.

    Raises
    ------
    TypeError
        If a dtype is none of those above.
    ValueError
        If shapes disagree or a zero point is out of range. Nothing has been written then.

    Notes
    -----
    ONNX DequantizeLinear-25: the difference is exact, the product rounds once. Scales of 0, NaN and
    infinity are multiplied with like others.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.dequantize_linear(np.int8([-10, 2, 90]), 0.1)
    array([-1. ,  0.2,  9. ], dtype=float32)
    """
    function = "dequantize_linear"
    read_spec(spec, function)
    array, code = read_codes(x, function)
    wanted = np.float32 if dtype is None else dtype
    try:
        result = np.dtype(wanted).newbyteorder("=")
    except TypeError as error:
        raise TypeError(
            f"ufuse.{function}: argument 'dtype': expected float32, float64, float16 or bfloat16, "
            f"got {dtype!r}"
        ) from error
    name = float_name(result)
    if name not in ("f4", "f8", "float16", "bfloat16"):
        raise TypeError(
            f"ufuse.{function}: argument 'dtype': expected float32, float64, float16 or bfloat16, "
            f"got {result}"
        )
    own = getattr(zero_point, "dtype", None)
    if own is not None:  # of codes of less than a byte the byte that holds them, as in records
        own = np.dtype(own).newbyteorder("=")
        # Lists of Python integers are int64 by now.
        if own != np.int64 and own.name != code.name and own != np.dtype(code.storage):
            raise TypeError(
                f"ufuse.{function}: argument 'zero_point': expected the dtype of x, {code.name}, "
                f"got {own}"
            )
    step = _float_dtype(scale)
    narrow = spec == "torchao" and not code.is_float and {name, step.name} != {"f4", "float32"}
    wide = "f8" if narrow and step == np.float64 else _wide(name)
    operands = read_operands(array, scale, zero_point, axis, block_size, wide, code, function)
    target = read_output(out, array.shape, result, function)
    if out is not None:
        operands = operands.apart(target)
    if narrow:
        numbers = operands.x if code.bits >= 8 else np.asarray(x).astype(np.int8)
        for codes, scales, zero, into in operands._replace(x=numbers).parts(target):
            into[...] = conventions.dequantize(codes, scales.astype(step), zero, "torchao", result)
        return target
    _run(dequantizer(code, name), operands, target if name in ("f4", "f8") else stored(target))
    return target


@executors.fast_linear({zero: faker("onnx", "f4", code) for zero, code in _EIGHT_BITS.items()})
@accepts_buffers("x", "scale", "zero_point", check=refuse_record)
def fake_quantize(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike | None = None,
    *,
    axis: int | None = None,
    block_size: int | tuple[int, ...] | None = None,
    dtype: DTypeLike | str | None = None,
    limits: tuple[int, int] | None = None,
    saturate: bool = True,
    spec: str = "onnx",
    out: Array | None = None,
) -> Array:
    """Round numbers to what their codes stand for: quantize and dequantize in one pass.

    Parameters
    ----------
    x, scale, zero_point, axis, block_size, limits, saturate
        As for `quantize_linear`.
    dtype : dtype_like or str, optional
        The dtype the codes would have; by default the zero point's, or uint8.
    spec : {"onnx", "torch", "torch-2.15", "torchao", "litert"}
        As for `quantize_linear`. ``"torch"``, of any version, is
        ``torch.fake_quantize_per_tensor_affine``, which adds the zero point after rounding;
        ``"torchao"`` keeps NaN.
    out : ndarray, optional
        Written to and returned; shape and dtype of `x`. It may overlap `x`.

    Returns
    -------
    ndarray
        Shape and dtype of `x`; equal, but for ``spec="torch"``, to
        ``dequantize_linear(quantize_linear(x, scale, zero_point), scale, zero_point)``.

    Raises
    ------
    TypeError, ValueError
        As `quantize_linear`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.fake_quantize(np.float32([-1.0, 0.26, 99.0]), 0.5, dtype=np.int8)
    array([-1. ,  0.5, 63.5], dtype=float32)
    """
    function = "fake_quantize"
    array, source = read_numbers(x, function)
    code = codes_wanted(dtype, zero_point, function)
    if read_spec(spec, function) != "onnx" and (code.is_float or source == "f8"):
        raise TypeError(
            f"ufuse.{function}: argument 'spec': {spec!r} takes float32, float16 and bfloat16, and "
            f"integer codes; got dtype {np.asarray(x).dtype} and codes {code.name}"
        )
    code = limited(code, limits, function)
    operands = read_operands(
        array, scale, zero_point, axis, block_size, _wide(source), code, function
    )
    target = read_output(out, array.shape, np.asarray(x).dtype.newbyteorder("="), function)
    if out is not None:
        operands = operands.apart(target)
    if spec == "torchao" and not code.is_float and _is_narrow(source, scale):
        _fake_torchao(np.asarray(x), scale, operands, code, target)
        return target
    numbers = target if source in ("f4", "f8") else stored(target)
    _run(faker(spec, source, code, bool(saturate)), operands, numbers)
    return target


def _fake_torchao(x: Array, scale: Any, operands: Operands, code: CodeType, target: Array) -> None:
    """Round float16 or bfloat16 as `_run_torchao` quantizes them, and back."""
    own = getattr(scale, "dtype", x.dtype)
    for numbers, scales, zero, out in operands._replace(x=x).parts(target):
        out[...] = conventions.fake_quantize(
            numbers, scales.astype(own), zero, code.low, code.high, "torchao"
        )
