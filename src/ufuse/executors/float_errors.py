"""Floating-point errors of programs, told by NumPy's words and as `numpy.errstate` says.

A native run only leaves a suspicion: the processor's flags, which also come from what a kernel
computes and does not choose. Where the user ignores what is suspected, that is all. Otherwise the
elements are computed again by NumPy, a tile at a time, which says what is wrong, and of which
function. Tiles whose native run raises no flag are passed over.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from enum import IntFlag
from functools import lru_cache
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ..catalogue import operations
from ..fusion.instructions import Reduction
from ..fusion.program import Program, code_of, dtype_of, find_ufunc
from ..fusion.shapes import Shape, broadcast_shapes
from . import reference

if TYPE_CHECKING:
    from ..fusion.runs import ReduceRun

Array = NDArray[Any]


class Errors(IntFlag):
    """NumPy's numbers of floating-point errors."""

    DIVIDE = 1
    OVER = 2
    UNDER = 4
    INVALID = 8


_WORDS: Final = {
    "divide by zero": Errors.DIVIDE,
    "overflow": Errors.OVER,
    "underflow": Errors.UNDER,
    "invalid value": Errors.INVALID,
}
_NAMES: Final = {error: word for word, error in _WORDS.items()}
_MODES: Final = {error: (error.name or "").lower() for error in Errors}

#: Elements of a tile. `log(a) / b + 2 * sqrt(a)` of 4 million float32 takes 1.9 ms, and 7.0 with
#: one 0 in the middle; 9.2 with tiles of 16 K, 6.7 with 256 K.
_TILE: Final = 1 << 16

#: Elements that a reduction is given to NumPy with; of more, its result says what went wrong.
_REDUCED: Final = 1 << 18

#: Operations of floats of which NumPy never warns.
_SILENT: Final = frozenset(
    "negative absolute maximum minimum fmax fmin floor ceil trunc rint sign signbit copysign "
    "heaviside equal not_equal less less_equal greater greater_equal logical_and logical_or "
    "logical_xor logical_not isnan isinf isfinite where nonzero".split()
)
#: Those of integers that it warns of.
_OF_INTEGERS: Final = ("floor_divide", "remainder", "fmod", "reciprocal")
#: Those with poles.
_POLES: Final = frozenset(
    "divide reciprocal floor_divide remainder fmod log log2 log10 log1p atanh power".split()
)
#: Operations that native kernels compute by the instruction that NumPy takes: with its flags.
_EXACT: Final = frozenset(
    "add subtract multiply divide sqrt square reciprocal negative absolute floor ceil trunc rint "
    "sign signbit copysign where equal not_equal isnan isinf isfinite logical_and logical_or "
    "logical_xor logical_not".split()
)
#: Those that set no flag at NaN, as NumPy's, with registers of AVX-512 alone.
_EXACT_IN_512: Final = frozenset(
    "less less_equal greater greater_equal maximum minimum fmax fmin".split()
)


class Heard:
    """What NumPy says while it computes; an object for ``np.errstate(all="log", call=...)``."""

    def __init__(self) -> None:
        self.said: dict[tuple[int, Errors, str], None] = {}
        self.place = 0  # of the instruction that runs

    def write(self, text: str) -> None:
        """Take down what NumPy says: "Warning: overflow encountered in multiply"."""
        words, _, name = text.strip().removeprefix("Warning: ").partition(" encountered in ")
        self.said[self.place, _WORDS[words], name] = None

    def add(self, errors: int, name: str) -> None:
        """Take down errors of a whole function."""
        for error in Errors:
            if errors & error:
                self.said[self.place, error, name] = None

    @property
    def errors(self) -> int:
        """All that were heard."""
        return sum({error for _, error, _ in self.said})

    def tell(self, wanted: int) -> None:
        """Pass on what is wanted, as `numpy.errstate` says, in the order of the instructions."""
        told = dict.fromkeys(
            (error, name) for _, error, name in sorted(self.said) if error & wanted
        )
        modes: Any = np.geterr()
        for error, name in told:
            all_of_it = sum(other for other, its in told if its == name)
            _tell(error, name, modes[_MODES[error]], all_of_it)


def wanted() -> int:
    """Return the errors that are not ignored."""
    modes: Any = np.geterr()
    return sum({error for error, name in _MODES.items() if modes[name] != "ignore"})


