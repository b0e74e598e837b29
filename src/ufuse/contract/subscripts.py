"""The einsum grammar for two operands: from subscripts to labelled axes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

_TERM = re.compile(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*\Z")


@dataclass(frozen=True, slots=True)
class Subscripts:
    """Labels of two operands and of the result; those of an ellipsis are integers."""

    a: tuple[str | int, ...]
    b: tuple[str | int, ...]
    out: tuple[str | int, ...]


def _expand(term: str, ndim: int, argument: int, subscripts: str) -> tuple[str | int, ...]:
    """Labels of one operand, the axes of its ellipsis numbered from the right."""
    letters = term.replace("...", "")
    if "..." not in term:
        if len(letters) != ndim:
            raise ValueError(
                f"ufuse.einsum: operand {argument} has {ndim} dimensions, but its subscripts "
                f"{term!r} in {subscripts!r} name {len(letters)}"
            )
        return tuple(letters)
    covered = ndim - len(letters)
    if covered < 0:
        raise ValueError(
            f"ufuse.einsum: operand {argument} has {ndim} dimensions, but its subscripts {term!r} "
            f"in {subscripts!r} name {len(letters)} besides the ellipsis"
        )
    before, _, after = term.partition("...")
    return (*before, *range(covered - 1, -1, -1), *after)


def parse(subscripts: str, ndim_a: int, ndim_b: int) -> Subscripts:
    """Parse `subscripts` for operands of these dimensions.

    Raises
    ------
    ValueError
        Naming the term and the operand that does not fit.
    """
    text = subscripts.replace(" ", "")
    inputs, arrow, result = text.partition("->")
    terms = inputs.split(",")
    for term in (*terms, result):
        if not _TERM.match(term):
            raise ValueError(
                f"ufuse.einsum: argument 'subscripts': expected letters, one '...' per operand, "
                f"commas and one '->', got {subscripts!r}"
            )
    if len(terms) != 2:
        raise ValueError(
            f"ufuse.einsum: argument 'subscripts': {subscripts!r} names {len(terms)} "
            "operands, got 2"
        )
    a = _expand(terms[0], ndim_a, 0, subscripts)
    b = _expand(terms[1], ndim_b, 1, subscripts)
    covered = [label for label in (*a, *b) if isinstance(label, int)]
    ellipsis = tuple(range(max(covered), -1, -1)) if covered else ()
    if not arrow:
        letters = [label for label in (*a, *b) if isinstance(label, str)]
        once = sorted(label for label in set(letters) if letters.count(label) == 1)
        return Subscripts(a, b, (*ellipsis, *once))
    if ellipsis and "..." not in result:
        raise ValueError(
            f"ufuse.einsum: argument 'subscripts': the result of {subscripts!r} needs '...' for "
            "the broadcast dimensions of the operands"
        )
    before, _, after = result.partition("...")
    for label in (*before, *after):
        if label not in a and label not in b:
            raise ValueError(
                f"ufuse.einsum: argument 'subscripts': label {label!r} of the result of "
                f"{subscripts!r} is in no operand"
            )
        if (before + after).count(label) > 1:
            raise ValueError(
                f"ufuse.einsum: argument 'subscripts': label {label!r} is twice in the result of "
                f"{subscripts!r}"
            )
    return Subscripts(a, b, (*before, *(ellipsis if "..." in result else ()), *after))


def extents(parsed: Subscripts, a: Array, b: Array, subscripts: str) -> dict[str | int, int]:
    """Size of every label; an axis of 1 broadcasts, as NumPy has it.

    Raises
    ------
    ValueError
        Naming the label, the operand and both sizes.
    """
    sizes: dict[str | int, int] = {}
    for number, (labels, operand) in enumerate(((parsed.a, a), (parsed.b, b))):
        for label, size in zip(labels, operand.shape, strict=True):
            known = sizes.setdefault(label, size)
            if known == 1:
                sizes[label] = size
            elif size not in (1, known):
                name = f"label {label!r}" if isinstance(label, str) else "a dimension of '...'"
                raise ValueError(
                    f"ufuse.einsum: {name} of {subscripts!r} has size {known}, but size {size} in "
                    f"operand {number}, whose shape is {operand.shape}"
                )
    return sizes


def strides(
    labels: tuple[str | int, ...], operand: Array, sizes: dict[str | int, int]
) -> dict[str | int, int]:
    """Byte stride of every label in `operand`: those of a repeated label add up to its diagonal."""
    steps: dict[str | int, int] = {}
    for label, size, step in zip(labels, operand.shape, operand.strides, strict=True):
        steps[label] = steps.get(label, 0) + (step if size == sizes[label] else 0)
    return steps
