"""Vector norms over any axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import executors
from ..catalogue.dtypes import FLOATS
from ..catalogue.reducers import BY_NAME
from .request import Array, DType, Request, Slot, code_of, execute

#: The reducer of each order that has one; of those of magnitudes the result is the norm itself.
_REDUCERS = {
    0.0: "nonzero",
    1.0: "sum_of_magnitudes",
    2.0: "sum_of_squares",
    np.inf: "largest_magnitude",
    -np.inf: "smallest_magnitude",
}


@executors.fast_reduction("sum_of_squares", "root", {code: code for code in FLOATS})
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
    """Vector norm over axes.

    Parameters
    ----------
    x : array_like
        Any strides; read once. Complex numbers count by their magnitude.
    ord : float, optional
        Order p of ``sum(abs(x) ** p) ** (1 / p)``; None means 2. inf is the largest magnitude, -inf
        the smallest, 0 the number of elements that are not zero.
    axis : int, tuple of int or None, optional
        Axes to reduce; None means all: the norm of the flattened array, also with `ord`. Unlike
        `numpy.linalg.norm`, two axes are no matrix.
    keepdims : bool, optional
        Whether reduced axes stay, with size 1.

    Returns
    -------
    scalar or array
        Of the real floating dtype of `x`, float64 for integers and bool.

    Raises
    ------
    ValueError
        If `ord` is not a number, or an extreme is of nothing.
    numpy.exceptions.AxisError
        If an axis is out of range.

    Notes
    -----
    Sums are kept in float64, as those of `ufuse.sum`: float32 norms neither overflow nor lose
    digits.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.norm(np.array([[3.0, 4.0], [6.0, 8.0]]), axis=1)
    array([ 5., 10.])
    """
    function = "ufuse.norm"
    request = Request(function, x, axis, None, keepdims)
    order = _order(function, ord)
    values, dtype = _real(request.x)
    if np.isinf(order) and request.count == 0:
        raise ValueError(
            f"{function}: the norm of order {order} is of no elements (shape {values.shape}, "
            f"axis={request.axes})"
        )
    target = request.target(dtype)
    if target.size:
        reducer = _REDUCERS.get(order)
        code = code_of(values.dtype)
        if reducer is None or code is None or request.empty:
            target[...] = _by_numpy(values, order, request.axes)
        else:
            with np.errstate(all="ignore"):
                target[...] = _by_reducer(values, reducer, request)
    return request.answer(target)


def _order(function: str, ord: Any) -> float:
    if ord is None:
        return 2.0
    try:
        return float(ord)
    except (TypeError, ValueError):
        raise ValueError(
            f"{function}: argument 'ord': expected a number, inf, -inf or None, got {ord!r}; "
            "norms of matrices are numpy.linalg.norm's"
        ) from None


def _real(x: Array) -> tuple[Array, DType]:
    """Return real values of the same norm, and the dtype of the result."""
    if x.dtype.kind in "biu":
        return x, np.dtype(np.float64)
    if x.dtype.kind == "c":
        values = np.abs(x)
        return values, values.dtype
    return x, x.dtype.newbyteorder("=")


def _by_reducer(values: Array, reducer: str, request: Request) -> Array:
    code = code_of(values.dtype)
    element = code if code in FLOATS else "f8"  # the core converts as it reads
    state = BY_NAME[reducer].state[element][0]
    finish = "root" if reducer == "sum_of_squares" else "value"
    result = np.empty(request.full_shape, state)
    execute(values, request.axes, [Slot(reducer, element, finish, result)], None)
    return result


def _by_numpy(values: Array, order: float, axes: tuple[int, ...]) -> Array:
    """Other orders and dtypes, in float64."""
    wide = np.abs(values.astype(np.float64))
    keywords: dict[str, Any] = {"axis": axes, "keepdims": True}
    with np.errstate(all="ignore"):
        if order == 0:
            return np.asarray(np.add.reduce(wide != 0, dtype=np.float64, **keywords))
        if np.isinf(order):
            return np.asarray((np.maximum if order > 0 else np.minimum).reduce(wide, **keywords))
        return np.asarray(np.add.reduce(wide**order, **keywords) ** (1 / order))
