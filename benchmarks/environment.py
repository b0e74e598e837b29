"""Environment variables that make thread pools of different libraries share a machine.

They act only when set before the libraries are imported, so `run` starts itself again with them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .probe import build_dir

THREADS = "UFUSE_BENCH_THREADS"


def variables(threads: int) -> dict[str, str]:
    """Return the variables for a number of threads.

    Parameters
    ----------
    threads : int

    Returns
    -------
    dict
        Name to value.
    """
    count = str(threads)
    return {
        THREADS: count,
        **dict.fromkeys(
            (
                "OMP_NUM_THREADS",
                "OPENBLAS_NUM_THREADS",
                "MKL_NUM_THREADS",
                "NUMEXPR_NUM_THREADS",
                "NUMEXPR_MAX_THREADS",
                "NUMBA_NUM_THREADS",
                "NPROC",  # XLA's CPU client has no other switch
                "UFUSE_NUM_THREADS",
            ),
            count,
        ),
        # Workers that spin after their work take the cores of the next contender.
        "OMP_WAIT_POLICY": "passive",
        "GOMP_SPINCOUNT": "0",
        "KMP_BLOCKTIME": "0",
        "OPENBLAS_THREAD_TIMEOUT": "20",  # 2**20 cycles instead of 2**26, which is 20 ms
        "JAX_PLATFORMS": "cpu",
        "NUMBA_CACHE_DIR": str(build_dir() / "numba"),
    }


def threads() -> int:
    """Return the number of threads every contender gets."""
    return int(os.environ.get(THREADS) or min(2, os.cpu_count() or 1))


def restart(module: str, arguments: Sequence[str], count: int) -> None:
    """Run this process again as ``python -m module arguments`` with `variables`, once.

    Parameters
    ----------
    module : str
    arguments : sequence of str
    count : int
        Threads.
    """
    wanted = variables(count)
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    command = [sys.executable, "-m", module, *arguments]
    os.execve(sys.executable, command, {**os.environ, **wanted})
