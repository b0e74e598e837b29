"""Write the C++ tables that follow from the catalogue; CMake runs this at build time.

``python codegen.py OUTPUT_FOLDER`` writes ``catalogue.inc``: X-macro lists of element types,
operations, kernels, reducers and block formats. A file is rewritten only where its text changed, so
that a build stays incremental.
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
        GRIDS,
        OPERATIONS,
        REDUCERS,
    )
else:
    from . import (
        ELEMENT_TYPES,
        FINISHES,
        FLOAT_FORMATS,
        FORMATS,
        GRIDS,
        OPERATIONS,
        REDUCERS,
    )


def catalogue_inc() -> str:
    """Return the text of ``catalogue.inc``."""
    names = {row.code: row.name for row in ELEMENT_TYPES}
    lines = ["// Generated from src/ufuse/catalogue by codegen.py. Do not edit."]
    lines.append("#ifdef UFUSE_ELEMENT_TYPE  // (name, C++ type, code)")
    lines += [f'UFUSE_ELEMENT_TYPE({t.name}, {t.cpp}, "{t.code}")' for t in ELEMENT_TYPES]
    lines += ["#endif", "#ifdef UFUSE_FLOAT_FORMAT  // (name, exponent, fraction, bias, specials)"]
    lines += [
        f"UFUSE_FLOAT_FORMAT({f.name}, {f.exponent}, {f.fraction}, {f.bias}, {f.specials})"
        for f in FLOAT_FORMATS
    ]
    lines += ["#endif", "#ifdef UFUSE_OPERATION  // (name)"]
    lines += [f"UFUSE_OPERATION({row.name})" for row in OPERATIONS]
    lines += ["#endif", "#ifdef UFUSE_KERNEL  // (operation, output, inputs...)"]
    for row in OPERATIONS:
        for signature in row.signatures:
            types = ", ".join(names[code] for code in (signature.output, *signature.inputs))
            lines.append(f"UFUSE_KERNEL({row.name}, {types})")
    lines += ["#endif", "#ifdef UFUSE_REDUCER  // (name, components)"]
    lines += [f"UFUSE_REDUCER({row.name}, {len(row.components)})" for row in REDUCERS]
    lines += ["#endif", "#ifdef UFUSE_REDUCER_KERNEL  // (reducer, input, components...)"]
    for reducer in REDUCERS:
        for code, state in reducer.state.items():
            types = ", ".join(names[c] for c in (code, *state))
            lines.append(f"UFUSE_REDUCER_KERNEL({reducer.name}, {types})")
    lines += ["#endif", "#ifdef UFUSE_FINISH  // (name)"]
    lines += [f"UFUSE_FINISH({name})" for name in FINISHES]
    lines += ["#endif", "#ifdef UFUSE_FORMAT  // (name, elements of a block, bytes of a block)"]
    lines += [f"UFUSE_FORMAT({row.name}, {row.block}, {row.nbytes})" for row in FORMATS]
    lines += [
        "#endif",
        "#ifdef UFUSE_GRID  // (name, values of a point, bits of a value, points...)",
    ]
    for grid in GRIDS:
        points = ", ".join(map(str, grid.codes()))
        lines.append(f"UFUSE_GRID({grid.name}, {grid.values}, {grid.bits}, {points})")
    lines.append("#endif")
    return "\n".join(lines) + "\n"


def write(folder: Path) -> None:
    """Write the generated files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "catalogue.inc"
    text = catalogue_inc()
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
