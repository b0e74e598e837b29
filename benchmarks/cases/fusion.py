"""Fused functions: expressions, special functions, norms, sums of what is computed.

A formula is written once, over the namespace of a library; numexpr's is text, numba's a loop.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, Check, Prepare, close
from ..probe import touched
from . import fusion_loops
from .data import MATRIX, MILLION_16, normal, uniform

GROUP = "fusion"

#: Of a library's namespace and arrays.
Formula = Callable[..., Any]
ROOT_HALF = 0.7071067811865476


# ---- contenders -------------------------------------------------------------------------------


def _arrays(v: SimpleNamespace) -> list[np.ndarray]:
    return [getattr(v, name) for name in v.names]


def _ours(formula: Formula, into: bool) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        uf = load("ufuse")
        f = uf.fuse(lambda *arrays: formula(_namespace(uf), *arrays))
        arrays = _arrays(v)
        return (lambda: f(*arrays, out=v.out)) if into else (lambda: f(*arrays))

    return prepare


def _namespace(uf: Any) -> Any:
    """NumPy's names, and the error function, which it lacks."""
    return _Names(np, uf.erf)


class _Names:
    def __init__(self, module: Any, erf: Any) -> None:
        self._module = module
        self.erf = erf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _numpy(formula: Formula) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        names = _Names(np, load("scipy").special.erf)
        arrays = _arrays(v)
        return lambda: formula(names, *arrays)

    return prepare


def _jax(formula: Formula) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        jax = load("jax")
        names = _Names(jax.numpy, jax.scipy.special.erf)
        f = blocking(lambda *arrays: formula(names, *arrays))
        arrays = [jax.numpy.asarray(x) for x in _arrays(v)]
        return lambda: f(*arrays)

    return prepare


def _torch(formula: Formula) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        torch = load("torch")
        arrays = [tensor(x) for x in _arrays(v)]
        return lambda: formula(torch, *arrays)

    return prepare


def _numexpr(text: str, into: bool) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        evaluate, names = load("numexpr").evaluate, dict(zip(v.names, _arrays(v), strict=True))
        # Constants as float32, or the result would be float64.
        names |= {k: x for k, x in vars(v).items() if isinstance(x, np.generic)}
        if into:
            return lambda: evaluate(text, local_dict=names, out=v.out)
        return lambda: evaluate(text, local_dict=names)

    return prepare


def _numba(name: str, into: bool) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f: Any = fusion_loops.compiled(name)
        arrays = _arrays(v)

        def call() -> np.ndarray:
            out = v.out if into else np.empty_like(v.out)
            f(*arrays, out)
            return out  # type: ignore[no-any-return]

        return call

    return prepare


def _case(
    name: str,
    make: Callable[[], SimpleNamespace],
    formula: Formula,
    bar: str,
    *,
    amount: float = 0,
    limit: str | None = "copy",
    into: bool = True,
    text: str = "",
    loop: str = "",
    libraries: str = "jax torch",
    check: Check | None = None,
) -> Case:
    peers = {"numpy": _numpy(formula)}
    if text:
        peers["numexpr"] = _numexpr(text, into)
    if loop:
        peers["numba"] = _numba(loop, into)
    of = {"jax": _jax, "torch": _torch}
    peers |= {library: of[library](formula) for library in libraries.split()}
    return Case(
        name=name + (", out=" if into else ""),
        group=GROUP,
        make=make,
        ours=_ours(formula, into),
        peers=peers,
        limit=limit,
        amount=amount,
        bar=bar,
        check=check or close(1e-5, 1e-6),
    )


# ---- inputs -----------------------------------------------------------------------------------


def _pair() -> SimpleNamespace:
    n = MILLION_16
    return SimpleNamespace(
        names=["a", "b"], a=normal(n, 1), b=normal(n, 2), out=touched(n, np.float32),
        two=np.float32(2), three=np.float32(3),
    )  # fmt: skip


def _compared() -> SimpleNamespace:
    v = _pair()
    v.out = touched(MILLION_16, np.bool_)
    v.c, v.d = np.float32(4.1), np.float32(2.5)
    return v


def _masked() -> SimpleNamespace:
    v = _pair()
    v.names = ["m", "a", "b"]
    v.m = v.a > v.b
    return v


