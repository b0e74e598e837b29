"""A fused function as the method of an object."""

from __future__ import annotations

import inspect
from types import MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arguments import Arguments
    from .explain import Explanation
    from .function import FusedFunction
    from .program import Program
    from .specialisation import Specialisation


class BoundFunction:
    # A fused function as the method `__func__` of the object `__self__`: what a method is, and what
    # the fused function has besides. Its documentation is the function's.

    __slots__ = ("__func__", "__self__")

    def __init__(self, function: FusedFunction, instance: Any) -> None:
        self.__func__ = function
        self.__self__ = instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__func__(self.__self__, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func__, name)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BoundFunction)
            and other.__func__ is self.__func__
            and other.__self__ is self.__self__
        )

    def __hash__(self) -> int:
        return hash((self.__func__, id(self.__self__)))

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.__self__, self.__func__.__wrapped__.__name__)  # as a method

    def __repr__(self) -> str:
        return f"<{self.__func__!r} of {self.__self__!r}>"

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.__func__.__doc__

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(MethodType(self.__func__.__wrapped__, self.__self__))

    def map(self, /, *args: Any, out: Any = None, **kwargs: Any) -> list[Any]:
        """Call the method on each item of a list: `FusedFunction.map`."""
        return self.__func__._map((self.__self__,), args, out, kwargs)

    def program(self, *args: Any, **kwargs: Any) -> Program:
        """Return the program for such arguments: `FusedFunction.program`."""
        return self.__func__.program(self.__self__, *args, **kwargs)

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """Say what a call runs: `FusedFunction.explain`."""
        return self.__func__.explain(self.__self__, *args, **kwargs)

    def traced(self, *args: Any) -> tuple[Arguments, Specialisation]:
        """Return what a call would run: `FusedFunction.traced`."""
        return self.__func__.traced(self.__self__, *args)

    def as_ufunc(self, signature: Any = None) -> Any:
        """Make a ufunc of the method, with the object as it is now: `FusedFunction.as_ufunc`."""
        from .function import fuse

        return fuse(MethodType(self.__func__.__wrapped__, self.__self__)).as_ufunc(signature)
