"""Casts between floats of 4 to 64 bits, each rounded once; codes of less than a byte packed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import executors
from ..catalogue.floats import BY_NAME as FLOATS
from ..catalogue.floats import ROUNDINGS
from ..interop import accepts_buffers
from ..interop.lowprecision import low_precision_dtype
from .arguments import float_name, generator_of, read_output, stored
from .programs import E8M0, caster, storage_of
from .record import refuse_record

Array = NDArray[Any]

_FLOATS = (
    "float64, float32, float16, bfloat16, or one of the float8, float6 and float4 types of "
    "ml_dtypes"
)


def _read(dtype: DTypeLike | str, argument: str) -> tuple[np.dtype[Any], str]:
    """Return a dtype, and what programs call it."""
    try:
        if dtype is None:  # float64 to NumPy
            raise TypeError
        named = isinstance(dtype, str) and (dtype in FLOATS or dtype == E8M0)
        found = _called(str(dtype)) if named else np.dtype(dtype)
    except TypeError as error:
        raise TypeError(
            f"ufuse.cast: argument '{argument}': expected {_FLOATS}, got {dtype!r}"
        ) from error
    found = found.newbyteorder("=")
    name = float_name(found)
    if name is None:
        raise TypeError(f"ufuse.cast: argument '{argument}': expected {_FLOATS}, got dtype {found}")
    return found, name


def _called(name: str) -> np.dtype[Any]:
    """Return the dtype called `name`, also where ml_dtypes has not been imported yet."""
    return np.dtype(np.float16) if name == "float16" else low_precision_dtype(name)


@accepts_buffers("x", check=refuse_record)
def cast(
    x: ArrayLike,
    dtype: DTypeLike | str,
    *,
    saturate: bool = True,
    rounding: str = "half_even",
    rng: Any = None,
    out: Array | None = None,
) -> Array:
    """Convert between floating-point types, rounding once.

    Parameters
    ----------
    x : array_like
        float64, float32, float16, or one of ml_dtypes' bfloat16, float8 (all kinds, float8_e8m0fnu
        with them), float6 and float4; any shape and strides.
    dtype : dtype_like or str
        One of the same types, or the name of one.
    saturate : bool
        Whether what is too large for `dtype`, and infinity, becomes its largest number (but
        float32 and float64 keep the infinities of types no wider). Otherwise infinity, or NaN in
        types without (float8 ``fn`` and ``fnuz``, e8m0), or the largest number in types without
        both (float6, float4): what `astype` gives.
    rounding : {"half_even", "half_away", "toward_zero", "down", "up", "stochastic"}
        ``"stochastic"`` rounds away from zero with the probability of what is cut off. float32
        and float64 results are rounded half to even alone.
    rng : int or numpy.random.Generator, optional
        What stochastic rounding draws 32 bits per element from.
    out : ndarray, optional
        Written to and returned; shape of `x`, dtype `dtype`. It may overlap `x`.

    Returns
    -------
    ndarray
        Shape of `x`, dtype `dtype`.

    Raises
    ------
    TypeError
        If a dtype is none of those above.
    ValueError
        If the rounding is none of those, or `out` does not fit.
    ImportError
        If `dtype` is one of ml_dtypes', which is not installed.

    Notes
    -----
    With ``saturate=False`` and rounding half to even the bits are ml_dtypes' for every float32;
    float64 is rounded once here, where ml_dtypes goes through float32. NaN stays NaN, and where a
    type has none (float6, float4) it becomes -0, as there. float8_e8m0fnu has powers of two alone:
    negative numbers become NaN, and so does zero where nothing saturates; halfway and between its
    two smallest numbers the nearest is the larger one.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.cast(np.float32([0.3, 1000, np.inf]), "float8_e4m3fn").astype(np.float32)
    array([3.125e-01, 4.480e+02, 4.480e+02], dtype=float32)
    >>> uf.cast(np.float32([2.5, -2.5]), "float4_e2m1fn", rounding="up").astype(np.float32)
    array([ 3., -2.], dtype=float32)
    """
    result, target_name = _read(dtype, "dtype")
    array = np.asarray(x)
    _, source = _read(array.dtype, "x")
    if rounding not in ROUNDINGS:
        raise ValueError(
            f"ufuse.cast: argument 'rounding': expected one of {', '.join(ROUNDINGS)}, got "
            f"{rounding!r}"
        )
    if rounding != "half_even" and source == "f8" and target_name == "f4":
        raise ValueError(
            f"ufuse.cast: argument 'rounding': expected 'half_even' from float64 to float32, got "
            f"{rounding!r}"
        )
    if rng is not None and rounding != "stochastic":
        raise ValueError(
            f"ufuse.cast: argument 'rng': given, but rounding={rounding!r} draws nothing; pass "
            "rounding='stochastic' or leave rng= out"
        )
    target = read_output(out, array.shape, result, "cast")
    inputs = [array if source in ("f4", "f8") else stored(array)]
    program = caster(source, target_name, rounding, bool(saturate))
    if len(program.inputs) > 1:
        generator = generator_of(rng, "cast")
        inputs.append(generator.integers(0, 1 << 32, size=array.shape, dtype=np.uint32))
    output = target if target_name in ("f4", "f8") else target.view(storage_of(target_name))
    if out is not None:
        inputs[0] = executors.apart(inputs[0], output)
    executors.run_program(program, inputs, (output,))
    return target
