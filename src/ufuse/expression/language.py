"""The language: which operators and functions an expression may hold, and what they are.

Every function here takes arrays under trace, NumPy's scalars and Python's numbers. Nothing else can
be called: what is not in these tables is refused before anything runs.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from ..catalogue.dtypes import ELEMENT_TYPES
from ..fusion import reducing  # noqa: F401, what reduces is recorded from its import on
from ..fusion.array_functions import complex_of, is_recorded
from ..fusion.operations import public_functions

#: Bits of the largest Python integer: float64 holds less. `2**10**10` is not to be computed.
MOST_BITS: Final = 1024


class Function(NamedTuple):
    """A function of the language.

    Attributes
    ----------
    call : callable
    least, most : int
        How many operands it takes.
    options : tuple of str
        What else it takes, as constants: the first by its place after the operands, all by name.
    """

    call: Callable[..., Any]
    least: int
    most: int
    options: tuple[str, ...] = ()


# --- Python's numbers ----------------------------------------------------------------------------


def check_bits(number: Any) -> None:
    """Refuse Python integers so large that nothing but time comes of them."""
    if type(number) is int and number.bit_length() > MOST_BITS:
        raise OverflowError(
            f"a Python integer of {number.bit_length()} bits; expected {MOST_BITS} at most, which "
            "is more than any dtype holds; write a float, such as 2.0"
        )


def _power(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and (a.bit_length() - 1) * b > MOST_BITS:
        raise OverflowError(
            f"a power of Python integers with more than {MOST_BITS} bits; write a float, as in "
            "2.0**x, or pass the number by name"
        )
    return a**b


def _left_shift(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and b > MOST_BITS:
        raise OverflowError(f"a shift of a Python integer by more than {MOST_BITS} bits")
    return a << b


def _invert(a: Any) -> Any:
    return not a if isinstance(a, bool) else ~a  # Python's ~True is -2


OPERATORS: Final[dict[type[ast.AST], Callable[..., Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.MatMult: operator.matmul,
    ast.LShift: _left_shift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.GtE: operator.ge,
    ast.Gt: operator.gt,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: _invert,
}

# --- functions -----------------------------------------------------------------------------------

#: The dtypes that expressions can name: float32(x) converts, sum(x, dtype=float64) adds in one.
DTYPES: Final = {
    dtype.name: dtype
    for dtype in (*(row.dtype for row in ELEMENT_TYPES), *map(np.dtype, ("f2", "c8", "c16")))
}

_REDUCTIONS: Final = {
    ("axis", "dtype", "keepdims"): "sum prod mean nansum nanprod nanmean",
    ("axis", "keepdims"): "min max amin amax ptp any all argmin argmax count_nonzero nanmin nanmax "
    "nanargmin nanargmax median nanmedian",
    ("axis", "dtype", "ddof", "keepdims"): "var std nanvar nanstd",
}

#: Attributes that numexpr has for functions of the same name.
ATTRIBUTES: Final = ("real", "imag")


def _converter(dtype: np.dtype[Any]) -> Callable[[Any], Any]:
    def convert(x: Any) -> Any:
        return dtype.type(x) if isinstance(x, (int, float, complex)) else x.astype(dtype)

    return convert


def _elementwise() -> dict[str, Function]:
    """Return NumPy's ufuncs of elements with one result: they compute, and do nothing else."""
    return {
        name: Function(ufunc, ufunc.nin, ufunc.nin)
        for name, ufunc in vars(np).items()
        if isinstance(ufunc, np.ufunc) and ufunc.nout == 1 and not ufunc.signature
    }


def _reductions() -> dict[str, Function]:
    """Return the reductions that can be recorded."""
    return {
        name: Function(getattr(np, name), 1, 1, options)
        for options, names in _REDUCTIONS.items()
        for name in names.split()
        if is_recorded(getattr(np, name))
    }


FUNCTIONS: Final[dict[str, Function]] = {
    **_elementwise(),
    **_reductions(),
    **{name: Function(call, 1, 1) for name, call in public_functions().items()},
    **{name: Function(_converter(dtype), 1, 1) for name, dtype in DTYPES.items()},
    "where": Function(np.where, 3, 3),
    "clip": Function(np.clip, 3, 3),
    "round": Function(np.round, 1, 1, ("decimals",)),
    **{name: Function(operator.attrgetter(name), 1, 1) for name in ATTRIBUTES},
    "complex": Function(complex_of, 2, 2),
    "copy": Function(np.copy, 1, 1),
    "ones_like": Function(np.ones_like, 1, 1),
    "zeros_like": Function(np.zeros_like, 1, 1),
}
