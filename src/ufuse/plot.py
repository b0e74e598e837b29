"""Pictures, by matplotlib, which is imported when one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .count import bincount, histogram
from .interop import asarray
from .quant import QuantizedArray, quantization_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["quantization"]

#: Elements dequantized at a time for the histogram of errors.
_CHUNK = 1 << 20


def quantization(
    x: ArrayLike, q: QuantizedArray, *, bins: int = 200, title: str | None = None
) -> Figure:
    """Draw what quantization does to an array: its values, the codes used, the errors.

    Parameters
    ----------
    x : array_like
        float32: the numbers.
    q : QuantizedArray
        What they were quantized to.
    bins : int
        Of the histograms of values and errors.
    title : str, optional
        Above the picture; by default what `q` and its error are.

    Returns
    -------
    matplotlib.figure.Figure
        Of three axes; ``figure.savefig("q.png")`` writes it. No window is opened.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        As `ufuse.quantization_error`.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "ufuse.plot.quantization: needs matplotlib; install it with: pip install 'ufuse[plot]'"
        ) from error
    array = asarray(x, function="ufuse.plot.quantization", argument="x")
    measured = quantization_error(array, q)
    figure = Figure(figsize=(12, 3.5), layout="constrained")
    values, codes, errors = figure.subplots(1, 3)
    finite = array[np.isfinite(array)] if not np.isfinite(measured.max_abs) else array
    counts, edges = histogram(finite, bins=bins)
    _steps(values, counts, edges, "value", "numbers")
    used = _codes_used(q)
    codes.bar(used[0], used[1], width=1.0)
    codes.set(xlabel=f"{q.scheme} code", ylabel="numbers", yscale="log")
    codes.set_title(f"{np.count_nonzero(used[1])} of {1 << q.code.bits} codes used")
    counts, edges = _errors(array, q, bins, float(measured.max_abs))
    _steps(errors, counts, edges, "error", "numbers")
    errors.set_title(f"{measured.sqnr_db:.1f} dB, largest {measured.max_abs:.3g}")
    figure.suptitle(repr(q) if title is None else title)
    return figure


def _steps(axes: Any, counts: NDArray[Any], edges: NDArray[Any], name: str, what: str) -> None:
    axes.stairs(counts, edges, fill=True)
    axes.set(xlabel=name, ylabel=what, yscale="log" if counts.any() else "linear")


def _codes_used(q: QuantizedArray) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the codes there are, as what they mean without scale, and how often each occurs."""
    code = q.code
    stored = q.codes().reshape(-1).view(f"u{np.dtype(code.storage).itemsize}")
    bits = stored & ((1 << code.bits) - 1)
    counts = bincount(bits, minlength=1 << code.bits)
    every = np.arange(1 << code.bits).astype(stored.dtype).view(code.dtype)
    numbers = every.astype(np.float32 if code.is_float else np.int64)
    finite = np.isfinite(numbers)
    order = np.argsort(numbers[finite], kind="stable")
    return numbers[finite][order], counts[finite][order]


def _errors(
    x: NDArray[Any], q: QuantizedArray, bins: int, largest: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a histogram of the errors, in chunks of the first axis where it can be cut."""
    width = largest if 0 < largest < np.inf else 1.0
    limits = (-width, width)
    blocks = q.block_size is not None and (isinstance(q.block_size, tuple) or q.axis == 0)
    whole = x.ndim < 2 or blocks or x.shape[0] == 0
    rows = max(1, x.shape[0] if whole and x.ndim else _CHUNK // max(1, x[:1].size))
    counts, edges = histogram(np.zeros(0, np.float32), bins=bins, range=limits)
    for first in range(0, x.shape[0] if x.ndim else 1, rows):
        part = q if whole else q[first : first + rows]
        numbers = x if whole else x[first : first + rows]
        counts = counts + histogram(numbers - part.dequantize(), bins=bins, range=limits)[0]
    return counts, edges
