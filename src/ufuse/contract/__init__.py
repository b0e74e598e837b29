"""Contractions: products over shared labels, and the layers built on them."""

from .einsum import einsum
from .linear import linear

__all__ = ["einsum", "linear"]
