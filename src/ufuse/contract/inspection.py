"""What a run of a plan does, found out without computing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from ..fusion.shapes import stand_in
from .expressions import Expression, Finish, Operand
from .pairs import Product
from .plan import AloneStep, PairStep, Plan

Array = NDArray[Any]


@dataclass
class Inspection:
    """What a run of a plan does.

    Attributes
    ----------
    kernels : list of str
        Of each step: see `planned.StepInfo`.
    packed : list of int
        Which operands are computed as they are packed; other expressions are computed before.
    finished : bool
        Whether the finish is done before sums are stored.
    temporaries : int
        Bytes of intermediate results, and of what is computed in passes of its own.
    """

    kernels: list[str] = field(default_factory=list)
    packed: list[int] = field(default_factory=list)
    finished: bool = False
    temporaries: int = 0


def inspect(
    plan: Plan, operands: Sequence[Operand], out: Array | None = None, finish: Finish | None = None
) -> Inspection:
    """Say what `Plan.run` does with such operands, without computing; `out` may be left out.

    Raises
    ------
    ValueError
        If sums that are wanted exactly could overflow.
    """
    found = Inspection()
    at_hand = list(operands)
    number_of = {id(x): number for number, x in enumerate(operands)}
    for number, step in enumerate(plan.steps):
        last = number + 1 == len(plan.steps)
        places = (step.place,) if isinstance(step, AloneStep) else step.places
        taken = [at_hand[place] for place in places]
        now = [isinstance(x, Expression) for x in taken]
        dtype = step.dtype if isinstance(step, AloneStep) else step.pair.dtype
        sums = stand_in(step.shape, dtype)
        kernel = "reduce" if isinstance(step, AloneStep) and step.shared else "view"
        if isinstance(step, PairStep):
            target = out if last and out is not None else sums
            given = finish if last else None
            now = list(step.computes_first(taken[0], taken[1], target, given))
            a, b = (
                stand_in(x.shape, x.dtype) if one else x for x, one in zip(taken, now, strict=True)
            )
            prepared = step.prepared(a, b, target, given)
            kernel = prepared.kind
            found.finished = last and isinstance(prepared, Product) and prepared.fuses
        found.kernels.append(kernel)
        made = [x for x, one in zip(taken, now, strict=True) if one]
        found.packed += [
            number_of[id(x)]
            for x, one in zip(taken, now, strict=True)
            if isinstance(x, Expression) and not one
        ]
        found.temporaries += sum(math.prod(x.shape) * x.dtype.itemsize for x in made)
        if not last or (finish is not None and not found.finished):
            found.temporaries += sums.nbytes
        at_hand = [x for i, x in enumerate(at_hand) if i not in places]
        in_place = isinstance(step, AloneStep) and step.in_place
        at_hand.insert(places[0] if in_place else len(at_hand), sums)
    return found
