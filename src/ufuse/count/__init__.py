"""Counts: histograms and bincount."""

from .. import executors
from .histograms import bincount, histogram

__all__ = ["bincount", "histogram"]

# Here, and not by the first call that the fast entries decline, which would then seem to leak the
# references to dtypes that the module keeps.
executors.of(__name__)
