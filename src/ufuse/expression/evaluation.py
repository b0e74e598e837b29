"""`evaluate` and its kin: expressions compiled once, looked up by their text, and called."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Mapping
from functools import lru_cache
from inspect import CO_OPTIMIZED
from operator import itemgetter
from types import FrameType
from typing import Any, Final

from .compiled import CASTINGS, ORDERS, Expression
from .parsing import parse
from .refusals import UnknownNameError, refusal

#: Different texts whose compiled expressions are kept.
MOST_KEPT: Final = 256

_CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "order": ORDERS,
    "casting": CASTINGS,
    "optimization": ("none", "moderate", "aggressive"),
    "truediv": (False, True, "auto"),
}
_USUAL: Final = ("K", "same_kind", "aggressive", "auto")


class _Last(threading.local):
    """What `re_evaluate` repeats in this thread: an expression, ``out``, order and casting."""

    call: tuple[Expression, weakref.ref[Any] | None, str, str] | None = None


_last = _Last()


def _compile(text: str) -> Expression:
    return Expression(parse(text.strip()))


_compiled = lru_cache(maxsize=MOST_KEPT)(_compile)


def evaluate(
    ex: str,
    local_dict: Mapping[str, Any] | None = None,
    global_dict: Mapping[str, Any] | None = None,
    out: Any = None,
    order: str = "K",
    casting: str = "same_kind",
    sanitize: bool | None = None,
    _frame_depth: int = 3,
    disable_cache: bool = False,
    *,
    optimization: str = "aggressive",
    truediv: bool | str = "auto",
) -> Any:
    """Evaluate an expression of arrays, given as text, in one pass over memory.

    The language and the keywords are numexpr's, dtypes are NumPy's: the result is what Python would
    give for the text if the functions in it were NumPy's. The text is parsed, and nothing of it
    executed: it can call the functions of the language alone.

    Parameters
    ----------
    ex : str
        Such as ``"2*a + 3*b"``: numbers, names, the operators ``+ - * / // % ** @ << >> & | ^ ~``
        and ``< <= == != >= >``, NumPy's elementwise functions by their names, `where`, `clip`,
        `round`, `real`, `imag`, `complex`, the functions that ufuse adds (`gelu`, `erf`...),
        conversions (``float32(a)``), and reductions with ``axis=``, ``keepdims=``, ``dtype=`` and
        ``ddof=``. At most 10000 characters.
    local_dict : mapping, optional
        The variables, by name: array_like or Python numbers, which are weak in promotion. By
        default the local variables of the caller.
    global_dict : mapping, optional
        Where names are looked up that `local_dict` lacks. By default the global variables of the
        caller; pass ``{}`` with a text that is not yours.
    out : ndarray, optional
        Where the result goes: of the result's shape. It may overlap the operands.
    order : {'K', 'C', 'F', 'A'}, optional
        Memory layout of a new result: ``"K"`` that of the first array of the result's shape,
        ``"A"`` ``"F"`` if all arrays are Fortran-contiguous, else ``"C"``.
    casting : {'no', 'equiv', 'safe', 'same_kind', 'unsafe'}, optional
        By which rule the result may be cast to the dtype of `out`.
    sanitize : bool, optional
        Taken for numexpr's sake: there is nothing to make safe, and nothing to switch off.
    _frame_depth : int, optional
        As numexpr counts: 3 is the caller, 4 the caller's caller.
    disable_cache : bool, optional
        Whether to parse the text for this call alone, and keep nothing.
    optimization, truediv : optional
        Taken for numexpr's sake, without effect: ``/`` is true division.

    Returns
    -------
    ndarray or scalar
        `out`, if given.

    Raises
    ------
    SyntaxError
        If `ex` is no expression.
    KeyError
        If there is no variable of a name.
    TypeError, ValueError
        If `ex` holds what the language does not have; for arguments that cannot be computed with;
        for shapes that do not broadcast.
    OverflowError
        For Python integers of more than 1024 bits.

    See Also
    --------
    fuse : The same for functions.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> a, b = np.float32([1, 2, 3]), np.float32([4, 5, 6])
    >>> uf.evaluate("2*a + 3*b")
    array([14., 19., 24.], dtype=float32)
    >>> uf.evaluate("where(x > 1, sqrt(x), 0)", {"x": np.array([1.0, 4.0])})
    array([0., 2.])
    """
    if type(ex) is not str:
        ex = _text(ex)
    if (order, casting, optimization, truediv) != _USUAL:
        _check_choices(order=order, casting=casting, optimization=optimization, truediv=truediv)
    expression = _compile(ex) if disable_cache else _compiled(ex)
    args = _arguments(expression, local_dict, global_dict, _frame_depth - 1)
    if not disable_cache:
        _last.call = (expression, None if out is None else _reference(out), order, casting)
    return expression.run(args, out, order, casting)


def re_evaluate(
    local_dict: Mapping[str, Any] | None = None,
    global_dict: Mapping[str, Any] | None = None,
    _frame_depth: int = 2,
) -> Any:
    """Evaluate the last expression of this thread again, with the variables as they are now.

    Parameters
    ----------
    local_dict, global_dict : mapping, optional
        As in `evaluate`.
    _frame_depth : int, optional
        2 is the caller, 3 the caller's caller.

    Returns
    -------
    ndarray or scalar
        With `order` and `casting` as they were, and in `out` if one was given and is still there.

    Raises
    ------
    RuntimeError
        If this thread has called neither `evaluate` nor `validate`.
    KeyError, TypeError, ValueError
        As `evaluate` raises them.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.evaluate("a + 1", {"a": np.arange(3)})
    array([1, 2, 3])
    >>> uf.re_evaluate({"a": np.arange(2)})
    array([1, 2])
    """
    if _last.call is None:
        raise RuntimeError(
            "ufuse.re_evaluate: this thread has evaluated nothing yet; call ufuse.evaluate or "
            "ufuse.validate first"
        )
    expression, out, order, casting = _last.call
    args = _arguments(expression, local_dict, global_dict, _frame_depth)
    return expression.run(args, None if out is None else out(), order, casting)


def validate(
    ex: str,
    local_dict: Mapping[str, Any] | None = None,
    global_dict: Mapping[str, Any] | None = None,
    out: Any = None,
    order: str = "K",
    casting: str = "same_kind",
    _frame_depth: int = 2,
    sanitize: bool | None = None,
    *,
    optimization: str = "aggressive",
    truediv: bool | str = "auto",
) -> Exception | None:
    """Say what is wrong with an expression and its variables, without computing anything.

    Parameters
    ----------
    ex, local_dict, global_dict, out, order, casting, sanitize, optimization, truediv
        As in `evaluate`.
    _frame_depth : int, optional
        2 is the caller, 3 the caller's caller.

    Returns
    -------
    Exception or None
        What `evaluate` would raise. If it is None, `re_evaluate` evaluates the expression.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.validate("a + b", {"a": np.ones(2), "b": np.ones(2)}) is None
    True
    >>> type(uf.validate("a +", {"a": np.ones(2)}))
    <class 'SyntaxError'>
    """
    try:
        ex = _text(ex)
        _check_choices(order=order, casting=casting, optimization=optimization, truediv=truediv)
        expression = _compiled(ex)
        args = _arguments(expression, local_dict, global_dict, _frame_depth)
        expression.check(args, out, casting)
    except Exception as error:
        return error
    _last.call = (expression, None if out is None else _reference(out), order, casting)
    return None


def _text(ex: object) -> str:
    if not isinstance(ex, str):
        raise ValueError(
            f"ufuse.evaluate: argument 'ex': expected an expression as a string, got "
            f"{type(ex).__name__}"
        )
    return str.__str__(ex)


def _check_choices(**given: Any) -> None:
    for name, value in given.items():
        if not any(value is one or value == one for one in _CHOICES[name]):
            raise ValueError(
                f"ufuse.evaluate: argument {name!r}: expected one of {_CHOICES[name]}, "
                f"got {value!r}"
            )


def _reference(out: Any) -> weakref.ref[Any] | None:
    """Keep `out` for `re_evaluate` as long as the caller does."""
    try:
        return weakref.ref(out)
    except TypeError:  # a tuple with the array
        return None


def _arguments(
    expression: Expression,
    local_dict: Mapping[str, Any] | None,
    global_dict: Mapping[str, Any] | None,
    depth: int,
) -> tuple[Any, ...]:
    """Return the variables of an expression, in its order; `depth`: that of the caller's frame."""
    names = expression.names
    if local_dict is not None:
        try:
            if len(names) > 1:
                return itemgetter(*names)(local_dict)  # type: ignore[no-any-return]
            return tuple([local_dict[name] for name in names])
        except KeyError:
            pass
    frame = sys._getframe(depth)
    scope = frame.f_globals if global_dict is None else global_dict
    if local_dict is not None:
        return _found(expression, local_dict, scope)
    variables = frame.f_locals
    try:
        return _found(expression, variables, scope)
    finally:
        _forget(frame, variables)


