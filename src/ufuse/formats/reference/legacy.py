"""GGUF's formats that are a float16 scale and rounded quotients, and its plain floats."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..blocks import Array, Layout
from .codec import Codec, Decode, Encode
from .kquants_search import fit_affine, fit_symmetric


def halves(values: Array) -> Array:
    """Return the bytes (n, 2) of float16 for n values."""
    return values.astype(np.float16).reshape(-1, 1).view(np.uint8)


def from_halves(data: Array) -> Array:
    """Return the values (n, 1) in float32 of bytes (n, 2)."""
    return np.ascontiguousarray(data).view(np.float16).astype(np.float32)


def inverse_or_zero(values: Array) -> Array:
    """Return 1 / x, and 0 for 0."""
    return np.where(values == 0, np.float32(0), np.float32(1) / values)


def to_int(values: Array) -> Array:
    """Truncate to int32; what does not fit, and NaN, give the smallest."""
    fits = np.abs(values) < 2.0**31
    return np.where(fits, np.where(fits, values, 0).astype(np.int64), -(2**31)).astype(np.int32)


def rounded_away(values: Array) -> Array:
    """Round to integers, ties away from zero."""
    magnitude = np.abs(values)
    whole = np.floor(magnitude)
    return to_int(np.sign(values) * (whole + (magnitude - whole >= 0.5)))


def first_nan(x: Array) -> Array:
    """Return the first NaN (n, 1) of each row, or the first value."""
    return np.take_along_axis(x, np.isnan(x).argmax(axis=1)[:, None], axis=1)


def pair(low: Array, high: Array) -> Array:
    """Return bytes with two codes of four bits."""
    return (low & 15 | high << 4).astype(np.uint8)


def unpair(data: Array, run: int) -> Array:
    """Return the codes of bytes: of each run the low ones, then those above."""
    runs = data.reshape(*data.shape[:-1], -1, 1, run)
    codes = np.concatenate([runs & 15, runs >> 4], axis=-2)
    return codes.reshape(*data.shape[:-1], -1)


def bits_of(data: Array) -> Array:
    """Return the bits of each byte, the lowest first, on an axis of their own."""
    return data[..., None] >> np.arange(8, dtype=np.uint8) & 1


_NAN: Final = np.float32(np.nan)

#: What `weights_of` makes weights for.
WEIGHTED: Final = ("Q4_0", "Q4_1", "Q5_0", "Q5_1")


def weights_of(x: Array, importance: Array) -> Array:
    """Return what the errors of rows count (`quantize_row_q4_0_impl` of ggml, and its like)."""
    squares = np.add.accumulate(x * x, axis=-1)[..., -1:]  # one by one
    weights: Array = importance * np.sqrt(squares / np.float32(x.shape[-1]) + x * x)
    # A NaN of infinities and overflow is negative, as on x86; one of a row with NaN is not.
    return np.where(np.isnan(squares), _NAN, np.where(np.isnan(weights), -_NAN, weights))


def _search(x: Array, weights: Array, bits: int, offset: bool) -> tuple[list[Array], Array]:
    """Return float16 scales, with smallest values, and codes of least weighted error."""
    columns, weights = np.ascontiguousarray(x.T), np.ascontiguousarray(weights.T)
    if offset:
        top = (1 << bits) - 1
        scale, shift, q = fit_affine(columns, weights, top, (-0.9, 0.05, 36), False)
        found = [scale, -shift]
    else:
        scale, q = fit_symmetric(columns, weights, 1 << bits - 1)
        found = [scale]
    one_nan = np.where(np.isnan(weights[0]) & ~np.signbit(weights[0]), _NAN, -_NAN)
    return [halves(np.where(np.isnan(part), one_nan, part)) for part in found], q.T


def _encode_quotients(bits: int, offset: bool) -> Encode:
    middle = 1 << bits - 1

    def encode(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
        if weights is not None:
            head, q = _search(x, weights, bits, offset)
            return written(head, q), None
        if offset:
            # NaN is both ends; of zeros, -0.0 is the lesser and 0.0 the larger.
            low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
            zeros, minus = x == 0, np.signbit(x)
            low = np.where(
                (low == 0) & (zeros & minus).any(1, keepdims=True), np.float32(-0.0), low
            )
            high = np.where(
                (high == 0) & (zeros & ~minus).any(1, keepdims=True), np.float32(0), high
            )
            low = np.where(np.isnan(low), np.float32(np.nan), low)
            d = (high - low) / np.float32((1 << bits) - 1)
            quotients = (x - low) * inverse_or_zero(d) + np.float32(0.5)
            head = [halves(np.where(np.isnan(low), low, d)), halves(low)]
        else:
            at = np.where(np.isnan(x), np.float32(np.inf), np.abs(x)).argmax(axis=1)[:, None]
            nan = np.isnan(x).any(axis=1, keepdims=True)
            d = np.where(nan, first_nan(x), np.take_along_axis(x, at, axis=1)) / np.float32(-middle)
            quotients = x * inverse_or_zero(d) + np.float32(middle + 0.5)
            head = [halves(d)]
        return written(head, np.minimum(to_int(quotients) & 255, (1 << bits) - 1)), None

    def written(head: list[Array], q: Array) -> Array:
        if bits == 5:
            head.append(np.packbits((q >> 4).astype(np.uint8), axis=1, bitorder="little"))
        return np.hstack([*head, pair(q[:, :16], q[:, 16:])])

    return encode


def _decode_quotients(bits: int, offset: bool) -> Decode:
    def decode(codes: Array, scales: Array | None, layout: Layout) -> Array:
        q = unpair(codes[:, -16:], 16).astype(np.float32)
        if bits == 5:
            q += bits_of(codes[:, -20:-16]).reshape(-1, 32).astype(np.float32) * 16
        d = from_halves(codes[:, :2])
        if offset:
            return d * q + from_halves(codes[:, 2:4])
        values: Array = d * (q - np.float32(1 << bits - 1))
        return values

    return decode


def largest_magnitude(x: Array) -> Array:
    """Return the largest magnitude (n, 1) of each row, of NaN a plain one."""
    most = np.abs(x).max(axis=1, keepdims=True)
    return np.where(np.isnan(most), np.float32(np.nan), most)


def _encode_q8_0(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    d = largest_magnitude(x) / np.float32(127)
    q = rounded_away(x * inverse_or_zero(d))
    return np.hstack([halves(d), q.astype(np.uint8)]), None


def _decode_q8_0(codes: Array, scales: Array | None, layout: Layout) -> Array:
    return codes[:, 2:].view(np.int8).astype(np.float32) * from_halves(codes[:, :2])


def _encode_f32(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    return np.ascontiguousarray(x).view(np.uint8), None


def _decode_f32(codes: Array, scales: Array | None, layout: Layout) -> Array:
    values: Array = codes.view(np.float32)
    return values


def _encode_f16(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    quiet = np.where(np.isnan(x), np.uint16(0x200), np.uint16(0))
    return (x.astype(np.float16).view(np.uint16) | quiet).view(np.uint8), None


def _decode_f16(codes: Array, scales: Array | None, layout: Layout) -> Array:
    return from_halves(codes)


def _encode_bf16(x: Array, weights: Array | None, layout: Layout) -> tuple[Array, None]:
    bits = np.ascontiguousarray(x).view(np.uint32)
    even = bits + 0x7FFF + (bits >> 16 & 1)  # half a last place; ties to even
    rounded = np.where(np.isnan(x), bits | 0x400000, even)
    return (rounded >> 16).astype(np.uint16).view(np.uint8), None


def _decode_bf16(codes: Array, scales: Array | None, layout: Layout) -> Array:
    values: Array = (codes.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return values


CODECS: Final = {
    "Q4_0": Codec(_encode_quotients(4, offset=False), _decode_quotients(4, offset=False)),
    "Q4_1": Codec(_encode_quotients(4, offset=True), _decode_quotients(4, offset=True)),
    "Q5_0": Codec(_encode_quotients(5, offset=False), _decode_quotients(5, offset=False)),
    "Q5_1": Codec(_encode_quotients(5, offset=True), _decode_quotients(5, offset=True)),
    "Q8_0": Codec(_encode_q8_0, _decode_q8_0),
    "F32": Codec(_encode_f32, _decode_f32),
    "F16": Codec(_encode_f16, _decode_f16),
    "BF16": Codec(_encode_bf16, _decode_bf16),
}
