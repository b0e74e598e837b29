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


FORMATS: Final[tuple[Format, ...]] = (
    Format("Q8_0", 32, 34, True, "float16 scale, 8-bit codes", "llama.cpp, ggml-common.h"),
)

BY_NAME: Final = {row.name: row for row in FORMATS}
