"""Contractions: products over shared labels, and the layers built on them."""

from .attention import attention
from .einsum import einsum
from .linear import linear

__all__ = ["attention", "einsum", "linear"]
