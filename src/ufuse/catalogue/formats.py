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
    """

    name: str
    block: int
    nbytes: int
    encodes: bool
    doc: str
    source: str = ""


_OCP: Final = "OCP Microscaling Formats 1.0"
_BITSANDBYTES: Final = "bitsandbytes 0.50, functional.py"

FORMATS: Final[tuple[Format, ...]] = (
    Format("Q8_0", 32, 34, True, "float16 scale, 8-bit codes", "llama.cpp, ggml-common.h"),
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
