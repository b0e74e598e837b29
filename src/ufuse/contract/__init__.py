"""Contractions: products over shared labels, and the layers built on them."""

from .attention import attention
from .contract_plan import contract_plan
from .distances import cdist
from .einsum import einsum, einsum_path
from .groups import grouped_matmul, segment_matmul
from .linear import linear
from .products import dot, inner, kron, matmul, matvec, outer, tensordot, vdot, vecdot, vecmat
from .semirings import semiring

__all__ = [
    "attention",
    "cdist",
    "contract_plan",
    "dot",
    "einsum",
    "einsum_path",
    "grouped_matmul",
    "inner",
    "kron",
    "linear",
    "matmul",
    "matvec",
    "outer",
    "segment_matmul",
    "semiring",
    "tensordot",
    "vdot",
    "vecdot",
    "vecmat",
]
