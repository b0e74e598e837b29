"""From text to steps, by an allow-list: nothing of the text is executed, and nothing computed."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Final, Never

import numpy as np

from .language import ATTRIBUTES, DTYPES, FUNCTIONS, MOST_BITS, OPERATORS, Function
from .refusals import Place, place_of, refusal
from .steps import Constant, Key, Step, Steps

MOST_CHARACTERS: Final = 10_000
#: Of brackets, and of signs in a row: Python's own parser recurses.
MOST_NESTED: Final = 100

_SIGNS = re.compile(rf"(?:[-+~]\s*){{{MOST_NESTED + 1}}}")
_LOGIC = "write '&', '|' and '~', with parentheses around comparisons: (a > 0) & (b > 0)"
_STRINGS = "numexpr's operations on strings are not offered; compare with NumPy, pass the result"
_NAMED = "compute it before, and pass it by name"
_REFUSED: Final[dict[type[ast.AST], tuple[type[Exception], str, str]]] = {
    ast.BoolOp: (TypeError, "'and' or 'or', which need one truth value", _LOGIC),
    ast.Not: (TypeError, "'not', which needs one truth value", _LOGIC),
    ast.IfExp: (TypeError, "'if', which needs one truth value", "write where(condition, a, b)"),
    ast.List: (ValueError, "a list", _NAMED),
    ast.Tuple: (TypeError, "a tuple", _NAMED),
    ast.Subscript: (ValueError, "indexing or slicing", _NAMED),
    ast.Starred: (ValueError, "a starred argument", "write the arguments one by one"),
    ast.JoinedStr: (ValueError, "a string", _STRINGS),
}


def parse(text: str) -> Steps:
    """Return what an expression computes.

    Raises
    ------
    SyntaxError
        If it is no expression of Python's.
    TypeError, ValueError
        If it holds what the language does not have.
    """
    _check_size(text)
    reader = _Reader(text)
    nodes = [_parsed(text)]
    forms: list[tuple[ast.expr, _Form]] = []
    while nodes:  # not recursive: sums may have thousands of terms
        node = nodes.pop()
        form = reader.read(node)
        forms.append((node, form))
        nodes += form[1]
    keys: dict[ast.expr, Key] = {}
    values: list[Constant | Step] = []
    places: dict[str, Place] = {}
    for node, (what, operands, options) in reversed(forms):  # operands first, from left to right
        if isinstance(node, ast.Name):
            keys[node] = node.id
            places.setdefault(node.id, place_of(text, node))
            continue
        key = keys[node] = len(values)
        if isinstance(node, ast.Constant):
            values.append(Constant(key, node.value))
        else:
            args = tuple(keys[operand] for operand in operands)
            values.append(Step(key, what, args, options, place_of(text, node)))
    if not values:  # a name alone
        ((name, place),) = places.items()
        values.append(Step(0, np.copy, (name,), {}, place))
    return Steps(values, places)


_Form = tuple[Any, Sequence[ast.expr], dict[str, Any]]


def _check_size(text: str) -> None:
    if len(text) > MOST_CHARACTERS:
        raise ValueError(
            f"ufuse.evaluate: argument 'ex': expected at most {MOST_CHARACTERS} characters, got "
            f"{len(text)}; write a function and fuse it: ufuse.fuse"
        )
    depth = 0
    for match in re.finditer(r"[(\[{]|[)\]}]|\0", text):
        at = Place(text, *_line_and_column(text, match.start()))
        if match[0] == "\0":
            raise refusal(ValueError, at, "a null byte; expected an expression")
        depth += 1 if match[0] in "([{" else -1
        if depth > MOST_NESTED:
            raise refusal(ValueError, at, f"more than {MOST_NESTED} brackets in one another")
    signs = _SIGNS.search(text)
    if signs:
        at = Place(text, *_line_and_column(text, signs.start()))
        raise refusal(ValueError, at, f"more than {MOST_NESTED} signs in a row")


def _line_and_column(text: str, position: int) -> tuple[int, int, int]:
    before = text[:position].split("\n")
    return len(before) - 1, len(before[-1]), len(before[-1]) + 1


def _parsed(text: str) -> ast.expr:
    """Have Python's parser make a tree of the text; it executes nothing."""
    try:
        text.encode()
        return ast.parse(text, "<expression>", "eval").body
    except SyntaxError as error:
        line = (error.lineno or 1) - 1
        start = (error.offset or len(text.split("\n")[line]) + 1) - 1  # 0: the end
        whole = error.end_lineno == error.lineno and error.end_offset
        at = Place(text, line, start, (error.end_offset or 0) - 1 if whole else start + 1)
        raise refusal(SyntaxError, at, f"{error.msg}; expected an expression") from None
    except (RecursionError, MemoryError):
        raise ValueError(
            "ufuse.evaluate: argument 'ex': more operations in one another than Python's parser "
            "takes; evaluate parts of it one after the other"
        ) from None
    except UnicodeEncodeError as error:
        at = Place(text, *_line_and_column(text, error.start))
        raise refusal(ValueError, at, "half of a surrogate pair; expected text") from None


