"""Contractions: products over shared labels, and the layers built on them."""

from .distances import cdist
from .groups import grouped_matmul, segment_matmul
from .layers import linear
from .planned import contract_plan, einsum_path
from .products import dot, inner, kron, outer, tensordot, vdot
from .scaled_dot import attention
from .semirings import semiring
from .stacks import matmul, matvec, vecdot, vecmat
from .summation import einsum
from .weights import PackedWeights, prepack

__all__ = [
    "PackedWeights",
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
    "prepack",
    "segment_matmul",
    "semiring",
    "tensordot",
    "vdot",
    "vecdot",
    "vecmat",
]
