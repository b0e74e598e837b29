"""Contractions: products over shared labels, and the layers built on them."""

from .einsum import einsum, einsum_path
from .linear import linear
from .products import dot, inner, kron, matmul, matvec, outer, tensordot, vdot, vecdot, vecmat

__all__ = [
    "dot",
    "einsum",
    "einsum_path",
    "inner",
    "kron",
    "linear",
    "matmul",
    "matvec",
    "outer",
    "tensordot",
    "vdot",
    "vecdot",
    "vecmat",
]
