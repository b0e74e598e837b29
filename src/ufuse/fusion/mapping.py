"""`FusedFunction.map`: a fused function over many arrays in one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .. import executors


class Mapped:
    """What gives a callable its `map`; a base of `FusedFunction`."""

    _label: str

    def map(self, /, *args: Any, out: Any = None, **kwargs: Any) -> list[Any]:
        """Call the function on each item of a list, or of several lists side by side.

        ``f.map(xs, ys, w)`` is ``[f(x, y, w) for x, y in zip(xs, ys)]``: a list, a tuple or an
        iterator is walked; anything else, and every keyword argument, is the same for all calls.

        Parameters
        ----------
        *args : list, tuple, iterator or anything
            The function's arguments, at least one of which is walked. Those walked have the same
            length. A tuple that the function takes as such is passed by keyword.
        out : sequence, optional
            For each item what its call would take as ``out=``, or None.
        **kwargs
            The function's keyword arguments.

        Returns
        -------
        list
            The results in the order of the items, each what its call would return.

        Raises
        ------
        TypeError
            If no argument is walked, or `out` is no list or tuple.
        ValueError
            If lengths differ; nothing has been written then.

        An error of a call is raised as it is, with the item's number in a note; the calls before
        it are done.

        Notes
        -----
        Items may differ in shape and dtype. Those with the dtypes and numbers of dimensions of the
        first run in a compiled loop, and neighbours with the same shapes and strides as one: some
        200 ns an item of 100 elements, 100 with `out`. Larger ones are shared out to threads. All
        else is an ordinary call. The results are arrays of their own: none keeps the others'
        memory.

        Where arrays of `out` overlap others, the results are those of calls one after another.

        Examples
        --------
        >>> import numpy as np
        >>> import ufuse as uf
        >>> lerp = uf.fuse(lambda a, b, t: a + t * (b - a))
        >>> a, b = [np.zeros(2), np.zeros(3)], [np.ones(2), np.arange(3.0)]
        >>> lerp.map(a, b, 0.5)
        [array([0.5, 0.5]), array([0. , 0.5, 1. ])]
        """
        return self._map((), args, out, kwargs)

    def _map(
        self, fixed: tuple[Any, ...], args: tuple[Any, ...], out: Any, kwargs: dict[str, Any]
    ) -> list[Any]:
        """Do `map` with some first arguments that are the same for all calls."""
        walked = tuple(isinstance(arg, (list, tuple, Iterator)) for arg in args)
        # Lists of our own: calls may run others' code, and threads, while we walk them.
        arguments = [list(arg) if walk else arg for arg, walk in zip(args, walked, strict=True)]
        count = _length(self._label, arguments, walked)
        arguments, walked = [*fixed, *arguments], (*(False for _ in fixed), *walked)
        outs = _outputs(self._label, out, count)
        function: Any = self
        arguments, walked, kwargs = _by_position(function, arguments, walked, kwargs)

        def call(item: int) -> Any:
            given = [
                arg[item] if walk else arg for arg, walk in zip(arguments, walked, strict=True)
            ]
            target = {} if outs is None else {"out": outs[item]}
            try:
                return function(*given, **kwargs, **target)
            except Exception as error:
                error.add_note(f"{self._label}.map: item {item}")
                raise

        if executors.native is None or kwargs:
            return [call(item) for item in range(count)]
        results: list[Any] = executors.native.map_items(self, call, arguments, walked, count, outs)
        return results


def _length(function: str, arguments: Sequence[Any], walked: Sequence[bool]) -> int:
    """Return how many items there are."""
    lengths = [len(arg) for arg, walk in zip(arguments, walked, strict=True) if walk]
    if not lengths:
        kinds = ", ".join(type(arg).__name__ for arg in arguments) or "none"
        raise TypeError(
            f"{function}.map: expected a list, tuple or iterator of arrays among the positional "
            f"arguments, got {kinds}; for the rows of an array pass list(array)"
        )
    if len(set(lengths)) > 1:
        raise ValueError(
            f"{function}.map: the lists have different lengths: {', '.join(map(str, lengths))}; "
            "expected as many items in each"
        )
    return lengths[0]


def _outputs(function: str, out: Any, count: int) -> list[Any] | None:
    if out is None:
        return None
    if not isinstance(out, (list, tuple)):
        raise TypeError(
            f"{function}.map: argument 'out': expected a list with an array for each item, "
            f"got {type(out).__name__}"
        )
    if len(out) != count:
        raise ValueError(
            f"{function}.map: argument 'out' has {len(out)} items, expected {count}, one for each "
            "result"
        )
    return list(out)


def _by_position(
    function: Callable[..., Any],
    arguments: list[Any],
    walked: tuple[bool, ...],
    kwargs: dict[str, Any],
) -> tuple[list[Any], tuple[bool, ...], dict[str, Any]]:
    """Return the arguments with keyword arguments in their places, where all of them have one."""
    if not kwargs:
        return arguments, walked, kwargs
    try:
        bound = inspect.signature(function).bind(*arguments, **kwargs)
    except (TypeError, ValueError):
        return arguments, walked, kwargs
    if bound.kwargs or len(bound.args) != len(arguments) + len(kwargs):
        return arguments, walked, kwargs
    return list(bound.args), (*walked, *(False for _ in kwargs)), {}