def _images() -> SimpleNamespace:
    image = touched((16, 512, 512, 3), np.uint8)
    image[...] = np.random.default_rng(0).integers(0, 256, image.shape, np.uint8)
    return SimpleNamespace(
        names=["image", "mean", "std"], image=image,
        mean=np.array([0.485, 0.456, 0.406], np.float32),
        std=np.array([0.229, 0.224, 0.225], np.float32),
        out=touched((16, 3, 512, 512), np.float32),
    )  # fmt: skip


def _one() -> SimpleNamespace:
    x = normal(MILLION_16, 1, 2.0)
    return SimpleNamespace(names=["x"], x=x, out=touched(MILLION_16, np.float32), one=np.float32(1))


def _wide(low: float, high: float, seed: int) -> np.ndarray:
    x = touched(MILLION_16, np.float64)
    x[...] = np.random.default_rng(seed).uniform(low, high, MILLION_16)
    return x


def _options() -> SimpleNamespace:
    return SimpleNamespace(
        names=["s", "k", "t"], s=_wide(50, 150, 1), k=_wide(50, 150, 2), t=_wide(0.1, 2, 3),
        out=touched(MILLION_16, np.float64),
    )  # fmt: skip


def _places() -> SimpleNamespace:
    names = ["la1", "lo1", "la2", "lo2"]
    arrays = {n: _wide(-1.5, 1.5, i) for i, n in enumerate(names)}
    return SimpleNamespace(names=names, out=touched(MILLION_16, np.float64), **arrays)


def _angles() -> SimpleNamespace:
    return SimpleNamespace(names=["x"], x=_wide(-100, 100, 1), out=touched(MILLION_16, np.float64))


def _matrices() -> SimpleNamespace:
    a, b = normal(MATRIX, 1), normal(MATRIX, 2)
    return SimpleNamespace(names=["a", "b"], a=a, b=b, out=touched(MATRIX[0], np.float32))


def _rows() -> SimpleNamespace:
    x = normal((16384, 1024), 1)
    gain, shift = uniform(1024, 0.5, 1.5), uniform(1024)
    return SimpleNamespace(
        names=["x"], x=x, gain=gain, shift=shift, out=touched(x.shape, np.float32)
    )


def _normed() -> SimpleNamespace:
    v = _rows()
    v.names = ["x", "gain", "shift"]
    return v


def _coded() -> SimpleNamespace:
    v = _rows()
    v.names = ["x", "gain"]
    v.out = touched(v.x.shape, np.int8)
    return v


# ---- formulas ---------------------------------------------------------------------------------


def _axpby(xp: Any, a: Any, b: Any) -> Any:
    return 2 * a + 3 * b


def _compare(xp: Any, a: Any, b: Any) -> Any:
    return a * b - 4.1 * a > 2.5 * b


def _choose(xp: Any, m: Any, a: Any, b: Any) -> Any:
    return xp.where(m, a, b)


def _normalise(xp: Any, image: Any, mean: Any, std: Any) -> Any:
    x = image.astype(np.float32) if hasattr(image, "astype") else image.to(xp.float32)
    x = (x / 255 - mean) / std
    return xp.moveaxis(x, -1, 1)


def _gelu(xp: Any, x: Any) -> Any:
    return 0.5 * x * (1 + xp.erf(x * ROOT_HALF))


def _sigmoid(xp: Any, x: Any) -> Any:
    return 1 / (1 + xp.exp(-x))


def _silu(xp: Any, x: Any) -> Any:
    return x / (1 + xp.exp(-x))


def _tanh(xp: Any, x: Any) -> Any:
    return xp.tanh(x)


def _black_scholes(xp: Any, s: Any, k: Any, t: Any) -> Any:
    root = 0.3 * xp.sqrt(t)
    d1 = (xp.log(s / k) + (0.02 + 0.045) * t) / root
    n1 = 0.5 + 0.5 * xp.erf(d1 * ROOT_HALF)
    n2 = 0.5 + 0.5 * xp.erf((d1 - root) * ROOT_HALF)
    return s * n1 - k * xp.exp(-0.02 * t) * n2


def _haversine(xp: Any, la1: Any, lo1: Any, la2: Any, lo2: Any) -> Any:
    y, x = xp.sin((la2 - la1) * 0.5), xp.sin((lo2 - lo1) * 0.5)
    h = y * y + xp.cos(la1) * xp.cos(la2) * x * x
    return 12742.0 * xp.arcsin(xp.sqrt(h))


def _circle(xp: Any, x: Any) -> Any:
    return xp.sin(x) ** 2 + xp.cos(x) ** 2