def _found(
    expression: Expression, first: Mapping[str, Any], second: Mapping[str, Any]
) -> tuple[Any, ...]:
    found = []
    for name in expression.names:
        try:
            found.append(first[name])
        except KeyError:
            try:
                found.append(second[name])
            except KeyError:
                raise refusal(
                    UnknownNameError,
                    expression.places[name],
                    f"no variable {name!r}, neither local nor global; pass it in local_dict=",
                ) from None
    return tuple(found)


def _forget(frame: FrameType, variables: Any) -> None:
    """Empty the copy of a function's local variables that Python before 3.13 keeps in its frame.

    Arrays would live in it until the function returns (numexpr#310). Where anybody else has the
    same dict, from `locals`, it stays: its references are the frame's, ours, and those of calls.
    """
    if sys.version_info < (3, 13) and frame.f_code.co_flags & CO_OPTIMIZED:
        if sys.getrefcount(variables) <= _ALONE:
            variables.clear()


def _references() -> int:
    """Count the references to the local variables of a function that nobody else has."""

    def caller() -> int:
        def count(frame: FrameType, variables: Any) -> int:
            return sys.getrefcount(variables)

        def look_up() -> int:
            frame = sys._getframe(1)
            variables = frame.f_locals
            return count(frame, variables)

        return look_up()

    return caller()


_ALONE: Final = _references()
