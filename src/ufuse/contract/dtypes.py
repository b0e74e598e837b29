"""The dtypes of a contraction: of its sums, and what its operands are read as."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..catalogue.semirings import Semiring
from ..interop.lowprecision import is_low_precision
from .arithmetic import DType, is_narrow

Array = NDArray[Any]

_OUR_KINDS = "biufc"


def supports(arrays: Sequence[Array], dtype: DType | None) -> bool:
    """Whether ufuse contracts arrays of these dtypes itself, which objects are not."""
    try:
        return is_ours(np.result_type(*arrays) if dtype is None else dtype)
    except TypeError:  # times and floats: NumPy multiplies some
        return False


def is_ours(dtype: DType) -> bool:
    if is_low_precision(dtype):
        return is_narrow(dtype)
    return dtype.kind in _OUR_KINDS and dtype.char not in "gG"


def common_dtype(function: str, arrays: Sequence[Array]) -> DType:
    """Return the dtype that arrays promote to, in native byte order."""
    try:
        found: DType = np.result_type(*arrays)
    except TypeError:
        raise TypeError(
            f"{function}: expected operands of dtypes that promote to a common one, got "
            f"{_listed(arrays)}; convert them with astype"
        ) from None
    return found.newbyteorder("=")


def check_numbers(function: str, dtype: DType) -> None:
    """Refuse what NumPy does not multiply and add either; objects may be numbers."""
    if not is_ours(dtype) and dtype.kind not in "fcO":
        raise TypeError(f"{function}: expected numbers, got dtype {dtype}")


def result_dtype(
    function: str,
    arrays: Sequence[Array],
    dtype: DType | None,
    accumulate: DType | None,
    casting: Any,
    semiring: Semiring | None,
) -> DType | None:
    """Return the dtype of the sums; None where it is one that NumPy alone has."""
    if dtype is not None and accumulate is not None:
        raise ValueError(
            f"{function}: expected 'dtype' or 'accumulate', got both; 'dtype' casts the operands, "
            "'accumulate' the products"
        )
    wanted = dtype if accumulate is None else accumulate
    found = common_dtype(function, arrays) if wanted is None else wanted.newbyteorder("=")
    if semiring is not None and semiring.codes == ("?",):
        found = np.dtype(bool)
    for i, array in enumerate(arrays):
        rule: Any = "same_kind" if accumulate is not None else casting
        if wanted is not None and not np.can_cast(array.dtype, found, rule):
            raise TypeError(
                f"{function}: operands[{i}] of dtype {array.dtype} cannot be cast to {found} "
                f"according to the rule {rule!r}"
            )
    if accumulate is not None and not all(is_ours(x.dtype) for x in arrays):
        return None
    return found if is_ours(found) else None


def native(array: Array, summed: DType, cast: bool) -> Array:
    """Return the operand in native byte order, and of a dtype that is read as it is packed."""
    dtype = read_as(array.dtype, summed, cast)
    if dtype.kind == "b" and array.dtype.kind != "b":
        return np.not_equal(array, 0)
    return array.astype(dtype, copy=False)


def read_as(dtype: DType, summed: DType, cast: bool) -> DType:
    """Return what an operand is converted to before its kernel reads it."""
    dtype = dtype.newbyteorder("=")
    if summed.kind == "b":
        return summed
    if summed.kind == "c":  # parts of one size; a real operand stays real
        dtype = summed if dtype.kind == "c" else np.dtype(f"f{summed.itemsize // 2}")
    if cast and summed.kind != "c":  # a cast that loses something happens before the product
        whole = summed.kind in "iu" and dtype.kind not in "biu"
        if whole or dtype.kind == "c" or summed.itemsize < dtype.itemsize:
            dtype = summed
    return dtype


def check_plain(function: str, arrays: Sequence[Array], **options: Any) -> None:
    """Refuse what NumPy's functions have not got, where they are to do it."""
    given = [name for name, option in options.items() if option is not None]
    if given:
        raise TypeError(
            f"{function}: argument {given[0]!r}: expected numbers that ufuse multiplies, got "
            f"dtypes {_listed(arrays)}, which are left to NumPy"
        )


def by_numpy(function: str, arrays: Sequence[Array], call: Callable[[], Any]) -> Any:
    """Have NumPy do what ufuse does not; where it refuses these dtypes, say so by our name."""
    try:
        return call()
    except (TypeError, ValueError, AttributeError) as error:  # the last one from vdot of times
        if any(x.dtype.hasobject for x in arrays):
            raise  # what the objects themselves raise
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(
            f"{function}: expected numbers, got dtypes {_listed(arrays)}, which are left to NumPy: "
            f"{error}"
        ) from error


def _listed(arrays: Sequence[Array]) -> str:
    return ", ".join(str(x.dtype) for x in arrays)