def _squares(axis: int | None) -> Formula:
    return lambda xp, a, b: ((a - b) ** 2).sum(axis)


def _softmax(xp: Any, x: Any) -> Any:
    e = xp.exp(x - xp.amax(x, 1)[:, None])
    return e / e.sum(1)[:, None]


def _layer_norm(xp: Any, x: Any, gain: Any, shift: Any) -> Any:
    centred = x - x.mean(1)[:, None]
    return centred / xp.sqrt((centred * centred).mean(1)[:, None] + 1e-5) * gain + shift


def _rms_codes(xp: Any, x: Any, gain: Any) -> Any:
    y = x / xp.sqrt((x * x).mean(1)[:, None] + 1e-6) * gain
    scale = 127 / xp.amax(xp.abs(y), 1)[:, None]
    codes = xp.round(y * scale)
    return codes.astype(np.int8) if hasattr(codes, "astype") else codes.to(xp.int8)


def _codes_close(result: np.ndarray, expected: np.ndarray) -> str | None:
    """Codes differ by one where a rounding was the other way."""
    return close(0, 1)(result.astype(np.int16), expected.astype(np.float64))


def cases() -> list[Case]:
    """Return the cases of this group."""
    n = MILLION_16
    memory, fresh = "limit >= 0.9; best >= 1x", "numpy >= 2.5x; best >= 1x"
    special = "best >= 4x"
    expressions: list[tuple[str, Any, Formula, float, str, str]] = [
        ("2*a + 3*b", _pair, _axpby, 12 * n, "two*a + three*b", "axpby"),
        ("a*b - 4.1*a > 2.5*b", _compared, _compare, 9 * n, "a*b - c*a > d*b", "compare"),
        ("where(m, a, b)", _masked, _choose, 13 * n, "where(m, a, b)", "choose"),
        ("uint8 images to CHW", _images, _normalise, 16 * 512 * 512 * 15, "", "normalise"),
    ]
    rows = [
        _case(name, make, formula, memory if into else fresh, amount=amount, into=into,
              text=text, loop=loop)
        for name, make, formula, amount, text, loop in expressions
        for into in (True, False)
    ]  # fmt: skip
    for name, formula, text in (
        ("gelu", _gelu, ""),
        ("silu", _silu, "x/(one + exp(-x))"),
        ("sigmoid", _sigmoid, "one/(one + exp(-x))"),
        ("tanh", _tanh, "tanh(x)"),
    ):
        loose = close(1e-4, 1e-6)
        rows += [
            _case(name, _one, formula, bar, amount=8 * n, into=into, text=text, loop=name,
                  check=loose)
            for into, bar in ((False, special), (True, "limit >= 0.6"))
        ]  # fmt: skip
    rows += [
        _case("Black-Scholes, float64", _options, _black_scholes, special, amount=32 * n,
              loop="black_scholes", check=close(1e-9, 1e-9)),
        _case("haversine, float64", _places, _haversine, special, amount=40 * n,
              text="12742.0*arcsin(sqrt(sin((la2 - la1)*0.5)**2"
              " + cos(la1)*cos(la2)*sin((lo2 - lo1)*0.5)**2))",
              loop="haversine", check=close(1e-9, 1e-6)),
        _case("sin(x)**2 + cos(x)**2, float64", _angles, _circle, special, amount=16 * n,
              text="sin(x)**2 + cos(x)**2", loop="circle", check=close(1e-12)),
    ]  # fmt: skip
    for axis, loop in ((0, "squares_down"), (1, "squares_along"), (None, "")):
        rows.append(
            _case(f"((a - b)**2).sum({axis})", _matrices, _squares(axis),
                  "limit >= 0.85; best >= 1x", amount=8 * n, limit="read", into=False, loop=loop,
                  check=close(1e-4))
        )  # fmt: skip
    rows += [
        _case("softmax of rows", _rows, _softmax, "limit >= 0.77; best >= 1x", amount=8 * n,
              loop="softmax", check=close(1e-4, 1e-9)),
        _case("layer norm", _normed, _layer_norm, "limit >= 0.77; best >= 1x", amount=8 * n,
              loop="layer_norm", check=close(1e-3, 1e-4)),
        _case("rms norm, scale, to int8", _coded, _rms_codes, "limit >= 0.77; best >= 1x",
              amount=5 * n, loop="rms_codes", check=_codes_close),
    ]  # fmt: skip
    return rows
