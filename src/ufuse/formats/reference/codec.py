"""What a format's twin is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ..blocks import Array, Layout

#: Values (n, block) in float32, and weights like them or None, to codes (n, nbytes) in uint8 and
#: the scales (n,) of formats that have them apart, else None.
Encode: TypeAlias = Callable[[Array, Array | None, Layout], tuple[Array, Array | None]]

#: Codes (n, nbytes) and scales (n,) or None to values (n, block) in float32.
Decode: TypeAlias = Callable[[Array, Array | None, Layout], Array]


class Codec(NamedTuple):
    """Both ways of a format; no encoder where it is decoded only."""

    encode: Encode | None
    decode: Decode
