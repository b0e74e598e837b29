"""The statistics of a stream: what each needs to keep, and what it makes of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ..interop.lowprecision import coding, narrowed
from ..reduce import sums
from ..reduce.request import Array, DType
from .accumulators import (
    Binning,
    Bins,
    Chunk,
    Direct,
    Exact,
    Fold,
    Moments,
    Part,
    Position,
    Reader,
    Reduced,
    Sketches,
    Total,
    WholeTotal,
    element_of,
)
from .sketch_blocks import stored_dtype

if TYPE_CHECKING:
    from fractions import Fraction

NAN_NAMES: Final = (
    *("nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmin", "nanmax"),
    *("nanargmin", "nanargmax", "nanmedian", "nanquantile", "nanpercentile"),
)
RANKED: Final = ("median", "quantile", "percentile")
NAMES: Final = (
    *("sum", "prod", "mean", "var", "std", "min", "max", "ptp", "argmin", "argmax", "any", "all"),
    *("count", "nan_count", "count_nonzero", "norm", "histogram", *RANKED, *NAN_NAMES),
)


class Histogram(NamedTuple):
    """Counts of a stream: in the bins, which are the last axis, and outside of them."""

    counts: Any
    edges: Array
    below: Any
    above: Any


class Settings(NamedTuple):
    """What a state was made with."""

    names: tuple[str, ...]
    axis: int | tuple[int, ...] | None
    ddof: float
    skip_nan: bool
    exact: bool
    error: float
    bins: Binning | None
    shares: Any  # of "quantile" or "percentile": nested tuples of numbers between 0 and 1, or one


class Kept:
    """What a stream of one dtype keeps, and how to ask for it.

    Parameters
    ----------
    settings : Settings
    dtype : numpy.dtype
        Of the stream: real numbers of a compiled type, or narrower floats.
    """

    def __init__(self, settings: Settings, dtype: DType) -> None:
        self.settings, self.dtype = settings, dtype
        self.element = stored_dtype(dtype)
        self._code = self.element.str[1:]
        self._floats = self.element.kind == "f"
        self.parts: dict[Any, Part] = {}
        self._of = {name: self._needs(name) for name in settings.names}
        parts = self.parts.values()
        self.reader = Reader([part for part in parts if isinstance(part, Reduced)])
        self.direct = [part for part in parts if isinstance(part, Direct)]

    @property
    def reads_once(self) -> bool:
        """Whether one call of an executor takes in a chunk."""
        return not self.direct and self.reader.reads == 1

    def _needs(self, name: str) -> dict[str, Any]:
        """Return the parts of a statistic, by what they are to it, as keys of `parts`."""
        skip = self._floats and (self.settings.skip_nan or name in NAN_NAMES)
        base = name.removeprefix("nan") if name in NAN_NAMES else name
        parts = _NEEDS[base](self, base, skip)
        if skip or (self._floats and base in (*RANKED, "nan_count")):
            parts["valid"] = Fold("valid", self._code)
        for part in parts.values():
            self.parts.setdefault(part.key, part)
        return {"base": base, "skip": skip, **{role: part.key for role, part in parts.items()}}

    # --- what is kept ---------------------------------------------------------------------------

    def _total(self, base: str, skip: bool) -> dict[str, Part]:
        if self.settings.exact and (self._floats or base == "mean"):
            return {"exact": Exact(1)}
        if self._floats:
            return {"total": Total("nan" * skip + "sum", self._code)}
        if self.element.itemsize < 8:
            return {"whole": WholeTotal("sum", self._code)}
        if base == "mean":  # 64 bits could overflow where floats do not
            return {"total": Total("sum", "f8")}
        return {"value": Fold("sum", self._code)}

    def _product(self, base: str, skip: bool) -> dict[str, Part]:
        if self._floats and self.settings.exact:
            raise ValueError(
                "ufuse.State: products of floats round in the order of the elements; leave 'prod' "
                "out with accuracy='reproducible'"
            )
        return {"value": Fold("nan" * skip + "prod", self._code)}

    def _spread(self, base: str, skip: bool) -> dict[str, Part]:
        if self.settings.exact:
            return {"exact": Exact(1), "squares": Exact(2)}
        return {"moments": Moments("nan_" * skip + "moments", sums.moments_element(self.element))}

    def _norm(self, base: str, skip: bool) -> dict[str, Part]:
        if self.settings.exact:
            return {"squares": Exact(2)}
        return {"total": Total("sum_of_squares", element_of(self._code), skip)}

    def _extremes(self, base: str, skip: bool) -> dict[str, Part]:
        names = ("min", "max") if base == "ptp" else (base,)
        return {name: Fold("nan" * skip + name, self._code) for name in names}

    def _position(self, base: str, skip: bool) -> dict[str, Part]:
        return {"position": Position("nan" * skip + base, self._code)}

    def _counts(self, base: str, skip: bool) -> dict[str, Part]:
        if base in ("count", "nan_count"):
            return {}
        parts: dict[str, Part] = {"nonzero": Fold("nonzero", self._code)}
        return parts

    def _bins(self, base: str, skip: bool) -> dict[str, Part]:
        assert self.settings.bins is not None
        return {"bins": Bins(self.settings.bins)}

    def _sketches(self, base: str, skip: bool) -> dict[str, Part]:
        return {"sketches": Sketches(self.settings.error)}

    # --- the stream -----------------------------------------------------------------------------

    def copied(self, values: dict[Any, Any]) -> dict[Any, Any]:
        """Return values of parts that `take` and `merge` may change, by key."""
        return {key: self.parts[key].copied(value) for key, value in values.items()}

    def take(self, chunk: Chunk, values: dict[Any, Any], count: int) -> None:
        """Take a chunk into `values`, which are those of so many elements of a lane."""
        found = zip(self.reader.parts, self.reader.read(chunk), strict=True)
        self.merge(values, {part.key: value for part, value in found}, count)
        for part in self.direct:
            values[part.key] = part.read(chunk, values.get(part.key))

    def merge(self, values: dict[Any, Any], others: dict[Any, Any], count: int) -> None:
        """Merge others into `values`, which are those of so many elements of a lane."""
        with np.errstate(all="ignore"):
            for key, other in others.items():
                known = key in values
                values[key] = self.parts[key].merge(values[key], other, count) if known else other

    # --- what it comes to -----------------------------------------------------------------------

    def result(self, name: str, values: dict[Any, Any], count: int, lanes: int) -> Any:
        """Return a statistic, one entry per lane; `count` elements have gone by in each."""
        of = self._of[name]
        found = {role: values.get(key) for role, key in of.items() if role not in ("base", "skip")}
        asked = Asked(name, of["base"], of["skip"], found, count, lanes, self)
        with np.errstate(all="ignore"):
            return _RESULTS[of["base"]](asked)


class Asked(NamedTuple):
    """One statistic that is asked for: its parts' values by role, None where nothing came yet."""

    name: str
    base: str
    skip: bool
    parts: dict[str, Any]
    seen: int  # elements of a lane
    lanes: int
    kept: Kept

    @property
    def settings(self) -> Settings:
        return self.kept.settings

    @property
    def counts(self) -> Array:
        """Elements that count, of each lane."""
        if self.skip and self.seen:
            return np.asarray(self.parts["valid"][0], np.int64)
        return np.full(self.lanes, self.seen, np.int64)

    @property
    def nans(self) -> Array:
        if self.seen == 0 or "valid" not in self.parts:
            return np.zeros(self.lanes, np.int64)
        return self.seen - np.asarray(self.parts["valid"][0], np.int64)

    def warn(self, text: str) -> None:
        warnings.warn(f"ufuse.State: {self.name}: {text}", RuntimeWarning, stacklevel=6)


