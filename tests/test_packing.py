"""Codes of less than a byte, packed and unpacked."""

from __future__ import annotations

import numpy as np
import pytest

import ufuse as uf

ml_dtypes = pytest.importorskip("ml_dtypes")

NAMES = ["int4", "uint4", "int2", "uint2", "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"]
BITS = {name: int("".join(c for c in name.split("_")[0] if c.isdigit())) for name in NAMES}


def by_bits(codes: np.ndarray, bits: int, order: str) -> np.ndarray:
    """Pack by counting bits, one row after another."""
    if codes.size == 0:
        return np.zeros((*codes.shape[:-1], 0), np.uint8)
    rows = codes.view(np.uint8).reshape(-1, codes.shape[-1]) & ((1 << bits) - 1)
    nbytes = -(-codes.shape[-1] * bits // 8)
    packed = []
    for row in rows:
        text = [format(code, f"0{bits}b") for code in row]
        if order == "high_first":
            stream = "".join(text).ljust(nbytes * 8 + 24, "0")
            packed.append([int(stream[8 * i : 8 * i + 8], 2) for i in range(nbytes)])
        else:
            stream = "".join(t[::-1] for t in text).ljust(nbytes * 8 + 24, "0")
            packed.append([int(stream[8 * i : 8 * i + 8][::-1], 2) for i in range(nbytes)])
    return np.array(packed, np.uint8).reshape(*codes.shape[:-1], nbytes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", ["low_first", "high_first"])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 8, 63, 64, 1001])
def test_pack_and_unpack(name: str, order: str, size: int) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name))
    bits = BITS[name]
    raw = np.random.default_rng(size).integers(0, 1 << bits, (3, size)).astype(np.uint8)
    for codes in (raw.view(dtype), np.asfortranarray(raw).view(dtype), raw[::-1].view(dtype)):
        want = by_bits(np.ascontiguousarray(codes), bits, order)
        got = uf.pack(codes, order=order)
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(uf.pack(codes.view(np.uint8), name, order=order), want)
        for packed in (want, np.asfortranarray(want)):
            back = uf.unpack(packed, name, size=size, order=order)
            assert back.dtype == dtype
            np.testing.assert_array_equal(back.view(np.uint8), codes.view(np.uint8))
    out = np.empty((3, size), dtype, order="F")
    assert uf.unpack(by_bits(raw, bits, order), name, size=size, order=order, out=out) is out
    np.testing.assert_array_equal(out.view(np.uint8), raw)


def test_bits_above_a_code_are_ignored() -> None:
    assert uf.pack(np.uint8([0xF1, 0xA2]), "uint4").tolist() == [0x21]
    assert uf.pack(np.int8([-1, 0]), "int4").tolist() == [0x0F]
    assert uf.unpack(np.uint8([0xF1]), "int4").astype(np.int8).tolist() == [1, -1]


def test_bad_input() -> None:
    for call, error, message in (
        (lambda: uf.pack(np.ones(3, np.int8)), TypeError, "'dtype': expected codes of less than"),
        (lambda: uf.pack(np.ones(3, np.int16), "int4"), TypeError, "'x': expected a byte per code"),
        (lambda: uf.pack(np.ones((), np.int8), "int4"), ValueError, "at least one axis"),
        (lambda: uf.pack(np.ones(3, np.int8), "int4", order="le"), ValueError, "'order': expected"),
        (lambda: uf.unpack(np.ones(3, np.int8), "int4"), TypeError, "'x': expected uint8"),
        (lambda: uf.unpack(np.ones(3, np.uint8), "int8"), TypeError, "less than a byte"),
        (lambda: uf.unpack(np.ones(3, np.uint8), "int4", size=4), ValueError, "hold 6 codes"),
        (lambda: uf.unpack(np.ones(3, np.uint8), "int4", size=7), ValueError, "need 4 bytes"),
    ):
        with pytest.raises(error, match=message):
            call()
