"""One call of every family: what runs on the Python versions that do not run the whole suite."""

from __future__ import annotations

import numpy as np

import ufuse as uf


def test_every_family_answers() -> None:
    x = np.linspace(-3, 3, 1000, dtype=np.float32).reshape(10, 100)

    @uf.fuse
    def scaled(a, b):
        return 2 * a + np.where(b > 0, b, a)

    np.testing.assert_array_equal(scaled(x, x[0]), 2 * x + np.where(x[0] > 0, x[0], x))
    np.testing.assert_allclose(uf.sum(x, axis=0), x.sum(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(uf.argmax(x, axis=1), x.argmax(axis=1))
    codes = uf.quantize_linear(x, np.float32(0.1), dtype=np.int8)
    np.testing.assert_array_equal(codes, np.rint(x / np.float32(0.1)).astype(np.int8))
    product = np.einsum("ij,kj->ik", x, x)
    np.testing.assert_allclose(uf.einsum("ij,kj->ik", x, x), product, rtol=1e-5)
    weights = uf.quantize(x, "int8", axis=0)
    np.testing.assert_allclose(uf.linear(x, weights), product, atol=0.02 * np.abs(product).max())
