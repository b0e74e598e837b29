"""Contractions beyond matrices: quantum chemistry's, several operands, diagonals, windows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, Prepare, close
from ..probe import touched
from . import loops
from .data import touched_bytes, values
from .onnx_graphs import Node, session_call

GROUP = "tensors"


@dataclass(frozen=True)
class _Contraction:
    """Subscripts and the size of each label."""

    subscripts: str
    sizes: dict[str, int]
    dtype: str = "float32"

    @property
    def terms(self) -> list[str]:
        """Labels of each operand, then of the result."""
        return self.subscripts.replace("->", ",").split(",")

    def size(self, labels: str) -> int:
        """Return the number of combinations of some labels."""
        return math.prod(self.sizes[label] for label in labels)

    def make(self) -> SimpleNamespace:
        """Return the operands and the result."""
        *operands, result = (tuple(self.sizes[label] for label in t) for t in self.terms)
        return SimpleNamespace(
            what=self,
            operands=[values(shape, self.dtype, i) for i, shape in enumerate(operands)],
            out=touched(result, self.dtype),
        )


# ---- einsum by everyone -------------------------------------------------------------------------


def _ours(v: SimpleNamespace) -> Call:
    f = load("ufuse").einsum
    return lambda: f(v.what.subscripts, *v.operands, out=v.out)


def _numpy(v: SimpleNamespace) -> Call:
    return lambda: np.einsum(v.what.subscripts, *v.operands, out=v.out, optimize=True)


def _opt_einsum(v: SimpleNamespace) -> Call:
    shapes = [x.shape for x in v.operands]
    f = load("opt_einsum").contract_expression(v.what.subscripts, *shapes)
    return lambda: f(*v.operands, out=v.out)


def _torch(v: SimpleNamespace) -> Call:
    f, operands = load("torch").einsum, [tensor(x) for x in v.operands]
    return lambda: f(v.what.subscripts, *operands)


def _jax(v: SimpleNamespace) -> Call:
    jnp = load("jax").numpy
    f = blocking(lambda *operands: jnp.einsum(v.what.subscripts, *operands))
    operands = [jnp.asarray(x) for x in v.operands]
    return lambda: f(*operands)


def _onnxruntime(v: SimpleNamespace) -> Call:
    names = [f"x{i}" for i in range(len(v.operands))]
    node: Node = ("Einsum", names, ["c"], {"equation": v.what.subscripts})
    return session_call([node], dict(zip(names, v.operands, strict=True)), {}, v.out, into=True)


# ---- TCCG: contractions of quantum chemistry, in double precision -------------------------------


def _sizes(groups: str, rest: int = 0) -> dict[str, int]:
    """Sizes of labels: ``"abd=312 c=24"``; of all others up to g, `rest`."""
    given = {
        label: int(size)
        for labels, _, size in (group.partition("=") for group in groups.split())
        for label in labels
    }
    return {**dict.fromkeys("abcdefg", rest), **given}


#: Result, operands as the collection writes them, for column-major arrays; the sizes it gives.
_TCCG = (
    ("abc-bda-dc", _sizes("abd=312 c=24")),
    ("abc-dca-bd", _sizes("ad=312 b=24 c=296")),
    ("abcd-dbea-ec", _sizes("c=24", 72)),
    ("abcde-efbad-cf", _sizes("ae=48 c=24", 32)),
    ("abcde-ecbfa-fd", _sizes("aef=48 bc=32 d=24")),
    ("abcd-ea-ebcd", _sizes("", 72)),
    ("ab-acd-dbc", _sizes("ad=312 bc=296")),
    ("abc-adc-bd", _sizes("ab=312 cd=296")),
    ("abcd-aebf-dfce", _sizes("", 72)),
    ("abcdef-dega-gfbc", _sizes("adg=24", 16)),
)


def _in_c_order(name: str, sizes: dict[str, int]) -> _Contraction:
    """Return the same contraction of the same memory: in C order the labels are reversed."""
    c, a, b = (labels[::-1] for labels in name.split("-"))
    return _Contraction(f"{a},{b}->{c}", sizes, "float64")


def _in_roles(v: SimpleNamespace) -> tuple[Any, Any, str, str, str]:
    """Operands, their labels and the summed ones, the operand with C's fastest label second."""
    (a, b), (in_a, in_b, c) = v.operands, v.what.terms
    if c[-1] not in in_b:
        a, b, in_a, in_b = b, a, in_b, in_a
    return a, b, in_a, in_b, "".join(label for label in in_a if label in in_b)


def _tensordot(v: SimpleNamespace) -> Call:
    """NumPy's other way: a product of copies in the right order, and a transposition."""
    a, b, in_a, in_b, summed = _in_roles(v)
    axes = [[labels.index(label) for label in summed] for labels in (in_a, in_b)]
    left = [label for label in in_a + in_b if label not in summed]
    order = [left.index(label) for label in v.what.terms[-1]]

    def call() -> np.ndarray:
        np.copyto(v.out, np.tensordot(a, b, axes).transpose(order))
        result: np.ndarray = v.out
        return result

    return call


def _plain_product(v: SimpleNamespace) -> Call:
    """Our product of matrices of the same M, N and K, in the same memory."""
    f = load("ufuse").matmul
    a, b, _, _, summed = _in_roles(v)
    k = v.what.size(summed)
    left, right = a.reshape(-1, k), b.reshape(k, -1)
    out = v.out.reshape(len(left), -1)
    return lambda: f(left, right, out=out)


