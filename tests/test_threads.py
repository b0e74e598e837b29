"""The thread pool: many callers, forks, nesting, limits."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE

pytestmark = pytest.mark.skipif(not NATIVE, reason="the reference executor has no threads")

X = np.random.default_rng(0).normal(size=(512, 2048)).astype(np.float32)


@uf.fuse
def work(a, b):
    return np.sqrt(a * a + 1) - b


def test_many_python_threads_share_the_pool() -> None:
    """numexpr#80, #494: no crash, no deadlock, no state between threads."""
    want = (work(X, X[0]), uf.sum(X, axis=0), uf.einsum("ij,kj->ik", X, X))
    failures: list[BaseException] = []

    def caller(limit: int) -> None:
        try:
            with uf.threads(limit):
                for _ in range(10):
                    np.testing.assert_array_equal(work(X, X[0]), want[0])
                    np.testing.assert_array_equal(uf.sum(X, axis=0), want[1])
                    np.testing.assert_array_equal(uf.einsum("ij,kj->ik", X, X), want[2])
        except BaseException as error:
            failures.append(error)

    callers = [threading.Thread(target=caller, args=(1 + i % 4,)) for i in range(8)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(120)
    assert not failures and not any(thread.is_alive() for thread in callers)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_works() -> None:
    """scikit-learn#19272: pools hang in a forked child after work in the parent."""
    code = """
import os, numpy as np, ufuse as uf
x = np.ones((2000, 2000), np.float32)
with uf.threads(2):
    before = uf.sum(x, axis=0)
    child = os.fork()
    if child == 0:
        ok = np.array_equal(uf.sum(x, axis=0), before)
        os._exit(0 if ok else 3)
    _, status = os.waitpid(child, 0)
    assert np.array_equal(uf.sum(x, axis=0), before)
print(os.waitstatus_to_exitcode(status))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "0", done.stderr


def test_limits_nest_and_belong_to_the_thread() -> None:
    outside = uf.get_num_threads()
    with uf.threads(3):
        assert uf.get_num_threads() == 3
        with uf.threads(1):
            assert uf.get_num_threads() == 1
        assert uf.get_num_threads() == 3
        seen: list[int] = []
        other = threading.Thread(target=lambda: seen.append(uf.get_num_threads()))
        other.start()
        other.join()
        assert seen == [outside]
    assert uf.get_num_threads() == outside


@pytest.mark.parametrize("n", [0, -1])
def test_limit_must_be_positive(n: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        uf.set_num_threads(n)


def test_limit_must_be_an_integer() -> None:
    with pytest.raises(TypeError, match="integer"):
        uf.set_num_threads(1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"UFUSE_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
    ],
)
def test_environment(environment: dict[str, str], threads: int) -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", "import ufuse; print(ufuse.get_num_threads())"],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(threads)


def test_threadpoolctl_sees_and_limits_the_pool() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    uf.register_threadpoolctl()
    uf.register_threadpoolctl()  # twice is once
    before = uf.get_num_threads()
    with threadpoolctl.threadpool_limits(1, user_api="ufuse"):
        assert uf.get_num_threads() == 1
    assert uf.get_num_threads() == before
    ours = [i for i in threadpoolctl.threadpool_info() if i["user_api"] == "ufuse"]
    assert len(ours) == 1 and ours[0]["num_threads"] == before
    assert ours[0]["version"] == uf.__version__


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("held", ["while tracing", "with the lock"])
def test_a_child_forked_while_another_thread_traces_works(held: str) -> None:
    """The child has the lock's state, but not the thread that would release it."""
    code = """
import os, signal, sys, threading, numpy as np, ufuse as uf
parent = os.getpid()
inside, done = threading.Event(), threading.Event()

def body(x):
    if os.getpid() == parent:
        inside.set()
        done.wait(30)
    return x + 1

f = uf.fuse(body)
x = np.arange(5.0)

def other():
    if sys.argv[1] == "while tracing":
        f(x)
    else:
        with f._lock:
            inside.set()
            done.wait(30)

thread = threading.Thread(target=other)
thread.start()
inside.wait(30)
child = os.fork()
if child == 0:
    signal.alarm(20)  # a deadlock ends as a signal
    ok = np.array_equal(f(x), x + 1) and np.array_equal(f(x), x + 1)
    os._exit(0 if ok else 3)
_, status = os.waitpid(child, 0)
done.set()
thread.join()
assert np.array_equal(f(x), x + 1)
print(os.waitstatus_to_exitcode(status))
"""
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, held], capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert finished.stdout.strip() == "0", finished.stderr
