"""Broadcasting of shapes, in as many dimensions as arrays have."""

from __future__ import annotations

Shape = tuple[int, ...]


def broadcast_shapes(*shapes: Shape) -> Shape:
    """Return the shape that `shapes` broadcast to; `numpy.broadcast_shapes` stops at 32 dimensions.

    Raises
    ------
    ValueError
        If two sizes of an axis differ and neither is 1.
    """
    result = [1] * max(map(len, shapes), default=0)
    for shape in shapes:
        for place, size in enumerate(reversed(shape), 1):
            if result[-place] == 1:
                result[-place] = size
            elif size not in (1, result[-place]):
                raise ValueError(
                    "shape mismatch: objects cannot be broadcast to a single shape: "
                    + ", ".join(map(str, shapes))
                )
    return tuple(result)
