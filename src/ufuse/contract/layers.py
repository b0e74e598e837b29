"""Linear layers: a product with weights, its bias and activation in the same pass."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import executors
from ..fusion.program import Program
from ..interop import accepts_buffers, asarray
from ..interop.lowprecision import coding
from ..quant.array import QuantizedArray
from ..quant.cast import cast
from ..quant.record import Record
from .layer_finish import ACTIVATIONS, LayerFinish, epilogue
from .options import read_number
from .outputs import check_one, given_back, new_or_checked
from .weights import Dense, Mode, PackedWeights, weights_of

Array = NDArray[Any]

_FUNCTION = "ufuse.linear"


def _fast_epilogue(sums: Any, bias: bool, activation: Any) -> Program | None:
    """Return the epilogue of a call that the fast entry takes; None where there is no such name."""
    if activation is not None and activation not in ACTIVATIONS:
        return None
    return epilogue("f4", sums, bias, activation, "f4")


@executors.fast_layer(_fast_epilogue, PackedWeights, QuantizedArray)
@accepts_buffers("x", "bias", "out_scale", "out_zero_point")
def linear(
    x: ArrayLike,
    w: ArrayLike | Record | PackedWeights,
    bias: ArrayLike | None = None,
    activation: str | None = None,
    out: Array | None = None,
    *,
    mode: Mode | None = None,
    out_scale: ArrayLike | None = None,
    out_zero_point: ArrayLike | None = None,
) -> Array:
    """Apply a linear layer: ``activation(x @ w.T + bias)``.

    Parameters
    ----------
    x : array_like, shape (..., in)
        float32, float64, float16 or bfloat16, any strides.
    w : array_like, QuantizedArray, record of `ufuse.formats`, or PackedWeights; shape (out, in)
        Weights of the dtype of `x`, any strides; or quantized ones, for `x` of any dtype above but
        float64: a `QuantizedArray` of any scheme, a `GGUFArray`, `MXArray`, `NVFP4Array` or
        `NF4Array`; or what `prepack` makes of them.
    bias : array_like, shape (out,), optional
        Of the dtype of `x`.
    activation : str, optional
        Applied to the sum before it is stored: the name of a function of one array that ufuse adds
        to NumPy (``"relu"``, ``"gelu"``, ``"silu"``...), or ``"tanh"``. ``"gelu"`` is the erf form.
    out : ndarray, shape (..., out), optional
        Written to and returned; dtype of `x`, or int8 or uint8 where `out_scale` is given. It may
        overlap the other arguments.
    mode : {"dynamic", "weight_only"}, optional
        How quantized weights are multiplied. ``"weight_only"``: `x` in float32 times the numbers
        that the codes stand for. ``"dynamic"``: every row of `x` is quantized to int8 on the way,
        and sums of integers are exact; for symmetric int8 weights with one scale or one per output,
        and for codes of 4 and 2 bits that stand for integers (int4, uint4, int2, uint2, Q4_0, Q4_1,
        Q2_K, Q3_K, Q4_K). By default ``"dynamic"`` for that kind of int8, ``"weight_only"`` for all
        others.
    out_scale : float, optional
        Requantizes the result: codes ``round(result / out_scale) + out_zero_point``, half to even,
        saturated, in the same pass.
    out_zero_point : int, int8 or uint8, optional
        Of the codes, 0 by default. Its dtype is that of the result; for a Python integer that is
        the dtype of `out`, or int8.

    Returns
    -------
    ndarray, shape (..., out)
        Dtype of `x`; int8 or uint8 with `out_scale`.

    Raises
    ------
    ValueError
        If shapes disagree, the activation is unknown, `mode` is not offered for `w`, or the sums of
        a dynamic int8 product could overflow int32 (`in` above 132104). Nothing has been written
        then.
    TypeError
        If dtypes disagree.

    See Also
    --------
    prepack : Lay weights out once for many calls.

    Notes
    -----
    float16 and bfloat16 are computed in float32, and the result is rounded once. On CPUs with AMX
    more than eight rows of bfloat16, where ``rows * in * out`` is more than a million, go to its
    tiles: products are summed in float32 in another order, with denormals as zero, as in `matmul`.

    In dynamic mode a row of `x` is quantized symmetrically with a scale of its own (largest
    magnitude / 127, half to even); scales, bias and activation are applied to the integer sums
    before they leave the cache.

    One row of `x` is multiplied about as fast as memory delivers the weights; eight take up to
    twice as long in dynamic mode, and up to four times with codes of four bits without. A
    `QuantizedArray` keeps its packed form after the first call; other records are decoded in each
    call, unless `prepack` has packed them.

    Each result is the same bits for any number of rows and threads, and for any layout of `x`, but
    for bfloat16 that goes to tiles or not by its number of rows. For
    weights in codes these are not the bits of ``linear(x, w.dequantize())``: a block's scale is
    applied to the sum over the block (256 inputs at most), once, and what is subtracted from all
    codes of a block (zero points, least values) to the sum of `x` over it, so that an infinite `x`
    gives NaN with those. Records that are decoded in each call, and the formats that `prepack`
    leaves as they are, do give those bits.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> x = np.float32([[1.0, -2.0]])
    >>> w = np.float32([[1.0, 0.5], [3.0, 0.0], [0.0, 1.0]])
    >>> uf.linear(x, w, activation="relu")
    array([[0., 3., 0.]], dtype=float32)
    >>> uf.linear(x, uf.quantize(w, "int4", axis=0), mode="weight_only").round(1)
    array([[ 0.1,  3. , -2. ]], dtype=float32)
    >>> uf.linear(x, w, activation="relu", out_scale=0.05)
    array([[ 0, 60,  0]], dtype=int8)
    """
    check_one(_FUNCTION, out)
    array = asarray(x, function=_FUNCTION, argument="x")
    shift = None if bias is None else asarray(bias, function=_FUNCTION, argument="bias")
    _check_x(array, activation)
    weights = weights_of(w, mode, "linear")
    dtype = array.dtype.newbyteorder("=")
    _check(array, dtype, weights, shift)
    shape = (*array.shape[:-1], weights.shape[0])
    result, zero = _read_result(dtype, out, out_scale, out_zero_point)
    target = new_or_checked(_FUNCTION, out, shape, result)
    computed = dtype if dtype.itemsize > 2 else np.dtype(np.float32)
    rows = array.reshape(math.prod(array.shape[:-1]), array.shape[-1])
    apart = out is None or not any(executors.overlap(a, out) for a in _parts(rows, w, shift))
    into = _as_rows(target, weights.shape[0], apart)
    scale = None if out_scale is None else np.asarray(out_scale, computed)
    finish = LayerFinish(
        computed.str[1:],
        _code_of(result),
        None if shift is None else _as(shift, computed),
        activation,
        scale,
        zero,
    )
    form = weights._weights
    read = dtype if isinstance(form, Dense) and form.reads_bfloat16(rows) else computed
    form.multiply(_as(rows, read), finish, into)
    if not np.may_share_memory(into, target):  # it is a view of `target`, or memory of its own
        np.copyto(target, into.reshape(shape))
    return given_back(target, out)


def _as_rows(target: Array, columns: int, apart: bool) -> Array:
    """View the result as a matrix; a temporary one where there is no view, or it is not `apart`."""
    shape = (math.prod(target.shape[:-1]), columns)
    if apart:
        try:
            return target.reshape(shape, copy=False)
        except ValueError:
            pass
    return np.empty(shape, target.dtype)


def _parts(x: Array, w: Any, bias: Array | None) -> list[Array]:
    """Return all arrays that are read."""
    parts = [x] if bias is None else [x, bias]
    if isinstance(w, Record):
        parts += w._stored().values()
    elif not isinstance(w, PackedWeights):
        parts.append(np.asarray(w))
    return parts


def _as(array: Array, dtype: np.dtype[Any]) -> Array:
    if array.dtype == dtype:
        return array
    return cast(array, dtype) if coding(array.dtype) else array.astype(dtype)


def _code_of(dtype: np.dtype[Any]) -> str:
    return dtype.name if dtype.itemsize == 2 else dtype.str[1:]


def _read_result(
    dtype: np.dtype[Any], out: Array | None, scale: Any, zero_point: Any
) -> tuple[np.dtype[Any], Array | None]:
    """Return the dtype of the result, and its zero point where it is requantized."""
    if scale is None:
        if zero_point is not None:
            raise ValueError(
                f"{_FUNCTION}: argument 'out_zero_point': expected None without out_scale, got "
                f"{zero_point!r}"
            )
        return dtype, None
    if not 0 < read_number(_FUNCTION, "out_scale", scale) < math.inf:
        raise ValueError(
            f"{_FUNCTION}: argument 'out_scale': expected a positive finite number, got {scale!r}"
        )
    given = 0 if zero_point is None else zero_point
    if isinstance(given, (np.ndarray, np.generic)):
        result = given.dtype
    else:
        result = np.dtype(np.int8) if out is None else out.dtype
    if result not in (np.dtype(np.int8), np.dtype(np.uint8)):
        name = "out" if not isinstance(given, (np.ndarray, np.generic)) else "out_zero_point"
        raise TypeError(
            f"{_FUNCTION}: argument {name!r}: expected int8 or uint8 with out_scale, got {result}"
        )
    limits = np.iinfo(result)
    whole = np.ndim(given) == 0 and np.result_type(given).kind in "iu"
    if not whole or not limits.min <= int(given) <= limits.max:
        raise ValueError(
            f"{_FUNCTION}: argument 'out_zero_point': expected an integer from {limits.min} to "
            f"{limits.max}, got {given!r}"
        )
    return result, np.asarray(given, result)


def _check_x(x: Array, activation: str | None) -> None:
    if activation is not None and not (isinstance(activation, str) and activation in ACTIVATIONS):
        raise ValueError(
            f"{_FUNCTION}: argument 'activation': expected None or one of "
            f"{', '.join(ACTIVATIONS)}, got {activation!r}"
        )
    if x.dtype.type not in (np.float32, np.float64) and coding(x.dtype) not in ("half", "bfloat16"):
        raise TypeError(
            f"{_FUNCTION}: argument 'x': expected float32, float64, float16 or bfloat16, got dtype "
            f"{x.dtype}; convert it with x.astype(np.float32)"
        )


def _check(x: Array, dtype: np.dtype[Any], w: PackedWeights, bias: Array | None) -> None:
    if w.dtype is None and dtype == np.float64:
        raise TypeError(
            f"{_FUNCTION}: argument 'x': expected float32, float16 or bfloat16 with quantized "
            f"weights, got {x.dtype}; convert it with x.astype(np.float32)"
        )
    if w.dtype is not None and w.dtype != dtype:
        raise TypeError(
            f"{_FUNCTION}: arguments 'x' and 'w': expected both float32, float64, float16 or "
            f"bfloat16, or w quantized, got {dtype} and {w.dtype}; convert one of them, such as "
            f"x.astype({w.dtype.name!r}), or w before it is packed"
        )
    if x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise ValueError(
            f"{_FUNCTION}: argument 'w': expected shape (out, in) with in the last axis of x, "
            f"whose shape is {x.shape}, got shape {w.shape}"
        )
    if bias is None:
        return
    if bias.shape != w.shape[:1]:
        raise ValueError(
            f"{_FUNCTION}: argument 'bias': expected shape {w.shape[:1]}, got {bias.shape}"
        )
    if not np.can_cast(bias.dtype, dtype, "same_kind"):
        raise TypeError(f"{_FUNCTION}: argument 'bias': expected dtype {dtype}, got {bias.dtype}")
