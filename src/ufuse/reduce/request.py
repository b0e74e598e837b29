"""What every reduction has in common: reading, checking and answering a call.

A call is checked completely before anything is computed or written. Both executors then see the
same `Slot` objects over arrays of the same rank.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.exceptions import AxisError
from numpy.typing import NDArray

from .. import executors
from ..catalogue.dtypes import BY_DTYPE
from ..interop import as_output, asarray, wrap_like
from ..interop.lowprecision import coding, narrowed

Array = NDArray[Any]
DType = np.dtype[Any]

#: NumPy's mark of an argument that was not given, so that calls can pass through either way.
NO_VALUE: Final[Any] = np._NoValue


@dataclass(slots=True)
class Slot:
    """One result of one read: a reducer of the catalogue, and what becomes of its state.

    Attributes
    ----------
    reducer : str
        A row of `ufuse.catalogue.REDUCERS`.
    element : str
        Code of the element type that is reduced: that of the array, or ``"f8"`` to convert first.
    finish : str
        What becomes of the state: of `ufuse.catalogue.FINISHES`.
    out : numpy.ndarray
        Where the result goes: the array's rank, 1 for each reduced axis.
    divisor, ddof : float
        Of a mean; of a variance or deviation.
    initial : numpy.ndarray or None
        0-d, of the type of the first component of the state: merged with the result.
    component : int
        Of the state: where the finish starts.
    """

    reducer: str
    element: str
    finish: str
    out: Array
    divisor: float = 1.0
    ddof: float = 0.0
    initial: Array | None = None
    component: int = 0


class Request:
    """The arguments of one call, checked.

    Parameters
    ----------
    function : str
        Name for messages: ``"ufuse.sum"``.
    a, axis, out, keepdims, where
        As the caller gave them.
    single : bool
        Whether `axis` is one axis or None, as for argmax.
    argument : str
        What `a` is called by the function.
    """

    __slots__ = (
        "_given",
        "_out",
        "_result",
        "axes",
        "function",
        "keepdims",
        "shape",
        "template",
        "where",
        "x",
    )

    def __init__(
        self,
        function: str,
        a: Any,
        axis: Any = None,
        out: Any = None,
        keepdims: Any = False,
        where: Any = True,
        *,
        single: bool = False,
        argument: str = "a",
    ) -> None:
        self.function = function
        self.template = a
        self.x = asarray(a, function=function, argument=argument)
        self.axes = read_axes(function, axis, self.x.ndim, single)
        self.keepdims = keepdims is not NO_VALUE and bool(keepdims)
        self.where = _read_where(function, where, self.x)
        if self.keepdims:
            self.shape = self.full_shape
        else:
            self.shape = tuple(n for i, n in enumerate(self.x.shape) if i not in self.axes)
        if type(out) is tuple and len(out) == 1:
            (out,) = out
        self._result: DType | None = None
        self._given = out
        self._out = None if out is None else as_output(out, function=function)
        if self._out is not None:
            self.check_shape(self._out, "out")

    @property
    def full_shape(self) -> tuple[int, ...]:
        """Shape of the result with a 1 for each reduced axis."""
        return tuple(1 if i in self.axes else n for i, n in enumerate(self.x.shape))

    @property
    def count(self) -> int:
        """Elements reduced to one result."""
        count = 1
        for axis in self.axes:
            count *= self.x.shape[axis]
        return count

    @property
    def empty(self) -> bool:
        """Whether there are results, but no elements to make them of."""
        return self.count == 0 and 0 not in self.shape

    @property
    def out_dtype(self) -> DType | None:
        return None if self._out is None else self._out.dtype

    def check_shape(self, out: Array, argument: str) -> None:
        if out.shape != self.shape:
            axes = f"axis={self.axes}" + (", keepdims=True" if self.keepdims else "")
            raise ValueError(
                f"{self.function}: argument {argument!r}: expected shape {self.shape} (for an "
                f"array of shape {self.x.shape} and {axes}), got {out.shape}"
            )

    def check_cast(self, dtype: DType) -> None:
        """Raise where a result of `dtype` cannot be written to ``out=``."""
        if self._out is not None and not np.can_cast(dtype, self._out.dtype, "same_kind"):
            raise TypeError(
                f"{self.function}: argument 'out': cannot cast the result from {dtype} to "
                f"{self._out.dtype} with casting rule 'same_kind'; expected an array of {dtype}"
            )

    def target(self, dtype: DType, *, extreme: bool = False) -> Array:
        """Return the array of `full_shape` that executors write: `out` itself where they may.

        A narrow float is written as float64, an `extreme` of such as float32, and rounded by
        `answer`.
        """
        self._result = dtype
        return self.target_in(self._out, written_as(dtype, extreme=extreme))

    def target_in(self, out: Array | None, dtype: DType) -> Array:
        if out is None or out.dtype != dtype or not dtype.isnative or self._overlaps(out):
            return executors.empty(self.full_shape, dtype)
        return out.reshape(self.full_shape) if self.keepdims else np.expand_dims(out, self.axes)

    def _overlaps(self, out: Array) -> bool:
        return executors.overlap(out, self.x) or (
            self.where is not None and executors.overlap(out, self.where)
        )

    def answer(self, result: Array) -> Any:
        """Give the array of `target` back as the caller wants it."""
        return self.answer_in(result, self._out, self._given)

    def answer_in(self, result: Array, out: Array | None, given: Any) -> Any:
        if self._result is not None and coding(self._result) is not None:
            result = _narrowed(result, self._result)
        if out is None:
            result = result if self.keepdims else result.reshape(self.shape)
            return wrap_like(result[()] if result.ndim == 0 else result, self.template)
        if not np.may_share_memory(result, out):  # it is a view of `out`, or memory of its own
            np.copyto(out, result.reshape(self.shape), casting="unsafe")  # `check_cast` has checked
        return given


def _narrowed(values: Array, dtype: DType) -> Array:
    # NumPy takes 2 ns for each, as long as 36 elements are read in.
    if values.size >= _MANY and dtype == np.float16 and executors.backend() == "native":
        from .native import to_half

        return to_half(values)
    return narrowed(values, dtype)


#: Results from which on NumPy's conversion to float16 takes longer than a call of ours.
_MANY: Final = 512


def code_of(dtype: DType) -> str | None:
    """Code of the element type that `dtype`, of any byte order, is reduced as; None if none is.

    Floats narrower than float32 are reduced as float32.
    """
    row = BY_DTYPE.get(dtype if dtype.isnative else dtype.newbyteorder("="))
    if row is None:
        return None if coding(dtype) is None else "f4"
    return row.code


def written_as(dtype: DType, *, extreme: bool = False) -> DType:
    """Dtype that executors write a result of `dtype` in."""
    if coding(dtype) is None:
        return dtype
    return np.dtype(np.float32 if extreme else np.float64)


def read_dtype(function: str, dtype: Any) -> DType | None:
    if dtype is None:
        return None
    try:
        found: DType = np.dtype(dtype)
        return found
    except TypeError as error:
        raise TypeError(
            f"{function}: argument 'dtype': expected a dtype such as np.float64, got {dtype!r}"
        ) from error


def read_initial(function: str, initial: Any, dtype: DType) -> Array | None:
    """Return `initial` as a 0-d array of the result's dtype; None where it is not given."""
    if initial is NO_VALUE or initial is None:
        return None
    value = np.asarray(initial)
    if value.ndim != 0:
        raise ValueError(
            f"{function}: argument 'initial': expected a scalar, got an array of shape "
            f"{value.shape}"
        )
    try:
        if value.dtype.kind in "SU":  # NumPy would read the digits
            raise TypeError("not a number")
        return np.asarray(value[()] if isinstance(initial, np.ndarray) else initial, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        kind = OverflowError if isinstance(error, OverflowError) else TypeError
        raise kind(
            f"{function}: argument 'initial': expected a number that {dtype} can hold, got "
            f"{initial!r}"
        ) from error


def execute(
    x: Array,
    axes: Sequence[int],
    slots: Sequence[Slot],
    where: Array | None,
    *,
    skip_nan: bool = False,
) -> None:
    """Run slots over one array, NaN and all or without, with the executor of this process."""
    executors.of(__package__).reduce(x, axes, slots, where, skip_nan)


def execute_scan(name: str, x: Array, axis: int, out: Array) -> None:
    """Run a scan of `x` along an axis, or all elements in C order for -1, into `out`."""
    executors.of(__package__).scan(name, x, axis, out)


def has_softmax_by_line(count: int, size: int) -> bool:
    """Whether the executor has a softmax for lines of `count` elements, `size` in all."""
    found: bool = executors.of(__package__).softmax_by_line(count, size)
    return found


def execute_softmax(x: Array, axes: Sequence[int], out: Array, logarithm: bool) -> None:
    """Write the softmax of float32 or float64 `x`, or its logarithm, to `out` of the same dtype.

    Where `has_softmax_by_line`. `out` is apart from `x`, or the same elements at the same places.
    """
    executors.of(__package__).softmax(x, axes, out, logarithm)


def execute_weighted(
    x: Array, weights: Array, axes: Sequence[int], sums: Array, totals: Array | None
) -> None:
    """Sum ``x * weights`` over axes into `sums`, and the weights into `totals` if there is one."""
    executors.of(__package__).weighted_sum(x, weights, axes, sums, totals)


def execute_exact(
    x: Array,
    axes: Sequence[int],
    out: Array,
    where: Array | None,
    initial: float | None = None,
    divisor: int = 1,
) -> None:
    """Sum without rounding over axes, divide, and round once into the contiguous float64 `out`."""
    executors.of(__package__).exact_sum(x, axes, out, where, initial, divisor)


def read_axes(function: str, axis: Any, ndim: int, single: bool = False) -> tuple[int, ...]:
    """Return the axes that ``axis=`` means, in order; `single` refuses a tuple."""
    if axis is None:
        return tuple(range(ndim))
    wanted = (axis,) if single or not isinstance(axis, tuple) else axis
    axes = []
    for one in wanted:
        try:
            index = operator.index(one)
        except TypeError:
            expected = "an int or None" if single else "an int, a tuple of ints or None"
            raise TypeError(
                f"{function}: argument 'axis': expected {expected}, got {axis!r}"
            ) from None
        # A 0-d array may be reduced over axis 0 or -1, as in NumPy.
        if ndim == 0 and not isinstance(axis, tuple) and index in (0, -1):
            continue
        if not -ndim <= index < ndim:
            raise AxisError(index, ndim, f"{function}: argument 'axis'")
        axes.append(index % ndim)
    if len(set(axes)) != len(axes):
        raise ValueError(f"{function}: argument 'axis': duplicate value in {axis!r}")
    return tuple(sorted(axes))


def _read_where(function: str, where: Any, x: Array) -> Array | None:
    if where is True or where is NO_VALUE:
        return None
    mask = asarray(where, function=function, argument="where")
    if mask.dtype != np.bool_:
        raise TypeError(
            f"{function}: argument 'where': expected an array of bool, got dtype {mask.dtype}; "
            "compare to make one, such as where != 0"
        )
    if mask.ndim == 0 and mask:
        return None
    try:
        return np.broadcast_to(mask, x.shape)
    except ValueError:
        raise ValueError(
            f"{function}: argument 'where': expected a shape that broadcasts to that of 'a', "
            f"{x.shape}; got {mask.shape}"
        ) from None
