"""The case table for asv: one class per group, with cases and contenders as parameters."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from . import environment

# Before any library but NumPy is imported.
for _name, _value in environment.variables(environment.threads()).items():
    os.environ.setdefault(_name, _value)

from .cases import GROUPS, all_cases  # noqa: E402
from .measure import bare_loop, inputs_of  # noqa: E402
from .model import Case  # noqa: E402
from .report import columns  # noqa: E402

_CASES: dict[str, dict[str, Case]] = {
    group: {case.name: case for case in all_cases() if case.group == group} for group in GROUPS
}


def _setup(self: Any, case: str, contender: str) -> None:
    self.inputs, self.call = inputs_of(_CASES[self.group][case], contender)
    self.call()  # compiles, plans, and starts threads
    self.loop = bare_loop(self.call)


def _call(self: Any, case: str, contender: str) -> None:
    self.call()


def _thousand(self: Any, case: str, contender: str) -> None:
    self.loop(1000)


def _suite(group: str, method: str, body: Callable[..., None], contenders: list[str]) -> type:
    """Return a benchmark class of one method, whose name tells asv what to measure."""
    return type(
        f"{group.capitalize()}{method.partition('_')[0].capitalize()}",
        (),
        {
            "__module__": __name__,
            "group": group,
            "params": (list(_CASES[group]), contenders),
            "param_names": ["case", "contender"],
            "timeout": 120,
            "setup": _setup,
            method: body,
        },
    )


for _group in GROUPS:
    _everyone = columns(_CASES[_group].values())
    if _group == "small":
        # asv's own loop costs as much as these calls.
        _classes = [_suite(_group, "time_1000_calls", _thousand, _everyone)]
    else:
        _classes = [
            _suite(_group, "time_call", _call, _everyone),
            # Hidden copies: memory beyond the inputs, which both contenders hold.
            _suite(_group, "peakmem_call", _call, ["ufuse", "numpy"]),
        ]
    globals().update({cls.__name__: cls for cls in _classes})