def report(
    program: Program,
    inputs: Sequence[Array],
    outputs: Sequence[Array],
    errors: int,
    function: str,
    alone: bool = True,
) -> None:
    """Find out what a native run that left a suspicion did wrong, and tell of it.

    Parameters
    ----------
    program : Program
    inputs, outputs : sequence of ndarray
        As for `run_program`.
    errors : int
        What is suspected.
    function : str
        Its name, for messages where an input has been overwritten and cannot be computed again.
    alone : bool
        Whether no other run may have left the suspicion.

    Raises
    ------
    FloatingPointError
        Where `numpy.errstate` says so.
    """
    errors &= wanted() & _possible(program)
    if not errors:
        return
    heard = Heard()
    overwrites = any(np.may_share_memory(x, out) for x in inputs for out in outputs)
    if not alone and not overwrites:
        errors &= _settled(program, inputs, outputs)
    known = _known(program, errors, _has_wide_registers())
    if known is not None and (alone or not overwrites):
        for error, name in known:
            heard.add(error, name)
    elif overwrites:
        heard.add(errors, function)  # of a settled run
    elif errors := errors & _settled(program, inputs, outputs):
        _compute_again(program, inputs, outputs, errors, heard)
    heard.tell(errors)


def judged(program: Program, inputs: Sequence[Array], outputs: Sequence[Array], errors: int) -> int:
    """Return which of the errors that are suspected NumPy finds: see `report` for the arguments."""
    errors &= wanted() & _possible(program)
    if _is_exact(program, _has_wide_registers()):
        return errors
    errors = errors and errors & _settled(program, inputs, outputs)
    heard = Heard()
    if errors:
        _compute_again(program, inputs, outputs, errors, heard)
    return errors & heard.errors


def report_reductions(
    run: ReduceRun, inputs: Sequence[Array], outputs: Sequence[Array], errors: int
) -> None:
    """Tell of what has gone wrong in reductions, and in the program that they are of.

    NumPy reduces pieces that hold whole lines. Where lines are too long for that, it computes their
    elements, and the results say what happened to these.
    """
    program = run.program
    if program is None:  # one input, as it is
        program = Program((code_of(inputs[0].dtype),), (), (), (0,))
    operands = [program.codes[program.outputs[k]] for k in run.operands]
    floating = any(
        (r.reducer, r.finish) in reference.NUMPY and _is_floating(code)
        for r, code in zip(run.reductions, operands, strict=True)
    )
    errors &= wanted() & (sum(Errors) if floating else _possible(program))
    if not errors:
        return
    heard = Heard()
    short = prod(run.shape[axis] for axis in run.axes) <= _REDUCED
    clean = Errors.OVER | Errors.INVALID
    for tile in tiles(run.shape, run.axes if short else ()):
        parts = [x[part_of(tile, x.shape)] for x in inputs]
        values = reference.values_of(program, parts, heard)
        made = [values[program.outputs[operand]] for operand in run.operands]
        heard.place = len(values)
        if short:
            whole = broadcast_shapes(*(x.shape for x in parts))
            with np.errstate(all="log", call=heard):
                for reduction, x in zip(run.reductions, made, strict=True):
                    reference.reduce_as_numpy(reduction, np.broadcast_to(x, whole))
        elif floating:
            if any(np.isinf(x).any() for x in made):
                clean &= ~Errors.OVER
            if any(np.isnan(x).any() for x in made):
                clean &= ~Errors.INVALID
    if floating and not short:
        for out in outputs:
            found = np.isinf(out).any() * Errors.OVER | np.isnan(out).any() * Errors.INVALID
            heard.add(errors & clean & int(found), "reduce")
    heard.tell(errors)


def tell_of_cast() -> None:
    """Tell of a Python number that is too large for the dtype that it takes."""
    heard = Heard()
    heard.add(Errors.OVER, "cast")
    heard.tell(wanted())


def speaks(program: Program) -> bool:
    """Whether NumPy may warn of a program."""
    return _possible(program) != 0


@lru_cache(maxsize=1024)
def _possible(program: Program) -> int:
    """Return the errors that NumPy may find in a program."""
    return sum({error for error in Errors if _speakers(program, error)})


@lru_cache(maxsize=4096)
def _speakers(program: Program, error: int) -> frozenset[str]:
    """Return the functions that NumPy may name in a program for an error."""
    names = set()
    for instruction in program.instructions:
        operation = instruction.operation
        code, given = instruction.code, [program.codes[arg] for arg in instruction.args]
        floating = any(_is_floating(c) for c in (code, *given))
        if isinstance(operation, Reduction):
            if floating:
                names.add("reduce")
        elif operation == "cast":
            if error != Errors.DIVIDE and floating and _may_lose(given[0], code):
                names.add("cast")
        elif not isinstance(operation, str) or operation in _SILENT:
            pass
        elif operation in operations.BY_NAME:
            ufunc = operations.BY_NAME[operation].ufunc
            errs = error != Errors.DIVIDE or operation in _POLES
            errs = errs and (error == Errors.INVALID or operation != "sqrt")
            if ufunc is not None and errs and (floating or operation in _OF_INTEGERS):
                names.add(ufunc.__name__)
        elif floating and (found := find_ufunc(operation)) is not None:
            names.add(found[0].__name__)
    return frozenset(names)