class _Reader:
    """Reads the nodes of one text: what to call, on which nodes, with which options."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _refuse(self, kind: type[Exception], node: ast.expr | ast.keyword, message: str) -> Never:
        raise refusal(kind, place_of(self._text, node), message)

    def read(self, node: ast.expr) -> _Form:
        match node:
            case ast.Name():
                return self._name(node)
            case ast.Constant():
                return self._constant(node)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return OPERATORS[type(op)], (left, right), {}
            case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
                return OPERATORS[type(op)], (operand,), {}
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in OPERATORS:
                return OPERATORS[type(op)], (left, right), {}
            case ast.Call(func=ast.Name(id=name)):
                return self._call(node, name)
            case ast.Attribute(value=value, attr=attr) if attr in ATTRIBUTES:
                return FUNCTIONS[attr].call, (value,), {}
            case _:
                self._unknown(node)

    def _name(self, node: ast.Name) -> _Form:
        if node.id.startswith("__"):
            self._refuse(
                ValueError,
                node,
                f"the name {node.id!r} begins with two underscores; pass its value by another name",
            )
        return None, (), {}

    def _constant(self, node: ast.Constant) -> _Form:
        value = node.value
        if isinstance(value, (str, bytes)):
            self._refuse(TypeError, node, f"a string; expected a number; {_STRINGS}")
        if not isinstance(value, (int, float, complex)):
            self._refuse(TypeError, node, f"{value}; expected a number or a name")
        if type(value) is int and value.bit_length() > MOST_BITS:
            self._refuse(
                ValueError,
                node,
                f"an integer of {value.bit_length()} bits; expected {MOST_BITS} at most; write "
                "a float, such as 1e400",
            )
        return None, (), {}

    def _call(self, node: ast.Call, name: str) -> _Form:
        function = FUNCTIONS.get(name)
        if function is None:
            self._unknown_function(node, name)
        operands, rest = node.args[: function.most], node.args[function.most :]
        starred = next((arg for arg in node.args if isinstance(arg, ast.Starred)), None)
        if starred is not None:
            self._unknown(starred)
        if len(operands) < function.least or len(rest) > min(1, len(function.options)):
            self._refuse(TypeError, node, _arity(name, function, len(node.args)))
        options: dict[str, Any] = {}
        if rest:
            options[function.options[0]] = self._option(name, function.options[0], rest[0])
        for keyword in node.keywords:
            given = keyword.arg
            if given is None or given not in function.options or given in options:
                self._refuse(TypeError, keyword, _keywords(name, function, given, given in options))
            options[given] = self._option(name, given, keyword.value)
        return function.call, operands, options

    def _option(self, function: str, name: str, node: ast.expr) -> Any:
        if name == "dtype":
            if isinstance(node, ast.Name) and node.id in DTYPES:
                return DTYPES[node.id]
            expected, remedy = "the name of a dtype, such as float64", "without quotes or 'np.'"
        elif name == "keepdims":
            if isinstance(node, ast.Constant) and isinstance(node.value, bool):
                return node.value
            expected, remedy = "True or False", "as a constant"
        else:
            several = name == "axis" and isinstance(node, ast.Tuple)
            numbers = [_integer(part) for part in (node.elts if several else [node])]  # type: ignore[attr-defined]
            if None not in numbers:
                return tuple(numbers) if several else numbers[0]
            if name == "axis" and isinstance(node, ast.Constant) and node.value is None:
                return None
            expected = "an integer" if name != "axis" else "an integer, a tuple of them, or None"
            remedy = "as a constant"
        if function in ("min", "max"):
            remedy += f"; the {function} of two arrays is {function}imum(a, b)"
        self._refuse(TypeError, node, f"{name}= of {function}(): expected {expected}, {remedy}")

    def _unknown_function(self, node: ast.Call, name: str) -> Never:
        if name == "contains":
            self._refuse(TypeError, node, f"contains(), which is of strings; {_STRINGS}")
        near = get_close_matches(name, FUNCTIONS, 1)
        hint = f"did you mean {near[0]}()?" if near else _NAMED
        self._refuse(TypeError, node, f"there is no function {name}(); {hint}")

    def _unknown(self, node: ast.expr) -> Never:
        kind: type[ast.AST] = type(node.op) if isinstance(node, ast.UnaryOp) else type(node)
        if isinstance(node, ast.Compare) and len(node.ops) > 1:
            self._refuse(
                TypeError,
                node,
                "a chain of comparisons, which needs one truth value; write (a < b) & (b < c). "
                "'&' binds more tightly than '<': a > 0 & b > 0 is such a chain",
            )
        if isinstance(node, ast.Attribute):
            self._refuse(
                ValueError,
                node,
                f"the attribute '.{node.attr}'; expected '.real' or '.imag', the only ones there "
                f"are; {_NAMED}",
            )
        if isinstance(node, ast.Call):
            self._refuse(TypeError, node.func, "a call of what is no plain name; expected sin(a)")
        error, what, remedy = _REFUSED.get(
            kind,
            (ValueError, f"{ast.unparse(node)[:40]!r}", "expected numbers, names and functions"),
        )
        self._refuse(error, node, f"{what}; {remedy}")


def _integer(node: ast.expr) -> int | None:
    """Return an integer that is written out, or None."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _integer(node.operand)
        return None if number is None else -number
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value if node.value.bit_length() < MOST_BITS else None
    return None


def _arity(name: str, function: Function, given: int) -> str:
    count = f"{function.least} argument{'s' * (function.least > 1)}"
    if function.options:
        count += f", and {', '.join(f'{option}=' for option in function.options)}"
    return f"{name}() takes {count}; got {given} argument{'s' * (given != 1)}"


def _keywords(name: str, function: Function, given: str | None, twice: bool) -> str:
    what = "'**'" if given is None else f"{given}="
    if twice:
        return f"{name}() was given {what} twice"
    if not function.options:
        return f"{name}() takes no {what}; its arguments go by their place"
    return f"{name}() takes no {what}; expected {', '.join(f'{o}=' for o in function.options)}"
