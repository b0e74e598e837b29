"""Attention against torch's scaled_dot_product_attention."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import ufuse as uf

torch = pytest.importorskip("torch")

DTYPES = {"float32": 3e-6, "float64": 1e-14, "bfloat16": 2e-2, "float16": 2e-3}


def normal(shape, seed):
    return np.random.default_rng(seed).normal(size=shape)


def pair(array, name):
    """The same numbers as an ndarray and as a tensor."""
    tensor = torch.from_numpy(array).to(getattr(torch, name))
    if name == "bfloat16":
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16), tensor
    return tensor.numpy(), tensor


def both(q, k, v, name, mask=None, **options):
    (a, ta), (b, tb), (c, tc) = (pair(x, name) for x in (q, k, v))
    ours = uf.attention(a, b, c, mask, options.get("scale"), options.get("causal", False))
    bias = None if mask is None else torch.from_numpy(mask)
    if bias is not None and bias.dtype != torch.bool:
        bias = bias.to(ta.dtype)
    theirs = torch.nn.functional.scaled_dot_product_attention(
        ta, tb, tc, bias, scale=options.get("scale"), is_causal=options.get("causal", False)
    )
    return ours.astype(np.float64), theirs.double().numpy()


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("length, span", [(1, 1), (1, 300), (9, 300), (300, 300), (300, 9)])
@pytest.mark.parametrize("causal", [False, True])
def test_lengths(name, length, span, causal):
    shapes = (2, 3, length, 64), (2, 3, span, 64), (2, 3, span, 64)
    ours, theirs = both(*map(normal, shapes, range(3)), name, causal=causal)
    np.testing.assert_allclose(ours, theirs, rtol=DTYPES[name], atol=DTYPES[name])


@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.parametrize("scale", [None, 0.3, -1.0])
def test_masks(name, scale):
    q, k, v = normal((2, 3, 40, 16), 1), normal((2, 3, 260, 16), 2), normal((2, 3, 260, 16), 3)
    seen = normal((2, 1, 40, 260), 4) > 0
    for mask in (seen, normal((40, 260), 5).astype(name), np.where(seen, 0.0, -np.inf)):
        ours, theirs = both(q, k, v, name, mask, scale=scale)
        np.testing.assert_allclose(ours, theirs, rtol=DTYPES[name], atol=DTYPES[name])


@pytest.mark.parametrize("length", [2, 40])
def test_a_query_that_sees_nothing(length):
    q, k, v = normal((1, 1, length, 16), 1), normal((1, 1, 20, 16), 2), normal((1, 1, 20, 16), 3)
    mask = np.ones((length, 20), bool)
    mask[::2] = False
    for some in (mask, np.where(mask, 0.0, -np.inf)):
        ours, theirs = both(q, k, v, "float32", some)
        np.testing.assert_array_equal(theirs[..., ::2, :], 0)
        np.testing.assert_array_equal(ours[..., ::2, :], 0)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
