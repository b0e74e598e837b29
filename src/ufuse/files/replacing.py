"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

_ANYONE: Final = 0o666


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a new file beside `path`, which takes its place when the block ends.

    The file is on disk before it gets the name, so that a power cut leaves the old one or the new
    one. Where the block raises, of an interrupt too, the new file is removed and the old one stays.
    Who may use the old file may use the new one alike; of a first one the umask decides.
    """
    target = path.resolve()  # a link stays a link
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        mode = stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        mode = None
    # Made here and not by tempfile, whose files only their owner may read. What the old file hides
    # is hidden while it is written, too.
    first = _ANYONE if mode is None else mode & _ANYONE | stat.S_IWUSR
    with _named(path):
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, first))
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        if mode is not None:
            beside.chmod(mode)
        with _named(path):
            beside.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    if hasattr(os, "O_DIRECTORY"):  # the name as well
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Have errors name the file that was asked for, and not the one beside it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def optional(package: str, purpose: str) -> Any:
    """Import a package that ufuse does not depend on.

    Raises
    ------
    ImportError
        If it is not installed; the message has the command that installs it.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package {package}; install it with: pip install 'ufuse[files]' "
            f"(or pip install {package})"
        ) from error
