"""`fuse`: a NumPy function as one pass over memory."""

from __future__ import annotations

import functools
import inspect
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..interop import as_output, wrap_like
from .arguments import Arguments
from .bound import BoundFunction
from .environment import Environment
from .errors import trace_error
from .mapping import Mapped
from .program import Program, code_of
from .shapes import Shape
from .traced import ValueNeeded, is_traced
from .views import Path, walk, way_back

Array = NDArray[Any]

if TYPE_CHECKING:
    from .explain import Explanation
    from .specialisation import Specialisation

    class ProgramCall:
        """Base of callables that end in a program; compiled where there is an extension."""

        _fast: Any

        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

else:
    try:
        from .._fast import ProgramCall
    except ImportError:

        class ProgramCall:
            """Base of callables that end in a program, without the extension."""

            _fast = None

            def __call__(self, *args, **kwargs):
                return self._general_call(args, kwargs)


class CacheInfo(NamedTuple):
    """Counts of the cache of a fused function, like those of `functools.lru_cache`."""

    hits: int
    misses: int
    maxsize: int
    currsize: int


class FusedFunction(Mapped, ProgramCall):
    """A function made by `fuse`. Call it like the function it was made of, with ``out=`` besides.

    Attributes
    ----------
    __wrapped__ : callable
        The function in plain NumPy.
    """

    __wrapped__: Callable[..., Any]
    __signature__: inspect.Signature

    def __init__(self, function: Callable[..., Any], *, cache_size: int = 64) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._label = getattr(function, "__name__", type(function).__name__)
        try:
            self._names = tuple(inspect.signature(function).parameters)
        except (TypeError, ValueError):
            self._names = ()
        self._environment = Environment(function)
        self._cache_size = cache_size
        self._lock = threading.RLock()
        self._specialisations: OrderedDict[Any, Specialisation] = OrderedDict()
        self._shape_keys: set[Any] = set()  # keys of traces that looked at shapes
        self._static: frozenset[str] = frozenset()  # scalars whose values are part of the key
        self._hits = self._misses = 0
        self._epoch = 0  # how often the cache was cleared
        _FUNCTIONS.add(self)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else BoundFunction(self, instance)

    def __reduce__(self) -> str:
        return str(getattr(self, "__qualname__", self._label))

    def __repr__(self) -> str:
        return f"<fused function {self._label}>"

    # --- calls -------------------------------------------------------------------------------

    def _general_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Do any call: the base class has already done those that repeat an earlier one."""
        kwargs = dict(kwargs)
        out = kwargs.pop("out", None)
        if is_traced(args) or is_traced(tuple(kwargs.values())):
            if out is not None:
                raise trace_error(f"out= of {self._label}", "use the result it returns")
            return self._function(*args, **kwargs)
        arguments, spec = self._specialised(args, kwargs)
        if spec is None:
            return self._without_arrays(args, kwargs, out)
        if out is None:
            targets = None
        else:
            given = _tuple_of_outputs(self._label, out, len(spec.dtypes))
            targets = [
                None if one is None else as_output(one, function=self._label) for one in given
            ]
            codes = tuple(
                code_of(dtype if target is None else target.dtype)
                for dtype, target in zip(spec.dtypes, targets, strict=True)
            )
            _check_casting(self._label, spec.dtypes, targets)
            spec = spec.converted(codes)
        plan = spec.plan(arguments.shapes)
        if targets is None:
            outputs = [
                executors.empty(shape, dtype)
                for shape, dtype in zip(plan.bases, spec.dtypes, strict=True)
            ]
            spec.run(arguments, plan, outputs, self._label)
            results = [
                _result(walk(path, array), arguments.templates)
                for path, array in zip(plan.paths, outputs, strict=True)
            ]
        else:
            _check_shapes(self._label, plan.shapes, targets)
            arguments.arrays, spec = _moved_apart(arguments, spec, targets, plan.in_place)
            outputs = [
                _written(target, path, shape, dtype)
                for target, path, shape, dtype in zip(
                    targets, plan.paths, plan.bases, spec.dtypes, strict=True
                )
            ]
            spec.run(arguments, plan, outputs, self._label)
            results = []
            for one, target, path, array in zip(given, targets, plan.paths, outputs, strict=True):
                seen = walk(path, array)
                if target is None:
                    results.append(_result(seen, arguments.templates))
                    continue
                if path and not np.may_share_memory(target, array):
                    np.copyto(target, seen)
                results.append(one)
        return spec.result(results)

    def _without_arrays(self, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> Any:
        """Call the function as it is: with Python numbers alone there is nothing to fuse."""
        if out is not None:
            raise TypeError(f"{self._label}: out= needs an array among the arguments")
        return self._function(*args, **kwargs)

    def _specialised(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], repeated: bool = True
    ) -> tuple[Arguments, Specialisation | None]:
        """Return the specialisation for these arguments, tracing where there is none yet.

        `repeated`: whether the short way of calls that repeat this one is to be prepared.
        The lock is not held while tracing, which runs the user's code: that may wait for another
        thread, or fork. Threads may so trace the same twice; the first to be done is kept.
        """
        compared = False
        while True:
            arguments = self._taken(args, kwargs)
            if not arguments.arrays:
                return arguments, None
            # Before the key: a variable rebound in between then fails its guard.
            guards = self._environment.guards()
            environment = self._environment.key()
            key: Any = (arguments.key, environment)
            try:
                spec, epoch = self._look_up(key, arguments)
                if spec is None:
                    traced = self._trace(arguments, args, kwargs)
                    if not compared and self._environment.watch(traced.captured):
                        compared = True  # by a key that says what those arrays hold
                        continue
                    if self._environment.writes:  # what it has changed itself is no reason to trace
                        arguments = self._taken(args, kwargs)
                        key = (arguments.key, self._environment.key())
                    spec = self._keep(key, arguments, traced, epoch)
                if not repeated:
                    return arguments, spec
                fast = spec.fast(arguments, spec.plan(arguments.shapes), None if kwargs else args)
            except ValueNeeded as needed:
                with self._lock:
                    self._static = self._static | needed.labels
                continue
            if fast and environment:
                fast = fast.guarded(guards)
            with self._lock:
                if epoch == self._epoch:
                    self._fast = fast
            return arguments, spec

    def _taken(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
        return Arguments(args, kwargs, self._names, self._static, self._label, self._environment.of)

    def _look_up(self, key: Any, arguments: Arguments) -> tuple[Specialisation | None, int]:
        """Return the specialisation that is kept, if any, and the epoch of the cache."""
        with self._lock:
            if key in self._shape_keys:
                key = (key, arguments.shapes)
            spec = self._specialisations.get(key)
            if spec is not None:
                self._hits += 1
                self._specialisations.move_to_end(key)
            return spec, self._epoch

    def _keep(
        self, key: Any, arguments: Arguments, traced: Specialisation, epoch: int
    ) -> Specialisation:
        """Keep what was traced in `epoch`; return what another thread has kept before, if any."""
        with self._lock:
            if epoch != self._epoch:  # cleared meanwhile: it holds for this call alone
                return traced
            if traced.shape_dependent and key not in self._shape_keys:
                if len(self._shape_keys) >= self._cache_size:
                    self._shape_keys.clear()
                self._shape_keys.add(key)
            if key in self._shape_keys:
                key = (key, arguments.shapes)
            known = self._specialisations.get(key)
            if known is not None:
                self._hits += 1
                return known
            self._misses += 1
            self._specialisations[key] = traced
            while len(self._specialisations) > self._cache_size:
                self._specialisations.popitem(last=False)
            return traced

    def _trace(
        self, arguments: Arguments, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Specialisation:
        from .specialisation import specialise  # tracing is imported with the first call

        try:
            return specialise(self._function, arguments)
        except ValueError as error:
            text = str(error)
            if "could not be broadcast together" not in text or "arguments have shapes" in text:
                raise
            given = zip(arguments.array_labels, arguments.shapes, strict=True)
            named = ", ".join(f"{label} {shape}" for label, shape in given)
            raise ValueError(f"{text}; the arguments have shapes {named}") from None
        except TypeError as error:
            # A string is an option, which the function may test; only where it has been computed
            # with does the trace complain of a str, without knowing whose it was.
            passed = [*zip(self._names, args, strict=False), *kwargs.items()]
            strings = [(name, value) for name, value in passed if type(value) is str]
            if type(error) is not TypeError or "(str)" not in str(error) or not strings:
                raise
            names = " or ".join(repr(name) for name, _ in strings)
            values = " or ".join(repr(value) for _, value in strings)
            raise TypeError(
                f"{self._label}: argument {names}: expected an array or a number, since the "
                f"function computes with it, got {values} (str)"
            ) from error

    # --- inspection --------------------------------------------------------------------------

    def program(self, *args: Any, **kwargs: Any) -> Program:
        """Return the program for such arguments, of whatever shapes.

        Raises
        ------
        TypeError
            If there is no array among the arguments.
        """
        return self._traced(args, kwargs)[1].program

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """Say what a call with these arguments runs, without computing anything.

        Parameters
        ----------
        *args, **kwargs
            As for a call.
        plot : str or path, optional
            A file for a drawing of the passes, of a type that its name says: ``"passes.svg"``. It
            appears whole or not at all. (Where the function has an argument of this name, use
            ``explain(...).plot().savefig``.)

        Returns
        -------
        Explanation
            Executor, passes, programs and bytes moved; ``print`` it.

        Raises
        ------
        ImportError
            If `plot` is given and matplotlib is not installed.
        """
        from .explain import explain  # nobody else needs it, and importing ufuse is to be quick

        plot = kwargs.pop("plot", None) if "plot" not in self._names else None
        arguments, spec = self._traced(args, kwargs)
        explained = explain(self._label, spec, arguments)
        if plot is not None:
            from .drawing import save

            save(explained, plot)
        return explained

    def as_ufunc(self, signature: Any = None) -> Any:
        """Make a genuine `numpy.ufunc` of a function of elements.

        Parameters
        ----------
        signature : str, tuple of dtype, or list of these, optional
            Types of the arguments of each loop, and of the results behind an arrow where they are
            not those of the function: ``"ff"``, ``"ff->d"``, ``"f4,i1->f4"``, ``(np.float32,
            np.int8)``. By default all arguments are float32 in one loop and float64 in another.

        Returns
        -------
        numpy.ufunc
            With NumPy's `out`, `where`, `casting`, `dtype`, `reduce`, `accumulate` and `outer`; it
            takes objects of other libraries by NumPy's protocols. Without the extension an object
            that is called in the same way.

        Raises
        ------
        TypeError
            If the function is not of elements alone: it reduces, contracts, makes views, looks at
            shapes, or uses an array from outside. If a type cannot be read or is not one of NumPy's
            numbers, or a result cannot be cast to its type.
        ValueError
            If there are other numbers of types than of arguments or results.

        Notes
        -----
        Arguments without a default are arrays, and those with one too if the signature has a type
        for them; other arguments have their defaults. Numbers and arrays of no dimension from
        outside of the function are kept as they are now. NumPy takes the loop of exactly the
        inputs' dtypes, or else the first that they can be cast to safely. An argument that reads
        the memory of a result, as in `reduce` along memory, is done an element at a time.

        Examples
        --------
        >>> import numpy as np
        >>> @fuse
        ... def lerp(a, b, t):
        ...     return a + t * (b - a)
        >>> ufunc = lerp.as_ufunc()
        >>> ufunc.types
        ['fff->f', 'ddd->d']
        >>> ufunc([0.0, 10.0], 20.0, 0.5)
        array([10., 15.])
        """
        from .as_ufunc import as_ufunc  # nobody else needs it

        return as_ufunc(self, signature)

    def environment(self) -> tuple[Any, ...]:
        """Return what a trace depends on beside the arguments."""
        return self._environment.key()

    def traced(self, *args: Any) -> tuple[Arguments, Specialisation]:
        """Return what a call with these arguments would run, and the arguments taken apart."""
        return self._traced(args, {})

    def _traced(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Arguments, Specialisation]:
        arguments, spec = self._specialised(args, kwargs, repeated=False)
        if spec is None:
            raise TypeError(f"{self._label}: no array among the arguments, so nothing is fused")
        return arguments, spec

    def cache_info(self) -> CacheInfo:
        """Return how many calls found a specialisation, how many traced, and how many are kept.

        Calls that the compiled entry point repeats are not counted.
        """
        with self._lock:
            return CacheInfo(self._hits, self._misses, self._cache_size, len(self._specialisations))

    def cache_clear(self) -> None:
        """Forget all specialisations; the next call traces again."""
        with self._lock:
            self._specialisations.clear()
            self._shape_keys.clear()
            self._static = frozenset()
            self._hits = self._misses = 0
            self._epoch += 1
            self._fast = None


# Those alive, for `_renew_locks`.
_FUNCTIONS: WeakSet[FusedFunction] = WeakSet()


def _renew_locks() -> None:
    """Give every function a lock of its own in a forked child.

    A thread that held one is not in the child, and would never release it. What it guards changes
    by single operations on built-in containers, so that the child finds them whole.
    """
    for function in list(_FUNCTIONS):
        function._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def _result(array: Array, templates: Sequence[Any]) -> Any:
    result = array[()] if array.ndim == 0 else array  # a scalar, as ufuncs give
    return wrap_like(result, *templates) if templates else result


def _written(target: Array | None, path: Path, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Return the array that a result is computed in: `target`, where `path` has a way back."""
    if target is None:
        return executors.empty(shape, dtype)
    array = walk(way_back(path, shape), target)
    if path and not np.may_share_memory(array, target):
        return executors.empty(shape, target.dtype)
    return array


