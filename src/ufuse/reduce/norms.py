"""Vector norms over any axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

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


@executors.fast_reduction(
    "sum_of_squares",
    "root",
    {code: code for code in FLOATS},
    choices={
        order: (reducer, "root" if order == 2 else "value") for order, reducer in _REDUCERS.items()
    },
)
def norm(
    x: Any,
    ord: Any = None,
    axis: Any = None,
    keepdims: Any = False,
    *,
    out: Any = None,
    where: Any = True,
) -> Any:
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
    out : array, optional
        Where the result goes: its shape, any strides. May overlap `x`.
    where : array of bool, optional
        Which elements count; broadcasts to the shape of `x`.

    Returns
    -------
    scalar or array
        Of the real floating dtype of `x`, float64 for integers and bool; `out` if given.

    Raises
    ------
    ValueError
        If `ord` is not a number, an extreme is of nothing, or `out` or `where` has another shape
        than expected.
    TypeError
        If the result cannot be cast to the dtype of `out` by the rule ``same_kind``.
    numpy.exceptions.AxisError
        If an axis is out of range.

    Notes
    -----
    Sums are kept in float64, as those of `ufuse.sum`: float32 norms neither overflow nor lose
    digits. Magnitudes of complex numbers and powers of other orders are made a slice at a time: no
    temporary of the size of `x`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.norm(np.array([[3.0, 4.0], [6.0, 8.0]]), axis=1)
    array([ 5., 10.])
    >>> x = np.array([3.0, np.nan, 4.0])
    >>> float(uf.norm(x, where=~np.isnan(x)))
    5.0
    """
    function = "ufuse.norm"
    request = Request(function, x, axis, out, keepdims, where, argument="x")
    order = _order(function, ord)
    dtype = _result_dtype(request.x.dtype)
    request.check_cast(dtype)
    if np.isinf(order):
        _require_elements(request, order)
    target = request.target(dtype)
    if target.size:
        with np.errstate(all="ignore"):
            target[...] = _norms(request, order)
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


def _result_dtype(dtype: DType) -> DType:
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    dtype = np.empty(0, dtype).real.dtype if dtype.kind == "c" else dtype
    return dtype.newbyteorder("=")


def _require_elements(request: Request, order: float) -> None:
    """Raise where an extreme is of nothing."""
    some = request.count > 0
    if some and request.where is not None and 0 not in request.shape:
        counted = np.zeros(request.full_shape, np.bool_)
        execute(request.where, request.axes, [Slot("nonzero", "?", "nonzero", counted)], None)
        some = bool(counted.all())
    if not some:
        masked = "" if request.where is None else "; argument 'where' must leave one for each"
        raise ValueError(
            f"{request.function}: the norm of order {order} is of no elements (shape "
            f"{request.x.shape}, axis={request.axes}){masked}"
        )


def _norms(request: Request, order: float) -> Array:
    x = request.x
    reducer = _REDUCERS.get(order, "sum")
    result: Array
    if request.empty:
        result = np.zeros(request.full_shape)
    elif order in _REDUCERS and code_of(x.dtype) is not None:
        result = _reduced(reducer, request, x, request.where)
    else:
        result = _in_slices(reducer, request, order)
    if order == 2 or order not in _REDUCERS:
        return np.asarray(np.sqrt(result) if order == 2 else result ** (1 / order))
    return result


def _reduced(reducer: str, request: Request, values: Array, where: Array | None) -> Array:
    """Return the state of a reducer of magnitudes, or their sum, in one read."""
    code = code_of(values.dtype)
    shape = tuple(1 if i in request.axes else n for i, n in enumerate(values.shape))
    if code is None:
        ufunc, elements = _WITHOUT_KERNELS[reducer]
        keywords: dict[str, Any] = {} if where is None else {"where": where}
        if where is not None and ufunc is not np.add:
            keywords["initial"] = -np.inf if ufunc is np.maximum else np.inf
        return np.asarray(
            ufunc.reduce(elements(values), axis=request.axes, keepdims=True, **keywords)
        )
    element = code if code in FLOATS else "f8"  # the core converts as it reads
    result = np.empty(shape, BY_NAME[reducer].state[element][0])
    execute(values, request.axes, [Slot(reducer, element, "value", result)], where)
    return result


#: The same in NumPy, for values that have no kernel: long doubles.
_WITHOUT_KERNELS: Final[dict[str, tuple[np.ufunc, Any]]] = {
    "nonzero": (np.add, lambda x: (x != 0).astype(np.float64)),
    "sum_of_magnitudes": (np.add, np.abs),
    "sum_of_squares": (np.add, np.square),
    "largest_magnitude": (np.maximum, np.abs),
    "smallest_magnitude": (np.minimum, np.abs),
    "sum": (np.add, np.positive),
}

#: Elements whose magnitudes or powers are made at once: they stay in the cache.
_SLICE: Final = 1 << 16


def _slices(x: Array) -> Iterator[tuple[slice, ...]]:
    """Parts of an array along its longest axis: of its shape alone, so that sums do not differ."""
    longest = int(np.argmax(x.shape)) if x.ndim else 0
    if x.ndim == 0:
        yield ()
        return
    step = max(1, _SLICE * x.shape[longest] // x.size)
    for start in range(0, x.shape[longest], step):
        yield (slice(None),) * longest + (slice(start, start + step),)


def _in_slices(reducer: str, request: Request, order: float) -> Array:
    """Reduce magnitudes, or powers of them, that are made a slice at a time."""
    x, where = request.x, request.where
    merge = _WITHOUT_KERNELS[reducer][0]
    found: Array | None = None
    kept = x.ndim > 0 and int(np.argmax(x.shape)) not in request.axes
    wide = np.result_type(_result_dtype(x.dtype), np.float64)
    for index in _slices(x):
        values = x[index]
        if order not in _REDUCERS:
            values = np.abs(values if values.dtype.kind == "c" else values.astype(wide))
            values = values.astype(wide, copy=False) ** order
        elif values.dtype.kind == "c":
            values = np.abs(values)
        part = _reduced(
            reducer, request, np.asarray(values), None if where is None else where[index]
        )
        if kept:
            if found is None:
                found = np.empty(request.full_shape, part.dtype)
            found[index] = part
        else:
            found = part if found is None else np.asarray(merge(found, part))
    assert found is not None
    return found
