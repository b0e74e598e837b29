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
from ..fusion.instructions import Contraction
from ..interop import as_output, asarray, wrap_like
from .arithmetic import DType, is_narrow
from .dtypes import by_numpy, check_plain, native, read_as, result_dtype
from .expressions import Finish
from .finish import repeated, traced
from .first import first_product
from .fused import is_traced, record
from .options import Options, read_options, remembered_by
from .outputs import check_out, is_fortran, new_result, unshared
from .pairs import Product
from .plan import AloneStep, PairStep, Plan, make_plan
from .subscripts import extents, parse, read_operands
from .unpacked import Dots

Array = NDArray[Any]


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
        limit in elements as a tuple, a path as `einsum_path` returns it, or False or None: from
        left to right.
    accumulate : dtype_like, optional
        Sums and result have this dtype, and no operand is copied in it: ``"int32"`` for exact sums
        of int8 products, ``"float32"`` for float16. Integers of up to 32 bits refuse sums of
        narrower ones that could overflow. Those of operands as wide, or wider, wrap around:
        ``"int32"`` of int64 operands has the low 32 bits of each sum, and nothing is said.
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
    KeyError
        If opt_einsum has no optimizer of that name.
    MemoryError
        If an intermediate result would pass `memory_limit`; nothing has been computed then.

    Notes
    -----
    The dtype of the result is NumPy's (but bfloat16 and float8 stay what they are, where
    `numpy.matmul` makes float32 of them): integers wrap around, bool is or of ands. Narrow floats
    (float16, bfloat16, float8) are summed in float32 and rounded once. Pairs of operands are packed
    matrix products that read them through their strides; what is left out of the result and in one
    operand alone is summed first. Sums over shared labels are fused multiply-adds in a fixed order,
    so that the bits do not depend on threads, strides or CPU (from AVX2 up; CPUs with AMX have bits
    of their own for bfloat16 products of more than a million terms): that of the labels, or
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
    subscripts, given = read_operands(operands, "ufuse.einsum")
    entry, key = remembered_by(einsum, subscripts, accumulate, semiring)
    result = contract(
        "ufuse.einsum", subscripts, given, out=out, dtype=dtype, order=order, casting=casting,
        optimize=optimize, accumulate=accumulate, semiring=semiring, return_arg=return_arg,
        finish=finish, memory_limit=memory_limit, entry=entry, key=key,
    )  # fmt: skip
    return result


def contract(
    function: str,
    subscripts: str,
    operands: Sequence[ArrayLike],
    *,
    out: Any = None,
    conjugate: bool = False,
    entry: Any = None,
    key: Any = None,
    **options: Any,
) -> Any:
    """Contract as `einsum` does, for the function that messages name.

    Parameters
    ----------
    function, subscripts : str
    operands : sequence of array_like
    out : ndarray, optional
    conjugate : bool
        Whether the first operand is conjugated.
    entry, key : object
        A call of two arrays is remembered by the fast entry `entry` under `key`: see
        `remembered_by`.
    **options
        Those of `einsum`.
    """
    asked = read_options(function, **options)
    if is_traced(*operands):
        return _recorded(function, subscripts, operands, out, conjugate, asked)
    arrays = [
        asarray(operand, function=function, argument=f"operands[{i}]")
        for i, operand in enumerate(operands)
    ]
    equation = parse(subscripts, tuple(x.ndim for x in arrays), function)
    summed = result_dtype(
        function, arrays, asked.dtype, asked.accumulate, asked.casting, asked.ring
    )
    target = None if out is None else as_output(out, function=function)
    if summed is None:  # objects, long doubles: NumPy's own
        return _by_numpy(function, subscripts, arrays, target, out, operands, asked)
    if asked.finish is not None and is_narrow(summed):
        summed = np.dtype(np.float32)
    shapes = [x.shape for x in arrays]
    sizes = extents(equation, shapes)
    plan = make_plan(
        equation, tuple(shapes), tuple(sizes.items()), summed, asked.ring,
        asked.accumulate is not None, conjugate, asked.optimize, asked.memory_limit,
        not asked.return_arg,
    )  # fmt: skip
    if len(arrays) == 1 and target is None and asked.finish is None and not asked.return_arg:
        view = _view(plan, arrays[0], summed)
        if view is not None:
            return wrap_like(view if view.ndim else view[()], *operands)
    arrays = [native(x, summed, asked.dtype is not None) for x in arrays]
    if asked.return_arg:
        return _with_positions(function, plan, arrays, target, out, operands, asked.finish)
    if asked.finish is not None:
        return _finished(function, plan, arrays, target, out, operands, asked, entry, key)
    if target is None:
        result = plan.run(arrays, new_result(plan.shape, summed, arrays, asked.order))
        if entry is not None and asked.is_plain:
            _remember(entry, key, operands, arrays, plan, result)
        return wrap_like(result if result.ndim else result[()], *operands)
    check_out(function, target, plan.shape, summed, asked.casting)
    if target.dtype == summed and target.dtype.isnative:
        arrays = unshared(arrays, target)
        plan.run(arrays, target)
        if entry is not None and asked.is_plain:
            _remember(entry, key, operands, arrays, plan, target)
    else:
        target[...] = plan.run(arrays, None)
    return out


