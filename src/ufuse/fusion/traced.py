"""What arrays and scalars under trace are to the functions that record them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Never

from .graph import Graph


class ValueNeeded(BaseException):
    """The function looked at a scalar argument: trace it again with the value in the key.

    Not an `Exception`, so that handlers in the traced function let it pass.
    """

    def __init__(self, labels: frozenset[str]) -> None:
        super().__init__(labels)
        self.labels = labels


class Traced:
    """Base of what a traced function is called with."""

    graph: Graph


class TracedArray(Traced):
    """An array under trace: a value of the graph."""

    value: int


class TracedScalar(Traced):
    """A Python number under trace: weak in promotion, and known at each call.

    Attributes
    ----------
    compute : callable
        Takes the scalar arguments of a call and gives the number.
    sample : int, float or complex
        The number in the call that is being traced.
    labels : frozenset of str
        The scalar arguments it comes from.
    derived : bool
        Whether it is computed from them, rather than one of them.
    """

    compute: Callable[[Sequence[Any]], Any]
    sample: Any
    labels: frozenset[str]
    derived: bool

    def known(self) -> Never:
        """Ask for the number itself: the trace is made again, for this number alone."""
        raise ValueNeeded(self.labels)


def is_traced(args: Sequence[Any]) -> bool:
    """Whether a fused function is called from one that is being traced."""
    return any(
        isinstance(arg, Traced) or (isinstance(arg, tuple) and is_traced(arg)) for arg in args
    )
