"""The results as a table of text and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from .measure import Result

HEADINGS = ("variant", "sentences/s", "ratio", "weights", "min cosine", "mean cosine", "top-1")


def format_table(results: Sequence[Result]) -> str:
    """Format results as a table of text, one line per variant."""
    rows = [HEADINGS, *(_cells(result) for result in results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _cells(result: Result) -> tuple[str, ...]:
    return (
        result.name,
        f"{result.sentences_per_second:.1f}",
        f"{result.speedup:.2f}",
        f"{result.weight_bytes / 1e6:.1f} MB",
        f"{result.min_cosine:.4f}",
        f"{result.mean_cosine:.4f}",
        f"{result.top1_agreement:.1%}",
    )


def save_plot(results: Sequence[Result], path: Path, title: str) -> None:
    """Draw results into an image file, one panel per quantity."""
    bars = {
        "Speed [sentences/s]": [r.sentences_per_second for r in results],
        "Weights [MB]": [r.weight_bytes / 1e6 for r in results],
        "Same nearest sentence [%]": [100 * r.top1_agreement for r in results],
    }
    names = [r.name for r in results]
    colors = [f"C{i}" for i in range(len(results))]

    figure = Figure(figsize=(12, 1.5 + 0.5 * len(results)), layout="constrained")
    *bar_axes, cosine_axis = figure.subplots(1, len(bars) + 1, sharey=True)
    for axis, (label, values) in zip(bar_axes, bars.items(), strict=True):
        axis.bar_label(axis.barh(names, values, color=colors), fmt="{:.4g}", padding=3)
        axis.set(xlabel=label, xlim=(0, 1.25 * max(values)))
    cosine_axis.plot([r.mean_cosine for r in results], names, "ko", label="mean")
    cosine_axis.plot([r.min_cosine for r in results], names, "k|", markersize=12, label="min")
    cosine_axis.set(xlabel="Cosine similarity to the first")
    cosine_axis.legend(loc="upper left")
    for axis in (*bar_axes, cosine_axis):
        axis.spines[["top", "right"]].set_visible(False)
    cosine_axis.invert_yaxis()
    figure.suptitle(title)
    figure.savefig(path, dpi=150)
