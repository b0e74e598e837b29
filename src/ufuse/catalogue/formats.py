"""The block formats: one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Format:
    """A block format: consecutive elements of a row together in a record of bytes.

    Attributes
    ----------
    name : str
        Name of the format, and of its C++ struct.
    block : int
        Elements per block; 0 where the caller chooses.
    nbytes : int
        Bytes of codes per block; 0 where they follow from the caller's block.
    encodes : bool
        Whether arrays can be quantized to it, and not only dequantized.
    doc : str
        One line for the documentation's table.
    source : str
        Where the layout comes from.
    weighs : bool
        Whether encoding takes a weight for each value.
    halves : tuple of int
        Where in a block that is encoded the 16-bit floats are, in bytes.
    """

    name: str
    block: int
    nbytes: int
    encodes: bool
    doc: str
    source: str = ""
    weighs: bool = False
    halves: tuple[int, ...] = ()


_OCP: Final = "OCP Microscaling Formats 1.0"
_BITSANDBYTES: Final = "bitsandbytes 0.50, functional.py"
#: What `source` is for GGUF's formats.
_GGML: Final = "llama.cpp, ggml-common.h"

FORMATS: Final[tuple[Format, ...]] = (
    Format(
        "Q4_0",
        32,
        18,
        True,
        "float16 scale of the largest, 4-bit codes",
        _GGML,
        weighs=True,
        halves=(0,),
    ),
    Format(
        "Q4_1",
        32,
        20,
        True,
        "float16 scale and least value, 4-bit codes",
        _GGML,
        weighs=True,
        halves=(0, 2),
    ),
    Format(
        "Q5_0",
        32,
        22,
        True,
        "float16 scale of the largest, 5-bit codes",
        _GGML,
        weighs=True,
        halves=(0,),
    ),
    Format(
        "Q5_1",
        32,
        24,
        True,
        "float16 scale and least value, 5-bit codes",
        _GGML,
        weighs=True,
        halves=(0, 2),
    ),
    Format("Q8_0", 32, 34, True, "float16 scale, 8-bit codes", _GGML, halves=(0,)),
    Format(
        "Q2_K",
        256,
        84,
        True,
        "4-bit scales and least values of 16 values, 2-bit codes",
        _GGML,
        weighs=True,
        halves=(80, 82),
    ),
    Format(
        "Q3_K",
        256,
        110,
        True,
        "6-bit scales of 16 values, 3-bit codes",
        _GGML,
        weighs=True,
        halves=(108,),
    ),
    Format(
        "Q4_K",
        256,
        144,
        True,
        "6-bit scales and least values of 32 values, 4-bit codes",
        _GGML,
        weighs=True,
        halves=(0, 2),
    ),
    Format(
        "Q5_K",
        256,
        176,
        True,
        "6-bit scales and least values of 32 values, 5-bit codes",
        _GGML,
        weighs=True,
        halves=(0, 2),
    ),
    Format(
        "Q6_K",
        256,
        210,
        True,
        "8-bit scales of 16 values, 6-bit codes",
        _GGML,
        weighs=True,
        halves=(208,),
    ),
    Format(
        "TQ1_0",
        256,
        54,
        True,
        "float16 scale, five values of -1, 0, 1 to a byte",
        _GGML,
        halves=(52,),
    ),
    Format(
        "TQ2_0",
        256,
        66,
        True,
        "float16 scale, four values of -1, 0, 1 to a byte",
        _GGML,
        halves=(64,),
    ),
    Format("MXFP4", 32, 17, True, "power of two, 4-bit floats", _GGML),
    Format("NVFP4", 64, 36, True, "8-bit float scales of 16 values, 4-bit floats", _GGML),
    Format("IQ1_S", 256, 50, False, "odd 3-bit scales of 32 values, 2048 points of eight", _GGML),
    Format("IQ1_M", 256, 56, False, "odd 3-bit scales of 16 values, 2048 points of eight", _GGML),
    Format(
        "IQ2_XXS", 256, 66, False, "4-bit scales of 32 values, 256 points of eight, signs", _GGML
    ),
    Format(
        "IQ2_XS", 256, 74, False, "4-bit scales of 16 values, 512 points of eight, signs", _GGML
    ),
    Format(
        "IQ2_S", 256, 82, False, "4-bit scales of 16 values, 1024 points of eight, signs", _GGML
    ),
    Format(
        "IQ3_XXS", 256, 98, False, "4-bit scales of 32 values, 256 points of four, signs", _GGML
    ),
    Format(
        "IQ3_S", 256, 110, False, "odd 4-bit scales of 32 values, 512 points of four, signs", _GGML
    ),
    Format("IQ4_NL", 32, 18, False, "float16 scale, sixteen levels", _GGML),
    Format("IQ4_XS", 256, 136, False, "6-bit scales of 32 values, sixteen levels", _GGML),
    Format("F32", 1, 4, True, "float32", _GGML),
    Format("F16", 1, 2, True, "float16", _GGML, halves=(0,)),
    Format("BF16", 1, 2, True, "bfloat16", _GGML, halves=(0,)),
    *(
        Format(f"mx{name}", 0, 0, True, f"power-of-two scale, {elements}", _OCP)
        for name, elements in (
            ("fp8_e4m3", "float8_e4m3fn"),
            ("fp8_e5m2", "float8_e5m2"),
            ("fp6_e2m3", "float6_e2m3fn, a byte each"),
            ("fp6_e3m2", "float6_e3m2fn, a byte each"),
            ("fp6_e2m3_packed", "float6_e2m3fn, four in three bytes"),
            ("fp6_e3m2_packed", "float6_e3m2fn, four in three bytes"),
            ("fp4", "float4_e2m1fn, low nibble first"),
            ("int8", "64ths from -127 to 127"),
        )
    ),
    Format("nvfp4", 16, 8, True, "e4m3 scale, float4_e2m1fn, low nibble first", "torchao, cuBLAS"),
    Format("nf4", 0, 0, True, "largest magnitude, 16 quantiles, high nibble first", _BITSANDBYTES),
    Format("fp4", 0, 0, True, "largest magnitude, 16 values, high nibble first", _BITSANDBYTES),
)

BY_NAME: Final = {row.name: row for row in FORMATS}

#: Those of GGUF files.
GGUF: Final = tuple(row for row in FORMATS if row.source == _GGML)
