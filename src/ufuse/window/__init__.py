"""Moving windows."""

from .windows import move_reduce

__all__ = ["move_reduce"]
