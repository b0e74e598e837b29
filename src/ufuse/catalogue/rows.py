"""What a row of the catalogue is, and short ways to write its signatures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Signature:
    """Element types of one compiled kernel: ``inputs`` to ``output``, as codes."""

    inputs: tuple[str, ...]
    output: str

    def __str__(self) -> str:
        return f"{','.join(self.inputs)}->{self.output}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One scalar operation: a row here and a functor in ``csrc/ops``.

    Attributes
    ----------
    name : str
        Name of the operation and of its functor ``ufuse::ops::<name>``.
    signatures : tuple of Signature
        The element types the native and CUDA executors are compiled for.
    reference : callable
        The same operation in NumPy: arrays of the signature's inputs to an array of its output
        (the executor casts what it returns to that dtype).
    doc : str
        One line for the documentation's table.
    ufunc : np.ufunc or None
        The NumPy ufunc a traced call of which becomes this operation; None for what NumPy lacks.
    aliases : tuple of np.ufunc
        Ufuncs of NumPy that compute the same under another name.
    scipy : tuple of str
        Names of ufuncs of `scipy.special` that compute the same.
    boolean : str or None
        The operation that NumPy's loop for bool operands amounts to, where that is another one.
    domain : tuple of float
        Interval from which tests draw floating inputs, besides the special values.
    ulp : float
        Largest error of the native result in units in the last place of the exact value's dtype;
        0 means the same bits as the reference.
    public : bool
        Whether the operation is a public function ``ufuse.<name>`` (those NumPy lacks).
    values : dict
        Integer operands that mean something for some values only: their place to those values.
    """

    name: str
    signatures: tuple[Signature, ...]
    reference: Callable[..., Any]
    doc: str
    ufunc: np.ufunc | None = None
    boolean: str | None = None
    domain: tuple[float, float] = (-100.0, 100.0)
    ulp: float = 0.0
    public: bool = False
    values: dict[int, tuple[int, ...]] = field(default_factory=dict, hash=False)
    aliases: tuple[np.ufunc, ...] = ()
    scipy: tuple[str, ...] = ()

    @property
    def arity(self) -> int:
        return len(self.signatures[0].inputs)


@dataclass(frozen=True, slots=True)
class Reducer:
    """One mergeable reduction: a row here and a struct in ``csrc/reduce/reducers.hpp``.

    Attributes
    ----------
    name : str
        Name of the reducer and of its C++ struct.
    state : dict
        Element type code of the input to the codes of the state's components.
    components : tuple of str
        Names of the state's components, in order.
    doc : str
        One line for the documentation's table.
    """

    name: str
    components: tuple[str, ...]
    state: dict[str, tuple[str, ...]] = field(hash=False)
    doc: str = ""


def same(codes: Iterable[str], arity: int) -> tuple[Signature, ...]:
    """Signatures ``t,...,t->t``."""
    return tuple(Signature((code,) * arity, code) for code in codes)


def predicate(codes: Iterable[str], arity: int) -> tuple[Signature, ...]:
    """Signatures ``t,...,t->?``."""
    return tuple(Signature((code,) * arity, "?") for code in codes)


def signatures(*texts: str) -> tuple[Signature, ...]:
    """Signatures from texts such as ``"f4,f4,i1->i1"``."""
    rows = []
    for text in texts:
        inputs, output = text.split("->")
        rows.append(Signature(tuple(inputs.split(",")), output))
    return tuple(rows)
