"""Write the C++ tables that follow from the catalogue; CMake runs this at build time.

``python codegen.py OUTPUT_FOLDER`` writes X-macro lists, one file for each kind of row. A file is
rewritten only where its text changed, so that a build stays incremental.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):  # run as a script: the package ufuse need not be importable
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from catalogue import (  # type: ignore[import-not-found]
        ELEMENT_TYPES,
        FINISHES,
        FLOAT_FORMATS,
        FORMATS,
        REDUCERS,
        SEMIRINGS,
    )
    from catalogue.grids import GRIDS  # type: ignore[import-not-found]
    from catalogue.operations import GROUPS  # type: ignore[import-not-found]
else:
    from . import (
        ELEMENT_TYPES,
        FINISHES,
        FLOAT_FORMATS,
        FORMATS,
        REDUCERS,
        SEMIRINGS,
    )
    from .grids import GRIDS
    from .operations import GROUPS

NAMES = {row.code: row.name for row in ELEMENT_TYPES}


def _types(*codes: str) -> str:
    return ", ".join(NAMES[code] for code in codes)


def tables() -> dict[str, list[tuple[str, str, list[str]]]]:
    """Return, for each file, the macros in it: name, meaning of the arguments, arguments."""
    return {
        "elements.inc": [
            (
                "UFUSE_ELEMENT_TYPE",
                "(name, C++ type, code)",
                [f'{t.name}, {t.cpp}, "{t.code}"' for t in ELEMENT_TYPES],
            )
        ],
        "floats.inc": [
            (
                "UFUSE_FLOAT_FORMAT",
                "(name, bits of the exponent, of the fraction, bias, specials)",
                [
                    f"{f.name}, {f.exponent}, {f.fraction}, {f.bias}, {f.specials}"
                    for f in FLOAT_FORMATS
                ],
            )
        ],
        **{
            f"operations_{group}.inc": [
                (
                    "UFUSE_KERNEL",
                    "(operation, output, inputs...)",
                    [
                        f"{row.name}, {_types(s.output, *s.inputs)}"
                        for row in rows
                        for s in row.signatures
                    ],
                )
            ]
            for group, rows in GROUPS.items()
        },
        "reducers.inc": [
            (
                "UFUSE_REDUCER",
                "(name, components)",
                [f"{row.name}, {len(row.components)}" for row in REDUCERS],
            ),
            (
                "UFUSE_REDUCER_KERNEL",
                "(reducer, input, components...)",
                [
                    f"{row.name}, {_types(code, *state)}"
                    for row in REDUCERS
                    for code, state in row.state.items()
                ],
            ),
            ("UFUSE_FINISH", "(name)", list(FINISHES)),
        ],
        "semirings.inc": [
            (
                "UFUSE_SEMIRING",
                "(semiring, element type)",
                [f"{row.name}, {NAMES[code]}" for row in SEMIRINGS for code in row.codes],
            ),
            (
                "UFUSE_SEMIRING_ARG",
                "(semiring whose sum is one of its terms, element type)",
                [
                    f"{row.name}, {NAMES[code]}"
                    for row in SEMIRINGS
                    for code in row.codes
                    if row.selects
                ],
            ),
        ],
        "formats.inc": [
            (
                "UFUSE_FORMAT",
                "(name, elements of a block, bytes of a block)",
                [f"{row.name}, {row.block}, {row.nbytes}" for row in FORMATS],
            )
        ],
        "grids.inc": [
            (
                "UFUSE_GRID",
                "(name, values of a point, bits of a value, points...)",
                [
                    f"{grid.name}, {grid.values}, {grid.bits}, {', '.join(map(str, grid.codes()))}"
                    for grid in GRIDS
                ],
            )
        ],
    }


def text_of(macros: list[tuple[str, str, list[str]]]) -> str:
    """Return the text of a file of X-macros."""
    lines = ["// Generated from src/ufuse/catalogue by codegen.py. Do not edit."]
    for name, meaning, rows in macros:
        lines += [f"#ifdef {name}  // {meaning}", *(f"{name}({row})" for row in rows), "#endif"]
    return "\n".join(lines) + "\n"


def write(folder: Path) -> None:
    """Write the generated files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, macros in tables().items():
        path, text = folder / name, text_of(macros)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
