"""uf.formats.gguf: native against the NumPy twin, layouts, types, errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from blocks_of_values import hostile, same_floats
from conftest import NATIVE
from ufuse.catalogue.formats import BY_NAME
from ufuse.formats import gguf, reference
from ufuse.formats.blocks import layout_of

WRITTEN = gguf.kinds(encodes=True)
READ = gguf.kinds()
SIMPLE = ["Q4_0", "Q5_1", "Q8_0", "MXFP4", "NVFP4", "TQ2_0", "BF16"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* overflow in :RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.* NaN or infinite in float32:RuntimeWarning"),
]


def sample(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def codes(rows: int, kind: str, blocks: int = 1, seed: int = 0) -> np.ndarray:
    size = gguf.type_size(kind) * blocks
    return np.random.default_rng(seed).integers(0, 256, (rows, size), np.uint8)


def encoded(x: np.ndarray, kind: str) -> np.ndarray:
    """Return the bytes of the twin."""
    data = np.zeros(gguf.quantized_shape(x.shape, kind), np.uint8)
    reference.encode(layout_of(kind), x, data)
    return data


def decoded(data: np.ndarray, kind: str) -> np.ndarray:
    values = np.zeros(gguf.shape(data.shape, kind), np.float32)
    reference.decode(layout_of(kind), data, values)
    return values


# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WRITTEN)
def test_bytes_of_the_twin(kind: str, tier: str) -> None:
    x = hostile(360, 256, seed=11)
    np.testing.assert_array_equal(gguf.quantize(x, kind), encoded(x, kind))


@pytest.mark.parametrize("kind", READ)
def test_numbers_of_the_twin(kind: str, tier: str) -> None:
    data = codes(257, kind)
    assert same_floats(gguf.dequantize(data, kind), decoded(data, kind)).all()


@pytest.mark.parametrize("kind", SIMPLE)
@pytest.mark.parametrize("blocks", [0, 1, 2, 3, 15, 16, 17, 33, 100])
def test_every_number_of_blocks(kind: str, blocks: int, tier: str) -> None:
    """Around a group of blocks, with nothing written beside."""
    x = sample((blocks * gguf.block_size(kind),), blocks)
    size = blocks * gguf.type_size(kind)
    memory = np.full(size + 32, 77, np.uint8)
    gguf.quantize(x, kind, out=memory[16 : 16 + size])
    np.testing.assert_array_equal(memory[16 : 16 + size], encoded(x, kind))
    assert (memory[:16] == 77).all() and (memory[16 + size :] == 77).all()
    values = np.full(x.size + 16, 7, np.float32)
    gguf.dequantize(memory[16 : 16 + size], kind, out=values[8 : 8 + x.size])
    np.testing.assert_array_equal(values[8 : 8 + x.size], decoded(encoded(x, kind), kind))
    assert (values[:8] == 7).all() and (values[8 + x.size :] == 7).all()


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0", "MXFP4", "Q4_K", "IQ3_S", "BF16"])
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_results_past_the_caches(kind: str, offset: int, tier: str, threads: int) -> None:
    """Large results are streamed, wherever they begin: the same bytes, nothing beside."""
    n = 1 << 23
    piece = sample((1 << 15,), 1)
    x = np.tile(piece, n >> 15)
    small = encoded(piece, kind) if kind in WRITTEN else codes(1, kind, piece.size // 256)[0]
    want = np.tile(small, n >> 15)
    if kind in WRITTEN:
        memory = np.full(want.size + 128, 77, np.uint8)
        out = memory[64 + offset : 64 + offset + want.size]
        assert gguf.quantize(x, kind, out=out) is out
        np.testing.assert_array_equal(out, want)
        assert (memory[: 64 + offset] == 77).all() and (
            memory[64 + offset + want.size :] == 77
        ).all()
    values = np.full(n + 64, 7, np.float32)
    gguf.dequantize(want, kind, out=values[offset : offset + n])
    numbers = decoded(small, kind)
    assert same_floats(values[offset : offset + n].reshape(-1, piece.size), numbers).all()
    assert (values[:offset] == 7).all() and (values[offset + n :] == 7).all()


# --- layouts and types ------------------------------------------------------------------------


def views(x: np.ndarray) -> dict[str, np.ndarray]:
    """Return arrays equal to `x` (a, b, c) that lie differently."""
    wide = np.zeros((*x.shape[:2], 2 * x.shape[2]), np.float32)
    wide[..., ::2] = x
    return {
        "columns": np.asfortranarray(x),
        "middle": np.ascontiguousarray(x.transpose(1, 2, 0)).transpose(2, 0, 1),
        "every other": wide[..., ::2],
        "backwards": np.ascontiguousarray(x[..., ::-1])[..., ::-1],
        "rows backwards": np.ascontiguousarray(x[::-1])[::-1],
        "swapped": x.astype(">f4"),
        "swapped columns": np.asfortranarray(x.astype(">f4")),
        "misaligned": np.frombuffer(b"x" + x.tobytes(), np.uint8)[1:]
        .view(np.float32)
        .reshape(x.shape),
        "rows apart": np.concatenate([x, x], axis=2)[..., : x.shape[2]],
        "double": x.astype(np.float64),
        "swapped double columns": np.asfortranarray(x.astype(">f8")),
    }


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0", "MXFP4", "TQ1_0"])
@pytest.mark.parametrize("shape", [(3, 5, 256), (17, 3, 512), (2, 40, 768), (1, 1, 256)])
def test_strides(kind: str, shape: tuple[int, ...], tier: str) -> None:
    x = sample(shape)
    want = encoded(x, kind)
    for name, view in views(x).items():
        np.testing.assert_array_equal(gguf.quantize(view, kind), want, err_msg=name)
    once = np.broadcast_to(x[:, :1], shape)
    np.testing.assert_array_equal(
        gguf.quantize(once, kind), np.broadcast_to(want[:, :1], want.shape)
    )


@pytest.mark.parametrize("kind", ["Q8_0", "Q6_K", "BF16"])
def test_strides_of_results(kind: str, tier: str) -> None:
    data = np.random.default_rng(2).integers(0, 256, (3, 5, gguf.type_size(kind) * 256), np.uint8)
    want = decoded(data, kind)
    for view in views(np.zeros_like(want)).values():
        if view.dtype.itemsize == 4:
            out = view.copy(order="K") if not view.flags.writeable else view
            assert gguf.dequantize(data, kind, out=out) is out
            assert same_floats(out.astype(np.float32), want).all()
    assert same_floats(gguf.dequantize(np.asfortranarray(data), kind), want).all()
    apart = np.zeros((3, 5, 2 * data.shape[2]), np.uint8)[..., ::2]
    x = sample(want.shape)
    if kind in WRITTEN:
        assert gguf.quantize(x, kind, out=apart) is apart
        np.testing.assert_array_equal(apart, encoded(x, kind))


@pytest.mark.parametrize("kind", ["Q5_0", "Q8_0", "MXFP4"])
@pytest.mark.parametrize("shape", [(1, 1, 32), (9, 5, 64), (3, 130, 32), (7, 1, 480), (2, 40, 512)])
def test_short_rows(kind: str, shape: tuple[int, ...], tier: str) -> None:
    """Rows that lie apart are taken together where their codes follow one another."""
    x = sample(shape)
    want = encoded(x, kind)
    for name, view in views(x).items():
        np.testing.assert_array_equal(gguf.quantize(view, kind), want, err_msg=name)
    with_gaps = np.zeros((*shape[:2], want.shape[2] + 3), np.uint8)[..., 1:-2]
    assert gguf.quantize(views(x)["rows apart"], kind, out=with_gaps) is with_gaps
    np.testing.assert_array_equal(with_gaps, want)
    numbers = decoded(want, kind)
    for dtype in (np.float32, np.dtype(">f4"), np.float16):
        memory = np.full((*shape[:2], shape[2] + 2), 7, dtype)
        out = memory[..., 1:-1]
        gguf.dequantize(want, kind, dtype=dtype, out=out)
        np.testing.assert_array_equal(out, numbers.astype(dtype))
        assert (memory[..., [0, -1]] == 7).all()


def test_many_short_rows(threads: int) -> None:
    piece = sample((500, 64))[:, 16:48]
    x = np.tile(sample((500, 64)), (600, 1))[:, 16:48]
    data = gguf.quantize(x, "Q8_0")
    np.testing.assert_array_equal(data, np.tile(encoded(piece, "Q8_0"), (600, 1)))
    out = np.zeros((x.shape[0], 33), np.float32)[:, 1:]
    gguf.dequantize(data, "Q8_0", out=out)
    np.testing.assert_array_equal(out, np.tile(decoded(data[:500], "Q8_0"), (600, 1)))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_types(name: str, order: Any, tier: str) -> None:
    if name == "bfloat16":
        dtype = np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    else:
        dtype = np.dtype(name)
    x = (sample((40, 512)) * 3).astype(dtype)
    x = np.asarray(x, order=order)
    want = encoded(x.astype(np.float32), "Q4_0")
    np.testing.assert_array_equal(gguf.quantize(x, "Q4_0"), want)
    if name == "float64":
        return
    numbers = decoded(want, "Q4_0").astype(dtype)
    np.testing.assert_array_equal(gguf.dequantize(want, "Q4_0", dtype=dtype), numbers)
    out = np.zeros(x.shape, dtype, order=order)
    gguf.dequantize(want, "Q4_0", dtype=dtype, out=out)
    np.testing.assert_array_equal(out, numbers)


def test_doubles_round_once_as_numpy_does(tier: str) -> None:
    x = np.random.default_rng(5).standard_normal((9, 96)) * np.logspace(-50, 40, 9)[:, None]
    with np.errstate(over="ignore"):
        want = encoded(x.astype(np.float32), "Q4_0")
    np.testing.assert_array_equal(gguf.quantize(x, "Q4_0"), want)


def test_out_that_overlaps() -> None:
    x = sample((64, 32))
    want = encoded(x, "Q8_0")
    memory = np.concatenate([x.ravel(), np.zeros(64, np.float32)])
    out = memory.view(np.uint8)[7 : 7 + want.size].reshape(want.shape)
    gguf.quantize(memory[: x.size].reshape(x.shape), "Q8_0", out=out)
    np.testing.assert_array_equal(out, want)
    numbers = decoded(want, "Q8_0")
    memory = np.zeros(x.size, np.float32)
    data = memory.view(np.uint8)[: want.size].reshape(want.shape)
    data[...] = want
    gguf.dequantize(data, "Q8_0", out=memory.reshape(x.shape))
    np.testing.assert_array_equal(memory.reshape(x.shape), numbers)


@pytest.mark.parametrize("shape", [(0, 32), (3, 0), (0,), (2, 0, 64)])
def test_nothing(shape: tuple[int, ...]) -> None:
    data = gguf.quantize(np.zeros(shape, np.float32), "Q4_0")
    assert data.shape == gguf.quantized_shape(shape, "Q4_0")
    assert gguf.dequantize(data, "Q4_0").shape == shape


def test_lists_and_other_libraries() -> None:
    data = gguf.quantize([1.0] * 32, "q8_0")
    np.testing.assert_array_equal(gguf.dequantize(bytes(data), "Q8_0"), decoded(data, "Q8_0"))


# --- what float16 scales cannot carry ---------------------------------------------------------


def test_large_values_warn_and_small_ones_vanish() -> None:
    x = np.zeros((4, 32), np.float32)
    x[2] = 1e7
    with pytest.warns(RuntimeWarning, match="the float16 scales of 1 blocks overflow in Q4_0"):
        data = gguf.quantize(x, "Q4_0")
    np.testing.assert_array_equal(data, encoded(x, "Q4_0"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny = gguf.quantize(np.full(32, 1e-6, np.float32), "Q8_0")
    assert not gguf.dequantize(tiny, "Q8_0").any()


@pytest.mark.parametrize(
    ("kind", "largest"),
    [
        ("Q4_0", 524_159.9),
        ("Q4_1", 65_519),
        ("Q5_0", 1_048_319),
        ("Q8_0", 8_321_039),
        ("TQ2_0", 65_519),
        ("F16", 65_519),
        ("BF16", 3.38e38),
    ],
)
def test_warnings_begin_where_scales_overflow(kind: str, largest: float) -> None:
    x = np.zeros((3, 512), np.float32)
    x[1, 300] = -largest if kind == "Q4_1" else largest
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gguf.quantize(x, kind)
    x[1, 300] *= np.float32(1.005)
    with pytest.warns(RuntimeWarning, match=f" 1 (blocks|numbers) overflow in {kind}"):
        gguf.quantize(np.asfortranarray(x), kind)


def lost(x: np.ndarray, kind: str) -> list[str]:
    """Return what `quantize` warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gguf.quantize(x, kind)
    assert all(w.filename == __file__ for w in caught)  # the caller's line
    return [str(w.message).split(": ", 1)[1] for w in caught]


