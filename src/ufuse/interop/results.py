"""Results in the kind of the arguments: a torch tensor in gives a torch tensor out."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from .arrays import as_output, asarray
from .tensors import is_tensor, to_tensor

_P = ParamSpec("_P")

# These keep their own types: Python scalars are weak in NumPy's promotion (NEP 50).
_PASSED_AS_THEY_ARE = (np.ndarray, type(None), bool, int, float, complex)


def wrap_like(result: Any, *templates: Any) -> Any:
    """Give `result` in the kind of the first argument that has a kind of result.

    Parameters
    ----------
    result : numpy.ndarray, numpy scalar, or tuple of these
        What a kernel gave; nobody else may be going to write to its memory.
    *templates : object
        The array arguments of the call, in their order.

    Returns
    -------
    object
        If one of `templates` is a torch tensor, a tensor over the same memory; a scalar becomes a
        0-d tensor. A dtype that torch does not have (int4, float6) stays an ndarray. For every
        other kind, `result` itself.

    Notes
    -----
    jax arrays give NumPy results: jax takes an ndarray wherever it takes an array, and making the
    jax array here would turn float64 into float32 under jax's default settings.
    """
    for template in templates:
        if is_tensor(template):
            return _as_tensors(result)
    return result


def _same_tuple(like: tuple[Any, ...], parts: list[Any]) -> Any:
    """Return parts as a plain tuple, or as the named one that they are of."""
    return tuple(parts) if type(like) is tuple else type(like)(*parts)


def _as_tensors(result: Any) -> Any:
    if isinstance(result, tuple):
        return _same_tuple(result, [_as_tensors(part) for part in result])
    if not isinstance(result, (np.ndarray, np.generic)):
        return result
    tensor = to_tensor(np.asarray(result))
    return result if tensor is None else tensor


def accepts_buffers(
    *arguments: str,
    out: str = "out",
    function: str | None = None,
    check: Callable[[object, str, str], None] | None = None,
) -> Callable[[Callable[_P, Any]], Callable[_P, Any]]:
    r"""Let a function written for ndarrays take, and give back, other libraries' arrays.

    Parameters
    ----------
    *arguments : str
        Names of the parameters that are arrays. In the body they are ndarrays, but for None and
        Python scalars, which stay what they are.
    out : str, optional
        Name of the parameter for outputs (an array or a tuple of them), where there is one. The
        body writes to views of them; where it returns such a view, the caller gets what was given.
    function : str, optional
        Name for messages; by default ``ufuse.`` and the name of the decorated function.
    check : callable, optional
        Raises where an argument is not to be read: called with it, `function` and its name, unless
        it is an ndarray or a Python scalar.

    Returns
    -------
    callable
        A decorator. Results are given back as :func:`wrap_like` does for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> @accepts_buffers("x")
    ... def twice(x, *, out=None):
    ...     return np.add(x, x, out=out)
    >>> memory = bytearray(2)
    >>> twice(b"ab", out=memory) is memory
    True
    >>> memory
    bytearray(b'\xc2\xc4')
    """

    def decorate(implementation: Callable[_P, Any]) -> Callable[_P, Any]:
        code = implementation.__code__
        parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        unknown = set(arguments).difference(parameters)
        if unknown:
            raise TypeError(f"{implementation.__name__} has no parameters {sorted(unknown)}")
        label = function or f"ufuse.{implementation.__name__}"
        places = tuple((parameters.index(name), name) for name in arguments)
        out_place = parameters.index(out) if out in parameters else None

        @wraps(implementation)
        def general(*args: Any, **kwargs: Any) -> Any:
            templates: list[object] = []
            outputs: list[tuple[object, object]] = []  # our view, what the caller gave

            def read(value: object, name: str) -> object:
                if type(value) in _PASSED_AS_THEY_ARE:
                    return value
                if check is not None:
                    check(value, label, name)
                templates.append(value)
                return asarray(value, function=label, argument=name)

            def write(value: object, name: str) -> object:
                return _written(value, name, outputs, label)

            values = list(args)
            for place, name in places:
                _replace(values, kwargs, place, name, read)
            if out_place is not None:
                _replace(values, kwargs, out_place, out, write)
            result = implementation(*values, **kwargs)
            return _give_back(result, outputs, templates)

        return general

    return decorate


def _written(value: object, name: str, outputs: list[tuple[object, object]], label: str) -> object:
    """Return what is to be written, noted beside what the caller gave.

    A function of its own: one that called itself from within `general` would be a cycle, and keep
    what it has written until the next garbage collection.
    """
    if value is None:
        return None
    if type(value) is tuple:
        return tuple(_written(part, name, outputs, label) for part in value)
    view = as_output(value, function=label, argument=name)
    outputs.append((view, value))
    return view


def _replace(
    values: list[Any],
    kwargs: dict[str, Any],
    place: int,
    name: str,
    convert: Callable[[object, str], object],
) -> None:
    if place < len(values):
        values[place] = convert(values[place], name)
    elif name in kwargs:
        kwargs[name] = convert(kwargs[name], name)


def _give_back(result: Any, outputs: list[tuple[object, object]], templates: list[object]) -> Any:
    if isinstance(result, tuple):
        return _same_tuple(result, [_give_back(part, outputs, templates) for part in result])
    for view, given in outputs:
        if result is view:
            return given
    return wrap_like(result, *templates)
