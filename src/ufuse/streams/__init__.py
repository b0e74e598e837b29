"""What sees its elements piece by piece: states, quantile sketches, and drift between two."""

from .comparison import drift
from .sketches import QuantileSketch
from .states import State

__all__ = ["QuantileSketch", "State", "drift"]