@pytest.mark.parametrize("kind", [kind for kind in WRITTEN if kind != "F32"])
@pytest.mark.parametrize("sign", [1, -1])
def test_overflow_is_warned_of_where_finite_numbers_are_read_back_as_others(
    kind: str, sign: int
) -> None:
    x = sample((6, 512), 3)
    for exponent in (0, 2, 3.9, 4.3, 4.6, 4.8, 4.9, 5.5, 6, 6.3, 6.6, 7, 7.5, 8, 8.5, 9, 20, 38):
        large = x.copy()
        large[4, 300] = sign * 10.0**exponent
        back = gguf.dequantize(gguf.quantize(large, kind), kind)
        wrong = np.unique(np.argwhere(~np.isfinite(back))[:, 1] // gguf.block_size(kind)).size
        found = lost(large, kind)
        what = "1 numbers" if kind.endswith("16") else "the float16 scales of 1 blocks"
        assert [text.startswith(f"{what} overflow in {kind}") for text in found] == (
            [True] if wrong else []
        ), exponent


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_counted(kind: str, value: float) -> None:
    x = sample((5, 768), 4)
    keeps = kind in ("F32", "F16", "BF16")
    for places in ([(0, 0)], [(4, 767)], [(1, 300), (1, 301), (3, 5)]):
        bad = x.copy()
        for place in places:
            bad[place] = value
        for layout in (bad, np.asfortranarray(bad), bad.astype(np.float16), bad.astype(np.float64)):
            found = lost(layout, kind)
            assert len(found) == (0 if keeps else 1)
            if not keeps:
                what = (
                    f"{len(places)} numbers are NaN or infinite in float32, which {kind} does not"
                )
                assert found[0].startswith(what)


def test_float64_beyond_float32_is_infinite() -> None:
    x = np.ones((2, 256))
    x[1, 7] = -1e39
    for kind in ("Q4_0", "MXFP4", "NVFP4", "Q4_K"):
        (found,) = lost(x, kind)
        assert found.startswith("1 numbers are NaN or infinite in float32")


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_K", "MXFP4", "NVFP4"])
def test_overflow_and_numbers_that_are_none_are_two_warnings(kind: str) -> None:
    x = sample((4, 256), 5)
    x[1, 3], x[2, 4] = np.nan, 1e30
    found = lost(x, kind)
    assert len(found) == (1 if kind.endswith("FP4") else 2)
    assert "1 numbers are NaN" in found[-1]


@pytest.mark.skipif(not NATIVE, reason="the reference executor looks at everything")
@pytest.mark.parametrize("kind", [kind for kind in WRITTEN if kind != "F32"])
def test_what_is_not_finite_is_found_wherever_it_is(kind: str) -> None:
    x = sample((40, 2048), 6)
    for threads in (1, 3):
        with uf.threads(threads):
            for place in [*range(0, x.size, 7919), x.size - 1]:
                bad = x.copy()
                bad.reshape(-1)[place] = np.nan
                assert len(lost(bad, kind)) == (0 if kind in ("F16", "BF16") else 1)
            assert lost(x, kind) == []


def test_blocks_with_nan() -> None:
    x = np.ones((2, 64), np.float32)
    x[0, 3] = np.nan
    for kind in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"):
        back = gguf.dequantize(gguf.quantize(x, kind), kind)
        assert np.isnan(back[0, :32]).all() and np.isfinite(back[0, 32:]).all(), kind
        assert np.isfinite(back[1]).all()
    assert not gguf.dequantize(gguf.quantize(x, "MXFP4"), "MXFP4")[0, :32].any()
    back = gguf.dequantize(gguf.quantize(x, "NVFP4"), "NVFP4")
    assert back[0, 3] == 0 and (back[0, 4:] == 1.03125).all()  # six times the nearest scale


# --- errors -----------------------------------------------------------------------------------


def test_unknown_kinds_are_named() -> None:
    with pytest.raises(ValueError, match=r"gguf\.quantize: argument 'kind'.*Q4_0.*got 'Q9_9'"):
        gguf.quantize(np.zeros(32, np.float32), "Q9_9")
    with pytest.raises(TypeError, match="argument 'kind'"):
        gguf.dequantize(np.zeros(18, np.uint8), 3)  # type: ignore[arg-type]
    assert "IQ1_S" not in WRITTEN
    with pytest.raises(ValueError, match="IQ1_S is read only; expected one of Q4_0"):
        gguf.quantize(np.zeros(256, np.float32), "iq1_s")


def test_rows_that_are_no_whole_blocks() -> None:
    with pytest.raises(ValueError, match=r"TQ1_0, got shape \(2, 384\).*384.*blocks of Q4_0"):
        gguf.quantize(np.zeros((2, 384), np.float32), "TQ1_0")
    with pytest.raises(ValueError, match="at least one axis"):
        gguf.quantize(np.float32(1), "Q4_0")
    with pytest.raises(ValueError, match="whole blocks of 18 bytes for Q4_0"):
        gguf.dequantize(np.zeros(35, np.uint8), "Q4_0")
    with pytest.raises(ValueError, match="whole blocks of 18 bytes"):
        gguf.shape((3, 17), "Q4_0")


def test_types_that_do_not_fit() -> None:
    with pytest.raises(TypeError, match=r"argument 'x'.*int64.*astype"):
        gguf.quantize(np.zeros(32, np.int64), "Q4_0")
    with pytest.raises(TypeError, match=r"argument 'data'.*float32"):
        gguf.dequantize(np.zeros(18, np.float32), "Q4_0")
    with pytest.raises(TypeError, match="argument 'dtype'"):
        gguf.dequantize(np.zeros(18, np.uint8), "Q4_0", dtype=np.int8)
    with pytest.raises(TypeError, match="argument 'out'"):
        gguf.quantize(np.zeros(32, np.float32), "Q4_0", out=np.zeros(18, np.int8))
    with pytest.raises(ValueError, match=r"argument 'out': expected shape \(18,\)"):
        gguf.quantize(np.zeros(32, np.float32), "Q4_0", out=np.zeros(19, np.uint8))
    frozen = np.zeros(18, np.uint8)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        gguf.quantize(np.zeros(32, np.float32), "Q4_0", out=frozen)


def test_weights_that_do_not_fit() -> None:
    x = np.zeros((2, 64), np.float32)
    with pytest.raises(ValueError, match=r"'importance': Q8_0 is written without weights; .*Q4_K"):
        gguf.quantize(x, "Q8_0", importance=np.ones(64))


@pytest.mark.skipif(not NATIVE, reason="the core's own checks")
def test_the_core_refuses_what_would_write_beside() -> None:
    from ufuse import _core

    x, data = np.zeros((2, 64), np.float32), np.zeros((2, 36), np.uint8)
    row = BY_NAME["Q4_0"]
    good: list[Any] = ["Q4_0", x, "plain", data, None, None, row.block, row.nbytes, 1.0, 0]
    _core.encode_blocks(*good)
    for at, wrong in [
        (0, "Q9"),
        (1, x[:1]),
        (1, x.astype(np.int32)),
        (2, "half"),
        (3, data[:, :35].copy()),
        (3, data.astype(np.int8)),
        (3, np.zeros((2, 72), np.uint8)[:, ::2]),
        (5, np.ones(63, np.float32)),
        (6, 16),
        (7, 17),
    ]:
        bad = good.copy()
        bad[at] = wrong
        with pytest.raises(ValueError, match="ufuse blocks"):
            _core.encode_blocks(*bad)


def test_lazily_imported() -> None:
    import subprocess
    import sys

    code = (
        "import sys, ufuse; assert 'ufuse.formats' not in sys.modules; ufuse.formats.gguf.kinds()"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
    assert "formats" in dir(uf)
