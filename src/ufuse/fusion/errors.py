"""The error of tracing, and where in the user's source it happened."""

from __future__ import annotations

import linecache
import os.path
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# Frames of these folders are machinery: the user's line is the first one outside.
_MACHINERY = (
    os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), ""),
    os.path.join(os.path.dirname(os.path.realpath(np.__file__)), ""),
)


class TraceError(TypeError):
    """A function passed to `fuse` does what a trace cannot record.

    The message names the line of the function, the construct, and what to write instead.
    """


class _Expression(threading.local):
    """The operation of an expression in a string that this thread is tracing."""

    describe: Callable[[], str] | None = None


_expression = _Expression()


@contextmanager
def at_place(describe: Callable[[], str]) -> Iterator[None]:
    """Have errors name a place of an expression, which `describe` gives, instead of a line."""
    before, _expression.describe = _expression.describe, describe
    try:
        yield
    except Exception as error:
        place = describe()
        if not any(place in text for text in (str(error), *getattr(error, "__notes__", ()))):
            error.add_note(f"in {place}")
        raise
    finally:
        _expression.describe = before


def user_line() -> str:
    """Describe the source line being executed: ``file:line: text``."""
    if _expression.describe is not None:
        return _expression.describe()
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_MACHINERY):
        frame = frame.f_back
    if frame is None:
        return "<unknown line>"
    name, number = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(name, number, frame.f_globals).strip()
    if len(text) > 120:
        text = text[:117] + "..."
    return f"{name}:{number}: {text}" if text else f"{name}:{number}"


def trace_error(construct: str, remedy: str) -> TraceError:
    """Make the error for `construct` at the user's current line, with what to do instead."""
    return TraceError(f"{user_line()}\n  ufuse.fuse cannot trace {construct}; {remedy}")


def not_inside(function: str, argument: str) -> TraceError:
    """Make the error for a function of ufuse that is given what is under trace."""
    name = function.removeprefix("ufuse.")
    remedy = "call it outside of the fused function, and pass its result"
    if name == "quantize_linear":
        remedy = f"write it with np.rint, np.clip and astype, or {remedy}"
    return trace_error(f"{function}, whose argument {argument!r} is computed inside", remedy)
