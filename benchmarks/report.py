"""Tables of results: aligned text, Markdown and JSON."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable
from typing import Any

from . import libraries
from .model import NOT_OFFERED, Case, Measured, verdict
from .probe import UNITS, cpu_name

_ORDER = list(libraries.MODULES)
Table = list[list[str]]

#: Limits of one quiet run stay within 5 %.
_STEADY = 0.85


def columns(cases: Iterable[Case]) -> list[str]:
    """Return the contenders of some cases."""
    names = {name for case in cases for name in case.contenders()}
    return sorted(names, key=lambda n: (_ORDER.index(n.partition(":")[0]), n))


def number(value: float) -> str:
    """Return a figure to three digits, or all digits before the point."""
    if math.isnan(value):
        return ""
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f}"


def _cell(measured: Measured, contender: str) -> str:
    if contender not in measured.case.contenders():
        return ""
    if contender in measured.seconds:
        wrong = "!" if contender in measured.wrong else ""
        return number(measured.case.figure(measured.seconds[contender])) + wrong
    note = measured.notes.get(contender, "")
    if note == NOT_OFFERED:
        return ""
    return "-" if note in ("", "not installed") else "error"


def table(group: list[Measured], everything: list[Measured]) -> Table:
    """Return a group's table, its head first.

    Parameters
    ----------
    group, everything : list of Measured

    Returns
    -------
    list of list of str
    """
    names = columns(m.case for m in group)
    rows = [["case", "unit", *names, "limit", "ratio", "bar", ""]]
    for m in group:
        limit = number(m.limit_rate / 1e9)
        if m.case.limit:
            limit = f"{'read + ' if m.case.reread else ''}{m.case.limit} {limit}"
        cells = [_cell(m, name) for name in names]
        result = verdict(m, everything)
        rows.append([m.case.name, m.case.unit, *cells, limit, number(m.ratio), m.case.bar, result])
    return rows


def text(rows: Table) -> str:
    """Return a table aligned in columns: words to the left, figures to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = {0, 1, len(widths) - 2, len(widths) - 1}
    lines = [
        "  ".join(
            cell.ljust(w) if i in left else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def markdown(rows: Table) -> str:
    """Return a table as Markdown."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    words = ("case", "unit", "bar", "")
    rule = ["---" if name in words else "--:" for name in head]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *body))


def machine(threads: int) -> dict[str, Any]:
    """Return what the figures were measured on and with."""
    cpu = cpu_name().splitlines()
    return {
        "cpu": (cpu[0].partition(":")[2].strip() if cpu else "") or platform.machine(),
        "threads": threads,
        "python": platform.python_version(),
        "libraries": {name: libraries.version(name) for name in libraries.MODULES},
    }


def header(facts: dict[str, Any]) -> str:
    """`machine` as two lines."""
    versions = ", ".join(f"{name} {v}" for name, v in facts["libraries"].items())
    return f"{facts['cpu']}, {facts['threads']} threads, Python {facts['python']}\n{versions}"


def notes(everything: list[Measured]) -> list[str]:
    """One line for each contender that failed or answered differently."""
    return [
        f"{m.case.name}: {name}: {note}"
        for m in everything
        for name, note in m.notes.items()
        if note not in ("not installed", NOT_OFFERED)
    ]


def unsteady(everything: list[Measured]) -> list[str]:
    """Return a warning for each kind of limit that changed: the machine was not quiet."""
    rates: dict[str, list[float]] = {}
    for m in everything:
        if m.case.limit and not m.case.reread and not math.isnan(m.limit_rate):
            rates.setdefault(m.case.limit, []).append(m.limit_rate / 1e9)
    return [
        f"warning: the limit {kind!r} went from {number(min(r))} to {number(max(r))} {UNITS[kind]} "
        "during this run; something else used the machine, do not quote these figures"
        for kind, r in rates.items()
        if min(r) < _STEADY * max(r)
    ]


def count(everything: list[Measured]) -> str:
    """How many bars are met."""
    results = [verdict(m, everything) for m in everything]
    parts = [f"{results.count(r)} {r}" for r in ("PASS", "MISS") if r in results]
    if "?" in results:
        parts.append(f"{results.count('?')} not comparable")
    return f"{len(results)} cases: " + (", ".join(parts) or "no bars")


def as_json(everything: list[Measured], facts: dict[str, Any]) -> dict[str, Any]:
    """Everything that was measured, in plain types.

    Returns
    -------
    dict
        "machine", and "cases" with seconds and figures by contender.
    """

    def finite(value: float) -> float | None:
        return None if math.isnan(value) else value

    return {
        "machine": facts,
        "cases": [
            {
                "group": m.case.group,
                "name": m.case.name,
                "unit": m.case.unit,
                "seconds": m.seconds,
                "figures": {name: m.case.figure(s) for name, s in m.seconds.items()},
                "limit": {"kind": m.case.limit, "rate": finite(m.limit_rate)},
                "ratio": finite(m.ratio),
                "bar": m.case.bar,
                "verdict": verdict(m, everything),
                "notes": m.notes,
            }
            for m in everything
        ],
    }
