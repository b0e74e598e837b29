"""Pictures, by matplotlib, which is imported when one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .count import bincount, histogram
from .interop import asarray
from .quant import quantization_error
from .quant.decoded import SLAB, slabs
from .quant.record import Record
from .reduce import minmax

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["quantization"]

_Ends: TypeAlias = tuple[float, float]

_MOST_BARS: Final = 512


def quantization(x: ArrayLike, q: Record, *, bins: int = 200, title: str | None = None) -> Figure:
    """Draw what quantization does to an array: its values, the codes used, the errors.

    Parameters
    ----------
    x : array_like
        The numbers, as `ufuse.quantization_error` takes them.
    q : QuantizedArray, MXArray, NVFP4Array, NF4Array or GGUFArray
        What they were quantized to.
    bins : int
        Of the histograms of values and errors.
    title : str, optional
        Above the picture; by default what `q` and its error are.

    Returns
    -------
    matplotlib.figure.Figure
        Of three axes; ``figure.savefig("q.png")`` writes it. No window is opened. Of GGUF's kinds,
        whose blocks differ too much to count codes, the second has what the codes stand for; of
        codes of 16 bits neighbours share a bar, so that there are 512 at most.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        As `ufuse.quantization_error`.

    Notes
    -----
    Arrays are read a slab of 1048576 elements at a time, and neither codes nor numbers are made of
    all of them. Values and errors that are not finite are left out.
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
    ends, decoded_ends = _ranges(array, q)
    width = float(measured.max_abs)
    width = width if 0 < width < np.inf else 1.0
    counts = _Counts(ends, decoded_ends, (-width, width), bins)
    for _, numbers, decoded in slabs(array, q):
        counts.add(numbers, decoded)
    _steps(values, counts.values, "value")
    used = _codes_used(q)
    if used is None:
        _steps(codes, counts.decoded, "what codes stand for")
        codes.set_title(_scheme(q))
    else:
        places, heights, widths = _bars(used[0], used[1])
        codes.bar(places, heights, width=widths)
        codes.set(xlabel=f"{_scheme(q)} code", ylabel="numbers", yscale="log")
        codes.set_title(f"{np.count_nonzero(used[1])} of {used[2]} codes used")
    _steps(errors, counts.errors, "error")
    errors.set_title(f"{measured.sqnr_db:.1f} dB, largest {measured.max_abs:.3g}")
    figure.suptitle(repr(q) if title is None else title)
    return figure


class _Counts:
    """Histograms of numbers, of what stands for them, and of the errors, gathered in slabs."""

    def __init__(self, values: _Ends, decoded: _Ends, errors: _Ends, bins: int) -> None:
        self._bins = bins
        empty = np.zeros(0, np.float32)
        made = (histogram(empty, bins=bins, range=ends) for ends in (values, decoded, errors))
        self.values, self.decoded, self.errors = ([counts, edges] for counts, edges in made)

    def add(self, numbers: NDArray[Any], decoded: NDArray[Any]) -> None:
        with np.errstate(invalid="ignore"):  # infinity less infinity
            error = numbers - decoded
        for into, what in (self.values, numbers), (self.decoded, decoded), (self.errors, error):
            ends = (float(into[1][0]), float(into[1][-1]))
            into[0] = into[0] + histogram(_finite(what), bins=self._bins, range=ends)[0]


def _finite(x: NDArray[Any]) -> NDArray[Any]:
    finite = np.isfinite(x)
    return x if finite.all() else x[finite]


def _ranges(x: NDArray[Any], q: Record) -> tuple[_Ends, _Ends]:
    """Return the smallest and the largest finite element, of x and of what q stands for."""
    ends = np.array([[np.inf, -np.inf]] * 2)
    for _, *arrays in slabs(x, q):
        for found, array in zip(ends, arrays, strict=True):
            some = _finite(array)
            if some.size:
                low, high = minmax(some)
                found[:] = min(found[0], low), max(found[1], high)
    ends = np.where(np.isfinite(ends), ends, [0, 1])
    return tuple(ends[0].tolist()), tuple(ends[1].tolist())


def _steps(axes: Any, counted: list[NDArray[Any]], name: str) -> None:
    counts, edges = counted
    axes.stairs(counts, edges, fill=True)
    axes.set(xlabel=name, ylabel="numbers", yscale="log" if counts.any() else "linear")


def _scheme(q: Record) -> str:
    return str(getattr(q, "scheme", None) or getattr(q, "kind", None) or "nvfp4")


def _bars(
    numbers: NDArray[Any], counts: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return places, heights and widths of bars: of many codes, neighbours share one.

    A bar for each code of 16 bits would be narrower than what is drawn.
    """
    if numbers.size <= _MOST_BARS:
        return numbers, counts, _spacing(numbers)
    first = np.arange(0, numbers.size, -(-numbers.size // _MOST_BARS))
    last = np.append(first[1:], numbers.size) - 1
    middles = (numbers[first] + numbers[last]) / 2
    return middles, np.add.reduceat(counts, first), numbers[last] - numbers[first] + 1


def _spacing(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return widths of bars that do not hide one another: codes of floats lie closer near 0."""
    steps = np.diff(numbers, prepend=-np.inf, append=np.inf)
    steps[steps == 0] = np.inf  # 0 and -0
    width = np.minimum(steps[1:], steps[:-1])
    return np.where(np.isfinite(width), width, 1)


def _codes_used(q: Record) -> tuple[NDArray[Any], NDArray[Any], int] | None:
    """Return what each code means without scale, how often it occurs, and how many there are."""
    every = q._every_code()
    if every is None:
        return None
    numbers = every.dequantize()
    counts = np.zeros(numbers.size, np.int64)
    plain = q._plain()
    for box in plain._boxes(SLAB):
        codes = plain._codes_in(box)
        assert codes is not None
        counts += bincount(codes.reshape(-1), minlength=numbers.size)
    finite = np.isfinite(numbers)
    order = np.argsort(numbers[finite], kind="stable")
    return numbers[finite][order], counts[finite][order], numbers.size
