"""Options of contractions, as their users give them: checked by the name of what was called."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from ..catalogue.semirings import BY_NAME as SEMIRINGS
from ..catalogue.semirings import Semiring
from ..interop import asarray
from ..interop.messages import type_name

_CASTINGS = ("no", "equiv", "safe", "same_kind", "unsafe")
_ORDERS = ("K", "C", "F", "A")
_HUGE = 10**300  # integers beyond have no float
_USUAL_PATHS = ("auto", "greedy", "optimal")  # known without opt_einsum


class Options(NamedTuple):
    """What a contraction may be asked for besides subscripts and operands: see `einsum`.

    Attributes
    ----------
    ring : Semiring or None
        None for sums of products.
    optimize : object
        Hashable.
    """

    dtype: np.dtype[Any] | None
    order: str
    casting: str
    optimize: Any
    accumulate: np.dtype[Any] | None
    ring: Semiring | None
    return_arg: bool
    finish: Callable[[Any], Any] | None
    memory_limit: int | None

    @property
    def is_plain(self) -> bool:
        """Whether a call with no more than `accumulate` and `semiring` computes the same."""
        # By `is`: np.dtype("f8") == None, which NumPy reads as float64.
        return self.dtype is None and self.optimize == "auto"


def remembered_by(
    entry: Any, subscripts: str | None, accumulate: Any, semiring: Any
) -> tuple[Any, Any]:
    """Return the fast entry that may remember a call, or None, and the key it does so under.

    Options given by name are part of the key, as `ContractCall` reads them.
    """
    ring = None if type(semiring) is str and semiring == "plus_times" else semiring
    if accumulate is None and ring is None:
        return entry, subscripts
    if any(option is not None and type(option) is not str for option in (accumulate, ring)):
        return None, None
    return entry, (subscripts, accumulate, ring)


def read_options(
    function: str, *, dtype: Any = None, order: Any = "K", casting: Any = "safe",
    optimize: Any = "auto", accumulate: Any = None, semiring: Any = "plus_times",
    return_arg: Any = False, finish: Any = None, memory_limit: Any = None,
) -> Options:  # fmt: skip
    """Check the options of `einsum`."""
    check_casting(function, casting)
    if finish is not None and not callable(finish):
        raise TypeError(
            f"{function}: argument 'finish': expected a function of one array, got {finish!r}"
        )
    return Options(
        read_dtype(function, "dtype", dtype),
        read_order(function, order),
        casting,
        read_optimize(function, optimize),
        read_dtype(function, "accumulate", accumulate),
        read_semiring(function, semiring),
        read_flag(function, "return_arg", return_arg),
        finish,
        read_limit(function, memory_limit),
    )


def read_dtype(function: str, argument: str, given: Any) -> np.dtype[Any] | None:
    """Return the dtype that was asked for; None where none was."""
    if given is None:
        return None
    try:
        found: np.dtype[Any] = np.dtype(given)
    except (TypeError, ValueError, SyntaxError):
        raise TypeError(
            f"{function}: argument {argument!r}: expected None or a dtype such as np.float64, got "
            f"{given!r}"
        ) from None
    return found


def read_order(function: str, order: Any) -> str:
    """Return one of K, C, F and A."""
    if order is None:
        return "K"
    found = order.upper() if isinstance(order, str) else None
    if found in _ORDERS:
        return found
    kind = ValueError if isinstance(order, str) else TypeError
    raise kind(f"{function}: argument 'order': expected K, C, F or A, got {order!r}")


def check_casting(function: str, casting: Any) -> None:
    if isinstance(casting, str) and casting in _CASTINGS:
        return
    kind = ValueError if isinstance(casting, str) else TypeError
    raise kind(
        f"{function}: argument 'casting': expected one of {', '.join(_CASTINGS)}, got {casting!r}"
    )


def read_flag(function: str, argument: str, given: Any) -> bool:
    """Return a bool that is one."""
    if not isinstance(given, (bool, np.bool_)):
        raise TypeError(f"{function}: argument {argument!r}: expected a bool, got {given!r}")
    return bool(given)


def read_limit(function: str, limit: Any) -> int | None:
    """Return a number of bytes; None where there is no limit."""
    if limit is None:
        return None
    try:
        found = operator.index(limit)
    except TypeError:
        found = None
    if found is None or isinstance(limit, (bool, np.bool_)):
        raise TypeError(
            f"{function}: argument 'memory_limit': expected None or a number of bytes as an "
            f"integer, got {limit!r}"
        )
    if found < 0:
        raise ValueError(
            f"{function}: argument 'memory_limit': expected 0 bytes or more, got {limit!r}"
        )
    return found


def read_semiring(function: str, semiring: Any) -> Semiring | None:
    """Return the row; None for sums of products."""
    if isinstance(semiring, str):
        if semiring == "plus_times":
            return None
        if semiring in SEMIRINGS:
            return SEMIRINGS[semiring]
    elif isinstance(semiring, Semiring):
        return semiring
    kind = ValueError if isinstance(semiring, str) else TypeError
    raise kind(
        f"{function}: argument 'semiring': expected plus_times, one of {', '.join(SEMIRINGS)}, or "
        f"what ufuse.semiring returns, got {semiring!r}"
    )


def read_optimize(function: str, optimize: Any) -> Any:
    """Return how the path is to be found, hashable.

    Returns
    -------
    bool, str, (str, number), or tuple
        A tuple that begins with ``"einsum_path"`` is the path itself.

    Raises
    ------
    TypeError
        If it is nothing of the kind.
    KeyError
        As in NumPy, if opt_einsum has no optimizer of this name.
    """
    if isinstance(optimize, str):
        _check_optimizer(function, optimize)
        return str(optimize)
    if optimize is None or isinstance(optimize, (bool, np.bool_)):
        return bool(optimize)
    if isinstance(optimize, (list, tuple)) and optimize:
        first, *others = optimize
        if isinstance(first, str) and first == "einsum_path":
            return ("einsum_path", *(_read_step(function, step) for step in others))
        number = (int, float, np.integer, np.floating)
        if isinstance(first, str) and len(others) == 1 and isinstance(others[0], number):
            _check_optimizer(function, first)
            return str(first), others[0]
    raise TypeError(
        f"{function}: argument 'optimize': expected a bool, the name of one of opt_einsum's "
        f"optimizers, (name, memory limit) or ['einsum_path', ...], got {optimize!r}"
    )


def _read_step(function: str, step: Any) -> tuple[int, ...]:
    try:
        return tuple(operator.index(place) for place in step)
    except TypeError:
        raise TypeError(
            f"{function}: argument 'optimize': expected steps of the path as tuples of places, got "
            f"{step!r}"
        ) from None


def _check_optimizer(function: str, name: str) -> None:
    if name in _USUAL_PATHS:
        return
    paths: Any = import_module("opt_einsum.paths")  # untyped
    try:
        paths.get_path_fn(name)
    except KeyError:
        raise KeyError(
            f"{function}: argument 'optimize': expected a bool, 'auto', 'greedy', 'optimal', or "
            f"another of opt_einsum's optimizers, got {name!r}"
        ) from None


def read_axis(function: str, argument: str, axis: Any, ndim: int) -> int:
    """Return an axis of an array of some dimensions, from 0 on."""
    try:
        found = operator.index(axis)
    except TypeError:
        raise TypeError(
            f"{function}: argument {argument!r}: expected an axis as an integer, got {axis!r}"
        ) from None
    if not -ndim <= found < ndim:
        raise np.exceptions.AxisError(
            f"{function}: argument {argument!r}: expected an axis of an array of {ndim} "
            f"dimensions, got {axis!r}"
        )
    return found % ndim


def read_number(function: str, argument: str, given: Any) -> float:
    """Return a number as a float.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is an array of some.
    """
    if isinstance(given, float):
        return float(given)
    if isinstance(given, int):  # of any size
        return float(given) if abs(given) < _HUGE else math.copysign(math.inf, given)
    array = asarray(given, function=function, argument=argument)
    if array.dtype.kind not in "biufV":
        raise TypeError(
            f"{function}: argument {argument!r}: expected a number, got dtype {array.dtype}"
        )
    if array.ndim:
        raise ValueError(
            f"{function}: argument {argument!r}: expected one number, got shape {array.shape}"
        )
    return float(array.astype(np.float64))


def read_list(function: str, argument: str, given: Any) -> list[Any]:
    """Return what is a sequence of arrays, and no array itself, as a list."""
    if hasattr(given, "__len__") and not isinstance(given, (str, bytes, dict)):
        try:
            return list(given)
        except TypeError:  # an array without axes
            pass
    raise TypeError(
        f"{function}: argument {argument!r}: expected a sequence of arrays, got {type_name(given)}"
    )
