"""NumPy's products by name: each is a contraction by subscripts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import executors
from ..catalogue.semirings import Semiring
from ..interop import as_output, asarray, wrap_like
from .summation import contract, supports

Array = NDArray[Any]


def _read(function: str, names: Sequence[str], *operands: Any) -> list[Array]:
    return [
        asarray(operand, function=function, argument=name)
        for name, operand in zip(names, operands, strict=True)
    ]


def _labels(count: int, first: int = 0) -> str:
    """Return distinct letters, from one place of the alphabet on."""
    return "".join(
        chr(0x61 + i) if i < 26 else chr(0x4E00 + i) for i in range(first, first + count)
    )


def _disagree(function: str, a: Array, i: int, b: Array, j: int) -> ValueError:
    return ValueError(
        f"{function}: expected as many elements along axis {i} of the first operand as along axis "
        f"{j} of the second, got {a.shape[i]} and {b.shape[j]} (shapes {a.shape} and {b.shape})"
    )


def _check_core(function: str, a: Array, i: int, b: Array, j: int) -> None:
    if a.shape[i] != b.shape[j]:
        raise _disagree(function, a, i % a.ndim, b, j % b.ndim)


def _check_dimensions(function: str, array: Array, least: int, argument: str) -> None:
    if array.ndim < least:
        raise ValueError(
            f"{function}: argument '{argument}': expected {least} dimensions or more, got shape "
            f"{array.shape}"
        )


class _Stacked:
    """A product of the trailing axes of two operands, whose others broadcast: NumPy's gufuncs.

    Parameters
    ----------
    function : str
        For messages.
    core : sequence of (str, str, str)
        Subscripts of the trailing axes of the operands and of the result, by the number of axes
        that the operands have in them at most.
    conjugate : bool
        Whether the first operand is conjugated.
    """

    def __init__(
        self, function: str, core: tuple[str, str, str], numpys: Any, conjugate: bool = False
    ) -> None:
        self.function = function
        self.core = core
        self.numpys = numpys
        self.conjugate = conjugate

    def subscripts(self, a: Array, b: Array) -> str:
        """Return the subscripts for these operands, which are checked."""
        left, right, result = self.core
        if self.function == "ufuse.matmul":  # alone in taking a vector for a matrix
            for array, name in ((a, "x1"), (b, "x2")):
                _check_dimensions(self.function, array, 1, name)
            if a.ndim == 1:
                left, result = left[1:], result[1:]
            if b.ndim == 1:
                right, result = right[:1], result[:-1]
        else:
            _check_dimensions(self.function, a, len(left), "x1")
            _check_dimensions(self.function, b, len(right), "x2")
        shared = next(label for label in left if label in right and label not in result)
        _check_core(
            self.function, a, left.index(shared) - len(left), b, right.index(shared) - len(right)
        )
        return f"...{left},...{right}->...{result}"

    def call(self, x1: Any, x2: Any, out: Any, axes: Any, entry: Any, **options: Any) -> Any:
        """Do what the public function of this name does."""
        out = out[0] if isinstance(out, tuple) else out
        a, b = _read(self.function, ("x1", "x2"), x1, x2)
        if not supports(a, b, options.get("dtype") or options.get("accumulate")):
            return self._by_numpy(a, b, out, axes, options, (x1, x2))
        if axes is not None:
            return self._along(a, b, out, axes, options, (x1, x2))
        return contract(
            self.function, self.subscripts(a, b), (x1, x2), out=out, entry=entry,
            conjugate=self.conjugate and a.dtype.kind == "c", **options,
        )  # fmt: skip

    def _by_numpy(
        self, a: Array, b: Array, out: Any, axes: Any, options: dict[str, Any], given: Any
    ) -> Any:
        if (
            options.get("accumulate") is not None
            or options.get("semiring", "plus_times") != "plus_times"
        ):
            raise TypeError(
                f"{self.function}: expected numbers that ufuse multiplies, got dtypes {a.dtype} "
                f"and {b.dtype}; 'accumulate' and 'semiring' have no meaning for them"
            )
        kept = {name: options[name] for name in ("dtype", "casting", "order")}
        if axes is not None:
            kept["axes"] = axes
        if out is None:
            return wrap_like(self.numpys(a, b, **kept), *given)
        self.numpys(a, b, out=as_output(out, function=self.function), **kept)
        return out

    def _along(
        self, a: Array, b: Array, out: Any, axes: Any, options: dict[str, Any], given: Any
    ) -> Any:
        """Do it for core axes elsewhere than last, as NumPy's `axes` names them."""
        chosen = [entry if isinstance(entry, tuple) else (entry,) for entry in axes]
        if len(chosen) == 2 and not self.core[2]:
            chosen.append(())
        if [len(entry) for entry in chosen] != [len(labels) for labels in self.core]:
            raise np.exceptions.AxisError(
                f"{self.function}: argument 'axes': expected a tuple of axes for each operand and "
                f"the result, of {', '.join(str(len(x)) for x in self.core)}, got {axes!r}"
            )
        a, b = (
            np.moveaxis(x, axis, range(-len(axis), 0))
            for x, axis in zip((a, b), chosen, strict=False)
        )
        place = chosen[2]
        target = None
        if out is not None:
            target = as_output(out, function=self.function)
            target = np.moveaxis(target, place, range(-len(place), 0))
        found = contract(
            self.function, self.subscripts(a, b), (a, b), out=target,
            conjugate=self.conjugate and a.dtype.kind == "c", **options,
        )  # fmt: skip
        if out is not None:
            return out
        if place and np.ndim(found) >= len(place):
            found = np.moveaxis(found, range(-len(place), 0), place)
        return wrap_like(found, *given)


