"""Matrix products of floats and wide integers: layouts, small ones by the thousand, complex."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load
from ..model import Call, Case, Prepare, close, equal
from ..probe import touched
from . import loops
from .data import values
from .onnx_graphs import Node, session_call
from .quantization_peers import as_tensor

GROUP = "products"

#: Rounding of sums of k products of normal numbers, whose sum is about sqrt(k); as rtol, atol.
_CLOSE = {"float32": close(1e-4, 1e-3), "float64": close(1e-12, 1e-10)}


# ---- every contender multiplies v.a and v.b into v.out ------------------------------------------


def ours(**how: Any) -> Prepare:
    """`uf.matmul` with some arguments."""

    def prepare(v: SimpleNamespace) -> Call:
        f = load("ufuse").matmul
        return lambda: f(v.a, v.b, out=v.out, **how)

    return prepare


def numpy(v: SimpleNamespace) -> Call:
    """Return NumPy's product of the dtype itself."""
    return lambda: np.matmul(v.a, v.b, out=v.out)


def numba(v: SimpleNamespace) -> Call:
    """Return three plain loops, four for stacks."""
    f = loops.compiled(loops.products if v.a.ndim == 3 else loops.product)

    def call() -> np.ndarray:
        f(v.a, v.b, v.out)
        result: np.ndarray = v.out
        return result

    return call


def torch(v: SimpleNamespace) -> Call:
    """Return the product of the dtype itself, into `out`."""
    f, (a, b, out) = load("torch").matmul, (as_tensor(x) for x in (v.a, v.b, v.out))

    def call() -> np.ndarray:
        f(a, b, out=out)
        result: np.ndarray = v.out
        return result

    return call


def jax(v: SimpleNamespace) -> Call:
    """Return the product of the dtype itself; JAX has no `out`."""
    jnp = load("jax").numpy
    f, a, b = blocking(jnp.matmul), jnp.asarray(v.a), jnp.asarray(v.b)
    return lambda: f(a, b)


def onnxruntime(v: SimpleNamespace) -> Call:
    """Return MatMul of two inputs."""
    node: Node = ("MatMul", ["a", "b"], ["c"], {})
    return session_call([node], {"a": v.a, "b": v.b}, {}, v.out, into=True)


# ---- layouts ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """How A and C lie in an array in C order: the view of it that is multiplied or written to."""

    name: str
    a: Callable[[Any], Any]
    c: Callable[[Any], Any]
    step: int = 1


def _as_is(x: Any) -> Any:
    return x


def _turned(x: Any) -> Any:
    return x.T


def _every_second(x: Any) -> Any:
    return x[::2, ::2]


_LAYOUTS = (
    _Layout("", _as_is, _as_is),
    _Layout(", A transposed", _turned, _as_is),
    _Layout(", C transposed", _as_is, _turned),
    _Layout(", A and C of stride 2", _every_second, _every_second, step=2),
)


def _laid_out(n: int, dtype: str, layout: _Layout) -> SimpleNamespace:
    size = (n * layout.step, n * layout.step)
    base = values(size, dtype, 1)
    return SimpleNamespace(
        base=base,
        a=layout.a(base),
        b=values((n, n), dtype, 2),
        out=layout.c(touched(size, dtype)),
        layout=layout,
    )


def _jax_laid_out(v: SimpleNamespace) -> Call:
    """Give JAX the array in memory, not a copy in C order, and take what it leaves in C's order."""
    jnp, layout = load("jax").numpy, v.layout
    turned = layout.c is _turned

    def product(base: Any, b: Any) -> Any:
        c = jnp.matmul(layout.a(base), b)
        return c.T if turned else c

    f, base, b = blocking(product), jnp.asarray(v.base), jnp.asarray(v.b)
    return lambda: np.asarray(f(base, b)).T if turned else f(base, b)


