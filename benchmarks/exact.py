"""What the functions of the catalogue come to exactly, for `benchmarks.accuracy`.

Float32 is compared with float64: NumPy's ufuncs, formulas of these, or ours where NumPy has none
(their errors in float64 are in the table too). Float64 is compared with mpmath.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ufuse import executors
from ufuse.catalogue import OPERATIONS, Operation
from ufuse.catalogue.formulas import logistic
from ufuse.fusion import Instruction, Program

Array = NDArray[Any]

#: Bits of mpmath's numbers: 53, what cancels about a zero (53, twice that in a square), and more.
PRECISION: Final = 300
_PI: Final = np.pi


def computed(row: Operation, *inputs: Array) -> Array:
    """Run one row of the catalogue."""
    code = inputs[0].dtype.str[1:]
    (signature,) = (s for s in row.signatures if s.output == code and set(s.inputs) == {code})
    places = tuple(range(row.arity))
    program = Program(signature.inputs, (), (Instruction(row.name, code, places),), (row.arity,))
    out = np.empty(inputs[0].shape, code)
    executors.run_program(program, list(inputs), [out])
    return out


# --- float32, by float64 -------------------------------------------------------------------------


def _softplus(x: Array) -> Array:
    result: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return result


def _logit(x: Array) -> Array:
    result: Array = np.where(
        np.abs(x - 0.5) < 0.25, 2 * np.arctanh(2 * x - 1), np.log(x) - np.log1p(-x)
    )
    return result


def _weighted(x: Array, u: Array) -> Array:
    """Return x * sigmoid(u), and its limit at minus infinity."""
    return np.where(np.isneginf(x), -0.0, x * logistic(u))


def _long(ufunc: np.ufunc) -> Callable[..., Array]:
    """About the zeros of logarithms of sums, float64 has no digits to spare."""
    return lambda *inputs: ufunc(*(x.astype(np.longdouble) for x in inputs)).astype(np.float64)


_FORMULAS: Final[dict[str, Callable[..., Array]]] = {
    "logaddexp": _long(np.logaddexp),
    "logaddexp2": _long(np.logaddexp2),
    "exp_difference": lambda a, b: np.exp((a.astype("f4") - b.astype("f4")).astype("f8")),
    "softplus": _softplus,
    "log_sigmoid": lambda x: -_softplus(-x),
    "logit": _logit,
    "sigmoid": logistic,
    "silu": lambda x: _weighted(x, x),
    "gelu_tanh": lambda x: _weighted(x, np.sqrt(8 / _PI) * (x + 0.044715 * x**3)),
    "xlogy": lambda x, y: np.where((x == 0) & ~np.isnan(y), 0, x * np.log(y)),
}


def wide(row: Operation) -> Callable[..., Array]:
    """Return a function of float64 that is `row` to many more digits than float32 has."""
    if row.name in _FORMULAS:
        return _FORMULAS[row.name]
    if row.ufunc is not None:
        return row.ufunc
    return lambda *inputs: computed(row, *inputs)


# --- float64, by mpmath --------------------------------------------------------------------------


def exact(name: str) -> Callable[..., Any]:
    """Return the function `name` of mpmath's numbers."""
    import mpmath

    mp = mpmath.mp
    mp.prec = PRECISION
    one, two = mp.mpf(1), mp.mpf(2)

    def weighted(x: Any, u: Any) -> Any:
        return x / (1 + mp.exp(-u))

    def gammaln(x: Any) -> Any:
        return mp.loggamma(x) if x > 0 else mp.re(mp.loggamma(x))

    functions: dict[str, Callable[..., Any]] = {
        "exp": mp.exp,
        "exp2": lambda x: two**x,
        "expm1": mp.expm1,
        "exp_difference": lambda a, b: mp.exp(mp.mpf(float(a) - float(b))),
        "log": mp.log,
        "log2": lambda x: mp.log(x) / mp.log(two),
        "log10": lambda x: mp.log(x) / mp.log(mp.mpf(10)),
        "log1p": mp.log1p,
        "logaddexp": lambda a, b: max(a, b) + mp.log1p(mp.exp(-abs(a - b))),
        "logaddexp2": lambda a, b: max(a, b) + mp.log1p(two ** -abs(a - b)) / mp.log(two),
        "sinh": mp.sinh,
        "cosh": mp.cosh,
        "tanh": mp.tanh,
        "asinh": mp.asinh,
        "acosh": mp.acosh,
        "atanh": mp.atanh,
        "softplus": lambda x: mp.log1p(mp.exp(x)),
        "log_sigmoid": lambda x: -mp.log1p(mp.exp(-x)),
        "logit": lambda x: mp.log(x / (1 - x)),
        "sigmoid": lambda x: weighted(one, x),
        "silu": lambda x: weighted(x, x),
        "gelu": lambda x: x / 2 * mp.erfc(-x / mp.sqrt(two)),
        "gelu_tanh": lambda x: weighted(x, mp.sqrt(8 / mp.pi) * (x + x**3 * 44715 / 1000000)),
        "sin": mp.sin,
        "cos": mp.cos,
        "tan": mp.tan,
        "asin": mp.asin,
        "acos": mp.acos,
        "atan": mp.atan,
        "atan2": mp.atan2,
        "power": lambda x, y: x**y,
        "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
        "hypot": mp.hypot,
        "erf": mp.erf,
        "erfc": mp.erfc,
        "gamma": mp.gamma,
        "gammaln": gammaln,
        "xlogy": lambda x, y: x * mp.log(y),
    }
    return functions[name]


MEASURED: Final = tuple(row for row in OPERATIONS if row.ulp > 0)
