"""The all-MiniLM-L6-v2 sentence encoder in plain NumPy, float32 throughout.

Compare with `encoder_ufuse`: ``diff encoder_numpy.py encoder_ufuse.py``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .weights import HEAD_WIDTH, N_HEADS, NORM_EPSILON, Array, Dense, Layer, Norm, Weights


def erf(x: Array) -> Array:
    """Compute the error function, in float32 to within 6e-7.

    Formula 7.1.26 of M. Abramowitz and I. A. Stegun, "Handbook of Mathematical Functions", 1964
    (in exact arithmetic to within 1.5e-7).
    """
    t = 1 / (1 + 0.3275911 * np.abs(x))
    series = 0.254829592 + t * (
        -0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))
    )
    return np.copysign(1 - t * series * np.exp(-x * x), x)


def gelu(x: Array) -> Array:
    """Apply the Gaussian error linear unit, in the form that the model was trained with."""
    return 0.5 * x * (1 + erf(x * 0.5**0.5))


def linear(x: Array, layer: Dense) -> Array:
    """Compute ``x @ weight.T + bias`` for `x` of shape (..., in)."""
    return x @ layer.weight.T + layer.bias


def add_and_norm(x: Array, residual: Array, gain: Array, shift: Array) -> Array:
    """Add `residual` to `x`, then apply layer normalisation over the trailing axis."""
    x = x + residual
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + NORM_EPSILON) * gain + shift


def attention_weights(scores: Array, key_bias: Array) -> Array:
    """Scale scores, add a bias per key (minus infinity for padding), and apply softmax."""
    scores = scores * HEAD_WIDTH**-0.5 + key_bias
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def unit_mean(total: Array, count: Array) -> Array:
    """Divide sums by counts, then scale each row to Euclidean length 1."""
    mean = total / count
    return mean / np.sqrt((mean * mean).sum(axis=-1, keepdims=True))


def embed(token_ids: NDArray[np.int64], words: Array, positions: Array, norm: Norm) -> Array:
    """Look up token ids (batch, length): hidden states of shape (batch, length, width)."""
    return add_and_norm(words[token_ids], positions[: token_ids.shape[1]], *norm)


def attention(hidden: Array, key_bias: Array, layer: Layer) -> Array:
    """Apply multi-head self-attention to hidden states of shape (batch, length, width)."""
    batch, length, width = hidden.shape
    qkv = linear(hidden, layer.qkv).reshape(batch, length, 3, N_HEADS, HEAD_WIDTH)
    query, key, value = qkv.transpose(2, 0, 3, 1, 4)
    weights = attention_weights(query @ key.mT, key_bias)
    context = (weights @ value).transpose(0, 2, 1, 3)
    return linear(context.reshape(batch, length, width), layer.attention_output)


def feed_forward(hidden: Array, layer: Layer) -> Array:
    """Apply the two-layer perceptron of a transformer layer to each token."""
    return linear(gelu(linear(hidden, layer.intermediate)), layer.output)


def encode(token_ids: NDArray[np.int64], mask: NDArray[np.bool_], weights: Weights) -> Array:
    """Embed a batch of tokenised sentences.

    Parameters
    ----------
    token_ids : ndarray of int64, shape (batch, length)
        Ids of the tokens, padded to the longest sentence of the batch.
    mask : ndarray of bool, shape (batch, length)
        True for tokens, False for padding.
    weights : Weights
        The model, in float32.

    Returns
    -------
    ndarray of float32, shape (batch, width)
        One vector of length 1 per sentence: the mean over its tokens, normalised.

    Notes
    -----
    Post-norm transformer of J. Devlin et al., "BERT", 2019, arXiv:1810.04805; mean pooling of
    N. Reimers and I. Gurevych, "Sentence-BERT", 2019, arXiv:1908.10084.
    """
    key_bias = np.where(mask, np.float32(0), np.float32(-np.inf))[:, None, None, :]
    hidden = embed(token_ids, weights.words, weights.positions, weights.embedding_norm)
    for layer in weights.layers:
        hidden = add_and_norm(attention(hidden, key_bias, layer), hidden, *layer.attention_norm)
        hidden = add_and_norm(feed_forward(hidden, layer), hidden, *layer.output_norm)
    token_mask = mask.astype(np.float32)
    total = (token_mask[:, None, :] @ hidden)[:, 0]
    return unit_mean(total, token_mask.sum(axis=-1, keepdims=True))
