"""NumPy's products of stacks: matmul and its kin for vectors, each a contraction by subscripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import executors
from ..catalogue.semirings import Semiring
from ..fusion.errors import trace_error
from ..fusion.traced import Traced
from ..interop import as_output, asarray, wrap_like
from .dtypes import by_numpy, check_plain, supports
from .first import first_product, is_plain
from .fused import is_traced, like
from .options import read_axis, read_dtype, read_flag, read_options, remembered_by
from .summation import contract

Array = NDArray[Any]


def read(function: str, names: Sequence[str], *operands: Any) -> list[Array]:
    """Return operands as arrays; what is under trace as an array like it, which has no values."""
    return [
        like(operand)
        if isinstance(operand, Traced)
        else asarray(operand, function=function, argument=name)
        for name, operand in zip(names, operands, strict=True)
    ]


def disagree(function: str, a: Array, i: int, b: Array, j: int) -> ValueError:
    return ValueError(
        f"{function}: expected as many elements along axis {i} of the first operand as along axis "
        f"{j} of the second, got {a.shape[i]} and {b.shape[j]} (shapes {a.shape} and {b.shape})"
    )


def check_core(function: str, a: Array, i: int, b: Array, j: int) -> None:
    if a.shape[i] != b.shape[j]:
        raise disagree(function, a, i % a.ndim, b, j % b.ndim)


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
        check_core(
            self.function, a, left.index(shared) - len(left), b, right.index(shared) - len(right)
        )
        return f"...{left},...{right}->...{result}"

    def first(self, entry: Any, key: None, a: Array, b: Array) -> Array | None:
        """Multiply two arrays that the fast entry does not know, or decline."""
        if not is_plain(a, b):
            return None
        return first_product(entry, key, self.subscripts(a, b), a, b, self.function)

    def call(self, x1: Any, x2: Any, out: Any, axes: Any, entry: Any, **options: Any) -> Any:
        """Do what the public function of this name does."""
        out = self.one(out)
        a, b = read(self.function, ("x1", "x2"), x1, x2)
        if is_traced(x1, x2) and axes is not None:
            raise trace_error(f"axes= of {self.function}", "write it as np.einsum")
        entry, key = remembered_by(entry, None, options["accumulate"], options["semiring"])
        for name in ("dtype", "accumulate"):
            options[name] = read_dtype(self.function, name, options[name])
        wanted = options["accumulate"] if options["dtype"] is None else options["dtype"]
        if not is_traced(x1, x2) and not supports((a, b), wanted):
            return self._by_numpy(a, b, out, axes, options, (x1, x2))
        if axes is not None:
            return self._along(a, b, out, axes, options, (x1, x2))
        return contract(
            self.function, self.subscripts(a, b), (x1, x2), out=out, entry=entry, key=key,
            conjugate=self.conjugate and a.dtype.kind == "c", **options,
        )  # fmt: skip

    def _by_numpy(
        self, a: Array, b: Array, out: Any, axes: Any, options: dict[str, Any], given: Any
    ) -> Any:
        asked = read_options(self.function, **options)
        check_plain(
            self.function, (a, b), accumulate=asked.accumulate, semiring=asked.ring,
            return_arg=asked.return_arg or None, finish=asked.finish,
        )  # fmt: skip
        kept = {name: getattr(asked, name) for name in ("dtype", "casting", "order")}
        if axes is not None:
            kept["axes"] = axes
        target = None if out is None else as_output(out, function=self.function)
        found = by_numpy(self.function, (a, b), lambda: self.numpys(a, b, out=target, **kept))
        return wrap_like(found, *given) if out is None else out

    def _along(
        self, a: Array, b: Array, out: Any, axes: Any, options: dict[str, Any], given: Any
    ) -> Any:
        """Do it for core axes elsewhere than last, as NumPy's `axes` names them."""
        chosen = self.read_axes(axes)
        a, b = (
            np.moveaxis(x, self._places(axis, x.ndim, axes), range(-len(axis), 0))
            for x, axis in zip((a, b), chosen, strict=False)
        )
        place = chosen[2]
        dimensions = max(a.ndim - len(chosen[0]), b.ndim - len(chosen[1])) + len(place)
        place = self._places(place, dimensions, axes)
        target = None
        if out is not None:
            target = as_output(out, function=self.function)
            if target.ndim == dimensions:  # any other is refused for its shape
                target = np.moveaxis(target, place, range(-len(place), 0))
        found = contract(
            self.function, self.subscripts(a, b), (a, b), out=target,
            conjugate=self.conjugate and a.dtype.kind == "c", **options,
        )  # fmt: skip
        if out is not None:
            return out
        if place:
            found = np.moveaxis(found, range(-len(place), 0), place)
        return wrap_like(found, *given)

    def one(self, out: Any) -> Any:
        """Return the one output, which NumPy's gufuncs also take as a tuple."""
        if not isinstance(out, tuple):
            return out
        if len(out) != 1:
            raise ValueError(
                f"{self.function}: argument 'out': expected one array, or a tuple of one, got a "
                f"tuple of {len(out)}"
            )
        return out[0]

    def read_axes(self, axes: Any, counts: tuple[int, ...] | None = None) -> list[tuple[Any, ...]]:
        """Return what `axes` has for the operands and the result, as tuples, of so many each."""
        counts = counts or tuple(len(labels) for labels in self.core)
        if not isinstance(axes, (list, tuple)):
            raise TypeError(
                f"{self.function}: argument 'axes': expected a list of tuples of axes, got {axes!r}"
            )
        chosen = [tuple(x) if isinstance(x, (tuple, list)) else (x,) for x in axes]
        if len(chosen) == 2 and not counts[2]:
            chosen.append(())
        if tuple(len(entry) for entry in chosen) != counts:
            raise np.exceptions.AxisError(
                f"{self.function}: argument 'axes': expected a tuple of axes for each operand and "
                f"the result, of {', '.join(map(str, counts))}, got {axes!r}"
            )
        return chosen

    def _places(self, entry: tuple[Any, ...], ndim: int, axes: Any) -> tuple[int, ...]:
        """Return the axes of one entry, from 0 on."""
        found = tuple(read_axis(self.function, "axes", axis, ndim) for axis in entry)
        if len(set(found)) < len(found):
            raise ValueError(
                f"{self.function}: argument 'axes': expected different axes, got {axes!r}"
            )
        return found


