"""The all-MiniLM-L6-v2 sentence encoder with ufuse, in float32 or with int8 weights.

Compare with `encoder_numpy`: ``diff encoder_numpy.py encoder_ufuse.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ufuse as uf

from .weights import HEAD_WIDTH, N_HEADS, NORM_EPSILON, Array, Dense, Layer, Norm, Weights


@uf.fuse
def add_and_norm(x: Array, residual: Array, gain: Array, shift: Array) -> Array:
    """Add `residual` to `x`, then apply layer normalisation over the trailing axis."""
    x = x + residual
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + NORM_EPSILON) * gain + shift


@uf.fuse
def unit_mean(total: Array, count: Array) -> Array:
    """Divide sums by counts, then scale each row to Euclidean length 1."""
    mean = total / count
    return mean / np.sqrt((mean * mean).sum(axis=-1, keepdims=True))


def look_up(words: Array | uf.QuantizedArray, token_ids: NDArray[np.int64]) -> Array:
    """Take rows of the word table; of a quantized one, only those rows are dequantized."""
    if not isinstance(words, uf.QuantizedArray):
        return words[token_ids]
    rows = token_ids.ravel()
    vectors = uf.dequantize_linear(words.data[rows], words.scale[rows], axis=0)
    return vectors.reshape(*token_ids.shape, -1)


def embed(
    token_ids: NDArray[np.int64],
    words: Array | uf.QuantizedArray,
    positions: Array,
    norm: Norm,
) -> Array:
    """Look up token ids (batch, length): hidden states of shape (batch, length, width)."""
    return add_and_norm(look_up(words, token_ids), positions[: token_ids.shape[1]], *norm)


def attention(hidden: Array, key_mask: NDArray[np.bool_], layer: Layer) -> Array:
    """Apply multi-head self-attention to hidden states of shape (batch, length, width)."""
    batch, length, width = hidden.shape
    qkv = uf.linear(hidden, *layer.qkv).reshape(batch, length, 3, N_HEADS, HEAD_WIDTH)
    query, key, value = qkv.transpose(2, 0, 3, 1, 4)  # views, read where they lie
    context = np.empty((batch, length, N_HEADS, HEAD_WIDTH), np.float32)
    uf.attention(query, key, value, mask=key_mask, out=context.transpose(0, 2, 1, 3))
    return uf.linear(context.reshape(batch, length, width), *layer.attention_output)


def feed_forward(hidden: Array, layer: Layer) -> Array:
    """Apply the two-layer perceptron of a transformer layer to each token."""
    return uf.linear(uf.linear(hidden, *layer.intermediate, activation="gelu"), *layer.output)


def encode(token_ids: NDArray[np.int64], mask: NDArray[np.bool_], weights: Weights) -> Array:
    """Embed a batch of tokenised sentences.

    Parameters
    ----------
    token_ids : ndarray of int64, shape (batch, length)
        Ids of the tokens, padded to the longest sentence of the batch.
    mask : ndarray of bool, shape (batch, length)
        True for tokens, False for padding.
    weights : Weights
        The model, in float32 or from `quantize_weights`.

    Returns
    -------
    ndarray of float32, shape (batch, width)
        One vector of length 1 per sentence: the mean over its tokens, normalised.

    Notes
    -----
    Post-norm transformer of J. Devlin et al., "BERT", 2019, arXiv:1810.04805; mean pooling of
    N. Reimers and I. Gurevych, "Sentence-BERT", 2019, arXiv:1908.10084.
    """
    key_mask = mask[:, None, None, :]
    hidden = embed(token_ids, weights.words, weights.positions, weights.embedding_norm)
    for layer in weights.layers:
        hidden = add_and_norm(attention(hidden, key_mask, layer), hidden, *layer.attention_norm)
        hidden = add_and_norm(feed_forward(hidden, layer), hidden, *layer.output_norm)
    token_mask = mask.astype(np.float32)
    total = uf.einsum("bl,bld->bd", token_mask, hidden)
    return unit_mean(total, token_mask.sum(axis=-1, keepdims=True))


def prepack_weights(weights: Weights) -> Weights:
    """Lay the weights of all linear layers out once for many calls.

    Parameters
    ----------
    weights : Weights
        The model, in float32.

    Returns
    -------
    Weights
        The linear layers in the panels that products of many rows read, as many bytes as before.
    """
    return _with_layers(weights, uf.prepack)


def quantize_weights(weights: Weights) -> Weights:
    """Quantize the word table and all linear layers to int8.

    Parameters
    ----------
    weights : Weights
        The model, in float32.

    Returns
    -------
    Weights
        The word table with one scale per word and the linear layers with one per output channel,
        symmetric; biases, layer norms and position embeddings stay in float32.
    """

    def quantize(weight: Array) -> uf.QuantizedArray:
        return uf.quantize(weight, "int8", axis=0)

    return dataclasses.replace(_with_layers(weights, quantize), words=quantize(weights.words))


def _with_layers(weights: Weights, convert: Callable[[Array], Any]) -> Weights:
    """Convert the weights of all linear layers."""

    def converted(layer: Dense) -> Dense:
        return layer._replace(weight=convert(layer.weight))

    return dataclasses.replace(
        weights,
        layers=tuple(
            layer._replace(
                qkv=converted(layer.qkv),
                attention_output=converted(layer.attention_output),
                intermediate=converted(layer.intermediate),
                output=converted(layer.output),
            )
            for layer in weights.layers
        ),
    )