def _tuple_of_outputs(function: str, out: Any, count: int) -> tuple[Any, ...]:
    several = isinstance(out, tuple) or (isinstance(out, list) and count > 1)
    given = tuple(out) if several else (out,)
    if len(given) != count:
        raise ValueError(
            f"{function}: argument 'out': expected {count} array{'s' * (count > 1)}, "
            f"one for each result, got {len(given)}"
        )
    return given


def _check_casting(
    function: str, dtypes: Sequence[np.dtype[Any]], targets: Sequence[Array | None]
) -> None:
    for dtype, target in zip(dtypes, targets, strict=True):
        if target is not None and not np.can_cast(dtype, target.dtype, "same_kind"):
            raise TypeError(
                f"{function}: argument 'out' has dtype {target.dtype}, to which the result's "
                f"{dtype} cannot be cast by the rule 'same_kind'; use .astype in the function"
            )


def _check_shapes(
    function: str, shapes: Sequence[tuple[int, ...]], targets: Sequence[Array | None]
) -> None:
    for shape, target in zip(shapes, targets, strict=True):
        if target is not None and target.shape != shape:
            raise ValueError(
                f"{function}: argument 'out' has shape {target.shape}, expected {shape}"
            )
    given = [target for target in targets if target is not None]
    for place, target in enumerate(given):
        if any(executors.overlap(target, other) for other in given[:place]):
            raise ValueError(f"{function}: argument 'out': its arrays overlap each other")


