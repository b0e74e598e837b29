"""Drawings of passes, by matplotlib, which is imported when one is asked for."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..files.replacing import replacing
from .explain import Explanation, Pass, in_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINE: Final = 0.16  # inches
_MOST_LINES: Final = 14
_WIDTH: Final = 44  # characters of a line of a pass


def save(explained: Explanation, path: str | os.PathLike[str]) -> None:
    """Write the drawing of passes to a file of the type that its name says."""
    figure = draw(explained)
    wanted = Path(path)
    kind = wanted.suffix.removeprefix(".") or "svg"
    if kind not in figure.canvas.get_supported_filetypes():
        kinds = ", ".join(sorted(figure.canvas.get_supported_filetypes()))
        raise ValueError(
            f"explain: argument 'plot': expected a name that ends in one of {kinds}; got {path!r}"
        )
    with replacing(wanted) as beside:
        figure.savefig(beside, format=kind)


def draw(explained: Explanation) -> Figure:
    """Draw passes below one another, what they read on the left, what they write on the right."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "explain: drawing needs matplotlib; install it with: pip install 'ufuse[plot]'"
        ) from error
    texts = [_lines(one) for one in explained.passes]
    heights = [
        (max(len(text), len(one.reads) * 2, len(one.writes) * 2) + 3) * _LINE
        for text, one in zip(texts, explained.passes, strict=True)
    ]
    total = sum(heights) + 5 * _LINE
    figure = Figure(figsize=(9, total))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 9), ylim=(0, total))
    axes.axis("off")
    head = f"{explained.function}({', '.join(explained.arguments)})"
    axes.text(0.2, total - 1.5 * _LINE, textwrap.shorten(head, 110), fontsize=9, weight="bold")
    axes.text(
        0.2,
        total - 3 * _LINE,
        f"{in_bytes(explained.bytes_read)} read, {in_bytes(explained.bytes_written)} written, "
        f"{in_bytes(explained.temporaries)} of temporaries; "
        f"NumPy would move {in_bytes(explained.bytes_numpy)}",
        fontsize=8,
    )
    top = total - 4 * _LINE
    for number, (one, text, height) in enumerate(
        zip(explained.passes, texts, heights, strict=True), 1
    ):
        _draw_pass(axes, number, one, text, top, height - _LINE)
        top -= height
    return figure


def _lines(one: Pass) -> list[str]:
    lines = [textwrap.shorten(line, _WIDTH, placeholder="...") for line in one.listing()]
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES - 1 :] = [f"... and {len(lines) - _MOST_LINES + 1} more"]
    return lines


def _draw_pass(
    axes: Any, number: int, one: Pass, text: list[str], top: float, height: float
) -> None:
    left, right = 2.6, 6.4
    axes.add_patch(_box(left, top - height, right - left, height, "#eef3fb"))
    axes.text(
        left + 0.1, top - 1.2 * _LINE, f"pass {number}, {one.executor}", fontsize=8, weight="bold"
    )
    axes.text(
        left + 0.1, top - 1.8 * _LINE, "\n".join(text), fontsize=7, family="monospace", va="top"
    )
    middle = top - height / 2
    sides = (
        (one.reads, 0.2, 1.6, in_bytes(one.bytes_read), (1.8, left)),
        (one.writes, 7.2, 1.6, in_bytes(one.bytes_written), (right, 7.2)),
    )
    for names, x, width, moved, (start, end) in sides:
        for place, name in enumerate(names):
            y = middle + (len(names) / 2 - place - 0.5) * 2 * _LINE
            axes.add_patch(_box(x, y - 0.7 * _LINE, width, 1.4 * _LINE, "#fdf3e2"))
            axes.text(
                x + width / 2, y, textwrap.shorten(name, 24), fontsize=8, ha="center", va="center"
            )
            tail, tip = ((start, y), (end, middle)) if x < left else ((start, middle), (end, y))
            axes.annotate("", tip, tail, arrowprops={"arrowstyle": "->", "lw": 0.8})
        axes.text((start + end) / 2, top - height + 0.3 * _LINE, moved, fontsize=7, ha="center")


def _box(x: float, y: float, width: float, height: float, color: str) -> Any:
    from matplotlib.patches import FancyBboxPatch

    return FancyBboxPatch(
        (x, y),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.05",
        fc=color,
        ec="#445",
        lw=0.8,
    )
