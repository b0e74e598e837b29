"""Counts: histograms and bincount."""

from .histograms import bincount, histogram

__all__ = ["bincount", "histogram"]
