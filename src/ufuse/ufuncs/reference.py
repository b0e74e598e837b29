"""Ufuncs where there is no extension: objects that are called as NumPy's are, and are none.

NumPy's own can only be made in C. These take arrays, scalars and array-likes, with `out`, `where`,
`casting`, `dtype` and `signature`; two-operand ones reduce, accumulate and have `outer`. Other
libraries' arrays are computed as NumPy arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Never

import numpy as np

from ..executors import float_errors, reference
from ..fusion import public_functions
from ..fusion.errors import trace_error
from ..fusion.traced import is_traced
from .loops import Array, Definition, Loop

_KEYWORDS: Final = {"out", "where", "casting", "dtype", "signature", "order", "subok"}
_CORE_KEYWORDS: Final = {"out", "axis", "axes", "keepdims", "casting", "dtype", "order", "subok"}


def make(definition: Definition) -> Any:
    """Return the object that stands for the ufunc."""
    return ReferenceUfunc(definition)


class ReferenceUfunc:
    """What stands for a ufunc on the reference executor; see the module."""

    identity = None

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self.__name__ = self.__qualname__ = definition.name
        self.__module__ = "ufuse.ufuncs"
        self.__doc__ = definition.doc
        self.nin, self.nout = definition.inputs, definition.outputs
        self.nargs, self.ntypes = self.nin + self.nout, len(definition.loops)
        self.types = [_text(loop, self.nin) for loop in definition.loops]
        core = definition.core
        self.signature = None if core is None else _signature(core, self.nin)

    def __reduce__(self) -> str:
        return self.__name__

    def __repr__(self) -> str:
        return f"<ufunc {self.__name__!r}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs, out = args[: self.nin], args[self.nin :]
        if is_traced(inputs):
            return self._recorded(inputs)
        known = _KEYWORDS if self.signature is None else _CORE_KEYWORDS
        wrong = kwargs.keys() - known
        if wrong:
            raise TypeError(f"{self.__name__}() got an unexpected keyword argument {wrong.pop()!r}")
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(
                f"{self.__name__}() takes from {self.nin} to {self.nargs} positional arguments but "
                f"{len(args)} were given"
            )
        if out and kwargs.get("out") is not None:
            raise TypeError("cannot specify 'out' as both a positional and keyword argument")
        given = kwargs.get("out")
        targets = out or (given if isinstance(given, tuple) else (given,))
        if len(targets) < self.nout:
            targets = (*targets, *(None,) * (self.nout - len(targets)))
        if len(targets) != self.nout:
            raise ValueError("The 'out' tuple must have exactly one entry per ufunc output")
        for target in targets:
            if target is not None and not isinstance(target, np.ndarray):
                raise TypeError("return arrays must be of ArrayType")
            if target is not None and not target.flags.writeable:
                raise ValueError("output array is read-only")
        loop = self._resolve(inputs, targets, kwargs)
        arrays = [
            np.asarray(x).astype(t, copy=False) for x, t in zip(inputs, loop.dtypes, strict=False)
        ]
        if self.signature is not None:
            return self._over_core(loop, arrays, targets[0], kwargs)
        return self._over_elements(loop, arrays, targets, kwargs.get("where", True))

    def _recorded(self, inputs: Any) -> Any:
        """Record a call in a function under trace, as the public function of the name does."""
        function = public_functions().get(self.__name__)
        if function is None:
            raise trace_error(
                f"the ufunc {self.__name__!r}", "call it on the result of the fused function"
            )
        return function(*inputs)

    def _resolve(self, inputs: Any, targets: Any, kwargs: Any) -> Loop:
        """Choose the loop as NumPy does, and check that what is given may be cast."""
        casting = kwargs.get("casting", "same_kind")
        kinds = [None if type(x) in (int, float, complex) else np.asarray(x).dtype for x in inputs]
        if kwargs.get("dtype") is not None or kwargs.get("signature") is not None:
            found = self._wanted(kwargs.get("signature"), kwargs.get("dtype"))
        else:
            found = self._first(inputs, kinds)
        if found is None:
            raise TypeError(
                f"ufunc {self.__name__!r} not supported for the input types, and the inputs could "
                "not be safely coerced to any supported types according to the casting rule "
                "''safe''"
            )
        checked = [(f"input {k}", kind, found.dtypes[k]) for k, kind in enumerate(kinds) if kind]
        checked += [
            ("output", result, target.dtype)
            for result, target in zip(found.dtypes[self.nin :], targets, strict=True)
            if target is not None
        ]
        for what, given, wanted in checked:
            if not np.can_cast(given, wanted, casting):
                raise TypeError(
                    f"Cannot cast ufunc {self.__name__!r} {what} from {given!r} to {wanted!r} with "
                    f"casting rule {casting!r}"
                )
        return found

    def _wanted(self, signature: Any, dtype: Any) -> Loop | None:
        """Return the first loop of a signature, or whose results are of `dtype`."""
        if signature is None:
            signature = (None,) * self.nin + (dtype,) * self.nout
        elif isinstance(signature, str):
            signature = tuple(signature.replace("->", ""))
        for loop in self._definition.loops:
            pairs = zip(signature, loop.dtypes, strict=True)
            if all(wanted is None or np.dtype(wanted) == has for wanted, has in pairs):
                return loop
        return None

    def _first(self, inputs: Any, kinds: Sequence[np.dtype[Any] | None]) -> Loop | None:
        """Return the loop of the very dtypes, or the first that inputs can be cast to safely.

        Python numbers are weak where there are other inputs.
        """
        loops, strong = self._definition.loops, any(kind is not None for kind in kinds)
        for loop in loops:
            if list(loop.dtypes[: self.nin]) == list(kinds):
                return loop
        for loop in loops:
            pairs = zip(inputs, kinds, loop.dtypes, strict=False)
            if all(
                _weak_fits(x, dtype)
                if kind is None and strong
                else np.can_cast(kind or np.asarray(x).dtype, dtype, "safe")
                for x, kind, dtype in pairs
            ):
                return loop
        return None

    def _run(self, loop: Loop, arrays: Any, results: Any) -> None:
        if loop.program is not None:
            heard = float_errors.Heard()
            reference.run_program(loop.program, arrays, results, heard)
            told = float_errors.Heard()
            told.add(heard.errors, self.__name__)
            told.tell(float_errors.wanted())
        else:
            assert loop.call is not None
            loop.call(arrays, results)

    def _over_elements(self, loop: Loop, arrays: Any, targets: Any, where: Any) -> Any:
        shapes = [a.shape for a in arrays] + [t.shape for t in targets if t is not None]
        mask = np.asarray(where)
        if where is not True:
            shapes.append(mask.shape)
        shape = np.broadcast_shapes(*shapes)
        for target in targets:
            if target is not None and target.shape != shape:
                raise ValueError(
                    f"non-broadcastable output operand with shape {target.shape} doesn't match the "
                    f"broadcast shape {shape}"
                )
        computed = [np.empty(shape, t) for t in loop.dtypes[self.nin :]]
        self._run(loop, arrays, computed)
        answers = []
        for target, result in zip(targets, computed, strict=True):
            if target is not None:
                with np.errstate(all="ignore"):
                    np.copyto(target, result, casting="unsafe", where=where)
            answers.append(_scalar(result) if target is None else target)
        return answers[0] if self.nout == 1 else tuple(answers)

    def _over_core(self, loop: Loop, arrays: Any, target: Any, kwargs: Any) -> Any:
        (x,), core = arrays, self._definition.core
        assert core is not None
        axis, keepdims = kwargs.get("axis", -1), kwargs.get("keepdims", False)
        if kwargs.get("axes") is not None:
            (axis,) = (
                kwargs["axes"][0] if isinstance(kwargs["axes"][0], tuple) else kwargs["axes"][:1]
            )
        if x.ndim == 0:
            raise ValueError(
                f"{self.__name__}: Input operand 0 does not have enough dimensions (has 0, gufunc "
                f"core with signature {self.signature} requires 1)"
            )
        if keepdims and core[-1]:
            raise TypeError(
                f"{self.__name__} does not support keepdims: its signature {self.signature} "
                "requires multiple core dimensions"
            )
        last = np.moveaxis(x, axis, -1)
        lines = last.reshape(math.prod(last.shape[:-1]), last.shape[-1])
        result = np.empty(lines.shape if core[-1] else lines.shape[:1], loop.dtypes[-1])
        if len(lines):
            self._run(loop, [lines], [result])
        answer = result.reshape(last.shape if core[-1] else last.shape[:-1])
        if core[-1]:
            answer = np.moveaxis(answer, -1, axis)
        elif keepdims:
            answer = np.expand_dims(answer, axis)
        if target is None:
            return _scalar(answer)
        np.copyto(target, answer, casting="same_kind")
        return target

    # --- methods of two operands ---------------------------------------------------------------

    def _check_binary(self, method: str) -> None:
        if self.signature is not None:
            raise RuntimeError("Reduction not defined on ufunc with signature")
        if (self.nin, self.nout) != (2, 1):
            raise ValueError(f"{method} only supported for binary functions")

    def outer(self, a: Any, b: Any, /, **kwargs: Any) -> Any:
        """Apply to all pairs of an element of `a` and one of `b`."""
        self._check_binary("outer product")
        a, b = np.asarray(a), np.asarray(b)
        return self(a.reshape(a.shape + (1,) * b.ndim), b, **kwargs)

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        """Apply to the result so far and the next element along an axis, and keep all results."""
        self._check_binary("accumulate")
        steps = np.moveaxis(np.asarray(array), axis, 0)
        loop = self._resolve((steps[:1], steps[:1]), (None,), {"dtype": dtype})
        result = np.empty(steps.shape, loop.dtypes[-1])
        if len(steps):
            result[0] = steps[0]
        for i in range(1, len(steps)):
            result[i] = self(result[i - 1], steps[i], dtype=loop.dtypes[-1])
        answer = np.moveaxis(result, 0, axis)
        if out is None:
            return answer
        np.copyto(out, answer, casting="same_kind")
        return out

    def reduce(
        self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None,
        keepdims: bool = False,
    ) -> Any:  # fmt: skip
        """Apply to the result so far and the next element along an axis, and keep the last."""
        self._check_binary("reduce")
        steps = np.asarray(array)
        if axis is None and steps.ndim <= 1:
            axis = 0
        if isinstance(axis, tuple) and len(axis) == 1:
            (axis,) = axis
        if not isinstance(axis, (int, np.integer)):
            raise ValueError(
                f"reduction operation {self.__name__!r} is not reorderable, so at most one axis "
                "may be specified"
            )
        if steps.shape[axis] == 0:
            raise ValueError(
                f"zero-size array to reduction operation {self.__name__} which has no identity"
            )
        answer = np.take(self.accumulate(steps, int(axis), dtype), -1, axis)
        answer = np.expand_dims(answer, axis) if keepdims else answer
        if out is None:
            return answer
        np.copyto(out, answer, casting="same_kind")
        return out

    def at(self, *args: Any) -> Never:
        """Not there without the extension."""
        raise NotImplementedError(f"{self.__name__}.at needs the native executor")

    def reduceat(self, *args: Any) -> Never:
        """Not there without the extension."""
        raise NotImplementedError(f"{self.__name__}.reduceat needs the native executor")


def _weak_fits(number: Any, dtype: np.dtype[Any]) -> bool:
    """Whether a Python number, beside others that decide, is for a loop of `dtype`."""
    kinds = {int: "iufc", float: "fc", complex: "c"}
    return dtype.kind in kinds[type(number)]


def _scalar(result: Array) -> Any:
    return result[()] if result.ndim == 0 else result


def _text(loop: Loop, inputs: int) -> str:
    chars = [dtype.char for dtype in loop.dtypes]
    return "".join(chars[:inputs]) + "->" + "".join(chars[inputs:])


def _signature(core: tuple[bool, ...], inputs: int) -> str:
    dims = ["(n)" if one else "()" for one in core]
    return ",".join(dims[:inputs]) + "->" + ",".join(dims[inputs:])