def _recorded(
    function: str, subscripts: str, operands: Sequence[Any], out: Any, conjugate: bool,
    asked: Options,
) -> Any:  # fmt: skip
    """Contract operands that are under trace."""
    for name, given in (("out", out), ("return_arg", asked.return_arg or None)):
        if given is not None:
            raise trace_error(f"{name}= of {function}", "call it outside")
    if asked.order not in "KC":  # what fused functions make is C-contiguous
        raise trace_error(
            f"order={asked.order!r} of {function}", "give the fused function an out= of that layout"
        )
    operation = Contraction(
        subscripts, asked.ring, asked.accumulate is not None, conjugate, asked.optimize,
        asked.memory_limit, function,
    )  # fmt: skip
    return record(
        operation,
        operands,
        lambda samples: result_dtype(
            function, samples, asked.dtype, asked.accumulate, asked.casting, asked.ring
        ),
        lambda given, summed: read_as(given, summed, asked.dtype is not None),
        asked.finish,
    )


def _view(plan: Plan, array: Array, dtype: DType) -> Array | None:
    """Return one operand with nothing to sum as the view that it is; None where it is none.

    As NumPy's it has the operand's byte order, and can be written to where that can.
    """
    step = plan.steps[0]
    if not isinstance(step, AloneStep) or step.shared:
        return None
    same = array.dtype.newbyteorder("=") == dtype
    return step.view(array if same else native(array, dtype, True).astype(dtype, copy=False))


def _finished(
    function: str, plan: Plan, arrays: Sequence[Array], target: Array | None, out: Any,
    operands: Sequence[Any], asked: Options, entry: Any, key: Any,
) -> Any:  # fmt: skip
    """Contract, and apply a function to the sums before they are stored."""
    done, result = traced(function, asked.finish, plan.shape, plan.dtype)
    if target is None:
        found = new_result(plan.shape, result, arrays, asked.order)
        plan.run(arrays, found, done)
        if entry is not None and asked.is_plain:
            _remember(entry, key, operands, arrays, plan, found, asked.finish, done)
        return wrap_like(found if found.ndim else found[()], *operands)
    check_out(function, target, plan.shape, result, asked.casting)
    if target.dtype != result or not target.dtype.isnative:
        found = executors.empty(plan.shape, result)
        plan.run(arrays, found, done)
        target[...] = found
        return out
    others = tuple(unshared(done.arrays, target))
    plan.run(unshared(arrays, target), target, Finish(done.program, others))
    if entry is not None and asked.is_plain:
        _remember(entry, key, operands, arrays, plan, target, asked.finish, done)
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
        check_out(function, target, plan.shape, plan.dtype)
    values, index = step.run_with_positions(arrays[0], arrays[1])
    if target is not None:
        target[...] = values
        return out, wrap_like(index, *operands)
    found = (values, index) if values.ndim else (values[()], index[()])
    return wrap_like(found, *operands)


def _remember(
    entry: Any,
    key: Any,
    given: Sequence[Any],
    arrays: Sequence[Array],
    plan: Plan,
    out: Array,
    finish: Any = None,
    done: Finish | None = None,
) -> None:
    """Leave a contraction of two arrays, or a sum of one, to the fast entry from now on.

    They are read as they were given. `done` is what was found for `finish`, a function of the sums.
    """
    step = plan.steps[0]
    if executors.native is None or len(plan.steps) > 1:
        return
    if not all(x is y for x, y in zip(given, arrays, strict=True)):
        return
    if out.flags.c_contiguous and is_fortran(arrays, "K"):
        return  # later results would be laid out as this one was asked to be
    if done is not None:
        if isinstance(step, PairStep):
            _remember_finished(entry, key, arrays, step, out, finish, done)
        return
    if isinstance(step, AloneStep):
        x = arrays[0]
        if not step.shared or type(key) is not str:
            return  # without an `out` it is a view; with options it is no plain sum
        if x.dtype == out.dtype and x.dtype.char in "fd" and x.size:
            entry.remember_sum(key, x, step.summed(x), out, *executors.native.SUM)
        return
    if out.ndim == 0:
        return
    product = step.prepared(arrays[0], arrays[1], out)
    if isinstance(product, Product) and not product.conjugates:
        entry.remember(key, *arrays, out, product, product.address, product.small)
    plain = out.dtype.char in "fd" and all(x.dtype == out.dtype for x in arrays)
    if isinstance(product, Dots) and plain:
        entry.remember_dots(key, *arrays, out, *product.views(*arrays))


def _remember_finished(
    entry: Any, key: Any, arrays: Sequence[Array], step: PairStep, out: Array, finish: Any,
    done: Finish,
) -> None:  # fmt: skip
    product = step.prepared(arrays[0], arrays[1], out, done)
    if out.ndim == 0 or not isinstance(product, Product) or not product.fuses:
        return
    again = None if product.conjugates else repeated(step.pair.function, finish, done)
    if again is not None:
        entry.remember(key, *arrays, out, product, product.address, product.small, again)


def _by_numpy(
    function: str, subscripts: str, arrays: Sequence[Array], target: Array | None, out: Any,
    operands: Sequence[Any], asked: Options,
) -> Any:  # fmt: skip
    check_plain(
        function, arrays, accumulate=asked.accumulate, return_arg=asked.return_arg or None,
        finish=asked.finish, semiring=asked.ring,
    )  # fmt: skip
    options: dict[str, Any] = {
        "dtype": asked.dtype, "order": asked.order, "casting": asked.casting
    }  # fmt: skip
    if target is not None:
        options["out"] = target
    given = unshared(arrays, target)
    found = by_numpy(function, arrays, lambda: np.einsum(subscripts, *given, **options))
    return wrap_like(found, *operands) if target is None else out
