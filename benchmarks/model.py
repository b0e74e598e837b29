"""What a benchmark case is, and when its bar is met."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from .libraries import as_numpy
from .probe import UNITS

Call = Callable[[], Any]
#: Takes a case's inputs and returns the call to time; conversions and compilation happen here.
Prepare = Callable[[SimpleNamespace], Call]
#: Compares a result with the expected one; returns what is wrong, or None.
Check = Callable[[np.ndarray, np.ndarray], "str | None"]

#: The note of a contender that raises NotImplementedError: a library tells by itself what it lacks.
NOT_OFFERED = "not offered"


@dataclass(frozen=True)
class Statement:
    """A call as source text, for calls so short that a closure around them would show.

    Attributes
    ----------
    code : str
    names : dict
        The code's global names.
    """

    code: str
    names: dict[str, Any]

    def __call__(self) -> Any:
        """Run the code once."""
        return eval(self.code, self.names)


def close(rtol: float, atol: float = 0.0) -> Check:
    """Return a check that holds elementwise within ``atol + rtol * |expected|``."""

    def check(result: np.ndarray, expected: np.ndarray) -> str | None:
        if result.shape != expected.shape:
            return f"shape {result.shape} instead of {expected.shape}"
        error = np.abs(result.astype(np.float64) - expected)
        worst = float(np.max(error - (atol + rtol * np.abs(expected)), initial=-np.inf))
        return None if worst <= 0 else f"off by up to {float(error.max()):.3g}"

    return check


def equal(result: np.ndarray, expected: np.ndarray) -> str | None:
    """Return a check for the same dtype and the same values."""
    if result.dtype != expected.dtype:
        return f"{result.dtype} instead of {expected.dtype}"
    if result.shape != expected.shape:
        return f"shape {result.shape} instead of {expected.shape}"
    different = np.count_nonzero(result != expected)
    return None if not different else f"{different} of {expected.size} values differ"


def same_values(result: np.ndarray, expected: np.ndarray) -> str | None:
    """Return a check for the same numbers, in whichever dtype and shape a library holds them."""
    if result.size != expected.size:
        return f"{result.size} values instead of {expected.size}"
    found, wanted = (a.reshape(-1).astype(np.float32) for a in (result, expected))
    # Most answers are right: NaN are looked for in others.
    different = found != wanted
    count = np.count_nonzero(different)
    if count:
        count -= np.count_nonzero(np.isnan(found) & np.isnan(wanted))
    return None if not count else f"{count} of {expected.size} values differ"


@dataclass(frozen=True)
class Case:
    """One row of a benchmark table.

    Attributes
    ----------
    name, group : str
    make : callable
        Builds the inputs and outputs shared by all contenders, as a namespace.
    ours : callable
        A `Prepare` for ufuse.
    peers : mapping
        `Prepare` by contender: a library's name, or ``library:variant``. "numpy" is always there.
    bar : str
        Terms joined by ";", each one of ``limit >= R`` (ratio to the machine's limit),
        ``family >= R`` (ratio to the fastest rate of the cases of this family), ``A,B >= Rx``
        (as fast as each of these contenders times R; "best" is all of them), ``time <= T us``.
    limit : str or None
        The kind of limit, a key of `probe.UNITS`; None: a table of times.
    amount : float
        Bytes or operations of one call.
    reread : float
        So many of the bytes are only read, in a pass before the one that the limit is of: they
        count at the rate of reading.
    check : callable
        A `Check`.
    expected : callable or None
        The expected result from the inputs; None: the result of "numpy".
    unchecked : frozenset of str
        Contenders that do a different amount of work on purpose.
    family : str
    """

    name: str
    group: str
    make: Callable[[], SimpleNamespace]
    ours: Prepare
    peers: Mapping[str, Prepare]
    bar: str
    limit: str | None = None
    amount: float = 0.0
    reread: float = 0.0
    check: Check = equal
    expected: Callable[[SimpleNamespace], np.ndarray] | None = None
    unchecked: frozenset[str] = frozenset()
    family: str = ""

    def __post_init__(self) -> None:
        if "numpy" not in self.peers:
            raise ValueError(f"case {self.name!r}: the obvious baseline, NumPy, is missing")
        parse_bar(self.bar)

    @property
    def unit(self) -> str:
        """The unit of this case's figures."""
        return UNITS[self.limit] if self.limit else "us"

    @property
    def cold(self) -> bool:
        """Whether memory is what is measured, so that caches must hold nothing of the inputs."""
        return self.limit in ("read", "copy")

    def contenders(self) -> dict[str, Prepare]:
        """Ours first, then the peers."""
        return {"ufuse": self.ours, **self.peers}

    def expect(self, inputs: SimpleNamespace) -> np.ndarray:
        """Return the expected result, in memory of its own."""
        if self.expected is not None:
            return np.asarray(self.expected(inputs))
        return as_numpy(self.peers["numpy"](inputs)()).copy()

    def figure(self, seconds: float) -> float:
        """Return a time as a figure in `unit`."""
        return self.amount / seconds / 1e9 if self.limit else seconds * 1e6


@dataclass
class Measured:
    """The outcome of one case.

    Attributes
    ----------
    case : Case
    seconds : dict
        Shortest time by contender.
    limit_rate : float
        Bytes or operations per second; NaN without a limit.
    notes : dict
        What went wrong, by contender: not installed, an exception, or a wrong answer.
    wrong : set
        Contenders whose answer differs from the expected one.
    """

    case: Case
    seconds: dict[str, float] = field(default_factory=dict)
    limit_rate: float = math.nan
    notes: dict[str, str] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)

    @property
    def ratio(self) -> float:
        """Our rate over the limit; NaN where there is none."""
        if self.case.limit is None or "ufuse" not in self.seconds:
            return math.nan
        return self.case.amount / self.seconds["ufuse"] / self.limit_rate


