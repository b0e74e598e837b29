"""Reductions of parts of an axis: segments by their bounds, groups by labels."""

from .segments import group_reduce, segment_reduce

__all__ = ["group_reduce", "segment_reduce"]
