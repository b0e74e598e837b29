"""Speed of each variant of the encoder, and how well its embeddings agree with the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import ufuse as uf

from . import encoder_numpy, encoder_ufuse
from .sentences import Batch
from .weights import Array, Weights

Encoder: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.bool_], Any], Array]


class Variant(NamedTuple):
    """An encoder and the weights that it is given: `Weights`, or what else has `nbytes`."""

    name: str
    encode: Encoder
    weights: Any


class Result(NamedTuple):
    """What was measured of a variant; the first variant is what the others are compared with."""

    name: str
    sentences_per_second: float
    speedup: float
    weight_bytes: int
    min_cosine: float
    mean_cosine: float
    top1_agreement: float


def make_variants(weights: Weights, threads: int) -> list[Variant]:
    """List the variants to compare, the reference first; onnxruntime where it is installed."""
    quantized = encoder_ufuse.quantize_weights(weights)
    variants = [
        Variant("NumPy float32", encoder_numpy.encode, weights),
        Variant("ufuse float32", encoder_ufuse.encode, encoder_ufuse.prepack_weights(weights)),
        Variant("ufuse int8", encoder_ufuse.encode, quantized),
    ]
    if find_spec("onnx") is not None and find_spec("onnxruntime") is not None:
        from . import encoder_onnx

        plain, narrow = encoder_onnx.make_weights(weights, threads)
        variants += [
            Variant("onnxruntime float32", encoder_onnx.encode, plain),
            Variant("onnxruntime int8", encoder_onnx.encode, narrow),
        ]
    return variants


def measure(
    variants: Sequence[Variant], batches: Sequence[Batch], repeats: int, threads: int
) -> list[Result]:
    """Time the variants in turn, round after round, behind a progress bar.

    Parameters
    ----------
    variants : sequence of Variant
        The first is the reference for speed and embeddings.
    batches : sequence of Batch
        The tokenised sentences; tokenisation is not part of the time.
    repeats : int
        Timed rounds, after one that warms up and gives the embeddings. The fastest counts.
    threads : int
        Threads of NumPy's BLAS and of ufuse.

    Returns
    -------
    list of Result
        One per variant.
    """
    seconds = np.empty((repeats, len(variants)))
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(threads))
        stack.enter_context(uf.threads(threads))
        total = (1 + repeats) * len(variants) * len(batches)
        bar = stack.enter_context(tqdm(total=total, unit="batch"))
        embeddings = [_embed(variant, batches, bar)[0] for variant in variants]
        for times in seconds:
            times[:] = [_embed(variant, batches, bar)[1] for variant in variants]

    best = seconds.min(axis=0)
    return [
        Result(
            variant.name,
            sentences_per_second=len(vectors) / time,
            speedup=best[0] / time,
            weight_bytes=variant.weights.nbytes,
            min_cosine=float((cosine := np.vecdot(vectors, embeddings[0])).min()),
            mean_cosine=float(cosine.mean()),
            top1_agreement=float((_nearest(vectors) == _nearest(embeddings[0])).mean()),
        )
        for variant, vectors, time in zip(variants, embeddings, best, strict=True)
    ]


def _embed(variant: Variant, batches: Sequence[Batch], bar: tqdm[None]) -> tuple[Array, float]:
    """Embed all sentences, in their original order; also return the seconds that it took."""
    bar.set_description(variant.name)
    vectors, seconds = [], 0.0
    for batch in batches:
        start = perf_counter()
        vectors.append(variant.encode(batch.token_ids, batch.mask, variant.weights))
        seconds += perf_counter() - start
        bar.update()
    order = np.argsort(np.concatenate([batch.positions for batch in batches]))
    return np.concatenate(vectors)[order], seconds


def _nearest(vectors: Array) -> NDArray[np.int64]:
    """For each row, find the most similar other row."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    return similarity.argmax(axis=1)
