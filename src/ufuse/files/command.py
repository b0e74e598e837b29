"""The command ``python -m ufuse quantize``."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from .convert import KINDS, NAME, TARGETS, quantize_model
from .report import format_losses, format_table

#: What shells add to the number of a signal.
_SIGNALLED: Final = 128


def add_to(commands: Any) -> None:
    """Add the command to the subcommands of a parser."""
    parser = commands.add_parser(
        "quantize",
        help="quantize the tensors of a model file",
        description="Quantize the tensors of a .safetensors or .gguf file to another file. "
        "Patterns are the shell's ('*.weight') and can be given several times.",
        epilog=f"--to for .gguf: {', '.join(KINDS)}; for .safetensors: {', '.join(TARGETS)}.",
    )
    add = parser.add_argument
    add("source", type=Path, help=".safetensors or .gguf file")
    add("--to", required=True, metavar="KIND", help="what tensors become, see below")
    add("-o", "--output", type=Path, help=".gguf or .safetensors file; not needed for a dry run")
    add("--block-size", type=int, help="elements that share a scale, for int8, int4, float8...")
    for name, text in (
        ("include", "quantize only these tensors, and copy the others"),
        ("exclude", "copy these tensors"),
        ("drop", "leave these tensors out"),
    ):
        add(f"--{name}", action="append", default=[], metavar="PATTERN", help=text)
    add("--importance", type=Path, metavar="FILE.npz", help="weights of columns by tensor name")
    add("--architecture", help="general.architecture of the .gguf file")
    add("--dry-run", action="store_true", help="say what each tensor becomes, and write nothing")
    add("--force", action="store_true", help="replace the output where it exists")
    parser.set_defaults(run=run)


@contextlib.contextmanager
def _orderly_exit() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise SystemExit meanwhile, so that unfinished files are removed."""

    def leave(number: int, _: Any) -> None:
        print(f"ufuse quantize: {signal.Signals(number).name}", file=sys.stderr)
        raise SystemExit(_SIGNALLED + number)

    old = {}
    if threading.current_thread() is threading.main_thread():  # Python takes handlers there alone
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # not of nohup
                old[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def status_of(error: Exception) -> int:
    """Return the exit status of an error: 2 where an argument is wrong, 1 for what is in files."""
    return 2 if str(error).startswith(f"{NAME}: argument ") else 1


def run(arguments: argparse.Namespace) -> int:
    """Convert, and print the report; return the exit status."""
    if arguments.output is None and not arguments.dry_run:
        print("ufuse quantize: -o/--output is needed but for --dry-run", file=sys.stderr)
        return 2
    begin = time.perf_counter()
    with _orderly_exit():
        rows = quantize_model(
            arguments.source,
            arguments.output,
            arguments.to,
            block_size=arguments.block_size,
            include=arguments.include,
            exclude=arguments.exclude,
            drop=arguments.drop,
            importance=arguments.importance,
            architecture=arguments.architecture,
            overwrite=arguments.force,
            dry_run=arguments.dry_run,
        )
    took = time.perf_counter() - begin
    print(format_table(rows))
    if losses := format_losses(rows):
        print(f"ufuse quantize: {losses}", file=sys.stderr)
    print("nothing written" if arguments.dry_run else f"{arguments.output}: {took:.2f} s")
    return 0