_MATMUL = _Stacked("ufuse.matmul", ("ij", "jk", "ik"), np.matmul)
_MATVEC = _Stacked("ufuse.matvec", ("ij", "j", "i"), getattr(np, "matvec", None))
_VECMAT = _Stacked("ufuse.vecmat", ("i", "ij", "j"), getattr(np, "vecmat", None), conjugate=True)
_VECDOT = _Stacked("ufuse.vecdot", ("i", "i", ""), getattr(np, "vecdot", None), conjugate=True)


@executors.fast_contraction(subscripts=False)
def matmul(
    x1: ArrayLike,
    x2: ArrayLike,
    /,
    out: Any = None,
    *,
    casting: str = "same_kind",
    order: str = "K",
    dtype: DTypeLike | None = None,
    axes: Any = None,
    accumulate: DTypeLike | None = None,
    semiring: str | Semiring = "plus_times",
    return_arg: bool = False,
    finish: Callable[[Any], Any] | None = None,
) -> Any:
    """Multiply matrices, as `numpy.matmul`.

    Parameters
    ----------
    x1, x2 : array_like, shapes (..., m, k) and (..., k, n)
        Of any strides; leading axes broadcast, a vector counts as a matrix of one row or column.
    out : ndarray, shape (..., m, n), optional
        Written to and returned. It may overlap the operands.
    casting, order, dtype
        As in `einsum`.
    axes : list of tuple of int, optional
        Where the two axes of each operand, and of the result, lie.
    accumulate : dtype_like, optional
        Dtype of sums and result, where operands stay as they are: see `einsum`.
    semiring : str or Semiring
        What stands for sum and product: see `einsum`.
    return_arg : bool
        Whether to return, beside minima or maxima, which k each comes from.
    finish : callable, optional
        A function that is applied to the sums before they are stored: see `einsum`.

    Returns
    -------
    ndarray or scalar, shape (..., m, n)

    Raises
    ------
    ValueError
        If shapes disagree, or an operand is a scalar.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.matmul(np.int8([[100, 100]]), np.int8([[100], [100]]), accumulate="int32")
    array([[20000]], dtype=int32)
    """
    return _MATMUL.call(
        x1, x2, out, axes, matmul, casting=casting, order=order, dtype=dtype,
        accumulate=accumulate, semiring=semiring, return_arg=return_arg, finish=finish,
    )  # fmt: skip


