"""Where in an expression something is, and the errors that say so."""

from __future__ import annotations

import ast
from typing import NamedTuple, TypeVar

_MOST_SHOWN = 76  # columns of a line; around the place, where the line is longer
_Error = TypeVar("_Error", bound=Exception)


class UnknownNameError(KeyError):
    """A name of an expression that no variable has."""

    __str__ = Exception.__str__  # KeyError shows its message with quotes and \n


class Place(NamedTuple):
    """A part of an expression: `start` and `end` are columns, counted from 0, of one line."""

    text: str
    line: int
    start: int
    end: int

    def __str__(self) -> str:
        line = f"line {self.line + 1}, " if "\n" in self.text else ""
        return f"{line}column {self.start + 1}"

    def described(self) -> str:
        """Return what stands for a source line in errors of tracing."""
        return f"ufuse.evaluate, {self}:\n{self.shown()}"

    def shown(self) -> str:
        """Return the line, and under it what is meant."""
        lines = self.text.split("\n")
        line = lines[self.line] if self.line < len(lines) else ""
        start, end = self.start, max(self.end, self.start + 1)
        if len(line) > _MOST_SHOWN:
            first = max(0, min(start - _MOST_SHOWN // 3, len(line) - _MOST_SHOWN))
            last = first + _MOST_SHOWN
            before, after = "..." * (first > 0), "..." * (last < len(line))
            line = before + line[first:last] + after
            start, end = (at - first + len(before) for at in (start, min(end, last)))
        return f"    {line.expandtabs(1)}\n    {' ' * start}{'^' * (end - start)}"


def place_of(text: str, node: ast.expr | ast.keyword) -> Place:
    """Return the place of a node; of one that goes over several lines, the part in the first."""
    line = node.lineno - 1
    bytes_ = text.split("\n")[line].encode()  # the parser counts bytes
    start = len(bytes_[: node.col_offset].decode(errors="ignore"))
    last = node.end_lineno == node.lineno and node.end_col_offset is not None
    end = len(bytes_[: node.end_col_offset].decode(errors="ignore")) if last else len(bytes_)
    return Place(text, line, start, end)


def refusal(kind: type[_Error], place: Place, message: str) -> _Error:
    """Make the error for what is wrong with an expression there."""
    return kind(f"ufuse.evaluate: argument 'ex', {place}: {message}\n{place.shown()}")
