"""The reducers: one row each, mergeable states over any axes.

A floating state is float64 whatever the input: float32 sums are then right to the last bit but for
pathological cancellation, and cost no more, since memory is what limits them.
"""

from __future__ import annotations

from typing import Final

from .dtypes import ALL, FLOATS, NUMBERS, SIGNED, UNSIGNED
from .rows import Reducer

_WIDE: Final = {
    "?": "i8",
    **{code: "i8" for code in SIGNED},
    **{code: "u8" for code in UNSIGNED},
    **{code: "f8" for code in FLOATS},
}

#: Types with moments of their own: others go through float64.
_MOMENTS: Final = (*FLOATS, *(code for code in ALL if code[0] in "?iu" and code[-1] != "8"))

REDUCERS: Final = (
    Reducer("sum", ("sum",), {code: (_WIDE[code],) for code in ALL}, "sum"),
    Reducer("prod", ("prod",), {code: (_WIDE[code],) for code in ALL}, "product"),
    Reducer("min", ("min",), {code: (code,) for code in ALL}, "smallest; NaN if there is one"),
    Reducer("max", ("max",), {code: (code,) for code in ALL}, "largest; NaN if there is one"),
    Reducer("nansum", ("sum",), {code: ("f8",) for code in FLOATS}, "sum of what is no NaN"),
    Reducer("nanprod", ("prod",), {code: ("f8",) for code in FLOATS}, "product of what is no NaN"),
    Reducer("nanmin", ("min",), {code: (code,) for code in FLOATS}, "smallest that is no NaN"),
    Reducer("nanmax", ("max",), {code: (code,) for code in FLOATS}, "largest that is no NaN"),
    Reducer("valid", ("count",), {code: ("f8",) for code in FLOATS}, "how many are no NaN"),
    Reducer("nonzero", ("count",), {code: ("i8",) for code in ALL}, "how many are not zero"),
    Reducer("sum_of_squares", ("sum",), {code: ("f8",) for code in FLOATS}, "sum of the squares"),
    Reducer("sum_of_magnitudes", ("sum",), {code: ("f8",) for code in FLOATS}, "sum of magnitudes"),
    Reducer("largest_magnitude", ("max",), {code: (code,) for code in FLOATS}, "largest magnitude"),
    Reducer(
        "smallest_magnitude", ("min",), {code: (code,) for code in FLOATS}, "smallest magnitude"
    ),
    Reducer(
        "moments",
        ("count", "mean", "low", "m2"),
        {code: ("f8", "f8", "f8", "f8") for code in _MOMENTS},
        "count, mean (and what rounding takes from it) and sum of squared deviations",
    ),
    Reducer(
        "central_moments",
        ("count", "mean", "low", "m2", "m3", "m4"),
        {code: ("f8",) * 6 for code in FLOATS},
        "moments and the sums of the third and fourth powers of the deviations",
    ),
    Reducer(
        "compensated",
        ("sum", "lost"),
        {code: ("f8", "f8") for code in FLOATS},
        "sum and what rounding took from it",
    ),
    Reducer(
        "exponentials",
        ("largest", "count", "others"),
        {code: (code, "f8", "f8") for code in FLOATS},
        "largest, how many equal it, and the sum of the others' exponentials relative to it",
    ),
    Reducer(
        "nan_moments",
        ("count", "mean", "low", "m2"),
        {code: ("f8", "f8", "f8", "f8") for code in FLOATS},
        "moments of what is no NaN",
    ),
    Reducer(
        "nan_mean",
        ("sum", "count"),
        {code: ("f8", "f8") for code in FLOATS},
        "sum and number of what is no NaN",
    ),
    Reducer(
        "summary",
        ("count", "mean", "low", "m2", "sum", "min", "max"),
        {code: ("f8", "f8", "f8", "f8", "f8", code, code) for code in FLOATS},
        "moments, sum, smallest and largest in one go",
    ),
    Reducer(
        "minmax",
        ("min", "max"),
        {code: (code, code) for code in ALL},
        "smallest and largest; NaN if there is one",
    ),
    Reducer(
        "argmin",
        ("min", "index"),
        {code: (code, "i8") for code in NUMBERS},
        "smallest and where it is first; the first NaN wins",
    ),
    Reducer(
        "argmax",
        ("max", "index"),
        {code: (code, "i8") for code in NUMBERS},
        "largest and where it is first; the first NaN wins",
    ),
    Reducer(
        "nanargmin",
        ("min", "index"),
        {code: (code, "i8") for code in FLOATS},
        "smallest and where it is first; a NaN counts as infinity",
    ),
    Reducer(
        "nanargmax",
        ("max", "index"),
        {code: (code, "i8") for code in FLOATS},
        "largest and where it is first; a NaN counts as minus infinity",
    ),
)

#: What becomes of a state, from one of its components on.
FINISHES: Final = {
    "value": "the component",
    "mean": "the component divided by the number of elements",
    "ratio": "the component divided by the one after it",
    "variance": "m2 divided by what ddof leaves of the count",
    "deviation": "the square root of the variance",
    "skewness": "the third standardized moment",
    "kurtosis": "the fourth standardized moment less 3, that of a normal distribution",
    "restored": "the component and what rounding took from it, divided by the number of elements",
    "share": "1 divided by the sum of exponentials relative to the largest",
    "log_total": "the logarithm of the component and the one after it added",
    "logsumexp": "the logarithm of the sum of exponentials",
    "nonzero": "whether the component is not 0",
    "complete": "whether the component is the number of elements",
    "root": "the square root of the component",
    "span": "the component after it less the component",
}

BY_NAME: Final = {row.name: row for row in REDUCERS}