_MATMUL = _Stacked("ufuse.matmul", ("ij", "jk", "ik"), np.matmul)
_MATVEC = _Stacked("ufuse.matvec", ("ij", "j", "i"), getattr(np, "matvec", None))
_VECMAT = _Stacked("ufuse.vecmat", ("i", "ij", "j"), getattr(np, "vecmat", None), conjugate=True)
_VECDOT = _Stacked("ufuse.vecdot", ("i", "i", ""), getattr(np, "vecdot", None), conjugate=True)


@executors.fast_contraction(subscripts=False, first=_MATMUL.first)
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


@executors.fast_contraction(subscripts=False, first=_MATVEC.first)
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


@executors.fast_contraction(subscripts=False, first=_VECMAT.first)
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
    if is_traced(x1, x2) and (keepdims or axis is not None):
        raise trace_error("axis= or keepdims= of ufuse.vecdot", "write it as np.einsum")
    function = _VECDOT.function
    read_flag(function, "keepdims", keepdims)
    options: dict[str, Any] = {
        "casting": casting, "order": order, "dtype": dtype, "accumulate": accumulate,
        "semiring": semiring,
    }  # fmt: skip
    if axis is not None:
        if axes is not None:
            raise TypeError("ufuse.vecdot: expected 'axis' or 'axes', got both")
        for operand in read(function, ("x1", "x2"), x1, x2):
            read_axis(function, "axis", axis, operand.ndim)
        axes = [(axis,), (axis,), (axis,) if keepdims else ()]
    if not keepdims:
        return _VECDOT.call(x1, x2, out, axes, None, **options)
    # The axis that is kept is the caller's business, not the contraction's.
    place: Any = -1
    if axes is not None:
        if isinstance(axes, (list, tuple)) and len(axes) == 2:
            axes = [*axes, -1]
        *axes, (place,) = _VECDOT.read_axes(axes, (1, 1, 1))
    dimensions = max(operand.ndim for operand in read(function, ("x1", "x2"), x1, x2))
    place = read_axis(function, "axes", place, dimensions) if dimensions else 0
    target = out = _VECDOT.one(out)
    if out is not None:
        target = as_output(out, function=function)
        if target.ndim != dimensions or target.shape[place] != 1:
            raise ValueError(
                f"{function}: argument 'out': expected {dimensions} dimensions, and 1 along axis "
                f"{place}, which keepdims keeps, got shape {target.shape}"
            )
        target = np.squeeze(target, place)
    found = _VECDOT.call(x1, x2, target, axes, None, **options)
    return found[(*(slice(None),) * place, None)] if out is None else out
