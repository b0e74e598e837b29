"""Loops for numba of the fused functions of `fusion`, as its documentation would have them written.

Float32 constants are made of an element, or they would be float64.
"""

from __future__ import annotations

import math

import numpy as np

from . import loops
from .loops import A, prange


def axpby(a: A, b: A, out: A) -> None:
    """Compute ``2*a + 3*b``."""
    for i in prange(a.size):
        out[i] = np.float32(2) * a[i] + np.float32(3) * b[i]


def compare(a: A, b: A, out: A) -> None:
    """Compute ``a*b - 4.1*a > 2.5*b``."""
    for i in prange(a.size):
        out[i] = a[i] * b[i] - np.float32(4.1) * a[i] > np.float32(2.5) * b[i]


def choose(m: A, a: A, b: A, out: A) -> None:
    """Compute ``where(m, a, b)``."""
    for i in prange(a.size):
        out[i] = a[i] if m[i] else b[i]


def normalise(image: A, mean: A, std: A, out: A) -> None:
    """Normalise channels of images to CHW."""
    for n in prange(image.shape[0]):
        for y in range(image.shape[1]):
            for x in range(image.shape[2]):
                for c in range(3):
                    v = np.float32(image[n, y, x, c]) / np.float32(255)
                    out[n, c, y, x] = (v - mean[c]) / std[c]


def sigmoid(x: A, out: A) -> None:
    """Logistic function."""
    for i in prange(x.size):
        out[i] = np.float32(1) / (np.float32(1) + np.exp(-x[i]))


def silu(x: A, out: A) -> None:
    """``x * sigmoid(x)``."""
    for i in prange(x.size):
        out[i] = x[i] / (np.float32(1) + np.exp(-x[i]))


def tanh(x: A, out: A) -> None:
    """Hyperbolic tangent."""
    for i in prange(x.size):
        out[i] = np.tanh(x[i])


def gelu(x: A, out: A) -> None:
    """GELU by the error function."""
    for i in prange(x.size):
        half = np.float32(0.5) * x[i]
        out[i] = half * (
            np.float32(1) + np.float32(math.erf(x[i] * np.float32(0.7071067811865476)))
        )


def black_scholes(s: A, k: A, t: A, out: A) -> None:
    """Price of a call at 2 % interest and 30 % volatility."""
    for i in prange(s.size):
        root = 0.3 * np.sqrt(t[i])
        d1 = (np.log(s[i] / k[i]) + (0.02 + 0.045) * t[i]) / root
        n1 = 0.5 + 0.5 * math.erf(d1 * 0.7071067811865476)
        n2 = 0.5 + 0.5 * math.erf((d1 - root) * 0.7071067811865476)
        out[i] = s[i] * n1 - k[i] * np.exp(-0.02 * t[i]) * n2


def haversine(la1: A, lo1: A, la2: A, lo2: A, out: A) -> None:
    """Distance on the sphere of points in radians."""
    for i in prange(la1.size):
        y = np.sin((la2[i] - la1[i]) * 0.5)
        x = np.sin((lo2[i] - lo1[i]) * 0.5)
        h = y * y + np.cos(la1[i]) * np.cos(la2[i]) * x * x
        out[i] = 12742.0 * np.arcsin(np.sqrt(h))


def circle(x: A, out: A) -> None:
    """``sin(x)**2 + cos(x)**2``."""
    for i in prange(x.size):
        s, c = np.sin(x[i]), np.cos(x[i])
        out[i] = s * s + c * c


def squares_down(a: A, b: A, out: A) -> None:
    """Compute ``((a - b)**2).sum(0)``, a block of columns for each thread."""
    width = 256
    for block in prange(a.shape[1] // width):
        first = block * width
        total = np.zeros(width)
        for i in range(a.shape[0]):
            for j in range(width):
                d = a[i, first + j] - b[i, first + j]
                total[j] += d * d
        for j in range(width):
            out[first + j] = total[j]


def squares_along(a: A, b: A, out: A) -> None:
    """Compute ``((a - b)**2).sum(1)``."""
    for i in prange(a.shape[0]):
        total = 0.0
        for j in range(a.shape[1]):
            d = a[i, j] - b[i, j]
            total += d * d
        out[i] = total


def softmax(x: A, out: A) -> None:
    """Softmax of rows."""
    for i in prange(x.shape[0]):
        largest = x[i, 0]
        for j in range(x.shape[1]):
            largest = max(largest, x[i, j])
        total = 0.0
        for j in range(x.shape[1]):
            out[i, j] = np.exp(x[i, j] - largest)
            total += out[i, j]
        share = np.float32(1 / total)
        for j in range(x.shape[1]):
            out[i, j] *= share


def layer_norm(x: A, gain: A, shift: A, out: A) -> None:
    """Layer norm of rows."""
    for i in prange(x.shape[0]):
        n = x.shape[1]
        mean = 0.0
        for j in range(n):
            mean += x[i, j]
        m = np.float32(mean / n)
        square = 0.0
        for j in range(n):
            square += (x[i, j] - m) * (x[i, j] - m)
        r = np.float32(1 / np.sqrt(square / n + 1e-5))
        for j in range(n):
            out[i, j] = (x[i, j] - m) * r * gain[j] + shift[j]


def rms_codes(x: A, gain: A, out: A) -> None:
    """RMS norm of rows, scaled, to int8 by the largest magnitude of each."""
    for i in prange(x.shape[0]):
        n = x.shape[1]
        square = 0.0
        for j in range(n):
            square += x[i, j] * x[i, j]
        r = np.float32(1 / np.sqrt(square / n + 1e-6))
        largest = np.float32(0)
        for j in range(n):
            largest = max(largest, abs(x[i, j] * r * gain[j]))
        scale = np.float32(127) / largest
        for j in range(n):
            out[i, j] = np.int8(np.rint(x[i, j] * r * gain[j] * scale))


def compiled(name: str) -> object:
    """Return a loop of this module as machine code."""
    return loops.compiled_in(globals(), name)