def _sum(asked: Asked) -> Array:
    dtype = sums.default_dtype(asked.kept.dtype, None)
    if asked.seen == 0:
        return np.full(asked.lanes, asked.base == "prod", dtype)
    if "value" in asked.parts:
        return np.asarray(_rounded(asked.parts["value"][0], dtype))
    if "whole" in asked.parts:
        high, low = asked.parts["whole"]
        return np.asarray(((high << 32) + low).astype(dtype))
    return _rounded(_float_total(asked), dtype)


def _rounded(values: Array, dtype: DType) -> Array:
    return values.astype(dtype) if coding(dtype) is None else narrowed(values, dtype)


def _float_total(asked: Asked) -> Array:
    if "exact" in asked.parts:
        sums_ = asked.parts["exact"]
        special = sums_.special(skip_nan=asked.skip)
        return np.where(special != 0, special, [_nearest(x) for x in sums_.fractions()])
    high, low = asked.parts["total"]
    return np.asarray(high + low)


def _nearest(x: Fraction) -> float:
    try:
        return float(x)
    except OverflowError:
        return np.inf if x > 0 else -np.inf


def _mean(asked: Asked) -> Array:
    counts = asked.counts
    if not counts.all():
        asked.warn("Mean of empty slice")
    dtype = sums.moment_dtype(asked.kept.dtype, None)
    if asked.seen == 0:
        return np.full(asked.lanes, np.nan).astype(dtype)
    if "whole" in asked.parts:
        high, low = asked.parts["whole"]
        total = high * 4294967296.0 + low
    elif "exact" in asked.parts:
        found = asked.parts["exact"]
        special = found.special(skip_nan=asked.skip)
        pairs = zip(found.fractions(), counts.tolist(), strict=True)
        means = [_nearest(x / n) if n else np.nan for x, n in pairs]
        return _rounded(np.where(special != 0, special, means), dtype)
    else:
        total = _float_total(asked)
    return _rounded(np.asarray(total / counts), dtype)


