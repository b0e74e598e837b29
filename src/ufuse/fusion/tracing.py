"""Tracers: stand-ins for arrays and Python scalars that record what a function does with them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Never

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from . import reducing, reductions, ufuncs, viewing
from .array_functions import Context, call_function, call_of_ufuse, part_of_complex
from .errors import trace_error
from .graph import Graph
from .shapes import Shape, broadcast_shapes
from .traced import TracedArray, TracedScalar

_BRANCH = "use np.where(condition, a, b) instead of a Python branch"
_MUTATE = "build a new array instead: np.where(mask, value, x)"


class Tracer(NDArrayOperatorsMixin, TracedArray):
    """An array in a function that is being traced.

    It has the dtype, shape and number of dimensions of the array it stands for and records the
    NumPy functions it is passed to. What depends on its values raises `TraceError`.
    """

    def __init__(self, graph: Graph, value: int, argument: str | None = None) -> None:
        self.graph = graph
        self.value = value
        self._argument = argument

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return call_ufunc(self.graph, ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return call_function(self.graph, function, args, kwargs, Tracer)

    def call_of_ufuse(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Record a call of one of ufuse's functions with this array."""
        return call_of_ufuse(Context(self.graph, Tracer), name, self, *args, **kwargs)

    def __repr__(self) -> str:
        name = f" {self._argument}" if self._argument else ""
        return f"<Tracer{name} of {self.dtype}, {self.ndim}-d>"

    def __pow__(self, other: Any) -> Any:
        is_array = self.ndim > 0 or self._argument is not None  # and no scalar of NumPy
        numbers = is_array and self.dtype == np.bool_ and isinstance(other, (int, TracedScalar))
        if numbers and other == 2:
            return np.square(self)  # NumPy's operator does so, np.power does not
        return np.power(self, other)

    # --- what a trace knows ------------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.graph.dtype(self.value)

    @property
    def ndim(self) -> int:
        return len(self.graph.values[self.value].shape)

    @property
    def shape(self) -> Shape:
        self.graph.shape_dependent = True
        return self.graph.values[self.value].shape

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.intp))

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    # --- methods of arrays -------------------------------------------------------------------

    def _new(self, value: int) -> Tracer:
        return Tracer(self.graph, value)

    def astype(self, dtype: Any, order: str = "K", casting: Any = "unsafe", **_: Any) -> Tracer:
        target = np.dtype(dtype)
        if not np.can_cast(self.dtype, target, casting):
            raise TypeError(
                f"Cannot cast array data from {self.dtype!r} to {target!r} "
                f"according to the rule {casting!r}"
            )
        return self._new(self.graph.cast(self.value, target))

    def copy(self, order: str = "C") -> Tracer:
        return self._new(self.value)

    @property
    def real(self) -> Tracer:
        return self._new(part_of_complex(self.graph, "real", self.value))

    @property
    def imag(self) -> Tracer:
        return self._new(part_of_complex(self.graph, "imag", self.value))

    def conj(self) -> Any:
        return np.conjugate(self)

    conjugate = conj

    def clip(self, min: Any = None, max: Any = None, out: Any = None, **kwargs: Any) -> Any:
        return np.clip(self, min, max, out=out, **kwargs)

    def round(self, decimals: int = 0, out: Any = None) -> Any:
        return np.round(self, decimals, out=out)

    def dot(self, b: Any, out: Any = None) -> Any:
        return np.dot(self, b) if out is None else np.dot(self, b, out=out)

    def sum(self, *args: Any, **kwargs: Any) -> Tracer:
        return self._new(reductions.accumulate("sum", self, *args, **kwargs))

    def prod(self, *args: Any, **kwargs: Any) -> Tracer:
        return self._new(reductions.accumulate("prod", self, *args, **kwargs))

    def max(self, *args: Any, **kwargs: Any) -> Tracer:
        return self._new(reductions.extreme("max", self, *args, **kwargs))

    def min(self, *args: Any, **kwargs: Any) -> Tracer:
        return self._new(reductions.extreme("min", self, *args, **kwargs))

    def any(self, *args: Any, **kwargs: Any) -> Tracer:
        return self._new(reductions.logic("any", self, *args, **kwargs))

    def all(self, *args: Any, **kwargs: Any) -> Tracer:
        return self._new(reductions.logic("all", self, *args, **kwargs))

    def mean(self, *args: Any, **kwargs: Any) -> Tracer:
        return self._new(reductions.mean(self, *args, **kwargs))

    def var(self, *args: Any, **kwargs: Any) -> Tracer:
        return self._new(reductions.spread("var", self, *args, **kwargs))

    def std(self, *args: Any, **kwargs: Any) -> Tracer:
        return self._new(reductions.spread("std", self, *args, **kwargs))

    def argmax(self, *args: Any, **kwargs: Any) -> Tracer:
        return self._new(reductions.index("argmax", self, *args, **kwargs))

    def argmin(self, *args: Any, **kwargs: Any) -> Tracer:
        return self._new(reductions.index("argmin", self, *args, **kwargs))

    def cumsum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Tracer:
        return reducing.scan(self, "cumsum", axis, dtype, out)

    def cumprod(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Tracer:
        return reducing.scan(self, "cumprod", axis, dtype, out)

    # --- views -------------------------------------------------------------------------------

    @property
    def T(self) -> Tracer:  # noqa: N802
        return viewing.transpose(self, None)

    @property
    def mT(self) -> Tracer:  # noqa: N802
        if self.ndim < 2:
            raise ValueError("matrix transpose with ndim < 2 is undefined")
        return viewing.swapaxes(self, -1, -2)

    def transpose(self, *axes: Any) -> Tracer:
        given = axes[0] if len(axes) == 1 and not hasattr(axes[0], "__index__") else axes or None
        return viewing.transpose(self, given)

    def swapaxes(self, axis1: Any, axis2: Any) -> Tracer:
        return viewing.swapaxes(self, axis1, axis2)

    def reshape(self, *shape: Any, order: str = "C", copy: Any = None) -> Tracer:
        if order not in ("C", "A"):
            raise trace_error(f"reshape in order {order!r}", "transpose before and after")
        return viewing.reshape(self, shape[0] if len(shape) == 1 else shape)

    def ravel(self, order: str = "C") -> Tracer:
        return self.reshape(-1, order="C" if order == "K" else order)

    def flatten(self, order: str = "C") -> Tracer:
        return self.ravel(order)

    def squeeze(self, axis: Any = None) -> Tracer:
        return viewing.squeeze(self, axis)

    def __getitem__(self, key: Any) -> Tracer:
        return viewing.getitem(self, key)

    def __iter__(self) -> Iterator[Tracer]:
        return iter(viewing.unpack(self))

    # --- what a trace cannot record ----------------------------------------------------------

    def __bool__(self) -> Never:
        raise trace_error("a branch on the values of an array", _BRANCH)

    def _no_number(self, *_: Any) -> Never:
        raise trace_error("the conversion of an array to a Python number", "keep it an array")

    __float__ = __int__ = __index__ = __complex__ = item = tolist = _no_number

    def __contains__(self, _: object) -> Never:
        raise trace_error("'in', which branches on the values of an array", _BRANCH)

    def __setitem__(self, _: object, __: object) -> Never:
        raise trace_error("assignment into an array", _MUTATE)

    def __array__(self, *_: Any, **__: Any) -> Never:
        raise trace_error(
            "the conversion to an ndarray (np.array, np.asarray, or a function that calls them)",
            "use NumPy's elementwise functions on the array itself",
        )

    def __getattr__(self, name: str) -> Never:
        if hasattr(np.ndarray, name) and not name.startswith("__"):
            raise trace_error(
                f"the attribute '.{name}' of an array", "do this outside of the fused function"
            )
        raise AttributeError(f"'numpy.ndarray' object has no attribute {name!r}")

    def _assign(self, value: int) -> Tracer:
        """Become `value`, as the target of ``+=`` and ``out=`` does."""
        if self._argument is not None:
            raise trace_error(
                f"the modification of argument {self._argument!r} in place",
                "make a new array (x = x + 1), and pass out= to the fused function",
            )
        self.value = value
        return self


class WeakScalar(TracedScalar):
    """A Python number that was passed as an argument: weak in promotion, known at each call.

    Sums, differences, products and quotients with other Python numbers are recorded. Anything
    else that looks at the number makes the trace hold for this value alone.
    """

    def __init__(
        self,
        graph: Graph,
        compute: Callable[[Sequence[Any]], Any],
        sample: Any,
        labels: frozenset[str],
        *,
        derived: bool = False,
    ) -> None:
        self.graph = graph
        self.compute = compute
        self.sample = sample
        self.labels = labels
        self.derived = derived

    __array_ufunc__ = Tracer.__array_ufunc__
    __array_function__ = Tracer.__array_function__

    def _binary(self, function: Callable[[Any, Any], Any], other: Any, swap: bool) -> Any:
        own = self.compute
        if isinstance(other, WeakScalar):
            theirs, sample, labels = other.compute, other.sample, self.labels | other.labels
        elif type(other) in (bool, int, float, complex):
            theirs, sample, labels = (lambda _: other), other, self.labels
        else:
            return NotImplemented
        if swap:
            return WeakScalar(
                self.graph,
                lambda s: function(theirs(s), own(s)),
                function(sample, self.sample),
                labels,
                derived=True,
            )
        return WeakScalar(
            self.graph,
            lambda s: function(own(s), theirs(s)),
            function(self.sample, sample),
            labels,
            derived=True,
        )

    def __neg__(self) -> WeakScalar:
        negated: WeakScalar = self._binary(operator.mul, -1, False)
        return negated

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.known()


def _arithmetic(symbol: Callable[[Any, Any], Any], ufunc: np.ufunc, swap: bool) -> Any:
    def method(self: WeakScalar, other: Any) -> Any:
        result = self._binary(symbol, other, swap)
        if result is NotImplemented and not isinstance(other, Tracer):
            return ufunc(other, self) if swap else ufunc(self, other)
        return result

    return method


def _value_method(name: str) -> Any:
    def method(self: WeakScalar, *args: Any) -> Any:
        if any(isinstance(arg, (Tracer, np.ndarray)) for arg in args):
            return NotImplemented
        self.known()

    return method


for _name, _symbol, _ufunc in (
    ("add", operator.add, np.add),
    ("sub", operator.sub, np.subtract),
    ("mul", operator.mul, np.multiply),
    ("truediv", operator.truediv, np.divide),
):
    setattr(WeakScalar, f"__{_name}__", _arithmetic(_symbol, _ufunc, False))
    setattr(WeakScalar, f"__r{_name}__", _arithmetic(_symbol, _ufunc, True))
for _name in (
    "eq ne lt le gt ge bool float int index complex hash format str repr pow rpow floordiv "
    "rfloordiv mod rmod divmod rdivmod abs pos invert round trunc floor ceil and or xor lshift "
    "rshift rand ror rxor"
).split():
    setattr(WeakScalar, f"__{_name}__", _value_method(f"__{_name}__"))


def call_ufunc(
    graph: Graph, ufunc: np.ufunc, method: str, inputs: Sequence[Any], kwargs: dict[str, Any]
) -> Any:
    """Record ``ufunc.method(*inputs, **kwargs)``."""
    out = kwargs.pop("out", None) or ()
    if method == "reduce":
        return Tracer(graph, reductions.by_ufunc(graph, ufunc, inputs, dict(kwargs, out=out)))
    if method != "__call__":
        raise trace_error(f"np.{ufunc.__name__}.{method}", "call it outside")
    values = ufuncs.apply(graph, ufunc, inputs, kwargs)
    targets = (*out, *(None,) * (len(values) - len(out)))
    results = tuple(
        Tracer(graph, value) if target is None else _store(graph, value, target)
        for value, target in zip(values, targets, strict=True)
    )
    return results[0] if len(results) == 1 else results


def _store(graph: Graph, value: int, target: Any) -> Tracer:
    if not isinstance(target, Tracer):
        raise trace_error("out= with an array from outside", _MUTATE)
    if not np.can_cast(graph.dtype(value), target.dtype, "same_kind"):
        raise TypeError(
            f"Cannot cast ufunc output from {graph.dtype(value)!r} to {target.dtype!r} "
            "with casting rule 'same_kind'"
        )
    shape, expected = (graph.values[v].shape for v in (value, target.value))
    if shape != expected:
        if broadcast_shapes(shape, expected) != expected:
            raise ValueError(
                f"non-broadcastable output operand with shape {expected} doesn't match "
                f"the broadcast shape {shape}"
            )
        raise trace_error("in-place arithmetic that broadcasts", "write x = x + y")
    origin, other = (graph.values[v].origin for v in (value, target.value))
    if origin != other or (not origin and shape):
        graph.shape_dependent = True  # arrays of other shapes might not fit the target
    return target._assign(graph.cast(value, target.dtype))
