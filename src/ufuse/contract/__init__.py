"""Contractions: products over shared labels, and the layers built on them."""

from .einsum import einsum
from .linear import linear
from .weights import PackedWeights, prepack

__all__ = ["PackedWeights", "einsum", "linear", "prepack"]
