"""The einsum grammar: from subscripts to labelled axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..interop.lowprecision import is_low_precision
from ..interop.messages import type_name

Array = NDArray[Any]
#: A letter, or an axis of the ellipsis: those count from the right, the last one is 0.
Label = str | int
Labels = tuple[Label, ...]
Sizes = dict[Label, int]


@dataclass(frozen=True, slots=True)
class Equation:
    """Labels of the operands and of the result.

    Attributes
    ----------
    inputs : tuple of tuple
    out : tuple
    text : str
        The subscripts as they were given, for messages.
    function : str
        What was called, for messages.
    """

    inputs: tuple[Labels, ...]
    out: Labels
    text: str
    function: str


def _malformed(text: str, function: str) -> ValueError:
    return ValueError(
        f"{function}: argument 'subscripts': expected letters, one '...' per operand, commas and "
        f"one '->', got {text!r}"
    )


def _split(term: str, text: str, function: str) -> tuple[str, bool, str]:
    """Return the letters before and after the ellipsis, and whether there is one."""
    before, dots, after = term.partition("...")
    letters = before + after
    if letters and not letters.isalpha():
        raise _malformed(text, function)
    return before, bool(dots), after


def _expand(term: str, ndim: int, argument: int, text: str, function: str) -> Labels:
    """Labels of one operand, the axes of its ellipsis numbered from the right."""
    before, dots, after = _split(term, text, function)
    named = len(before) + len(after)
    covered = ndim - named
    if covered < 0 or (covered and not dots):
        raise ValueError(
            f"{function}: operand {argument} has {ndim} dimensions, but its subscripts {term!r} in "
            f"{text!r} name {named}{' besides the ellipsis' if dots else ''}"
        )
    return (*before, *range(covered - 1, -1, -1), *after)


@lru_cache(maxsize=1024)
def parse(subscripts: str, ndims: tuple[int, ...], function: str) -> Equation:
    """Parse `subscripts` for operands of these dimensions.

    Raises
    ------
    ValueError
        Naming the term and the operand that does not fit.
    """
    text = subscripts.replace(" ", "")
    inputs, arrow, result = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ndims):
        raise ValueError(
            f"{function}: argument 'subscripts': {subscripts!r} names {len(terms)} operands, got "
            f"{len(ndims)}"
        )
    labels = tuple(
        _expand(term, ndim, i, subscripts, function)
        for i, (term, ndim) in enumerate(zip(terms, ndims, strict=True))
    )
    covered = [label for term in labels for label in term if isinstance(label, int)]
    ellipsis = tuple(range(max(covered), -1, -1)) if covered else ()
    if not arrow:
        letters = [label for term in labels for label in term if isinstance(label, str)]
        once = sorted(label for label in set(letters) if letters.count(label) == 1)
        return Equation(labels, (*ellipsis, *once), subscripts, function)
    before, dots, after = _split(result, subscripts, function)
    if ellipsis and not dots:
        raise ValueError(
            f"{function}: argument 'subscripts': the result of {subscripts!r} needs '...' for the "
            "broadcast dimensions of the operands"
        )
    known = {label for term in labels for label in term}
    for label in before + after:
        if label not in known:
            raise ValueError(
                f"{function}: argument 'subscripts': label {label!r} of the result of "
                f"{subscripts!r} is in no operand"
            )
        if (before + after).count(label) > 1:
            raise ValueError(
                f"{function}: argument 'subscripts': label {label!r} is twice in the result of "
                f"{subscripts!r}"
            )
    return Equation(labels, (*before, *ellipsis, *after), subscripts, function)


def _letter(index: int) -> str:
    """Letter of an integer label of the list form; their order is the integers'."""
    if index < 26:
        return chr(ord("A") + index)
    return chr(ord("a") + index - 26) if index < 52 else chr(0x4E00 + index)