@executors.fast_contraction(subscripts=False)
def matvec(
    x1: ArrayLike, x2: ArrayLike, /, out: Any = None, *, casting: str = "same_kind",
    order: str = "K", dtype: DTypeLike | None = None, axes: Any = None,
    accumulate: DTypeLike | None = None, semiring: str | Semiring = "plus_times",
) -> Any:  # fmt: skip
    """Multiply matrices and vectors, as `numpy.matvec`: (..., m, k) and (..., k) to (..., m).

    Parameters are those of `matmul`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.matvec(np.eye(2), np.ones((3, 2))).shape
    (3, 2)
    """
    return _MATVEC.call(
        x1, x2, out, axes, matvec, casting=casting, order=order, dtype=dtype,
        accumulate=accumulate, semiring=semiring,
    )  # fmt: skip


@executors.fast_contraction(subscripts=False)
def vecmat(
    x1: ArrayLike, x2: ArrayLike, /, out: Any = None, *, casting: str = "same_kind",
    order: str = "K", dtype: DTypeLike | None = None, axes: Any = None,
    accumulate: DTypeLike | None = None, semiring: str | Semiring = "plus_times",
) -> Any:  # fmt: skip
    """Multiply vectors and matrices, as `numpy.vecmat`: (..., k) and (..., k, n) to (..., n).

    A complex vector is conjugated. Parameters are those of `matmul`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.vecmat(np.array([1j, 1j]), np.ones((2, 1)))
    array([0.-2.j])
    """
    return _VECMAT.call(
        x1, x2, out, axes, vecmat, casting=casting, order=order, dtype=dtype,
        accumulate=accumulate, semiring=semiring,
    )  # fmt: skip


def vecdot(
    x1: ArrayLike, x2: ArrayLike, /, out: Any = None, *, axis: int | None = None,
    keepdims: bool = False, casting: str = "same_kind", order: str = "K",
    dtype: DTypeLike | None = None, axes: Any = None,
    accumulate: DTypeLike | None = None, semiring: str | Semiring = "plus_times",
) -> Any:  # fmt: skip
    """Multiply matching elements and sum along an axis, as `numpy.vecdot`.

    Parameters
    ----------
    x1, x2 : array_like, shapes (..., n)
        The others broadcast. A complex `x1` is conjugated.
    axis : int, optional
        The axis summed along, in both; the last one where it is not given.
    keepdims : bool
        Whether the result has an axis of 1 where the operands had theirs.

    Other parameters are those of `matmul`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.vecdot(np.ones((2, 3)), np.arange(3.0))
    array([3., 3.])
    """
    if not isinstance(keepdims, (bool, np.bool_)):
        raise TypeError(f"ufuse.vecdot: argument 'keepdims': expected a bool, got {keepdims!r}")
    if axis is not None:
        if axes is not None:
            raise TypeError("ufuse.vecdot: expected 'axis' or 'axes', got both")
        axes = [(axis,), (axis,), (axis,) if keepdims else ()]
    place: Any = -1
    if keepdims:  # the axis that is kept is the caller's business, not the contraction's
        place = -1 if axes is None or len(axes) < 3 else axes[2]
        place = place[0] if isinstance(place, tuple) else place
        axes = None if axes is None else [*axes[:2], ()]
        if out is not None:
            kept = as_output(out, function="ufuse.vecdot")
            vecdot(x1, x2, np.squeeze(kept, place), casting=casting, order=order, dtype=dtype,
                   axes=axes, accumulate=accumulate, semiring=semiring)  # fmt: skip
            return out
    found = _VECDOT.call(
        x1, x2, out, axes, None, casting=casting, order=order, dtype=dtype, accumulate=accumulate,
        semiring=semiring,
    )  # fmt: skip
    return np.expand_dims(found, place) if keepdims else found


