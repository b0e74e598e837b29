"""Contractions by subscripts, without transposed temporaries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import executors
from ..catalogue.semirings import BY_NAME as SEMIRINGS
from ..catalogue.semirings import Semiring
from ..fusion.errors import trace_error
from ..fusion.program import Contraction
from ..interop import as_output, asarray, wrap_like
from ..interop.lowprecision import is_low_precision
from .arithmetic import DType, is_narrow
from .expressions import Finish
from .finish import traced
from .first import first_product
from .fused import is_traced, record
from .pairs import Product
from .plan import AloneStep, PairStep, Plan, make_plan
from .subscripts import extents, from_lists, parse
from .unpacked import Dots

Array = NDArray[Any]

_OUR_KINDS = "biufc"
_CASTINGS = ("no", "equiv", "safe", "same_kind", "unsafe")
_PLAIN = (None, None, "plus_times", "auto")


def _first(entry: Any, subscripts: str, a: Array, b: Array) -> Array | None:
    return first_product(entry, subscripts, subscripts, a, b, "ufuse.einsum")


@executors.fast_contraction(subscripts=True, first=_first)
def einsum(
    *operands: Any,
    out: Any = None,
    dtype: DTypeLike | None = None,
    order: str = "K",
    casting: str = "safe",
    optimize: Any = "auto",
    accumulate: DTypeLike | None = None,
    semiring: str | Semiring = "plus_times",
    return_arg: bool = False,
    finish: Callable[[Any], Any] | None = None,
    memory_limit: int | None = None,
) -> Any:
    """Contract operands by the labels of their axes, as `numpy.einsum`.

    Parameters
    ----------
    subscripts : str
        Such as ``"bqhd,bkhd->bhqk"``: NumPy's grammar, with ellipsis, repeated labels (diagonals)
        and implicit result. Labels may be any letters.
    *operands : array_like
        Of any strides: read where they lie, whatever the order of their axes, and never copied
        whole (but one that is byte-swapped, that `out` overlaps, that `dtype` makes narrower, of
        another dtype beside a complex one or in a semiring of one's own). Instead of `subscripts`
        each may be followed by the list of its labels, as integers, and the labels of the result
        may come last.
    out : ndarray, optional
        Written to and returned; shape of the result, any strides. It may overlap the operands.
    dtype : dtype_like, optional
        The operands are cast to it, as `casting` permits, and contracted in it.
    order : {'K', 'C', 'F', 'A'}
        Layout of a new result: ``'F'`` Fortran's, ``'A'`` and ``'K'`` that where all operands have
        it, else C.
    casting : {'safe', 'no', 'equiv', 'same_kind', 'unsafe'}
        For `dtype` and `out`.
    optimize : {'auto', True, False, 'greedy', 'optimal', ...} or sequence, optional
        How the path of three operands and more is found: opt_einsum's names, one of them with a
        limit in elements as a tuple, a path as `einsum_path` returns it, or False: from left to
        right.
    accumulate : dtype_like, optional
        Operands stay as they are, and sums and result have this dtype: ``"int32"`` for exact sums
        of int8 products, ``"float32"`` for float16.
    semiring : str or Semiring
        What stands for sum and product: ``"plus_times"``, ``"min_plus"``, ``"max_plus"``,
        ``"max_times"``, ``"min_max"``, ``"or_and"``, ``"xor_and"``, ``"logaddexp_plus"``,
        ``"plus_absdiff"``, ``"plus_sqdiff"``, ``"max_absdiff"``, ``"plus_notequal"``, or what
        `semiring` returns.
    return_arg : bool
        Whether to return, beside minima or maxima of two operands, which term each is: its index
        among the shared labels, flattened in the order in which they first appear; the first of
        equal ones.
    finish : callable, optional
        A function of one array, written in NumPy as for `fuse`: scale, bias, activation, cast. It
        is applied to the sums before they are stored, so that they are never in memory; arrays from
        outside of it broadcast to the result. Of narrow floats the sums are float32, of other
        dtypes they have that of the result.
    memory_limit : int, optional
        Bytes that an intermediate result may take.

    Returns
    -------
    ndarray or scalar
        The contraction; a scalar if no label is left and `out` is not given. One operand with
        nothing to sum gives a view of it.
    index : ndarray of intp
        With `return_arg`.

    Raises
    ------
    ValueError
        If the subscripts do not parse, or sizes disagree: label, operand and sizes are named.
    TypeError
        If a cast is refused.
    MemoryError
        If an intermediate result would pass `memory_limit`; nothing has been computed then.

    Notes
    -----
    The dtype of the result is NumPy's: integers wrap around, bool is or of ands. Narrow floats
    (float16, bfloat16, float8) are summed in float32 and rounded once. Pairs of operands are packed
    matrix products that read them through their strides; what is left out of the result and in one
    operand alone is summed first. Sums over shared labels are fused multiply-adds in a fixed order,
    so that the bits do not depend on threads, strides or CPU (from AVX2 up): that of the labels, or
    squares of 16 by 16 where the operands' innermost shared labels differ. A real operand beside a
    complex one has no imaginary part: NumPy gives it one of 0, which makes NaN of an infinity.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> a, b = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    >>> uf.einsum("ik,jk->ij", a, b)
    array([[ 3.,  3.],
           [12., 12.]])
    >>> uf.einsum("ij,jk->ik", np.float32([[0, 2], [2, 0]]), np.float32([[0, 9], [1, 0]]),
    ...           semiring="min_plus")
    array([[0., 2.],
           [1., 0.]], dtype=float32)
    """
    if not operands:
        raise ValueError("ufuse.einsum: expected subscripts and operands, got nothing")
    if isinstance(operands[0], str):
        subscripts, given = operands[0], list(operands[1:])
    else:
        subscripts, given = from_lists(operands)
    result = contract(
        "ufuse.einsum", subscripts, given, out=out, dtype=dtype, order=order, casting=casting,
        optimize=optimize, accumulate=accumulate, semiring=semiring, return_arg=return_arg,
        finish=finish, memory_limit=memory_limit, entry=einsum, key=subscripts,
    )  # fmt: skip
    return result


def contract(
    function: str,
    subscripts: str,
    operands: Sequence[ArrayLike],
    *,
    out: Any = None,
    dtype: DTypeLike | None = None,
    order: str = "K",
    casting: str = "safe",
    optimize: Any = "auto",
    accumulate: DTypeLike | None = None,
    semiring: str | Semiring = "plus_times",
    return_arg: bool = False,
    finish: Callable[[Any], Any] | None = None,
    memory_limit: int | None = None,
    conjugate: bool = False,
    entry: Any = None,
    key: str | None = None,
) -> Any:
    """Contract as `einsum` does, for the function that messages name.

    A plain call of two arrays is remembered by the fast entry `entry` under `key`.
    """
    ring = semiring_row(function, semiring)
    order = "K" if order is None else order.upper()
    if order not in ("K", "C", "F", "A"):
        raise ValueError(f"{function}: argument 'order': expected K, C, F or A, got {order!r}")
    if casting not in _CASTINGS:
        raise ValueError(
            f"{function}: argument 'casting': expected one of {', '.join(_CASTINGS)}, got "
            f"{casting!r}"
        )
    if is_traced(*operands):
        for name, given in (("out", out), ("return_arg", return_arg or None)):
            if given is not None:
                raise trace_error(f"{name}= of {function}", "call it outside")
        return record(
            function,
            Contraction(
                subscripts, ring, accumulate is not None, conjugate, hashable(optimize),
                memory_limit,
            ),
            operands,
            lambda samples: _result_dtype(function, samples, dtype, accumulate, casting, ring),
            lambda given, summed: _read_as(given, summed, dtype is not None),
            finish,
        )  # fmt: skip
    arrays = [
        asarray(operand, function=function, argument=f"operands[{i}]")
        for i, operand in enumerate(operands)
    ]
    equation = parse(subscripts, tuple(x.ndim for x in arrays), function)
    summed = _result_dtype(function, arrays, dtype, accumulate, casting, ring)
    target = None if out is None else as_output(out, function=function)
    if summed is None:  # objects, long doubles: NumPy's own
        check_plain(
            function, arrays, accumulate=accumulate, return_arg=return_arg or None, finish=finish,
            semiring=None if is_ring(semiring) else semiring,
        )  # fmt: skip
        return _by_numpy(subscripts, arrays, target, out, operands, dtype, order, casting)
    if finish is not None and is_narrow(summed):
        summed = np.dtype(np.float32)
    arrays = [_native(x, summed, dtype is not None) for x in arrays]
    sizes = extents(equation, [x.shape for x in arrays], function)
    plan = make_plan(
        equation, tuple(x.shape for x in arrays), tuple(sizes.items()), summed, ring,
        accumulate is not None, conjugate, hashable(optimize), memory_limit, not return_arg,
    )  # fmt: skip
    if return_arg:
        return _with_positions(function, plan, arrays, target, out, operands, finish)
    if finish is not None:
        return _finished(function, plan, arrays, target, out, operands, finish, order, casting)
    if target is None:
        if len(arrays) == 1 and isinstance(plan.steps[0], AloneStep) and not plan.steps[0].shared:
            view = plan.steps[0].view(arrays[0].astype(summed, copy=False))
            return wrap_like(view if view.ndim else view[()], *operands)
        result = plan.run(arrays, _new(plan.shape, summed, arrays, order))
        if entry is not None and (dtype, accumulate, semiring, optimize) == _PLAIN:
            _remember(entry, key, operands, arrays, plan, result)
        return wrap_like(result if result.ndim else result[()], *operands)
    _check_out(function, target, plan.shape, summed, casting)
    if target.dtype == summed and target.dtype.isnative:
        arrays = [x.copy() if executors.overlap(x, target) else x for x in arrays]
        plan.run(arrays, target)
        if entry is not None and (dtype, accumulate, semiring, optimize) == _PLAIN:
            _remember(entry, key, operands, arrays, plan, target)
    else:
        target[...] = plan.run(arrays, None)
    return out


def is_ring(semiring: str | Semiring) -> bool:
    """Whether it is that of numbers, which NumPy's functions have."""
    return isinstance(semiring, str) and semiring == "plus_times"


def check_plain(function: str, arrays: Sequence[Array], **options: Any) -> None:
    """Refuse what NumPy's functions have not got, where they are to do it."""
    given = [name for name, option in options.items() if option is not None]
    if given:
        raise TypeError(
            f"{function}: argument {given[0]!r}: expected numbers that ufuse multiplies, got "
            f"dtypes {', '.join(str(x.dtype) for x in arrays)}, which are left to NumPy"
        )


def _finished(
    function: str, plan: Plan, arrays: Sequence[Array], target: Array | None, out: Any,
    operands: Sequence[Any], finish: Callable[[Any], Any], order: str, casting: str,
) -> Any:  # fmt: skip
    """Contract, and apply a function to the sums before they are stored."""
    done, result = traced(function, finish, plan.shape, plan.dtype)
    if target is None:
        found = _new(plan.shape, result, arrays, order)
        plan.run(arrays, found, done)
        return wrap_like(found if found.ndim else found[()], *operands)
    _check_out(function, target, plan.shape, result, casting)
    if target.dtype != result or not target.dtype.isnative:
        found = executors.empty(plan.shape, result)
        plan.run(arrays, found, done)
        target[...] = found
        return out
    arrays = [x.copy() if executors.overlap(x, target) else x for x in arrays]
    others = tuple(x.copy() if executors.overlap(x, target) else x for x in done.arrays)
    plan.run(arrays, target, Finish(done.program, others))
    return out


def _with_positions(
    function: str, plan: Plan, arrays: Sequence[Array], target: Array | None, out: Any,
    operands: Sequence[Any], finish: Any,
) -> Any:  # fmt: skip
    """Contract two operands to minima or maxima, and say which term each is."""
    step = plan.steps[0]
    if not isinstance(step, PairStep) or len(plan.steps) > 1 or finish is not None:
        raise ValueError(
            f"{function}: argument 'return_arg': expected two operands and no 'finish'"
        )
    pair = step.pair
    if pair.semiring is None or not pair.semiring.selects:
        names = ", ".join(name for name, row in SEMIRINGS.items() if row.selects)
        given = "plus_times" if pair.semiring is None else pair.semiring.name
        raise ValueError(
            f"{function}: argument 'return_arg': expected a semiring whose sum is one of its terms "
            f"({names}), got {given!r}"
        )
    if not all(pair.sizes[label] for label in pair.shared):
        raise ValueError(f"{function}: argument 'return_arg': there is no term to choose")
    if target is not None:
        _check_out(function, target, plan.shape, plan.dtype, "no")
    values, index = step.run_with_positions(arrays[0], arrays[1])
    if target is not None:
        target[...] = values
        return out, wrap_like(index, *operands)
    found = (values, index) if values.ndim else (values[()], index[()])
    return wrap_like(found, *operands)


def supports(a: Array, b: Array, dtype: DTypeLike | None) -> bool:
    """Whether ufuse contracts arrays of these dtypes itself, which objects are not."""
    try:
        found = np.result_type(a, b) if dtype is None else np.dtype(dtype)
    except TypeError:
        return False
    return _is_ours(found)


def _is_ours(dtype: DType) -> bool:
    if is_low_precision(dtype):
        return is_narrow(dtype)
    return dtype.kind in _OUR_KINDS and dtype.char not in "gG"


def _remember(
    entry: Any,
    key: str | None,
    given: Sequence[Any],
    arrays: Sequence[Array],
    plan: Plan,
    out: Array,
) -> None:
    """Leave a contraction of two arrays, or a sum of one, to the fast entry from now on.

    They are read as they were given.
    """
    step = plan.steps[0]
    if executors.native is None or len(plan.steps) > 1:
        return
    if not all(x is y for x, y in zip(given, arrays, strict=True)):
        return
    if isinstance(step, AloneStep):
        x = arrays[0]
        if x.dtype == out.dtype and x.dtype.char in "fd" and x.size:
            entry.remember_sum(key, x, step.summed(x), out, *executors.native.SUM)
        return
    if out.ndim == 0:
        return
    product = step.prepared(arrays[0], arrays[1], out)
    if isinstance(product, Product) and not product.conjugates:
        entry.remember(key, *arrays, out, product, product.address, product.swapped, product.small)
    plain = out.dtype.char in "fd" and all(x.dtype == out.dtype for x in arrays)
    if isinstance(product, Dots) and plain:
        entry.remember_dots(key, *arrays, out, *product.views(*arrays))


def semiring_row(function: str, semiring: str | Semiring) -> Semiring | None:
    """Return the row; None for sums of products."""
    if semiring == "plus_times":
        return None
    if isinstance(semiring, Semiring):
        return semiring
    if semiring not in SEMIRINGS:
        raise ValueError(
            f"{function}: argument 'semiring': expected plus_times, one of {', '.join(SEMIRINGS)}, "
            f"or what ufuse.semiring returns, got {semiring!r}"
        )
    return SEMIRINGS[semiring]


def _result_dtype(
    function: str,
    arrays: Sequence[Array],
    dtype: DTypeLike | None,
    accumulate: DTypeLike | None,
    casting: Any,
    semiring: Semiring | None,
) -> DType | None:
    """Return the dtype of the sums; None where it is one that NumPy alone has."""
    if dtype is not None and accumulate is not None:
        raise ValueError(
            f"{function}: expected 'dtype' or 'accumulate', got both; 'dtype' casts the operands, "
            "'accumulate' the products"
        )
    wanted = dtype if accumulate is None else accumulate
    found = np.dtype(np.result_type(*arrays) if wanted is None else wanted).newbyteorder("=")
    if semiring is not None and semiring.codes == ("?",):
        found = np.dtype(bool)
    for i, array in enumerate(arrays):
        rule: Any = "same_kind" if accumulate is not None else casting
        if wanted is not None and not np.can_cast(array.dtype, found, rule):
            raise TypeError(
                f"{function}: operands[{i}] of dtype {array.dtype} cannot be cast to {found} "
                f"according to the rule {rule!r}"
            )
    if accumulate is not None and not all(_is_ours(x.dtype) for x in arrays):
        return None
    return found if _is_ours(found) else None


def _native(array: Array, summed: DType, cast: bool) -> Array:
    """Return the operand in native byte order, and of a dtype that is read as it is packed."""
    dtype = _read_as(array.dtype, summed, cast)
    if dtype.kind == "b" and array.dtype.kind != "b":
        return np.not_equal(array, 0)
    return array.astype(dtype, copy=False)


def _read_as(dtype: DType, summed: DType, cast: bool) -> DType:
    """Return what an operand is converted to before its kernel reads it."""
    dtype = dtype.newbyteorder("=")
    if summed.kind == "b":
        return summed
    if summed.kind == "c":  # parts of one size; a real operand stays real
        dtype = summed if dtype.kind == "c" else np.dtype(f"f{summed.itemsize // 2}")
    if cast and summed.kind != "c":  # a cast that loses something happens before the product
        whole = summed.kind in "iu" and dtype.kind not in "biu"
        if whole or dtype.kind == "c" or summed.itemsize < dtype.itemsize:
            dtype = summed
    return dtype


def _new(shape: tuple[int, ...], dtype: DType, arrays: Sequence[Array], order: str) -> Array:
    if order in "AK":
        fortran = all(x.flags.f_contiguous and not x.flags.c_contiguous for x in arrays)
        order = "F" if fortran else "C"
    if order == "F":
        return executors.empty(shape[::-1], dtype).T
    return executors.empty(shape, dtype)


def _check_out(
    function: str, out: Array, shape: tuple[int, ...], dtype: DType, casting: Any
) -> None:
    if out.shape != shape:
        raise ValueError(
            f"{function}: argument 'out': expected shape {shape}, got shape {out.shape}"
        )
    if not np.can_cast(dtype, out.dtype, casting):
        raise TypeError(
            f"{function}: argument 'out': expected a dtype that {dtype} casts to by the rule "
            f"{casting!r}, got dtype {out.dtype}"
        )


def hashable(optimize: Any) -> Any:
    """Return `optimize` with tuples for its lists."""
    if isinstance(optimize, (list, tuple)):
        return tuple(hashable(entry) for entry in optimize)
    return optimize


def _by_numpy(
    subscripts: str, arrays: Sequence[Array], target: Array | None, out: Any,
    operands: Sequence[Any], dtype: Any, order: Any, casting: Any,
) -> Any:  # fmt: skip
    if target is None:
        found = np.einsum(subscripts, *arrays, dtype=dtype, order=order, casting=casting)
        return wrap_like(found, *operands)
    arrays = [x.copy() if executors.overlap(x, target) else x for x in arrays]
    np.einsum(subscripts, *arrays, out=target, dtype=dtype, order=order, casting=casting)
    return out
