"""Contractions of two operands by subscripts, without transposed temporaries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import executors
from ..fusion.program import code_of
from ..interop import as_output, asarray, wrap_like
from .subscripts import Subscripts, extents, parse, strides

Array = NDArray[Any]

# Element types with a product of their own; np.einsum computes the rest.
_NATIVE = (np.dtype(np.float32), np.dtype(np.float64))


def einsum(subscripts: str, *operands: ArrayLike, out: Array | None = None, **kwargs: Any) -> Any:
    """Contract operands by the labels of their axes, as `numpy.einsum`.

    Parameters
    ----------
    subscripts : str
        Such as ``"bqhd,bkhd->bhqk"``: NumPy's grammar, with ellipsis, repeated labels (diagonals)
        and implicit result.
    *operands : array_like
        Two operands of float32 or float64, of any strides, are contracted in place, whatever the
        order of their axes; one that is byte-swapped is converted, which is a copy of it.
        Everything else is handed to `numpy.einsum`.
    out : ndarray, optional
        Written to and returned; shape and dtype of the result. It may overlap the operands.
    **kwargs
        NumPy's ``dtype order casting optimize``: calls that have them are handed to `numpy.einsum`.

    Returns
    -------
    ndarray or scalar
        The contraction, in C order; a scalar if no label is left and `out` is not given.

    Raises
    ------
    ValueError
        If the subscripts do not parse, or sizes disagree: label, operand and sizes are named.

    Notes
    -----
    One packed matrix product reads the operands through their strides. Sums over the shared labels
    are fused multiply-adds in a fixed order, so that the bits do not depend on threads, strides or
    CPU (from AVX2 up).

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> a, b = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    >>> uf.einsum("ik,jk->ij", a, b)
    array([[ 3.,  3.],
           [12., 12.]])
    """
    if not isinstance(subscripts, str) or len(operands) != 2 or kwargs or executors.native is None:
        return _by_numpy(subscripts, operands, out, kwargs)
    a = asarray(operands[0], function="ufuse.einsum", argument="operands[0]")
    b = asarray(operands[1], function="ufuse.einsum", argument="operands[1]")
    dtype = np.result_type(a, b).newbyteorder("=")
    if dtype not in _NATIVE:
        return _by_numpy(subscripts, operands, out, kwargs)
    # The product reads native memory alone: another dtype or byte order is converted first.
    a, b = a.astype(dtype, copy=False), b.astype(dtype, copy=False)
    parsed = parse(subscripts, a.ndim, b.ndim)
    sizes = extents(parsed, a, b, subscripts)
    shape = tuple(sizes[label] for label in parsed.out)
    given = None if out is None else as_output(out, function="ufuse.einsum")
    if given is not None and (given.shape != shape or not np.can_cast(dtype, given.dtype, "safe")):
        raise (ValueError if given.shape != shape else TypeError)(
            f"ufuse.einsum: argument 'out': expected shape {shape} and a dtype that {dtype} casts "
            f"to safely, got shape {given.shape} and dtype {given.dtype}"
        )
    if given is None or given.dtype != dtype or not given.dtype.isnative:
        result = executors.empty(shape, dtype)
    else:
        result = given
        a = a.copy() if executors.overlap(a, result) else a
        b = b.copy() if executors.overlap(b, result) else b
    _contract(parsed, sizes, a, b, result)
    if given is not None:
        if result is not given:
            given[...] = result
        return out
    return wrap_like(result[()] if result.ndim == 0 else result, *operands)


def _by_numpy(
    subscripts: Any, operands: tuple[Any, ...], out: Array | None, kwargs: dict[str, Any]
) -> Any:
    if not isinstance(subscripts, str):
        return np.einsum(subscripts, *operands, out=out, **kwargs)  # the list form
    arrays = [
        asarray(operand, function="ufuse.einsum", argument=f"operands[{i}]")
        for i, operand in enumerate(operands)
    ]
    if out is None:
        return wrap_like(np.einsum(subscripts, *arrays, **kwargs), *operands)
    target = as_output(out, function="ufuse.einsum")
    arrays = [a.copy() if executors.overlap(a, target) else a for a in arrays]
    np.einsum(subscripts, *arrays, out=target, **kwargs)
    return out


def _contract(
    parsed: Subscripts, sizes: dict[str | int, int], a: Array, b: Array, out: Array
) -> None:
    """Sort the labels into batch, rows, columns and shared ones, and run the product.

    A label of one operand alone that the result lacks is summed: it counts as shared, with stride 0
    in the other operand.
    """
    in_a, in_b = strides(parsed.a, a, sizes), strides(parsed.b, b, sizes)
    in_out = strides(parsed.out, out, sizes)
    batch, rows, cols, shared = [], [], [], []
    # The order of the summed labels decides the bits, so it is the subscripts'; that of the others
    # is the result's, whose fastest label must be the innermost.
    for label in parsed.out:
        size, step = sizes[label], in_out[label]
        if label in in_a and label in in_b:
            batch.append((size, (in_a[label], in_b[label], step)))
        elif label in in_a:
            rows.append((size, (in_a[label], step)))
        else:
            cols.append((size, (in_b[label], step)))
    for label in dict.fromkeys((*parsed.a, *parsed.b)):
        if label not in in_out:
            shared.append((sizes[label], (in_a.get(label, 0), in_b.get(label, 0))))
    rows.sort(key=lambda axis: -abs(axis[1][1]))
    cols.sort(key=lambda axis: -abs(axis[1][1]))
    pointers = [array.__array_interface__["data"][0] for array in (a, b, out)]
    executors.native.contract(code_of(out.dtype), *pointers, batch, rows, cols, shared)