def _named(
    function: str, subscripts: str, a: Array, b: Array, given: tuple[Any, Any], out: Any,
    numpys: Callable[..., Any], conjugate: bool = False,
) -> Any:  # fmt: skip
    """Contract `a` and `b`, views of what was given, or have NumPy do it."""
    if not supports(a, b, None):
        options = {} if out is None else {"out": as_output(out, function=function)}
        found = numpys(*_read(function, ("a", "b"), *given), **options)
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
    x, y = _read("ufuse.dot", ("a", "b"), a, b)
    if x.ndim == 0 or y.ndim == 0:
        rows, cols = _labels(x.ndim), _labels(y.ndim)
        return _named("ufuse.dot", f"{rows},{cols}->{rows or cols}", x, y, (a, b), out, np.dot)
    place = -1 if y.ndim == 1 else -2
    _check_core("ufuse.dot", x, -1, y, place)
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
    x, y = _read("ufuse.vdot", ("a", "b"), a, b)
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
    x, y = _read("ufuse.inner", ("a", "b"), a, b)
    if x.ndim == 0 or y.ndim == 0:
        rows, cols = _labels(x.ndim), _labels(y.ndim)
        return _named("ufuse.inner", f"{rows},{cols}->{rows or cols}", x, y, (a, b), None, np.inner)
    _check_core("ufuse.inner", x, -1, y, -1)
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
    x, y = (z.reshape(-1) for z in _read("ufuse.outer", ("a", "b"), a, b))
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
    x, y = _read("ufuse.tensordot", ("a", "b"), a, b)
    left, right = _paired_axes(axes, x, y)
    for i, j in zip(left, right, strict=True):
        if x.shape[i] != y.shape[j]:
            raise _disagree("ufuse.tensordot", x, i, y, j)
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
    try:
        first, second = axes
    except TypeError:
        count = int(axes)
        if not 0 <= count <= min(a.ndim, b.ndim):
            raise np.exceptions.AxisError(
                f"ufuse.tensordot: argument 'axes': expected at most {min(a.ndim, b.ndim)} axes "
                f"for shapes {a.shape} and {b.shape}, got {axes!r}"
            ) from None
        return list(range(a.ndim - count, a.ndim)), list(range(count))
    lists = []
    for given, array in ((first, a), (second, b)):
        chosen = [given] if np.ndim(given) == 0 else list(given)
        if any(not -array.ndim <= int(axis) < array.ndim for axis in chosen):
            raise np.exceptions.AxisError(
                f"ufuse.tensordot: argument 'axes': expected axes of an array of {array.ndim} "
                f"dimensions, got {given!r}"
            )
        lists.append([int(axis) % array.ndim for axis in chosen])
    left, right = lists
    if len(left) != len(right) or len(set(left)) != len(left) or len(set(right)) != len(right):
        raise ValueError(
            "ufuse.tensordot: argument 'axes': expected as many different axes of each operand, "
            f"got {first!r} and {second!r}"
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
    x, y = _read("ufuse.kron", ("a", "b"), a, b)
    axes = max(x.ndim, y.ndim)
    left = x.reshape((1,) * (axes - x.ndim) + x.shape)
    right = y.reshape((1,) * (axes - y.ndim) + y.shape)
    rows, cols = _labels(axes), _labels(axes, axes)
    woven = "".join(i + j for i, j in zip(rows, cols, strict=True))
    if not supports(left, right, None):
        return wrap_like(np.kron(x, y), a, b)
    found = contract("ufuse.kron", f"{rows},{cols}->{woven}", (left, right))
    shape = [math.prod(pair) for pair in zip(left.shape, right.shape, strict=True)]
    return wrap_like(np.reshape(found, shape) if axes else found, a, b)
