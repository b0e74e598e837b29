"""Reductions of many parts of 64 MB: slices of it, and elements that have one label."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ..libraries import blocking, load, tensor
from ..model import Call, Case, Prepare, close
from ..probe import touched

GROUP = "segments"
SEGMENTS = 200_000
BYTES = 64 << 20


def _values(dtype: str) -> np.ndarray:
    """64 MB of random values."""
    x = touched(BYTES // np.dtype(dtype).itemsize, dtype)
    np.random.default_rng(0).random(out=x, dtype=np.dtype(dtype))
    return x


# --- segments ------------------------------------------------------------------------------------


def _ragged(dtype: str) -> SimpleNamespace:
    x = _values(dtype)
    inside = np.random.default_rng(1).choice(x.size - 1, SEGMENTS - 1, replace=False) + 1
    starts = np.concatenate([[0], np.sort(inside)])
    return SimpleNamespace(
        x=x,
        starts=starts,
        offsets=np.append(starts, x.size),
        out=touched(SEGMENTS, dtype),
    )


def _segments_ours(op: str) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = load("ufuse").segment_reduce
        return lambda: f(v.x, v.starts, op=op, out=v.out)

    return prepare


def _segments_numpy(op: str) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = {"sum": np.add, "max": np.maximum}[op].reduceat
        return lambda: f(v.x, v.starts, out=v.out)

    return prepare


def _segments_torch(op: str) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = load("torch").segment_reduce
        x, offsets = tensor(v.x), tensor(v.offsets)
        return lambda: f(x, op, offsets=offsets)

    return prepare


def _segments_jax(op: str) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        jax = load("jax")
        f: Any = getattr(jax.ops, f"segment_{op}")
        ids = jax.numpy.asarray(np.repeat(np.arange(SEGMENTS), np.diff(v.offsets)))
        call = blocking(lambda x: f(x, ids, num_segments=SEGMENTS, indices_are_sorted=True))
        x = jax.numpy.asarray(v.x)
        return lambda: call(x)

    return prepare


def _segments(op: str, dtype: str, bar: str) -> Case:
    exact = op == "max"
    return Case(
        name=f"{op} of {SEGMENTS:,} segments, {dtype}",
        group=GROUP,
        make=lambda: _ragged(dtype),
        ours=_segments_ours(op),
        peers={
            "numpy": _segments_numpy(op),
            "torch": _segments_torch(op),
            "jax": _segments_jax(op),
        },
        limit="read",
        amount=BYTES + 16.0 * SEGMENTS,
        bar=bar,
        check=close(0.0 if exact else 2e-5),
    )


# --- groups --------------------------------------------------------------------------------------


def _labelled(groups: int, labels: str) -> SimpleNamespace:
    x = _values("float64")
    found = touched(x.size, labels)
    found[...] = np.random.default_rng(1).integers(0, groups, x.size)
    found[:groups] = np.arange(groups)  # no empty group
    return SimpleNamespace(x=x, labels=found, out=touched(groups, np.float64))


def _groups_ours(groups: int) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = load("ufuse").group_reduce
        return lambda: f(v.x, v.labels, "sum", groups, out=v.out)

    return prepare


def _groups_numpy(v: SimpleNamespace) -> Call:
    return lambda: np.bincount(v.labels, v.x)


def _groups_torch(v: SimpleNamespace) -> Call:
    x, labels, out = tensor(v.x), tensor(v.labels), tensor(v.out)
    return lambda: out.zero_().index_add_(0, labels, x)


def _groups_jax(groups: int) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        jax = load("jax")
        call = blocking(lambda x, i: jax.ops.segment_sum(x, i, num_segments=groups))
        x, labels = jax.numpy.asarray(v.x), jax.numpy.asarray(v.labels)
        return lambda: call(x, labels)

    return prepare


def _groups(groups: int, labels: str, bar: str) -> Case:
    return Case(
        name=f"sum of {groups:,} groups, {labels} labels",
        group=GROUP,
        make=lambda: _labelled(groups, labels),
        ours=_groups_ours(groups),
        peers={"numpy": _groups_numpy, "torch": _groups_torch, "jax": _groups_jax(groups)},
        limit="read",
        amount=BYTES // 8 * (8.0 + np.dtype(labels).itemsize),
        bar=bar,
        check=close(1e-11),
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    return [
        _segments("sum", "float32", "numpy >= 2x; best >= 1x"),
        _segments("sum", "float64", "numpy >= 2x; best >= 1x"),
        _segments("max", "float32", "best >= 1x"),
        _groups(1000, "int64", "numpy >= 3x; best >= 1x"),
        _groups(1000, "int32", "numpy >= 3x; best >= 1x"),
        _groups(1_000_000, "int64", "best >= 1x"),
        _groups(1_000_000, "int32", "numpy >= 3x; best >= 1x"),
    ]
