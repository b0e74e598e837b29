"""A compiled expression: a fused function of its names, with numexpr's options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .. import executors
from ..fusion import FusedFunction, fuse
from ..interop import as_output
from .refusals import Place
from .steps import Steps

ORDERS: Final = ("K", "C", "F", "A")
CASTINGS: Final = ("no", "equiv", "safe", "same_kind", "unsafe")

_SCALARS: Final = (bool, int, float, complex)


class Expression:
    """An expression that can be called for any arguments.

    Attributes
    ----------
    names : tuple of str
        The variables it takes, sorted.
    places : dict
        Where each of them is first.
    fused : FusedFunction
        It, as a function of `names`.
    """

    def __init__(self, steps: Steps) -> None:
        self.names: tuple[str, ...] = steps.names
        self.places: Mapping[str, Place] = steps.places
        self._steps = steps
        self.fused = fuse(steps)
        self._converted: dict[np.dtype[Any], FusedFunction] = {}

    def run(self, args: Sequence[Any], out: Any, order: str, casting: str) -> Any:
        """Compute the result, in `out` if there is one."""
        if out is not None:
            return self._into(args, out, casting)
        if order == "F":
            return self._ordered(args, order)
        if order != "C":  # which is what the fused function gives, and what most arrays are
            for arg in args:
                if type(arg) is np.ndarray and not arg.flags.c_contiguous and not _by_rows(arg):
                    return self._ordered(args, order)
        return self.fused(*args)

    def _into(self, args: Sequence[Any], out: Any, casting: str) -> Any:
        if all(type(arg) in _SCALARS for arg in args):
            result = self.fused(*args)
            target = as_output(out, function="ufuse.evaluate")
            self._check_cast(result.dtype, target, casting)
            np.copyto(target, result, casting="unsafe")
            return out
        if casting == "same_kind":
            return self.fused(*args, out=out)
        target = as_output(out, function="ufuse.evaluate")
        _, spec = self.fused.traced(*args)
        (dtype,) = spec.dtypes
        self._check_cast(dtype, target, casting)
        if np.can_cast(dtype, target.dtype, "same_kind"):
            return self.fused(*args, out=out)
        return self._to(target.dtype)(*args, out=out)

    def _check_cast(self, dtype: np.dtype[Any], target: NDArray[Any], casting: str) -> None:
        if not np.can_cast(dtype, target.dtype, casting):  # type: ignore[arg-type]
            raise TypeError(
                f"ufuse.evaluate: argument 'out' has dtype {target.dtype}, to which the result's "
                f"{dtype} cannot be cast by the rule {casting!r}; pass an 'out' of that dtype, or "
                "another casting="
            )

    def _to(self, dtype: np.dtype[Any]) -> FusedFunction:
        """Return the function with its result converted, whatever is lost."""
        if dtype not in self._converted:
            self._converted[dtype] = fuse(_Converted(self._steps, dtype))
        return self._converted[dtype]

    def _ordered(self, args: Sequence[Any], order: str) -> Any:
        """Compute the result in memory of its own layout."""
        arrays = [arg for arg in args if type(arg) is np.ndarray]
        if not arrays or not all(type(arg) in (np.ndarray, *_SCALARS) for arg in args):
            return self.fused(*args)  # a list, or a tensor
        arguments, spec = self.fused.traced(*args)
        (shape,), (dtype,) = spec.plan(arguments.shapes).shapes, spec.dtypes
        axes = _axes_in_memory(arrays, shape, order)
        if axes == sorted(axes):
            return self.fused(*args)
        memory = executors.empty(tuple(shape[axis] for axis in axes), dtype)
        return self.fused(*args, out=memory.transpose(np.argsort(axes)))

    def check(self, args: Sequence[Any], out: Any, casting: str) -> None:
        """Raise what `run` would, but for what only the values tell."""
        if all(type(arg) in _SCALARS for arg in args):
            self.fused(*args)
            return
        arguments, spec = self.fused.traced(*args)
        (shape,), (dtype,) = spec.plan(arguments.shapes).shapes, spec.dtypes
        if out is not None:
            target = as_output(out, function="ufuse.evaluate")
            self._check_cast(dtype, target, casting)
            if target.shape != shape:
                raise ValueError(
                    f"ufuse.evaluate: argument 'out' has shape {target.shape}, expected {shape}"
                )


class _Converted:
    """A function of the same arguments whose result is cast."""

    __slots__ = ("__signature__", "_dtype", "_steps")
    __name__ = "ufuse.evaluate"

    def __init__(self, steps: Steps, dtype: np.dtype[Any]) -> None:
        self._steps, self._dtype = steps, dtype
        self.__signature__ = steps.__signature__

    def __call__(self, *args: Any) -> Any:
        return self._steps(*args).astype(self._dtype)


def _by_rows(array: NDArray[Any]) -> bool:
    """Whether the axes lie in memory in their order, as in slices of C-contiguous arrays."""
    steps = [abs(stride) for stride in array.strides]
    return steps == sorted(steps, reverse=True)


def _is_spread(array: NDArray[Any], shape: tuple[int, ...]) -> bool:
    """Whether an array has elements of its own for all of a shape: its strides are an order."""
    return array.shape == shape and all(array.strides)


def _axes_in_memory(
    arrays: Sequence[NDArray[Any]], shape: tuple[int, ...], order: str
) -> list[int]:
    """Return the axes of a result from the outermost in memory to the innermost."""
    forwards = list(range(len(shape)))
    if order == "A":
        order = "F" if all(array.flags.f_contiguous for array in arrays) else "C"
    if order == "K":
        like = next((array for array in arrays if _is_spread(array, shape)), None)
        if like is None:
            return forwards
        return sorted(forwards, key=lambda axis: -abs(like.strides[axis]))
    return forwards if order == "C" else forwards[::-1]
