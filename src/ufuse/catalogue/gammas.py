"""References, in plain NumPy, of the gamma function and its logarithm, in long double."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_LONG: Final = np.longdouble
_PI: Final = _LONG("3.14159265358979323846264338327950288")
_EULER: Final = _LONG("0.57721566490153286060651209008240243")
#: Coefficients of Stirling's series: Bernoulli numbers 2k by 2k (2k - 1).
_STIRLING: Final = tuple(
    _LONG(n) / _LONG(d)
    for n, d in ((1, 12), (-1, 360), (1, 1260), (-1, 1680), (1, 1188), (-691, 360360), (1, 156))
)
_FAR: Final = 25  # from where that series has the digits


def _zeta_less_one(k: int) -> np.longdouble:
    """Riemann's zeta function of `k`, less 1: a sum, and Euler and Maclaurin's rest of it."""
    n = _LONG(300)
    terms = np.sum(np.arange(299, 1, -1).astype(_LONG) ** -k)
    rest = n ** (1 - k) / (k - 1) + n**-k / 2 + k * n ** (-k - 1) / 12
    rest -= k * (k + 1) * (k + 2) * n ** (-k - 3) / 720
    rest += k * (k + 1) * (k + 2) * (k + 3) * (k + 4) * n ** (-k - 5) / 30240
    return np.longdouble(terms + rest)


@lru_cache(maxsize=1)
def _series() -> tuple[np.longdouble, ...]:
    """Coefficients of t**2, t**3, ... in the logarithm of gamma(2 + t)."""
    return tuple((-1) ** k * _zeta_less_one(k) / k for k in range(2, 60))


def _about_two(t: Array) -> Array:
    """Logarithm of gamma(2 + t), t at most 0.5 in size, exact near its zero."""
    total = np.zeros_like(t)
    for c in reversed(_series()):
        total = (total + c) * t
    result: Array = (total + (1 - _EULER)) * t
    return result


def _log_gamma(x: Array) -> Array:
    """Logarithm of gamma(x), `x` positive long doubles."""
    steps = np.clip(np.ceil(_FAR - x), 0, _FAR)
    product = np.ones_like(x)
    for k in range(_FAR):
        product *= np.where(k < steps, x + k, 1)
    z = x + steps
    tail = np.zeros_like(z)
    for c in reversed(_STIRLING):
        tail = tail / (z * z) + c
    far = (z - _LONG(0.5)) * np.log(z) - z + np.log(2 * _PI) / 2 + tail / z - np.log(product)
    near = np.where(x < 1.5, _about_two(x - 1) - np.log1p(x - 1), _about_two(x - 2))
    result: Array = np.where((x >= 0.5) & (x <= 2.5), near, far)
    return result


def _sine(x: Array) -> Array:
    """sin(pi x); the multiples of 2 taken off are exact."""
    r = np.fmod(x, 2)
    r = np.where(np.abs(r) > 1, r - np.copysign(2, r), r)
    return np.sin(_PI * np.where(np.abs(r) > 0.5, np.copysign(1, r) - r, r))


def gamma(x: Array) -> Array:
    """Gamma function; below 0.5 by reflection."""
    wide = x.astype(_LONG)
    with np.errstate(all="ignore"):
        small = wide < 0.5
        size = np.exp(_log_gamma(np.where(small, 1 - wide, wide)))
        below = np.where(np.abs(wide) < 1e-16, 1 / wide, _PI / (_sine(wide) * size))
        pole = (wide < 0) & (wide == np.floor(wide))
        result: Array = np.where(pole, np.nan, np.where(small, below, size))
        return np.where(np.isposinf(x), np.inf, result)


def gammaln(x: Array) -> Array:
    """Logarithm of the magnitude of the gamma function; -inf at -inf, as `scipy.special` has it."""
    wide = x.astype(_LONG)
    with np.errstate(all="ignore"):
        size = np.abs(wide)
        minus = np.log(_PI / (size * np.abs(_sine(wide)))) - _log_gamma(size)
        result = np.where(wide < 0, minus, _log_gamma(size))
        result = np.where(size < 1e-18, -np.log(size), result)
        result = np.where((wide <= 0) & (wide == np.floor(wide)), np.inf, result)
        final: Array = np.where(np.isinf(x), wide, result)
        return final