def _variance(asked: Asked) -> Array:
    counts = asked.counts
    ddof = asked.settings.ddof
    if np.any(counts <= ddof):
        asked.warn("Degrees of freedom <= 0 for slice")
    dtype = sums.moment_dtype(asked.kept.dtype, None)
    if asked.seen == 0:
        return np.full(asked.lanes, np.nan).astype(dtype)
    if "exact" in asked.parts:
        variance = _exact_variance(asked, counts)
    else:
        variance = asked.parts["moments"][3] / np.maximum(counts - ddof, 0.0)
    if asked.skip:
        variance = np.where(counts <= ddof, np.nan, variance)
    return _rounded(np.asarray(np.sqrt(variance) if asked.base == "std" else variance), dtype)


def _exact_variance(asked: Asked, counts: Array) -> Array:
    from fractions import Fraction  # slow to import

    totals, squares = asked.parts["exact"], asked.parts["squares"]
    special = totals.special(skip_nan=asked.skip)
    variance = np.full(asked.lanes, np.nan)
    lanes = zip(totals.fractions(), squares.fractions(), counts.tolist(), strict=True)
    for lane, (total, square, n) in enumerate(lanes):
        freedom = Fraction(n) - Fraction(asked.settings.ddof)
        if special[lane] == 0 and n > 0:
            m2 = square - total * total / n
            variance[lane] = _nearest(m2 / freedom) if freedom > 0 else np.inf if m2 else np.nan
    return variance


def _norm(asked: Asked) -> Array:
    dtype = sums.moment_dtype(asked.kept.dtype, None)
    if asked.seen == 0:
        return np.zeros(asked.lanes, dtype)
    if "squares" in asked.parts:
        found = asked.parts["squares"]
        special = found.special(skip_nan=asked.skip)
        total = np.where(special != 0, special, [_nearest(x) for x in found.fractions()])
    else:
        high, low = asked.parts["total"]
        total = high + low
    return _rounded(np.sqrt(total), dtype)