def _layout_case(n: int, dtype: str, layout: _Layout) -> Case:
    peers: dict[str, Prepare] = {"numpy": numpy, "torch": torch, "jax": _jax_laid_out}
    if not layout.name:
        peers["onnxruntime"] = onnxruntime  # its tensors are in C order
    share = 0.85 if layout.step > 1 else 0.92
    return Case(
        name=f"f{dtype[-2:]} {n}{layout.name}",
        group=GROUP,
        make=lambda: _laid_out(n, dtype, layout),
        ours=ours(),
        peers=peers,
        limit=f"fma_f{dtype[-2:]}",
        amount=2 * n**3,
        bar=f"limit >= {share}; numpy,torch,jax >= 1x",
        check=_CLOSE[dtype],
    )


# ---- one size, many dtypes; stacks --------------------------------------------------------------


def stack(shape: tuple[int, ...], dtype: str) -> SimpleNamespace:
    """Return square matrices of one dtype, of which there may be many."""
    return SimpleNamespace(
        a=values(shape, dtype, 1), b=values(shape, dtype, 2), out=touched(shape, dtype)
    )


def _f32_case(n: int) -> Case:
    return Case(
        name=f"f32 {n}",
        group=GROUP,
        make=lambda: stack((n, n), "float32"),
        ours=ours(),
        peers={"numpy": numpy, "torch": torch, "jax": jax, "onnxruntime": onnxruntime},
        limit="fma_f32",
        amount=2 * n**3,
        bar="best >= 1x",
        check=_CLOSE["float32"],
    )


def _stack_case(count: int, n: int) -> Case:
    return Case(
        name=f"f32 {count} of {n}",
        group=GROUP,
        make=lambda: stack((count, n, n), "float32"),
        ours=ours(),
        peers={
            "numpy": numpy,
            "numba": numba,
            "torch": torch,
            "jax": jax,
            "onnxruntime": onnxruntime,
        },
        limit="fma_f32",
        amount=2 * count * n**3,
        bar="best >= 1.4x",
        check=_CLOSE["float32"],
    )


def _vector_case(n: int, columns: bool) -> Case:
    """Multiply a matrix and a vector, either first: each number of it is read once."""

    def make() -> SimpleNamespace:
        matrix, vector = values((n, n), "float32", 1), values((n,), "float32", 2)
        a, b = (vector, matrix) if columns else (matrix, vector)
        return SimpleNamespace(a=a, b=b, out=touched((n,), "float32"))

    return Case(
        name=f"f32 vector of {n} times matrix" if columns else f"f32 matrix of {n} times vector",
        group=GROUP,
        make=make,
        ours=ours(),
        peers={"numpy": numpy, "torch": torch, "jax": jax},
        limit="read",
        amount=4 * n * n,
        bar="limit >= 0.9; best >= 1x",
        check=_CLOSE["float32"],
    )


def _integer_case(dtype: str, n: int) -> Case:
    peers: dict[str, Prepare] = {"numpy": numpy, "numba": numba, "torch": torch, "jax": jax}
    return Case(
        name=f"{dtype} {n}",
        group=GROUP,
        make=lambda: stack((n, n), dtype),
        ours=ours(),
        peers={**peers, "onnxruntime": onnxruntime},
        bar="numpy >= 20x",
        check=equal,
    )


def _complex_error(result: np.ndarray, expected: np.ndarray) -> str | None:
    worst = float(np.abs(result - expected).max())
    return None if worst < 2e-3 else f"off by up to {worst:.3g}"


def _complex_case(n: int) -> Case:
    return Case(
        name=f"complex64 {n}",
        group=GROUP,
        make=lambda: stack((n, n), "complex64"),
        ours=ours(),
        peers={"numpy": numpy, "torch": torch, "jax": jax},
        limit="fma_f32",
        amount=8 * n**3,  # four real products and four sums
        bar="limit >= 0.85; best >= 1x",
        check=_complex_error,
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    return [
        *(
            _layout_case(n, dtype, layout)
            for dtype in ("float32", "float64")
            for n in (1024, 2048)
            for layout in _LAYOUTS
        ),
        _f32_case(256),
        _vector_case(4096, columns=False),
        _vector_case(4096, columns=True),
        _integer_case("int32", 1024),
        _integer_case("int64", 1024),
        _complex_case(1024),
        _stack_case(256, 128),
        _stack_case(20_000, 16),
        _stack_case(100_000, 9),
    ]