def _shown(sublist: Any) -> str:
    """Describe what is no list of labels: an array by its shape, whatever is long by its type."""
    shape = getattr(sublist, "shape", None)
    if isinstance(shape, tuple):
        return f"{type_name(sublist)} of shape {shape}"
    text = repr(sublist)
    return text if len(text) <= 80 else type_name(sublist)


def _term(sublist: Any, position: int, function: str) -> str:
    letters = []
    try:
        entries = list(sublist)
    except TypeError:
        entries = [None]
    for entry in entries:
        if entry is Ellipsis:
            letters.append("...")
        elif isinstance(entry, (int, np.integer)) and 0 <= int(entry) < 10_000:
            letters.append(_letter(int(entry)))
        else:
            raise TypeError(
                f"{function}: sublist {position}: expected integers from 0 on, or Ellipsis, got "
                f"{_shown(sublist)}; give subscripts such as 'ij,jk->ik' before all operands, or "
                "labels behind each"
            )
    if letters.count("...") > 1:
        raise ValueError(f"{function}: sublist {position}: expected one Ellipsis at most")
    return "".join(letters)


def read_operands(operands: Sequence[Any], function: str) -> tuple[str, list[Any]]:
    """Return subscripts and operands; of the list form too: operand, its labels, and so on.

    Examples
    --------
    >>> read_operands([1.0, [0, 1], 2.0, [1, ...], [0, ...]], "ufuse.einsum")[0]
    'AB,B...->A...'
    """
    if operands and isinstance(operands[0], str):
        return operands[0], list(operands[1:])
    if len(operands) < 2:
        got = "one argument" if operands else "no arguments"
        raise ValueError(f"{function}: expected subscripts and operands, got {got}")
    pairs = len(operands) // 2
    arrays = list(operands[0 : 2 * pairs : 2])
    terms = [_term(operands[2 * i + 1], i, function) for i in range(pairs)]
    result = f"->{_term(operands[-1], pairs, function)}" if len(operands) % 2 else ""
    return ",".join(terms) + result, arrays


def extents(equation: Equation, shapes: Sequence[tuple[int, ...]]) -> Sizes:
    """Size of every label; an axis of 1 broadcasts, as NumPy has it.

    Raises
    ------
    ValueError
        Naming the label, the operand and both sizes.
    """
    sizes: Sizes = {}
    for number, (labels, shape) in enumerate(zip(equation.inputs, shapes, strict=True)):
        for label, size in zip(labels, shape, strict=True):
            known = sizes.setdefault(label, size)
            if known == 1:
                sizes[label] = size
            elif size not in (1, known):
                name = f"label {label!r}" if isinstance(label, str) else "a dimension of '...'"
                raise ValueError(
                    f"{equation.function}: {name} of {equation.text!r} has size {known}, but size "
                    f"{size} in operand {number}, whose shape is {shape}"
                )
    return sizes


def steps(labels: Labels, operand: Array, sizes: Mapping[Label, int]) -> dict[Label, int]:
    """Byte stride of every label in `operand`: those of a repeated label add up to its diagonal."""
    found: dict[Label, int] = {}
    for label, size, step in zip(labels, operand.shape, operand.strides, strict=True):
        found[label] = found.get(label, 0) + (step if size == sizes[label] else 0)
    return found


def arranged(operand: Array, labels: Labels, wanted: Labels, sizes: Mapping[Label, int]) -> Array:
    """View `operand` with axes `wanted`: diagonals of repeated labels, 1 where it lacks one."""
    found = steps(labels, operand, sizes)
    own = {label: size for label, size in zip(labels, operand.shape, strict=True) if size != 1}
    # as_strided goes by the dtype's string, which NumPy cannot read where it is ml_dtypes'.
    held = operand.view(f"V{operand.itemsize}") if is_low_precision(operand.dtype) else operand
    view = np.lib.stride_tricks.as_strided(
        held,
        [own.get(label, 1) for label in wanted],
        [found.get(label, 0) for label in wanted],
        writeable=operand.flags.writeable,
    )
    return view if held is operand else view.view(operand.dtype)
