"""Scaled dot-product attention, without a matrix of scores in memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import executors
from ..interop import accepts_buffers, asarray
from ..interop.lowprecision import coding
from .expressions import native_order
from .options import read_flag, read_number
from .outputs import given_back, new_or_checked, unshared

Array = NDArray[Any]

_FUNCTION = "ufuse.attention"
_NAMES = {np.dtype(name): name for name in ("bool", "float16", "float32", "float64")}


@accepts_buffers("q", "k", "v", "mask")
def attention(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    mask: ArrayLike | None = None,
    scale: float | None = None,
    causal: bool = False,
    out: Array | None = None,
) -> Array:
    """Scaled dot-product attention: ``softmax(q @ k.T * scale + mask) @ v``.

    Parameters
    ----------
    q : array_like, shape (..., L, D)
        Queries: float16, bfloat16 (of ml_dtypes), float32 or float64, any strides.
    k : array_like, shape (..., S, D)
        Keys, of the dtype of `q`. Leading axes (batch, heads) broadcast against each other as those
        of ``np.matmul`` do.
    v : array_like, shape (..., S, E)
        Values, of the dtype of `q`.
    mask : array_like, shape (..., L, S), optional
        What `q` may see, broadcast to all scores: True takes part. Or numbers of a floating dtype,
        which are added to the scores after `scale`.
    scale : float, optional
        By default ``1 / sqrt(D)``.
    causal : bool, optional
        Query i sees the keys up to i, as with ``is_causal`` of torch: ``np.tri(L, S)``. Together
        with `mask`, a key is seen where both let it.
    out : ndarray, shape (..., L, E), optional
        Written to and returned; dtype of `q`. It may overlap the other arguments.

    Returns
    -------
    ndarray, shape (..., L, E)
        Of the dtype of `q`.

    Raises
    ------
    ValueError
        If shapes disagree. Nothing has been written then.
    TypeError
        If dtypes disagree, or are none of these.

    Notes
    -----
    Nothing is copied for its layout: where arrays are (batch, length, heads, D), give
    ``q.transpose(0, 2, 1, 3)``, and likewise for `out`. Grouped queries broadcast: reshape `q` to
    (batch, groups, heads / groups, L, D) beside keys and values of (batch, groups, 1, S, D), which
    are then read once for all the heads of a group.

    Scores and sums are float32, or float64 for float64; the result is rounded once. A query that
    sees no key, or only scores of -inf, gets zeros, as from torch 2.15. NaN and Inf are those of
    the formula, with hidden scores replaced by -inf: a value of Inf or NaN makes NaN of the queries
    that do not see its key, too. Shares below 1e-38 of the largest count as 0. The same bits for
    any memory layout and number of threads.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> q = np.float32([[0.0, 0.0], [9.0, 0.0]])
    >>> k = np.float32([[1.0, 0.0], [9.0, 0.0]])
    >>> v = np.float32([[2.0], [4.0]])
    >>> uf.attention(q, k, v)
    array([[3.],
           [4.]], dtype=float32)
    >>> uf.attention(q, k, v, causal=True)
    array([[2.],
           [4.]], dtype=float32)
    """
    arrays = {
        name: asarray(given, function=_FUNCTION, argument=name)
        for name, given in (("q", q), ("k", k), ("v", v))
    }
    bias = None if mask is None else asarray(mask, function=_FUNCTION, argument="mask")
    causal = read_flag(_FUNCTION, "causal", causal)
    name = _check_dtypes(arrays, bias)
    lead = _check_shapes(arrays, bias)
    length, depth = arrays["q"].shape[-2:]
    span, width = arrays["v"].shape[-2:]
    dtype = arrays["q"].dtype.newbyteorder("=")
    shape = (*lead, length, width)
    factor = _scale(scale, depth)
    target = new_or_checked(_FUNCTION, out, shape, dtype)
    operands = unshared(map(native_order, arrays.values()), out)
    if bias is not None:
        (readable,) = unshared([native_order(bias)], out)
        operands.append(np.broadcast_to(readable, (*lead, length, span)))
    if executors.native is None:
        target[...] = reference(operands, factor, causal)
    else:
        for i, array in enumerate(operands[:3]):
            if array.shape[:-2] != lead:
                operands[i] = np.broadcast_to(array, (*lead, *array.shape[-2:]))
        bias_name = "" if bias is None else _name_of(bias.dtype) or ""
        executors.native.attention(name, operands, bias_name, factor, causal, target)
    return given_back(target, out)


def reference(operands: list[Array], scale: float, causal: bool) -> Array:
    """Compute attention by the formula, of queries, keys, values and perhaps a mask."""
    q, k, v, *mask = operands
    wide: Any = np.float64 if q.dtype == np.float64 else np.float32
    with np.errstate(all="ignore"):
        scores = (q.astype(wide) @ np.swapaxes(k.astype(wide), -1, -2)) * wide(scale)
        seen: Any = np.tri(*scores.shape[-2:], dtype=bool) if causal else np.True_
        for array in mask:
            if array.dtype == np.bool_:
                seen = seen & array
            else:
                scores = scores + array.astype(wide)
        scores = np.where(seen, scores, wide(-np.inf))
        largest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
        nothing = largest == -np.inf
        shares = np.exp(scores - np.where(nothing, wide(0), largest))
        shares /= np.where(nothing, wide(1), shares.sum(axis=-1, keepdims=True))
        result: Array = (shares @ v.astype(wide)).astype(q.dtype)
    return result


def _scale(scale: Any, depth: int) -> float:
    if scale is None:
        return 1 / math.sqrt(depth) if depth else 1.0  # no depth: all scores are 0
    return read_number(_FUNCTION, "scale", scale)


def _name_of(dtype: np.dtype[Any]) -> str | None:
    """Name an element type as the core does; None where it has no such."""
    known = _NAMES.get(dtype) or _NAMES.get(dtype.newbyteorder("="))
    return "bfloat16" if known is None and coding(dtype) == "bfloat16" else known


def _check_dtypes(arrays: dict[str, Array], mask: Array | None) -> str:
    found = _name_of(arrays["q"].dtype)
    if found is None or found == "bool":
        raise TypeError(
            "ufuse.attention: argument 'q': expected float16, bfloat16, float32 or float64, got "
            f"dtype {arrays['q'].dtype}; convert it with q.astype(np.float32)"
        )
    for argument in ("k", "v"):
        same = arrays[argument].dtype is arrays["q"].dtype
        if not same and _name_of(arrays[argument].dtype) != found:
            raise TypeError(
                f"ufuse.attention: argument {argument!r}: expected the dtype of q, {found}, got "
                f"dtype {arrays[argument].dtype}; convert one of them with astype"
            )
    if mask is not None and _name_of(mask.dtype) is None:
        raise TypeError(
            "ufuse.attention: argument 'mask': expected bool (True takes part), or float16, "
            f"bfloat16, float32 or float64, which is added to the scores, got dtype {mask.dtype}; "
            "convert it with mask.astype(bool)"
        )
    return found


def _check_shapes(arrays: dict[str, Array], mask: Array | None) -> tuple[int, ...]:
    """Return the leading axes of the result."""
    for argument, array in arrays.items():
        if array.ndim < 2:
            raise ValueError(
                f"ufuse.attention: argument {argument!r}: expected two dimensions or more, "
                f"(..., length, width), got shape {array.shape}"
            )
    q, k, v = (array.shape for array in arrays.values())
    if k[-1] != q[-1]:
        raise ValueError(
            f"ufuse.attention: argument 'k': expected rows of {q[-1]} as in q, whose shape is {q}, "
            f"got shape {k}"
        )
    if v[-2] != k[-2]:
        raise ValueError(
            f"ufuse.attention: argument 'v': expected a row for each of the {k[-2]} keys, whose "
            f"shape is {k}, got shape {v}"
        )
    try:
        same = q[:-2] == k[:-2] == v[:-2]
        lead = q[:-2] if same else np.broadcast_shapes(q[:-2], k[:-2], v[:-2])
    except ValueError:
        raise ValueError(
            f"ufuse.attention: leading axes of q, k and v do not broadcast: shapes {q}, {k} and {v}"
        ) from None
    scores = (*lead, q[-2], k[-2])
    if mask is not None:
        try:
            fits = np.broadcast_shapes(mask.shape, scores) == scores
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"ufuse.attention: argument 'mask': expected a shape that broadcasts to {scores}, "
                f"got {mask.shape}"
            )
    return lead