def _moved_apart(
    arguments: Arguments, spec: Specialisation, targets: Sequence[Array | None], single_run: bool
) -> tuple[list[Array], Specialisation]:
    """Copy the inputs that writing to the outputs would change before they are read."""

    def apart(array: Array) -> Array:
        for target in targets:
            if target is not None:
                array = executors.apart(array, target)
                if not single_run and executors.overlap(array, target):
                    array = array.copy()
        return array

    captured = tuple(apart(array) for array in spec.captured)
    if any(new is not old for new, old in zip(captured, spec.captured, strict=True)):
        spec = spec.reading(captured)
    return [apart(array) for array in arguments.arrays], spec


@overload
def fuse(function: Callable[..., Any], /, *, cache_size: int = 64) -> FusedFunction: ...
@overload
def fuse(
    function: None = None, /, *, cache_size: int = 64
) -> Callable[[Callable[..., Any]], FusedFunction]: ...
def fuse(function: Callable[..., Any] | None = None, /, *, cache_size: int = 64) -> Any:
    """Make a NumPy function run as one pass over memory.

    The function is called once for each kind of arguments with stand-ins that record the NumPy
    functions they pass through; later calls run what was recorded, without temporary arrays.

    Parameters
    ----------
    function : callable
        A function of arrays, written in NumPy: ufuncs and operators, `numpy.where`, `numpy.clip`,
        `numpy.select` and their like, ``astype``, reductions over any axes, slices, transposes and
        reshapes, and ``@``, `numpy.einsum` and NumPy's other products. It may return
        several arrays, in a tuple, list or dict.
    cache_size : int, optional
        For how many kinds of arguments to keep what was recorded.

    Returns
    -------
    FusedFunction
        A function of the same arguments, and ``out=``: an array, or a tuple with one for each
        result, in the order in which they are returned. Results are new arrays.

    Raises
    ------
    TypeError
        If `function` cannot be called.
    TraceError
        At the first call, where the function does what cannot be recorded: branches on values,
        masks and arrays as indices, assignment into an array, functions that are not known. It
        names the line.

    Notes
    -----
    dtypes are those of NumPy (NEP 50). A kind of arguments is the dtype and number of dimensions
    of each array (and the shapes, if the function looks at them), the type of each Python number,
    and the value of everything else: bool, None, str, tuples of numbers, objects. A Python number
    whose value the function looks at becomes part of the kind. Arrays inside tuples are arrays.

    Arrays that the function uses from outside are read at each call. Where anything else that it
    found outside has changed, it is recorded anew: a variable, an attribute, an entry of a
    container, in itself or in the functions that it calls. What it changes itself while it is
    recorded is no reason to.

    A contraction is a pass over memory of its own, in which its operands and what becomes of its
    sums are computed too: see `explain`, and the page on contractions.

    An argument returned as it is is copied.

    Floating-point warnings are NumPy's, as `numpy.errstate` says: "divide by zero encountered in
    divide". Functions that NumPy lacks and contractions give none. Where ``out`` overwrites an
    argument, they name the fused function.

    Examples
    --------
    >>> import numpy as np
    >>> @fuse
    ... def lerp(a, b, t):
    ...     return a + t * (b - a)
    >>> lerp(np.float32([0, 10]), np.float32([1, 20]), 0.5)
    array([ 0.5, 15. ], dtype=float32)
    """
    if function is None:
        return functools.partial(fuse, cache_size=cache_size)
    if not callable(function):
        raise TypeError(
            f"ufuse.fuse: argument 'function': expected a callable, got {function!r} "
            f"({type(function).__name__})"
        )
    return FusedFunction(function, cache_size=cache_size)
