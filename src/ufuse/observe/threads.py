"""How many threads work on one call."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import executors


def _checked(n: int, function: str) -> int:
    import operator

    try:
        count = operator.index(n)
    except TypeError:
        raise TypeError(
            f"ufuse.{function}: argument 'n': expected an integer, got {type(n).__name__}"
        ) from None
    if count < 1:
        raise ValueError(f"ufuse.{function}: argument 'n': expected at least 1, got {count}")
    return count


def get_num_threads() -> int:
    """Return how many threads one call from this thread may use.

    Returns
    -------
    int
        What `threads` or `set_num_threads` gave; else ``UFUSE_NUM_THREADS``, ``OMP_NUM_THREADS``,
        or the number of CPUs this process may run on. The reference executor uses one.
    """
    if executors.native is None:
        return 1
    from .. import _core

    return _core.thread_limit()


def set_num_threads(n: int) -> None:
    """Set how many threads one call may use, for the whole process.

    Parameters
    ----------
    n : int
        At least 1. The result of no function depends on it. The reference executor ignores it.
    """
    count = _checked(n, "set_num_threads")
    if executors.native is not None:
        from .. import _core

        _core.set_thread_limit(count)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Limit the threads of calls made from this thread inside a ``with`` block.

    Parameters
    ----------
    n : int
        At least 1. The reference executor ignores it.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> with uf.threads(1):
    ...     uf.sum(np.ones(3))
    np.float64(3.0)
    """
    count = _checked(n, "threads")
    if executors.native is None:
        yield
        return
    from .. import _core

    previous = _core.set_local_thread_limit(count)
    try:
        yield
    finally:
        _core.set_local_thread_limit(previous)


def register_threadpoolctl() -> None:
    """Make threadpoolctl see and limit ufuse's pool.

    Done by ``import ufuse`` where threadpoolctl is imported already; call it where it is imported
    later.
    """
    import threadpoolctl  # type: ignore[import-untyped, unused-ignore]

    if any(c.user_api == "ufuse" for c in threadpoolctl._ALL_CONTROLLERS):
        return

    class UfuseController(threadpoolctl.LibController):  # type: ignore[misc, unused-ignore]
        user_api = "ufuse"
        internal_api = "ufuse"
        filename_prefixes = ("libufuse",)
        check_symbols = ("ufuse_get_num_threads", "ufuse_set_num_threads")

        def get_num_threads(self) -> Any:
            return self.dynlib.ufuse_get_num_threads()

        def set_num_threads(self, num_threads: int) -> None:
            self.dynlib.ufuse_set_num_threads(num_threads)

        def get_version(self) -> str:
            from .. import __version__

            return __version__

        def set_additional_attributes(self) -> None:
            pass

    threadpoolctl.register(UfuseController)


def register_if_imported() -> None:
    """Call `register_threadpoolctl` where threadpoolctl is imported already."""
    if "threadpoolctl" in sys.modules:
        register_threadpoolctl()
