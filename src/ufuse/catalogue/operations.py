"""The operations: one row each.

From a row come the opcode and kernel tables (``codegen.py``), the CUDA source, the reference
executor, what tracing recognises, the public functions NumPy lacks, the documentation's table and
the test matrix. To add an operation: a row here and a functor of the same name under
``csrc/ops``. ``CONTRIBUTING.md`` walks through it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from . import conventions, formulas
from .dtypes import ALL, FLOATS, INTEGERS, NUMBERS, SIGNED
from .exponentials import EXPONENTIALS
from .floats import FLOAT_FORMATS, ROUNDINGS, SATURATE, FloatFormat, decode_e8m0, encode_e8m0
from .rows import Operation, Signature, predicate, same, signatures
from .special import SPECIAL
from .trigonometry import TRIGONOMETRY

#: Element codes of quantized numbers.
CODES: Final = ("i1", "u1", "i2", "u2")


def pack_limits(low: int, high: int) -> int:
    """Return the smallest and the largest code as quantizing operations take them."""
    return (low & 0xFFFF) | (high & 0xFFFF) << 16


def _quantizer(
    name: str,
    reference: Callable[..., Any],
    doc: str,
    floats: tuple[str, ...] = ("f4",),
    result: str = "{1}",
) -> Operation:
    """Row of a quantizing operation: numbers, scales, zero points, the limits of the codes."""
    return Operation(
        name,
        signatures(*(f"{f},{f},{q},u4->{result.format(f, q)}" for f in floats for q in CODES)),
        reference,
        doc,
        values={3: tuple(pack_limits(*ends) for ends in ((0, 15), (1, 3), (0, 127)))},
    )


def _conversions(
    name: str, storage: str, encode: Callable[..., Any], decode: Callable[..., Any]
) -> tuple[Operation, ...]:
    """Rows of a narrow float: to its nearest code, to a code by another rounding, and back."""
    return (
        Operation(
            f"encode_{name}",
            signatures(f"f4,u4->{storage}"),
            lambda x, saturate: encode(x, np.where(saturate != 0, SATURATE, 0)),
            f"code of the nearest {name}; b: whether what is too large becomes the largest",
        ),
        Operation(
            f"round_{name}",
            signatures(f"f4,u4,u4->{storage}"),
            encode,
            f"code of {name}, rounded as b says, with c for random bits",
            values={1: tuple(r + s for r in range(len(ROUNDINGS)) for s in (0, SATURATE))},
        ),
        Operation(
            f"decode_{name}", signatures(f"{storage}->f4"), decode, f"what a code of {name} means"
        ),
    )


def _float_rows(format_: FloatFormat) -> tuple[Operation, ...]:
    name, storage = format_.name, format_.storage

    def quantize(x: Any, scale: Any, saturate: Any) -> Any:
        with np.errstate(all="ignore"):
            return format_.encode(x / scale, np.where(saturate != 0, SATURATE, 0))

    def dequantize(code: Any, scale: Any) -> Any:
        with np.errstate(all="ignore"):
            return format_.decode(code) * scale

    return (
        *_conversions(name, storage, format_.encode, format_.decode),
        Operation(
            f"quantize_{name}",
            signatures(f"f4,f4,u4->{storage}"),
            quantize,
            f"code of the {name} nearest to a / b; c: whether it saturates",
        ),
        Operation(
            f"dequantize_{name}",
            signatures(f"{storage},f4->f4"),
            dequantize,
            f"what a code of {name} means, times b",
        ),
    )


OPERATIONS: Final = (
    # --- arithmetic -------------------------------------------------------------------------
    Operation("add", same(NUMBERS, 2), np.add, "a + b", ufunc=np.add, boolean="logical_or"),
    Operation("subtract", same(NUMBERS, 2), np.subtract, "a - b", ufunc=np.subtract),
    Operation(
        "multiply", same(NUMBERS, 2), np.multiply, "a * b", ufunc=np.multiply, boolean="logical_and"
    ),
    Operation("divide", same(FLOATS, 2), np.divide, "a / b", ufunc=np.divide),
    Operation("negative", same(NUMBERS, 1), np.negative, "-a", ufunc=np.negative),
    Operation("absolute", same(SIGNED + FLOATS, 1), np.absolute, "|a|", ufunc=np.absolute),
    Operation("square", same(NUMBERS, 1), np.square, "a * a", ufunc=np.square),
    Operation("reciprocal", same(FLOATS, 1), np.reciprocal, "1 / a", ufunc=np.reciprocal),
    Operation("sqrt", same(FLOATS, 1), np.sqrt, "square root", ufunc=np.sqrt, domain=(0.0, 1e6)),
    Operation(
        "maximum",
        same(NUMBERS, 2),
        np.maximum,
        "larger of a and b; NaN if either is",
        ufunc=np.maximum,
        boolean="logical_or",
    ),
    Operation(
        "minimum",
        same(NUMBERS, 2),
        np.minimum,
        "smaller of a and b; NaN if either is",
        ufunc=np.minimum,
        boolean="logical_and",
    ),
    Operation("floor", same(FLOATS, 1), np.floor, "largest integer <= a", ufunc=np.floor),
    Operation("ceil", same(FLOATS, 1), np.ceil, "smallest integer >= a", ufunc=np.ceil),
    Operation("trunc", same(FLOATS, 1), np.trunc, "a rounded towards zero", ufunc=np.trunc),
    Operation("rint", same(FLOATS, 1), np.rint, "a rounded half to even", ufunc=np.rint),
    Operation(
        "bitwise_and",
        same(INTEGERS, 2),
        np.bitwise_and,
        "a & b",
        ufunc=np.bitwise_and,
        boolean="logical_and",
    ),
    Operation(
        "bitwise_or",
        same(INTEGERS, 2),
        np.bitwise_or,
        "a | b",
        ufunc=np.bitwise_or,
        boolean="logical_or",
    ),
    Operation(
        "bitwise_xor",
        same(INTEGERS, 2),
        np.bitwise_xor,
        "a ^ b",
        ufunc=np.bitwise_xor,
        boolean="logical_xor",
    ),
    Operation("invert", same(INTEGERS, 1), np.invert, "~a", ufunc=np.invert, boolean="logical_not"),
    # --- signs, order, neighbours -----------------------------------------------------------
    Operation("sign", same(NUMBERS, 1), np.sign, "-1, 0 or 1 by the sign of a", ufunc=np.sign),
    Operation(
        "signbit",
        predicate(FLOATS, 1),
        np.signbit,
        "whether the sign bit of a is set",
        ufunc=np.signbit,
    ),
    Operation(
        "copysign", same(FLOATS, 2), np.copysign, "|a| with the sign of b", ufunc=np.copysign
    ),
    Operation(
        "fmax",
        same(NUMBERS, 2),
        np.fmax,
        "larger of a and b; a NaN gives way to a number",
        ufunc=np.fmax,
        boolean="logical_or",
    ),
    Operation(
        "fmin",
        same(NUMBERS, 2),
        np.fmin,
        "smaller of a and b; a NaN gives way to a number",
        ufunc=np.fmin,
        boolean="logical_and",
    ),
    Operation(
        "heaviside",
        same(FLOATS, 2),
        np.heaviside,
        "0 for a < 0, 1 for a > 0, b for 0",
        ufunc=np.heaviside,
    ),
    Operation(
        "nextafter",
        same(FLOATS, 2),
        np.nextafter,
        "the number after a towards b",
        ufunc=np.nextafter,
    ),
    Operation(
        "ldexp",
        signatures("f4,i4->f4", "f4,i8->f4", "f8,i4->f8", "f8,i8->f8"),
        np.ldexp,
        "a * 2**b, rounded once",
        ufunc=np.ldexp,
    ),
    Operation(
        "multiply_add",
        same(FLOATS, 3),
        formulas.multiply_add,
        "a * b + c, rounded once",
    ),
    # --- division to whole numbers; integers divided by 0 give 0 -----------------------------
    Operation(
        "floor_divide",
        same(NUMBERS, 2),
        np.floor_divide,
        "largest integer <= a / b",
        ufunc=np.floor_divide,
    ),
    Operation(
        "remainder",
        same(NUMBERS, 2),
        np.remainder,
        "a - b * floor(a / b)",
        ufunc=np.remainder,
    ),
    Operation("fmod", same(NUMBERS, 2), np.fmod, "a - b * trunc(a / b)", ufunc=np.fmod),
    # --- comparison and logic ---------------------------------------------------------------
    Operation("equal", predicate(ALL, 2), np.equal, "a == b", np.equal),
    Operation("not_equal", predicate(ALL, 2), np.not_equal, "a != b", np.not_equal),
    Operation("less", predicate(ALL, 2), np.less, "a < b", np.less),
    Operation("less_equal", predicate(ALL, 2), np.less_equal, "a <= b", np.less_equal),
    Operation("greater", predicate(ALL, 2), np.greater, "a > b", np.greater),
    Operation("greater_equal", predicate(ALL, 2), np.greater_equal, "a >= b", np.greater_equal),
    Operation("logical_and", same("?", 2), np.logical_and, "a and b", np.logical_and),
    Operation("logical_or", same("?", 2), np.logical_or, "a or b", np.logical_or),
    Operation("logical_xor", same("?", 2), np.logical_xor, "a xor b", np.logical_xor),
    Operation("logical_not", same("?", 1), np.logical_not, "not a", np.logical_not),
    Operation("isnan", predicate(FLOATS, 1), np.isnan, "whether a is NaN", np.isnan),
    Operation("isinf", predicate(FLOATS, 1), np.isinf, "whether a is infinite", np.isinf),
    Operation("isfinite", predicate(FLOATS, 1), np.isfinite, "whether a is finite", np.isfinite),
    Operation(
        "where",
        tuple(Signature(("?", code, code), code) for code in ALL),
        np.where,
        "b where a, else c",
    ),
    *EXPONENTIALS,
    *TRIGONOMETRY,
    *SPECIAL,
    # --- conversion -------------------------------------------------------------------------
    Operation(
        "cast",
        tuple(Signature((a,), b) for a in ALL for b in NUMBERS if a != b),
        formulas.identity,
        "a in another dtype, as C converts; float to integer truncates, integers wrap",
    ),
    Operation("nonzero", predicate(NUMBERS, 1), formulas.nonzero, "a != 0"),
    Operation("narrow_odd", signatures("f8->f4"), formulas.narrow_odd, "a rounded to odd"),
    *(row for format_ in FLOAT_FORMATS for row in _float_rows(format_)),
    *_conversions("float8_e8m0fnu", "u1", encode_e8m0, decode_e8m0),
    # --- quantization -----------------------------------------------------------------------
    _quantizer(
        "quantize_linear",
        formulas.quantize_linear,
        "saturate(round_half_even(x / scale) + zero_point), ONNX's",
        floats=FLOATS,
    ),
    *(
        _quantizer(f"quantize_{name}", formulas.quantizer(convention), doc)
        for name, convention, doc in (
            ("torch", conventions.quantize_torch, "PyTorch's, per tensor"),
            ("torch_axis", conventions.quantize_torch_axis, "PyTorch's, per axis"),
            ("torch_fake", conventions.quantize_torch_fake, "of PyTorch's fake quantization"),
            (
                "torch_rounded",
                conventions.quantize_torch_rounded,
                "PyTorch's from 2.15, per tensor",
            ),
            ("torchao", conventions.quantize_torchao, "torchao's"),
            ("litert", conventions.quantize_litert, "LiteRT's converter's"),
            ("litert_away", conventions.quantize_litert_away, "LiteRT's kernels'"),
        )
    ),
    _quantizer(
        "fake_quantize",
        formulas.fake_quantize,
        "dequantize_linear(quantize_linear(x, scale, zero_point), scale, zero_point)",
        floats=FLOATS,
        result="{0}",
    ),
    Operation(
        "dequantize_linear",
        signatures(*(f"{q},{f},{q}->{f}" for f in FLOATS for q in (*CODES, "i4"))),
        formulas.dequantize_linear,
        "(q - zero_point) * scale",
    ),
    # --- codes of less than a byte ----------------------------------------------------------
    Operation(
        "pack4",
        signatures("u2,u4->u1"),
        formulas.pack4,
        "two codes of 4 bits, a byte each, in one; b: whether the first is in the high bits",
        values={1: (0, 1)},
    ),
    Operation(
        "unpack4",
        signatures("u1,u4->u2"),
        formulas.unpack4,
        "the two codes of 4 bits in a byte, in a byte each; b as in pack4",
        values={1: (0, 1)},
    ),
    Operation(
        "pack2",
        signatures("u4,u4->u1"),
        formulas.pack2,
        "four codes of 2 bits, a byte each, in one; b: whether the first is in the highest bits",
        values={1: (0, 1)},
    ),
    Operation(
        "unpack2",
        signatures("u1,u4->u4"),
        formulas.unpack2,
        "the four codes of 2 bits in a byte, in a byte each; b as in pack2",
        values={1: (0, 1)},
    ),
    Operation(
        "quantize_nibbles",
        signatures("f8,f4,i1,u4->u1", "f8,f4,u1,u4->u1"),
        formulas.quantize_nibbles,
        "quantize_linear of two float32, the bits of a float64, to 4 bits each",
        values={3: (pack_limits(0, 7), pack_limits(0, 5))},
    ),
    Operation(
        "dequantize_nibbles",
        signatures("u1,f4,i1->f8", "u1,f4,u1->f8"),
        formulas.dequantize_nibbles,
        "dequantize_linear of the two codes of 4 bits in a byte, to two float32",
    ),
    Operation(
        "quantize_nibbles_apart",
        signatures("f8,f8,i2,u4->u1", "f8,f8,u2,u4->u1"),
        formulas.quantize_nibbles_apart,
        "quantize_nibbles of two float32 with a scale and a zero point each",
        values={3: (pack_limits(0, 7), pack_limits(0, 5))},
    ),
    Operation(
        "dequantize_nibbles_apart",
        signatures("u1,f8,i2->f8", "u1,f8,u2->f8"),
        formulas.dequantize_nibbles_apart,
        "dequantize_nibbles of two codes with a scale and a zero point each",
    ),
    Operation(
        "round_stochastic",
        signatures("f4,u4->f4", "f8,u4->f8"),
        formulas.round_stochastic,
        "a rounded up with the probability of its fraction, else down, by random bits b",
    ),
)

BY_NAME: Final = {row.name: row for row in OPERATIONS}
BY_UFUNC: Final = {
    ufunc: row for row in OPERATIONS for ufunc in (row.ufunc, *row.aliases) if ufunc is not None
}
BY_SCIPY: Final = {name: row for row in OPERATIONS for name in row.scipy}

#: The files of kernels: a row is compiled with those of its group.
GROUPS: Final = {
    "basic": tuple(row for row in OPERATIONS if row not in EXPONENTIALS + TRIGONOMETRY + SPECIAL),
    "exponentials": EXPONENTIALS,
    "trigonometry": TRIGONOMETRY,
    "special": SPECIAL,
}
