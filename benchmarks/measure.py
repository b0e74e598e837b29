"""Timing: contenders of a case and the machine's limit, in alternating rounds."""

from __future__ import annotations

import gc
import itertools
import time
import timeit
import warnings
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from . import libraries
from .model import NOT_OFFERED, Call, Case, Measured, Statement
from .probe import Probe

#: Between contenders: longer than the workers of any library go on spinning.
_PAUSE = 0.004
#: How long one contender is timed in one round, if one call is shorter.
_ROUND = 0.010
#: A contender slower than this in total gets fewer rounds, at least two.
_BUDGET = 1.0
#: Calls shorter than this are timed many at a time.
_SHORT = 100e-6
#: Samples of a long call, or of the limit, in one round.
_SAMPLES = 4


def bare_loop(call: Call) -> Callable[[int], float]:
    """Return a function that makes a number of calls and returns seconds.

    `timeit.Timer.timeit` would switch garbage collection around them; this is its loop alone.
    """
    code, names = (call.code, call.names) if isinstance(call, Statement) else ("f()", {"f": call})
    inner: Callable[..., float] = timeit.Timer(code, globals=names).inner  # type: ignore[attr-defined]
    return lambda number: inner(itertools.repeat(None, number), time.perf_counter)


class Contender:
    """A call and the shortest time seen of it.

    Parameters
    ----------
    call : callable
    before : callable
        Called, untimed, before every sample.
    """

    def __init__(self, call: Call, before: Callable[[], object]) -> None:
        self.best = float("inf")
        self.spent = 0.0
        self._before = before
        self._loop = bare_loop(call)
        once = min(self._take(1) for _ in range(2))
        self._batch = max(1, int(_ROUND / once)) if once < _SHORT else 1
        if self._batch > 1:  # the first guess of a short time contains the timer's own
            self._batch = max(1, int(_ROUND * self._batch / self._take(self._batch)))
        self._samples = 1 if self._batch > 1 else max(1, min(_SAMPLES, int(4 * _ROUND / once)))

    def round(self) -> None:
        """Time one round, after one call that wakes threads (slow ones do not notice)."""
        if self._samples > 1:
            self._take(1)
        for _ in range(self._samples):
            self._before()
            self.best = min(self.best, self._take(self._batch) / self._batch)

    def _take(self, number: int) -> float:
        seconds = self._loop(number)
        self.spent += seconds
        return seconds


def measure(case: Case, probe: Probe, rounds: int, with_peers: bool = True) -> Measured:
    """Check every contender's answer, then time all of them in alternation.

    Parameters
    ----------
    case : Case
    probe : Probe
    rounds : int
    with_peers : bool
        Without them, only ufuse, NumPy (their variants too) and the limit.

    Returns
    -------
    Measured
    """
    result = Measured(case)
    inputs = case.make()
    expected = case.expect(inputs)
    before = probe.evict if case.cold else _nothing
    running: dict[str, Contender] = {}
    for name, prepare in case.contenders().items():
        library = name.partition(":")[0]
        if not with_peers and library not in ("ufuse", "numpy"):
            continue
        if not libraries.installed(library):
            result.notes[name] = "not installed"
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # peers' deprecations are not our subject
                libraries.load(library)
                _forget(inputs)
                call = prepare(inputs)
                answer = libraries.as_numpy(call())
                problem = None if name in case.unchecked else case.check(answer, expected)
                del answer
                running[name] = Contender(call, before)
        except NotImplementedError:
            result.notes[name] = NOT_OFFERED
            continue
        except Exception as error:  # one contender that fails must not end the table
            result.notes[name] = f"{type(error).__name__}: {error}".splitlines()[0][:160]
            continue
        if problem:
            result.wrong.add(name)
            result.notes[name] = f"answer: {problem}"
    _alternate(case, running, probe, rounds, result)
    return result


def _nothing() -> None:
    pass


def _forget(inputs: SimpleNamespace) -> None:
    """Clear the result, or who writes none would be given the right one of whoever was before."""
    out = getattr(inputs, "out", None)
    if isinstance(out, np.ndarray):
        out.fill(0)


def _alternate(
    case: Case, running: dict[str, Contender], probe: Probe, rounds: int, result: Measured
) -> None:
    rates, reading = [], []
    gc.collect()
    gc.disable()
    try:
        for turn in range(rounds):
            # A different one starts each round, and every other round runs backwards, so that none
            # always follows the same neighbour: who shares its arrays finds them in the last cache.
            names = list(running)[:: -1 if turn % 2 else 1]
            names = names[turn % len(names) :] + names[: turn % len(names)] if names else []
            for name in names:
                contender = running[name]
                if turn >= 2 and contender.spent > _BUDGET:
                    continue
                time.sleep(_PAUSE)
                contender.round()
            if case.limit:
                time.sleep(_PAUSE)
                rates += [probe.rate(case.limit) for _ in range(_SAMPLES)]
            if case.reread:
                reading += [probe.rate("read") for _ in range(_SAMPLES)]
    finally:
        gc.enable()
    result.seconds = {name: contender.best for name, contender in running.items()}
    if reading:
        seconds = case.reread / max(reading) + (case.amount - case.reread) / max(rates)
        result.limit_rate = case.amount / seconds
    elif rates:
        result.limit_rate = max(rates)


def inputs_of(case: Case, contender: str) -> tuple[SimpleNamespace, Call]:
    """Return a case's inputs and one contender's call, for asv.

    Raises
    ------
    NotImplementedError
        Where the case has no such contender or its library is not installed: asv then skips it.
    """
    prepare = case.contenders().get(contender)
    library = contender.partition(":")[0]
    if prepare is None or not libraries.installed(library):
        raise NotImplementedError(f"{contender} is not in case {case.name!r} or not installed")
    libraries.load("numpy")
    libraries.load(library)
    inputs = case.make()
    return inputs, prepare(inputs)
