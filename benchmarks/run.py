"""``python -m benchmarks.run``: every case in one interleaved run, as one table.

For each case, ufuse, NumPy, the other libraries and a compiled probe of this machine's limits take
turns for several rounds; the best round of each counts. Answers are checked first. In the tables
"-" is a library that is not installed, "!" one whose answer differs from the expected one, and an
empty cell one that does not offer the operation.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from . import environment


def arguments(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--groups", nargs="+", metavar="GROUP", help="only these groups")
    parser.add_argument("--match", default="", metavar="TEXT", help="only names with TEXT")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables")
    parser.add_argument("--no-peers", action="store_true", help="only ufuse, NumPy and the limits")
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Run the benchmarks.

    Parameters
    ----------
    argv : list of str
        Command-line arguments.

    Returns
    -------
    int
        Exit status.
    """
    options = arguments(argv)
    environment.restart("benchmarks.run", argv, options.threads)

    from . import libraries, measure, report
    from .cases import GROUPS, all_cases
    from .model import verdict
    from .probe import Probe

    unknown = set(options.groups or ()) - set(GROUPS)
    if unknown:
        print(f"unknown groups {sorted(unknown)}; there are {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    cases = [
        case
        for case in all_cases()
        if case.group in (options.groups or GROUPS) and options.match in case.name
    ]
    if options.list:
        print("\n".join(f"{c.group:14}{c.name:48}{c.bar}" for c in cases))
        return 0
    if not libraries.installed("ufuse"):
        print("ufuse is not installed in this Python: run `pip install .` first", file=sys.stderr)
        return 2

    libraries.load("numpy")
    facts = report.machine(options.threads)
    print(report.header(facts))
    probe = Probe(options.threads)
    results = []
    for i, case in enumerate(cases):
        if sys.stderr.isatty():
            print(f"\r\033[K{i + 1}/{len(cases)} {case.name}", end="", file=sys.stderr, flush=True)
        results.append(measure.measure(case, probe, options.rounds, not options.no_peers))
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)

    tables = []
    for group in GROUPS:
        rows = [m for m in results if m.case.group == group]
        if rows:
            tables.append((group, report.table(rows, results)))
            print(f"\n{group}\n{report.text(tables[-1][1])}")
    for note in [*report.notes(results), *report.unsteady(results)]:
        print(f"  {note}")
    print(f"\n{report.count(results)}")

    if options.json:
        options.json.write_text(json.dumps(report.as_json(results, facts), indent=1) + "\n")
    if options.markdown:
        parts = [f"### {group}\n\n{report.markdown(rows)}\n" for group, rows in tables]
        options.markdown.write_text("\n".join([report.header(facts) + "\n", *parts]))
    missed = any(verdict(m, results) == "MISS" for m in results)
    return 1 if options.strict and missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
