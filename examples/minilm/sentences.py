"""Real sentences from the documentation of installed packages, and their batches of tokens."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

# Packages that the demo needs anyway, so that the same versions give the same sentences.
SOURCES = ("numpy", "matplotlib", "tqdm", "safetensors", "tokenizers")
MIN_WORDS, MAX_WORDS = 8, 60
MAX_TOKENS = 256

LICENCE_NAME = re.compile(r"(LICEN[CS]E|COPYING|NOTICE).*", re.IGNORECASE)
PARAGRAPH_BREAK = re.compile(r"\n\s*\n")
SENTENCE_BREAK = re.compile(r"(?<=[a-z)][.!?])\s+(?=[A-Z])")
PROSE = re.compile(r"[A-Z](?:[\w\s,;:.'()/\"]|-(?!-))*[.!?]")
MARKUP = re.compile(r":\w+:|[`*]")


class Batch(NamedTuple):
    """Tokenised sentences: ids and mask of shape (batch, length), and where each belongs."""

    token_ids: NDArray[np.int64]
    mask: NDArray[np.bool_]
    positions: NDArray[np.int64]


def collect_sentences(count: int) -> list[str]:
    """Collect sentences from licences, package descriptions and docstrings.

    Parameters
    ----------
    count : int
        How many, evenly spread over all that were found.

    Returns
    -------
    list of str
        Distinct sentences of 8 to 60 words, the same ones for the same installed versions.

    Raises
    ------
    ValueError
        If fewer than `count` sentences were found.
    """
    found = list(dict.fromkeys(s for text in _texts() for s in _sentences(text)))
    if not 0 < count <= len(found):
        raise ValueError(
            f"collect_sentences: count must be from 1 to {len(found)}, the number of sentences "
            f"found in the installed packages {', '.join(SOURCES)}; got {count}"
        )
    return [found[i * len(found) // count] for i in range(count)]


def _texts() -> Iterator[str]:
    for package in SOURCES:
        for entry in sorted(metadata.files(package) or (), key=str):
            if entry.name == "METADATA":
                yield entry.read_text(encoding="utf-8").partition("\n\n")[2]  # past the headers
            elif LICENCE_NAME.fullmatch(entry.name):
                yield entry.read_text(encoding="utf-8")
            elif entry.suffix == ".py" and "test" not in str(entry):
                yield from _docstrings(Path(str(entry.locate())))


def _docstrings(path: Path) -> Iterator[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield text


def _sentences(text: str) -> Iterator[str]:
    for paragraph in PARAGRAPH_BREAK.split(text):
        for sentence in SENTENCE_BREAK.split(MARKUP.sub("", paragraph)):
            words = sentence.split()
            if MIN_WORDS <= len(words) <= MAX_WORDS and PROSE.fullmatch(sentence.strip()):
                yield " ".join(words)


def tokenize_in_batches(sentences: Sequence[str], tokenizer: Path, batch: int) -> list[Batch]:
    """Tokenise sentences and batch those of similar length, shortest first.

    Parameters
    ----------
    sentences : sequence of str
        Texts; what exceeds 256 tokens is cut off, as in the model's own configuration.
    tokenizer : pathlib.Path
        The model's ``tokenizer.json``.
    batch : int
        Sentences per batch; the last batch may be smaller.

    Returns
    -------
    list of Batch
        Each padded to its own longest sentence.
    """
    encoder = Tokenizer.from_file(str(tokenizer))
    encoder.enable_truncation(max_length=MAX_TOKENS)
    encoder.no_padding()
    encodings: list[Encoding] = encoder.encode_batch(list(sentences))
    order = np.argsort([len(e.ids) for e in encodings], kind="stable")
    groups = np.split(order, range(batch, len(order), batch))
    return [_pad([encodings[i] for i in group], group) for group in groups]


def _pad(encodings: Sequence[Encoding], positions: NDArray[np.int64]) -> Batch:
    lengths = np.array([len(e.ids) for e in encodings])
    mask = np.arange(lengths.max()) < lengths[:, None]
    token_ids = np.zeros(mask.shape, dtype=np.int64)  # the id of the padding token is 0
    token_ids[mask] = np.concatenate([e.ids for e in encodings])
    return Batch(token_ids, mask, positions)
