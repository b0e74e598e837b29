"""The executors, and the one place that decides which of them runs.

``native`` is the C++ core, ``reference`` plain NumPy. ``UFUSE_BACKEND`` forces one of them; without
it the native executor runs where the extension is there, and the reference executor where it is not
and for the element types and operations that are not compiled.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..fusion.instructions import Reduction
from ..fusion.program import Program
from . import float_errors, reference

Backend = Literal["native", "reference"]

_F = TypeVar("_F", bound=Callable[..., Any])

_wanted = os.environ.get("UFUSE_BACKEND", "")
if _wanted not in ("", "native", "reference"):
    raise ImportError(
        f"UFUSE_BACKEND: expected 'native' or 'reference', got {_wanted!r}; unset it to use the "
        "native executor where there is one"
    )

native: Any = None
if _wanted != "reference":
    # An extension that is there and does not load is an error, and not a reason to be slow.
    if find_spec("ufuse._core") is not None:
        native = import_module(".native", __name__)
    elif _wanted == "native":
        raise ImportError(
            "UFUSE_BACKEND=native, but this installation has no native extension; reinstall with "
            "a C++ compiler present and UFUSE_PURE unset"
        )

_BACKEND: Backend = "reference" if native is None else "native"


def backend() -> Backend:
    """Return the executor that is asked first: ``"native"`` or ``"reference"``."""
    return _BACKEND


@lru_cache(maxsize=64)
def of(package: str) -> Any:
    """Return the module of `package` that runs: its ``native`` or its ``reference``."""
    return import_module(f".{_BACKEND}", package)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an uninitialised array; a large one from the pool of result blocks."""
    result: NDArray[Any] = np.empty(shape, dtype) if native is None else native.empty(shape, dtype)
    return result


# Candidates that `overlap` may look at. Views of one array, whatever their steps, are decided at
# once; the bound keeps a contrived pair of strides from costing more than a copy.
_OVERLAP_WORK = 1000


