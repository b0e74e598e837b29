"""gfloat, which follows the OCP's specification in exact arithmetic, as oracle of MX and NVFP4."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ufuse.formats import mx, nvfp4

gfloat = pytest.importorskip("gfloat")
formats = pytest.importorskip("gfloat.formats")

Array = np.ndarray[Any, Any]

BLOCKS = {
    "mxfp8_e4m3": "mxfp8_e4m3",
    "mxfp8_e5m2": "mxfp8_e5m2",
    "mxfp6_e2m3": "mxfp6_e2m3",
    "mxfp6_e3m2": "mxfp6_e3m2",
    "mxfp4": "mxfp4_e2m1",
    "mxint8": "mxint8",
}


def block_format(kind: str) -> Any:
    return getattr(formats, f"format_info_{BLOCKS[kind]}")


def rows() -> Array:
    rng = np.random.default_rng(21)
    size = 2.0 ** rng.integers(-140, 125, (48, 1))
    x = rng.normal(size=(48, 32)) * size
    x[-8:] = rng.integers(-512, 513, (8, 32)) / 64.0  # ties
    x[0] = 0.0
    x[1] = -0.0
    x[2] = 1e-45
    return x.astype(np.float32)


@pytest.mark.parametrize("kind", BLOCKS)
def test_mx_of_the_specification(kind: str) -> None:
    form = block_format(kind)
    x = rows()
    q = mx.quantize(x, kind)
    codes = unpacked(q)
    for row in range(len(x)):
        block = x[row].astype(np.float64)
        scale = gfloat.compute_scale_amax(form.etype.emax, block)
        want = list(gfloat.encode_block(form, scale, block / scale))
        if kind == "mxint8":  # gfloat uses the code of -2, which the specification lets be unused
            want = [0x81 if code == 0x80 and i else code for i, code in enumerate(want)]
        assert [q.scales[row, 0], *codes[row]] == want
        np.testing.assert_array_equal(
            q.dequantize()[row], np.float32(list(gfloat.decode_block(form, want)))
        )


def unpacked(q: mx.MXArray) -> Array:
    if q.kind != "mxfp4":
        return q.codes
    return np.stack([q.codes & 15, q.codes >> 4], axis=-1).reshape(q.shape)


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_element(kind: str) -> None:
    form = block_format(kind).etype
    count = 1 << form.k
    want = np.float32([gfloat.decode_float(form, code).fval for code in range(count)])
    codes = np.arange(count, dtype=np.uint8)
    if kind == "mxfp4":
        codes = codes[::2] | codes[1::2] << 4
    scales = np.full(-(-count // 32), 127, np.uint8)
    record = mx.MXArray(codes, scales, kind, (count,))
    np.testing.assert_array_equal(record.dequantize(), want)


@pytest.mark.parametrize("kind", ["mxfp6_e2m3", "mxfp6_e3m2"])
def test_packed_sixes_are_a_stream_of_bits(kind: str) -> None:
    x = np.random.default_rng(22).normal(size=(3, 45)).astype(np.float32)
    apart, packed = (mx.quantize(x, kind, packed=p) for p in (False, True))
    for row in range(3):
        bits = "".join(f"{code:06b}"[::-1] for code in apart.codes[row])
        bits += "0" * (-len(bits) % 8)
        want = [int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8)]
        np.testing.assert_array_equal(packed.codes[row], want)


def test_nvfp4_with_a_scale_of_one() -> None:
    """Elements of blocks whose scale is exact: gfloat rounds them as we do."""
    element = formats.format_info_ocp_e2m1
    x = (np.random.default_rng(23).integers(-96, 97, (20, 16)) / 16.0).astype(np.float32)
    x[:, 0] = 6  # a scale of 1
    q = nvfp4.quantize(x, tensor_scale=1.0)
    np.testing.assert_array_equal(q.scales, 0x38)
    codes = np.stack([q.codes & 15, q.codes >> 4], axis=-1).reshape(x.shape)
    even = gfloat.RoundMode.TiesToEven
    for number, code in zip(x.reshape(-1), codes.reshape(-1), strict=True):
        rounded = gfloat.round_float(element, float(number), even, True)
        assert gfloat.encode_float(element, rounded) == code
