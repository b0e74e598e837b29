"""Programs of floats narrower than float32, as programs of their codes.

No kernel takes such numbers. They are decoded to float32, computed with, and rounded after every
operation, as NumPy and ml_dtypes do: for sums, products, quotients and square roots the second
rounding changes nothing, as float32 has more than twice the digits (Figueroa 1995).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..catalogue.floats import FLOAT_FORMATS, FloatFormat
from ..fusion.instructions import EXPAND, Instruction, Reduction
from ..fusion.program import Program, code_of, dtype_of

_FORMATS: Final[dict[str, FloatFormat]] = {
    "f2" if row.name == "float16" else row.name: row for row in FLOAT_FORMATS
}

#: Operations that mean something else in another type.
_OF_THE_FORMAT: Final = ("nextafter",)


@lru_cache(maxsize=1024)
def with_codes(program: Program) -> Program | None:
    """Return a program in which narrow floats are codes; None where there are none to be had."""
    if _FORMATS.keys().isdisjoint(program.codes):
        return None
    return _Widening(program).result()


def as_codes(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of narrow floats as its codes; any other as it is."""
    row = _FORMATS.get(code_of(array.dtype))
    if row is None:
        return array
    codes = np.dtype(row.storage)
    return array.view(codes if array.dtype.isnative else codes.newbyteorder())


class _Widening:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._zero = program.first_instruction  # the constant behind the others: not saturated
        narrow = sum(code in _FORMATS for code, _ in program.constants)
        self._last_constant = self._zero + narrow
        self._instructions: list[Instruction] = []
        self._codes: dict[int, int] = {}  # of a narrow value: where its codes are
        self._wide: dict[int, int] = {}  # and its float32
        self._same: dict[int, int] = {}  # of any other value: where it is
        self._expanded: dict[
            int, int
        ] = {}  # an input of rows: where its float32 are beside full ones

    def result(self) -> Program | None:
        program = self._program
        constants: list[tuple[str, Any]] = []
        for value, code in enumerate(program.inputs):
            (self._codes if code in _FORMATS else self._same)[value] = value
        for value, (code, number) in enumerate(program.constants, program.first_constant):
            narrow = code in _FORMATS
            constants.append(("f4", np.float32(number)) if narrow else (code, number))
            (self._wide if narrow else self._same)[value] = value
        constants.append(("u4", np.uint32(0)))
        # Codes too, for choices: encoded by an instruction they would be values of rows.
        for value, (code, number) in enumerate(program.constants, program.first_constant):
            if code in _FORMATS:
                storage = _FORMATS[code].storage
                self._codes[value] = len(program.inputs) + len(constants)
                constants.append((storage, np.asarray(number, dtype_of(code)).view(storage)[()]))
        for value, instruction in enumerate(program.instructions, program.first_instruction):
            if not self._add(value, instruction):
                return None
        return replace(
            program,
            inputs=tuple(_FORMATS[c].storage if c in _FORMATS else c for c in program.inputs),
            constants=tuple(constants),
            outputs=tuple(self._stored(output) for output in program.outputs),
            instructions=tuple(self._instructions),  # behind outputs, which may add some
        ).canonical()

    def _emit(self, operation: str | Reduction, code: str, *args: int) -> int:
        self._instructions.append(Instruction(operation, code, args))
        return self._last_constant + len(self._instructions)

    def _is_narrow(self, value: int) -> bool:
        return self._program.codes[value] in _FORMATS

    def _stored(self, value: int) -> int:
        """Return a value as it is in memory."""
        if not self._is_narrow(value):
            return self._same[value]
        if value not in self._codes:
            row = _FORMATS[self._program.codes[value]]
            wide = self._wide[value]
            self._codes[value] = self._emit(f"encode_{row.name}", row.storage, wide, self._zero)
        return self._codes[value]

    def _computed(self, value: int) -> int:
        """Return a value as it is computed with."""
        if not self._is_narrow(value):
            return self._same[value]
        if value not in self._wide:
            row = _FORMATS[self._program.codes[value]]
            self._wide[value] = self._emit(f"decode_{row.name}", "f4", self._codes[value])
        return self._wide[value]

    def _beside(self, value: int, full: bool) -> int:
        """Return an operand; inputs of rows stand beside full ones, but not what they decode to."""
        wide = self._computed(value)
        if not full or not self._is_narrow(value) or value not in self._program.rows:
            return wide
        if value not in self._expanded:
            self._expanded[value] = self._emit(EXPAND, "f4", wide)
        return self._expanded[value]

    def _round(self, value: int, wide: int) -> None:
        row = _FORMATS[self._program.codes[value]]
        self._codes[value] = self._emit(f"encode_{row.name}", row.storage, wide, self._zero)

    def _add(self, value: int, instruction: Instruction) -> bool:
        operation, code, args = instruction
        if isinstance(operation, Reduction):
            if any(map(self._is_narrow, args)) or code in _FORMATS:
                return False
        elif not isinstance(operation, str):
            return False
        elif code in _FORMATS and operation in (EXPAND, "where"):
            moved = [self._stored(arg) for arg in args]
            self._codes[value] = self._emit(operation, _FORMATS[code].storage, *moved)
            return True
        elif operation == "cast":
            self._cast(value, code, args[0])
            return True
        full = operation != EXPAND and self._program.stages[value] == "full"
        moved = [self._beside(arg, full) for arg in args]
        if code in _FORMATS:
            if operation in _OF_THE_FORMAT:
                return False
            self._round(value, self._emit(operation, "f4", *moved))
        else:
            self._same[value] = self._emit(operation, code, *moved)
        return True

    def _cast(self, value: int, code: str, arg: int) -> None:
        from_code = "f4" if self._is_narrow(arg) else self._program.codes[arg]
        wide = self._computed(arg)
        if code not in _FORMATS:
            self._same[value] = wide if from_code == code else self._emit("cast", code, wide)
            return
        if from_code == "f8" and code == "f2":
            wide = self._emit("narrow_odd", "f4", wide)  # NumPy rounds once, ml_dtypes twice
        elif from_code != "f4":
            wide = self._emit("cast", "f4", wide)
        self._round(value, wide)
