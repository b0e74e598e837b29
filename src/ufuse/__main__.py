"""The command line: ``python -m ufuse``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 1 for what it cannot do, 2 for bad arguments."""
    from .files import command as quantize

    parser = argparse.ArgumentParser(prog="ufuse", description="Tools of the package ufuse.")
    commands = parser.add_subparsers(dest="command", required=True)
    quantize.add_to(commands)
    parsed = parser.parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"ufuse {parsed.command}: {error}", file=sys.stderr)
        return quantize.status_of(error)
    except KeyboardInterrupt:
        print(f"ufuse {parsed.command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
