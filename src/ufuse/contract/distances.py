"""Distances between the rows of two arrays: products in other semirings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..interop import accepts_buffers, asarray
from ..reduce import norm
from .outputs import check_out
from .summation import contract

Array = NDArray[Any]


def _square_root(sums: Array) -> Array:
    return np.sqrt(sums)


#: Metric to the semiring of the sums, and what is done to them.
METRICS: Final[dict[str, tuple[str, Callable[[Array], Array] | None]]] = {
    "sqeuclidean": ("plus_sqdiff", None),
    "euclidean": ("plus_sqdiff", _square_root),
    "cityblock": ("plus_absdiff", None),
    "chebyshev": ("max_absdiff", None),
    "hamming": ("plus_notequal", None),
    "cosine": ("plus_times", None),
}


@accepts_buffers("a", "b")
def cdist(
    a: ArrayLike, b: ArrayLike, metric: str = "euclidean", *, out: Array | None = None
) -> Array:
    """Return the distance of every row of `a` to every row of `b`.

    Parameters
    ----------
    a : array_like, shape (..., m, k)
    b : array_like, shape (..., n, k)
        Of any strides. Leading axes broadcast. Numbers that are not float32 are taken as float64.
    metric : {'euclidean', 'sqeuclidean', 'cityblock', 'chebyshev', 'hamming', 'cosine'}
        As in `scipy.spatial.distance.cdist`.
    out : ndarray, shape (..., m, n), optional
        Written to and returned.

    Returns
    -------
    ndarray, shape (..., m, n)
        float32 where both are, else float64.

    Raises
    ------
    ValueError
        If the metric is unknown, or rows have different lengths.

    Notes
    -----
    Differences are taken before they are squared, so that near rows have exact distances; a
    product of the rows would cancel. Cosine distances are ``1 - a @ b / (|a| |b|)``, NaN for a row
    of zeros.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> uf.cdist([[0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]])
    array([[5., 1.]])
    """
    if not (isinstance(metric, str) and metric in METRICS):
        raise ValueError(
            f"ufuse.cdist: argument 'metric': expected one of {', '.join(METRICS)}, got {metric!r}"
        )
    x = asarray(a, function="ufuse.cdist", argument="a")
    y = asarray(b, function="ufuse.cdist", argument="b")
    for array, name in ((x, "a"), (y, "b")):
        if array.ndim < 2:
            raise ValueError(
                f"ufuse.cdist: argument '{name}': expected rows, of shape (..., rows, k), got "
                f"shape {array.shape}"
            )
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"ufuse.cdist: argument 'b': expected rows of {x.shape[-1]} numbers, as `a` has, got "
            f"shape {y.shape}"
        )
    try:
        lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        raise ValueError(
            f"ufuse.cdist: leading axes of `a` and `b` do not broadcast: shapes {x.shape} and "
            f"{y.shape}"
        ) from None
    shape = (*lead, x.shape[-2], y.shape[-2])
    single = all(z.dtype.newbyteorder("=") == np.float32 for z in (x, y))
    dtype = np.dtype(np.float32 if single else np.float64)
    if not all(np.can_cast(array.dtype, dtype, "same_kind") for array in (x, y)):
        raise TypeError(f"ufuse.cdist: expected real numbers, got dtypes {x.dtype} and {y.dtype}")
    if out is not None:
        check_out("ufuse.cdist", out, shape, dtype, "same_kind")
    semiring, finish = METRICS[metric]
    if metric == "cosine":
        lengths = (
            norm(x.astype(dtype, copy=False), axis=-1)[..., :, None],
            norm(y.astype(dtype, copy=False), axis=-1)[..., None, :],
        )
        finish = _cosine(*lengths)
    elif metric == "hamming":
        finish = _share(dtype.type(x.shape[-1]))
    with np.errstate(all="ignore"):
        found: Array = contract(
            "ufuse.cdist", "...ik,...jk->...ij", (x, y), out=out, dtype=dtype, casting="same_kind",
            semiring=semiring, finish=finish,
        )  # fmt: skip
    return found


def _cosine(left: Array, right: Array) -> Callable[[Array], Array]:
    def finish(sums: Array) -> Array:
        return left.dtype.type(1) - sums / left / right  # type: ignore[no-any-return]

    return finish


def _share(count: Any) -> Callable[[Array], Array]:
    def finish(sums: Array) -> Array:
        return sums / count  # type: ignore[no-any-return]

    return finish
