"""The programs of linear quantization and of casts: which steps of the catalogue they are."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np

from ..catalogue.floats import BY_NAME as FLOATS
from ..catalogue.floats import ROUNDINGS, SATURATE
from ..catalogue.operations import pack_limits
from ..fusion.instructions import Instruction
from ..fusion.program import Program
from .codes import CodeType

#: float8_e8m0fnu has no row in FLOAT_FORMATS: it has no sign.
E8M0: Final = "float8_e8m0fnu"

#: The operation by which a convention quantizes, per tensor and per axis; and fake quantization's.
OPERATIONS: Final = {
    "onnx": ("quantize_linear", "quantize_linear", "fake_quantize"),
    "torch": ("quantize_torch", "quantize_torch_axis", "quantize_torch_fake"),
    "torch-2.15": ("quantize_torch_rounded", "quantize_torchao", "quantize_torch_fake"),
    "torchao": ("quantize_torchao", "quantize_torchao", "quantize_torchao"),
    "litert": ("quantize_litert", "quantize_litert", "quantize_litert"),
}
SPECS: Final = tuple(OPERATIONS)


def storage_of(name: str) -> str:
    """Return the element code of what holds a number of a float: ``"f4"`` or ``"u2"``, ``"u1"``."""
    if name in ("f4", "f8"):
        return name
    return "u1" if name == E8M0 else FLOATS[name].storage


class Steps:
    """A program as it is written: values are numbered where it is built."""

    def __init__(self, *inputs: str) -> None:
        self._inputs = inputs
        self._constants: list[tuple[str, Any]] = []
        self._instructions: list[tuple[str, str, tuple[Any, ...]]] = []

    def constant(self, code: str, value: Any) -> tuple[str, int]:
        self._constants.append((code, value))
        return ("constant", len(self._constants) - 1)

    def add(self, operation: str, code: str, *args: Any) -> tuple[str, int]:
        self._instructions.append((operation, code, args))
        return ("step", len(self._instructions) - 1)

    def program(self, *outputs: Any) -> Program:
        first = {"constant": len(self._inputs)}
        first["step"] = first["constant"] + len(self._constants)

        def number(value: Any) -> int:
            return value if isinstance(value, int) else first[value[0]] + int(value[1])

        return Program(
            self._inputs,
            tuple(self._constants),
            tuple(
                Instruction(operation, code, tuple(number(arg) for arg in args))
                for operation, code, args in self._instructions
            ),
            tuple(number(output) for output in outputs),
        )

    def decoded(self, value: Any, name: str) -> Any:
        """Add the step that makes float32 of a narrow float."""
        return value if name in ("f4", "f8") else self.add(f"decode_{name}", "f4", value)

    def encoded(self, value: Any, name: str, saturate: bool = False) -> Any:
        """Add the step that makes a narrow float of float32, the nearest."""
        if name == "f4":
            return value
        flag = self.constant("u4", int(saturate))
        return self.add(f"encode_{name}", storage_of(name), value, flag)


@lru_cache(maxsize=256)
def quantizer(
    operation: str,
    source: str,
    code: CodeType,
    saturate: bool = True,
    stochastic: bool = False,
    plus_zero: bool = False,
) -> Program:
    """Return the program (x, scale, zero point [, random bits]) -> codes.

    Parameters
    ----------
    operation : str
        Of the catalogue, for integer codes.
    source : str
        ``"f4"``, ``"f8"`` or the name of a narrow float: what x is.
    code : CodeType
        The codes.
    saturate : bool
        Of floating codes: whether what is too large becomes the largest.
    stochastic : bool
        Whether a fourth input, uint32, decides the rounding.
    plus_zero : bool
        Whether 0 is added to the ratio of floating codes, so that there is no -0.
    """
    wide = "f8" if source == "f8" else "f4"
    steps = Steps(storage_of(source), wide, code.storage, *(["u4"] if stochastic else []))
    x = steps.decoded(0, source)
    scale: Any = 1
    if code.is_float:
        name = code.name
        if wide == "f4" and not stochastic and not plus_zero:
            flag = steps.constant("u4", int(saturate))
            return steps.program(steps.add(f"quantize_{name}", code.storage, x, scale, flag))
        ratio: Any = steps.add("divide", wide, x, scale)
        if plus_zero:
            ratio = steps.add("add", wide, ratio, steps.constant(wide, 0.0))
        if wide == "f8":
            ratio = steps.add("narrow_odd", "f4", ratio)
        if not stochastic:
            return steps.program(steps.encoded(ratio, name, saturate))
        mode = ROUNDINGS.index("stochastic") + (SATURATE if saturate else 0)
        rounding = steps.constant("u4", mode)
        return steps.program(steps.add(f"round_{name}", code.storage, ratio, rounding, 3))
    if stochastic:
        x = steps.add("round_stochastic", wide, steps.add("divide", wide, x, scale), 3)
        scale = steps.constant(wide, 1.0)
    ends = steps.constant("u4", pack_limits(code.low, code.high))
    codes = steps.add(operation, code.storage, x, scale, 2, ends)
    if code.bits < 8:  # ml_dtypes keeps them without their sign's copies
        mask = steps.constant(code.storage, (1 << code.bits) - 1)
        codes = steps.add("bitwise_and", code.storage, codes, mask)
    return steps.program(codes)


def _numbers(steps: Steps, codes: Any, code: CodeType) -> Any:
    """Add the steps that make whole bytes of codes of less than one."""
    if code.bits >= 8:
        return codes
    mask = steps.constant(code.storage, (1 << code.bits) - 1)
    codes = steps.add("bitwise_and", code.storage, codes, mask)
    if code.low == 0:
        return codes
    sign = steps.constant(code.storage, 1 << (code.bits - 1))
    codes = steps.add("bitwise_xor", code.storage, codes, sign)
    return steps.add("subtract", code.storage, codes, sign)


@lru_cache(maxsize=256)
def dequantizer(code: CodeType, result: str) -> Program:
    """Return the program (codes, scale, zero point) -> numbers, of the float `result`."""
    wide = "f8" if result == "f8" else "f4"
    steps = Steps(code.storage, wide, code.storage)
    if code.is_float and wide == "f4":
        number = steps.add(f"dequantize_{code.name}", "f4", 0, 1)
    elif code.is_float:
        decoded = steps.add("cast", "f8", steps.decoded(0, code.name))
        number = steps.add("multiply", "f8", decoded, 1)
    else:
        number = steps.add("dequantize_linear", wide, _numbers(steps, 0, code), 1, 2)
    return steps.program(number if wide == "f8" else steps.encoded(number, result))


@lru_cache(maxsize=256)
def faker(spec: str, source: str, code: CodeType, saturate: bool = True) -> Program:
    """Return the program (x, scale, zero point) -> what the codes stand for, in x's dtype."""
    wide = "f8" if source == "f8" else "f4"
    steps = Steps(storage_of(source), wide, code.storage)
    x = steps.decoded(0, source)
    operation = OPERATIONS[spec][2]
    if code.is_float:
        ratio: Any = steps.add("divide", wide, x, 1)
        if wide == "f8":
            ratio = steps.add("narrow_odd", "f4", ratio)
        codes = steps.encoded(ratio, code.name, saturate)
        number = steps.decoded(codes, code.name)
        if wide == "f8":
            number = steps.add("cast", "f8", number)
        number = steps.add("multiply", wide, number, 1)
    else:
        ends = steps.constant("u4", pack_limits(code.low, code.high))
        if spec == "onnx":
            number = steps.add(operation, wide, x, 1, 2, ends)
        else:
            codes = steps.add(operation, code.storage, x, 1, 2, ends)
            number = steps.add("dequantize_linear", wide, codes, 1, 2)
        if spec == "torchao":
            number = steps.add("where", wide, steps.add("isnan", "?", x), x, number)
    return steps.program(number if wide == "f8" else steps.encoded(number, source))


