"""Values that formats of blocks are tested with."""

from __future__ import annotations

import numpy as np

SPECIAL = np.float32(
    "0 -0.0 inf -inf nan -nan 1e-45 -1e-45 1e-38 3.4e38 -3.4e38 1 -1 0.5 -0.5 1e7 6e4 1e-6".split()
)


def hostile(rows: int, length: int, seed: int) -> np.ndarray:
    """Return rows of one sort each: plain, ties, specials among them or alone, any bits..."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, length)).astype(np.float32)
    every = [x[sort::9] for sort in range(9)]
    every[1][...] = rng.integers(-4, 5, every[1].shape) / 2  # ties
    every[2][...] = rng.choice(SPECIAL, every[2].shape)
    every[3] *= np.exp2(rng.integers(-149, 120, (len(every[3]), 1))).astype(np.float32)
    some = rng.random(every[4].shape) < 0.03
    every[4][some] = rng.choice(SPECIAL, some.sum())
    bits = rng.integers(0, 2**32, every[5].shape, dtype=np.uint32)
    every[5][...] = bits.view(np.float32)
    # A little below powers of two, where logarithms round up.
    powers = np.ldexp(np.float32(1), rng.integers(-140, 127, (len(every[6]), 1)))
    below = 1 - rng.integers(0, 60, (len(every[6]), 1)) * 2.0**-24
    every[6][...] = powers * below * rng.choice([1, -1, 0.5, 0.25, 0], every[6].shape)
    every[7] *= rng.integers(0, 2, every[7].shape)  # zeros of both signs
    every[8][...] = np.nextafter(rng.integers(-9, 9, every[8].shape) / 2, rng.choice([-9, 9]))
    return x


def same_floats(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Tell where bits are equal, or both are NaN."""
    bits = np.uint32 if got.itemsize == 4 else np.uint16
    return (got.view(bits) == want.view(bits)) | (np.isnan(got) & np.isnan(want))
