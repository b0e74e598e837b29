"""Where `benchmarks.accuracy` looks: random numbers, and those that are known to be hard."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ufuse.catalogue import Operation

from .exact import Array, computed

_TURNING = ("sin", "cos", "tan")


def _patterns(kind: str, count: int, rng: np.random.Generator) -> Array:
    bits = rng.integers(0, 1 << 32, (2, count), dtype=np.uint64)
    whole = bits[0] << np.uint64(32) | bits[1]
    x = whole.view(np.float64) if kind == "f8" else bits[0].astype(np.uint32).view(np.float32)
    return np.where(np.isfinite(x), x, np.array(1.5, kind))


def _domain(row: Operation, kind: str, count: int, rng: np.random.Generator) -> Array:
    x = rng.uniform(*row.domain, count)
    x[::3] *= np.exp2(-rng.integers(0, 60, x[::3].size))
    return x.astype(kind)


def _pair(row: Operation, kind: str, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return pairs with results of interest: neither 0 nor infinite."""
    x = _patterns(kind, count, rng)
    info = np.finfo(kind)
    with np.errstate(all="ignore"):
        match row.name:
            case "power":
                x = np.where(rng.random(count) < 0.5, rng.uniform(0.5, 2, count), np.abs(x))
                span = (info.minexp - info.nmant, info.maxexp)
                y = rng.uniform(*span, count) / np.log2(np.maximum(x.astype("f8"), 1e-320))
            case "hypot" | "atan2":
                y = x * np.exp2(rng.uniform(-30, 30, count)) * rng.choice([-1, 1], count)
            case "xlogy":
                y = 1 + rng.uniform(-1, 1, count) * np.exp2(-rng.integers(0, info.nmant, count))
                y[::2] = np.abs(_patterns(kind, y[::2].size, rng))
                x = _domain(row, kind, count, rng)
            case "logaddexp" | "logaddexp2":  # nothing cancels where the larger is not negative
                larger = np.abs(_domain(row, kind, count, rng))
                x, y = larger, larger - rng.exponential(12, count)
            case _:  # exp_difference: of the difference as it is rounded
                x = _domain(row, kind, count, rng)
                y = x - rng.uniform(-5, 90, count) * np.exp2(-rng.integers(0, 9, count))
        x, y = x.astype(kind), y.astype(kind)
    finite = np.isfinite(x) & np.isfinite(y)
    return x[finite], y[finite]


def pairs_of_single(row: Operation, count: int, block: int) -> Iterator[tuple[Array, Array]]:
    """Yield `count` pairs of float32, `block` at a time."""
    rng = np.random.default_rng(2026)
    for _ in range(0, count, block):
        yield _pair(row, "f4", block, rng)


def _hard(row: Operation, count: int, rng: np.random.Generator) -> Array:
    """Return powers of two and their neighbours, numbers about 1, and about quarter turns."""
    powers = np.ldexp(1.0, rng.integers(-1074, 1024, count))
    powers = np.nextafter(powers, powers * rng.choice([0.5, 1, 2], count))
    about = 1 + rng.choice([-1, 1], count) * np.exp2(-rng.uniform(0, 52, count))
    parts = [powers, about, about / 2]
    if row.name in _TURNING:
        parts.append(_quarter_turns(count, rng))
    x = np.concatenate(parts) * rng.choice([-1, 1], count * len(parts))
    return rng.permutation(x)[:count]


def _quarter_turns(count: int, rng: np.random.Generator) -> Array:
    """Return the float64 nearest to multiples of half pi, of every size; the hardest first."""
    import mpmath

    mpmath.mp.prec = 1400
    half = mpmath.pi / 2
    turns = [int(2 ** float(e)) for e in rng.uniform(0, 1022, count - 1)]
    return np.array([6381956970095103 * 2.0**797, *(float(k * half) for k in turns)])


def chosen(row: Operation, count: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """Return points of float64, of each kind as many."""
    if row.arity == 2:
        x, y = _pair(row, "f8", count, rng)
        return x, y
    third = count // 3
    kinds = [_domain(row, "f8", third, rng), _patterns("f8", third, rng), _hard(row, third, rng)]
    return _inside(row, (np.concatenate(kinds),))


def near(
    row: Operation, inputs: tuple[Array, ...], errors: Array, count: int, rng: np.random.Generator
) -> tuple[Array, ...]:
    """Return points about the worst."""
    worst = np.argsort(errors)[-25:]
    each = max(count // worst.size, 1)
    away = 1 + np.exp2(-rng.uniform(3, 52, (len(inputs), worst.size * each))) * rng.choice(
        [-1, 1], (len(inputs), worst.size * each)
    )
    moved = (np.repeat(x[worst], each) * a for x, a in zip(inputs, away, strict=True))
    return _inside(row, tuple(moved))


def _inside(row: Operation, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """Leave out what has no result, and what takes mpmath too long to compute."""
    with np.errstate(all="ignore"):
        keep = ~np.isnan(computed(row, *inputs))
    for x in inputs:
        keep &= np.isfinite(x)
    if row.name in ("gamma", "gammaln"):
        keep &= (inputs[0] > -300) & ((row.name == "gammaln") | (inputs[0] < 200))
        keep &= (np.abs(inputs[0]) > 1e-300) & ((inputs[0] > 0) | (np.rint(inputs[0]) != inputs[0]))
    elif row.name in ("erf", "erfc", "gelu"):
        keep &= np.abs(inputs[0]) < 1e4
    return tuple(x[keep] for x in inputs)