@lru_cache(maxsize=256)
def caster(source: str, result: str, rounding: str, saturate: bool) -> Program:
    """Return the program x [, random bits] -> x in another float, rounded once."""
    stochastic = rounding == "stochastic" and result not in ("f4", "f8")
    steps = Steps(storage_of(source), *(["u4"] if stochastic else []))
    x = steps.decoded(0, source)
    if source == "f8" and result not in ("f4", "f8"):
        x = steps.add("narrow_odd", "f4", x)
    if result == "f8":
        return steps.program(steps.add("cast", "f8", x))
    if result == "f4":
        if source == "f8":
            if saturate:
                largest = float(np.finfo(np.float32).max)
                x = steps.add("minimum", "f8", x, steps.constant("f8", largest))
                x = steps.add("maximum", "f8", x, steps.constant("f8", -largest))
            x = steps.add("cast", "f4", x)
        return steps.program(x)
    if rounding == "half_even":
        return steps.program(steps.encoded(x, result, saturate))
    mode = steps.constant("u4", ROUNDINGS.index(rounding) + (SATURATE if saturate else 0))
    random: Any = 1 if stochastic else steps.constant("u4", 0)
    return steps.program(steps.add(f"round_{result}", storage_of(result), x, mode, random))


@lru_cache(maxsize=64)
def requantizer(given: CodeType, code: CodeType) -> Program:
    """Return the program (codes, factor, their zero point, the new zero point) -> codes."""
    steps = Steps(given.storage, "f4", given.storage, code.storage)
    numbers = steps.add("dequantize_linear", "f4", _numbers(steps, 0, given), 1, 2)
    one = steps.constant("f4", 1.0)
    ends = steps.constant("u4", pack_limits(code.low, code.high))
    codes = steps.add("quantize_linear", code.storage, numbers, one, 3, ends)
    if code.bits < 8:
        mask = steps.constant(code.storage, (1 << code.bits) - 1)
        codes = steps.add("bitwise_and", code.storage, codes, mask)
    return steps.program(codes)
