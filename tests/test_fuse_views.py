"""Slices, transposes and reshapes inside of fused functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from test_fuse import check

pytestmark = pytest.mark.usefixtures("silent")

X = np.arange(120.0).reshape(4, 5, 6)
Y = np.arange(30.0).reshape(5, 6)


def _unpacked(a: Any, b: Any, c: Any, d: Any) -> Any:
    return a + b - c * d


VIEWS: dict[str, Callable[[Any], Any]] = {
    "slice": lambda x: x[1:, ::2, -3:],  # cupy#9002
    "backwards": lambda x: x[::-1, 3:0:-1],
    "integer": lambda x: x[2, :, -1],
    "ellipsis": lambda x: x[..., 1],
    "new axis": lambda x: x[:, None, ..., None],
    "nothing": lambda x: x[2:2],
    "scalar": lambda x: x[1, 2, 3],
    "transpose": lambda x: x.T,
    "axes": lambda x: x.transpose(1, 2, 0),
    "tuple of axes": lambda x: x.transpose((-1, 0, 1)),
    "mT": lambda x: x.mT,
    "swapaxes": lambda x: x.swapaxes(0, -1),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "reshape": lambda x: x.reshape(20, -1),
    "reshape to one": lambda x: x.reshape(-1),
    "split axes": lambda x: x.reshape(2, 2, 5, 3, 2),
    "ravel": lambda x: x.ravel(),
    "flatten": lambda x: x.flatten(),
    "squeeze": lambda x: x[:1].squeeze(0),
    "squeeze all": lambda x: x[:1, :, :1].squeeze(),
    "expand_dims": lambda x: np.expand_dims(x, (0, -1)),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, *x.shape)),
    "flip": lambda x: np.flip(x, 1),
    "fliplr": np.fliplr,
    "atleast": lambda x: np.atleast_1d(x[0, 0, 0]),
    "transposed reshape": lambda x: x.T.reshape(6, -1),
    "sliced reshape": lambda x: x[:, 1:].reshape(4, -1)[:, ::3],
    "rows": lambda x: _unpacked(*x),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_of_arguments_and_of_what_is_computed(name: str) -> None:
    view = VIEWS[name]
    check(view, X)
    check(lambda x: view(x) * 2, X)
    check(lambda x: view(x * 2), X)
    check(lambda x: view(x + 1) - view(x), X)
    check(lambda x: np.sqrt(view(x * x)).sum(), X, ulp=8)
    for strided in (np.asfortranarray(X), X[::-1, :, ::-1], np.repeat(X, 2, 1)[:, ::2]):
        check(lambda x: view(x + x[:, :1]), strided)


@pytest.mark.parametrize("name", VIEWS)
def test_views_of_broadcast_values(name: str) -> None:
    """A row or a column beside an array has no view that joins axes it is repeated along."""
    view = VIEWS[name]
    check(lambda x, y: view(x + y), X, Y)
    check(lambda x, y: view(x * y[:, :1]), X, Y)
    check(lambda x, y: view(x - y[0]), X, Y)
    check(lambda x: view(x + np.arange(4.0)[:, None, None]), X)


def test_views_of_reductions_and_products() -> None:
    check(lambda x: x.sum(0).T * 2, X)
    check(lambda x: x.sum(0)[1:] - x.sum(0)[:-1], X)
    check(lambda x: (x @ x.mT)[:, 0] + 1, X)
    check(lambda x, y: x[0] @ y.T, X, Y)
    check(lambda x, y: (x[0] @ y.T).T.reshape(-1), X, Y)
    check(lambda x: np.cumsum(x, axis=1)[:, ::-1], X)


def test_results_are_views_of_one_array_as_numpys_are() -> None:
    got = uf.fuse(lambda x: (x + 1).T)(X)
    assert got.flags.f_contiguous
    assert got.base is not None


@pytest.mark.parametrize("name", ["transpose", "reshape", "reshape to one", "slice", "axes"])
def test_out(name: str) -> None:
    view = VIEWS[name]
    want = view(X * 2)
    fused = uf.fuse(lambda x: view(x * 2))
    for order in "CF":
        out = np.full(want.shape, np.nan, order=order)
        assert fused(X, out=out) is out
        np.testing.assert_array_equal(out, want)
    strided = np.full((*want.shape, 2), np.nan)[..., 0]
    fused(X, out=strided)
    np.testing.assert_array_equal(strided, want)


def test_out_that_is_read_through_a_view() -> None:
    x = np.arange(12.0).reshape(3, 4)
    uf.fuse(lambda x: x[::-1] + x)(x, out=x)
    np.testing.assert_array_equal(
        x, np.arange(12.0).reshape(3, 4)[::-1] + np.arange(12.0).reshape(3, 4)
    )
    square = np.arange(9.0).reshape(3, 3)
    want = square.T - square
    uf.fuse(lambda x: x.T - x)(square, out=square)
    np.testing.assert_array_equal(square, want)


def test_shapes_of_one_kind_share_a_trace() -> None:
    fused = uf.fuse(lambda x: x[1:] - x[:-1] + x.T[0, 0])
    for shape in ((5, 3), (1, 1), (2, 7), (1, 4)):
        x = np.arange(1.0 * shape[0] * shape[1]).reshape(shape)
        np.testing.assert_array_equal(fused(x), x[1:] - x[:-1] + x.T[0, 0])
    assert fused.cache_info().misses == 1
    transposed = uf.fuse(lambda x, y: x.T + y)
    for m, n in ((1, 1), (3, 4), (1, 5), (3, 4)):
        x, y = np.arange(1.0 * m * n).reshape(m, n), np.ones((n, m))
        np.testing.assert_array_equal(transposed(x, y), x.T + y)
    again = uf.fuse(lambda x: x.reshape(2, 3) + 1)
    for shape in ((2, 3), (3, 2), (6, 1)):
        x = np.arange(6.0).reshape(shape)
        np.testing.assert_array_equal(again(x), x.reshape(2, 3) + 1)


def test_errors_are_numpys() -> None:
    cases: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
        (lambda x: x[4], IndexError, "index 4 is out of bounds for axis 0 with size 4"),
        (lambda x: x[0, 0, 0, 0], IndexError, "too many indices"),
        (lambda x: x[..., ...], IndexError, "single ellipsis"),
        (lambda x: x.reshape(7, -1), ValueError, "cannot reshape array of size 120"),
        (lambda x: x.transpose(0, 1), ValueError, "axes don't match"),
        (lambda x: x.squeeze(0), ValueError, "size not equal to one"),
        (lambda x: np.broadcast_to(x, (3, 6)), ValueError, "broadcast"),
    ]
    for function, kind, message in cases:
        with pytest.raises(kind, match=message):
            uf.fuse(function)(X)
    fused = uf.fuse(lambda x: x[3] + 1)
    fused(X)
    with pytest.raises(IndexError, match=r"index 3 is out of bounds.*x \(2, 5, 6\)"):
        fused(X[:2])


def test_an_image_to_normalised_channels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (17, 23, 3)).astype(np.uint8)
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])

    def normalised(image: Any) -> Any:
        x = image.astype(np.float32) / np.float32(255)
        return ((x - mean) / std).transpose(2, 0, 1)

    check(normalised, image)
    out = np.empty((3, 17, 23), np.float32)
    uf.fuse(normalised)(image, out=out)
    np.testing.assert_array_equal(out, normalised(image))


@pytest.mark.parametrize("channels", [2, 3, 4, 5, 15, 16])
@pytest.mark.parametrize("code", ["u1", "u2", ">u2", "f8"])
def test_pixels_to_channels_of_any_size(channels: int, code: str) -> None:
    """Rows that are interleaved in memory, taken apart a tile at a time."""

    def planes(pixels: Any, mask: Any, mean: Any) -> Any:
        x = (pixels.astype(np.float32) - mean) / np.float32(3)
        return np.where(mask[..., None], x, np.float32(-1)).transpose(2, 0, 1)

    rng = np.random.default_rng(channels)
    fused = uf.fuse(planes)
    mean = rng.random(channels).astype("f4")
    for height, width in ((1, 255), (1, 256), (2, 300), (17, 23), (16, 64), (40, 41)):
        pixels = rng.integers(0, 200, (height, width, channels)).astype(code)
        mask = rng.random((height, width)) < 0.9
        want = planes(pixels, mask, mean)
        wide = np.zeros((channels, height, width + 3), "f4")
        for out in (np.empty(want.shape, "f4"), wide[:, :, :width], np.empty_like(want)):
            np.testing.assert_array_equal(fused(pixels, mask, mean, out=out), want)
        assert not wide[:, :, width:].any()
        np.testing.assert_array_equal(
            fused(pixels[::-1], mask, mean), planes(pixels[::-1], mask, mean)
        )


def test_images_that_leave_past_the_caches() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 701, 703, 3)).astype(np.uint8)
    mean = np.float32([0.485, 0.456, 0.406])

    def normalised(images: Any) -> Any:
        return np.moveaxis(images.astype(np.float32) / np.float32(255) - mean, -1, 1)

    want = normalised(images)
    fused = uf.fuse(normalised)
    for first in (0, 1):  # where whole lines begin
        room = np.zeros(want.size + 2, "f4")
        out = room[first : first + want.size].reshape(want.shape)
        for threads in (1, 2, 3):
            out[...] = 0
            with uf.threads(threads):
                fused(images, out=out)
            np.testing.assert_array_equal(out, want)
        assert room[0] == out[0, 0, 0, 0] * (1 - first)
        assert room[-1] == 0


SELECTIONS: dict[str, Callable[[Any], Any]] = {
    "select": lambda x: np.select([x < 20, x < 70], [x, -x], 7),
    "piecewise": lambda x: np.piecewise(x, [x < 20, x > 70], [np.negative, lambda x: x * 2, 3.0]),
    "piecewise without the rest": lambda x: np.piecewise(x, [x < 20, x > 70], [-1, 1]),
    "nan_to_num": lambda x: np.nan_to_num(np.where(x < 5, np.nan, x), nan=-1.0),
    "infinities": lambda x: np.nan_to_num(np.where(x < 5, np.inf, -np.inf), posinf=3.0),
    "isclose": lambda x: np.isclose(x, x + 1e-7),
    "isclose of NaN": lambda x: np.isclose(np.where(x < 5, np.nan, x), np.nan, equal_nan=True),
    "round": lambda x: np.round(x / 7, 2),
    "fix": lambda x: np.fix(x / 7),
    "isneginf": lambda x: np.isneginf(np.where(x < 5, -np.inf, x)),
    "diff": lambda x: np.diff(x * x, 2, axis=1),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_functions_that_are_made_of_others(name: str) -> None:
    check(SELECTIONS[name], X)
    check(SELECTIONS[name], X.astype(np.float32))
