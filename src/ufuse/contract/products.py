"""NumPy's products by name: each is a contraction by subscripts."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..fusion.errors import trace_error
from ..interop import as_output, wrap_like
from .dtypes import by_numpy, supports
from .fused import is_traced
from .options import read_axis
from .stacks import check_core, disagree, read
from .summation import contract

Array = NDArray[Any]

_WANTED = (
    "ufuse.tensordot: argument 'axes': expected how many axes as an integer, or those of each "
    "operand as two lists"
)


def _labels(count: int, first: int = 0) -> str:
    """Return distinct letters, from one place of the alphabet on."""
    return "".join(
        chr(0x61 + i) if i < 26 else chr(0x4E00 + i) for i in range(first, first + count)
    )


def _named(
    function: str, subscripts: str, a: Array, b: Array, given: tuple[Any, Any], out: Any,
    numpys: Callable[..., Any], conjugate: bool = False,
) -> Any:  # fmt: skip
    """Contract `a` and `b`, views of what was given, or have NumPy do it."""
    if is_traced(*given):
        for view, one in zip((a, b), read(function, ("a", "b"), *given), strict=True):
            if view.shape != one.shape:
                raise trace_error(
                    f"{function}, which flattens an array of shape {one.shape}", "pass vectors"
                )
        return contract(function, subscripts, given, out=out, conjugate=conjugate)
    if not supports((a, b), None):
        options = {} if out is None else {"out": as_output(out, function=function)}
        arrays = read(function, ("a", "b"), *given)
        found = by_numpy(function, arrays, lambda: numpys(*arrays, **options))
        return wrap_like(found, *given) if out is None else out
    found = contract(
        function, subscripts, (a, b), out=out, casting="same_kind", conjugate=conjugate
    )
    return wrap_like(found, *given) if out is None else out


def dot(a: ArrayLike, b: ArrayLike, out: Any = None) -> Any:
    """Sum over the last axis of `a` and the last but one of `b`, as `numpy.dot`.

    Parameters
    ----------
    a, b : array_like
        Of any strides. A scalar multiplies; a vector `b` is summed over its only axis.
    out : ndarray, optional
        Written to and returned. It may overlap the operands.

    Returns
    -------
    ndarray or scalar, shape ``a.shape[:-1] + b.shape[:-2] + b.shape[-1:]``

    Raises
    ------
    ValueError
        If the axes have different lengths.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.dot(np.ones((2, 3)), np.arange(3.0))
    array([3., 3.])
    """
    x, y = read("ufuse.dot", ("a", "b"), a, b)
    if x.ndim == 0 or y.ndim == 0:
        rows, cols = _labels(x.ndim), _labels(y.ndim)
        return _named("ufuse.dot", f"{rows},{cols}->{rows or cols}", x, y, (a, b), out, np.dot)
    place = -1 if y.ndim == 1 else -2
    check_core("ufuse.dot", x, -1, y, place)
    rows = _labels(x.ndim)
    others = _labels(y.ndim - 1, x.ndim)
    right = rows[-1] if y.ndim == 1 else f"{others[:-1]}{rows[-1]}{others[-1]}"
    subscripts = f"{rows},{right}->{rows[:-1]}{others}"
    return _named("ufuse.dot", subscripts, x, y, (a, b), out, np.dot)


def vdot(a: ArrayLike, b: ArrayLike) -> Any:
    """Sum products of all elements, as `numpy.vdot`: complex `a` is conjugated.

    Parameters
    ----------
    a, b : array_like
        As many elements in each.

    Returns
    -------
    scalar

    Raises
    ------
    ValueError
        If they have different numbers of elements.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.vdot(np.array([1j, 2]), np.array([1j, 2]))
    np.complex128(5+0j)
    """
    x, y = read("ufuse.vdot", ("a", "b"), a, b)
    if x.size != y.size:
        raise ValueError(
            f"ufuse.vdot: expected as many elements in each, got shapes {x.shape} and {y.shape}"
        )
    if x.shape != y.shape:
        x, y = x.reshape(-1), y.reshape(-1)
    labels = _labels(x.ndim)
    return _named(
        "ufuse.vdot", f"{labels},{labels}->", x, y, (a, b), None, np.vdot, x.dtype.kind == "c"
    )


def inner(a: ArrayLike, b: ArrayLike) -> Any:
    """Sum over the last axes of both, as `numpy.inner`.

    Parameters
    ----------
    a, b : array_like
        As long along the last axis; a scalar multiplies.

    Returns
    -------
    ndarray or scalar, shape ``a.shape[:-1] + b.shape[:-1]``

    Raises
    ------
    ValueError
        If the last axes have different lengths.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.inner(np.eye(2), np.arange(2.0))
    array([0., 1.])
    """
    x, y = read("ufuse.inner", ("a", "b"), a, b)
    if x.ndim == 0 or y.ndim == 0:
        rows, cols = _labels(x.ndim), _labels(y.ndim)
        return _named("ufuse.inner", f"{rows},{cols}->{rows or cols}", x, y, (a, b), None, np.inner)
    check_core("ufuse.inner", x, -1, y, -1)
    rows, cols = _labels(x.ndim), _labels(y.ndim - 1, x.ndim)
    subscripts = f"{rows},{cols}{rows[-1]}->{rows[:-1]}{cols}"
    return _named("ufuse.inner", subscripts, x, y, (a, b), None, np.inner)


def outer(a: ArrayLike, b: ArrayLike, out: Any = None) -> Any:
    """Multiply every element of `a` with every one of `b`, as `numpy.outer`.

    Parameters
    ----------
    a, b : array_like
        Flattened.
    out : ndarray, shape (a.size, b.size), optional
        Written to and returned. It may overlap the operands.

    Returns
    -------
    ndarray, shape (a.size, b.size)

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.outer([1, 2], [3, 4])
    array([[3, 4],
           [6, 8]])
    """
    x, y = (z.reshape(-1) for z in read("ufuse.outer", ("a", "b"), a, b))
    return _named("ufuse.outer", "i,j->ij", x, y, (a, b), out, np.outer)


def tensordot(a: ArrayLike, b: ArrayLike, axes: Any = 2) -> Any:
    """Sum over axes of both, as `numpy.tensordot`, without transposed copies of either.

    Parameters
    ----------
    a, b : array_like
        Of any strides: a sliding window is read as the view it is.
    axes : int or (array_like, array_like)
        The last `axes` of `a` and the first of `b`, or the axes of each, in the same order.

    Returns
    -------
    ndarray
        Axes of `a` that are left, then those of `b`.

    Raises
    ------
    ValueError
        If axes that belong together have different lengths.
    AxisError
        If there is no such axis.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> windows = np.lib.stride_tricks.sliding_window_view(np.arange(5.0), 3)
    >>> uf.tensordot(windows, [1.0, 1.0, 1.0], 1)
    array([3., 6., 9.])
    """
    x, y = read("ufuse.tensordot", ("a", "b"), a, b)
    left, right = _paired_axes(axes, x, y)
    for i, j in zip(left, right, strict=True):
        if x.shape[i] != y.shape[j]:
            raise disagree("ufuse.tensordot", x, i, y, j)
    rows = _labels(x.ndim)
    free = iter(_labels(y.ndim, x.ndim))
    places = dict(zip(right, left, strict=True))
    cols = "".join(rows[places[j]] if j in places else next(free) for j in range(y.ndim))
    kept = [rows[i] for i in range(x.ndim) if i not in left]
    kept += [cols[j] for j in range(y.ndim) if j not in places]
    subscripts = f"{rows},{cols}->{''.join(kept)}"

    def numpys(p: Array, q: Array) -> Any:
        return np.tensordot(p, q, axes)

    found = _named("ufuse.tensordot", subscripts, x, y, (a, b), None, numpys)
    return np.asarray(found) if isinstance(found, np.generic) else found  # as NumPy's


def _paired_axes(axes: Any, a: Array, b: Array) -> tuple[list[int], list[int]]:
    function = "ufuse.tensordot"
    if not hasattr(axes, "__len__") or (isinstance(axes, np.ndarray) and not axes.ndim):
        try:
            count = operator.index(axes)
        except TypeError:
            raise TypeError(f"{_WANTED}, got {axes!r}") from None
        if not 0 <= count <= min(a.ndim, b.ndim):
            raise np.exceptions.AxisError(
                f"{function}: argument 'axes': expected at most {min(a.ndim, b.ndim)} axes for "
                f"shapes {a.shape} and {b.shape}, got {axes!r}"
            )
        return list(range(a.ndim - count, a.ndim)), list(range(count))
    if isinstance(axes, (str, bytes, dict)) or len(axes) != 2:
        raise ValueError(f"{_WANTED}, got {axes!r}")
    first, second = axes
    left, right = (
        [
            read_axis(function, "axes", axis, array.ndim)
            for axis in (given if np.iterable(given) and not isinstance(given, str) else [given])
        ]
        for given, array in ((first, a), (second, b))
    )
    if len(left) != len(right) or len(set(left)) != len(left) or len(set(right)) != len(right):
        raise ValueError(
            f"{function}: argument 'axes': expected as many different axes of each operand, got "
            f"{first!r} and {second!r}"
        )
    return left, right


def kron(a: ArrayLike, b: ArrayLike) -> Any:
    """Return blocks of `b`, one multiplied by each element of `a`, as `numpy.kron`.

    Parameters
    ----------
    a, b : array_like
        Of the two the one of fewer dimensions gets leading ones.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.kron(np.eye(2), [[1.0, 2.0]])
    array([[1., 2., 0., 0.],
           [0., 0., 1., 2.]])
    """
    if is_traced(a, b):
        raise trace_error("ufuse.kron", "call it outside")
    x, y = read("ufuse.kron", ("a", "b"), a, b)
    axes = max(x.ndim, y.ndim)
    left = x.reshape((1,) * (axes - x.ndim) + x.shape)
    right = y.reshape((1,) * (axes - y.ndim) + y.shape)
    rows, cols = _labels(axes), _labels(axes, axes)
    woven = "".join(i + j for i, j in zip(rows, cols, strict=True))
    if not supports((left, right), None):
        return wrap_like(by_numpy("ufuse.kron", (x, y), lambda: np.kron(x, y)), a, b)
    found = contract("ufuse.kron", f"{rows},{cols}->{woven}", (left, right))
    shape = [math.prod(pair) for pair in zip(left.shape, right.shape, strict=True)]
    return wrap_like(np.reshape(found, shape) if axes else found, a, b)
