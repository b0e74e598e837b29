"""What a contraction of given dtypes computes with: the product's elements, and the casts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..catalogue.operations import BY_UFUNC
from ..catalogue.semirings import BY_NAME as SEMIRINGS
from ..catalogue.semirings import Semiring
from ..fusion.instructions import Instruction
from ..fusion.program import Program
from ..interop.lowprecision import coding
from ..quant.arguments import float_name
from ..quant.programs import Steps, caster, storage_of

DType = np.dtype[Any]

_F4, _F8 = np.dtype(np.float32), np.dtype(np.float64)
_C8, _C16 = np.dtype(np.complex64), np.dtype(np.complex128)
_I1, _U1 = np.dtype(np.int8), np.dtype(np.uint8)
_I2, _U2 = np.dtype(np.int16), np.dtype(np.uint16)


@dataclass(frozen=True)
class Arithmetic:
    """How two operands are multiplied and summed.

    Attributes
    ----------
    code : str
        Of the product in the core (``csrc/python/bind_contract.cpp``).
    packed : tuple of dtype
        What each operand is converted to first where it is of another dtype: as it is packed, but
        where `whole` says that it is converted before.
    sums : dtype
        Of the accumulators.
    result : dtype
    """

    code: str
    packed: tuple[DType, DType]
    sums: DType
    result: DType

    def unfinished(self) -> Arithmetic:
        """Return the same with the sums as the result."""
        return replace(self, result=self.sums)

    def prologue(self, operand: int, dtype: DType) -> Program | None:
        """Return the program that converts an operand as it is packed; None where none has to."""
        packed = self.packed[operand]
        return None if same_bits(dtype, packed) else cast_program(dtype, packed)

    @property
    def finish(self) -> Program | None:
        """Return the program that rounds the sums to the result; None where they are it."""
        return None if same_bits(self.sums, self.result) else cast_program(self.sums, self.result)


def same_bits(a: DType, b: DType) -> bool:
    """Whether one dtype may be read as the other: equal, or integers of one size."""
    return a == b or (a.kind in "iu" and b.kind in "iu" and a.itemsize == b.itemsize)


def exact_terms(a: DType, b: DType, sums: DType) -> int | None:
    """Return how many products sum exactly in integers of up to 32 bits, wider than the operands.

    None for floats, sums in 64 bits, and the operands' own dtype, in which
    NumPy wraps too.
    """
    kinds = {sums.kind, a.kind, b.kind}
    if not kinds <= {"i", "u"} or not max(a.itemsize, b.itemsize) < sums.itemsize <= 4:
        return None
    largest = [max(int(np.iinfo(x).max), -int(np.iinfo(x).min)) for x in (a, b)]
    return int(np.iinfo(sums).max) // (largest[0] * largest[1])


def is_narrow(dtype: DType) -> bool:
    """Whether it is a float narrower than float32 that programs read."""
    return coding(dtype) is not None


def element(dtype: DType) -> str:
    """Return the element code by which programs read arrays of `dtype`."""
    name = float_name(dtype)
    if name is not None:
        return storage_of(name)
    return "?" if dtype.kind == "b" else dtype.str[1:]


@lru_cache(maxsize=256)
def cast_program(source: DType, result: DType) -> Program | None:
    """Return the program that casts as NumPy does; None where the core has none."""
    names = float_name(source), float_name(result)
    if names[0] is not None and names[1] is not None:
        return caster(names[0], names[1], "half_even", False)
    if "f4" not in names and (names[0] or names[1]) not in (None, "f8"):
        return None  # a narrow float to or from an integer
    if source.kind not in "biuf" or result.kind not in "iuf":
        return None
    codes = element(source), element(result)
    return Program((codes[0],), (), (Instruction("cast", codes[1], (0,)),), (1,))


def stored(array: NDArray[Any]) -> NDArray[Any]:
    """View an array as programs read it: narrow floats as the integers that hold them."""
    return array.view(f"u{array.dtype.itemsize}") if is_narrow(array.dtype) else array


@lru_cache(maxsize=256)
def multiplier(a: DType, b: DType, result: DType) -> Program | None:
    """Return the program that multiplies elements and rounds once; None where the core has none."""
    if any(x.kind not in "biuf" and not is_narrow(x) for x in (a, b, result)) or result.kind == "b":
        return None
    between = _F4 if is_narrow(result) else result
    steps = Steps(element(a), element(b))
    factors = []
    for number, given in enumerate((a, b)):
        value: Any = number
        dtype = given
        if is_narrow(given):
            value, dtype = steps.decoded(value, str(float_name(given))), _F4
        factors.append(value if dtype == between else steps.add("cast", element(between), value))
    product = steps.add("multiply", element(between), *factors)
    if is_narrow(result):
        product = steps.encoded(product, str(float_name(result)))
    return steps.program(product)


@lru_cache(maxsize=64)
def term_program(semiring: Semiring, dtype: DType) -> Program | None:
    """Return the program (sum, a, b) -> sum of a semiring without kernels; None for the others."""
    if semiring.codes or dtype.kind not in "iuf" or is_narrow(dtype):
        return None
    names = [BY_UFUNC.get(f) for f in (semiring.times, getattr(np, semiring.plus))]
    if names[0] is None or names[1] is None:
        return None
    code = element(dtype)
    product = Instruction(names[0].name, code, (1, 2))
    program = Program((code,) * 3, (), (product, Instruction(names[1].name, code, (0, 3))), (4,))
    return program if program.is_native() else None


@lru_cache(maxsize=1024)
def choose(
    a: DType, b: DType, summed: DType, semiring: Semiring | None, positions: bool = False
) -> Arithmetic | None:
    """Return how operands of `a` and `b` are contracted in `summed`; None where the core cannot.

    Parameters
    ----------
    a, b : dtype
        In native byte order.
    summed : dtype
        Of the result: NumPy's promotion of the operands, or what was asked for.
    semiring : Semiring or None
        None for sums of products.
    positions : bool
        Whether which term each sum is is wanted, too.
    """
    ring = semiring is None
    found = _ring(a, b, summed) if ring else _semiring(summed, semiring, positions)
    if found is None:
        return None
    arithmetic = Arithmetic(*found, summed)
    for operand, dtype in enumerate((a, b)):
        packed = arithmetic.packed[operand]
        if not same_bits(dtype, packed) and arithmetic.prologue(operand, dtype) is None:
            return None
    if not same_bits(arithmetic.sums, summed) and arithmetic.finish is None:
        return None
    return arithmetic


def _ring(a: DType, b: DType, summed: DType) -> tuple[str, tuple[DType, DType], DType] | None:
    if summed.kind == "b":
        return _semiring(summed, SEMIRINGS["or_and"])
    if summed.kind in "iu":
        if (
            summed.itemsize <= 4
            and {a.kind, b.kind} <= {"i", "u"}
            and a.itemsize == b.itemsize == 1
        ):
            if a == b == _I1:
                return "i1i1", (a, b), np.dtype(np.int32)
            if a != b:
                return f"{a.str[1:]}{b.str[1:]}", (a, b), np.dtype(np.int32)
            if summed.itemsize == 1:  # modulo 2^8, in which either operand may be read as signed
                return "u1i1", (_U1, _I1), np.dtype(np.int32)
        if summed.itemsize <= 4 and all(_is_16_bits(x, summed) for x in (a, b)):
            return "i2", (_I2, _I2), np.dtype(np.int32)
        sums = np.dtype(np.int32 if summed.itemsize <= 4 else np.int64)
        return sums.str[1:], (sums, sums), sums
    if summed == _F8:
        return "f8", (_F8, _F8), _F8
    if summed in (_C8, _C16):
        part = _F4 if summed == _C8 else _F8
        packed = (part if a == part else summed, part if b == part else summed)
        return summed.str[1:], packed, summed
    if summed != _F4 and not is_narrow(summed):
        return None
    if coding(a) == coding(b) == "bfloat16":
        return "bf16", (a, b), _F4
    return "f4", (_F4, _F4), _F4


def _is_16_bits(dtype: DType, summed: DType) -> bool:
    """Whether an operand is an int16, or converts to one, as far as the sums tell."""
    if dtype.kind not in "iu" or dtype.itemsize > 2:
        return False
    return dtype != _U2 or summed.itemsize <= 2


def _semiring(
    summed: DType, semiring: Semiring | None, positions: bool = False
) -> tuple[str, tuple[DType, DType], DType] | None:
    assert semiring is not None
    codes, name = semiring.codes, f"{'arg_' if positions else ''}{semiring.name}"
    if codes == ("?",):
        return f"{name}.?", (summed, summed), summed
    if summed.kind == "i" or (summed.kind == "u" and summed.itemsize < 8):
        wide = summed.itemsize > 4 or (summed.kind == "u" and summed.itemsize == 4)
        sums = np.dtype(np.int64 if wide else np.int32)
    elif summed in (_F4, _F8):
        sums = summed
    elif is_narrow(summed):
        sums = _F4
    else:
        return None
    return (f"{name}.{sums.str[1:]}", (sums, sums), sums) if sums.str[1:] in codes else None