def overlap(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Return whether two arrays have a byte in common, or True where that is hard to find out.

    Interleaved views (``x[::2]`` and ``x[1::2]``, or two columns) do not overlap.
    """
    if not np.may_share_memory(a, b):  # their bounds: almost always the whole answer
        return False
    try:
        return np.shares_memory(a, b, max_work=_OVERLAP_WORK)  # type: ignore[arg-type]  # any int
    except (np.exceptions.TooHardError, OverflowError):
        return True


def apart(array: NDArray[Any], out: NDArray[Any]) -> NDArray[Any]:
    """Return `array`, or a copy of it where writing `out` would change what is still to be read.

    The same elements at the same places need no copy: they are read before they are written.
    """
    if not overlap(array, out):
        return array
    same = (
        array.shape == out.shape
        and array.strides == out.strides
        and array.itemsize == out.itemsize
        and array.__array_interface__["data"][0] == out.__array_interface__["data"][0]
    )
    return array if same and not _overlaps_itself(out) else array.copy()


def _overlaps_itself(array: NDArray[Any]) -> bool:
    """Return whether elements share bytes, or True where strides alone do not tell."""
    span = array.itemsize
    for stride, extent in sorted(zip(map(abs, array.strides), array.shape, strict=True)):
        if extent > 1:
            if stride < span:
                return True
            span += stride * (extent - 1)
    return False


def traceable(general: _F) -> _F:
    """Let a function of an array be recorded where the array is under trace (`ufuse.fuse`)."""

    @wraps(general)
    def function(*args: Any, **kwargs: Any) -> Any:
        record = getattr(type(args[0]), "call_of_ufuse", None) if args else None
        if record is not None:
            return record(args[0], general.__name__, *args[1:], **kwargs)
        return general(*args, **kwargs)

    return cast(_F, function)


def fast_linear(programs: Mapping[str, Program]) -> Callable[[_F], _F]:
    """Put the native fast entry before a linear quantization function.

    Parameters
    ----------
    programs : mapping
        Element code of the zero point to the program for float32, scales and zero points.
    """

    def decorate(general: _F) -> _F:
        return general if native is None else cast(_F, native.fast_linear(general, programs))

    return decorate


def fast_dynamic(program: Program, kind: type) -> Callable[[_F], _F]:
    """Put the native fast entry before dynamic quantization, by `program`, to a tuple `kind`."""

    def decorate(general: _F) -> _F:
        return general if native is None else cast(_F, native.fast_dynamic(general, program, kind))

    return decorate


def fast_reduction(
    reducer: str,
    finish: str,
    results: Mapping[str, str],
    *,
    component: int = 0,
    finite: bool = False,
    choices: Mapping[Any, tuple[str, str]] | None = None,
) -> Callable[[_F], _F]:
    """Put the native fast entry before a reduction of the catalogue.

    Parameters
    ----------
    reducer, finish : str
        A row of the catalogue's reducers, and what becomes of its state: of `FINISHES`.
    results : mapping
        Element code of the array to that of the result, for the types the fast entry may take.
    component : int
        Of the state: where the finish starts.
    finite : bool
        Whether a result that is not finite is left to the general function, which may warn of it.
    choices : mapping, optional
        Values of the second parameter to the reducer and finish that they choose; None, its
        default, chooses the first two arguments.
    """

    def decorate(general: _F) -> _F:
        general = traceable(general)
        if native is None:
            return general
        entry = native.fast_reduction(
            general, reducer, finish, results, component, finite, choices or {}
        )
        return cast(_F, entry)

    return decorate


def fast_several(
    plan: Callable[[Any], tuple[type, tuple[Any, ...]] | None], default: Any = None
) -> Callable[[_F], _F]:
    """Put the native fast entry before several reductions whose results are a named tuple.

    Parameters
    ----------
    plan : callable
        From the value of the parameter between the array and `axis` (None, where there is none) to
        the named tuple, and for each field a function with a fast entry; or to None, where only the
        general function can tell.
    default : object
        Of that parameter.
    """

    def decorate(general: _F) -> _F:
        general = traceable(general)
        return general if native is None else cast(_F, native.fast_several(general, plan, default))

    return decorate


def fast_order(scale: float, *, skip_nan: bool) -> Callable[[_F], _F]:
    """Put the native fast entry before a median or quantile.

    Parameters
    ----------
    scale : float
        What the argument `q` is divided by; 0 for a median, which has none.
    skip_nan : bool
        Whether NaN do not count.
    """

    def decorate(general: _F) -> _F:
        general = traceable(general)
        return general if native is None else cast(_F, native.fast_order(general, scale, skip_nan))

    return decorate


def fast_average(mean: Callable[..., Any]) -> Callable[[_F], _F]:
    """Put the native fast entry before a weighted average, which is `mean` without weights."""

    def decorate(general: _F) -> _F:
        return general if native is None else cast(_F, native.fast_average(general, mean))

    return decorate


def fast_histogram(general: _F) -> _F:
    """Put the native fast entry before the histogram function."""
    return general if native is None else cast(_F, native.fast_histogram(general))


def fast_bincount(general: _F) -> _F:
    """Put the native fast entry before bincount."""
    return general if native is None else cast(_F, native.fast_bincount(general))


def fast_topk(kind: type) -> Callable[[_F], _F]:
    """Put the native fast entry before topk, whose result is a named tuple of this `kind`."""

    def decorate(general: _F) -> _F:
        return general if native is None else cast(_F, native.fast_topk(general, kind))

    return decorate


def fast_windows(operations: Sequence[str]) -> Callable[[_F], _F]:
    """Put the native fast entry before move_reduce; `operations` in the order of the core's."""

    def decorate(general: _F) -> _F:
        return general if native is None else cast(_F, native.fast_windows(general, operations))

    return decorate


def fast_softmax(*, logarithm: bool) -> Callable[[_F], _F]:
    """Put the native fast entry before softmax or its logarithm."""

    def decorate(general: _F) -> _F:
        general = traceable(general)
        return general if native is None else cast(_F, native.fast_softmax(general, logarithm))

    return decorate


def fast_contraction(*, subscripts: bool, first: Callable[..., Any]) -> Callable[[_F], _F]:
    """Put the native fast entry before a contraction.

    Parameters
    ----------
    subscripts : bool
        Whether they come first.
    first : callable
        From the entry, the subscripts or None, and two arrays that it does not know, to their
        product, or to None, where the general function is to be asked.
    """

    def decorate(general: _F) -> _F:
        if native is None:
            return general
        return cast(_F, native.fast_contraction(general, subscripts, first))

    return decorate


def fast_parts(
    operations: Mapping[str, Mapping[str, tuple[str, str, str, int, np.dtype[Any], bool]]],
    *,
    groups: bool,
) -> Callable[[_F], _F]:
    """Put the native fast entry before a reduction of segments or groups.

    Parameters
    ----------
    operations : mapping
        By name and element code, what an operation runs: the reducer, the element type, the finish,
        the component of the state it starts with, the dtype of the result, and whether an empty
        part is for the general function, which warns or raises.
    groups : bool
        Whether the parts are groups, and not segments.
    """

    def decorate(general: _F) -> _F:
        return (
            general if native is None else cast(_F, native.fast_parts(general, groups, operations))
        )

    return decorate


def fast_scan(scan: str, results: Mapping[str, str]) -> Callable[[_F], _F]:
    """Put the native fast entry before a scan.

    Parameters
    ----------
    scan : str
        Name of the scan: of ``_core.scans()``.
    results : mapping
        Element code of the array to that of the result, for the types the fast entry may take.
    """

    def decorate(general: _F) -> _F:
        general = traceable(general)
        return general if native is None else cast(_F, native.fast_scan(general, scan, results))

    return decorate


def fast_layer(
    epilogue: Callable[[str, bool, Any], Program | None], packed: type, kept: type
) -> Callable[[_F], _F]:
    """Put the native fast entry before linear.

    Parameters
    ----------
    epilogue : callable
        From what is summed, whether there is a bias, and the activation to a program for float32;
        or to None, where only the general function can tell.
    packed, kept : type
        The class of packed weights, and that of weights that keep theirs.
    """

    def decorate(general: _F) -> _F:
        if native is None:
            return general
        return cast(_F, native.fast_layer(general, epilogue, packed, kept))

    return decorate


def run_program(
    program: Program, inputs: Sequence[NDArray[Any]], outputs: Sequence[NDArray[Any]]
) -> None:
    """Run `program` on the executor that can: see `reference.run_program` for the arguments.

    Outputs must not overlap inputs, unless they are the same elements.
    """
    if native is not None and native.as_run(program) is not None:
        native.run_program(program, inputs, outputs)
    else:
        reference.run_program(program, inputs, outputs)


def watch() -> None:
    """Forget the floating-point errors suspected of this thread so far."""
    if native is not None:
        native.take_errors()


def suspected(program: Program | None) -> int:
    """Return the floating-point errors suspected since `watch`, in what has also run `program`.

    All of them where that has not run natively: NumPy clears what the processor says.
    """
    if native is None or (program is not None and native.as_run(program) is None):
        return sum(float_errors.Errors)
    errors: int = native.take_errors()
    return errors


def tell_of_nothing(reduction: Reduction, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Give NumPy's warnings of a reduction of no elements: means and variances have some."""
    reference.reduce_as_numpy(reduction, np.empty(shape, dtype.newbyteorder("=")))


def run_reported(
    program: Program,
    inputs: Sequence[NDArray[Any]],
    outputs: Sequence[NDArray[Any]],
    function: str,
) -> None:
    """Run `program` for a function of the user's, and tell of floating-point errors.

    `function` is its name; see `run_program` for the others.
    """
    if native is not None and native.as_run(program) is not None:
        errors = native.run_program(program, inputs, outputs)
        if errors:
            float_errors.report(program, inputs, outputs, errors, function)
        return
    wanted = float_errors.wanted() if float_errors.speaks(program) else 0
    heard = float_errors.Heard() if wanted else None
    reference.run_program(program, inputs, outputs, heard)
    if heard is not None:
        heard.tell(wanted)
