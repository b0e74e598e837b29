"""Reductions of a moving window: along memory and across it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..libraries import load
from ..model import Call, Case, Prepare, close
from ..probe import touched

GROUP = "windows"
#: Shape and axis by what they are called.
LAYOUTS: dict[str, tuple[tuple[int, ...], int]] = {
    "1-D": ((1 << 23,), 0),
    "2-D axis 1": ((2048, 4096), 1),
    "2-D axis 0": ((2048, 4096), 0),
    "1-D of 8 MB": ((1 << 20,), 0),
}
#: Windows that are checked, by their beginnings.
_SAMPLED = slice(0, None, 509)
#: Windows that NumPy looks at together.
_TOGETHER = 1 << 13
#: scipy.ndimage's names; its filters are centred, and shifted to end at each element.
FILTERS = {"min": "minimum_filter1d", "max": "maximum_filter1d"}


def _make(layout: str, dtype: Any) -> SimpleNamespace:
    shape, axis = LAYOUTS[layout]
    if dtype == np.float32:
        shape = (2 * shape[0], *shape[1:])
    x = touched(shape, dtype)
    np.random.default_rng(0).random(out=x, dtype=dtype)
    return SimpleNamespace(x=x, axis=axis, out=touched(shape, dtype))


def _ours(op: str, window: int) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = load("ufuse").move_reduce
        return lambda: f(v.x, window, op, axis=v.axis, out=v.out)

    return prepare


def _bottleneck(op: str, window: int) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = getattr(load("bottleneck"), f"move_{op}")
        return lambda: f(v.x, window, axis=v.axis)

    return prepare


def _pandas(op: str, window: int) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        # A frame's columns are its lanes; a view where they are those of the array.
        lanes = v.x if v.axis == 0 else v.x.T
        pandas = load("pandas")
        rolling = (pandas.Series if lanes.ndim == 1 else pandas.DataFrame)(lanes).rolling(window)
        keywords = {"ddof": 0} if op in ("var", "std") else {}
        turned = v.axis != 0

        def call() -> np.ndarray:
            result = getattr(rolling, op)(**keywords).to_numpy()
            return result.T if turned else result

        return call

    return prepare


def _scipy(op: str, window: int) -> Prepare:
    def prepare(v: SimpleNamespace) -> Call:
        f = getattr(load("scipy").ndimage, FILTERS[op])
        origin = window // 2 - (1 - window % 2)  # the last element is this one
        head = (slice(None),) * v.axis + (slice(window - 1),)

        def call() -> np.ndarray:
            f(v.x, window, v.axis, v.out, origin=origin)
            v.out[head] = np.nan
            return v.out

        return call

    return prepare


def _numpy(op: str, window: int) -> Prepare:
    """Reduce a view of every window, some of them at a time."""

    def prepare(v: SimpleNamespace) -> Call:
        f, head = getattr(np, op), window - 1
        lanes, results = np.moveaxis(v.x, v.axis, -1), np.moveaxis(v.out, v.axis, -1)
        length = lanes.shape[-1]

        def call() -> np.ndarray:
            results[..., :head] = np.nan
            for lane in np.ndindex(lanes.shape[:-1]):
                for first in range(head, length, _TOGETHER):
                    last = min(first + _TOGETHER, length)
                    windows = sliding_window_view(lanes[lane][first - head : last], window)
                    f(windows, axis=-1, out=results[lane][first:last])
            return v.out

        return call

    return prepare


def _expected(op: str, window: int) -> Any:
    """Reduce some of the windows."""

    def expected(v: SimpleNamespace) -> np.ndarray:
        lanes = np.moveaxis(v.x, v.axis, -1)
        windows = sliding_window_view(lanes, window, axis=-1)[..., _SAMPLED, :]
        return np.asarray(getattr(np, op)(windows.astype(np.float64), axis=-1))

    return expected


def _check(op: str, layout: str, dtype: Any, window: int) -> Any:
    axis = LAYOUTS[layout][1]
    near = close(
        0.0, 0.0 if op in ("min", "max", "median") else 2e-5 if dtype == np.float32 else 1e-9
    )

    def check(result: np.ndarray, expected: np.ndarray) -> str | None:
        lanes = np.moveaxis(result, axis, -1)
        if not np.isnan(lanes[..., : window - 1]).all():
            return "numbers where windows have too few elements"
        return near(lanes[..., window - 1 :][..., _SAMPLED], expected)

    return check


def _case(op: str, layout: str, dtype: Any, window: int, bar: str) -> Case:
    peers = {
        "numpy": _numpy(op, window),
        "bottleneck": _bottleneck(op, window),
        "pandas": _pandas(op, window),
    }
    if op in FILTERS:
        peers["scipy"] = _scipy(op, window)
    shape = LAYOUTS[layout][0]
    return Case(
        name=f"move {op} {window} {np.dtype(dtype).name} {layout}",
        group=GROUP,
        make=lambda: _make(layout, dtype),
        ours=_ours(op, window),
        peers=peers,
        limit="read",
        amount=8 * int(np.prod(shape)),
        bar=bar,
        check=_check(op, layout, dtype, window),
        expected=_expected(op, window),
    )


def cases() -> list[Case]:
    """Return the cases of this group."""
    result = [
        _case(op, layout, dtype, 50, f"bottleneck >= {2 if op == 'median' else 4}x")
        for op in ("mean", "var", "min", "max", "median")
        for layout in list(LAYOUTS)[:3]
        for dtype in (np.float64, np.float32)
    ]
    # Windows that are short or long are to be no surprise.
    result += [
        _case(op, "1-D of 8 MB", np.float64, window, "bottleneck >= 1x")
        for op in ("mean", "max", "median")
        for window in (5, 400)
    ]
    return result