@lru_cache(maxsize=1024)
def _is_exact(program: Program, wide: bool) -> bool:
    """Whether a native run sets the flags that NumPy does."""
    return all(code in ("f4", "f8") or not _is_floating(code) for code in program.codes) and all(
        operation in _EXACT or (wide and operation in _EXACT_IN_512)
        for operation, _, _ in program.instructions
    )


@lru_cache(maxsize=1024)
def _known(program: Program, errors: int, wide: bool) -> tuple[tuple[Errors, str], ...] | None:
    """Return what a native run with these flags has done wrong, or None where they do not tell."""
    if not _is_exact(program, wide):
        return None
    known: list[tuple[Errors, str]] = []
    for error in Errors:
        if error & errors:
            names = _speakers(program, error)
            if len(names) != 1:
                return None
            known.append((error, next(iter(names))))
    return tuple(known)


def _has_wide_registers() -> bool:
    from . import native

    return native is not None and str(native.tier()).startswith("v4")


def _is_floating(code: str) -> bool:
    return dtype_of(code).kind not in "?biu"


def _may_lose(given: str, code: str) -> bool:
    return code != "?" and not np.can_cast(dtype_of(given), dtype_of(code), "safe")


def _compute_again(
    program: Program,
    inputs: Sequence[Array],
    outputs: Sequence[Array],
    errors: int,
    heard: Heard,
) -> None:
    """Have NumPy compute tiles, of whole rows, until all is heard that can be."""
    shape = broadcast_shapes(*(x.shape for x in (*inputs, *outputs)))
    whole = (len(shape) - 1,) if program.has_reductions else ()
    sought = {
        (error, name) for error in Errors if error & errors for name in _speakers(program, error)
    }
    for tile in tiles(shape, whole):
        parts = [x[part_of(tile, x.shape)] for x in inputs]
        results = [np.empty_like(out[part_of(tile, out.shape)], subok=False) for out in outputs]
        if _settled(program, parts, results) & errors:
            reference.values_of(program, parts, heard)
            if sought <= {(error, name) for _, error, name in heard.said}:
                return


def _settled(program: Program, inputs: Sequence[Array], outputs: Sequence[Array]) -> int:
    """Run a program natively once more, for those of its errors that results speak for."""
    from . import native  # None, or the module

    if native is None or native.as_run(program) is None:
        return sum(Errors)
    errors: int = native.run_program(program, inputs, outputs, settled=True)
    return errors


def tiles(shape: Shape, whole: Sequence[int] = ()) -> Iterator[tuple[slice, ...]]:
    """Return slices of about `_TILE` elements that make up an array; axes in `whole` stay so."""
    steps, left = [], max(1, _TILE // max(1, prod(shape[axis] for axis in whole)))
    for axis in reversed(range(len(shape))):
        extent = max(1, shape[axis])
        steps.append(extent if axis in whole else min(extent, left))
        if axis not in whole:
            left = max(1, left // extent)
    for first in product(
        *(range(0, n, step) for n, step in zip(shape, reversed(steps), strict=True))
    ):
        yield tuple(slice(f, f + step) for f, step in zip(first, reversed(steps), strict=True))


def part_of(tile: Sequence[slice], shape: Shape) -> tuple[Any, ...]:
    """Return where the part of an array is that broadcasts to a tile."""
    own = tile[len(tile) - len(shape) :]
    return (..., *(slice(None) if n == 1 else s for n, s in zip(shape, own, strict=True)))


def _tell(error: Errors, name: str, mode: str, all_of_it: int) -> None:
    message = f"{_NAMES[error]} encountered in {name}"
    if mode == "warn":
        warnings.warn(message, RuntimeWarning, stacklevel=_users_level())
    elif mode == "raise":
        raise FloatingPointError(message)
    elif mode == "call":
        call: Any = np.geterrcall()
        if call is None:
            raise NameError(f"python callback specified for {_NAMES[error]} (in  {name}) but no "
                            "function found.")  # fmt: skip
        call(_NAMES[error], all_of_it)
    elif mode == "print":
        print(f"Warning: {message}")
    elif mode == "log":
        log: Any = np.geterrcall()
        if log is None:
            raise NameError(f"log specified for {_NAMES[error]} (in {name}) but no object with "
                            "write method found.")  # fmt: skip
        log.write(f"Warning: {message}\n")


_PACKAGE: Final = __name__.partition(".")[0]


def _users_level() -> int:
    """Return the `stacklevel`, for our caller, of the innermost frame that is not of ufuse."""
    level, frame = 0, sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if name != _PACKAGE and not name.startswith(f"{_PACKAGE}."):
            break
        level, frame = level + 1, frame.f_back
    return level + 1