def _tccg_case(name: str, sizes: dict[str, int]) -> Case:
    what = _in_c_order(name, sizes)
    a, b, c = what.terms
    k = what.size("".join(label for label in a if label in b))
    bar = "numpy,numpy:tensordot,torch,jax >= 1x"
    if k >= 64:
        bar = f"ufuse:product >= 0.95x; {bar}"
    elif k == 24:  # the sum is so short that NumPy's copies show
        bar = f"numpy,numpy:tensordot >= 1.5x; {bar}"
    return Case(
        name=f"{what.subscripts}, K = {k}",
        group=GROUP,
        make=what.make,
        ours=_ours,
        peers={
            "ufuse:product": _plain_product,
            "numpy": _numpy,
            "numpy:tensordot": _tensordot,
            "torch": _torch,
            "jax": _jax,
        },
        limit="fma_f64",
        amount=2 * k * what.size(c),
        bar=bar,
        check=close(1e-11, 1e-9),
        unchecked=frozenset({"ufuse:product"}),
    )


# ---- others -------------------------------------------------------------------------------------


def _numpy_trace(v: SimpleNamespace) -> Call:
    """Do `bii->b` by the function there is for it."""
    (x,) = v.operands
    return lambda: np.trace(x, axis1=1, axis2=2, out=v.out)


def _numpy_vecdot(v: SimpleNamespace) -> Call:
    """Do `bi,bi->b` by the function there is for it."""
    return lambda: np.vecdot(*v.operands, out=v.out)


def _einsum_case(what: _Contraction, limit: str, amount: float, **extra: Prepare) -> Case:
    return Case(
        name=f"{what.subscripts} f32 " + " ".join(f"{k}={n}" for k, n in what.sizes.items()),
        group=GROUP,
        make=what.make,
        ours=_ours,
        peers={
            "numpy": _numpy,
            **{f"numpy:{name}": prepare for name, prepare in extra.items()},
            "opt_einsum": _opt_einsum,
            "torch": _torch,
            "jax": _jax,
            "onnxruntime": _onnxruntime,
        },
        limit=limit,
        amount=amount,
        bar="best >= 1x; numpy >= 2x",
        check=close(1e-4, 1e-2),
    )


def _einsum_cases() -> list[Case]:
    bilinear = _Contraction("bi,oij,bj->bo", {"b": 256, "o": 64, "i": 128, "j": 128})
    scores = _Contraction("bqhd,bkhd->bhqk", {"b": 4, "q": 512, "k": 512, "h": 16, "d": 64})
    traces = _Contraction("bii->b", {"b": 4096, "i": 64})
    inner = _Contraction("bi,bi->b", {"b": 16384, "i": 1024})
    diagonals = np.empty((4096, 64, 64), np.float32).diagonal(axis1=1, axis2=2)
    return [
        # The pair that is left is summed: far less than the triple product.
        _einsum_case(bilinear, "fma_f32", 2 * bilinear.size("boij") + 2 * bilinear.size("boj")),
        _einsum_case(scores, "fma_f32", 2 * scores.size("bqkhd")),
        _einsum_case(traces, "read", touched_bytes(diagonals), trace=_numpy_trace),
        _einsum_case(inner, "read", 8 * inner.size("bi"), vecdot=_numpy_vecdot),
    ]


# ---- a window over an image (numpy#12132) -------------------------------------------------------

_IMAGE, _WINDOW = (1000, 2000), (30, 40)


def _image() -> SimpleNamespace:
    image, window = values(_IMAGE, "float64", 1), values(_WINDOW, "float64", 2)
    views = np.lib.stride_tricks.sliding_window_view(image, _WINDOW)
    shape = views.shape[:2]
    return SimpleNamespace(image=image, window=window, views=views, out=touched(shape, np.float64))


def _window_ours(v: SimpleNamespace) -> Call:
    f = load("ufuse").tensordot
    return lambda: f(v.views, v.window, 2)


def _window_numpy(v: SimpleNamespace) -> Call:
    """Einsum, which reads the view as it is.

    What copies it takes 18 GB: NumPy's tensordot, torch's einsum, and torch's conv2d of float64.
    """
    return lambda: np.einsum("ijab,ab->ij", v.views, v.window, out=v.out)


def _window_numba(v: SimpleNamespace) -> Call:
    f = loops.compiled(loops.correlate)

    def call() -> np.ndarray:
        f(v.image, v.window, v.out)
        result: np.ndarray = v.out
        return result

    return call


def _window_scipy(v: SimpleNamespace) -> Call:
    """Transform, which is less work for a window of this size."""
    from scipy.signal import fftconvolve

    turned = v.window[::-1, ::-1]
    return lambda: fftconvolve(v.image, turned, mode="valid")


def _window_jax(v: SimpleNamespace) -> Call:
    jax = load("jax")
    f = blocking(lambda x, w: jax.lax.conv(x, w, (1, 1), "VALID")[0, 0])
    x, w = (jax.numpy.asarray(a)[None, None] for a in (v.image, v.window))
    return lambda: f(x, w)


def _window_case() -> Case:
    results = math.prod(n - w + 1 for n, w in zip(_IMAGE, _WINDOW, strict=True))
    return Case(
        name="tensordot of windows 30x40 of f64 1000x2000",
        group=GROUP,
        make=_image,
        ours=_window_ours,
        peers={
            "numpy": _window_numpy,
            "numba:loops": _window_numba,
            "scipy:fft": _window_scipy,
            "jax:conv": _window_jax,
        },
        limit="fma_f64",
        amount=2 * results * math.prod(_WINDOW),
        bar="numpy >= 5x",
        check=close(1e-9, 1e-9),
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    return [*(_tccg_case(*row) for row in _TCCG), *_einsum_cases(), _window_case()]