_TERM = re.compile(
    r"(?P<who>[\w:, ]+?)\s*(?P<order>>=|<=)\s*(?P<value>\d+(\.\d+)?)\s*(?P<unit>x|us|ms|s)?"
)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def parse_bar(bar: str) -> list[tuple[list[str], float]]:
    """Return a bar's terms as subjects and bound (seconds for times).

    Parameters
    ----------
    bar : str
        See `Case`.

    Returns
    -------
    list of (list of str, float)

    Raises
    ------
    ValueError
        For a term that does not parse.
    """
    terms = []
    for text in filter(None, (t.strip() for t in bar.split(";"))):
        match = _TERM.fullmatch(text)
        unit = match["unit"] if match else None
        if match is None or (match["order"] == "<=") != (unit in _SECONDS):
            raise ValueError(f"bar term {text!r}: expected 'who >= ratio[x]' or 'time <= 5 us'")
        who = [w.strip() for w in match["who"].split(",")]
        terms.append((who, float(match["value"]) * _SECONDS.get(unit or "", 1.0)))
    return terms


def verdict(measured: Measured, everything: list[Measured]) -> str:
    """Whether the bar is met.

    Parameters
    ----------
    measured : Measured
    everything : list of Measured
        All cases of the run, for family bars.

    Returns
    -------
    str
        "PASS"; "MISS" (also for a wrong answer or none); "" without a bar; "?" where what it
        compares with was not measured.
    """
    case, ours = measured.case, measured.seconds.get("ufuse")
    if ours is None or "ufuse" in measured.wrong:
        return "MISS"
    outcomes: list[bool | None] = []
    for who, bound in parse_bar(case.bar):
        if who == ["limit"]:
            known = not math.isnan(measured.ratio)
            outcomes.append(measured.ratio >= bound if known else None)
        elif who == ["time"]:
            outcomes.append(ours <= bound)
        elif who == ["family"]:
            rates = [
                m.case.amount / m.seconds["ufuse"]
                for m in everything
                if m.case.family == case.family and "ufuse" in m.seconds
            ]
            outcomes.append(case.amount / ours >= bound * max(rates))
        else:
            names = [n for n in measured.seconds if n != "ufuse"] if who == ["best"] else who
            times = [measured.seconds[n] for n in names if n in measured.seconds]
            outcomes.append(min(times) / ours >= bound if times else None)
    if False in outcomes:
        return "MISS"
    return "?" if None in outcomes else ("PASS" if outcomes else "")