def _extreme(asked: Asked) -> Array:
    if _is_of_nothing(asked):
        return np.empty(0, asked.kept.dtype)
    found = [np.asarray(asked.parts[name][0]) for name in ("min", "max") if name in asked.parts]
    result = found[0] if len(found) == 1 else np.subtract(found[1], found[0])
    if asked.skip:
        empty = asked.counts == 0
        if empty.any():
            asked.warn("All-NaN slice encountered")
            result = np.where(empty, result.dtype.type(np.nan), result)
    return np.asarray(result.astype(asked.kept.dtype))


def _is_of_nothing(asked: Asked) -> bool:
    """Whether there are no lanes, so that nothing is asked for; raise where no elements came."""
    if asked.seen == 0 and asked.lanes:
        raise ValueError(
            f"ufuse.State.result: {asked.name!r} of no elements has no identity; update the state "
            "first"
        )
    return asked.seen == 0


def _position(asked: Asked) -> Array:
    if _is_of_nothing(asked):
        return np.empty(0, np.int64)
    if not asked.counts.all():
        raise ValueError(f"ufuse.State.result: {asked.name!r}: All-NaN slice encountered")
    return np.asarray(asked.parts["position"][1])


def _nonzero(asked: Asked) -> Array:
    if asked.seen == 0:
        found = np.zeros(asked.lanes, np.int64)
    else:
        found = np.asarray(asked.parts["nonzero"][0], np.int64)
        if asked.skip:
            found = found - asked.nans  # a NaN is not zero
    if asked.base == "any":
        return found > 0
    return found == asked.counts if asked.base == "all" else found


def _histogram(asked: Asked) -> Array:
    if asked.seen == 0:
        assert asked.settings.bins is not None
        return np.zeros((asked.lanes, asked.settings.bins.number + 2), np.int64)
    return np.asarray(asked.parts["bins"][0])


def _quantiles(asked: Asked) -> Array:
    """Quantiles as (number of them, lanes)."""
    shares = np.array(0.5 if asked.base == "median" else asked.settings.shares, np.float64).ravel()
    dtype = sums.moment_dtype(asked.kept.dtype, None)
    found = np.full((shares.size, asked.lanes), np.nan)
    counts = asked.seen - asked.nans
    if asked.lanes and not np.all(counts if asked.skip else asked.seen):
        asked.warn("Mean of empty slice")
    for lane in np.flatnonzero(counts if asked.skip else counts * (asked.nans == 0)):
        found[:, lane] = asked.parts["sketches"][lane].quantile(shares)
    return _rounded(found, dtype)


_Needs = Callable[[Kept, str, bool], dict[str, Part]]

_NEEDS: Final[dict[str, _Needs]] = {
    **dict.fromkeys(("sum", "mean"), Kept._total),
    "prod": Kept._product,
    **dict.fromkeys(("var", "std"), Kept._spread),
    "norm": Kept._norm,
    **dict.fromkeys(("min", "max", "ptp"), Kept._extremes),
    **dict.fromkeys(("argmin", "argmax"), Kept._position),
    **dict.fromkeys(("any", "all", "count", "nan_count", "count_nonzero"), Kept._counts),
    "histogram": Kept._bins,
    **dict.fromkeys(RANKED, Kept._sketches),
}

_RESULTS: Final[dict[str, Callable[[Asked], Any]]] = {
    **dict.fromkeys(("sum", "prod"), _sum),
    "mean": _mean,
    **dict.fromkeys(("var", "std"), _variance),
    "norm": _norm,
    **dict.fromkeys(("min", "max", "ptp"), _extreme),
    **dict.fromkeys(("argmin", "argmax"), _position),
    **dict.fromkeys(("any", "all", "count_nonzero"), _nonzero),
    "count": lambda asked: asked.counts,
    "nan_count": lambda asked: asked.nans,
    "histogram": _histogram,
    **dict.fromkeys(RANKED, _quantiles),
}
