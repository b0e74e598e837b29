"""Calibration: what ranges to quantize a stream of batches by, found in bounded memory.

`MinMax` and `MovingAverage` keep extremes, `Percentile`, `MSE` and `Entropy` histograms; each turns
what it has seen into a scale and a zero point. ``docs/calibration.md`` says which to take.
"""

from .averages import MovingAverage
from .divergence import Entropy
from .errors import MSE
from .extremes import MinMax
from .observer import Observer
from .parameters import ClipRange, Parameters
from .percentiles import Percentile

__all__ = [
    "MSE",
    "ClipRange",
    "Entropy",
    "MinMax",
    "MovingAverage",
    "Observer",
    "Parameters",
    "Percentile",
]
